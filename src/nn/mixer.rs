//! What mixes along time in a model for sensors: TGMamba over the graph, or a block of the Mamba
//! family for every sensor by itself.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::mamba::{Mamba, MambaConfig, MambaState};
use super::mamba2::{Mamba2, Mamba2Config, Mamba2State};
use super::tgmamba::{BlockOutput, BlockState, TgMamba, TgMambaConfig};
use crate::ops::sparse::SparseMatrix;

/// Which block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum MixerKind {
    /// [`TgMamba`].
    #[default]
    TgMamba,
    /// [`Mamba`], without a graph.
    Mamba,
    /// [`Mamba2`], without a graph.
    Mamba2,
}

/// A block.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a few for each model: its handles are no burden"
)]
pub enum Mixer {
    TgMamba(TgMamba),
    Mamba(Mamba),
    Mamba2(Mamba2),
}

/// Largest power of two up to 64 that divides `channels`: channels of a head of Mamba-2.
pub fn head_size(channels: usize) -> usize {
    1 << channels.trailing_zeros().min(6)
}

impl MixerKind {
    /// A block of the sizes of `config`; `residuals` is the number of branches of the whole model
    /// that add to the residual stream.
    pub fn init(self, config: &TgMambaConfig, residuals: usize, device: &Device) -> Mixer {
        match self {
            Self::TgMamba => Mixer::TgMamba(config.init(device)),
            Self::Mamba => Mixer::Mamba(
                MambaConfig {
                    d_model: config.d_model,
                    d_state: config.d_state,
                    d_conv: config.d_conv,
                    expand: config.d_inner / config.d_model,
                    dt_rank: Some(config.dt_rank),
                    dt_min: config.dt_min,
                    dt_max: config.dt_max,
                    ..MambaConfig::default()
                }
                .init(residuals, device),
            ),
            Self::Mamba2 => Mixer::Mamba2(
                Mamba2Config {
                    d_model: config.d_model,
                    d_state: config.d_state,
                    d_conv: config.d_conv,
                    expand: config.d_inner / config.d_model,
                    headdim: head_size(config.d_inner),
                    dt_min: config.dt_min,
                    dt_max: config.dt_max,
                    rmsnorm: config.rmsnorm,
                    ..Mamba2Config::default()
                }
                .init(residuals, device),
            ),
        }
    }
}

impl Mixer {
    /// As [`TgMamba::forward`]; without a graph the adjacency comes back as it was given.
    pub fn forward(&self, h: Tensor<4>, a0: Tensor<4>, state: BlockState) -> BlockOutput {
        let [b, v, l, m] = h.dims();
        let flat = |h: Tensor<4>| h.reshape([b * v, l, m]);
        // A sensor is a sequence of its own.
        let (hidden, conv, scan) = match self {
            Self::TgMamba(block) => return block.forward(h, a0, state),
            Self::Mamba(block) => {
                let before = state.conv.zip(state.scan).map(|(conv, scan)| MambaState {
                    conv: merged(conv),
                    ssm: merged(scan),
                    in_place: false,
                });
                let (hidden, after) = block.forward(flat(h), before, None);
                (hidden, after.conv, after.ssm)
            }
            Self::Mamba2(block) => {
                let before = state.conv.zip(state.scan).map(|(conv, scan)| {
                    let [_, _, d, n] = scan.dims();
                    let p = block.config().headdim;
                    Mamba2State {
                        conv: merged(conv),
                        ssm: scan.reshape([b * v, d / p, p, n]),
                        in_place: false,
                    }
                });
                let (hidden, after) = block.forward(flat(h), before, None);
                let [rows, heads, p, n] = after.ssm.dims();
                (hidden, after.conv, after.ssm.reshape([rows, heads * p, n]))
            }
        };
        let split = |x: Tensor<3>| {
            let [_, rows, columns] = x.dims();
            x.reshape([b, v, rows, columns])
        };
        BlockOutput {
            hidden: split(hidden),
            adjacency: a0,
            window: None,
            state: BlockState {
                conv: Some(split(conv)),
                scan: Some(split(scan)),
                graph: None,
            },
        }
    }

    /// As [`TgMamba::forward_sparse`].
    ///
    /// # Panics
    /// As there, and if the block uses no graph.
    pub fn forward_sparse(&self, h: Tensor<4>, p: &SparseMatrix) -> Tensor<4> {
        match self {
            Self::TgMamba(block) => block.forward_sparse(h, p),
            Self::Mamba(_) | Self::Mamba2(_) => {
                panic!("a block without a graph has no use for one")
            }
        }
    }
}

/// (b, v, rows, columns) as (b · v, rows, columns).
fn merged(x: Tensor<4>) -> Tensor<3> {
    let [b, v, rows, columns] = x.dims();
    x.reshape([b * v, rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_divide_the_channels() {
        assert_eq!(
            [1, 6, 24, 64, 96, 128, 192].map(head_size),
            [1, 2, 8, 64, 32, 64, 64]
        );
    }
}
