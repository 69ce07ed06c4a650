//! A step of Adam or AdamW on one tensor, and sums of squares, each as one pass over memory.
//!
//! ```text
//! g <- s g + λ₂ p
//! m <- β₁ m + (1 - β₁) g          v <- β₂ v + (1 - β₂) g²
//! p <- (1 - η λ) p - η (m / c₁) / (√(v / c₂) + ε)          c = 1 - βᵗ
//! ```
//!
//! In tensor operations that is a dozen kernels for each parameter, which for small models is most
//! of what a training step launches. What changes from step to step, s, η and c, is read from
//! tensors, so that a recorded step can be run again.
//!
//! Sources: Kingma & Ba (arXiv:1412.6980); Loshchilov & Hutter (arXiv:1711.05101).

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;
#[cfg(test)]
mod tests;

pub use backend::{AdamBackend, AdamStep};

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor};

use super::is_cpu;

/// What a step reads and writes, of one shape.
#[derive(Debug, Clone)]
pub struct Moments<const D: usize> {
    /// The parameter, p.
    pub value: Tensor<D>,
    /// First moment, m.
    pub first: Tensor<D>,
    /// Second moment, v.
    pub second: Tensor<D>,
}

/// The step above, with the factor s, (1), and the course (η, c₁, c₂), (3), both in f32. Tensors that
/// are not f32 go through [`reference::adam`].
///
/// On a GPU the new values are written into the memory of the old ones: whoever else holds those
/// tensors sees them change.
///
/// # Panics
/// If the shapes differ.
pub fn adam<const D: usize>(
    x: Moments<D>,
    grad: Tensor<D>,
    factor: Tensor<1>,
    course: Tensor<1>,
    step: AdamStep,
) -> Moments<D> {
    let shape = x.value.dims();
    assert!(
        grad.dims() == shape && x.first.dims() == shape && x.second.dims() == shape,
        "adam: a parameter of {shape:?}, its gradient of {:?}",
        grad.dims()
    );
    assert!(
        factor.dims() == [1] && course.dims() == [3],
        "adam: a factor of {:?}, a course of {:?}",
        factor.dims(),
        course.dims()
    );
    if !has_kernel(&x.value.device(), x.value.dtype()) || grad.dtype() != DType::F32 {
        return reference::adam(x, grad, factor, course, step);
    }
    let out = Dispatch::adam(
        x.value.into_dispatch(),
        grad.into_dispatch(),
        x.first.into_dispatch(),
        x.second.into_dispatch(),
        factor.into_dispatch(),
        course.into_dispatch(),
        step,
    );
    Moments {
        value: Tensor::from_dispatch(out.value),
        first: Tensor::from_dispatch(out.first),
        second: Tensor::from_dispatch(out.second),
    }
}

/// `sum + Σ x²`, both f32; sum is (1).
pub fn add_squares<const D: usize>(sum: Tensor<1>, x: Tensor<D>) -> Tensor<1> {
    let n = x.shape().num_elements();
    if !has_kernel(&x.device(), x.dtype()) {
        return sum + x.square().sum();
    }
    Tensor::from_dispatch(Dispatch::add_squares(
        sum.into_dispatch(),
        x.reshape([n]).into_dispatch(),
    ))
}

fn has_kernel(device: &Device, dtype: DType) -> bool {
    dtype == DType::F32 && (is_cpu(device) || cfg!(feature = "cube"))
}
