//! Checkpoints of state-spaces/mamba, Hugging Face transformers and Codestral Mamba.
//!
//! A folder holds a configuration and weights: `config.json` or `params.json`; safetensors or
//! PyTorch `.bin`, whole or in parts with an index. Inside the program tensors have the names of
//! state-spaces.

pub mod config;
pub mod convert;
mod describe;
mod json;
mod pytorch;
pub mod source;

use std::path::Path;

use burn::tensor::{DType, Device, TensorData};
use half::{bf16, f16};

pub use config::{Described, Format};
pub use source::{Source, Storage};

use crate::error::{Error, Result};
use crate::models::LanguageModel;
use crate::nn::state_dict::{self, Slot};
use source::Stored;

/// A model and where it came from.
pub struct Loaded {
    pub model: LanguageModel,
    pub described: Described,
    /// How its matrices are stored in memory.
    pub storage: Storage,
}

/// Loads a checkpoint folder. Matrices are kept as `storage` says, or as the file has them;
/// everything else is f32.
///
/// # Errors
/// Names what is missing, left over with its nearest match, of another shape or type, damaged or
/// not finite.
pub fn load(folder: &Path, storage: Option<Storage>, device: &Device) -> Result<Loaded> {
    let described = config::read(folder)?;
    let source = source::open(folder)?;
    let model = described.config.init(device)?;
    check(&model, &source, folder)?;
    let storage = storage.unwrap_or_else(|| source.storage());
    let mut failed = None;
    let model = state_dict::fill(model, |slot| {
        let stored = source.tensors.get(slot.name)?;
        let wanted = if slot.matrix { storage } else { Storage::F32 };
        match values(stored, slot, wanted) {
            Ok(data) => Some(data),
            Err(e) => {
                failed.get_or_insert(e);
                None
            }
        }
    });
    match failed {
        Some(e) => Err(e),
        None => Ok(Loaded {
            model,
            described,
            storage,
        }),
    }
}

/// The name of the head's weight, which repeats the embedding where they are tied.
pub const HEAD: &str = "lm_head.weight";

/// The name of the embedding.
pub const EMBEDDING: &str = "backbone.embedding.weight";

/// Refuses a source that is not of this model.
fn check(model: &LanguageModel, source: &Source, folder: &Path) -> Result<()> {
    let slots = state_dict::shapes(model);
    let refuse = |field: &str, problem: String| {
        Err(Error::file(
            folder,
            field,
            problem,
            "use the configuration that belongs to these weights",
        ))
    };
    let unused: Vec<&str> = source
        .tensors
        .keys()
        .map(String::as_str)
        .filter(|name| !slots.contains_key(*name))
        .filter(|name| *name != HEAD || model.lm_head.is_some())
        .collect();
    for (name, shape) in &slots {
        match source.tensors.get(name) {
            None => {
                let near = nearest(name, &unused);
                return refuse(name, format!("the weights lack this tensor{near}"));
            }
            Some(found) if found.shape != *shape => {
                let problem = format!("is {:?}, the model needs {shape:?}", found.shape);
                return refuse(name, problem);
            }
            Some(_) => {}
        }
    }
    if let Some(name) = unused.first() {
        let known: Vec<&str> = slots.keys().map(String::as_str).collect();
        let stored = &source.tensors[*name].name;
        let near = nearest(name, &known);
        return refuse(stored, format!("the model has no such tensor{near}"));
    }
    if let (None, Some(head)) = (&model.lm_head, source.tensors.get(HEAD)) {
        let embedding = &source.tensors[EMBEDDING];
        if head.bytes()? != embedding.bytes()? {
            let problem = "differs from the embedding, to which the configuration ties it";
            return refuse(HEAD, problem.into());
        }
    }
    Ok(())
}

fn nearest(name: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(name, k), *k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.8)
        .map(|(_, k)| format!("; the nearest is {k}"))
        .unwrap_or_default()
}

