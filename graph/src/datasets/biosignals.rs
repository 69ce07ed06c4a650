//! EDF, BDF and GDF files of a folder of one's own.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Accept;
use super::description::FolderConfig;
use super::labels::Raw;
use super::variables::Item;
use crate::formats::biosignal::{OpenOptions, RecordingOptions, SignalFile, Source};
use crate::formats::{edf, gdf};
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

/// Names of the sensors and what is in the file: whole recordings, or trials where `trials` asks
/// for them. Channels are those of `recording.channels`, else `sensors`, else all of the file.
/// `None` for a file that lacks one of them where that is accepted.
pub(super) fn items(
    path: &Path,
    config: &FolderConfig,
    accept: &[Accept],
) -> Result<Option<Found>> {
    let options = OpenOptions {
        accept_incomplete: accept.contains(&Accept::Incomplete),
        ..Default::default()
    };
    let is_gdf = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gdf"));
    match is_gdf {
        true => of(&gdf::open_with(path, options)?, config, accept),
        false => of(&edf::open_with(path, options)?, config, accept),
    }
}

fn of<S: Source>(
    file: &SignalFile<S>,
    config: &FolderConfig,
    accept: &[Accept],
) -> Result<Option<Found>> {
    let mut options: RecordingOptions = config.recording.clone();
    if options.channels.is_empty() {
        options.channels = config.sensors.clone();
    }
    let lacking = file.lacking(&options.channels);
    if !lacking.is_empty() && accept.contains(&Accept::MissingChannels) {
        let path = file.path().display();
        log::warn!("{path}: left out, it has no {}", lacking.join(", "));
        return Ok(None);
    }
    let (sensors, recordings) = match &config.trials {
        None => file.recordings(&options)?,
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
