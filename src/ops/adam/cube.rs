//! The step on the GPU: one launch for each parameter.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::{AdamBackend, AdamStep, Stepped};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty};

type T = FloatTensor<CubeBackend>;

#[cube(launch_unchecked, address_type = "dynamic")]
fn step_kernel(
    value: &[f32],
    grad: &[f32],
    first: &[f32],
    second: &[f32],
    new_value: &mut [f32],
    new_first: &mut [f32],
    new_second: &mut [f32],
    count: usize,
    rate: f32,
    decay: f32,
    penalty: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    correction1: f32,
    correction2: f32,
) {
    if ABSOLUTE_POS < count {
        let p = value[ABSOLUTE_POS];
        let g = grad[ABSOLUTE_POS] + penalty * p;
        let m = beta1 * first[ABSOLUTE_POS] + (1.0f32 - beta1) * g;
        let v = beta2 * second[ABSOLUTE_POS] + (1.0f32 - beta2) * g * g;
        let root = (v / correction2).sqrt() + epsilon;
        new_value[ABSOLUTE_POS] = (1.0f32 - decay) * p - m / correction1 / root * rate;
        new_first[ABSOLUTE_POS] = m;
        new_second[ABSOLUTE_POS] = v;
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
    fn adam(value: T, grad: T, first: T, second: T, step: AdamStep) -> Stepped<Self> {
        let shape = value.shape();
        let count = shape.num_elements();
        let [value, grad, first, second] = [value, grad, first, second].map(into_contiguous);
        let out = [0; 3].map(|_| empty(&value, shape.clone(), DType::F32));
        let [new_value, new_first, new_second] = out.clone();
        let client = value.client.clone();
        // SAFETY: units beyond the end do nothing; all tensors have the same number of elements.
        unsafe {
            step_kernel::launch_unchecked(
                &client,
                elementwise(count),
                CubeDim::new_1d(ELEMENTWISE),
                value.required_address_type(),
                value.into_buffer_arg(),
                grad.into_buffer_arg(),
                first.into_buffer_arg(),
                second.into_buffer_arg(),
                new_value.into_buffer_arg(),
                new_first.into_buffer_arg(),
                new_second.into_buffer_arg(),
                count,
                step.rate,
                step.decay,
                step.penalty,
                step.beta1,
                step.beta2,
                step.epsilon,
                step.correction1,
                step.correction2,
            );
        }
        let [value, first, second] = out;
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
