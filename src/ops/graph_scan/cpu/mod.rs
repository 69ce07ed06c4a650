//! The graph selective scan on the CPU: forward and hand-written backward over slices.
//!
//! ```text
//! h_t = exp(Δ_t A) ⊙ (h_{t-1} W_root + (P_t h_{t-1}) W_rel) + Δ_t u_t B_t
//! y_t = Σ_n h_t C1_t + Σ_n (P_t h_t) C2_t + D u_t
//! ```
//!
//! A task is one sample and sixteen channels (a strip): the graph and the linear maps are the same
//! for every channel, so that the state of a strip is a matrix (v, n) of vectors, and every
//! product is a number times a vector. Channels that are missing from the last strip are zeros.
//! Strips run in parallel; what they share (the gradients of weights, B, C and P) is summed in the
//! order of the strips, so that results do not depend on the number of threads.

mod backward;
mod forward;
mod grads;
mod product;
mod sparse;
#[cfg(test)]
mod tests;

pub use backward::backward;
pub use forward::forward;

use crate::ops::simd::{LANES, Lanes, Pack, Real, Scatter, prefetch};
use product::{Left, Pair, Product, Right, TILE_ROWS};
use sparse::{Edges, SparseProduct};

/// Sizes of a scan: `b` samples, `v` vertices, `l` steps, `d` channels, `n` states; none is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    pub b: usize,
    pub v: usize,
    pub l: usize,
    pub d: usize,
    pub n: usize,
    /// Whether each sample has its own P.
    pub p_batch: bool,
    /// Whether each step has its own P.
    pub p_steps: bool,
}

/// What a scan reads, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// Input u, (b, v, l, d).
    pub u: &'a [T],
    /// Step size Δ, (b, v, l, d).
    pub delta: &'a [T],
    /// A, (d, n).
    pub a: &'a [T],
    /// B, (b, v, l, n).
    pub b: &'a [T],
    /// C1, the output projection of h, (b, v, l, n); zero if absent.
    pub c1: Option<&'a [T]>,
    /// C2, the output projection of P h, (b, v, l, n).
    pub c2: &'a [T],
    /// Skip D, (d); zero if absent.
    pub d: Option<&'a [T]>,
    /// P, (b or 1, l or 1, v, w); entry [target, source].
    pub p: &'a [T],
    /// P is packed, see [`packed`](crate::ops::sparse::packed), and has no gradient.
    pub sparse: bool,
    /// W_root, (n, n), rows are inputs; zero if absent.
    pub a_root: Option<&'a [T]>,
    /// W_rel, (n, n).
    pub a_rel: &'a [T],
    /// State before the first step, (b, v, d, n); zero if absent.
    pub state: Option<&'a [T]>,
    /// Whether the backward pass is to find the gradient of P; zero if not.
    pub p_gradient: bool,
}

impl Dims {
    /// Strips of sixteen channels.
    fn strips(&self) -> usize {
        self.d.div_ceil(LANES)
    }

    fn tasks(&self) -> usize {
        self.b * self.strips()
    }

    /// Numbers of P for one sample.
    fn p_len(&self) -> usize {
        self.v * self.v * if self.p_steps { self.l } else { 1 }
    }

    /// Numbers of a checkpoint of one strip.
    fn checkpoint_len(&self) -> usize {
        self.v * self.n * LANES
    }
}

impl<T: Real> Inputs<'_, T> {
    /// # Panics
    /// If a slice does not have the size that `dims` gives it.
    fn check(&self, dims: &Dims) {
        let Dims {
            b,
            v,
            l,
            d,
            n,
            p_batch,
            ..
        } = *dims;
        assert!(
            b > 0 && v > 0 && l > 0 && d > 0 && n > 0,
            "empty graph scan: {dims:?}"
        );
        let check = |name: &str, slice: Option<&[T]>, len: usize| {
            if let Some(slice) = slice {
                assert_eq!(slice.len(), len, "length of {name} for {dims:?}");
            }
        };
        check("u", Some(self.u), b * v * l * d);
        check("delta", Some(self.delta), b * v * l * d);
        check("a", Some(self.a), d * n);
        check("b", Some(self.b), b * v * l * n);
        check("c1", self.c1, b * v * l * n);
        check("c2", Some(self.c2), b * v * l * n);
        check("d", self.d, d);
        check(
            "p",
            (!self.sparse).then_some(self.p),
            dims.p_len() * if p_batch { b } else { 1 },
        );
        check("a_root", self.a_root, n * n);
        check("a_rel", Some(self.a_rel), n * n);
        check("state", self.state, b * v * d * n);
    }
}

