//! The last state of a scan as a second output of an operation of the autodiff graph.
//!
//! Such an operation has one output, a scan has two. The state is therefore a child of y in the
//! graph: it runs before y in the backward pass and leaves its gradient where y finds it.

use std::sync::{Arc, Mutex};

use burn::backend::{
    Autodiff, Backend, TensorMetadata,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};
use burn::tensor::{FloatDType, Shape};

/// The gradient of the last state, on its way from the node of the state to that of y.
#[derive(Debug, Clone)]
pub struct StateGradient<B: Backend>(Arc<Mutex<Option<FloatTensor<B>>>>);

impl<B: Backend> StateGradient<B> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// The gradient, if the state has one.
    pub fn take(&self) -> Option<FloatTensor<B>> {
        self.slot().take()
    }

    /// The state of the scan that gave `y`, with its gradient on the way to y's backward pass.
    pub fn track<C: CheckpointStrategy>(
        self,
        y: &FloatTensor<Autodiff<B, C>>,
        state: FloatTensor<B>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let output = Output {
            shape: y.shape(),
            dtype: y.dtype().into(),
            gradient: self,
        };
        match StateBackward
            .prepare::<C>([y.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(output, state),
            OpsKind::UnTracked(prep) => prep.finish(state),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<FloatTensor<B>>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Debug)]
struct StateBackward;

#[derive(Debug, Clone)]
struct Output<B: Backend> {
    shape: Shape,
    dtype: FloatDType,
    gradient: StateGradient<B>,
}

impl<B: Backend> Backward<B, 1> for StateBackward {
    type State = Output<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dstate = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        let Some(parent) = parent else { return };
        // y may have no other child: its backward pass still has to run.
        let zeros = B::float_zeros(ops.state.shape, &dstate.device(), ops.state.dtype);
        *ops.state.gradient.slot() = Some(dstate);
        grads.register::<B>(parent.id, zeros);
    }
}
