//! Which part of a recording the features of a part of it depend on.

use super::features::{FeatureConfig, Transform};
use super::{Band, Detrend, Filter};
use crate::Result;

/// The time steps that [`FeatureConfig::prepare`] makes of a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// How many.
    pub len: usize,
    first: usize,
    every: usize,
    ratio: f64,
    last: usize,
}

impl Times {
    /// The nearest time step of the recording.
    pub fn at(&self, t: usize) -> usize {
        let t = self.first + t * self.every;
        ((t as f64 * self.ratio).round() as usize).min(self.last)
    }
}

/// How a recording may be prepared stretch by stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretches {
    /// Stretches start at multiples of so many samples ...
    pub unit: usize,
    /// ... which are so many after preparation.
    pub prepared: usize,
    /// Samples before and behind a stretch that are read with it and left out again.
    pub margin: usize,
}

impl FeatureConfig {
    /// The time steps that [`prepare`](Self::prepare) makes of `n` at `rate`.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(crate) fn times(&self, n: usize, rate: Option<f64>) -> Result<Times> {
        let (mut length, mut now) = (n, rate);
        for step in &self.steps {
            length = step.length(length, now)?;
            now = step.rate(now);
        }
        let keep = self.crop(length, now)?;
        let every = self.decimate.max(1);
        Ok(Times {
            len: keep.len().div_ceil(every),
            first: keep.start,
            every,
            ratio: match (rate, now) {
                (Some(before), Some(after)) => before / after,
                _ => 1.0,
            },
            last: n.saturating_sub(1),
        })
    }

    /// How [`prepare`](Self::prepare) may be applied to stretches of a recording at `rate`, so that
    /// they differ from the whole by what filters still remember (10⁻¹²); `None` where something
    /// depends on all of it (trends, robust scales, Fourier resampling, a crop), or the samples of
    /// stretches would not be those of the whole.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when an option does not fit the rate.
    pub(crate) fn stretches(&self, rate: f64) -> Result<Option<Stretches>> {
        if self.detrend != Detrend::None || self.crop_seconds.is_some() {
            return Ok(None);
        }
        let (mut now, mut seconds) = (rate, 0.0);
        let mut rates = vec![rate];
        for step in &self.steps {
            let Some(margin) = step.margin(now)? else {
                return Ok(None);
            };
            seconds += margin;
            now = step.rate(Some(now)).unwrap_or(now);
            rates.push(now);
        }
        let decimate = self.decimate.max(1);
        let mut filters = self.filters(Some(now))?;
        if let Transform::Filterbank { bands } | Transform::BandPower { bands, .. } =
            &self.transform
        {
            let bank = bands.iter().map(|[low, high]| {
                Filter::butterworth(self.filter_order, Band::Bandpass(*low, *high), now)
            });
            // Side by side: the slowest counts.
            let bank: Vec<Filter> = bank.collect::<Result<_>>()?;
            filters.extend(bank.into_iter().max_by_key(Filter::memory));
        }
        if decimate > 1 {
            filters.extend(super::anti_alias(decimate));
        }
        let memory: f64 = filters.iter().map(|f| f.memory() as f64).sum();
        let margin = ((seconds + memory / now) * rate).ceil();
        let (unit, prepared) = match rates.iter().all(|r| *r == rate) {
            true => (decimate, 1),
            // Whole seconds are whole samples of every rate.
            false if rates.iter().all(|r| r.fract() == 0.0) => {
                (rate as usize * decimate, now as usize)
            }
            false => return Ok(None),
        };
        Ok((margin < 1e15).then_some(Stretches {
            unit,
            prepared,
            margin: margin as usize,
        }))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;

    /// Prepares stretch by stretch, and compares with the whole.
    fn error(text: &str, rate: f64, n: usize) -> Option<f32> {
        let features: FeatureConfig = toml::from_str(text).unwrap();
        let how = features.stretches(rate).unwrap()?;
        let x = Array3::from_shape_fn((3, n, 1), |(v, t, _)| {
            let t = t as f32 * 256.0 / rate as f32;
            500.0 + (0.3 * t * (v + 1) as f32).sin() * 40.0 + ((t * t) % 17.0) - 0.01 * t
        });
        let whole = features.prepare(x.clone(), Some(rate)).unwrap();
        let units = n.div_ceil(how.unit);
        let (size, margin) = (units / 5, how.margin.div_ceil(how.unit));
        assert!(size > 0);
        let mut worst = 0f32;
        for start in (0..units).step_by(size) {
            let first = start.saturating_sub(margin);
            let input = first * how.unit..((start + size + margin) * how.unit).min(n);
            let part = features
                .prepare(x.slice(s![.., input, ..]).to_owned(), Some(rate))
                .unwrap();
            let skip = (start - first) * how.prepared;
            let to = (size * how.prepared).min(whole.dim().1 - start * how.prepared);
            let found = part.slice(s![.., skip..skip + to, ..]);
            let at = start * how.prepared;
            let difference = &found - &whole.slice(s![.., at..at + to, ..]);
            worst = difference.iter().fold(worst, |w, d| w.max(d.abs()));
        }
        Some(worst)
    }

    #[test]
    fn stretches_are_what_the_whole_is() {
        assert_eq!(error("", 256.0, 5_000), Some(0.0));
        assert_eq!(error("reference = \"average\"", 199.9, 5_000), Some(0.0));
        for text in [
            "highpass_hz = 1\nlowpass_hz = 30",
            "highpass_hz = 1\nzero_phase = false\ndecimate = 3",
            "notch_hz = 50\ndecimate = 4",
            "kind = \"filterbank\"\nbands = [[4, 8], [8, 13]]",
            "steps = [{ kind = \"butterworth\", highpass_hz = 0.5, order = 2, zero_phase = false },
                       { kind = \"resample\", hz = 100 }, { kind = \"clip\", limit = 30 }]",
            "steps = [{ kind = \"notch\", hz = [50, 100] },
                       { kind = \"resample\", hz = 200, method = \"linear\" },
                       { kind = \"scale\", factor = 0.5 }]\ndecimate = 2",
        ] {
            let worst = error(text, 256.0, 60_003).expect(text);
            // Values of some hundreds, in single precision.
            assert!(worst < 1e-4, "{text}: {worst}");
        }
    }

    #[test]
    fn what_needs_the_whole_says_so() {
        for text in [
            "detrend = \"linear\"",
            "crop_seconds = [1, 2]",
            "steps = [{ kind = \"robust-scale\" }]",
            "steps = [{ kind = \"resample\", hz = 100, method = \"fourier\" }]",
        ] {
            assert_eq!(error(text, 256.0, 5_000), None, "{text}");
        }
        let resampled = "steps = [{ kind = \"resample\", hz = 100, method = \"linear\" }]";
        assert_eq!(error(resampled, 199.9, 5_000), None);
    }
}
