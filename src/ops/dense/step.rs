//! A product with what stands around it in a block that takes a single step: the norm of its inputs,
//! a convolution of some outputs, the sum with the residual stream.
//!
//! ```text
//! v = norm(X) W + bias                                    see `rms_norm` for the norm and its gate
//! v[:, c] = silu(offset[c] + Σ_j taps[c, j] past_j[:, c])          for the channels of a convolution
//! Y = v + residual
//! ```
//!
//! On a GPU all of it is one kernel: a step of a small model is a chain of short kernels, and the
//! time is that of the chain.

use burn::tensor::{DType, Tensor};

#[cfg(feature = "flex")]
use super::{FEW_ROWS, is_stored};
use super::{WeightLayout, dense};
use crate::ops::causal_conv1d::causal_conv1d_update;
#[cfg(feature = "flex")]
use crate::ops::is_cpu;
use crate::ops::rms_norm;

/// What stands around a product; each part is optional.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The norm of the inputs.
    pub norm: Option<NormBefore>,
    /// Added to the product, (out).
    pub bias: Option<Tensor<1>>,
    /// The convolution of some outputs, through SiLU.
    pub conv: Option<ConvAfter>,
    /// Added last, (r, out).
    pub residual: Option<Tensor<2>>,
}

/// The norm of the inputs of a product, over the whole row.
#[derive(Debug, Clone)]
pub struct NormBefore {
    /// Scale, (in).
    pub weight: Tensor<1>,
    /// Added under the root.
    pub eps: f64,
    /// Gate z, (r, in).
    pub gate: Option<Tensor<2>>,
    /// Whether the norm comes before the gate.
    pub norm_before_gate: bool,
}

/// A step of a causal convolution of outputs `start..start + d` of a product.
#[derive(Debug, Clone)]
pub struct ConvAfter {
    /// The first output that goes through it.
    pub start: usize,
    /// Taps, oldest first, (d, k).
    pub weight: Tensor<2>,
    /// Offset, (d).
    pub bias: Option<Tensor<1>>,
    /// The k-1 inputs before, (r, k-1, d).
    pub past: Tensor<3>,
}

/// The product of x, (r, in), with a weight, (in, out), and what stands around it: y, (r, out), in
/// f32, and the last k-1 inputs of the convolution.
///
/// On a GPU these are written into the memory of the ones before: whoever else holds that sees it
/// change. On a CPU that memory is taken where nobody else holds it. Everything but the weight, which may be f32, bf16 or f16, is f32.
///
/// # Panics
/// If shapes or types are not these, and on a device with gradients.
pub fn dense_step(
    x: Tensor<2>,
    weight: Tensor<2>,
    around: Around,
) -> (Tensor<2>, Option<Tensor<3>>) {
    check(&x, &weight, &around);
    #[cfg(all(feature = "cube", not(feature = "fusion")))]
    if let Some(out) = super::cube::step(&x, &weight, &around) {
        return out;
    }
    #[cfg(feature = "flex")]
    if x.dims()[0] <= FEW_ROWS && is_cpu(&x.device()) && is_stored(&weight) {
        return super::flex::step(x, weight, around);
    }
    composed(x, weight, around)
}

/// x after the norm, if there is one.
pub(super) fn normed(x: Tensor<2>, norm: Option<NormBefore>) -> Tensor<2> {
    match norm {
        Some(norm) => rms_norm(
            x,
            norm.weight,
            norm.eps,
            norm.gate,
            1,
            norm.norm_before_gate,
        ),
        None => x,
    }
}

/// The step as one operation after the other.
pub(super) fn composed(
    x: Tensor<2>,
    weight: Tensor<2>,
    around: Around,
) -> (Tensor<2>, Option<Tensor<3>>) {
    let x = normed(x, around.norm);
    let mut y = dense(x, weight, WeightLayout::InOut);
    if let Some(bias) = around.bias {
        y = y + bias.unsqueeze();
    }
    let last = around.conv.map(|conv| {
        let end = conv.start + conv.weight.dims()[0];
        let outputs = y.dims()[1];
        let part = |range: std::ops::Range<usize>| y.clone().narrow(1, range.start, range.len());
        let x = part(conv.start..end);
        let (x, last) = causal_conv1d_update(x, conv.weight, conv.bias, conv.past, true);
        let mut parts = Vec::with_capacity(3);
        if conv.start > 0 {
            parts.push(part(0..conv.start));
        }
        parts.push(x);
        if end < outputs {
            parts.push(part(end..outputs));
        }
        y = Tensor::cat(parts, 1);
        last
    });
    if let Some(residual) = around.residual {
        y = y + residual;
    }
    (y, last)
}

fn check(x: &Tensor<2>, weight: &Tensor<2>, around: &Around) {
    let [rows, k] = x.dims();
    let [inputs, outputs] = weight.dims();
    assert!(
        k == inputs && rows > 0 && k > 0 && outputs > 0,
        "dense_step: no product of ({rows}, {k}) with a weight of {inputs} inputs and {outputs} outputs"
    );
    assert!(
        x.dtype() == DType::F32 && !x.device().is_autodiff(),
        "dense_step: is in f32, without gradients"
    );
    let fits = |name: &str, found: &[usize], letters: &str, wanted: &[usize]| {
        assert!(
            found == wanted,
            "dense_step: {name} must be {letters} = {wanted:?}, but it is {found:?}"
        );
    };
    let single = |name: &str, dtype: DType| {
        assert!(
            dtype == DType::F32,
            "dense_step: {name} must be f32, but it is {dtype:?}"
        );
    };
    if let Some(norm) = &around.norm {
        single("the scale of the norm", norm.weight.dtype());
        fits("the scale of the norm", &norm.weight.dims(), "(in)", &[k]);
        if let Some(gate) = &norm.gate {
            single("the gate", gate.dtype());
            fits("the gate", &gate.dims(), "(r, in)", &[rows, k]);
        }
    }
    if let Some(bias) = &around.bias {
        single("bias", bias.dtype());
        fits("bias", &bias.dims(), "(out)", &[outputs]);
    }
    if let Some(conv) = &around.conv {
        single("taps", conv.weight.dtype());
        single("past", conv.past.dtype());
        let [d, taps] = conv.weight.dims();
        assert!(
            taps > 1 && d > 0 && conv.start + d <= outputs,
            "dense_step: {taps} taps on outputs {}..{} of {outputs}",
            conv.start,
            conv.start + d
        );
        fits(
            "past",
            &conv.past.dims(),
            "(r, k-1, d)",
            &[rows, taps - 1, d],
        );
        if let Some(bias) = &conv.bias {
            single("the convolution's bias", bias.dtype());
            fits("the convolution's bias", &bias.dims(), "(d)", &[d]);
        }
    }
    if let Some(residual) = &around.residual {
        single("residual", residual.dtype());
        fits("residual", &residual.dims(), "(r, out)", &[rows, outputs]);
    }
}
