//! What is done to a whole recording, one step after the other, as a configuration says.

use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::resample::{self, ResampleMethod, resample};
use super::robust::{clip, robust_scale};
use super::{Band, BesselNorm, Detrend, Filter, Initial, detrend};
use crate::{Error, Result};

/// One step of the processing of a recording. In a file each is a table with its `kind`:
/// ```toml
/// [[features.steps]]
/// kind = "butterworth"
/// highpass_hz = 0.4
/// lowpass_hz = 18
/// order = 2
/// zero_phase = false
/// initial = "zero"
///
/// [[features.steps]]
/// kind = "resample"
/// hz = 100
/// method = "linear"
/// ```
/// Keys that a kind does not have are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// [`Filter::butterworth`]. Either `highpass_hz`, `lowpass_hz` or both (a band-pass), or
    /// `stop_hz`.
    Butterworth {
        /// Pass above, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        highpass_hz: Option<f64>,
        /// Pass below, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lowpass_hz: Option<f64>,
        /// Remove between these two, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_hz: Option<[f64; 2]>,
        /// Order; band filters have twice as many poles. 4 by default.
        #[serde(default = "four")]
        order: usize,
        /// Forward and backward (the default), or forward only.
        #[serde(default = "yes")]
        zero_phase: bool,
        /// What precedes the first sample, forward only; `steady` by default.
        #[serde(default)]
        initial: Initial,
    },
    /// [`Filter::bessel`], keys as for Butterworth.
    Bessel {
        /// Pass above, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        highpass_hz: Option<f64>,
        /// Pass below, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lowpass_hz: Option<f64>,
        /// Remove between these two, hertz.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_hz: Option<[f64; 2]>,
        /// Order; 4 by default.
        #[serde(default = "four")]
        order: usize,
        /// What the edges mean; `phase` by default.
        #[serde(default)]
        norm: BesselNorm,
        /// Forward and backward (the default), or forward only.
        #[serde(default = "yes")]
        zero_phase: bool,
        /// What precedes the first sample, forward only; `steady` by default.
        #[serde(default)]
        initial: Initial,
    },
    /// [`Filter::notch`] at each of these frequencies.
    Notch {
        /// Frequencies, hertz, for instance the mains' and its multiples.
        hz: Vec<f64>,
        /// Frequency over width; 30 by default.
        #[serde(default = "thirty")]
        quality: f64,
        /// Forward and backward (the default), or forward only.
        #[serde(default = "yes")]
        zero_phase: bool,
        /// What precedes the first sample, forward only; `steady` by default.
        #[serde(default)]
        initial: Initial,
    },
    /// [`resample`](resample::resample); nothing where the rate is already that.
    Resample {
        /// The new sampling rate, hertz.
        hz: f64,
        /// How; `polyphase` by default.
        #[serde(default)]
        method: ResampleMethod,
    },
    /// [`detrend`].
    Detrend {
        /// What is removed; the mean (`constant`) by default.
        #[serde(default = "constant")]
        trend: Detrend,
    },
    /// [`robust_scale`].
    RobustScale {},
    /// [`clip`].
    Clip {
        /// Largest absolute value that stays.
        limit: f64,
    },
    /// Multiplication of all values.
    Scale {
        /// By what.
        factor: f64,
    },
}

fn four() -> usize {
    4
}

fn thirty() -> f64 {
    30.0
}

fn yes() -> bool {
    true
}

fn constant() -> Detrend {
    Detrend::Constant
}

/// The band of the three keys that filters share.
fn band(high: Option<f64>, low: Option<f64>, stop: Option<[f64; 2]>) -> Option<Band> {
    match (high, low, stop) {
        (Some(f), None, None) => Some(Band::Highpass(f)),
        (None, Some(f), None) => Some(Band::Lowpass(f)),
        (Some(f), Some(g), None) => Some(Band::Bandpass(f, g)),
        (None, None, Some([f, g])) => Some(Band::Bandstop(f, g)),
        _ => None,
    }
}

