//! A stretch of signals over the graph of their sensors, small enough to draw.

mod recordings;
mod series;
mod stretch;
#[cfg(test)]
mod tests;

use std::path::Path;

use ndarray::Array2;

use super::InspectOptions;
use super::dataset::{open_set, read_series, series_name};
use super::format::{Format, recognise};
use super::signals::on_the_scalp;
use crate::datasets::Recordings;
use crate::electrodes::{electrode_positions, normalise_channel_name};
use crate::formats::biosignal::{Breaks, MixedRates, RecordingOptions};
use crate::formats::{edf, gdf};
use crate::windows::{LazySet, RecordingSet};
use crate::{Error, Result};

pub use recordings::of_recordings;
pub use series::of_series;

/// Which stretch to take.
#[derive(Debug, Clone, Default)]
pub struct ExcerptOptions {
    /// Where and how to look.
    pub inspect: InspectOptions,
    /// Which recording, from 0; `None`: the first of the last class.
    pub recording: Option<usize>,
    /// Where it begins, seconds after the start (steps where no rate is known).
    pub start: Option<f64>,
    /// How long it is, in the same unit.
    pub length: Option<f64>,
    /// Sensors shown in time; empty: five that lie far apart.
    pub sensors: Vec<String>,
    /// Which quantity; `None`: the first.
    pub quantity: Option<String>,
}

/// A stretch of signals over the graph of their sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// Data set, recording, class.
    pub title: String,
    /// What is measured, with its unit.
    pub quantity: String,
    /// Sensor names.
    pub sensors: Vec<String>,
    /// Places in the unit square, see [`layout_2d`](crate::topology::layout_2d).
    pub layout: Vec<[f64; 2]>,
    /// Whether the sensors are electrodes on a head.
    pub head: bool,
    /// Edges as (source, target, weight).
    pub edges: Vec<(usize, usize, f32)>,
    /// Where the edges are from.
    pub edges_from: String,
    /// Indices of the sensors shown in time.
    pub shown: Vec<usize>,
    /// Time of each step: seconds since 1970 on a clock, else seconds after the start, else steps.
    pub times: Vec<f64>,
    /// What `times` are.
    pub clock: Clock,
    /// Values, (sensors, steps); NaN where missing.
    pub values: Array2<f32>,
    /// The step at which all sensors are shown: where they differ most.
    pub moment: usize,
}

/// What a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since 1970-01-01 00:00:00 on the clock of the data.
    Stamps,
    /// Seconds after the start of the recording.
    Seconds,
    /// Number of the step.
    Steps,
}

/// Takes a stretch of a file of signals, a folder with a `dataset.toml`, or a named data set, with
/// the graph that came with it or else the one that training would use: the Gaussian kernel of the
/// positions, or correlations of the stretch.
///
/// # Errors
/// As [`inspect`](super::inspect); [`Error::Config`] and [`Error::Unknown`] for a stretch, sensor
/// or quantity that is not there, or a file without signals.
pub fn excerpt(target: &str, options: &ExcerptOptions) -> Result<Excerpt> {
    let path = Path::new(target);
    if let Some(name) = series_name(target) {
        return of_series(&read_series(name, &options.inspect)?.series, options);
    }
    let set = if path.is_file() && path.file_name().is_none_or(|n| n != "dataset.toml") {
        signals_of(path)?
    } else {
        match open_set(target, &options.inspect)? {
            Recordings::Read(set) => set,
            Recordings::Lazy(set) => {
                let (set, recording) = one_shard(set, options.recording)?;
                let recording = Some(recording);
                return of_recordings(
                    set,
                    &ExcerptOptions {
                        recording,
                        ..options.clone()
                    },
                );
            }
        }
    };
    of_recordings(set, options)
}

/// The recordings of the shard in which the wanted one is, and its number there.
fn one_shard(set: LazySet, recording: Option<usize>) -> Result<(RecordingSet, usize)> {
    let (wanted, mut before) = (recording.unwrap_or(0), 0);
    for shard in &set.shards {
        let recordings = shard.read()?;
        if wanted < before + recordings.len() {
            let shared = set.shared;
            return Ok((
                RecordingSet {
                    recordings,
                    ..shared
                },
                wanted - before,
            ));
        }
        before += recordings.len();
    }
    Err(Error::config(
        "recording",
        format!("there is no recording {wanted} of {before}"),
        "count from 0",
    ))
}

/// The signals of a file; of one with electrodes only these.
fn signals_of(path: &Path) -> Result<RecordingSet> {
    let mut how = RecordingOptions {
        mixed_rates: MixedRates::MostCommon,
        breaks: Breaks::Split,
        ..Default::default()
    };
    let (format, _) = recognise(path)?;
    let file = match format {
        Format::Edf | Format::Bdf => edf::open(path)?,
        Format::Gdf => gdf::open(path)?,
        other => {
            return Err(Error::file(
                path,
                "format",
                format!("{} says nothing of sensors in time", other.name()),
                "describe it in a dataset.toml and give its folder",
            ));
        }
    };
    let labels = file.channels.iter().map(|c| c.label.clone());
    let electrodes: Vec<String> = labels.filter(|l| on_the_scalp(l)).collect();
    let some = electrodes.len() > 1;
    if some {
        how.channels = electrodes;
    }
    let (sensors, recordings) = file.recordings(&how)?;
    Ok(RecordingSet {
        info: crate::DatasetInfo {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            ..Default::default()
        },
        positions: some.then(|| electrode_positions(&sensors)).transpose()?,
        sensors: sensors.iter().map(|s| normalise_channel_name(s)).collect(),
        adjacency: None,
        classes: Vec::new(),
        recordings,
        sources: Vec::new(),
    })
}
