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
use super::{EMBEDDING, HEAD, check, describe, pytorch, widened};
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

/// The file of weights to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// `model.safetensors`.
    Safetensors,
    /// `pytorch_model.bin`.
    Bin,
}

impl Weights {
    /// What programs of a format look for.
    pub fn of(format: Format) -> Self {
        match format {
            Format::StateSpaces => Self::Bin,
            Format::HuggingFace | Format::Codestral => Self::Safetensors,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Safetensors => "model.safetensors",
            Self::Bin => "pytorch_model.bin",
        }
    }
}

/// Rewrites the checkpoint in `from` as `format` into the new folder `to`: names and configuration
/// change, numbers do not unless `storage` asks for another type.
///
/// # Errors
/// As [`load`](super::load); a model that the format cannot describe; a folder that exists.
pub fn convert(
    from: &Path,
    to: &Path,
    format: Format,
    weights: Weights,
    storage: Option<Storage>,
) -> Result<Report> {
    let described = config::read(from)?;
    let source = source::open(from)?;
    // Parameters are made when they are used: this takes no memory.
    #[cfg(feature = "flex")]
    let device = Device::flex();
    #[cfg(not(feature = "flex"))]
    let device = Device::default();
    check(&described.config.init(&device)?, &source, from)?;
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
        // The numbers of a tied head are the embedding's, as was checked.
        let numbers = match name == HEAD && tied {
            true => &source.tensors[EMBEDDING],
            false => stored,
        };
        outputs.extend(target.map(|target| (target, numbers)));
    }
    // state-spaces demands the head, tied or not.
    if tied && format == Format::StateSpaces && !source.tensors.contains_key(HEAD) {
        let stored = &source.tensors[EMBEDDING];
        tensors.push(moved(stored, Some(HEAD.into()), storage));
        outputs.push((HEAD.into(), stored));
    }
    let path = to.join(weights.file());
    if let Err(e) = write_weights(&path, weights, &outputs, storage) {
        // It is empty; the next try may have the name.
        drop(std::fs::remove_dir(to));
        return Err(e);
    }
    let config = to.join("config.json");
    files::atomic_write(&config, |out| {
        out.write_all(text.as_bytes())
            .map_err(|e| Error::io(&config, e))
    })?;
    let mut files = vec![config, path];
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
        notes: notes(&described.config, format, weights),
    })
}

fn notes(
    config: &crate::models::LanguageModelConfig,
    format: Format,
    weights: Weights,
) -> Vec<String> {
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
    if format == Format::StateSpaces && weights == Weights::Safetensors {
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
    weights: Weights,
    tensors: &[(String, &Stored)],
    storage: Option<Storage>,
) -> Result<()> {
    let failed = Mutex::new(None);
    let lazy = |stored| Lazy {
        stored,
        storage: storage.unwrap_or(stored.storage),
        failed: &failed,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let part = folder.join(format!(".{}.part", weights.file()));
    let done = match weights {
        Weights::Safetensors => {
            let views = tensors.iter().map(|(name, stored)| (name, lazy(stored)));
            // Transformers wants to know which framework wrote a file.
            let header = [("format".to_string(), "pt".to_string())].into();
            safetensors::serialize_to_file(views, Some(header), &part)
                .map_err(|e| Error::file(path, "weights", e.to_string(), "free some space"))
        }
        Weights::Bin => {
            // A tied head is the embedding once more.
            let mut distinct: Vec<&Stored> = Vec::new();
            let entries: Vec<pytorch::Entry<'_>> = tensors
                .iter()
                .map(|(name, stored)| pytorch::Entry {
                    name,
                    shape: &stored.shape,
                    storage: storage.unwrap_or(stored.storage),
                    numbers: match distinct.iter().position(|d| std::ptr::eq(*d, *stored)) {
                        Some(i) => i,
                        None => {
                            distinct.push(stored);
                            distinct.len() - 1
                        }
                    },
                })
                .collect();
            let views: Vec<Lazy<'_>> = distinct.iter().map(|stored| lazy(stored)).collect();
            pytorch::write(&part, &entries, views.len(), |i| Ok(views[i].data()))
        }
    };
    let done = done.and_then(|()| match failed.into_inner() {
        Ok(Some(e)) => Err(e),
        _ => std::fs::rename(&part, path).map_err(|e| Error::io(path, e)),
    });
    if done.is_err() {
        // What is left of it is of no use; that it could not be removed changes nothing.
        drop(std::fs::remove_file(&part));
    }
    done
}
