//! From a file of the corpus to recordings.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::{Array2, Array3, Axis, concatenate, s};

use super::super::DatasetConfig;
use super::super::options::{Accept, Task};
use super::files::EdfFile;
use super::seizures::{self, Seizure};
use super::{CLIP_SECONDS, RATE, short};
use crate::formats::biosignal::{OpenOptions, Segment, SignalFile, microvolts};
use crate::formats::edf;
use crate::signal::ResampleMethod;
use crate::signal::resample::resample;
use crate::windows::Unit;
use crate::{Error, Labels, Recording, Result, Span};

/// What of a seizure's past is in its window, seconds.
const BEFORE: f64 = 2.0;

/// What is made of every file.
#[derive(Clone)]
pub(super) struct Plan {
    task: Task,
    sensors: Arc<Vec<String>>,
    accept: Vec<Accept>,
    /// Samples in the window of a seizure.
    clip: usize,
}

impl Plan {
    pub fn new(config: &DatasetConfig, task: Task, sensors: Vec<String>) -> Result<Self> {
        let window = config.window.as_ref();
        let length = window.and_then(|w| w.length).unwrap_or(CLIP_SECONDS);
        let factor = match window.map(|w| w.unit) {
            Some(Unit::Samples) => 1.0,
            _ => RATE,
        };
        let clip = (length * factor).round();
        if !(RATE..1e9).contains(&clip) {
            return Err(Error::config(
                "window.length",
                format!("{length} is not at least a second"),
                "give 12 or 60 seconds",
            ));
        }
        Ok(Self {
            task,
            sensors: Arc::new(sensors),
            accept: config.accept.clone(),
            clip: clip as usize,
        })
    }

    fn accepts(&self, fault: Accept) -> bool {
        self.accept.contains(&fault)
    }

    /// The annotations of an EDF file that are read.
    pub fn annotations(&self, edf: &Path) -> Vec<PathBuf> {
        let all = seizures::extensions(self.task).iter();
        let Some(path) = all.map(|e| edf.with_extension(e)).find(|p| p.is_file()) else {
            return Vec::new();
        };
        let coarse = match self.task {
            Task::Classification => seizures::coarse(&path),
            Task::Detection => None,
        };
        std::iter::once(path).chain(coarse).collect()
    }

    /// Whether the annotations of a file say that nothing of it is wanted.
    pub fn is_left_out(&self, annotations: &[PathBuf]) -> Result<bool> {
        match (self.task, annotations.first()) {
            (Task::Classification, Some(path)) => {
                let seizures = seizures::read(path, self.task)?;
                Ok(seizures.iter().all(|s| s.class.is_none()))
            }
            _ => Ok(false),
        }
    }

    /// The recordings of a file; none where a fault that is accepted leaves it out.
    pub fn recordings(&self, file: &EdfFile) -> Result<Vec<Recording>> {
        let annotations = self.annotations(&file.path);
        let Some(path) = annotations.first() else {
            if self.accepts(Accept::Unlabelled) {
                log::warn!("{}: left out, it has no annotations", short(&file.path));
                return Ok(Vec::new());
            }
            let wanted = seizures::extensions(self.task).join(", .");
            return Err(Error::file(
                &file.path,
                "annotations",
                format!("there is none beside it (.{wanted})"),
                Accept::Unlabelled.remedy("fetch them with the recording"),
            ));
        };
        let seizures = seizures::read(path, self.task)?;
        let options = OpenOptions {
            accept_incomplete: self.accepts(Accept::Incomplete),
            accept_damaged_annotations: true,
        };
        let edf = edf::open_with(&file.path, options)?;
        let Some(channels) = self.channels(&edf)? else {
            return Ok(Vec::new());
        };
        if edf.segments.len() > 1 && !self.accepts(Accept::Breaks) {
            return Err(Error::file(
                &file.path,
                "records",
                format!("the recording has {} breaks", edf.segments.len() - 1),
                Accept::Breaks.remedy("fetch it again"),
            ));
        }
        let mut out = Vec::new();
        for (i, segment) in edf.segments.iter().enumerate() {
            let signal = self.signal(&edf, &channels, segment)?;
            let name = match edf.segments.len() {
                1 => short(&file.path.with_extension("")),
                _ => format!("{}/{i}", short(&file.path.with_extension(""))),
            };
            match self.task {
                Task::Detection => {
                    out.push(detection(file, name, signal, &seizures, segment.start))
                }
                Task::Classification => {
                    out.extend(self.clips(file, &name, signal, &seizures, segment.start));
                }
            }
        }
        Ok(out)
    }

