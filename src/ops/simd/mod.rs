//! Vectors of sixteen lanes for the CPU kernels, compiled once for each kind of processor.
//!
//! A kernel is written once, generic over [`Lanes`]; [`Real::dispatch`] asks the processor which
//! instructions it has and runs the kernel compiled for them: AVX-512 (a vector is one register),
//! AVX2 with FMA (two registers), or plain arrays that the compiler vectorises for the target.
//! Everything that must be compiled with the instructions of the vector is `#[inline(always)]`,
//! because they are enabled function by function.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Range, Sub};

use rayon::prelude::*;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// Sixteen numbers in memory.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pack<T>(pub [T; LANES]);

impl<T: Real> Pack<T> {
    pub const ZERO: Self = Self([T::ZERO; LANES]);

    /// The numbers of `source`, at most sixteen, then zeros.
    #[inline(always)]
    pub fn padded(source: &[T]) -> Self {
        match source.try_into() {
            Ok(all) => Self(all),
            Err(_) => {
                let mut pack = Self::ZERO;
                pack.0[..source.len()].copy_from_slice(source);
                pack
            }
        }
    }
}

/// The numbers of packs, one after another.
pub fn flat<T: Real>(packs: &[Pack<T>]) -> &[T] {
    // SAFETY: `Pack<T>` is `repr(C)` around an array whose size (64 or 128 bytes) is a multiple of
    // its alignment, so that packs follow each other without padding.
    unsafe { std::slice::from_raw_parts(packs.as_ptr().cast(), packs.len() * LANES) }
}

/// [`flat`], to write into.
pub fn flat_mut<T: Real>(packs: &mut [Pack<T>]) -> &mut [T] {
    // SAFETY: as in `flat`; every bit pattern of `T` is valid in a `Pack<T>`.
    unsafe { std::slice::from_raw_parts_mut(packs.as_mut_ptr().cast(), packs.len() * LANES) }
}

/// f32 or f64.
pub trait Real:
    Copy
    + Debug
    + Default
    + Into<f64>
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + AddAssign
    + Div<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Sub<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;

    /// ln(1 + x) of each lane, 0 ≤ x ≤ 1.
    fn ln_1p_lanes(x: [Self; LANES]) -> [Self; LANES];
    /// e^x of each lane.
    fn exp_lanes(x: [Self; LANES]) -> [Self; LANES];
    /// `self · b + c`, in one rounding where the target of the compilation has the instruction.
    fn multiply_add(self, b: Self, c: Self) -> Self;
    /// Runs a kernel with the best vectors that this processor has.
    fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output;
}

/// A computation generic over the vectors it runs on.
pub trait Kernel<T: Real> {
    type Output;
    /// Must be `#[inline(always)]`, and so must all that it calls with vectors.
    fn run<V: Lanes<T>>(self) -> Self::Output;
}

/// A vector of sixteen lanes in registers.
///
/// The implementations are private to this module: a kernel meets them only through
/// [`Real::dispatch`], on a processor that has their instructions.
pub trait Lanes<T: Real>: Copy {
    /// Whether a tile of 5 × 4 vectors fits in the registers (else 3 × 2).
    const WIDE: bool;

    /// Runs `kernel` as a function of its own, to bound the size of what is compiled.
    fn call<K: Kernel<T>>(kernel: K) -> K::Output;
    fn splat(x: T) -> Self;
    /// # Safety
    /// `from` must be valid for reading sixteen numbers; no alignment needed.
    unsafe fn read(from: *const T) -> Self;
    /// # Safety
    /// `to` must be valid for writing sixteen numbers; no alignment needed.
    unsafe fn write(self, to: *mut T);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// The larger; `other` if one is NaN.
    fn max(self, other: Self) -> Self;
    /// `self · b + c`.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// e^x; relative error below 1.2e-7 for f32; zero below −87.3 (f32).
    fn exp(self) -> Self;
    /// ln(1 + x) for 0 ≤ x ≤ 1; relative error below 3e-7 for f32.
    fn ln_1p(self) -> Self;
    /// Lane i of the result is the sum of the lanes of vector i.
    fn sums(vectors: &[Self; LANES]) -> Self;

