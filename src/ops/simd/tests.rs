//! On every kind of vector that this processor has.

use super::*;

struct Exp(f32);

impl Kernel<f32> for Exp {
    type Output = [f32; LANES];
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) -> Self::Output {
        V::splat(self.0).exp().pack().0
    }
}

/// Softplus and sigmoid.
struct Gates(f32);

impl Kernel<f32> for Gates {
    type Output = [f32; 2];
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) -> [f32; 2] {
        let x = V::splat(self.0);
        [x.softplus().pack().0[0], x.sigmoid().pack().0[0]]
    }
}

struct Sums;

impl Kernel<f32> for Sums {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) -> Vec<f32> {
        let mut out = vec![f32::NAN; 21];
        sum_lanes::<f32, V>(&mut out, |i| {
            V::load(&Pack(std::array::from_fn(|lane| (i * 100 + lane) as f32)))
        });
        out
    }
}

/// Runs a kernel on every kind of vector that this processor has.
fn everywhere<K: Kernel<f32>>(kernel: impl Fn() -> K) -> Vec<K::Output> {
    let mut out = vec![Plain::<f32>::call(kernel())];
    #[cfg(target_arch = "x86_64")]
    {
        if x86::avx2() {
            out.push(x86::Avx2::call(kernel()));
        }
        if x86::avx512() {
            out.push(x86::Avx512::call(kernel()));
        }
    }
    out
}

#[test]
fn exp_is_accurate_to_a_rounding() {
    for i in 0..40_000 {
        let x = -87.3 + 175.9 * (i as f32) / 40_000.0;
        for y in everywhere(|| Exp(x)) {
            let exact = f64::from(x).exp();
            let error = (f64::from(y[3]) / exact - 1.0).abs();
            assert!(error < 1.2e-7, "exp({x}) = {} has error {error:e}", y[3]);
            assert!(y.iter().all(|lane| *lane == y[0]));
        }
    }
}

#[test]
fn exp_of_extremes() {
    for (x, expected) in [
        (0.0, 1.0),
        (-0.0, 1.0),
        (-88.0, 0.0),
        (-1e9, 0.0),
        (-1e30, 0.0),
        (f32::MIN, 0.0),
        (f32::NEG_INFINITY, 0.0),
        (90.0, f32::INFINITY),
        (f32::INFINITY, f32::INFINITY),
    ] {
        for y in everywhere(|| Exp(x)) {
            assert_eq!(y[7], expected, "exp({x})");
        }
    }
    assert!(everywhere(|| Exp(f32::NAN)).iter().all(|y| y[0].is_nan()));
}

#[test]
fn softplus_and_sigmoid_are_accurate() {
    for i in 0..20_000 {
        let x = -80.0 + 160.0 * (i as f32) / 20_000.0;
        let exact = f64::from(x).exp();
        for [softplus, sigmoid] in everywhere(|| Gates(x)) {
            let error = |y: f32, exact: f64| (f64::from(y) / exact - 1.0).abs();
            assert!(
                error(softplus, exact.ln_1p()) < 5e-7,
                "softplus({x}) = {softplus}"
            );
            assert!(
                error(sigmoid, exact / (1.0 + exact)) < 5e-7,
                "sigmoid({x}) = {sigmoid}"
            );
        }
    }
    for [softplus, sigmoid] in everywhere(|| Gates(20.5)) {
        assert_eq!((softplus, sigmoid), (20.5, 1.0));
    }
    for [softplus, sigmoid] in everywhere(|| Gates(-200.0)) {
        assert_eq!((softplus, sigmoid), (0.0, 0.0));
    }
}

#[test]
fn sums_of_lanes_come_in_order() {
    let expected: Vec<f32> = (0..21).map(|i| (1600 * i + 120) as f32).collect();
    for sums in everywhere(|| Sums) {
        assert_eq!(sums, expected);
    }
}
