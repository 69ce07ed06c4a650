//! Recordings of the Temple University seizure corpus as eeg-gnn-ssl and Graph-S4mer resample them:
//! an HDF5 file with `resampled_signal`, (channels, time), and `resample_freq`.
//!
//! Source: `data/resample_signals.py` of the repositories eeg-gnn-ssl and GraphS4mer.

use std::path::Path;

use ndarray::{Array2, Ix2};

use super::hdf5::Hdf5;
use crate::{Error, Result};

/// A resampled recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Signal, (channels, time), in the unit of the recording.
    pub signal: Array2<f32>,
    /// Samples per second.
    pub rate: f64,
}

impl Clip {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened; otherwise as [`Clip::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(&Hdf5::open(path)?)
    }

    /// Reads a file out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] when it is no HDF5 of this layout.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::new(&Hdf5::parse(bytes, path)?)
    }

    fn new(file: &Hdf5) -> Result<Self> {
        let wrong = |field: &str, problem: String| {
            Error::file(
                file.path(),
                field,
                problem,
                "write it with resample_signals.py of eeg-gnn-ssl",
            )
        };
        let rate = file.read("resample_freq")?;
        let rate = rate.into_f64(file.path(), "resample_freq")?;
        let rate = match rate.first() {
            Some(rate) if rate.is_finite() && *rate > 0.0 => *rate,
            other => return Err(wrong("resample_freq", format!("is {other:?}, no rate"))),
        };
        let signal = file.read_f32("resampled_signal", None)?;
        let shape = signal.shape().to_vec();
        let signal = signal.into_dimensionality::<Ix2>().map_err(|_| {
            let problem = format!("has shape {shape:?}, not (channels, time)");
            wrong("resampled_signal", problem)
        })?;
        Ok(Self { signal, rate })
    }
}
