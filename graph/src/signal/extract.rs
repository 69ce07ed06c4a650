//! From a recording to what a model sees of it: the application of a [`FeatureConfig`].
//!
//! Order: named reference, montage (on the set of recordings); average reference, steps, trend,
//! filter, filter bank, crop, decimation (on each recording); then windows are cut, and disturbed
//! ones left out; then spectrum and standardisation (each window for itself).

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut3, Axis, Zip, concatenate, s};

use super::features::{FeatureConfig, Standardize, Transform};
use super::power::band_power;
use super::spectrum::{Frames, bin_range, log_power, log_spectrum, stft};
use super::{Band, Filter, Reference, common_average, decimate, detrend, steps};
use crate::windows::RecordingSet;
use crate::{Error, Result};

fn no_rate(field: &str) -> Error {
    Error::config(
        field,
        "needs the sampling rate, which is not known",
        "set sampling_rate in dataset.toml, or leave this option out",
    )
}

impl FeatureConfig {
    /// Sampling rate after all steps and decimation, of a recording at `rate`.
    pub fn rate(&self, rate: Option<f64>) -> Option<f64> {
        self.stepped_rate(rate)
            .map(|r| r / self.decimate.max(1) as f64)
    }

    fn stepped_rate(&self, rate: Option<f64>) -> Option<f64> {
        self.steps.iter().fold(rate, |rate, step| step.rate(rate))
    }

    /// What needs the names of the sensors: the named reference and the montage. It comes before
    /// [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// [`Error::Config`] when a channel is not among the sensors, or a montage does not fit the
    /// set.
    pub fn rereference(&self, set: RecordingSet) -> Result<RecordingSet> {
        let set = self.reference.apply(set)?;
        match &self.montage {
            Some(montage) => montage.apply(set),
            None => Ok(set),
        }
    }

