//! STID: a perceptron over the history of a node and the identities of node and time.
//!
//! ```text
//! z = [W x + b ; E_node ; E_time of day ; E_day of week]
//! z <- z + W₂ dropout(relu(W₁ z + b₁)) + b₂      as many times as there are layers
//! ŷ = W z + b
//! ```
//!
//! Source: Shao et al., "Spatial-Temporal Identity: A Simple yet Effective Baseline for Multivariate
//! Time Series Forecasting" (arXiv:2208.05233), §3.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::relu};

use super::embedding::Identities;
use super::{output_layer, with_clock};
use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::models::ModelConfig;
use crate::nn::linear;

/// One residual perceptron.
#[derive(Module, Debug)]
pub struct Perceptron {
    pub first: Linear,
    pub second: Linear,
}

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct Stid {
    pub history: Linear,
    pub identities: Identities,
    pub layers: Vec<Perceptron>,
    pub head: Linear,
    dropout: Dropout,
}

impl Stid {
    /// Random weights; every part of z is d_model wide.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let identities = Identities::new(
            sizes,
            m,
            config.node_embedding,
            config.time_embedding,
            device,
        );
        let width = m * (1 + identities.count());
        let square = || LinearConfig::new(width, width).init(device);
        let features = sizes.features + sizes.clock;
        Self {
            history: LinearConfig::new(sizes.history * features, m).init(device),
            identities,
            layers: (0..model.n_layers)
                .map(|_| Perceptron {
                    first: square(),
                    second: square(),
                })
                .collect(),
            head: output_layer(width, sizes, config.anchor, device),
            dropout: DropoutConfig::new(model.dropout).init(),
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let x = with_clock(&input);
        let [b, v, l, f] = x.dims();
        let mut parts = vec![linear(&self.history, x.reshape([b, v, l * f]))];
        parts.extend(self.identities.rows(&input));
        let mut z = Tensor::cat(parts, 2);
        for layer in &self.layers {
            let hidden = self.dropout.forward(relu(linear(&layer.first, z.clone())));
            z = z + linear(&layer.second, hidden);
        }
        linear(&self.head, z)
    }
}
