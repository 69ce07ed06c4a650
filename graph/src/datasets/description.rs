//! What a `dataset.toml` says: the description of a data set of one's own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::biosignals::Trials;
use super::{Accept, DatasetConfig};
use crate::formats::biosignal::{Breaks, MixedRates, RecordingOptions};
use crate::formats::csv::CsvConfig;
use crate::series::TimePolicy;
use crate::signal::FeatureConfig;
use crate::windows::{Missing, WindowConfig};
use crate::{DatasetInfo, Error, Result, files};

/// File names or patterns (`*.npz`), relative to the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for Files {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Files {
    /// The names and patterns.
    pub fn patterns(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Names of arrays in `.npz` and `.mat` files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variables {
    /// Signals; `x` unless given.
    pub x: Option<String>,
    /// Labels: one per sample, or one per time step; `y` unless given, where it exists.
    pub y: Option<String>,
    /// 1 where observed, shaped like `x` without features.
    pub mask: Option<String>,
    /// Subject per sample, or one.
    pub subject: Option<String>,
    /// Session per sample, or one.
    pub session: Option<String>,
    /// `train`, `validation` or `test` per sample, or one.
    pub part: Option<String>,
    /// Sensor names (read from the first file).
    pub sensors: Option<String>,
    /// Adjacency, (nodes, nodes), entry [target, source] (read from the first file).
    pub adjacency: Option<String>,
    /// Positions, (nodes, 2 or 3) (read from the first file).
    pub positions: Option<String>,
}

/// The graph, where it has a file of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphFiles {
    /// A square matrix, entry [target, source]: `.npy`, or `.csv` with or without the names of
    /// the sensors in the first line. Or GraphML (`.graphml`, the weight of an edge its attribute
    /// `weight`, else 1), or a pickle as DCRNN makes it (`.pkl`); these name their sensors.
    pub adjacency: Option<PathBuf>,
    /// A table `from,to,weight` of sensor names; without `weight` it is 1.
    pub edges: Option<PathBuf>,
    /// Whether each edge of the table stands for both directions.
    pub undirected: bool,
    /// A table `from,to,distance` of sensor names, of which the weights exp(−d² / σ²) are made, σ the
    /// standard deviation of the distances; those below 0.1 are left out.
    pub distances: Option<PathBuf>,
}

/// How to forecast: what a published protocol says of a named series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastFiles {
    /// What is measured.
    pub feature: String,
    /// Its unit.
    pub unit: String,
    /// The number that stands for "not measured", beside empty cells.
    pub null_value: Option<f32>,
    /// Steps in.
    pub history: usize,
    /// Steps out.
    pub horizon: usize,
    /// Share of the windows, from the first, that train.
    pub train: f64,
    /// Share of the windows, to the last, that test; those between validate.
    pub test: f64,
}

impl Default for ForecastFiles {
    fn default() -> Self {
        Self {
            feature: "value".into(),
            unit: String::new(),
            null_value: None,
            history: 12,
            horizon: 12,
            train: 0.7,
            test: 0.2,
        }
    }
}

/// Files by part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitFiles {
    pub train: Files,
    pub validation: Files,
    pub test: Files,
}

