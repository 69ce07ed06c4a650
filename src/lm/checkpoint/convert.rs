//! From one published format to another, bit for bit.

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::tensor::Device;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, View};
use tgmamba_graph::files;

use super::config::{self, Format};
use super::source::{self, Storage, Stored};
use super::{EMBEDDING, HEAD, check, describe, widened};
use crate::error::{Error, Result};

/// A tensor on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Its name in the input; the embedding's for a head that is written anew.
    pub from: String,
    /// Its name in the output; absent for a head that the output ties.
    pub to: Option<String>,
    pub shape: Vec<usize>,
    pub from_storage: Storage,
    pub to_storage: Storage,
}

/// What a conversion did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub from: Format,
    pub to: Format,
    pub tensors: Vec<Moved>,
    /// Written files.
    pub files: Vec<PathBuf>,
    /// What a reader of the output should know.
    pub notes: Vec<String>,
}

/// Files beside the weights that are taken along.
const COMPANIONS: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];

/// Rewrites the checkpoint in `from` as `format` into the new folder `to`: names and configuration
/// change, numbers do not unless `storage` asks for another type. Weights are written as
/// `model.safetensors`.
///
/// # Errors
/// As [`load`](super::load); a model that the format cannot describe; a folder that exists.
pub fn convert(from: &Path, to: &Path, format: Format, storage: Option<Storage>) -> Result<Report> {
    let described = config::read(from)?;
    let source = source::open(from)?;
    // Parameters are made when they are used: this takes no memory.
    check(&described.config.init(&Device::flex())?, &source, from)?;
    let written = storage.unwrap_or_else(|| source.storage());
    let text = describe::write(&described.config, format, &described.eos, written.torch())?;
    if to.exists() {
        return Err(Error::file(
            to,
            "output",
            "exists, and checkpoints are never overwritten",
            "choose another folder",
        ));
    }
    let tied = described.config.tie_embeddings;
    let mut tensors = Vec::new();
    let mut outputs: Vec<(String, &Stored)> = Vec::new();
    for (name, stored) in &source.tensors {
        let dropped = name == HEAD && tied && format == Format::HuggingFace;
        let target = (!dropped).then(|| renamed(name, format));
        tensors.push(moved(stored, target.clone(), storage));
        outputs.extend(target.map(|target| (target, stored)));
    }
    // state-spaces demands the head, tied or not.
    if tied && format == Format::StateSpaces && !source.tensors.contains_key(HEAD) {
        let stored = &source.tensors[EMBEDDING];
        tensors.push(moved(stored, Some(HEAD.into()), storage));
        outputs.push((HEAD.into(), stored));
    }
    let weights = to.join("model.safetensors");
    write_weights(&weights, &outputs, storage)?;
    let config = to.join("config.json");
    files::atomic_write(&config, |out| {
        out.write_all(text.as_bytes())
            .map_err(|e| Error::io(&config, e))
    })?;
    let mut files = vec![config, weights];
    for name in COMPANIONS {
        if from.join(name).is_file() {
            let target = to.join(name);
            std::fs::copy(from.join(name), &target).map_err(|e| Error::io(&target, e))?;
            files.push(target);
        }
    }
    Ok(Report {
        from: described.format,
        to: format,
        tensors,
        files,
        notes: notes(&described.config, format),
    })
}

fn notes(config: &crate::models::LanguageModelConfig, format: Format) -> Vec<String> {
    let groups = match &config.mixer {
        crate::models::MixerConfig::Mamba2(c) => c.ngroups,
        crate::models::MixerConfig::Mamba1(_) => 1,
    };
    let mut notes = Vec::new();
    if format == Format::HuggingFace && groups > 1 {
        notes.push(format!(
            "transformers normalises all {groups} groups of the gated norm together, state-spaces \
             and this program each by itself: expect other logits there"
        ));
    }
    if format == Format::StateSpaces {
        notes.push(
            "state-spaces/mamba looks for pytorch_model.bin: load model.safetensors there with \
             safetensors.torch.load_file"
                .into(),
        );
    }
    notes
}

fn renamed(name: &str, format: Format) -> String {
    match format {
        Format::HuggingFace => name.replace("backbone.embedding.", "backbone.embeddings."),
        Format::StateSpaces => name.into(),
        Format::Codestral => format!("model.{name}"),
    }
}

fn moved(stored: &Stored, to: Option<String>, storage: Option<Storage>) -> Moved {
    Moved {
        from: stored.name.clone(),
        to,
        shape: stored.shape.clone(),
        from_storage: stored.storage,
        to_storage: storage.unwrap_or(stored.storage),
    }
}

/// A tensor that is read when it is written.
struct Lazy<'a> {
    stored: &'a Stored,
    storage: Storage,
    failed: &'a Mutex<Option<Error>>,
}

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.storage {
            Storage::F32 => Dtype::F32,
            Storage::Bf16 => Dtype::BF16,
            Storage::F16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.stored.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.stored.bytes().and_then(|bytes| {
            let short = bytes.len() != self.data_len() && self.storage == self.stored.storage;
            match short {
                true => Err(Error::file(
                    &self.stored.path,
                    &self.stored.name,
                    format!("has {} bytes of {}", bytes.len(), self.data_len()),
                    "fetch the file again",
                )),
                false => Ok(bytes),
            }
        });
        match bytes {
            Ok(bytes) if self.storage == self.stored.storage => bytes,
            Ok(bytes) => Cow::Owned(stored_as(
                &widened(self.stored.storage, &bytes),
                self.storage,
            )),
            Err(e) => {
                if let Ok(mut failed) = self.failed.lock() {
                    failed.get_or_insert(e);
                }
                // The file is thrown away; its layout wants the length.
                Cow::Owned(vec![0; self.data_len()])
            }
        }
    }

    fn data_len(&self) -> usize {
        self.stored.shape.iter().product::<usize>() * self.storage.size()
    }
}

/// Numbers, rounded to the nearest.
fn stored_as(values: &[f32], storage: Storage) -> Vec<u8> {
    match storage {
        Storage::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Storage::Bf16 => values
            .iter()
            .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
            .collect(),
        Storage::F16 => values
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

fn write_weights(
    path: &Path,
    tensors: &[(String, &Stored)],
    storage: Option<Storage>,
) -> Result<()> {
    let failed = Mutex::new(None);
    let views = tensors.iter().map(|(name, stored)| {
        let lazy = Lazy {
            stored,
            storage: storage.unwrap_or(stored.storage),
            failed: &failed,
        };
        (name.clone(), lazy)
    });
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    // Transformers wants to know which framework wrote a file.
    let header = [("format".to_string(), "pt".to_string())].into();
    let part = folder.join(".model.safetensors.part");
    let done = safetensors::serialize_to_file(views, Some(header), &part)
        .map_err(|e| Error::file(path, "weights", e.to_string(), "free some space"))
        .and_then(|()| match failed.into_inner() {
            Ok(Some(e)) => Err(e),
            _ => std::fs::rename(&part, path).map_err(|e| Error::io(path, e)),
        });
    if done.is_err() {
        // What is left of it is of no use; that it could not be removed changes nothing.
        drop(std::fs::remove_file(&part));
    }
    done
}
