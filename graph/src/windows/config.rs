//! Length of windows and where they lie.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Unit of [`WindowConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds; needs the sampling rate.
    #[default]
    Seconds,
    /// Samples, counted after cropping and decimation.
    Samples,
}

/// Length of windows and the way from one to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowConfig {
    /// Length; `None`: each recording is one window.
    pub length: Option<f64>,
    /// From start to start; `None`: the length, so that windows do not overlap.
    pub stride: Option<f64>,
    /// What both are counted in.
    pub unit: Unit,
}

impl WindowConfig {
    /// Windows of a recording of `n` samples at `rate`, a trailing part shorter than the window
    /// left out.
    ///
    /// # Errors
    /// [`Error::Config`] when length or stride is less than one sample, a stride has no length,
    /// or seconds are given and the rate is not known.
    pub fn ranges(&self, n: usize, rate: Option<f64>) -> Result<Vec<Range<usize>>> {
        let Some(length) = self.length else {
            if self.stride.is_some() {
                return Err(Error::config(
                    "window.stride",
                    "is given without window.length",
                    "give a length too, or neither",
                ));
            }
            return Ok(std::iter::once(0..n).collect());
        };
        let samples = |value: f64, field: &str| {
            let factor = match self.unit {
                Unit::Samples => 1.0,
                Unit::Seconds => rate.ok_or_else(|| {
                    Error::config(
                        field,
                        "is in seconds, but the sampling rate is not known",
                        "set sampling_rate, or count the window in samples",
                    )
                })?,
            };
            let count = (value * factor).round();
            if count >= 1.0 && count < usize::MAX as f64 {
                return Ok(count as usize);
            }
            Err(Error::config(
                field,
                format!("{value} is not at least one sample"),
                "give a larger value",
            ))
        };
        let length = samples(length, "window.length")?;
        let stride = match self.stride {
            Some(s) => samples(s, "window.stride")?,
            None => length,
        };
        Ok((0..(n + 1).saturating_sub(length))
            .step_by(stride)
            .map(|start| start..start + length)
            .collect())
    }
}
