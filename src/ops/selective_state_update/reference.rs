//! The steps in plain tensor operations.

use burn::tensor::{DType, Tensor, activation::silu, activation::softplus};

use super::{ChannelStep, HeadStep};

fn wide(stored: DType) -> DType {
    match stored {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Computes what [`super::selective_state_update`] computes, with gradients by Burn's autodiff.
pub fn selective_state_update(state: Tensor<3>, step: ChannelStep) -> (Tensor<2>, Tensor<3>) {
    let [_, d, n] = state.dims();
    let (stored, kept) = (step.x.dtype(), state.dtype());
    let wide = wide(stored);
    let b = step.b.cast(wide).unsqueeze_dim::<3>(1);
    let c = step.c.cast(wide).unsqueeze_dim::<3>(1);
    let x = step.x.cast(wide);
    let mut dt = step.dt.cast(wide);
    if let Some(projection) = step.dt_proj {
        dt = dt.matmul(projection.cast(wide));
    }
    if let Some(bias) = step.dt_bias {
        dt = dt + bias.cast(wide).reshape([1, d]);
    }
    if step.dt_softplus {
        dt = softplus(dt, 1.0);
    }
    let decay = (dt.clone().unsqueeze_dim::<3>(2) * step.a.cast(wide).reshape([1, d, n])).exp();
    let next = decay * state.cast(wide) + (dt * x.clone()).unsqueeze_dim::<3>(2) * b;
    let mut y = (next.clone() * c).sum_dim(2).squeeze_dim::<2>(2);
    if let Some(skip) = step.d {
        y = y + x * skip.cast(wide).reshape([1, d]);
    }
    if let Some(z) = step.z {
        y = y * silu(z.cast(wide));
    }
    (y.cast(stored), next.cast(kept))
}

/// Computes what [`super::selective_state_update_heads`] computes, with gradients by Burn's
/// autodiff.
pub fn selective_state_update_heads(state: Tensor<4>, step: HeadStep) -> (Tensor<3>, Tensor<4>) {
    let [batch, h, p, n] = state.dims();
    let g = step.b.dims()[1];
    let (stored, kept) = (step.x.dtype(), state.dtype());
    let wide = wide(stored);
    // (b, h, 1, n) of (b, g, n).
    let by_head = |t: Tensor<3>| {
        let t = t.cast(wide).reshape([batch, g, 1, n]);
        t.expand([batch, g, h / g, n]).reshape([batch, h, 1, n])
    };
    let (b, c) = (by_head(step.b), by_head(step.c));
    let x = step.x.cast(wide);
    let mut dt = step.dt.cast(wide);
    if let Some(bias) = step.dt_bias {
        dt = dt + bias.cast(wide).reshape([1, h]);
    }
    if step.dt_softplus {
        dt = softplus(dt, 1.0);
    }
    let (low, high) = step.dt_limit;
    if low > f64::NEG_INFINITY {
        dt = dt.clamp_min(low);
    }
    if high < f64::INFINITY {
        dt = dt.clamp_max(high);
    }
    let decay = (dt.clone() * step.a.cast(wide).reshape([1, h])).exp();
    let drive = dt.reshape([batch, h, 1, 1]) * x.clone().reshape([batch, h, p, 1]) * b;
    let next = decay.reshape([batch, h, 1, 1]) * state.cast(wide) + drive;
    let mut y = (next.clone() * c).sum_dim(3).squeeze_dim::<3>(3);
    if let Some(skip) = step.d {
        y = y + x * skip.cast(wide).unsqueeze_dim::<3>(0);
    }
    if let Some(z) = step.z {
        y = y * silu(z.cast(wide));
    }
    (y.cast(stored), next.cast(kept))
}
