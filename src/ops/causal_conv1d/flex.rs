//! The convolution on Burn's CPU backend: hands the tensors' memory to the kernels of [`cpu`].

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;

use super::backend::{CausalConvBackend, ConvGradients, ConvSpec, Convolved, Operands, Saved};
use super::cpu::{self, Signals};
use crate::ops::flex::{Computed, cast, compute_type, from_vec, load, load_ints};

type T = FloatTensor<Flex>;

/// The operands in one type, contiguous.
struct Loaded {
    size: [usize; 4],
    tensors: [T; 4],
    ids: Option<Vec<i32>>,
    spec: ConvSpec,
}

impl Loaded {
    fn new(x: Operands<Flex>, spec: ConvSpec, dtype: DType) -> Self {
        let [b, l, d] = x.x.shape().dims();
        Self {
            size: [b, l, d, x.weight.shape()[1]],
            tensors: [x.x, x.weight, x.bias, x.initial].map(|t| load(t, dtype)),
            ids: spec.ids.then(|| load_ints(x.ids)),
            spec,
        }
    }

    fn signals<E: Computed>(&self) -> Signals<'_, E> {
        let [x, weight, bias, initial] = self.tensors.each_ref().map(E::values);
        Signals::new(
            self.size,
            x,
            weight,
            self.spec.bias.then_some(bias),
            self.spec.initial.then_some(initial),
            self.ids.as_deref(),
            self.spec.silu,
        )
    }
}

fn convolve<E: Computed>(x: &Loaded) -> [T; 2] {
    let [b, l, d, k] = x.size;
    let (y, last) = cpu::forward(&x.signals::<E>());
    [from_vec(y, [b, l, d]), from_vec(last, [b, k - 1, d])]
}

fn gradients<E: Computed>(x: &Loaded, dy: &T, dlast: Option<&T>) -> [T; 4] {
    let [b, l, d, k] = x.size;
    let out = cpu::backward(&x.signals::<E>(), E::values(dy), dlast.map(E::values));
    [
        from_vec(out.x, [b, l, d]),
        from_vec(out.weight, [d, k]),
        from_vec(out.bias, [d]),
        from_vec(out.initial, [b, k - 1, d]),
    ]
}

impl CausalConvBackend for Flex {
    fn causal_conv1d(x: Operands<Self>, spec: ConvSpec) -> Convolved<Self> {
        let stored = x.x.dtype();
        let dtype = compute_type(&x.x);
        let x = Loaded::new(x, spec, dtype);
        let [y, last] = match dtype {
            DType::F64 => convolve::<f64>(&x),
            _ => convolve::<f32>(&x),
        };
        Convolved {
            y: cast(y, stored),
            last: cast(last, stored),
        }
    }

    fn causal_conv1d_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ConvSpec,
        has_last: bool,
    ) -> ConvGradients<Self> {
        let stored = x.x.dtype();
        let dtype = compute_type(&x.x);
        let x = Loaded::new(x, spec, dtype);
        let dy = load(saved.y, dtype);
        let dlast = has_last.then(|| load(saved.last, dtype));
        let [dx, weight, bias, initial] = match dtype {
            DType::F64 => gradients::<f64>(&x, &dy, dlast.as_ref()),
            _ => gradients::<f32>(&x, &dy, dlast.as_ref()),
        };
        ConvGradients {
            x: cast(dx, stored),
            weight,
            bias,
            initial: cast(initial, stored),
        }
    }
}
