//! The draws on the CPU.

use burn::backend::{Flex, tensor::FloatTensor};
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::backend::{Draw, DropoutBackend};

/// Numbers that a task draws.
const BLOCK: usize = 1 << 14;

/// The first word of pcg4d.
pub(super) fn hash(v: [u32; 4]) -> u32 {
    let [mut x, mut y, mut z, mut w] =
        v.map(|v| v.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        if round == 1 {
            [x, y, z, w] = [x, y, z, w].map(|v| v ^ (v >> 16));
        }
        x = x.wrapping_add(y.wrapping_mul(w));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        w = w.wrapping_add(y.wrapping_mul(z));
    }
    x
}

impl DropoutBackend for Flex {
    fn dropout_mask(seeds: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self> {
        let seeds = seeds.to_contiguous();
        let seeds = seeds.storage::<f32>();
        let [a, b] = [seeds[0] as u32, seeds[1] as u32];
        let mut mask = vec![0.0f32; draw.count];
        mask.par_chunks_mut(BLOCK)
            .enumerate()
            .for_each(|(block, mask)| {
                for (i, value) in mask.iter_mut().enumerate() {
                    if hash([(block * BLOCK + i) as u32, draw.salt, a, b]) < draw.below {
                        *value = draw.value;
                    }
                }
            });
        FloatTensor::<Self>::from_data(TensorData::new(mask, [draw.count]))
    }
}
