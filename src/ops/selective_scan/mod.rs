//! The selective scan of Mamba: a linear recurrence per channel whose step size, input and output
//! projections depend on time.
//!
//! With `b` batch, `l` time, `d` channels, `n` state:
//!
//! ```text
//! Δ'_t = softplus(Δ_t + bias)            or Δ_t + bias without softplus        (b, d)
//! h_t = exp(Δ'_t A) h_{t-1} + Δ'_t u_t B_t                                     (b, d, n)
//! y_t = (Σ_n h_t[.., n] C_t[n] + D u_t) · silu(z_t)       gate only if z given (b, d)
//! ```
//!
//! The backward pass recomputes states from some kept ones; their number grows with √l. On the GPU
//! it is one kernel per direction over the whole sequence, and small ones that add partial sums in
//! a fixed order: results do not change from run to run.
//!
//! Source: Gu & Dao, "Mamba" (arXiv:2312.00752), §3.2 and algorithm 2.

mod autodiff;
mod backend;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;
#[cfg(all(test, feature = "flex"))]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::{DType, GradientCheckpointingStrategy, Tensor};

use super::is_cpu;
pub use backend::SelectiveScanBackend;
use backend::{Operands, ScanSpec};

/// Signals and parameters of a selective scan.
#[derive(Debug, Clone)]
pub struct SelectiveScanInput {
    /// Input u, (b, l, d); f32 or bf16, as are `delta`, `b`, `c` and `z`.
    pub u: Tensor<3>,
    /// Step size Δ before bias and softplus, (b, l, d).
    pub delta: Tensor<3>,
    /// State matrix A < 0, (d, n), diagonal for each channel; f32.
    pub a: Tensor<2>,
    /// Input projection B, (b, l, n).
    pub b: Tensor<3>,
    /// Output projection C, (b, l, n).
    pub c: Tensor<3>,
    /// Skip D, (d); f32.
    pub d: Option<Tensor<1>>,
    /// Gate z, (b, l, d): y is multiplied by silu(z).
    pub z: Option<Tensor<3>>,
    /// Bias of Δ, (d); f32.
    pub delta_bias: Option<Tensor<1>>,
    /// Whether Δ goes through softplus.
    pub delta_softplus: bool,
    /// State before the first step, (b, d, n), f32; zero if absent.
    pub initial_state: Option<Tensor<3>>,
}

/// Result of a selective scan.
#[derive(Debug, Clone)]
pub struct SelectiveScanOutput {
    /// Output y, (b, l, d), stored like u.
    pub y: Tensor<3>,
    /// State after the last step, (b, d, n), f32.
    pub state: Tensor<3>,
}

/// Runs the selective scan; see the module for the formula.
///
/// Differentiable in every tensor of `input`, through `y` and through `state`. Runs on the CPU
/// backend `flex` (f64 too) and on every CubeCL device, with sums and states in f32.
///
/// # Panics
/// If the shapes do not fit together as documented on the fields, an axis is empty, the types
/// differ from the documented ones, or the device cannot hold a cube for `n` states.
pub fn selective_scan(input: SelectiveScanInput) -> SelectiveScanOutput {
    check(&input);
    let SelectiveScanInput {
        u,
        delta,
        a,
        b,
        c,
        d,
        z,
        delta_bias,
        delta_softplus,
        initial_state,
    } = input;
    let spec = ScanSpec {
        softplus: delta_softplus,
        skip: d.is_some(),
        gate: z.is_some(),
        bias: delta_bias.is_some(),
        state: initial_state.is_some(),
        every: checkpoint_distance(u.dims(), a.dims()[1], sparing(&u)),
    };
    // Stands for absent operands; never read.
    let absent = Tensor::<1>::empty([1], (&u.device(), DType::F32)).into_dispatch();
    let or_absent = |t: Option<_>| t.unwrap_or_else(|| absent.clone());
    let out = Dispatch::selective_scan(
        Operands {
            u: u.into_dispatch(),
            delta: delta.into_dispatch(),
            a: a.into_dispatch(),
            b: b.into_dispatch(),
            c: c.into_dispatch(),
            skip: or_absent(d.map(Tensor::into_dispatch)),
            gate: or_absent(z.map(Tensor::into_dispatch)),
            bias: or_absent(delta_bias.map(Tensor::into_dispatch)),
            state: or_absent(initial_state.map(Tensor::into_dispatch)),
        },
        spec,
        false,
    );
    SelectiveScanOutput {
        y: Tensor::from_dispatch(out.y),
        state: Tensor::from_dispatch(out.state),
    }
}

