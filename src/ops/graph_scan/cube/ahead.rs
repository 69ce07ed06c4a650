//! The operands of a step on their way into shared memory.
//!
//! They are asked for well before the step that reads them and wait in registers (`fetch_*`); once
//! all units have left the step before, they are put where everybody finds them (`store_*`). A
//! kernel with few units per core has nothing else to do while memory answers.

use super::forward::{Time, state_at};
use super::tile::*;
use cubecl::prelude::*;

impl Plan {
    /// Operands (v, n) of a step: B, C2 and maybe C1.
    pub const fn row_kinds(&self) -> usize {
        if self.c1 { 3 } else { 2 }
    }

    /// Vectors of one of them.
    pub const fn row_size(&self) -> usize {
        self.v * self.n4
    }

    /// Vectors of all of them.
    pub const fn rows_size(&self) -> usize {
        self.row_kinds() * self.row_size()
    }

    /// Values of one operand (v, channel) of a step.
    pub const fn signal_size(&self) -> usize {
        self.rows() * self.dg
    }

    /// What a unit fetches of `size` values that all units fetch together.
    pub const fn share(&self, size: usize) -> usize {
        size.div_ceil(self.units)
    }
}

/// Places of the operands (v, channel) in shared memory.
pub const INPUT: usize = 0;
/// Δ.
pub const STEP: usize = 1;
/// The gradient of y; zero for channels that do not exist.
pub const OUTPUT: usize = 2;
/// Δ u; zero for channels that do not exist.
pub const DRIVE: usize = 3;

/// Asks for B, C2 and C1 of a step.
#[cube]
pub fn fetch_rows<F: Float>(
    into: &mut Array<Vector<F, Const<4>>>,
    b: &[Vector<F, Const<4>>],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    time: &Time,
    #[comptime] s: Plan,
) {
    let size = comptime!(s.row_size());
    #[unroll]
    for i in 0..comptime!(s.share(s.rows_size())) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < comptime!(s.rows_size()) {
            let vertex = (k % size) / s.n4;
            let at = ((time.sample * s.v + vertex) * time.l + time.t) * s.n4 + k % s.n4;
            if k < size {
                into[i] = b[at];
            } else if k < comptime!(2 * size) {
                into[i] = c2[at];
            } else {
                into[i] = c1[at];
            }
        }
    }
}

/// Puts them into shared memory, one after the other.
#[cube]
pub fn store_rows<F: Float>(
    rows: &mut Shared<[V4]>,
    from: &Array<Vector<F, Const<4>>>,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.share(s.rows_size())) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < comptime!(s.rows_size()) {
            rows[k] = V4::cast_from(from[i]);
        }
    }
}

/// Asks for one operand (v, channel) of a step, in the storage order of [`signal`].
#[cube]
pub fn fetch_signal<F: Float>(into: &mut Array<F>, from: &[F], time: &Time, #[comptime] s: Plan) {
    #[unroll]
    for i in 0..comptime!(s.share(s.signal_size())) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        // Rows and channels beyond the last repeat it.
        let vertex = min(k / s.dg, comptime!(s.v - 1).runtime());
        let d = min(CUBE_POS_X as usize * s.dg + k % s.dg, time.d_len - 1);
        into[i] = from[((time.sample * s.v + vertex) * time.l + time.t) * time.d_len + d];
    }
}

/// Puts u and Δ into shared memory.
#[cube]
pub fn store_inputs<F: Float>(
    signals: &mut Shared<[f32]>,
    u: &Array<F>,
    delta: &Array<F>,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.share(s.signal_size())) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < comptime!(s.signal_size()) {
            signals[k] = f32::cast_from(u[i]);
            signals[k + comptime!(s.signal_size())] = f32::cast_from(delta[i]);
        }
    }
}

