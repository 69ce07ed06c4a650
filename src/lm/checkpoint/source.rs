//! The tensors of a checkpoint folder, read one at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pytorch_reader::PytorchReader;
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;
use tgmamba_graph::files;

use super::json;
use crate::error::{Error, Result};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Storage {
    F32,
    Bf16,
    F16,
}

impl Storage {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// Its name in PyTorch.
    pub fn torch(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// A tensor that has not been read yet.
#[derive(Clone)]
pub struct Stored {
    /// Its name in the file.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// How it is stored.
    pub storage: Storage,
    /// Its shape as PyTorch has it.
    pub shape: Vec<usize>,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Mapped(Arc<memmap2::Mmap>, std::ops::Range<usize>),
    Pytorch(pytorch_reader::Tensor),
}

impl Stored {
    /// Its bytes, little-endian and row-major.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match &self.place {
            Place::Mapped(map, range) => Ok(Cow::Borrowed(&map[range.clone()])),
            Place::Pytorch(tensor) => tensor
                .read()
                .map(Cow::Owned)
                .map_err(|e| truncated(&self.path, &self.name, &e.to_string())),
        }
    }
}

/// The tensors of a folder under the names of state-spaces.
pub struct Source {
    /// By name.
    pub tensors: BTreeMap<String, Stored>,
    /// The files they are in.
    pub files: Vec<PathBuf>,
}

/// Single files and indices in the order they are looked for.
const PLACES: [&str; 5] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "consolidated.safetensors",
];

/// The name of a tensor as state-spaces has it: without Codestral's `model.`, and `embedding` for
/// Hugging Face's `embeddings`.
pub fn canonical(name: &str) -> String {
    let name = name.strip_prefix("model.").unwrap_or(name);
    name.replace("backbone.embeddings.", "backbone.embedding.")
}

/// Opens the weights of a checkpoint folder.
///
/// # Errors
/// A folder without weights, an index that names a missing file or tensor, a file that is
/// truncated, a tensor that is no floating-point number.
pub fn open(folder: &Path) -> Result<Source> {
    let mut found: Vec<PathBuf> = PLACES
        .iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_file())
        .take(1)
        .collect();
    if found.is_empty() {
        // A checkpoint in parts without index, or one file under another name.
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
        found = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        found.sort();
    }
    if found.is_empty() {
        return Err(Error::file(
            folder,
            "weights",
            format!(
                "there are none; looked for {} and *.safetensors",
                PLACES.join(", ")
            ),
            "fetch the checkpoint again",
        ));
    }
    let mut source = Source {
        tensors: BTreeMap::new(),
        files: vec![],
    };
    for path in found {
        match path.extension().is_some_and(|e| e == "json") {
            true => source.open_index(&path)?,
            false => source.open_file(&path)?,
        }
    }
    Ok(source)
}

impl Source {
    fn open_index(&mut self, path: &Path) -> Result<()> {
        let value = json::read(path)?;
        let map = value.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| {
            Error::file(
                path,
                "weight_map",
                "is missing",
                "fetch the index again, or delete it if the weights are in one file",
            )
        })?;
        let mut shards: Vec<&str> = map.values().filter_map(Value::as_str).collect();
        shards.sort_unstable();
        shards.dedup();
        let folder = path.parent().unwrap_or(Path::new("."));
        for shard in shards {
            let file = folder.join(shard);
            if !file.is_file() {
                return Err(Error::file(
                    path,
                    "weight_map",
                    format!("names {shard}, which is not in the folder"),
                    "fetch that file",
                ));
            }
            self.open_file(&file)?;
        }
        for (name, shard) in map {
            let found = self.tensors.get(&canonical(name));
            let right = |t: &&Stored| t.path.file_name().and_then(|f| f.to_str()) == shard.as_str();
            if found.filter(right).is_none() {
                return Err(Error::file(
                    path,
                    name,
                    format!("is not in {shard}, where the index puts it"),
                    "fetch the index and its files again",
                ));
            }
        }
        Ok(())
    }

    fn open_file(&mut self, path: &Path) -> Result<()> {
        let found = match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => safetensors(path)?,
            _ => pytorch(path)?,
        };
        for stored in found {
            let name = canonical(&stored.name);
            if let Some(other) = self.tensors.get(&name) {
                return Err(Error::file(
                    path,
                    &stored.name,
                    format!("is in {} as well", other.path.display()),
                    "keep one checkpoint in the folder",
                ));
            }
            self.tensors.insert(name, stored);
        }
        self.files.push(path.to_path_buf());
        Ok(())
    }

    /// How most of its matrices are stored.
    pub fn storage(&self) -> Storage {
        let weight = |storage: Storage| -> usize {
            let own = self.tensors.values().filter(|t| t.storage == storage);
            own.map(|t| t.shape.iter().product::<usize>()).sum()
        };
        let all = [Storage::F32, Storage::Bf16, Storage::F16];
        all.into_iter()
            .max_by_key(|s| weight(*s))
            .unwrap_or(Storage::F32)
    }
}

fn truncated(path: &Path, field: &str, problem: &str) -> Error {
    Error::file(
        path,
        field,
        format!("the file is not whole ({problem})"),
        "fetch it again",
    )
}

fn not_float(path: &Path, name: &str, dtype: &str) -> Error {
    Error::file(
        path,
        name,
        format!("holds {dtype}; weights are f32, bf16 or f16"),
        "convert the checkpoint, or keep only the model's weights in the file",
    )
}

fn safetensors(path: &Path) -> Result<Vec<Stored>> {
    let map = Arc::new(files::map(path)?);
    let file =
        SafeTensors::deserialize(&map).map_err(|e| truncated(path, "header", &e.to_string()))?;
    let start = map.as_ptr() as usize;
    file.iter()
        .map(|(name, view)| {
            let storage = match view.dtype() {
                Dtype::F32 => Storage::F32,
                Dtype::BF16 => Storage::Bf16,
                Dtype::F16 => Storage::F16,
                other => return Err(not_float(path, name, &format!("{other:?}"))),
            };
            let at = view.data().as_ptr() as usize - start;
            Ok(Stored {
                name: name.to_string(),
                path: path.to_path_buf(),
                storage,
                shape: view.shape().to_vec(),
                place: Place::Mapped(Arc::clone(&map), at..at + view.data().len()),
            })
        })
        .collect()
}

fn pytorch(path: &Path) -> Result<Vec<Stored>> {
    use pytorch_reader::DType;

    let reader = PytorchReader::new(path).map_err(|e| truncated(path, "pickle", &e.to_string()))?;
    reader
        .into_tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let storage = match tensor.dtype() {
                DType::F32 => Storage::F32,
                DType::BF16 => Storage::Bf16,
                DType::F16 => Storage::F16,
                other => return Err(not_float(path, &name, &format!("{other:?}"))),
            };
            Ok(Stored {
                path: path.to_path_buf(),
                storage,
                shape: tensor.shape().to_vec(),
                place: Place::Pytorch(tensor),
                name,
            })
        })
        .collect()
}
