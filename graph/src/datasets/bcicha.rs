//! BCI Challenge at NER 2015 (Kaggle): was the letter that a P300 speller chose the right one? 16
//! subjects, 56 electrodes at 200 Hz, from the moment they see it.
//!
//! **Files** in `bcicha` (or `inria-bci-challenge`): `train/Data_S02_Sess01.csv` and so on, each with
//! the columns `Time`, 56 electrodes, `EOG` and `FeedBackEvent` (1 where a letter is shown);
//! `TrainLabels.csv` with `IdFeedBack` (`S02_Sess01_FB001`) and `Prediction` (1 right, 0 wrong);
//! `ChannelsLocation.csv` with places, if it is there.
//!
//! **Windows and features**, unless others are asked for: band-pass 1 to 40 Hz over the session, 128
//! Hz, 1.25 s from each feedback: (56, 160), as Lawhern et al. and Pan et al. prepare them.
//! `features.crop_seconds` chooses another stretch, counted from the feedback.
//!
//! **Parts.** In order of time, for every subject: sessions 1 to 3 train (180 feedbacks), 4 validates
//! (60), 5 tests (100). Pan et al. and TGMamba train a model for each subject: choose one with
//! `subjects`. The ten subjects of the competition's test set have no labels.
//!
//! Sources: kaggle.com/c/inria-bci-challenge; Margaux et al. 2012; Lawhern et al., "EEGNet: a compact
//! convolutional network for EEG-based brain-computer interfaces", Journal of Neural Engineering
//! 15(5), 2018; Pan, Chou, Wei, "MAtt: a manifold attention network for EEG decoding", NeurIPS 2022.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3};

use super::options::{Accept, check_subjects};
use super::{DatasetConfig, about, electrodes};
use crate::electrodes::{SCALP_RADIUS, normalise_channel_name};
use crate::formats::csv::{CsvConfig, read_cells, read_table};
use crate::signal::{FeatureConfig, Initial, ResampleMethod, Step};
use crate::windows::{LazySet, RecordingSet, Shard, WindowConfig};
use crate::{Error, Labels, Part, Recording, Result, SourceFile, Span, fetch, files};

const SENSORS: [&str; 56] = [
    "Fp1", "Fp2", "AF7", "AF3", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8",
    "FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz",
    "C2", "C4", "C6", "T8", "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7",
    "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7", "POz", "PO8", "O1", "O2",
];
const CLASSES: [&str; 2] = ["wrong", "right"];
const RATE: f64 = 200.0;
const SESSIONS: usize = 5;
/// Seconds from a feedback that are used.
const TRIAL: f64 = 1.25;
/// Radius in `ChannelsLocation.csv` of the circumference through Fpz, T7, Oz and T8.
const EQUATOR: f64 = 0.36;

pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        steps: vec![
            Step::Butterworth {
                highpass_hz: Some(1.0),
                lowpass_hz: Some(40.0),
                stop_hz: None,
                order: 4,
                zero_phase: true,
                initial: Initial::Steady,
            },
            Step::Resample {
                hz: 128.0,
                method: ResampleMethod::Polyphase,
            },
        ],
        crop_seconds: Some([0.0, TRIAL]),
        ..Default::default()
    }
}

/// A window for each trial.
pub(super) fn window() -> WindowConfig {
    WindowConfig::default()
}

/// A file and what is known of its feedbacks.
struct Session {
    path: PathBuf,
    subject: String,
    number: usize,
    /// Classes in the order of the feedbacks; `None`: there are no labels.
    classes: Option<Vec<usize>>,
}

/// What is made of every file.
#[derive(Clone)]
struct Plan {
    sensors: Vec<String>,
    accept: Vec<Accept>,
    /// Samples of a trial.
    trial: usize,
}

