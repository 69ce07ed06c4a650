//! Nights of Dreem's open data sets DOD-H and DOD-O: an HDF5 file with a data set for each channel
//! under `signals/eeg`, `signals/eog` and `signals/emg`, the sampling rate in the attribute `fs` of
//! their group, and a sleep stage for every 30 s in `hypnogram`.
//!
//! Source: Guillot et al. 2020, "Dreem Open Datasets", and its repository dreem-learning-open.

use std::path::Path;

use ndarray::{Array1, Ix1};

use super::hdf5::Hdf5;
use crate::{Error, Result};

/// Seconds that one entry of the hypnogram stands for.
pub const EPOCH_SECONDS: f64 = 30.0;

/// One signal of a night.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Kind and name, as in `eeg/C3_M2`.
    pub name: String,
    /// Samples per second.
    pub rate: f64,
    /// Unit of the values; empty where the file does not say it.
    pub unit: String,
    /// Number of samples.
    pub samples: usize,
}

/// A night. Signals are read one by one, see [`Night::read`].
pub struct Night {
    file: Hdf5,
    /// All channels, sorted by kind and name.
    pub channels: Vec<Channel>,
    /// A stage for every 30 s: 0 wake, 1 to 3 N1 to N3, 4 REM, -1 not scored. `None`: the file has
    /// none.
    pub hypnogram: Option<Vec<i64>>,
}

impl Night {
    /// Opens a file. It is memory-mapped: it must not be changed while it is open.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened; otherwise as [`Night::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Hdf5::open(path)?)
    }

    /// Reads a file out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] when it is no HDF5 of this layout, or a stage is none of -1 to 4.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::new(Hdf5::parse(bytes, path)?)
    }

    fn new(file: Hdf5) -> Result<Self> {
        let wrong = |field: &str, problem: String| {
            Error::file(
                file.path(),
                field,
                problem,
                "give a file of DOD-H or DOD-O, with signals/eeg and a hypnogram",
            )
        };
        let mut channels = Vec::new();
        for info in file.datasets()? {
            let Some(name) = info.name.strip_prefix("signals/") else {
                continue;
            };
            let [samples] = info.shape.as_slice() else {
                let problem = format!("has shape {:?}, not one axis of time", info.shape);
                return Err(wrong(&info.name, problem));
            };
            // The rate is told for a channel, for its group, or for all.
            let mut place = info.name.as_str();
            let rate = loop {
                if let Some(rate) = file.number_attribute(place, "fs")? {
                    break rate;
                }
                match place.rsplit_once('/') {
                    Some((above, _)) => place = above,
                    None => return Err(wrong(&info.name, "has no sampling rate fs".into())),
                }
            };
            if !rate.is_finite() || rate <= 0.0 {
                return Err(wrong(place, format!("has the sampling rate {rate}")));
            }
            channels.push(Channel {
                name: name.to_string(),
                rate,
                unit: file.text_attribute(place, "unit")?.unwrap_or_default(),
                samples: *samples,
            });
        }
        if channels.is_empty() {
            return Err(wrong("signals", "has no channel".into()));
        }
        let hypnogram = match file.contains("hypnogram") {
            false => None,
            true => {
                let stages = file.read("hypnogram")?.into_i64(file.path(), "hypnogram")?;
                if let Some((i, s)) = stages
                    .iter()
                    .enumerate()
                    .find(|(_, s)| !(-1..=4).contains(*s))
                {
                    let problem = format!("has the stage {s} at epoch {i}, none of -1 to 4");
                    return Err(wrong("hypnogram", problem));
                }
                Some(stages.into_iter().collect())
            }
        };
        Ok(Self {
            file,
            channels,
            hypnogram,
        })
    }

    /// The signal of a channel, by its name with its kind (`eeg/C3_M2`) or alone (`C3_M2`).
    ///
    /// # Errors
    /// [`Error::File`] when there is no such channel (it lists those present) or it is damaged.
    pub fn read(&self, channel: &str) -> Result<Array1<f32>> {
        let name = self.channel(channel)?.name.clone();
        let path = format!("signals/{name}");
        let signal = self.file.read_f32(&path, None)?;
        let shape = signal.shape().to_vec();
        signal.into_dimensionality::<Ix1>().map_err(|_| {
            Error::file(
                self.file.path(),
                &path,
                format!("has shape {shape:?}, not one axis of time"),
                "the file is damaged: write or fetch it again",
            )
        })
    }

    /// A channel by its name with its kind (`eeg/C3_M2`) or alone (`C3_M2`).
    ///
    /// # Errors
    /// [`Error::File`] when there is no such channel; it lists those present.
    pub fn channel(&self, name: &str) -> Result<&Channel> {
        let alone = |c: &Channel| c.name.rsplit('/').next() == Some(name);
        let found = self.channels.iter().find(|c| c.name == name);
        found
            .or_else(|| self.channels.iter().find(|c| alone(c)))
            .ok_or_else(|| {
                let present: Vec<&str> = self.channels.iter().map(|c| c.name.as_str()).collect();
                Error::file(
                    self.file.path(),
                    name,
                    format!("no such channel; present: {}", present.join(", ")),
                    "correct the name of the channel",
                )
            })
    }
}
