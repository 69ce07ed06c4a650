//! Forward pass.

use rayon::prelude::*;

use super::{Dims, Inputs, Strip};
use crate::ops::simd::{Kernel, Lanes, Pack, Real, Scatter, flat};

/// What a forward pass gives.
#[derive(Debug, Clone)]
pub struct Forward<T> {
    /// Output y, (b, l, d).
    pub y: Vec<T>,
    /// State after the last step, (b, d, n).
    pub state: Vec<T>,
    /// States before steps 0, every, 2 · every, ..., for [`super::backward`]: (b, strips of sixteen
    /// channels, ceil(l / every), n, 16). Empty without `every`.
    pub checkpoints: Vec<T>,
}

/// Runs the scan; with `every`, keeps the state at the start of every `every` steps.
///
/// # Panics
/// If a slice does not have the size documented on its field, or a size or `every` is zero.
pub fn forward<T: Real>(dims: &Dims, inputs: &Inputs<T>, every: Option<usize>) -> Forward<T> {
    inputs.check(dims);
    let Dims { b, l, d, n, .. } = *dims;
    let checkpoints = every.map_or(0, |every| dims.tasks() * l.div_ceil(every));
    let mut out = Forward {
        y: vec![T::ZERO; b * l * d],
        state: vec![T::ZERO; b * d * n],
        checkpoints: vec![T::ZERO; checkpoints * dims.checkpoint_len()],
    };
    let y = Scatter::new(&mut out.y);
    let state = Scatter::new(&mut out.state);
    let checkpoints = Scatter::new(&mut out.checkpoints);
    (0..dims.tasks()).into_par_iter().for_each(|task| {
        T::dispatch(Task {
            strip: Strip::new(dims, inputs, task),
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
        let inputs = strip.inputs;
        let Dims { l, n, .. } = *strip.dims;
        let mut h = vec![Pack::ZERO; n];
        if let Some(state) = inputs.state {
            strip.gather(&state[strip.states()], &mut h);
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
            let delta = strip.delta::<V>(t);
            let u = strip.signal::<V>(inputs.u, t);
            let drive = delta.mul(u);
            let mut y = u.mul(V::load(&strip.d));
            let b = strip.projection(inputs.b, t);
            let c = strip.projection(inputs.c, t);
            for (((h, a), b), c) in h.iter_mut().zip(&strip.a).zip(b).zip(c) {
                let decay = delta.mul(V::load(a)).exp();
                let next = decay.mul_add(V::load(h), drive.mul(V::splat(*b)));
                next.store(h);
                y = next.mul_add(V::splat(*c), y);
            }
            if let Some(z) = inputs.z {
                let z = strip.signal::<V>(z, t);
                y = y.mul(z.mul(z.sigmoid()));
            }
            strip.write(self.y, t, y);
        }
        strip.spread(&h, self.state);
    }
}
