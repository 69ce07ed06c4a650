//! The step on the GPU, one launch: some units share a row of the state, of one head and channel,
//! which they read and write once.

// What is decided at compile time stays apart from what units decide.
#![allow(clippy::collapsible_if)]

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type};
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::{Operands, StateUpdateBackend, StepSpec, Updated};
use crate::ops::cube::{cubes, empty, nothing, sigmoid, softplus};

/// Units of a cube.
const UNITS: usize = 128;

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    /// States of a vector.
    width: usize,
    /// Units that share a row, a power of two.
    lanes: usize,
    /// Vectors of a unit.
    rounds: usize,
    wide_a: bool,
    skip: bool,
    wide_skip: bool,
    gate: bool,
    bias: bool,
    softplus: bool,
    limited: bool,
    in_place: bool,
}

/// Sizes; states in vectors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    h: usize,
    p: usize,
    g: usize,
    n: usize,
    /// Rows of the state.
    rows: usize,
    low: f32,
    high: f32,
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn step_kernel<F: Float, S: Float, N: Size>(
    state: &[Vector<S, N>],
    x: &[F],
    dt: &[F],
    a: &[f32],
    b: &[Vector<F, N>],
    c: &[Vector<F, N>],
    skip: &[f32],
    gate: &[F],
    bias: &[f32],
    y: &mut [F],
    next: &mut [Vector<S, N>],
    size: Sizes,
    #[comptime] s: Form,
    #[define(F)] _signals: ElemType,
    #[define(S)] _states: ElemType,
) {
    let unit = UNIT_POS as usize;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let row = cube * comptime!(UNITS / s.lanes) + unit / s.lanes;
    let lane = unit % s.lanes;
    // Surplus units compute the last row again and write nothing: all reach the barriers.
    let exists = row < size.rows;
    let row = select(exists, row, size.rows - 1);
    let channel = row % size.p;
    let at = row / size.p;
    let head = at % size.h;
    let shared = (at / size.h * size.g + head / (size.h / size.g)) * size.n;

    let mut step = f32::cast_from(dt[at]);
    if comptime!(s.bias) {
        step += bias[head];
    }
    if comptime!(s.softplus) {
        step = softplus(step);
    }
    if comptime!(s.limited) {
        step = min(max(step, size.low), size.high);
    }
    let input = f32::cast_from(x[row]);
    let drive = Vector::<f32, N>::new(step * input);
    let mut decay = Vector::<f32, N>::new(0.0f32);
    if comptime!(!s.wide_a) {
        decay = Vector::<f32, N>::new((step * a[head]).exp());
    }
    let mut read = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for i in 0..s.rounds {
        let m = lane + comptime!(i * s.lanes);
        if m < size.n {
            if comptime!(s.wide_a) {
                #[unroll]
                for k in 0..s.width {
                    decay.insert(k, (step * a[(head * size.n + m) * s.width + k]).exp());
                }
            }
            let old = if comptime!(s.in_place) {
                Vector::<f32, N>::cast_from(next[row * size.n + m])
            } else {
                Vector::<f32, N>::cast_from(state[row * size.n + m])
            };
            let value = fma(decay, old, drive * Vector::cast_from(b[shared + m]));
            read = fma(value, Vector::cast_from(c[shared + m]), read);
            if exists {
                next[row * size.n + m] = Vector::cast_from(value);
            }
        }
    }
    let mut buffer = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = 0.0f32;
    #[unroll]
    for k in 0..s.width {
        sum += read.extract(k);
    }
    buffer[unit] = sum;
    sync_cube();
    #[unroll]
    for level in 0..comptime!(s.lanes.ilog2() as usize) {
        let half = comptime!(s.lanes >> (level + 1));
        if lane < half {
            buffer[unit] += buffer[unit + half];
        }
        sync_cube();
    }
    if exists && lane == 0 {
        let mut out = buffer[unit];
        if comptime!(s.skip) {
            if comptime!(s.wide_skip) {
                out += skip[head * size.p + channel] * input;
            } else {
                out += skip[head] * input;
            }
        }
        if comptime!(s.gate) {
            let z = f32::cast_from(gate[row]);
            out *= z * sigmoid(z);
        }
        y[row] = F::cast_from(out);
    }
}

impl StateUpdateBackend for CubeBackend {
    fn state_update(x: Operands<Self>, spec: StepSpec) -> Updated<Self> {
        let [batch, h, p, n] = x.state.shape().dims();
        let g = x.b.shape()[1];
        let (signals, states) = (x.x.dtype, x.state.dtype);
        let width = if n.is_multiple_of(4) { 4 } else { 1 };
        let vectors = n / width;
        let lanes = vectors.next_power_of_two().min(32);
        let form = Form {
            width,
            lanes,
            rounds: vectors.div_ceil(lanes),
            wide_a: spec.wide_a,
            skip: spec.skip,
            wide_skip: spec.wide_skip,
            gate: spec.gate,
            bias: spec.bias,
            softplus: spec.softplus,
            limited: spec.limit != (f64::NEG_INFINITY, f64::INFINITY),
            in_place: spec.in_place,
        };
        let rows = batch * h * p;
        let y = empty(&x.x, [batch, h, p], signals);
        let state = into_contiguous(x.state);
        let address = state.required_address_type();
        let (state, next) = match spec.in_place {
            true => (nothing(&state, states), state),
            false => {
                let next = empty(&x.x, [batch, h, p, n], states);
                (state, next)
            }
        };
        let client = x.x.client.clone();
        let bound = |limit: f64| limit.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        let sizes = SizesLaunch::new(
            h,
            p,
            g,
            vectors,
            rows,
            bound(spec.limit.0),
            bound(spec.limit.1),
        );
        // SAFETY: rows and states are bounded by the sizes.
        unsafe {
            step_kernel::launch_unchecked(
                &client,
                cubes(rows.div_ceil(UNITS / lanes)),
                CubeDim::new_1d(UNITS as u32),
                address,
                width,
                state.into_buffer_arg(),
                into_contiguous(x.x).into_buffer_arg(),
                into_contiguous(x.dt).into_buffer_arg(),
                into_contiguous(x.a).into_buffer_arg(),
                into_contiguous(x.b).into_buffer_arg(),
                into_contiguous(x.c).into_buffer_arg(),
                into_contiguous(x.skip).into_buffer_arg(),
                into_contiguous(x.gate).into_buffer_arg(),
                into_contiguous(x.bias).into_buffer_arg(),
                y.clone().into_buffer_arg(),
                next.clone().into_buffer_arg(),
                sizes,
                form,
                dtype_to_storage_type(signals),
                dtype_to_storage_type(states),
            );
        }
        Updated { y, state: next }
    }
}
