//! Root-mean-square norms.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::ops;

/// Added under the square root.
pub const EPSILON: f64 = 1e-5;

/// `x / sqrt(mean(x²) + 1e-5)` over the last axis, without a learned weight: before a bias-free
/// linear layer a weight would only repeat that layer's columns.
///
/// Source: Zhang & Sennrich, "Root Mean Square Layer Normalization" (arXiv:1910.07467).
pub fn rms_norm<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let ones = Tensor::ones([x.dims()[D - 1]], &x.device());
    ops::rms_norm(x, ones, EPSILON, None, 1, false)
}

/// `RMSNorm(y ⊙ silu(z)) ⊙ w`: the gate acts before the norm.
#[derive(Module, Debug)]
pub struct GatedRmsNorm {
    /// Scale w, (d).
    pub weight: Param<Tensor<1>>,
}

impl GatedRmsNorm {
    /// Ones.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([channels], device)),
        }
    }

    /// y, z: (b, v, l, d).
    pub fn forward(&self, y: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        ops::rms_norm(y, self.weight.val(), EPSILON, Some(z), 1, false)
    }
}
