//! What the kernels share: how a scan is cut into cubes, units and tiles of time, and how a tile is
//! brought into shared memory.
//!
//! A cube owns one sample and `lanes` neighbouring channels, and runs over time. A unit owns one
//! channel and `kn` of its states; `groups` units share a channel. Before a tile of `tile` steps is
//! scanned, Δ', Δ'u, B and C of the tile are laid out in shared memory; there each unit is in charge
//! of its channel and every `groups`-th step.

use cubecl::prelude::*;

/// Four consecutive states.
pub type V4 = Vector<f32, Const<4>>;

/// Δ' and Δ'u of a step and channel.
pub type V2 = Vector<f32, Const<2>>;

/// [`V2`] of its two values.
#[cube]
pub fn pair(step: f32, drive: f32) -> V2 {
    let mut pair = V2::new(step);
    pair.insert(1usize, drive);
    pair
}

/// Sizes and choices a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// States.
    pub n: usize,
    /// States of a unit, a multiple of four.
    pub kn: usize,
    /// Units side by side along n: ⌈n / kn⌉ rounded up to a power of two.
    pub groups: usize,
    /// Units side by side along d, and channels of a cube.
    pub lanes: usize,
    /// Steps of a tile, a multiple of `groups`.
    pub tile: usize,
    /// Steps between two checkpoints, a multiple of `tile`; 0: none are written.
    pub every: usize,
    /// Planes have 32 units, which divides `lanes`, and can exchange values.
    pub planes: bool,
    pub softplus: bool,
    pub skip: bool,
    pub gate: bool,
    pub bias: bool,
    /// There is a state before the first step.
    pub state: bool,
    /// There is a gradient of the last state.
    pub state_grad: bool,
}

impl Plan {
    pub const fn units(&self) -> usize {
        self.lanes * self.groups
    }

    /// Rounds in which a tile is laid out.
    pub const fn rounds(&self) -> usize {
        self.tile / self.groups
    }

    /// n padded to whole units, in vectors of four.
    pub const fn n4(&self) -> usize {
        self.groups * self.kn / 4
    }

    /// Vectors of B (or C) of a tile.
    pub const fn vectors(&self) -> usize {
        self.tile * self.n4()
    }

    /// Rounds in which B and C are laid out.
    pub const fn vector_rounds(&self) -> usize {
        (2 * self.vectors()).div_ceil(self.units())
    }

    /// Values of a unit and step that are summed over the channels of a cube: dB and dC.
    pub const fn sums(&self) -> usize {
        2 * self.kn
    }

    /// Lanes over which they are summed first.
    pub const fn width(&self) -> usize {
        if self.planes { 32 } else { self.lanes }
    }

    /// Values that are exchanged through shared memory where planes cannot.
    pub const fn exchange(&self) -> usize {
        if self.planes {
            1
        } else {
            self.units() * self.sums()
        }
    }

    /// Bytes of shared memory of the forward kernel.
    pub const fn forward_bytes(&self) -> usize {
        let size = self.tile * self.lanes;
        4 * (2 * size + 8 * self.vectors() + self.groups * size)
    }

    /// Bytes of shared memory of the backward kernel.
    pub const fn backward_bytes(&self) -> usize {
        let size = self.tile * self.lanes;
        let parts = if self.gate { 3 } else { 2 } * self.groups * size;
        4 * (3 * size + 8 * self.vectors() + parts + self.tile * self.units() + self.exchange() + 4)
    }
}

/// Where a unit stands.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    pub sample: usize,
    pub l: usize,
    pub d_len: usize,
    pub unit: usize,
    /// Which states: those from `group · kn`.
    pub group: usize,
    /// Channel within the cube.
    pub lane: usize,
    /// The unit's channel, clamped to the last one.
    pub ch: usize,
    /// That channel exists.
    pub inside: bool,
}

#[cube]
pub fn place(l: usize, d_len: usize, #[comptime] s: Plan) -> Place {
    let unit = UNIT_POS as usize;
    let lane = unit % s.lanes;
    let ch = CUBE_POS_X as usize * s.lanes + lane;
    let inside = ch < d_len;
    Place {
        sample: CUBE_POS_Y as usize,
        l,
        d_len,
        unit,
        group: unit / s.lanes,
        lane,
        ch: select(inside, ch, d_len - 1),
        inside,
    }
}

/// Reads the values of a (b, l, d) tensor that a unit lays out, of the tile that starts at `t0`.
/// Beyond the end of time it reads the last step.
#[cube]
pub fn fetch<F: Float>(
    into: &mut Array<F>,
    from: &[F],
    t0: usize,
    me: &Place,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.rounds()) {
        let t = min(t0 + me.group + comptime!(i * s.groups), me.l - 1);
        into[i] = from[(me.sample * me.l + t) * me.d_len + me.ch];
    }
}

