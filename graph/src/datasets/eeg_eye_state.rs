//! EEG Eye State (UCI 264): one recording of 117 s, 14 electrodes, eyes open or closed at every
//! sample.
//!
//! Read from `EEG_Eye_State.arff`. At four samples all electrodes jump by up to 700 mV and back;
//! they are masked. The published accuracies come from shuffled samples, whose neighbours are nearly
//! equal: split this set by time.

use std::path::Path;

use ndarray::Axis;

use super::{electrodes, find};
use crate::formats::arff;
use crate::signal::FeatureConfig;
use crate::windows::{RecordingSet, WindowConfig};
use crate::{Error, Labels, Recording, Result, fetch, files};

const RATE: f64 = 128.0;

/// Microvolts between which all good samples lie: they are within 3,900 to 4,840.
const RANGE: std::ops::RangeInclusive<f32> = 3500.0..=5300.0;

/// Without the constant voltage of the amplifier.
pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        highpass_hz: Some(0.5),
        ..Default::default()
    }
}

/// Windows of one second.
pub(super) fn window() -> WindowConfig {
    WindowConfig {
        length: Some(1.0),
        ..Default::default()
    }
}

pub(super) fn read(data_dir: Option<&Path>) -> Result<RecordingSet> {
    let folder = find(
        data_dir,
        &["eeg_eye_state", "eeg-eye-state"],
        "EEG_Eye_State.arff",
    )?;
    let path = folder.join("EEG_Eye_State.arff");
    let bytes = files::read(&path)?;
    let file = arff::parse(&bytes, &path)?;
    let (words, y) = file.classes(&path)?;
    if words != ["0", "1"] {
        return Err(Error::file(
            &path,
            "eyeDetection",
            format!("has the classes {}", words.join(", ")),
            "fetch the original file again",
        ));
    }
    let (sensors, values) = file.numbers();
    let good = values.map_axis(Axis(1), |row| row.iter().all(|v| RANGE.contains(v)));
    let mask = ndarray::Array2::from_shape_fn((sensors.len(), good.len()), |(_, t)| good[t]);
    let signal = values.reversed_axes().as_standard_layout().into_owned();
    let (positions, table) = electrodes::standard(data_dir, &folder, &sensors)?;
    let mut sources = vec![files::source_of(&path, &bytes)];
    sources.extend(table);
    Ok(RecordingSet {
        info: fetch::info("eeg-eye-state").unwrap_or_default(),
        sensors,
        positions: Some(positions),
        adjacency: None,
        classes: vec!["open".into(), "closed".into()],
        recordings: vec![Recording {
            name: "recording".into(),
            signal: signal.insert_axis(Axis(2)),
            mask: Some(mask),
            sampling_rate: Some(RATE),
            labels: Labels::PerStep(y),
            subject: None,
            session: None,
            part: None,
        }],
        sources,
    })
}