    /// For each time step that [`prepare`](Self::prepare) makes of a recording of `n` at `rate`,
    /// the nearest time step of the recording: whose label and mask it has.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn time_steps(&self, n: usize, rate: Option<f64>) -> Result<Vec<usize>> {
        let times = self.times(n, rate)?;
        Ok((0..times.len).map(|t| times.at(t)).collect())
    }

    /// Samples that the crop keeps of a signal of `n`, both as they are after all steps.
    ///
    /// # Errors
    /// [`Error::Config`] without a sampling rate, or when the crop is not inside the recording.
    pub fn crop(&self, n: usize, rate: Option<f64>) -> Result<std::ops::Range<usize>> {
        let Some([start, end]) = self.crop_seconds else {
            return Ok(0..n);
        };
        let rate = rate.ok_or_else(|| no_rate("features.crop_seconds"))?;
        let (a, b) = ((start * rate).round(), (end * rate).round());
        if !(0.0 <= a && a < b && b <= n as f64) {
            return Err(Error::config(
                "features.crop_seconds",
                format!(
                    "[{start}, {end}] is not inside a recording of {} s",
                    n as f64 / rate
                ),
                "give start and end in seconds from the start of the recording",
            ));
        }
        Ok(a as usize..b as usize)
    }

    /// Everything that is done to a whole recording and needs no names: (nodes, time, features) to
    /// (nodes, time', features'), with time resampled, cropped and decimated, and features
    /// multiplied by the number of bands of a filter bank. `rate` is that of the recording.
    ///
    /// # Errors
    /// [`Error::Config`] when the sampling rate is needed and unknown, or an option does not fit
    /// it.
    pub fn prepare(&self, mut x: Array3<f32>, rate: Option<f64>) -> Result<Array3<f32>> {
        if self.reference == Reference::Average {
            x.axis_iter_mut(Axis(2)).for_each(common_average);
        }
        let (mut x, rate) = steps::run(&self.steps, x, rate)?;
        let filters = self.filters(rate)?;
        let keep = self.crop(x.len_of(Axis(1)), rate)?;
        for mut plane in x.axis_iter_mut(Axis(2)) {
            detrend(plane.view_mut(), self.detrend);
            for filter in &filters {
                filter.apply(plane.view_mut(), self.zero_phase);
            }
        }
        if let Transform::Filterbank { bands } | Transform::BandPower { bands, .. } =
            &self.transform
        {
            x = self.filterbank(x.view(), bands, rate)?;
        }
        let x = x.slice_move(s![.., keep, ..]);
        if self.decimate <= 1 {
            return Ok(x);
        }
        let planes: Vec<Array2<f32>> = x
            .axis_iter(Axis(2))
            .map(|p| decimate(p, self.decimate, self.zero_phase))
            .collect();
        let views: Vec<_> = planes
            .iter()
            .map(|p| p.view().insert_axis(Axis(2)))
            .collect();
        concatenate(Axis(2), &views).map_err(shapes)
    }

    pub(super) fn filters(&self, rate: Option<f64>) -> Result<Vec<Filter>> {
        let mut bands = Vec::new();
        match (self.highpass_hz, self.lowpass_hz) {
            (Some(low), Some(high)) => bands.push(Band::Bandpass(low, high)),
            (Some(low), None) => bands.push(Band::Highpass(low)),
            (None, Some(high)) => bands.push(Band::Lowpass(high)),
            (None, None) => {}
        }
        if let Some(f) = self.notch_hz {
            bands.push(Band::Bandstop(f - 1.0, f + 1.0));
        }
        bands
            .into_iter()
            .map(|band| {
                let rate = rate.ok_or_else(|| no_rate("features.highpass_hz, lowpass_hz"))?;
                Filter::butterworth(self.filter_order, band, rate)
            })
            .collect()
    }

    fn filterbank(
        &self,
        x: ArrayView3<'_, f32>,
        bands: &[[f64; 2]],
        rate: Option<f64>,
    ) -> Result<Array3<f32>> {
        let rate = rate.ok_or_else(|| no_rate("features.bands"))?;
        let copies = bands
            .iter()
            .map(|[low, high]| {
                let filter =
                    Filter::butterworth(self.filter_order, Band::Bandpass(*low, *high), rate)?;
                let mut copy = x.to_owned();
                for plane in copy.axis_iter_mut(Axis(2)) {
                    filter.apply(plane, self.zero_phase);
                }
                Ok(copy)
            })
            .collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = copies.iter().map(|c| c.view()).collect();
        concatenate(Axis(2), &views).map_err(shapes)
    }

    /// Frames and bins of a spectral transform at `rate` (after decimation), `None` for the
    /// others.
    fn frames(&self, rate: Option<f64>) -> Result<Option<(Frames, std::ops::Range<usize>)>> {
        let samples = |seconds: f64, rate: f64| ((seconds * rate).round() as usize).max(1);
        Ok(match self.transform {
            Transform::Raw | Transform::Filterbank { .. } => None,
            Transform::BandPower {
                window_seconds,
                hop_seconds,
                ..
            }
            | Transform::WelchPower {
                window_seconds,
                hop_seconds,
                ..
            } => {
                let rate = rate.ok_or_else(|| no_rate("features.window_seconds"))?;
                let frames = Frames {
                    length: samples(window_seconds, rate),
                    hop: samples(hop_seconds, rate),
                    padded: false,
                };
                Some((frames, 0..1))
            }
            Transform::LogSpectrum {
                segment_seconds,
                fmin,
                fmax,
                bins,
            } => {
                let rate = rate.ok_or_else(|| no_rate("features.segment_seconds"))?;
                let length = samples(segment_seconds, rate);
                let frames = Frames {
                    length,
                    hop: length,
                    padded: false,
                };
                Some((frames, bin_range(length, rate, fmin, fmax, bins)?))
            }
            Transform::Stft {
                window_seconds,
                hop_seconds,
                fmin,
                fmax,
                padded,
            } => {
                let rate = rate.ok_or_else(|| no_rate("features.window_seconds"))?;
                let length = samples(window_seconds, rate);
                let frames = Frames {
                    length,
                    hop: samples(hop_seconds, rate),
                    padded,
                };
                let all = Some(length / 2 + 1);
                Some((frames, bin_range(length, rate, fmin, fmax, all)?))
            }
        })
    }

    /// One window, (nodes, time, features), as the model sees it: spectrum, then
    /// standardisation. `mask` (nodes, time) tells what was observed; a frame of a spectrum
    /// counts as observed when at least half of its samples are. Missing places become 0.
    /// `rate` is that after decimation. Spectra of several features stand side by side.
    ///
    /// # Errors
    /// [`Error::Config`] when the window is shorter than a frame, or the sampling rate is needed
    /// and unknown.
    pub fn window(
        &self,
        x: ArrayView3<'_, f32>,
        mask: Option<ArrayView2<'_, bool>>,
        rate: Option<f64>,
    ) -> Result<(Array3<f32>, Option<Array2<bool>>)> {
        let time = x.len_of(Axis(1));
        let (mut y, mask) = match self.frames(rate)? {
            None => (x.to_owned(), mask.map(|m| m.to_owned())),
            Some((frames, bins)) => {
                if frames.length > time {
                    return Err(Error::config(
                        "features",
                        format!(
                            "a spectrum of {} samples does not fit a window of {time}",
                            frames.length
                        ),
                        "shorten segment_seconds or window_seconds, or lengthen the window",
                    ));
                }
                let spectra = x
                    .axis_iter(Axis(2))
                    .map(|plane| match &self.transform {
                        Transform::LogSpectrum { .. } => {
                            Ok(log_spectrum(plane, frames.length, bins.clone()))
                        }
                        Transform::BandPower { .. } => Ok(log_power(plane, frames)),
                        Transform::WelchPower {
                            bands,
                            segment_seconds,
                            ..
                        } => welch_power(plane, frames, rate, *segment_seconds, bands),
                        _ => Ok(stft(plane, frames, bins.clone())),
                    })
                    .collect::<Result<Vec<Array3<f32>>>>()?;
                let views: Vec<_> = spectra.iter().map(|p| p.view()).collect();
                let mask = mask.map(|m| frame_mask(m, frames));
                (concatenate(Axis(2), &views).map_err(shapes)?, mask)
            }
        };
        self.standardize
            .apply(y.view_mut(), mask.as_ref().map(|m| m.view()));
        if let Some(mask) = &mask {
            for ((v, t), observed) in mask.indexed_iter() {
                if !observed {
                    y.slice_mut(s![v, t, ..]).fill(0.0);
                }
            }
        }
        Ok((y, mask))
    }
}

