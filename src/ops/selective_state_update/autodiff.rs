//! The kernels of a step have no gradient; what is tracked goes through the tensor operations
//! before it comes here.

use burn::backend::{
    Autodiff, AutodiffBackend, autodiff::checkpoint::strategy::CheckpointStrategy,
};

use super::backend::{Operands, StateUpdateBackend, StepSpec, Updated};

impl<B: StateUpdateBackend, C: CheckpointStrategy> StateUpdateBackend for Autodiff<B, C> {
    fn state_update(x: Operands<Self>, spec: StepSpec) -> Updated<Self> {
        let out = B::state_update(
            Operands {
                state: x.state.into_primitive(),
                x: x.x.into_primitive(),
                dt: x.dt.into_primitive(),
                projection: x.projection.into_primitive(),
                a: x.a.into_primitive(),
                b: x.b.into_primitive(),
                c: x.c.into_primitive(),
                skip: x.skip.into_primitive(),
                gate: x.gate.into_primitive(),
                bias: x.bias.into_primitive(),
            },
            spec,
        );
        Updated {
            y: Self::from_inner(out.y),
            state: Self::from_inner(out.state),
        }
    }
}
