//! A place has no gradient.

use burn::backend::{
    Autodiff, AutodiffBackend, autodiff::checkpoint::strategy::CheckpointStrategy,
    tensor::FloatTensor,
};

use super::backend::ArgmaxBackend;

impl<B: ArgmaxBackend, C: CheckpointStrategy> ArgmaxBackend for Autodiff<B, C> {
    fn argmax(x: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        Self::from_inner(B::argmax(x.into_primitive(), count))
    }
}
