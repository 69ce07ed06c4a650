//! The largest on the CPU.

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::TensorData;

use super::backend::ArgmaxBackend;

/// The place of the largest, -1 if one is not finite.
fn place(values: &[f32]) -> f32 {
    if values.iter().any(|v| !v.is_finite()) {
        return -1.0;
    }
    let mut best = (0, values[0]);
    for (i, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (i, *value);
        }
    }
    best.0 as f32
}

impl ArgmaxBackend for Flex {
    fn argmax(x: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        let [rows, n] = x.shape().dims();
        let x = x.to_contiguous();
        let values = x.storage::<f32>();
        let places = values.chunks_exact(n).map(|row| place(&row[..count]));
        FloatTensor::<Self>::from_data(TensorData::new(places.collect::<Vec<f32>>(), [rows]))
    }
}
