//! What EDF, BDF and GDF files have in common: channels of their own sampling rate and unit,
//! stored in records of equal duration, annotations, and breaks in the recording.
//!
//! Opening a file reads its header and annotations. Samples are read on demand: of the channels
//! and the time asked for, in parallel, without the rest of the file.
//!
//! ```no_run
//! use tgmamba_graph::formats::edf;
//! let file = edf::open("recording.edf")?;
//! for channel in &file.channels {
//!     println!("{} {} {} Hz", channel.label, channel.unit, channel.rate);
//! }
//! let wanted = file.find(&["Fp1", "Fp2"])?;
//! for part in file.between(10.0, 20.0) {
//!     let signals: Vec<Vec<f32>> = file.read(&wanted, &part)?;
//! }
//! # Ok::<(), tgmamba_graph::Error>(())
//! ```

mod header;
mod recording;
mod records;
mod unit;

use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use ndarray::Array2;

use crate::electrodes::normalise_channel_name;
use crate::{Error, Result};

pub(super) use header::{Fields, head, record_layout};
pub use recording::{Breaks, Labelling, MixedRates, RecordingOptions};
pub(super) use records::{Layout, Records};
pub use records::{SampleType, Source};
pub use unit::{microvolts, same_unit};

pub(super) const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";

/// How strict to be about a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Accept a file that holds fewer or more bytes than its header says, as an interrupted
    /// recording or copy leaves it: complete records are read.
    pub accept_incomplete: bool,
    /// Leave out annotations that cannot be read instead of refusing the file.
    pub accept_damaged_annotations: bool,
}

/// A channel of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Name as in the file, without the blanks around it.
    pub label: String,
    /// Unit of the physical values (`uV`), as in the file.
    pub unit: String,
    /// Samples per second.
    pub rate: f64,
    /// Number of samples in the file.
    pub samples: u64,
    /// Electrode or sensor type, as in the file.
    pub transducer: String,
    /// Filters that were applied when recording, as in the file.
    pub prefilter: String,
    /// Lowest and highest stored value, and the physical values they stand for.
    pub range: Scale,
    pub(super) layout: Layout,
}

/// physical = physical_min + (stored − digital_min) · (physical_max − physical_min) /
/// (digital_max − digital_min).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub digital_min: f64,
    pub digital_max: f64,
    pub physical_min: f64,
    pub physical_max: f64,
}

impl Scale {
    /// Gain and offset: physical = gain · stored + offset. `None` where the range is empty or
    /// not finite, so that there is no scale.
    pub fn linear(&self) -> Option<(f64, f64)> {
        let gain = (self.physical_max - self.physical_min) / (self.digital_max - self.digital_min);
        let offset = self.physical_min - self.digital_min * gain;
        (gain.is_finite() && gain != 0.0 && offset.is_finite()).then_some((gain, offset))
    }
}

/// Something that happened during the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Seconds after the start of the file.
    pub onset: f64,
    /// Seconds; `None` where the file gives none.
    pub duration: Option<f64>,
    /// Text, or the event code of a GDF file in decimal.
    pub text: String,
    /// Channel it belongs to, from 0; `None`: all.
    pub channel: Option<usize>,
}

/// A stretch of signal without a break.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Time of its first sample, seconds after the start of the file.
    pub start: f64,
    /// Duration of the stored signal before it, seconds.
    pub stored: f64,
    /// Its duration, seconds.
    pub seconds: f64,
}

impl Segment {
    /// Time of its end, seconds after the start of the file.
    pub fn end(&self) -> f64 {
        self.start + self.seconds
    }
}

/// A break between two segments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// Time at which the signal stops, seconds after the start of the file.
    pub at: f64,
    /// Seconds until it goes on; `None` where the file tells of a break but not how long it was.
    pub seconds: Option<f64>,
}

/// An open file: what its header and annotations say, and access to its samples.
#[derive(Debug)]
pub struct SignalFile<S> {
    /// Format and variant: `EDF`, `EDF+C`, `EDF+D`, `BDF`, `BDF+C`, `BDF+D`, `GDF 2.20`.
    pub format: String,
    /// Local date and time of the start; `None` where it is left out or made unreadable.
    pub start: Option<DateTime>,
    /// What the file says about the patient.
    pub patient: String,
    /// What the file says about the recording.
    pub recording: String,
    /// Duration of a record, seconds.
    pub record_seconds: f64,
    /// Ordinary channels; those that hold annotations are not among them.
    pub channels: Vec<Channel>,
    /// Annotations in order of onset.
    pub annotations: Vec<Annotation>,
    /// Stretches without a break, in order.
    pub segments: Vec<Segment>,
    pub(super) path: PathBuf,
    pub(super) source: S,
    pub(super) records: Records,
}

