//! The header, of either major version: 256 bytes of the file, 256 of each channel, and in
//! version 2 perhaps more behind them, which is skipped.

use std::path::Path;

use jiff::civil::{Date, DateTime, Time};

use crate::formats::biosignal::{
    Channel, DAMAGED, Fields, Layout, SampleType, Scale, record_layout,
};
use crate::{Error, Result};

/// Bytes of the part about the file, and of the part about each channel.
pub(super) const FIXED: usize = 256;

/// What the header says.
pub(super) struct Header {
    pub format: String,
    pub version: f64,
    pub start: Option<DateTime>,
    pub patient: String,
    pub recording: String,
    /// Bytes of the whole header.
    pub bytes: u64,
    /// `None` where it is left open.
    pub records: Option<u64>,
    pub record_seconds: f64,
    pub record_bytes: u64,
    pub channels: Vec<Channel>,
    /// Number of each channel in the file, from 1: those without samples are left out.
    pub positions: Vec<usize>,
}

fn version(path: &Path, start: &[u8]) -> Result<(String, f64)> {
    let text = start
        .get(..8)
        .and_then(|b| b.strip_prefix(b"GDF "))
        .and_then(|b| std::str::from_utf8(b).ok())
        .map(|t| t.trim_matches(['\0', ' ']));
    let number = text.and_then(|t| t.parse::<f64>().ok());
    match (text, number) {
        (Some(text), Some(v)) if (1.0..3.0).contains(&v) => Ok((format!("GDF {text}"), v)),
        (Some(text), _) => Err(Error::file(
            path,
            "byte 4, version",
            format!("is {text:?}; 1.x and 2.x are read"),
            "convert the file to GDF 2",
        )),
        _ => Err(Error::file(
            path,
            "byte 0, version",
            "does not start like a GDF file",
            "check the format of the file, or fetch it again",
        )),
    }
}

/// Bytes of the whole header, from its first 256 bytes.
pub(super) fn length(path: &Path, start: &[u8]) -> Result<usize> {
    let (_, version) = version(path, start)?;
    let mut f = Fields::new(path, start);
    f.take(184, "header")?;
    let claimed = match version < 1.9 {
        true => u64::from_le_bytes(f.word("number of header bytes")?),
        false => u64::from(u16::from_le_bytes(f.word("number of header blocks")?)) * FIXED as u64,
    };
    let n = channels(version, path, start)?;
    let least = (FIXED as u64) * (n as u64 + 1);
    usize::try_from(claimed)
        .ok()
        .filter(|_| claimed >= least)
        .ok_or_else(|| {
            Error::file(
                path,
                "byte 184, length of the header",
                format!("is {claimed} bytes, but {n} channels need {least}"),
                DAMAGED,
            )
        })
}

fn channels(version: f64, path: &Path, start: &[u8]) -> Result<usize> {
    let mut f = Fields::new(path, start);
    f.take(252, "header")?;
    let n = match version < 1.9 {
        true => u32::from_le_bytes(f.word("number of channels")?),
        false => u32::from(u16::from_le_bytes(f.word("number of channels")?)),
    };
    if n == 0 {
        return Err(f.wrong(4, "number of channels", "is 0"));
    }
    Ok(n as usize)
}

/// The type of numbers with this code.
fn sample_type(code: u32) -> std::result::Result<SampleType, &'static str> {
    Ok(match code {
        1 => SampleType::I8,
        2 => SampleType::U8,
        3 => SampleType::I16,
        4 => SampleType::U16,
        5 => SampleType::I32,
        6 => SampleType::U32,
        7 => SampleType::I64,
        8 => SampleType::U64,
        16 => SampleType::F32,
        17 => SampleType::F64,
        // 255 + n and 511 + n: integers of n bits.
        279 => SampleType::I24,
        535 => SampleType::U24,
        0 => return Err("text"),
        18 => return Err("floats of 128 bits"),
        256..=767 => return Err("integers of an unusual number of bits"),
        _ => return Err("an unknown type"),
    })
}

