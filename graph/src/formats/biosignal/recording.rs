//! From a file to [`Recording`]s: which channels, what to do about different sampling rates and
//! about breaks, and which annotation means which class.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Segment, SignalFile, Source, list, microvolts};
use crate::electrodes::normalise_channel_name;
use crate::signal::resample::{ResampleMethod, resample};
use crate::{Error, Labels, Recording, Result};

/// How many times as many samples resampling may make of those in the file.
const MOST_GROWTH: u64 = 8;

/// What to do when the chosen channels differ in sampling rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedRates {
    /// Refuse the file.
    #[default]
    Error,
    /// Keep the channels of the most common rate, of several equally common ones the highest.
    MostCommon,
    /// Bring the other channels to that rate, with [`resample`].
    Resample,
}

/// What to do about breaks of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaks {
    /// Refuse the file.
    #[default]
    Error,
    /// Make a recording of each stretch between breaks.
    Split,
}

/// Classes of annotations: each time step takes that of the annotation it lies in, of several
/// ones that with the latest onset. An annotation without a duration lasts until the next one
/// that has a class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Labelling {
    /// Class of each text (of GDF: event code in decimal). Other annotations are ignored.
    pub classes: BTreeMap<String, usize>,
    /// Class of the time in no such annotation; `None`: such time is an error.
    pub otherwise: Option<usize>,
}

/// How a file becomes [`Recording`]s.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingOptions {
    /// Channels in order, by name (see [`SignalFile::find`]); empty: all of the file.
    pub channels: Vec<String>,
    /// Only from start to end, seconds after the start of the file.
    pub seconds: Option<[f64; 2]>,
    /// What to do about different sampling rates.
    pub mixed_rates: MixedRates,
    /// What to do about breaks.
    pub breaks: Breaks,
    /// Classes of annotations; `None`: no labels.
    pub labels: Option<Labelling>,
}

/// A stretch of a file whose samples have not been read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    /// Its time steps.
    pub steps: usize,
    chosen: Vec<usize>,
    /// Its first sample in the file.
    first: u64,
    rate: f64,
}

impl RecordingOptions {
    fn range(&self) -> [f64; 2] {
        let all = [f64::NEG_INFINITY, f64::INFINITY];
        self.seconds.unwrap_or(all)
    }
}

impl<S: Source> SignalFile<S> {
    /// Makes recordings of the file: names of the sensors, and one recording for each stretch
    /// without a break. Signals are (channels, time, 1); voltages are in microvolts whatever
    /// their unit in the file, other channels in their unit.
    ///
    /// Sensors are named as in `options.channels`; without these in the one spelling of their
    /// label ([`normalise_channel_name`]), or as in the file where that is not unique.
    ///
    /// # Errors
    /// [`Error::File`] when a channel is missing, sampling rates differ or there are breaks and
    /// `options` do not accept it, no signal is left, or a time step has no class. As
    /// [`SignalFile::read`] otherwise.
    pub fn recordings(&self, options: &RecordingOptions) -> Result<(Vec<String>, Vec<Recording>)> {
        self.recordings_with(options, true)
    }

