//! Power spectra and the power in bands of frequency.

use std::f64::consts::TAU;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};
use realfft::RealFftPlanner;
use serde::{Deserialize, Serialize};

use super::Sample;
use super::spectrum::Frames;
use crate::{Error, Result};

/// What frames are multiplied with before their spectrum is taken, all periodic: value i of n is
/// Σ (-1)^k c_k cos(2π k i / n).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taper {
    /// 1 throughout.
    Boxcar,
    /// c = 0.5, 0.5.
    #[default]
    Hann,
    /// c = 0.54, 0.46.
    Hamming,
    /// c = 0.42, 0.5, 0.08.
    Blackman,
}

impl Taper {
    /// Its `n` values, as `scipy.signal.get_window(name, n)`.
    pub fn values(self, n: usize) -> Vec<f64> {
        let c: &[f64] = match self {
            Self::Boxcar => &[1.0],
            Self::Hann => &[0.5, 0.5],
            Self::Hamming => &[0.54, 0.46],
            Self::Blackman => &[0.42, 0.5, 0.08],
        };
        // A single value has no period to fall over.
        let at = |i: usize| match n {
            1 => 1.0,
            _ => c
                .iter()
                .enumerate()
                .map(|(k, c)| {
                    let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
                    sign * c * (TAU * (k * i) as f64 / n as f64).cos()
                })
                .sum(),
        };
        (0..n).map(at).collect()
    }
}

/// Power spectral density of (nodes, time) by Welch's method: (nodes, segment / 2 + 1), in the
/// square of the unit per hertz; bin k is the frequency k · rate / segment.
///
/// The mean over segments of |FFT(taper · (x - mean(x)))|² / (rate · Σ taper²), doubled where a bin
/// stands for two frequencies. Segments overlap by `overlap` samples, and a trailing part that
/// fills none is dropped; with one segment of all samples it is the periodogram. Equal to
/// `scipy.signal.welch(x, rate, window, segment, overlap)`.
///
/// # Errors
/// [`Error::Config`] when the segment is empty or longer than the signal, or the overlap is not
/// shorter than it.
pub fn welch<T: Sample>(
    x: ArrayView2<'_, T>,
    rate: f64,
    segment: usize,
    overlap: usize,
    taper: Taper,
) -> Result<Array2<f64>> {
    if segment == 0 || segment > x.ncols() || overlap >= segment {
        return Err(Error::config(
            "features.segment_seconds",
            format!(
                "segments of {segment} samples that overlap by {overlap} in {}",
                x.ncols()
            ),
            "give segments no longer than the window, and a smaller overlap",
        ));
    }
    let frames = Frames {
        length: segment,
        hop: segment - overlap,
        padded: false,
    };
    let starts: Vec<usize> = frames.starts(x.ncols()).map(|s| s.unsigned_abs()).collect();
    let taper = taper.values(segment);
    let square: f64 = taper.iter().map(|w| w * w).sum();
    let scale = 1.0 / (rate * square * starts.len() as f64);
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(segment);
    let mut out = Array2::zeros((x.nrows(), segment / 2 + 1));
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(x.axis_iter(Axis(0)))
        .for_each(|(mut out, row)| {
            let row: Vec<f64> = row.iter().map(|v| v.to_f64()).collect();
            let mut input = fft.make_input_vec();
            let mut spectrum = fft.make_output_vec();
            let mut scratch = fft.make_scratch_vec();
            for start in &starts {
                let samples = &row[*start..start + segment];
                let first = samples[0];
                // Differences first: a large offset would cost the mean its digits.
                let mean = samples.iter().map(|v| v - first).sum::<f64>() / segment as f64;
                for ((to, v), w) in input.iter_mut().zip(samples).zip(&taper) {
                    *to = (v - first - mean) * w;
                }
                // The only error is a buffer of the wrong length, and these come from the plan.
                let done = fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
                debug_assert!(done.is_ok());
                for (to, c) in out.iter_mut().zip(&spectrum) {
                    *to += c.norm_sqr();
                }
            }
            for (k, v) in out.iter_mut().enumerate() {
                let alone = k == 0 || 2 * k == segment;
                *v *= if alone { scale } else { 2.0 * scale };
            }
        });
    Ok(out)
}

/// Power of (nodes, time) in each of `bands` (low ≤ f < high, hertz): (nodes, bands), in the square
/// of the unit; the sum of [`welch`] over the band's bins times their distance. Segments overlap by
/// half under a Hann taper.
///
/// # Errors
/// As [`welch`]; and when a band contains no bin.
pub fn band_power<T: Sample>(
    x: ArrayView2<'_, T>,
    rate: f64,
    segment: usize,
    bands: &[[f64; 2]],
) -> Result<Array2<f64>> {
    let density = welch(x, rate, segment, segment / 2, Taper::Hann)?;
    let step = rate / segment as f64;
    let mut out = Array2::zeros((x.nrows(), bands.len()));
    for ([low, high], mut column) in bands.iter().zip(out.columns_mut()) {
        // A multiple of the step should not be lost to rounding.
        let first = (low / step - 1e-9).ceil().max(0.0) as usize;
        let end = ((high / step - 1e-9).ceil().max(0.0) as usize).min(density.ncols());
        if first >= end {
            return Err(Error::config(
                "features.bands",
                format!("[{low}, {high}] has no frequency in steps of {step} Hz"),
                "widen the band, or lengthen the segment for finer steps",
            ));
        }
        for (to, row) in column.iter_mut().zip(density.rows()) {
            *to = row.iter().take(end).skip(first).sum::<f64>() * step;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_a_wave_is_in_its_band() {
        // 3 sin has the power 4.5.
        let x = Array2::from_shape_fn((1, 1000), |(_, t)| {
            100.0 + 3.0 * (TAU * 10.0 * t as f64 / 250.0).sin()
        });
        let p = band_power(
            x.view(),
            250.0,
            500,
            &[[8.0, 13.0], [13.0, 30.0], [0.0, 4.0]],
        )
        .unwrap();
        assert!((p[[0, 0]] - 4.5).abs() < 1e-9, "{p}");
        assert!(p[[0, 1]] < 1e-9 && p[[0, 2]] < 1e-9, "{p}");
        assert!(band_power(x.view(), 250.0, 500, &[[8.1, 8.4]]).is_err());
        assert!(band_power(x.view(), 250.0, 1001, &[[8.0, 13.0]]).is_err());
        assert!(welch(x.view(), 250.0, 10, 10, Taper::Hann).is_err());
        assert!(welch(x.view(), 250.0, 0, 0, Taper::Hann).is_err());
    }

    #[test]
    fn bands_side_by_side_share_no_bin() {
        let x = Array2::from_shape_fn((2, 256), |(v, t)| ((t * t * (v + 3)) % 31) as f32);
        let p = band_power(
            x.view(),
            128.0,
            64,
            &[[2.0, 10.0], [10.0, 20.0], [2.0, 20.0]],
        )
        .unwrap();
        for row in p.rows() {
            assert!((row[0] + row[1] - row[2]).abs() < 1e-12 * row[2]);
        }
    }
}
