//! Backward pass.
//!
//! With g_t = dy_t ⊙ silu(z_t) (dy_t without a gate), λ_t = dL/dh_t and q_t = exp(Δ_t A) λ_t:
//!
//! ```text
//! λ_t = g_t C_t + q_{t+1}
//! du = Σ_n λ Δ B + D g             dΔ = Σ_n (q A h_{t-1} + λ u B)
//! dA = Σ q h_{t-1} Δ               dB = Σ_d λ Δ u               dC = Σ_d g h
//! dz = dy (Σ_n h C + D u) silu'(z) ddelta = dΔ σ(delta + delta_bias) with softplus
//! ```
//!
//! States are computed again from the checkpoints, part by part.

use rayon::prelude::*;

use super::{Dims, Inputs, Strip};
use crate::ops::simd::{
    Kernel, LANES, Lanes, Pack, Real, Scatter, add_in_order, flat_mut, sum_lanes,
};

/// Gradients, each of the shape of its input; `None` where the input is absent.
#[derive(Debug, Clone)]
pub struct Grads<T> {
    pub u: Vec<T>,
    /// Of `delta` as it is given, before bias and softplus.
    pub delta: Vec<T>,
    pub a: Vec<T>,
    pub b: Vec<T>,
    pub c: Vec<T>,
    pub d: Option<Vec<T>>,
    pub z: Option<Vec<T>>,
    pub delta_bias: Option<Vec<T>>,
    pub state: Option<Vec<T>>,
}

/// Numbers that the sums of strips which run at the same time may take (128 MiB of f32), unless
/// one strip per thread needs more.
const SHARED: usize = 1 << 25;

/// Gradients from `dy` (b, l, d) and, if the last state was used, `dstate` (b, d, n).
///
/// `checkpoints` and `every` are those of [`super::forward`]; `every` ≈ √l needs the least memory.
///
/// # Panics
/// If a slice does not have the size documented on its field, or a size or `every` is zero.
pub fn backward<T: Real>(
    dims: &Dims,
    inputs: &Inputs<T>,
    checkpoints: &[T],
    every: usize,
    dy: &[T],
    dstate: Option<&[T]>,
) -> Grads<T> {
    inputs.check(dims);
    let Dims { b, l, d, n, .. } = *dims;
    assert_eq!(dy.len(), b * l * d, "length of dy for {dims:?}");
    assert!(
        dstate.is_none_or(|g| g.len() == b * d * n),
        "length of dstate for {dims:?}"
    );
    let per_task = l.div_ceil(every) * dims.checkpoint_len();
    assert_eq!(
        checkpoints.len(),
        dims.tasks() * per_task,
        "length of checkpoints for {dims:?}"
    );

    let zeros = |like: &[T]| vec![T::ZERO; like.len()];
    let mut du = zeros(inputs.u);
    let mut ddelta = zeros(inputs.delta);
    let mut dz = inputs.z.map(zeros);
    let mut dfirst = inputs.state.map(zeros);
    let mut sums = Sums {
        a: zeros(inputs.a),
        b: zeros(inputs.b),
        c: zeros(inputs.c),
        d: vec![T::ZERO; d],
        delta_bias: vec![T::ZERO; d],
    };
    {
        let u = Scatter::new(&mut du);
        let delta = Scatter::new(&mut ddelta);
        let z = Scatter::new(dz.as_deref_mut().unwrap_or_default());
        let state = Scatter::new(dfirst.as_deref_mut().unwrap_or_default());
        let wave = (SHARED / (2 * l * n)).max(rayon::current_num_threads());
        for start in (0..dims.tasks()).step_by(wave) {
            let shares: Vec<Share<T>> = (start..(start + wave).min(dims.tasks()))
                .into_par_iter()
                .map(|task| {
                    T::dispatch(Task {
                        strip: Strip::new(dims, inputs, task),
                        checkpoints: &checkpoints[task * per_task..(task + 1) * per_task],
                        every,
                        dy,
                        dstate,
                        u: &u,
                        delta: &delta,
                        z: &z,
                        state: &state,
                    })
                })
                .collect();
            sums.add(dims, start, &shares);
        }
    }
    Grads {
        u: du,
        delta: ddelta,
        a: sums.a,
        b: sums.b,
        c: sums.c,
        d: inputs.d.map(|_| sums.d),
        z: dz,
        delta_bias: inputs.delta_bias.map(|_| sums.delta_bias),
        state: dfirst,
    }
}