impl Step {
    /// The word of `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Butterworth { .. } => "butterworth",
            Self::Bessel { .. } => "bessel",
            Self::Notch { .. } => "notch",
            Self::Resample { .. } => "resample",
            Self::Detrend { .. } => "detrend",
            Self::RobustScale {} => "robust-scale",
            Self::Clip { .. } => "clip",
            Self::Scale { .. } => "scale",
        }
    }

    /// What can be told without a sampling rate.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        let positive = |value: f64, key: &str| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(format!(
                "{key} of step \"{}\" is {value}; give a number above 0",
                self.kind()
            ))
        };
        match self {
            Self::Butterworth {
                highpass_hz,
                lowpass_hz,
                stop_hz,
                ..
            }
            | Self::Bessel {
                highpass_hz,
                lowpass_hz,
                stop_hz,
                ..
            } => {
                let found = band(*highpass_hz, *lowpass_hz, *stop_hz);
                found.map(|_| ()).ok_or_else(|| {
                    format!(
                        "step \"{}\" needs highpass_hz, lowpass_hz or both, or stop_hz alone",
                        self.kind()
                    )
                })
            }
            Self::Notch { hz, quality, .. } => {
                if hz.is_empty() {
                    return Err("hz of step \"notch\" is empty; give frequencies".into());
                }
                positive(*quality, "quality")
            }
            Self::Resample { hz, .. } => positive(*hz, "hz"),
            Self::Clip { limit } => positive(*limit, "limit"),
            Self::Scale { factor } if !factor.is_finite() => Err(format!(
                "factor of step \"scale\" is {factor}; give a finite number"
            )),
            Self::Scale { .. } | Self::Detrend { .. } | Self::RobustScale {} => Ok(()),
        }
    }

    /// Sampling rate behind the step.
    pub fn rate(&self, rate: Option<f64>) -> Option<f64> {
        match self {
            Self::Resample { hz, .. } => rate.map(|_| *hz),
            _ => rate,
        }
    }

    /// Time steps that the step makes of `n`.
    ///
    /// # Errors
    /// [`Error::Config`] when the sampling rate is needed and unknown.
    pub fn length(&self, n: usize, rate: Option<f64>) -> Result<usize> {
        match self {
            Self::Resample { hz, method } => resample::length(n, self.needed(rate)?, *hz, *method),
            _ => Ok(n),
        }
    }

    /// Seconds before and after a sample, at `rate`, that the step's output at its time depends on;
    /// `None` where that is the whole recording.
    ///
    /// # Errors
    /// [`Error::Config`] when the step does not fit the rate.
    pub(super) fn margin(&self, rate: f64) -> Result<Option<f64>> {
        if let Some((filter, _)) = self.filter(Some(rate))? {
            return Ok(Some(filter.memory() as f64 / rate));
        }
        Ok(match self {
            Self::Resample { hz, method } => match method {
                ResampleMethod::Polyphase => Some(resample::HALF_WIDTH / rate.min(*hz)),
                ResampleMethod::Linear => Some(2.0 / rate),
                ResampleMethod::Fourier => (rate == *hz).then_some(0.0),
            },
            Self::Detrend { .. } | Self::RobustScale {} => None,
            _ => Some(0.0),
        })
    }

    fn needed(&self, rate: Option<f64>) -> Result<f64> {
        rate.ok_or_else(|| {
            Error::config(
                format!("features.steps, {}", self.kind()),
                "needs the sampling rate, which is not known",
                "set sampling_rate in dataset.toml, or leave this step out",
            )
        })
    }

    /// The filter of the step and how it is applied; `None` for steps that are no filter.
    fn filter(&self, rate: Option<f64>) -> Result<Option<(Filter, Pass)>> {
        let unclear = || {
            Error::config(
                format!("features.steps, {}", self.kind()),
                "does not say what passes",
                "give highpass_hz, lowpass_hz or both, or stop_hz alone",
            )
        };
        let (filter, zero_phase, initial) = match self {
            Self::Butterworth {
                highpass_hz,
                lowpass_hz,
                stop_hz,
                order,
                zero_phase,
                initial,
            } => {
                let band = band(*highpass_hz, *lowpass_hz, *stop_hz).ok_or_else(unclear)?;
                let filter = Filter::butterworth(*order, band, self.needed(rate)?)?;
                (filter, zero_phase, initial)
            }
            Self::Bessel {
                highpass_hz,
                lowpass_hz,
                stop_hz,
                order,
                norm,
                zero_phase,
                initial,
            } => {
                let band = band(*highpass_hz, *lowpass_hz, *stop_hz).ok_or_else(unclear)?;
                let filter = Filter::bessel(*order, band, self.needed(rate)?, *norm)?;
                (filter, zero_phase, initial)
            }
            Self::Notch {
                hz,
                quality,
                zero_phase,
                initial,
            } => {
                let rate = self.needed(rate)?;
                let all = hz.iter().map(|f| Filter::notch(*f, *quality, rate));
                let filter = Filter::chain(&all.collect::<Result<Vec<_>>>()?);
                (filter, zero_phase, initial)
            }
            _ => return Ok(None),
        };
        let pass = match zero_phase {
            true => Pass::BothWays,
            false => Pass::Causal(*initial),
        };
        Ok(Some((filter, pass)))
    }

    /// Applies the steps that are no filter to (nodes, time).
    fn apply(&self, x: ArrayView2<'_, f32>, rate: Option<f64>) -> Result<Array2<f32>> {
        if let Self::Resample { hz, method } = self {
            let from = self.needed(rate)?;
            if from != *hz {
                return resample(x, from, *hz, *method);
            }
        }
        let mut x = x.to_owned();
        match self {
            Self::Detrend { trend } => detrend(x.view_mut(), *trend),
            Self::RobustScale {} => robust_scale(x.view_mut()),
            Self::Clip { limit } => clip(x.view_mut(), *limit),
            Self::Scale { factor } => {
                x.mapv_inplace(|v| (f64::from(v) * factor) as f32);
            }
            _ => {}
        }
        Ok(x)
    }
}

