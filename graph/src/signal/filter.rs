//! Butterworth filters as cascades of second-order sections.
//!
//! Analogue prototype of order n: poles `exp(jπ(2k + n + 1) / 2n)`; frequency transformation;
//! bilinear transform `z = (1 + s) / (1 - s)` with edges warped by `tan(π f / rate)`. Source:
//! Oppenheim and Schafer, "Discrete-Time Signal Processing", chapter 7.

use std::f64::consts::PI;

use ndarray::ArrayViewMut2;
use realfft::num_complex::Complex64;

use super::each_node;
use crate::{Error, Result};

/// What a filter lets through; frequencies in hertz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Band {
    /// Below.
    Lowpass(f64),
    /// Above.
    Highpass(f64),
    /// Between.
    Bandpass(f64, f64),
    /// All but between.
    Bandstop(f64, f64),
}

/// `(b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// A cascade of second-order sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    sections: Vec<Section>,
}

impl Filter {
    /// Butterworth filter; the gain is 1 in the pass band and √½ at the edges. Band filters of
    /// `order` n have 2n poles, as in SciPy.
    ///
    /// # Errors
    /// [`Error::Config`] when the order is 0 or above 20, or an edge is not inside (0, rate / 2) or
    /// edges are not increasing.
    pub fn butterworth(order: usize, band: Band, rate: f64) -> Result<Self> {
        if !(1..=20).contains(&order) {
            return Err(Error::config(
                "filter_order",
                format!("is {order}"),
                "choose 1 to 20 (4 is usual)",
            ));
        }
        let (low, high) = match band {
            Band::Lowpass(f) | Band::Highpass(f) => (f, f),
            Band::Bandpass(low, high) | Band::Bandstop(low, high) => (low, high),
        };
        let is_band = matches!(band, Band::Bandpass(..) | Band::Bandstop(..));
        if !(low > 0.0 && high < rate / 2.0 && (low < high || !is_band)) {
            return Err(Error::config(
                "filter",
                format!("{band:?} Hz does not fit a sampling rate of {rate} Hz"),
                format!(
                    "give increasing frequencies above 0 and below {} Hz",
                    rate / 2.0
                ),
            ));
        }
        let (w1, w2) = ((PI * low / rate).tan(), (PI * high / rate).tan());
        let (width, centre) = (w2 - w1, (w1 * w2).sqrt());
        let digital = |s: Complex64| (1.0 + s) / (1.0 - s);
        // Roots of s² - p s + centre².
        let split = |p: Complex64| {
            let root = (p * p - 4.0 * centre * centre).sqrt();
            [(p + root) / 2.0, (p - root) / 2.0]
        };
        let mut sections = Vec::new();
        let middle = digital(Complex64::new(0.0, centre));
        let numerator = |order: usize| match (band, order) {
            (Band::Lowpass(_), 1) => [1.0, 1.0, 0.0],
            (Band::Lowpass(_), _) => [1.0, 2.0, 1.0],
            (Band::Highpass(_), 1) => [1.0, -1.0, 0.0],
            (Band::Highpass(_), _) => [1.0, -2.0, 1.0],
            (Band::Bandpass(..), _) => [1.0, 0.0, -1.0],
            (Band::Bandstop(..), _) => [1.0, -2.0 * middle.re, 1.0],
        };
        let mut push = |z1: Complex64, z2: Complex64, order: usize| {
            sections.push(Section {
                b: numerator(order),
                a: [-(z1 + z2).re, (z1 * z2).re],
            });
        };
        for k in 0..order.div_ceil(2) {
            let angle = PI * (2 * k + order + 1) as f64 / (2 * order) as f64;
            let p = Complex64::from_polar(1.0, angle);
            let real = order % 2 == 1 && k == order / 2;
            let p = if real { Complex64::new(-1.0, 0.0) } else { p };
            match band {
                Band::Lowpass(_) | Band::Highpass(_) => {
                    let s = match band {
                        Band::Lowpass(_) => p * w1,
                        _ => w1 / p,
                    };
                    let z = digital(s);
                    if real {
                        push(z, Complex64::ZERO, 1);
                    } else {
                        push(z, z.conj(), 2);
                    }
                }
                Band::Bandpass(..) | Band::Bandstop(..) => {
                    let scaled = match band {
                        Band::Bandpass(..) => p * width,
                        _ => width / p,
                    };
                    let [s1, s2] = split(scaled);
                    if real {
                        push(digital(s1), digital(s2), 2);
                    } else {
                        push(digital(s1), digital(s1).conj(), 2);
                        push(digital(s2), digital(s2).conj(), 2);
                    }
                }
            }
        }
        let mut filter = Self { sections };
        let unity = match band {
            Band::Lowpass(_) | Band::Bandstop(..) => Complex64::ONE,
            Band::Highpass(_) => -Complex64::ONE,
            Band::Bandpass(..) => middle,
        };
        let gain = filter.response(unity).norm();
        for b in &mut filter.sections[0].b {
            *b /= gain;
        }
        Ok(filter)
    }

