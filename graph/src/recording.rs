//! The two values the data layer is about: a [`Recording`] as it came from a file, and the
//! [`Dataset`] of equally shaped windows that training and evaluation see.

use std::ops::Range;
use std::path::PathBuf;

use ndarray::{Array2, Array3, Array4};
use serde::{Deserialize, Serialize};

use crate::preparation::Preparation;
use crate::windows::{Mask, Windows};

/// One continuous multi-sensor recording.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Where it came from, for messages (`subject03/session0/trial12`).
    pub name: String,
    /// Signal, (nodes, time, features), in the unit of the file.
    pub signal: Array3<f32>,
    /// `true` where observed, (nodes, time); `None` when nothing is missing.
    pub mask: Option<Array2<bool>>,
    /// Samples per second, where known.
    pub sampling_rate: Option<f64>,
    /// What there is to predict.
    pub labels: Labels,
    /// Who or what was recorded.
    pub subject: Option<String>,
    /// Which sitting; windows of one session are closer to each other than to those of another.
    pub session: Option<String>,
    /// The part of the data set its authors put it in.
    pub part: Option<Part>,
}

/// Class indices of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// Nothing is known.
    None,
    /// One class for the whole recording.
    Whole(usize),
    /// A class per time step; a window takes the most frequent one, the later on a tie.
    PerStep(Vec<usize>),
    /// Things that happen. A window that shares a time step with one takes its class, of several
    /// the class of the one it shares most with; any other window is of the class `otherwise`.
    Events { events: Vec<Span>, otherwise: usize },
    /// The stretches that are used: windows are cut inside them, each as if it were a recording,
    /// while filters see what lies between. Where they are `apart`, a split may put the trials of
    /// one recording into different parts.
    Trials { trials: Vec<Span>, apart: bool },
}

/// Time steps of a recording and their class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub steps: Range<usize>,
    /// Class index.
    pub class: usize,
}

/// A part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    Validation,
    Test,
}

/// Who made a data set and under which terms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Name used on the command line.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Licence as its source states it.
    pub licence: String,
    /// What to cite.
    pub citation: String,
}

/// A file that was read, with the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    pub path: PathBuf,
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Windows cut from recordings: what splits, scalers and loaders work on.
///
/// `n` samples; every per-sample vector has length `n`.
#[derive(Debug, Clone)]
pub struct Dataset {
    pub info: DatasetInfo,
    /// Sensor names, in the order of axis 1 of `x`.
    pub sensors: Vec<String>,
    /// Sensor positions, (nodes, 2 or 3), metres, where known.
    pub positions: Option<Array2<f64>>,
    /// Adjacency that came with the data, (nodes, nodes), entry [target, source].
    pub adjacency: Option<Array2<f32>>,
    /// Samples per second of the recordings, where known.
    pub sampling_rate: Option<f64>,
    /// Features as they were made, (samples, nodes, time, features); 0 where missing. What a model
    /// sees of them comes from [`gather`](Self::gather).
    pub x: Windows,
    /// `true` where observed, (samples, nodes, time); `None` when nothing is missing.
    pub mask: Option<Mask>,
    /// Class index per sample.
    pub y: Vec<usize>,
    /// Class names.
    pub classes: Vec<String>,
    /// Index of the recording, or trial of its own, a sample was cut from: its windows never part.
    pub recording: Vec<usize>,
    /// Subject per sample, where known.
    pub subject: Option<Vec<String>>,
    /// Session per sample, where known; unique across subjects (`subject01/0`).
    pub session: Option<Vec<String>>,
    /// Part given by the authors, per sample; `None` where they give none.
    pub part: Vec<Option<Part>>,
    /// Files read.
    pub sources: Vec<SourceFile>,
    /// What is done to features on their way into a batch; nothing at first.
    pub preparation: Preparation,
}

impl Dataset {
    /// Shape of the prepared features, (samples, nodes, time, features).
    pub fn dim(&self) -> (usize, usize, usize, usize) {
        let (n, v, l, f) = self.x.dim();
        (n, v, l, self.preparation.features(v, f))
    }

    /// The prepared features of the samples `index`, (b, v, l, f).
    ///
    /// # Panics
    /// When one of them does not exist, like an index.
    pub fn gather(&self, index: &[usize]) -> Array4<f32> {
        let (_, v, l, f) = self.dim();
        let mask = self.mask.as_ref().map(|m| m.gather(index));
        let mut out = Array4::zeros((index.len(), v, l, f));
        self.preparation.gather(
            &self.x,
            index,
            mask.as_ref(),
            out.as_slice_mut().unwrap_or(&mut []),
        );
        out
    }
}
