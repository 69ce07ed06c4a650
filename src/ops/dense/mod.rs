//! Products of activations with stored weights.
//!
//! ```text
//! Y[r, j] = Σ_k X[r, k] W[k, j]        weights (in, out), as linear layers keep them
//! Y[r, j] = Σ_k X[r, k] W[j, k]        weights (out, in), as embeddings are
//! ```
//!
//! Activations and results are f32, weights f32, bf16 or f16. A few rows, which is what a language
//! model multiplies when it writes token after token, take one pass over the weights as they are
//! stored: the time is that of reading them. Each element is summed in f32 in an order that depends
//! neither on the number of rows nor on threads. Many rows on a GPU are multiplied in the type of the
//! weights.

mod autodiff;
mod backend;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod step;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use backend::DenseBackend;
pub use step::{Around, ConvAfter, NormBefore, dense_step};

use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::Dispatch;
use burn::tensor::{DType, FloatDType, Tensor};

use super::is_cpu;
use super::matmul::matmul;

/// Which axis of a stored weight comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightLayout {
    /// (in, out).
    InOut,
    /// (out, in).
    OutIn,
}

/// Rows up to which the CPU reads the weights once for all rows.
pub const FEW_ROWS: usize = 16;

/// Rows up to which a GPU does.
pub const FEW_ROWS_GPU: usize = 8;

static HALF: AtomicBool = AtomicBool::new(false);

/// Takes products of f32 operands in bf16 from now on, in all threads: their operands are rounded,
/// sums and results stay f32, and so do the weights and their gradients.
pub fn set_autocast(on: bool) {
    HALF.store(on, Ordering::Relaxed);
}

/// Whether [`set_autocast`] is on.
pub fn autocast() -> bool {
    HALF.load(Ordering::Relaxed)
}

/// The product of x, (r, in) f32, with a weight; (r, out) in f32.
///
/// Differentiable in both where the tensors carry gradients.
///
/// # Panics
/// If the shapes do not fit together or an axis is empty.
pub fn dense(x: Tensor<2>, weight: Tensor<2>, layout: WeightLayout) -> Tensor<2> {
    let [rows, k] = x.dims();
    let [first, second] = weight.dims();
    let (inputs, outputs) = match layout {
        WeightLayout::InOut => (first, second),
        WeightLayout::OutIn => (second, first),
    };
    assert!(
        k == inputs && rows > 0 && k > 0 && outputs > 0,
        "dense: no product of ({rows}, {k}) with a weight of {inputs} inputs and {outputs} outputs"
    );
    let device = x.device();
    let cpu = is_cpu(&device);
    let few = rows <= if cpu { FEW_ROWS } else { FEW_ROWS_GPU };
    if few && is_stored(&weight) && !device.is_autodiff() && x.dtype() == DType::F32 {
        return Tensor::from_dispatch(Dispatch::few_rows(
            x.into_dispatch(),
            weight.into_dispatch(),
            layout == WeightLayout::OutIn,
        ));
    }
    let (x, weight) = match autocast() && x.dtype() == DType::F32 && weight.dtype() == DType::F32 {
        true => (x.cast(FloatDType::BF16), weight.cast(FloatDType::BF16)),
        false => (x, weight),
    };
    let stored = weight.dtype();
    let (x, weight) = match stored == x.dtype() {
        true => (x, weight),
        // The CPU multiplies f32 faster than halves, and more exactly.
        false if cpu => (x, weight.cast(FloatDType::F32)),
        false => (x.cast(float(stored)), weight),
    };
    let weight = match layout {
        WeightLayout::InOut => weight,
        WeightLayout::OutIn => weight.transpose(),
    };
    let y = matmul(x, weight);
    match y.dtype() {
        DType::F16 | DType::BF16 => y.cast(FloatDType::F32),
        _ => y,
    }
}

/// Whether a weight has a type that kernels read as it is.
fn is_stored(weight: &Tensor<2>) -> bool {
    matches!(weight.dtype(), DType::F32 | DType::BF16 | DType::F16)
}

fn float(dtype: DType) -> FloatDType {
    match dtype {
        DType::F16 => FloatDType::F16,
        DType::BF16 => FloatDType::BF16,
        DType::F64 => FloatDType::F64,
        _ => FloatDType::F32,
    }
}
