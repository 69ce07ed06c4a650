//! A step of the state as an operation of a backend. The step per channel is the one per head with a
//! head for each channel and an A for each state.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

/// Which optional operands are there, and how the step size is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSpec {
    /// A is (h, n), not (h).
    pub wide_a: bool,
    /// The skip exists, and is (h, p), not (h).
    pub skip: bool,
    pub wide_skip: bool,
    pub gate: bool,
    pub bias: bool,
    /// Δ is (b, r), to be multiplied with a projection (r, h).
    pub projected: bool,
    pub softplus: bool,
    /// The step size is clamped to this range.
    pub limit: (f64, f64),
    /// A GPU writes the next state over the one before.
    pub in_place: bool,
}

/// What a step reads. x, Δ, B, C and z share one type; A, D and the bias are f32 (f64 if x is f64);
/// the projection is of any type; absent operands are stood for by any tensor.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Operands<B: Backend> {
    /// (b, h, p, n), of a type of its own.
    pub state: FloatTensor<B>,
    /// (b, h, p).
    pub x: FloatTensor<B>,
    /// (b, h), or (b, r) with a projection.
    pub dt: FloatTensor<B>,
    /// (r, h), f32, bf16 or f16.
    pub projection: FloatTensor<B>,
    /// (h) or (h, n).
    pub a: FloatTensor<B>,
    /// (b, g, n).
    pub b: FloatTensor<B>,
    /// (b, g, n).
    pub c: FloatTensor<B>,
    /// (h) or (h, p).
    pub skip: FloatTensor<B>,
    /// (b, h, p).
    pub gate: FloatTensor<B>,
    /// (h).
    pub bias: FloatTensor<B>,
}

/// What a step writes.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Updated<B: Backend> {
    /// (b, h, p).
    pub y: FloatTensor<B>,
    /// (b, h, p, n).
    pub state: FloatTensor<B>,
}

/// A backend that can take a step.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait StateUpdateBackend: Backend {
    #[fusion(meta = |x, _spec| meta::updated(x))]
    fn state_update(#[extension_type] x: Operands<Self>, spec: StepSpec) -> Updated<Self>;
}

/// The shapes of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;

    pub fn updated(x: &OperandsMetadata) -> UpdatedMetadata {
        UpdatedMetadata {
            y: x.x.clone(),
            state: x.state.clone(),
        }
    }
}
