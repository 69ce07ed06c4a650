//! The sparse product on the GPU: a unit for each element of the output, neighbouring units read
//! neighbouring channels.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::{Matrix, SparseBackend};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty};

#[cube(launch_unchecked, address_type = "dynamic")]
fn rows_kernel(
    x: &[f32],
    start: &[i32],
    other: &[i32],
    weight: &[f32],
    y: &mut [f32],
    count: usize,
    v: usize,
    c: usize,
) {
    if ABSOLUTE_POS < count {
        let channel = ABSOLUTE_POS % c;
        let row = ABSOLUTE_POS / c % v;
        let base = ABSOLUTE_POS / (c * v) * v;
        let mut sum = 0.0f32;
        for k in start[row] as usize..start[row + 1] as usize {
            sum += weight[k] * x[(base + other[k] as usize) * c + channel];
        }
        y[ABSOLUTE_POS] = sum;
    }
}

impl SparseBackend for CubeBackend {
    fn sparse_product(
        x: FloatTensor<Self>,
        matrix: Matrix<Self>,
        _transpose: Matrix<Self>,
    ) -> FloatTensor<Self> {
        let [b, v, c] = x.shape().dims();
        assert!(
            x.dtype == DType::F32 && matrix.start.dtype == DType::I32,
            "sparse_product: {:?} with places in {:?}",
            x.dtype,
            matrix.start.dtype
        );
        let x = into_contiguous(x);
        let y = empty(&x, [b, v, c], DType::F32);
        let client = x.client.clone();
        // SAFETY: units beyond the output do nothing; the rows are those of a checked graph.
        unsafe {
            rows_kernel::launch_unchecked(
                &client,
                elementwise(b * v * c),
                CubeDim::new_1d(ELEMENTWISE),
                x.required_address_type(),
                x.into_buffer_arg(),
                into_contiguous(matrix.start).into_buffer_arg(),
                into_contiguous(matrix.other).into_buffer_arg(),
                into_contiguous(matrix.weight).into_buffer_arg(),
                y.clone().into_buffer_arg(),
                b * v * c,
                v,
                c,
            );
        }
        y
    }
}
