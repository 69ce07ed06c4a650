//! Dropout whose draws are a function of a seed on the device, the place and nothing else: a recorded
//! step that is run again draws anew, and every device draws the same.
//!
//! ```text
//! y_i = x_i / keep   if  hash(i, salt, seed) / 2³² < keep,  else 0
//! ```
//!
//! Sources: Srivastava et al., "Dropout", JMLR 15 (2014); the hash is pcg4d of Jarzynski & Olano,
//! "Hash Functions for GPU Rendering", JCGT 9(3) (2020).

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use backend::Draw;
pub use backend::DropoutBackend;

/// Whole numbers below this are seeds: an f32 holds them exactly.
pub const SEEDS: f32 = (1 << 24) as f32;

/// x with each number zeroed at probability `rate`, in 0..1, and the others divided by 1 - rate.
///
/// `seeds`, (2), are whole numbers from 0 to below [`SEEDS`], on the device of x without autodiff;
/// calls with another `salt` draw independently.
///
/// # Panics
/// If `rate` is out of range or there are not two seeds.
pub fn dropout<const D: usize>(x: Tensor<D>, rate: f64, seeds: Tensor<1>, salt: u32) -> Tensor<D> {
    assert!(
        (0.0..1.0).contains(&rate) && seeds.dims() == [2],
        "dropout: rate {rate}, seeds {:?}",
        seeds.dims()
    );
    let shape = x.dims();
    let keep = 1.0 - rate;
    let draw = Draw {
        count: shape.iter().product(),
        salt,
        below: (keep * 4_294_967_296.0).min(4_294_967_295.0) as u32,
        value: (1.0 / keep) as f32,
    };
    let mask = Dispatch::dropout_mask(seeds.into_dispatch(), draw);
    let mask = Tensor::<1>::from_dispatch(mask).reshape(shape);
    let mask = mask.cast(x.dtype());
    match x.device().is_autodiff() {
        true => {
            let device = x.device();
            x * mask.to_device(&device)
        }
        false => x * mask,
    }
}