impl<S: Source> SignalFile<S> {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Duration of the stored signal, breaks left out, seconds.
    pub fn seconds(&self) -> f64 {
        self.segments.iter().map(|s| s.seconds).sum()
    }

    /// Breaks of the recording.
    pub fn gaps(&self) -> Vec<Gap> {
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        pairs
            .map(|(a, b)| {
                let seconds = b.start - a.end();
                Gap {
                    at: a.end(),
                    // Segments of a known break are farther apart than rounding makes them.
                    seconds: (seconds > 1e-9 * b.start.abs()).then_some(seconds),
                }
            })
            .collect()
    }

    /// Indices of the channels with these names, in this order. A name is compared as it is in
    /// the file first, then in its one spelling, see [`normalise_channel_name`].
    ///
    /// # Errors
    /// [`Error::File`] when a channel is missing (it lists those present), or a name stands for
    /// several of them.
    pub fn find<T: AsRef<str>>(&self, names: &[T]) -> Result<Vec<usize>> {
        let spelled = self.spelled();
        names
            .iter()
            .map(|name| {
                let name = name.as_ref();
                let found = self.named(name, &spelled);
                match found[..] {
                    [one] => Ok(one),
                    [] => Err(Error::file(
                        &self.path,
                        format!("channel {name}"),
                        format!("there is none of this name; present: {}", self.labels()),
                        "correct the name, or leave the channel out",
                    )),
                    _ => Err(Error::file(
                        &self.path,
                        format!("channel {name}"),
                        format!(
                            "{} channels have this name: {}",
                            found.len(),
                            list(found.iter().map(|i| self.channels[*i].label.as_str()))
                        ),
                        "give the name as it is in the file",
                    )),
                }
            })
            .collect()
    }