impl Header {
    /// Reads all of it from `bytes`, which [`length`] has measured.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let (format, version) = version(path, bytes)?;
        let first = version < 1.9;
        let n = channels(version, path, bytes)?;
        let mut f = Fields::new(path, bytes);
        f.take(8, "version")?;
        let (patient, recording, start);
        if first {
            patient = f.text(80, "patient")?;
            recording = f.text(80, "recording")?;
            start = start_of_text(&f.text(16, "start")?);
            f.take(52, "header")?;
        } else {
            patient = f.text(66, "patient")?;
            f.take(14, "header")?;
            recording = f.text(64, "recording")?;
            f.take(16, "location")?;
            start = start_of_days(u64::from_le_bytes(f.word("start")?));
            f.take(60, "header")?;
        }
        let records = match i64::from_le_bytes(f.word("number of records")?) {
            -1 => None,
            r => Some(
                u64::try_from(r).map_err(|_| f.wrong(8, "number of records", format!("is {r}")))?,
            ),
        };
        let duration: [u8; 8] = f.word("duration of a record")?;
        let record_seconds = if version < 2.21 {
            let [a, b, c, d, e, g, h, i] = duration;
            let numerator = u32::from_le_bytes([a, b, c, d]);
            f64::from(numerator) / f64::from(u32::from_le_bytes([e, g, h, i]))
        } else {
            f64::from_le_bytes(duration)
        };
        if !(record_seconds.is_finite() && record_seconds > 0.0) {
            return Err(f.wrong(
                8,
                "duration of a record",
                format!("is {record_seconds} s, which gives no sampling rate"),
            ));
        }
        f.take(4, "number of channels")?;
        let raw = Raw::parse(&mut f, n, first)?;

        let mut kinds = Vec::with_capacity(n);
        for i in 0..n {
            let samples = raw.samples[i] as usize;
            // A channel without samples only has events, and its type does not matter.
            let kind = match sample_type(raw.kinds[i]) {
                Err(_) if samples == 0 => SampleType::U8,
                other => other.map_err(|what| {
                    Error::file(
                        path,
                        format!("channel {}", raw.labels[i]),
                        format!("holds {what} (type {}), which is not read", raw.kinds[i]),
                        "convert the file to another type of numbers",
                    )
                })?,
            };
            kinds.push((kind, samples));
        }
        let (at, record_bytes) = record_layout(path, &kinds)?;
        let mut channels = Vec::new();
        let mut positions = Vec::new();
        for (i, (kind, samples)) in kinds.into_iter().enumerate() {
            if samples == 0 {
                continue;
            }
            let range = raw.ranges[i];
            let (gain, offset) = range.linear().unwrap_or((1.0, 0.0));
            positions.push(i + 1);
            channels.push(Channel {
                label: raw.labels[i].clone(),
                unit: raw.units[i].clone(),
                rate: samples as f64 / record_seconds,
                samples: 0,
                transducer: raw.transducers[i].clone(),
                prefilter: raw.prefilters[i].clone(),
                range,
                layout: Layout {
                    kind,
                    samples,
                    at: at[i],
                    gain,
                    offset,
                },
            });
        }
        Ok(Self {
            format,
            version,
            start,
            patient,
            recording,
            bytes: length(path, bytes)? as u64,
            records,
            record_seconds,
            record_bytes,
            channels,
            positions,
        })
    }
}

/// The part about the channels.
struct Raw {
    labels: Vec<String>,
    transducers: Vec<String>,
    units: Vec<String>,
    ranges: Vec<Scale>,
    prefilters: Vec<String>,
    samples: Vec<u32>,
    kinds: Vec<u32>,
}

impl Raw {
    fn parse(f: &mut Fields<'_>, n: usize, first: bool) -> Result<Self> {
        let labels = f.each(n, |f| f.text(16, "label"))?;
        let transducers = f.each(n, |f| f.text(80, "transducer"))?;
        let units = if first {
            f.each(n, |f| f.text(8, "unit"))?
        } else {
            let written = f.each(n, |f| f.text(6, "unit"))?;
            let codes = f.each(n, |f| Ok(u16::from_le_bytes(f.word("unit code")?)))?;
            let pairs = codes.into_iter().zip(written);
            pairs.map(|(code, text)| unit(code, text)).collect()
        };
        let double = |f: &mut Fields<'_>, name| -> Result<Vec<f64>> {
            f.each(n, |f| Ok(f64::from_le_bytes(f.word(name)?)))
        };
        let digital = |f: &mut Fields<'_>, name| -> Result<Vec<f64>> {
            f.each(n, |f| {
                let word = f.word(name)?;
                Ok(match first {
                    true => i64::from_le_bytes(word) as f64,
                    false => f64::from_le_bytes(word),
                })
            })
        };
        let physical_min = double(f, "physical minimum")?;
        let physical_max = double(f, "physical maximum")?;
        let digital_min = digital(f, "digital minimum")?;
        let digital_max = digital(f, "digital maximum")?;
        let ranges = (0..n)
            .map(|i| Scale {
                digital_min: digital_min[i],
                digital_max: digital_max[i],
                physical_min: physical_min[i],
                physical_max: physical_max[i],
            })
            .collect();
        let prefilters = if first {
            f.each(n, |f| f.text(80, "prefilter"))?
        } else {
            f.take(n.saturating_mul(68), "prefilter")?;
            let float = |f: &mut Fields<'_>, name| -> Result<Vec<f32>> {
                f.each(n, |f| Ok(f32::from_le_bytes(f.word(name)?)))
            };
            let low = float(f, "lowpass")?;
            let high = float(f, "highpass")?;
            let notch = float(f, "notch")?;
            (0..n)
                .map(|i| prefilter(low[i], high[i], notch[i]))
                .collect()
        };
        let whole = |f: &mut Fields<'_>, name| -> Result<Vec<u32>> {
            f.each(n, |f| Ok(u32::from_le_bytes(f.word(name)?)))
        };
        Ok(Self {
            labels,
            transducers,
            units,
            ranges,
            prefilters,
            samples: whole(f, "samples per record")?,
            kinds: whole(f, "type of numbers")?,
        })
    }
}

