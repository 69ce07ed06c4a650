//! Gradients of the norm, by its own backward pass.

use burn::backend::{
    Autodiff,
    autodiff::{
        NodeId,
        checkpoint::{
            base::Checkpointer, retro_forward::RetroForward, state::BackwardStates,
            strategy::CheckpointStrategy,
        },
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::backend::{NormGradients, NormSpec, RmsNormBackend};
use crate::ops::operand::Operand;

#[derive(Debug)]
struct NormBackward;

/// The norm once more.
#[derive(Debug)]
struct Again<B: RmsNormBackend> {
    x: NodeId,
    weight: NodeId,
    gate: Operand<B>,
    spec: NormSpec,
}

impl<B: RmsNormBackend> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        let weight = states.get_state::<FloatTensor<B>>(&self.weight);
        let gate = self.gate.get(states);
        states.save(out, B::rms_norm(x, weight, gate, self.spec));
    }
}

impl<B: RmsNormBackend> Backward<B, 3> for NormBackward {
    type State = ([NodeId; 3], NormSpec);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let (operands, spec) = ops.state;
        let [x, weight, gate] =
            operands.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let g = B::rms_norm_backward(x, weight, gate, dy, spec);
        let gradients = [(true, g.x), (true, g.weight), (spec.gate, g.gate)];
        for (parent, (present, gradient)) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), true) = (parent, present) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: RmsNormBackend, C: CheckpointStrategy> RmsNormBackend for Autodiff<B, C> {
    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        spec: NormSpec,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), gate.node()];
        let again = Again::<B> {
            x: x.node().id(),
            weight: weight.node().id(),
            gate: Operand::of::<C>(&gate, spec.gate),
            spec,
        };
        let there = [(true, &x), (true, &weight), (spec.gate, &gate)];
        let there = there.into_iter().filter(|(there, _)| *there);
        let prepared = NormBackward
            .prepare::<C>(nodes)
            .memory_bound()
            .retro_forward(again)
            .parents(there.map(|(_, operand)| operand));
        match prepared.stateful() {
            OpsKind::Tracked(mut prep) => {
                let operands = [
                    prep.checkpoint(&x),
                    prep.checkpoint(&weight),
                    prep.checkpoint(&gate),
                ];
                let [x, weight, gate] = [x, weight, gate].map(|t| t.into_primitive());
                prep.finish((operands, spec), B::rms_norm(x, weight, gate, spec))
            }
            OpsKind::UnTracked(prep) => {
                let [x, weight, gate] = [x, weight, gate].map(|t| t.into_primitive());
                prep.finish(B::rms_norm(x, weight, gate, spec))
            }
        }
    }

    fn rms_norm_backward(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: NormSpec,
    ) -> NormGradients<Self> {
        panic!("rms_norm has no second-order derivative");
    }
}
