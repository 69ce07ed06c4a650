//! Gradients of the selective scan, by its own backward pass.

use burn::backend::{
    Autodiff, AutodiffBackend,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::backend::{Operands, Saved, ScanGradients, ScanSpec, Scanned, SelectiveScanBackend};
use crate::ops::last_state::StateGradient;

#[derive(Debug)]
struct ScanBackward;

#[derive(Debug, Clone)]
struct Kept<B: SelectiveScanBackend> {
    operands: [NodeId; 9],
    spec: ScanSpec,
    checkpoints: FloatTensor<B>,
    state_gradient: StateGradient<B>,
}

impl<B: SelectiveScanBackend> Backward<B, 9> for ScanBackward {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 9>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let Kept {
            operands,
            spec,
            checkpoints,
            state_gradient,
        } = ops.state;
        let [u, delta, a, b, c, skip, gate, bias, state] =
            operands.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let dstate = state_gradient.take();
        let has_state = dstate.is_some();
        let saved = Saved {
            state: dstate.unwrap_or_else(|| a.clone()),
            checkpoints,
            y: dy,
        };
        let x = Operands {
            u,
            delta,
            a,
            b,
            c,
            skip,
            gate,
            bias,
            state,
        };
        let g = B::selective_scan_backward(x, saved, spec, has_state);
        let gradients = [
            (true, g.u),
            (true, g.delta),
            (true, g.a),
            (true, g.b),
            (true, g.c),
            (spec.skip, g.skip),
            (spec.gate, g.gate),
            (spec.bias, g.bias),
            (spec.state, g.state),
        ];
        for (parent, (present, gradient)) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), true) = (parent, present) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: SelectiveScanBackend, C: CheckpointStrategy> SelectiveScanBackend for Autodiff<B, C> {
    fn selective_scan(x: Operands<Self>, spec: ScanSpec, _keep: bool) -> Scanned<Self> {
        let nodes = [
            x.u.node(),
            x.delta.node(),
            x.a.node(),
            x.b.node(),
            x.c.node(),
            x.skip.node(),
            x.gate.node(),
            x.bias.node(),
            x.state.node(),
        ];
        match ScanBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let operands = [
                    prep.checkpoint(&x.u),
                    prep.checkpoint(&x.delta),
                    prep.checkpoint(&x.a),
                    prep.checkpoint(&x.b),
                    prep.checkpoint(&x.c),
                    prep.checkpoint(&x.skip),
                    prep.checkpoint(&x.gate),
                    prep.checkpoint(&x.bias),
                    prep.checkpoint(&x.state),
                ];
                let out = B::selective_scan(primitives(x), spec, true);
                let state_gradient = StateGradient::new();
                let kept = Kept {
                    operands,
                    spec,
                    checkpoints: out.checkpoints.clone(),
                    state_gradient: state_gradient.clone(),
                };
                let y = prep.finish(kept, out.y);
                let state = state_gradient.track::<C>(&y, out.state);
                Scanned {
                    y,
                    state,
                    checkpoints: Self::from_inner(out.checkpoints),
                }
            }
            OpsKind::UnTracked(prep) => {
                let out = B::selective_scan(primitives(x), spec, false);
                Scanned {
                    y: prep.finish(out.y),
                    state: Self::from_inner(out.state),
                    checkpoints: Self::from_inner(out.checkpoints),
                }
            }
        }
    }

    fn selective_scan_backward(
        _: Operands<Self>,
        _: Saved<Self>,
        _: ScanSpec,
        _: bool,
    ) -> ScanGradients<Self> {
        panic!("selective_scan has no second-order derivative");
    }
}

fn primitives<B: SelectiveScanBackend, C: CheckpointStrategy>(
    x: Operands<Autodiff<B, C>>,
) -> Operands<B> {
    Operands {
        u: x.u.into_primitive(),
        delta: x.delta.into_primitive(),
        a: x.a.into_primitive(),
        b: x.b.into_primitive(),
        c: x.c.into_primitive(),
        skip: x.skip.into_primitive(),
        gate: x.gate.into_primitive(),
        bias: x.bias.into_primitive(),
        state: x.state.into_primitive(),
    }
}
