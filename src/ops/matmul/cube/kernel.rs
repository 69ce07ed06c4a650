//! The kernels of the exact product.

use super::tensor_core;
use super::tile::Tile;
use cubecl::prelude::*;

/// Four consecutive values.
pub type V4 = Vector<f32, Const<4>>;

/// Sizes of a product that are known at launch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Sizes {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Elements from one row of A, as stored, to the next.
    pub row_a: usize,
    /// Products that are not added up.
    pub outer: usize,
    /// Products that are.
    pub inner: usize,
    /// Elements from one matrix of A to the next; zero if there is only one.
    pub batch_a: usize,
    /// As `batch_a`, for B.
    pub batch_b: usize,
    /// Parts of a sum.
    pub parts: usize,
}

/// Four values of a row of `length` that starts at element `start`, from column `col` (a multiple
/// of four); zeros outside.
#[cube]
fn read<F: Float, N: Size>(
    x: &[Vector<F, N>],
    start: usize,
    col: usize,
    length: usize,
    inside: bool,
    #[comptime] vector: bool,
) -> V4 {
    let mut out = V4::new(0.0f32);
    if comptime!(vector) {
        if inside && col < length {
            out = V4::cast_from(x[(start + col) / 4]);
        }
    } else {
        #[unroll]
        for c in 0..4usize {
            if inside && col + c < length {
                out.insert(c, f32::cast_from(x[start + col + c].extract(0usize)));
            }
        }
    }
    out
}

/// The 4 × 4 block at (row, col) of a matrix (rows, length) that starts at `base`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn read_block<F: Float, N: Size>(
    into: &mut Array<V4>,
    #[comptime] at: usize,
    x: &[Vector<F, N>],
    base: usize,
    row: usize,
    col: usize,
    rows: usize,
    length: usize,
    #[comptime] vector: bool,
) {
    #[unroll]
    for r in 0..4usize {
        let i = row + r;
        into[comptime!(at + r)] = read::<F, N>(x, base + i * length, col, length, i < rows, vector);
    }
}

/// Puts a block where it belongs in shared memory, the terms of the sum downwards. `turn`: the
/// rows of the block are not terms of the sum but its columns are.
///
/// Term 4 q + r of a slab lies at `r · apart + q`, so that units with neighbouring q write to
/// different banks.
#[cube]
#[allow(clippy::too_many_arguments)]
fn put_block(
    pool: &mut Shared<[V4]>,
    from: &Array<V4>,
    #[comptime] at: usize,
    base: usize,
    #[comptime] pitch: usize,
    #[comptime] apart: usize,
    #[comptime] turn: bool,
) {
    #[unroll]
    for r in 0..4usize {
        if comptime!(turn) {
            let mut column = V4::new(0.0f32);
            #[unroll]
            for c in 0..4usize {
                column.insert(c, from[comptime!(at + c)].extract(r));
            }
            pool[base + comptime!(r * apart * pitch)] = column;
        } else {
            pool[base + comptime!(r * apart * pitch)] = from[comptime!(at + r)];
        }
    }
}

