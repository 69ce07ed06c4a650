//! Everything a run needs to go on, in one file that is replaced whole.
//!
//! `checkpoints/last/checkpoint.safetensors` holds the parameters (`model.NAME`), their moments
//! (`optimizer.first.NAME`, `optimizer.second.NAME`, row-major) and the position in the training as
//! JSON in the header. Random numbers need no place in it: every draw is a function of seed, epoch and step.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tgmamba_graph::files;

use super::optimizer::{Adam, HostMoments};
use crate::error::{Error, Result};
use crate::models::weights;
use crate::nn::state_dict::{self, HostTensor, StateDict};
use crate::report::EpochRecord;

/// Position in a training run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Current epoch, from 0.
    pub epoch: usize,
    /// Batches of it already seen.
    pub batch: usize,
    /// Optimiser steps taken so far.
    pub step: usize,
    /// Sum of losses over the windows of this epoch so far.
    pub loss_sum: f64,
    /// Windows of this epoch so far.
    pub loss_count: usize,
    /// Seconds spent in this epoch so far.
    pub seconds: f64,
    /// Seconds of them spent waiting for batches.
    #[serde(default)]
    pub loader_seconds: f64,
    /// Best epoch, and its value of the chosen metric if there is a validation part.
    pub best: Option<(usize, Option<f64>)>,
    /// Finished epochs.
    pub history: Vec<EpochRecord>,
    /// The training has ended.
    pub finished: bool,
}

const STATE: &str = "state";
const MOMENTS: [&str; 2] = ["optimizer.first.", "optimizer.second."];
const MODEL: &str = "model.";

/// Writes the checkpoint; on any failure the previous one stays.
pub fn save<M: Module>(
    path: &Path,
    model: &M,
    optimizer: &Adam,
    progress: &Progress,
) -> Result<()> {
    let defect = |field: &str, e: String| Error::file(path, field, e, "report this as a defect");
    let state = serde_json::to_string(progress).map_err(|e| defect(STATE, e.to_string()))?;
    let bytes = |values: Vec<f32>| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut entries: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, tensor) in state_dict::collect(model) {
        let (shape, values) = (tensor.shape, bytes(tensor.values));
        entries.push((format!("{MODEL}{name}"), Dtype::F32, shape, values));
    }
    for (name, moments) in optimizer.moments(model) {
        for (prefix, values) in MOMENTS.iter().zip(moments) {
            let shape = vec![values.len()];
            entries.push((format!("{prefix}{name}"), Dtype::F32, shape, bytes(values)));
        }
    }
    let mut views = Vec::with_capacity(entries.len());
    for (name, dtype, shape, bytes) in &entries {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|e| defect(name, e.to_string()))?;
        views.push((name.clone(), view));
    }
    let header = HashMap::from([(STATE.to_string(), state)]);
    let bytes =
        safetensors::serialize(views, Some(header)).map_err(|e| defect("header", e.to_string()))?;
    files::atomic_write(path, |out| {
        out.write_all(&bytes).map_err(|e| Error::io(path, e))
    })
}

/// The progress a checkpoint holds.
///
/// # Errors
/// A file that is missing or damaged.
pub fn read_progress(path: &Path) -> Result<Progress> {
    progress_of(path, &files::read(path)?)
}

/// The epoch whose weights were kept, if one was finished.
///
/// # Errors
/// As [`read_progress`].
pub fn best_epoch(path: &Path) -> Result<Option<usize>> {
    Ok(read_progress(path)?.best.map(|(epoch, _)| epoch))
}

fn damaged(path: &Path, field: &str, e: impl ToString) -> Error {
    Error::file(
        path,
        field,
        format!("the checkpoint is damaged ({})", e.to_string()),
        "start the run again under another name",
    )
}

fn progress_of(path: &Path, bytes: &[u8]) -> Result<Progress> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(path, "header", e))?;
    let state = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get(STATE))
        .ok_or_else(|| damaged(path, STATE, "absent"))?;
    serde_json::from_str(state).map_err(|e| damaged(path, STATE, e))
}

/// Restores what [`save`] wrote into a fresh model and optimiser of the same configuration, the
/// moments on `device`, which is without autodiff.
///
/// # Errors
/// A file that is missing, damaged, or of another model.
pub fn load<M: Module>(
    path: &Path,
    model: M,
    mut optimizer: Adam,
    device: &Device,
) -> Result<(M, Adam, Progress)> {
    let bytes = files::read(path)?;
    let progress = progress_of(path, &bytes)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, "header", e))?;
    if file.names().contains(&"optimizer") {
        return Err(Error::file(
            path,
            "optimizer",
            "is of an earlier version of this program",
            "go on with that version, or start the run again under another name",
        ));
    }
    let mut dict = StateDict::new();
    let mut moments: [BTreeMap<String, Vec<f32>>; 2] = Default::default();
    for (name, view) in file.iter() {
        let chunks = view.data().as_chunks::<4>().0.iter();
        let values: Vec<f32> = chunks.map(|b| f32::from_le_bytes(*b)).collect();
        if let Some(name) = name.strip_prefix(MODEL) {
            let shape = view.shape().to_vec();
            dict.insert(name.to_string(), HostTensor { shape, values });
        } else if let Some(name) = name.strip_prefix(MOMENTS[0]) {
            moments[0].insert(name.to_string(), values);
        } else if let Some(name) = name.strip_prefix(MOMENTS[1]) {
            moments[1].insert(name.to_string(), values);
        }
    }
    let (model, mismatch) = state_dict::apply(model, &dict);
    if !mismatch.is_empty() {
        return Err(weights::explain(path, &mismatch));
    }
    let [first, mut second] = moments;
    let mut paired: BTreeMap<String, HostMoments> = BTreeMap::new();
    for (name, first) in first {
        let count = dict.get(&name).map(|t| t.values.len());
        let second = second.remove(&name).unwrap_or_default();
        if count != Some(first.len()) || count != Some(second.len()) {
            let field = format!("{}{name}", MOMENTS[0]);
            return Err(damaged(path, &field, "moments of another shape"));
        }
        paired.insert(name, [first, second]);
    }
    if progress.step > 0 && paired.is_empty() {
        return Err(damaged(path, "optimizer", "no moments"));
    }
    optimizer.restore(progress.step, paired, &model, device);
    Ok((model, optimizer, progress))
}
