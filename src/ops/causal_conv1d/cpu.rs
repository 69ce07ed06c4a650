//! The convolution on the CPU: a task is one sample and a few neighbouring channels over all of
//! time, vectors run along the channels.
//!
//! With v the sum before the activation, and positions q = t + k - 1 that count the initial inputs:
//!
//! ```text
//! dv_t = dy_t silu'(v_t)             dx_q = Σ_i weight[k-1-i] dv_{q-k+1+i} (+ dlast)
//! dweight[j] = Σ_t dv_t x_{t+j}      dbias = Σ_t dv_t
//! ```

use rayon::prelude::*;

use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Real, Scatter, prefetch};

/// Channels of a task; many where there is one step.
const WIDTH: usize = 64;
const WIDTH_OF_A_STEP: usize = 1024;
/// Steps by which rows are asked for before they are used.
const AHEAD: usize = 8;

/// What a convolution reads, row-major.
pub struct Signals<'a, T> {
    /// b, l, d, k.
    size: [usize; 4],
    x: &'a [T],
    /// Taps, (strips of sixteen channels, k).
    weight: Vec<Pack<T>>,
    /// (strips)
    bias: Vec<Pack<T>>,
    initial: Option<&'a [T]>,
    ids: Option<&'a [i32]>,
    silu: bool,
}

/// Gradients, zero for absent operands.
pub struct Grads<T> {
    pub x: Vec<T>,
    pub weight: Vec<T>,
    pub bias: Vec<T>,
    pub initial: Vec<T>,
}

/// Tap j of at most sixteen channels, whose weights are (channels, k).
#[inline(always)]
fn tap<T: Real>(weight: &[T], j: usize, k: usize) -> Pack<T> {
    let mut tap = Pack::ZERO;
    let of_channels = weight[j..].iter().step_by(k);
    tap.0.iter_mut().zip(of_channels).for_each(|(t, w)| *t = *w);
    tap
}

impl<'a, T: Real> Signals<'a, T> {
    pub fn new(
        size: [usize; 4],
        x: &'a [T],
        weight: &[T],
        bias: Option<&[T]>,
        initial: Option<&'a [T]>,
        ids: Option<&'a [i32]>,
        silu: bool,
    ) -> Self {
        let [.., d, k] = size;
        let mut taps = vec![Pack::ZERO; d.div_ceil(LANES) * k];
        let strips = weight.chunks(LANES * k).zip(taps.chunks_exact_mut(k));
        for (weight, taps) in strips {
            for (j, slot) in taps.iter_mut().enumerate() {
                *slot = tap(weight, j, k);
            }
        }
        let bias = match bias {
            Some(bias) => bias.chunks(LANES).map(Pack::padded).collect(),
            None => vec![Pack::ZERO; d.div_ceil(LANES)],
        };
        Self {
            size,
            x,
            weight: taps,
            bias,
            initial,
            ids,
            silu,
        }
    }

    fn width(&self) -> usize {
        if self.size[1] > 1 {
            WIDTH
        } else {
            WIDTH_OF_A_STEP
        }
    }

    /// Tasks: each sample's groups of channels.
    fn columns(&self) -> Vec<Columns<'_, T>> {
        let [b, _, d, _] = self.size;
        let width = self.width();
        let groups = (0..b).flat_map(|sample| (0..d).step_by(width).map(move |at| (sample, at)));
        groups
            .map(|(sample, first)| Columns {
                of: self,
                sample,
                first,
                width: width.min(d - first),
                zeros: vec![T::ZERO; width],
            })
            .collect()
    }
}

/// Some channels of a sample.
struct Columns<'a, T> {
    of: &'a Signals<'a, T>,
    sample: usize,
    first: usize,
    width: usize,
    zeros: Vec<T>,
}

