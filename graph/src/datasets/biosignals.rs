//! EDF, BDF and GDF files of a folder of one's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Accept;
use super::description::FolderConfig;
use super::labels::Raw;
use super::variables::Item;
use crate::formats::biosignal::{OpenOptions, RecordingOptions, SignalFile};
use crate::formats::{edf, gdf};
use crate::windows::ReadSteps;
use crate::{Labels, Result};

/// Trials around annotations of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    /// Class of each text (of GDF: event code in decimal); other annotations are ignored.
    pub classes: BTreeMap<String, usize>,
    /// From start to end of a trial, seconds after the onset.
    pub seconds: [f64; 2],
}

/// Names of the sensors, and their recordings.
type Found = (Vec<String>, Vec<Item>);

/// Whether a file is of a kind that this module reads.
pub(super) fn takes(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["edf", "bdf", "gdf"]
        .iter()
        .any(|kind| extension.eq_ignore_ascii_case(kind))
}

fn open(path: &Path, accept: &[Accept]) -> Result<SignalFile<File>> {
    let options = OpenOptions {
        accept_incomplete: accept.contains(&Accept::Incomplete),
        ..Default::default()
    };
    match path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gdf"))
    {
        true => gdf::open_with(path, options),
        false => edf::open_with(path, options),
    }
}

fn options(config: &FolderConfig) -> RecordingOptions {
    let mut options: RecordingOptions = config.recording.clone();
    if options.channels.is_empty() {
        options.channels = config.sensors.clone();
    }
    options
}

/// The recordings of a file in order, each by its number of time steps and a way to read some of them;
/// `None` where they have to be read as wholes.
pub(super) fn unread(
    path: &Path,
    config: &FolderConfig,
    accept: &[Accept],
) -> Result<Option<Vec<(usize, ReadSteps)>>> {
    if config.trials.is_some() {
        return Ok(None);
    }
    let file = Arc::new(open(path, accept)?);
    let Some(parts) = file.stretches(&options(config))? else {
        return Ok(None);
    };
    let parts = parts.into_iter().map(|part| {
        let file = Arc::clone(&file);
        let read: ReadSteps = Box::new({
            let part = part.clone();
            move |steps| file.read_steps(&part, steps)
        });
        (part.steps, read)
    });
    Ok(Some(parts.collect()))
}

/// Names of the sensors and what is in the file: whole recordings, or trials where `trials` asks
/// for them. Channels are those of `recording.channels`, else `sensors`, else all of the file.
/// `None` for a file that lacks one of them where that is accepted. Without `signals` those of whole
/// recordings have no time step where they need not be read.
pub(super) fn items(
    path: &Path,
    config: &FolderConfig,
    accept: &[Accept],
    signals: bool,
) -> Result<Option<Found>> {
    let file = open(path, accept)?;
    let options = options(config);
    let lacking = file.lacking(&options.channels);
    if !lacking.is_empty() && accept.contains(&Accept::MissingChannels) {
        let path = file.path().display();
        log::warn!("{path}: left out, it has no {}", lacking.join(", "));
        return Ok(None);
    }
    let (sensors, recordings) = match &config.trials {
        None => file.recordings_with(&options, signals)?,
        Some(t) => file.trials(&options, &t.classes, t.seconds)?,
    };
    let item = |mut recording: crate::Recording| Item {
        number: 0,
        path: file.path().to_path_buf(),
        labels: match std::mem::replace(&mut recording.labels, Labels::None) {
            Labels::None => Raw::None,
            known => Raw::Known(known),
        },
        recording,
    };
    Ok(Some((sensors, recordings.into_iter().map(item).collect())))
}
