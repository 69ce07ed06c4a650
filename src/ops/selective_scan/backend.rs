//! The selective scan as an operation of a backend: what each implementation is given and returns.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

/// Which optional operands are there, and the distance of checkpoints.
///
/// An absent operand is stood for by any tensor; it is not read and has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanSpec {
    /// Δ goes through softplus.
    pub softplus: bool,
    /// The skip D exists.
    pub skip: bool,
    /// The gate z exists.
    pub gate: bool,
    /// Δ has a bias.
    pub bias: bool,
    /// There is a state before the first step.
    pub state: bool,
    /// Steps between two states kept for the backward pass.
    pub every: usize,
}

/// What a scan reads. u, Δ, B, C, z share one type, the others are f32 (f64 if u is).
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Operands<B: Backend> {
    /// u, (b, l, d).
    pub u: FloatTensor<B>,
    /// Δ, (b, l, d).
    pub delta: FloatTensor<B>,
    /// A, (d, n).
    pub a: FloatTensor<B>,
    /// B, (b, l, n).
    pub b: FloatTensor<B>,
    /// C, (b, l, n).
    pub c: FloatTensor<B>,
    /// D, (d).
    pub skip: FloatTensor<B>,
    /// z, (b, l, d).
    pub gate: FloatTensor<B>,
    /// Bias of Δ, (d).
    pub bias: FloatTensor<B>,
    /// State before the first step, (b, d, n).
    pub state: FloatTensor<B>,
}

/// What a scan writes.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Scanned<B: Backend> {
    /// (b, l, d), stored like u.
    pub y: FloatTensor<B>,
    /// State after the last step, (b, d, n).
    pub state: FloatTensor<B>,
    /// States before every `every`-th step, b·d·n values each, in an order of the backend's choice:
    /// (⌈l / every⌉, b, n, d); (1) if none were asked for.
    pub checkpoints: FloatTensor<B>,
}

/// Gradients of the operands; one element for an absent one.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct ScanGradients<B: Backend> {
    pub u: FloatTensor<B>,
    pub delta: FloatTensor<B>,
    pub a: FloatTensor<B>,
    pub b: FloatTensor<B>,
    pub c: FloatTensor<B>,
    pub skip: FloatTensor<B>,
    pub gate: FloatTensor<B>,
    pub bias: FloatTensor<B>,
    pub state: FloatTensor<B>,
}

/// What the backward pass of a scan reads besides its operands.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Saved<B: Backend> {
    /// As written by the scan.
    pub checkpoints: FloatTensor<B>,
    /// Gradient of y.
    pub y: FloatTensor<B>,
    /// Gradient of the last state, if it has one.
    pub state: FloatTensor<B>,
}

/// A backend that can run the selective scan.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait SelectiveScanBackend: Backend {
    /// Runs the scan; `keep` asks for checkpoints.
    #[fusion(meta = |x, spec, keep| meta::scanned(x, spec, *keep))]
    fn selective_scan(
        #[extension_type] x: Operands<Self>,
        spec: ScanSpec,
        keep: bool,
    ) -> Scanned<Self>;

    /// Gradients of a scan; `has_state` tells whether the last state has a gradient.
    #[fusion(meta = |x, _saved, spec, _has_state| meta::gradients(x, spec))]
    fn selective_scan_backward(
        #[extension_type] x: Operands<Self>,
        #[extension_type] saved: Saved<Self>,
        spec: ScanSpec,
        has_state: bool,
    ) -> ScanGradients<Self>;
}

/// Shapes and types of outputs, which fusion needs before anything runs.
#[cfg(feature = "fusion")]
mod meta {
    use super::*;
    use burn::backend::fusion::custom::TensorSpec;
    use burn::tensor::Shape;

    pub fn scanned(x: &OperandsMetadata, spec: &ScanSpec, keep: bool) -> ScannedMetadata {
        let [b, l, d] = x.u.shape.dims();
        let n = x.a.shape[1];
        let checkpoints = match keep {
            true => Shape::new([l.div_ceil(spec.every), b, n, d]),
            false => Shape::new([1]),
        };
        ScannedMetadata {
            y: x.u.clone(),
            state: TensorSpec::new(Shape::new([b, d, n]), x.a.dtype),
            checkpoints: TensorSpec::new(checkpoints, x.a.dtype),
        }
    }

    pub fn gradients(x: &OperandsMetadata, spec: &ScanSpec) -> ScanGradientsMetadata {
        let only_if = |present: bool, tensor: &TensorSpec| match present {
            true => tensor.clone(),
            false => TensorSpec::new(Shape::new([1]), x.a.dtype),
        };
        ScanGradientsMetadata {
            u: x.u.clone(),
            delta: x.delta.clone(),
            a: x.a.clone(),
            b: x.b.clone(),
            c: x.c.clone(),
            skip: only_if(spec.skip, &x.skip),
            gate: only_if(spec.gate, &x.gate),
            bias: only_if(spec.bias, &x.bias),
            state: only_if(spec.state, &x.state),
        }
    }
}
