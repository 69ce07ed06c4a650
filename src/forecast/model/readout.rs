//! From what is known of a node to its horizon.
//!
//! ```text
//! z <- z + W₂ dropout(relu(W₁ z + b₁)) + b₂      as many times as there are layers
//! ŷ = W z + b
//! ```
//!
//! Source: Shao et al., STID (arXiv:2208.05233), §3.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::relu};

use super::output_layer;
use crate::forecast::data::Sizes;
use crate::nn::{Dropout, linear};

/// One residual perceptron.
#[derive(Module, Debug)]
pub struct Perceptron {
    pub first: Linear,
    pub second: Linear,
}

/// Residual perceptrons and the layer that gives the horizon; see the module above.
#[derive(Module, Debug)]
pub struct Readout {
    pub layers: Vec<Perceptron>,
    pub head: Linear,
    dropout: Dropout,
}

impl Readout {
    /// Random weights for z of `width`; with an anchor the last layer starts at zero.
    pub fn new(
        width: usize,
        layers: usize,
        sizes: Sizes,
        anchor: bool,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let square = || LinearConfig::new(width, width).init(device);
        Self {
            layers: (0..layers)
                .map(|_| Perceptron {
                    first: square(),
                    second: square(),
                })
                .collect(),
            head: output_layer(width, sizes, anchor, device),
            dropout: Dropout::new(dropout),
        }
    }

    /// (b, v, width) to (b, v, h·k·q).
    pub fn forward(&self, mut z: Tensor<3>) -> Tensor<3> {
        for layer in &self.layers {
            let hidden = self.dropout.forward(relu(linear(&layer.first, z.clone())));
            z = z + linear(&layer.second, hidden);
        }
        linear(&self.head, z)
    }
}
