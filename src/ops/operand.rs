//! Operands of operations that may run once more in the backward pass.

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        NodeId,
        checkpoint::{state::BackwardStates, strategy::CheckpointStrategy},
    },
    tensor::FloatTensor,
};

/// An operand that may be absent.
#[derive(Debug, Clone)]
pub enum Operand<B: Backend> {
    /// The output of a node.
    There(NodeId),
    /// What stands for it; never read.
    Absent(FloatTensor<B>),
}

impl<B: Backend> Operand<B> {
    /// The operand, which is there or not.
    pub fn of<C: CheckpointStrategy>(t: &FloatTensor<Autodiff<B, C>>, there: bool) -> Self {
        match there {
            true => Self::There(t.node().id()),
            false => Self::Absent(t.clone().into_primitive()),
        }
    }

    /// Its value in the backward pass.
    pub fn get(&self, states: &mut BackwardStates) -> FloatTensor<B> {
        match self {
            Self::There(id) => states.get_state::<FloatTensor<B>>(id),
            Self::Absent(t) => t.clone(),
        }
    }
}