/// Gradients that strips share.
struct Sums<T> {
    a: Vec<T>,
    b: Vec<T>,
    c: Vec<T>,
    d: Vec<T>,
    delta_bias: Vec<T>,
}

/// What a strip adds to them.
struct Share<T> {
    /// (n)
    a: Vec<Pack<T>>,
    /// (l, n)
    b: Vec<T>,
    c: Vec<T>,
    d: Pack<T>,
    delta_bias: Pack<T>,
}

impl<T: Real> Sums<T> {
    /// Adds the shares of strips `start..`, in their order.
    fn add(&mut self, dims: &Dims, start: usize, mut shares: &[Share<T>]) {
        let Dims { l, d, n, .. } = *dims;
        let strips = dims.strips();
        for (index, share) in shares.iter().enumerate() {
            let first = (start + index) % strips * LANES;
            for lane in 0..LANES.min(d - first) {
                for (m, a) in share.a.iter().enumerate() {
                    self.a[(first + lane) * n + m] += a.0[lane];
                }
                self.d[first + lane] += share.d.0[lane];
                self.delta_bias[first + lane] += share.delta_bias.0[lane];
            }
        }
        let mut task = start;
        while !shares.is_empty() {
            let sample = task / strips;
            let (here, rest) = shares.split_at(shares.len().min((sample + 1) * strips - task));
            let all = |part: fn(&Share<T>) -> &[T]| here.iter().map(part).collect::<Vec<_>>();
            let range = sample * l * n..(sample + 1) * l * n;
            add_in_order(&mut self.b[range.clone()], &all(|share| &share.b));
            add_in_order(&mut self.c[range], &all(|share| &share.c));
            task += here.len();
            shares = rest;
        }
    }
}

struct Task<'a, T> {
    strip: Strip<'a, T>,
    checkpoints: &'a [T],
    every: usize,
    dy: &'a [T],
    dstate: Option<&'a [T]>,
    u: &'a Scatter<'a, T>,
    delta: &'a Scatter<'a, T>,
    z: &'a Scatter<'a, T>,
    state: &'a Scatter<'a, T>,
}

impl<T: Real> Kernel<T> for Task<'_, T> {
    type Output = Share<T>;

    #[inline(always)]
    fn run<V: Lanes<T>>(self) -> Share<T> {
        let strip = &self.strip;
        let Dims { l, n, .. } = *strip.dims;
        let mut share = Share {
            a: vec![Pack::ZERO; n],
            b: vec![T::ZERO; l * n],
            c: vec![T::ZERO; l * n],
            d: Pack::ZERO,
            delta_bias: Pack::ZERO,
        };
        // States before the first step of a part, then after each; Δ of each.
        let steps = self.every.min(l);
        let mut h = vec![Pack::ZERO; (steps + 1) * n];
        let mut deltas = vec![Pack::ZERO; steps];
        let mut lambda = vec![Pack::ZERO; n];
        if let Some(dstate) = self.dstate {
            strip.gather(&dstate[strip.states()], &mut lambda);
        }
        for index in (0..l.div_ceil(self.every)).rev() {
            let start = index * self.every;
            let len = self.every.min(l - start);
            let checkpoint = strip.dims.checkpoint_len();
            flat_mut(&mut h[..n])
                .copy_from_slice(&self.checkpoints[index * checkpoint..(index + 1) * checkpoint]);
            for i in 0..len {
                let (before, after) = h.split_at_mut((i + 1) * n);
                self.state::<V>(start + i, &before[i * n..], &mut after[..n], &mut deltas[i]);
            }
            for i in (0..len).rev() {
                let (before, h) = h[i * n..(i + 2) * n].split_at(n);
                self.step::<V>(start + i, before, h, &deltas[i], &mut lambda, &mut share);
            }
        }
        if strip.inputs.state.is_some() {
            strip.spread(&lambda, self.state);
        }
        share
    }
}