    /// The numbers of `from`, at most sixteen, then zeros.
    #[inline(always)]
    fn first(from: &[T]) -> Self {
        Self::load(&Pack::padded(from))
    }
    /// Writes as many lanes as `to` has room for, at most sixteen.
    #[inline(always)]
    fn write_first(self, to: &mut [T]) {
        to.copy_from_slice(&self.pack().0[..to.len()]);
    }
    #[inline(always)]
    fn load(from: &Pack<T>) -> Self {
        // SAFETY: a pack holds sixteen numbers.
        unsafe { Self::read(from.0.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, to: &mut Pack<T>) {
        // SAFETY: a pack holds sixteen numbers.
        unsafe { self.write(to.0.as_mut_ptr()) }
    }
    /// ln(1 + e^x); in f32 this is x itself above 17.
    #[inline(always)]
    fn softplus(self) -> Self {
        let negative = Self::splat(T::ZERO).sub(self);
        let smaller = Self::splat(T::ZERO).sub(negative.max(self));
        smaller.exp().ln_1p().add(Self::splat(T::ZERO).max(self))
    }
    /// 1 / (1 + e^-x).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let one = Self::splat(T::ONE);
        one.div(Self::splat(T::ZERO).sub(self).exp().add(one))
    }
    #[inline(always)]
    fn pack(self) -> Pack<T> {
        let mut pack = Pack::ZERO;
        self.store(&mut pack);
        pack
    }
}

/// Sums of `count` vectors over their lanes into `out`; `vector(i)` makes the i-th.
#[inline(always)]
pub fn sum_lanes<T: Real, V: Lanes<T>>(out: &mut [T], vector: impl Fn(usize) -> V) {
    let count = out.len();
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let first = group * LANES;
        let mut vectors = [V::splat(T::ZERO); LANES];
        for (i, slot) in vectors.iter_mut().enumerate() {
            // A short group repeats its last vector and drops the surplus sums.
            *slot = vector((first + i).min(count - 1));
        }
        let sums = V::sums(&vectors).pack();
        out.copy_from_slice(&sums.0[..out.len()]);
    }
}

/// Asks for a slice to be brought into the first cache, where there is an instruction for it.
#[inline(always)]
pub fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    prefetch_lines(slice.as_ptr(), slice.len());
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// Asks for the cache line at a place to be brought into the second cache, where there is an
/// instruction for it; never faults, wherever it points.
#[inline(always)]
pub fn prefetch_far<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: part of every x86-64; a prefetch reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache lines of `len` numbers; never faults.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_lines<T>(start: *const T, len: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    const LINE: usize = 64;
    // Every line has one of these numbers: the first of each 64 bytes, and the last.
    let starts = (0..len).step_by(LINE / size_of::<T>());
    for i in starts.chain(len.checked_sub(1)) {
        // SAFETY: part of every x86-64; a prefetch reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(i).cast()) };
    }
}

/// `out += parts[0] + parts[1] + ...`, element by element in this order, whatever the threads.
pub fn add_in_order<T: Real>(out: &mut [T], parts: &[&[T]]) {
    const PIECE: usize = 1 << 14;
    out.par_chunks_mut(PIECE)
        .enumerate()
        .for_each(|(index, out)| {
            let range = index * PIECE..index * PIECE + out.len();
            for part in parts {
                for (out, x) in out.iter_mut().zip(&part[range.clone()]) {
                    *out += *x;
                }
            }
        });
}

/// A slice that several tasks write at once, each to places of its own.
pub struct Scatter<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `range`, whose caller vouches that ranges do not overlap.
unsafe impl<T: Send> Sync for Scatter<'_, T> {}
unsafe impl<T: Send> Send for Scatter<'_, T> {}

impl<'a, T> Scatter<'a, T> {
    /// [`prefetch`] of the numbers at `range`.
    #[inline(always)]
    pub fn prefetch(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if range.start < range.end && range.end <= self.len {
            prefetch_lines(self.start.wrapping_add(range.start), range.len());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }

    pub fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The numbers at `range`.
    ///
    /// # Safety
    /// No two ranges that are alive at the same time may overlap.
    ///
    /// # Panics
    /// If the range is not inside the slice.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "range outside the slice"
        );
        // SAFETY: inside the slice, and disjoint from all others by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// Constants of e^x = 2^k e^r, k = round(x / ln 2), r = x − k ln 2 with ln 2 in two parts, and
/// e^r = 1 + r + r² (C2 + C3 r + ...), fitted for the least relative error (3.1e-9) on |r| ≤ ln 2 / 2.
mod exponential {
    pub const LOWEST: f32 = -87.336_54;
    pub const HIGHEST: f32 = 89.0;
    pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// Adding it rounds to an integer, which then stands in the low bits.
    pub const ROUND: f32 = 12_582_912.0;
    pub const LN_2_HIGH: f32 = 0.693_359_4;
    pub const LN_2_LOW: f32 = -2.121_944_4e-4;
    pub const C: [f32; 5] = [
        0.499_999_93,
        0.166_665_2,
        0.041_668_4,
        0.008_368_851,
        0.001_381_432,
    ];
}

/// e^x without branches, for the compiler to vectorise.
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    use exponential::{C, HIGHEST, LN_2_HIGH, LN_2_LOW, LOG2_E, LOWEST, ROUND};
    let bounded = if x < LOWEST { LOWEST } else { x };
    let bounded = if bounded > HIGHEST { HIGHEST } else { bounded };
    let rounded = bounded.multiply_add(LOG2_E, ROUND);
    let k = rounded - ROUND;
    let r = k.multiply_add(-LN_2_LOW, k.multiply_add(-LN_2_HIGH, bounded));
    let mut p = C[4];
    for c in [C[3], C[2], C[1], C[0], 1.0, 1.0] {
        p = p.multiply_add(r, c);
    }
    // 2^k in two factors: k = 128 and subnormal results have no single one.
    let k = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = k >> 1;
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    let y = p * power(half) * power(k.wrapping_sub(half));
    if x < LOWEST { 0.0 } else { y }
}

