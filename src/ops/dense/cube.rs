//! On a GPU a few rows are no special case.

use burn::backend::{TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn_cubecl::CubeBackend;

use super::backend::DenseBackend;

impl DenseBackend for CubeBackend {
    fn few_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        out_in: bool,
    ) -> FloatTensor<Self> {
        let dtype = x.dtype();
        let weight = match out_in {
            true => Self::float_swap_dims(weight, 0, 1),
            false => weight,
        };
        Self::float_matmul(x, Self::float_cast(weight, dtype.into()))
    }
}
