//! Which graph a run uses, as written in its configuration.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{SensorGraph, correlation_strength, pairwise_distances};
use crate::{Dataset, Error, Result};

/// Where the edges come from. In TOML: `kind = "gaussian"` and the fields of that kind.
///
/// Kinds without parameters are written `GraphConfig::Given {}`, so that an unknown field is an
/// error for them as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GraphConfig {
    /// The adjacency that came with the data set.
    Given {},
    /// Gaussian kernel of the distances between sensor positions.
    Gaussian {
        /// Width in metres; the standard deviation of the distances when absent.
        #[serde(default)]
        sigma: Option<f64>,
        /// Smallest weight that makes an edge.
        #[serde(default = "kernel_threshold")]
        threshold: f64,
        /// Whether every node also has an edge to itself, of weight 1.
        #[serde(default)]
        self_loops: bool,
    },
    /// Every node hears its `k` nearest.
    Knn {
        #[serde(default = "neighbours")]
        k: usize,
        #[serde(default)]
        weights: EdgeWeights,
        /// Width in metres of Gaussian weights, as for `gaussian`.
        #[serde(default)]
        sigma: Option<f64>,
        /// Whether neighbourhood holds in both directions.
        #[serde(default = "yes")]
        symmetric: bool,
    },
    /// Every node hears those within a distance.
    Radius {
        /// Largest distance that makes an edge, metres.
        metres: f64,
        #[serde(default)]
        weights: EdgeWeights,
        /// Width in metres of Gaussian weights, as for `gaussian`.
        #[serde(default)]
        sigma: Option<f64>,
    },
    /// |Pearson's r| between the signals of the training samples.
    Correlation {
        /// Smallest |r| that makes an edge.
        #[serde(default = "correlation_threshold")]
        threshold: f64,
        /// How many sources a node keeps; all when absent.
        #[serde(default)]
        top_k: Option<usize>,
    },
    /// Every pair, weight 1.
    Complete {},
    /// No edges: nodes on their own, or edges left to a learner.
    None {},
}

/// Weights of the edges that `knn` and `radius` choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeWeights {
    /// exp(−d² / σ²).
    #[default]
    Gaussian,
    /// 1.
    Binary,
}

fn kernel_threshold() -> f64 {
    0.1
}

fn correlation_threshold() -> f64 {
    0.3
}

fn neighbours() -> usize {
    4
}

fn yes() -> bool {
    true
}

impl Default for GraphConfig {
    /// The adjacency of the data set.
    fn default() -> Self {
        Self::Given {}
    }
}

impl GraphConfig {
    /// Gaussian kernel with its default width and threshold 0.1.
    pub fn gaussian() -> Self {
        Self::Gaussian {
            sigma: None,
            threshold: kernel_threshold(),
            self_loops: false,
        }
    }

    /// The `k` nearest with Gaussian weights, in both directions.
    pub fn knn(k: usize) -> Self {
        Self::Knn {
            k,
            weights: EdgeWeights::default(),
            sigma: None,
            symmetric: yes(),
        }
    }

    /// Correlations of at least 0.3.
    pub fn correlation() -> Self {
        Self::Correlation {
            threshold: correlation_threshold(),
            top_k: None,
        }
    }

    /// What suits a data set when nothing is asked for: its own adjacency, else the Gaussian
    /// kernel of its positions, else correlations; no edges for a single sensor.
    pub fn for_dataset(dataset: &Dataset) -> Self {
        if dataset.adjacency.is_some() {
            Self::Given {}
        } else if dataset.sensors.len() < 2 {
            Self::None {}
        } else if dataset.positions.is_some() {
            Self::gaussian()
        } else {
            Self::correlation()
        }
    }

    /// The word of `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Given {} => "given",
            Self::Gaussian { .. } => "gaussian",
            Self::Knn { .. } => "knn",
            Self::Radius { .. } => "radius",
            Self::Correlation { .. } => "correlation",
            Self::Complete {} => "complete",
            Self::None {} => "none",
        }
    }
}

