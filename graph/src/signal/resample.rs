//! Other sampling rates: polyphase filtering, straight lines, the Fourier series.

use std::f64::consts::PI;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use pulp::Arch;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;
use serde::{Deserialize, Serialize};

use super::Sample;
use crate::{Error, Result};

/// Samples, of the lower rate, that the low-pass of [`resample_poly`] reaches to either side.
pub(super) const HALF_WIDTH: f64 = 10.0;

/// How a signal gets another sampling rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResampleMethod {
    /// [`resample_poly`]: a short filter without phase shift; ends as if zeros followed.
    #[default]
    Polyphase,
    /// [`resample_fourier`]: exact for what is periodic; the ends influence each other.
    Fourier,
    /// [`resample_linear`]: straight lines between the samples, nothing against aliasing.
    Linear,
}

/// Largest factor of [`resample_poly`]: its filter has 20 coefficients for each.
pub const MAX_FACTOR: usize = 1 << 16;

/// Changes the rate of (nodes, time) from `from` to `to` hertz by `method`.
///
/// Polyphase and linear give ceil(n · to / from) samples, Fourier the nearest whole number.
///
/// # Errors
/// [`Error::Config`] when a rate is not positive, there would be no sample or too many, or
/// (polyphase) the rates are not in the ratio of whole numbers up to [`MAX_FACTOR`].
pub fn resample<T: Sample>(
    x: ArrayView2<'_, T>,
    from: f64,
    to: f64,
    method: ResampleMethod,
) -> Result<Array2<T>> {
    let usable = |rate: f64| rate.is_finite() && rate > 0.0;
    if !(usable(from) && usable(to) && usable(to / from)) {
        return Err(Error::config(
            "resample",
            format!("from {from} Hz to {to} Hz"),
            "give rates above 0",
        ));
    }
    match method {
        ResampleMethod::Polyphase => {
            let (up, down) = ratio(to, from)?;
            resample_poly(x, up, down)
        }
        ResampleMethod::Linear => resample_linear(x, from, to),
        ResampleMethod::Fourier => {
            let n = x.ncols() as f64 * to / from;
            check_length(n)?;
            resample_fourier(x, n.round() as usize)
        }
    }
}

/// Samples that [`resample`] makes of `n`.
///
/// # Errors
/// As [`resample`].
pub fn length(n: usize, from: f64, to: f64, method: ResampleMethod) -> Result<usize> {
    if from == to {
        return Ok(n);
    }
    let exact = match method {
        ResampleMethod::Polyphase => {
            let (up, down) = ratio(to, from)?;
            (n as f64 * up as f64 / down as f64).ceil()
        }
        ResampleMethod::Linear => (n as f64 / (from / to)).ceil(),
        ResampleMethod::Fourier => (n as f64 * to / from).round(),
    };
    check_length(exact)?;
    Ok(exact as usize)
}

/// Refuses lengths that no memory holds.
fn check_length(n: f64) -> Result<()> {
    if n < (1u64 << 40) as f64 {
        return Ok(());
    }
    Err(Error::config(
        "resample",
        format!("would make {n} samples"),
        "give a lower rate",
    ))
}

/// `to / from` as a fraction in lowest terms, found as a continued fraction.
///
/// # Errors
/// [`Error::Config`] when there is none up to [`MAX_FACTOR`] that agrees to 10⁻⁹.
pub fn ratio(to: f64, from: f64) -> Result<(usize, usize)> {
    let exact = to / from;
    let (mut before, mut now) = ((0.0, 1.0), (1.0, 0.0));
    let mut rest = exact;
    let limit = MAX_FACTOR as f64;
    while rest.is_finite() {
        let whole = rest.floor();
        let next = (whole * now.0 + before.0, whole * now.1 + before.1);
        if !(next.0 <= limit && next.1 <= limit) {
            break;
        }
        (before, now) = (now, next);
        if now.0 >= 1.0 && (now.0 / now.1 - exact).abs() <= 1e-9 * exact {
            return Ok((now.0 as usize, now.1 as usize));
        }
        rest = 1.0 / (rest - whole);
    }
    Err(Error::config(
        "resample",
        format!("{from} Hz to {to} Hz is no ratio of whole numbers up to {MAX_FACTOR}"),
        "use the method \"fourier\" or \"linear\", or another rate",
    ))
}