/// One sample and sixteen channels.
struct Strip<'a, T> {
    dims: &'a Dims,
    inputs: &'a Inputs<'a, T>,
    sample: usize,
    /// First channel.
    first: usize,
    /// Channels that exist, at most sixteen.
    width: usize,
    /// A by state, (n).
    a: Vec<Pack<T>>,
    d: Pack<T>,
    /// P by its edges, where they are few.
    edges: Option<&'a Edges<T>>,
}

impl<'a, T: Real> Strip<'a, T> {
    fn new(
        dims: &'a Dims,
        inputs: &'a Inputs<'a, T>,
        edges: Option<&'a Edges<T>>,
        task: usize,
    ) -> Self {
        let first = task % dims.strips() * LANES;
        let width = LANES.min(dims.d - first);
        let mut a = vec![Pack::ZERO; dims.n];
        for lane in 0..width {
            for (m, pack) in a.iter_mut().enumerate() {
                pack.0[lane] = inputs.a[(first + lane) * dims.n + m];
            }
        }
        let d = inputs
            .d
            .map_or(Pack::ZERO, |d| Pack::padded(&d[first..first + width]));
        Self {
            dims,
            inputs,
            sample: task / dims.strips(),
            first,
            width,
            a,
            d,
            edges,
        }
    }

