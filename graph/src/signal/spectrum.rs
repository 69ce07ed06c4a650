//! Spectra of windows: one frame of frequencies per segment of time.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView2, Axis};
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::Sample;
use super::power::Taper;
use crate::{Error, Result};

/// How a signal of some length is divided into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// Samples per frame.
    pub length: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Whether half a frame of zeros is put before and behind, and more behind to fill the last
    /// frame, as `scipy.signal.stft` does; otherwise a trailing rest is dropped.
    pub padded: bool,
}

impl Frames {
    /// First sample (negative inside the padding) of each frame of a signal of `n` samples.
    pub fn starts(&self, n: usize) -> impl Iterator<Item = isize> + use<> {
        let (length, hop) = (self.length.max(1), self.hop.max(1));
        let (count, offset) = if self.padded {
            let n = n + 2 * (length / 2);
            (n.saturating_sub(length).div_ceil(hop) + 1, length / 2)
        } else if n >= length {
            ((n - length) / hop + 1, 0)
        } else {
            (0, 0)
        };
        (0..count).map(move |i| (i * hop) as isize - offset as isize)
    }
}

/// Log-amplitude spectrum of a signal cut into segments: `ln(|FFT(segment)| + 1e-30)`.
///
/// (nodes, time) to (nodes, segments, bins); bin k is the frequency k·rate/length. Segments do
/// not overlap, are not tapered, and a trailing part is dropped. With one second and the first
/// half of the bins this is the representation of Tang et al., "Self-supervised graph neural
/// networks for improved electroencephalographic seizure analysis", ICLR 2022.
pub fn log_spectrum(x: ArrayView2<'_, f32>, length: usize, bins: Range<usize>) -> Array3<f32> {
    let frames = Frames {
        length,
        hop: length,
        padded: false,
    };
    transform(x, frames, bins, &vec![1.0; length], |value| {
        (value.norm_sqr().sqrt() + 1e-30).ln() as f32
    })
}

/// Logarithm of the power in frames: `ln(mean(x²) + 1e-30)`, (nodes, time) to (nodes, frames, 1).
/// Of a band-passed signal it is the band's power.
pub fn log_power(x: ArrayView2<'_, f32>, frames: Frames) -> Array3<f32> {
    let time = x.ncols();
    let starts: Vec<usize> = frames.starts(time).map(|s| s.max(0) as usize).collect();
    Array3::from_shape_fn((x.nrows(), starts.len(), 1), |(v, i, _)| {
        let end = (starts[i] + frames.length).min(time);
        let square: f64 = (starts[i]..end).map(|t| f64::from(x[[v, t]]).powi(2)).sum();
        (square / (end - starts[i]).max(1) as f64 + 1e-30).ln() as f32
    })
}

/// Short-time Fourier transform: `log10(|X|² + 1e-10)`, clipped to ±20, where X is
/// [`short_time_fourier`] with a Hamming window.
///
/// (nodes, time) to (nodes, frames, bins); bin k is the frequency k·rate/length.
pub fn stft(x: ArrayView2<'_, f32>, frames: Frames, bins: Range<usize>) -> Array3<f32> {
    transform(x, frames, bins, &normed(Taper::Hamming, frames), |value| {
        (value.norm_sqr() + 1e-10).log10().clamp(-20.0, 20.0) as f32
    })
}

/// Short-time Fourier transform: the FFT of each frame times a periodic taper, over the sum of
/// that taper; an oscillation of amplitude 1 at a bin's frequency gives ½.
///
/// (nodes, time) to (nodes, frames, length / 2 + 1); bin k is the frequency k·rate/length. Equal to
/// `scipy.signal.stft(x, window=taper, nperseg=length, noverlap=length - hop)` where
/// `frames.padded`, with the last two axes the other way round; otherwise to the same with
/// `boundary=None, padded=False`.
pub fn short_time_fourier<T: Sample>(
    x: ArrayView2<'_, T>,
    frames: Frames,
    taper: Taper,
) -> Array3<Complex64> {
    let bins = 0..frames.length / 2 + 1;
    transform(x, frames, bins, &normed(taper, frames), |value| value)
}

fn normed(taper: Taper, frames: Frames) -> Vec<f64> {
    let mut taper = taper.values(frames.length);
    let sum: f64 = taper.iter().sum();
    for t in &mut taper {
        *t /= sum;
    }
    taper
}

fn transform<T: Sample, O: Copy + Default + Send + Sync>(
    x: ArrayView2<'_, T>,
    frames: Frames,
    bins: Range<usize>,
    taper: &[f64],
    value: impl Fn(Complex64) -> O + Sync,
) -> Array3<O> {
    let time = x.ncols();
    let starts: Vec<isize> = frames.starts(time).collect();
    let mut out = Array3::default((x.nrows(), starts.len(), bins.len()));
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
        return out;
    };
    if out.is_empty() {
        return out;
    }
    let before = first.unsigned_abs();
    let reach = last.saturating_add_unsigned(before + frames.length);
    let long = reach.unsigned_abs().max(before + time);
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(frames.length);
    out.axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(x.axis_iter(Axis(0)))
        .for_each(|(mut out, row)| {
            let mut padded = vec![0.0; long];
            for (to, from) in padded[before..].iter_mut().zip(row) {
                *to = from.to_f64();
            }
            let mut input = fft.make_input_vec();
            let mut spectrum = fft.make_output_vec();
            let mut scratch = fft.make_scratch_vec();
            for (mut frame, start) in out.outer_iter_mut().zip(&starts) {
                let samples = &padded[start.saturating_add_unsigned(before).unsigned_abs()..];
                for ((to, v), w) in input.iter_mut().zip(samples).zip(taper) {
                    *to = v * w;
                }
                // The only error is a buffer of the wrong length, and these come from the plan.
                let done = fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
                debug_assert!(done.is_ok());
                for (to, c) in frame.iter_mut().zip(&spectrum[bins.clone()]) {
                    *to = value(*c);
                }
            }
        });
    out
}

