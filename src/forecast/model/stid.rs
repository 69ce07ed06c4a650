//! STID: a perceptron over the history of a node and the identities of node and time.
//!
//! ```text
//! z = [W x + b ; E_node ; E_time of day ; E_kind of day],  then as in `readout`
//! ```
//!
//! Source: Shao et al., "Spatial-Temporal Identity: A Simple yet Effective Baseline for Multivariate
//! Time Series Forecasting" (arXiv:2208.05233), §3.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::embedding::Identities;
use super::readout::Readout;
use super::with_clock;
use crate::forecast::config::ForecastConfig;
use crate::forecast::data::{Input, Sizes};
use crate::models::ModelConfig;
use crate::nn::linear;

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct Stid {
    pub history: Linear,
    pub identities: Identities,
    pub readout: Readout,
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
        let identities = Identities::new(config, sizes, m, device);
        let features = sizes.features + sizes.clock;
        Self {
            history: LinearConfig::new(sizes.history * features, m).init(device),
            readout: Readout::new(
                m * (1 + identities.count()),
                model.n_layers,
                sizes,
                config.anchor,
                model.dropout,
                device,
            ),
            identities,
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let x = with_clock(&input);
        let [b, v, l, f] = x.dims();
        let mut parts = vec![linear(&self.history, x.reshape([b, v, l * f]))];
        parts.extend(self.identities.rows(&input));
        self.readout.forward(Tensor::cat(parts, 2))
    }
}
