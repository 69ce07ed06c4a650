//! The TUH EEG Seizure Corpus (TUSZ): clinical recordings of several hundred patients in which
//! experts marked every seizure.
//!
//! **Files.** The corpus as its owners give it out, v1.5.2 or v2: the folder `edf` in
//! `tusz` (or `tuh_eeg_seizure`), with or without a folder for the version between.
//!
//! ```text
//! tusz/edf/{train,dev}/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf, .tse, ...
//! tusz/edf/{train,dev,eval}/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf, .csv, .csv_bi
//! ```
//!
//! **Recordings.** One for each EDF file: 19 electrodes of the 10-20 system, found by name whatever
//! the reference, in microvolts, brought to 200 Hz with the Fourier series of the whole recording
//! (`scipy.signal.resample`).
//!
//! **Task.** `detection` (the default): windows without overlap; one in which a seizure is, or at
//! whose edge one begins or ends, is a seizure. Times come from `.csv_bi`, `.tse_bi`, else from
//! `.csv`, `.tse`, `.lbl_bi`, `.lbl`. `classification`: one window for each seizure, from 2 s before
//! its onset or the end of the seizure before it, whichever is later, for the length of a window or
//! until it ends; whole seconds are kept, the rest of the window is masked. Its four classes are
//! those of Tang et al.: focal (fnsz, spsz, cpsz), generalised (gnsz), absence (absz), tonic (tnsz,
//! tcsz); other types are left out.
//!
//! **Windows and features.** 60 s of log-amplitude spectra, second by second, unless others are
//! asked for:
//!
//! | protocol | `window.length` | `features` |
//! |---|---|---|
//! | Tang et al. 2022 | 60 or 12 | `kind = "log-spectrum"`, `segment_seconds = 1` |
//! | Graph-S4mer (Tang et al. 2023) | 60 | `kind = "raw"` |
//! | TGMamba, spectra | 10 | as the first, `standardize = "frequency"` |
//! | TGMamba, raw | 10 | `kind = "raw"`, `standardize = "time"` |
//!
//! The first two standardise with figures of the training part, as a scaler does. A spectrum of
//! nothing is ln 1e-30 here and ln 1e-8 in the first.
//!
//! **Parts.** Those of the folders: with `eval`, `dev` validates and `eval` tests; without, `dev`
//! tests and patients of `train` are set aside for validation by the split. A `split_file` (columns
//! `subject,split`) overrides them. Five patients of v1.5.2 are in `train` and `dev`; with
//! `accept = ["shared-subjects"]` they are left out of `dev`, as in the protocols above.
//!
//! **Graph.** Electrodes at most 0.9 apart on the unit sphere, weighted by the Gaussian kernel: the
//! 72 edges of Tang et al.
//!
//! Sources: Shah et al. 2018 and the corpus's `AAREADME.txt`; Tang et al., "Self-supervised graph
//! neural networks for improved electroencephalographic seizure analysis", ICLR 2022, and its
//! repository eeg-gnn-ssl; Tang et al., "Modeling multivariate biosignals with graph neural networks
//! and structured state space models", CHIL 2023, and its repository graphs4mer.

mod files;
mod read;
mod seizures;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::options::{Accept, Task};
use super::{DatasetConfig, electrodes};
use crate::electrodes::{SCALP_RADIUS, montage_graph};
use crate::signal::{FeatureConfig, Transform};
use crate::topology::{EdgeWeights, GraphConfig};
use crate::windows::{LazySet, RecordingSet, Shard, Unit, WindowConfig};
use crate::{Result, fetch};
use read::Plan;

/// Electrodes in the order of the protocols.
const SENSORS: [&str; 19] = [
    "Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "T7", "T8", "P7",
    "P8", "Fz", "Cz", "Pz",
];
const CLIP_SECONDS: f64 = 60.0;
const RATE: f64 = 200.0;

pub(super) fn features() -> FeatureConfig {
    FeatureConfig {
        transform: Transform::LogSpectrum {
            segment_seconds: 1.0,
            fmin: None,
            fmax: None,
            bins: None,
        },
        ..Default::default()
    }
}

pub(super) fn window() -> WindowConfig {
    WindowConfig {
        length: Some(CLIP_SECONDS),
        stride: None,
        unit: Unit::Seconds,
    }
}

pub(super) fn open(config: &DatasetConfig) -> Result<LazySet> {
    use Accept::{Breaks, Incomplete, MissingChannels, MixedRates, SharedSubjects, Unlabelled};
    config.accepts_only(
        "tusz",
        &[
            MissingChannels,
            Unlabelled,
            SharedSubjects,
            MixedRates,
            Breaks,
            Incomplete,
        ],
    )?;
    let (root, files, split_file) = files::list(config)?;
    let sensors = config.electrodes(&SENSORS);
    let task = config.task.unwrap_or(Task::Detection);
    let data_dir = config.data_dir.as_deref();
    let (positions, table) =
        electrodes::standard(data_dir, root.parent().unwrap_or(&root), &sensors)?;
    // Pairs of electrodes have no place in a graph of electrodes.
    let pairs = config
        .features
        .as_ref()
        .is_some_and(|f| f.montage.is_some());
    let adjacency = match pairs {
        true => None,
        false => Some(distance_graph(&sensors)?),
    };
    let mut sources = Vec::from_iter(table);
    if let Some(path) = &split_file {
        sources.push(crate::files::source_file(path)?);
    }
    let plan = Plan::new(config, task, sensors.clone())?;
    let annotations: Vec<(Vec<PathBuf>, bool)> = files
        .par_iter()
        .map(|file| {
            let annotations = plan.annotations(&file.path);
            let left_out = plan.is_left_out(&annotations)?;
            Ok((annotations, left_out))
        })
        .collect::<Result<_>>()?;
    let mut shards = Vec::new();
    for (file, (annotations, left_out)) in files.into_iter().zip(annotations) {
        if left_out {
            for path in annotations {
                sources.push(crate::files::source_file(path)?);
            }
            continue;
        }
        let plan = plan.clone();
        let files = std::iter::once(file.path.clone()).chain(annotations);
        shards.push(Shard::new(files.collect(), move || plan.recordings(&file)));
    }
    let classes: &[&str] = match task {
        Task::Detection => &["background", "seizure"],
        Task::Classification => &seizures::CLASSES,
    };
    let info = fetch::info("tusz").unwrap_or_default();
    let shared = RecordingSet {
        positions: Some(positions),
        adjacency,
        sources,
        ..RecordingSet::new(info, sensors, classes)
    };
    Ok(LazySet {
        gaps: task == Task::Classification,
        ..LazySet::new(shared, shards)
    })
}

/// Electrodes at most 0.9 of the head's radius apart, weighted by the Gaussian kernel.
fn distance_graph(sensors: &[String]) -> Result<ndarray::Array2<f32>> {
    let config = GraphConfig::Radius {
        metres: 0.9 * SCALP_RADIUS,
        weights: EdgeWeights::Gaussian,
        sigma: None,
    };
    Ok(montage_graph(sensors, &config)?.adjacency())
}

/// A path as it is shown in messages: below the folder of the set.
fn short(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
