//! The graph that comes with a series, as a forecaster uses it.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use tgmamba_graph::series::{Series, SeriesGraph};
use tgmamba_graph::topology::{CsrGraph, Symmetry};

use super::config::{ForecastConfig, GraphUse};
use super::data::ForecastData;
use super::model::ForecasterKind;
use crate::error::{Error, Result};
use crate::models::ModelConfig;
use crate::nn::{ConvType, MixerKind, propagation};
use crate::ops::sparse::SparseMatrix;

/// Graphs of up to so many nodes are no faster by their edges: the kernels for all pairs hold them.
const DENSE_UP_TO: usize = 64;

/// Larger ones are kept as a matrix of all pairs where more than one in so many pairs is an edge; above
/// [`ALL_PAIRS_UP_TO`] nodes never.
const FEW: usize = 4;
const ALL_PAIRS_UP_TO: usize = 1000;

/// The edges that are used.
#[derive(Debug, Clone)]
pub(super) enum Graphs {
    None,
    /// Row-major (v, v).
    Fixed(Arc<Vec<f32>>),
    /// Edges only.
    Sparse(Arc<CsrGraph>),
    /// One for each step.
    PerStep(Vec<Arc<CsrGraph>>),
}

/// The graph that came with the data, on a device.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a few handles, one of these for each batch"
)]
pub enum GivenGraph {
    /// Adjacency, entry [target, source], (1 or b, 1 or l, v, w).
    Dense(Tensor<4>),
    /// The matrix of the graph convolution itself.
    Sparse(Arc<SparseMatrix>),
}

/// Whether the graph of a series is kept as its edges only: as asked, else where the model can and it
/// has more than 64 nodes and comes with edges for a quarter of all pairs at most, or has more than 1,000
/// nodes.
///
/// # Errors
/// It is asked for, and model or graph cannot.
pub fn kept_sparse(series: &Series, config: &ForecastConfig, model: &ModelConfig) -> Result<bool> {
    let given = series.graph.as_ref();
    let given = given.filter(|_| config.graph != GraphUse::None);
    let edges = match given {
        Some(SeriesGraph::Static(graph)) => graph.n_edges(),
        _ => 0,
    };
    let learned = config.adaptive || model.block().edge_learner.is_active();
    let linear = !matches!(model.conv_type, ConvType::GatV2Conv | ConvType::None);
    let against = [
        (
            config.model != ForecasterKind::TgMamba || model.mixer != MixerKind::TgMamba,
            "tgmamba alone keeps a graph sparse",
            "use --model tgmamba and --mixer tgmamba",
        ),
        (
            learned,
            "a learned graph has all edges",
            "use --adaptive-graph false and no edge learner",
        ),
        (
            !linear,
            "the convolution has no sparse matrix",
            "use --conv-type graphconv, gcnconv or chebconv",
        ),
        (given.is_none(), "there is no graph", "use --graph given"),
        (
            matches!(given, Some(SeriesGraph::PerStep(_))),
            "the graph changes with every step",
            "use --sparse-graph false",
        ),
    ];
    let against = against.into_iter().find(|(applies, ..)| *applies);
    match (config.sparse, against) {
        (Some(true), Some((_, problem, remedy))) => {
            Err(Error::config("forecast.sparse", problem, remedy))
        }
        (Some(asked), _) => Ok(asked),
        (None, Some(_)) => Ok(false),
        (None, None) => {
            let nodes = series.dim().1;
            let few = edges * FEW <= nodes * nodes;
            Ok(nodes > ALL_PAIRS_UP_TO || (nodes > DENSE_UP_TO && few))
        }
    }
}

/// The graph of a series in the form that the model of `config` takes.
///
/// # Errors
/// Changes to a graph that is not there.
pub(super) fn graphs(series: &Series, config: &ForecastConfig) -> Result<Graphs> {
    let using = config.graph;
    let Some(given) = series.graph.as_ref().filter(|_| using != GraphUse::None) else {
        if using == GraphUse::Undirected || using == GraphUse::Reversed {
            return Err(Error::config(
                "forecast.graph",
                "the data came without a graph",
                "use --graph none, and --adaptive-graph to learn one",
            ));
        }
        return Ok(Graphs::None);
    };
    if !config.model.uses_graph() {
        return Ok(Graphs::None);
    }
    let turned = |graph: &CsrGraph| match using {
        GraphUse::Undirected => graph.symmetrised(Symmetry::Max),
        GraphUse::Reversed => graph.transposed(),
        GraphUse::Given | GraphUse::None => graph.clone(),
    };
    Ok(match given {
        SeriesGraph::Static(graph) if config.sparse == Some(true) => {
            Graphs::Sparse(Arc::new(turned(graph)))
        }
        SeriesGraph::Static(graph) => Graphs::Fixed(Arc::new(filled_dense(&turned(graph)))),
        SeriesGraph::PerStep(graphs) => {
            Graphs::PerStep(graphs.iter().map(|g| Arc::new(turned(g))).collect())
        }
    })
}

/// A graph as a row-major matrix, entry [target, source].
fn filled_dense(graph: &CsrGraph) -> Vec<f32> {
    let mut dense = vec![0.0; graph.n_nodes() * graph.n_nodes()];
    fill_dense(graph, &mut dense);
    dense
}

/// Writes a graph into a row-major matrix of zeros, entry [target, source].
pub(super) fn fill_dense(graph: &CsrGraph, out: &mut [f32]) {
    let v = graph.n_nodes();
    for (source, target, weight) in graph.edges() {
        out[target * v + source] = weight;
    }
}

impl ForecastData {
    /// The given graph if it is the same at every step, for a model of these settings.
    ///
    /// # Errors
    /// A sparse graph for a convolution that has no matrix.
    pub fn fixed_graph(&self, model: &ModelConfig, device: &Device) -> Result<Option<GivenGraph>> {
        Ok(match &self.graph {
            Graphs::Sparse(graph) => {
                let p = propagation::sparse(model.conv_type, model.state_mixing, graph)?;
                Some(GivenGraph::Sparse(Arc::new(SparseMatrix::new(&p, device))))
            }
            _ => self.dense_graph(device).map(GivenGraph::Dense),
        })
    }

    /// The adjacency that is the same at every step if it is not kept sparse, (1, 1, v, w).
    pub fn dense_graph(&self, device: &Device) -> Option<Tensor<4>> {
        let v = self.nodes();
        match &self.graph {
            Graphs::Fixed(dense) => {
                let data = TensorData::new(dense.to_vec(), [1, 1, v, v]);
                Some(Tensor::from_data(data, device))
            }
            _ => None,
        }
    }

    /// The adjacency that is the same at every step, however it is kept, (v, w).
    pub(super) fn adjacency(&self) -> Option<Vec<f32>> {
        match &self.graph {
            Graphs::Fixed(dense) => Some(dense.to_vec()),
            Graphs::Sparse(graph) => Some(filled_dense(graph)),
            _ => None,
        }
    }
}
