//! Where the coefficients of filters come from.
//!
//! A low-pass prototype with poles p and gain Π(-p) is brought to the band by a transformation of
//! frequency, and to discrete time by the bilinear transform `z = (1 + s) / (1 - s)`, with edges
//! warped by `tan(π f / rate)`. Source: Oppenheim and Schafer, "Discrete-Time Signal Processing",
//! chapter 7. The gain is a product over the poles before the transform: sums of the coefficients
//! would lose its digits at low edges.

use std::f64::consts::PI;

use realfft::num_complex::Complex64;

use super::{Band, BesselNorm, Filter, Section, bessel};
use crate::{Error, Result};

impl Filter {
    /// Butterworth filter: flat in the pass band, gain √½ at the edges. Band filters of `order` n
    /// have 2n poles, as in SciPy. Prototype: poles `exp(jπ(2k + n + 1) / 2n)`.
    ///
    /// # Errors
    /// [`Error::Config`] when the order is 0 or above 20, an edge is not inside (0, rate / 2),
    /// edges are not increasing, or they are so close to 0, to rate / 2 or to each other that the
    /// coefficients round to an unstable filter.
    pub fn butterworth(order: usize, band: Band, rate: f64) -> Result<Self> {
        check(order, band, rate)?;
        let poles: Vec<Complex64> = (0..order.div_ceil(2))
            .map(|k| {
                if 2 * k + 1 == order {
                    return Complex64::new(-1.0, 0.0);
                }
                let angle = PI * (2 * k + order + 1) as f64 / (2 * order) as f64;
                Complex64::from_polar(1.0, angle)
            })
            .collect();
        from_prototype(&poles, band, rate)
    }

    /// Bessel filter: its delay hardly depends on the frequency, so that shapes survive it.
    /// Where the edges are, `norm` says; otherwise as [`butterworth`](Self::butterworth).
    ///
    /// # Errors
    /// As [`butterworth`](Self::butterworth).
    pub fn bessel(order: usize, band: Band, rate: f64, norm: BesselNorm) -> Result<Self> {
        check(order, band, rate)?;
        from_prototype(&bessel::poles(order, norm), band, rate)
    }

    /// Second-order notch: removes `frequency` (hertz) and, at half power, `frequency / quality`
    /// around it; SciPy's `iirnotch`.
    ///
    /// # Errors
    /// [`Error::Config`] when the frequency is not inside (0, rate / 2), or the quality is not
    /// positive or leaves no stable filter.
    pub fn notch(frequency: f64, quality: f64, rate: f64) -> Result<Self> {
        if !(frequency > 0.0 && frequency < rate / 2.0 && rate.is_finite()) {
            return Err(Error::config(
                "notch",
                format!("{frequency} Hz does not fit a sampling rate of {rate} Hz"),
                format!("give a frequency above 0 and below {} Hz", rate / 2.0),
            ));
        }
        let width = PI * frequency / rate / quality;
        if !(quality.is_finite() && width > 0.0 && width < PI / 2.0) {
            return Err(Error::config(
                "notch",
                format!("a quality of {quality} is too low, or no number"),
                "give frequency over width (30 is usual)",
            ));
        }
        let gain = 1.0 / (1.0 + width.tan());
        let middle = (2.0 * PI * frequency / rate).cos();
        Self::checked(vec![Section {
            b: [gain, -2.0 * gain * middle, gain],
            a: [-2.0 * gain * middle, 2.0 * gain - 1.0],
        }])
    }

    /// The filter of these sections, if each of them is stable.
    fn checked(sections: Vec<Section>) -> Result<Self> {
        let stable = |s: &Section| {
            let [a1, a2] = s.a;
            // The triangle of stability; the sum is exact, see `Section::gain`.
            a2.abs() < 1.0 && sum([1.0, a2, -a1.abs()]) > 0.0 && s.b.iter().all(|b| b.is_finite())
        };
        if sections.iter().all(stable) {
            return Ok(Self { sections });
        }
        Err(Error::config(
            "filter",
            "has poles too close to the unit circle to be told from unstable ones",
            "lower the sampling rate first, widen the band, or move its edges away from 0",
        ))
    }
}

/// a + b + c, rounded once (Neumaier).
pub(super) fn sum(values: [f64; 3]) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0);
    for v in values {
        let next = total + v;
        lost += if total.abs() >= v.abs() {
            (total - next) + v
        } else {
            (v - next) + total
        };
        total = next;
    }
    total + lost
}

fn check(order: usize, band: Band, rate: f64) -> Result<()> {
    if !(1..=20).contains(&order) {
        return Err(Error::config(
            "filter_order",
            format!("is {order}"),
            "choose 1 to 20 (4 is usual)",
        ));
    }
    let (low, high) = band.edges();
    let inside = low > 0.0 && high < rate / 2.0 && rate.is_finite();
    if inside && (low < high || !band.has_two_edges()) {
        return Ok(());
    }
    Err(Error::config(
        "filter",
        format!("{band:?} Hz does not fit a sampling rate of {rate} Hz"),
        format!(
            "give increasing frequencies above 0 and below {} Hz",
            rate / 2.0
        ),
    ))
}

