//! Numbers, time stamps and words out of a text table, in parallel over its lines.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;
use rayon::prelude::*;

use super::scan::{Cell, End, after_line, cell, excerpt, is_blank, line_of, pieces};
use super::{CsvConfig, Head, TimeColumns};
use crate::series::{StampReader, stamp_of};
use crate::{Error, Result, files};

/// Lines are read in parallel in pieces of at least this many bytes.
const PIECE: usize = 1 << 18;

/// What is written where nothing was measured, beside an empty cell; case does not matter.
const MISSING: [&str; 8] = ["na", "n/a", "nan", "null", "none", "?", "-", "#n/a"];

/// A table of numbers over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns of numbers.
    pub columns: Vec<String>,
    /// Numbers, (rows, columns); NaN where missing.
    pub values: Array2<f32>,
    /// Time of every row, in seconds since 1970, where [`CsvConfig::time`] says how.
    pub stamps: Option<Vec<i64>>,
    /// The columns of [`CsvConfig::text`], and last that of [`CsvConfig::label`].
    pub text: Vec<TextColumn>,
}

/// A column of words, each kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    /// Name of the column.
    pub name: String,
    /// The distinct words, in the order in which they first occur.
    pub words: Vec<String>,
    /// Index into `words` for every row.
    pub codes: Vec<u32>,
}

impl TextColumn {
    /// The words row by row.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(|c| self.words[*c as usize].as_str())
    }
}

/// What a column of the file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Skip,
    Stamp,
    /// Year, month, day, hour, minute or second.
    Part(usize),
    Text(usize),
}

/// Why a piece could not be read, at which byte and in which column.
struct Fault {
    at: usize,
    column: usize,
    problem: String,
    remedy: &'static str,
}

/// The rows of one piece.
#[derive(Default)]
struct Rows {
    count: usize,
    values: Vec<f32>,
    stamps: Vec<i64>,
    text: Vec<Words>,
}

#[derive(Default)]
struct Words {
    index: HashMap<Vec<u8>, u32>,
    words: Vec<String>,
    codes: Vec<u32>,
}

impl Words {
    fn push(&mut self, cell: Cell<'_>) {
        let code = match self.index.get(cell.bytes()) {
            Some(code) => *code,
            None => {
                let code = self.words.len() as u32;
                self.index.insert(cell.bytes().to_vec(), code);
                self.words.push(cell.text().into_owned());
                code
            }
        };
        self.codes.push(code);
    }
}

