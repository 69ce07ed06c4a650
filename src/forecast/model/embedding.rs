//! Learned identities of nodes and times, and the graph made of learned embeddings.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{
    Device, Distribution, Tensor,
    activation::{relu, sigmoid, softmax},
};

use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::nn::linear;
use crate::nn::propagation::row_normalised;
use crate::ops::matmul::matmul;

/// A table of embeddings, uniform in ±1/√(width), as STID starts them (Xavier for a long table).
fn table(rows: usize, width: usize, device: &Device) -> Param<Tensor<2>> {
    let bound = 1.0 / (width as f64).sqrt();
    Param::from_tensor(Tensor::random(
        [rows, width],
        Distribution::Uniform(-bound, bound),
        device,
    ))
}

/// Embeddings of nodes (v, m), of times of day and of kinds of days.
#[derive(Module, Debug)]
pub struct Identities {
    pub node: Option<Param<Tensor<2>>>,
    pub slot: Option<Param<Tensor<2>>>,
    pub weekday: Option<Param<Tensor<2>>>,
}

impl Identities {
    /// Tables of width `m`; those that would have one row are left out.
    pub fn new(config: &ForecastConfig, sizes: Sizes, m: usize, device: &Device) -> Self {
        let (nodes, times) = (config.node_embedding, config.time_embedding);
        let some = |wanted: bool, rows: usize| (wanted && rows > 1).then(|| table(rows, m, device));
        Self {
            node: some(nodes, sizes.nodes),
            slot: some(times, sizes.slots),
            weekday: some(times, sizes.weekdays),
        }
    }

    /// How many tables there are.
    pub fn count(&self) -> usize {
        [&self.node, &self.slot, &self.weekday]
            .into_iter()
            .flatten()
            .count()
    }

    /// The embeddings of every node and window, (b, v, m) each.
    pub fn rows(&self, input: &Input) -> Vec<Tensor<3>> {
        let [b, v, _, _] = input.x.dims();
        let mut rows = Vec::with_capacity(3);
        if let Some(node) = &self.node {
            let node = node.val();
            let m = node.dims()[1];
            rows.push(node.unsqueeze::<3>().expand([b, v, m]));
        }
        for (table, index) in [(&self.slot, &input.slot), (&self.weekday, &input.weekday)] {
            if let Some(table) = table {
                let table = table.val();
                let m = table.dims()[1];
                let picked = table.select(0, index.clone());
                rows.push(picked.unsqueeze_dim::<3>(1).expand([b, v, m]));
            }
        }
        rows
    }
}

/// What layers along time start from, (b, v, l, m):
///
/// ```text
/// W_x x + b + W_c clock + E_node + E_time of day + E_kind of day
/// ```
///
/// The embeddings are those of the last step in, the same at every step (STID, arXiv:2208.05233).
#[derive(Module, Debug)]
pub struct Inputs {
    pub in_proj: Linear,
    pub clock_proj: Option<Linear>,
    pub identities: Identities,
}

impl Inputs {
    /// Random weights, width `m`.
    pub fn new(config: &ForecastConfig, sizes: Sizes, m: usize, device: &Device) -> Self {
        let clock = config.time_embedding && sizes.clock > 0;
        Self {
            in_proj: LinearConfig::new(sizes.features, m).init(device),
            clock_proj: clock.then(|| {
                LinearConfig::new(sizes.clock, m)
                    .with_bias(false)
                    .init(device)
            }),
            identities: Identities::new(config, sizes, m, device),
        }
    }

    /// (b, v, l, m).
    pub fn forward(&self, input: &Input) -> Tensor<4> {
        let mut hidden = linear(&self.in_proj, input.x.clone());
        if let (Some(layer), Some(clock)) = (&self.clock_proj, &input.clock) {
            hidden = hidden + linear(layer, clock.clone()).unsqueeze_dim::<4>(1);
        }
        // Together first: what they add to every step is a sum over steps in the backward pass.
        let identities = self.identities.rows(input).into_iter();
        if let Some(rows) = identities.reduce(|sum, rows| sum + rows) {
            hidden = hidden + rows.unsqueeze_dim::<4>(2);
        }
        hidden
    }
}

/// A graph made of two embeddings of the nodes:
///
/// ```text
/// A = softmax(relu(E_target E_sourceᵀ))   rows sum to one
/// ```
///
/// Source: Wu et al., "Graph WaveNet" (arXiv:1906.00121), eq. 5.
#[derive(Module, Debug)]
pub struct AdaptiveGraph {
    /// (v, e).
    pub target_embedding: Param<Tensor<2>>,
    /// (v, e).
    pub source_embedding: Param<Tensor<2>>,
    /// Where a graph is given: the logit of its share, (1).
    pub gate: Option<Param<Tensor<1>>>,
}

impl AdaptiveGraph {
    /// Embeddings from the standard normal distribution; equal shares for the given graph and the
    /// learned one.
    pub fn new(nodes: usize, width: usize, given: bool, device: &Device) -> Self {
        let embedding = || {
            let normal = Distribution::Normal(0.0, 1.0);
            Param::from_tensor(Tensor::random([nodes, width], normal, device))
        };
        Self {
            target_embedding: embedding(),
            source_embedding: embedding(),
            gate: given.then(|| Param::from_tensor(Tensor::zeros([1], device))),
        }
    }

    /// The learned graph, (v, w), entry [target, source].
    pub fn graph(&self) -> Tensor<2> {
        let (target, source) = (self.target_embedding.val(), self.source_embedding.val());
        softmax(relu(matmul(target, source.transpose())), 1)
    }

    /// `g P + (1 - g) A` with P the given graph, rows of sum one, and g = σ(gate); A alone where
    /// none is given. (1 or b, 1 or l, v, w).
    pub fn beside(&self, given: Option<Tensor<4>>) -> Tensor<4> {
        let learned = self.graph().unsqueeze::<4>();
        match (given, &self.gate) {
            (Some(given), Some(gate)) => {
                let g = sigmoid(gate.val()).reshape([1, 1, 1, 1]);
                row_normalised(given) * g.clone() + learned * (g.neg() + 1.0)
            }
            _ => learned,
        }
    }
}
