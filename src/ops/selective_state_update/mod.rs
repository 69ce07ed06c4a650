//! One step of a selective state space model, for generation: the state in, the next state out.
//!
//! Per channel, as in Mamba-1, with `b` batch, `d` channels, `n` state:
//!
//! ```text
//! Δ = softplus(dt + dt_bias), or dt + dt_bias                                     (b, d)
//! h' = exp(Δ A) h + Δ x B                                                         (b, d, n)
//! y = (Σ_n h' C + D x) · silu(z)                      gate only if z given        (b, d)
//! ```
//!
//! Per head, as in Mamba-2, with `h` heads of `p` channels and B, C shared by `h / g` heads, Δ and A
//! are scalars of a head and Δ is clamped to `dt_limit`:
//!
//! ```text
//! S' = exp(Δ A) S + Δ x Bᵀ                                                        (b, h, p, n)
//! y = (S' C + D x) · silu(z)                                                      (b, h, p)
//! ```
//!
//! Sources: Gu & Dao, "Mamba" (arXiv:2312.00752), §3.2; Dao & Gu (arXiv:2405.21060), §2.

pub mod reference;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

/// What a step per channel reads besides the state; of any float types.
#[derive(Debug, Clone)]
pub struct ChannelStep {
    /// Input x, (b, d).
    pub x: Tensor<2>,
    /// Step size before bias and softplus, (b, d).
    pub dt: Tensor<2>,
    /// A < 0, (d, n).
    pub a: Tensor<2>,
    /// B, (b, n).
    pub b: Tensor<2>,
    /// C, (b, n).
    pub c: Tensor<2>,
    /// Skip D, (d).
    pub d: Option<Tensor<1>>,
    /// Gate z, (b, d).
    pub z: Option<Tensor<2>>,
    /// Bias of the step size, (d).
    pub dt_bias: Option<Tensor<1>>,
    /// Whether the step size goes through softplus.
    pub dt_softplus: bool,
}

/// What a step per head reads besides the state; of any float types.
#[derive(Debug, Clone)]
pub struct HeadStep {
    /// Input x, (b, h, p).
    pub x: Tensor<3>,
    /// Step size before bias, softplus and limits, (b, h).
    pub dt: Tensor<2>,
    /// A < 0, (h).
    pub a: Tensor<1>,
    /// B, (b, g, n); head i reads group i / (h / g).
    pub b: Tensor<3>,
    /// C, (b, g, n).
    pub c: Tensor<3>,
    /// Skip D, (h, 1) or (h, p).
    pub d: Option<Tensor<2>>,
    /// Gate z, (b, h, p).
    pub z: Option<Tensor<3>>,
    /// Bias of the step size, (h).
    pub dt_bias: Option<Tensor<1>>,
    /// Whether the step size goes through softplus.
    pub dt_softplus: bool,
    /// The step size is clamped to this range, (0, ∞) for none.
    pub dt_limit: (f64, f64),
}

/// A step per channel from `state`, (b, d, n): returns y, (b, d), stored like x, and the next
/// state, stored like the state. Computed in f32 (f64 if x is f64).
///
/// # Panics
/// If the shapes do not fit together as documented on the fields.
pub fn selective_state_update(state: Tensor<3>, step: ChannelStep) -> (Tensor<2>, Tensor<3>) {
    check_channels(&state, &step);
    reference::selective_state_update(state, step)
}

/// A step per head from `state`, (b, h, p, n): returns y, (b, h, p), stored like x, and the next
/// state, stored like the state. Computed in f32 (f64 if x is f64).
///
/// # Panics
/// If the shapes do not fit together as documented on the fields.
pub fn selective_state_update_heads(state: Tensor<4>, step: HeadStep) -> (Tensor<3>, Tensor<4>) {
    check_heads(&state, &step);
    reference::selective_state_update_heads(state, step)
}

fn fits(name: &str, found: &[usize], letters: &str, wanted: &[usize]) {
    assert!(
        found == wanted,
        "selective_state_update: {name} must be {letters} = {wanted:?}, but it is {found:?}"
    );
}

fn check_channels(state: &Tensor<3>, step: &ChannelStep) {
    let [b, d, n] = state.dims();
    assert!(
        b > 0 && d > 0 && n > 0,
        "selective_state_update: the state ({b}, {d}, {n}) is empty"
    );
    fits("x", &step.x.dims(), "(b, d)", &[b, d]);
    fits("dt", &step.dt.dims(), "(b, d)", &[b, d]);
    fits("a", &step.a.dims(), "(d, n)", &[d, n]);
    fits("b", &step.b.dims(), "(b, n)", &[b, n]);
    fits("c", &step.c.dims(), "(b, n)", &[b, n]);
    if let Some(skip) = &step.d {
        fits("d", &skip.dims(), "(d)", &[d]);
    }
    if let Some(z) = &step.z {
        fits("z", &z.dims(), "(b, d)", &[b, d]);
    }
    if let Some(bias) = &step.dt_bias {
        fits("dt_bias", &bias.dims(), "(d)", &[d]);
    }
}

fn check_heads(state: &Tensor<4>, step: &HeadStep) {
    let [b, h, p, n] = state.dims();
    let g = step.b.dims()[1];
    assert!(
        b > 0 && h > 0 && p > 0 && n > 0 && g > 0 && h.is_multiple_of(g),
        "selective_state_update: the state ({b}, {h}, {p}, {n}) is empty, or its heads cannot \
         share {g} groups"
    );
    fits("x", &step.x.dims(), "(b, h, p)", &[b, h, p]);
    fits("dt", &step.dt.dims(), "(b, h)", &[b, h]);
    fits("a", &step.a.dims(), "(h)", &[h]);
    fits("b", &step.b.dims(), "(b, g, n)", &[b, g, n]);
    fits("c", &step.c.dims(), "(b, g, n)", &[b, g, n]);
    if let Some(skip) = &step.d {
        let wide = if skip.dims()[1] == 1 { 1 } else { p };
        fits("d", &skip.dims(), "(h, 1) or (h, p)", &[h, wide]);
    }
    if let Some(z) = &step.z {
        fits("z", &z.dims(), "(b, h, p)", &[b, h, p]);
    }
    if let Some(bias) = &step.dt_bias {
        fits("dt_bias", &bias.dims(), "(h)", &[h]);
    }
}