/// Polyphase resampling of (nodes, time) by `up / down` to (nodes, ceil(n · up / down)): zeros
/// between the samples, a low-pass, every `down`-th sample; without computing with the zeros and
/// what is thrown away. Equal to `scipy.signal.resample_poly(x, up, down)`.
///
/// The low-pass has `20 max(up, down) + 1` coefficients, a sinc with its edge at the lower of both
/// Nyquist frequencies under a Kaiser window of β = 5, and gain 1 at 0. Beyond the ends the signal
/// counts as 0, so that an offset should be removed before.
///
/// # Errors
/// [`Error::Config`] when a factor is 0 or, in lowest terms, above [`MAX_FACTOR`], or there would
/// be too many samples.
pub fn resample_poly<T: Sample>(x: ArrayView2<'_, T>, up: usize, down: usize) -> Result<Array2<T>> {
    let common = greatest_divisor(up, down);
    let (up, down) = (up / common.max(1), down / common.max(1));
    if !(1..=MAX_FACTOR).contains(&up) || !(1..=MAX_FACTOR).contains(&down) {
        return Err(Error::config(
            "resample",
            format!("the factors are {up} and {down}"),
            format!("give factors of 1 to {MAX_FACTOR}, in lowest terms"),
        ));
    }
    check_length(x.ncols() as f64 * up as f64 / down as f64)?;
    if up == down {
        return Ok(x.to_owned());
    }
    let bank = Bank::new(up, down);
    let n = (x.ncols() * up).div_ceil(down);
    let mut out = Array2::default((x.nrows(), n));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(x.axis_iter(Axis(0)))
        .for_each(|(mut out, row)| {
            if let Some(out) = out.as_slice_mut() {
                bank.apply(row, out);
            }
        });
    Ok(out)
}

fn greatest_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_divisor(b, a % b)
    }
}

/// Numbers that are multiplied at once.
const LANES: usize = 8;

/// The low-pass of [`resample_poly`], by phase: what one output needs lies together, in the order
/// of the inputs.
struct Bank {
    up: usize,
    down: usize,
    /// Half the length of the low-pass: the delay that is taken back.
    half: usize,
    /// Coefficients per phase; a multiple of [`LANES`], the first ones 0 if need be.
    taps: usize,
    /// (up, taps)
    coefficients: Vec<f64>,
}

impl Bank {
    fn new(up: usize, down: usize) -> Self {
        let factor = up.max(down);
        let half = HALF_WIDTH as usize * factor;
        let lowpass = kaiser_lowpass(half, 1.0 / factor as f64);
        let taps = lowpass.len().div_ceil(up).next_multiple_of(LANES);
        let mut coefficients = vec![0.0; up * taps];
        for (i, h) in lowpass.iter().enumerate() {
            // Coefficient i meets the input i / up samples before the newest.
            coefficients[(i % up) * taps + taps - 1 - i / up] = h * up as f64;
        }
        Self {
            up,
            down,
            half,
            taps,
            coefficients,
        }
    }

    fn apply<T: Sample>(&self, x: ArrayView1<'_, T>, out: &mut [T]) {
        Arch::new().dispatch(
            #[inline(always)]
            || self.apply_here(x, out),
        );
    }

    #[inline(always)]
    fn apply_here<T: Sample>(&self, x: ArrayView1<'_, T>, out: &mut [T]) {
        // The newest input of output m is (m down + half) / up, and it stands `taps` further on.
        let ahead = self.half / self.up + 1;
        let mut padded = vec![0.0; self.taps + x.len() + ahead];
        for (to, from) in padded[self.taps..].iter_mut().zip(x) {
            *to = from.to_f64();
        }
        let (whole, part) = (self.down / self.up, self.down % self.up);
        let (mut newest, mut phase) = (self.half / self.up, self.half % self.up);
        for out in out {
            let h = &self.coefficients[phase * self.taps..][..self.taps];
            let inputs = &padded[newest + 1..][..self.taps];
            *out = T::from_f64(dot(h, inputs));
            newest += whole;
            phase += part;
            if phase >= self.up {
                phase -= self.up;
                newest += 1;
            }
        }
    }
}

