//! Linear layers whose weights may be stored in half precision.

use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::ops::dense::{WeightLayout, dense};

/// `x W + b` on the last axis, (b, l, in) -> (b, l, out), f32; see [`dense`] for the product.
///
/// # Panics
/// If the last axis of x is not that of the weight.
pub fn project(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let y = project_part(layer, x);
    match &layer.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    }
}

/// [`project`] without the bias.
///
/// # Panics
/// As [`project`].
pub fn project_part(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [b, l, k] = x.dims();
    let y = dense(
        x.reshape([b * l, k]),
        layer.weight.val(),
        WeightLayout::InOut,
    );
    let outputs = y.dims()[1];
    y.reshape([b, l, outputs])
}
