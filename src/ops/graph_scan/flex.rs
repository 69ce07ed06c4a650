//! The graph scan on Burn's CPU backend: hands the tensors' memory to the kernels of [`cpu`].

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::{DType, Element, Shape, TensorData};
use bytemuck::Pod;

use super::backend::{GraphScanBackend, Operands, Saved, ScanGradients, ScanSpec, Scanned};
use super::cpu::{self, Dims, Inputs};
use crate::ops::simd::Real;

type T = FloatTensor<Flex>;

fn from_vec<E: Element>(values: Vec<E>, shape: impl Into<Shape>) -> T {
    T::from_data(TensorData::new(values, shape))
}

/// The operands in one type, contiguous.
struct Loaded {
    dims: Dims,
    tensors: [T; 11],
}

impl Loaded {
    fn new(x: Operands<Flex>, dtype: DType) -> Self {
        let [b, v, l, d] = x.u.shape().dims();
        let [p_b, p_l, _, _] = x.p.shape().dims();
        let dims = Dims {
            b,
            v,
            l,
            d,
            n: x.a.shape()[1],
            p_batch: p_b > 1,
            p_steps: p_l > 1,
        };
        let tensors = [
            x.u, x.delta, x.a, x.b, x.c1, x.c2, x.skip, x.p, x.a_root, x.a_rel, x.state,
        ]
        .map(|t| load(t, dtype));
        Self { dims, tensors }
    }

    fn inputs<E: Element + Pod>(&self, spec: &ScanSpec) -> Inputs<'_, E> {
        let [u, delta, a, b, c1, c2, d, p, a_root, a_rel, state] =
            self.tensors.each_ref().map(values::<E>);
        Inputs {
            u,
            delta,
            a,
            b,
            c1: spec.c1.then_some(c1),
            c2,
            d: spec.skip.then_some(d),
            p,
            sparse: spec.sparse,
            a_root: spec.a_root.then_some(a_root),
            a_rel,
            state: spec.state.then_some(state),
            p_gradient: spec.p_gradient,
        }
    }
}

fn load(t: T, dtype: DType) -> T {
    use burn::backend::ops::FloatTensorOps;
    let t = match t.dtype() == dtype {
        true => t,
        false => Flex::float_cast(t, dtype.into()),
    };
    t.to_contiguous()
}

fn values<E: Element + Pod>(t: &T) -> &[E] {
    t.as_slice::<E>()
        .expect("the operand was made contiguous and cast")
}

fn cast(t: T, dtype: DType) -> T {
    load(t, dtype)
}

/// The type to compute in: half types are widened.
fn compute_type(u: &T) -> DType {
    match u.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

fn scan<E: Real + Element + Pod>(x: &Loaded, spec: ScanSpec, keep: bool) -> Scanned<Flex> {
    let Dims { b, v, l, d, n, .. } = x.dims;
    let out = cpu::forward(&x.dims, &x.inputs::<E>(&spec), keep.then_some(spec.every));
    let count = out.checkpoints.len();
    Scanned {
        y: from_vec(out.y, [b, v, l, d]),
        state: from_vec(out.state, [b, v, d, n]),
        checkpoints: from_vec(out.checkpoints, [count]),
    }
}

fn gradients<E: Real + Element + Pod>(
    x: &Loaded,
    saved: [T; 3],
    spec: ScanSpec,
    has_state: bool,
) -> ScanGradients<Flex> {
    let Dims {
        b,
        v,
        l,
        d,
        n,
        p_batch,
        p_steps,
    } = x.dims;
    let [checkpoints, dy, dstate] = saved.each_ref().map(values::<E>);
    let out = cpu::backward(
        &x.dims,
        &x.inputs::<E>(&spec),
        checkpoints,
        spec.every,
        dy,
        has_state.then_some(dstate),
    );
    let nothing = || from_vec(vec![E::ZERO], [1]);
    let optional = |values: Option<Vec<E>>, shape: Shape| {
        values.map_or_else(nothing, |values| from_vec(values, shape))
    };
    let p_shape = [
        if p_batch { b } else { 1 },
        if p_steps { l } else { 1 },
        v,
        v,
    ];
    ScanGradients {
        u: from_vec(out.u, [b, v, l, d]),
        delta: from_vec(out.delta, [b, v, l, d]),
        a: from_vec(out.a, [d, n]),
        b: from_vec(out.b, [b, v, l, n]),
        c1: optional(out.c1, Shape::new([b, v, l, n])),
        c2: from_vec(out.c2, [b, v, l, n]),
        skip: optional(out.d, Shape::new([d])),
        p: match spec.sparse {
            true => nothing(),
            false => from_vec(out.p, p_shape),
        },
        a_root: optional(out.a_root, Shape::new([n, n])),
        a_rel: from_vec(out.a_rel, [n, n]),
        state: optional(out.state, Shape::new([b, v, d, n])),
    }
}

impl GraphScanBackend for Flex {
    fn graph_scan(x: Operands<Self>, spec: ScanSpec, keep: bool) -> Scanned<Self> {
        let stored = x.u.dtype();
        let dtype = compute_type(&x.u);
        let x = Loaded::new(x, dtype);
        let out = match dtype {
            DType::F64 => scan::<f64>(&x, spec, keep),
            _ => scan::<f32>(&x, spec, keep),
        };
        Scanned {
            y: cast(out.y, stored),
            ..out
        }
    }

    fn graph_scan_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ScanSpec,
        has_state: bool,
    ) -> ScanGradients<Self> {
        let stored = x.u.dtype();
        let dtype = compute_type(&x.u);
        let x = Loaded::new(x, dtype);
        let saved = [saved.checkpoints, saved.y, saved.state].map(|t| load(t, dtype));
        let out = match dtype {
            DType::F64 => gradients::<f64>(&x, saved, spec, has_state),
            _ => gradients::<f32>(&x, saved, spec, has_state),
        };
        ScanGradients {
            u: cast(out.u, stored),
            delta: cast(out.delta, stored),
            b: cast(out.b, stored),
            c1: if spec.c1 {
                cast(out.c1, stored)
            } else {
                out.c1
            },
            c2: cast(out.c2, stored),
            ..out
        }
    }
}