/// The sum of products, in an order that does not depend on the machine.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(b.as_chunks::<LANES>().0)
    {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
}

/// Low-pass of `2 half + 1` coefficients with its edge at `edge` times the Nyquist frequency: sinc
/// under a Kaiser window of β = 5, gain 1 at frequency 0. SciPy's `firwin`.
fn kaiser_lowpass(half: usize, edge: f64) -> Vec<f64> {
    const BETA: f64 = 5.0;
    let mut h: Vec<f64> = (0..=2 * half)
        .map(|i| {
            let at = i as f64 - half as f64;
            let angle = PI * edge * at;
            let sinc = if at == 0.0 { 1.0 } else { angle.sin() / angle };
            let inside = (1.0 - (at / half as f64).powi(2)).max(0.0);
            edge * sinc * bessel_i0(BETA * inside.sqrt()) / bessel_i0(BETA)
        })
        .collect();
    let sum: f64 = h.iter().sum();
    for v in &mut h {
        *v /= sum;
    }
    h
}

/// Modified Bessel function of the first kind and order 0, Σ (x/2)^2k / (k!)²; for small x.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// Straight lines between the samples of (nodes, time), read every `from / to` samples from the
/// first on, as far as there are samples; behind the last one its line goes on. This is the
/// resampling of Dreem's pipelines (Guillot et al., "Dreem Open Datasets", IEEE TNSRE 28, 2020).
///
/// # Errors
/// [`Error::Config`] when a rate is not positive or there would be too many samples.
pub fn resample_linear<T: Sample>(x: ArrayView2<'_, T>, from: f64, to: f64) -> Result<Array2<T>> {
    let (n, step) = (x.ncols(), from / to);
    if !(step.is_finite() && step > 0.0) {
        return Err(Error::config(
            "resample",
            format!("from {from} Hz to {to} Hz"),
            "give rates above 0",
        ));
    }
    let count = (n as f64 / step).ceil();
    check_length(count)?;
    let mut out = Array2::default((x.nrows(), count as usize));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(x.axis_iter(Axis(0)))
        .for_each(|(mut out, row)| {
            for (m, out) in out.iter_mut().enumerate() {
                let at = m as f64 * step;
                let left = (at as usize).min(n.saturating_sub(2));
                let a = row[left].to_f64();
                let slope = row.get(left + 1).map_or(0.0, |b| b.to_f64() - a);
                *out = T::from_f64(a + slope * (at - left as f64));
            }
        });
    Ok(out)
}

