//! Linear layers whose weights may be stored in half precision. They keep for gradients what their
//! inputs do.

use burn::nn::Linear;
use burn::tensor::Tensor;

use super::recompute::{strategy, with};
use crate::ops::dense::{WeightLayout, dense};
use crate::ops::is_cpu;
use crate::ops::overwrite::copied;

/// `x W + b` on the last axis, (b, l, in) -> (b, l, out), f32; see [`dense`] for the product.
///
/// # Panics
/// If the last axis of x is not that of the weight.
pub fn project(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let how = strategy(&x);
    let y = project_part(layer, x);
    match &layer.bias {
        Some(bias) => y + with(bias.val(), how).unsqueeze(),
        None => y,
    }
}

/// Outputs `start..start + len` of [`project`], as a product of their own.
///
/// # Panics
/// As [`project`], and if the layer has fewer outputs.
pub fn project_columns(layer: &Linear, x: Tensor<3>, start: usize, len: usize) -> Tensor<3> {
    let [b, l, k] = x.dims();
    let how = strategy(&x);
    let weight = with(layer.weight.val(), how).narrow(1, start, len);
    let y = dense(x.reshape([b * l, k]), weight, WeightLayout::InOut).reshape([b, l, len]);
    match &layer.bias {
        Some(bias) => y + with(bias.val(), how).narrow(0, start, len).unsqueeze(),
        None => y,
    }
}

/// The layer with its weight in memory output by output, which a GPU multiplies a few rows with
/// faster; shapes and values stay.
pub fn by_output(mut layer: Linear) -> Linear {
    if !is_cpu(&layer.weight.val().device()) {
        layer.weight = layer
            .weight
            .map(|weight| copied(weight.transpose()).transpose());
    }
    layer
}

/// [`project`] without the bias.
///
/// # Panics
/// As [`project`].
pub fn project_part(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [b, l, k] = x.dims();
    let weight = with(layer.weight.val(), strategy(&x));
    let y = dense(x.reshape([b * l, k]), weight, WeightLayout::InOut);
    let outputs = y.dims()[1];
    y.reshape([b, l, outputs])
}