pub(super) fn open(config: &DatasetConfig) -> Result<LazySet> {
    let known = [
        Accept::Unlabelled,
        Accept::MissingSessions,
        Accept::Incomplete,
        Accept::Breaks,
    ];
    config.accepts_only("bcicha", &known)?;
    let (folder, sessions, label_file) = list(config)?;
    let sensors = config.electrodes(&SENSORS);
    let (positions, table) = positions(config, &folder, &sensors)?;
    let crop = match &config.features {
        Some(features) => features.crop_seconds,
        None => features().crop_seconds,
    };
    let seconds = crop.map_or(TRIAL, |[_, end]| end);
    let trial = (seconds * RATE).round();
    if !(1.0..1e7).contains(&trial) {
        return Err(Error::config(
            "features.crop_seconds",
            format!("a trial of {seconds} s has no sample"),
            "count seconds from the feedback",
        ));
    }
    let plan = Plan {
        sensors: sensors.clone(),
        accept: config.accept.clone(),
        trial: trial as usize,
    };
    let mut sources = vec![files::source_file(&label_file)?];
    sources.extend(table);
    let shards = sessions.into_iter().map(|session| {
        let plan = plan.clone();
        Shard::new(vec![session.path.clone()], move || plan.read(&session))
    });
    let info = fetch::info("bcicha").unwrap_or_default();
    let shared = RecordingSet {
        positions: Some(positions),
        sources,
        ..RecordingSet::new(info, sensors, &CLASSES)
    };
    Ok(LazySet::new(shared, shards.collect()))
}

/// The folder, its sessions in order, and the file of labels.
fn list(config: &DatasetConfig) -> Result<(PathBuf, Vec<Session>, PathBuf)> {
    const LABELS: &str = "TrainLabels.csv";
    let data_dir = config.data_dir.as_deref();
    let mut folders = about::places("bcicha", data_dir).into_iter();
    let Some(folder) = folders.find(|f| f.join(LABELS).is_file()) else {
        return Err(about::missing(
            "bcicha",
            &format!("bcicha/{LABELS}"),
            data_dir,
        ));
    };
    let label_file = folder.join(LABELS);
    let mut labels = labels(&label_file)?;
    let mut sessions = Vec::new();
    for place in [folder.join("train"), folder.clone()] {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some((subject, number)) = whose(&path) else {
                continue;
            };
            sessions.push(Session {
                path,
                classes: labels.remove(&(subject.clone(), number)),
                subject,
                number,
            });
        }
        if !sessions.is_empty() {
            break;
        }
    }
    if sessions.is_empty() {
        let problem = "no Data_S02_Sess01.csv or another of its kind in it or in train";
        return Err(Error::file(&folder, "files", problem, about::how("bcicha")));
    }
    sessions.sort_by(|a, b| (&a.subject, a.number).cmp(&(&b.subject, b.number)));
    let subjects: BTreeSet<String> = sessions.iter().map(|s| s.subject.clone()).collect();
    check_subjects(&config.subjects, &subjects)?;
    if !config.subjects.is_empty() {
        sessions.retain(|s| config.subjects.contains(&s.subject));
    }
    let wanted = |s: &&String| config.subjects.is_empty() || config.subjects.contains(*s);
    let mut missing = Vec::new();
    for subject in subjects.iter().filter(wanted) {
        for number in 1..=SESSIONS {
            let there = |s: &Session| s.subject == *subject && s.number == number;
            if !sessions.iter().any(there) {
                missing.push(format!("Data_{subject}_Sess{number:02}.csv"));
            }
        }
    }
    if !missing.is_empty() {
        let told = missing.join(", ");
        if !config.accepts(Accept::MissingSessions) {
            let remedy = Accept::MissingSessions.remedy("unpack all of train.zip");
            return Err(Error::file(
                &folder,
                "files",
                format!("{told} not there"),
                remedy,
            ));
        }
        log::warn!("{}: without {told}", folder.display());
    }
    Ok((folder, sessions, label_file))
}

/// Subject and session of `Data_S02_Sess01.csv`.
fn whose(path: &Path) -> Option<(String, usize)> {
    let name = path.file_name()?.to_str()?;
    split_name(name.strip_prefix("Data_")?.strip_suffix(".csv")?)
}

/// `S02_Sess01` as subject and number of the session.
fn split_name(name: &str) -> Option<(String, usize)> {
    let (subject, session) = name.split_once('_')?;
    let digits = subject.strip_prefix('S')?;
    let numbered = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = session.strip_prefix("Sess")?.parse().ok()?;
    (numbered && (1..=SESSIONS).contains(&number)).then(|| (subject.to_string(), number))
}

