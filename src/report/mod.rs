//! What a reader of a run sees: tables for the terminal, figures, and one HTML page.
//!
//! Everything here takes plain records and numbers, no tensors:
//!
//! ```text
//! RunRecord -> tables (text, markdown)
//!           -> plots  (plots/NAME.svg and .png) -> html (report.html, figures inline)
//! ```
//!
//! [`write`] does it all for a run folder. Files appear whole or not at all: each is written beside
//! its place and renamed.

pub mod html;
pub mod plots;
pub mod tables;

mod write;

pub use crate::training::metrics::{ClassScores, Curve, Estimate, Summary};
pub use write::{write, write_atomic};

use crate::training::metrics::Metric;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

/// Result of the report.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file.
    #[error("{}: {source}; check that the run folder exists and can be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A figure could not be drawn.
    #[error("{}: cannot draw the figure: {problem}", path.display())]
    Draw {
        /// The figure's file.
        path: PathBuf,
        /// What the drawing backend said.
        problem: String,
    },
}

/// All that the report of one run shows. Parts that do not exist yet are empty or `None`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// Title of the page, such as the run's name.
    pub title: String,
    /// What was run, in the order to show: data set, protocol, model, environment.
    pub sections: Vec<Section>,
    /// Command that repeats the run.
    pub command: String,
    /// The resolved configuration.
    pub config: serde_json::Value,
    /// Metric by which the best epoch was chosen, as named in [`EpochRecord::metrics`], or `loss`.
    pub metric: String,
    /// Epochs of the run (of its first fold or seed, if it has several).
    pub epochs: Vec<EpochRecord>,
    /// Epoch whose weights were kept.
    pub best_epoch: Option<usize>,
    /// Scores on the test part; `None` before the test.
    pub test: Option<TestRecord>,
    /// Folds or seeds, if several.
    pub folds: Vec<FoldRecord>,
    /// Graphs given and learned.
    pub graphs: Vec<GraphFigure>,
}

/// A heading with facts, name and value, under it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Section {
    /// Heading, such as "Data set".
    pub heading: String,
    /// Name and value, in the order to show.
    pub facts: Vec<(String, String)>,
}

/// One epoch of training. A number that is not finite is stored as null.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, counted as in `metrics.csv`.
    pub epoch: usize,
    /// Mean training loss; NaN if unknown or diverged.
    #[serde(deserialize_with = "nan_from_null")]
    pub train_loss: f64,
    /// Mean validation loss; `None` without a validation part.
    #[serde(default)]
    pub val_loss: Option<f64>,
    /// Validation metrics by name.
    #[serde(default, deserialize_with = "known_numbers")]
    pub metrics: BTreeMap<String, f64>,
    /// Learning rate at the end of the epoch.
    #[serde(default = "nan", deserialize_with = "nan_from_null")]
    pub lr: f64,
    /// Wall time, in seconds.
    #[serde(default = "nan", deserialize_with = "nan_from_null")]
    pub seconds: f64,
    /// Seconds of them that training and validation waited for batches.
    #[serde(default = "nan", deserialize_with = "nan_from_null")]
    pub loader_seconds: f64,
}

/// Scores on the test part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TestRecord {
    /// Number of test samples.
    pub samples: usize,
    /// What a sample is, in the plural: "windows", "recordings".
    pub unit: String,
    /// Names of the classes; empty if the task has none.
    pub classes: Vec<String>,
    /// Metrics by name, with intervals.
    pub metrics: BTreeMap<String, Estimate>,
    /// Precision, recall, F1 and support of each class.
    pub per_class: Vec<ClassScores>,
    /// Counts (c, c): row the target, column the prediction.
    pub confusion: Vec<Vec<u64>>,
    /// ROC curves, one class against the rest.
    pub roc: Vec<Curve>,
    /// Precision-recall curves, one class against the rest.
    pub precision_recall: Vec<Curve>,
}

/// One fold or seed of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FoldRecord {
    /// Name, such as "fold 3" or "seed 1".
    pub name: String,
    /// Number of test samples.
    pub samples: usize,
    /// Epoch whose weights were tested.
    pub best_epoch: Option<usize>,
    /// Test metrics by name.
    #[serde(deserialize_with = "known_numbers")]
    pub metrics: BTreeMap<String, f64>,
    /// Its epochs; may be empty.
    pub epochs: Vec<EpochRecord>,
}

