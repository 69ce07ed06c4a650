//! The selective scan on the CPU: forward and hand-written backward over slices.
//!
//! ```text
//! Δ = softplus(delta + delta_bias), or delta + delta_bias
//! h_t = exp(Δ_t A) h_{t-1} + Δ_t u_t B_t
//! y_t = (Σ_n h_t C_t + D u_t) ⊙ silu(z_t)
//! ```
//!
//! A task is one sample and sixteen channels (a strip), which are the lanes of vectors. Channels
//! that are missing from the last strip are zeros. Strips run in parallel; gradients that they
//! share are summed in the order of the strips, so that results do not depend on the number of
//! threads.
//!
//! Source: Gu & Dao, "Mamba" (arXiv:2312.00752), §3.2.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

pub use backward::backward;
pub use forward::forward;

use crate::ops::simd::{LANES, Lanes, Pack, Real, Scatter};

/// Sizes of a scan: `b` samples, `l` steps, `d` channels, `n` states; none is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    pub b: usize,
    pub l: usize,
    pub d: usize,
    pub n: usize,
    /// Whether Δ is softplus of `delta` (and its bias).
    pub delta_softplus: bool,
}

/// What a scan reads, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// Input u, (b, l, d).
    pub u: &'a [T],
    /// Step size, (b, l, d).
    pub delta: &'a [T],
    /// A, (d, n).
    pub a: &'a [T],
    /// B, (b, l, n).
    pub b: &'a [T],
    /// C, (b, l, n).
    pub c: &'a [T],
    /// Skip D, (d); zero if absent.
    pub d: Option<&'a [T]>,
    /// Gate z, (b, l, d); no gate if absent.
    pub z: Option<&'a [T]>,
    /// Bias of the step size, (d); zero if absent.
    pub delta_bias: Option<&'a [T]>,
    /// State before the first step, (b, d, n); zero if absent.
    pub state: Option<&'a [T]>,
}

impl Dims {
    /// Strips of sixteen channels.
    fn strips(&self) -> usize {
        self.d.div_ceil(LANES)
    }

    fn tasks(&self) -> usize {
        self.b * self.strips()
    }

    /// Numbers of a checkpoint of one strip.
    fn checkpoint_len(&self) -> usize {
        self.n * LANES
    }
}

impl<T: Real> Inputs<'_, T> {
    /// # Panics
    /// If a slice does not have the size that `dims` gives it.
    fn check(&self, dims: &Dims) {
        let Dims { b, l, d, n, .. } = *dims;
        assert!(
            b > 0 && l > 0 && d > 0 && n > 0,
            "empty selective scan: {dims:?}"
        );
        let check = |name: &str, slice: Option<&[T]>, len: usize| {
            if let Some(slice) = slice {
                assert_eq!(slice.len(), len, "length of {name} for {dims:?}");
            }
        };
        check("u", Some(self.u), b * l * d);
        check("delta", Some(self.delta), b * l * d);
        check("a", Some(self.a), d * n);
        check("b", Some(self.b), b * l * n);
        check("c", Some(self.c), b * l * n);
        check("d", self.d, d);
        check("z", self.z, b * l * d);
        check("delta_bias", self.delta_bias, d);
        check("state", self.state, b * d * n);
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
    delta_bias: Pack<T>,
}

impl<'a, T: Real> Strip<'a, T> {
    fn new(dims: &'a Dims, inputs: &'a Inputs<'a, T>, task: usize) -> Self {
        let first = task % dims.strips() * LANES;
        let width = LANES.min(dims.d - first);
        let of = |x: Option<&[T]>| x.map_or(Pack::ZERO, |x| Pack::padded(&x[first..first + width]));
        let mut strip = Self {
            dims,
            inputs,
            sample: task / dims.strips(),
            first,
            width,
            a: vec![Pack::ZERO; dims.n],
            d: of(inputs.d),
            delta_bias: of(inputs.delta_bias),
        };
        let mut a = std::mem::take(&mut strip.a);
        let n = dims.n;
        strip.gather(&inputs.a[first * n..(first + width) * n], &mut a);
        Self { a, ..strip }
    }

    /// Where a (b, l, d) tensor has the channels of the strip.
    #[inline(always)]
    fn channels(&self, t: usize) -> std::ops::Range<usize> {
        let start = (self.sample * self.dims.l + t) * self.dims.d + self.first;
        start..start + self.width
    }

    /// The channels of the strip in a (b, l, d) tensor.
    #[inline(always)]
    fn signal<V: Lanes<T>>(&self, of: &[T], t: usize) -> V {
        V::first(&of[self.channels(t)])
    }

    /// delta + delta_bias.
    #[inline(always)]
    fn raw_delta<V: Lanes<T>>(&self, t: usize) -> V {
        self.signal::<V>(self.inputs.delta, t)
            .add(V::load(&self.delta_bias))
    }

    /// Δ_t.
    #[inline(always)]
    fn delta<V: Lanes<T>>(&self, t: usize) -> V {
        let raw = self.raw_delta::<V>(t);
        if self.dims.delta_softplus {
            raw.softplus()
        } else {
            raw
        }
    }

    /// The states of a (b, l, n) tensor.
    #[inline(always)]
    fn projection<'b>(&self, of: &'b [T], t: usize) -> &'b [T] {
        let start = (self.sample * self.dims.l + t) * self.dims.n;
        &of[start..start + self.dims.n]
    }

    /// Where a (b, d, n) tensor has the strip.
    fn states(&self) -> std::ops::Range<usize> {
        let Dims { d, n, .. } = *self.dims;
        let start = (self.sample * d + self.first) * n;
        start..start + self.width * n
    }

    /// Channels × states, (width, n), as (n) packs.
    fn gather(&self, from: &[T], to: &mut [Pack<T>]) {
        for (lane, from) in from.chunks_exact(self.dims.n).enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                to.0[lane] = *from;
            }
        }
    }

    /// Writes (n) packs into the strip of a (b, d, n) tensor.
    fn spread(&self, from: &[Pack<T>], to: &Scatter<T>) {
        // SAFETY: each strip has its own channels of its own sample.
        let to = unsafe { to.range(self.states()) };
        for (lane, to) in to.chunks_exact_mut(self.dims.n).enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from.0[lane];
            }
        }
    }

    /// Writes the channels of the strip at t of a (b, l, d) tensor.
    #[inline(always)]
    fn write<V: Lanes<T>>(&self, to: &Scatter<T>, t: usize, value: V) {
        // SAFETY: each strip has its own channels of its own sample.
        value.write_first(unsafe { to.range(self.channels(t)) });
    }
}
