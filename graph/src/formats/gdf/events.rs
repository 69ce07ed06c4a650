//! The table of events: mode, number and rate, then one column after the other.

use std::path::Path;

use crate::formats::biosignal::{DAMAGED, Fields};
use crate::{Error, Result};

/// One event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Event {
    /// Seconds after the start of the file.
    pub onset: f64,
    /// Seconds; `None` in tables without durations.
    pub duration: Option<f64>,
    pub code: u16,
    /// Channel from 1; 0 for all.
    pub channel: u16,
}

/// Reads a table that starts at byte `at` of the file. Where it leaves its own sampling rate open,
/// events count samples of `rate`.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    at: u64,
    version: f64,
    rate: f64,
) -> Result<Vec<Event>> {
    let wrong = |field: &str, problem: String| {
        Error::file(path, format!("byte {at}, {field}"), problem, DAMAGED)
    };
    let mut f = Fields::new(path, bytes);
    let [mode] = f.word("mode of the event table")?;
    // Bit 1: channels and durations; bit 2: time stamps, which follow all else.
    if ![1, 3, 5, 7].contains(&mode) {
        return Err(wrong(
            "mode of the event table",
            format!("is {mode}; 1 and 3, with time stamps 5 and 7, are known"),
        ));
    }
    let [a, b, c] = f.word("event table")?;
    let small = u32::from_le_bytes([a, b, c, 0]);
    let four: [u8; 4] = f.word("event table")?;
    let (own_rate, count) = match version < 1.94 {
        true => (f64::from(small), u32::from_le_bytes(four)),
        false => (f64::from(f32::from_le_bytes(four)), small),
    };
    if count == 0 {
        return Ok(Vec::new());
    }
    let rate = if own_rate == 0.0 { rate } else { own_rate };
    if !(rate.is_finite() && rate > 0.0) {
        return Err(wrong(
            "event table",
            format!("has a sampling rate of {rate} Hz"),
        ));
    }
    let n = count as usize;
    let wide = mode & 2 != 0;
    let mut column = |bytes_each: usize| {
        let length = n.checked_mul(bytes_each);
        let column = f.take(length.unwrap_or(usize::MAX), "event table");
        column.map_err(|_| {
            let found = bytes.len();
            wrong(
                "event table",
                format!("{n} events do not fit {found} bytes"),
            )
        })
    };
    let positions = column(4)?;
    let codes = column(2)?;
    let none: &[u8] = &[];
    let (channels, durations) = match wide {
        true => (column(2)?, column(4)?),
        false => (none, none),
    };
    let two = |b: &[u8], i: usize| b.as_chunks::<2>().0.get(i).map(|w| u16::from_le_bytes(*w));
    let four = |b: &[u8], i: usize| b.as_chunks::<4>().0.get(i).map(|w| u32::from_le_bytes(*w));
    Ok((0..n)
        .map(|i| Event {
            // Samples count from 1.
            onset: f64::from(four(positions, i).unwrap_or(0).saturating_sub(1)) / rate,
            duration: four(durations, i).map(|d| f64::from(d) / rate),
            code: two(codes, i).unwrap_or(0),
            channel: two(channels, i).unwrap_or(0),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(mode: u8, version: f64) -> Vec<u8> {
        let mut out = vec![mode];
        if version < 1.94 {
            out.extend([100, 0, 0, 2, 0, 0, 0]);
        } else {
            out.extend([2, 0, 0]);
            out.extend(100f32.to_le_bytes());
        }
        out.extend([1u32, 151].iter().flat_map(|v| v.to_le_bytes()));
        out.extend([768u16, 0x7ffe].iter().flat_map(|v| v.to_le_bytes()));
        if mode & 2 != 0 {
            out.extend([0u16, 2].iter().flat_map(|v| v.to_le_bytes()));
            out.extend([50u32, 0].iter().flat_map(|v| v.to_le_bytes()));
        }
        out
    }

    #[test]
    fn modes_and_versions() {
        for version in [1.25, 2.2] {
            for mode in [1, 3] {
                let bytes = table(mode, version);
                let path = Path::new("a.gdf");
                let events = parse(path, &bytes, 0, version, 8.0).unwrap();
                assert_eq!(events.len(), 2);
                assert_eq!((events[0].onset, events[1].onset), (0.0, 1.5));
                assert_eq!((events[0].code, events[1].code), (768, 32766));
                let wide = mode == 3;
                assert_eq!(events[0].duration, wide.then_some(0.5));
                assert_eq!(events[1].channel, if wide { 2 } else { 0 });
                for n in 0..bytes.len() {
                    assert!(parse(path, &bytes[..n], 0, version, 8.0).is_err(), "{n}");
                }
            }
        }
    }

    #[test]
    fn damage_is_told() {
        let path = Path::new("a.gdf");
        let text = |bytes: &[u8]| parse(path, bytes, 900, 2.2, 8.0).unwrap_err().to_string();
        let mut bytes = table(3, 2.2);
        bytes[0] = 2;
        assert!(text(&bytes).contains("byte 900, mode of the event table: is 2"));
        bytes[0] = 3;
        bytes[3] = 0xff;
        assert!(text(&bytes).contains("16711682 events do not fit 32 bytes"));
        bytes[3] = 0;
        bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(text(&bytes).contains("sampling rate of NaN Hz"));
        bytes[4..8].fill(0);
        assert_eq!(parse(path, &bytes, 0, 2.2, 30.0).unwrap()[1].onset, 5.0);
        assert!(parse(path, &bytes, 0, 2.2, 0.0).is_err());
        let none = parse(path, &[1, 0, 0, 0, 0, 0, 0, 0], 0, 2.2, 8.0).unwrap();
        assert_eq!(none, []);
    }
}
