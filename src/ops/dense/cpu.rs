//! A few rows times a weight, at the speed of reading the weight.
//!
//! Weights stored (in, out) are shared among threads by inputs, those stored (out, in) by outputs: so
//! each reads one stretch of memory, and neighbouring rows of it side by side, four inputs that are
//! added to outputs in the cache, or four outputs that are each a scalar product. The processor's own
//! prefetcher loses such streams at every row, so rows are asked for ahead. With threads that wait
//! awake (see [`team`](crate::ops::team)) two cores of a Xeon (Sapphire Rapids) read f32 weights at
//! 22 GB/s, of 24 that they read at most; bf16 weights at 18.

use std::ops::Range;

use half::{bf16, f16};

use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Real, Scatter, prefetch_far};
use crate::ops::team::share;

/// A number as weights are stored.
pub trait Stored: Copy + Send + Sync {
    fn widen(self) -> f32;
    /// # Safety
    /// `from` must be valid for reading sixteen numbers.
    unsafe fn read<V: Lanes<f32>>(from: *const Self) -> V;
}

impl Stored for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn read<V: Lanes<f32>>(from: *const Self) -> V {
        // SAFETY: the caller's.
        unsafe { V::read(from) }
    }
}

impl Stored for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    unsafe fn read<V: Lanes<f32>>(from: *const Self) -> V {
        // SAFETY: the caller's; no alignment is asked of the place.
        let halves = unsafe { from.cast::<[bf16; LANES]>().read_unaligned() };
        V::load(&Pack(halves.map(Self::widen)))
    }
}

/// 2¹¹², by which the exponents of f16 and f32 differ.
const F16_SCALE: f32 = f32::from_bits((127 + 112) << 23);

impl Stored for f16 {
    /// Exact for everything finite; an infinite weight becomes 65,536.
    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let size = f32::from_bits((bits & 0x7fff) << 13) * F16_SCALE;
        f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
    }
    #[inline(always)]
    unsafe fn read<V: Lanes<f32>>(from: *const Self) -> V {
        // SAFETY: the caller's; no alignment is asked of the place.
        let halves = unsafe { from.cast::<[f16; LANES]>().read_unaligned() };
        V::load(&Pack(halves.map(Self::widen)))
    }
}

/// Numbers of a weight that a task has at least.
const TASK: usize = 1 << 16;

/// Tasks among which the inputs are shared, at most: each has sums of its own.
const MOST: usize = 8;

/// Inputs, or outputs, that are done together.
const TOGETHER: usize = 4;

/// x (r, k) times a weight, (n, k) if `out_in`, else (k, n); sizes are [r, k, n]. The order of a sum
/// follows from k and n.
///
/// # Panics
/// If a slice does not have the size that the sizes give it.
pub fn few_rows<W: Stored>(
    x: &[f32],
    weight: &[W],
    [rows, k, n]: [usize; 3],
    out_in: bool,
) -> Vec<f32> {
    assert!(
        x.len() == rows * k && weight.len() == k * n,
        "few_rows: sizes"
    );
    let most = (k * n).div_ceil(TASK);
    let size = [rows, k, n];
    match out_in {
        true => dots(x, weight, size, most),
        false => sums(x, weight, size, most.min(MOST)),
    }
}

/// Of weights (out, in), `parts` groups of outputs.
fn dots<W: Stored>(x: &[f32], weight: &[W], [rows, k, n]: [usize; 3], parts: usize) -> Vec<f32> {
    let width = n.div_ceil(parts).next_multiple_of(TOGETHER);
    let mut y = vec![0.0; rows * n];
    let out = Scatter::new(&mut y);
    share(n.div_ceil(width), &|part| {
        f32::dispatch(Dots {
            x,
            weight,
            size: [rows, k, n],
            range: part * width..((part + 1) * width).min(n),
            out: &out,
        });
    });
    y
}

/// Of weights (in, out), the sums over `parts` groups of inputs, added in their order.
fn sums<W: Stored>(x: &[f32], weight: &[W], [rows, k, n]: [usize; 3], parts: usize) -> Vec<f32> {
    let height = k.div_ceil(parts).next_multiple_of(TOGETHER);
    let parts = k.div_ceil(height);
    let size = rows * n;
    let mut y = vec![0.0; parts * size];
    let out = Scatter::new(&mut y);
    share(parts, &|part| {
        f32::dispatch(Sums {
            x,
            weight,
            size: [rows, k, n],
            range: part * height..((part + 1) * height).min(k),
            // SAFETY: parts have sums of their own.
            y: unsafe { out.range(part * size..(part + 1) * size) },
        });
    });
    let (sum, others) = y.split_at_mut(size);
    for other in others.chunks(size) {
        sum.iter_mut().zip(other).for_each(|(sum, y)| *sum += y);
    }
    y.truncate(size);
    y
}

