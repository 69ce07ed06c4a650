//! The largest as an operation of a backend.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

/// A backend that can find the largest.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait ArgmaxBackend: Backend {
    /// (r) of x, (r, n), in f32.
    #[fusion(meta = |x, _count| meta::places(x))]
    fn argmax(x: FloatTensor<Self>, count: usize) -> FloatTensor<Self>;
}

/// The shape of the output, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn places(x: &TensorSpec) -> TensorSpec {
        TensorSpec::new(Shape::new([x.shape[0]]), x.dtype)
    }
}
