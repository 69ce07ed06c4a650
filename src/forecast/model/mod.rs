//! Forecasters: TGMamba, and the models it is compared with, all from the same input to the same
//! output.

pub mod embedding;
pub mod gru;
pub mod linear;
pub mod readout;
pub mod s4d;
pub mod stid;
pub mod tgmamba;
pub mod wavenet;

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::config::ForecastConfig;
use super::data::{Input, Sizes};
use crate::error::Result;
use crate::models::ModelConfig;
use gru::GruForecaster;
use linear::LinearForecaster;
use s4d::S4dForecaster;
use stid::Stid;
use tgmamba::TgMambaForecaster;
use wavenet::GraphWaveNet;

/// Which model forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ForecasterKind {
    /// Stacked TGMamba blocks.
    #[default]
    #[serde(rename = "tgmamba")]
    #[value(name = "tgmamba")]
    TgMamba,
    /// The same without any graph.
    Mamba,
    /// Diagonal state spaces along time, no graph.
    S4d,
    /// Diffusion convolution with an adaptive graph between gated convolutions along time.
    GraphWavenet,
    /// A perceptron with identities of nodes and times.
    Stid,
    /// A GRU for each node, weights shared.
    Gru,
    /// A linear map of trend and rest.
    Linear,
    /// The value one season before.
    SeasonalNaive,
    /// The training mean at the same place in the season.
    HistoricalAverage,
    /// The last observed value.
    LastValue,
}

impl ForecasterKind {
    /// Whether it looks at the graph that came with the data.
    pub fn uses_graph(self) -> bool {
        matches!(self, Self::TgMamba | Self::GraphWavenet)
    }

    /// Whether there is nothing to train.
    pub fn is_naive(self) -> bool {
        matches!(
            self,
            Self::SeasonalNaive | Self::HistoricalAverage | Self::LastValue
        )
    }
}

impl std::fmt::Display for ForecasterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.pad(value.as_ref().map_or("", |v| v.get_name()))
    }
}

/// A network from [`Input`] to the horizon.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each run: its handles are no burden"
)]
pub enum Network {
    TgMamba(TgMambaForecaster),
    S4d(S4dForecaster),
    GraphWaveNet(GraphWaveNet),
    Stid(Stid),
    Gru(GruForecaster),
    Linear(LinearForecaster),
}

/// A network, and the last value it may forecast the difference from.
#[derive(Module, Debug)]
pub struct Forecaster {
    pub network: Network,
    #[module(skip)]
    sizes: Sizes,
    #[module(skip)]
    anchor: bool,
    #[module(skip)]
    relative: bool,
    #[module(skip)]
    config: ModelConfig,
}

impl Forecaster {
    /// A forecaster with random weights drawn from the device's generator.
    ///
    /// # Errors
    /// Sizes that cannot be built.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Result<Self> {
        model.validate_blocks()?;
        let network = match config.model {
            ForecasterKind::S4d => Network::S4d(S4dForecaster::new(config, model, sizes, device)),
            ForecasterKind::GraphWavenet => {
                Network::GraphWaveNet(GraphWaveNet::new(config, model, sizes, device))
            }
            ForecasterKind::Stid => Network::Stid(Stid::new(config, model, sizes, device)),
            ForecasterKind::Gru => Network::Gru(GruForecaster::new(config, model, sizes, device)),
            ForecasterKind::Linear => Network::Linear(LinearForecaster::new(config, sizes, device)),
            _ => Network::TgMamba(TgMambaForecaster::new(config, model, sizes, device)),
        };
        Ok(Self {
            network,
            sizes,
            anchor: config.anchor,
            relative: config.relative,
            config: model.clone(),
        })
    }

    /// Forecasts in scaled units, (b, v, h, k·q) with the quantiles innermost.
    ///
    /// With an anchor the network's output is added to the last observed value of the target, so
    /// that a network of zeros forecasts that; with `relative` that value is taken from the history
    /// before (both together: NLinear of Zeng et al., arXiv:2205.13504).
    pub fn forward(&self, mut input: Input) -> Tensor<4> {
        let Sizes {
            nodes: v,
            horizon: h,
            targets: k,
            outputs: q,
            ..
        } = self.sizes;
        let b = input.x.dims()[0];
        let last = input.last.clone();
        if self.relative {
            input.x = self.differences(&input);
        }
        let out: Tensor<3> = match &self.network {
            Network::TgMamba(net) => net.forward(input),
            Network::S4d(net) => net.forward(input),
            Network::GraphWaveNet(net) => net.forward(input),
            Network::Stid(net) => net.forward(input),
            Network::Gru(net) => net.forward(input),
            Network::Linear(net) => net.forward(input),
        };
        let out = out.reshape([b, v, h, k * q]);
        if !self.anchor {
            return out;
        }
        let last = last.reshape([b, v, 1, k, 1]).expand([b, v, 1, k, q]);
        out + last.reshape([b, v, 1, k * q])
    }

    /// History with the targets as differences from their last observed value, 0 where not observed.
    fn differences(&self, input: &Input) -> Tensor<4> {
        let Sizes {
            features, targets, ..
        } = self.sizes;
        let x = input.x.clone();
        let mut moved = x.clone().narrow(3, 0, targets) - input.last.clone().unsqueeze_dim(2);
        if self.sizes.masked {
            moved = moved * x.clone().narrow(3, features - targets, targets);
        }
        match features - targets {
            0 => moved,
            rest => Tensor::cat(vec![moved, x.narrow(3, targets, rest)], 3),
        }
    }

    /// Sizes and choices of the network.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The learned graph, (v, w), if there is one.
    pub fn learned_graph(&self) -> Option<Tensor<2>> {
        match &self.network {
            Network::TgMamba(net) => net.learned_graph(),
            Network::GraphWaveNet(net) => net.learned_graph(),
            _ => None,
        }
    }
}

impl Sizes {
    /// Numbers that a network gives for each node.
    pub fn width(&self) -> usize {
        self.horizon * self.targets * self.outputs
    }
}

/// The layer that gives the horizon. With an anchor it starts at zero, so that training starts from
/// the last value.
fn output_layer(input: usize, sizes: Sizes, anchor: bool, device: &Device) -> Linear {
    let layer = LinearConfig::new(input, sizes.width());
    match anchor {
        true => layer.with_initializer(Initializer::Zeros).init(device),
        false => layer.init(device),
    }
}

/// History with its calendar as further features, (b, v, l, f + c).
fn with_clock(input: &Input) -> Tensor<4> {
    let [b, v, l, _] = input.x.dims();
    match &input.clock {
        None => input.x.clone(),
        Some(clock) => {
            let c = clock.dims()[2];
            let clock = clock.clone().unsqueeze_dim::<4>(1).expand([b, v, l, c]);
            Tensor::cat(vec![input.x.clone(), clock], 3)
        }
    }
}
