//! The header: 256 bytes of the file, and 256 of each channel, field by field.

use std::ops::Range;
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
    pub start: Option<DateTime>,
    pub patient: String,
    pub recording: String,
    /// Bytes of the whole header.
    pub bytes: u64,
    /// `None` where it is left open.
    pub records: Option<u64>,
    pub record_seconds: f64,
    pub record_bytes: u64,
    pub discontinuous: bool,
    pub channels: Vec<Channel>,
    /// Bytes of a record that hold annotations.
    pub annotations: Vec<Range<u64>>,
}

fn is_bdf(path: &Path, start: &[u8]) -> Result<bool> {
    match start.get(..8) {
        Some(b"0       ") => Ok(false),
        Some(b"\xffBIOSEMI") => Ok(true),
        _ => Err(Error::file(
            path,
            "byte 0, version",
            "starts neither like an EDF nor like a BDF file",
            "check the format of the file, or fetch it again",
        )),
    }
}

/// Bytes of the whole header, from its first 256 bytes.
pub(super) fn length(path: &Path, start: &[u8]) -> Result<usize> {
    is_bdf(path, start)?;
    let mut fields = Fields::new(path, start);
    fields.take(184, "header")?;
    let claimed = fields.whole(8, "number of header bytes")?;
    let mut fields = Fields::new(path, start);
    fields.take(252, "header")?;
    let channels = fields.whole(4, "number of channels")?;
    let channels = usize::try_from(channels)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| fields.wrong(4, "number of channels", format!("is {channels}")))?;
    let expected = FIXED * (channels + 1);
    if usize::try_from(claimed) != Ok(expected) {
        return Err(Error::file(
            path,
            "byte 184, number of header bytes",
            format!("is {claimed}, but {channels} channels make {expected}"),
            DAMAGED,
        ));
    }
    Ok(expected)
}

impl Header {
    /// Reads all of it from `bytes`, which [`length`] has measured.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let bdf = is_bdf(path, bytes)?;
        let (family, kind) = match bdf {
            true => ("BDF", SampleType::I24),
            false => ("EDF", SampleType::I16),
        };
        let mut f = Fields::new(path, bytes);
        f.take(8, "version")?;
        let patient = f.text(80, "patient")?;
        let recording = f.text(80, "recording")?;
        let date = f.text(8, "start date")?;
        let time = f.text(8, "start time")?;
        f.take(8, "number of header bytes")?;
        let reserved = f.text(44, "reserved")?;
        let records = match f.whole(8, "number of records")? {
            -1 => None,
            n => Some(
                u64::try_from(n).map_err(|_| f.wrong(8, "number of records", format!("is {n}")))?,
            ),
        };
        let record_seconds = f.number(8, "duration of a record")?;
        let n = usize::try_from(f.whole(4, "number of channels")?).unwrap_or(0);

        let labels = f.each(n, |f| f.text(16, "label"))?;
        let transducers = f.each(n, |f| f.text(80, "transducer"))?;
        let units = f.each(n, |f| f.text(8, "unit"))?;
        // Numbers of annotation channels mean nothing and are sometimes left out.
        let holds_text: Vec<bool> = labels
            .iter()
            .map(|l| l == "EDF Annotations" || l == "BDF Annotations")
            .collect();
        let mut numbers = |name: &str| {
            let mut texts = holds_text.iter();
            f.each(n, |f| match texts.next() {
                Some(true) => f.take(8, name).map(|_| 0.0),
                _ => f.number(8, name),
            })
        };
        let physical_min = numbers("physical minimum")?;
        let physical_max = numbers("physical maximum")?;
        let digital_min = numbers("digital minimum")?;
        let digital_max = numbers("digital maximum")?;
        let prefilters = f.each(n, |f| f.text(80, "prefilter"))?;
        let samples = f.each(n, |f| {
            let count = f.whole(8, "samples per record")?;
            usize::try_from(count)
                .map_err(|_| f.wrong(8, "samples per record", format!("is {count}")))
        })?;