/// How a filter goes over the signal.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    BothWays,
    Causal(Initial),
}

/// Applies `steps` in order to (nodes, time, features) at `rate`: the signal, whose time may have
/// another length, and its rate. Causal filters in a row are one filter.
///
/// # Errors
/// [`Error::Config`] when a step does not fit the sampling rate, or needs it and it is unknown.
pub fn run(
    steps: &[Step],
    x: Array3<f32>,
    mut rate: Option<f64>,
) -> Result<(Array3<f32>, Option<f64>)> {
    let mut x = x;
    let mut next = 0;
    while let Some(step) = steps.get(next) {
        next += 1;
        let Some((filter, pass)) = step.filter(rate)? else {
            x = each_feature(x, |plane| step.apply(plane, rate))?;
            rate = step.rate(rate);
            continue;
        };
        let mut filters = vec![filter];
        while pass != Pass::BothWays
            && let Some(step) = steps.get(next)
            && let Some((filter, same)) = step.filter(rate)?
            && same == pass
        {
            filters.push(filter);
            next += 1;
        }
        let filter = Filter::chain(&filters);
        for plane in x.axis_iter_mut(Axis(2)) {
            match pass {
                Pass::BothWays => filter.sosfiltfilt(plane),
                Pass::Causal(initial) => filter.sosfilt(plane, initial),
            }
        }
    }
    Ok((x, rate))
}

