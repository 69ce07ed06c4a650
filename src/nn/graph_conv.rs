//! Graph convolutions over the sensors, bias-free.
//!
//! Three of them have one form, `gconv(H) = H W_root + (P H) W_rel`, with
//!
//! | type | P | W_root | W_rel |
//! |---|---|---|---|
//! | graphconv | A | lin_root | lin_rel |
//! | gcnconv | D̃^-½ (A + I) D̃^-½ | 0 | lin |
//! | chebconv, K = 2 | -D^-½ A D^-½ | lins.0 | lins.1 |
//!
//! The fourth, gatv2conv, weighs neighbours by their values (see [`GatV2Conv`]).

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::gatv2::GatV2Conv;
use super::propagation;
use crate::ops::matmul::matmul;

/// Which graph convolution mixes the sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum ConvType {
    /// `H W_root + (A H) W_rel`.
    #[serde(alias = "graph")]
    #[value(alias = "graph")]
    GraphConv,
    /// Symmetrically normalised with self loops.
    #[serde(alias = "gcn")]
    #[value(alias = "gcn")]
    GcnConv,
    /// Chebyshev polynomials of order 2.
    #[serde(alias = "cheb")]
    #[value(alias = "cheb")]
    ChebConv,
    /// Attention over neighbours.
    #[serde(alias = "gatv2")]
    #[value(alias = "gatv2")]
    GatV2Conv,
    /// No mixing: every sensor on its own.
    None,
}

/// How the recurrence h_t = exp(ΔA) ⊙ gconv_A(h_{t-1}) + … is kept finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum StateMixing {
    /// Row-normalised P in all three convolutions, and gconv_A scaled so that
    /// max|gconv_A(h)| ≤ max|h|: finite for any length.
    Bounded,
    /// The free form of the reference, which may grow without bound.
    #[serde(alias = "free")]
    #[value(alias = "free")]
    Reference,
}

/// A graph convolution of one of the four types.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "three per block: their handles are no burden"
)]
pub enum GraphConv {
    Root(RootConv),
    Gcn(GcnConv),
    Cheb(ChebConv),
    Attention(GatV2Conv),
}

/// graphconv: one weight for the vertex, one for its neighbours.
#[derive(Module, Debug)]
pub struct RootConv {
    pub lin_rel: Linear,
    pub lin_root: Linear,
}

/// gcnconv: one weight for vertex and neighbours.
#[derive(Module, Debug)]
pub struct GcnConv {
    pub lin: Linear,
}

/// chebconv, K = 2: `lins[0]` for the vertex, `lins[1]` for its neighbours.
#[derive(Module, Debug)]
pub struct ChebConv {
    pub lins: Vec<Linear>,
}

/// The weights of `H W_root + (P H) W_rel`, rows are inputs.
pub struct LinearForm {
    pub root: Option<Tensor<2>>,
    pub rel: Tensor<2>,
}

impl LinearForm {
    /// Scales output column m by `1 / max(1, Σ_n |W_root[n, m]| + |W_rel[n, m]|)`.
    ///
    /// With a row-normalised P this makes max|gconv(H)| ≤ max|H|: each output is a combination of
    /// entries of H whose absolute coefficients sum to at most one.
    pub fn bounded(self) -> Self {
        let mut sum = self.rel.clone().abs().sum_dim(0);
        if let Some(root) = &self.root {
            sum = sum + root.clone().abs().sum_dim(0);
        }
        let scale = sum.clamp_min(1.0).recip();
        Self {
            root: self.root.map(|w| w * scale.clone()),
            rel: self.rel * scale,
        }
    }

    /// `x W_root + (P x) W_rel` for x and P x, (b, v, l, c).
    pub fn apply(self, x: Tensor<4>, px: Tensor<4>) -> Tensor<4> {
        let [b, v, l, c] = x.dims();
        let out = self.rel.dims()[1];
        let rel = matmul(px.reshape([b * v * l, c]), self.rel);
        match self.root {
            Some(root) => matmul(x.reshape([b * v * l, c]), root) + rel,
            None => rel,
        }
        .reshape([b, v, l, out])
    }
}