/// Builds the graph of a data set, with its sensor names and positions.
///
/// Signals enter only through `correlation`, and then only those of the samples `train`.
///
/// # Errors
/// When the data set has no adjacency or no positions where the kind needs them, or a parameter
/// is out of range.
pub fn build(cfg: &GraphConfig, dataset: &Dataset, train: &[usize]) -> Result<SensorGraph> {
    let nodes = &dataset.sensors;
    let graph = match cfg {
        GraphConfig::Given {} => {
            let adjacency = dataset.adjacency.as_ref().ok_or_else(|| {
                Error::config(
                    "graph.kind",
                    format!(
                        "\"given\" but {} comes without an adjacency",
                        dataset_name(dataset)
                    ),
                    "use \"gaussian\" or \"knn\" (with positions), \"correlation\", \
                     \"complete\" or \"none\"",
                )
            })?;
            SensorGraph::from_adjacency(nodes, adjacency)?
        }
        GraphConfig::Correlation { threshold, top_k } => {
            let strength = correlation_strength(dataset, train)?;
            SensorGraph::correlated(nodes, &strength, *threshold, *top_k)?
        }
        _ => match (&dataset.positions, cfg) {
            (Some(positions), _) => return build_from_positions(cfg, nodes, positions),
            (None, GraphConfig::Complete {}) => SensorGraph::complete(nodes)?,
            (None, GraphConfig::None {}) => SensorGraph::unconnected(nodes)?,
            (None, _) => {
                return Err(Error::config(
                    "graph.kind",
                    format!(
                        "\"{}\" needs sensor positions and {} has none",
                        cfg.kind(),
                        dataset_name(dataset)
                    ),
                    "use \"correlation\", \"complete\" or \"none\", or give positions",
                ));
            }
        },
    };
    match &dataset.positions {
        Some(positions) => graph.with_positions(positions.clone()),
        None => Ok(graph),
    }
}

/// Builds a graph that follows from positions alone, (nodes, 2 or 3), metres; it carries them.
///
/// # Errors
/// When `cfg` is `given` or `correlation`, positions do not fit the nodes, a name is given twice,
/// or a parameter is out of range.
pub fn build_from_positions(
    cfg: &GraphConfig,
    nodes: &[String],
    positions: &Array2<f64>,
) -> Result<SensorGraph> {
    // Checks shape and values before distances are taken.
    SensorGraph::unconnected(nodes)?.with_positions(positions.clone())?;
    let distances = pairwise_distances(positions);
    let graph = match cfg {
        GraphConfig::Gaussian {
            sigma,
            threshold,
            self_loops,
        } => SensorGraph::gaussian(nodes, &distances, *sigma, *threshold, *self_loops)?,
        GraphConfig::Knn {
            k,
            weights,
            sigma,
            symmetric,
        } => SensorGraph::nearest(nodes, &distances, *k, *weights, *sigma, *symmetric)?,
        GraphConfig::Radius {
            metres,
            weights,
            sigma,
        } => SensorGraph::within(nodes, &distances, *metres, *weights, *sigma)?,
        GraphConfig::Complete {} => SensorGraph::complete(nodes)?,
        GraphConfig::None {} => SensorGraph::unconnected(nodes)?,
        GraphConfig::Given {} | GraphConfig::Correlation { .. } => {
            return Err(Error::config(
                "graph.kind",
                format!("\"{}\" does not follow from positions", cfg.kind()),
                "use \"gaussian\", \"knn\", \"radius\", \"complete\" or \"none\"",
            ));
        }
    };
    graph.with_positions(positions.clone())
}

