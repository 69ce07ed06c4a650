//! Linear layers in the precision of [`crate::ops::matmul`].

use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::ops::is_cpu;
use crate::ops::matmul::{Precision, matmul, precision};

/// `x W + b` on the last axis, (.., in) -> (.., out), in the precision that is set.
///
/// The layer's own `forward` may use tensor cores in TF32 on an NVIDIA GPU.
///
/// # Panics
/// If x has fewer than two axes or its last axis is not that of the weight.
pub fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    if precision() == Precision::Fast && !is_cpu(&x.device()) {
        return layer.forward(x);
    }
    let y = matmul(x, layer.weight.val().unsqueeze());
    match &layer.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    }
}
