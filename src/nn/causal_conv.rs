//! Causal depthwise convolution along time, through SiLU.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor, activation::silu};

use crate::ops::causal_conv1d;

/// `y_t[d] = silu(bias[d] + Σ_j weight[d, 0, j] x_{t-k+1+j}[d])`, per vertex and channel.
#[derive(Module, Debug)]
pub struct CausalConv1d {
    /// Taps, oldest first, (d, 1, k).
    pub weight: Param<Tensor<3>>,
    /// Offset, (d).
    pub bias: Param<Tensor<1>>,
}

impl CausalConv1d {
    /// Uniform in ±1/√k, as PyTorch initialises a depthwise convolution.
    pub fn new(channels: usize, width: usize, device: &Device) -> Self {
        let bound = 1.0 / (width as f64).sqrt();
        let uniform = Distribution::Uniform(-bound, bound);
        Self {
            weight: Param::from_tensor(Tensor::random([channels, 1, width], uniform, device)),
            bias: Param::from_tensor(Tensor::random([channels], uniform, device)),
        }
    }

    /// Convolves x, (b, v, l, d), after the inputs `past`, (b, v, k-1, d) (zeros if absent);
    /// returns the result and the last k-1 inputs for the next call.
    pub fn forward(&self, x: Tensor<4>, past: Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
        let [b, v, l, d] = x.dims();
        let weight = self.weight.val();
        let k = weight.dims()[2];
        if k == 1 {
            let weight = weight.reshape([1, 1, 1, d]);
            let y = x * weight + self.bias.val().reshape([1, 1, 1, d]);
            let none = past.unwrap_or_else(|| Tensor::empty([b, v, 0, d], &y.device()));
            return (silu(y), none);
        }
        let (y, last) = causal_conv1d(
            x.reshape([b * v, l, d]),
            weight.reshape([d, k]),
            Some(self.bias.val()),
            past.map(|past| past.reshape([b * v, k - 1, d])),
            None,
            true,
        );
        (y.reshape([b, v, l, d]), last.reshape([b, v, k - 1, d]))
    }
}