/// Steps between two kept states, a multiple of 16: max(16, n, √l / 4), rounded up.
///
/// The kept states then take no more memory than u in f32, and beyond l = 4096 their number grows
/// with √l only. At 16 steps the backward pass computes every state once more, else twice.
///
/// `sparing` asks for an eighth of them, though for one at least, where the states between two can be
/// indexed with 32 bits.
fn checkpoint_distance([b, l, d]: [usize; 3], n: usize, sparing: bool) -> usize {
    let usual = 16 * l.isqrt().div_ceil(64).max(n.div_ceil(16));
    let far = (8 * usual).min(l.next_multiple_of(16)).max(usual);
    // A tile of the backward pass has four steps at least.
    let between = (b * d.next_multiple_of(32)).saturating_mul(n.next_multiple_of(16) * far / 4);
    match sparing && between < 1 << 32 {
        true => far,
        false => usual,
    }
}

/// Whether little is to be kept for gradients. The CPU, whose caches hold the states between two kept
/// ones, keeps them all the same.
fn sparing(u: &Tensor<3>) -> bool {
    let strategy = u.gradient_checkpointing_strategy();
    strategy == Some(GradientCheckpointingStrategy::Balanced) && !is_cpu(&u.device())
}

fn check(input: &SelectiveScanInput) {
    let [b, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    assert!(
        b > 0 && l > 0 && d > 0 && n > 0,
        "selective_scan: b, l, d and n must be positive, but u is ({b}, {l}, {d}) and n is {n}"
    );
    let fits = |name: &str, found: &[usize], letters: &str, wanted: &[usize]| {
        assert!(
            found == wanted,
            "selective_scan: {name} must be {letters} = {wanted:?}, but it is {found:?}"
        );
    };
    fits("delta", &input.delta.dims(), "(b, l, d)", &[b, l, d]);
    fits("a", &input.a.dims(), "(d, n)", &[d, n]);
    fits("b", &input.b.dims(), "(b, l, n)", &[b, l, n]);
    fits("c", &input.c.dims(), "(b, l, n)", &[b, l, n]);
    let signal = input.u.dtype();
    let same = |name: &str, dtype: DType, wanted: DType| {
        assert!(
            dtype == wanted,
            "selective_scan: {name} must be {wanted:?} (u is {signal:?}), but it is {dtype:?}"
        );
    };
    same("delta", input.delta.dtype(), signal);
    same("b", input.b.dtype(), signal);
    same("c", input.c.dtype(), signal);
    // States and parameters are f32 whatever the signals; f64 throughout for checks on the CPU.
    let state = if signal == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    same("a", input.a.dtype(), state);
    if let Some(skip) = &input.d {
        fits("d", &skip.dims(), "(d)", &[d]);
        same("d", skip.dtype(), state);
    }
    if let Some(z) = &input.z {
        fits("z", &z.dims(), "(b, l, d)", &[b, l, d]);
        same("z", z.dtype(), signal);
    }
    if let Some(bias) = &input.delta_bias {
        fits("delta_bias", &bias.dims(), "(d)", &[d]);
        same("delta_bias", bias.dtype(), state);
    }
    if let Some(h) = &input.initial_state {
        fits("initial_state", &h.dims(), "(b, d, n)", &[b, d, n]);
        same("initial_state", h.dtype(), state);
    }
}
