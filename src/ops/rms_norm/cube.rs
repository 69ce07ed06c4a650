//! The norm on the GPU: a cube takes a group of channels and runs over some rows, whose values stay
//! in registers. For the gradient of the weight each cube leaves its sums, which a second kernel
//! adds in their order.

// What is decided at compile time stays apart from what units decide, and kernels have no
// `is_multiple_of`.
#![allow(clippy::collapsible_if, clippy::manual_is_multiple_of)]

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{NormGradients, NormSpec, RmsNormBackend};
use crate::ops::cube::{cubes, empty, nothing, planes_of_32, sigmoid, summed};

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    units: usize,
    /// Channels of a unit and round.
    lanes: usize,
    /// Rounds in which the units take a group.
    rounds: usize,
    /// Planes of 32 units add up their values.
    planes: bool,
    gate: bool,
    after: bool,
}

#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    rows: usize,
    /// Channels of a row, in vectors.
    d: usize,
    groups: usize,
    /// Channels of a group, in vectors.
    width: usize,
    /// Blocks of rows.
    blocks: usize,
    inverse_width: f32,
    eps: f32,
}

/// The sum over all units of a cube.
#[cube]
fn total(value: f32, buffer: &mut Shared<[f32]>, #[comptime] s: Form) -> f32 {
    let unit = UNIT_POS as usize;
    if comptime!(s.planes) {
        let mut sum = plane_sum(value);
        if comptime!(s.units > 32) {
            // The values of the call before may still be being read.
            sync_cube();
            if unit % 32 == 0 {
                buffer[unit / 32] = sum;
            }
            sync_cube();
            sum = 0.0f32;
            #[unroll]
            for i in 0..comptime!(s.units / 32) {
                sum += buffer[i];
            }
        }
        sum
    } else {
        sync_cube();
        buffer[unit] = value;
        sync_cube();
        #[unroll]
        for level in 0..comptime!(s.units.ilog2() as usize) {
            let half = comptime!(s.units >> (level + 1));
            if unit < half {
                buffer[unit] += buffer[unit + half];
            }
            sync_cube();
        }
        buffer[0]
    }
}

#[cube]
fn lane_sum<N: Size>(v: Vector<f32, N>, #[comptime] s: Form) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for c in 0..s.lanes {
        sum += v.extract(c);
    }
    sum
}

#[cube]
fn gates<N: Size>(z: Vector<f32, N>, #[comptime] s: Form) -> Vector<f32, N> {
    let mut out = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for c in 0..s.lanes {
        out.insert(c, sigmoid(z.extract(c)));
    }
    out
}

/// A unit's values of a row; zeros beyond the group.
#[cube]
fn fetch<F: Float, N: Size>(
    from: &[Vector<F, N>],
    start: usize,
    size: &Sizes,
    #[comptime] s: Form,
) -> Array<Vector<f32, N>> {
    let mut values = Array::<Vector<f32, N>>::new(s.rounds);
    #[unroll]
    for i in 0..s.rounds {
        let at = UNIT_POS as usize + comptime!(i * s.units);
        let mut value = Vector::<f32, N>::new(0.0f32);
        if at < size.width {
            value = Vector::cast_from(from[start + at]);
        }
        values[i] = value;
    }
    values
}

