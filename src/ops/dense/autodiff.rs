//! With gradients the product is the framework's.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    Autodiff, autodiff::checkpoint::strategy::CheckpointStrategy, tensor::FloatTensor,
};

use super::backend::DenseBackend;

impl<B: DenseBackend, C: CheckpointStrategy> DenseBackend for Autodiff<B, C> {
    fn few_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        out_in: bool,
    ) -> FloatTensor<Self> {
        let weight = match out_in {
            true => Self::float_swap_dims(weight, 0, 1),
            false => weight,
        };
        Self::float_matmul(x, weight)
    }
}