/// out = A B, or its parts: (outer, parts, m, n). One cube per tile and part, numbered along x,
/// then y.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn product<F: Float, O: Float, NA: Size, NB: Size, NO: Size>(
    a: &[Vector<F, NA>],
    b: &[Vector<F, NB>],
    out: &mut [Vector<O, NO>],
    size: Sizes,
    #[comptime] s: Tile,
    #[define(F)] _input: ElemType,
    #[define(O)] _output: ElemType,
) {
    let unit = UNIT_POS as usize;
    let tiles_n = size.n.div_ceil(s.n);
    let tiles = size.m.div_ceil(s.m) * tiles_n;
    let total = tiles * size.outer * size.parts;
    let number = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    // Surplus cubes shadow the last one and write nothing: all units reach the barriers.
    let exists = number < total;
    let cube = select(exists, number, total - 1);
    let col0 = (cube % tiles_n) * s.n;
    let row0 = ((cube / tiles_n) % (tiles / tiles_n)) * s.m;
    let matrix = cube / tiles;
    let part = matrix % size.parts;
    let outer = matrix / size.parts;

    // The sum runs over the steps of all inner products, one after the other.
    let per_inner = size.k.div_ceil(s.depth);
    let steps = per_inner * size.inner;
    let first = part * (steps / size.parts) + min(part, steps % size.parts);
    let count = steps / size.parts + select(part < steps % size.parts, 1usize, 0usize);

    let group = unit % comptime!(s.owners());
    let slice = unit / comptime!(s.owners());
    let wide = comptime!(s.wide());
    let tx = group % wide + wide * (group / comptime!(wide * s.y()));
    let ty = (group / wide) % comptime!(s.y());

    let mut pool = Shared::<[V4]>::new_slice(comptime!(s.pool()));
    let from_b = comptime!(s.depth * s.pitch_a());
    let mut sums = Array::<V4>::new(comptime!(s.results()));
    #[unroll]
    for i in 0..comptime!(s.results()) {
        sums[i] = V4::new(0.0f32);
    }

    let mut staged = Array::<V4>::new(comptime!(4 * s.rounds()));
    let quarter = comptime!(s.depth / 4);
    for step in 0..count + 1 {
        // The blocks of the next step are on their way while this one is computed.
        if step < count {
            let at = first + step;
            let product = outer * size.inner + at / per_inner;
            let k0 = (at % per_inner) * s.depth;
            let base_a = product * size.batch_a;
            let base_b = product * size.batch_b;
            #[unroll]
            for round in 0..comptime!(s.rounds()) {
                let slot = unit + comptime!(round * s.units());
                if slot < comptime!(s.blocks_a()) {
                    if comptime!(s.ta) {
                        let col = row0 + slot % comptime!(s.m / 4) * 4;
                        let row = k0 + slot / comptime!(s.m / 4) * 4;
                        read_block::<F, NA>(
                            &mut staged,
                            comptime!(4 * round),
                            a,
                            base_a,
                            row,
                            col,
                            size.k,
                            size.row_a,
                            comptime!(s.vectors[0]),
                        );
                    } else {
                        let row = row0 + slot / quarter * 4;
                        let col = k0 + slot % quarter * 4;
                        read_block::<F, NA>(
                            &mut staged,
                            comptime!(4 * round),
                            a,
                            base_a,
                            row,
                            col,
                            size.m,
                            size.row_a,
                            comptime!(s.vectors[0]),
                        );
                    }
                } else if slot < comptime!(s.blocks_a() + s.blocks_b()) {
                    let slot = slot - comptime!(s.blocks_a());
                    if comptime!(s.tb) {
                        let row = col0 + slot / quarter * 4;
                        let col = k0 + slot % quarter * 4;
                        read_block::<F, NB>(
                            &mut staged,
                            comptime!(4 * round),
                            b,
                            base_b,
                            row,
                            col,
                            size.n,
                            size.k,
                            comptime!(s.vectors[1]),
                        );
                    } else {
                        let col = col0 + slot % comptime!(s.n / 4) * 4;
                        let row = k0 + slot / comptime!(s.n / 4) * 4;
                        read_block::<F, NB>(
                            &mut staged,
                            comptime!(4 * round),
                            b,
                            base_b,
                            row,
                            col,
                            size.k,
                            size.n,
                            comptime!(s.vectors[1]),
                        );
                    }
                }
            }
        }
        if step > 0 {
            let buffer = (step - 1) % s.buffers;
            if comptime!(s.passes > 0) {
                tensor_core::multiply(&mut sums, &pool, buffer, unit / 32, unit % 32, s);
            } else {
                multiply(&mut sums, &pool, buffer, slice, tx, ty, s);
            }
        }
        if comptime!(s.buffers == 1) {
            sync_cube();
        }
        if step < count {
            let slab = step % s.buffers * comptime!(s.slab());
            #[unroll]
            for round in 0..comptime!(s.rounds()) {
                let slot = unit + comptime!(round * s.units());
                if slot < comptime!(s.blocks_a()) {
                    let base = if comptime!(s.ta) {
                        slot / comptime!(s.m / 4) * comptime!(s.pitch_a())
                            + slot % comptime!(s.m / 4)
                    } else {
                        slot % quarter * comptime!(s.pitch_a()) + slot / quarter
                    };
                    put_block(
                        &mut pool,
                        &staged,
                        comptime!(4 * round),
                        base + slab,
                        comptime!(s.pitch_a()),
                        quarter,
                        comptime!(!s.ta),
                    );
                } else if slot < comptime!(s.blocks_a() + s.blocks_b()) {
                    let slot = slot - comptime!(s.blocks_a());
                    let base = if comptime!(s.tb) {
                        slot % quarter * comptime!(s.pitch_b()) + slot / quarter
                    } else {
                        slot / comptime!(s.n / 4) * comptime!(s.pitch_b())
                            + slot % comptime!(s.n / 4)
                    };
                    put_block(
                        &mut pool,
                        &staged,
                        comptime!(4 * round),
                        base + slab + from_b,
                        comptime!(s.pitch_b()),
                        quarter,
                        comptime!(s.tb),
                    );
                }
            }
        }
        sync_cube();
    }

    // The slices' sums are added one after the other.
    let results = comptime!(s.results());
    #[unroll]
    for other in 1..s.slices {
        if slice == other {
            #[unroll]
            for i in 0..results {
                pool[group + comptime!(i * s.owners())] = sums[i];
            }
        }
        sync_cube();
        if slice == 0 {
            #[unroll]
            for i in 0..results {
                sums[i] += pool[group + comptime!(i * s.owners())];
            }
        }
        sync_cube();
    }

    if comptime!(s.passes > 0) {
        if exists {
            tensor_core::write_results::<O, NO>(
                out,
                &sums,
                matrix * size.m * size.n,
                row0,
                col0,
                size.m,
                size.n,
                unit / 32,
                unit % 32,
                s,
            );
        }
    } else if exists && slice == 0 {
        #[unroll]
        for i in 0..s.um {
            #[unroll]
            for r in 0..4usize {
                let row = row0 + (ty + comptime!(i * s.y())) * 4 + r;
                if row < size.m {
                    let start = (matrix * size.m + row) * size.n;
                    #[unroll]
                    for j in 0..s.un {
                        let col = col0 + (tx + comptime!(j * s.x())) * 4;
                        let sum = sums[comptime!((i * 4 + r) * s.un + j)];
                        write::<O, NO>(out, start, col, size.n, sum, s);
                    }
                }
            }
        }
    }
}