        let kinds: Vec<_> = samples.iter().map(|s| (kind, *s)).collect();
        let (at, record_bytes) = record_layout(path, &kinds)?;
        let any = (0..n).any(|i| !holds_text[i] && samples[i] > 0);
        if record_seconds < 0.0 || (any && record_seconds == 0.0) {
            return Err(Error::file(
                path,
                "byte 244, duration of a record",
                format!("is {record_seconds} s, which gives no sampling rate"),
                DAMAGED,
            ));
        }
        let mut channels = Vec::new();
        let mut annotations = Vec::new();
        for i in 0..n {
            let width = (samples[i] * kind.bytes()) as u64;
            if holds_text[i] {
                annotations.push(at[i]..at[i] + width);
                continue;
            }
            let range = Scale {
                digital_min: digital_min[i],
                digital_max: digital_max[i],
                physical_min: physical_min[i],
                physical_max: physical_max[i],
            };
            let (gain, offset) = range.linear().unwrap_or((1.0, 0.0));
            channels.push(Channel {
                label: labels[i].clone(),
                unit: units[i].clone(),
                rate: match samples[i] {
                    0 => 0.0,
                    s => s as f64 / record_seconds,
                },
                samples: 0,
                transducer: transducers[i].clone(),
                prefilter: prefilters[i].clone(),
                range,
                layout: Layout {
                    kind,
                    samples: samples[i],
                    at: at[i],
                    gain,
                    offset,
                },
            });
        }
        let variant = match reserved.get(..5) {
            Some("EDF+C" | "BDF+C") => "+C",
            Some("EDF+D" | "BDF+D") => "+D",
            _ => "",
        };
        if variant == "+D" && annotations.is_empty() {
            return Err(Error::file(
                path,
                "byte 192, reserved",
                format!("says {reserved}, but there are no annotations with start times"),
                DAMAGED,
            ));
        }
        Ok(Self {
            format: format!("{family}{variant}"),
            start: start(&date, &time, &recording),
            patient,
            recording,
            bytes: (FIXED * (n + 1)) as u64,
            records,
            record_seconds,
            record_bytes,
            discontinuous: variant == "+D",
            channels,
            annotations,
        })
    }

    /// The highest sampling rate.
    pub fn fastest(&self) -> f64 {
        self.channels.iter().map(|c| c.rate).fold(1.0, f64::max)
    }
}

/// `dd.mm.yy` and `hh.mm.ss`; the years run from 1985 to 2084. Where the recording field starts
/// with the date of EDF+ (`Startdate 02-MAR-2002`), that one counts, for it has the century.
fn start(date: &str, time: &str, recording: &str) -> Option<DateTime> {
    let three = |text: &str| -> Option<[i16; 3]> {
        let parts: Vec<i16> = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|p| p.parse().ok())
            .collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let [hour, minute, second] = three(time)?;
    let small = |v: i16| i8::try_from(v).ok();
    let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    let long = || {
        let text = recording.strip_prefix("Startdate ")?.split(' ').next()?;
        let mut parts = text.split('-');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        const MONTHS: [&str; 12] = [
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ];
        let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
        Date::new(year.parse().ok()?, month as i8 + 1, day.parse().ok()?).ok()
    };
    let short = || {
        let [day, month, year] = three(date)?;
        let century = if year >= 85 { 1900 } else { 2000 };
        let year = Some(year).filter(|y| (0..100).contains(y))? + century;
        Date::new(year, small(month)?, small(day)?).ok()
    };
    Some(DateTime::from_parts(long().or_else(short)?, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_with_and_without_a_century() {
        let text = |d: &str, t: &str, r: &str| start(d, t, r).map(|s| s.to_string());
        let of = |s: &str| Some(s.to_string());
        assert_eq!(text("16.09.87", "20.35.00", ""), of("1987-09-16T20:35:00"));
        assert_eq!(text("16.09.84", "20.35.59", ""), of("2084-09-16T20:35:59"));
        assert_eq!(
            text("02.03.yy", "01.02.03", "Startdate 02-MAR-2102 x"),
            of("2102-03-02T01:02:03")
        );
        assert_eq!(
            text("01.01.11", "00:00:58", "Startdate X"),
            of("2011-01-01T00:00:58")
        );
        for (date, time) in [
            ("31.02.10", "00.00.00"),
            ("01.01.10", "24.00.00"),
            ("x", "y"),
        ] {
            assert_eq!(
                text(date, time, "Startdate 40-JAN-2000"),
                None,
                "{date} {time}"
            );
        }
    }
}