    /// The transfer function at `z`.
    fn response(&self, z: Complex64) -> Complex64 {
        let w = 1.0 / z;
        self.sections
            .iter()
            .map(|s| (s.b[0] + (s.b[1] + s.b[2] * w) * w) / (1.0 + (s.a[0] + s.a[1] * w) * w))
            .product()
    }

    /// Filters (nodes, time) in place, forward only or forward and backward.
    ///
    /// Both start in the steady state of the first value, so that an offset makes no transient.
    /// The forward-backward pass has no phase shift and the squared gain; the ends are extended
    /// by their point reflection, like SciPy's `sosfiltfilt`, though by less where the signal is
    /// shorter than the extension.
    pub fn apply(&self, mut x: ArrayViewMut2<'_, f32>, zero_phase: bool) {
        each_node(&mut x, |v| {
            if zero_phase {
                self.both_ways(v);
            } else {
                self.forward(v);
            }
        });
    }

    /// One causal pass, from the steady state of the first value.
    fn forward(&self, x: &mut [f64]) {
        let Some(first) = x.first().copied() else {
            return;
        };
        let mut level = first;
        for s in &self.sections {
            let gain = s.b.iter().sum::<f64>() / (1.0 + s.a[0] + s.a[1]);
            let mut z1 = (s.b[2] - s.a[1] * gain) * level;
            let mut z0 = (s.b[1] - s.a[0] * gain) * level + z1;
            level *= gain;
            for v in x.iter_mut() {
                let y = s.b[0] * *v + z0;
                z0 = s.b[1] * *v - s.a[0] * y + z1;
                z1 = s.b[2] * *v - s.a[1] * y;
                *v = y;
            }
        }
    }

