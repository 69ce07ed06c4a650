//! The scan on the CPU, step by step: a task takes one sample, one head and sixteen of its channels
//! at a time, with vectors along the state. Without tensor cores the recurrence costs no more than
//! its form in matrix products, and the state of sixteen channels stays in the first cache.
//!
//! With λ the gradient of the state:
//!
//! ```text
//! λ_t = dy_t C_tᵀ + exp(Δ_{t+1} A) λ_{t+1}         e_t = exp(Δ_t A) ⟨λ_t, S_{t-1}⟩
//! dx_t = Δ_t λ_t B_t + D dy_t     dΔ_t = x_t · λ_t B_t + A e_t     dA = Σ_t Δ_t e_t
//! dB_t = Δ_t λ_tᵀ x_t             dC_t = S_tᵀ dy_t
//! ```
//!
//! The backward pass computes states again from every 32nd.

use rayon::prelude::*;

use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Real, Scatter, add_in_order, flat, sum_lanes};

/// Steps between two states that a backward pass keeps.
const EVERY: usize = 32;
/// Numbers that the shares of dB and dC of tasks which run at the same time may take.
const SHARED: usize = 1 << 25;

/// What a scan reads, row-major.
pub struct Inputs<'a, T> {
    /// b, l, h, p, g, n.
    pub size: [usize; 6],
    pub x: &'a [T],
    pub dt: &'a [T],
    pub a: &'a [T],
    pub b: &'a [T],
    pub c: &'a [T],
    /// (h) or (h, p).
    pub skip: Option<&'a [T]>,
    pub state: Option<&'a [T]>,
    pub ids: Option<&'a [i32]>,
}

/// Gradients, zero for absent operands.
pub struct Grads<T> {
    pub x: Vec<T>,
    pub dt: Vec<T>,
    pub a: Vec<T>,
    pub b: Vec<T>,
    pub c: Vec<T>,
    /// By channel, (h, p).
    pub skip: Vec<T>,
    pub state: Vec<T>,
}

/// Sixteen channels of a head of a sample.
struct Rows<'a, T> {
    of: &'a Inputs<'a, T>,
    sample: usize,
    head: usize,
    first: usize,
    width: usize,
}

impl<'a, T: Real> Rows<'a, T> {
    fn new(of: &'a Inputs<'a, T>, sample: usize, head: usize, block: usize) -> Self {
        let first = block * LANES;
        Self {
            of,
            sample,
            head,
            first,
            width: LANES.min(of.size[3] - first),
        }
    }

    fn strips(&self) -> usize {
        self.of.size[5].div_ceil(LANES)
    }

    /// Where a (b, l, h, p) tensor has the channels at step t.
    #[inline(always)]
    fn at(&self, t: usize) -> std::ops::Range<usize> {
        let [_, l, h, p, ..] = self.of.size;
        let start = ((self.sample * l + t) * h + self.head) * p + self.first;
        start..start + self.width
    }

    /// Where a (b, l, h) tensor has the head.
    #[inline(always)]
    fn step(&self, t: usize) -> usize {
        let [_, l, h, ..] = self.of.size;
        (self.sample * l + t) * h + self.head
    }

    /// Where a (b, l, g, n) tensor has the head's group.
    #[inline(always)]
    fn shared(&self, t: usize) -> std::ops::Range<usize> {
        let [_, l, h, _, g, n] = self.of.size;
        let start = ((self.sample * l + t) * g + self.head / (h / g)) * n;
        start..start + n
    }

    /// Where a (b, h, p, n) tensor has the channels.
    fn states(&self) -> std::ops::Range<usize> {
        let [_, _, h, p, _, n] = self.of.size;
        let start = ((self.sample * h + self.head) * p + self.first) * n;
        start..start + self.width * n
    }

    /// Whether the state begins anew at step t.
    #[inline(always)]
    fn resets(&self, t: usize) -> bool {
        let l = self.of.size[1];
        self.of.ids.is_some_and(|ids| {
            let before = if t > 0 {
                ids[self.sample * l + t - 1]
            } else {
                0
            };
            ids[self.sample * l + t] != before
        })
    }

