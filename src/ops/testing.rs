//! What the tests of the operations share: fresh random numbers, and comparison with f64.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers of a test; the seed is printed, so that a failure can be repeated with
/// `TGMAMBA_TEST_SEED`.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new() -> Self {
        let seed = std::env::var("TGMAMBA_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(rand::random::<u64>);
        println!("TGMAMBA_TEST_SEED={seed}");
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform on (low, high).
    pub fn between(&mut self, count: usize, low: f64, high: f64) -> Vec<f64> {
        (0..count).map(|_| self.0.random_range(low..high)).collect()
    }

    /// Runs of equal ids for `b` sequences of `l` steps: `runs` of them, ids from `first` upwards;
    /// with padding at the end too where `first` is negative.
    pub fn runs(&mut self, b: usize, l: usize, runs: usize, first: i64) -> Vec<i64> {
        let mut ids = Vec::with_capacity(b * l);
        for _ in 0..b {
            let mut cuts: Vec<usize> = (1..runs).map(|_| self.0.random_range(0..=l)).collect();
            cuts.sort_unstable();
            ids.extend((0..l).map(|t| match first < 0 && l > 4 && t + 2 >= l {
                true => first,
                false => first + cuts.iter().filter(|cut| **cut <= t).count() as i64,
            }));
        }
        ids
    }
}

/// Numbers as `dtype` stores them.
pub fn rounded(values: &[f64], dtype: DType) -> Vec<f64> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    data.convert_dtype(dtype).iter::<f64>().collect()
}

pub fn tensor<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

pub fn values<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    t.into_data().iter::<f64>().collect()
}

/// Asserts |got - want| <= tolerance · max(max |want|, 1), so that NaN fails.
///
/// Inputs are of order one: results that are smaller have lost digits to cancellation.
pub fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    close_sum(what, got, want, tolerance, 1);
}

/// [`close`] of sums of `terms` numbers of order one and of either sign: |got - want| <=
/// tolerance · max(max |want|, √terms), the size that such a sum has before it cancels.
pub fn close_sum(what: &str, got: &[f64], want: &[f64], tolerance: f64, terms: usize) {
    assert_eq!(got.len(), want.len(), "{what}");
    let least = (terms as f64).sqrt();
    let scale = want.iter().fold(least, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let within = (g - w).abs() <= tolerance * scale;
        assert!(within, "{what}[{i}] is {g}, not {w} (scale {scale:.3e})");
    }
}

pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The derivative of `f` at `x` along `v`, by central differences.
pub fn slope(f: impl Fn(&[f64]) -> f64, x: &[f64], v: &[f64]) -> f64 {
    let step = 1e-5;
    let moved =
        |sign: f64| -> Vec<f64> { x.iter().zip(v).map(|(x, v)| x + sign * step * v).collect() };
    (f(&moved(1.0)) - f(&moved(-1.0))) / (2.0 * step)
}
