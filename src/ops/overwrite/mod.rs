//! New values in the memory of a tensor, for steps that were recorded and read that memory again.

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

pub use backend::OverwriteBackend;

/// The values of `source` as `target`, which stops to be what it was.
///
/// On a GPU they are written into the memory of `target`, so that every clone of it, and every
/// recording that reads it, sees them; elsewhere the result is `source`.
///
/// # Panics
/// If shapes or types differ, or `target` is a strided view.
pub fn overwrite<const D: usize>(target: Tensor<D>, source: Tensor<D>) -> Tensor<D> {
    assert!(
        target.dims() == source.dims() && target.dtype() == source.dtype(),
        "overwrite: {:?} of {:?} with {:?} of {:?}",
        target.dims(),
        target.dtype(),
        source.dims(),
        source.dtype()
    );
    Tensor::from_dispatch(Dispatch::overwrite(
        target.into_dispatch(),
        source.into_dispatch(),
    ))
}

/// The values of `source`; on a GPU in contiguous memory that nobody else holds, elsewhere `source`.
pub fn copied<const D: usize>(source: Tensor<D>) -> Tensor<D> {
    // Along one axis: with several, a GPU may get padded rows.
    let count = source.shape().num_elements();
    let place = Tensor::<1>::zeros([count], (&source.device(), source.dtype()));
    overwrite(place.reshape(source.dims()), source)
}
