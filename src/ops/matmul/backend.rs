//! The exact matrix product as an operation of a backend.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};
use burn::tensor::Shape;

/// A backend that can multiply matrices in true single precision.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait MatmulBackend: Backend {
    /// op(A) op(B) of (batch, rows, columns), where op transposes if asked to; batch sizes are
    /// equal or one. `sum` adds the products of all batches, which leaves one matrix.
    #[fusion(meta = |a, b, ta, tb, sum| meta::product(a, b, *ta, *tb, *sum))]
    fn exact_matmul(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        transpose_a: bool,
        transpose_b: bool,
        sum: bool,
    ) -> FloatTensor<Self>;
}

/// The shape of `exact_matmul`.
///
/// # Panics
/// If the operands do not fit together.
pub(super) fn shape(a: &Shape, b: &Shape, ta: bool, tb: bool, sum: bool) -> Shape {
    let ([batch_a, a1, a2], [batch_b, b1, b2]) = (a.dims::<3>(), b.dims::<3>());
    let (m, k) = if ta { (a2, a1) } else { (a1, a2) };
    let (same_k, n) = if tb { (b2, b1) } else { (b1, b2) };
    assert!(
        k == same_k && (batch_a == batch_b || batch_a == 1 || batch_b == 1),
        "no matrix product of {a:?} (transposed: {ta}) and {b:?} (transposed: {tb})"
    );
    Shape::new([if sum { 1 } else { batch_a.max(batch_b) }, m, n])
}

/// The shape of the output, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use burn::backend::fusion::custom::TensorSpec;

    pub fn product(a: &TensorSpec, b: &TensorSpec, ta: bool, tb: bool, sum: bool) -> TensorSpec {
        TensorSpec::new(super::shape(&a.shape, &b.shape, ta, tb, sum), a.dtype)
    }
}
