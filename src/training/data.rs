//! What one fold trains on, and the one place where host arrays become tensors.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array4};
use tgmamba_graph::scale::Scaler;
use tgmamba_graph::split::Fold;
use tgmamba_graph::topology::{self, SensorGraph};
use tgmamba_graph::{Dataset, loader::Batch};

use crate::error::{Error, Result};
use crate::run::RunConfig;

/// Scaled windows, the graph and the parts of one fold; scale and graph come from the training
/// part alone.
#[derive(Debug, Clone)]
pub struct FoldData {
    /// Windows, scaled.
    pub dataset: Arc<Dataset>,
    /// Which of them train, validate and test.
    pub fold: Fold,
    /// Graph of the sensors.
    pub graph: SensorGraph,
    /// What was done to the windows.
    pub scaler: Scaler,
}

impl FoldData {
    /// Prepares a fold of a data set that has not been scaled.
    ///
    /// # Errors
    /// As the graph builder, the scaler and the node features.
    pub fn new(dataset: &Dataset, fold: Fold, config: &RunConfig) -> Result<Self> {
        let graph = topology::build(&config.graph, dataset, &fold.train)?;
        let scaler = Scaler::fit(dataset, &fold.train, config.scale)?;
        let mut dataset = dataset.clone();
        scaler.apply_dataset(&mut dataset)?;
        config.node_features.append(&mut dataset)?;
        Ok(Self {
            dataset: Arc::new(dataset),
            fold,
            graph,
            scaler,
        })
    }
}

/// Features of a batch, (b, v, l, f), on a device.
pub fn features(batch: Batch, device: &Device) -> Tensor<4> {
    tensor4(batch.features, device)
}

/// An array on a device; the array's memory is reused where it is contiguous.
pub fn tensor4(array: Array4<f32>, device: &Device) -> Tensor<4> {
    let (b, v, l, f) = array.dim();
    Tensor::from_data(TensorData::new(row_major(array), [b, v, l, f]), device)
}

/// The numbers of an array; its memory is reused where it is contiguous.
pub fn row_major(array: Array4<f32>) -> Vec<f32> {
    if !array.is_standard_layout() {
        return array.iter().copied().collect();
    }
    let count = array.len();
    let (values, offset) = array.into_raw_vec_and_offset();
    match offset {
        Some(0) | None if values.len() == count => values,
        offset => values[offset.unwrap_or(0)..][..count].to_vec(),
    }
}

/// Adjacency of a graph, (1, 1, v, w), entry [target, source].
pub fn adjacency(graph: &SensorGraph, device: &Device) -> Tensor<4> {
    matrix(&graph.adjacency(), device)
}

/// A matrix as (1, 1, v, w).
pub fn matrix(a: &Array2<f32>, device: &Device) -> Tensor<4> {
    let (v, w) = a.dim();
    let values: Vec<f32> = a.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [1, 1, v, w]), device)
}

/// Values of a tensor, row-major.
///
/// # Errors
/// A device that cannot give them back (a failed kernel, a lost device).
pub fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.try_into_vec_as::<f32>().map_err(|e| {
        Error::config(
            "device",
            format!("reading a result failed: {e}"),
            "check the device's driver and memory, or use --device cpu",
        )
    })
}
