//! The step in plain tensor operations, for every device and type.

use burn::tensor::Tensor;

use super::{AdamStep, Moments};

/// As [`adam`](super::adam).
pub fn adam<const D: usize>(x: Moments<D>, grad: Tensor<D>, step: AdamStep) -> Moments<D> {
    let grad = match step.penalty {
        0.0 => grad,
        penalty => grad + x.value.clone() * penalty,
    };
    let first = x.first * step.beta1 + grad.clone() * (1.0 - step.beta1);
    let second = x.second * step.beta2 + grad.square() * (1.0 - step.beta2);
    let root = (second.clone() / step.correction2).sqrt() + step.epsilon;
    let value = x.value * (1.0 - step.decay) - first.clone() / step.correction1 / root * step.rate;
    Moments {
        value,
        first,
        second,
    }
}
