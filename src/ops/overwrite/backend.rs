//! The copy as an operation of a backend.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

/// A backend that can write into a tensor.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait OverwriteBackend: Backend {
    /// `source` in the place of `target`.
    #[fusion(dtype = target, shape = target)]
    fn overwrite(target: FloatTensor<Self>, source: FloatTensor<Self>) -> FloatTensor<Self>;
}
