//! Parts of the last axis.

use burn::tensor::Tensor;

/// `t.narrow(D - 1, start, len)`; of a single row on a CUDA device without a copy.
///
/// # Panics
/// If the part is not inside.
pub fn last_part<const D: usize>(t: Tensor<D>, start: usize, len: usize) -> Tensor<D> {
    #[cfg(all(feature = "cube", not(feature = "fusion")))]
    if let Some(part) = view::of_row(&t, start, len) {
        return part;
    }
    t.narrow(D - 1, start, len)
}

#[cfg(all(feature = "cube", not(feature = "fusion")))]
mod view {
    use burn::backend::TensorMetadata;
    use burn::tensor::{Shape, Tensor};
    use burn_cubecl::tensor::CubeTensor;

    use crate::ops::cube::{primitive, tensor};

    /// What vectors of four numbers need. Burn's own slices ask for what any runtime may need, 256
    /// bytes and more, or copy.
    const ALIGNMENT: usize = 16;

    pub fn of_row<const D: usize>(t: &Tensor<D>, start: usize, len: usize) -> Option<Tensor<D>> {
        let dims = t.dims();
        let width = dims[D - 1];
        assert!(
            start + len <= width,
            "part {start}..{} of {width}",
            start + len
        );
        if dims[..D - 1].iter().any(|n| *n != 1) {
            return None;
        }
        let of = primitive(t)?;
        let size = of.dtype.size();
        let first = start * size;
        if of.client.name() != "cuda" || !first.is_multiple_of(ALIGNMENT) || !of.is_contiguous() {
            return None;
        }
        let beyond = of.handle.size_in_used() - ((start + len) * size) as u64;
        let mut shape: Shape = of.shape();
        shape[D - 1] = len;
        let part = CubeTensor::new_contiguous(
            of.client,
            of.device,
            shape,
            of.handle.offset_start(first as u64).offset_end(beyond),
            of.dtype,
        );
        Some(tensor(part, t))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn parts_of_rows() {
        let t = Tensor::<2>::from_floats(
            [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]],
            &Device::flex(),
        );
        let values = |t: Tensor<2>| t.into_data().iter::<f32>().collect::<Vec<_>>();
        assert_eq!(values(last_part(t.clone(), 1, 2)), [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(values(last_part(t.narrow(0, 1, 1), 3, 1)), [8.0]);
    }
}
