//! The scan on Burn's CPU backend: hands the tensors' memory to the kernels of [`cpu`].

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;

use super::backend::{Operands, Scanned, SsdBackend, SsdGradients, SsdSpec};
use super::cpu::{self, Inputs};
use crate::ops::flex::{Computed, cast, compute_type, from_vec, load, load_ints};

type T = FloatTensor<Flex>;

/// The operands in one type, contiguous.
struct Loaded {
    size: [usize; 6],
    tensors: [T; 7],
    ids: Option<Vec<i32>>,
    spec: SsdSpec,
}

impl Loaded {
    fn new(x: Operands<Flex>, spec: SsdSpec, dtype: DType) -> Self {
        let [b, l, h, p] = x.x.shape().dims();
        let [_, _, g, n] = x.b.shape().dims();
        Self {
            size: [b, l, h, p, g, n],
            tensors: [x.x, x.dt, x.a, x.b, x.c, x.skip, x.state].map(|t| load(t, dtype)),
            ids: spec.ids.then(|| load_ints(x.ids)),
            spec,
        }
    }

    fn inputs<E: Computed>(&self) -> Inputs<'_, E> {
        let [x, dt, a, b, c, skip, state] = self.tensors.each_ref().map(E::values);
        Inputs {
            size: self.size,
            x,
            dt,
            a,
            b,
            c,
            skip: self.spec.skip.then_some(skip),
            state: self.spec.state.then_some(state),
            ids: self.ids.as_deref(),
        }
    }
}

fn scan<E: Computed>(x: &Loaded) -> [T; 2] {
    let [b, l, h, p, _, n] = x.size;
    let (y, last) = cpu::forward(&x.inputs::<E>());
    [from_vec(y, [b, l, h, p]), from_vec(last, [b, h, p, n])]
}

fn gradients<E: Computed>(x: &Loaded, dy: &T, dstate: Option<&T>) -> SsdGradients<Flex> {
    let [b, l, h, p, g, n] = x.size;
    let out = cpu::backward(&x.inputs::<E>(), E::values(dy), dstate.map(E::values));
    let skip = match x.spec.wide_skip {
        true => from_vec(out.skip, [h, p]),
        false => {
            let of_head = |skip: &[E]| skip.iter().fold(E::ZERO, |sum, x| sum + *x);
            from_vec(out.skip.chunks(p).map(of_head).collect(), [h, 1])
        }
    };
    SsdGradients {
        x: from_vec(out.x, [b, l, h, p]),
        dt: from_vec(out.dt, [b, l, h]),
        a: from_vec(out.a, [h]),
        b: from_vec(out.b, [b, l, g, n]),
        c: from_vec(out.c, [b, l, g, n]),
        skip,
        state: from_vec(out.state, [b, h, p, n]),
    }
}

impl SsdBackend for Flex {
    fn ssd(x: Operands<Self>, spec: SsdSpec) -> Scanned<Self> {
        let stored = x.x.dtype();
        let dtype = compute_type(&x.x);
        let x = Loaded::new(x, spec, dtype);
        let [y, state] = match dtype {
            DType::F64 => scan::<f64>(&x),
            _ => scan::<f32>(&x),
        };
        Scanned {
            y: cast(y, stored),
            state,
        }
    }

    fn ssd_backward(
        x: Operands<Self>,
        saved: Scanned<Self>,
        spec: SsdSpec,
        has_state: bool,
    ) -> SsdGradients<Self> {
        let stored = x.x.dtype();
        let dtype = compute_type(&x.x);
        let x = Loaded::new(x, spec, dtype);
        let dy = load(saved.y, dtype);
        let dstate = has_state.then(|| load(saved.state, dtype));
        let out = match dtype {
            DType::F64 => gradients::<f64>(&x, &dy, dstate.as_ref()),
            _ => gradients::<f32>(&x, &dy, dstate.as_ref()),
        };
        SsdGradients {
            x: cast(out.x, stored),
            b: cast(out.b, stored),
            c: cast(out.c, stored),
            ..out
        }
    }
}
