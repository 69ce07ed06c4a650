//! The step on the GPU: one launch for each parameter, in its memory and that of its moments.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{AdamBackend, AdamStep, Stepped};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty};

type T = FloatTensor<CubeBackend>;

#[cube(launch_unchecked, address_type = "dynamic")]
fn step_kernel(
    value: &mut [f32],
    grad: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    factor: &[f32],
    course: &[f32],
    count: usize,
    decay: f32,
    penalty: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
) {
    if ABSOLUTE_POS < count {
        let rate = course[0];
        let p = value[ABSOLUTE_POS];
        let g = grad[ABSOLUTE_POS] * factor[0] + penalty * p;
        let m = beta1 * first[ABSOLUTE_POS] + (1.0f32 - beta1) * g;
        let v = beta2 * second[ABSOLUTE_POS] + (1.0f32 - beta2) * g * g;
        let root = (v / course[2]).sqrt() + epsilon;
        value[ABSOLUTE_POS] = (1.0f32 - rate * decay) * p - m / course[1] / root * rate;
        first[ABSOLUTE_POS] = m;
        second[ABSOLUTE_POS] = v;
    }
}

/// Units of a cube that adds up squares, where the device has as many.
const UNITS: usize = 512;

/// Sums of a unit that do not wait for each other.
const SUMS: usize = 4;

/// Numbers up to which one cube adds up squares; of more, several leave their parts to one.
const ALONE: usize = 1 << 15;

/// Numbers of a part, and how many parts there are at most.
const PART: usize = 1 << 13;
const PARTS: usize = 128;

/// As [`sum_up`] says.
#[cube(launch_unchecked, address_type = "dynamic")]
fn squares_kernel(
    sum: &[f32],
    x: &[f32],
    out: &mut [f32],
    count: usize,
    #[comptime] squared: bool,
    #[comptime] last: bool,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let cube = CUBE_POS;
    let cubes = CUBE_COUNT;
    let mut own = Array::<f32>::new(SUMS);
    #[unroll]
    for c in 0..SUMS {
        own[c] = 0.0;
    }
    let rounds = count.div_ceil(units * cubes * SUMS);
    for i in 0..rounds {
        #[unroll]
        for c in 0..SUMS {
            let at = ((i * SUMS + c) * cubes + cube) * units + unit;
            if at < count {
                let value = x[at];
                own[c] += if comptime!(squared) {
                    value * value
                } else {
                    value
                };
            }
        }
    }
    let mut sums = Shared::<[f32]>::new_slice(units);
    sums[unit] = (own[0usize] + own[1usize]) + (own[2usize] + own[3usize]);
    sync_cube();
    #[unroll]
    for i in 1..comptime!(units.ilog2() as usize + 1) {
        let half = comptime!(units >> i);
        if unit < half {
            sums[unit] += sums[unit + half];
        }
        sync_cube();
    }
    if unit == 0 {
        out[cube] = if comptime!(last) {
            sum[0] + sums[0]
        } else {
            sums[0]
        };
    }
}

/// Σ x² or, if not `squared`, Σ x, and `sum` on top if `last`; each cube's share in its number of `out`.
fn sum_up(sum: &CubeTensor, x: CubeTensor, out: &CubeTensor, squared: bool, last: bool) {
    let hardware = &x.client.properties().hardware;
    let most = (hardware.max_units_per_cube as usize).min(UNITS);
    let units = 1 << most.ilog2();
    let count = x.shape().num_elements();
    let cubes = out.shape().num_elements();
    let client = x.client.clone();
    // SAFETY: reads stay below `count`; a unit of each cube writes its element.
    unsafe {
        squares_kernel::launch_unchecked(
            &client,
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            x.required_address_type(),
            sum.clone().into_buffer_arg(),
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            count,
            squared,
            last,
            units,
        );
    }
}

impl AdamBackend for CubeBackend {
    fn adam(
        value: T,
        grad: T,
        first: T,
        second: T,
        factor: T,
        course: T,
        step: AdamStep,
    ) -> Stepped<Self> {
        let count = value.shape().num_elements();
        // A strided tensor becomes a new one; every other keeps its memory.
        let [value, grad, first, second] = [value, grad, first, second].map(into_contiguous);
        let client = value.client.clone();
        // SAFETY: units beyond the end do nothing; value, gradient and moments have `count` numbers.
        unsafe {
            step_kernel::launch_unchecked(
                &client,
                elementwise(count),
                CubeDim::new_1d(ELEMENTWISE),
                value.required_address_type(),
                value.clone().into_buffer_arg(),
                grad.into_buffer_arg(),
                first.clone().into_buffer_arg(),
                second.clone().into_buffer_arg(),
                into_contiguous(factor).into_buffer_arg(),
                into_contiguous(course).into_buffer_arg(),
                count,
                step.decay,
                step.penalty,
                step.beta1,
                step.beta2,
                step.epsilon,
            );
        }
        Stepped {
            value,
            first,
            second,
        }
    }

    fn add_squares(sum: T, x: T) -> T {
        let count = x.shape().num_elements();
        let (sum, x) = (into_contiguous(sum), into_contiguous(x));
        let out = empty(&x, [1], DType::F32);
        if count <= ALONE {
            sum_up(&sum, x, &out, true, true);
        } else {
            let parts = empty(&x, [count.div_ceil(PART).min(PARTS)], DType::F32);
            sum_up(&sum, x, &parts, true, false);
            sum_up(&sum, parts, &out, false, true);
        }
        out
    }
}
