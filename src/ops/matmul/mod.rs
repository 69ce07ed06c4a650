//! Matrix products in true single precision.
//!
//! ```text
//! Y[.., i, j] = Σ_k A[.., i, k] B[.., k, j]
//! ```
//!
//! On NVIDIA GPUs the framework's own product of f32 tensors may run on tensor cores in TF32, which
//! keeps 10 of the 23 bits of the mantissa: errors of 1e-3 instead of 1e-7. Which kernel runs is
//! decided by timing at first use, so that two runs of a program can differ. The product here is as
//! exact as f32: multiplications and additions in f32, or, for large products where there are
//! tensor cores, three products of TF32 for one (see `cube/tensor_core.rs`). It takes every sum in
//! an order that depends on nothing but the shapes and the kind of device. [`set_precision`] chooses
//! between the two for the whole process.

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

pub use backend::MatmulBackend;
#[cfg(feature = "cube")]
pub(crate) use cube::{gemm, gemm_of};

use std::sync::atomic::{AtomicBool, Ordering};

use super::is_cpu;
use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// How matrix products of f32 tensors are computed on a GPU; on the CPU both are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Precision {
    /// In f32, every sum in a fixed order: the same bits in every run on a device.
    #[default]
    Exact,
    /// By the framework's fastest kernel: TF32 where the GPU has it (relative errors of 1e-3), and
    /// not the same bits in every run.
    Fast,
}

static FAST: AtomicBool = AtomicBool::new(false);

/// Chooses how [`matmul`] computes from now on, in all threads; at first [`Precision::Exact`].
///
/// A backward pass computes as its forward pass did.
pub fn set_precision(precision: Precision) {
    FAST.store(precision == Precision::Fast, Ordering::Relaxed);
}

/// How [`matmul`] computes.
pub fn precision() -> Precision {
    match FAST.load(Ordering::Relaxed) {
        true => Precision::Fast,
        false => Precision::Exact,
    }
}

/// The matrix product of the last two axes, (.., m, k) · (.., k, n) → (.., m, n).
///
/// Leading axes are equal or one. Differentiable once in both operands. f16 and bf16 are summed in
/// f32; f64, and half types on the CPU, are left to the framework, which is exact there.
///
/// # Panics
/// If D < 2, the shapes do not fit together, or m, k or n is zero.
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let own = match (is_cpu(&a.device()), a.dtype()) {
        (_, DType::F32) => true,
        (cpu, DType::F16 | DType::BF16) => !cpu,
        _ => false,
    };
    let fast = precision() == Precision::Fast && !is_cpu(&a.device());
    match own && !fast {
        true => exact(a, b),
        false => a.matmul(b),
    }
}

/// The product by this module's own operation, on whatever device.
fn exact<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    assert!(D >= 2, "a matrix product needs two axes, not {D}");
    let (left, right) = (a.dims(), b.dims());
    let (m, k, n) = (left[D - 2], left[D - 1], right[D - 1]);
    assert!(
        k == right[D - 2] && m > 0 && k > 0 && n > 0,
        "no matrix product of {left:?} and {right:?}"
    );
    let mut out = left;
    for axis in 0..D - 2 {
        assert!(
            left[axis] == right[axis] || left[axis] == 1 || right[axis] == 1,
            "leading axes of {left:?} and {right:?} are neither equal nor one"
        );
        out[axis] = left[axis].max(right[axis]);
    }
    out[D - 1] = n;
    let batch = |dims: &[usize; D]| dims[..D - 2].iter().product::<usize>();
    let (total, many_a, many_b) = (batch(&out), batch(&left), batch(&right));

    if many_b == 1 {
        // One right operand: the batch is more rows, and the gradient of b one long sum.
        let rows = many_a * m;
        let y = product(a.reshape([1, rows, k]), b.reshape([1, k, n]));
        return y.reshape(out);
    }
    let a = match many_a == 1 || many_a == total {
        true => a,
        false => spread(a, &out, m, k),
    };
    let b = match many_b == total {
        true => b,
        false => spread(b, &out, k, n),
    };
    let many_a = if many_a == 1 { 1 } else { total };
    product(a.reshape([many_a, m, k]), b.reshape([total, k, n])).reshape(out)
}

/// Repeats a tensor along the leading axes of `out`.
fn spread<const D: usize>(x: Tensor<D>, out: &[usize; D], rows: usize, cols: usize) -> Tensor<D> {
    let mut shape = *out;
    shape[D - 2] = rows;
    shape[D - 1] = cols;
    x.expand(shape)
}

fn product(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::exact_matmul(
        a.into_dispatch(),
        b.into_dispatch(),
        false,
        false,
        false,
    ))
}