    /// D of the channels.
    fn skip(&self) -> Pack<T> {
        let [_, _, h, p, ..] = self.of.size;
        match self.of.skip {
            Some(skip) if skip.len() == h && p > 1 => Pack([skip[self.head]; LANES]),
            Some(skip) => {
                let start = self.head * p + self.first;
                Pack::padded(&skip[start..start + self.width])
            }
            None => Pack::ZERO,
        }
    }

    /// Rows of n numbers as (strips, 16) packs.
    fn gather(&self, from: &[T]) -> Vec<Pack<T>> {
        let n = self.of.size[5];
        let mut packs = vec![Pack::ZERO; self.strips() * LANES];
        for (row, from) in from.chunks_exact(n).enumerate() {
            for (strip, from) in from.chunks(LANES).enumerate() {
                packs[strip * LANES + row] = Pack::padded(from);
            }
        }
        packs
    }

    fn spread(&self, packs: &[Pack<T>], to: &mut [T]) {
        let n = self.of.size[5];
        for (row, to) in to.chunks_exact_mut(n).enumerate() {
            for (strip, to) in to.chunks_mut(LANES).enumerate() {
                to.copy_from_slice(&packs[strip * LANES + row].0[..to.len()]);
            }
        }
    }

    fn initial(&self) -> Vec<Pack<T>> {
        match self.of.state {
            Some(state) => self.gather(&state[self.states()]),
            None => vec![Pack::ZERO; self.strips() * LANES],
        }
    }

    /// exp(Δ_t A), or zero where the state begins anew.
    #[inline(always)]
    fn decay<V: Lanes<T>>(&self, t: usize) -> V {
        match self.resets(t) {
            true => V::splat(T::ZERO),
            false => V::splat(self.of.dt[self.step(t)] * self.of.a[self.head]).exp(),
        }
    }

    /// Sixteen numbers of the group's B or C.
    #[inline(always)]
    fn strip<V: Lanes<T>>(&self, of: &[T], strip: usize) -> V {
        V::first(&of[strip * LANES..of.len().min((strip + 1) * LANES)])
    }

    /// The state after step t in place of the one before it; returns S C of the rows.
    #[inline(always)]
    fn advance<V: Lanes<T>>(&self, state: &mut [Pack<T>], t: usize) -> V {
        let x = Pack::padded(&self.of.x[self.at(t)]);
        let dt = self.of.dt[self.step(t)];
        let decay = self.decay::<V>(t);
        let (b, c) = (&self.of.b[self.shared(t)], &self.of.c[self.shared(t)]);
        let mut reads = [V::splat(T::ZERO); LANES];
        for (strip, state) in state.chunks_exact_mut(LANES).enumerate() {
            let b = self.strip::<V>(b, strip).mul(V::splat(dt));
            let c = self.strip::<V>(c, strip);
            for ((state, read), x) in state.iter_mut().zip(&mut reads).zip(x.0) {
                let next = V::splat(x).mul_add(b, decay.mul(V::load(state)));
                next.store(state);
                *read = next.mul_add(c, *read);
            }
        }
        V::sums(&reads)
    }
}

/// y, (b, l, h, p), and the last state, (b, h, p, n).
pub fn forward<T: Real>(inputs: &Inputs<T>) -> (Vec<T>, Vec<T>) {
    let [b, l, h, p, _, n] = inputs.size;
    let mut y = vec![T::ZERO; b * l * h * p];
    let mut last = vec![T::ZERO; b * h * p * n];
    {
        let (y, last) = (Scatter::new(&mut y), Scatter::new(&mut last));
        let blocks = p.div_ceil(LANES);
        (0..b * h * blocks).into_par_iter().for_each(|task| {
            let row = task / blocks;
            T::dispatch(Forward {
                rows: Rows::new(inputs, row / h, row % h, task % blocks),
                y: &y,
                last: &last,
            })
        });
    }
    (y, last)
}

struct Forward<'a, T> {
    rows: Rows<'a, T>,
    y: &'a Scatter<'a, T>,
    last: &'a Scatter<'a, T>,
}

