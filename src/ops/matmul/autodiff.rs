//! Gradients of the exact product: two more products, with transposed operands.

use std::marker::PhantomData;

use burn::backend::{
    Autodiff, TensorMetadata,
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

use super::backend::MatmulBackend;

/// Terms of a sum up to which a product takes about as long as writing it: it may be computed again
/// rather than kept.
const NARROW: usize = 64;

#[derive(Debug)]
struct MatmulBackward;

/// The product once more.
#[derive(Debug)]
struct Again<B> {
    a: NodeId,
    b: NodeId,
    transpose_a: bool,
    transpose_b: bool,
    sum: bool,
    backend: PhantomData<B>,
}

impl<B: MatmulBackend> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let a = states.get_state::<FloatTensor<B>>(&self.a);
        let b = states.get_state::<FloatTensor<B>>(&self.b);
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        states.save(out, B::exact_matmul(a, b, ta, tb, self.sum));
    }
}

#[derive(Debug, Clone)]
struct Kept {
    a: NodeId,
    b: NodeId,
    transpose_a: bool,
    transpose_b: bool,
}

impl<B: MatmulBackend> Backward<B, 2> for MatmulBackward {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [parent_a, parent_b] = ops.parents;
        let kept = ops.state;
        let (ta, tb) = (kept.transpose_a, kept.transpose_b);
        let a = checkpointer.retrieve_node_output::<FloatTensor<B>>(kept.a);
        let b = checkpointer.retrieve_node_output::<FloatTensor<B>>(kept.b);
        let (batch_a, batch_b) = (a.shape()[0], b.shape()[0]);
        if let Some(parent) = parent_a {
            // dA = dY op(B)ᵀ, and its transpose where A is stored transposed.
            let (dy, b) = (dy.clone(), b);
            let da = match ta {
                false => gradient::<B>(dy, b, false, !tb, batch_a),
                true => gradient::<B>(b, dy, tb, true, batch_a),
            };
            grads.register::<B>(parent.id, da);
        }
        if let Some(parent) = parent_b {
            let db = match tb {
                false => gradient::<B>(a, dy, !ta, false, batch_b),
                true => gradient::<B>(dy, a, true, ta, batch_b),
            };
            grads.register::<B>(parent.id, db);
        }
    }
}

/// The product, summed over the batch or repeated so that it has `batch` matrices.
fn gradient<B: MatmulBackend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    tx: bool,
    ty: bool,
    batch: usize,
) -> FloatTensor<B> {
    let many = x.shape()[0].max(y.shape()[0]);
    let out = B::exact_matmul(x, y, tx, ty, batch == 1 && many > 1);
    // After a sum over the batch, dY is one matrix.
    match many < batch {
        true => {
            let mut shape = out.shape();
            shape[0] = batch;
            B::float_expand(out, shape)
        }
        false => out,
    }
}

impl<B: MatmulBackend, C: CheckpointStrategy> MatmulBackend for Autodiff<B, C> {
    fn exact_matmul(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        transpose_a: bool,
        transpose_b: bool,
        sum: bool,
    ) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let again = Again::<B> {
            a: a.node().id(),
            b: b.node().id(),
            transpose_a,
            transpose_b,
            sum,
            backend: PhantomData,
        };
        let inner = a.shape()[if transpose_a { 1 } else { 2 }];
        let prepared = MatmulBackward.prepare::<C>(nodes);
        let prepared = match inner <= NARROW {
            true => prepared
                .memory_bound()
                .retro_forward(again)
                .parents([&a, &b]),
            false => prepared.compute_bound(),
        };
        match prepared.stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = Kept {
                    a: prep.checkpoint(&a),
                    b: prep.checkpoint(&b),
                    transpose_a,
                    transpose_b,
                };
                let y = B::exact_matmul(
                    a.into_primitive(),
                    b.into_primitive(),
                    transpose_a,
                    transpose_b,
                    sum,
                );
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::exact_matmul(
                a.into_primitive(),
                b.into_primitive(),
                transpose_a,
                transpose_b,
                sum,
            )),
        }
    }
}
