//! The convolution as an operation of a backend: what each implementation is given and returns.

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

/// Which optional operands are there, and the activation.
///
/// An absent operand is stood for by any tensor; it is not read and has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    pub bias: bool,
    /// There are inputs before the first step.
    pub initial: bool,
    /// Several sequences are packed along time.
    pub ids: bool,
    pub silu: bool,
    /// One step, whose last inputs a GPU writes over the initial ones.
    pub in_place: bool,
}

/// What a convolution reads. x and `initial` share one type, the others are f32 (f64 if x is).
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Operands<B: Backend> {
    /// x, (b, l, d).
    pub x: FloatTensor<B>,
    /// Taps, (d, k).
    pub weight: FloatTensor<B>,
    /// (d).
    pub bias: FloatTensor<B>,
    /// (b, k-1, d).
    pub initial: FloatTensor<B>,
    /// (b, l), 32 bits.
    pub ids: IntTensor<B>,
}

/// What a convolution writes.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Convolved<B: Backend> {
    /// (b, l, d).
    pub y: FloatTensor<B>,
    /// The last inputs, (b, k-1, d).
    pub last: FloatTensor<B>,
}

/// Gradients of the results.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Saved<B: Backend> {
    pub y: FloatTensor<B>,
    /// If the last inputs have a gradient.
    pub last: FloatTensor<B>,
}

/// Gradients of the operands; one element for an absent one.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct ConvGradients<B: Backend> {
    pub x: FloatTensor<B>,
    pub weight: FloatTensor<B>,
    pub bias: FloatTensor<B>,
    pub initial: FloatTensor<B>,
}

/// A backend that can convolve along time.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait CausalConvBackend: Backend {
    #[fusion(meta = |x, _spec| meta::convolved(x))]
    fn causal_conv1d(#[extension_type] x: Operands<Self>, spec: ConvSpec) -> Convolved<Self>;

    /// `has_last` tells whether the last inputs have a gradient.
    #[fusion(meta = |x, _saved, spec, _has_last| meta::gradients(x, spec))]
    fn causal_conv1d_backward(
        #[extension_type] x: Operands<Self>,
        #[extension_type] saved: Saved<Self>,
        spec: ConvSpec,
        has_last: bool,
    ) -> ConvGradients<Self>;
}

/// Shapes and types of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn convolved(x: &OperandsMetadata) -> ConvolvedMetadata {
        let [b, _, d] = x.x.shape.dims();
        let past = x.weight.shape[1] - 1;
        ConvolvedMetadata {
            y: x.x.clone(),
            last: TensorSpec::new(Shape::new([b, past, d]), x.x.dtype),
        }
    }

    pub fn gradients(x: &OperandsMetadata, spec: &ConvSpec) -> ConvGradientsMetadata {
        let only_if = |present: bool, tensor: &TensorSpec| match present {
            true => tensor.clone(),
            false => TensorSpec::new(Shape::new([1]), tensor.dtype),
        };
        ConvGradientsMetadata {
            x: x.x.clone(),
            weight: x.weight.clone(),
            bias: only_if(spec.bias, &x.bias),
            initial: only_if(spec.initial, &x.initial),
        }
    }
}