impl<T: Real> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let rows = &self.rows;
        let skip = rows.skip();
        let mut state = rows.initial();
        for t in 0..rows.of.size[1] {
            let read = rows.advance::<V>(&mut state, t);
            let x = V::first(&rows.of.x[rows.at(t)]);
            // SAFETY: each task has its own channels of its own sample.
            let y = unsafe { self.y.range(rows.at(t)) };
            x.mul_add(V::load(&skip), read).write_first(y);
        }
        // SAFETY: as above.
        rows.spread(&state, unsafe { self.last.range(rows.states()) });
    }
}

/// Gradients from `dy` and, if the last state was used, `dstate`.
pub fn backward<T: Real>(inputs: &Inputs<T>, dy: &[T], dstate: Option<&[T]>) -> Grads<T> {
    let [b, l, h, p, g, n] = inputs.size;
    let zeros = |len: usize| vec![T::ZERO; len];
    let mut grads = Grads {
        x: zeros(b * l * h * p),
        dt: zeros(b * l * h),
        a: zeros(h),
        b: zeros(b * l * g * n),
        c: zeros(b * l * g * n),
        skip: zeros(h * p),
        state: zeros(b * h * p * n),
    };
    let (x, dt, state) = (
        Scatter::new(&mut grads.x),
        Scatter::new(&mut grads.dt),
        Scatter::new(&mut grads.state),
    );
    let wave = (SHARED / (2 * l * n)).max(rayon::current_num_threads());
    for start in (0..b * h).step_by(wave) {
        let tasks = start..(start + wave).min(b * h);
        let shares: Vec<Share<T>> = tasks
            .clone()
            .into_par_iter()
            .map(|task| {
                let mut share = Share {
                    a: T::ZERO,
                    b: zeros(l * n),
                    c: zeros(l * n),
                    skip: zeros(p),
                };
                for block in 0..p.div_ceil(LANES) {
                    T::dispatch(Backward {
                        rows: Rows::new(inputs, task / h, task % h, block),
                        dy,
                        dstate,
                        x: &x,
                        dt: &dt,
                        state: &state,
                        share: &mut share,
                    });
                }
                share
            })
            .collect();
        // Tasks in their order, so that the number of threads does not change the sums.
        for (task, share) in tasks.clone().zip(&shares) {
            let head = task % h;
            grads.a[head] += share.a;
            for (sum, share) in grads.skip[head * p..].iter_mut().zip(&share.skip) {
                *sum += *share;
            }
        }
        // Tasks of a sample and group follow each other.
        let of = |task: usize| (task / h, task % h / (h / g));
        let mut first = 0;
        while first < shares.len() {
            let (sample, group) = of(start + first);
            let count = (first..shares.len())
                .take_while(|i| of(start + i) == (sample, group))
                .count();
            let members = &shares[first..first + count];
            let parts: [Vec<&[T]>; 2] = [
                members.iter().map(|share| &share.b[..]).collect(),
                members.iter().map(|share| &share.c[..]).collect(),
            ];
            for (parts, sums) in parts.iter().zip([&mut grads.b, &mut grads.c]) {
                if g == 1 {
                    add_in_order(&mut sums[sample * l * n..(sample + 1) * l * n], parts);
                    continue;
                }
                for t in 0..l {
                    let to = ((sample * l + t) * g + group) * n;
                    for part in parts {
                        let from = &part[t * n..(t + 1) * n];
                        for (sum, share) in sums[to..to + n].iter_mut().zip(from) {
                            *sum += *share;
                        }
                    }
                }
            }
            first += count;
        }
    }
    grads
}

/// What a head of a sample adds to gradients that heads or samples share.
struct Share<T> {
    a: T,
    /// (l, n)
    b: Vec<T>,
    c: Vec<T>,
    /// (p)
    skip: Vec<T>,
}

struct Backward<'a, T> {
    rows: Rows<'a, T>,
    dy: &'a [T],
    dstate: Option<&'a [T]>,
    x: &'a Scatter<'a, T>,
    dt: &'a Scatter<'a, T>,
    state: &'a Scatter<'a, T>,
    share: &'a mut Share<T>,
}

