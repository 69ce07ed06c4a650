//! The step as an operation of a backend.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

/// Numbers of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decoupled decay λ.
    pub decay: f32,
    /// Penalty λ₂ that goes through the moments.
    pub penalty: f32,
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// ε.
    pub epsilon: f32,
}

/// What a step writes.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Stepped<B: Backend> {
    pub value: FloatTensor<B>,
    pub first: FloatTensor<B>,
    pub second: FloatTensor<B>,
}

/// A backend that can take a step of Adam.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait AdamBackend: Backend {
    /// value, grad and moments of one shape, factor (1) and course (3), in f32.
    #[fusion(meta = |value, _grad, _first, _second, _factor, _course, _step| meta::stepped(value))]
    fn adam(
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factor: FloatTensor<Self>,
        course: FloatTensor<Self>,
        step: AdamStep,
    ) -> Stepped<Self>;

    /// sum + Σ x² of sum (1) and x (n), in f32.
    #[fusion(dtype = sum, shape = sum)]
    fn add_squares(sum: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The shapes of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;
    use burn::backend::fusion::custom::TensorSpec;

    pub fn stepped(value: &TensorSpec) -> SteppedMetadata {
        SteppedMetadata {
            value: value.clone(),
            first: value.clone(),
            second: value.clone(),
        }
    }
}
