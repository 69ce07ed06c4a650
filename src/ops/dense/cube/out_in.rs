//! A product with weights (out, in) and what stands around it; see [`dense_step`](super::super::step).
//!
//! 32 units share an output and read its weights side by side. The norm of the inputs is a factor of
//! the whole row, which the sums are multiplied with at the end; the squares are added up beside them.

// Conditions of the compilation stand around those of the run.
#![allow(clippy::collapsible_if)]

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type};
use burn::tensor::{DType, Tensor};
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::super::step::Around;
use super::{UNITS, halfway, whole};
use crate::ops::cube::{cubes, empty, nothing, planes_of_32, primitive, sigmoid};

/// Units that share an output.
const LANES: usize = 32;

/// Loads that a unit has under way, for all rows together.
const AHEAD: usize = 12;

/// How the inputs are gated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gate {
    None,
    /// Before the norm.
    Before,
    /// After it.
    After,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    rows: usize,
    /// Numbers of a vector.
    width: usize,
    /// Loads that a unit has under way.
    ahead: usize,
    /// Whether the inputs are as many as units take in `ahead` loads, or a multiple.
    even: bool,
    /// Planes of 32 units add up their values.
    planes: bool,
    norm: bool,
    gate: Gate,
    bias: bool,
    residual: bool,
    /// Taps of the convolution, 0 without one.
    taps: usize,
    offset: bool,
}

#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    /// In vectors.
    inputs: usize,
    outputs: usize,
    eps: f32,
    /// First output and number of outputs of the convolution.
    start: usize,
    channels: usize,
}

#[cube]
fn silu<N: Size>(z: Vector<f32, N>) -> Vector<f32, N> {
    z / (Vector::new(1.0f32) + (-z).exp())
}

/// Where a unit reads: not beyond the last input.
#[cube]
fn place(i: usize, size: &Sizes, #[comptime] s: Form) -> usize {
    if comptime!(s.even) {
        i
    } else {
        min(i, size.inputs - 1)
    }
}