/// Resamples (nodes, time) to (nodes, `num`) over the same span by its Fourier series, taking the
/// signal for one period. Equal to `scipy.signal.resample(x, num, axis=1)`.
///
/// # Errors
/// [`Error::Config`] when `num` is 0 while there are samples, or there are none to make it from.
pub fn resample_fourier<T: Sample>(x: ArrayView2<'_, T>, num: usize) -> Result<Array2<T>> {
    let n = x.ncols();
    if n == num {
        return Ok(x.to_owned());
    }
    if n == 0 || num == 0 {
        return Err(Error::config(
            "resample",
            format!("{n} samples would become {num}"),
            "give a longer signal or a higher rate",
        ));
    }
    let mut planner = RealFftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(n);
    let inverse = planner.plan_fft_inverse(num);
    let fewer = n.min(num);
    let kept = fewer / 2 + 1;
    let mut out = Array2::default((x.nrows(), num));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(x.axis_iter(Axis(0)))
        .for_each(|(mut out, row)| {
            let mut samples: Vec<f64> = row.iter().map(|v| v.to_f64()).collect();
            let mut spectrum = forward.make_output_vec();
            // The only error is a buffer of the wrong length, and these come from the plans.
            let there = forward.process(&mut samples, &mut spectrum);
            let mut fitted = inverse.make_input_vec();
            fitted[..kept].copy_from_slice(&spectrum[..kept]);
            if fewer.is_multiple_of(2) {
                // The highest frequency of the shorter one stands for both signs there.
                fitted[kept - 1] *= if num < n { 2.0 } else { 0.5 };
            }
            if num.is_multiple_of(2)
                && let Some(last) = fitted.last_mut()
            {
                *last = Complex64::new(last.re, 0.0);
            }
            let mut result = inverse.make_output_vec();
            let back = inverse.process(&mut fitted, &mut result);
            debug_assert!(there.is_ok() && back.is_ok());
            for (to, from) in out.iter_mut().zip(result) {
                *to = T::from_f64(from / n as f64);
            }
        });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn ratios_of_common_rates() {
        assert_eq!(ratio(200.0, 500.0).unwrap(), (2, 5));
        assert_eq!(ratio(128.0, 100.0).unwrap(), (32, 25));
        assert_eq!(ratio(100.0, 250.0).unwrap(), (2, 5));
        assert_eq!(ratio(256.0, 249.9).unwrap(), (2560, 2499));
        assert_eq!(ratio(100.0, 0.1).unwrap(), (1000, 1));
        assert_eq!(ratio(1.0 / 3.0, 1.0).unwrap(), (1, 3));
        assert!(ratio(std::f64::consts::PI, 1.0).is_err());
        assert!(ratio(1e9, 1.0).is_err());
        assert!(ratio(1.0, 1e9).is_err());
    }

    #[test]
    fn lines_go_on_behind_the_last_sample() {
        let x = arr2(&[[0.0, 1.0, 4.0, 9.0], [2.0, 2.0, 2.0, 1.0]]);
        let y = resample_linear(x.view(), 250.0, 100.0).unwrap();
        assert_eq!(y, arr2(&[[0.0, 6.5], [2.0, 1.5]]));
        let y = resample_linear(x.view(), 2.0, 4.0).unwrap();
        assert_eq!(y.row(0).to_vec(), [0.0, 0.5, 1.0, 2.5, 4.0, 6.5, 9.0, 11.5]);
        let one = resample_linear(arr2(&[[3.0f32]]).view(), 1.0, 2.0).unwrap();
        assert_eq!(one, arr2(&[[3.0, 3.0]]));
    }

    #[test]
    fn lengths_and_bad_arguments() {
        let x = Array2::<f32>::zeros((2, 101));
        for (method, expected) in [
            (ResampleMethod::Polyphase, 41),
            (ResampleMethod::Linear, 41),
            (ResampleMethod::Fourier, 40),
        ] {
            let y = resample(x.view(), 500.0, 200.0, method).unwrap();
            assert_eq!(y.dim(), (2, expected), "{method:?}");
            for (from, to) in [(0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1e-300, 1e300)] {
                assert!(resample(x.view(), from, to, method).is_err(), "{from} {to}");
            }
            let none = Array2::<f32>::zeros((0, 10));
            let y = resample(none.view(), 500.0, 200.0, method).unwrap();
            assert_eq!(y.dim(), (0, 4));
        }
        assert!(resample(x.view(), 1.0, 1e15, ResampleMethod::Fourier).is_err());
        assert!(resample_poly(x.view(), 0, 1).is_err());
        assert!(resample_poly(x.view(), 1, 0).is_err());
        assert_eq!(resample_poly(x.view(), 7, 7).unwrap(), x);
        assert!(resample_fourier(x.view(), 0).is_err());
        let empty = Array2::<f32>::zeros((3, 0));
        assert_eq!(resample_poly(empty.view(), 2, 5).unwrap().dim(), (3, 0));
    }

    #[test]
    fn slow_waves_survive() {
        let wave = |t: f64| (std::f64::consts::TAU * 3.0 * t).sin();
        let x = Array2::from_shape_fn((1, 2000), |(_, t)| wave(t as f64 / 500.0));
        for method in [ResampleMethod::Polyphase, ResampleMethod::Fourier] {
            let y = resample(x.view(), 500.0, 128.0, method).unwrap();
            for t in 50..460 {
                assert!(
                    (y[[0, t]] - wave(t as f64 / 128.0)).abs() < 2e-3,
                    "{method:?} {t}"
                );
            }
        }
    }
}
