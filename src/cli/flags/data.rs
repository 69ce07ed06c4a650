//! Flags of data, parts and graph.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tgmamba_graph::datasets::{self, Accept};
use tgmamba_graph::series::TimePolicy;

use super::{Override, value};
use crate::forecast::resolve;

/// Data, parts and graph.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct DataFlags {
    /// Data set: a name such as basic-motions, ssvep-exo or los-loop (data list has all), or a folder
    /// with a dataset.toml [default: basic-motions, or us-income for --task forecast]
    #[arg(long, value_name = "NAME|FOLDER")]
    pub dataset: Option<String>,
    /// Folder that holds data sets which are not shipped
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only these subjects
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    subjects: Option<Vec<String>>,
    /// Only these channels, in this order [default: those of the data set]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// What to learn: forecast, or what is told apart where a set has two tasks, detection or
    /// classification [default: what the data set is for]
    #[arg(long, value_name = "TASK")]
    task: Option<Asked>,
    /// A table of the parts of files or subjects, where a set can be given one; a path relative to
    /// the folder of the data set
    #[arg(long, value_name = "FILE.csv")]
    split_file: Option<PathBuf>,
    /// Faults of the files to accept instead of refusing them, as their messages name them:
    /// missing-channels, unlabelled, missing-sessions, shared-subjects, mixed-rates, breaks,
    /// incomplete
    #[arg(long, value_name = "FAULT,...", value_delimiter = ',')]
    accept: Option<Vec<Accept>>,
    /// What to do about time stamps out of order, repeated or left out: strict refuses them, keep-gaps
    /// goes on across gaps, mend sorts, keeps the first and inserts steps as not observed [default:
    /// that of the protocol or of dataset.toml, else strict]; one by one with
    /// --set dataset.clock.gaps=keep and the like
    #[arg(long, value_name = "POLICY")]
    clock: Option<ClockPolicy>,
    /// Years to join, of largest-... [default: 2019]
    #[arg(long, value_name = "YEAR,...", value_delimiter = ',')]
    years: Option<Vec<u16>>,
    /// Features: raw, log-spectrum, stft, filterbank, band-power, welch-power [default: what suits
    /// the data]; details with --set dataset.features.FIELD=VALUE
    #[arg(long, value_name = "KIND")]
    features: Option<String>,
    /// Length of a window, s [default: the whole recording]
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// From window to window, s [default: the length of the window]
    #[arg(long, value_name = "SECONDS")]
    stride: Option<f64>,
    /// Scale fitted on the training part: none, standard, standard-feature, min-max, robust; of
    /// forecasts none, zscore, zscore-node, max [default: standard; that of the protocol]
    #[arg(long, value_name = "METHOD")]
    scale: Option<String>,
    /// Features that tell sensors apart: none, position, identity, slots [default: none]
    #[arg(long, value_name = "KIND")]
    node_features: Option<String>,
    /// Graph: given, gaussian, knn, radius, correlation, complete or none [default: given if the
    /// data have one, else gaussian if positions are known, else correlation]; of forecasts given,
    /// undirected, reversed or none
    #[arg(long, value_name = "KIND")]
    graph: Option<String>,
    /// Smallest weight that makes an edge (gaussian, correlation)
    #[arg(long, value_name = "X")]
    graph_threshold: Option<f64>,
    /// Neighbours per sensor (knn)
    #[arg(long, value_name = "K")]
    graph_k: Option<usize>,
    /// Split: given, stratified, group-subject, group-session, chronological, within-subject
    /// [default: what suits the data set]
    #[arg(long, value_name = "METHOD")]
    split: Option<String>,
    /// Share of the rest that validates [default: 0.15]
    #[arg(long, value_name = "X")]
    validation_fraction: Option<f64>,
    /// Share that tests, without folds [default: 0.15]
    #[arg(long, value_name = "X")]
    test_fraction: Option<f64>,
    /// Cross-validate with k folds
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Seed of the split [default: 0]
    #[arg(long, value_name = "N")]
    split_seed: Option<u64>,
}

/// What is asked for with --clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClockPolicy {
    Strict,
    KeepGaps,
    Mend,
}

impl ClockPolicy {
    fn policy(self) -> TimePolicy {
        match self {
            Self::Strict => TimePolicy::default(),
            Self::KeepGaps => TimePolicy::keep_gaps(),
            Self::Mend => TimePolicy::mend(),
        }
    }
}

/// What is asked for with --task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Forecast,
    ToldApart(datasets::Task),
}

impl FromStr for Asked {
    type Err = tgmamba_graph::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if text == "forecast" {
            return Ok(Self::Forecast);
        }
        text.parse().map(Self::ToldApart).map_err(|_| {
            let known = ["detection", "classification", "forecast"];
            tgmamba_graph::Error::unknown("task", text, &known)
        })
    }
}

impl DataFlags {
    /// The task that is asked for.
    pub fn task(&self) -> Option<resolve::Task> {
        Some(match self.task? {
            Asked::Forecast => resolve::Task::Forecast,
            Asked::ToldApart(_) => resolve::Task::Classification,
        })
    }

    fn told_apart(&self) -> Option<datasets::Task> {
        match self.task? {
            Asked::Forecast => None,
            Asked::ToldApart(task) => Some(task),
        }
    }

    pub(super) fn overrides(&self) -> Vec<Override> {
        vec![
            ("dataset.name", value(&self.dataset)),
            ("dataset.data_dir", value(&self.data_dir)),
            ("dataset.subjects", value(&self.subjects)),
            ("dataset.channels", value(&self.channels)),
            ("dataset.task", value(&self.told_apart())),
            ("dataset.split_file", value(&self.split_file)),
            ("dataset.accept", value(&self.accept)),
            ("dataset.clock", value(&self.clock.map(ClockPolicy::policy))),
            ("dataset.years", value(&self.years)),
            ("dataset.features.kind", value(&self.features)),
            ("dataset.window.length", value(&self.window)),
            ("dataset.window.stride", value(&self.stride)),
            ("scale", value(&self.scale)),
            ("node_features", value(&self.node_features)),
            ("graph.kind", value(&self.graph)),
            ("graph.threshold", value(&self.graph_threshold)),
            ("graph.k", value(&self.graph_k)),
            ("split.method", value(&self.split)),
            (
                "split.validation_fraction",
                value(&self.validation_fraction),
            ),
            ("split.test_fraction", value(&self.test_fraction)),
            ("split.folds", value(&self.folds)),
            ("split.seed", value(&self.split_seed)),
        ]
    }
}