/// Classes of the feedbacks of every session, in their order.
fn labels(path: &Path) -> Result<BTreeMap<(String, usize), Vec<usize>>> {
    let cells = read_cells(path, &CsvConfig::default())?;
    let column = |name: &str| cells.require(name, path, "fetch the original file again");
    let rows = column("IdFeedBack")?.iter().zip(column("Prediction")?);
    let mut numbered: BTreeMap<(String, usize), BTreeMap<usize, usize>> = BTreeMap::new();
    for (name, class) in rows {
        let wrong =
            |problem: &str| Error::file(path, name, problem, "fetch the original file again");
        let parts = name.rsplit_once("_FB").and_then(|(session, number)| {
            Some((split_name(session)?, number.parse::<usize>().ok()?))
        });
        let (session, number) = parts.ok_or_else(|| wrong("is not like S02_Sess01_FB001"))?;
        let class = match class.as_str() {
            "0" => 0,
            "1" => 1,
            _ => return Err(wrong("is neither 0 nor 1")),
        };
        if numbered
            .entry(session)
            .or_default()
            .insert(number, class)
            .is_some()
        {
            return Err(wrong("is there twice"));
        }
    }
    let mut out = BTreeMap::new();
    for ((subject, session), classes) in numbered {
        // Feedbacks are numbered from 1 without a gap.
        if classes.keys().copied().ne(1..=classes.len()) {
            let name = format!("{subject}_Sess{session:02}");
            let problem = "the numbers of its feedbacks have a gap";
            return Err(Error::file(
                path,
                name,
                problem,
                "fetch the original file again",
            ));
        }
        out.insert((subject, session), classes.into_values().collect());
    }
    Ok(out)
}

/// Positions out of `ChannelsLocation.csv` (Labels, Radius, Phi), else of the standard electrodes.
fn positions(
    config: &DatasetConfig,
    folder: &Path,
    sensors: &[String],
) -> Result<(Array2<f64>, Option<SourceFile>)> {
    let path = folder.join("ChannelsLocation.csv");
    if !path.is_file() {
        return electrodes::standard(config.data_dir.as_deref(), folder, sensors);
    }
    let cells = read_cells(&path, &CsvConfig::default())?;
    let wrong = |field: &str, problem: String| {
        Error::file(&path, field, problem, "fetch the original file again")
    };
    let column = |name: &str| cells.require(name, &path, "fetch the original file again");
    let (labels, radii, angles) = (column("Labels")?, column("Radius")?, column("Phi")?);
    let mut out = Array2::zeros((sensors.len(), 3));
    for (sensor, mut row) in sensors.iter().zip(out.rows_mut()) {
        let place = labels
            .iter()
            .position(|l| normalise_channel_name(l) == *sensor);
        let place = place.ok_or_else(|| wrong(sensor, "the electrode has no place".into()))?;
        let number = |text: &str| {
            let number = text.parse().ok().filter(|n: &f64| n.is_finite());
            number.ok_or_else(|| wrong(sensor, format!("{text:?} is no number")))
        };
        // Azimuthal equidistant: the radius is the angle from the vertex, Phi turns from the nose to
        // the right.
        let polar = number(&radii[place])? / EQUATOR * std::f64::consts::FRAC_PI_2;
        let turn = number(&angles[place])?.to_radians();
        let direction = [
            turn.sin() * polar.sin(),
            turn.cos() * polar.sin(),
            polar.cos(),
        ];
        for (to, from) in row.iter_mut().zip(direction) {
            *to = SCALP_RADIUS * from;
        }
    }
    Ok((out, Some(files::source_file(&path)?)))
}

impl Plan {
    fn accepts(&self, fault: Accept) -> bool {
        self.accept.contains(&fault)
    }

