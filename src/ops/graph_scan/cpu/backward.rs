//! Backward pass.
//!
//! With λ_t = dL/dh_t, q_t = exp(Δ_t A) ⊙ λ_t and Z_t = q_t W_relᵀ:
//!
//! ```text
//! λ_t = dy_t ⊗ C1_t + P_tᵀ (dy_t ⊗ C2_t) + q_{t+1} W_rootᵀ + P_{t+1}ᵀ Z_{t+1}
//! du = Σ_n λ Δ B + D dy            dΔ = Σ_n λ (A ⊙ (h − Δ u B) + u B)
//! dA = Σ λ (h − Δ u B) Δ           dB = Σ_d λ Δ u
//! dC1 = Σ_d dy h                   dC2 = Σ_d dy (P h)
//! dW_root = Σ h_{t-1}ᵀ q_t         dW_rel = Σ (P h_{t-1})ᵀ q_t
//! dP_t = (dy_t ⊗ C2_t) h_tᵀ + Z_t h_{t-1}ᵀ
//! ```
//!
//! With one P for all steps, X_t = dy_t ⊗ C2_t + Z_{t+1} goes through one product: λ_t has P ᵀX_t,
//! and dP = Σ X_t h_tᵀ. States are computed again from the checkpoints, part by part.

use rayon::prelude::*;

use super::grads::{Grads, Share};
use super::product::{Contract, Left, Product, Right};
use super::sparse::{Edges, SparseProduct};
use super::{Dims, Inputs, Strip};
use crate::ops::simd::{Kernel, Lanes, Pack, Real, Scatter, flat_mut, prefetch, sum_lanes};

/// Numbers that the sums of strips which run at the same time may take (128 MiB of f32), unless
/// one strip per thread needs more.
const SHARED: usize = 1 << 25;

/// Gradients from `dy` (b, v, l, d) and, if the last state was used, `dstate` (b, v, d, n).
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
    let Dims { b, v, l, d, n, .. } = *dims;
    assert_eq!(dy.len(), b * v * l * d, "length of dy for {dims:?}");
    assert!(
        dstate.is_none_or(|g| g.len() == b * v * d * n),
        "length of dstate for {dims:?}"
    );
    let per_task = l.div_ceil(every) * dims.checkpoint_len();
    assert_eq!(
        checkpoints.len(),
        dims.tasks() * per_task,
        "length of checkpoints for {dims:?}"
    );

    let transpose = |w: &[T]| (0..n * n).map(|i| w[i % n * n + i / n]).collect::<Vec<_>>();
    let rel_transposed = transpose(inputs.a_rel);
    let root_transposed = inputs.a_root.map(transpose);
    let edges = Edges::few(dims, inputs);
    let mut grads = Grads::zeros(inputs);
    let mut own = Own {
        u: std::mem::take(&mut grads.u),
        delta: std::mem::take(&mut grads.delta),
        state: grads.state.take().unwrap_or_default(),
    };
    {
        let u = Scatter::new(&mut own.u);
        let delta = Scatter::new(&mut own.delta);
        let state = Scatter::new(&mut own.state);
        let to_p = if inputs.p_gradient { dims.p_len() } else { 0 };
        let share = 3 * v * l * n + to_p + 2 * n * n;
        let wave = (SHARED / share).max(rayon::current_num_threads());
        for start in (0..dims.tasks()).step_by(wave) {
            let tasks = start..(start + wave).min(dims.tasks());
            let shares: Vec<Share<T>> = tasks
                .clone()
                .into_par_iter()
                .map(|task| {
                    T::dispatch(Task {
                        strip: Strip::new(dims, inputs, edges.as_ref(), task),
                        checkpoints: &checkpoints[task * per_task..(task + 1) * per_task],
                        every,
                        rel_transposed: &rel_transposed,
                        root_transposed: root_transposed.as_deref(),
                        dy,
                        dstate,
                        u: &u,
                        delta: &delta,
                        state: &state,
                    })
                })
                .collect();
            grads.add(dims, start, &shares);
        }
    }
    grads.u = own.u;
    grads.delta = own.delta;
    grads.state = inputs.state.map(|_| own.state);
    grads
}

/// Gradients of which each strip has its own part.
struct Own<T> {
    u: Vec<T>,
    delta: Vec<T>,
    state: Vec<T>,
}

