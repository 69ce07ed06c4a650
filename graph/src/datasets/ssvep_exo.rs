//! SSVEP exoskeleton (Kalunga et al. 2016): 12 subjects, 8 occipital electrodes, a lamp
//! flickering at 13, 17 or 21 Hz, or none.
//!
//! Read from `subjectNN.npz`, each with `x` (trials, 8, 1280) from the cue on at 256 Hz, `y` (0
//! rest, 1 13 Hz, 2 21 Hz, 3 17 Hz) and `session`. The trials come in nearly the same order in
//! every session, so their position would give the label away: it is in no feature.

use std::path::Path;

use ndarray::{Axis, Ix3, s};

use super::{electrodes, find};
use crate::formats::npy::Npz;
use crate::signal::{FeatureConfig, Transform};
use crate::windows::RecordingSet;
use crate::{Error, Labels, Recording, Result, fetch, files};

const SENSORS: [&str; 8] = ["Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"];
const CLASSES: [&str; 4] = ["rest", "13 Hz", "21 Hz", "17 Hz"];
const RATE: f64 = 256.0;

/// Frequencies of the lamps and their second harmonics, hertz.
const FREQUENCIES: [f64; 6] = [13.0, 17.0, 21.0, 26.0, 34.0, 42.0];

/// Power in a band of 1 Hz around each frequency, in frames of 2 s every half second, from one
/// second after the cue.
pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        transform: Transform::BandPower {
            bands: FREQUENCIES.map(|f| [f - 0.5, f + 0.5]).to_vec(),
            window_seconds: 2.0,
            hop_seconds: 0.5,
        },
        crop_seconds: Some([1.0, 5.0]),
        ..Default::default()
    }
}

pub(super) fn read(data_dir: Option<&Path>, subjects: &[String]) -> Result<RecordingSet> {
    let folder = find(data_dir, &["ssvep_exo", "ssvep-exo"], "subject01.npz")?;
    let mut recordings = Vec::new();
    let mut sources = Vec::new();
    let all: Vec<String> = (1..=12).map(|n| format!("subject{n:02}")).collect();
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    if let Some(other) = subjects.iter().find(|s| !all.contains(s)) {
        return Err(Error::unknown("subject", other, &known));
    }
    for subject in &all {
        if !subjects.is_empty() && !subjects.contains(subject) {
            continue;
        }
        let path = folder.join(format!("{subject}.npz"));
        let mut npz = Npz::open(&path)?;
        let again = "fetch the original file again";
        let x = npz.read("x")?.into_f32(&path, "x")?;
        let x = x
            .into_dimensionality::<Ix3>()
            .ok()
            .filter(|x| x.len_of(Axis(1)) == SENSORS.len())
            .ok_or_else(|| Error::file(&path, "x", "is not (trials, 8, time)", again))?;
        let trials = x.len_of(Axis(0));
        let mut whole = |name: &str| -> Result<Vec<i64>> {
            let values = npz.read(name)?.into_i64(&path, name)?;
            if values.shape() != [trials] {
                let problem = format!("has shape {:?}, not ({trials})", values.shape());
                return Err(Error::file(&path, name, problem, again));
            }
            Ok(values.into_iter().collect())
        };
        let (y, session) = (whole("y")?, whole("session")?);
        for (i, trial) in x.outer_iter().enumerate() {
            let class = usize::try_from(y[i])
                .ok()
                .filter(|c| *c < CLASSES.len())
                .ok_or_else(|| {
                    let problem = format!("trial {i} has class {}, not 0 to 3", y[i]);
                    Error::file(&path, "y", problem, again)
                })?;
            recordings.push(Recording {
                name: format!("{subject}/session{}/trial{i}", session[i]),
                signal: trial.slice(s![.., .., ndarray::NewAxis]).to_owned(),
                mask: None,
                sampling_rate: Some(RATE),
                labels: Labels::Whole(class),
                subject: Some(subject.clone()),
                session: Some(session[i].to_string()),
                part: None,
            });
        }
        sources.push(files::source_file(path)?);
    }
    let sensors = SENSORS.map(String::from).to_vec();
    let (positions, table) = electrodes::standard(data_dir, &folder, &sensors)?;
    sources.extend(table);
    Ok(RecordingSet {
        info: fetch::info("ssvep-exo").unwrap_or_default(),
        sensors,
        positions: Some(positions),
        adjacency: None,
        classes: CLASSES.map(String::from).to_vec(),
        recordings,
        sources,
    })
}
