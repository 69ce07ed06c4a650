//! The scan in plain tensor operations, a loop over time: runs on every device and is the oracle
//! of faster versions.

use burn::tensor::{Tensor, activation::silu, activation::softplus};

use super::{SelectiveScanInput, SelectiveScanOutput};

/// Computes what [`super::selective_scan`] computes, with gradients by Burn's autodiff.
pub fn selective_scan(input: SelectiveScanInput) -> SelectiveScanOutput {
    let [b, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    let stored = input.u.dtype();
    // Sums and states have the type of A, whatever the signals are stored in.
    let wide = input.a.dtype();
    let u = input.u.cast(wide);
    let mut delta = input.delta.cast(wide);
    if let Some(bias) = input.delta_bias {
        delta = delta + bias.reshape([1, 1, d]);
    }
    if input.delta_softplus {
        delta = softplus(delta, 1.0);
    }
    let b_in = input.b.cast(wide);
    let c = input.c.cast(wide);
    let a = input.a.reshape([1, d, n]);

    let mut h = input
        .initial_state
        .unwrap_or_else(|| Tensor::zeros([b, d, n], (&u.device(), wide)));
    let mut y = Vec::with_capacity(l);
    for t in 0..l {
        let step = delta.clone().narrow(1, t, 1).swap_dims(1, 2);
        let u_t = u.clone().narrow(1, t, 1).swap_dims(1, 2);
        let decay = (step.clone() * a.clone()).exp();
        h = decay * h + step * u_t * b_in.clone().narrow(1, t, 1);
        let read = (h.clone() * c.clone().narrow(1, t, 1)).sum_dim(2);
        y.push(read.swap_dims(1, 2));
    }
    let mut y = Tensor::cat(y, 1);
    if let Some(skip) = input.d {
        y = y + u * skip.reshape([1, 1, d]);
    }
    if let Some(z) = input.z {
        y = y * silu(z.cast(wide));
    }
    SelectiveScanOutput {
        y: y.cast(stored),
        state: h,
    }
}
