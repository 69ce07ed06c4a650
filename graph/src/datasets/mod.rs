//! Data sets by name, and folders described by a `dataset.toml`: from files to [`Dataset`].

mod about;
mod basic_motions;
mod bcicha;
mod biosignals;
mod channels;
mod description;
mod dodh;
mod eeg_eye_state;
mod eegmat;
mod electrodes;
mod finger_movements;
mod folder;
mod graph_file;
mod labels;
mod listing;
mod mamem;
mod manifest;
mod named;
mod options;
mod parts;
mod series;
mod ssvep_exo;
mod tusz;
mod variables;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cache::{self, CacheOptions, Made};
use crate::series::TimePolicy;
use crate::signal::FeatureConfig;
use crate::windows::{LazySet, Missing, RecordingSet, WindowConfig, cut};
use crate::{Dataset, DatasetInfo, Error, Recording, Result, SourceFile};

pub use biosignals::Trials;
pub use description::{Files, FolderConfig, ForecastFiles, GraphFiles, SplitFiles, Variables};
pub use electrodes::read_positions;
pub use listing::{Listed, Purpose, State, list};
use named::{NAMES, Named, SETS};
use options::OptionName;
pub use options::{Accept, Task};
pub use series::{
    SeriesConfig, SeriesSet, has_stamps, load_series, load_series_with, series_names,
};

/// Which data to load, and as what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetConfig {
    /// A name out of [`names`], or the path of a folder with a `dataset.toml`.
    pub name: String,
    /// Where the files of named sets are; `None`: `data` in the current folder, then `data` of
    /// the source tree.
    pub data_dir: Option<PathBuf>,
    /// Windows; `None`: those of the data set, mostly whole recordings.
    pub window: Option<WindowConfig>,
    /// Features; `None`: those of the data set, see [`default_features`].
    pub features: Option<FeatureConfig>,
    /// Only these subjects; empty: all.
    pub subjects: Vec<String>,
    /// What to do about missing values; `None`: what the data set says, mostly
    /// [`Missing::Error`].
    pub missing: Option<Missing>,
    /// What is to be told apart, where a set has two tasks; `None`: its first.
    pub task: Option<Task>,
    /// Channels by name, in the order of the nodes; empty: those of the data set.
    pub channels: Vec<String>,
    /// A table of the parts of files or subjects, relative to the folder of the data set, where a
    /// set can be given one.
    pub split_file: Option<PathBuf>,
    /// Faults of the files that are accepted instead of refused, where a set allows it.
    pub accept: Vec<Accept>,
    /// What to accept of the time stamps of a folder's tables, or of a series; `None`: what
    /// `dataset.toml` or the published protocol says, mostly nothing.
    pub clock: Option<TimePolicy>,
    /// Which years of a series to join, see [`SeriesConfig`]; empty: those of the protocol.
    pub years: Vec<u16>,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            name: "basic-motions".into(),
            data_dir: None,
            window: None,
            features: None,
            subjects: Vec::new(),
            missing: None,
            task: None,
            channels: Vec::new(),
            split_file: None,
            accept: Vec::new(),
            clock: None,
            years: Vec::new(),
        }
    }
}

impl DatasetConfig {
    /// What of it concerns a series.
    pub fn series(&self) -> SeriesConfig {
        SeriesConfig {
            name: self.name.clone(),
            data_dir: self.data_dir.clone(),
            clock: self.clock,
            years: self.years.clone(),
        }
    }
}

/// The recordings of a data set.
pub enum Recordings {
    /// In memory.
    Read(RecordingSet),
    /// To be read file by file.
    Lazy(LazySet),
}

impl Recordings {
    fn info(&self) -> &DatasetInfo {
        match self {
            Self::Read(set) => &set.info,
            Self::Lazy(set) => &set.shared.info,
        }
    }

    fn sources(&self) -> Result<Vec<SourceFile>> {
        match self {
            Self::Read(set) => Ok(set.sources.clone()),
            Self::Lazy(set) => set.sources(),
        }
    }

    /// All of them in memory.
    ///
    /// # Errors
    /// As [`LazySet::read`].
    pub fn read(self) -> Result<RecordingSet> {
        match self {
            Self::Read(set) => Ok(set),
            Self::Lazy(set) => set.read(),
        }
    }
}

/// Recordings and how their authors would have them seen.
struct Loaded {
    recordings: Recordings,
    features: FeatureConfig,
    window: WindowConfig,
    missing: Missing,
}

