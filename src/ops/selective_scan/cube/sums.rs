//! Sums in a fixed order: over units of a cube, and over cubes.

use super::tile::*;
use cubecl::prelude::*;

/// Adds `count` values of each unit over the lanes of its plane, down to 32 / `count` partial
/// sums: lane k holds part k mod (32 / count) of value k / (32 / count) afterwards.
///
/// Each exchange halves the values of a unit: it keeps one half of them and adds its partner's.
#[cube]
pub fn fold_lanes(values: &mut Array<f32>, lane: u32, #[comptime] count: usize) {
    #[unroll]
    for level in 0..comptime!(count.ilog2() as usize) {
        let half = comptime!(count >> (level + 1));
        let mask = comptime!(16u32 >> level);
        let upper = (lane & mask) != 0;
        #[unroll]
        for i in 0..half {
            let low = values[i];
            let high = values[comptime!(i + half)];
            let kept = select(upper, high, low);
            let given = select(upper, low, high);
            values[i] = kept + plane_shuffle_xor(given, mask);
        }
    }
}

/// As [`fold_lanes`], through shared memory, for any number of lanes that `sums` divides; returns
/// the lane's partial sum.
#[cube]
pub fn fold_shared(
    values: &Array<f32>,
    buffer: &mut Shared<[f32]>,
    me: &Place,
    #[comptime] s: Plan,
) -> f32 {
    let count = comptime!(s.sums());
    #[unroll]
    for i in 0..count {
        buffer[(me.group * count + i) * s.lanes + me.lane] = values[i];
    }
    sync_cube();
    let parts = comptime!(s.lanes / s.sums());
    let base = (me.group * count + me.lane / parts) * s.lanes + (me.lane % parts) * count;
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..count {
        sum += buffer[base + i];
    }
    sync_cube();
    sum
}
