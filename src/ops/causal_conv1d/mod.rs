//! Causal depthwise convolution along time, with states in and out and packed sequences.
//!
//! With `b` batch, `l` time, `d` channels, `k` taps:
//!
//! ```text
//! v_t[d] = bias[d] + Σ_j weight[d, j] x_{t-k+1+j}[d]          x_{-1}, x_{-2}, ... from `initial`
//! y_t = silu(v_t), or v_t
//! ```
//!
//! Source: Gu & Dao, "Mamba" (arXiv:2312.00752), §3.4.

mod autodiff;
mod backend;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod reference;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::{DType, Int, IntDType, Tensor};

pub use backend::CausalConvBackend;
use backend::{ConvSpec, Operands};
#[cfg(feature = "flex")]
pub(super) use cpu::step as cpu_step;

/// Convolves x, (b, l, d), with `weight`, (d, k), the tap of the current step last; returns y,
/// (b, l, d), and the last k - 1 inputs, (b, k-1, d), which are the `initial` of the next call.
///
/// `bias` is (d). `initial`, (b, k-1, d), holds the inputs before the first step, oldest first;
/// zeros if absent. With `seq_idx`, (b, l), several sequences are packed along time: a tap on a
/// step of another id counts as zero, `initial` belongs to id 0, and the final state holds inputs
/// of the last step's sequence only. A negative id is padding: y is zero there, and where the last
/// step is padding so is the final state.
///
/// Sums are taken in f32 (f64 if x is f64) and y is stored like x, as is the final state.
/// Differentiable in x, weight, bias and initial, through both results.
///
/// # Panics
/// If shapes do not fit together, an axis is empty or k is one.
pub fn causal_conv1d(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    initial: Option<Tensor<3>>,
    seq_idx: Option<Tensor<2, Int>>,
    silu: bool,
) -> (Tensor<3>, Tensor<3>) {
    convolve(x, weight, bias, initial, seq_idx, silu, false)
}

/// One step of [`causal_conv1d`] of x, (b, d), after the inputs `state`, (b, k-1, d): returns y, (b, d),
/// and the next state.
///
/// On a GPU the next state is written into the memory of `state`: whoever else holds it sees it
/// change.
///
/// # Panics
/// As [`causal_conv1d`], and on a device with gradients.
pub fn causal_conv1d_update(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    state: Tensor<3>,
    silu: bool,
) -> (Tensor<2>, Tensor<3>) {
    assert!(
        !x.device().is_autodiff() && x.dtype() == state.dtype(),
        "causal_conv1d_update: has no gradients, and one type"
    );
    let x = x.unsqueeze_dim(1);
    let (y, state) = convolve(x, weight, bias, Some(state), None, silu, true);
    (y.squeeze_dim(1), state)
}

fn convolve(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    initial: Option<Tensor<3>>,
    seq_idx: Option<Tensor<2, Int>>,
    silu: bool,
    in_place: bool,
) -> (Tensor<3>, Tensor<3>) {
    check(
        &x,
        &weight,
        bias.as_ref(),
        initial.as_ref(),
        seq_idx.as_ref(),
    );
    let spec = ConvSpec {
        bias: bias.is_some(),
        initial: initial.is_some(),
        ids: seq_idx.is_some(),
        silu,
        in_place,
    };
    let stored = x.dtype();
    let wide = match stored {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let device = x.device();
    // They stand for absent operands; never read.
    let absent = Tensor::<1>::empty([1], (&device, DType::F32)).into_dispatch();
    let ids = match seq_idx {
        Some(ids) => ids.cast(IntDType::I32).into_dispatch(),
        None => Tensor::<1, Int>::empty([1], (&device, DType::I32)).into_dispatch(),
    };
    let or_absent = |t: Option<_>| t.unwrap_or_else(|| absent.clone());
    let out = Dispatch::causal_conv1d(
        Operands {
            x: x.into_dispatch(),
            weight: weight.cast(wide).into_dispatch(),
            bias: or_absent(bias.map(|t| t.cast(wide).into_dispatch())),
            initial: or_absent(initial.map(|t| t.cast(stored).into_dispatch())),
            ids,
        },
        spec,
    );
    (
        Tensor::from_dispatch(out.y),
        Tensor::from_dispatch(out.last),
    )
}

fn check(
    x: &Tensor<3>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    initial: Option<&Tensor<3>>,
    seq_idx: Option<&Tensor<2, Int>>,
) {
    let [b, l, d] = x.dims();
    let [rows, k] = weight.dims();
    assert!(
        b > 0 && l > 0 && d > 0 && k > 1 && rows == d,
        "causal_conv1d: x must be (b, l, d) and weight (d, k) with k > 1, none empty, but x is {:?} and \
         weight {:?}",
        x.dims(),
        weight.dims()
    );
    let fits = |name: &str, found: &[usize], letters: &str, wanted: &[usize]| {
        assert!(
            found == wanted,
            "causal_conv1d: {name} must be {letters} = {wanted:?}, but it is {found:?}"
        );
    };
    if let Some(bias) = bias {
        fits("bias", &bias.dims(), "(d)", &[d]);
    }
    if let Some(initial) = initial {
        fits("initial", &initial.dims(), "(b, k-1, d)", &[b, k - 1, d]);
    }
    if let Some(ids) = seq_idx {
        fits("seq_idx", &ids.dims(), "(b, l)", &[b, l]);
    }
}
