//! One cell as a number, a whole number or a part of a date: by a fast way where it is written
//! plainly, by a slower one where not.

use super::scan::{Cell, End};
use crate::series::stamp_of;

/// What is written where nothing was measured, beside an empty cell; case does not matter.
const MISSING: [&str; 8] = ["na", "n/a", "nan", "null", "none", "?", "-", "#n/a"];

/// A plain number that ends at a delimiter or the end of the line; `None` leaves the cell to the
/// slower way (quotes, white space, missing values, mistakes).
#[inline]
pub(super) fn fast_number(bytes: &[u8], at: usize, delimiter: u8) -> Option<(f32, usize, End)> {
    let rest = bytes.get(at..)?;
    let (value, length) = match short_number(rest, delimiter) {
        Some(found) => found,
        None => fast_float2::parse_partial::<f32, _>(rest).ok()?,
    };
    match rest.get(length) {
        Some(b) if *b == delimiter => Some((value, at + length + 1, End::Delimiter)),
        None | Some(b'\n') => Some((value, at + length + 1, End::Line)),
        Some(b'\r') if matches!(rest.get(length + 1), None | Some(b'\n')) => {
            Some((value, at + length + 2, End::Line))
        }
        _ => None,
    }
}

/// A number of at most seven characters without exponent, and its length: the eight bytes it and
/// its end lie in are taken at once. Digits and the power of ten are exact in f32, so that their
/// quotient is the number rounded once.
#[inline(always)]
fn short_number(rest: &[u8], delimiter: u8) -> Option<(f32, usize)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const ZEROS: u64 = ONES * b'0' as u64;
    const POWERS: [f32; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
    let word = u64::from_le_bytes(*rest.first_chunk()?);
    // The top bit of the first byte that is `b`, and perhaps of later ones.
    let find = |word: u64, b: u8| {
        let differs = word ^ (ONES * u64::from(b));
        differs.wrapping_sub(ONES) & !differs & (ONES << 7)
    };
    let ends = find(word, delimiter) | find(word, b'\n') | find(word, b'\r');
    if ends == 0 {
        return None;
    }
    // Lengths are in bits.
    let length = ends.trailing_zeros() & !7;
    let below = |bits: u32| (1u64 << bits) - 1;
    let negative = word as u8 == b'-' && length > 0;
    let skip = 8 * u32::from(negative);
    let (text, bits) = ((word & below(length)) >> skip, length - skip);
    // The point, or the end. Whether there is one cannot be foretold: no branch.
    let points = find(text, b'.') & below(bits);
    let point = (points | (1 << bits)).trailing_zeros() & !7;
    let text = (text & below(point)) | ((text >> 8) & !below(point));
    let bits = bits - 8 * u32::from(points != 0);
    let decimals = (bits - point) / 8;
    if bits == 0 {
        return None;
    }
    // Zeros in front make eight digits, the first in the lowest byte.
    let digits = (text << (64 - bits)) ^ (ZEROS << (64 - bits));
    if (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0) != 0 {
        return None;
    }
    // Pairs, then fours, then all eight.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let (even, odd) = (pairs & 0xff_0000_00ff, (pairs >> 16) & 0xff_0000_00ff);
    let even = even.wrapping_mul(100 + (1_000_000 << 32));
    let all = even.wrapping_add(odd.wrapping_mul(1 + (10_000 << 32))) >> 32;
    let value = all as f32 / POWERS[decimals as usize];
    let value = if negative { -value } else { value };
    Some((value, length as usize / 8))
}

/// A whole number that ends at a delimiter.
#[inline(always)]
pub(super) fn fast_whole(bytes: &[u8], at: usize, delimiter: u8) -> Option<(i64, usize)> {
    let mut n = 0;
    for (i, b) in bytes.get(at..)?.iter().take(9).enumerate() {
        match b {
            b if b.is_ascii_digit() => n = 10 * n + i64::from(b - b'0'),
            b if *b == delimiter && i > 0 => return Some((n, at + i + 1)),
            _ => return None,
        }
    }
    None
}

