//! The selective scan on Burn's CPU backend: hands the tensors' memory to the kernels of [`cpu`].

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, Element, Shape, TensorData};

use super::backend::{Operands, Saved, ScanGradients, ScanSpec, Scanned, SelectiveScanBackend};
use super::cpu::{self, Dims, Inputs};
use crate::ops::simd::Real;

type T = FloatTensor<Flex>;

/// A type the CPU kernels compute in.
trait Computed: Real + Element {
    fn values(of: &T) -> &[Self];
}

impl Computed for f32 {
    fn values(of: &T) -> &[Self] {
        of.as_slice().expect("made contiguous and cast to f32")
    }
}

impl Computed for f64 {
    fn values(of: &T) -> &[Self] {
        of.as_slice().expect("made contiguous and cast to f64")
    }
}

fn from_vec<E: Element>(values: Vec<E>, shape: impl Into<Shape>) -> T {
    T::from_data(TensorData::new(values, shape))
}

fn cast(t: T, dtype: DType) -> T {
    match t.dtype() == dtype {
        true => t,
        false => Flex::float_cast(t, dtype.into()),
    }
}

/// The operands in one type, contiguous.
struct Loaded {
    dims: Dims,
    tensors: [T; 9],
}

impl Loaded {
    fn new(x: Operands<Flex>, spec: &ScanSpec, dtype: DType) -> Self {
        let [b, l, d] = x.u.shape().dims();
        let dims = Dims {
            b,
            l,
            d,
            n: x.a.shape()[1],
            delta_softplus: spec.softplus,
        };
        let tensors = [x.u, x.delta, x.a, x.b, x.c, x.skip, x.gate, x.bias, x.state]
            .map(|t| cast(t, dtype).to_contiguous());
        Self { dims, tensors }
    }

    fn inputs<E: Computed>(&self, spec: &ScanSpec) -> Inputs<'_, E> {
        let [u, delta, a, b, c, skip, gate, bias, state] = self.tensors.each_ref().map(E::values);
        Inputs {
            u,
            delta,
            a,
            b,
            c,
            d: spec.skip.then_some(skip),
            z: spec.gate.then_some(gate),
            delta_bias: spec.bias.then_some(bias),
            state: spec.state.then_some(state),
        }
    }
}

/// The type to compute in: half types are widened.
fn compute_type(u: &T) -> DType {
    match u.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

fn scan<E: Computed>(x: &Loaded, spec: ScanSpec, keep: bool) -> Scanned<Flex> {
    let Dims { b, l, d, n, .. } = x.dims;
    let out = cpu::forward(&x.dims, &x.inputs::<E>(&spec), keep.then_some(spec.every));
    let checkpoints = match keep {
        true => out.checkpoints,
        false => vec![E::ZERO],
    };
    let count = checkpoints.len();
    Scanned {
        y: from_vec(out.y, [b, l, d]),
        state: from_vec(out.state, [b, d, n]),
        checkpoints: from_vec(checkpoints, [count]),
    }
}

fn gradients<E: Computed>(
    x: &Loaded,
    saved: [T; 3],
    spec: ScanSpec,
    has_state: bool,
) -> ScanGradients<Flex> {
    let Dims { b, l, d, n, .. } = x.dims;
    let [checkpoints, dy, dstate] = saved.each_ref().map(E::values);
    let out = cpu::backward(
        &x.dims,
        &x.inputs::<E>(&spec),
        checkpoints,
        spec.every,
        dy,
        has_state.then_some(dstate),
    );
    let optional = |values: Option<Vec<E>>, shape: Shape| match values {
        Some(values) => from_vec(values, shape),
        None => from_vec(vec![E::ZERO], [1]),
    };
    ScanGradients {
        u: from_vec(out.u, [b, l, d]),
        delta: from_vec(out.delta, [b, l, d]),
        a: from_vec(out.a, [d, n]),
        b: from_vec(out.b, [b, l, n]),
        c: from_vec(out.c, [b, l, n]),
        skip: optional(out.d, Shape::new([d])),
        gate: optional(out.z, Shape::new([b, l, d])),
        bias: optional(out.delta_bias, Shape::new([d])),
        state: optional(out.state, Shape::new([b, d, n])),
    }
}

impl SelectiveScanBackend for Flex {
    fn selective_scan(x: Operands<Self>, spec: ScanSpec, keep: bool) -> Scanned<Self> {
        let stored = x.u.dtype();
        let dtype = compute_type(&x.u);
        let x = Loaded::new(x, &spec, dtype);
        let out = match dtype {
            DType::F64 => scan::<f64>(&x, spec, keep),
            _ => scan::<f32>(&x, spec, keep),
        };
        Scanned {
            y: cast(out.y, stored),
            ..out
        }
    }

    fn selective_scan_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ScanSpec,
        has_state: bool,
    ) -> ScanGradients<Self> {
        let stored = x.u.dtype();
        let dtype = compute_type(&x.u);
        let x = Loaded::new(x, &spec, dtype);
        let saved =
            [saved.checkpoints, saved.y, saved.state].map(|t| cast(t, dtype).to_contiguous());
        let out = match dtype {
            DType::F64 => gradients::<f64>(&x, saved, spec, has_state),
            _ => gradients::<f32>(&x, saved, spec, has_state),
        };
        ScanGradients {
            u: cast(out.u, stored),
            delta: cast(out.delta, stored),
            b: cast(out.b, stored),
            c: cast(out.c, stored),
            gate: if spec.gate {
                cast(out.gate, stored)
            } else {
                out.gate
            },
            ..out
        }
    }
}