/// Bins of an FFT of `length` samples: the frequencies from `fmin` to `fmax` hertz (both
/// included), at most the first `bins` of them. Without any bound, those below the Nyquist
/// frequency.
///
/// # Errors
/// [`Error::Config`] when nothing is left.
pub fn bin_range(
    length: usize,
    rate: f64,
    fmin: Option<f64>,
    fmax: Option<f64>,
    bins: Option<usize>,
) -> Result<Range<usize>> {
    let step = rate / length as f64;
    let available = length / 2 + 1;
    // A frequency that is a multiple of the step should not be lost to rounding.
    let first = fmin.map_or(0, |f| (f / step - 1e-9).ceil().max(0.0) as usize);
    let mut end = match (fmax, bins) {
        (Some(f), _) => ((f / step + 1e-9).floor() + 1.0).max(0.0) as usize,
        (None, Some(_)) => available,
        (None, None) => length.div_ceil(2),
    };
    if let Some(n) = bins {
        end = end.min(first.saturating_add(n));
    }
    let end = end.min(available);
    if first >= end {
        return Err(Error::config(
            "features.fmin, fmax",
            format!(
                "no frequency of 0 to {} Hz in steps of {step} Hz is left",
                rate / 2.0
            ),
            "widen the range, or lengthen the segment or window for finer steps",
        ));
    }
    Ok(first..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn signal() -> Array2<f32> {
        Array2::from_shape_fn((2, 50), |(v, t)| {
            let t = t as f64;
            ((0.4 * t).sin() + 0.1 * t + v as f64 * (1.1 * t).cos()) as f32
        })
    }

    fn close(a: f32, b: f64) {
        assert!(
            (f64::from(a) - b).abs() < 2e-5 * b.abs().max(1.0),
            "{a} {b}"
        );
    }

    #[test]
    fn log_power_is_the_mean_square_of_each_frame() {
        let x = ndarray::arr2(&[[1.0f32, -1.0, 3.0, 3.0, 9.0]]);
        let frames = Frames {
            length: 2,
            hop: 2,
            padded: false,
        };
        let y = log_power(x.view(), frames);
        assert_eq!(y.dim(), (1, 2, 1));
        assert_eq!(y[[0, 0, 0]], 0.0);
        assert!((y[[0, 1, 0]] - 9f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn log_spectrum_matches_numpy() {
        let y = log_spectrum(signal().view(), 10, 1..5);
        assert_eq!(y.dim(), (2, 5, 4));
        close(y[[0, 0, 0]], 1.10801743);
        close(y[[0, 4, 3]], 0.015052547);
        close(y[[1, 2, 1]], 1.4076959);
    }

    #[test]
    fn stft_matches_scipy() {
        let frames = Frames {
            length: 16,
            hop: 6,
            padded: true,
        };
        let y = stft(signal().view(), frames, 0..9);
        assert_eq!(y.dim(), (2, 10, 9));
        close(y[[0, 0, 0]], -0.711211763);
        close(y[[0, 4, 3]], -4.19947918);
        close(y[[1, 9, 8]], -1.94108096);
        let inner = Frames {
            padded: false,
            ..frames
        };
        let z = stft(signal().view(), inner, 2..4);
        assert_eq!(z.dim(), (2, 6, 2));
        // scipy.signal.stft(..., boundary=None, padded=False)
        close(z[[1, 5, 1]], -0.639370602);
    }

    #[test]
    fn reference_frame_counts() {
        // 30 s at 100 Hz with frames of 2.56 s every second: 31 frames of 129 frequencies.
        let frames = Frames {
            length: 256,
            hop: 100,
            padded: true,
        };
        let x = Array2::zeros((1, 3000));
        assert_eq!(stft(x.view(), frames, 0..129).dim(), (1, 31, 129));
        assert_eq!(stft(x.view(), frames, 0..1)[[0, 0, 0]], -10.0);
        // 10 s at 200 Hz: 10 segments of 100 frequencies.
        let x = Array2::zeros((19, 2000));
        let bins = bin_range(200, 200.0, None, None, None).unwrap();
        assert_eq!(log_spectrum(x.view(), 200, bins).dim(), (19, 10, 100));
    }

    #[test]
    fn bins_by_frequency() {
        assert_eq!(
            bin_range(512, 256.0, Some(10.0), Some(50.0), None).unwrap(),
            20..101
        );
        assert_eq!(bin_range(200, 200.0, None, None, Some(3)).unwrap(), 0..3);
        assert_eq!(
            bin_range(256, 100.0, None, Some(1e9), None).unwrap(),
            0..129
        );
        assert_eq!(
            bin_range(70, 0.7, Some(0.07), Some(0.07), None).unwrap(),
            7..8
        );
        assert!(bin_range(200, 200.0, Some(10.2), Some(10.8), None).is_err());
        assert!(bin_range(200, 200.0, Some(150.0), None, None).is_err());
    }

    #[test]
    fn short_signals_have_no_frame_without_padding() {
        let x = Array2::zeros((2, 5));
        assert_eq!(log_spectrum(x.view(), 8, 0..4).dim(), (2, 0, 4));
    }
}
