//! Root-mean-square norms, plain, gated and by groups of channels.
//!
//! Over each group of `d / groups` neighbouring channels of the last axis:
//!
//! ```text
//! norm(v) = v / √(mean(v²) + ε) · weight
//! y = norm(x)                      without a gate
//! y = norm(x · silu(z))            gated before the norm
//! y = norm(x) · silu(z)            gated after it (`norm_before_gate`)
//! ```
//!
//! Sources: Zhang & Sennrich (arXiv:1910.07467); Dao & Gu, "Transformers are SSMs"
//! (arXiv:2405.21060), §7 for the gate and the groups.

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

use backend::NormSpec;
pub use backend::RmsNormBackend;

/// The norm over the last axis of x, (.., d), times `weight`, (d); `gate`, z, is shaped like x.
///
/// Statistics and products are in f32 (f64 if x is f64); y is stored like x. Differentiable in x,
/// weight and gate.
///
/// # Panics
/// If shapes do not fit together, d is zero or `groups` does not divide it.
pub fn rms_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    eps: f64,
    gate: Option<Tensor<D>>,
    groups: usize,
    norm_before_gate: bool,
) -> Tensor<D> {
    check(&x, &weight, gate.as_ref(), groups);
    let shape = x.dims();
    let d = shape[D - 1];
    let rows = [shape.iter().product::<usize>() / d, d];
    let (stored, wide) = match x.dtype() {
        DType::F64 => (DType::F64, DType::F64),
        stored => (stored, DType::F32),
    };
    let spec = NormSpec {
        eps,
        groups,
        gate: gate.is_some(),
        after: norm_before_gate,
    };
    let gate = match gate {
        Some(gate) => gate.cast(stored).reshape(rows).into_dispatch(),
        // Stands for it; never read.
        None => Tensor::<1>::empty([1], (&x.device(), DType::F32)).into_dispatch(),
    };
    let y = Dispatch::rms_norm(
        x.reshape(rows).into_dispatch(),
        weight.cast(wide).into_dispatch(),
        gate,
        spec,
    );
    Tensor::<2>::from_dispatch(y).reshape(shape)
}

fn check<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<1>,
    gate: Option<&Tensor<D>>,
    groups: usize,
) {
    let d = x.dims()[D - 1];
    assert!(
        d > 0 && weight.dims() == [d],
        "rms_norm: weight must be (d) = [{d}], not empty, but it is {:?}",
        weight.dims()
    );
    assert!(
        groups > 0 && d.is_multiple_of(groups),
        "rms_norm: {groups} groups do not divide {d} channels"
    );
    if let Some(gate) = gate {
        assert!(
            gate.dims() == x.dims(),
            "rms_norm: the gate must be shaped like x, {:?}, but it is {:?}",
            x.dims(),
            gate.dims()
        );
    }
}
