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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, Ix2};

use super::options::Accept;
use super::{DatasetConfig, about, electrodes};
use crate::electrodes::{electrode_direction, normalise_channel_name};
use crate::formats::mat::Mat;
use crate::signal::{FeatureConfig, Initial, ResampleMethod, Step};
use crate::windows::{LazySet, RecordingSet, Shard, WindowConfig};
use crate::{Error, Labels, Part, Recording, Result, Span, fetch};

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

/// Milliseconds without an event that end a trial of dataset II.
const PAUSE: f64 = 2000.0;
/// Samples that the events of a trial of dataset II span at least, but for the last.
const SPAN: f64 = 382.0;
/// Samples of a trial of dataset II.
const TRIAL: usize = 1250;

/// Labels of the two halves of a session of dataset III.
const SEQUENCES: [&[usize]; 2] = [
    &[4, 2, 3, 5, 1, 2, 5, 4, 2, 3, 1, 5],
    &[4, 3, 2, 4, 1, 2, 5, 3, 4, 1, 3, 1, 3],
];
const START: f64 = 32779.0;
const STOP: f64 = 32780.0;

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

/// A file of a session, or of half of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    subject: String,
    letter: char,
    /// 0 and 1 in dataset III.
    half: usize,
    path: PathBuf,
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
    let sensors: Vec<String> = match config.channels.is_empty() {
        true => experiment
            .channels()
            .iter()
            .map(|c| c.to_string())
            .collect(),
        false => config
            .channels
            .iter()
            .map(|c| normalise_channel_name(c))
            .collect(),
    };
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
    Ok(LazySet {
        shared: RecordingSet {
            info: fetch::info("mamem").unwrap_or_default(),
            sensors,
            positions,
            adjacency: None,
            classes: CLASSES.map(String::from).to_vec(),
            recordings: Vec::new(),
            sources,
        },
        shards,
        at_once: None,
        gaps: false,
    })
}

/// The folder, which of the two sets it holds, and its sessions in order.
fn list(config: &DatasetConfig) -> Result<(PathBuf, Experiment, Vec<Session>)> {
    let data_dir = config.data_dir.as_deref();
    for folder in about::places("mamem", data_dir) {
        let (mut two, mut three) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match session(&entry.path()) {
                Some((Experiment::Two, session)) => two.push(session),
                Some((Experiment::Three, session)) => three.push(session),
                None => {}
            }
        }
        let (experiment, mut sessions) = match (two.is_empty(), three.is_empty()) {
            (true, true) => continue,
            (false, true) => (Experiment::Two, two),
            (true, false) => (Experiment::Three, three),
            (false, false) => {
                return Err(Error::file(
                    &folder,
                    "files",
                    "are of dataset II (T...) and of dataset III (U...)",
                    "keep each in a folder of its own, and name one with --data-dir",
                ));
            }
        };
        sessions.sort();
        let mut of: BTreeMap<String, Vec<Session>> = BTreeMap::new();
        for session in sessions {
            of.entry(session.subject.clone()).or_default().push(session);
        }
        if let Some(other) = config.subjects.iter().find(|s| !of.contains_key(*s)) {
            let known: Vec<&str> = of.keys().map(String::as_str).collect();
            return Err(Error::unknown("subject", other, &known));
        }
        if !config.subjects.is_empty() {
            of.retain(|subject, _| config.subjects.contains(subject));
        }
        for (subject, sessions) in &of {
            complete(&folder, subject, sessions, experiment, config)?;
        }
        return Ok((folder, experiment, of.into_values().flatten().collect()));
    }
    Err(about::missing(
        "mamem",
        "mamem/T001a.mat or mamem/U001ai.mat",
        data_dir,
    ))
}

/// What a file is, by its name: `T001a.mat`, `U001aii.mat`. The adaptation, `T001x.mat`, is none.
fn session(path: &Path) -> Option<(Experiment, Session)> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".mat")?;
    let (subject, rest) = stem.split_at_checked(4)?;
    let (experiment, number) = match subject.split_at_checked(1)? {
        ("T", number) => (Experiment::Two, number),
        ("U", number) => (Experiment::Three, number),
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let letter = rest
        .chars()
        .next()
        .filter(|c| digits && ('a'..='e').contains(c))?;
    let half = match (experiment, &rest[1..]) {
        (Experiment::Two, "") | (Experiment::Three, "i") => 0,
        (Experiment::Three, "ii") => 1,
        _ => return None,
    };
    let session = Session {
        subject: subject.to_string(),
        letter,
        half,
        path: path.to_path_buf(),
    };
    Some((experiment, session))
}