/// A graph to draw: as a matrix always, on the sensors' positions as well.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GraphFigure {
    /// Name, such as "given" or "learned, block 1".
    pub name: String,
    /// Names of the v sensors.
    pub nodes: Vec<String>,
    /// Positions (v, 2) in the unit square, x to the right, y up (the nose for EEG); if there is
    /// not one finite position per sensor, the sensors are drawn on a circle.
    pub layout: Vec<[f64; 2]>,
    /// Weights (v, v), entry [target, source] as everywhere; 0 where there is no edge.
    pub adjacency: Vec<Vec<f32>>,
    /// Whether to draw the outline of a head, its centre at (0.5, 0.5).
    pub head: bool,
}

impl GraphFigure {
    /// Weight of the edge into `target` from `source`; 0 if absent or not finite.
    pub fn weight(&self, target: usize, source: usize) -> f64 {
        self.adjacency
            .get(target)
            .and_then(|row| row.get(source))
            .map(|&w| f64::from(w))
            .filter(|w| w.is_finite())
            .unwrap_or(0.0)
    }

    /// Number of sensors v.
    pub fn len(&self) -> usize {
        self.adjacency.len().max(self.nodes.len())
    }

    /// Whether there is no sensor.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of sensor `i`, its number if it has none.
    pub fn node(&self, i: usize) -> String {
        self.nodes.get(i).cloned().unwrap_or_else(|| i.to_string())
    }
}

/// Share of the time of `epochs` that training waited for batches; `None` where it is not known.
pub fn loader_share(epochs: &[EpochRecord]) -> Option<f64> {
    let waited: f64 = epochs.iter().map(|e| e.loader_seconds).sum();
    let all: f64 = epochs.iter().map(|e| e.seconds).sum();
    Some(waited / all).filter(|share| share.is_finite())
}

fn nan() -> f64 {
    f64::NAN
}

fn nan_from_null<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// JSON writes NaN as null; such entries are left out again on reading.
fn known_numbers<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<BTreeMap<String, f64>, D::Error> {
    let all = BTreeMap::<String, Option<f64>>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|(k, v)| Some((k, v?))).collect())
}

/// Mean and spread of each metric over the folds that have it, by name.
pub fn summaries(folds: &[FoldRecord]) -> BTreeMap<String, Summary> {
    let names: std::collections::BTreeSet<&String> =
        folds.iter().flat_map(|f| f.metrics.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let values = folds.iter().filter_map(|f| f.metrics.get(name).copied());
            Some((name.clone(), Summary::of(values)?))
        })
        .collect()
}

/// Metric names in the order of [`Metric::ALL`], others after them by name.
pub(crate) fn in_order<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let place = |name: &str| Metric::ALL.iter().position(|m| m.name() == name);
    let mut names: Vec<&String> = names.collect();
    names.sort_by_key(|n| (place(n).unwrap_or(usize::MAX), *n));
    names.dedup();
    names
}

/// A name as a reader wants it: `macro-f1` becomes "macro F1", `auroc` "AUROC".
pub fn readable(metric: &str) -> String {
    metric
        .split(['-', '_'])
        .map(|word| match word {
            "auroc" | "mae" | "rmse" | "mape" | "mse" | "f1" | "auprc" => word.to_uppercase(),
            _ => word.to_string(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diverged_epoch_survives_json() {
        let epoch = EpochRecord {
            epoch: 3,
            train_loss: f64::NAN,
            val_loss: Some(f64::INFINITY),
            metrics: BTreeMap::from([("accuracy".to_string(), f64::NAN)]),
            lr: 1e-3,
            seconds: 2.0,
            loader_seconds: 0.1,
        };
        let json = serde_json::to_string(&epoch).unwrap();
        let back: EpochRecord = serde_json::from_str(&json).unwrap();
        assert!(back.train_loss.is_nan());
        assert_eq!((back.val_loss, back.lr), (None, 1e-3));
        assert_eq!(back.loader_seconds, 0.1);
        assert!(back.metrics.is_empty());
    }

    #[test]
    fn known_metrics_come_first() {
        let names = ["mae", "loss", "auroc", "accuracy", "auroc"].map(str::to_string);
        assert_eq!(in_order(names.iter()), ["accuracy", "auroc", "loss", "mae"]);
    }

    #[test]
    fn metric_names_read_well() {
        assert_eq!(readable("macro-f1"), "macro F1");
        assert_eq!(readable("auroc"), "AUROC");
        assert_eq!(readable("val_mae"), "val MAE");
    }
}
