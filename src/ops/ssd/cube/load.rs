//! What the kernels bring into shared memory.

use super::plan::{Plan, Sizes};
use super::tile::*;
use cubecl::prelude::*;

/// Which rows and columns of a matrix are read, and how they lie in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    pub rows: usize,
    pub columns: usize,
    /// Numbers of a vector in memory.
    pub width: usize,
    pub units: usize,
    /// Words between two rows in shared memory.
    pub pad: usize,
}

impl Block {
    pub const fn pitch(&self) -> usize {
        self.columns / 2 + self.pad
    }

    /// Reads of a row: vectors or, of single numbers, pairs.
    const fn per_row(&self) -> usize {
        self.columns / if self.width > 1 { self.width } else { 2 }
    }

    const fn rounds(&self) -> usize {
        (self.rows * self.per_row()).div_ceil(self.units)
    }
}

impl Plan {
    /// Steps × channels of x or dy.
    pub const fn signals(&self) -> Block {
        Block {
            rows: self.q,
            columns: self.p,
            width: self.width_x,
            units: self.units(),
            pad: self.pad,
        }
    }

    /// Steps × states of B or C.
    pub const fn projections(&self) -> Block {
        Block {
            rows: self.q,
            columns: self.n,
            width: self.width_n,
            units: self.units(),
            pad: self.pad,
        }
    }

    /// Channels × states.
    pub const fn states(&self) -> Block {
        Block {
            rows: self.p,
            columns: self.n,
            width: self.width_r,
            units: self.units(),
            pad: self.pad,
        }
    }
}

/// Brings rows into shared memory, the first of them at element `first`; zeros beyond `rows` and
/// `columns`.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn load_rows<F: Float, S: Float, N: Size>(
    into: &mut Shared<[Word<S>]>,
    from: &[Vector<F, N>],
    first: usize,
    stride: usize,
    rows: usize,
    columns: usize,
    #[comptime] block: Block,
) {
    let per = comptime!(block.per_row());
    #[unroll]
    for round in 0..comptime!(block.rounds()) {
        let k = UNIT_POS as usize + comptime!(round * block.units);
        if k < comptime!(block.rows * per) {
            let r = k / per;
            let v = k % per;
            let target = r * comptime!(block.pitch());
            if comptime!(block.width > 1) {
                let mut value = Vector::<F, N>::new(F::from_int(0));
                if r < rows && v * block.width < columns {
                    value = from[(first + r * stride) / block.width + v];
                }
                #[unroll]
                for w in 0..comptime!(block.width / 2) {
                    let mut word = Word::<S>::new(S::cast_from(value.extract(comptime!(2 * w))));
                    word.insert(1usize, S::cast_from(value.extract(comptime!(2 * w + 1))));
                    into[target + v * comptime!(block.width / 2) + w] = word;
                }
            } else {
                let start = first + r * stride;
                let mut word = Word::<S>::new(S::from_int(0));
                #[unroll]
                for c in 0..2usize {
                    if r < rows && 2 * v + c < columns {
                        word.insert(c, S::cast_from(from[start + 2 * v + c].extract(0usize)));
                    }
                }
                into[target + v] = word;
            }
        }
    }
}

/// Copies rows, each times its factors.
#[cube]
pub fn scaled_rows<S: Float>(
    into: &mut Shared<[Word<S>]>,
    from: &Shared<[Word<S>]>,
    factor: &Shared<[f32]>,
    other: &Shared<[f32]>,
    #[comptime] both: bool,
    #[comptime] block: Block,
) {
    let per = comptime!(block.columns / 2);
    let count = comptime!(block.rows * per);
    #[unroll]
    for round in 0..comptime!(count.div_ceil(block.units)) {
        let k = UNIT_POS as usize + comptime!(round * block.units);
        if k < count {
            let r = k / per;
            let here = r * comptime!(block.pitch()) + k % per;
            let mut scale = factor[r];
            if comptime!(both) {
                scale *= other[r];
            }
            let value = from[here];
            into[here] = word::<S>(
                f32::cast_from(value.extract(0usize)) * scale,
                f32::cast_from(value.extract(1usize)) * scale,
            );
        }
    }
}

/// Where the steps of a chunk begin in the arrays by head, (b, h, steps).
#[cube]
pub fn steps_of(
    sample: usize,
    head: usize,
    chunk: usize,
    size: &Sizes,
    #[comptime] s: Plan,
) -> usize {
    ((sample * size.h + head) * size.chunks + chunk) * s.q
}

/// Lays out what belongs to the steps of a chunk, and returns by how much the state before it is
/// multiplied:
///
/// `a`, the sum of Δ A up to each step; Δ; the factor `seen` of the state before the chunk in a
/// step's output; the factor `left` of a step's input in the state after the chunk, without Δ; the
/// sequence.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn lay_steps(
    a: &mut Shared<[f32]>,
    dt: &mut Shared<[f32]>,
    seen: &mut Shared<[f32]>,
    left: &mut Shared<[f32]>,
    sequence: &mut Shared<[i32]>,
    times: &[f32],
    steps: &[f32],
    ids: &[i32],
    sample: usize,
    head: usize,
    chunk: usize,
    size: &Sizes,
    #[comptime] s: Plan,
) -> f32 {
    let unit = UNIT_POS as usize;
    let base = steps_of(sample, head, chunk, size, s);
    let end_a = times[base + comptime!(s.q - 1)];
    let mut before = 0i32;
    let mut end = 0i32;
    if comptime!(s.spec.ids) {
        if chunk > 0 {
            before = ids[sample * size.l + chunk * s.q - 1];
        }
        end = ids[sample * size.l + min(chunk * s.q + s.q, size.l) - 1];
    }
    if unit < s.q {
        let mut own = 0i32;
        if comptime!(s.spec.ids) {
            own = ids[sample * size.l + min(chunk * s.q + unit, size.l - 1)];
        }
        let time = times[base + unit];
        a[unit] = time;
        dt[unit] = steps[base + unit];
        seen[unit] = select(own == before, time.exp(), 0.0f32);
        left[unit] = select(own == end, (end_a - time).exp(), 0.0f32);
        sequence[unit] = own;
    }
    select(before == end, end_a.exp(), 0.0f32)
}
