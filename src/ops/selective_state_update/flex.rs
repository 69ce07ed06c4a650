//! The step on the CPU: threads over heads, vectors along the state.

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::DType;

use super::backend::{Operands, StateUpdateBackend, StepSpec, Updated};
use crate::ops::dense::DenseBackend;
use crate::ops::flex::{Computed, cast, compute_type, from_vec, load};
use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Scatter};
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
        let Self {
            of,
            first,
            state,
            y,
        } = self;
        let [_, p, _, n] = of.size;
        let heads = y.len() / p;
        // Whatever the size of a head, vectors are full: sixteen step sizes, sixteen sums over states.
        for start in (0..heads).step_by(LANES) {
            let count = (heads - start).min(LANES);
            let steps = of.steps::<V>(first + start, count);
            let decays = of.decays::<V>(first + start, count, &steps);
            let rows = start * p..(start + count) * p;
            let mut at = Place::new(of, first + start);
            for from in rows.clone().step_by(LANES) {
                let to = rows.end.min(from + LANES);
                let mut sums = [V::splat(E::ZERO); LANES];
                let mut past = Pack::ZERO;
                for (i, row) in (from..to).enumerate() {
                    let x = of.x[first * p + row];
                    let of_row = Row {
                        step: steps.0[at.lane],
                        decay: decays.0[at.lane],
                        x,
                        head: at.head,
                        shared: at.shared,
                    };
                    sums[i] = of.advance::<V>(&of_row, &mut state[row * n..(row + 1) * n]);
                    if of.spec.skip {
                        let d = match of.spec.wide_skip {
                            true => at.head * p + at.channel,
                            false => at.head,
                        };
                        past.0[i] = of.skip[d] * x;
                    }
                    at.next(of);
                }
                let out = V::sums(&sums).add(V::load(&past));
                out.write_first(&mut y[from..to]);
            }
        }
        if of.spec.gate {
            let gates = &of.gate[first * p..first * p + y.len()];
            for (y, gate) in y.chunks_mut(LANES).zip(gates.chunks(LANES)) {
                let z = V::first(gate);
                V::first(y).mul(z.mul(z.sigmoid())).write_first(y);
            }
        }
    }
}

/// A channel of a head, and where the head finds its B and C.
struct Place {
    /// Of the head, counted from the first.
    lane: usize,
    sample: usize,
    head: usize,
    channel: usize,
    shared: usize,
}

impl Place {
    /// The first channel of a head, which is counted through all samples.
    fn new<E>(of: &Signals<E>, head: usize) -> Self {
        let [h, ..] = of.size;
        let mut place = Self {
            lane: 0,
            sample: head / h,
            head: head % h,
            channel: 0,
            shared: 0,
        };
        place.share(of);
        place
    }

    fn share<E>(&mut self, of: &Signals<E>) {
        let [h, _, g, n] = of.size;
        let group = match g {
            1 => 0,
            _ => self.head / (h / g),
        };
        self.shared = (self.sample * g + group) * n;
    }

    #[inline(always)]
    fn next<E>(&mut self, of: &Signals<E>) {
        let [h, p, ..] = of.size;
        self.channel += 1;
        if self.channel < p {
            return;
        }
        self.channel = 0;
        self.lane += 1;
        self.head += 1;
        if self.head == h {
            self.head = 0;
            self.sample += 1;
        }
        self.share(of);
    }
}

/// What moves the state of a channel.
struct Row<E> {
    step: E,
    /// Where it is one for all states.
    decay: E,
    x: E,
    head: usize,
    shared: usize,
}

impl<E: Computed> Signals<'_, E> {
    /// The step sizes of `count` heads from `first` on.
    #[inline(always)]
    fn steps<V: Lanes<E>>(&self, first: usize, count: usize) -> Pack<E> {
        let spec = &self.spec;
        let mut steps = Pack::padded(&self.dt[first..first + count]);
        if spec.bias {
            for (i, step) in steps.0[..count].iter_mut().enumerate() {
                *step += self.bias[(first + i) % self.size[0]];
            }
        }
        if spec.softplus {
            V::load(&steps).softplus().store(&mut steps);
        }
        if spec.limit != (f64::NEG_INFINITY, f64::INFINITY) {
            let (low, high) = spec.limit;
            steps.0 = steps
                .0
                .map(|step| E::from_elem(step.to_f64().clamp(low, high)));
        }
        steps
    }

    /// Their decays, where A is one number a head.
    #[inline(always)]
    fn decays<V: Lanes<E>>(&self, first: usize, count: usize, steps: &Pack<E>) -> Pack<E> {
        let mut rates = Pack::ZERO;
        if self.spec.wide_a {
            return rates;
        }
        for (i, rate) in rates.0[..count].iter_mut().enumerate() {
            *rate = self.a[(first + i) % self.size[0]];
        }
        V::load(steps).mul(V::load(&rates)).exp().pack()
    }

    /// Moves a state by one step; the products with C, to be added up.
    #[inline(always)]
    fn advance<V: Lanes<E>>(&self, row: &Row<E>, state: &mut [E]) -> V {
        let n = state.len();
        let wide = self.spec.wide_a.then(|| &self.a[row.head * n..][..n]);
        let b = &self.b[row.shared..row.shared + n];
        let c = &self.c[row.shared..row.shared + n];
        let step = V::splat(row.step);
        let drive = V::splat(row.step * row.x);
        let mut sum = V::splat(E::ZERO);
        for m in (0..n).step_by(LANES) {
            let lanes = m..n.min(m + LANES);
            let decay = match wide {
                Some(a) => step.mul(V::first(&a[lanes.clone()])).exp(),
                None => V::splat(row.decay),
            };
            let old = V::first(&state[lanes.clone()]);
            let b = V::first(&b[lanes.clone()]);
            let next = decay.mul_add(old, drive.mul(b));
            sum = next.mul_add(V::first(&c[lanes.clone()]), sum);
            next.write_first(&mut state[lanes]);
        }
        sum
    }
}

fn update<E: Computed>(state: T, tensors: &[T; 8], size: [usize; 5], spec: StepSpec) -> [T; 2] {
    let [batch, h, p, g, n] = size;
    let [x, dt, a, b, c, skip, gate, bias] = tensors.each_ref().map(E::values);
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
    let mut state = load(state, E::dtype());
    // A state that is held elsewhere is copied here.
    let memory = state.storage_mut::<E>();
    let mut y = vec![E::ZERO; batch * h * p];
    let heads = (TASK / (p * n)).max(1);
    let (states, outputs) = (Scatter::new(memory), Scatter::new(&mut y));
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
    [from_vec(y, [batch, h, p]), state]
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
        let tensors = [x.x, dt, x.a, x.b, x.c, x.skip, x.gate, x.bias].map(|t| load(t, dtype));
        let [y, state] = match dtype {
            DType::F64 => update::<f64>(x.state, &tensors, size, spec),
            _ => update::<f32>(x.state, &tensors, size, spec),
        };
        Updated {
            y: cast(y, stored),
            state: cast(state, kept),
        }
    }
}
