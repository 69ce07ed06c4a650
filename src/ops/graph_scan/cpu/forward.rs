//! Forward pass.

use rayon::prelude::*;

use super::sparse::Edges;
use super::{Dims, Inputs, Strip};
use crate::ops::simd::{Kernel, Lanes, Pack, Real, Scatter, flat};

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct Forward<T> {
    /// Output y, (b, v, l, d).
    pub y: Vec<T>,
    /// State after the last step, (b, v, d, n).
    pub state: Vec<T>,
    /// States before steps 0, every, 2 · every, ..., for [`super::backward`]: (b, strips of sixteen
    /// channels, ceil(l / every), v, n, 16). Empty without `every`.
    pub checkpoints: Vec<T>,
}

/// Runs the scan; with `every`, keeps the state at the start of every `every` steps.
///
/// # Panics
/// If a slice does not have the size documented on its field, or a size or `every` is zero.
pub fn forward<T: Real>(dims: &Dims, inputs: &Inputs<T>, every: Option<usize>) -> Forward<T> {
    inputs.check(dims);
    let Dims { b, v, l, d, n, .. } = *dims;
    let checkpoints = every.map_or(0, |every| dims.tasks() * l.div_ceil(every));
    let edges = Edges::few(dims, inputs);
    let mut out = Forward {
        y: vec![T::ZERO; b * v * l * d],
        state: vec![T::ZERO; b * v * d * n],
        checkpoints: vec![T::ZERO; checkpoints * dims.checkpoint_len()],
    };
    let y = Scatter::new(&mut out.y);
    let state = Scatter::new(&mut out.state);
    let checkpoints = Scatter::new(&mut out.checkpoints);
    (0..dims.tasks()).into_par_iter().for_each(|task| {
        T::dispatch(Task {
            strip: Strip::new(dims, inputs, edges.as_ref(), task),
            task,
            every,
            y: &y,
            state: &state,
            checkpoints: &checkpoints,
        })
    });
    out
}

struct Task<'a, T> {
    strip: Strip<'a, T>,
    task: usize,
    every: Option<usize>,
    y: &'a Scatter<'a, T>,
    state: &'a Scatter<'a, T>,
    checkpoints: &'a Scatter<'a, T>,
}

impl<T: Real> Kernel<T> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let strip = &self.strip;
        let Dims {
            v, l, n, p_steps, ..
        } = *strip.dims;
        let mut h = vec![Pack::ZERO; v * n];
        let mut next = h.clone();
        let mut ph = h.clone();
        let mut started = false;
        if let Some(state) = strip.inputs.state {
            strip.gather(state, &mut h);
            started = true;
        }
        for t in 0..l {
            if let Some(every) = self.every
                && t % every == 0
            {
                let len = strip.dims.checkpoint_len();
                let start = (self.task * l.div_ceil(every) + t / every) * len;
                // SAFETY: each task has its own checkpoints.
                let to = unsafe { self.checkpoints.range(start..start + len) };
                to.copy_from_slice(flat(&h));
            }
            // With one P for all steps, P h is there from the output of the step before.
            if started && (p_steps || t == 0) {
                strip.propagate::<V>(t, &h, &mut ph);
            }
            strip.advance::<V>(t, started.then_some((&h, &ph)), &mut next);
            std::mem::swap(&mut h, &mut next);
            started = true;
            strip.propagate::<V>(t, &h, &mut ph);
            self.output::<V>(t, &h, &ph);
        }
        strip.spread(&h, self.state);
    }
}

impl<T: Real> Task<'_, T> {
    /// y_t from h_t and P_t h_t.
    #[inline(always)]
    fn output<V: Lanes<T>>(&self, t: usize, h: &[Pack<T>], ph: &[Pack<T>]) {
        let strip = &self.strip;
        let n = strip.dims.n;
        for (v, (h, ph)) in h.chunks_exact(n).zip(ph.chunks_exact(n)).enumerate() {
            if t + 1 < strip.dims.l {
                self.y.prefetch(strip.channels(v, t + 1));
            }
            let u = strip.signal::<V>(strip.inputs.u, v, t);
            // Two sums, so that additions do not wait for each other.
            let mut y = u.mul(V::load(&strip.d));
            let mut y_rel = V::splat(T::ZERO);
            if let Some(c1) = strip.inputs.c1 {
                for (h, c) in h.iter().zip(strip.projection(c1, v, t)) {
                    y = V::load(h).mul_add(V::splat(*c), y);
                }
            }
            for (ph, c) in ph.iter().zip(strip.projection(strip.inputs.c2, v, t)) {
                y_rel = V::load(ph).mul_add(V::splat(*c), y_rel);
            }
            strip.write(self.y, v, t, y.add(y_rel));
        }
    }
}