/// The sum over the units that share an output, for the first of them, and over a vector.
#[cube]
fn total<N: Size>(
    value: Vector<f32, N>,
    parts: &mut Shared<[Vector<f32, N>]>,
    partial: &mut Shared<[Vector<f32, N>]>,
    lane: usize,
    #[comptime] s: Form,
) -> f32 {
    let mut vector = value;
    if comptime!(!s.planes) {
        parts[UNIT_POS as usize] = value;
        sync_cube();
        halfway::<N>(&*parts, partial, lane, 1usize, LANES);
        sync_cube();
        vector = whole::<N>(&*partial, lane, 1usize, LANES);
    }
    let mut sum = 0.0f32;
    #[unroll]
    for c in 0..s.width {
        sum += vector.extract(c);
    }
    if comptime!(s.planes) {
        sum = plane_sum(sum);
    }
    sum
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn out_in_kernel<W: Float, N: Size>(
    x: &[Vector<f32, N>],
    weight: &[Vector<W, N>],
    scale: &[Vector<f32, N>],
    gate: &[Vector<f32, N>],
    bias: &[f32],
    residual: &[f32],
    taps: &[f32],
    offset: &[f32],
    past: &mut [f32],
    y: &mut [f32],
    size: Sizes,
    #[comptime] s: Form,
    #[define(W)] _stored: ElemType,
) {
    let unit = UNIT_POS as usize;
    let lane = unit % LANES;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let output = cube * comptime!(UNITS / LANES) + unit / LANES;
    let exists = output < size.outputs;
    // Surplus units compute the last output again and write nothing: all reach the barriers.
    let output = min(output, size.outputs - 1);

    // What the end needs is asked for first.
    let before = comptime!(s.taps.saturating_sub(1));
    let channel = output - min(size.start, output);
    let convolved = output >= size.start && channel < size.channels;
    let mut tap = Array::<f32>::new(comptime!(s.taps.max(1)));
    let mut held = Array::<f32>::new(comptime!((before * s.rows).max(1)));
    let mut base = 0.0f32;
    if comptime!(s.taps > 0) {
        if convolved {
            #[unroll]
            for j in 0..s.taps {
                tap[j] = taps[channel * s.taps + j];
            }
            if comptime!(s.offset) {
                base = offset[channel];
            }
            #[unroll]
            for j in 0..comptime!(before * s.rows) {
                held[j] = past[j * size.channels + channel];
            }
        }
    }
    let mut added = Array::<f32>::new(s.rows);
    #[unroll]
    for r in 0..s.rows {
        added[r] = 0.0f32;
        if comptime!(s.residual) {
            added[r] = residual[r * size.outputs + output];
        }
    }
    let mut constant = 0.0f32;
    if comptime!(s.bias) {
        constant = bias[output];
    }

    let mut sums = Array::<Vector<f32, N>>::new(s.rows);
    let mut squares = Array::<Vector<f32, N>>::new(s.rows);
    #[unroll]
    for r in 0..s.rows {
        sums[r] = Vector::new(0.0f32);
        squares[r] = Vector::new(0.0f32);
    }
    let start = output * size.inputs;
    let stride = comptime!(s.ahead * LANES);
    for round in 0..size.inputs.div_ceil(stride) {
        let first = round * stride + lane;
        let mut weights = Array::<Vector<W, N>>::new(s.ahead);
        #[unroll]
        for u in 0..s.ahead {
            let i = place(first + comptime!(u * LANES), &size, s);
            weights[u] = weight[start + i];
        }
        #[unroll]
        for u in 0..s.ahead {
            let i = first + comptime!(u * LANES);
            let at = place(i, &size, s);
            let mut weights = Vector::<f32, N>::cast_from(weights[u]);
            if comptime!(s.norm) {
                weights *= scale[at];
            }
            #[unroll]
            for r in 0..s.rows {
                let mut value = x[r * size.inputs + at];
                if comptime!(!s.even) {
                    // Nothing beyond the last input, at which it looks again.
                    value *= Vector::new(select(i < size.inputs, 1.0f32, 0.0f32));
                }
                if comptime!(s.gate == Gate::Before) {
                    value *= silu::<N>(gate[r * size.inputs + at]);
                }
                if comptime!(s.norm) {
                    squares[r] = fma(value, value, squares[r]);
                }
                if comptime!(s.gate == Gate::After) {
                    value *= silu::<N>(gate[r * size.inputs + at]);
                }
                sums[r] = fma(value, weights, sums[r]);
            }
        }
    }

    let shared = comptime!(if s.planes { 1 } else { UNITS });
    let mut parts = Shared::<[Vector<f32, N>]>::new_slice(shared);
    let mut partial = Shared::<[Vector<f32, N>]>::new_slice(shared);
    #[unroll]
    for r in 0..s.rows {
        let mut out = total::<N>(sums[r], &mut parts, &mut partial, lane, s);
        if comptime!(s.norm) {
            let square = total::<N>(squares[r], &mut parts, &mut partial, lane, s);
            let mean = square / f32::cast_from(size.inputs * s.width);
            out *= (mean + size.eps).inverse_sqrt();
        }
        if exists && lane == 0 {
            if comptime!(s.bias) {
                out += constant;
            }
            if comptime!(s.taps > 0) {
                if convolved {
                    let mut v = fma(tap[before], out, base);
                    #[unroll]
                    for j in 0..before {
                        v = fma(tap[j], held[comptime!(r * before + j)], v);
                    }
                    #[unroll]
                    for j in 0..before {
                        let mut next = out;
                        if comptime!(j + 1 < before) {
                            next = held[comptime!(r * before + (j + 1).min(before - 1))];
                        }
                        past[comptime!(r * before + j) * size.channels + channel] = next;
                    }
                    out = v * sigmoid(v);
                }
            }
            if comptime!(s.residual) {
                out += added[r];
            }
            y[r * size.outputs + output] = out;
        }
    }
}

/// x (r, in) times a weight (out, in), contiguous.
pub fn product(x: CubeTensor, weight: CubeTensor, around: &Around) -> CubeTensor {
    let [rows, k] = x.shape().dims();
    let n = weight.shape()[0];
    let x = into_contiguous(x);
    let y = empty(&x, [rows, n], DType::F32);
    let client = x.client.clone();
    let stored = dtype_to_storage_type(weight.dtype);
    let conv = around.conv.as_ref();
    let [start, channels, taps] = conv.map_or([0; 3], |conv| {
        let [d, taps] = conv.weight.dims();
        [conv.start, d, taps]
    });
    let width = if k.is_multiple_of(4) { 4 } else { 1 };
    let loads = k.div_ceil(width * LANES);
    // The fewest rounds, of equal length.
    let ahead = loads.div_ceil(loads.div_ceil((AHEAD / rows).max(4)));
    let norm = around.norm.as_ref();
    let gate = norm.and_then(|norm| Some((own(norm.gate.as_ref()?), norm.norm_before_gate)));
    let form = Form {
        rows,
        width,
        ahead,
        even: k.is_multiple_of(ahead * width * LANES),
        planes: planes_of_32(client.properties()),
        norm: norm.is_some(),
        gate: match &gate {
            None => Gate::None,
            Some((_, false)) => Gate::Before,
            Some((_, true)) => Gate::After,
        },
        bias: around.bias.is_some(),
        residual: around.residual.is_some(),
        taps,
        offset: conv.is_some_and(|conv| conv.bias.is_some()),
    };
    let sizes = SizesLaunch::new(
        k / width,
        n,
        norm.map_or(0.0, |norm| norm.eps as f32),
        start,
        channels,
    );
    let absent = nothing(&x, DType::F32);
    let present = |t: Option<CubeTensor>| match t {
        Some(t) => into_contiguous(t).into_buffer_arg(),
        None => absent.clone().into_buffer_arg(),
    };
    // SAFETY: inputs and outputs are bounded inside by the sizes.
    unsafe {
        out_in_kernel::launch_unchecked(
            &client,
            cubes(n.div_ceil(UNITS / LANES)),
            CubeDim::new_1d(UNITS as u32),
            weight.required_address_type(),
            width,
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            present(norm.map(|norm| own(&norm.weight))),
            present(gate.map(|(gate, _)| gate)),
            present(around.bias.as_ref().map(own)),
            present(around.residual.as_ref().map(own)),
            present(conv.map(|conv| own(&conv.weight))),
            present(conv.and_then(|conv| conv.bias.as_ref()).map(own)),
            present(conv.map(|conv| own(&conv.past))),
            y.clone().into_buffer_arg(),
            sizes,
            form,
            stored,
        );
    }
    y
}

/// The memory of a tensor of the same device as x.
pub fn own<const D: usize>(t: &Tensor<D>) -> CubeTensor {
    primitive(t).expect("dense_step: all on one device")
}
