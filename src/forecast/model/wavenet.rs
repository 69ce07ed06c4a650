//! Graph WaveNet: gated convolutions along time, and diffusion over the given graph, its reverse,
//! and a learned one.
//!
//! ```text
//! per layer, dilation δ = 1, 2, 1, 2, ...:
//!   g_t = tanh(x_t F₁ + x_{t-δ} F₀ + f) ⊙ σ(x_t G₁ + x_{t-δ} G₀ + g)
//!   skip <- skip + g_last S
//!   x <- norm(x + [g ; P g ; P² g for P in (P_forward, P_backward, A)] W)
//! ŷ = W₂ relu(W₁ relu(skip))
//! ```
//!
//! P_forward and P_backward are the adjacency and its transpose with rows of sum one, A the learned
//! graph. Source: Wu et al., "Graph WaveNet for Deep Spatial-Temporal Graph Modeling"
//! (arXiv:1906.00121), eq. 4 to 8. Where the authors normalise over the batch, this layer does over
//! the channels, which leaves a forecast independent of the others in its batch; and it reads the
//! last step where a history longer than the receptive field leaves several.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{
    Device, Tensor,
    activation::{relu, sigmoid, tanh},
};

use super::embedding::AdaptiveGraph;
use super::{output_layer, with_clock};
use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::forecast::graph::GivenGraph;
use crate::models::ModelConfig;
use crate::nn::graph_conv::propagate;
use crate::nn::propagation::row_normalised;
use crate::nn::{Dropout, linear};

/// Steps of the diffusion.
const DIFFUSION: usize = 2;

/// A layer; see the module above.
#[derive(Module, Debug)]
pub struct WaveLayer {
    /// Both taps of filter and gate at once, (2m -> 2m).
    pub taps: Linear,
    pub skip: Linear,
    pub mix: Linear,
    pub norm: LayerNorm,
}

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct GraphWaveNet {
    pub start: Linear,
    pub adaptive: Option<AdaptiveGraph>,
    pub layers: Vec<WaveLayer>,
    pub end: Linear,
    pub head: Linear,
    dropout: Dropout,
    #[module(skip)]
    skip: usize,
}

/// Dilation of layer `i`.
fn dilation(i: usize) -> usize {
    1 + i % 2
}

impl GraphWaveNet {
    /// Random weights; skips are four times as wide as the layers.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let skip = 4 * m;
        let supports = 2 * usize::from(sizes.graph) + usize::from(config.adaptive);
        let layer = |from: usize, to: usize| LinearConfig::new(from, to).init(device);
        Self {
            start: layer(sizes.features + sizes.clock, m),
            adaptive: config
                .adaptive
                .then(|| AdaptiveGraph::new(sizes.nodes, config.adaptive_dim, false, device)),
            layers: (0..model.n_layers)
                .map(|_| WaveLayer {
                    taps: layer(2 * m, 2 * m),
                    skip: layer(m, skip),
                    mix: layer(m * (1 + DIFFUSION * supports), m),
                    norm: LayerNormConfig::new(m).init(device),
                })
                .collect(),
            end: layer(skip, 2 * skip),
            head: output_layer(2 * skip, sizes, config.anchor, device),
            dropout: Dropout::new(model.dropout),
            skip,
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let x = with_clock(&input);
        let [b, v, l, _] = x.dims();
        let mut supports = Vec::with_capacity(3);
        if let Some(GivenGraph::Dense(graph)) = input.graph {
            supports.push(row_normalised(graph.clone()));
            supports.push(row_normalised(graph.swap_dims(2, 3)));
        }
        if let Some(adaptive) = &self.adaptive {
            supports.push(adaptive.graph().unsqueeze::<4>());
        }
        let mut x = linear(&self.start, x);
        let m = x.dims()[3];
        let mut skip = Tensor::<3>::zeros([b, v, self.skip], &x.device());
        for (i, layer) in self.layers.iter().enumerate() {
            let d = dilation(i);
            // Steps before the history are zero, so that every layer keeps the length.
            let before = Tensor::zeros([b, v, d, m], &x.device());
            let past = Tensor::cat(vec![before, x.clone()], 2).narrow(2, 0, l);
            let taps = linear(&layer.taps, Tensor::cat(vec![past, x.clone()], 3));
            let g = tanh(taps.clone().narrow(3, 0, m)) * sigmoid(taps.narrow(3, m, m));
            let last: Tensor<3> = g.clone().narrow(2, l - 1, 1).squeeze_dim(2);
            skip = skip + linear(&layer.skip, last);
            let mut mixed = vec![g.clone()];
            for p in &supports {
                let mut h = g.clone();
                for _ in 0..DIFFUSION {
                    h = propagate(p.clone(), h);
                    mixed.push(h.clone());
                }
            }
            let mixed = linear(&layer.mix, Tensor::cat(mixed, 3));
            x = layer.norm.forward(x + self.dropout.forward(mixed));
        }
        linear(&self.head, relu(linear(&self.end, relu(skip))))
    }

    /// The learned graph, (v, w).
    pub fn learned_graph(&self) -> Option<Tensor<2>> {
        self.adaptive.as_ref().map(AdaptiveGraph::graph)
    }
}
