//! The largest of each row, for greedy decoding without leaving the device.

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};

pub use backend::ArgmaxBackend;

/// Place of the largest of the first `count` numbers of each row of x, (r, n) in f32, the first of
/// equal ones: (r), whole numbers in f32, -1 where one of them is not finite.
///
/// # Panics
/// If x is not f32, or `count` is zero, more than n, or so large that f32 rounds it.
pub fn argmax(x: Tensor<2>, count: usize) -> Tensor<1> {
    let n = x.dims()[1];
    assert!(
        x.dtype() == DType::F32 && (1..=n.min(1 << 24)).contains(&count),
        "argmax: of {count} in rows of {n}, {:?}",
        x.dtype()
    );
    Tensor::from_dispatch(Dispatch::argmax(x.into_dispatch(), count))
}
