//! Gradients of the scan, by its own backward pass.

use burn::backend::{
    Autodiff, AutodiffBackend,
    autodiff::{
        NodeId,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{FloatTensor, IntTensor},
};

use super::backend::{Operands, Scanned, SsdBackend, SsdGradients, SsdSpec};
use crate::ops::last_state::StateGradient;

#[derive(Debug)]
struct SsdBackward;

#[derive(Debug, Clone)]
struct Kept<B: SsdBackend> {
    operands: [NodeId; 7],
    ids: IntTensor<B>,
    spec: SsdSpec,
    state_gradient: StateGradient<B>,
}

impl<B: SsdBackend> Backward<B, 7> for SsdBackward {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 7>,
        grads: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = grads.consume::<B>(&ops.node);
        let Kept {
            operands,
            ids,
            spec,
            state_gradient,
        } = ops.state;
        let [x, dt, a, b, c, skip, state] =
            operands.map(|id| checkpointer.retrieve_node_output::<FloatTensor<B>>(id));
        let dstate = state_gradient.take();
        let has_state = dstate.is_some();
        let saved = Scanned {
            y: dy,
            state: dstate.unwrap_or_else(|| a.clone()),
        };
        let x = Operands {
            x,
            dt,
            a,
            b,
            c,
            skip,
            state,
            ids,
        };
        let g = B::ssd_backward(x, saved, spec, has_state);
        let gradients = [
            (true, g.x),
            (true, g.dt),
            (true, g.a),
            (true, g.b),
            (true, g.c),
            (spec.skip, g.skip),
            (spec.state, g.state),
        ];
        for (parent, (present, gradient)) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), true) = (parent, present) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: SsdBackend, C: CheckpointStrategy> SsdBackend for Autodiff<B, C> {
    fn ssd(x: Operands<Self>, spec: SsdSpec) -> Scanned<Self> {
        let nodes = [
            x.x.node(),
            x.dt.node(),
            x.a.node(),
            x.b.node(),
            x.c.node(),
            x.skip.node(),
            x.state.node(),
        ];
        match SsdBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state_gradient = StateGradient::new();
                let kept = Kept {
                    operands: [
                        prep.checkpoint(&x.x),
                        prep.checkpoint(&x.dt),
                        prep.checkpoint(&x.a),
                        prep.checkpoint(&x.b),
                        prep.checkpoint(&x.c),
                        prep.checkpoint(&x.skip),
                        prep.checkpoint(&x.state),
                    ],
                    ids: x.ids.clone(),
                    spec,
                    state_gradient: state_gradient.clone(),
                };
                let out = B::ssd(primitives(x), spec);
                let y = prep.finish(kept, out.y);
                let state = state_gradient.track::<C>(&y, out.state);
                Scanned { y, state }
            }
            OpsKind::UnTracked(prep) => {
                let out = B::ssd(primitives(x), spec);
                Scanned {
                    y: prep.finish(out.y),
                    state: Self::from_inner(out.state),
                }
            }
        }
    }

    fn ssd_backward(
        _: Operands<Self>,
        _: Scanned<Self>,
        _: SsdSpec,
        _: bool,
    ) -> SsdGradients<Self> {
        panic!("ssd has no second-order derivative");
    }
}

fn primitives<B: SsdBackend, C: CheckpointStrategy>(x: Operands<Autodiff<B, C>>) -> Operands<B> {
    Operands {
        x: x.x.into_primitive(),
        dt: x.dt.into_primitive(),
        a: x.a.into_primitive(),
        b: x.b.into_primitive(),
        c: x.c.into_primitive(),
        skip: x.skip.into_primitive(),
        state: x.state.into_primitive(),
        ids: x.ids,
    }
}