/// Reads a table of numbers; see [`parse_table`].
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse_table`].
pub fn read_table(path: impl AsRef<Path>, config: &CsvConfig) -> Result<Table> {
    let path = path.as_ref();
    parse_table(&files::read(path)?, path, config)
}

/// Reads a table of numbers from the bytes of a file. Columns that `config` does not name as time,
/// text, label or to be skipped are numbers.
///
/// # Errors
/// [`Error::File`] naming line and column of a cell that is no number or time, a line with another
/// number of cells, a column of `config` that is not there or a header that repeats one, or when
/// there is no row or no column of numbers.
pub fn parse_table(bytes: &[u8], path: &Path, config: &CsvConfig) -> Result<Table> {
    let head = Head::read(bytes, path, config)?;
    let (kinds, text) = kinds(&head, path, config)?;
    let columns: Vec<String> = head
        .names
        .iter()
        .zip(&kinds)
        .filter(|(_, k)| **k == Kind::Number)
        .map(|(n, _)| n.clone())
        .collect();
    if columns.is_empty() {
        return Err(Error::file(
            path,
            "header",
            "no column is left for numbers",
            "shorten csv.skip and csv.text",
        ));
    }
    let body = bytes.len().saturating_sub(head.body);
    let parts = (body / PIECE).clamp(1, 8 * rayon::current_num_threads());
    let markers = Markers {
        words: &config.missing,
        numbers: config
            .missing
            .iter()
            .filter_map(|m| m.parse().ok())
            .collect(),
    };
    let read: Vec<std::result::Result<Rows, Fault>> = pieces(bytes, head.body, parts)
        .into_par_iter()
        .map(|(from, to)| rows(&bytes[..to], from, &head, &kinds, &markers))
        .collect();
    let mut all = Vec::with_capacity(read.len());
    for piece in read {
        all.push(piece.map_err(|f| {
            let place = match head.names.get(f.column) {
                Some(name) => format!("line {}, column {name:?}", line_of(bytes, f.at)),
                None => format!("line {}", line_of(bytes, f.at)),
            };
            Error::file(path, place, f.problem, f.remedy)
        })?);
    }
    let count: usize = all.iter().map(|r| r.count).sum();
    if count == 0 {
        return Err(Error::file(
            path,
            "table",
            "has no rows",
            "check that the file is complete",
        ));
    }
    let stamps = config
        .time
        .is_some()
        .then(|| all.iter().flat_map(|r| r.stamps.iter().copied()).collect());
    let text = text
        .into_iter()
        .enumerate()
        .map(|(i, name)| joined(name, all.iter().map(|r| &r.text[i])))
        .collect();
    let values = match all.as_mut_slice() {
        [one] => std::mem::take(&mut one.values),
        many => {
            let mut values = Vec::with_capacity(count * columns.len());
            for piece in many {
                values.append(&mut piece.values);
            }
            values
        }
    };
    let values = Array2::from_shape_vec((count, columns.len()), values)
        .map_err(|e| Error::file(path, "table", e.to_string(), "check the file"))?;
    Ok(Table {
        columns,
        values,
        stamps,
        text,
    })
}

/// What every column is, and the names of the text columns in order.
fn kinds(head: &Head, path: &Path, config: &CsvConfig) -> Result<(Vec<Kind>, Vec<String>)> {
    let mut kinds = vec![Kind::Number; head.names.len()];
    let text: Vec<String> = config.text.iter().chain(&config.label).cloned().collect();
    let parts: Vec<(&String, Kind)> = match &config.time {
        None => Vec::new(),
        Some(TimeColumns::Stamp(name)) => vec![(name, Kind::Stamp)],
        Some(TimeColumns::Parts(p)) => [
            Some(&p.year),
            p.month.as_ref(),
            p.day.as_ref(),
            p.hour.as_ref(),
            p.minute.as_ref(),
            p.second.as_ref(),
        ]
        .into_iter()
        .enumerate()
        .filter_map(|(i, name)| Some((name?, Kind::Part(i))))
        .collect(),
    };
    let skipped = config.skip.iter().map(|name| (name, Kind::Skip));
    let words = text.iter().enumerate().map(|(i, n)| (n, Kind::Text(i)));
    for (name, kind) in skipped.chain(words).chain(parts) {
        let wrong = |problem: String| {
            Error::file(
                path,
                name,
                problem,
                "correct csv.skip, csv.text, csv.time or csv.label",
            )
        };
        let Some(at) = head.names.iter().position(|n| n == name) else {
            return Err(wrong(format!(
                "no such column; present: {}",
                head.names.join(", ")
            )));
        };
        if kinds[at] != Kind::Number {
            return Err(wrong("the column is named for two purposes".into()));
        }
        kinds[at] = kind;
    }
    Ok((kinds, text))
}

/// Reads the rows from byte `from` to the end of `bytes`.
fn rows(
    bytes: &[u8],
    from: usize,
    head: &Head,
    kinds: &[Kind],
    markers: &Markers<'_>,
) -> std::result::Result<Rows, Fault> {
    let numbers = kinds.iter().filter(|k| **k == Kind::Number).count();
    let texts = kinds.iter().filter(|k| matches!(k, Kind::Text(_))).count();
    let has_parts = kinds.iter().any(|k| matches!(k, Kind::Part(_)));
    let mut out = Rows::default();
    out.text.resize_with(texts, Words::default);
    // At least one byte for a cell: the guess is bounded by the size of the piece.
    out.values
        .reserve((bytes.len() - from) / 8 * numbers / kinds.len() + numbers);
    let mut clock = StampReader::default();
    let mut days = DayCache::default();
    let last = kinds.len() - 1;
    let mut at = from;
    while at < bytes.len() {
        if is_blank(bytes, at, head.comment) && !(last == 0 && head.keeps_blank(bytes, at)) {
            at = after_line(bytes, at);
            continue;
        }
        let line = at;
        let mut date = [0i64, 1, 1, 0, 0, 0];
        for (column, kind) in kinds.iter().enumerate() {
            let start = at;
            let fault = |problem: String, remedy: &'static str| Fault {
                at: start,
                column,
                problem,
                remedy,
            };
            let end = if let (Kind::Number, Some((value, next, end))) =
                (kind, fast_number(bytes, at, head.delimiter))
            {
                let missing = markers.numbers.contains(&value);
                out.values.push(if missing { f32::NAN } else { value });
                at = next;
                end
            } else if let (Kind::Part(i), Some((value, next))) =
                (kind, fast_whole(bytes, at, head.delimiter))
            {
                date[*i] = value;
                at = next;
                End::Delimiter
            } else {
                let (cell, next, end) = cell(bytes, at, head.delimiter);
                match kind {
                    Kind::Skip => {}
                    Kind::Number => out.values.push(number(cell, markers).ok_or_else(|| {
                        fault(
                            format!("{:?} is no number", cell.text()),
                            "write a number, leave the cell empty where it is missing, or put the \
                             column into csv.skip",
                        )
                    })?),
                    Kind::Text(i) => out.text[*i].push(cell),
                    Kind::Stamp => {
                        out.stamps.push(clock.read(cell.bytes()).ok_or_else(|| {
                            fault(
                                format!("{:?} is no time", cell.text()),
                                "write it as YYYY-MM-DD HH:MM:SS",
                            )
                        })?);
                    }
                    Kind::Part(i) => {
                        date[*i] = whole(cell.bytes()).ok_or_else(|| {
                            fault(
                                format!("{:?} is no part of a date", cell.text()),
                                "write a whole number",
                            )
                        })?;
                    }
                }
                at = next;
                end
            };
            if end == End::Broken {
                return Err(fault(
                    "a quote is not closed, or text follows it".into(),
                    "close it, and double the quotes inside",
                ));
            }
            if (end == End::Line) != (column == last) {
                let problem = if column == last {
                    format!("has more cells than the {} columns", kinds.len())
                } else {
                    format!("has {} cells, not {}", column + 1, kinds.len())
                };
                return Err(Fault {
                    at: line,
                    column: usize::MAX,
                    problem: format!("{problem}: {:?}", excerpt(bytes, line)),
                    remedy: "give every line the same number of cells and check the delimiter",
                });
            }
        }
        if has_parts {
            out.stamps.push(days.stamp(&date).ok_or_else(|| Fault {
                at: line,
                column: usize::MAX,
                problem: format!("there is no such time: {:?}", excerpt(bytes, line)),
                remedy: "correct year, month, day, hour, minute and second",
            })?);
        }
        out.count += 1;
    }
    Ok(out)
}

/// A plain number that ends at a delimiter or the end of the line; `None` leaves the cell to the
/// slower way (quotes, white space, missing values, mistakes).
#[inline]
fn fast_number(bytes: &[u8], at: usize, delimiter: u8) -> Option<(f32, usize, End)> {
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
fn fast_whole(bytes: &[u8], at: usize, delimiter: u8) -> Option<(i64, usize)> {
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
struct Markers<'a> {
    words: &'a [String],
    numbers: Vec<f32>,
}

fn number(cell: Cell<'_>, markers: &Markers<'_>) -> Option<f32> {
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
fn whole(bytes: &[u8]) -> Option<i64> {
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
struct DayCache {
    date: [i64; 3],
    midnight: i64,
}

impl DayCache {
    fn stamp(&mut self, parts: &[i64; 6]) -> Option<i64> {
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

/// The pieces of a text column as one.
fn joined<'a>(name: String, pieces: impl Iterator<Item = &'a Words>) -> TextColumn {
    let mut words: Vec<String> = Vec::new();
    let mut index: HashMap<&str, u32> = HashMap::new();
    let mut codes = Vec::new();
    for piece in pieces {
        let place: Vec<u32> = piece
            .words
            .iter()
            .map(|w| {
                *index.entry(w).or_insert_with(|| {
                    words.push(w.clone());
                    words.len() as u32 - 1
                })
            })
            .collect();
        codes.extend(piece.codes.iter().map(|c| place[*c as usize]));
    }
    TextColumn { name, words, codes }
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
