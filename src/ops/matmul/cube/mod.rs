//! The exact product on the GPU, for every CubeCL runtime.
//!
//! A cube computes a tile of the output: it walks along k, brings a slab of both operands into
//! shared memory, and every unit adds the outer products of its rows and columns in registers,
//! while the next slab is being read. Where the output has few tiles and the sum is long, cubes
//! take parts of the sum, and a second kernel adds them in their order.

// What is decided at compile time stays apart from what units decide, and kernels have no
// `is_multiple_of`.
#![allow(clippy::collapsible_if, clippy::manual_is_multiple_of)]

mod kernel;
mod tensor_core;
mod tile;

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{MatmulBackend, shape};
use super::precision;
use crate::ops::cube::{add_parts, cubes, empty};
use kernel::{SizesLaunch, product};
use tile::Plan;

/// op(A) op(B) of contiguous (batch, rows, columns) in f32, f16 or bf16; batch sizes are equal or
/// one.
///
/// With `out` the result is written there, or added if `accumulate`: in place, also for whoever
/// shares that buffer. An `out` of one matrix, where the operands have more, is given the sum over
/// the batch.
///
/// # Panics
/// If the shapes or types do not fit together, or the device has too little shared memory.
pub(crate) fn gemm(
    a: CubeTensor,
    b: CubeTensor,
    out: Option<CubeTensor>,
    transpose_a: bool,
    transpose_b: bool,
    accumulate: bool,
) -> CubeTensor {
    let columns = a.shape()[2];
    gemm_of(a, columns, b, out, transpose_a, transpose_b, accumulate)
}

/// [`gemm`] with the first `columns` columns of A; those after them are zero. So a matrix whose
/// rows are no multiple of four can still be read in vectors.
pub(crate) fn gemm_of(
    a: CubeTensor,
    columns: usize,
    b: CubeTensor,
    out: Option<CubeTensor>,
    transpose_a: bool,
    transpose_b: bool,
    accumulate: bool,
) -> CubeTensor {
    let [batch_a, rows, row_a] = a.shape().dims();
    let effective = Shape::new([batch_a, rows, columns]);
    let each = shape(&effective, &b.shape(), transpose_a, transpose_b, false);
    let [batch, m, n] = each.dims();
    let batch_b = b.shape()[0];
    let k = if transpose_a { rows } else { columns };
    assert!(
        out.is_some() || !accumulate,
        "nothing to add a matrix product to"
    );
    let dtype = a.dtype;
    let out = out.unwrap_or_else(|| empty(&a, each, dtype));
    let [outer, ..] = out.shape().dims::<3>();
    assert!(
        b.dtype == dtype && out.dtype == dtype,
        "matrix product of {dtype:?} and {:?} into {:?}",
        b.dtype,
        out.dtype
    );
    assert!(
        out.shape() == Shape::new([outer, m, n]) && (outer == batch || outer == 1),
        "a matrix product of shape {:?} does not fit into {:?}",
        [batch, m, n],
        out.shape()
    );
    for (name, tensor) in [("A", &a), ("B", &b), ("the output", &out)] {
        assert!(
            tensor.is_contiguous(),
            "{name} of a matrix product is not contiguous"
        );
    }

    let inner = batch / outer;
    let vectors = [row_a, b.shape()[2], n].map(|row| row.is_multiple_of(4));
    let plan = Plan::new(
        &a,
        [m, k, n],
        [outer, inner],
        [transpose_a, transpose_b],
        vectors,
        accumulate,
        precision(),
    );
    let parts = plan.parts;
    let mut tile = plan.tile;
    let (target, target_dtype) = match parts {
        1 => (out.clone(), dtype),
        _ => {
            tile.accumulate = false;
            let partial = empty(&a, Shape::new([outer * parts, m, n]), DType::F32);
            (partial, DType::F32)
        }
    };
    let address = [&a, &b, &target]
        .map(|tensor| tensor.required_address_type())
        .into_iter()
        .max()
        .unwrap_or_default();
    let width = |vector: bool| if vector { 4 } else { 1 };
    let client = a.client.clone();
    let step = |batch: usize, matrix: usize| if batch > 1 { matrix } else { 0 };
    let sizes = SizesLaunch::new(
        m,
        k,
        n,
        row_a,
        outer,
        inner,
        step(batch_a, rows * row_a),
        step(batch_b, k * n),
        parts,
    );
    // SAFETY: rows and columns outside the shapes are neither read nor written.
    unsafe {
        product::launch_unchecked(
            &client,
            cubes(tile.count(m, n) * outer * parts),
            CubeDim::new_1d(tile.units() as u32),
            address,
            width(vectors[0]),
            width(vectors[1]),
            width(vectors[2]),
            a.into_buffer_arg(),
            b.into_buffer_arg(),
            target.clone().into_buffer_arg(),
            sizes,
            tile,
            dtype_to_storage_type(dtype),
            dtype_to_storage_type(target_dtype),
        );
    }
    if parts > 1 {
        add_parts(target, &out, [outer, parts, m * n], accumulate);
    }
    out
}

/// The tensor as contiguous rows, and whether that is its transpose: a view that only swaps the
/// last two axes is not copied.
fn rows(mut x: CubeTensor, transpose: bool) -> (CubeTensor, bool) {
    let [batch, rows, cols] = x.shape().dims();
    let swapped = [rows * cols, 1, rows];
    let same = |axis: usize, length: usize| length == 1 || x.meta.strides()[axis] == swapped[axis];
    if !x.is_contiguous() && same(0, batch) && same(1, rows) && same(2, cols) {
        x.meta.swap(1, 2);
        if x.is_contiguous() {
            return (x, !transpose);
        }
        x.meta.swap(1, 2);
    }
    (into_contiguous(x), transpose)
}

type T = FloatTensor<CubeBackend>;

impl MatmulBackend for CubeBackend {
    fn exact_matmul(a: T, b: T, transpose_a: bool, transpose_b: bool, sum: bool) -> T {
        let shape = shape(&a.shape(), &b.shape(), transpose_a, transpose_b, sum);
        let out = empty(&a, shape, a.dtype);
        let (a, transpose_a) = rows(a, transpose_a);
        let (b, transpose_b) = rows(b, transpose_b);
        gemm(a, b, Some(out), transpose_a, transpose_b, false)
    }
}
