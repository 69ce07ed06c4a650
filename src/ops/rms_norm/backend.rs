//! The norm as an operation of a backend.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

/// What is normalised and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSpec {
    pub eps: f64,
    /// Groups of channels.
    pub groups: usize,
    /// There is a gate; without one any tensor stands for it.
    pub gate: bool,
    /// The gate acts after the norm.
    pub after: bool,
}

/// Gradients; one element for an absent gate.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct NormGradients<B: Backend> {
    pub x: FloatTensor<B>,
    pub weight: FloatTensor<B>,
    pub gate: FloatTensor<B>,
}

/// A backend that can normalise.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait RmsNormBackend: Backend {
    /// y of x and gate, (rows, d), and weight, (d), in f32 (f64 if x is f64).
    #[fusion(dtype = x, shape = x)]
    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        spec: NormSpec,
    ) -> FloatTensor<Self>;

    /// Gradients from dy, (rows, d).
    #[fusion(meta = |x, weight, gate, _dy, spec| meta::gradients(x, weight, gate, spec))]
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        spec: NormSpec,
    ) -> NormGradients<Self>;
}

/// The shapes of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn gradients(
        x: &TensorSpec,
        weight: &TensorSpec,
        gate: &TensorSpec,
        spec: &NormSpec,
    ) -> NormGradientsMetadata {
        NormGradientsMetadata {
            x: x.clone(),
            weight: weight.clone(),
            gate: match spec.gate {
                true => gate.clone(),
                false => TensorSpec::new(Shape::new([1]), x.dtype),
            },
        }
    }
}
