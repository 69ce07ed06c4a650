//! The inner product on tensor cores: single-precision products from TF32 ones.
//!
//! A tensor core multiplies TF32, which keeps 10 of the 23 bits of a mantissa. An operand x is
//! written as x = x₁ + x₂ with x₁ = TF32(x) and x₂ = TF32(x − x₁), which together hold 21 bits or
//! more, and
//!
//! ```text
//! a b ≈ a₁ b₂ + a₂ b₁ + a₁ b₁
//! ```
//!
//! leaves out a₂ b₂ only, of the order 2⁻²² a b. Tensor cores also cut off what they add, always
//! downwards, which adds up over a long sum: the terms of a slab are therefore added to the running
//! sum by an ordinary, rounding addition.
//!
//! Source: Ootomo & Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing
//! the FP32 theoretical peak performance" (arXiv:2203.03341).
//!
//! A plane of 32 units owns `um` · 32 rows and `un` · 32 columns of the tile. In the layout of
//! `mma.m16n8k8` unit 4 g + t holds rows g and g + 8 of A, column g of B, and of both the terms t and
//! t + 4. Which row of the tile is "row g" is ours to choose: four neighbours of a vector of shared
//! memory are rows g and g + 8 of two instructions, four columns those of four.

use super::kernel::{V4, write};
use super::tile::Tile;
use cubecl::{cmma::MmaDefinition, prelude::*};

type One = Vector<tf32, Const<1>>;
type V1 = Vector<f32, Const<1>>;
type V2 = Vector<f32, Const<2>>;

/// The TF32 of x, and of what that leaves of it where more than one pass is made.
#[cube]
fn split(x: f32, #[comptime] passes: usize) -> (One, One) {
    let mut high = x;
    let mut low = 0.0f32;
    if comptime!(passes > 1) {
        // Cut off, so that the rest is exact in f32. Tensor cores themselves cut off what TF32 has
        // no room for, so that no conversion is needed.
        high = f32::reinterpret(u32::reinterpret(x) & 0xffff_e000u32);
        low = x - high;
    }
    (
        One::reinterpret(V1::new(high)),
        One::reinterpret(V1::new(low)),
    )
}

