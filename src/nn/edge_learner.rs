//! Learned edges: the adjacency of a window or of every time step from the signals themselves.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{
    Device, Distribution, Tensor,
    activation::{relu, sigmoid, silu, softmax},
};
use serde::{Deserialize, Serialize};

use super::linear::linear;
use super::propagation::diagonal_of;
use crate::ops::matmul::matmul;

/// Settings of the edge learner; all off means the given graph is used as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeLearnerConfig {
    /// Channels of the signals, d.
    pub channels: usize,
    /// Attention between sensors.
    pub attention: bool,
    /// Attention at every time step instead of on the time mean.
    pub attention_per_step: bool,
    /// Entries of the symmetrised attention below this become 0.
    pub threshold: f64,
    /// Softmax temperature of the attention.
    pub temperature: f64,
    /// Every existing edge gets a weight per time step from the signals at its ends.
    pub time_varying: bool,
    /// Initial share s of the old weight in a time-varying edge.
    pub initial_skip: f64,
    /// Vertices, for node embeddings.
    pub num_vertices: usize,
    /// Width of the learned node embeddings; 0 for none.
    pub node_embedding_dim: usize,
}

/// Forms the adjacency the convolutions use from the given one, A0, and the signals x.
///
/// 1. Node embeddings: `A = A0 + softmax(relu(E_target E_sourceᵀ))`, rows sum to one
///    (Wu et al., Graph WaveNet, arXiv:1906.00121).
/// 2. Attention: `S = softmax_w(Q x_v · K x_w / √d / temperature)`, `(S + Sᵀ)/2`, entries below
///    the threshold 0, plus A, diagonal 1. On the time mean of x, or at each step.
/// 3. Time-varying edges: each non-zero entry e becomes `s e + (1 - s) σ(MLP[x_source,t;
///    x_target,t; e])`; absent edges stay absent.
#[derive(Module, Debug)]
pub struct EdgeLearner {
    /// Queries, d → 4d.
    pub q_proj: Option<Linear>,
    /// Keys, d → 4d.
    pub k_proj: Option<Linear>,
    /// MLP of the time-varying edges, 2d + 1 → d → d/2 → 1 with SiLU between.
    pub edge_transform: Option<Vec<Linear>>,
    /// Share s of the old weight, (1).
    pub skip_param: Option<Param<Tensor<1>>>,
    /// Embeddings of vertices as sources, (v, e).
    pub source_embedding: Option<Param<Tensor<2>>>,
    /// Embeddings of vertices as targets, (v, e).
    pub target_embedding: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: EdgeLearnerConfig,
}

impl EdgeLearnerConfig {
    /// Whether the learner changes the graph at all.
    pub fn is_active(&self) -> bool {
        self.attention || self.time_varying || self.node_embedding_dim > 0
    }

    /// A learner with PyTorch's default initialisation; `None` if everything is off.
    pub fn init(&self, device: &Device) -> Option<EdgeLearner> {
        if !self.is_active() {
            return None;
        }
        let d = self.channels;
        let linear = |d_input, d_output| LinearConfig::new(d_input, d_output).init(device);
        let embedding = || {
            (self.node_embedding_dim > 0).then(|| {
                Param::from_tensor(Tensor::random(
                    [self.num_vertices, self.node_embedding_dim],
                    Distribution::Normal(0.0, 1.0),
                    device,
                ))
            })
        };
        Some(EdgeLearner {
            q_proj: self.attention.then(|| linear(d, 4 * d)),
            k_proj: self.attention.then(|| linear(d, 4 * d)),
            edge_transform: self
                .time_varying
                .then(|| vec![linear(2 * d + 1, d), linear(d, d / 2), linear(d / 2, 1)]),
            skip_param: self
                .time_varying
                .then(|| Param::from_tensor(Tensor::full([1], self.initial_skip as f32, device))),
            source_embedding: embedding(),
            target_embedding: embedding(),
            config: self.clone(),
        })
    }
}

/// What an edge learner makes of a stretch of a signal.
pub struct LearnedEdges {
    /// (b or 1, l or 1, v, w).
    pub adjacency: Tensor<4>,
    /// The attention, if it comes from the time mean: what a stream keeps, (b, 1, v, w).
    pub window: Option<Tensor<4>>,
}