/// (block, group) of a cube; surplus cubes do not exist.
#[cube]
fn place(size: &Sizes) -> (usize, usize) {
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    (cube / size.groups, cube % size.groups)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    weight: &[Vector<f32, N>],
    gate: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    size: Sizes,
    #[comptime] s: Form,
    #[define(F)] _dtype: ElemType,
) {
    let (block, group) = place(&size);
    let mut buffer = Shared::<[f32]>::new_slice(s.units);
    let scales = fetch(weight, group * size.width, &size, s);
    let per_block = size.rows.div_ceil(size.blocks);
    let first = min(block * per_block, size.rows);
    for row in first..min(first + per_block, size.rows) {
        let start = row * size.d + group * size.width;
        let mut values = fetch(x, start, &size, s);
        let mut opened = Array::<Vector<f32, N>>::new(s.rounds);
        if comptime!(s.gate) {
            let z = fetch(gate, start, &size, s);
            #[unroll]
            for i in 0..s.rounds {
                opened[i] = z[i] * gates::<N>(z[i], s);
                if comptime!(!s.after) {
                    values[i] *= opened[i];
                }
            }
        }
        let mut squares = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for i in 0..s.rounds {
            squares = fma(values[i], values[i], squares);
        }
        let mean = total(lane_sum(squares, s), &mut buffer, s) * size.inverse_width;
        let root = Vector::<f32, N>::new(1.0f32 / (mean + size.eps).sqrt());
        #[unroll]
        for i in 0..s.rounds {
            let at = UNIT_POS as usize + comptime!(i * s.units);
            if at < size.width {
                let mut out = values[i] * root * scales[i];
                if comptime!(s.gate && s.after) {
                    out *= opened[i];
                }
                y[start + at] = Vector::cast_from(out);
            }
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    weight: &[Vector<f32, N>],
    gate: &[Vector<F, N>],
    dy: &[Vector<F, N>],
    dx: &mut [Vector<F, N>],
    dgate: &mut [Vector<F, N>],
    part: &mut [Vector<f32, N>],
    size: Sizes,
    #[comptime] s: Form,
    #[define(F)] _dtype: ElemType,
) {
    let (block, group) = place(&size);
    let mut buffer = Shared::<[f32]>::new_slice(s.units);
    let scales = fetch(weight, group * size.width, &size, s);
    let one = Vector::<f32, N>::new(1.0f32);
    let mut sums = Array::<Vector<f32, N>>::new(s.rounds);
    #[unroll]
    for i in 0..s.rounds {
        sums[i] = Vector::<f32, N>::new(0.0f32);
    }
    let per_block = size.rows.div_ceil(size.blocks);
    let first = min(block * per_block, size.rows);
    for row in first..min(first + per_block, size.rows) {
        let start = row * size.d + group * size.width;
        let inputs = fetch(x, start, &size, s);
        let mut arriving = fetch(dy, start, &size, s);
        let mut values = Array::<Vector<f32, N>>::new(s.rounds);
        let mut opened = Array::<Vector<f32, N>>::new(s.rounds);
        let mut slopes = Array::<Vector<f32, N>>::new(s.rounds);
        #[unroll]
        for i in 0..s.rounds {
            values[i] = inputs[i];
        }
        if comptime!(s.gate) {
            let z = fetch(gate, start, &size, s);
            #[unroll]
            for i in 0..s.rounds {
                let open = gates::<N>(z[i], s);
                opened[i] = z[i] * open;
                slopes[i] = open * fma(z[i], one - open, one);
                if comptime!(s.after) {
                    // dz = dy n weight silu'(z): all but n.
                    slopes[i] = slopes[i] * arriving[i] * scales[i];
                    arriving[i] *= opened[i];
                } else {
                    values[i] *= opened[i];
                }
            }
        }
        let mut squares = Vector::<f32, N>::new(0.0f32);
        let mut products = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for i in 0..s.rounds {
            squares = fma(values[i], values[i], squares);
            products = fma(values[i] * scales[i], arriving[i], products);
        }
        let mean = total(lane_sum(squares, s), &mut buffer, s) * size.inverse_width;
        let root = 1.0f32 / (mean + size.eps).sqrt();
        let product = total(lane_sum(products, s), &mut buffer, s);
        let mean = Vector::<f32, N>::new(product * root * size.inverse_width);
        let root = Vector::<f32, N>::new(root);
        #[unroll]
        for i in 0..s.rounds {
            let at = UNIT_POS as usize + comptime!(i * s.units);
            let n = values[i] * root;
            sums[i] = fma(arriving[i], n, sums[i]);
            let dv = (arriving[i] * scales[i] - n * mean) * root;
            if at < size.width {
                if comptime!(s.gate) {
                    if comptime!(s.after) {
                        dx[start + at] = Vector::cast_from(dv);
                        dgate[start + at] = Vector::cast_from(slopes[i] * n);
                    } else {
                        dx[start + at] = Vector::cast_from(dv * opened[i]);
                        dgate[start + at] = Vector::cast_from(dv * inputs[i] * slopes[i]);
                    }
                } else {
                    dx[start + at] = Vector::cast_from(dv);
                }
            }
        }
    }
    if block < size.blocks {
        #[unroll]
        for i in 0..s.rounds {
            let at = UNIT_POS as usize + comptime!(i * s.units);
            if at < size.width {
                part[block * size.d + group * size.width + at] = sums[i];
            }
        }
    }
}

type T = FloatTensor<CubeBackend>;

/// The gate, or in its place at least as much as a vector.
fn gate_or_nothing(gate: T, x: &T, spec: &NormSpec) -> T {
    match spec.gate {
        true => gate,
        false => nothing(x, x.dtype),
    }
}

/// How a norm is cut into cubes.
struct Cut {
    rows: usize,
    d: usize,
    blocks: usize,
    form: Form,
    spec: NormSpec,
}

impl Cut {
    /// `most` blocks of rows at most.
    fn new(x: &CubeTensor, spec: NormSpec, most: usize) -> Self {
        let [rows, d] = x.shape().dims();
        let width = d / spec.groups;
        let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
        let properties = x.client.properties();
        let hardware = &properties.hardware;
        let largest = hardware.max_units_per_cube.min(1024) as usize;
        // Up to four rounds of units; more units where a row is long.
        let wanted = (width / lanes).div_ceil(4).next_power_of_two().max(32);
        let units = wanted.min(if wanted > 512 { largest } else { 256 });
        Self {
            rows,
            d,
            blocks: rows.min(most),
            form: Form {
                units,
                lanes,
                rounds: (width / lanes).div_ceil(units),
                planes: planes_of_32(properties),
                gate: spec.gate,
                after: spec.after,
            },
            spec,
        }
    }

    fn count(&self) -> CubeCount {
        cubes(self.blocks * self.spec.groups)
    }

    fn sizes(&self) -> SizesLaunch {
        let width = self.d / self.spec.groups;
        SizesLaunch::new(
            self.rows,
            self.d / self.form.lanes,
            self.spec.groups,
            width / self.form.lanes,
            self.blocks,
            1.0 / width as f32,
            self.spec.eps as f32,
        )
    }
}

impl RmsNormBackend for CubeBackend {
    fn rms_norm(x: T, weight: T, gate: T, spec: NormSpec) -> T {
        let cut = Cut::new(&x, spec, usize::MAX);
        let gate = gate_or_nothing(gate, &x, &spec);
        let [x, weight, gate] = [x, weight, gate].map(into_contiguous);
        let dtype = x.dtype;
        let y = empty(&x, x.shape(), dtype);
        let client = x.client.clone();
        // SAFETY: rows and channels are bounded by the sizes.
        unsafe {
            forward_kernel::launch_unchecked(
                &client,
                cut.count(),
                CubeDim::new_1d(cut.form.units as u32),
                x.required_address_type(),
                cut.form.lanes,
                x.into_buffer_arg(),
                weight.into_buffer_arg(),
                gate.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                cut.sizes(),
                cut.form,
                dtype_to_storage_type(dtype),
            );
        }
        y
    }

    fn rms_norm_backward(x: T, weight: T, gate: T, dy: T, spec: NormSpec) -> NormGradients<Self> {
        let cut = Cut::new(&x, spec, 1024);
        let gate = gate_or_nothing(gate, &x, &spec);
        let [x, weight, gate, dy] = [x, weight, gate, dy].map(into_contiguous);
        let (dtype, f32) = (x.dtype, DType::F32);
        let dx = empty(&x, x.shape(), dtype);
        let dgate = match spec.gate {
            true => empty(&x, x.shape(), dtype),
            false => nothing(&x, dtype),
        };
        let part = empty(&x, Shape::new([cut.blocks, cut.d]), f32);
        let client = x.client.clone();
        let address = x.required_address_type().max(part.required_address_type());
        // SAFETY: rows and channels are bounded by the sizes.
        unsafe {
            backward_kernel::launch_unchecked(
                &client,
                cut.count(),
                CubeDim::new_1d(cut.form.units as u32),
                address,
                cut.form.lanes,
                x.into_buffer_arg(),
                weight.into_buffer_arg(),
                gate.into_buffer_arg(),
                dy.into_buffer_arg(),
                dx.clone().into_buffer_arg(),
                dgate.clone().into_buffer_arg(),
                part.clone().into_buffer_arg(),
                cut.sizes(),
                cut.form,
                dtype_to_storage_type(dtype),
            );
        }
        NormGradients {
            x: dx,
            weight: summed(part, [1, cut.blocks, cut.d], [cut.d], f32),
            gate: dgate,
        }
    }
}