/// `ln(power + 1e-30)` in each band and frame: (nodes, frames, bands).
fn welch_power(
    x: ArrayView2<'_, f32>,
    frames: Frames,
    rate: Option<f64>,
    segment_seconds: f64,
    bands: &[[f64; 2]],
) -> Result<Array3<f32>> {
    let rate = rate.ok_or_else(|| no_rate("features.segment_seconds"))?;
    let segment = (segment_seconds * rate).round().max(1.0) as usize;
    let starts: Vec<usize> = frames.starts(x.ncols()).map(isize::unsigned_abs).collect();
    let mut out = Array3::zeros((x.nrows(), starts.len(), bands.len()));
    for (start, to) in starts.iter().zip(out.axis_iter_mut(Axis(1))) {
        let frame = x.slice(s![.., *start..*start + frames.length]);
        let power = band_power(frame, rate, segment, bands)?;
        Zip::from(to)
            .and(&power)
            .for_each(|to, p| *to = (p + 1e-30).ln() as f32);
    }
    Ok(out)
}

fn shapes(e: ndarray::ShapeError) -> Error {
    Error::config("features", e.to_string(), "give at least one feature")
}

fn frame_mask(mask: ArrayView2<'_, bool>, frames: Frames) -> Array2<bool> {
    let time = mask.ncols() as isize;
    let starts: Vec<isize> = frames.starts(mask.ncols()).collect();
    Array2::from_shape_fn((mask.nrows(), starts.len()), |(v, i)| {
        let range = starts[i].max(0)..(starts[i] + frames.length as isize).min(time);
        let observed = range.clone().filter(|t| mask[[v, *t as usize]]).count();
        observed * 2 >= range.count().max(1)
    })
}

impl Standardize {
    /// Standardises one window of (nodes, time, features) in place, over observed places.
    pub fn apply(self, mut x: ArrayViewMut3<'_, f32>, mask: Option<ArrayView2<'_, bool>>) {
        let seen = |v: usize, t: usize| mask.as_ref().is_none_or(|m| m[[v, t]]);
        for (v, mut node) in x.outer_iter_mut().enumerate() {
            match self {
                Self::None => {}
                Self::Time => {
                    for mut feature in node.columns_mut() {
                        let keep = |t: usize| seen(v, t);
                        standardize(feature.iter_mut().enumerate(), keep);
                    }
                }
                Self::Frequency => {
                    for (t, mut step) in node.rows_mut().into_iter().enumerate() {
                        standardize(step.iter_mut().enumerate(), |_| seen(v, t));
                    }
                }
                Self::Window => {
                    let all = node.indexed_iter_mut().map(|((t, _), value)| (t, value));
                    standardize(all, |t| seen(v, t));
                }
            }
        }
    }
}

