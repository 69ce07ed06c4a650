//! Gradients, and how the strips' parts of them are summed.

use super::{Dims, Inputs};
use crate::ops::simd::{LANES, Pack, Real, add_in_order};

/// Gradients, each of the shape of its input; `None` where the input is absent.
#[derive(Debug, Clone)]
pub struct Grads<T> {
    pub u: Vec<T>,
    pub delta: Vec<T>,
    pub a: Vec<T>,
    pub b: Vec<T>,
    pub c1: Option<Vec<T>>,
    pub c2: Vec<T>,
    pub d: Option<Vec<T>>,
    pub p: Vec<T>,
    pub a_root: Option<Vec<T>>,
    pub a_rel: Vec<T>,
    pub state: Option<Vec<T>>,
}

/// What a strip adds to gradients that strips share; `c1`, `a_root` empty if absent.
pub(super) struct Share<T> {
    /// (n)
    pub(super) a: Vec<Pack<T>>,
    /// (v, l, n)
    pub(super) b: Vec<T>,
    pub(super) c1: Vec<T>,
    pub(super) c2: Vec<T>,
    pub(super) d: Pack<T>,
    /// (l or 1, v, w); empty if P has no gradient.
    pub(super) p: Vec<T>,
    /// (n, n)
    pub(super) a_root: Vec<T>,
    pub(super) a_rel: Vec<T>,
}

impl<T: Real> Grads<T> {
    pub(super) fn zeros(inputs: &Inputs<T>) -> Self {
        let zeros = |like: &[T]| vec![T::ZERO; like.len()];
        Self {
            u: zeros(inputs.u),
            delta: zeros(inputs.delta),
            a: zeros(inputs.a),
            b: zeros(inputs.b),
            c1: inputs.c1.map(zeros),
            c2: zeros(inputs.c2),
            d: inputs.d.map(zeros),
            p: zeros(inputs.p),
            a_root: inputs.a_root.map(zeros),
            a_rel: zeros(inputs.a_rel),
            state: inputs.state.map(zeros),
        }
    }

    /// Adds the shares of strips `start..`, in their order.
    pub(super) fn add(&mut self, dims: &Dims, start: usize, shares: &[Share<T>]) {
        let n = dims.n;
        let strips = dims.strips();
        let p_gradient = shares.iter().any(|share| !share.p.is_empty());
        for (index, share) in shares.iter().enumerate() {
            let first = (start + index) % strips * LANES;
            for lane in 0..LANES.min(dims.d - first) {
                for (m, a) in share.a.iter().enumerate() {
                    self.a[(first + lane) * n + m] += a.0[lane];
                }
                if let Some(d) = &mut self.d {
                    d[first + lane] += share.d.0[lane];
                }
            }
        }
        let all = |part: fn(&Share<T>) -> &[T]| shares.iter().map(part).collect::<Vec<_>>();
        add_in_order(&mut self.a_rel, &all(|share| &share.a_rel));
        if let Some(a_root) = &mut self.a_root {
            add_in_order(a_root, &all(|share| &share.a_root));
        }
        if p_gradient && !dims.p_batch {
            add_in_order(&mut self.p, &all(|share| &share.p));
        }
        let len = dims.v * dims.l * n;
        let mut shares = shares;
        let mut task = start;
        while !shares.is_empty() {
            let sample = task / strips;
            let (here, rest) = shares.split_at(shares.len().min((sample + 1) * strips - task));
            let all = |part: fn(&Share<T>) -> &[T]| here.iter().map(part).collect::<Vec<_>>();
            let range = sample * len..(sample + 1) * len;
            add_in_order(&mut self.b[range.clone()], &all(|share| &share.b));
            add_in_order(&mut self.c2[range.clone()], &all(|share| &share.c2));
            if let Some(c1) = &mut self.c1 {
                add_in_order(&mut c1[range], &all(|share| &share.c1));
            }
            if p_gradient && dims.p_batch {
                let range = sample * dims.p_len()..(sample + 1) * dims.p_len();
                add_in_order(&mut self.p[range], &all(|share| &share.p));
            }
            task += here.len();
            shares = rest;
        }
    }
}
