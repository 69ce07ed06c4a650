//! The copy on the GPU.

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::OverwriteBackend;
use crate::ops::cube::{ELEMENTWISE, elementwise};

#[cube(launch_unchecked, address_type = "dynamic")]
fn copy_kernel<F: Float>(
    source: &[F],
    target: &mut [F],
    count: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < count {
        target[ABSOLUTE_POS] = source[ABSOLUTE_POS];
    }
}

impl OverwriteBackend for CubeBackend {
    fn overwrite(target: FloatTensor<Self>, source: FloatTensor<Self>) -> FloatTensor<Self> {
        assert!(target.is_contiguous(), "overwrite: the target is strided");
        let count = target.shape().num_elements();
        let client = target.client.clone();
        let dtype = target.dtype;
        // SAFETY: units beyond the end do nothing; both have `count` numbers.
        unsafe {
            copy_kernel::launch_unchecked(
                &client,
                elementwise(count),
                CubeDim::new_1d(ELEMENTWISE),
                target.required_address_type(),
                into_contiguous(source).into_buffer_arg(),
                target.clone().into_buffer_arg(),
                count,
                dtype_to_storage_type(dtype),
            );
        }
        target
    }
}
