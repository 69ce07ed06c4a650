//! The state space dual form of Mamba-2: a scan whose decay is one number per head, computed by
//! matrix products within chunks of time.
//!
//! With `b` batch, `l` time, `h` heads of `p` channels, `g` groups of heads that share B and C, `n`
//! state, and head i in group i / (h / g):
//!
//! ```text
//! S_t = exp(Δ_t A) S_{t-1} + Δ_t x_t B_tᵀ                                      (b, h, p, n)
//! y_t = S_t C_t + D x_t                                                        (b, l, h, p)
//! ```
//!
//! In a chunk, with a_t = Σ_{i ≤ t} Δ_i A from its start and R the state before it:
//!
//! ```text
//! y_t = Σ_{s ≤ t} (C_t · B_s) exp(a_t - a_s) Δ_s x_s + exp(a_t) R C_t + D x_t
//! R' = exp(a_end) R + Σ_s exp(a_end - a_s) Δ_s x_s B_sᵀ
//! ```
//!
//! Source: Dao & Gu, "Transformers are SSMs" (arXiv:2405.21060), §6 and listing 1.

mod autodiff;
mod backend;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;
mod segments;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::{DType, Int, IntDType, Tensor};

pub use backend::SsdBackend;
use backend::{Operands, SsdSpec};
use segments::Segments;

/// Signals and parameters of the scan.
#[derive(Debug, Clone)]
pub struct SsdInput {
    /// Input x, (b, l, h, p); `b` and `c` are stored alike.
    pub x: Tensor<4>,
    /// Step size Δ ≥ 0, (b, l, h), after bias, softplus and limits.
    pub dt: Tensor<3>,
    /// A < 0, (h).
    pub a: Tensor<1>,
    /// Input projection B, (b, l, g, n).
    pub b: Tensor<4>,
    /// Output projection C, (b, l, g, n).
    pub c: Tensor<4>,
    /// Skip D, (h, 1) or (h, p).
    pub d: Option<Tensor<2>>,
    /// State before the first step, (b, h, p, n); zero if absent.
    pub initial: Option<Tensor<4>>,
    /// Which of several sequences packed along time a step belongs to, (b, l), increasing along
    /// time. The state starts from zero where the id changes; `initial` belongs to id 0. A negative
    /// id is padding: y is zero there and the state stays as it is.
    pub seq_idx: Option<Tensor<2, Int>>,
    /// Steps of a chunk of [`reference::ssd`]; l need not be a multiple. The result does not depend on
    /// it, and the kernels choose their own.
    pub chunk: usize,
}

/// Result of the scan.
#[derive(Debug, Clone)]
pub struct SsdOutput {
    /// Output y, (b, l, h, p), stored like x.
    pub y: Tensor<4>,
    /// State after the last step, (b, h, p, n), in f32 (f64 if x is f64).
    pub state: Tensor<4>,
}

/// Runs the scan; see the module for the formula.
///
/// States and sums are in f32 (f64 if x is f64). On a GPU, products of bf16 and f16 signals run on
/// tensor cores where there are some, with factors rounded to that type. Differentiable in every
/// float tensor of `input`, through both results.
///
/// # Panics
/// If the shapes or types do not fit together as documented on the fields, an axis is empty, or a
/// GPU has too little shared memory for n states.
pub fn ssd(input: SsdInput) -> SsdOutput {
    check(&input);
    let wide = match input.x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let device = input.x.device();
    let segments = input.seq_idx.map(Segments::new);
    let spec = SsdSpec {
        skip: input.d.is_some(),
        wide_skip: input.d.as_ref().is_some_and(|d| d.dims()[1] > 1),
        state: input.initial.is_some(),
        ids: segments.is_some(),
    };
    let mut dt = input.dt.cast(wide);
    if let Some(segments) = &segments {
        dt = segments.silence(dt);
    }
    let ids = match &segments {
        Some(segments) => {
            let owner = segments.owner.clone();
            owner.cast(IntDType::I32).into_dispatch()
        }
        None => Tensor::<1, Int>::empty([1], (&device, DType::I32)).into_dispatch(),
    };
    // Stands for absent operands; never read.
    let absent = Tensor::<1>::empty([1], (&device, DType::F32)).into_dispatch();
    let or_absent = |t: Option<_>| t.unwrap_or_else(|| absent.clone());
    let out = Dispatch::ssd(
        Operands {
            x: input.x.into_dispatch(),
            dt: dt.into_dispatch(),
            a: input.a.cast(wide).into_dispatch(),
            b: input.b.into_dispatch(),
            c: input.c.into_dispatch(),
            skip: or_absent(input.d.map(|t| t.cast(wide).into_dispatch())),
            state: or_absent(input.initial.map(|t| t.cast(wide).into_dispatch())),
            ids,
        },
        spec,
    );
    let mut y = Tensor::<4>::from_dispatch(out.y);
    if let Some(segments) = &segments {
        y = segments.silence(y);
    }
    SsdOutput {
        y,
        state: Tensor::from_dispatch(out.state),
    }
}

fn check(input: &SsdInput) {
    let [b, l, h, p] = input.x.dims();
    let [_, _, g, n] = input.b.dims();
    assert!(
        b > 0 && l > 0 && h > 0 && p > 0 && g > 0 && n > 0 && input.chunk > 0,
        "ssd: b, l, h, p, g, n and chunk must be positive, but x is ({b}, {l}, {h}, {p}), b is {:?} \
         and chunk {}",
        input.b.dims(),
        input.chunk
    );
    assert!(
        h.is_multiple_of(g),
        "ssd: {h} heads cannot share {g} groups of B and C"
    );
    let fits = |name: &str, found: &[usize], letters: &str, wanted: &[usize]| {
        assert!(
            found == wanted,
            "ssd: {name} must be {letters} = {wanted:?}, but it is {found:?}"
        );
    };
    fits("dt", &input.dt.dims(), "(b, l, h)", &[b, l, h]);
    fits("a", &input.a.dims(), "(h)", &[h]);
    fits("b", &input.b.dims(), "(b, l, g, n)", &[b, l, g, n]);
    fits("c", &input.c.dims(), "(b, l, g, n)", &[b, l, g, n]);
    if let Some(skip) = &input.d {
        let wide = if skip.dims()[1] == 1 { 1 } else { p };
        fits("d", &skip.dims(), "(h, 1) or (h, p)", &[h, wide]);
    }
    if let Some(state) = &input.initial {
        fits("initial", &state.dims(), "(b, h, p, n)", &[b, h, p, n]);
    }
    if let Some(ids) = &input.seq_idx {
        fits("seq_idx", &ids.dims(), "(b, l)", &[b, l]);
    }
    let stored = input.x.dtype();
    for (name, found) in [("b", input.b.dtype()), ("c", input.c.dtype())] {
        assert!(
            found == stored,
            "ssd: {name} must be {stored:?} like x, but it is {found:?}"
        );
    }
}
