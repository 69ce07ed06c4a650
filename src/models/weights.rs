//! Weight files: safetensors, and the `state_dict` of PyTorch and Lightning checkpoints.

use std::path::Path;

use burn::module::Module;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::nn::state_dict::{self, HostTensor, Mismatch, StateDict};

/// Writes a state dict as safetensors, f32, whole or not at all.
pub fn save(dict: &StateDict, path: &Path) -> Result<()> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = dict
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.clone(), tensor.shape.clone(), bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .map_err(|e| Error::file(path, name, e.to_string(), "report this as a defect"))?;
        views.push((name.clone(), view));
    }
    let file = safetensors::serialize(views, None)
        .map_err(|e| Error::file(path, "header", e.to_string(), "report this as a defect"))?;
    tgmamba_graph::files::atomic_write(path, |out| {
        std::io::Write::write_all(out, &file).map_err(|e| Error::io(path, e))
    })
}

/// Reads a weight file: `.safetensors`, or `.ckpt`/`.pt`/`.pth` of PyTorch.
///
/// # Errors
/// A file that is missing, truncated, of another format, or holds a tensor that is no
/// floating-point number.
pub fn load(path: &Path) -> Result<StateDict> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    match extension {
        "safetensors" => load_safetensors(path),
        "ckpt" | "pt" | "pth" => load_pytorch(path),
        _ => Err(Error::file(
            path,
            "file name",
            "the extension says no known weight format",
            "give a .safetensors, .ckpt, .pt or .pth file",
        )),
    }
}

fn load_safetensors(path: &Path) -> Result<StateDict> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::file(
            path,
            "header",
            format!("not a whole safetensors file ({e})"),
            "write or fetch the file again",
        )
    })?;
    let mut dict = StateDict::new();
    for (name, view) in file.iter() {
        let values = match view.dtype() {
            Dtype::F32 => f32_values(view.data()),
            Dtype::F64 => f64_values(view.data()),
            Dtype::F16 => f16_values(view.data()),
            Dtype::BF16 => bf16_values(view.data()),
            other => return Err(not_float(path, name, &format!("{other:?}"))),
        };
        let shape = view.shape().to_vec();
        dict.insert(name.to_string(), HostTensor { shape, values });
    }
    Ok(dict)
}

fn load_pytorch(path: &Path) -> Result<StateDict> {
    use pytorch_reader::{DType, PytorchReader};

    if !path.exists() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
    }
    // Lightning nests the weights; a plain state dict does not.
    let reader = PytorchReader::with_top_level_key(path, "state_dict")
        .or_else(|_| PytorchReader::new(path))
        .map_err(|e| {
            Error::file(
                path,
                "state_dict",
                format!("not a readable PyTorch checkpoint ({e})"),
                "save it again with torch.save or Lightning, or as safetensors",
            )
        })?;
    let mut dict = StateDict::new();
    for (name, tensor) in reader.into_tensors() {
        let bytes = tensor
            .read()
            .map_err(|e| Error::file(path, &name, e.to_string(), "fetch the file again"))?;
        let values = match tensor.dtype() {
            DType::F32 => f32_values(&bytes),
            DType::F64 => f64_values(&bytes),
            DType::F16 => f16_values(&bytes),
            DType::BF16 => bf16_values(&bytes),
            other => return Err(not_float(path, &name, &format!("{other:?}"))),
        };
        let shape = tensor.shape().to_vec();
        dict.insert(name, HostTensor { shape, values });
    }
    Ok(dict)
}

fn not_float(path: &Path, name: &str, dtype: &str) -> Error {
    Error::file(
        path,
        name,
        format!("holds {dtype}, not floating-point numbers"),
        "keep only the model's weights in the file",
    )
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

fn f64_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| f64::from_le_bytes(*b) as f32)
        .collect()
}

fn f16_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|b| half::f16::from_le_bytes(*b).to_f32())
        .collect()
}

fn bf16_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|b| half::bf16::from_le_bytes(*b).to_f32())
        .collect()
}

/// Puts the weights of a file into a model.
///
/// # Errors
/// Names every tensor that is missing, left over or of another shape, and any that is not finite.
pub fn load_into<M: Module>(model: M, path: &Path) -> Result<M> {
    let dict = load(path)?;
    for (name, tensor) in &dict {
        if let Some(i) = tensor.values.iter().position(|v| !v.is_finite()) {
            return Err(Error::file(
                path,
                name,
                format!("element {i} is {}", tensor.values[i]),
                "the weights were saved from a run that diverged; take another checkpoint",
            ));
        }
    }
    let (model, mismatch) = state_dict::apply(model, &dict);
    if mismatch.is_empty() {
        Ok(model)
    } else {
        Err(explain(path, &mismatch))
    }
}

/// One message about everything that does not fit.
pub fn explain(path: &Path, mismatch: &Mismatch) -> Error {
    let mut problems = Vec::new();
    let list = |names: &[String]| {
        let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
        let more = names.len().saturating_sub(5);
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{tail}", shown.join(", "))
    };
    if !mismatch.missing.is_empty() {
        problems.push(format!("lacks {}", list(&mismatch.missing)));
    }
    if !mismatch.unused.is_empty() {
        problems.push(format!("has unknown {}", list(&mismatch.unused)));
    }
    for (name, wanted, found) in mismatch.shapes.iter().take(5) {
        problems.push(format!("{name} is {found:?}, the model needs {wanted:?}"));
    }
    let field = mismatch
        .shapes
        .first()
        .map(|(name, ..)| name)
        .or(mismatch.missing.first())
        .or(mismatch.unused.first())
        .cloned()
        .unwrap_or_default();
    Error::file(
        path,
        field,
        format!("weights of another model: {}", problems.join("; ")),
        "use the configuration these weights were trained with",
    )
}