    fn read(&self, session: &Session) -> Result<Vec<Recording>> {
        let path = &session.path;
        let unlabelled = |problem: String| -> Result<Vec<Recording>> {
            if self.accepts(Accept::Unlabelled) {
                log::warn!("{}: left out, {problem}", path.display());
                return Ok(Vec::new());
            }
            let remedy = Accept::Unlabelled.remedy("fetch the original files again");
            Err(Error::file(path, "labels", problem, remedy))
        };
        let Some(classes) = &session.classes else {
            return unlabelled("TrainLabels.csv has none for it".into());
        };
        let table = read_table(path, &CsvConfig::default())?;
        let wrong = |field: &str, problem: String| {
            Error::file(path, field, problem, "fetch the original file again")
        };
        let place = |found: &dyn Fn(&str) -> bool| table.columns.iter().position(|c| found(c));
        let missing = |name: &str| wrong("header", format!("no column {name}"));
        let events = place(&|c| c == "FeedBackEvent").ok_or_else(|| missing("FeedBackEvent"))?;
        let places = self
            .sensors
            .iter()
            .map(|s| place(&|c| normalise_channel_name(c) == *s).ok_or_else(|| missing(s)))
            .collect::<Result<Vec<usize>>>()?;
        let values = &table.values;
        let gaps = match place(&|c| c == "Time") {
            Some(time) => gaps(path, values.column(time).iter().copied())?,
            None => Vec::new(),
        };
        if let (Some(row), false) = (gaps.first(), self.accepts(Accept::Breaks)) {
            let problem = format!(
                "the clock has {} gaps, the first before row {row}",
                gaps.len()
            );
            let remedy = Accept::Breaks.remedy("fetch the original file again");
            return Err(Error::file(path, "Time", problem, remedy));
        }
        let event = |row: usize| values[[row, events]] != 0.0;
        let rows = values.nrows();
        let shown: Vec<usize> = (0..rows)
            .filter(|row| event(*row) && (*row == 0 || !event(row - 1)))
            .collect();
        if shown.len() != classes.len() {
            let problem = format!("{} labels for {} feedbacks", classes.len(), shown.len());
            return unlabelled(problem);
        }
        let mut trials = Vec::new();
        for (i, (start, class)) in shown.into_iter().zip(classes).enumerate() {
            let steps = start..start + self.trial;
            if let Some(gap) = gaps.iter().find(|g| steps.contains(g) && **g > start) {
                log::warn!(
                    "{}: feedback {} left out, gap at row {gap}",
                    path.display(),
                    i + 1
                );
            } else if steps.end <= rows {
                trials.push(Span {
                    steps,
                    class: *class,
                });
            } else {
                let problem = format!("ends {} samples after feedback {}", rows - start, i + 1);
                if !self.accepts(Accept::Incomplete) {
                    let remedy = Accept::Incomplete.remedy("use a shorter stretch");
                    return Err(Error::file(path, "FeedBackEvent", problem, remedy));
                }
                log::warn!("{}: left out, {problem}", path.display());
            }
        }
        let signal =
            Array3::from_shape_fn((places.len(), rows, 1), |(v, t, _)| values[[t, places[v]]]);
        Ok(vec![Recording {
            name: format!("{}/session{}", session.subject, session.number),
            signal,
            mask: None,
            sampling_rate: Some(RATE),
            labels: Labels::Trials {
                trials,
                apart: true,
            },
            subject: Some(session.subject.clone()),
            session: Some(session.number.to_string()),
            part: Some(match session.number {
                4 => Part::Validation,
                5 => Part::Test,
                _ => Part::Train,
            }),
        }])
    }
}

/// Rows before which the clock jumps, of times in seconds that rise by 1 / 200 from row to row.
fn gaps(path: &Path, times: impl Iterator<Item = f32>) -> Result<Vec<usize>> {
    let times: Vec<f64> = times.map(f64::from).collect();
    let mut steps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let jumps = steps.iter().enumerate();
    let jumps = jumps.filter(|(_, s)| !(-0.5..1.5).contains(&(**s * RATE - 0.5)));
    let gaps = jumps.map(|(row, _)| row + 1).collect();
    steps.sort_by(f64::total_cmp);
    match steps.get(steps.len() / 2) {
        // Times are written with few digits.
        Some(middle) if (middle * RATE - 1.0).abs() > 0.05 => Err(Error::file(
            path,
            "Time",
            format!("rises by {middle} s from row to row, not by {}", 1.0 / RATE),
            "fetch the original file, of 200 Hz",
        )),
        _ => Ok(gaps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let of = |name: &str| whose(Path::new(name));
        assert_eq!(of("x/Data_S02_Sess01.csv"), Some(("S02".into(), 1)));
        assert_eq!(of("Data_S26_Sess05.csv"), Some(("S26".into(), 5)));
        for other in [
            "Data_S02_Sess06.csv",
            "Data_02_Sess01.csv",
            "Data_S_Sess01.csv",
            "S02_Sess01.csv",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn clocks() {
        let path = Path::new("a.csv");
        let at = |n: usize, step: f64| (0..n).map(move |i| (i as f64 * step) as f32);
        // Single precision, ten minutes in.
        let late: Vec<f32> = at(400, 1.0 / RATE).map(|t| t + 600.0).collect();
        assert!(gaps(path, late.into_iter()).unwrap().is_empty());
        let jump = at(300, 1.0 / RATE).map(|t| if t > 0.9999 { t + 0.5 } else { t });
        assert_eq!(gaps(path, jump).unwrap(), [200]);
        let back = at(300, 1.0 / RATE).map(|t| if t > 0.9999 { t - 0.5 } else { t });
        assert_eq!(gaps(path, back).unwrap(), [200]);
        assert!(gaps(path, at(300, 0.01)).is_err());
        assert!(gaps(path, at(0, 1.0)).unwrap().is_empty());
    }
}
