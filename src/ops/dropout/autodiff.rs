//! What is drawn has no gradient.

use burn::backend::{
    Autodiff, AutodiffBackend, autodiff::checkpoint::strategy::CheckpointStrategy,
    tensor::FloatTensor,
};

use super::backend::{Draw, DropoutBackend};

impl<B: DropoutBackend, C: CheckpointStrategy> DropoutBackend for Autodiff<B, C> {
    fn dropout_mask(seeds: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self> {
        Self::from_inner(B::dropout_mask(seeds.into_primitive(), draw))
    }
}
