//! The product of a few rows as an operation of a backend.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

/// A backend that can multiply a few rows with a stored weight.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait DenseBackend: Backend {
    /// x (r, in) in f32 times a weight, (out, in) if `out_in`, else (in, out).
    #[fusion(meta = |x, weight, out_in| meta::product(x, weight, *out_in))]
    fn few_rows(x: FloatTensor<Self>, weight: FloatTensor<Self>, out_in: bool)
    -> FloatTensor<Self>;
}

/// The shape of the output, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn product(x: &TensorSpec, weight: &TensorSpec, out_in: bool) -> TensorSpec {
        let outputs = weight.shape[usize::from(!out_in)];
        TensorSpec::new(Shape::new([x.shape[0], outputs]), x.dtype)
    }
}
