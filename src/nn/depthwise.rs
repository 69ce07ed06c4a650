//! Parameters of a causal depthwise convolution along time.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};

/// Taps and offsets of [`causal_conv1d`](crate::ops::causal_conv1d), stored as PyTorch stores a
/// depthwise convolution.
#[derive(Module, Debug)]
pub struct DepthwiseConv {
    /// Taps, oldest first, (d, 1, k).
    pub weight: Param<Tensor<3>>,
    /// Offset, (d).
    pub bias: Option<Param<Tensor<1>>>,
}

impl DepthwiseConv {
    /// Uniform in ±1/√k, as PyTorch starts it, the taps in ±`bound` if that is given.
    pub fn new(
        channels: usize,
        width: usize,
        bias: bool,
        bound: Option<f64>,
        device: &Device,
    ) -> Self {
        let usual = 1.0 / (width as f64).sqrt();
        let uniform = |bound: f64| Distribution::Uniform(-bound, bound);
        Self {
            weight: Param::from_tensor(Tensor::random(
                [channels, 1, width],
                uniform(bound.unwrap_or(usual)),
                device,
            )),
            bias: bias
                .then(|| Param::from_tensor(Tensor::random([channels], uniform(usual), device))),
        }
    }

    /// Steps that an output sees, k.
    pub fn width(&self) -> usize {
        let [_, _, k] = self.weight.lazy_shape().dims();
        k
    }

    /// Taps (d, k) and offset (d).
    pub fn taps(&self) -> (Tensor<2>, Option<Tensor<1>>) {
        let weight = self.weight.val().squeeze_dim(1);
        (weight, self.bias.as_ref().map(Param::val))
    }
}
