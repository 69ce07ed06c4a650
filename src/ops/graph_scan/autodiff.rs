//! Gradients of the graph scan, by its own backward pass.

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

use super::backend::{GraphScanBackend, Operands, Saved, ScanGradients, ScanSpec, Scanned};
use crate::ops::last_state::StateGradient;

#[derive(Debug)]
struct ScanBackward;

#[derive(Debug, Clone)]
struct Kept<B: GraphScanBackend> {
    operands: [NodeId; 11],
    spec: ScanSpec,
    checkpoints: FloatTensor<B>,
    last: FloatTensor<B>,
    state_gradient: StateGradient<B>,
}

impl<B: GraphScanBackend> Backward<B, 11> for ScanBackward {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 11>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let Kept {
            operands,
            spec,
            checkpoints,
            last,
            state_gradient,
        } = ops.state;
        let [u, delta, a, b, c1, c2, skip, p, a_root, a_rel, state] =
            operands.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let dstate = state_gradient.take();
        let has_state = dstate.is_some();
        let saved = Saved {
            checkpoints,
            state: dstate.unwrap_or_else(|| last.clone()),
            last,
            y: dy,
        };
        let x = Operands {
            u,
            delta,
            a,
            b,
            c1,
            c2,
            skip,
            p,
            a_root,
            a_rel,
            state,
        };
        let spec = ScanSpec {
            p_gradient: ops.parents[7].is_some(),
            ..spec
        };
        let g = B::graph_scan_backward(x, saved, spec, has_state);
        let gradients = [
            (true, g.u),
            (true, g.delta),
            (true, g.a),
            (true, g.b),
            (spec.c1, g.c1),
            (true, g.c2),
            (spec.skip, g.skip),
            (true, g.p),
            (spec.a_root, g.a_root),
            (true, g.a_rel),
            (spec.state, g.state),
        ];
        for (parent, (present, gradient)) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), true) = (parent, present) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: GraphScanBackend, C: CheckpointStrategy> GraphScanBackend for Autodiff<B, C> {
    fn graph_scan(x: Operands<Self>, spec: ScanSpec, _keep: bool) -> Scanned<Self> {
        let nodes = [
            x.u.node(),
            x.delta.node(),
            x.a.node(),
            x.b.node(),
            x.c1.node(),
            x.c2.node(),
            x.skip.node(),
            x.p.node(),
            x.a_root.node(),
            x.a_rel.node(),
            x.state.node(),
        ];
        match ScanBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let operands = [
                    prep.checkpoint(&x.u),
                    prep.checkpoint(&x.delta),
                    prep.checkpoint(&x.a),
                    prep.checkpoint(&x.b),
                    prep.checkpoint(&x.c1),
                    prep.checkpoint(&x.c2),
                    prep.checkpoint(&x.skip),
                    prep.checkpoint(&x.p),
                    prep.checkpoint(&x.a_root),
                    prep.checkpoint(&x.a_rel),
                    prep.checkpoint(&x.state),
                ];
                let out = B::graph_scan(primitives(x), spec, true);
                let state_gradient = StateGradient::new();
                let kept = Kept {
                    operands,
                    spec,
                    checkpoints: out.checkpoints.clone(),
                    last: out.state.clone(),
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
                let out = B::graph_scan(primitives(x), spec, false);
                Scanned {
                    y: prep.finish(out.y),
                    state: Self::from_inner(out.state),
                    checkpoints: Self::from_inner(out.checkpoints),
                }
            }
        }
    }

    fn graph_scan_backward(
        _: Operands<Self>,
        _: Saved<Self>,
        _: ScanSpec,
        _: bool,
    ) -> ScanGradients<Self> {
        panic!("graph_scan has no second-order derivative");
    }
}

fn primitives<B: GraphScanBackend, C: CheckpointStrategy>(
    x: Operands<Autodiff<B, C>>,
) -> Operands<B> {
    Operands {
        u: x.u.into_primitive(),
        delta: x.delta.into_primitive(),
        a: x.a.into_primitive(),
        b: x.b.into_primitive(),
        c1: x.c1.into_primitive(),
        c2: x.c2.into_primitive(),
        skip: x.skip.into_primitive(),
        p: x.p.into_primitive(),
        a_root: x.a_root.into_primitive(),
        a_rel: x.a_rel.into_primitive(),
        state: x.state.into_primitive(),
    }
}
