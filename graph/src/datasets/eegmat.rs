//! EEG during mental arithmetic (PhysioNet eegmat 1.0.0): 36 subjects at rest, then subtracting in
//! their heads; 19 electrodes at 500 Hz, filtered by the authors to 0.5 to 45 Hz.
//!
//! Read from `SubjectNN_1.edf` (rest, 3 minutes) and `SubjectNN_2.edf` (arithmetic, 1 minute).
//! The voltage between the ears and the ECG, which the files also hold, are left out. A subject's
//! two recordings come from one sitting.

use std::path::Path;

use rayon::prelude::*;

use super::options::check_subjects;
use super::{electrodes, find};
use crate::formats::biosignal::RecordingOptions;
use crate::formats::edf;
use crate::signal::FeatureConfig;
use crate::windows::{RecordingSet, WindowConfig};
use crate::{Error, Labels, Recording, Result, fetch, files};

const SENSORS: [&str; 19] = [
    "Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4", "T5", "T6", "P3", "P4", "O1",
    "O2", "Fz", "Cz", "Pz",
];
const RATE: f64 = 500.0;
const SUBJECTS: usize = 36;

/// A quarter of the rate: the files hold nothing above 45 Hz.
pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        highpass_hz: Some(0.5),
        lowpass_hz: Some(45.0),
        decimate: 4,
        ..Default::default()
    }
}

/// Windows of 5 s without overlap, as most use these recordings.
pub(super) fn window() -> WindowConfig {
    WindowConfig {
        length: Some(5.0),
        ..Default::default()
    }
}

/// Reads the subjects asked for, or all whose files are there.
pub(super) fn read(data_dir: Option<&Path>, subjects: &[String]) -> Result<RecordingSet> {
    let all: Vec<String> = (0..SUBJECTS).map(|n| format!("Subject{n:02}")).collect();
    check_subjects(subjects, &all)?;
    let folder = find(
        data_dir,
        &[
            "eegmat",
            "eegmat_sample",
            "eegmat/1.0.0",
            "eeg-during-mental-arithmetic-tasks-1.0.0",
        ],
        "Subject00_1.edf",
    )?;
    let chosen: Vec<&String> = all
        .iter()
        .filter(|subject| match subjects {
            // One file of two is an error below, and not a subject who is not there.
            [] => [1, 2]
                .iter()
                .any(|n| folder.join(format!("{subject}_{n}.edf")).is_file()),
            some => some.contains(subject),
        })
        .collect();
    let options = RecordingOptions {
        channels: SENSORS.map(String::from).to_vec(),
        ..Default::default()
    };
    let mut pairs = Vec::new();
    for subject in chosen {
        pairs.extend([(subject, 0), (subject, 1)]);
    }
    let read: Vec<_> = pairs
        .into_par_iter()
        .map(|(subject, class)| {
            let path = folder.join(format!("{subject}_{}.edf", class + 1));
            let file = edf::open(&path)?;
            let (_, mut recordings) = file.recordings(&options)?;
            let recording = recordings.pop().filter(|r| r.sampling_rate == Some(RATE));
            let recording = recording.ok_or_else(|| {
                Error::file(
                    &path,
                    "byte 244, duration of a record",
                    format!("does not make {RATE} samples per second"),
                    "fetch the original file again",
                )
            })?;
            let recording = Recording {
                labels: Labels::Whole(class),
                subject: Some(subject.clone()),
                ..recording
            };
            Ok((recording, files::source_file(path)?))
        })
        .collect::<Result<_>>()?;
    let (recordings, mut sources): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    let sensors = SENSORS.map(String::from).to_vec();
    let (positions, table) = electrodes::standard(data_dir, &folder, &sensors)?;
    sources.extend(table);
    Ok(RecordingSet {
        info: fetch::info("eegmat").unwrap_or_default(),
        sensors,
        positions: Some(positions),
        adjacency: None,
        classes: vec!["rest".into(), "arithmetic".into()],
        recordings,
        sources,
    })
}