/// Reads the values of B and C, (b, l, n), that a unit lays out: first all of B, then all of C.
#[cube]
pub fn fetch_states<F: Float>(
    into: &mut Array<F>,
    b: &[F],
    c: &[F],
    t0: usize,
    me: &Place,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.vector_rounds()) {
        let k = me.unit + comptime!(i * s.units());
        let vector = k % comptime!(s.vectors());
        let t = min(t0 + vector / comptime!(s.n4()), me.l - 1);
        let first = (vector % comptime!(s.n4())) * 4;
        let base = (me.sample * me.l + t) * s.n;
        if k < comptime!(s.vectors()) {
            #[unroll]
            for j in 0..4usize {
                into[comptime!(i * 4 + j)] = b[base + min(first + j, comptime!(s.n - 1).runtime())];
            }
        } else if k < comptime!(2 * s.vectors()) {
            #[unroll]
            for j in 0..4usize {
                into[comptime!(i * 4 + j)] = c[base + min(first + j, comptime!(s.n - 1).runtime())];
            }
        }
    }
}

/// Lays out B and C of a tile as [step][state / 4]; states beyond n are zero.
#[cube]
pub fn lay_states<F: Float>(
    bs: &mut Shared<[V4]>,
    cs: &mut Shared<[V4]>,
    from: &Array<F>,
    me: &Place,
    #[comptime] s: Plan,
) {
    #[unroll]
    for i in 0..comptime!(s.vector_rounds()) {
        let k = me.unit + comptime!(i * s.units());
        if k < comptime!(2 * s.vectors()) {
            let vector = k % comptime!(s.vectors());
            let first = (vector % comptime!(s.n4())) * 4;
            let mut values = V4::new(0.0f32);
            #[unroll]
            for j in 0..4usize {
                let value = f32::cast_from(from[comptime!(i * 4 + j)]);
                values.insert(j, select(first + j < s.n, value, 0.0f32));
            }
            if k < comptime!(s.vectors()) {
                bs[vector] = values;
            } else {
                cs[vector] = values;
            }
        }
    }
}

/// Reads a unit's part of a (.., d, n) tensor whose first row is `offset`; zero beyond it.
#[cube]
pub fn own_states(
    into: &mut Array<f32>,
    from: &[f32],
    offset: usize,
    me: &Place,
    #[comptime] s: Plan,
) {
    let row = (offset + me.ch) * s.n;
    #[unroll]
    for k in 0..s.kn {
        let state = me.group * s.kn + k;
        let value = from[row + min(state, comptime!(s.n - 1).runtime())];
        let exists = me.inside && state < s.n;
        into[k] = select(exists, value, 0.0f32);
    }
}

/// Writes a unit's part of a (b, d, n) tensor.
#[cube]
pub fn put_states(into: &mut [f32], from: &Array<f32>, me: &Place, #[comptime] s: Plan) {
    if me.inside {
        #[unroll]
        for k in 0..s.kn {
            let state = me.group * s.kn + k;
            if state < s.n {
                into[(me.sample * me.d_len + me.ch) * s.n + state] = from[k];
            }
        }
    }
}

/// exp(-|v|), from which [`softplus`] and [`sigmoid`] of v are made: it does not overflow.
#[cube]
pub fn folded_exp(v: f32) -> f32 {
    (-v.abs()).exp()
}

/// ln(1 + exp v) = max(v, 0) + ln(1 + z), with z = exp(-|v|); above 20 it is v.
///
/// ln(1 + z) / z is a polynomial that interpolates at ten Chebyshev nodes of \[0, 1\]: relative
/// error 9e-8 in f32.
#[cube]
pub fn softplus(v: f32, z: f32) -> f32 {
    let mut series = fma(z, -0.003_176_057f32, 0.019_542_526f32);
    series = fma(series, z, -0.056_373_61f32);
    series = fma(series, z, 0.105_436_236f32);
    series = fma(series, z, -0.152_696_67f32);
    series = fma(series, z, 0.196_632_74f32);
    series = fma(series, z, -0.249_516_16f32);
    series = fma(series, z, 0.333_297_1f32);
    series = fma(series, z, -0.499_998_93f32);
    series = fma(series, z, 1.0f32);
    fma(series, z, max(v, 0.0f32))
}

/// 1 / (1 + exp(-v)), with z = exp(-|v|).
///
/// The reciprocal of 1 + z is a parabola with relative error 1e-2 and two Newton steps (1e-7):
/// an exact division would cost twice as much, and a branch.
#[cube]
pub fn sigmoid(v: f32, z: f32) -> f32 {
    let guess = fma(fma(z, 0.323_232_32f32, -0.808_080_8f32), z, 0.989_899f32);
    let sum = 1.0f32 + z;
    let better = fma(guess, fma(-sum, guess, 1.0f32), guess);
    let inverse = fma(better, fma(-sum, better, 1.0f32), better);
    select(v < 0.0f32, z * inverse, inverse)
}