    /// P of step t.
    #[inline(always)]
    fn p(&self, t: usize) -> &'a [T] {
        let Dims {
            v,
            p_batch,
            p_steps,
            ..
        } = *self.dims;
        let sample = if p_batch {
            self.sample * self.dims.p_len()
        } else {
            0
        };
        let start = sample + if p_steps { t * v * v } else { 0 };
        &self.inputs.p[start..start + v * v]
    }

    /// Where a (b, v, l, d) tensor has the channels of the strip.
    #[inline(always)]
    fn channels(&self, v: usize, t: usize) -> std::ops::Range<usize> {
        let Dims {
            v: vertices, l, d, ..
        } = *self.dims;
        let start = ((self.sample * vertices + v) * l + t) * d + self.first;
        start..start + self.width
    }

    /// The channels of the strip in a (b, v, l, d) tensor.
    #[inline(always)]
    fn signal<V: Lanes<T>>(&self, of: &[T], v: usize, t: usize) -> V {
        V::first(&of[self.channels(v, t)])
    }

    /// The states of a (b, v, l, n) tensor.
    #[inline(always)]
    fn projection<'b>(&self, of: &'b [T], v: usize, t: usize) -> &'b [T] {
        let Dims {
            v: vertices, l, n, ..
        } = *self.dims;
        let start = ((self.sample * vertices + v) * l + t) * n;
        &of[start..start + n]
    }

    /// Asks for what step t reads: the rows of the vertices lie far apart, so that the processor
    /// does not see by itself what comes next.
    #[inline(always)]
    fn prefetch(&self, t: usize) {
        if t < self.dims.l {
            for v in 0..self.dims.v {
                prefetch(&self.inputs.u[self.channels(v, t)]);
                prefetch(&self.inputs.delta[self.channels(v, t)]);
                prefetch(self.projection(self.inputs.b, v, t));
                prefetch(self.projection(self.inputs.c2, v, t));
                if let Some(c1) = self.inputs.c1 {
                    prefetch(self.projection(c1, v, t));
                }
            }
        }
    }

    /// Where a (b, v, d, n) tensor has the channels of the strip of a vertex.
    fn states(&self, v: usize) -> std::ops::Range<usize> {
        let Dims {
            v: vertices, d, n, ..
        } = *self.dims;
        let start = ((self.sample * vertices + v) * d + self.first) * n;
        start..start + self.width * n
    }

    /// The strip of a (b, v, d, n) tensor as (v, n) packs.
    fn gather(&self, from: &[T], to: &mut [Pack<T>]) {
        let n = self.dims.n;
        for (v, to) in to.chunks_exact_mut(n).enumerate() {
            for (lane, from) in from[self.states(v)].chunks_exact(n).enumerate() {
                for (to, from) in to.iter_mut().zip(from) {
                    to.0[lane] = *from;
                }
            }
        }
    }

    /// Writes (v, n) packs into the strip of a (b, v, d, n) tensor.
    fn spread(&self, from: &[Pack<T>], to: &Scatter<T>) {
        let n = self.dims.n;
        for (v, from) in from.chunks_exact(n).enumerate() {
            // SAFETY: each strip has its own channels of its own sample.
            let to = unsafe { to.range(self.states(v)) };
            for (lane, to) in to.chunks_exact_mut(n).enumerate() {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from.0[lane];
                }
            }
        }
    }

    /// Writes the channels of the strip at (v, t) of a (b, v, l, d) tensor.
    #[inline(always)]
    fn write<V: Lanes<T>>(&self, to: &Scatter<T>, v: usize, t: usize, value: V) {
        // SAFETY: each strip has its own channels of its own sample.
        value.write_first(unsafe { to.range(self.channels(v, t)) });
    }

    /// `out = P_t x`.
    #[inline(always)]
    fn propagate<V: Lanes<T>>(&self, t: usize, x: &[Pack<T>], out: &mut [Pack<T>]) {
        let Dims { v, n, .. } = *self.dims;
        if let Some(edges) = self.edges {
            let rows = &edges.rows;
            let add = false;
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
                    data: self.p(t),
                    outer: v,
                    depth: 1,
                },
                Right { data: x, depth: n },
            ),
            second: None,
            rows: v,
            columns: n,
            depth: v,
            add: false,
            by_columns: true,
        });
    }

    /// The state after step t from (h, P_t h) of the step before, which is zero if absent.
    #[inline(always)]
    fn advance<'b, V: Lanes<T>>(
        &'b self,
        t: usize,
        before: Option<Pair<'b, T>>,
        after: &mut [Pack<T>],
    ) {
        let n = self.dims.n;
        self.prefetch(t + 1);
        // As many rows at a time as a product takes, so that they are still in the first cache.
        for (tile, after) in after.chunks_mut(TILE_ROWS * n).enumerate() {
            let first = tile * TILE_ROWS;
            let rows = after.len() / n;
            if let Some((h, ph)) = before {
                let term = |x: &'b [Pack<T>], weight: &'b [T]| {
                    let left = Left {
                        data: &x[first * n..],
                        outer: n,
                        depth: 1,
                    };
                    (
                        left,
                        Right {
                            data: weight,
                            depth: n,
                        },
                    )
                };
                V::call(Product {
                    out: after,
                    first: term(ph, self.inputs.a_rel),
                    second: self.inputs.a_root.map(|root| term(h, root)),
                    rows,
                    columns: n,
                    depth: n,
                    add: false,
                    by_columns: false,
                });
            }
            for (row, after) in after.chunks_exact_mut(n).enumerate() {
                let v = first + row;
                let delta = self.signal::<V>(self.inputs.delta, v, t);
                let drive = delta.mul(self.signal(self.inputs.u, v, t));
                let b = self.projection(self.inputs.b, v, t);
                if before.is_some() {
                    for ((h, b), a) in after.iter_mut().zip(b).zip(&self.a) {
                        let decay = delta.mul(V::load(a)).exp();
                        decay.mul_add(V::load(h), drive.mul(V::splat(*b))).store(h);
                    }
                } else {
                    for (h, b) in after.iter_mut().zip(b) {
                        drive.mul(V::splat(*b)).store(h);
                    }
                }
            }
        }
    }
}