/// Columns that stay in the first cache while all rows are done.
const BLOCK: usize = 2048;

/// Weights (in, out): the part of the inputs in `range`.
struct Sums<'a, W> {
    x: &'a [f32],
    weight: &'a [W],
    size: [usize; 3],
    range: Range<usize>,
    y: &'a mut [f32],
}

impl<W: Stored> Kernel<f32> for Sums<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self {
            x,
            weight,
            size: [rows, k, n],
            range,
            y,
        } = self;
        for first in range.clone().step_by(TOGETHER) {
            let inputs = (range.end - first).min(TOGETHER);
            for start in (0..n).step_by(BLOCK) {
                let end = (start + BLOCK).min(n);
                for r in 0..rows {
                    let x = &x[r * k + first..r * k + first + inputs];
                    let y = &mut y[r * n + start..r * n + end];
                    let weight = &weight[first * n + start..];
                    match x.try_into() {
                        Ok(x) => add_four::<V, W>(y, x, weight, n),
                        Err(_) => add_some(y, x, weight, n),
                    }
                }
            }
        }
    }
}

/// y += Σ x[i] · (row i of the weight), rows `n` apart.
#[inline(always)]
fn add_four<V: Lanes<f32>, W: Stored>(y: &mut [f32], x: &[f32; TOGETHER], weight: &[W], n: usize) {
    let len = y.len();
    let rows: [&[W]; TOGETHER] = std::array::from_fn(|i| &weight[i * n..i * n + len]);
    let factors = x.map(V::splat);
    let whole = len - len % LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: `at + LANES` is at most the length of y and of each row.
        unsafe {
            let y = y.as_mut_ptr().add(at);
            let mut sum = V::read(y);
            for i in 0..TOGETHER {
                let row = rows[i].as_ptr().add(at);
                prefetch_far(row.wrapping_add(TOGETHER * n));
                sum = W::read::<V>(row).mul_add(factors[i], sum);
            }
            sum.write(y);
        }
    }
    for at in whole..len {
        for i in 0..TOGETHER {
            y[at] = rows[i][at].widen().multiply_add(x[i], y[at]);
        }
    }
}

/// As [`add_four`], for the last inputs.
#[inline(always)]
fn add_some<W: Stored>(y: &mut [f32], x: &[f32], weight: &[W], n: usize) {
    for (i, x) in x.iter().enumerate() {
        for (y, w) in y.iter_mut().zip(&weight[i * n..]) {
            *y = w.widen().multiply_add(*x, *y);
        }
    }
}

/// Weights (out, in): the outputs of `range`.
struct Dots<'a, W> {
    x: &'a [f32],
    weight: &'a [W],
    size: [usize; 3],
    range: Range<usize>,
    out: &'a Scatter<'a, f32>,
}

impl<W: Stored> Kernel<f32> for Dots<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self {
            x,
            weight,
            size: [rows, k, n],
            range,
            out,
        } = self;
        for start in range.clone().step_by(TOGETHER) {
            let count = (range.end - start).min(TOGETHER);
            // A short group repeats its last output.
            let weights: [&[W]; TOGETHER] = std::array::from_fn(|i| {
                let j = start + i.min(count - 1);
                &weight[j * k..(j + 1) * k]
            });
            for r in 0..rows {
                let sums = products::<V, W>(&x[r * k..(r + 1) * k], weights);
                // SAFETY: parts have outputs of their own.
                let y = unsafe { out.range(r * n + start..r * n + start + count) };
                y.copy_from_slice(&sums[..count]);
            }
        }
    }
}

#[inline(always)]
fn products<V: Lanes<f32>, W: Stored>(x: &[f32], weights: [&[W]; TOGETHER]) -> [f32; TOGETHER] {
    let k = x.len();
    let whole = k - k % LANES;
    let mut sums = [V::splat(0.0); TOGETHER];
    for at in (0..whole).step_by(LANES) {
        // SAFETY: `at + LANES` is at most k, the length of x and of each row.
        unsafe {
            let x = V::read(x.as_ptr().add(at));
            for i in 0..TOGETHER {
                let row = weights[i].as_ptr().add(at);
                prefetch_far(row.wrapping_add(2 * TOGETHER * k));
                sums[i] = W::read::<V>(row).mul_add(x, sums[i]);
            }
        }
    }
    std::array::from_fn(|i| {
        let mut sum: f32 = sums[i].pack().0.iter().sum();
        for (x, w) in x[whole..].iter().zip(&weights[i][whole..]) {
            sum = w.widen().multiply_add(*x, sum);
        }
        sum
    })
}
