//! From a warm cache to batches.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array1, Array3};

use crate::cache::{CacheMode, CacheOptions};
use crate::datasets::{DatasetConfig, load_with};
use crate::formats::npy::write_npz;
use crate::loader::{Loader, LoaderConfig, Throughput, throughput};
use crate::scale::{ScaleConfig, Scaler};
use crate::{Error, Result};

/// Windows of a shape that is met in practice, of made-up values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCase {
    /// For people.
    pub name: &'static str,
    /// Sensors and steps of a recording.
    pub recording: (usize, usize),
    /// How many recordings.
    pub count: usize,
    /// Steps of a window, and from one to the next.
    pub window: (usize, usize),
    /// Windows of a batch.
    pub batch: usize,
}

/// Raw EEG in whole recordings and in overlapping windows, a city's and a state's traffic.
pub const BATCH_CASES: [BatchCase; 4] = [
    BatchCase {
        name: "EEG, whole recordings of 19 x 2000",
        recording: (19, 2_000),
        count: 1_600,
        window: (2_000, 2_000),
        batch: 32,
    },
    BatchCase {
        name: "EEG, 19 x 2000, half overlapping",
        recording: (19, 200_000),
        count: 16,
        window: (2_000, 1_000),
        batch: 32,
    },
    BatchCase {
        name: "traffic, 207 x 24, one step apart",
        recording: (207, 34_272),
        count: 4,
        window: (24, 1),
        batch: 64,
    },
    BatchCase {
        name: "traffic, 8600 x 24, one step apart",
        recording: (8_600, 2_000),
        count: 4,
        window: (24, 1),
        batch: 16,
    },
];

/// A million overlapping windows, and the whole of LargeST: 8,600 detectors for three years.
pub const LARGE_CASES: [BatchCase; 2] = [
    BatchCase {
        name: "EEG, 1e6 of 19 x 2000, one step apart",
        recording: (19, 1_001_999),
        count: 1,
        window: (2_000, 1),
        batch: 32,
    },
    BatchCase {
        name: "LargeST, 8600 x 24 out of 105120 steps",
        recording: (8_600, 105_120),
        count: 1,
        window: (24, 1),
        batch: 16,
    },
];

/// How fast the batches of a case came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchSpeed {
    /// Number of windows.
    pub windows: usize,
    /// Seconds to read, cut and keep the windows.
    pub cold: f64,
    /// Seconds to open them from the cache.
    pub cached: f64,
    /// Batches in random order as they are.
    pub plain: Throughput,
    /// The same with every value scaled on its way.
    pub scaled: Throughput,
}

/// Writes files of a case into `folder`, cuts them through a cache there, and takes batches out of
/// the cache for twice `time`.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn cached_batches(case: &BatchCase, folder: &Path, time: Duration) -> Result<BatchSpeed> {
    let files = folder.join("files");
    std::fs::create_dir_all(&files).map_err(|e| Error::io(&files, e))?;
    let ((v, t), per_file) = (case.recording, case.count.min(4));
    for file in 0..case.count / per_file {
        let x = Array3::from_shape_fn((per_file, v, t), |(n, v, t)| {
            ((n * 31 + v * 17 + t * 7 + file) % 1013) as f32 / 100.0
        });
        let y = Array1::from_shape_fn(per_file, |n| (n % 2) as f32);
        let arrays = [("x", x.into_dyn()), ("y", y.into_dyn())];
        write_npz(files.join(format!("{file}.npz")), &arrays)?;
    }
    let (length, stride) = case.window;
    let toml = format!(
        "files = \"*.npz\"\nlayout = \"samples nodes time\"\n[window]\nlength = {length}\n\
         stride = {stride}\nunit = \"samples\"\n"
    );
    let path = files.join("dataset.toml");
    std::fs::write(&path, toml).map_err(|e| Error::io(&path, e))?;
    let config = DatasetConfig {
        name: files.display().to_string(),
        ..Default::default()
    };
    let options = CacheOptions {
        mode: CacheMode::Always,
        folder: Some(folder.join("cache")),
    };
    let started = Instant::now();
    load_with(&config, &options)?;
    let cold = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut data = load_with(&config, &options)?;
    let cached = started.elapsed().as_secs_f64();
    let all_windows = data.x.len();
    let all: Vec<usize> = (0..all_windows).collect();
    let cfg = LoaderConfig {
        batch_size: case.batch,
        ..Default::default()
    };
    let plain = Loader::new(Arc::new(data.clone()), all.clone(), cfg.clone())?;
    let plain = throughput(&plain, time);
    let some = &all[..all.len().min(64)];
    Scaler::fit(&data, some, ScaleConfig::Standard)?.apply_dataset(&mut data)?;
    let scaled = Loader::new(Arc::new(data), all, cfg)?;
    Ok(BatchSpeed {
        windows: all_windows,
        cold,
        cached,
        plain,
        scaled: throughput(&scaled, time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_comes_out_of_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let case = BatchCase {
            name: "small",
            recording: (3, 50),
            count: 8,
            window: (10, 5),
            batch: 4,
        };
        let speed = cached_batches(&case, folder.path(), Duration::from_millis(20)).unwrap();
        assert_eq!(speed.windows, 8 * 9);
        assert_eq!(speed.plain.batch_bytes, 4 * 3 * 10 * 4);
        assert!(speed.scaled.loaded > 0.0 && speed.scaled.copied > 0.0);
        assert!(folder.path().join("cache").read_dir().unwrap().count() > 0);
    }
}
