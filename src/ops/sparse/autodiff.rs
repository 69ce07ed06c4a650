//! Gradient of the sparse product: the product with the transpose.

use burn::backend::{
    Autodiff,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::backend::{Matrix, SparseBackend};

#[derive(Debug)]
struct ProductBackward;

impl<B: SparseBackend> Clone for Matrix<B> {
    fn clone(&self) -> Self {
        Self {
            start: self.start.clone(),
            other: self.other.clone(),
            weight: self.weight.clone(),
        }
    }
}

impl<B: SparseBackend> std::fmt::Debug for Matrix<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrix").finish_non_exhaustive()
    }
}

impl<B: SparseBackend> Backward<B, 1> for ProductBackward {
    type State = (Matrix<B>, Matrix<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        let (matrix, transpose) = ops.state;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::sparse_product(dy, transpose, matrix));
        }
    }
}

/// Without gradients: they are constants.
fn inner<B: SparseBackend, C: CheckpointStrategy>(matrix: Matrix<Autodiff<B, C>>) -> Matrix<B> {
    Matrix {
        start: matrix.start,
        other: matrix.other,
        weight: matrix.weight.into_primitive(),
    }
}

impl<B: SparseBackend, C: CheckpointStrategy> SparseBackend for Autodiff<B, C> {
    fn sparse_product(
        x: FloatTensor<Self>,
        matrix: Matrix<Self>,
        transpose: Matrix<Self>,
    ) -> FloatTensor<Self> {
        let (matrix, transpose) = (inner::<B, C>(matrix), inner::<B, C>(transpose));
        let prepared = ProductBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        match prepared {
            OpsKind::Tracked(prep) => {
                let y = B::sparse_product(x.into_primitive(), matrix.clone(), transpose.clone());
                prep.finish((matrix, transpose), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::sparse_product(x.into_primitive(), matrix, transpose))
            }
        }
    }
}