    /// Those of `names` that stand for no channel.
    pub fn lacking<'n, T: AsRef<str>>(&self, names: &'n [T]) -> Vec<&'n str> {
        let spelled = self.spelled();
        let names = names.iter().map(AsRef::as_ref);
        let missing = |name: &&str| self.named(name, &spelled).is_empty();
        names.filter(missing).collect()
    }

    /// The one spelling of every channel.
    fn spelled(&self) -> Vec<String> {
        let label = |c: &Channel| normalise_channel_name(&c.label);
        self.channels.iter().map(label).collect()
    }

    /// The channels that a name stands for, given the spelling of all.
    fn named(&self, name: &str, spelled: &[String]) -> Vec<usize> {
        let same = normalise_channel_name(name);
        let all = |hit: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..spelled.len()).filter(|i| hit(*i)).collect()
        };
        let found = all(&|i| self.channels[i].label == name.trim());
        match found.is_empty() {
            true => all(&|i| spelled[i].eq_ignore_ascii_case(&same)),
            false => found,
        }
    }

    fn labels(&self) -> String {
        list(self.channels.iter().map(|c| c.label.as_str()))
    }

    /// The stretches of signal between two times, seconds after the start of the file.
    pub fn between(&self, start: f64, end: f64) -> Vec<Segment> {
        self.segments
            .iter()
            .filter_map(|s| {
                let (a, b) = (start.max(s.start), end.min(s.end()));
                (a < b).then_some(Segment {
                    start: a,
                    stored: s.stored + (a - s.start),
                    seconds: b - a,
                })
            })
            .collect()
    }

    /// Samples of channels in their units, one row per channel, from the sample nearest to the
    /// start of `part` on; rows of channels with different rates differ in length.
    ///
    /// # Errors
    /// [`Error::File`] when a channel has no scale, or there is no channel of an index;
    /// [`Error::Io`] when the file cannot be read.
    pub fn read(&self, channels: &[usize], part: &Segment) -> Result<Vec<Vec<f32>>> {
        let (layouts, wanted) = self.places(channels, part)?;
        let length = |w: &Range<u64>| (w.end - w.start) as usize;
        let mut rows: Vec<Vec<f32>> = wanted.iter().map(|w| vec![0.0; length(w)]).collect();
        let places = rows.iter_mut().map(Vec::as_mut_slice).collect();
        self.records
            .read(&self.source, &layouts, &wanted, places)
            .map_err(|e| Error::io(&self.path, e))?;
        Ok(rows)
    }

    /// Samples of channels of one sampling rate in their units, (channels, time).
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Error::File`] when the channels differ in rate.
    pub fn read_array(&self, channels: &[usize], part: &Segment) -> Result<Array2<f32>> {
        self.one_rate(channels)?;
        let (layouts, wanted) = self.places(channels, part)?;
        let time = wanted.first().map_or(0, |w| (w.end - w.start) as usize);
        let mut out = Array2::zeros((channels.len(), time));
        let rows = match out.as_slice_mut() {
            Some(all) if time > 0 => all.chunks_exact_mut(time).collect(),
            _ => return Ok(out),
        };
        self.records
            .read(&self.source, &layouts, &wanted, rows)
            .map_err(|e| Error::io(&self.path, e))?;
        Ok(out)
    }

    /// The common sampling rate of channels; `None` of no channels.
    ///
    /// # Errors
    /// [`Error::File`] naming two channels that differ.
    pub fn one_rate(&self, channels: &[usize]) -> Result<Option<f64>> {
        let mut all = channels.iter().filter_map(|i| self.channels.get(*i));
        let Some(first) = all.next() else {
            return Ok(None);
        };
        match all.find(|c| c.samples != first.samples) {
            None => Ok(Some(first.rate)),
            Some(other) => Err(Error::file(
                &self.path,
                format!("channel {}", other.label),
                format!(
                    "has {} samples per second, channel {} has {}",
                    other.rate, first.label, first.rate
                ),
                "choose channels of one rate, or accept mixed rates and say how to bring them \
                 together",
            )),
        }
    }

    /// Triggers of a channel of event codes, such as `Status` of BDF files: an annotation wherever
    /// the lower 16 bits of the stored value change to another value than 0, with that value in
    /// decimal, until it changes again. A value that is there from the start counts.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn triggers(&self, channel: usize) -> Result<Vec<Annotation>> {
        let mut out: Vec<Annotation> = Vec::new();
        for part in &self.segments {
            let rows = self.read(&[channel], part)?;
            let (Some(row), Some(c)) = (rows.first(), self.channels.get(channel)) else {
                continue;
            };
            let Layout { gain, offset, .. } = c.layout;
            // f32 holds 24 bits, so that scaling back gives the stored number again.
            let code = |v: &f32| ((f64::from(*v) - offset) / gain).round() as i64 & 0xffff;
            let mut start = 0;
            for run in row.chunk_by(|a, b| code(a) == code(b)) {
                let value = run.first().map_or(0, code);
                if value != 0 {
                    out.push(Annotation {
                        onset: part.start + start as f64 / c.rate,
                        duration: Some(run.len() as f64 / c.rate),
                        text: value.to_string(),
                        channel: None,
                    });
                }
                start += run.len();
            }
        }
        Ok(out)
    }

    fn places(&self, channels: &[usize], part: &Segment) -> Result<(Vec<Layout>, Vec<Range<u64>>)> {
        let mut layouts = Vec::with_capacity(channels.len());
        let mut wanted = Vec::with_capacity(channels.len());
        for index in channels {
            let Some(channel) = self.channels.get(*index) else {
                return Err(Error::file(
                    &self.path,
                    format!("channel {index}"),
                    format!("there are {} channels", self.channels.len()),
                    "count channels from 0",
                ));
            };
            if channel.range.linear().is_none() {
                let r = channel.range;
                return Err(Error::file(
                    &self.path,
                    format!("channel {}", channel.label),
                    format!(
                        "stored values {} to {} cannot stand for {} to {} {}",
                        r.digital_min, r.digital_max, r.physical_min, r.physical_max, channel.unit
                    ),
                    "leave the channel out, or correct the four numbers in the header",
                ));
            }
            // Casts saturate, so that any number gives a place inside the file.
            let start = ((part.stored * channel.rate).round() as u64).min(channel.samples);
            let count = (part.seconds * channel.rate).round() as u64;
            wanted.push(start..start.saturating_add(count).min(channel.samples));
            layouts.push(channel.layout);
        }
        Ok((layouts, wanted))
    }
}

/// At most twelve names, for messages.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    match all.len() {
        0 => "none".into(),
        n if n > 12 => format!("{} and {} more", all[..12].join(", "), n - 12),
        _ => all.join(", "),
    }
}
