//! Sums the backward pass takes over the channels of a cube.
//!
//! The outer products that give dP and dW have few results and many terms: their results are cut
//! into tiles, a tile is given to several units that take every k-th term, and the units' parts
//! are added in their order at the end.

use super::tile::*;
use cubecl::prelude::*;

impl Plan {
    /// Tiles of dP: four × four vertices each.
    pub const fn p_tiles(&self) -> usize {
        self.p_side() * self.p_side()
    }

    /// Tiles of dP along one side.
    pub const fn p_side(&self) -> usize {
        self.v.div_ceil(4)
    }

    /// Tiles of dW: four rows × `tn4` vectors each.
    pub const fn w_tiles(&self) -> usize {
        (if self.root { 2 } else { 1 }) * self.n4 * (self.n4 / self.tn4)
    }

    /// Units that share a tile.
    pub const fn splits(&self, tiles: usize) -> usize {
        if tiles < self.units {
            self.units / tiles
        } else {
            1
        }
    }

    /// Tiles of a unit.
    pub const fn rounds(&self, tiles: usize) -> usize {
        tiles.div_ceil(self.units)
    }

    /// Vectors of the buffer of X, which also carries the units' parts of the outer products.
    pub const fn pool(&self) -> usize {
        if self.buffer() > 4 * self.units {
            self.buffer()
        } else {
            4 * self.units
        }
    }
}

/// out[v, n] = Σ over the channels of the cube of weight[v, d] x[v, d, n]; `x` is the state buffer
/// that starts at `offset`, `out` one cube's (b, v, l, n) at `first`, `weight` one of the operands
/// in `weights`. The weights of channels that do not exist are zero.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn over_channels(
    out: &mut [V4],
    first: usize,
    x: &Shared<[V4]>,
    #[comptime] offset: usize,
    weights: &Shared<[f32]>,
    #[comptime] weight: usize,
    t: usize,
    l: usize,
    #[comptime] s: Plan,
) {
    let count = comptime!(s.v * s.n4);
    for i in 0..comptime!(count.div_ceil(s.units)) {
        let k = i * s.units + UNIT_POS as usize;
        if k < count {
            let v = k / s.n4;
            let n4 = k % s.n4;
            let mut sum = V4::new(0.0f32);
            #[unroll]
            for lane in 0..s.dg {
                sum = fma(
                    V4::new(weights[v * s.dg + comptime!(weight * s.signal_size() + lane)]),
                    x[at(v, lane, n4 + offset, s)],
                    sum,
                );
            }
            out[first + (v * l + t) * s.n4 + n4] = sum;
        }
    }
}

/// acc += X ⊗ h over the channels and states of the cube, for the unit's tiles of dP.
#[cube]
pub fn add_outer_p(acc: &mut Array<f32>, x: &Shared<[V4]>, h: &Shared<[V4]>, #[comptime] s: Plan) {
    let tiles = comptime!(s.p_tiles());
    let splits = comptime!(s.splits(tiles));
    let unit = UNIT_POS as usize;
    #[unroll]
    for round in 0..comptime!(s.rounds(tiles)) {
        let slot = unit + comptime!(round * s.units);
        let tile = slot % tiles;
        let split = slot / tiles;
        if slot < comptime!(tiles * splits) {
            // The rows of a tile lie `p_side` apart, so that neighbouring tiles read
            // neighbouring rows.
            let left = tile / comptime!(s.p_side());
            let right = tile % comptime!(s.p_side());
            let terms = comptime!(s.dg * s.n4);
            // Every unit has `full` terms; some have one more.
            let full = comptime!(terms / splits);
            let whole = comptime!(full / 2);
            for i in 0..whole {
                #[unroll]
                for c in 0..2usize {
                    outer_p_term(
                        acc,
                        x,
                        h,
                        left,
                        right,
                        (i * 2 + c) * splits + split,
                        round,
                        s,
                    );
                }
            }
            #[unroll]
            for step in comptime!(whole * 2)..full {
                outer_p_term(acc, x, h, left, right, step * splits + split, round, s);
            }
            if comptime!(terms % splits > 0) {
                let k = comptime!(full * splits) + split;
                if k < terms {
                    outer_p_term(acc, x, h, left, right, k, round, s);
                }
            }
        }
    }
}

