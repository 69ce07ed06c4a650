//! A few rows times a weight on the GPU, in one launch that reads the weight once as it is stored.
//!
//! Weights (in, out): a cube takes some neighbouring outputs, its units share the inputs. Weights
//! (out, in): 32 units share an output. Shared sums are added in a fixed order.

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::DenseBackend;
use crate::ops::cube::{cubes, empty};

/// Units of a cube.
const UNITS: usize = 256;

/// Outputs of a cube where weights are (in, out): a sector of memory in half precision.
const COLUMNS: usize = 16;

/// Units that share an output where weights are (out, in).
const LANES: usize = 32;

/// What a kernel is compiled for.
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

/// Adds what units `stride` apart hold, in `count` parts, a power of two; the first has the sum.
#[cube]
fn folded<N: Size>(
    value: Vector<f32, N>,
    buffer: &mut Shared<[Vector<f32, N>]>,
    part: usize,
    #[comptime] stride: usize,
    #[comptime] count: usize,
) -> Vector<f32, N> {
    let unit = UNIT_POS as usize;
    sync_cube();
    buffer[unit] = value;
    sync_cube();
    #[unroll]
    for level in 0..comptime!(count.ilog2() as usize) {
        let half = comptime!(count >> (level + 1));
        if part < half {
            let other = buffer[unit + comptime!(half * stride)];
            buffer[unit] += other;
        }
        sync_cube();
    }
    buffer[unit]
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
    let mut buffer = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    #[unroll]
    for r in 0..s.rows {
        let sum = folded::<N>(sums[r], &mut buffer, slice, wide, slices);
        if exists && slice == 0 {
            y[r * columns + column] = sum;
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn out_in_kernel<W: Float, N: Size>(
    x: &[Vector<f32, N>],
    weight: &[Vector<W, N>],
    y: &mut [f32],
    inputs: usize,
    outputs: usize,
    #[comptime] s: Form,
    #[define(W)] _stored: ElemType,
) {
    let lane = UNIT_POS as usize % LANES;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let together = comptime!(UNITS / LANES);
    let output = cube * together + UNIT_POS as usize / LANES;
    let exists = output < outputs;
    let mut sums = Array::<Vector<f32, N>>::new(s.rows);
    #[unroll]
    for r in 0..s.rows {
        sums[r] = Vector::new(0.0f32);
    }
    if exists {
        let start = output * inputs;
        let mut i = lane;
        let last = comptime!((s.ahead - 1) * LANES);
        while i + last < inputs {
            let mut weights = Array::<Vector<f32, N>>::new(s.ahead);
            #[unroll]
            for u in 0..s.ahead {
                weights[u] = Vector::cast_from(weight[start + i + comptime!(u * LANES)]);
            }
            #[unroll]
            for u in 0..s.ahead {
                #[unroll]
                for r in 0..s.rows {
                    let input = x[r * inputs + i + comptime!(u * LANES)];
                    sums[r] = fma(input, weights[u], sums[r]);
                }
            }
            i += comptime!(s.ahead * LANES);
        }
        while i < inputs {
            let weights = Vector::<f32, N>::cast_from(weight[start + i]);
            #[unroll]
            for r in 0..s.rows {
                sums[r] = fma(x[r * inputs + i], weights, sums[r]);
            }
            i += LANES;
        }
    }
    let mut buffer = Shared::<[Vector<f32, N>]>::new_slice(UNITS);
    #[unroll]
    for r in 0..s.rows {
        let sums = folded::<N>(sums[r], &mut buffer, lane, 1usize, LANES);
        if exists && lane == 0 {
            let mut sum = 0.0f32;
            #[unroll]
            for c in 0..s.width {
                sum += sums.extract(c);
            }
            y[r * outputs + output] = sum;
        }
    }
}

impl DenseBackend for CubeBackend {
    fn few_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        out_in: bool,
    ) -> FloatTensor<Self> {
        let [rows, k] = x.shape().dims();
        let n = weight.shape()[usize::from(!out_in)];
        let (x, weight) = (into_contiguous(x), into_contiguous(weight));
        let y = empty(&x, [rows, n], DType::F32);
        let client = x.client.clone();
        let stored = dtype_to_storage_type(weight.dtype);
        let along = if out_in { k } else { n };
        let width = if along.is_multiple_of(4) { 4 } else { 1 };
        let slices = UNITS * width / COLUMNS;
        let form = Form {
            rows,
            width,
            ahead: match out_in {
                true => ahead(k / width / LANES),
                false => ahead(k / slices),
            },
        };
        let address = weight.required_address_type();
        // SAFETY: inputs and outputs are bounded inside by the sizes.
        unsafe {
            if out_in {
                out_in_kernel::launch_unchecked(
                    &client,
                    cubes(n.div_ceil(UNITS / LANES)),
                    CubeDim::new_1d(UNITS as u32),
                    address,
                    width,
                    x.into_buffer_arg(),
                    weight.into_buffer_arg(),
                    y.clone().into_buffer_arg(),
                    k / width,
                    n,
                    form,
                    stored,
                );
            } else {
                in_out_kernel::launch_unchecked(
                    &client,
                    cubes(n.div_ceil(COLUMNS)),
                    CubeDim::new_1d(UNITS as u32),
                    address,
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
        }
        y
    }
}
