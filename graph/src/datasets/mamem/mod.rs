//! MAMEM's EEG SSVEP datasets II and III: 11 subjects look at one of five boxes that flicker at 12,
//! 10, 8.57, 7.5 and 6.66 Hz at once.
//!
//! **Files** in `mamem`, as figshare has them. Dataset II, an EGI net of 256 electrodes at 250 Hz:
//! `T001a.mat` to `T013e.mat`, five sessions a subject, with `eeg` (257, time), `DIN_1`, a cell array
//! (4, n) of events with their milliseconds in the second row and their sample in the fourth, and
//! `labels`. Dataset III, an Emotiv EPOC of 14 at 128 Hz: `U001ai.mat` and `U001aii.mat`, the halves of a
//! session, with `eeg` (15, time) and `events` (n, 3 or more) of a code in the second column and
//! a sample in the third. Keep the two in folders of their own.
//!
//! **Trials.** II: events follow each other while boxes flicker; the first after more than 2 s
//! without one begins a trial of 5 s. What spans at most 382 samples is none, unless it is the last.
//! III: from the code 32779 to 32780; all subjects were shown the same sequence.
//!
//! **Channels.** Of II those nearest to PO7, PO3, POz, PO4, PO8, O1, Oz and O2 (electrodes 107, 109,
//! 119, 140, 160, 116, 126, 150 of the net), of III all 14. Others of the net are named `E1` to
//! `E256`; they have no position here.
//!
//! **Windows and features**, unless others are asked for: band-pass 1 to 50 Hz over the session, 125 Hz,
//! windows of 1 s from 1 s to 5 s of each trial, as Pan et al. prepare them: 25 trials of 5
//! sessions are 500 windows of (8, 125) a subject. `features.crop_seconds` counts from the start of
//! a trial.
//!
//! **Parts.** In order of time, for every subject: sessions a, b and c train (300 windows), d validates
//! (100), e tests (100). Pan et al. and TGMamba train a model for each subject: choose one with
//! `subjects`.
//!
//! **Classes.** Labels 1 to 5 are 12, 10, 8.57, 7.5 and 6.66 Hz, as the owners' description says;
//! MOABB has them the other way round.
//!
//! Sources: Oikonomou et al., arXiv:1602.00904; the class `Session` of the owners'
//! eeg-processing-toolbox; Pan, Chou, Wei, "MAtt: a manifold attention network for EEG decoding",
//! NeurIPS 2022; positions of `GSN-HydroCel-256` against `standard_1005`, both of MNE-Python.

mod files;
mod trials;

use ndarray::{Array2, Axis, Ix2};

use super::options::Accept;
use super::{DatasetConfig, electrodes};
use crate::electrodes::{electrode_direction, normalise_channel_name};
use crate::formats::mat::Mat;
use crate::signal::{FeatureConfig, Initial, ResampleMethod, Step};
use crate::windows::{LazySet, RecordingSet, Shard, WindowConfig};
use crate::{Error, Labels, Part, Recording, Result, fetch};
use files::{Session, list};
use trials::{trials_of_three, trials_of_two};

const CLASSES: [&str; 5] = ["12 Hz", "10 Hz", "8.57 Hz", "7.5 Hz", "6.66 Hz"];

/// Electrodes of the net of 256 near those of the 10-10 system.
const NET: [(&str, usize); 8] = [
    ("PO7", 107),
    ("PO3", 109),
    ("POz", 119),
    ("PO4", 140),
    ("PO8", 160),
    ("O1", 116),
    ("Oz", 126),
    ("O2", 150),
];
const EPOC: [&str; 14] = [
    "AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Experiment {
    Two,
    Three,
}

impl Experiment {
    fn rate(self) -> f64 {
        match self {
            Self::Two => 250.0,
            Self::Three => 128.0,
        }
    }

    /// Rows of `eeg`, one of which or none is no electrode.
    fn rows(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Two => 256..=257,
            Self::Three => 14..=15,
        }
    }

    /// Row of `eeg` of a channel.
    fn row(self, channel: &str) -> Option<usize> {
        let name = normalise_channel_name(channel);
        match self {
            Self::Two => {
                let near = NET.iter().find(|(n, _)| *n == name);
                let own = || name.strip_prefix('E').and_then(|n| n.parse().ok());
                let number: usize = near.map(|n| n.1).or_else(own)?;
                number.checked_sub(1).filter(|row| *row < 256)
            }
            Self::Three => EPOC.iter().position(|n| *n == name),
        }
    }

    fn channels(self) -> Vec<&'static str> {
        match self {
            Self::Two => NET.iter().map(|n| n.0).collect(),
            Self::Three => EPOC.to_vec(),
        }
    }
}

pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        steps: vec![
            Step::Butterworth {
                highpass_hz: Some(1.0),
                lowpass_hz: Some(50.0),
                stop_hz: None,
                order: 4,
                zero_phase: true,
                initial: Initial::Steady,
            },
            Step::Resample {
                hz: 125.0,
                method: ResampleMethod::Polyphase,
            },
        ],
        crop_seconds: Some([1.0, 5.0]),
        ..Default::default()
    }
}

pub(super) fn window() -> WindowConfig {
    WindowConfig {
        length: Some(1.0),
        ..Default::default()
    }
}

pub(super) fn open(config: &DatasetConfig) -> Result<LazySet> {
    let known = [
        Accept::Unlabelled,
        Accept::MissingSessions,
        Accept::Incomplete,
    ];
    config.accepts_only("mamem", &known)?;
    let (folder, experiment, sessions) = list(config)?;
    let sensors = config.electrodes(&experiment.channels());
    let rows = sensors
        .iter()
        .map(|name| {
            let known = experiment.channels();
            let row = experiment.row(name);
            row.ok_or_else(|| Error::unknown("channel", name, &known))
        })
        .collect::<Result<Vec<usize>>>()?;
    let (mut positions, mut sources) = (None, Vec::new());
    if sensors.iter().all(|s| electrode_direction(s).is_some()) {
        let (found, table) = electrodes::standard(config.data_dir.as_deref(), &folder, &sensors)?;
        positions = Some(found);
        sources.extend(table);
    }
    let shards = sessions
        .into_iter()
        .map(|session| {
            let (rows, accept) = (rows.clone(), config.accept.clone());
            let files = vec![session.path.clone()];
            Shard::new(files, move || read(&session, experiment, &rows, &accept))
        })
        .collect();
    let info = fetch::info("mamem").unwrap_or_default();
    let shared = RecordingSet {
        positions,
        sources,
        ..RecordingSet::new(info, sensors, &CLASSES)
    };
    Ok(LazySet::new(shared, shards))
}

fn read(
    session: &Session,
    experiment: Experiment,
    rows: &[usize],
    accept: &[Accept],
) -> Result<Vec<Recording>> {
    let path = &session.path;
    let mat = Mat::open(path)?;
    let eeg = mat.read("eeg")?.into_f32(path, "eeg")?;
    let shape = eeg.shape().to_vec();
    let eeg: Array2<f32> = eeg
        .into_dimensionality::<Ix2>()
        .ok()
        .filter(|x| experiment.rows().contains(&x.nrows()))
        .ok_or_else(|| {
            let rows = experiment.rows();
            let problem = format!(
                "has shape {shape:?}, not ({} or {}, time)",
                rows.start(),
                rows.end()
            );
            Error::file(path, "eeg", problem, "fetch the original file again")
        })?;
    let found = match experiment {
        Experiment::Two => trials_of_two(&mat, path)?,
        Experiment::Three => trials_of_three(&mat, path, session.half)?,
    };
    let trials = match found {
        Ok(trials) => trials,
        Err(problem) if accept.contains(&Accept::Unlabelled) => {
            log::warn!("{}: left out, {problem}", path.display());
            return Ok(Vec::new());
        }
        Err(problem) => {
            let remedy = Accept::Unlabelled.remedy("fetch the original file again");
            return Err(Error::file(path, "labels", problem, remedy));
        }
    };
    let time = eeg.ncols();
    let mut inside = Vec::new();
    for (i, trial) in trials.into_iter().enumerate() {
        if trial.steps.end <= time {
            inside.push(trial);
            continue;
        }
        let problem = format!(
            "trial {i} ends at sample {}, eeg at {time}",
            trial.steps.end
        );
        if !accept.contains(&Accept::Incomplete) {
            let remedy = Accept::Incomplete.remedy("fetch the original file again");
            return Err(Error::file(path, "eeg", problem, remedy));
        }
        log::warn!("{}: left out, {problem}", path.display());
    }
    let part = match session.letter {
        'd' => Part::Validation,
        'e' => Part::Test,
        _ => Part::Train,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(vec![Recording {
        name: stem.into_owned(),
        signal: eeg.select(Axis(0), rows).insert_axis(Axis(2)),
        mask: None,
        sampling_rate: Some(experiment.rate()),
        labels: Labels::Trials {
            trials: inside,
            apart: true,
        },
        subject: Some(session.subject.clone()),
        session: Some(session.letter.to_string()),
        part: Some(part),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_by_name() {
        assert_eq!(Experiment::Two.row("P07"), Some(106));
        assert_eq!(Experiment::Two.row("E256"), Some(255));
        assert_eq!(Experiment::Two.row("E257"), None);
        assert_eq!(Experiment::Two.row("E0"), None);
        assert_eq!(Experiment::Three.row("T3"), Some(4));
        assert_eq!(Experiment::Three.row("Oz"), None);
    }
}
