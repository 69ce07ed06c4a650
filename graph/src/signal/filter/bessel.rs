//! Poles of the Bessel low-pass prototype.
//!
//! They are the roots of the reverse Bessel polynomials `θ_n = (2n - 1) θ_{n-1} + x² θ_{n-2}`,
//! `θ_0 = 1`, `θ_1 = x + 1`, with `θ_n' = θ_n - x θ_{n-1}`. The recurrence loses about half a
//! digit per order near the roots, so that the last steps are done in twice the precision.

use std::f64::consts::PI;
use std::ops::{Add, Mul};

use realfft::num_complex::Complex64;

/// What stays the same when the order of a Bessel filter changes; SciPy's `norm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BesselNorm {
    /// The phase: half of its whole turn at the edge, and far above it the same decay as
    /// Butterworth's.
    #[default]
    Phase,
    /// The group delay in the pass band: one over the edge (in radians per second, before
    /// warping).
    Delay,
    /// The gain at the edge: √½, as Butterworth's.
    Mag,
}

/// Poles with non-negative imaginary part, by falling imaginary part (a real pole comes last).
/// Their gain is the product of the negated poles, conjugates included.
pub(super) fn poles(order: usize, norm: BesselNorm) -> Vec<Complex64> {
    let roots = roots(order);
    let scale = match norm {
        BesselNorm::Delay => 1.0,
        BesselNorm::Phase => 1.0 / geometric_mean(order),
        BesselNorm::Mag => 1.0 / half_power(&roots),
    };
    let mut upper: Vec<Complex64> = roots
        .into_iter()
        .filter(|r| r.im >= 0.0)
        .map(|r| r * scale)
        .collect();
    upper.sort_by(|a, b| b.im.total_cmp(&a.im));
    upper
}

/// n-th root of the product of the poles' absolute values, `(2n)! / (2^n n!)`.
fn geometric_mean(order: usize) -> f64 {
    let log: f64 = (1..=order).map(|k| ((2 * k - 1) as f64).ln()).sum();
    (log / order as f64).exp()
}

/// All roots of `θ_n`, by the simultaneous iteration of Aberth, then Newton's in twice the
/// precision.
fn roots(order: usize) -> Vec<Complex64> {
    let radius = geometric_mean(order);
    let mut x: Vec<Complex64> = (0..order)
        .map(|k| {
            Complex64::from_polar(radius, PI * (2 * k + order + 1) as f64 / (2 * order) as f64)
        })
        .collect();
    for _ in 0..60 {
        for i in 0..order {
            let (value, before) = theta(order, x[i]);
            let newton = value / (value - x[i] * before);
            let others: Complex64 = (0..order)
                .filter(|j| *j != i)
                .map(|j| 1.0 / (x[i] - x[j]))
                .sum();
            x[i] -= newton / (1.0 - newton * others);
        }
    }
    for root in &mut x {
        for _ in 0..3 {
            let (value, before) = theta(order, Wide::from(*root));
            let (value, before) = (value.narrow(), before.narrow());
            *root -= value / (value - *root * before);
        }
        // The middle root of an odd order is real.
        if root.im.abs() < 1e-9 * root.norm() {
            root.im = 0.0;
        }
    }
    x
}

/// `θ_n(x)` and `θ_{n-1}(x)`.
fn theta<T>(order: usize, x: T) -> (T, T)
where
    T: Copy + From<Complex64> + Add<Output = T> + Mul<Output = T>,
{
    let real = |v: f64| T::from(Complex64::new(v, 0.0));
    let (mut before, mut value) = (real(1.0), x + real(1.0));
    for n in 2..=order {
        (before, value) = (value, real((2 * n - 1) as f64) * value + x * x * before);
    }
    (value, before)
}

/// Where the gain has fallen to √½, by bisection: it falls with the frequency.
fn half_power(poles: &[Complex64]) -> f64 {
    let power = |w: f64| -> f64 {
        poles
            .iter()
            .map(|p| p.norm_sqr() / (Complex64::new(0.0, w) - p).norm_sqr())
            .product()
    };
    let (mut low, mut high) = (0.0, 1.0);
    while power(high) > 0.5 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if power(middle) > 0.5 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// A number as the sum of two, the second below the rounding of the first.
#[derive(Clone, Copy)]
struct Double(f64, f64);

impl Double {
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let t = s - a;
        Self(s, (a - (s - t)) + (b - t))
    }
}

impl Add for Double {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self(high, low) = Self::sum(self.0, other.0);
        Self::sum(high, low + self.1 + other.1)
    }
}

impl Mul for Double {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let high = self.0 * other.0;
        let low = self.0.mul_add(other.0, -high) + self.0 * other.1 + self.1 * other.0;
        Self::sum(high, low)
    }
}

/// A complex number of twice the precision: real and imaginary part.
#[derive(Clone, Copy)]
struct Wide(Double, Double);

impl Wide {
    fn narrow(self) -> Complex64 {
        Complex64::new(self.0.0 + self.0.1, self.1.0 + self.1.1)
    }
}

impl From<Complex64> for Wide {
    fn from(z: Complex64) -> Self {
        Self(Double(z.re, 0.0), Double(z.im, 0.0))
    }
}

impl Add for Wide {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl Mul for Wide {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let minus = Double(-1.0, 0.0);
        Self(
            self.0 * other.0 + minus * (self.1 * other.1),
            self.0 * other.1 + self.1 * other.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Order, and the root of `θ_n` with the largest imaginary part, to 60 digits by mpmath and
    /// rounded.
    const MPMATH: &[(usize, f64, f64)] = &[
        (1, -1.0, 0.0),
        (2, -1.5, 0.8660254037844386),
        (5, -2.3246743031816453, 3.571022920337976),
        (10, -3.108916233649098, 8.232699459073587),
        (20, -4.071018561816317, 17.771869068885456),
    ];

    #[test]
    fn roots_match_many_digits() {
        for (order, re, im) in MPMATH {
            let first = poles(*order, BesselNorm::Delay)[0];
            let off = (first - Complex64::new(*re, *im)).norm() / first.norm();
            assert!(off < 4e-16, "{order} {first} {off}");
        }
    }

    #[test]
    fn norms_fix_what_they_say() {
        for order in 1..=20 {
            let all = |norm| {
                let upper = poles(order, norm);
                let lower: Vec<Complex64> = upper
                    .iter()
                    .filter(|p| p.im > 0.0)
                    .map(|p| p.conj())
                    .collect();
                [upper, lower].concat()
            };
            let phase = all(BesselNorm::Phase);
            assert_eq!(phase.len(), order);
            let product: Complex64 = phase.iter().map(|p| -p).product();
            assert!((product - 1.0).norm() < 1e-12, "{order} {product}");
            let edge: f64 = all(BesselNorm::Mag)
                .iter()
                .map(|p| p.norm_sqr() / (Complex64::I - p).norm_sqr())
                .product();
            assert!((edge - 0.5).abs() < 1e-12, "{order} {edge}");
            // The group delay at 0 is the sum of -1/p.
            let delay: Complex64 = all(BesselNorm::Delay).iter().map(|p| -1.0 / p).sum();
            assert!((delay - 1.0).norm() < 1e-12, "{order} {delay}");
        }
    }
}
