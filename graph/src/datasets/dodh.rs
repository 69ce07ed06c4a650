//! Dreem Open Dataset, healthy volunteers (DOD-H): nights of 25 subjects, a sleep stage for every 30
//! s by the consensus of five experts.
//!
//! **Files** in `dodh`: the owners' HDF5 files, one a night and subject, with 12 derivations of the
//! EEG, ECG, EMG and two of the eyes at 250 Hz, and `hypnogram`.
//!
//! **Windows and features**, unless others are asked for, as the owners prepare them and TGMamba
//! takes them over: one causal pass over the night of a Butterworth band-pass 0.4 to 18 Hz of order
//! 2, band-stops 58 to 62 Hz and 48 to 52 Hz of order 3 and a Bessel band-stop 62 to 63 Hz of order 1;
//! straight lines to 100 Hz; clipped at 500 uV and divided by it; for each epoch of 30 s the
//! short-time Fourier transform under a Hamming window of 2.56 s every second, log10(|·|² + 1e-10)
//! clipped at 20, standardised per channel and frequency over time: (16, 31, 129). TGMamba filters
//! epoch by epoch, each from rest; here the filter sees what precedes an epoch, as with the owners.
//!
//! **Classes.** wake, N1, N2, N3, REM; epochs that were not scored are left out.
//!
//! **Parts.** Those of a table with the columns `record_id,split`: `split_file`, or
//! `patient_split.csv` beside the files, such as that of Graph-S4mer's repository (15, 5 and 5
//! subjects). Without one the split is drawn by subject.
//!
//! **Graph.** None of its own; where only derivations of the EEG are chosen with `channels`, they have
//! positions (half way between their electrodes).
//!
//! Sources: Guillot et al., "Dreem open datasets: multi-scored sleep datasets to compare human and
//! automated sleep staging", IEEE TNSRE 28(9), 2020, and its repository dreem-learning-open.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};

use super::options::{Accept, check_subjects};
use super::parts::Parts;
use super::{DatasetConfig, about};
use crate::electrodes::electrode_direction;
use crate::formats::dreem::{EPOCH_SECONDS, Night};
use crate::signal::{
    BesselNorm, FeatureConfig, Initial, ResampleMethod, Standardize, Step, Transform,
};
use crate::windows::{LazySet, RecordingSet, Shard, WindowConfig};
use crate::{Error, Labels, Part, Recording, Result, Span, fetch, files};

/// Channels in the order of Graph-S4mer.
const SENSORS: [&str; 16] = [
    "C3_M2", "F3_F4", "F3_M2", "F3_O1", "F4_M1", "F4_O2", "FP1_F3", "FP1_M2", "FP1_O1", "FP2_F4",
    "FP2_M1", "FP2_O2", "ECG", "EMG", "EOG1", "EOG2",
];
const CLASSES: [&str; 5] = ["wake", "N1", "N2", "N3", "REM"];
const SPLIT_FILE: &str = "patient_split.csv";
/// Nights in memory at a time: each takes about 2 GB while it is filtered.
const AT_ONCE: usize = 4;

pub(super) fn features() -> FeatureConfig {
    let stop = |edges: [f64; 2]| Step::Butterworth {
        highpass_hz: None,
        lowpass_hz: None,
        stop_hz: Some(edges),
        order: 3,
        zero_phase: false,
        initial: Initial::Zero,
    };
    FeatureConfig {
        steps: vec![
            Step::Butterworth {
                highpass_hz: Some(0.4),
                lowpass_hz: Some(18.0),
                stop_hz: None,
                order: 2,
                zero_phase: false,
                initial: Initial::Zero,
            },
            stop([58.0, 62.0]),
            stop([48.0, 52.0]),
            Step::Bessel {
                highpass_hz: None,
                lowpass_hz: None,
                stop_hz: Some([62.0, 63.0]),
                order: 1,
                norm: BesselNorm::Phase,
                zero_phase: false,
                initial: Initial::Zero,
            },
            Step::Resample {
                hz: 100.0,
                method: ResampleMethod::Linear,
            },
            Step::Clip { limit: 500.0 },
            Step::Scale {
                factor: 1.0 / 500.0,
            },
        ],
        transform: Transform::Stft {
            window_seconds: 2.56,
            hop_seconds: 1.0,
            fmin: None,
            fmax: None,
            padded: true,
        },
        standardize: Standardize::Time,
        ..Default::default()
    }
}

/// A window for each epoch.
pub(super) fn window() -> WindowConfig {
    WindowConfig::default()
}