enum Choice {
    Named(&'static Named),
    Folder(PathBuf),
}

/// Names of the data sets that are known without a `dataset.toml`.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// Reads a data set and makes windows of features of it.
///
/// # Errors
/// [`Error::Unknown`] for a name or subject that is not there; [`Error::Io`] and [`Error::File`]
/// for files that are missing or wrong; [`Error::Config`] for options that do not fit the data,
/// see [`cut`].
///
/// ```no_run
/// use tgmamba_graph::datasets::{DatasetConfig, load};
/// let data = load(&DatasetConfig::default())?;
/// println!("{:?} {:?}", data.x.dim(), data.classes);
/// # Ok::<(), tgmamba_graph::Error>(())
/// ```
pub fn load(config: &DatasetConfig) -> Result<Dataset> {
    load_with(config, &CacheOptions::default())
}

/// [`load`], with a say in whether and where windows are kept for the next time. The windows are
/// the same, bit by bit, wherever they come from.
///
/// # Errors
/// As [`load`]. What goes wrong with the cache itself is a warning.
pub fn load_with(config: &DatasetConfig, options: &CacheOptions) -> Result<Dataset> {
    let data_dir = config.data_dir.as_deref();
    let (set, roots) = match choose(&config.name, data_dir)? {
        Choice::Named(named) => (named.name, roots(data_dir)),
        Choice::Folder(folder) => ("folder", vec![folder]),
    };
    let request = cache::Request {
        parameters: json!([set, choices(config)]),
        roots,
    };
    cache::through(
        options,
        &request,
        || {
            let loaded = read(config)?;
            Ok(Loaded {
                window: config.window.clone().unwrap_or(loaded.window),
                features: config.features.clone().unwrap_or(loaded.features),
                missing: config.missing.unwrap_or(loaded.missing),
                recordings: loaded.recordings,
            })
        },
        |l| {
            let others = DatasetConfig {
                window: None,
                features: None,
                missing: None,
                ..choices(config)
            };
            let resolved = (&l.window, &l.features, l.missing);
            let info = l.recordings.info();
            Ok((
                json!([set, others, resolved, info]),
                l.recordings.sources()?,
            ))
        },
        |l, keeper| match l.recordings {
            Recordings::Read(set) => {
                cut(set, &l.window, &l.features, l.missing).map(|made| keeper.whole(made))
            }
            Recordings::Lazy(set) => {
                let masked = set.gaps || l.missing == Missing::Mask || l.features.reject.is_some();
                let parts = || set.parts(&l.window, &l.features, l.missing);
                let sources = set.sources()?;
                Ok(match keeper.parts(masked, parts)? {
                    Made::InMemory(made) => Made::InMemory(Dataset { sources, ..made }),
                    kept => kept,
                })
            }
        },
    )
}

/// Reads the recordings of a data set as they are in its files. Errors as [`load`].
pub fn load_recordings(config: &DatasetConfig) -> Result<RecordingSet> {
    read(config)?.recordings.read()
}

/// The recordings of a data set as they are in its files; those of large sets are not read before
/// they are wanted. Errors as [`load`].
pub fn open_recordings(config: &DatasetConfig) -> Result<Recordings> {
    Ok(read(config)?.recordings)
}

/// The features used where a configuration gives none.
///
/// # Errors
/// As [`load`] for names; [`Error::File`] for a `dataset.toml` that cannot be read.
pub fn default_features(name: &str) -> Result<FeatureConfig> {
    match choose(name, None)? {
        Choice::Named(set) => Ok((set.features)()),
        Choice::Folder(folder) => Ok(FolderConfig::read(&folder)?.features.unwrap_or_default()),
    }
}

fn read(config: &DatasetConfig) -> Result<Loaded> {
    let mut loaded = match choose(&config.name, config.data_dir.as_deref())? {
        Choice::Named(set) => Loaded {
            recordings: (set.open)(config)?,
            features: (set.features)(),
            window: (set.window)(),
            missing: set.missing,
        },
        Choice::Folder(folder) => {
            config.only(&config.name, &[OptionName::Accept, OptionName::Clock])?;
            let description = FolderConfig::read(&folder)?.accepting(config)?;
            return Ok(Loaded {
                recordings: folder::open(&folder, &description, config)?,
                features: description.features.unwrap_or_default(),
                window: description.window.unwrap_or_default(),
                missing: description.missing,
            });
        }
    };
    if let Recordings::Read(set) = &mut loaded.recordings {
        keep_subjects(set, &config.subjects)?;
        channels::keep(set, &config.channels)?;
    }
    Ok(loaded)
}

fn choose(name: &str, data_dir: Option<&Path>) -> Result<Choice> {
    let hyphens = name.replace('_', "-");
    if let Some(known) = SETS.iter().find(|s| s.name == hyphens) {
        return Ok(Choice::Named(known));
    }
    let path = PathBuf::from(name);
    let candidates = [Some(path.clone()), data_dir.map(|d| d.join(&path))];
    for folder in candidates.into_iter().flatten() {
        if folder.file_name().is_some_and(|f| f == "dataset.toml") && folder.is_file() {
            let parent = folder.parent().unwrap_or(Path::new(".")).to_path_buf();
            return Ok(Choice::Folder(parent));
        }
        if folder.join("dataset.toml").is_file() {
            return Ok(Choice::Folder(folder));
        }
        if folder.is_dir() {
            return Err(Error::file(
                folder.join("dataset.toml"),
                "data set",
                "the folder has no such file",
                "write one that says at least files = \"*.npz\" and layout = \"samples nodes \
                 time\"",
            ));
        }
    }
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(Error::file(
            path,
            "data set",
            "no such folder",
            format!(
                "give a folder with a dataset.toml, or one of {}",
                NAMES.join(", ")
            ),
        ));
    }
    Err(Error::unknown("data set", name, &NAMES))
}