struct Task<'a, T> {
    strip: Strip<'a, T>,
    checkpoints: &'a [T],
    every: usize,
    /// W_relᵀ and W_rootᵀ.
    rel_transposed: &'a [T],
    root_transposed: Option<&'a [T]>,
    dy: &'a [T],
    dstate: Option<&'a [T]>,
    u: &'a Scatter<'a, T>,
    delta: &'a Scatter<'a, T>,
    state: &'a Scatter<'a, T>,
}

/// States of a part of the steps, (steps + 1, v, n), and P times them.
struct Part<T> {
    /// h before the first step of the part, then after each.
    h: Vec<Pack<T>>,
    /// P h of the same; before the first step only with one P for all steps.
    ph: Vec<Pack<T>>,
    /// P_t h_{t-1}, if P differs per step, else empty.
    ph_before: Vec<Pack<T>>,
}

impl<T: Real> Kernel<T> for Task<'_, T> {
    type Output = Share<T>;

    #[inline(always)]
    fn run<V: Lanes<T>>(self) -> Share<T> {
        let strip = &self.strip;
        let inputs = strip.inputs;
        let Dims {
            v, l, n, p_steps, ..
        } = *strip.dims;
        let size = v * n;
        let steps = self.every.min(l);
        let mut share = Share {
            a: vec![Pack::ZERO; n],
            b: vec![T::ZERO; v * l * n],
            c1: vec![T::ZERO; inputs.c1.map_or(0, |_| v * l * n)],
            c2: vec![T::ZERO; v * l * n],
            d: Pack::ZERO,
            p: vec![
                T::ZERO;
                if inputs.p_gradient {
                    strip.dims.p_len()
                } else {
                    0
                }
            ],
            a_root: Vec::new(),
            a_rel: Vec::new(),
        };
        let mut root = inputs.a_root.map(|_| vec![Pack::ZERO; n * n]);
        let mut rel = vec![Pack::ZERO; n * n];
        let mut part = Part {
            h: vec![Pack::ZERO; (steps + 1) * size],
            ph: vec![Pack::ZERO; (steps + 1) * size],
            ph_before: vec![Pack::ZERO; if p_steps { steps * size } else { 0 }],
        };
        // What reaches h_t from later steps: directly, and (with one P for all) by way of Pᵀ.
        let mut carry = vec![Pack::ZERO; size];
        let mut z = vec![Pack::ZERO; size];
        let mut x = vec![Pack::ZERO; size];
        let mut q = vec![Pack::ZERO; size];
        if let Some(dstate) = self.dstate {
            strip.gather(dstate, &mut carry);
        }
        for index in (0..l.div_ceil(self.every)).rev() {
            let start = index * self.every;
            let len = self.every.min(l - start);
            let started = start > 0 || inputs.state.is_some();
            self.states::<V>(index, len, started, &mut part);
            for i in (0..len).rev() {
                let t = start + i;
                if t > 0 {
                    self.prefetch(t - 1, &share);
                }
                let h = &part.h[(i + 1) * size..(i + 2) * size];
                let ph = &part.ph[(i + 1) * size..(i + 2) * size];
                std::mem::swap(&mut carry, &mut q);
                self.outputs::<V>(t, h, ph, &z, &mut x, &mut q, &mut share);
                self.propagate_back::<V>(t, &x, &mut q);
                self.drives::<V>(t, h, &mut q, &mut share);
                let p_start = if p_steps { t * v * v } else { 0 };
                let dp = match inputs.p_gradient {
                    true => &mut share.p[p_start..p_start + v * v],
                    false => &mut [],
                };
                if i == 0 && !started {
                    if inputs.p_gradient {
                        V::call(Contract {
                            out: dp,
                            first: (&x, h),
                            second: None,
                            vertices: v,
                            states: n,
                        });
                    }
                    break;
                }
                let before = &part.h[i * size..(i + 1) * size];
                let ph_before = if p_steps { &part.ph_before } else { &part.ph };
                let ph_before = &ph_before[i * size..(i + 1) * size];
                self.mix_back::<V>(&q, self.rel_transposed, &mut z);
                match self.root_transposed {
                    Some(weight) => self.mix_back::<V>(&q, weight, &mut carry),
                    None => carry.fill(Pack::ZERO),
                }
                if p_steps {
                    self.propagate_back::<V>(t, &z, &mut carry);
                }
                if inputs.p_gradient {
                    let second = p_steps.then_some((&z[..], before));
                    V::call(Contract {
                        out: dp,
                        first: (&x, h),
                        second,
                        vertices: v,
                        states: n,
                    });
                }
                if let Some(root) = &mut root {
                    self.weight::<V>(before, &q, root);
                }
                self.weight::<V>(ph_before, &q, &mut rel);
            }
        }
        if inputs.state.is_some() {
            if !p_steps {
                self.propagate_back::<V>(0, &z, &mut carry);
                if inputs.p_gradient {
                    V::call(Contract {
                        out: &mut share.p,
                        first: (&z[..], &part.h[..size]),
                        second: None,
                        vertices: v,
                        states: n,
                    });
                }
            }
            strip.spread(&carry, self.state);
        }
        share.a_rel = sums::<T, V>(&rel);
        share.a_root = root.map_or(Vec::new(), |root| sums::<T, V>(&root));
        share
    }
}