/// Filter edges in hertz in the words of EDF; those that are not known are left out.
fn prefilter(low: f32, high: f32, notch: f32) -> String {
    [("HP", high), ("LP", low), ("N", notch)]
        .iter()
        .filter(|(_, f)| f.is_finite() && *f >= 0.0)
        .map(|(name, f)| format!("{name}:{f}Hz"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The unit with a code of ISO/IEEE 11073-10101: a base in steps of 32, and a decimal prefix.
/// `written` is what older files say in words, for all but voltages, resistances and ratios.
fn unit(code: u16, written: String) -> String {
    let base = match code & !31 {
        512 => "",
        544 => "%",
        4256 => "V",
        4288 => "Ohm",
        _ if written.is_empty() && code != 0 => return format!("unit {code}"),
        _ => return written,
    };
    let prefix = match code & 31 {
        0 => "",
        3 => "k",
        4 => "M",
        18 => "m",
        19 => "u",
        20 => "n",
        _ => return format!("unit {code}"),
    };
    format!("{prefix}{base}")
}

/// `YYYYMMDDhhmmsscc`, of version 1.
fn start_of_text(text: &str) -> Option<DateTime> {
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = text.get(from..to).filter(|t| !t.trim().is_empty());
        digits.map_or(Some(0), |t| t.trim().parse().ok())
    };
    let small = |from: usize| number(from, from + 2).and_then(|v| i8::try_from(v).ok());
    let date = Date::new(number(0, 4)?, small(4)?, small(6)?).ok()?;
    let hundredths = i32::from(small(14).unwrap_or(0));
    let nanoseconds = hundredths.checked_mul(10_000_000)?;
    let time = Time::new(small(8)?, small(10)?, small(12)?, nanoseconds).ok()?;
    Some(DateTime::from_parts(date, time))
}

/// Days since the start of the year 0 (day 1), in steps of 2⁻³² days, of version 2.
fn start_of_days(fixed: u64) -> Option<DateTime> {
    // Day number of 1970-01-01.
    const EPOCH: i64 = 719_529;
    let days = i64::try_from(fixed >> 32).ok()?.checked_sub(EPOCH)?;
    if fixed == 0 || !(-EPOCH..4_000_000).contains(&days) {
        return None;
    }
    // The fraction times the seconds of a day, rounded to milliseconds: one step is 20 µs.
    let milliseconds = ((fixed & 0xffff_ffff) * 86_400_000 + (1 << 31)) >> 32;
    let span = jiff::Span::new()
        .try_days(days)
        .ok()?
        .try_milliseconds(i64::try_from(milliseconds).ok()?)
        .ok()?;
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .checked_add(span)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_codes_and_words() {
        for (code, written, text) in [
            (4275, "", "uV"),
            (4274, "x", "mV"),
            (4256, "", "V"),
            (4276, "", "nV"),
            (4291, "", "kOhm"),
            (512, "", ""),
            (0, "", ""),
            (0, "mmHg", "mmHg"),
            (9999, "", "unit 9999"),
            (9999, "T", "T"),
            (4287, "", "unit 4287"),
        ] {
            assert_eq!(unit(code, written.into()), text, "{code}");
        }
    }

    #[test]
    fn starts_of_both_versions() {
        let text = |s: Option<DateTime>| s.map(|s| s.to_string());
        let of = |s: &str| Some(s.to_string());
        assert_eq!(
            text(start_of_text("2012071115252350")),
            of("2012-07-11T15:25:23.5")
        );
        assert_eq!(
            text(start_of_text("20120711152523")),
            of("2012-07-11T15:25:23")
        );
        assert_eq!(start_of_text("20121311152523  "), None);
        assert_eq!(start_of_text(""), None);
        // MATLAB: datenum(2000, 1, 1, 18, 0, 0) is 730486.75.
        let days = (730_486u64 << 32) + (3 << 30);
        assert_eq!(text(start_of_days(days)), of("2000-01-01T18:00:00"));
        for fixed in [0, 1, u64::MAX] {
            assert!(
                start_of_days(fixed).is_none_or(|d| d.year() < 100),
                "{fixed}"
            );
        }
    }

    #[test]
    fn types_that_are_not_read_say_so() {
        for code in [0, 9, 18, 267, 999] {
            assert!(sample_type(code).is_err(), "{code}");
        }
    }
}