/// What else stands for "not measured": words, and those of them that are numbers.
pub(super) struct Markers<'a> {
    pub words: &'a [String],
    pub numbers: Vec<f32>,
}

pub(super) fn number(cell: Cell<'_>, markers: &Markers<'_>) -> Option<f32> {
    let bytes = cell.bytes();
    let is = |m: &str| bytes.eq_ignore_ascii_case(m.as_bytes());
    if bytes.is_empty() || MISSING.iter().any(|m| is(m)) || markers.words.iter().any(|m| is(m)) {
        return Some(f32::NAN);
    }
    let value = fast_float2::parse(bytes).ok()?;
    Some(if markers.numbers.contains(&value) {
        f32::NAN
    } else {
        value
    })
}

/// A whole number, perhaps written like `3.0`.
pub(super) fn whole(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_suffix(b".0").unwrap_or(bytes);
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0i64, |n, b| {
        b.is_ascii_digit().then(|| 10 * n + i64::from(b - b'0'))
    })
}

/// Midnight of the last date, since rows of a day follow each other.
#[derive(Default)]
pub(super) struct DayCache {
    date: [i64; 3],
    midnight: i64,
}

impl DayCache {
    pub fn stamp(&mut self, parts: &[i64; 6]) -> Option<i64> {
        let [year, month, day, hour, minute, second] = *parts;
        if [year, month, day] != self.date {
            let (month, day) = (month.try_into().ok()?, day.try_into().ok()?);
            self.midnight = stamp_of(year.try_into().ok()?, month, day, 0, 0, 0)?;
            self.date = [year, parts[1], parts[2]];
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(self.midnight + 3600 * hour + 60 * minute + second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_rounded_once() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let digits = (state >> 33) % 10_000_000;
            let decimals = (state >> 60) as usize % 8;
            let text = format!("{}", digits as f64 / 10f64.powi(decimals as i32));
            let sign = if (state >> 59) & 1 == 0 { "-" } else { "" };
            let cell = format!("{sign}{text}");
            let expected: f32 = cell.parse().unwrap();
            let line = format!("{cell},1234567,\n");
            let (value, next, end) = fast_number(line.as_bytes(), 0, b',').unwrap();
            assert_eq!(value.to_bits(), expected.to_bits(), "{cell}");
            assert_eq!((next, end), (cell.len() + 1, End::Delimiter));
            let short = short_number(line.as_bytes(), b',');
            assert_eq!(short.is_some(), cell.len() < 8, "{cell}");
        }
    }

    #[test]
    fn what_is_no_short_number_is_left_to_others() {
        for text in [
            "",
            ",",
            "-,",
            ".,",
            "a,",
            "1e3,",
            "1.2.3,",
            "12345678,",
            "1_0,",
            "--1,",
            "1-,",
            "5",
        ] {
            let text = format!("{text}{}", if text.contains(',') { "1234567" } else { "" });
            assert_eq!(short_number(text.as_bytes(), b','), None, "{text}");
        }
        assert_eq!(short_number(b"5.;,1234", b';'), Some((5.0, 2)));
        assert_eq!(short_number(b"-.5\n,1234", b','), Some((-0.5, 3)));
        assert_eq!(short_number(b"1234567\r\n", b','), Some((1_234_567.0, 7)));
        assert_eq!(fast_number(b"1.2.3,", 0, b','), None);
        assert_eq!(fast_number(b"7 ,", 0, b','), None);
        assert_eq!(fast_whole(b"2013,3", 0, b','), Some((2013, 5)));
        for text in ["", ",", "3", "3.0,", "-1,", "1234567890,"] {
            assert_eq!(fast_whole(text.as_bytes(), 0, b','), None, "{text}");
        }
    }
}
