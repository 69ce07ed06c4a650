//! Gradients of the convolution, by its own backward pass.

use burn::backend::{
    Autodiff, AutodiffBackend,
    autodiff::{
        NodeId,
        checkpoint::{
            base::Checkpointer, retro_forward::RetroForward, state::BackwardStates,
            strategy::CheckpointStrategy,
        },
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};

use super::backend::{CausalConvBackend, ConvGradients, ConvSpec, Convolved, Operands, Saved};
use crate::ops::last_state::StateGradient;
use crate::ops::operand::Operand;

#[derive(Debug)]
struct ConvBackward;

/// The convolution once more.
#[derive(Debug)]
struct Again<B: CausalConvBackend> {
    x: NodeId,
    weight: NodeId,
    bias: Operand<B>,
    initial: Operand<B>,
    ids: IntTensor<B>,
    spec: ConvSpec,
}

impl<B: CausalConvBackend> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let x = Operands {
            x: states.get_state::<FloatTensor<B>>(&self.x),
            weight: states.get_state::<FloatTensor<B>>(&self.weight),
            bias: self.bias.get(states),
            initial: self.initial.get(states),
            ids: self.ids.clone(),
        };
        states.save(out, B::causal_conv1d(x, self.spec).y);
    }
}

#[derive(Debug, Clone)]
struct Kept<B: CausalConvBackend> {
    operands: [NodeId; 4],
    ids: IntTensor<B>,
    spec: ConvSpec,
    last_gradient: StateGradient<B>,
}

impl<B: CausalConvBackend> Backward<B, 4> for ConvBackward {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let Kept {
            operands,
            ids,
            spec,
            last_gradient,
        } = ops.state;
        let [x, weight, bias, initial] =
            operands.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let dlast = last_gradient.take();
        let has_last = dlast.is_some();
        let saved = Saved {
            last: dlast.unwrap_or_else(|| dy.clone()),
            y: dy,
        };
        let x = Operands {
            x,
            weight,
            bias,
            initial,
            ids,
        };
        let g = B::causal_conv1d_backward(x, saved, spec, has_last);
        let gradients = [
            (true, g.x),
            (true, g.weight),
            (spec.bias, g.bias),
            (spec.initial, g.initial),
        ];
        for (parent, (present, gradient)) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), true) = (parent, present) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: CausalConvBackend, C: CheckpointStrategy> CausalConvBackend for Autodiff<B, C> {
    fn causal_conv1d(x: Operands<Self>, spec: ConvSpec) -> Convolved<Self> {
        let nodes = [x.x.node(), x.weight.node(), x.bias.node(), x.initial.node()];
        let again = Again::<B> {
            x: x.x.node().id(),
            weight: x.weight.node().id(),
            bias: Operand::of::<C>(&x.bias, spec.bias),
            initial: Operand::of::<C>(&x.initial, spec.initial),
            ids: x.ids.clone(),
            spec,
        };
        let there = [
            (true, &x.x),
            (true, &x.weight),
            (spec.bias, &x.bias),
            (spec.initial, &x.initial),
        ];
        let there = there.into_iter().filter(|(there, _)| *there);
        let prepared = ConvBackward
            .prepare::<C>(nodes)
            .memory_bound()
            .retro_forward(again)
            .parents(there.map(|(_, operand)| operand));
        match prepared.stateful() {
            OpsKind::Tracked(mut prep) => {
                let last_gradient = StateGradient::new();
                let kept = Kept {
                    operands: [
                        prep.checkpoint(&x.x),
                        prep.checkpoint(&x.weight),
                        prep.checkpoint(&x.bias),
                        prep.checkpoint(&x.initial),
                    ],
                    ids: x.ids.clone(),
                    spec,
                    last_gradient: last_gradient.clone(),
                };
                let out = B::causal_conv1d(primitives(x), spec);
                let y = prep.finish(kept, out.y);
                let last = last_gradient.track::<C>(&y, out.last);
                Convolved { y, last }
            }
            OpsKind::UnTracked(prep) => {
                let out = B::causal_conv1d(primitives(x), spec);
                Convolved {
                    y: prep.finish(out.y),
                    last: Self::from_inner(out.last),
                }
            }
        }
    }

    fn causal_conv1d_backward(
        _: Operands<Self>,
        _: Saved<Self>,
        _: ConvSpec,
        _: bool,
    ) -> ConvGradients<Self> {
        panic!("causal_conv1d has no second-order derivative");
    }
}

fn primitives<B: CausalConvBackend, C: CheckpointStrategy>(
    x: Operands<Autodiff<B, C>>,
) -> Operands<B> {
    Operands {
        x: x.x.into_primitive(),
        weight: x.weight.into_primitive(),
        bias: x.bias.into_primitive(),
        initial: x.initial.into_primitive(),
        ids: x.ids,
    }
}