/// sums += the product of a slab in shared memory; `plane` is the number of the unit's plane.
#[cube]
pub fn multiply(
    sums: &mut Array<V4>,
    pool: &Shared<[V4]>,
    buffer: usize,
    plane: usize,
    lane: usize,
    #[comptime] s: Tile,
) {
    let mma = MmaDefinition::<tf32, tf32, f32>::new(16usize, 8usize, 8usize);
    let g = lane / 4;
    let t = lane % 4;
    let slab = buffer * comptime!(s.slab());
    let base_a = slab
        + t * comptime!(s.pitch_a())
        + plane / comptime!(s.planes_n()) * comptime!(8 * s.um)
        + g;
    let base_b = slab
        + comptime!(s.depth * s.pitch_a())
        + t * comptime!(s.pitch_b())
        + plane % comptime!(s.planes_n()) * comptime!(8 * s.un)
        + g;
    let tiles = comptime!(4 * s.un);
    #[unroll]
    for i in 0..s.um {
        // Sums of the slab, of two instructions' rows and all columns.
        let mut parts = Sequence::<Array<V2>>::new();
        #[unroll]
        for _ in 0..comptime!(2 * tiles) {
            let mut part = Array::<V2>::new(2usize);
            part[0] = V2::new(0.0f32);
            part[1] = V2::new(0.0f32);
            parts.push(part);
        }
        #[unroll]
        for k8 in 0..comptime!(s.depth / 8) {
            let mut a_high = Sequence::<Array<One>>::new();
            let mut a_low = Sequence::<Array<One>>::new();
            let first = pool[base_a + comptime!(8 * k8 * s.pitch_a() + 8 * i)];
            let second = pool[base_a + comptime!((8 * k8 + 4) * s.pitch_a() + 8 * i)];
            #[unroll]
            for pair in 0..2usize {
                let mut high = Array::<One>::new(4usize);
                let mut low = Array::<One>::new(4usize);
                #[unroll]
                for r in 0..2usize {
                    let (h0, l0) = split(first.extract(comptime!(2 * pair + r)), s.passes);
                    let (h1, l1) = split(second.extract(comptime!(2 * pair + r)), s.passes);
                    high[r] = h0;
                    high[comptime!(r + 2)] = h1;
                    low[r] = l0;
                    low[comptime!(r + 2)] = l1;
                }
                a_high.push(high);
                a_low.push(low);
            }
            let mut b_high = Sequence::<Array<One>>::new();
            let mut b_low = Sequence::<Array<One>>::new();
            #[unroll]
            for j in 0..s.un {
                let first = pool[base_b + comptime!(8 * k8 * s.pitch_b() + 8 * j)];
                let second = pool[base_b + comptime!((8 * k8 + 4) * s.pitch_b() + 8 * j)];
                #[unroll]
                for c in 0..4usize {
                    let mut high = Array::<One>::new(2usize);
                    let mut low = Array::<One>::new(2usize);
                    let (h0, l0) = split(first.extract(c), s.passes);
                    let (h1, l1) = split(second.extract(c), s.passes);
                    high[0] = h0;
                    high[1] = h1;
                    low[0] = l0;
                    low[1] = l1;
                    b_high.push(high);
                    b_low.push(low);
                }
            }
            // Neighbouring instructions do not wait for each other: all tiles, then the next pass.
            if comptime!(s.passes > 1) {
                #[unroll]
                for pair in 0..2usize {
                    #[unroll]
                    for j in 0..tiles {
                        mma.execute_inplace(
                            a_low.index(pair),
                            b_high.index(j),
                            parts.index_mut(comptime!(pair * tiles + j)),
                        );
                    }
                }
                #[unroll]
                for pair in 0..2usize {
                    #[unroll]
                    for j in 0..tiles {
                        mma.execute_inplace(
                            a_high.index(pair),
                            b_low.index(j),
                            parts.index_mut(comptime!(pair * tiles + j)),
                        );
                    }
                }
            }
            #[unroll]
            for pair in 0..2usize {
                #[unroll]
                for j in 0..tiles {
                    mma.execute_inplace(
                        a_high.index(pair),
                        b_high.index(j),
                        parts.index_mut(comptime!(pair * tiles + j)),
                    );
                }
            }
        }
        #[unroll]
        for j in 0..comptime!(2 * tiles) {
            let part = parts.index(j);
            let at = comptime!(2 * i * tiles + j);
            let mut sum = sums[at];
            #[unroll]
            for c in 0..4usize {
                sum.insert(
                    c,
                    sum.extract(c) + part[comptime!(c / 2)].extract(comptime!(c % 2)),
                );
            }
            sums[at] = sum;
        }
    }
}

/// Writes a plane's results; (row0, col0) is the first of the tile.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn write_results<O: Float, N: Size>(
    out: &mut [Vector<O, N>],
    sums: &Array<V4>,
    first: usize,
    row0: usize,
    col0: usize,
    rows: usize,
    cols: usize,
    plane: usize,
    lane: usize,
    #[comptime] s: Tile,
) {
    let g = lane / 4;
    let t = lane % 4;
    let row0 = row0 + plane / comptime!(s.planes_n()) * comptime!(32 * s.um) + g * 4;
    let col0 = col0 + plane % comptime!(s.planes_n()) * comptime!(32 * s.un) + t * 8;
    #[unroll]
    for i in 0..comptime!(2 * s.um) {
        #[unroll]
        for r in 0..2usize {
            let row = row0 + comptime!(i / 2 * 32 + i % 2 * 2 + r);
            if row < rows {
                #[unroll]
                for j in 0..s.un {
                    #[unroll]
                    for e in 0..2usize {
                        let mut values = V4::new(0.0f32);
                        #[unroll]
                        for c in 0..4usize {
                            values.insert(
                                c,
                                sums[comptime!((i * s.un + j) * 4 + c)]
                                    .extract(comptime!(2 * r + e)),
                            );
                        }
                        let col = col0 + comptime!(32 * j + 4 * e);
                        write::<O, N>(out, first + row * cols, col, cols, values, s);
                    }
                }
            }
        }
    }
}