    /// [`recordings`](Self::recordings), with their signals or, where these need not be read for
    /// what is asked, with signals of no time step.
    pub(crate) fn recordings_with(
        &self,
        options: &RecordingOptions,
        signals: bool,
    ) -> Result<(Vec<String>, Vec<Recording>)> {
        let (sensors, chosen, rate) = self.select(options)?;
        // Other rates are brought to the common one, which makes samples.
        let signals = signals || self.one_rate(&chosen).is_err();
        let parts = self.unbroken(options)?;
        let recordings = parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                let number = (parts.len() > 1).then_some(i);
                let (mut recording, time) = match signals {
                    true => {
                        let recording = self.recording(&chosen, part, rate, number)?;
                        let time = recording.signal.len_of(Axis(1));
                        (recording, time)
                    }
                    false => {
                        let signal = Array2::zeros((chosen.len(), 0));
                        let samples = self.samples(&chosen, part)?;
                        let time = (samples.end - samples.start) as usize;
                        (self.named_recording(signal, rate, number), time)
                    }
                };
                if let Some(labels) = &options.labels {
                    recording.labels = Labels::PerStep(self.label_steps(labels, part, rate, time)?);
                }
                Ok(recording)
            })
            .collect::<Result<_>>()?;
        Ok((sensors, recordings))
    }

    /// Stretches without a break inside the time that is asked for, and how to read some of the time
    /// steps of each, as [`recordings`](Self::recordings) does; `None` where channels differ in
    /// rate.
    ///
    /// # Errors
    /// As [`recordings`](Self::recordings).
    pub(crate) fn stretches(&self, options: &RecordingOptions) -> Result<Option<Vec<Unread>>> {
        let (_, chosen, rate) = self.select(options)?;
        if self.one_rate(&chosen).is_err() {
            return Ok(None);
        }
        let parts = self.unbroken(options)?.into_iter().map(|part| {
            let samples = self.samples(&chosen, &part)?;
            Ok(Unread {
                steps: (samples.end - samples.start) as usize,
                chosen: chosen.clone(),
                first: samples.start,
                rate,
            })
        });
        parts.collect::<Result<_>>().map(Some)
    }

    /// Some time steps of a stretch, (channels, time, 1).
    ///
    /// # Errors
    /// As [`read_array`](Self::read_array).
    pub(crate) fn read_steps(&self, of: &Unread, steps: Range<usize>) -> Result<Array3<f32>> {
        // Of whole samples, so that rounding finds them again.
        let seconds = |samples: u64| samples as f64 / of.rate;
        let stored = seconds(of.first + steps.start as u64);
        let part = Segment {
            start: stored,
            stored,
            seconds: seconds(steps.len() as u64),
        };
        Ok(self.recording(&of.chosen, &part, of.rate, None)?.signal)
    }

    /// Samples of a part of channels of one rate.
    fn samples(&self, chosen: &[usize], part: &Segment) -> Result<Range<u64>> {
        let (_, wanted) = self.places(chosen, part)?;
        Ok(wanted.into_iter().next().unwrap_or(0..0))
    }

    /// The parts that make recordings.
    fn unbroken(&self, options: &RecordingOptions) -> Result<Vec<Segment>> {
        let [from, to] = options.range();
        let parts = self.between(from, to);
        if parts.is_empty() {
            return Err(Error::file(
                &self.path,
                "signal",
                format!(
                    "nothing of {} s is between {from} and {to} s",
                    self.seconds()
                ),
                "choose another time",
            ));
        }
        if parts.len() > 1 && options.breaks == Breaks::Error {
            let gaps: Vec<_> = self.gaps();
            let inside: Vec<_> = gaps.iter().filter(|g| g.at >= from && g.at < to).collect();
            let told = inside.iter().take(3).map(|g| match g.seconds {
                Some(s) => format!("{s} s at {} s", g.at),
                None => format!("one of unknown length at {} s", g.at),
            });
            return Err(Error::file(
                &self.path,
                "records",
                format!(
                    "the recording has {} breaks: {}{}",
                    inside.len(),
                    told.collect::<Vec<_>>().join(", "),
                    if inside.len() > 3 { ", ..." } else { "" }
                ),
                "accept breaks to split the recording there, or choose a time between them",
            ));
        }
        Ok(parts)
    }

    /// Makes trials of the file: names of the sensors, and one recording for each annotation that
    /// has a class in `classes`, of the signal from `seconds[0]` to `seconds[1]` after its onset.
    /// Channels are those of [`recordings`](Self::recordings); of `options`, `breaks` and `labels`
    /// do not matter, and `seconds` chooses annotations by their onset.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such annotation, or a trial is not inside the signal or
    /// has a break in it. As [`recordings`](Self::recordings) for channels.
    pub fn trials(
        &self,
        options: &RecordingOptions,
        classes: &BTreeMap<String, usize>,
        seconds: [f64; 2],
    ) -> Result<(Vec<String>, Vec<Recording>)> {
        let (sensors, chosen, rate) = self.select(options)?;
        let [from, to] = options.range();
        let mut recordings = Vec::new();
        for annotation in &self.annotations {
            let Some(class) = classes.get(&annotation.text) else {
                continue;
            };
            if !(annotation.onset >= from && annotation.onset < to) {
                continue;
            }
            let [start, end] = seconds.map(|s| annotation.onset + s);
            let parts = self.between(start, end);
            // Within half a sample, as far as positions are rounded.
            let whole = |p: &&Segment| ((end - start) - p.seconds) * rate < 0.5;
            let Some(part) = parts.first().filter(whole) else {
                return Err(Error::file(
                    &self.path,
                    format!("annotation {} at {} s", annotation.text, annotation.onset),
                    format!("its trial, {start} to {end} s, is not inside the signal"),
                    "choose a shorter trial, or another part of the file",
                ));
            };
            let number = Some(recordings.len());
            recordings.push(Recording {
                labels: Labels::Whole(*class),
                ..self.recording(&chosen, part, rate, number)?
            });
        }
        if recordings.is_empty() {
            let known = classes.keys().map(String::as_str);
            return Err(self.no_annotation(format!("none is one of {}", list(known))));
        }
        Ok((sensors, recordings))
    }

    /// Names, indices and common rate of the channels that `options` chooses.
    fn select(&self, options: &RecordingOptions) -> Result<(Vec<String>, Vec<usize>, f64)> {
        let (mut sensors, mut chosen) = match options.channels.is_empty() {
            true => (self.sensor_names(), (0..self.channels.len()).collect()),
            false => (options.channels.clone(), self.find(&options.channels)?),
        };
        if options.mixed_rates == MixedRates::MostCommon {
            let keep = self.most_common(&chosen);
            let dropped = |i: &usize| self.channels[*i].samples != keep;
            if chosen.iter().any(&dropped) {
                let names = chosen.iter().filter(|i| dropped(i));
                log::warn!(
                    "{}: left out for their sampling rate: {}",
                    self.path.display(),
                    list(names.map(|i| self.channels[*i].label.as_str()))
                );
            }
            let mut flags = chosen.iter().map(|i| !dropped(i));
            sensors.retain(|_| flags.next().unwrap_or(false));
            chosen.retain(|i| !dropped(i));
        }
        let rate = match options.mixed_rates {
            MixedRates::Resample => self.rate_of_most(&chosen)?,
            _ => self.one_rate(&chosen)?,
        };
        let rate = rate.filter(|r| *r > 0.0).ok_or_else(|| {
            Error::file(
                &self.path,
                "channels",
                "there are none with samples",
                "choose other channels",
            )
        })?;
        Ok((sensors, chosen, rate))
    }

    /// The most common rate, to which others are to be brought.
    fn rate_of_most(&self, chosen: &[usize]) -> Result<Option<f64>> {
        let most = self.most_common(chosen);
        let stored: u64 = chosen.iter().map(|i| self.channels[*i].samples).sum();
        // A few slow channels among many fast ones add little; a file made to fill the memory does.
        if (chosen.len() as u64).saturating_mul(most) > MOST_GROWTH.saturating_mul(stored) {
            return Err(Error::file(
                &self.path,
                "channels",
                format!("{stored} samples would become more than {MOST_GROWTH} times as many"),
                "leave slow channels out",
            ));
        }
        let at = chosen.iter().find(|i| self.channels[**i].samples == most);
        Ok(at.map(|i| self.channels[*i].rate))
    }

    /// Samples of a part at one rate, (channels, time).
    fn at_rate(&self, chosen: &[usize], part: &Segment, rate: f64) -> Result<Array2<f32>> {
        if self.one_rate(chosen).is_ok() {
            return self.read_array(chosen, part);
        }
        let mut rows = self.read(chosen, part)?;
        rows.par_iter_mut().zip(chosen).try_for_each(|(row, i)| {
            let channel = &self.channels[*i];
            if channel.rate == rate || row.is_empty() {
                return Ok(());
            }
            let signal = Array2::from_shape_vec((1, row.len()), std::mem::take(row));
            let signal = signal.unwrap_or_default();
            let resampled = resample(signal.view(), channel.rate, rate, ResampleMethod::Polyphase)
                .map_err(|e| {
                    let field = format!("channel {}", channel.label);
                    Error::file(&self.path, field, e.to_string(), "leave the channel out")
                })?;
            *row = resampled.into_iter().collect();
            Ok::<(), Error>(())
        })?;
        // Rounding may make a sample more.
        let time = rows.iter().map(Vec::len).min().unwrap_or(0);
        Ok(Array2::from_shape_fn((rows.len(), time), |(v, t)| {
            rows[v][t]
        }))
    }

    /// One recording of a part, voltages in microvolts.
    fn recording(
        &self,
        chosen: &[usize],
        part: &Segment,
        rate: f64,
        number: Option<usize>,
    ) -> Result<Recording> {
        let mut signal = self.at_rate(chosen, part, rate)?;
        for (mut row, channel) in signal.rows_mut().into_iter().zip(chosen) {
            let unit = &self.channels[*channel].unit;
            if let Some(factor) = microvolts(unit).filter(|f| *f != 1.0) {
                row.mapv_inplace(|v| (f64::from(v) * factor) as f32);
            }
        }
        Ok(self.named_recording(signal, rate, number))
    }

    /// A recording of (channels, time) and the name of its file.
    fn named_recording(&self, signal: Array2<f32>, rate: f64, number: Option<usize>) -> Recording {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        Recording {
            name: match number {
                None => stem.into_owned(),
                Some(i) => format!("{stem}/{i}"),
            },
            signal: signal.insert_axis(Axis(2)),
            mask: None,
            sampling_rate: Some(rate),
            labels: Labels::None,
            subject: None,
            session: None,
            part: None,
        }
    }

    fn sensor_names(&self) -> Vec<String> {
        let spelled: Vec<String> = self
            .channels
            .iter()
            .map(|c| normalise_channel_name(&c.label))
            .collect();
        let unique = |name: &String| spelled.iter().filter(|n| *n == name).count() == 1;
        spelled
            .iter()
            .zip(&self.channels)
            .map(|(name, c)| match unique(name) {
                true => name.clone(),
                false => c.label.clone(),
            })
            .collect()
    }

    /// Number of samples of the most common rate among channels.
    fn most_common(&self, chosen: &[usize]) -> u64 {
        let mut counts = BTreeMap::new();
        for i in chosen {
            *counts.entry(self.channels[*i].samples).or_insert(0usize) += 1;
        }
        let most = counts.into_iter().max_by_key(|(samples, n)| (*n, *samples));
        most.map_or(0, |(samples, _)| samples)
    }

    /// Class of each of the `n` time steps of a part.
    fn label_steps(
        &self,
        labelling: &Labelling,
        part: &Segment,
        rate: f64,
        n: usize,
    ) -> Result<Vec<usize>> {
        let known: Vec<_> = self
            .annotations
            .iter()
            .filter_map(|a| Some((a, *labelling.classes.get(&a.text)?)))
            .collect();
        let step = |seconds: f64| {
            let step = ((seconds - part.start) * rate).round();
            // The cast saturates below 0.
            (step as usize).min(n)
        };
        let mut steps = vec![labelling.otherwise; n];
        for (i, (annotation, class)) in known.iter().enumerate() {
            let end = match annotation.duration {
                Some(d) => step(annotation.onset + d),
                None => known.get(i + 1).map_or(n, |(next, _)| step(next.onset)),
            };
            let start = step(annotation.onset);
            if start < end {
                steps[start..end].fill(Some(*class));
            }
        }
        let missing = steps.iter().position(Option::is_none);
        let labels: Option<Vec<usize>> = steps.into_iter().collect();
        labels.ok_or_else(|| {
            let at = part.start + missing.unwrap_or(0) as f64 / rate;
            self.no_annotation(format!("none that has a class covers {at} s"))
        })
    }

    fn no_annotation(&self, problem: String) -> Error {
        let mut texts: Vec<&str> = self.annotations.iter().map(|a| a.text.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        Error::file(
            &self.path,
            "annotations",
            format!("{problem}; present: {}", list(texts.into_iter())),
            "give classes to these texts, or a class for the time outside",
        )
    }
}