impl EdgeLearner {
    /// x: (b, v, l, d), a0: (b or 1, l or 1, v, w). With `window`, made by an earlier call, the
    /// attention on the time mean is not computed again.
    pub fn forward(&self, x: Tensor<4>, a0: Tensor<4>, window: Option<Tensor<4>>) -> LearnedEdges {
        let mut adjacency = self.embed(a0);
        let mut kept = None;
        if let (Some(q_proj), Some(k_proj)) = (&self.q_proj, &self.k_proj) {
            let attention = window.unwrap_or_else(|| self.attend(q_proj, k_proj, x.clone()));
            kept = self.needs_window().then(|| attention.clone());
            adjacency = attention + adjacency;
            let diagonal = diagonal_of(&adjacency);
            adjacency = adjacency.mask_fill(diagonal, 1.0);
        }
        if let (Some(layers), Some(skip)) = (&self.edge_transform, &self.skip_param) {
            adjacency = vary(layers, skip.val(), x, adjacency);
        }
        LearnedEdges {
            adjacency,
            window: kept,
        }
    }

    /// Whether edges come from the time mean of a whole window.
    pub fn needs_window(&self) -> bool {
        self.config.attention && !self.config.attention_per_step
    }

    fn embed(&self, a0: Tensor<4>) -> Tensor<4> {
        match (&self.source_embedding, &self.target_embedding) {
            (Some(source), Some(target)) => {
                let scores = relu(matmul(target.val(), source.val().transpose()));
                a0 + softmax(scores, 1).unsqueeze::<4>()
            }
            _ => a0,
        }
    }

    /// Symmetrised attention with weak entries removed, (b, 1 or l, v, w).
    fn attend(&self, q_proj: &Linear, k_proj: &Linear, x: Tensor<4>) -> Tensor<4> {
        let d = x.dims()[3] as f64;
        // (b, 1 or l, v, d): the time axis of the graph comes before the vertices.
        let x = if self.config.attention_per_step {
            x.swap_dims(1, 2)
        } else {
            x.mean_dim(2).swap_dims(1, 2)
        };
        let (q, k) = (linear(q_proj, x.clone()), linear(k_proj, x));
        let scores = matmul(q, k.swap_dims(2, 3)) / (d.sqrt() * self.config.temperature);
        let s = softmax(scores, 3);
        let s = (s.clone() + s.swap_dims(2, 3)) / 2.0;
        let weak = s.clone().lower_elem(self.config.threshold);
        s.mask_fill(weak, 0.0)
    }
}

/// Time-varying weights for the edges of `a`, (b or 1, l or 1, v, w) -> (b, l, v, w).
fn vary(layers: &[Linear], skip: Tensor<1>, x: Tensor<4>, a: Tensor<4>) -> Tensor<4> {
    let [b, v, l, d] = x.dims();
    let x = x.swap_dims(1, 2);
    // The first layer acts on [x_source; x_target; e]: its three parts are applied before
    // pairing, so that no (v, w, 2d + 1) array is formed.
    let weight = layers[0].weight.val();
    let hidden = weight.dims()[1];
    let source = matmul(x.clone(), weight.clone().narrow(0, 0, d).unsqueeze::<4>());
    let target = matmul(x, weight.clone().narrow(0, d, d).unsqueeze::<4>());
    let edge = weight.narrow(0, 2 * d, 1).reshape([1, 1, 1, 1, hidden]);
    let mut joint = source.unsqueeze_dim::<5>(2)
        + target.unsqueeze_dim::<5>(3)
        + a.clone().unsqueeze_dim::<5>(4) * edge;
    if let Some(bias) = &layers[0].bias {
        joint = joint + bias.val().reshape([1, 1, 1, 1, hidden]);
    }
    let joint = linear(&layers[1], silu(joint));
    let learned = sigmoid(linear(&layers[2], silu(joint)).squeeze_dim::<4>(4));
    let skip = skip.reshape([1, 1, 1, 1]);
    let absent = a.clone().equal_elem(0.0).expand([b, l, v, v]);
    (a * skip.clone() + learned * (skip.neg() + 1.0)).mask_fill(absent, 0.0)
}