impl<T: Real> Columns<'_, T> {
    /// The inputs at position q.
    #[inline(always)]
    fn row(&self, q: usize) -> &[T] {
        let [_, l, d, k] = self.of.size;
        let (from, start) = match (q >= k - 1, self.of.initial) {
            (true, _) => (self.of.x, (self.sample * l + q + 1 - k) * d),
            (false, Some(initial)) => (initial, (self.sample * (k - 1) + q) * d),
            (false, None) => return &self.zeros[..self.width],
        };
        &from[start + self.first..start + self.first + self.width]
    }

    /// The inputs at position q as the step at position `now` sees them.
    #[inline(always)]
    fn seen(&self, q: usize, now: usize) -> &[T] {
        match self.id(q) == self.id(now) {
            true => self.row(q),
            false => &self.zeros[..self.width],
        }
    }

    #[inline(always)]
    fn id(&self, q: usize) -> i32 {
        let [_, l, _, k] = self.of.size;
        match self.of.ids {
            Some(ids) if q >= k - 1 => ids[self.sample * l + q + 1 - k],
            _ => 0,
        }
    }

    /// Where a (b, l, d) tensor has the channels at step t.
    fn at(&self, t: usize) -> std::ops::Range<usize> {
        let [_, l, d, _] = self.of.size;
        let start = (self.sample * l + t) * d + self.first;
        start..start + self.width
    }

    /// Where a (b, k-1, d) tensor has them.
    fn past(&self, j: usize) -> std::ops::Range<usize> {
        let [_, _, d, k] = self.of.size;
        let start = (self.sample * (k - 1) + j) * d + self.first;
        start..start + self.width
    }

    /// Whether position q is of the last step's sequence.
    fn ends(&self, q: usize) -> bool {
        let [_, l, _, k] = self.of.size;
        let end = self.id(l + k - 2);
        end >= 0 && self.id(q) == end
    }

    fn strips(&self) -> usize {
        self.width.div_ceil(LANES)
    }

    fn lanes(&self, strip: usize) -> std::ops::Range<usize> {
        strip * LANES..self.width.min((strip + 1) * LANES)
    }

    /// The taps of a strip.
    fn taps(&self, strip: usize) -> &[Pack<T>] {
        let k = self.of.size[3];
        let at = self.first / LANES + strip;
        &self.of.weight[at * k..(at + 1) * k]
    }

    /// v of a strip from the inputs that the step sees.
    #[inline(always)]
    fn sum<V: Lanes<T>>(&self, rows: &[&[T]], strip: usize) -> V {
        let mut sum = V::load(&self.of.bias[self.first / LANES + strip]);
        for (row, tap) in rows.iter().zip(self.taps(strip)) {
            sum = V::first(&row[self.lanes(strip)]).mul_add(V::load(tap), sum);
        }
        sum
    }

    #[inline(always)]
    fn ask(&self, t: usize) {
        if t + AHEAD < self.of.size[1] {
            prefetch(&self.of.x[self.at(t + AHEAD)]);
        }
    }
}

/// Numbers that one thread is done with before another is awake.
const SHORT: usize = 1 << 15;

/// y, (b, l, d), and the last inputs, (b, k-1, d).
pub fn forward<T: Real>(signals: &Signals<T>) -> (Vec<T>, Vec<T>) {
    let [b, l, d, k] = signals.size;
    let mut y = vec![T::ZERO; b * l * d];
    let mut last = vec![T::ZERO; b * (k - 1) * d];
    {
        let (y, last) = (Scatter::new(&mut y), Scatter::new(&mut last));
        let task = |columns: Columns<'_, T>| {
            T::dispatch(Forward {
                columns: &columns,
                y: &y,
                last: &last,
            })
        };
        let columns = signals.columns();
        match b * l * d <= SHORT {
            true => columns.into_iter().for_each(task),
            false => columns.into_par_iter().for_each(task),
        }
    }
    (y, last)
}

struct Forward<'a, T> {
    columns: &'a Columns<'a, T>,
    y: &'a Scatter<'a, T>,
    last: &'a Scatter<'a, T>,
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let columns = self.columns;
        let [_, l, _, k] = columns.of.size;
        let mut rows = Vec::with_capacity(k);
        for t in 0..l {
            columns.ask(t);
            let now = t + k - 1;
            if columns.id(now) < 0 {
                continue;
            }
            rows.clear();
            rows.extend((0..k).map(|j| columns.seen(t + j, now)));
            // SAFETY: each task has its own channels of its own sample.
            let y = unsafe { self.y.range(columns.at(t)) };
            for strip in 0..columns.strips() {
                let mut v = columns.sum::<V>(&rows, strip);
                if columns.of.silu {
                    v = v.mul(v.sigmoid());
                }
                v.write_first(&mut y[columns.lanes(strip)]);
            }
        }
        for j in (0..k - 1).filter(|j| columns.ends(l + j)) {
            // SAFETY: as above.
            let last = unsafe { self.last.range(columns.past(j)) };
            last.copy_from_slice(columns.row(l + j));
        }
    }
}

/// A step of a sample: the inputs x, (d), become the outputs, and the inputs before, (k-1, d), the
/// last ones.
pub fn step<T: Real>(x: &mut [T], past: &mut [T], weight: &[T], bias: Option<&[T]>, silu: bool) {
    T::dispatch(Step {
        x,
        past,
        weight,
        bias,
        silu,
    });
}

struct Step<'a, T> {
    x: &'a mut [T],
    past: &'a mut [T],
    /// (d, k)
    weight: &'a [T],
    bias: Option<&'a [T]>,
    silu: bool,
}

impl<T: Real> Kernel<T> for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let d = self.x.len();
        let k = self.weight.len() / d;
        for start in (0..d).step_by(LANES) {
            let strip = start..d.min(start + LANES);
            let weight = &self.weight[start * k..strip.end * k];
            let tap = |j: usize| V::load(&tap(weight, j, k));
            let mut v = match self.bias {
                Some(bias) => V::first(&bias[strip.clone()]),
                None => V::splat(T::ZERO),
            };
            let x = &mut self.x[strip.clone()];
            let now = V::first(x);
            // Each input before makes room for the one after it.
            for j in 0..k - 1 {
                let at = j * d + start..j * d + strip.end;
                v = V::first(&self.past[at.clone()]).mul_add(tap(j), v);
                match j + 2 < k {
                    true => self.past.copy_within(at.start + d..at.end + d, at.start),
                    false => now.write_first(&mut self.past[at]),
                }
            }
            v = now.mul_add(tap(k - 1), v);
            if self.silu {
                v = v.mul(v.sigmoid());
            }
            v.write_first(x);
        }
    }
}