pub(super) fn open(config: &DatasetConfig) -> Result<LazySet> {
    let known = [
        Accept::Unlabelled,
        Accept::Incomplete,
        Accept::MissingChannels,
    ];
    config.accepts_only("dodh", &known)?;
    let (folder, nights) = list(config)?;
    let given = config.split_file.as_ref().map(|f| folder.join(f));
    let beside = Some(folder.join(SPLIT_FILE)).filter(|f| f.is_file());
    let mut sources = Vec::new();
    let parts = match given.or(beside) {
        None => None,
        Some(path) => {
            sources.push(files::source_file(&path)?);
            Some(Parts::read(&path)?)
        }
    };
    let sensors: Vec<String> = match config.channels.is_empty() {
        true => SENSORS.map(String::from).to_vec(),
        false => config.channels.clone(),
    };
    let mut positions = None;
    let hyphens: Vec<String> = sensors.iter().map(|s| s.replace('_', "-")).collect();
    if hyphens.iter().all(|s| electrode_direction(s).is_some()) {
        positions = Some(crate::electrodes::electrode_positions(&hyphens)?);
    }
    let mut shards = Vec::with_capacity(nights.len());
    for path in nights {
        let subject = stem(&path);
        let part = match &parts {
            Some(parts) => Some(parts.part(&subject)?),
            None => None,
        };
        let (sensors, accept) = (sensors.clone(), config.accept.clone());
        shards.push(Shard::new(vec![path.clone()], move || {
            read(&path, &subject, part, &sensors, &accept)
        }));
    }
    let info = fetch::info("dodh").unwrap_or_default();
    let shared = RecordingSet {
        positions,
        sources,
        ..RecordingSet::new(info, sensors, &CLASSES)
    };
    Ok(LazySet {
        at_once: Some(AT_ONCE),
        ..LazySet::new(shared, shards)
    })
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The folder and its nights in order.
fn list(config: &DatasetConfig) -> Result<(PathBuf, Vec<PathBuf>)> {
    let data_dir = config.data_dir.as_deref();
    for folder in about::places("dodh", data_dir) {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut nights: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "h5"))
            .collect();
        if nights.is_empty() {
            continue;
        }
        nights.sort();
        let subjects: Vec<String> = nights.iter().map(|p| stem(p)).collect();
        check_subjects(&config.subjects, &subjects)?;
        if !config.subjects.is_empty() {
            nights.retain(|p| config.subjects.contains(&stem(p)));
        }
        return Ok((folder, nights));
    }
    Err(about::missing("dodh", "dodh/*.h5", data_dir))
}

fn read(
    path: &Path,
    subject: &str,
    part: Option<Part>,
    sensors: &[String],
    accept: &[Accept],
) -> Result<Vec<Recording>> {
    let night = Night::open(path)?;
    // What is accepted leaves the night out.
    let fault = |fault: Accept, field: &str, problem: String| -> Result<Vec<Recording>> {
        if accept.contains(&fault) {
            log::warn!("{}: left out, {problem}", path.display());
            return Ok(Vec::new());
        }
        let remedy = fault.remedy("fetch the original file again");
        Err(Error::file(path, field, problem, remedy))
    };
    let Some(hypnogram) = &night.hypnogram else {
        return fault(Accept::Unlabelled, "hypnogram", "there is none".into());
    };
    let missing: Vec<&str> = sensors
        .iter()
        .filter(|s| night.channel(s).is_err())
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let present: Vec<&str> = night.channels.iter().map(|c| c.name.as_str()).collect();
        let problem = format!("no {}; present: {}", missing.join(", "), present.join(", "));
        return fault(Accept::MissingChannels, "channels", problem);
    }
    let channels = sensors
        .iter()
        .map(|s| night.channel(s))
        .collect::<Result<Vec<_>>>()?;
    let Some(first) = channels.first() else {
        return Err(Error::config(
            "dataset.channels",
            "is empty",
            "name a channel",
        ));
    };
    let differs =
        |c: &&&crate::formats::dreem::Channel| (c.rate, c.samples) != (first.rate, first.samples);
    if let Some(other) = channels.iter().find(differs) {
        let told = |c: &crate::formats::dreem::Channel| {
            format!("{} has {} samples at {} Hz", c.name, c.samples, c.rate)
        };
        return Err(Error::file(
            path,
            "channels",
            format!("{}, {}", told(first), told(other)),
            "choose channels of one rate and length",
        ));
    }
    let (rate, time) = (first.rate, first.samples);
    let epoch = (EPOCH_SECONDS * rate).round().max(1.0) as usize;
    let whole = time / epoch;
    if hypnogram.len() > whole && !accept.contains(&Accept::Incomplete) {
        return Err(Error::file(
            path,
            "hypnogram",
            format!("{} epochs, and signals of {whole}", hypnogram.len()),
            Accept::Incomplete.remedy("fetch the original file again"),
        ));
    }
    let epochs = hypnogram.iter().take(whole).enumerate();
    let trials = epochs.filter_map(|(i, stage)| {
        let class = usize::try_from(*stage).ok()?;
        let steps = i * epoch..(i + 1) * epoch;
        Some(Span { steps, class })
    });
    let trials: Vec<Span> = trials.collect();
    let mut signal = Array2::zeros((sensors.len(), time));
    for (sensor, mut row) in sensors.iter().zip(signal.rows_mut()) {
        row.assign(&night.read(sensor)?);
    }
    Ok(vec![Recording {
        name: subject.to_string(),
        signal: signal.insert_axis(Axis(2)),
        mask: None,
        sampling_rate: Some(rate),
        labels: Labels::Trials {
            trials,
            apart: false,
        },
        subject: Some(subject.to_string()),
        session: Some("0".into()),
        part,
    }])
}