fn dataset_name(dataset: &Dataset) -> String {
    match dataset.info.name.as_str() {
        "" => "the data set".to_string(),
        name => format!("the data set \"{name}\""),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, array};

    use super::*;
    use crate::split::fixture::dataset;

    #[derive(Deserialize)]
    struct Run {
        graph: GraphConfig,
    }

    fn parse(text: &str) -> std::result::Result<GraphConfig, toml::de::Error> {
        toml::from_str::<Run>(text).map(|run| run.graph)
    }

    #[test]
    fn kinds_and_defaults_in_toml() {
        assert_eq!(
            parse("graph = { kind = \"given\" }").unwrap(),
            GraphConfig::default()
        );
        assert_eq!(
            parse("[graph]\nkind = \"gaussian\"").unwrap(),
            GraphConfig::gaussian()
        );
        assert_eq!(
            parse("[graph]\nkind = \"knn\"\nk = 3").unwrap(),
            GraphConfig::knn(3)
        );
        assert_eq!(
            parse("[graph]\nkind = \"correlation\"\ntop_k = 2").unwrap(),
            GraphConfig::Correlation {
                threshold: 0.3,
                top_k: Some(2)
            }
        );
        for kind in ["complete", "none"] {
            let cfg = parse(&format!("[graph]\nkind = \"{kind}\"")).unwrap();
            assert_eq!(cfg.kind(), kind);
            let json = serde_json::to_string(&cfg).unwrap();
            assert_eq!(serde_json::from_str::<GraphConfig>(&json).unwrap(), cfg);
        }
    }

    #[test]
    fn unknown_fields_and_kinds_are_errors() {
        for text in [
            "[graph]\nkind = \"given\"\nk = 3",
            "[graph]\nkind = \"gaussian\"\nsigmas = 3.0",
            "[graph]\nkind = \"random\"",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn missing_ingredients_are_named() {
        let data = dataset(&[0, 1], 1);
        for cfg in [
            GraphConfig::default(),
            GraphConfig::gaussian(),
            GraphConfig::knn(1),
            parse("graph = { kind = \"radius\", metres = 1 }").unwrap(),
        ] {
            let message = build(&cfg, &data, &[0]).unwrap_err().to_string();
            assert!(message.contains(cfg.kind()), "{message}");
        }
    }

    #[test]
    fn built_from_what_the_data_set_has() {
        let mut data = dataset(&[0, 1], 1);
        assert_eq!(GraphConfig::for_dataset(&data), GraphConfig::correlation());
        data.positions = Some(array![[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]);
        let cfg = GraphConfig::for_dataset(&data);
        assert_eq!(cfg, GraphConfig::gaussian());
        let graph = build(&cfg, &data, &[0]).unwrap();
        assert_eq!(graph.positions(), data.positions.as_ref());
        assert!(graph.n_edges() > 0 && graph.is_symmetric());
        let mut adjacency = ndarray::Array2::zeros((4, 4));
        adjacency[[2, 0]] = 0.5;
        data.adjacency = Some(adjacency.clone());
        let cfg = GraphConfig::for_dataset(&data);
        assert_eq!(build(&cfg, &data, &[]).unwrap().adjacency(), adjacency);
        assert_eq!(
            build(&GraphConfig::Complete {}, &data, &[])
                .unwrap()
                .n_edges(),
            12
        );
        assert_eq!(
            build(&GraphConfig::None {}, &data, &[]).unwrap().n_edges(),
            0
        );
    }

    #[test]
    fn test_samples_leave_the_correlation_graph_alone() {
        let mut data = dataset(&[0, 0, 1, 1], 1);
        let mut x = Array4::from_shape_fn((4, 4, 16, 1), |(n, v, l, _)| {
            ((n * 31 + v * l * 17 + l * 7) % 13) as f32
        });
        data.x = x.clone().into();
        let cfg = GraphConfig::Correlation {
            threshold: 0.0,
            top_k: None,
        };
        let before = build(&cfg, &data, &[0, 1]).unwrap();
        x.slice_mut(ndarray::s![2.., .., .., ..]).fill(-5.0);
        data.x = x.into();
        assert_eq!(build(&cfg, &data, &[0, 1]).unwrap(), before);
    }
}