/// Gradients from those of y and, if they were used, of the last inputs.
pub fn backward<T: Real>(signals: &Signals<T>, dy: &[T], dlast: Option<&[T]>) -> Grads<T> {
    let [b, l, d, k] = signals.size;
    let mut grads = Grads {
        x: vec![T::ZERO; b * l * d],
        weight: vec![T::ZERO; d * k],
        bias: vec![T::ZERO; d],
        initial: vec![T::ZERO; b * (k - 1) * d],
    };
    let columns = signals.columns();
    let sums: Vec<Sums<T>> = {
        let (x, initial) = (Scatter::new(&mut grads.x), Scatter::new(&mut grads.initial));
        let each = columns.par_iter().map(|columns| {
            T::dispatch(BackwardTask {
                columns,
                dy,
                dlast,
                x: &x,
                initial: &initial,
            })
        });
        each.collect()
    };
    // Tasks in their order, so that the number of threads does not change the sums.
    for (columns, sums) in columns.iter().zip(&sums) {
        for channel in 0..columns.width {
            let (strip, lane) = (channel / LANES, channel % LANES);
            let at = columns.first + channel;
            grads.bias[at] += sums.bias[strip].0[lane];
            for j in 0..k {
                grads.weight[at * k + j] += sums.weight[strip * k + j].0[lane];
            }
        }
    }
    grads
}

/// What a task adds to the gradients of taps and bias.
struct Sums<T> {
    /// (strips, k)
    weight: Vec<Pack<T>>,
    /// (strips)
    bias: Vec<Pack<T>>,
}

struct BackwardTask<'a, T> {
    columns: &'a Columns<'a, T>,
    dy: &'a [T],
    dlast: Option<&'a [T]>,
    x: &'a Scatter<'a, T>,
    initial: &'a Scatter<'a, T>,
}

impl<T: Real> Kernel<T> for BackwardTask<'_, T> {
    type Output = Sums<T>;

    #[inline(always)]
    fn run<V: Lanes<T>>(self) -> Sums<T> {
        let columns = self.columns;
        let [_, l, _, k] = columns.of.size;
        let strips = columns.strips();
        let mut sums = Sums {
            weight: vec![Pack::ZERO; strips * k],
            bias: vec![Pack::ZERO; strips],
        };
        // dv of the last k steps, (k, strips): that of step t at t mod k.
        let mut recent = vec![Pack::ZERO; k * strips];
        let mut rows = Vec::with_capacity(k);
        // At t the gradient of position q = t is complete.
        for t in 0..l + k - 1 {
            columns.ask(t);
            let now = t + k - 1;
            let slot = t % k * strips;
            if t < l && columns.id(now) >= 0 {
                rows.clear();
                rows.extend((0..k).map(|j| columns.seen(t + j, now)));
                let dy = &self.dy[columns.at(t)];
                for strip in 0..strips {
                    let mut dv = V::first(&dy[columns.lanes(strip)]);
                    if columns.of.silu {
                        let v = columns.sum::<V>(&rows, strip);
                        let s = v.sigmoid();
                        let one = V::splat(T::ONE);
                        dv = dv.mul(s.mul(v.mul(one.sub(s)).add(one)));
                    }
                    dv.store(&mut recent[slot + strip]);
                    let bias = &mut sums.bias[strip];
                    V::load(bias).add(dv).store(bias);
                    for (j, row) in rows.iter().enumerate() {
                        let sum = &mut sums.weight[strip * k + j];
                        let x = V::first(&row[columns.lanes(strip)]);
                        x.mul_add(dv, V::load(sum)).store(sum);
                    }
                }
            } else {
                recent[slot..slot + strips].fill(Pack::ZERO);
            }
            let own = t >= k - 1;
            if !own && columns.of.initial.is_none() {
                continue;
            }
            let dlast = match self.dlast {
                Some(dlast) if t >= l && columns.ends(t) => Some(&dlast[columns.past(t - l)]),
                _ => None,
            };
            // SAFETY: each task has its own channels of its own sample.
            let out = match own {
                true => unsafe { self.x.range(columns.at(t + 1 - k)) },
                false => unsafe { self.initial.range(columns.past(t)) },
            };
            for strip in 0..strips {
                let lanes = columns.lanes(strip);
                let mut dx = match dlast {
                    Some(dlast) => V::first(&dlast[lanes.clone()]),
                    None => V::splat(T::ZERO),
                };
                let taps = columns.taps(strip);
                for i in 0..k {
                    // The step at position q + i, which is step t + i - (k - 1).
                    let Some(step) = (t + i + 1).checked_sub(k) else {
                        continue;
                    };
                    if step < l && columns.id(t + i) == columns.id(t) {
                        let dv = V::load(&recent[step % k * strips + strip]);
                        dx = dv.mul_add(V::load(&taps[k - 1 - i]), dx);
                    }
                }
                dx.write_first(&mut out[lanes]);
            }
        }
        sums
    }
}