/// sums += the product of a slab in shared memory.
#[cube]
fn multiply(
    sums: &mut Array<V4>,
    pool: &Shared<[V4]>,
    buffer: usize,
    slice: usize,
    tx: usize,
    ty: usize,
    #[comptime] s: Tile,
) {
    let slab = buffer * comptime!(s.slab());
    let base_a = slab + slice * comptime!(s.pitch_a()) + ty;
    let base_b = slab + slice * comptime!(s.pitch_b()) + tx + comptime!(s.depth * s.pitch_a());
    #[unroll]
    for term in 0..comptime!(s.depth / s.slices) {
        let mut left = Array::<V4>::new(s.um);
        let mut right = Array::<V4>::new(s.un);
        #[unroll]
        for i in 0..s.um {
            left[i] = pool[base_a + comptime!(term * s.slices * s.pitch_a() + i * s.y())];
        }
        #[unroll]
        for j in 0..s.un {
            right[j] = pool[base_b + comptime!(term * s.slices * s.pitch_b() + j * s.x())];
        }
        #[unroll]
        for i in 0..s.um {
            #[unroll]
            for r in 0..4usize {
                #[unroll]
                for j in 0..s.un {
                    let at = comptime!((i * 4 + r) * s.un + j);
                    sums[at] = fma(V4::new(left[i].extract(r)), right[j], sums[at]);
                }
            }
        }
    }
}

/// Writes four results of a row that starts at element `start`, those that exist.
#[cube]
pub fn write<O: Float, N: Size>(
    out: &mut [Vector<O, N>],
    start: usize,
    col: usize,
    length: usize,
    sum: V4,
    #[comptime] s: Tile,
) {
    if comptime!(s.vectors[2]) {
        if col < length {
            let at = (start + col) / 4;
            let mut sum = sum;
            if comptime!(s.accumulate) {
                sum += V4::cast_from(out[at]);
            }
            out[at] = Vector::<O, N>::cast_from(sum);
        }
    } else {
        #[unroll]
        for c in 0..4usize {
            if col + c < length {
                let at = start + col + c;
                let mut value = sum.extract(c);
                if comptime!(s.accumulate) {
                    value += f32::cast_from(out[at].extract(0usize));
                }
                out[at] = Vector::<O, N>::cast_from(value);
            }
        }
    }
}