impl<T: Real> Task<'_, T> {
    /// The state after step t, and Δ_t.
    #[inline(always)]
    fn state<V: Lanes<T>>(
        &self,
        t: usize,
        before: &[Pack<T>],
        after: &mut [Pack<T>],
        kept_delta: &mut Pack<T>,
    ) {
        let strip = &self.strip;
        let delta = strip.delta::<V>(t);
        delta.store(kept_delta);
        let drive = delta.mul(strip.signal(strip.inputs.u, t));
        let b = strip.projection(strip.inputs.b, t);
        for (((h, after), a), b) in before.iter().zip(after).zip(&strip.a).zip(b) {
            let decay = delta.mul(V::load(a)).exp();
            decay
                .mul_add(V::load(h), drive.mul(V::splat(*b)))
                .store(after);
        }
    }

    /// Through step t; `lambda` is q_{t+1} and becomes q_t.
    #[inline(always)]
    fn step<V: Lanes<T>>(
        &self,
        t: usize,
        before: &[Pack<T>],
        h: &[Pack<T>],
        delta: &Pack<T>,
        lambda: &mut [Pack<T>],
        share: &mut Share<T>,
    ) {
        let strip = &self.strip;
        let inputs = strip.inputs;
        let n = strip.dims.n;
        let b = strip.projection(inputs.b, t);
        let c = strip.projection(inputs.c, t);
        let u = strip.signal::<V>(inputs.u, t);
        let delta = V::load(delta);
        let drive = delta.mul(u);
        let skip = V::load(&strip.d);
        let mut dy = strip.signal::<V>(self.dy, t);
        if let Some(z) = inputs.z {
            let mut y = u.mul(skip);
            for (h, c) in h.iter().zip(c) {
                y = V::load(h).mul_add(V::splat(*c), y);
            }
            let z = strip.signal::<V>(z, t);
            let one = V::splat(T::ONE);
            let sigmoid = z.sigmoid();
            // silu'(z) = σ (1 + z (1 − σ))
            let slope = sigmoid.mul(z.mul_add(one.sub(sigmoid), one));
            strip.write(self.z, t, dy.mul(y).mul(slope));
            dy = dy.mul(z.mul(sigmoid));
        }
        sum_lanes(&mut share.c[t * n..(t + 1) * n], |m| dy.mul(V::load(&h[m])));
        for (lambda, c) in lambda.iter_mut().zip(c) {
            dy.mul_add(V::splat(*c), V::load(lambda)).store(lambda);
        }
        sum_lanes(&mut share.b[t * n..(t + 1) * n], |m| {
            drive.mul(V::load(&lambda[m]))
        });
        let mut by_a = V::splat(T::ZERO);
        let mut by_b = V::splat(T::ZERO);
        let states = lambda
            .iter_mut()
            .zip(before)
            .zip(&strip.a)
            .zip(&mut share.a)
            .zip(b);
        for ((((lambda, before), a), da), b) in states {
            let a = V::load(a);
            let gradient = V::load(lambda);
            let q = delta.mul(a).exp().mul(gradient);
            q.store(lambda);
            let kept = q.mul(V::load(before));
            by_a = kept.mul_add(a, by_a);
            by_b = gradient.mul_add(V::splat(*b), by_b);
            kept.mul_add(delta, V::load(da)).store(da);
        }
        strip.write(self.u, t, delta.mul_add(by_b, skip.mul(dy)));
        let mut ddelta = u.mul_add(by_b, by_a);
        if strip.dims.delta_softplus {
            ddelta = ddelta.mul(strip.raw_delta::<V>(t).sigmoid());
        }
        strip.write(self.delta, t, ddelta);
        ddelta
            .add(V::load(&share.delta_bias))
            .store(&mut share.delta_bias);
        u.mul_add(dy, V::load(&share.d)).store(&mut share.d);
    }
}
