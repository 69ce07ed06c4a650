//! The step on the CPU: threads over heads, vectors along the state.

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::DType;

use super::backend::{Operands, StateUpdateBackend, StepSpec, Updated};
use crate::ops::dense::DenseBackend;
use crate::ops::flex::{Computed, cast, compute_type, from_vec, load};
use crate::ops::simd::{Kernel, LANES, Lanes, Scatter};
use crate::ops::team::share;

/// Numbers of the state that a task takes at least.
const TASK: usize = 1 << 13;

type T = FloatTensor<Flex>;

/// What a step reads, row-major.
struct Signals<'a, E> {
    spec: StepSpec,
    /// h, p, g, n.
    size: [usize; 4],
    x: &'a [E],
    dt: &'a [E],
    a: &'a [E],
    b: &'a [E],
    c: &'a [E],
    skip: &'a [E],
    gate: &'a [E],
    bias: &'a [E],
}

/// Some heads, of whichever samples: their states and outputs.
struct Heads<'a, E> {
    of: &'a Signals<'a, E>,
    /// Counted through all samples.
    first: usize,
    state: &'a mut [E],
    y: &'a mut [E],
}

impl<E: Computed> Kernel<E> for Heads<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<E>>(self) {
        let of = self.of;
        let spec = &of.spec;
        let [h, p, g, n] = of.size;
        let heads = self.state.chunks_exact_mut(p * n);
        for (i, (state, y)) in heads.zip(self.y.chunks_exact_mut(p)).enumerate() {
            let at = self.first + i;
            let (sample, head) = (at / h, at % h);
            let mut dt = of.dt[at];
            if spec.bias {
                dt += of.bias[head];
            }
            let mut step = V::splat(dt);
            if spec.softplus {
                step = step.softplus();
            }
            let dt = E::from_elem(step.pack().0[0].to_f64().clamp(spec.limit.0, spec.limit.1));
            let step = V::splat(dt);
            let shared = (sample * g + head / (h / g)) * n;
            let (b, c) = (&of.b[shared..shared + n], &of.c[shared..shared + n]);
            for (channel, state) in state.chunks_exact_mut(n).enumerate() {
                let x = of.x[at * p + channel];
                let drive = V::splat(dt * x);
                let mut sum = V::splat(E::ZERO);
                for m in (0..n).step_by(LANES) {
                    let lanes = m..n.min(m + LANES);
                    let a = match spec.wide_a {
                        true => V::first(&of.a[head * n + m..head * n + lanes.end]),
                        false => V::splat(of.a[head]),
                    };
                    let decay = step.mul(a).exp();
                    let old = V::first(&state[lanes.clone()]);
                    let b = V::first(&b[lanes.clone()]);
                    let next = decay.mul_add(old, drive.mul(b));
                    sum = next.mul_add(V::first(&c[lanes.clone()]), sum);
                    next.write_first(&mut state[lanes]);
                }
                let mut out = sum.pack().0.into_iter().fold(E::ZERO, |sum, v| sum + v);
                if spec.skip {
                    let d = if spec.wide_skip {
                        head * p + channel
                    } else {
                        head
                    };
                    out += of.skip[d] * x;
                }
                y[channel] = out;
            }
            if spec.gate {
                let gates = &of.gate[at * p..(at + 1) * p];
                for (y, gate) in y.chunks_mut(LANES).zip(gates.chunks(LANES)) {
                    let z = V::first(gate);
                    V::first(y).mul(z.mul(z.sigmoid())).write_first(y);
                }
            }
        }
    }
}

fn update<E: Computed>(tensors: &[T; 9], size: [usize; 5], spec: StepSpec) -> [T; 2] {
    let [batch, h, p, g, n] = size;
    let [state, x, dt, a, b, c, skip, gate, bias] = tensors.each_ref().map(E::values);
    let signals = Signals {
        spec,
        size: [h, p, g, n],
        x,
        dt,
        a,
        b,
        c,
        skip,
        gate,
        bias,
    };
    let mut state = state.to_vec();
    let mut y = vec![E::ZERO; batch * h * p];
    let heads = (TASK / (p * n)).max(1);
    let (states, outputs) = (Scatter::new(&mut state), Scatter::new(&mut y));
    let all = batch * h;
    share(all.div_ceil(heads), &|i| {
        let (first, end) = (i * heads, ((i + 1) * heads).min(all));
        // SAFETY: tasks have heads of their own.
        let (state, y) = unsafe {
            (
                states.range(first * p * n..end * p * n),
                outputs.range(first * p..end * p),
            )
        };
        E::dispatch(Heads {
            of: &signals,
            first,
            state,
            y,
        });
    });
    [
        from_vec(y, [batch, h, p]),
        from_vec(state, [batch, h, p, n]),
    ]
}

impl StateUpdateBackend for Flex {
    fn state_update(x: Operands<Self>, spec: StepSpec) -> Updated<Self> {
        let [batch, h, p, n] = x.state.shape().dims();
        let size = [batch, h, p, x.b.shape()[1], n];
        let (stored, kept) = (x.x.dtype(), x.state.dtype());
        let dtype = compute_type(&x.x);
        let dt = match (spec.projected, dtype) {
            (false, _) => x.dt,
            (true, DType::F64) => Self::float_matmul(x.dt, load(x.projection, dtype)),
            (true, _) => Self::few_rows(load(x.dt, dtype), x.projection, false),
        };
        let tensors =
            [x.state, x.x, dt, x.a, x.b, x.c, x.skip, x.gate, x.bias].map(|t| load(t, dtype));
        let [y, state] = match dtype {
            DType::F64 => update::<f64>(&tensors, size, spec),
            _ => update::<f32>(&tensors, size, spec),
        };
        Updated {
            y: cast(y, stored),
            state: cast(state, kept),
        }
    }
}