/// Applies `f` to every feature's (nodes, time).
fn each_feature(
    x: Array3<f32>,
    f: impl Fn(ArrayView2<'_, f32>) -> Result<Array2<f32>>,
) -> Result<Array3<f32>> {
    let planes = x.axis_iter(Axis(2)).map(f).collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = planes.iter().map(|p| p.view()).collect();
    ndarray::stack(Axis(2), &views)
        .map_err(|e| Error::config("features", e.to_string(), "give at least one feature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Step {
        let step: Step = toml::from_str(text).unwrap();
        step.check().unwrap();
        step
    }

    fn signal(features: usize) -> Array3<f32> {
        Array3::from_shape_fn((3, 500, features), |(v, t, f)| {
            (0.3 * t as f32 * (v + 1) as f32).sin() + (v + f) as f32 + 0.01 * t as f32
        })
    }

    #[test]
    fn defaults_and_strictness() {
        assert_eq!(
            parse("kind = \"butterworth\"\nhighpass_hz = 1"),
            Step::Butterworth {
                highpass_hz: Some(1.0),
                lowpass_hz: None,
                stop_hz: None,
                order: 4,
                zero_phase: true,
                initial: Initial::Steady,
            }
        );
        for text in [
            "kind = \"bessel\"\nstop_hz = [62, 63]\norder = 1\nnorm = \"mag\"\ninitial = \"zero\"",
            "kind = \"notch\"\nhz = [50, 100]",
            "kind = \"resample\"\nhz = 100\nmethod = \"linear\"",
            "kind = \"detrend\"\ntrend = \"linear\"",
            "kind = \"robust-scale\"",
            "kind = \"clip\"\nlimit = 500",
            "kind = \"scale\"\nfactor = 0.002",
        ] {
            let step = parse(text);
            let back: Step = toml::from_str(&toml::to_string(&step).unwrap()).unwrap();
            assert_eq!(back, step);
            assert!(text.contains(&format!("\"{}\"", step.kind())));
        }
        for text in [
            "kind = \"robust-scale\"\nlimit = 1",
            "kind = \"chebyshev\"\nlowpass_hz = 1",
            "kind = \"clip\"",
        ] {
            assert!(toml::from_str::<Step>(text).is_err(), "{text}");
        }
        for text in [
            "kind = \"butterworth\"",
            "kind = \"butterworth\"\nstop_hz = [1, 2]\nlowpass_hz = 1",
            "kind = \"notch\"\nhz = []",
            "kind = \"resample\"\nhz = 0",
            "kind = \"clip\"\nlimit = -1",
            "kind = \"scale\"\nfactor = nan",
        ] {
            assert!(
                toml::from_str::<Step>(text).unwrap().check().is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn causal_filters_in_a_row_are_their_product() {
        let steps = [
            parse(
                "kind = \"butterworth\"\nhighpass_hz = 1\nlowpass_hz = 18\norder = 2\nzero_phase = false",
            ),
            parse("kind = \"bessel\"\nstop_hz = [30, 31]\norder = 1\nzero_phase = false"),
        ];
        let (both, _) = run(&steps, signal(2), Some(100.0)).unwrap();
        let (first, _) = run(&steps[..1], signal(2), Some(100.0)).unwrap();
        let (second, _) = run(&steps[1..], first, Some(100.0)).unwrap();
        for (a, b) in both.iter().zip(&second) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn rates_and_lengths_follow() {
        let step = parse("kind = \"resample\"\nhz = 40");
        let (x, rate) = run(std::slice::from_ref(&step), signal(2), Some(100.0)).unwrap();
        assert_eq!((x.dim(), rate), ((3, 200, 2), Some(40.0)));
        assert_eq!(step.length(500, Some(100.0)).unwrap(), 200);
        assert_eq!(step.rate(Some(100.0)), Some(40.0));
        let error = run(&[step], signal(1), None).unwrap_err().to_string();
        assert!(
            error.contains("resample") && error.contains("sampling rate"),
            "{error}"
        );
        let same = parse("kind = \"resample\"\nhz = 100");
        assert_eq!(run(&[same], signal(1), Some(100.0)).unwrap().0, signal(1));
    }

    #[test]
    fn amplitudes() {
        let steps = [
            parse("kind = \"detrend\""),
            parse("kind = \"clip\"\nlimit = 0.5"),
            parse("kind = \"scale\"\nfactor = 2"),
        ];
        let (x, _) = run(&steps, signal(1), None).unwrap();
        let largest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert_eq!(largest, 1.0);
        let (x, _) = run(&[parse("kind = \"robust-scale\"")], signal(1), None).unwrap();
        assert!(x.iter().filter(|v| **v > 0.0).count() >= 740);
    }
}