/// All poles of a prototype, conjugates included.
fn count(upper: &[Complex64]) -> usize {
    upper.iter().map(|p| if p.im == 0.0 { 1 } else { 2 }).sum()
}

/// The filter of a prototype given by its poles with non-negative imaginary part.
fn from_prototype(poles: &[Complex64], band: Band, rate: f64) -> Result<Filter> {
    let (low, high) = band.edges();
    let (w1, w2) = ((PI * low / rate).tan(), (PI * high / rate).tan());
    // tan w2 - tan w1 without its cancellation.
    let width =
        (PI * (high - low) / rate).sin() / ((PI * low / rate).cos() * (PI * high / rate).cos());
    let centre = (w1 * w2).sqrt();
    let middle = (1.0 - w1 * w2) / (1.0 + w1 * w2);
    let digital = |s: Complex64| (1.0 + s) / (1.0 - s);
    // Roots of s² - p s + centre².
    let split = |p: Complex64| {
        let root = (p * p - 4.0 * centre * centre).sqrt();
        // The larger root has no cancellation, and their product is known.
        let sign = if (p.conj() * root).re < 0.0 {
            -1.0
        } else {
            1.0
        };
        let large = (p + sign * root) / 2.0;
        [large, centre * centre / large]
    };
    // Poles of one section, and of how many orders it is.
    let mut pairs: Vec<([Complex64; 2], usize)> = Vec::new();
    let mut gain = Complex64::ONE;
    for &p in poles {
        let real = p.im == 0.0;
        match band {
            Band::Lowpass(_) | Band::Highpass(_) => {
                let is_low = matches!(band, Band::Lowpass(_));
                let s = if is_low { p * w1 } else { w1 / p };
                let factor = if is_low { -s } else { Complex64::ONE } / (1.0 - s);
                if real {
                    gain *= factor;
                    pairs.push(([digital(s), Complex64::ZERO], 1));
                } else {
                    gain *= factor.norm_sqr();
                    pairs.push(([digital(s), digital(s.conj())], 2));
                }
            }
            Band::Bandpass(..) | Band::Bandstop(..) => {
                let is_pass = matches!(band, Band::Bandpass(..));
                let scaled = if is_pass { p * width } else { width / p };
                let [s1, s2] = split(scaled);
                let numerator = if is_pass {
                    -scaled
                } else {
                    Complex64::new(1.0 + centre * centre, 0.0)
                };
                let factor = numerator / ((1.0 - s1) * (1.0 - s2));
                if real {
                    gain *= factor;
                    pairs.push(([digital(s1), digital(s2)], 2));
                } else {
                    gain *= factor.norm_sqr();
                    for s in [s1, s2] {
                        pairs.push(([digital(s), digital(s.conj())], 2));
                    }
                }
            }
        }
    }
    // Resonances last, as SciPy has them: what precedes them keeps the amplitudes small.
    let radius = |z: &[Complex64; 2]| z[0].norm().max(z[1].norm());
    pairs.sort_by(|a, b| radius(&a.0).total_cmp(&radius(&b.0)));
    // Of the zeros of a band-pass at 1 and -1, n each, those poles nearest to the circle have the
    // first choice, again as in SciPy: a pole without a zero beside it amplifies what the sections
    // before it rounded away.
    let mut left = [count(poles); 2];
    let mut nearest = |pole: Complex64| {
        let wanted = usize::from(pole.re < 0.0);
        let taken = if left[wanted] > 0 { wanted } else { 1 - wanted };
        left[taken] = left[taken].saturating_sub(1);
        if taken == 0 { 1.0 } else { -1.0 }
    };
    let mut sections: Vec<Section> = pairs
        .into_iter()
        .rev()
        .map(|([z1, z2], order)| Section {
            b: match (band, order) {
                (Band::Lowpass(_), 1) => [1.0, 1.0, 0.0],
                (Band::Lowpass(_), _) => [1.0, 2.0, 1.0],
                (Band::Highpass(_), 1) => [1.0, -1.0, 0.0],
                (Band::Highpass(_), _) => [1.0, -2.0, 1.0],
                (Band::Bandpass(..), _) => {
                    let (a, b): (f64, f64) = (nearest(z1), nearest(z2));
                    [1.0, -(a + b), a * b]
                }
                (Band::Bandstop(..), _) => [1.0, -2.0 * middle, 1.0],
            },
            a: [-(z1 + z2).re, (z1 * z2).re],
        })
        .collect();
    sections.reverse();
    if let Some(first) = sections.first_mut() {
        for b in &mut first.b {
            *b *= gain.re;
        }
    }
    let mut filter = Filter::checked(sections)?;
    // Rounded coefficients have another gain at 0, where offsets are.
    if matches!(band, Band::Lowpass(_) | Band::Bandstop(..)) {
        let at_zero = filter.gain_at_zero();
        for b in &mut filter.sections[0].b {
            *b /= at_zero;
        }
    }
    // Where all poles are next to the unit circle that gain may be nothing at all.
    Filter::checked(filter.sections)
}
