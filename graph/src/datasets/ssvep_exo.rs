//! SSVEP exoskeleton (Kalunga et al. 2016): 12 subjects, 8 occipital electrodes, a lamp
//! flickering at 13, 17 or 21 Hz, or none.
//!
//! Read from `subjectNN.npz`, each with `x` (trials, 8, 1280) from the cue on at 256 Hz, `y` (0
//! rest, 1 13 Hz, 2 21 Hz, 3 17 Hz) and `session`; where these are not there, from the continuous
//! recordings (GDF) of the authors' repository, which give the same trials. The trials come in
//! nearly the same order in every session, so their position would give the label away: it is in
//! no feature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{Axis, Ix3, s};

use super::options::check_subjects;
use super::{electrodes, find};
use crate::formats::biosignal::RecordingOptions;
use crate::formats::gdf;
use crate::formats::npy::Npz;
use crate::signal::{FeatureConfig, Transform};
use crate::windows::RecordingSet;
use crate::{Error, Labels, Recording, Result, SourceFile, fetch, files};

const SENSORS: [&str; 8] = ["Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"];
const CLASSES: [&str; 4] = ["rest", "13 Hz", "21 Hz", "17 Hz"];
const RATE: f64 = 256.0;

/// Sessions that the authors exclude, and one that is a copy of another subject's.
const LEFT_OUT: [(&str, &str); 6] = [
    ("subject07", "2012.07.11-15.33.08"),
    ("subject08", "2013.04.06-16.22.32"),
    ("subject10", "2014.02.26-15.10.48"),
    ("subject10", "2014.02.26-15.50.09"),
    ("subject11", "2014.02.24-17.56.37"),
    ("subject11", "2014.02.24-18.02.40"),
];

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
    let all: Vec<String> = (1..=12).map(|n| format!("subject{n:02}")).collect();
    check_subjects(subjects, &all)?;
    let wanted = |subject: &String| subjects.is_empty() || subjects.contains(subject);
    let chosen: Vec<String> = all.iter().filter(|s| wanted(s)).cloned().collect();
    let (folder, recordings, mut sources) =
        match find(data_dir, &["ssvep_exo", "ssvep-exo"], "subject01.npz") {
            Ok(folder) => trials(folder, &chosen)?,
            Err(missing) => match gdf_files(data_dir) {
                Some((folder, files)) => continuous(folder, &files, &chosen)?,
                None => return Err(missing),
            },
        };
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

type Read = (PathBuf, Vec<Recording>, Vec<SourceFile>);

/// The trials of `subjectNN.npz`.
fn trials(folder: PathBuf, subjects: &[String]) -> Result<Read> {
    let mut recordings = Vec::new();
    let mut sources = Vec::new();
    for subject in subjects {
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
    Ok((folder, recordings, sources))
}

/// The folder and the files of continuous recordings, as in the authors' repository
/// (`subjectNN/record-[DATE].gdf`) or in one folder (`subjectNN_DATE.gdf`).
fn gdf_files(data_dir: Option<&Path>) -> Option<(PathBuf, Vec<Continuous>)> {
    let root = data_dir.unwrap_or(Path::new("data"));
    let folders = ["ssvep_exo", "ssvep-exo", "dataset-ssvep-exoskeleton", "."];
    folders.iter().find_map(|folder| {
        let folder = root.join(folder);
        let plain = glob::Pattern::escape(&folder.to_string_lossy());
        let mut files = Vec::new();
        for pattern in ["subject*/record-*.gdf", "subject*.gdf"] {
            let found = glob::glob(&format!("{plain}/{pattern}")).ok()?;
            files.extend(found.flatten().filter_map(Continuous::of));
        }
        files.sort();
        (!files.is_empty()).then_some((folder, files))
    })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Continuous {
    subject: String,
    /// Date and time of the recording, as in its name.
    date: String,
    path: PathBuf,
}

impl Continuous {
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_stem()?.to_str()?;
        let (subject, date) = match name.strip_prefix("record-") {
            Some(date) => (path.parent()?.file_name()?.to_str()?, date),
            None => name.split_once('_')?,
        };
        Some(Self {
            subject: subject.to_string(),
            date: date.trim_matches(['[', ']']).to_string(),
            path,
        })
    }
}

/// Trials cut from continuous recordings: 5 s from the event 32779 (the lamps start), which
/// follows half a second after one of 33024 to 33027 (the class is announced).
fn continuous(folder: PathBuf, files: &[Continuous], subjects: &[String]) -> Result<Read> {
    let classes: BTreeMap<String, usize> = (0..CLASSES.len())
        .map(|class| ((33_024 + class).to_string(), class))
        .collect();
    let options = RecordingOptions {
        channels: SENSORS.map(String::from).to_vec(),
        ..Default::default()
    };
    // Events count samples from 1, but the authors' own trials take that number for one from 0.
    let start = 0.5 + 1.0 / RATE;
    let mut recordings = Vec::new();
    let mut sources = Vec::new();
    for Continuous {
        subject,
        date,
        path,
    } in files
    {
        let left_out = LEFT_OUT.contains(&(subject.as_str(), date.as_str()));
        if left_out || !subjects.contains(subject) {
            continue;
        }
        let file = gdf::open(path)?;
        let (_, trials) = file.trials(&options, &classes, [start, start + 5.0])?;
        for (i, trial) in trials.into_iter().enumerate() {
            if trial.sampling_rate != Some(RATE) {
                return Err(Error::file(
                    path,
                    "duration of a record",
                    format!("does not make {RATE} samples per second"),
                    "fetch the original file again",
                ));
            }
            recordings.push(Recording {
                name: format!("{subject}/{date}/trial{i}"),
                subject: Some(subject.clone()),
                session: Some(date.clone()),
                ..trial
            });
        }
        sources.push(files::source_file(path)?);
    }
    Ok((folder, recordings, sources))
}
