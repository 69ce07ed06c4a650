//! Gradients of the selective scan, by its own backward pass.

use std::sync::{Arc, Mutex};

use burn::backend::{
    Autodiff, AutodiffBackend, TensorMetadata,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};
use burn::tensor::{FloatDType, Shape};

use super::backend::{Operands, Saved, ScanGradients, ScanSpec, Scanned, SelectiveScanBackend};

/// The gradient of the last state, on its way from the node of the state to that of y.
///
/// An operation of the autodiff graph has one output, a scan has two. The state is therefore a
/// child of y in the graph: it runs before y in the backward pass and leaves its gradient here.
type StateGradient<B> = Arc<Mutex<Option<FloatTensor<B>>>>;

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
        let dstate = state_gradient
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
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

#[derive(Debug)]
struct StateBackward;

#[derive(Debug, Clone)]
struct Output<B: SelectiveScanBackend> {
    shape: Shape,
    dtype: FloatDType,
    state_gradient: StateGradient<B>,
}

impl<B: SelectiveScanBackend> Backward<B, 1> for StateBackward {
    type State = Output<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dstate = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        let Some(parent) = parent else { return };
        let Output {
            shape,
            dtype,
            state_gradient,
        } = ops.state;
        // y may have no other child: its backward pass still has to run.
        let zeros = B::float_zeros(shape, &dstate.device(), dtype);
        *state_gradient
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(dstate);
        grads.register::<B>(parent.id, zeros);
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
                let state_gradient = StateGradient::<B>::default();
                let output = Output {
                    shape: out.y.shape(),
                    dtype: out.y.dtype().into(),
                    state_gradient: state_gradient.clone(),
                };
                let kept = Kept {
                    operands,
                    spec,
                    checkpoints: out.checkpoints.clone(),
                    state_gradient,
                };
                let y = prep.finish(kept, out.y);
                let state = match StateBackward
                    .prepare::<C>([y.node()])
                    .compute_bound()
                    .stateful()
                {
                    OpsKind::Tracked(prep) => prep.finish(output, out.state),
                    OpsKind::UnTracked(prep) => prep.finish(out.state),
                };
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