fn keep_subjects(set: &mut RecordingSet, subjects: &[String]) -> Result<()> {
    if subjects.is_empty() {
        return Ok(());
    }
    let mut known: Vec<&str> = set
        .recordings
        .iter()
        .filter_map(|r| r.subject.as_deref())
        .collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return Err(Error::config(
            "subjects",
            format!("data set {} does not tell its subjects", set.info.name),
            "leave the choice of subjects out",
        ));
    }
    for subject in subjects {
        if !known.contains(&subject.as_str()) {
            return Err(Error::unknown("subject", subject, &known));
        }
    }
    set.recordings.retain(|r| of_subjects(r, subjects));
    Ok(())
}

/// Whether a recording is of one of `subjects`; none stands for all.
fn of_subjects(r: &Recording, subjects: &[String]) -> bool {
    let of = |s: &String| subjects.contains(s);
    subjects.is_empty() || r.subject.as_ref().is_some_and(of)
}

/// Everything in a configuration that decides what the windows are, but where the files lie: that
/// their content tells. A field that is new has a say at once.
fn choices(config: &DatasetConfig) -> DatasetConfig {
    DatasetConfig {
        name: String::new(),
        data_dir: None,
        ..config.clone()
    }
}

/// Where the folders of named sets are looked for.
fn roots(data_dir: Option<&Path>) -> Vec<PathBuf> {
    match data_dir {
        Some(dir) => vec![dir.to_path_buf()],
        // The second is where the source was compiled; the first wins in an installed program.
        None => vec![
            PathBuf::from("data"),
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../data"),
        ],
    }
}

/// The folder that holds `marker` (a file): one of `folders` in the data directory, or that
/// directory itself.
fn find(data_dir: Option<&Path>, folders: &[&str], marker: &str) -> Result<PathBuf> {
    let roots = roots(data_dir);
    let inside = roots
        .iter()
        .flat_map(|r| folders.iter().map(move |f| r.join(f)));
    inside
        .chain(data_dir.map(Path::to_path_buf))
        .find(|f| f.join(marker).is_file())
        .ok_or_else(|| {
            let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
            Error::config(
                "data_dir",
                format!(
                    "no {}/{marker} in {}",
                    folders.first().unwrap_or(&"."),
                    looked.join(" or ")
                ),
                "get the files (see the README for where from) and name their folder with \
                 --data-dir",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_suggest_the_nearest() {
        let with = |name: &str| {
            load(&DatasetConfig {
                name: name.into(),
                ..Default::default()
            })
            .unwrap_err()
            .to_string()
        };
        assert!(with("basic-motion").contains("did you mean \"basic-motions\""));
        assert!(with("./nowhere").contains("no such folder"));
        let folder = tempfile::tempdir().unwrap();
        let text = with(&folder.path().display().to_string());
        assert!(
            text.contains("dataset.toml") && text.contains("layout"),
            "{text}"
        );
    }

    #[test]
    fn missing_files_say_where_they_were_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            let config = DatasetConfig {
                name: name.to_string(),
                data_dir: Some(folder.path().into()),
                ..Default::default()
            };
            let text = load(&config).unwrap_err().to_string();
            assert!(text.contains("--data-dir"), "{text}");
            assert!(
                text.contains(&folder.path().display().to_string()),
                "{text}"
            );
        }
    }

    #[test]
    fn every_name_has_features() {
        for name in NAMES {
            assert!(default_features(name).is_ok(), "{name}");
        }
        assert_eq!(
            default_features("ssvep_exo").unwrap(),
            default_features("ssvep-exo").unwrap()
        );
    }

    #[test]
    fn unknown_subjects_are_errors() {
        let config = DatasetConfig {
            subjects: vec!["subject01".into()],
            ..Default::default()
        };
        let text = load(&config).unwrap_err().to_string();
        assert!(text.contains("does not tell its subjects"), "{text}");
    }
}
