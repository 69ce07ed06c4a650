//! Time stamps as numbers and as text.
//!
//! A stamp is a number of seconds since 1970-01-01 00:00:00 on the clock of the data, whatever its
//! time zone: sensor files rarely say it, and the hour of the day should be the local one.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

pub(super) fn civil(stamp: i64) -> Option<DateTime> {
    let stamp = Timestamp::from_second(stamp).ok()?;
    Some(Offset::UTC.to_datetime(stamp))
}

pub(super) fn seconds(time: DateTime) -> Option<i64> {
    Some(Offset::UTC.to_timestamp(time).ok()?.as_second())
}

/// The stamp of a date and hour, `None` when there is no such day.
///
/// ```
/// use tgmamba_graph::series::stamp_of;
/// assert_eq!(stamp_of(1970, 1, 2, 1, 0, 0), Some(90_000));
/// assert_eq!(stamp_of(2013, 2, 29, 0, 0, 0), None);
/// ```
pub fn stamp_of(year: i16, month: i8, day: i8, hour: i8, minute: i8, second: i8) -> Option<i64> {
    let time = Time::new(hour, minute, second, 0).ok()?;
    let day = Date::new(year, month, day).ok()?;
    seconds(day.to_datetime(time))
}

/// Reads a time stamp, `None` when it is none: ISO 8601 with `T` or a space, with or without
/// seconds, or a date alone; the same with slashes; a year alone; `month/day/year` with a
/// four-digit year; Unix seconds of 9 to 11 digits. An offset (`Z`, `+08:00`) is applied; fractions
/// of a second are cut off.
///
/// ```
/// use tgmamba_graph::series::parse_stamp;
/// let at = parse_stamp("2012-03-01 00:05:00");
/// assert_eq!(at, Some(1_330_560_300));
/// for same in ["2012-03-01T00:05", "2012/03/01 0:05", "3/1/2012 0:05", "2012-03-01T08:05+08:00"] {
///     assert_eq!(parse_stamp(same), at, "{same}");
/// }
/// assert_eq!(parse_stamp("1970"), Some(0));
/// assert_eq!(parse_stamp("12:05"), None);
/// ```
pub fn parse_stamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_ascii() || text.len() < 4 {
        return None;
    }
    // Jiff reads a civil time out of one with an offset and forgets the offset.
    let zoned = text.ends_with(['Z', 'z']) || text.rfind(['+', '-']).is_some_and(|at| at > 10);
    if zoned {
        return text.parse::<Timestamp>().ok().map(Timestamp::as_second);
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return seconds(time);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.len() {
            4 => stamp_of(text.parse().ok()?, 1, 1, 0, 0, 0),
            9..=11 => text.parse().ok(),
            _ => None,
        };
    }
    let mut halves = text.splitn(2, [' ', 'T']);
    let parts: Vec<&str> = halves.next()?.split(['/', '-']).collect();
    let [a, b, c] = parts[..] else { return None };
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, a, b) };
    if year.len() != 4 {
        return None;
    }
    let mut clock = halves.next().unwrap_or("0:0").splitn(3, ':');
    let hour = clock.next()?.trim().parse().ok()?;
    let minute = clock.next()?.parse().ok()?;
    let second = clock.next().unwrap_or("0").split('.').next()?;
    stamp_of(
        year.parse().ok()?,
        month.parse().ok()?,
        day.parse().ok()?,
        hour,
        minute,
        second.parse().ok()?,
    )
}

/// Reads many stamps of the form `YYYY-MM-DD HH:MM:SS`: remembers the last date, since rows of a
/// day follow each other. Other forms are left to [`parse_stamp`].
#[derive(Debug, Clone, Default)]
pub struct StampReader {
    date: [u8; 10],
    midnight: i64,
}

impl StampReader {
    /// The stamp written in `text`, `None` when it is none.
    pub fn read(&mut self, text: &[u8]) -> Option<i64> {
        if let Some(seconds) = clock(text) {
            if text[..10] != self.date {
                let midnight = parse_stamp(std::str::from_utf8(&text[..10]).ok()?)?;
                self.midnight = midnight;
                self.date.copy_from_slice(&text[..10]);
            }
            return Some(self.midnight + seconds);
        }
        parse_stamp(std::str::from_utf8(text).ok()?)
    }
}

/// Seconds since midnight of `....-..-.. HH:MM:SS`.
fn clock(text: &[u8]) -> Option<i64> {
    let two = |at: usize| {
        let pair = [text[at], text[at + 1]];
        pair.iter()
            .all(u8::is_ascii_digit)
            .then(|| i64::from(10 * (pair[0] - b'0') + pair[1] - b'0'))
    };
    let separated = text.len() == 19
        && (text[4], text[7], text[13], text[16]) == (b'-', b'-', b':', b':')
        && matches!(text[10], b' ' | b'T');
    if !separated {
        return None;
    }
    let (h, m, s) = (two(11)?, two(14)?, two(17)?);
    (h < 24 && m < 60 && s < 60).then_some(3600 * h + 60 * m + s)
}

/// A stamp as `YYYY-MM-DD HH:MM:SS`.
pub fn write_stamp(stamp: i64) -> String {
    match civil(stamp) {
        Some(c) => c.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("{stamp} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_that_are_none() {
        for text in [
            "",
            "x",
            "2012",
            "20120301",
            "2012-13-01",
            "2012-02-30",
            "2012-03-01 25:00",
            "1/2/03",
            "é/1/2012",
            "2012-03-01T00:00+99:00",
        ] {
            let known = ["2012", "20120301"];
            assert_eq!(parse_stamp(text).is_some(), known.contains(&text), "{text}");
        }
        let at = stamp_of(2016, 12, 31, 23, 59, 59).unwrap();
        assert_eq!(write_stamp(at), "2016-12-31 23:59:59");
        assert_eq!(parse_stamp(&write_stamp(at)), Some(at));
        assert_eq!(parse_stamp("2016-12-31 23:59:59.75"), Some(at));
        assert_eq!(parse_stamp(&at.to_string()), Some(at));
    }

    #[test]
    fn the_reader_agrees_with_the_parser() {
        let mut reader = StampReader::default();
        for text in [
            "2013-03-01 00:00:00",
            "2013-03-01T23:59:59",
            "2013-03-02 01:00:00",
            "2013-02-29 01:00:00",
            "2013-03-01 24:00:00",
            "2013-03-01 1:00",
            "1/3/2013",
            "0000-00-00 00:00:00",
            "2013-03-01 0a:00:00",
            "",
        ] {
            assert_eq!(reader.read(text.as_bytes()), parse_stamp(text), "{text}");
        }
        assert_eq!(reader.read(b"2013-03-01 00:00:\xff\xff"), None);
    }
}
