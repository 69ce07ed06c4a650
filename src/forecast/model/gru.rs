//! A GRU along the history of each node, with weights shared by the nodes, and a linear map of its
//! last state.
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)     z = σ(W_iz x + b_iz + W_hz h + b_hz)
//! n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))     h' = (1 - z) ⊙ n + z ⊙ h
//! ```
//!
//! Source: Cho et al. (arXiv:1406.1078), in the form of PyTorch and cuDNN: r acts after the product.

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{
    Device, Tensor,
    activation::{sigmoid, tanh},
};

use super::{output_layer, with_clock};
use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::models::ModelConfig;
use crate::nn::linear;

/// A layer of gated recurrent units; gates in the order r, z, n.
#[derive(Module, Debug)]
pub struct GruLayer {
    /// Input to gates, f -> 3m.
    pub input: Linear,
    /// State to gates, m -> 3m.
    pub state: Linear,
}

impl GruLayer {
    /// Uniform in ±1/√m, as PyTorch starts.
    pub fn new(features: usize, m: usize, device: &Device) -> Self {
        let bound = 1.0 / (m as f64).sqrt();
        let uniform = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        let layer = |from| {
            LinearConfig::new(from, 3 * m)
                .with_initializer(uniform.clone())
                .init(device)
        };
        Self {
            input: layer(features),
            state: layer(m),
        }
    }

    /// States after each step of x, (n, l, f) -> (n, l, m); the first state is zero.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [n, l, _] = x.dims();
        let gates = linear(&self.input, x);
        let m = gates.dims()[2] / 3;
        let mut h = Tensor::<2>::zeros([n, m], &gates.device());
        let mut states = Vec::with_capacity(l);
        for t in 0..l {
            let i: Tensor<2> = gates.clone().narrow(1, t, 1).squeeze_dim(1);
            let s = linear(&self.state, h.clone());
            let part = |x: &Tensor<2>, g: usize| x.clone().narrow(1, g * m, m);
            let r = sigmoid(part(&i, 0) + part(&s, 0));
            let z = sigmoid(part(&i, 1) + part(&s, 1));
            let new = tanh(part(&i, 2) + r * part(&s, 2));
            // (1 - z) n + z h
            h = new.clone() + z * (h - new);
            states.push(h.clone().unsqueeze_dim::<3>(1));
        }
        Tensor::cat(states, 1)
    }
}

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct GruForecaster {
    pub layers: Vec<GruLayer>,
    pub head: Linear,
}

impl GruForecaster {
    /// Random weights.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let first = sizes.features + sizes.clock;
        Self {
            layers: (0..model.n_layers)
                .map(|i| GruLayer::new(if i == 0 { first } else { m }, m, device))
                .collect(),
            head: output_layer(m, sizes, config.anchor, device),
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let x = with_clock(&input);
        let [b, v, l, f] = x.dims();
        let mut x = x.reshape([b * v, l, f]);
        for layer in &self.layers {
            x = layer.forward(x);
        }
        let m = x.dims()[2];
        linear(&self.head, x.narrow(1, l - 1, 1).reshape([b, v, m]))
    }
}