/// Content of a `dataset.toml`. Paths are relative to its folder.
///
/// ```toml
/// files = "subject*.npz"
/// layout = "samples nodes time"
/// sampling_rate = 256
/// classes = ["rest", "left", "right"]
/// sensors = ["C3", "Cz", "C4"]
/// positions = "electrodes.csv"      # name,x,y,z
/// [variables]
/// y = "labels"
/// session = "session"
/// [graph]
/// edges = "edges.csv"               # from,to,weight
/// [features]
/// kind = "log-spectrum"
/// segment_seconds = 1.0
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderConfig {
    /// One line for people.
    pub title: String,
    /// Terms of use.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// Files of recordings: `.npz`, `.npy`, `.mat`, `.ts`, `.arff` (as the UEA and UCR archives
    /// have them), `.csv`, `.tsv`, `.edf`, `.bdf`, `.gdf`.
    /// In a text table a column is a sensor, and a file one recording.
    pub files: Files,
    /// Files that belong to a part of a given split.
    pub split: SplitFiles,
    /// A table with a column `file`, and any of `label`, `subject`, `session`, `part`.
    pub manifest: Option<PathBuf>,
    /// Axes of `x` in order, e.g. `samples nodes time`; for files of arrays.
    pub layout: String,
    /// Names of arrays in the files.
    pub variables: Variables,
    /// Labels of all recordings in order: `.npy` or text.
    pub labels: Option<PathBuf>,
    /// Class names; without them, the distinct labels.
    pub classes: Vec<String>,
    /// Which number in the files stands for each class; without them, its index from 0.
    pub label_values: Vec<i64>,
    /// The file name (without extension) is the subject.
    pub subject_from_file: bool,
    /// Samples per second.
    pub sampling_rate: Option<f64>,
    /// Sensor names.
    pub sensors: Vec<String>,
    /// A table `name,x,y[,z]`, metres; or `10-05`: the sensors are EEG electrodes, whose positions
    /// follow from their names, see [`electrode_positions`](crate::electrodes::electrode_positions).
    pub positions: Option<PathBuf>,
    /// The graph.
    pub graph: GraphFiles,
    /// What to do about values that are NaN or infinite.
    pub missing: Missing,
    /// How text tables are written.
    pub csv: CsvConfig,
    /// What to accept of the time stamps of text tables, where `csv.time` says which they are.
    pub clock: TimePolicy,
    /// What to take of EDF, BDF and GDF files, and what to accept.
    pub recording: RecordingOptions,
    /// Cut such files into trials instead of taking all of the signal.
    pub trials: Option<Trials>,
    /// How to forecast on the tables as one series, see [`load_series`](super::load_series).
    pub forecast: ForecastFiles,
    /// Features used unless others are asked for.
    pub features: Option<FeatureConfig>,
    /// Windows used unless others are asked for.
    pub window: Option<WindowConfig>,
}

impl FolderConfig {
    /// Reads `dataset.toml` of a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when a key is unknown or wrong.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("dataset.toml");
        let config: Self = toml::from_str(&files::read_text(&path)?).map_err(|e| {
            Error::file(
                &path,
                "data set",
                e.to_string().trim_end().to_string(),
                "correct the line",
            )
        })?;
        if config
            .sampling_rate
            .is_some_and(|r| !(r.is_finite() && r > 0.0))
        {
            return Err(Error::file(
                &path,
                "sampling_rate",
                "is not above 0",
                "give samples per second, or leave it out",
            ));
        }
        Ok(config)
    }

    /// What is said of the data set; without a title it is called by its folder.
    pub(super) fn info(&self, folder: &Path) -> DatasetInfo {
        let name = std::path::absolute(folder)
            .ok()
            .and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "data".into());
        DatasetInfo {
            title: match self.title.as_str() {
                "" => name.clone(),
                title => title.into(),
            },
            name,
            licence: self.licence.clone(),
            citation: self.citation.clone(),
        }
    }

    /// The same with the clock and the faults that `asked` accepts.
    ///
    /// # Errors
    /// [`Error::Config`] for a fault that files of a folder cannot have.
    pub(super) fn accepting(mut self, asked: &DatasetConfig) -> Result<Self> {
        let known = [
            Accept::MissingChannels,
            Accept::Unlabelled,
            Accept::MixedRates,
            Accept::Breaks,
            Accept::Incomplete,
        ];
        asked.accepts_only(&asked.name, &known)?;
        self.clock = asked.clock.unwrap_or(self.clock);
        let recording = &mut self.recording;
        if asked.accepts(Accept::MixedRates) && recording.mixed_rates == MixedRates::Error {
            recording.mixed_rates = MixedRates::Resample;
        }
        if asked.accepts(Accept::Breaks) {
            recording.breaks = Breaks::Split;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FolderConfig> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dataset.toml"), text).unwrap();
        FolderConfig::read(folder.path())
    }

    #[test]
    fn a_full_description_comes_back() {
        let config = read(
            "files = \"*.npz\"\nlayout = \"samples nodes time\"\nclasses = [\"a\", \"b\"]\n\
             missing = \"mask\"\n[variables]\ny = \"labels\"\n[split]\ntest = [\"t.npz\"]\n\
             [features]\nkind = \"log-spectrum\"\nsegment_seconds = 1\n[window]\nlength = 2",
        )
        .unwrap();
        assert_eq!(config.missing, Missing::Mask);
        assert_eq!(config.split.test.patterns(), ["t.npz"]);
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn mistakes_name_file_and_key() {
        for (text, expected) in [
            ("file = 1", "unknown field `file`"),
            ("[variables]\nz = \"z\"", "unknown field `z`"),
            (
                "[features]\nkind = \"raw\"\nfmin = 1",
                "fmin does not belong",
            ),
            ("sampling_rate = 0", "sampling_rate: is not above 0"),
            ("files = 3", "files"),
            ("files = ", "line 1"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("dataset.toml"),
                "{error}"
            );
        }
    }
}
