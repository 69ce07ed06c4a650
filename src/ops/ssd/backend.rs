//! The scan as an operation of a backend: what each implementation is given and returns.

use burn::backend::{
    Backend, ExtensionType, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

/// Which optional operands are there.
///
/// An absent operand is stood for by any tensor; it is not read and has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SsdSpec {
    pub skip: bool,
    /// The skip is one for each channel.
    pub wide_skip: bool,
    /// There is a state before the first step.
    pub state: bool,
    /// Several sequences are packed along time.
    pub ids: bool,
}

/// What a scan reads. x, B and C share one type, the others are f32 (f64 if x is).
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Operands<B: Backend> {
    /// (b, l, h, p).
    pub x: FloatTensor<B>,
    /// (b, l, h); zero at padding.
    pub dt: FloatTensor<B>,
    /// (h).
    pub a: FloatTensor<B>,
    /// (b, l, g, n).
    pub b: FloatTensor<B>,
    /// (b, l, g, n).
    pub c: FloatTensor<B>,
    /// (h, 1) or (h, p).
    pub skip: FloatTensor<B>,
    /// (b, h, p, n).
    pub state: FloatTensor<B>,
    /// The sequence whose state a step sees, (b, l), 32 bits.
    pub ids: IntTensor<B>,
}

/// What a scan writes, and gradients of that.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Scanned<B: Backend> {
    /// (b, l, h, p).
    pub y: FloatTensor<B>,
    /// (b, h, p, n).
    pub state: FloatTensor<B>,
}

/// Gradients of the operands; one element for an absent one.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct SsdGradients<B: Backend> {
    pub x: FloatTensor<B>,
    pub dt: FloatTensor<B>,
    pub a: FloatTensor<B>,
    pub b: FloatTensor<B>,
    pub c: FloatTensor<B>,
    pub skip: FloatTensor<B>,
    pub state: FloatTensor<B>,
}

/// A backend that can run the scan.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait SsdBackend: Backend {
    #[fusion(meta = |x, _spec| meta::scanned(x))]
    fn ssd(#[extension_type] x: Operands<Self>, spec: SsdSpec) -> Scanned<Self>;

    /// Gradients from those of the results; `has_state` tells whether the last state has one.
    #[fusion(meta = |x, _saved, spec, _has_state| meta::gradients(x, spec))]
    fn ssd_backward(
        #[extension_type] x: Operands<Self>,
        #[extension_type] saved: Scanned<Self>,
        spec: SsdSpec,
        has_state: bool,
    ) -> SsdGradients<Self>;
}

/// Shapes and types of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn scanned(x: &OperandsMetadata) -> ScannedMetadata {
        let [b, _, h, p] = x.x.shape.dims();
        let n = x.b.shape[3];
        ScannedMetadata {
            y: x.x.clone(),
            state: TensorSpec::new(Shape::new([b, h, p, n]), x.a.dtype),
        }
    }

    pub fn gradients(x: &OperandsMetadata, spec: &SsdSpec) -> SsdGradientsMetadata {
        let only_if = |present: bool, tensor: &TensorSpec| match present {
            true => tensor.clone(),
            false => TensorSpec::new(Shape::new([1]), x.a.dtype),
        };
        SsdGradientsMetadata {
            x: x.x.clone(),
            dt: x.dt.clone(),
            a: x.a.clone(),
            b: x.b.clone(),
            c: x.c.clone(),
            skip: only_if(spec.skip, &x.skip),
            state: only_if(spec.state, &x.state),
        }
    }
}
