//! Linear layers whose weights may be stored in half precision. They keep for gradients what their
//! inputs do.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::depthwise::DepthwiseConv;
use super::recompute::{strategy, with};
use crate::ops::dense::{Around, ConvAfter, NormBefore, WeightLayout, dense, dense_step};
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

/// What blocks begin a single token with, (b, m): a norm, a layer, and a convolution of its outputs
/// from `start` on after the inputs `past`, (b, k-1, d). Gives all outputs and the last inputs, on a
/// GPU in the memory of `past` if `in_place`.
pub fn project_convolved(
    layer: &Linear,
    conv: &DepthwiseConv,
    start: usize,
    r: Tensor<2>,
    norm: NormBefore,
    past: Tensor<3>,
    in_place: bool,
) -> (Tensor<2>, Tensor<3>) {
    let (weight, bias) = conv.taps();
    let around = Around {
        norm: Some(norm),
        bias: layer.bias.as_ref().map(Param::val),
        conv: Some(ConvAfter {
            start,
            weight,
            bias,
            past: if in_place { past } else { copied(past) },
        }),
        residual: None,
    };
    let (y, last) = dense_step(r, layer.weight.val(), around);
    (y, last.expect("there is a convolution"))
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
