//! Gradients of the norm, by its own backward pass.

use burn::backend::{
    Autodiff,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::backend::{NormGradients, NormSpec, RmsNormBackend};

#[derive(Debug)]
struct NormBackward;

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
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
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
