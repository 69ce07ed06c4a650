//! The whole configuration of a run, from defaults, file and flags to what is stored.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::datasets::{self, DatasetConfig};
use tgmamba_graph::node_features::NodeFeatures;
use tgmamba_graph::scale::{ScaleConfig, Scaler};
use tgmamba_graph::split::{Fold, SplitConfig};
use tgmamba_graph::topology::{GraphConfig, SensorGraph};
use tgmamba_graph::{Dataset, SourceFile, files};

use super::presets;
use crate::error::{Error, Result};
use crate::models::ModelConfig;
pub use crate::ops::matmul::Precision;
use crate::training::config::TrainingConfig;

/// Everything that decides a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Data set, its windows and features.
    pub dataset: DatasetConfig,
    /// Training, validation and test parts.
    pub split: SplitConfig,
    /// Scale fitted on the training part.
    pub scale: ScaleConfig,
    /// Features that tell sensors apart.
    pub node_features: NodeFeatures,
    /// Graph of the sensors.
    pub graph: GraphConfig,
    /// Model.
    pub model: ModelConfig,
    /// Training loop.
    pub training: TrainingConfig,
    /// Seed of weights, order, dropout and augmentation.
    pub seed: u64,
    /// Number of seeds: seed, seed + 1, ...
    pub seeds: usize,
    /// `cpu`, `cuda`, `cuda:N` or `wgpu`.
    pub device: String,
    /// Matrix products on a GPU; runs stored without it are exact.
    #[serde(default)]
    pub precision: Precision,
    /// How the run came about; written by the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// How a run came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the program.
    pub version: String,
    /// Command line.
    pub command: String,
    /// Local time of the start.
    pub started: String,
    /// Data files with their hashes.
    pub sources: Vec<SourceFile>,
    /// Sensor names in the order of the model's vertices.
    pub sensors: Vec<String>,
    /// Class names in the order of the scores.
    pub classes: Vec<String>,
    /// Which part of a run of several this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Windows that train, validate and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<[usize; 3]>,
    /// Number of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<usize>,
    /// The graph as it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<SensorGraph>,
    /// The scale as it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<Scaler>,
}

/// One fold with one seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Name of the fold.
    pub fold: String,
    /// Position of the fold in the plan.
    pub index: usize,
    /// Seed.
    pub seed: u64,
}

impl Part {
    /// Name of its folder.
    pub fn label(&self) -> String {
        format!("{}-seed{}", self.fold.replace('/', "-"), self.seed)
    }
}