/// Puts the gradient of y and Δ u there, zero for channels that do not exist: what sums over
/// channels read.
#[cube]
pub fn store_weights<F: Float>(
    signals: &mut Shared<[f32]>,
    u: &Array<F>,
    delta: &Array<F>,
    dy: &Array<F>,
    d_len: usize,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.share(s.signal_size())) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < comptime!(s.signal_size()) {
            let there = CUBE_POS_X as usize * s.dg + k % s.dg < d_len;
            let drive = f32::cast_from(u[i]) * f32::cast_from(delta[i]);
            signals[k + comptime!(OUTPUT * s.signal_size())] =
                select(there, f32::cast_from(dy[i]), 0.0f32);
            signals[k + comptime!(DRIVE * s.signal_size())] = select(there, drive, 0.0f32);
        }
    }
}

/// One value (row `k` of the unit, its channel) of an operand.
#[cube]
pub fn signal(
    signals: &Shared<[f32]>,
    #[comptime] which: usize,
    #[comptime] k: usize,
    me: &Place,
    #[comptime] s: Plan,
) -> f32 {
    signals[me.row * s.dg + me.lane + comptime!(which * s.signal_size() + k * s.dg)]
}

/// First vector of row `k` of the unit in the operands (v, n); the unit's own part of the row.
#[cube]
pub fn row_at(#[comptime] k: usize, me: &Place, #[comptime] s: Plan) -> usize {
    min(me.row + k, comptime!(s.v - 1).runtime()) * s.n4 + me.col
}

/// Asks for `size` vectors from `offset` on.
#[cube]
pub fn fetch(
    into: &mut Array<V4>,
    from: &[V4],
    offset: usize,
    #[comptime] size: usize,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.share(size)) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < size {
            into[i] = from[offset + k];
        }
    }
}

/// Puts them into shared memory.
#[cube]
pub fn store(
    into: &mut Shared<[V4]>,
    from: &Array<V4>,
    #[comptime] size: usize,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.share(size)) {
        let k = UNIT_POS as usize + comptime!(i * s.units);
        if k < size {
            into[k] = from[i];
        }
    }
}

/// Asks for the vectors a unit owns of the state `which` among several (b, v, d, n).
#[cube]
pub fn fetch_state(
    h: &mut Array<V4>,
    from: &[V4],
    which: usize,
    me: &Place,
    d_len: usize,
    #[comptime] s: Plan,
) {
    #[unroll]
    for k in 0..s.tv {
        #[unroll]
        for j in 0..s.nt4 {
            if me.row + k < s.v {
                h[comptime!(k * s.nt4 + j)] = from[state_at(which, me, k, d_len, s) + j];
            }
        }
    }
}

/// Writes the vectors a unit owns of the state `which` among several (b, v, d, n).
#[cube]
pub fn store_state(
    into: &mut [V4],
    h: &Array<V4>,
    which: usize,
    me: &Place,
    d_len: usize,
    #[comptime] s: Plan,
) {
    if me.active {
        #[unroll]
        for k in 0..s.tv {
            #[unroll]
            for j in 0..s.nt4 {
                if me.row + k < s.v {
                    into[state_at(which, me, k, d_len, s) + j] = h[comptime!(k * s.nt4 + j)];
                }
            }
        }
    }
}

/// acc += dy ⊗ C for one of the operands C, which starts at `offset`.
#[cube]
pub fn add_output(
    acc: &mut Array<V4>,
    signals: &Shared<[f32]>,
    rows: &Shared<[V4]>,
    #[comptime] offset: usize,
    me: &Place,
    #[comptime] s: Plan,
) {
    #[unroll]
    for k in 0..s.tv {
        let weight = V4::new(signal(signals, comptime!(OUTPUT), k, me, s));
        let row = row_at(k, me, s) + offset;
        #[unroll]
        for j in 0..s.nt4 {
            let to = comptime!(k * s.nt4 + j);
            acc[to] = fma(weight, rows[row + j], acc[to]);
        }
    }
}
