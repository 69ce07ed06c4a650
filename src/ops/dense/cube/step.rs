//! [`dense_step`](super::super::dense_step) in one launch. Fusion hides the memory of tensors: with it
//! the step is composed.

use burn::tensor::{DType, Tensor};

use super::super::FEW_ROWS_GPU;
use super::super::step::{Around, ConvAfter};
use super::out_in::{own, product};
use super::transposed;
use crate::ops::cube::{primitive, tensor};

/// The step in one launch, where the tensors are on a GPU and the kernel takes as many rows.
pub fn step(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    around: &Around,
) -> Option<(Tensor<2>, Option<Tensor<3>>)> {
    let weight = transposed(&primitive(weight)?)?;
    let strided = |conv: &ConvAfter| !own(&conv.past).is_contiguous();
    let rows = x.dims()[0];
    // Of strided inputs before, a copy would be written.
    if primitive(x).is_none()
        || rows > FEW_ROWS_GPU
        || !matches!(weight.dtype, DType::F32 | DType::BF16 | DType::F16)
        || around.conv.as_ref().is_some_and(strided)
    {
        return None;
    }
    let y = product(own(x), weight, around);
    let past = around.conv.as_ref().map(|conv| conv.past.clone());
    Some((tensor(y, x), past))
}