/// How a convolution starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphConvInit {
    /// The vertex passes through and neighbours contribute nothing (where the form allows it).
    Identity,
    /// Uniform in ±1/√channels, as the layers of PyTorch Geometric start.
    Uniform,
}

fn square(channels: usize, initializer: Initializer, device: &Device) -> Linear {
    LinearConfig::new(channels, channels)
        .with_bias(false)
        .with_initializer(initializer)
        .init(device)
}

fn identity(channels: usize, device: &Device) -> Linear {
    Linear {
        weight: Param::from_tensor(Tensor::eye(channels, device)),
        bias: None,
    }
}

impl GraphConv {
    /// A convolution from `channels` to `channels`; `None` for [`ConvType::None`].
    pub fn new(
        conv_type: ConvType,
        channels: usize,
        init: GraphConvInit,
        edge_weights: bool,
        device: &Device,
    ) -> Option<Self> {
        let uniform = || LinearConfig::new(channels, channels).initializer;
        let own = || match init {
            GraphConvInit::Identity => identity(channels, device),
            GraphConvInit::Uniform => square(channels, uniform(), device),
        };
        let neighbours = || match init {
            GraphConvInit::Identity => square(channels, Initializer::Zeros, device),
            GraphConvInit::Uniform => square(channels, uniform(), device),
        };
        Some(match conv_type {
            ConvType::None => return None,
            ConvType::GraphConv => Self::Root(RootConv {
                lin_rel: neighbours(),
                lin_root: own(),
            }),
            ConvType::GcnConv => Self::Gcn(GcnConv { lin: own() }),
            ConvType::ChebConv => Self::Cheb(ChebConv {
                lins: vec![own(), neighbours()],
            }),
            ConvType::GatV2Conv => {
                Self::Attention(GatV2Conv::new(channels, own(), edge_weights, device))
            }
        })
    }

    /// The weights of the linear form, or the attention layer.
    pub fn linear_form(&self) -> Result<LinearForm, &GatV2Conv> {
        match self {
            Self::Root(conv) => Ok(LinearForm {
                root: Some(conv.lin_root.weight.val()),
                rel: conv.lin_rel.weight.val(),
            }),
            Self::Gcn(conv) => Ok(LinearForm {
                root: None,
                rel: conv.lin.weight.val(),
            }),
            Self::Cheb(conv) => Ok(LinearForm {
                root: Some(conv.lins[0].weight.val()),
                rel: conv.lins[1].weight.val(),
            }),
            Self::Attention(conv) => Err(conv),
        }
    }

    /// Applies the convolution at every step of x, (b, v, l, c), with the matrix of
    /// [`propagation_matrix`], (b or 1, l or 1, v, w).
    pub fn forward(&self, x: Tensor<4>, p: Tensor<4>) -> Tensor<4> {
        match self.linear_form() {
            Ok(form) => form.apply(x.clone(), propagate(p, x)),
            Err(attention) => attention
                .forward(x.swap_dims(1, 2), p, false)
                .swap_dims(1, 2),
        }
    }
}

/// `(P x)_t = P_t x_t` for x (b, v, l, c) and P (b or 1, l or 1, v, w).
pub fn propagate(p: Tensor<4>, x: Tensor<4>) -> Tensor<4> {
    let [b, v, l, c] = x.dims();
    if p.dims()[1] == 1 {
        let p = p.squeeze_dim::<3>(1);
        matmul(p, x.reshape([b, v, l * c])).reshape([b, v, l, c])
    } else {
        matmul(p, x.swap_dims(1, 2)).swap_dims(1, 2)
    }
}

/// The matrix a convolution works with, from the adjacency A, (b or 1, l or 1, v, w).
///
/// For gatv2conv it is A itself, whose non-zero entries say which edges exist.
pub fn propagation_matrix(conv_type: ConvType, mixing: StateMixing, a: Tensor<4>) -> Tensor<4> {
    let p = match conv_type {
        ConvType::GraphConv => a,
        ConvType::GcnConv => propagation::gcn(a),
        ConvType::ChebConv => propagation::cheb(a),
        ConvType::GatV2Conv | ConvType::None => return a,
    };
    match mixing {
        StateMixing::Bounded => propagation::row_normalised(p),
        StateMixing::Reference => p,
    }
}