fn standardize<'a>(
    values: impl Iterator<Item = (usize, &'a mut f32)>,
    keep: impl Fn(usize) -> bool,
) {
    let mut kept: Vec<&mut f32> = values.filter(|(t, _)| keep(*t)).map(|(_, v)| v).collect();
    if kept.is_empty() {
        return;
    }
    let n = kept.len() as f64;
    let mean = kept.iter().map(|v| f64::from(**v)).sum::<f64>() / n;
    let variance = kept
        .iter()
        .map(|v| (f64::from(**v) - mean).powi(2))
        .sum::<f64>()
        / n;
    // A constant has a standard deviation of rounding errors, not of signal.
    let sd = variance.sqrt();
    let sd = if sd > 1e-7 * mean.abs() { sd } else { 1.0 };
    for v in &mut kept {
        **v = ((f64::from(**v) - mean) / sd) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, arr3};

    fn parse(text: &str) -> FeatureConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn standardising_over_each_axis() {
        let x = arr3(&[[[1.0f32, 5.0], [3.0, 5.0]], [[0.0, 1.0], [2.0, 5.0]]]);
        let run = |s: Standardize| {
            let mut y = x.clone();
            s.apply(y.view_mut(), None);
            y
        };
        assert_eq!(run(Standardize::None), x);
        assert_eq!(
            run(Standardize::Time),
            arr3(&[[[-1.0, 0.0], [1.0, 0.0]], [[-1.0, -1.0], [1.0, 1.0]]])
        );
        assert_eq!(
            run(Standardize::Frequency),
            arr3(&[[[-1.0, 1.0], [-1.0, 1.0]], [[-1.0, 1.0], [-1.0, 1.0]]])
        );
        // numpy: (0, 1, 2, 5) has mean 2 and sd sqrt(3.5).
        let w = run(Standardize::Window);
        assert!((w[[1, 1, 1]] - 3.0 / 3.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn missing_places_do_not_count_and_become_zero() {
        let x = arr3(&[[[1.0f32], [3.0], [100.0]]]);
        let mask = arr2(&[[true, true, false]]);
        let config = FeatureConfig {
            standardize: Standardize::Time,
            ..Default::default()
        };
        let (y, _) = config.window(x.view(), Some(mask.view()), None).unwrap();
        assert_eq!(y, arr3(&[[[-1.0], [1.0], [0.0]]]));
    }

    #[test]
    fn crop_filter_and_spectrum_shapes() {
        let config = parse(
            "kind = \"log-spectrum\"\nsegment_seconds = 0.5\ncrop_seconds = [1, 3]\n\
             highpass_hz = 1\ndecimate = 2",
        );
        let x = Array3::from_shape_fn((2, 400, 3), |(v, t, f)| ((v + f) * t % 7) as f32);
        let y = config.prepare(x, Some(100.0)).unwrap();
        assert_eq!(y.dim(), (2, 100, 3));
        let (z, _) = config
            .window(y.view(), None, config.rate(Some(100.0)))
            .unwrap();
        // Segments of 25 samples at 50 Hz: 4 of them, 13 bins below 25 Hz for each feature.
        assert_eq!(z.dim(), (2, 4, 39));
        let short = y.slice(s![.., ..20, ..]);
        assert!(config.window(short, None, Some(50.0)).is_err());
        let x = Array3::zeros((2, 200, 1));
        assert!(config.prepare(x.clone(), Some(100.0)).is_err());
        assert!(config.prepare(x, None).is_err());
    }

    #[test]
    fn filterbank_separates_tones() {
        let config = parse("kind = \"filterbank\"\nbands = [[4, 6], [19, 21]]");
        let x = Array3::from_shape_fn((1, 1000, 1), |(_, t, _)| {
            (std::f64::consts::TAU * 20.0 * t as f64 / 100.0 + 0.3).sin() as f32
        });
        let y = config.prepare(x.clone(), Some(100.0)).unwrap();
        assert_eq!(y.dim(), (1, 1000, 2));
        for t in 300..700 {
            assert!(y[[0, t, 0]].abs() < 1e-3);
            assert!((y[[0, t, 1]] - x[[0, t, 0]]).abs() < 1e-2);
        }
    }
}
