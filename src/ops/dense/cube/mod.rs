//! A few rows times a weight on the GPU, in one launch that reads the weight once as it is stored.
//!
//! Weights (in, out): a cube takes some neighbouring outputs, its units share the inputs. Weights (out,
//! in), or (in, out) that lie in memory so: see [`out_in`]. Shared sums are added in a fixed order.

mod out_in;
#[cfg(not(feature = "fusion"))]
mod step;

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

#[cfg(not(feature = "fusion"))]
pub use step::step;

use super::backend::DenseBackend;
use super::step::Around;
use crate::ops::cube::{cubes, empty};

/// Units of a cube.
const UNITS: usize = 256;

/// Outputs of a cube where weights are (in, out): a sector of memory in half precision.
const COLUMNS: usize = 16;

/// What the kernel of weights (in, out) is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    rows: usize,
    /// Numbers of a vector.
    width: usize,
    /// Loads that a unit has under way.
    ahead: usize,
}

/// Loads under way of a unit that makes `loads`: many, and without a rest.
fn ahead(loads: usize) -> usize {
    let even = |count: &usize| loads >= *count && loads.is_multiple_of(*count);
    [8, 7, 6, 5, 4, 3, 2].into_iter().find(even).unwrap_or(1)
}

/// In how many partial sums `count` parts are added first: about as many as each has terms.
const fn partial(count: usize) -> usize {
    1 << (count.ilog2() / 2)
}

/// Adds what units `stride` apart hold, in `count` parts, a power of two: the first half of the way.
/// All units have put their value into `parts`, before a barrier; another has to come before
/// [`whole`], after which `parts` may be written again.
#[cube]
fn halfway<N: Size>(
    parts: &Shared<[Vector<f32, N>]>,
    sums: &mut Shared<[Vector<f32, N>]>,
    part: usize,
    #[comptime] stride: usize,
    #[comptime] count: usize,
) {
    let unit = UNIT_POS as usize;
    if part < comptime!(partial(count)) {
        let mut sum = parts[unit];
        #[unroll]
        for i in 1..comptime!(count / partial(count)) {
            sum += parts[unit + comptime!(i * partial(count) * stride)];
        }
        sums[unit] = sum;
    }
}

/// The rest of it: the sum, for the first part.
#[cube]
fn whole<N: Size>(
    sums: &Shared<[Vector<f32, N>]>,
    part: usize,
    #[comptime] stride: usize,
    #[comptime] count: usize,
) -> Vector<f32, N> {
    let unit = UNIT_POS as usize;
    let mut sum = sums[unit];
    if part == 0 {
        #[unroll]
        for i in 1..comptime!(partial(count)) {
            sum += sums[unit + comptime!(i * stride)];
        }
    }
    sum
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn in_out_kernel<W: Float, N: Size>(
    x: &[f32],
    weight: &[Vector<W, N>],
    y: &mut [Vector<f32, N>],
    k: usize,
    columns: usize,
    #[comptime] s: Form,
    #[define(W)] _stored: ElemType,
) {
    let wide = comptime!(COLUMNS / s.width);
    let slices = comptime!(UNITS / (COLUMNS / s.width));
    let lane = UNIT_POS as usize % wide;
    let slice = UNIT_POS as usize / wide;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let column = cube * wide + lane;
    let exists = column < columns;
    let mut sums = Array::<Vector<f32, N>>::new(s.rows);
    #[unroll]
    for r in 0..s.rows {
        sums[r] = Vector::new(0.0f32);
    }
    if exists {
        let mut i = slice;
        let last = comptime!((s.ahead - 1) * slices);
        while i + last < k {
            let mut weights = Array::<Vector<f32, N>>::new(s.ahead);
            #[unroll]
            for u in 0..s.ahead {
                weights[u] =
                    Vector::cast_from(weight[(i + comptime!(u * slices)) * columns + column]);
            }
            #[unroll]
            for u in 0..s.ahead {
                #[unroll]
                for r in 0..s.rows {
                    let input = x[r * k + i + comptime!(u * slices)];
                    sums[r] = fma(Vector::new(input), weights[u], sums[r]);
                }
            }
            i += comptime!(s.ahead * slices);
        }
        while i < k {
            let weights = Vector::<f32, N>::cast_from(weight[i * columns + column]);
            #[unroll]
            for r in 0..s.rows {
                sums[r] = fma(Vector::new(x[r * k + i]), weights, sums[r]);
            }
            i += slices;
        }
    }
    let mut parts = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    let mut partial = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    #[unroll]
    for r in 0..s.rows {
        parts[UNIT_POS as usize] = sums[r];
        sync_cube();
        halfway::<N>(&parts, &mut partial, slice, wide, slices);
        sync_cube();
        let sum = whole::<N>(&partial, slice, wide, slices);
        if exists && slice == 0 {
            y[r * columns + column] = sum;
        }
    }
}

impl DenseBackend for CubeBackend {
    fn few_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        out_in: bool,
    ) -> FloatTensor<Self> {
        if out_in {
            return out_in::product(x, into_contiguous(weight), &Around::default());
        }
        if let Some(weight) = transposed(&weight) {
            return out_in::product(x, weight, &Around::default());
        }
        let [rows, k] = x.shape().dims();
        let n = weight.shape()[1];
        let (x, weight) = (into_contiguous(x), into_contiguous(weight));
        let y = empty(&x, [rows, n], DType::F32);
        let client = x.client.clone();
        let stored = dtype_to_storage_type(weight.dtype);
        let width = if n.is_multiple_of(4) { 4 } else { 1 };
        let form = Form {
            rows,
            width,
            ahead: ahead(k / (UNITS * width / COLUMNS)),
        };
        // SAFETY: inputs and outputs are bounded inside by the sizes.
        unsafe {
            in_out_kernel::launch_unchecked(
                &client,
                cubes(n.div_ceil(COLUMNS)),
                CubeDim::new_1d(UNITS as u32),
                weight.required_address_type(),
                width,
                x.into_buffer_arg(),
                weight.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                k,
                n / width,
                form,
                stored,
            );
        }
        y
    }
}

/// A weight (in, out) as the (out, in) that lies in memory, if it does.
fn transposed(weight: &CubeTensor) -> Option<CubeTensor> {
    let mut weight = weight.clone();
    weight.meta.swap(0, 1);
    weight.is_contiguous().then_some(weight)
}
