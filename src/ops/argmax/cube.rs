//! The largest on the GPU: a cube for each row.

// What is decided at compile time stays apart from what units decide.
#![allow(clippy::collapsible_if)]

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use burn_cubecl::{CubeBackend, kernel::into_contiguous};
use cubecl::prelude::*;

use super::backend::ArgmaxBackend;
use crate::ops::cube::{cubes, empty};

#[cube(launch_unchecked, address_type = "dynamic")]
fn largest_kernel(
    x: &[f32],
    places: &mut [f32],
    rows: usize,
    n: usize,
    count: usize,
    #[comptime] units: usize,
) {
    let unit = UNIT_POS as usize;
    let row = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let exists = row < rows;
    let mut best = f32::min_value();
    let mut place = count;
    let mut finite = 0u32;
    if exists {
        let mut i = unit;
        while i < count {
            let value = x[row * n + i];
            if value.abs() <= f32::max_value() {
                finite += 1u32;
            }
            if value > best || place == count {
                best = value;
                place = i;
            }
            i += units;
        }
    }
    let mut values = Shared::<[f32]>::new_slice(units);
    let mut found = Shared::<[u32]>::new_slice(units);
    let mut counts = Shared::<[u32]>::new_slice(units);
    values[unit] = best;
    found[unit] = place as u32;
    counts[unit] = finite;
    sync_cube();
    #[unroll]
    for level in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (level + 1));
        if unit < half {
            let other = values[unit + half];
            let at = found[unit + half];
            let more = counts[unit + half];
            let own = values[unit];
            let mine = found[unit];
            if other > own || (other == own && at < mine) {
                values[unit] = other;
                found[unit] = at;
            }
            counts[unit] += more;
        }
        sync_cube();
    }
    if exists && unit == 0 {
        places[row] = select(
            counts[0] as usize == count,
            f32::cast_from(found[0]),
            -1.0f32,
        );
    }
}

impl ArgmaxBackend for CubeBackend {
    fn argmax(x: FloatTensor<Self>, count: usize) -> FloatTensor<Self> {
        let [rows, n] = x.shape().dims();
        let x = into_contiguous(x);
        let places = empty(&x, [rows], DType::F32);
        let client = x.client.clone();
        let limit = client.properties().hardware.max_units_per_cube as usize;
        let units = 1024.min(1 << limit.ilog2());
        // SAFETY: rows and places are bounded inside.
        unsafe {
            largest_kernel::launch_unchecked(
                &client,
                cubes(rows),
                CubeDim::new_1d(units as u32),
                x.required_address_type(),
                x.into_buffer_arg(),
                places.clone().into_buffer_arg(),
                rows,
                n,
                count,
                units,
            );
        }
        places
    }
}
