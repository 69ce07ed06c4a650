//! Causal depthwise convolution along time, through SiLU.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor, activation::silu};

use super::recompute::{strategy, with};
use crate::ops::causal_conv1d::{causal_conv1d, causal_conv1d_update};

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

    /// `y_t[d] = silu(bias[d] + Σ_j weight[d, 0, j] x_{t-k+1+j}[d])` per vertex and channel of x,
    /// (b, v, l, d), after the inputs `past`, (b, v, k-1, d) (zeros if absent); returns y and the last
    /// k-1 inputs for the next call.
    pub fn forward(&self, x: Tensor<4>, past: Option<Tensor<4>>) -> (Tensor<4>, Tensor<4>) {
        let [b, v, l, d] = x.dims();
        let k = self.width();
        let (weight, bias) = self.taps();
        if k == 1 {
            let y = x * weight.reshape([1, 1, 1, d]);
            let y = match bias {
                Some(bias) => y + bias.reshape([1, 1, 1, d]),
                None => y,
            };
            let none = past.unwrap_or_else(|| Tensor::empty([b, v, 0, d], &y.device()));
            return (silu(y), none);
        }
        let (y, last) = causal_conv1d(
            x.reshape([b * v, l, d]),
            weight,
            bias,
            past.map(|past| past.reshape([b * v, k - 1, d])),
            None,
            true,
        );
        (y.reshape([b, v, l, d]), last.reshape([b, v, k - 1, d]))
    }

    /// As [`forward`](Self::forward) on x, (b, l, d), after `past`, (b, k-1, d); k > 1. With `in_place`
    /// and one step a GPU writes the last inputs into the memory of `past`.
    pub fn after(
        &self,
        x: Tensor<3>,
        past: Option<Tensor<3>>,
        in_place: bool,
    ) -> (Tensor<3>, Tensor<3>) {
        let how = strategy(&x);
        let (weight, bias) = self.taps();
        let (weight, bias) = (with(weight, how), bias.map(|bias| with(bias, how)));
        match past {
            Some(past) if in_place && x.dims()[1] == 1 => {
                let x = x.squeeze_dim(1);
                let (y, last) = causal_conv1d_update(x, weight, bias, past, true);
                (y.unsqueeze_dim(1), last)
            }
            past => {
                let past = past.map(|past| with(past, how));
                causal_conv1d(x, weight, bias, past, None, true)
            }
        }
    }

    /// Taps (d, k) and offset (d).
    pub fn taps(&self) -> (Tensor<2>, Option<Tensor<1>>) {
        let weight = self.weight.val().squeeze_dim(1);
        (weight, self.bias.as_ref().map(Param::val))
    }
}
