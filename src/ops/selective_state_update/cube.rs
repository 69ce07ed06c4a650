//! The step on the GPU, one launch: some units share a row of the state, of one head and channel,
//! which they read and write once.

// What is decided at compile time stays apart from what units decide.
#![allow(clippy::collapsible_if)]

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type, ops::FloatTensorOps};
use burn::tensor::FloatDType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::{Operands, StateUpdateBackend, StepSpec, Updated};
use crate::ops::cube::{cubes, empty, nothing, sigmoid, softplus};

/// Units of a cube.
const UNITS: usize = 128;

/// Factors of a step size of low rank that a unit holds at most.
const FACTORS: usize = 64;

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
    /// Rank of the step size, 0 if it is given.
    rank: usize,
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
fn step_kernel<F: Float, S: Float, W: Float, N: Size>(
    state: &[Vector<S, N>],
    x: &[F],
    dt: &[F],
    projection: &[W],
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
    #[define(W)] _stored: ElemType,
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

    // All is asked for before the first of it is needed.
    let input = f32::cast_from(x[row]);
    let mut rates = Array::<Vector<f32, N>>::new(s.rounds);
    let mut old = Array::<Vector<f32, N>>::new(s.rounds);
    let mut into = Array::<Vector<f32, N>>::new(s.rounds);
    let mut out_of = Array::<Vector<f32, N>>::new(s.rounds);
    #[unroll]
    for i in 0..s.rounds {
        let m = min(lane + comptime!(i * s.lanes), size.n - 1);
        if comptime!(s.wide_a) {
            let mut each = Vector::<f32, N>::new(0.0f32);
            #[unroll]
            for k in 0..s.width {
                each.insert(k, a[(head * size.n + m) * s.width + k]);
            }
            rates[i] = each;
        }
        old[i] = if comptime!(s.in_place) {
            Vector::cast_from(next[row * size.n + m])
        } else {
            Vector::cast_from(state[row * size.n + m])
        };
        into[i] = Vector::cast_from(b[shared + m]);
        out_of[i] = Vector::cast_from(c[shared + m]);
    }
    let mut z = 0.0f32;
    if comptime!(s.gate) {
        z = f32::cast_from(gate[row]);
    }
    let mut past = 0.0f32;
    if comptime!(s.skip) {
        past = input
            * if comptime!(s.wide_skip) {
                skip[head * size.p + channel]
            } else {
                skip[head]
            };
    }
    let mut offset = 0.0f32;
    if comptime!(s.bias) {
        offset = bias[head];
    }

    let mut buffer = Shared::<[f32]>::new_slice(UNITS);
    let mut step = 0.0f32;
    if comptime!(s.rank > 0) {
        let sample = at / size.h;
        let mut weights = Array::<W>::new(comptime!(s.rank.div_ceil(s.lanes)));
        let mut inputs = Array::<f32>::new(comptime!(s.rank.div_ceil(s.lanes)));
        #[unroll]
        for i in 0..comptime!(s.rank.div_ceil(s.lanes)) {
            let j = lane + comptime!(i * s.lanes);
            let inside = min(j, comptime!(s.rank - 1));
            weights[i] = projection[inside * size.h + head];
            let value = f32::cast_from(dt[sample * s.rank + inside]);
            inputs[i] = select(j < s.rank, value, 0.0f32);
        }
        #[unroll]
        for i in 0..comptime!(s.rank.div_ceil(s.lanes)) {
            step = fma(inputs[i], f32::cast_from(weights[i]), step);
        }
        buffer[unit] = step;
        sync_cube();
        step = 0.0f32;
        #[unroll]
        for i in 0..s.lanes {
            step += buffer[unit - lane + i];
        }
        // The sums of y take its place.
        sync_cube();
    } else {
        step = f32::cast_from(dt[at]);
    }
    if comptime!(s.bias) {
        step += offset;
    }
    if comptime!(s.softplus) {
        step = softplus(step);
    }
    if comptime!(s.limited) {
        step = min(max(step, size.low), size.high);
    }
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
                    decay.insert(k, (step * rates[i].extract(k)).exp());
                }
            }
            let value = fma(decay, old[i], drive * into[i]);
            read = fma(value, out_of[i], read);
            if exists {
                next[row * size.n + m] = Vector::cast_from(value);
            }
        }
    }
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
            out += past;
        }
        if comptime!(s.gate) {
            out *= z * sigmoid(z);
        }
        y[row] = F::cast_from(out);
    }
}

impl StateUpdateBackend for CubeBackend {
    fn state_update(mut x: Operands<Self>, mut spec: StepSpec) -> Updated<Self> {
        let [batch, h, p, n] = x.state.shape().dims();
        let g = x.b.shape()[1];
        let (signals, states) = (x.x.dtype, x.state.dtype);
        let width = if n.is_multiple_of(4) { 4 } else { 1 };
        let vectors = n / width;
        let lanes = vectors.next_power_of_two().min(32);
        if spec.projected && x.dt.shape()[1] > FACTORS * lanes {
            let low = Self::float_cast(x.dt, FloatDType::F32);
            let projection = Self::float_cast(x.projection.clone(), FloatDType::F32);
            x.dt = Self::float_cast(Self::float_matmul(low, projection), signals.into());
            spec.projected = false;
        }
        let form = Form {
            width,
            lanes,
            rounds: vectors.div_ceil(lanes),
            wide_a: spec.wide_a,
            skip: spec.skip,
            wide_skip: spec.wide_skip,
            gate: spec.gate,
            bias: spec.bias,
            rank: if spec.projected { x.dt.shape()[1] } else { 0 },
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
        let weights = dtype_to_storage_type(x.projection.dtype);
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
                into_contiguous(x.projection).into_buffer_arg(),
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
                weights,
            );
        }
        Updated { y, state: next }
    }
}
