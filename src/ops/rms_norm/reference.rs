//! The norm in plain tensor operations.

use burn::tensor::{DType, Tensor, activation::silu};

/// Computes what [`super::rms_norm`] computes, with gradients by Burn's autodiff.
pub fn rms_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    eps: f64,
    gate: Option<Tensor<D>>,
    groups: usize,
    norm_before_gate: bool,
) -> Tensor<D> {
    let shape = x.dims();
    let d = shape[D - 1];
    let rows = shape.iter().product::<usize>() / d;
    let stored = x.dtype();
    let wide = match stored {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let by_group = [rows, groups, d / groups];
    let mut v = x.cast(wide).reshape(by_group);
    let gate = gate.map(|z| silu(z.cast(wide)).reshape(by_group));
    if let (Some(gate), false) = (&gate, norm_before_gate) {
        v = v * gate.clone();
    }
    let mean = v.clone().square().mean_dim(2);
    let weight = weight.cast(wide).reshape([1, groups, d / groups]);
    let mut y = v / (mean + eps).sqrt() * weight;
    if let (Some(gate), true) = (gate, norm_before_gate) {
        y = y * gate;
    }
    y.reshape(shape).cast(stored)
}