impl RunConfig {
    /// Reads a complete configuration; the message names the field that is wrong.
    pub fn from_value(value: Value) -> std::result::Result<Self, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    /// Fills in what was left open: preset of the data set, then what suits the data once it is
    /// loaded. Returns the data set as well.
    ///
    /// `user` holds the configuration file and the flags already merged; `cache` says whether
    /// windows are kept.
    ///
    /// # Errors
    /// Unknown or contradictory fields, and everything that loading the data can find.
    pub fn resolve(user: Value, cache: &CacheOptions) -> Result<(Self, Dataset)> {
        let name = user
            .pointer("/dataset/name")
            .and_then(Value::as_str)
            .unwrap_or(presets::DEFAULT_DATASET);
        // Named sets may be written with underscores, like their folders.
        let hyphens = name.replace('_', "-");
        let known = datasets::names().iter().find(|n| **n == hyphens);
        let name = known.map_or(name, |n| n).to_string();
        let mut value = presets::base();
        merge(&mut value, presets::of(&name));
        merge(&mut value, user);
        set(&mut value, "dataset.name", json!(name));
        if let Some(given) = value["dataset"].get_mut("features") {
            let mut features = to_value(&datasets::default_features(&name)?)?;
            merge(&mut features, given.take());
            fill_frames(&mut features);
            value["dataset"]["features"] = features;
        }
        let dataset_config: DatasetConfig = section(&value, "dataset")?;
        let dataset = datasets::load_with(&dataset_config, cache)?;
        value["dataset"] = to_value(&dataset_config)?;
        for (k, class) in dataset.classes.iter().enumerate() {
            if !dataset.y.contains(&k) {
                return Err(Error::config(
                    "classes",
                    format!("no window is of class \"{class}\""),
                    "take the class out, or add recordings of it",
                ));
            }
        }

        let suited = to_value(&SplitConfig::for_dataset(&dataset))?;
        let mut split = suited;
        merge(&mut split, value["split"].take());
        value["split"] = split;
        if value["graph"].get("kind").is_none() {
            let mut graph = to_value(&GraphConfig::for_dataset(&dataset))?;
            merge(&mut graph, value["graph"].take());
            value["graph"] = graph;
        }
        let vertices = dataset.sensors.len();
        let node_features: NodeFeatures = section(&value, "node_features")?;
        let features = node_features.count(&dataset)?;
        for (field, number) in [
            ("input_dim", features),
            ("num_classes", dataset.classes.len()),
            ("num_vertices", vertices),
        ] {
            let given = value["model"].get(field).and_then(Value::as_u64);
            if given.is_some_and(|g| g != number as u64) {
                return Err(Error::config(
                    format!("model.{field}"),
                    format!("is {}, but the data have {number}", given.unwrap_or(0)),
                    "leave it out; it follows from the data",
                ));
            }
            value["model"][field] = json!(number);
        }
        for name in ["split", "scale", "graph", "model", "training"] {
            check_section(&value, name)?;
        }
        let config = Self::from_value(value)
            .map_err(|e| Error::config("configuration", e, "see --help for the settings"))?;
        let config = Self {
            model: config.model.resolved(),
            ..config
        };
        config.model.validate()?;
        config.training.validate()?;
        if config.seeds == 0 {
            return Err(Error::config("seeds", "is 0", "give at least 1"));
        }
        Ok((config, dataset))
    }

    /// Every fold with every seed.
    pub fn parts(&self, folds: &[Fold]) -> Vec<Part> {
        (0..self.seeds as u64)
            .flat_map(|i| {
                folds.iter().enumerate().map(move |(index, fold)| Part {
                    fold: fold.name.clone(),
                    index,
                    seed: self.seed + i,
                })
            })
            .collect()
    }
}

fn to_value<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| Error::config("configuration", e.to_string(), "report this as a defect"))
}

/// Frames of one second, half overlapping, where the kind of features needs frames and none are
/// given.
fn fill_frames(features: &mut Value) {
    let frames: &[(&str, f64)] = match features.get("kind").and_then(Value::as_str) {
        Some("stft" | "band-power" | "welch-power") => {
            &[("window_seconds", 1.0), ("hop_seconds", 0.5)]
        }
        Some("log-spectrum") => &[("segment_seconds", 1.0)],
        _ => &[],
    };
    for (name, seconds) in frames {
        if features.get(*name).is_none() {
            features[*name] = json!(seconds);
        }
    }
}

/// A section of the configuration, with errors that name it.
fn section<T: for<'a> Deserialize<'a>>(value: &Value, name: &str) -> Result<T> {
    let section = value.get(name).cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(section).map_err(|e| {
        Error::config(
            format!("[{name}]"),
            e.to_string(),
            "see --help and the README for the settings",
        )
    })
}

fn check_section(value: &Value, name: &str) -> Result<()> {
    match name {
        "split" => section::<SplitConfig>(value, name).map(drop),
        "scale" => section::<ScaleConfig>(value, name).map(drop),
        "graph" => section::<GraphConfig>(value, name).map(drop),
        "model" => section::<ModelConfig>(value, name).map(drop),
        _ => section::<TrainingConfig>(value, name).map(drop),
    }
}

/// Puts `over` onto `base`: objects field by field, anything else replaces.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            // Settings of another kind mean nothing to the kind that is asked for.
            let changes_kind = match (base.get("kind"), over.get("kind")) {
                (Some(old), Some(new)) => old != new,
                _ => false,
            };
            if changes_kind {
                base.clear();
            }
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, over) => *base = over,
    }
}

/// Sets the field at a dotted path, making objects on the way.
pub fn set(value: &mut Value, path: &str, field: Value) {
    let mut at = value;
    for name in path.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = field;
}