/// One (channel, four states) of [`add_outer_p`].
#[cube]
#[allow(clippy::too_many_arguments)]
fn outer_p_term(
    acc: &mut Array<f32>,
    x: &Shared<[V4]>,
    h: &Shared<[V4]>,
    left: usize,
    right: usize,
    k: usize,
    #[comptime] round: usize,
    #[comptime] s: Plan,
) {
    let column = at(0usize, k / s.n4, k % s.n4, s);
    let mut xs = Array::<V4>::new(4usize);
    let mut hs = Array::<V4>::new(4usize);
    #[unroll]
    for i in 0..4usize {
        let row = comptime!(i * s.p_side() * s.row_pitch());
        xs[i] = x[left * comptime!(s.row_pitch()) + row + column];
        hs[i] = h[right * comptime!(s.row_pitch()) + row + column];
    }
    #[unroll]
    for c in 0..4usize {
        #[unroll]
        for i in 0..4usize {
            #[unroll]
            for j in 0..4usize {
                let at = comptime!(round * 16 + i * 4 + j);
                acc[at] = fma(xs[i].extract(c), hs[j].extract(c), acc[at]);
            }
        }
    }
}

/// acc += hᵀ q (W_root) and (P h)ᵀ q (W_rel) over the vertices and channels of the cube, for the
/// unit's tiles of dW; `h` holds h, then P h.
#[cube]
pub fn add_outer_w(acc: &mut Array<V4>, h: &Shared<[V4]>, q: &Shared<[V4]>, #[comptime] s: Plan) {
    let tiles = comptime!(s.w_tiles());
    let splits = comptime!(s.splits(tiles));
    let terms = comptime!(s.v * s.dg);
    let unit = UNIT_POS as usize;
    #[unroll]
    for round in 0..comptime!(s.rounds(tiles)) {
        let slot = unit + comptime!(round * s.units);
        let tile = slot % tiles;
        let split = slot / tiles;
        if slot < comptime!(tiles * splits) {
            let columns = comptime!(s.n4 / s.tn4);
            let n4 = (tile % columns) * s.tn4;
            let m4 = (tile / columns) % s.n4;
            // Without W_root all tiles are of W_rel.
            let rel = if comptime!(s.root) {
                tile / comptime!(columns * s.n4)
            } else {
                1usize.runtime()
            };
            let source = rel * comptime!(s.buffer()) + m4;
            let full = comptime!(terms / splits);
            let whole = comptime!(full / 4);
            for i in 0..whole {
                #[unroll]
                for c in 0..4usize {
                    outer_w_term(
                        acc,
                        h,
                        q,
                        source,
                        n4,
                        (i * 4 + c) * splits + split,
                        round,
                        s,
                    );
                }
            }
            #[unroll]
            for step in comptime!(whole * 4)..full {
                outer_w_term(acc, h, q, source, n4, step * splits + split, round, s);
            }
            if comptime!(terms % splits > 0) {
                let k = comptime!(full * splits) + split;
                if k < terms {
                    outer_w_term(acc, h, q, source, n4, k, round, s);
                }
            }
        }
    }
}

/// One (vertex, channel) of [`add_outer_w`].
#[cube]
#[allow(clippy::too_many_arguments)]
fn outer_w_term(
    acc: &mut Array<V4>,
    h: &Shared<[V4]>,
    q: &Shared<[V4]>,
    source: usize,
    n4: usize,
    k: usize,
    #[comptime] round: usize,
    #[comptime] s: Plan,
) {
    let row = at(k / s.dg, k % s.dg, 0usize, s);
    let left = h[row + source];
    #[unroll]
    for j in 0..s.tn4 {
        let right = q[row + n4 + j];
        #[unroll]
        for c in 0..4usize {
            let i = comptime!((round * 4 + c) * s.tn4 + j);
            acc[i] = fma(V4::new(left.extract(c)), right, acc[i]);
        }
    }
}

/// Adds the units' parts of dP and writes the cube's (v, w) at `first`; clears the parts. All
/// units must have left `pool`; they may use it again after the next barrier.
#[cube]
pub fn write_p(
    out: &mut [f32],
    first: usize,
    acc: &mut Array<f32>,
    pool: &mut Shared<[V4]>,
    #[comptime] s: Plan,
) {
    let tiles = comptime!(s.p_tiles());
    let splits = comptime!(s.splits(tiles));
    let unit = UNIT_POS as usize;
    if comptime!(splits > 1) {
        #[unroll]
        for i in 0..4usize {
            let mut row = V4::new(0.0f32);
            #[unroll]
            for j in 0..4usize {
                row.insert(j, acc[comptime!(i * 4 + j)]);
                acc[comptime!(i * 4 + j)] = 0.0;
            }
            pool[unit * 4 + i] = row;
        }
        sync_cube();
        let count = comptime!(tiles * 4);
        for i in 0..comptime!(count.div_ceil(s.units)) {
            let k = i * s.units + unit;
            if k < count {
                let mut row = V4::new(0.0f32);
                #[unroll]
                for split in 0..splits {
                    row += pool[k + comptime!(split * tiles * 4)];
                }
                write_p_row(out, first, k / 4, k % 4, row, s);
            }
        }
    } else {
        #[unroll]
        for round in 0..comptime!(s.rounds(tiles)) {
            let tile = unit + comptime!(round * s.units);
            if tile < tiles {
                #[unroll]
                for i in 0..4usize {
                    let mut row = V4::new(0.0f32);
                    #[unroll]
                    for j in 0..4usize {
                        row.insert(j, acc[comptime!(round * 16 + i * 4 + j)]);
                    }
                    write_p_row(out, first, tile, i, row, s);
                }
            }
            #[unroll]
            for i in 0..16usize {
                acc[comptime!(round * 16 + i)] = 0.0;
            }
        }
    }
}

