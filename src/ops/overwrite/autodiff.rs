//! Values without a history.

use burn::backend::{
    Autodiff, AutodiffBackend, autodiff::checkpoint::strategy::CheckpointStrategy,
    tensor::FloatTensor,
};

use super::backend::OverwriteBackend;

impl<B: OverwriteBackend, C: CheckpointStrategy> OverwriteBackend for Autodiff<B, C> {
    fn overwrite(target: FloatTensor<Self>, source: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::overwrite(
            target.into_primitive(),
            source.into_primitive(),
        ))
    }
}
