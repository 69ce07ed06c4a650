//! A step has no gradient: under autodiff it runs on the values.

use burn::backend::{
    Autodiff, AutodiffBackend, autodiff::checkpoint::strategy::CheckpointStrategy,
    tensor::FloatTensor,
};

use super::backend::{AdamBackend, AdamStep, Stepped};

impl<B: AdamBackend, C: CheckpointStrategy> AdamBackend for Autodiff<B, C> {
    fn adam(
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factor: FloatTensor<Self>,
        course: FloatTensor<Self>,
        step: AdamStep,
    ) -> Stepped<Self> {
        let [value, grad, first, second] = [value, grad, first, second].map(|t| t.into_primitive());
        let [factor, course] = [factor, course].map(|t| t.into_primitive());
        let out = B::adam(value, grad, first, second, factor, course, step);
        Stepped {
            value: Self::from_inner(out.value),
            first: Self::from_inner(out.first),
            second: Self::from_inner(out.second),
        }
    }

    fn add_squares(sum: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::add_squares(sum.into_primitive(), x.into_primitive()))
    }
}