/// Coefficients of ln(1 + x) = s (2 + s² (L0 + L1 s² + ...)), s = x / (2 + x), fitted for the least
/// relative error (4.5e-9) on 0 ≤ x ≤ 1.
const LN_1P: [f32; 4] = [0.666_664_2, 0.400_215_3, 0.280_018, 0.280_119_9];

/// ln(1 + x), 0 ≤ x ≤ 1, without branches.
#[inline(always)]
fn ln_1p_f32(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let square = s * s;
    let mut p = LN_1P[3];
    for c in [LN_1P[2], LN_1P[1], LN_1P[0], 2.0] {
        p = p.multiply_add(square, c);
    }
    s * p
}

macro_rules! real {
    ($t:ty, $exp_lanes:expr, $ln_1p_lanes:expr, $dispatch:item) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            #[inline(always)]
            fn ln_1p_lanes(x: [Self; LANES]) -> [Self; LANES] {
                x.map($ln_1p_lanes)
            }
            #[inline(always)]
            fn exp_lanes(x: [Self; LANES]) -> [Self; LANES] {
                x.map($exp_lanes)
            }
            #[inline(always)]
            fn multiply_add(self, b: Self, c: Self) -> Self {
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }
            #[inline(always)]
            $dispatch
        }
    };
}

real!(
    f32,
    exp_f32,
    ln_1p_f32,
    fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if x86::avx512() {
                return x86::Avx512::call(kernel);
            }
            if x86::avx2() {
                return x86::Avx2::call(kernel);
            }
        }
        kernel.run::<Plain<f32>>()
    }
);
real!(
    f64,
    f64::exp,
    f64::ln_1p,
    fn dispatch<K: Kernel<Self>>(kernel: K) -> K::Output {
        kernel.run::<Plain<f64>>()
    }
);

/// An array: what there is on every target.
#[derive(Clone, Copy)]
struct Plain<T>([T; LANES]);

impl<T: Real> Plain<T> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<T: Real> Lanes<T> for Plain<T> {
    const WIDE: bool = false;

    #[inline(never)]
    fn call<K: Kernel<T>>(kernel: K) -> K::Output {
        kernel.run::<Self>()
    }
    #[inline(always)]
    fn splat(x: T) -> Self {
        Self([x; LANES])
    }
    #[inline(always)]
    unsafe fn read(from: *const T) -> Self {
        // SAFETY: the caller's; an array has the alignment of its numbers.
        Self(unsafe { from.cast::<[T; LANES]>().read() })
    }
    #[inline(always)]
    unsafe fn write(self, to: *mut T) {
        // SAFETY: the caller's; an array has the alignment of its numbers.
        unsafe { to.cast::<[T; LANES]>().write(self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| {
            self.0[i].multiply_add(b.0[i], c.0[i])
        }))
    }
    #[inline(always)]
    fn exp(self) -> Self {
        Self(T::exp_lanes(self.0))
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        Self(T::ln_1p_lanes(self.0))
    }
    #[inline(always)]
    fn sums(vectors: &[Self; LANES]) -> Self {
        Self(vectors.map(|vector| vector.0.into_iter().fold(T::ZERO, |sum, x| sum + x)))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

/// What the tests of the kernels share.
#[cfg(test)]
pub mod testing {
    /// Numbers from SplitMix64, uniform on (-1, 1).
    pub struct Random(pub u64);

    impl Random {
        fn number(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        }

        /// Numbers uniform on (low, high) that f32 holds exactly.
        pub fn between(&mut self, len: usize, low: f64, high: f64) -> Vec<f64> {
            let place = |x: f64| f64::from(((high + low + (high - low) * x) / 2.0) as f32);
            (0..len).map(|_| place(self.number())).collect()
        }
    }

    /// ‖x − reference‖ / ‖reference‖.
    pub fn error(x: &[f32], reference: &[f64]) -> f64 {
        assert_eq!(x.len(), reference.len());
        let squares = x
            .iter()
            .zip(reference)
            .map(|(x, r)| (f64::from(*x) - r).powi(2));
        let difference = squares.sum::<f64>();
        let norm = reference.iter().map(|r| r * r).sum::<f64>();
        if difference == 0.0 {
            0.0
        } else {
            (difference / norm).sqrt()
        }
    }
}
