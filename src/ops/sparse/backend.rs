//! The sparse product as an operation of a backend.

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

/// Compressed rows of a constant square matrix.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Matrix<B: Backend> {
    /// Where each row begins, and the end of the last, (v + 1).
    pub start: IntTensor<B>,
    /// Column of every entry, (e).
    pub other: IntTensor<B>,
    /// Every entry, (e).
    pub weight: FloatTensor<B>,
}

/// A backend that can multiply by a sparse matrix.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait SparseBackend: Backend {
    /// P X of x (b, v, c); `transpose` holds the rows of Pᵀ, which the gradient reads.
    #[fusion(dtype = x, shape = x)]
    fn sparse_product(
        x: FloatTensor<Self>,
        #[extension_type] matrix: Matrix<Self>,
        #[extension_type] transpose: Matrix<Self>,
    ) -> FloatTensor<Self>;
}