/// Checks that a subject has all five sessions, in dataset III both halves of each.
fn complete(
    folder: &Path,
    subject: &str,
    sessions: &[Session],
    experiment: Experiment,
    config: &DatasetConfig,
) -> Result<()> {
    let halves: &[(usize, &str)] = match experiment {
        Experiment::Two => &[(0, "")],
        Experiment::Three => &[(0, "i"), (1, "ii")],
    };
    let mut missing = Vec::new();
    for letter in 'a'..='e' {
        for (half, end) in halves {
            let there = |s: &Session| s.letter == letter && s.half == *half;
            if !sessions.iter().any(there) {
                missing.push(format!("{subject}{letter}{end}.mat"));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if config.accepts(Accept::MissingSessions) {
        log::warn!("{}: without {}", folder.display(), missing.join(", "));
        return Ok(());
    }
    Err(Error::file(
        folder,
        subject,
        format!("{} not there", missing.join(", ")),
        Accept::MissingSessions.remedy("fetch them"),
    ))
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

/// Trials with their classes, or why they do not fit their labels.
type Trials = std::result::Result<Vec<Span>, String>;

fn trials_of_two(mat: &Mat, path: &Path) -> Result<Trials> {
    let again = "fetch the original file again";
    let shape = mat.info("DIN_1")?.shape;
    let [4, count] = shape[..] else {
        let problem = format!("has shape {shape:?}, not (4, events)");
        return Err(Error::file(path, "DIN_1", problem, again));
    };
    let one = |name: String| -> Result<f64> {
        let value = mat.read(&name)?.into_f64(path, &name)?;
        let first = value.first().copied().filter(|v| v.is_finite());
        first.ok_or_else(|| Error::file(path, name, "is empty or no number", again))
    };
    let mut events = Vec::with_capacity(count);
    for i in 1..=count {
        let (ms, sample) = (
            one(format!("DIN_1{{2,{i}}}"))?,
            one(format!("DIN_1{{4,{i}}}"))?,
        );
        if !(1.0..1e15).contains(&sample) {
            let problem = format!("{sample} is no sample, counted from 1");
            return Err(Error::file(path, format!("DIN_1{{4,{i}}}"), problem, again));
        }
        events.push((ms, sample));
    }
    let info = mat.info("labels")?;
    let labels: Vec<f64> = match info.class.as_str() {
        "cell" => (1..=info.shape.iter().product())
            .map(|i| one(format!("labels{{{i}}}")))
            .collect::<Result<_>>()?,
        _ => mat
            .read("labels")?
            .into_f64(path, "labels")?
            .into_iter()
            .collect(),
    };
    let starts = bursts(&events);
    if starts.len() != labels.len() {
        return Ok(Err(format!(
            "{} labels for {} trials",
            labels.len(),
            starts.len()
        )));
    }
    let trials = starts.into_iter().zip(labels).enumerate();
    let spans = trials.map(|(i, (start, label))| {
        let class = (1..=CLASSES.len()).find(|c| *c as f64 == label);
        let class = class.ok_or_else(|| format!("label {i} is {label}, not 1 to 5"))? - 1;
        let steps = start..start + TRIAL;
        Ok(Span { steps, class })
    });
    Ok(spans.collect())
}

/// Samples, counted from 0, at which trials begin, of events (milliseconds, sample from 1).
fn bursts(events: &[(f64, f64)]) -> Vec<usize> {
    let mut out = Vec::new();
    let mut rest = events;
    while let Some((_, first)) = rest.first() {
        let pause = |pair: &[(f64, f64)]| pair[1].0 - pair[0].0 > PAUSE;
        let count = rest
            .windows(2)
            .position(pause)
            .map_or(rest.len(), |i| i + 1);
        let last = rest[count - 1].1;
        rest = &rest[count..];
        if rest.is_empty() || last - first > SPAN {
            out.push(*first as usize - 1);
        }
    }
    out
}

fn trials_of_three(mat: &Mat, path: &Path, half: usize) -> Result<Trials> {
    let events = mat.read("events")?.into_f64(path, "events")?;
    let shape = events.shape().to_vec();
    let events = events.into_dimensionality::<Ix2>().ok();
    let events = events.filter(|e| e.ncols() >= 3).ok_or_else(|| {
        let problem = format!("has shape {shape:?}, not (events, 3 or more)");
        Error::file(path, "events", problem, "fetch the original file again")
    })?;
    // Samples count from 1; a trial ends before the sample of its stop.
    let of = |code: f64| -> Vec<f64> {
        let rows = events.outer_iter().filter(|row| row[1] == code);
        rows.map(|row| row[2]).collect()
    };
    let (starts, stops) = (of(START), of(STOP));
    let labels = SEQUENCES[half];
    if starts.len() != labels.len() || stops.len() != labels.len() {
        return Ok(Err(format!(
            "{} starts and {} stops for a sequence of {} trials",
            starts.len(),
            stops.len(),
            labels.len()
        )));
    }
    let pairs = starts.iter().zip(&stops).zip(labels);
    let spans = pairs.map(|((start, stop), label)| {
        let fits = (1.0..1e15).contains(start) && stop > start && stop < &1e15;
        if !fits {
            return Err(format!("a trial from sample {start} to {stop}"));
        }
        Ok(Span {
            steps: *start as usize - 1..*stop as usize - 1,
            class: label - 1,
        })
    });
    Ok(spans.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let of =
            |name: &str| session(Path::new(name)).map(|(e, s)| (e, s.subject, s.letter, s.half));
        assert_eq!(
            of("a/T001a.mat"),
            Some((Experiment::Two, "T001".into(), 'a', 0))
        );
        assert_eq!(
            of("U011eii.mat"),
            Some((Experiment::Three, "U011".into(), 'e', 1))
        );
        for other in [
            "T001x.mat",
            "S001a.mat",
            "U001a.mat",
            "T001ai.mat",
            "T01a.mat",
            "T001a.txt",
            "é.mat",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn trials_begin_after_a_pause() {
        let burst = |ms: f64, sample: f64, n: usize| {
            (0..n).map(move |i| (ms + 100.0 * i as f64, sample + 25.0 * i as f64))
        };
        let mut events: Vec<(f64, f64)> = burst(0.0, 101.0, 40).collect();
        // Three events alone are none, but for the last.
        events.extend(burst(9_000.0, 2_300.0, 3));
        events.extend(burst(14_000.0, 3_601.0, 40));
        assert_eq!(bursts(&events), [100, 3_600]);
        events.extend(burst(30_000.0, 7_601.0, 2));
        assert_eq!(bursts(&events), [100, 3_600, 7_600]);
        assert!(bursts(&[]).is_empty());
    }

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
