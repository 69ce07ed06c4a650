//! Causal depthwise convolution along time.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};

/// `y_t[d] = bias[d] + Σ_j weight[d, 0, j] x_{t-k+1+j}[d]`, per vertex and channel.
///
/// Written as k shifted products so that activations stay channels-last, (b, v, l, d).
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
        let past = past.unwrap_or_else(|| Tensor::zeros([b, v, k - 1, d], &x.device()));
        let padded = if k > 1 {
            Tensor::cat(vec![past, x], 2)
        } else {
            x
        };
        let mut y = self.bias.val().reshape([1, 1, 1, d]).expand([b, v, l, d]);
        for j in 0..k {
            let tap = weight.clone().narrow(2, j, 1).reshape([1, 1, 1, d]);
            y = y + padded.clone().narrow(2, j, l) * tap;
        }
        (y, padded.narrow(2, l, k - 1))
    }
}
