//! What a block computes again for its gradient instead of keeping it from the forward pass.
//!
//! On tensors under [`again`], operations that are bound by memory (convolutions, norms, narrow
//! products, element-wise ones) keep their inputs alone and run once more when the gradient asks
//! for their output; those that are bound by arithmetic keep it as ever. The strategy goes with the
//! tensors: what meets in an operation has the same.

use burn::tensor::{GradientCheckpointingStrategy, Tensor};

/// How a tensor's operations keep what gradients need; `None` without gradients.
pub type Strategy = Option<GradientCheckpointingStrategy>;

/// The strategy that a tensor has.
pub fn strategy<const D: usize>(t: &Tensor<D>) -> Strategy {
    t.gradient_checkpointing_strategy()
}

/// The tensor with another strategy, where it has gradients.
pub fn with<const D: usize>(t: Tensor<D>, strategy: Strategy) -> Tensor<D> {
    match strategy {
        Some(strategy) if t.is_autodiff() => t.with_gradient_checkpointing_strategy(strategy),
        _ => t,
    }
}

/// The tensor, what is made of it to be computed again.
pub fn again<const D: usize>(t: Tensor<D>) -> Tensor<D> {
    with(t, Some(GradientCheckpointingStrategy::Balanced))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::ops::causal_conv1d::causal_conv1d;
    use crate::ops::matmul::matmul;
    use crate::ops::rms_norm;

    /// The gradients of a loss of all that can be computed again, in its inputs.
    fn gradients(inputs: &[Tensor<3>], how: Strategy, optional: bool) -> Vec<Vec<f32>> {
        let inputs: Vec<Tensor<3>> = inputs.iter().map(|t| t.clone().require_grad()).collect();
        let [x, taps, bias, past, scale, gate, matrix] = inputs.as_slice() else {
            panic!("seven inputs")
        };
        let on = |t: &Tensor<3>| with(t.clone(), how);
        let flat = |t: &Tensor<3>| on(t).squeeze_dims::<1>(&[0, 1]);
        let taps: Tensor<2> = on(taps).squeeze_dim(0);
        let (bias, past) = (flat(bias), on(past));
        let (bias, past) = (optional.then_some(bias), optional.then_some(past));
        let (y, last) = causal_conv1d(on(x), taps, bias, past, None, true);
        let gate = optional.then(|| on(gate));
        let y = rms_norm(y, flat(scale), 1e-5, gate, 2, false);
        let y = matmul(y, on(matrix)).tanh();
        let loss = (y.clone() * y).sum() + last.powi_scalar(2).sum();
        let grads = with(loss, strategy(x)).backward();
        let gradient = |t: &Tensor<3>| {
            let found = t.grad(&grads).map(|g| g.into_data());
            found.map_or(Vec::new(), |g| g.iter::<f32>().collect())
        };
        inputs.iter().map(gradient).collect()
    }

    #[test]
    fn gradients_are_those_of_what_is_kept() {
        let device = Device::flex().autodiff();
        let random =
            |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let inputs = [
            random([2, 7, 6]),
            random([1, 6, 4]),
            random([1, 1, 6]),
            random([2, 3, 6]),
            random([1, 1, 6]),
            random([2, 7, 6]),
            random([1, 6, 5]),
        ];
        for optional in [true, false] {
            let kept = gradients(&inputs, strategy(&inputs[0]), optional);
            let again = strategy(&again(inputs[0].clone()));
            assert_ne!(again, strategy(&inputs[0]));
            assert_eq!(kept, gradients(&inputs, again, optional));
            let there = kept.iter().filter(|g| g.iter().any(|v| *v != 0.0));
            assert_eq!(there.count(), if optional { 7 } else { 4 });
        }
    }
}