impl<T: Real> Kernel<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(self) {
        let rows = &self.rows;
        let [_, l, _, _, _, n] = rows.of.size;
        let skip = rows.skip();
        let mut state = rows.initial();
        let len = state.len();
        let mut kept = Vec::with_capacity(l.div_ceil(EVERY) * len);
        for t in 0..l {
            if t % EVERY == 0 {
                kept.extend_from_slice(&state);
            }
            rows.advance::<V>(&mut state, t);
        }
        let mut gradient = match self.dstate {
            Some(dstate) => rows.gather(&dstate[rows.states()]),
            None => vec![Pack::ZERO; len],
        };
        // States before each step of a part, and after its last.
        let mut states = vec![Pack::ZERO; (EVERY + 1) * len];
        let mut dskip = V::splat(T::ZERO);
        let a = rows.of.a[rows.head];
        for part in (0..l.div_ceil(EVERY)).rev() {
            let first = part * EVERY;
            let end = l.min(first + EVERY);
            states[..len].copy_from_slice(&kept[part * len..(part + 1) * len]);
            for t in first..end {
                let (before, after) = states[(t - first) * len..].split_at_mut(len);
                after[..len].copy_from_slice(before);
                rows.advance::<V>(&mut after[..len], t);
            }
            for t in (first..end).rev() {
                let here = &states[(t - first) * len..][..2 * len];
                let (before, after) = here.split_at(len);
                let dy = Pack::padded(&self.dy[rows.at(t)]);
                let x = Pack::padded(&rows.of.x[rows.at(t)]);
                let dt = rows.of.dt[rows.step(t)];
                let decay = rows.decay::<V>(t);
                let (b, c) = (&rows.of.b[rows.shared(t)], &rows.of.c[rows.shared(t)]);
                let mut reads = [V::splat(T::ZERO); LANES];
                let mut met = V::splat(T::ZERO);
                for (strip, gradient) in gradient.chunks_exact_mut(LANES).enumerate() {
                    let (b, c) = (rows.strip::<V>(b, strip), rows.strip::<V>(c, strip));
                    let mut db = V::splat(T::ZERO);
                    let mut dc = V::splat(T::ZERO);
                    for row in 0..LANES {
                        let at = strip * LANES + row;
                        let dy = V::splat(dy.0[row]);
                        let slope = dy.mul_add(c, V::load(&gradient[row]));
                        dc = dy.mul_add(V::load(&after[at]), dc);
                        db = V::splat(x.0[row]).mul_add(slope, db);
                        reads[row] = slope.mul_add(b, reads[row]);
                        met = slope.mul_add(V::load(&before[at]), met);
                        slope.mul(decay).store(&mut gradient[row]);
                    }
                    let lanes = t * n + strip * LANES..t * n + n.min((strip + 1) * LANES);
                    let sum = &mut self.share.b[lanes.clone()];
                    db.mul_add(V::splat(dt), V::first(sum)).write_first(sum);
                    let sum = &mut self.share.c[lanes];
                    dc.add(V::first(sum)).write_first(sum);
                }
                // λ B of the rows.
                let read = V::sums(&reads);
                let (x, dy) = (V::load(&x), V::load(&dy));
                dskip = x.mul_add(dy, dskip);
                let dx = read.mul_add(V::splat(dt), dy.mul(V::load(&skip)));
                let mut sums = [T::ZERO; 2];
                let terms = [x.mul(read), met.mul(decay)];
                sum_lanes::<T, V>(&mut sums, |i| terms[i]);
                // SAFETY: each task has its own head of its own sample, and its blocks follow each
                // other.
                let (to, ddt) = unsafe {
                    let at = rows.step(t);
                    (self.x.range(rows.at(t)), self.dt.range(at..at + 1))
                };
                dx.write_first(to);
                ddt[0] += sums[0] + a * sums[1];
                self.share.a += dt * sums[1];
            }
        }
        let dskip = dskip.pack();
        let lanes = rows.first..rows.first + rows.width;
        self.share.skip[lanes].copy_from_slice(&flat(&[dskip])[..rows.width]);
        // SAFETY: as above.
        rows.spread(&gradient, unsafe { self.state.range(rows.states()) });
    }
}
