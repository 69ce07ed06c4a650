//! One step of a selective state space model, for generation: the state in, the next state out.
//!
//! Per channel, as in Mamba-1, with `b` batch, `d` channels, `n` state:
//!
//! ```text
//! Δ = softplus(dt + dt_bias), or dt + dt_bias                                     (b, d)
//!     with dt = δ W for a step size of rank r, δ (b, r), W (r, d)
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

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};

pub use backend::StateUpdateBackend;
use backend::{Operands, StepSpec, Updated};

/// What a step per channel reads besides the state; of any float types.
#[derive(Debug, Clone)]
pub struct ChannelStep {
    /// Input x, (b, d).
    pub x: Tensor<2>,
    /// Step size before bias and softplus, (b, d), or of low rank, (b, r).
    pub dt: Tensor<2>,
    /// What a step size of low rank is multiplied with, (r, d).
    pub dt_proj: Option<Tensor<2>>,
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
    /// On a GPU: write the next state into the memory of the one before. Whoever else holds that
    /// sees it change.
    pub in_place: bool,
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
    /// As in [`ChannelStep`].
    pub in_place: bool,
}

/// A step per channel from `state`, (b, d, n): returns y, (b, d), stored like x, and the next
/// state, stored like the state. Computed in f32 (f64 if x is f64).
///
/// One kernel; on a device with gradients it goes through [`reference`], which has them.
///
/// # Panics
/// If the shapes do not fit together as documented on the fields.
pub fn selective_state_update(state: Tensor<3>, step: ChannelStep) -> (Tensor<2>, Tensor<3>) {
    check_channels(&state, &step);
    if state.device().is_autodiff() {
        return reference::selective_state_update(state, step);
    }
    let [b, d, n] = state.dims();
    let spec = StepSpec {
        wide_a: true,
        skip: step.d.is_some(),
        wide_skip: false,
        gate: step.z.is_some(),
        bias: step.dt_bias.is_some(),
        projected: step.dt_proj.is_some(),
        softplus: step.dt_softplus,
        limit: (f64::NEG_INFINITY, f64::INFINITY),
        in_place: step.in_place,
    };
    let out = update(
        state.reshape([b, d, 1, n]),
        Signals {
            x: step.x.reshape([b, d, 1]),
            dt: step.dt,
            projection: step.dt_proj,
            a: step.a,
            b: step.b.reshape([b, 1, n]),
            c: step.c.reshape([b, 1, n]),
            skip: step.d.map(|t| t.reshape([d, 1])),
            gate: step.z.map(|t| t.reshape([b, d, 1])),
            bias: step.dt_bias,
        },
        spec,
    );
    (
        Tensor::<3>::from_dispatch(out.y).reshape([b, d]),
        Tensor::<4>::from_dispatch(out.state).reshape([b, d, n]),
    )
}

/// A step per head from `state`, (b, h, p, n): returns y, (b, h, p), stored like x, and the next
/// state, stored like the state. Computed in f32 (f64 if x is f64).
///
/// One kernel; on a device with gradients it goes through [`reference`], which has them.
///
/// # Panics
/// If the shapes do not fit together as documented on the fields.
pub fn selective_state_update_heads(state: Tensor<4>, step: HeadStep) -> (Tensor<3>, Tensor<4>) {
    check_heads(&state, &step);
    if state.device().is_autodiff() {
        return reference::selective_state_update_heads(state, step);
    }
    let [_, h, _, _] = state.dims();
    // Step sizes after softplus are positive anyway.
    let limit = match step.dt_limit {
        (0.0, f64::INFINITY) if step.dt_softplus => (f64::NEG_INFINITY, f64::INFINITY),
        limit => limit,
    };
    let spec = StepSpec {
        wide_a: false,
        skip: step.d.is_some(),
        wide_skip: step.d.as_ref().is_some_and(|d| d.dims()[1] > 1),
        gate: step.z.is_some(),
        bias: step.dt_bias.is_some(),
        projected: false,
        softplus: step.dt_softplus,
        limit,
        in_place: step.in_place,
    };
    let out = update(
        state,
        Signals {
            x: step.x,
            dt: step.dt,
            projection: None,
            a: step.a.reshape([h, 1]),
            b: step.b,
            c: step.c,
            skip: step.d,
            gate: step.z,
            bias: step.dt_bias,
        },
        spec,
    );
    (
        Tensor::from_dispatch(out.y),
        Tensor::from_dispatch(out.state),
    )
}

/// What both steps read, in the shapes of the one per head.
struct Signals {
    x: Tensor<3>,
    dt: Tensor<2>,
    projection: Option<Tensor<2>>,
    a: Tensor<2>,
    b: Tensor<3>,
    c: Tensor<3>,
    skip: Option<Tensor<2>>,
    gate: Option<Tensor<3>>,
    bias: Option<Tensor<1>>,
}

fn update(state: Tensor<4>, step: Signals, spec: StepSpec) -> Updated<Dispatch> {
    let (stored, wide) = match step.x.dtype() {
        DType::F64 => (DType::F64, DType::F64),
        stored => (stored, DType::F32),
    };
    // Stands for absent operands; never read.
    let absent = Tensor::<1>::empty([1], (&state.device(), DType::F32)).into_dispatch();
    let or_absent = |t: Option<_>| t.unwrap_or_else(|| absent.clone());
    Dispatch::state_update(
        Operands {
            state: state.into_dispatch(),
            x: step.x.into_dispatch(),
            dt: step.dt.cast(stored).into_dispatch(),
            projection: or_absent(step.projection.map(Tensor::into_dispatch)),
            a: step.a.cast(wide).into_dispatch(),
            b: step.b.cast(stored).into_dispatch(),
            c: step.c.cast(stored).into_dispatch(),
            skip: or_absent(step.skip.map(|t| t.cast(wide).into_dispatch())),
            gate: or_absent(step.gate.map(|t| t.cast(stored).into_dispatch())),
            bias: or_absent(step.bias.map(|t| t.cast(wide).into_dispatch())),
        },
        spec,
    )
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
    let (letters, width) = match &step.dt_proj {
        Some(projection) => {
            let [r, channels] = projection.dims();
            assert!(r > 0, "selective_state_update: dt_proj is empty");
            fits("dt_proj", &[channels], "(r, d)", &[d]);
            ("(b, r)", r)
        }
        None => ("(b, d)", d),
    };
    fits("dt", &step.dt.dims(), letters, &[b, width]);
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
