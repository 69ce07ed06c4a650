//! What the GPU kernels of the operations share: memory, grids, and sums over the parts that cubes
//! leave.

use burn::backend::cubecl::dtype_to_storage_type;
#[cfg(not(feature = "fusion"))]
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Units of the cubes of element-wise kernels.
pub const ELEMENTWISE: u32 = 128;

/// The tensor of a GPU; none for one of the CPU or with gradients.
#[cfg(not(feature = "fusion"))]
pub fn primitive<const D: usize>(t: &Tensor<D>) -> Option<CubeTensor> {
    match t.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Some(tensor),
        _ => None,
    }
}

/// Fusion hides the memory of tensors.
#[cfg(feature = "fusion")]
pub fn primitive<const D: usize>(_: &Tensor<D>) -> Option<CubeTensor> {
    None
}

/// The other way, for a device that `like` is on.
#[cfg(not(feature = "fusion"))]
pub fn tensor<const D: usize, const E: usize>(of: CubeTensor, like: &Tensor<E>) -> Tensor<D> {
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Cube(BackendTensor::Float(of)),
        autodiff: like.clone().into_dispatch().autodiff,
    })
}

/// A contiguous tensor with undefined values.
pub fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let bytes = shape.num_elements() * dtype.size();
    allocated(like, shape, dtype, bytes)
}

/// One element, for a gradient nobody reads and for an argument a kernel does not use.
pub fn nothing(like: &CubeTensor, dtype: DType) -> CubeTensor {
    // Some kernels see vectors of four.
    allocated(like, Shape::new([1]), dtype, 4 * DType::F32.size())
}

fn allocated(like: &CubeTensor, shape: Shape, dtype: DType, bytes: usize) -> CubeTensor {
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        shape,
        like.client.empty(bytes),
        dtype,
    )
}

/// Whether planes have 32 units and can add up their values.
pub fn planes_of_32(properties: &DeviceProperties) -> bool {
    properties.hardware.plane_size_min == 32
        && properties.hardware.plane_size_max == 32
        && properties
            .features
            .plane
            .contains(cubecl::ir::features::Plane::Ops)
}

/// At least `count` cubes.
pub fn cubes(count: usize) -> CubeCount {
    // One axis holds up to 65,535 cubes on every runtime.
    let x = count.clamp(1, 32_768);
    CubeCount::Static(x as u32, count.div_ceil(x) as u32, 1)
}

/// Enough cubes of [`ELEMENTWISE`] units for `count` units.
pub fn elementwise(count: usize) -> CubeCount {
    cubes(count.div_ceil(ELEMENTWISE as usize))
}

/// 1 / (1 + exp(-v)).
#[cube]
pub fn sigmoid(v: f32) -> f32 {
    1.0f32 / (1.0f32 + (-v).exp())
}

/// ln(1 + exp v).
#[cube]
pub fn softplus(v: f32) -> f32 {
    max(v, 0.0f32) + (-v.abs()).exp().log1p()
}

/// Σ over the middle axis of parts (outer, count, inner), always in the same order.
pub fn summed(
    parts: CubeTensor,
    sizes: [usize; 3],
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor {
    let out = empty(&parts, shape, dtype);
    add_parts(parts, &out, sizes, false);
    out
}

/// Writes Σ over the middle axis of parts (outer, count, inner) into `out`, or adds it to what is
/// there.
pub fn add_parts(
    parts: CubeTensor,
    out: &CubeTensor,
    [outer, count, inner]: [usize; 3],
    accumulate: bool,
) {
    // Few terms: a unit for each result. Many: so many units share one that all have work.
    let lanes = if count > 2 * LANES { LANES } else { 1 };
    let columns = UNITS / lanes;
    let client = parts.client.clone();
    // SAFETY: results are bounded inside, terms by the sizes of `parts`.
    unsafe {
        add_parts_kernel::launch_unchecked(
            &client,
            cubes((outer * inner).div_ceil(columns)),
            CubeDim::new_1d(UNITS as u32),
            parts.required_address_type(),
            parts.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            outer,
            count,
            inner,
            lanes,
            accumulate,
            dtype_to_storage_type(out.dtype),
        );
    }
}

/// Units of a cube that adds parts, and how many of them share a long sum.
const UNITS: usize = 128;
const LANES: usize = 16;

#[cube(launch_unchecked, address_type = "dynamic")]
fn add_parts_kernel<F: Float>(
    parts: &[f32],
    out: &mut [F],
    outer: usize,
    count: usize,
    inner: usize,
    #[comptime] lanes: usize,
    #[comptime] accumulate: bool,
    #[define(F)] _dtype: ElemType,
) {
    let columns = comptime!(UNITS / lanes);
    let column = UNIT_POS as usize % columns;
    let lane = UNIT_POS as usize / columns;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let result = cube * columns + column;
    let exists = result < outer * inner;
    let mut sum = 0.0f32;
    if exists {
        let base = (result / inner) * count * inner + result % inner;
        for i in 0..(count + (lanes - 1) - lane) / lanes {
            sum += parts[base + (i * lanes + lane) * inner];
        }
    }
    if comptime!(lanes > 1) {
        let mut sums = Shared::<[f32]>::new_slice(UNITS);
        sums[UNIT_POS as usize] = sum;
        sync_cube();
        sum = 0.0f32;
        #[unroll]
        for i in 0..lanes {
            sum += sums[column + comptime!(i * columns)];
        }
    }
    if exists && lane == 0 {
        if comptime!(accumulate) {
            sum += f32::cast_from(out[result]);
        }
        out[result] = F::cast_from(sum);
    }
}
