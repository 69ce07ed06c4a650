//! A model on plain arrays: weights, configuration and `x` in, `logits` out.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use ndarray::{Array2, ArrayD, Axis, Ix4};
use tgmamba_graph::formats::npy::{self, Npz};

use crate::error::{Error, Result};
use crate::models::{Classifier, ModelConfig, weights};
use crate::nn::ConvType;
use crate::run::config::read_json;
use crate::training::classification::initial_model;
use crate::training::data;

/// Adjacency of the windows.
enum Adjacency {
    None,
    /// (v, v).
    Shared(ArrayD<f32>),
    /// (samples, v, v).
    PerSample(ArrayD<f32>),
}

/// Reads a model configuration: a file of the model's fields, or of a whole run.
///
/// # Errors
/// A file that is missing, no JSON or no model configuration.
pub fn model_config(path: &Path) -> Result<ModelConfig> {
    let mut value = read_json(path)?;
    if let Some(section) = value.get_mut("model") {
        value = section.take();
    }
    let config: ModelConfig = serde_json::from_value(value).map_err(|e| {
        Error::file(
            path,
            "model",
            e.to_string(),
            "give a run's config.json or its model section; the README lists the fields",
        )
    })?;
    config.validate()?;
    Ok(config)
}

/// Runs a model on the array `x`, (samples, nodes, time, features), of an npz file, with the
/// optional array `adjacency`, (nodes, nodes) or (samples, nodes, nodes), entry
/// [target, source]; writes `logits`, (samples, 1 or classes).
///
/// # Errors
/// Files that are missing, damaged, of the wrong shape, or not finite.
pub fn run(
    weights_path: &Path,
    config_path: &Path,
    input: &Path,
    output: &Path,
    batch_size: usize,
    device: &Device,
) -> Result<[usize; 2]> {
    let config = model_config(config_path)?;
    let model = initial_model(&config, 0, device)?;
    let model = weights::load_into(model, weights_path)?;
    let mut npz = Npz::open(input)?;
    let x = npz.read("x")?.into_f32(input, "x")?;
    let shape = x.shape().to_vec();
    let fits = shape.len() == 4
        && shape[0] > 0
        && shape[1] == config.num_vertices
        && shape[2] > 0
        && shape[3] == config.input_dim;
    if !fits {
        return Err(Error::file(
            input,
            "x",
            format!("has shape {shape:?}"),
            format!(
                "give (samples, {}, time, {}), as the configuration says",
                config.num_vertices, config.input_dim
            ),
        ));
    }
    finite(input, "x", &x)?;
    let x = x
        .into_dimensionality::<Ix4>()
        .map_err(|e| Error::file(input, "x", e.to_string(), "give four axes"))?;
    let adjacency = if npz.contains("adjacency") {
        read_adjacency(&mut npz, input, shape[0], shape[1])?
    } else {
        Adjacency::None
    };
    if matches!(adjacency, Adjacency::None) && needs_graph(&config) {
        log::warn!(
            "{} has no adjacency: the model runs on a graph without edges",
            input.display()
        );
    }
    let classes = config.num_logits();
    let mut logits = Vec::with_capacity(shape[0] * classes);
    let rows: Vec<usize> = (0..shape[0]).collect();
    for rows in rows.chunks(batch_size.max(1)) {
        let features = data::tensor4(x.select(Axis(0), rows), device);
        let a = adjacency_tensor(&adjacency, rows, shape[1], device);
        logits.extend(classify(&model, features, a)?);
    }
    let logits = ArrayD::from_shape_vec(vec![shape[0], classes], logits)
        .map_err(|e| Error::file(output, "logits", e.to_string(), "report this as a defect"))?;
    if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
        return Err(Error::file(
            weights_path,
            "logits",
            format!(
                "sample {} gives {}",
                i / classes,
                logits.as_slice().map_or(f32::NAN, |s| s[i])
            ),
            "the recurrence grew without bound; set state_mixing to bounded or shorten the windows",
        ));
    }
    npy::write_npz(output, &[("logits", logits)])?;
    Ok([shape[0], classes])
}

fn classify(model: &Classifier, x: Tensor<4>, a: Tensor<4>) -> Result<Vec<f32>> {
    data::host(model.forward(x, a).logits)
}

/// Whether the model mixes over edges that it does not find by itself.
fn needs_graph(config: &ModelConfig) -> bool {
    config.conv_type != ConvType::None
        && !config.edge_learner_attention
        && config.node_embedding_dim == 0
}

fn read_adjacency(npz: &mut Npz, input: &Path, samples: usize, v: usize) -> Result<Adjacency> {
    let a = npz.read("adjacency")?.into_f32(input, "adjacency")?;
    finite(input, "adjacency", &a)?;
    match a.shape() {
        [rows, columns] if *rows == v && *columns == v => Ok(Adjacency::Shared(a)),
        [n, rows, columns] if *n == samples && *rows == v && *columns == v => {
            Ok(Adjacency::PerSample(a))
        }
        shape => Err(Error::file(
            input,
            "adjacency",
            format!("has shape {shape:?}"),
            format!("give ({v}, {v}) or ({samples}, {v}, {v})"),
        )),
    }
}

fn adjacency_tensor(a: &Adjacency, rows: &[usize], v: usize, device: &Device) -> Tensor<4> {
    let shaped = |a: ArrayD<f32>, b: usize| {
        let values: Vec<f32> = a.iter().copied().collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([b, 1, v, v])
    };
    match a {
        Adjacency::None => data::matrix(&Array2::zeros((v, v)), device),
        Adjacency::Shared(a) => shaped(a.clone(), 1),
        Adjacency::PerSample(a) => shaped(a.select(Axis(0), rows), rows.len()),
    }
}

fn finite(path: &Path, name: &str, array: &ArrayD<f32>) -> Result<()> {
    let Some((at, value)) = array.indexed_iter().find(|(_, v)| !v.is_finite()) else {
        return Ok(());
    };
    Err(Error::file(
        path,
        name,
        format!("entry {:?} is {value}", ndarray::Dimension::slice(&at)),
        "remove or fill missing values first",
    ))
}
