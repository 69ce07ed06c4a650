//! The draws on the GPU: a unit for each.

use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::{Draw, DropoutBackend};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty};

#[cube(launch_unchecked, address_type = "dynamic")]
fn mask_kernel(seeds: &[f32], mask: &mut [f32], count: usize, salt: u32, below: u32, value: f32) {
    if ABSOLUTE_POS < count {
        let mut x = ABSOLUTE_POS as u32 * 1_664_525u32 + 1_013_904_223u32;
        let mut y = salt * 1_664_525u32 + 1_013_904_223u32;
        let mut z = u32::cast_from(seeds[0]) * 1_664_525u32 + 1_013_904_223u32;
        let mut w = u32::cast_from(seeds[1]) * 1_664_525u32 + 1_013_904_223u32;
        #[unroll]
        for round in 0..2usize {
            if comptime!(round == 1) {
                x ^= x >> 16u32;
                y ^= y >> 16u32;
                z ^= z >> 16u32;
                w ^= w >> 16u32;
            }
            x += y * w;
            y += z * x;
            z += x * y;
            w += y * z;
        }
        mask[ABSOLUTE_POS] = select(x < below, value, 0.0f32);
    }
}

impl DropoutBackend for CubeBackend {
    fn dropout_mask(seeds: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self> {
        let seeds = into_contiguous(seeds);
        let mask = empty(&seeds, [draw.count], DType::F32);
        let client = seeds.client.clone();
        // SAFETY: units beyond the end do nothing; there are two seeds.
        unsafe {
            mask_kernel::launch_unchecked(
                &client,
                elementwise(draw.count),
                CubeDim::new_1d(ELEMENTWISE),
                mask.required_address_type(),
                seeds.into_buffer_arg(),
                mask.clone().into_buffer_arg(),
                draw.count,
                draw.salt,
                draw.below,
                draw.value,
            );
        }
        mask
    }
}
