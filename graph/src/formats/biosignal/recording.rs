//! From a file to [`Recording`]s: which channels, what to do about different sampling rates and
//! about breaks, and which annotation means which class.

use std::collections::BTreeMap;

use ndarray::{Axis, Zip};
use serde::{Deserialize, Serialize};

use super::{Segment, SignalFile, Source, list, microvolts};
use crate::electrodes::normalise_channel_name;
use crate::{Error, Labels, Recording, Result};

/// What to do when the chosen channels differ in sampling rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixedRates {
    /// Refuse the file.
    #[default]
    Error,
    /// Keep the channels of the most common rate, of several equally common ones the highest.
    MostCommon,
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
        let mut chosen = match options.channels.is_empty() {
            true => (0..self.channels.len()).collect(),
            false => self.find(&options.channels)?,
        };
        let mut sensors = match options.channels.is_empty() {
            true => self.sensor_names(),
            false => options.channels.clone(),
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
        let rate = self.one_rate(&chosen)?.unwrap_or(0.0);
        let [from, to] = options
            .seconds
            .unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let parts = self.between(from, to);
        if chosen.is_empty() || parts.is_empty() || rate <= 0.0 {
            return Err(Error::file(
                &self.path,
                "signal",
                format!(
                    "nothing is left of {} channels and {} s",
                    self.channels.len(),
                    self.seconds()
                ),
                "choose other channels or another time",
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
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let recordings = parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                let mut signal = self.read_array(&chosen, part)?;
                Zip::from(signal.rows_mut())
                    .and(&chosen)
                    .for_each(|mut row, channel| {
                        let unit = &self.channels[*channel].unit;
                        if let Some(factor) = microvolts(unit).filter(|f| *f != 1.0) {
                            row.mapv_inplace(|v| (f64::from(v) * factor) as f32);
                        }
                    });
                let labels = match &options.labels {
                    Some(l) => Labels::PerStep(self.label_steps(l, part, rate, signal.ncols())?),
                    None => Labels::None,
                };
                Ok(Recording {
                    name: match parts.len() {
                        1 => stem.to_string(),
                        _ => format!("{stem}/{i}"),
                    },
                    signal: signal.insert_axis(Axis(2)),
                    mask: None,
                    sampling_rate: Some(rate),
                    labels,
                    subject: None,
                    session: None,
                    part: None,
                })
            })
            .collect::<Result<_>>()?;
        Ok((sensors, recordings))
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
            let mut texts: Vec<&str> = self.annotations.iter().map(|a| a.text.as_str()).collect();
            texts.sort_unstable();
            texts.dedup();
            Error::file(
                &self.path,
                "annotations",
                format!(
                    "none that has a class covers {at} s; present: {}",
                    list(texts.into_iter())
                ),
                "give classes to more texts, or a class for the time outside",
            )
        })
    }
}
