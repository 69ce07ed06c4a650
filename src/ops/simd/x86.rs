//! Vectors of x86-64: AVX-512, and AVX2 with FMA.

use std::arch::x86_64::*;

use super::exponential::{C, HIGHEST, LN_2_HIGH, LN_2_LOW, LOG2_E, LOWEST, ROUND};
use super::{Kernel, LANES, LN_1P, Lanes};

/// Whether [`Avx512`] may run here.
pub(super) fn avx512() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// Whether [`Avx2`] may run here.
pub(super) fn avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// One register of 512 bits.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// Two registers of 256 bits.
#[derive(Clone, Copy)]
pub(super) struct Avx2([__m256; 2]);

#[target_feature(enable = "avx512f")]
fn call_avx512<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[target_feature(enable = "avx2,fma")]
fn call_avx2<K: Kernel<f32>>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

// SAFETY of all intrinsics below: `Avx512` and `Avx2` exist only where `dispatch` (or a test)
// found their instructions.

impl Lanes<f32> for Avx512 {
    const WIDE: bool = true;

    #[inline(always)]
    fn call<K: Kernel<f32>>(kernel: K) -> K::Output {
        unsafe { call_avx512(kernel) }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        unsafe { Self(_mm512_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        unsafe { Self(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn write(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    fn first(from: &[f32]) -> Self {
        assert!(from.len() <= LANES);
        let mask = ((1u32 << from.len()) - 1) as u16;
        unsafe { Self(_mm512_maskz_loadu_ps(mask, from.as_ptr())) }
    }
    #[inline(always)]
    fn write_first(self, to: &mut [f32]) {
        assert!(to.len() <= LANES);
        let mask = ((1u32 << to.len()) - 1) as u16;
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        unsafe { Self(_mm512_div_ps(self.0, other.0)) }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { Self(_mm512_fmadd_ps(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        unsafe {
            let round = _mm512_set1_ps(ROUND);
            // True for NaN too, which then passes through; min returns its second operand on NaN.
            let not_low = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self.0, _mm512_set1_ps(LOWEST));
            let x = _mm512_min_ps(_mm512_set1_ps(HIGHEST), self.0);
            let rounded = _mm512_fmadd_ps(x, _mm512_set1_ps(LOG2_E), round);
            let k = _mm512_sub_ps(rounded, round);
            let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(LN_2_HIGH), x);
            let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(LN_2_LOW), r);
            let mut p = _mm512_set1_ps(C[4]);
            for c in [C[3], C[2], C[1], C[0], 1.0, 1.0] {
                p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
            }
            Self(_mm512_maskz_scalef_ps(not_low, p, k))
        }
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        let s = self.div(self.add(Self::splat(2.0)));
        let square = s.mul(s);
        let mut p = Self::splat(LN_1P[3]);
        for c in [LN_1P[2], LN_1P[1], LN_1P[0], 2.0] {
            p = p.mul_add(square, Self::splat(c));
        }
        s.mul(p)
    }
    #[inline(always)]
    fn sums(vectors: &[Self; LANES]) -> Self {
        // Each level joins two vectors into one: halves of one are added to halves of the other.
        unsafe {
            let quarters =
                _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
            let singles =
                _mm512_setr_epi32(1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
            let mut by_8 = [_mm512_setzero_ps(); 8];
            for (i, sum) in by_8.iter_mut().enumerate() {
                let (a, b) = (vectors[i].0, vectors[i + 8].0);
                *sum = _mm512_add_ps(
                    _mm512_mask_blend_ps(0xFF00, a, b),
                    _mm512_shuffle_f32x4::<0x4E>(a, b),
                );
            }
            let mut by_4 = [_mm512_setzero_ps(); 4];
            for (i, sum) in by_4.iter_mut().enumerate() {
                let (a, b) = (by_8[i], by_8[i + 4]);
                *sum = _mm512_add_ps(
                    _mm512_mask_blend_ps(0xF0F0, a, b),
                    _mm512_permutex2var_ps(a, quarters, b),
                );
            }
            let mut by_2 = [_mm512_setzero_ps(); 2];
            for (i, sum) in by_2.iter_mut().enumerate() {
                let (a, b) = (by_4[i], by_4[i + 2]);
                *sum = _mm512_add_ps(
                    _mm512_mask_blend_ps(0xCCCC, a, b),
                    _mm512_shuffle_ps::<0x4E>(a, b),
                );
            }
            let [a, b] = by_2;
            Self(_mm512_add_ps(
                _mm512_mask_blend_ps(0xAAAA, a, b),
                _mm512_permutex2var_ps(a, singles, b),
            ))
        }
    }
}

impl Avx2 {
    #[inline(always)]
    fn exp_half(value: __m256) -> __m256 {
        unsafe {
            let set = |x: f32| _mm256_set1_ps(x);
            let low = _mm256_cmp_ps::<_CMP_LT_OQ>(value, set(LOWEST));
            let x = _mm256_max_ps(set(LOWEST), _mm256_min_ps(set(HIGHEST), value));
            let rounded = _mm256_fmadd_ps(x, set(LOG2_E), set(ROUND));
            let k = _mm256_sub_ps(rounded, set(ROUND));
            let r = _mm256_fnmadd_ps(k, set(LN_2_HIGH), x);
            let r = _mm256_fnmadd_ps(k, set(LN_2_LOW), r);
            let mut p = set(C[4]);
            for c in [C[3], C[2], C[1], C[0], 1.0, 1.0] {
                p = _mm256_fmadd_ps(p, r, set(c));
            }
            // 2^k in two factors: k = 128 and subnormal results have no single one.
            let k = _mm256_sub_epi32(
                _mm256_castps_si256(rounded),
                _mm256_castps_si256(set(ROUND)),
            );
            let half = _mm256_srai_epi32::<1>(k);
            let power = |k: __m256i| {
                let biased = _mm256_add_epi32(k, _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
            };
            let y = _mm256_mul_ps(p, power(half));
            _mm256_andnot_ps(low, _mm256_mul_ps(y, power(_mm256_sub_epi32(k, half))))
        }
    }
}

impl Lanes<f32> for Avx2 {
    const WIDE: bool = false;

    #[inline(always)]
    fn call<K: Kernel<f32>>(kernel: K) -> K::Output {
        unsafe { call_avx2(kernel) }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        unsafe { Self([_mm256_set1_ps(x); 2]) }
    }
    #[inline(always)]
    unsafe fn read(from: *const f32) -> Self {
        unsafe { Self([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]) }
    }
    #[inline(always)]
    unsafe fn write(self, to: *mut f32) {
        unsafe {
            _mm256_storeu_ps(to, self.0[0]);
            _mm256_storeu_ps(to.add(8), self.0[1]);
        }
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        unsafe {
            Self([
                _mm256_add_ps(self.0[0], b.0[0]),
                _mm256_add_ps(self.0[1], b.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        unsafe {
            Self([
                _mm256_sub_ps(self.0[0], b.0[0]),
                _mm256_sub_ps(self.0[1], b.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        unsafe {
            Self([
                _mm256_mul_ps(self.0[0], b.0[0]),
                _mm256_mul_ps(self.0[1], b.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        unsafe {
            Self([
                _mm256_div_ps(self.0[0], b.0[0]),
                _mm256_div_ps(self.0[1], b.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe {
            Self([
                _mm256_max_ps(self.0[0], b.0[0]),
                _mm256_max_ps(self.0[1], b.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe {
            Self([
                _mm256_fmadd_ps(self.0[0], b.0[0], c.0[0]),
                _mm256_fmadd_ps(self.0[1], b.0[1], c.0[1]),
            ])
        }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        Self([Self::exp_half(self.0[0]), Self::exp_half(self.0[1])])
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        let s = self.div(self.add(Self::splat(2.0)));
        let square = s.mul(s);
        let mut p = Self::splat(LN_1P[3]);
        for c in [LN_1P[2], LN_1P[1], LN_1P[0], 2.0] {
            p = p.mul_add(square, Self::splat(c));
        }
        s.mul(p)
    }
    #[inline(always)]
    fn sums(vectors: &[Self; LANES]) -> Self {
        unsafe {
            let mut halves = [_mm256_setzero_ps(); 2];
            for (half, out) in halves.iter_mut().enumerate() {
                let mut by_2 = [_mm256_setzero_ps(); 4];
                for (i, sum) in by_2.iter_mut().enumerate() {
                    let [a, b] = vectors[half * 8 + 2 * i].0;
                    let [c, d] = vectors[half * 8 + 2 * i + 1].0;
                    *sum = _mm256_hadd_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
                }
                let a = _mm256_hadd_ps(by_2[0], by_2[1]);
                let b = _mm256_hadd_ps(by_2[2], by_2[3]);
                *out = _mm256_add_ps(
                    _mm256_permute2f128_ps::<0x20>(a, b),
                    _mm256_permute2f128_ps::<0x31>(a, b),
                );
            }
            Self(halves)
        }
    }
}