    fn both_ways(&self, x: &mut [f64]) {
        let n = x.len();
        if n == 0 {
            return;
        }
        let zero_ends =
            |f: fn(&Section) -> f64| self.sections.iter().filter(|s| f(s) == 0.0).count();
        let taps = 2 * self.sections.len() + 1 - zero_ends(|s| s.b[2]).min(zero_ends(|s| s.a[1]));
        let pad = (3 * taps).min(n - 1);
        let (first, last) = (x[0], x[n - 1]);
        let mut long = Vec::with_capacity(n + 2 * pad);
        long.extend((1..=pad).rev().map(|i| 2.0 * first - x[i]));
        long.extend_from_slice(x);
        long.extend((1..=pad).map(|i| 2.0 * last - x[n - 1 - i]));
        self.forward(&mut long);
        long.reverse();
        self.forward(&mut long);
        long.reverse();
        x.copy_from_slice(&long[pad..pad + n]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Order, band, rate; values at 0, 3, 50, 99 of `sosfilt` with `sosfilt_zi` times the first value, and of
    /// `sosfiltfilt` (SciPy 1.17.1).
    type Case = (usize, Band, f64, [f64; 4], [f64; 4]);
    const SCIPY: &[Case] = &[
        (
            4,
            Band::Lowpass(7.0),
            100.0,
            [100.5, 100.488779883, 100.920220775, 101.398540179],
            [100.484041736, 100.877635446, 101.123158663, 100.069218199],
        ),
        (
            3,
            Band::Highpass(5.0),
            100.0,
            [
                0.000000000000e+00,
                0.62689981315,
                -1.09172364568,
                0.691953252693,
            ],
            [
                -0.0396612198063,
                0.298883945186,
                -0.212721401967,
                -0.104185299834,
            ],
        ),
        (
            2,
            Band::Bandpass(0.4, 18.0),
            100.0,
            [
                -9.421796676179e-12,
                -0.172887475887,
                1.05454675222,
                -0.858898353218,
            ],
            [
                -0.520388007922,
                -0.228669672019,
                0.461211214353,
                0.644351127086,
            ],
        ),
        (
            3,
            Band::Bandpass(12.5, 13.5),
            256.0,
            [
                1.734723475977e-18,
                -1.032017481748e-05,
                0.00509295681524,
                -0.0583837436158,
            ],
            [
                -0.0115044074284,
                0.0187117030924,
                0.00125795333232,
                7.668323761352e-06,
            ],
        ),
        (
            3,
            Band::Bandstop(48.0, 52.0),
            250.0,
            [100.5, 100.938167859, 100.718483338, 100.224162422],
            [100.50797522, 100.952520329, 100.660824944, 100.079024477],
        ),
        (
            5,
            Band::Lowpass(30.0),
            100.0,
            [100.5, 100.238678842, 101.811694645, 99.954747741],
            [100.499589469, 101.014501416, 100.72219665, 100.113369116],
        ),
    ];

    fn signal() -> Vec<f64> {
        (0..100)
            .map(|i| {
                let t = f64::from(i);
                100.0 + (0.3 * t).sin() + 0.5 * (1.7 * t).cos() + 0.01 * t
            })
            .collect()
    }

    #[test]
    fn matches_scipy() {
        for (order, band, rate, causal, both) in SCIPY {
            let filter = Filter::butterworth(*order, *band, *rate).unwrap();
            let (mut a, mut b) = (signal(), signal());
            filter.forward(&mut a);
            filter.both_ways(&mut b);
            for (i, t) in [0, 3, 50, 99].iter().enumerate() {
                assert!((a[*t] - causal[i]).abs() < 1e-8, "{band:?} {t} {}", a[*t]);
                assert!((b[*t] - both[i]).abs() < 1e-8, "{band:?} {t} {}", b[*t]);
            }
        }
    }

    #[test]
    fn half_power_at_the_edges() {
        for order in 1..9 {
            for band in [
                Band::Lowpass(7.0),
                Band::Highpass(7.0),
                Band::Bandpass(7.0, 45.0),
                Band::Bandstop(7.0, 45.0),
            ] {
                let filter = Filter::butterworth(order, band, 100.0).unwrap();
                let gain = filter
                    .response(Complex64::from_polar(1.0, std::f64::consts::TAU * 0.07))
                    .norm();
                assert!((gain * gain - 0.5).abs() < 1e-9, "{order} {band:?} {gain}");
            }
        }
    }

    #[test]
    fn impossible_edges_are_errors() {
        for band in [
            Band::Lowpass(50.0),
            Band::Highpass(0.0),
            Band::Bandpass(10.0, 10.0),
            Band::Bandpass(20.0, 10.0),
            Band::Lowpass(f64::NAN),
        ] {
            assert!(Filter::butterworth(4, band, 100.0).is_err(), "{band:?}");
        }
        assert!(Filter::butterworth(0, Band::Lowpass(1.0), 100.0).is_err());
    }

    #[test]
    fn signals_shorter_than_the_extension() {
        let filter = Filter::butterworth(4, Band::Lowpass(10.0), 100.0).unwrap();
        for n in 0..5 {
            let mut x = vec![3.0; n];
            filter.both_ways(&mut x);
            assert!(x.iter().all(|v| (v - 3.0).abs() < 1e-9));
        }
    }
}
