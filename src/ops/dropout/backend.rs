//! The draws as an operation of a backend.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    pub count: usize,
    pub salt: u32,
    /// Hashes below this keep.
    pub below: u32,
    /// What stands where a number is kept.
    pub value: f32,
}

/// A backend that can draw.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait DropoutBackend: Backend {
    /// `value` or 0 for each of `count` numbers, f32.
    #[fusion(meta = |seeds, draw| meta::mask(seeds, draw))]
    fn dropout_mask(seeds: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self>;
}

/// The shape of the output, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::Draw;
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn mask(seeds: &TensorSpec, draw: &Draw) -> TensorSpec {
        TensorSpec::new(Shape::new([draw.count]), seeds.dtype)
    }
}