    /// Indices of the electrodes; `None` where some are missing and that is accepted.
    fn channels(&self, edf: &SignalFile<File>) -> Result<Option<Vec<usize>>> {
        let sensors = self.sensors.iter();
        let missing: Vec<&str> = sensors
            .filter(|name| edf.find(&[name]).is_err())
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return edf.find(&self.sensors).map(Some);
        }
        let present: Vec<&str> = edf.channels.iter().map(|c| c.label.as_str()).collect();
        if self.accepts(Accept::MissingChannels) {
            let file = short(edf.path());
            log::warn!("{file}: left out, it has no {}", missing.join(", "));
            return Ok(None);
        }
        Err(Error::file(
            edf.path(),
            "channels",
            format!(
                "{} are not there, or not once; present: {}",
                missing.join(", "),
                present.join(", ")
            ),
            Accept::MissingChannels.remedy("choose others with channels"),
        ))
    }

    /// The channels in microvolts at the rate of the protocol, (channels, time).
    fn signal(
        &self,
        edf: &SignalFile<File>,
        channels: &[usize],
        segment: &Segment,
    ) -> Result<Array2<f32>> {
        let scaled = |mut signal: Array2<f32>, channels: &[usize]| {
            for (mut row, channel) in signal.rows_mut().into_iter().zip(channels) {
                let factor = microvolts(&edf.channels[*channel].unit).unwrap_or(1.0);
                if factor != 1.0 {
                    row.mapv_inplace(|v| (f64::from(v) * factor) as f32);
                }
            }
            signal
        };
        let at_rate = |channels: &[usize]| -> Result<Array2<f32>> {
            let signal = scaled(edf.read_array(channels, segment)?, channels);
            match edf.one_rate(channels)? {
                Some(rate) if rate != RATE => {
                    resample(signal.view(), rate, RATE, ResampleMethod::Fourier)
                }
                _ => Ok(signal),
            }
        };
        match edf.one_rate(channels) {
            Err(_) if self.accepts(Accept::MixedRates) => {
                let rows = channels.iter().map(|channel| at_rate(&[*channel]));
                let rows = rows.collect::<Result<Vec<_>>>()?;
                let length = rows.iter().map(Array2::ncols).min().unwrap_or(0);
                let rows: Vec<_> = rows.iter().map(|r| r.slice(s![.., ..length])).collect();
                concatenate(Axis(0), &rows).map_err(|e| {
                    Error::file(
                        edf.path(),
                        "channels",
                        e.to_string(),
                        "fetch the file again",
                    )
                })
            }
            Err(Error::File {
                path,
                field,
                problem,
                ..
            }) => Err(Error::File {
                path,
                field,
                problem,
                remedy: Accept::MixedRates.remedy("choose channels of one rate"),
            }),
            _ => at_rate(channels),
        }
    }

    /// A recording for each seizure that has a class, of one window each.
    fn clips(
        &self,
        file: &EdfFile,
        name: &str,
        signal: Array2<f32>,
        seizures: &[Seizure],
        from: f64,
    ) -> Vec<Recording> {
        let sample = |seconds: f64| ((seconds - from) * RATE).trunc();
        let second = RATE as usize;
        let mut out = Vec::new();
        for (i, seizure) in seizures.iter().enumerate() {
            let Some(class) = seizure.class else {
                continue;
            };
            // One sample after the seizure before, as the protocol has it.
            let before = match i.checked_sub(1) {
                Some(previous) => sample(seizures[previous].stop),
                None => 0.0,
            };
            let start = (before + 1.0).max(sample(seizure.start - BEFORE)).max(0.0) as usize;
            let end = (start + self.clip).min(sample(seizure.stop).max(0.0) as usize);
            let end = end.min(signal.ncols());
            let seen = end.saturating_sub(start) / second * second;
            if seen == 0 {
                log::warn!("{name}: seizure {i} is shorter than a second and left out");
                continue;
            }
            let mut clip = Array3::zeros((signal.nrows(), self.clip, 1));
            let part = signal.slice(s![.., start..start + seen]);
            clip.slice_mut(s![.., ..seen, 0]).assign(&part);
            let mask = (seen < self.clip)
                .then(|| Array2::from_shape_fn((signal.nrows(), self.clip), |(_, t)| t < seen));
            let labels = Labels::Whole(class);
            out.push(Recording {
                mask,
                ..recording(file, format!("{name}/seizure{i}"), clip, labels)
            });
        }
        out
    }
}

fn recording(file: &EdfFile, name: String, signal: Array3<f32>, labels: Labels) -> Recording {
    Recording {
        name,
        signal,
        mask: None,
        sampling_rate: Some(RATE),
        labels,
        subject: Some(file.subject.clone()),
        session: Some(file.session.clone()),
        part: file.part,
    }
}

/// The whole signal, of which `from` seconds are before, with its seizures.
fn detection(
    file: &EdfFile,
    name: String,
    signal: Array2<f32>,
    seizures: &[Seizure],
    from: f64,
) -> Recording {
    let time = signal.ncols();
    // The protocol calls a window a seizure whose end (excluded) is where one starts, or whose start
    // is where one ends: as if it lasted one sample longer at both ends.
    let sample = |seconds: f64| (seconds - from) * RATE;
    let step = |sample: f64| (sample.max(0.0) as usize).min(time);
    let span = |s: &Seizure| Span {
        steps: step(sample(s.start).trunc() - 1.0)..step(sample(s.stop).trunc() + 1.0),
        class: 1,
    };
    let inside = seizures
        .iter()
        .filter(|s| sample(s.stop) >= 0.0 && sample(s.start) <= time as f64);
    let labels = Labels::Events {
        events: inside.map(span).collect(),
        otherwise: 0,
    };
    recording(file, name, signal.insert_axis(Axis(2)), labels)
}
