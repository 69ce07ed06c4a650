//! What a run learns from.

use std::sync::Arc;

use tgmamba_graph::series::SeriesGraph;
use tgmamba_graph::{Dataset, Series, SourceFile};

use crate::run::RunConfig;

/// Windows with classes, or a series.
pub enum Material {
    Windows(Box<Dataset>),
    Series(Arc<Series>),
}

impl Material {
    pub fn sources(&self) -> &[SourceFile] {
        match self {
            Self::Windows(dataset) => &dataset.sources,
            Self::Series(series) => &series.sources,
        }
    }

    pub fn sensors(&self) -> &[String] {
        match self {
            Self::Windows(dataset) => &dataset.sensors,
            Self::Series(series) => &series.sensors,
        }
    }

    pub fn steps(&self) -> Option<usize> {
        match self {
            Self::Windows(_) => None,
            Self::Series(series) => Some(series.len()),
        }
    }

    /// What there is, in a line.
    pub fn text(&self, config: &RunConfig) -> String {
        match self {
            Self::Windows(dataset) => {
                let (n, v, l, f) = dataset.x.dim();
                format!(
                    "{n} windows of {v} sensors × {l} steps × {f} features, {} classes",
                    dataset.classes.len()
                )
            }
            Self::Series(series) => {
                let (l, v, _) = series.dim();
                let forecast = config.forecast.clone().unwrap_or_default();
                let graph = match &series.graph {
                    None => "no graph".to_string(),
                    Some(SeriesGraph::PerStep(_)) => "a graph for each step".into(),
                    Some(SeriesGraph::Static(g)) => {
                        let kind = match g.is_symmetric() {
                            true => "undirected",
                            false => "directed",
                        };
                        format!("{} edges, {kind}", g.n_edges())
                    }
                };
                format!(
                    "{l} steps of {v} sensors, {graph}; {} forecasts {} steps of {} from {}",
                    forecast.model,
                    forecast.horizon,
                    forecast.targets.join(", "),
                    forecast.history
                )
            }
        }
    }
}
