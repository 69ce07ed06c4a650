//! The graph scan as an operation of a backend: what each implementation is given and returns.

use burn::backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor};

/// Which optional operands are there, and the distance of checkpoints.
///
/// An absent operand is stood for by any tensor; it is not read and has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanSpec {
    /// C1 exists: gconv_C has W_root.
    pub c1: bool,
    /// The skip D exists.
    pub skip: bool,
    /// gconv_A has W_root.
    pub a_root: bool,
    /// There is a state before the first step.
    pub state: bool,
    /// P has a gradient. On the CPU and for large graphs it costs a product of its own for every
    /// step; the fused kernel forms that of a dense P in any case.
    pub p_gradient: bool,
    /// P is a sparse matrix, the same for all samples and steps, and has no gradient.
    pub sparse: bool,
    /// Steps between two states kept for the backward pass.
    pub every: usize,
}

/// What a scan reads. u, Δ, B, C1, C2 are stored in f32, f16 or bf16, the others in f32 (f64
/// throughout on the CPU).
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Operands<B: Backend> {
    /// u, (b, v, l, d).
    pub u: FloatTensor<B>,
    /// Δ, (b, v, l, d).
    pub delta: FloatTensor<B>,
    /// A, (d, n).
    pub a: FloatTensor<B>,
    /// B, (b, v, l, n).
    pub b: FloatTensor<B>,
    /// C W_rootᵀ, (b, v, l, n).
    pub c1: FloatTensor<B>,
    /// C W_relᵀ, (b, v, l, n).
    pub c2: FloatTensor<B>,
    /// D, (d).
    pub skip: FloatTensor<B>,
    /// P, (b or 1, l or 1, v, w); a sparse one as [`pack`](crate::ops::sparse::packed::pack) gives it.
    pub p: FloatTensor<B>,
    /// W_root of gconv_A, (n, n).
    pub a_root: FloatTensor<B>,
    /// W_rel of gconv_A, (n, n).
    pub a_rel: FloatTensor<B>,
    /// State before the first step, (b, v, d, n).
    pub state: FloatTensor<B>,
}

/// What a scan writes.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Scanned<B: Backend> {
    /// (b, v, l, d), stored like u.
    pub y: FloatTensor<B>,
    /// State after the last step, (b, v, d, n).
    pub state: FloatTensor<B>,
    /// States before every `every`-th step, (⌈l / every⌉, b, v, d, n); (1) if none were asked for.
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
    pub c1: FloatTensor<B>,
    pub c2: FloatTensor<B>,
    pub skip: FloatTensor<B>,
    pub p: FloatTensor<B>,
    pub a_root: FloatTensor<B>,
    pub a_rel: FloatTensor<B>,
    pub state: FloatTensor<B>,
}

/// What the backward pass of a scan reads besides its operands.
#[derive(ExtensionType)]
#[cfg_attr(feature = "fusion", extension_type(fusion))]
pub struct Saved<B: Backend> {
    /// As written by the scan.
    pub checkpoints: FloatTensor<B>,
    /// As written by the scan.
    pub last: FloatTensor<B>,
    /// Gradient of y.
    pub y: FloatTensor<B>,
    /// Gradient of the last state, if it has one.
    pub state: FloatTensor<B>,
}

/// A backend that can run the graph scan.
#[backend_extension(
    Cube: cfg(feature = "cube"),
    Flex: cfg(feature = "flex"),
    Autodiff,
    Fusion: cfg(feature = "fusion")
)]
pub trait GraphScanBackend: Backend {
    /// Runs the scan; `keep` asks for checkpoints.
    #[fusion(meta = |x, spec, keep| meta::scanned(x, spec, *keep))]
    fn graph_scan(#[extension_type] x: Operands<Self>, spec: ScanSpec, keep: bool)
    -> Scanned<Self>;

    /// Gradients of a scan; `has_state` tells whether the last state has a gradient.
    #[fusion(meta = |x, _saved, spec, _has_state| meta::gradients(x, spec))]
    fn graph_scan_backward(
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
        let [b, v, l, d] = x.u.shape.dims();
        let n = x.a.shape[1];
        let checkpoints = match keep {
            true => Shape::new([l.div_ceil(spec.every), b, v, d, n]),
            false => Shape::new([1]),
        };
        ScannedMetadata {
            y: x.u.clone(),
            state: TensorSpec::new(Shape::new([b, v, d, n]), x.a.dtype),
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
            c1: only_if(spec.c1, &x.c1),
            c2: x.c2.clone(),
            skip: only_if(spec.skip, &x.skip),
            p: only_if(spec.p_gradient, &x.p),
            a_root: only_if(spec.a_root, &x.a_root),
            a_rel: x.a_rel.clone(),
            state: only_if(spec.state, &x.state),
        }
    }
}
