//! The step in plain tensor operations, for every device and type.

use burn::tensor::Tensor;

use super::{AdamStep, Moments};

/// As [`adam`](super::adam).
pub fn adam<const D: usize>(
    x: Moments<D>,
    grad: Tensor<D>,
    factor: Tensor<1>,
    course: Tensor<1>,
    step: AdamStep,
) -> Moments<D> {
    let dtype = x.value.dtype();
    let number = |i: usize| {
        let number = course.clone().narrow(0, i, 1).cast(dtype);
        number.reshape([1; D])
    };
    let (rate, correction1, correction2) = (number(0), number(1), number(2));
    let grad = grad * factor.cast(dtype).reshape([1; D]);
    let grad = match step.penalty {
        0.0 => grad,
        penalty => grad + x.value.clone() * penalty,
    };
    let first = x.first * step.beta1 + grad.clone() * (1.0 - step.beta1);
    let second = x.second * step.beta2 + grad.square() * (1.0 - step.beta2);
    let root = (second.clone() / correction2).sqrt() + step.epsilon;
    let kept = x.value * (rate.clone() * -step.decay + 1.0);
    let value = kept - first.clone() / correction1 / root * rate;
    Moments {
        value,
        first,
        second,
    }
}
