//! The step on the GPU: one launch for each parameter, in its memory and that of its moments.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
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

/// Units of the cube that adds up squares.
const UNITS: usize = 256;

#[cube(launch_unchecked, address_type = "dynamic")]
fn squares_kernel(sum: &[f32], x: &[f32], out: &mut [f32], count: usize) {
    let unit = UNIT_POS as usize;
    let mut own = 0.0f32;
    let rounds = count.div_ceil(UNITS);
    for i in 0..rounds {
        let at = i * UNITS + unit;
        if at < count {
            own += x[at] * x[at];
        }
    }
    let mut sums = Shared::<[f32]>::new_slice(UNITS);
    sums[unit] = own;
    sync_cube();
    if unit == 0 {
        let mut total = sum[0];
        for i in 0..UNITS {
            total += sums[i];
        }
        out[0] = total;
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
        let client = x.client.clone();
        // SAFETY: reads stay below `count`; one unit writes the one element.
        unsafe {
            squares_kernel::launch_unchecked(
                &client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(UNITS as u32),
                x.required_address_type(),
                sum.into_buffer_arg(),
                x.into_buffer_arg(),
                out.clone().into_buffer_arg(),
                count,
            );
        }
        out
    }
}