impl<T: Real> Task<'_, T> {
    /// Asks for what step t reads and writes, far apart as in the forward pass.
    #[inline(always)]
    fn prefetch(&self, t: usize, share: &Share<T>) {
        let strip = &self.strip;
        let Dims {
            v: vertices, l, n, ..
        } = *strip.dims;
        strip.prefetch(t);
        for v in 0..vertices {
            let channels = strip.channels(v, t);
            let at = (v * l + t) * n;
            self.u.prefetch(channels.clone());
            self.delta.prefetch(channels.clone());
            prefetch(&self.dy[channels]);
            prefetch(&share.b[at..at + n]);
            prefetch(&share.c2[at..at + n]);
            if strip.inputs.c1.is_some() {
                prefetch(&share.c1[at..at + n]);
            }
        }
    }

    /// Computes the states of part `index`, of `len` steps, from its checkpoint.
    #[inline(always)]
    fn states<V: Lanes<T>>(&self, index: usize, len: usize, started: bool, part: &mut Part<T>) {
        let strip = &self.strip;
        let size = strip.dims.v * strip.dims.n;
        let p_steps = strip.dims.p_steps;
        let start = index * self.every;
        let checkpoint = strip.dims.checkpoint_len();
        flat_mut(&mut part.h[..size])
            .copy_from_slice(&self.checkpoints[index * checkpoint..(index + 1) * checkpoint]);
        if !p_steps && started {
            strip.propagate::<V>(start, &part.h[..size], &mut part.ph[..size]);
        }
        for i in 0..len {
            let t = start + i;
            let (before, after) = part.h.split_at_mut((i + 1) * size);
            let (before, after) = (&before[i * size..], &mut after[..size]);
            let exists = i > 0 || started;
            let ph_before = if p_steps {
                &mut part.ph_before
            } else {
                &mut part.ph
            };
            let ph_before = &mut ph_before[i * size..(i + 1) * size];
            if p_steps && exists {
                strip.propagate::<V>(t, before, ph_before);
            }
            strip.advance::<V>(t, exists.then_some((before, ph_before)), after);
            strip.propagate::<V>(t, after, &mut part.ph[(i + 1) * size..(i + 2) * size]);
        }
    }

    /// Through y_t: `x = dy ⊗ C2 (+ z)`, `lambda += dy ⊗ C1`, and dC1, dC2.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn outputs<V: Lanes<T>>(
        &self,
        t: usize,
        h: &[Pack<T>],
        ph: &[Pack<T>],
        z: &[Pack<T>],
        x: &mut [Pack<T>],
        lambda: &mut [Pack<T>],
        share: &mut Share<T>,
    ) {
        let strip = &self.strip;
        let Dims {
            v: vertices,
            l,
            n,
            p_steps,
            ..
        } = *strip.dims;
        for v in 0..vertices {
            let row = v * n..(v + 1) * n;
            let at = (v * l + t) * n;
            let dy = strip.signal::<V>(self.dy, v, t);
            let (h, ph) = (&h[row.clone()], &ph[row.clone()]);
            sum_lanes(&mut share.c2[at..at + n], |m| dy.mul(V::load(&ph[m])));
            let c2 = strip.projection(strip.inputs.c2, v, t);
            for ((x, z), c) in x[row.clone()].iter_mut().zip(&z[row.clone()]).zip(c2) {
                let through = if p_steps {
                    V::splat(T::ZERO)
                } else {
                    V::load(z)
                };
                dy.mul_add(V::splat(*c), through).store(x);
            }
            if let Some(c1) = strip.inputs.c1 {
                sum_lanes(&mut share.c1[at..at + n], |m| dy.mul(V::load(&h[m])));
                for (lambda, c) in lambda[row].iter_mut().zip(strip.projection(c1, v, t)) {
                    dy.mul_add(V::splat(*c), V::load(lambda)).store(lambda);
                }
            }
        }
    }

    /// Through h_t: du, dΔ, dA, dB, dD from λ_t, which becomes q_t.
    #[inline(always)]
    fn drives<V: Lanes<T>>(
        &self,
        t: usize,
        h: &[Pack<T>],
        lambda: &mut [Pack<T>],
        share: &mut Share<T>,
    ) {
        let strip = &self.strip;
        let Dims { l, n, .. } = *strip.dims;
        let skip = V::load(&strip.d);
        for (v, (h, lambda)) in h
            .chunks_exact(n)
            .zip(lambda.chunks_exact_mut(n))
            .enumerate()
        {
            let delta = strip.signal::<V>(strip.inputs.delta, v, t);
            let u = strip.signal::<V>(strip.inputs.u, v, t);
            let dy = strip.signal::<V>(self.dy, v, t);
            let drive = delta.mul(u);
            let at = (v * l + t) * n;
            sum_lanes(&mut share.b[at..at + n], |m| drive.mul(V::load(&lambda[m])));
            let b = strip.projection(strip.inputs.b, v, t);
            let mut by_b = V::splat(T::ZERO);
            let mut by_a = V::splat(T::ZERO);
            for m in 0..n {
                let gradient = V::load(&lambda[m]);
                let a = V::load(&strip.a[m]);
                let b = V::splat(b[m]);
                // exp(ΔA) ⊙ (mixed state), the part of h that depends on A.
                let kept = gradient.mul(V::load(&h[m]).sub(drive.mul(b)));
                by_b = gradient.mul_add(b, by_b);
                by_a = kept.mul_add(a, by_a);
                kept.mul_add(delta, V::load(&share.a[m]))
                    .store(&mut share.a[m]);
                delta.mul(a).exp().mul(gradient).store(&mut lambda[m]);
            }
            strip.write(self.u, v, t, delta.mul_add(by_b, skip.mul(dy)));
            strip.write(self.delta, v, t, u.mul_add(by_b, by_a));
            u.mul_add(dy, V::load(&share.d)).store(&mut share.d);
        }
    }

    /// `out += P_tᵀ x`.
    #[inline(always)]
    fn propagate_back<V: Lanes<T>>(&self, t: usize, x: &[Pack<T>], out: &mut [Pack<T>]) {
        let Dims { v, n, .. } = *self.strip.dims;
        if let Some(edges) = self.strip.edges {
            let rows = &edges.columns;
            let add = true;
            return V::call(SparseProduct {
                out,
                rows,
                x,
                n,
                add,
            });
        }
        V::call(Product {
            out,
            first: (
                Left {
                    data: self.strip.p(t),
                    outer: 1,
                    depth: v,
                },
                Right { data: x, depth: n },
            ),
            second: None,
            rows: v,
            columns: n,
            depth: v,
            add: true,
            by_columns: true,
        });
    }

    /// `out = q Wᵀ`, given Wᵀ.
    #[inline(always)]
    fn mix_back<V: Lanes<T>>(&self, q: &[Pack<T>], transposed: &[T], out: &mut [Pack<T>]) {
        let Dims { v, n, .. } = *self.strip.dims;
        V::call(Product {
            out,
            first: (
                Left {
                    data: q,
                    outer: n,
                    depth: 1,
                },
                Right {
                    data: transposed,
                    depth: n,
                },
            ),
            second: None,
            rows: v,
            columns: n,
            depth: n,
            add: false,
            by_columns: false,
        });
    }

    /// `out += hᵀ q` over vertices, lanes kept apart.
    #[inline(always)]
    fn weight<V: Lanes<T>>(&self, h: &[Pack<T>], q: &[Pack<T>], out: &mut [Pack<T>]) {
        let Dims { v, n, .. } = *self.strip.dims;
        V::call(Product {
            out,
            first: (
                Left {
                    data: h,
                    outer: 1,
                    depth: n,
                },
                Right { data: q, depth: n },
            ),
            second: None,
            rows: n,
            columns: n,
            depth: v,
            add: true,
            by_columns: false,
        });
    }
}

/// The sum of the lanes of each pack.
#[inline(always)]
fn sums<T: Real, V: Lanes<T>>(packs: &[Pack<T>]) -> Vec<T> {
    let mut out = vec![T::ZERO; packs.len()];
    sum_lanes(&mut out, |i| V::load(&packs[i]));
    out
}