/// Reads a JSON file.
///
/// # Errors
/// A file that is missing or not JSON, with the place.
pub fn read_json(path: &Path) -> Result<Value> {
    let text = files::read_text(path)?;
    serde_json::from_str(&text).map_err(|e| {
        Error::file(
            path,
            format!("line {}", e.line()),
            format!("not JSON ({e})"),
            "repair the file",
        )
    })
}

/// Reads a TOML file as JSON.
///
/// # Errors
/// A file that is missing or not TOML, with the place.
pub fn read_toml(path: &Path) -> Result<Value> {
    let text = files::read_text(path)?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| {
        Error::file(
            path,
            "TOML",
            e.to_string().trim_end().to_string(),
            "repair the file",
        )
    })?;
    let value = to_value(&table)?;
    match not_finite(&value, "") {
        Some(field) => Err(Error::file(
            path,
            field,
            "is not a finite number",
            "give a number, or leave the field out",
        )),
        None => Ok(value),
    }
}

/// The path of a number that is NaN or infinite, which JSON writes as null.
pub fn not_finite(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.trim_start_matches('.').to_string()),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, v)| not_finite(v, &format!("{path}.{name}"))),
        Value::Array(items) => items.iter().find_map(|v| not_finite(v, path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_win_field_by_field() {
        let mut base = json!({"model": {"d_model": 32, "d_state": 16}, "seed": 0});
        merge(&mut base, json!({"model": {"d_model": 8}, "device": "cpu"}));
        assert_eq!(
            base,
            json!({"model": {"d_model": 8, "d_state": 16}, "seed": 0, "device": "cpu"})
        );
    }

    #[test]
    fn another_kind_drops_the_settings_of_the_first() {
        let mut base = json!({"graph": {"kind": "knn", "k": 3}});
        merge(
            &mut base,
            json!({"graph": {"kind": "knn", "symmetric": false}}),
        );
        assert_eq!(base["graph"]["k"], 3);
        merge(&mut base, json!({"graph": {"kind": "complete"}}));
        assert_eq!(base, json!({"graph": {"kind": "complete"}}));
    }

    #[test]
    fn a_kind_joins_the_settings_that_wait_for_it() {
        let mut base = json!({"graph": {"threshold": 0.9}});
        merge(&mut base, json!({"graph": {"kind": "correlation"}}));
        assert_eq!(
            base,
            json!({"graph": {"threshold": 0.9, "kind": "correlation"}})
        );
    }

    #[test]
    fn numbers_must_be_finite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "[training]\nlr = nan\n").unwrap();
        let message = read_toml(&path).unwrap_err().to_string();
        assert!(
            message.contains("c.toml") && message.contains("training.lr"),
            "{message}"
        );
    }

    #[test]
    fn precision_is_stored_and_may_be_absent() {
        let mut user = presets::base();
        set(&mut user, "precision", json!("fast"));
        let (config, _) = RunConfig::resolve(user.clone(), &CacheOptions::off()).unwrap();
        assert_eq!(config.precision, Precision::Fast);
        let mut stored = to_value(&config).unwrap();
        assert_eq!(stored["precision"], "fast");
        assert_eq!(RunConfig::from_value(stored.clone()).unwrap(), config);

        // Older runs have no such field.
        stored.as_object_mut().unwrap().remove("precision");
        let old = RunConfig::from_value(stored).unwrap();
        assert_eq!(old.precision, Precision::Exact);

        set(&mut user, "precision", json!("half"));
        let message = RunConfig::resolve(user, &CacheOptions::off())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("half") && message.contains("`exact` or `fast`"),
            "{message}"
        );
        let (plain, _) = RunConfig::resolve(json!({}), &CacheOptions::off()).unwrap();
        assert_eq!(plain.precision, Precision::Exact);
    }

    #[test]
    fn paths_make_objects() {
        let mut value = json!({});
        set(&mut value, "training.augment.noise", json!(0.1));
        assert_eq!(value, json!({"training": {"augment": {"noise": 0.1}}}));
    }

    #[test]
    fn labels_name_folders() {
        let part = Part {
            fold: "subject03/fold2".into(),
            index: 11,
            seed: 4,
        };
        assert_eq!(part.label(), "subject03-fold2-seed4");
    }
}
