//! [`dense_step`](super::super::dense_step) in one launch. Fusion hides the memory of tensors: with it
//! the step is composed.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::super::FEW_ROWS_GPU;
use super::super::step::{Around, ConvAfter};
use super::out_in::{Conv, Norm, Surroundings, product};
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
    let surroundings = Surroundings {
        norm: around.norm.as_ref().map(|norm| Norm {
            scale: own(&norm.weight),
            eps: norm.eps,
            gate: norm
                .gate
                .as_ref()
                .map(|gate| (own(gate), norm.norm_before_gate)),
        }),
        bias: around.bias.as_ref().map(own),
        conv: around.conv.as_ref().map(|conv| Conv {
            start: conv.start,
            taps: own(&conv.weight),
            offset: conv.bias.as_ref().map(own),
            past: own(&conv.past),
        }),
        residual: around.residual.as_ref().map(own),
    };
    let y = product(own(x), weight, surroundings);
    let past = around.conv.as_ref().map(|conv| conv.past.clone());
    Some((tensor(y, x), past))
}

/// The memory of a tensor of the same device as x.
fn own<const D: usize>(t: &Tensor<D>) -> CubeTensor {
    primitive(t).expect("dense_step: all on one device")
}