#[cube]
fn write_p_row(out: &mut [f32], first: usize, tile: usize, i: usize, row: V4, #[comptime] s: Plan) {
    let v = tile / comptime!(s.p_side()) + i * comptime!(s.p_side());
    if v < s.v {
        #[unroll]
        for j in 0..4usize {
            let w = tile % comptime!(s.p_side()) + comptime!(j * s.p_side());
            if w < s.v {
                out[first + v * s.v + w] = row.extract(j);
            }
        }
    }
}

/// Adds the units' parts of dW and writes the cube's W_root (if there is one) and W_rel at `first`.
#[cube]
pub fn write_w(
    out: &mut [V4],
    first: usize,
    acc: &Array<V4>,
    pool: &mut Shared<[V4]>,
    #[comptime] s: Plan,
) {
    let tiles = comptime!(s.w_tiles());
    let splits = comptime!(s.splits(tiles));
    let columns = comptime!(s.n4 / s.tn4);
    let unit = UNIT_POS as usize;
    #[unroll]
    for round in 0..comptime!(s.rounds(tiles)) {
        #[unroll]
        for j in 0..s.tn4 {
            sync_cube();
            #[unroll]
            for c in 0..4usize {
                pool[unit * 4 + c] = acc[comptime!((round * 4 + c) * s.tn4 + j)];
            }
            sync_cube();
            // With several rounds there is one split, and each unit finds its own part.
            let tile = unit + comptime!(round * s.units);
            if tile < tiles {
                let row = (tile / columns) * 4;
                #[unroll]
                for c in 0..4usize {
                    let mut sum = V4::new(0.0f32);
                    #[unroll]
                    for split in 0..splits {
                        sum += pool[(unit + comptime!(split * tiles)) * 4 + c];
                    }
                    out[first + (row + c) * s.n4 + (tile % columns) * s.tn4 + j] = sum;
                }
            }
        }
    }
}

/// Adds the parts of dA and dD of the groups of vertices, in their order, and writes those of the
/// cube's channels of a sample. All units must have left `pool` and `scalars`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn write_channels(
    part_a: &mut [V4],
    part_skip: &mut [f32],
    ga: &Array<V4>,
    gskip: f32,
    sample: usize,
    d_len: usize,
    pool: &mut Shared<[V4]>,
    scalars: &mut Shared<[f32]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    if me.owner {
        #[unroll]
        for j in 0..s.nt4 {
            pool[(me.group * s.dg + me.lane) * s.n4 + me.col + j] = ga[j];
        }
        if me.slice == 0 {
            scalars[me.group * s.dg + me.lane] = gskip;
        }
    }
    sync_cube();
    let count = comptime!(s.dg * s.n4);
    for i in 0..comptime!(count.div_ceil(s.units)) {
        let k = i * s.units + UNIT_POS as usize;
        let d = CUBE_POS_X as usize * s.dg + k / s.n4;
        if k < count && d < d_len {
            let mut sum = V4::new(0.0f32);
            for group in 0..comptime!(s.groups()) {
                sum += pool[group * comptime!(s.dg * s.n4) + k];
            }
            part_a[(sample * d_len + d) * s.n4 + k % s.n4] = sum;
        }
    }
    if comptime!(s.skip) {
        for i in 0..comptime!(s.dg.div_ceil(s.units)) {
            let k = i * s.units + UNIT_POS as usize;
            let d = CUBE_POS_X as usize * s.dg + k;
            if k < s.dg && d < d_len {
                let mut sum = 0.0f32;
                for group in 0..comptime!(s.groups()) {
                    sum += scalars[group * s.dg + k];
                }
                part_skip[sample * d_len + d] = sum;
            }
        }
    }
}