/// Makes the folder `to` with a configuration and the weights of a file of safetensors under the
/// names of state-spaces: a checkpoint of that format, in which a tied head is left out.
///
/// # Errors
/// A folder that cannot be written.
pub fn publish(
    weights: &Path,
    config: &crate::models::LanguageModelConfig,
    to: &Path,
) -> Result<()> {
    let text = describe::write(config, Format::StateSpaces, &[], Storage::F32.torch())?;
    let put = |name: &str, bytes: &[u8]| {
        let path = to.join(name);
        tgmamba_graph::files::atomic_write(&path, |out| {
            std::io::Write::write_all(out, bytes).map_err(|e| Error::io(&path, e))
        })
    };
    put("model.safetensors", &tgmamba_graph::files::read(weights)?)?;
    put("config.json", text.as_bytes())
}

/// The numbers of a tensor as a module keeps them.
fn values(stored: &Stored, slot: Slot, wanted: Storage) -> Result<TensorData> {
    let bytes = stored.bytes()?;
    let count: usize = stored.shape.iter().product();
    if bytes.len() != count * stored.storage.size() {
        return Err(Error::file(
            &stored.path,
            &stored.name,
            format!("has {} bytes for {count} numbers", bytes.len()),
            "fetch the file again",
        ));
    }
    let columns = match slot.transposed {
        true => Some(stored.shape[1]),
        false => None,
    };
    let shape = slot.own.to_vec();
    Ok(match (stored.storage, wanted) {
        (Storage::Bf16, Storage::Bf16) => {
            let values = read(&bytes, bf16::from_le_bytes);
            finite(stored, &values, |v| v.is_finite())?;
            TensorData::new(turned(values, columns), shape)
        }
        (Storage::F16, Storage::F16) => {
            let values = read(&bytes, f16::from_le_bytes);
            finite(stored, &values, |v| v.is_finite())?;
            TensorData::new(turned(values, columns), shape)
        }
        (_, wanted) => {
            let values = widened(stored.storage, &bytes);
            finite(stored, &values, |v| v.is_finite())?;
            let values = turned(values, columns);
            let data = TensorData::new(values, shape);
            match wanted {
                Storage::F32 => data,
                Storage::Bf16 => data.convert_dtype(DType::BF16),
                Storage::F16 => data.convert_dtype(DType::F16),
            }
        }
    })
}

fn read<T, const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|b| number(*b))
        .collect()
}

/// Numbers as f32, exact.
pub(crate) fn widened(storage: Storage, bytes: &[u8]) -> Vec<f32> {
    match storage {
        Storage::F32 => read(bytes, f32::from_le_bytes),
        Storage::Bf16 => read(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Storage::F16 => read(bytes, |b| f16::from_le_bytes(b).to_f32()),
    }
}

fn finite<T: Copy + std::fmt::Display>(
    stored: &Stored,
    values: &[T],
    is_finite: impl Fn(T) -> bool,
) -> Result<()> {
    match values.iter().position(|v| !is_finite(*v)) {
        Some(i) => Err(Error::file(
            &stored.path,
            &stored.name,
            format!("element {i} is {}", values[i]),
            "take a checkpoint from before the training diverged",
        )),
        None => Ok(()),
    }
}

/// Row-major with `columns` columns to its transpose, in blocks that fit a cache.
fn turned<T: Copy>(values: Vec<T>, columns: Option<usize>) -> Vec<T> {
    const BLOCK: usize = 32;
    let Some(columns) = columns else {
        return values;
    };
    let rows = values.len() / columns.max(1);
    let mut out = values.clone();
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for i in top..(top + BLOCK).min(rows) {
                for j in left..(left + BLOCK).min(columns) {
                    out[j * rows + i] = values[i * columns + j];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transpose_is_one() {
        let (rows, columns) = (70, 33);
        let values: Vec<usize> = (0..rows * columns).collect();
        let out = turned(values.clone(), Some(columns));
        for i in 0..rows {
            for j in 0..columns {
                assert_eq!(out[j * rows + i], values[i * columns + j]);
            }
        }
        assert_eq!(turned(out, Some(rows)), values);
    }
}
