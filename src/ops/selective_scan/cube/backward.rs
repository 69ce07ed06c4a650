//! The backward kernel: one pass over time from its end, the gradients of the states stay in
//! registers.

use super::sums::{fold_lanes, fold_shared};
use super::tile::*;
use cubecl::prelude::*;

/// What a unit reads of a step; two of them, so that the next step is read before the current one
/// is written: the compiler cannot know that these are different places of shared memory.
#[derive(CubeType)]
struct Ahead {
    pairs: Array<V2>,
    dys: Array<f32>,
    b: Array<V4>,
    c: Array<V4>,
}

#[cube]
fn new_ahead(#[comptime] s: Plan) -> Ahead {
    Ahead {
        pairs: Array::new(2usize),
        dys: Array::new(2usize),
        b: Array::new(comptime!(s.kn / 2)),
        c: Array::new(comptime!(s.kn / 2)),
    }
}

/// Reads step `i` of a tile.
#[cube]
fn look(into: &mut Ahead, tile: &Tile, me: &Place, #[comptime] i: usize, #[comptime] s: Plan) {
    let at = comptime!(i * s.lanes) + me.lane;
    into.pairs[comptime!(i % 2)] = tile.steps[at];
    into.dys[comptime!(i % 2)] = tile.dys[at];
    #[unroll]
    for k4 in 0..comptime!(s.kn / 4) {
        let row = comptime!(i * s.n4() + k4) + me.group * comptime!(s.kn / 4);
        into.b[comptime!(i % 2 * (s.kn / 4) + k4)] = tile.bs[row];
        into.c[comptime!(i % 2 * (s.kn / 4) + k4)] = tile.cs[row];
    }
}

/// A tile in shared memory.
#[derive(CubeType)]
struct Tile {
    steps: Shared<[V2]>,
    dys: Shared<[f32]>,
    bs: Shared<[V4]>,
    cs: Shared<[V4]>,
}

/// Recomputes the states of a tile: advances `h` over it. With `keep`, state i of the tile and
/// decay i go to `states` and `decays`, and Σ_n h C to `reads`.
#[cube]
#[allow(clippy::too_many_arguments)]
fn advance(
    h: &mut Array<f32>,
    states: &mut Array<f32>,
    decays: &mut Array<f32>,
    reads: &mut Shared<[f32]>,
    a: &Array<f32>,
    tile: &Tile,
    me: &Place,
    #[comptime] keep: bool,
    #[comptime] s: Plan,
) {
    let mut ahead = new_ahead(s);
    look(&mut ahead, tile, me, 0usize, s);
    #[unroll]
    for i in 0..s.tile {
        if comptime!(i + 1 < s.tile) {
            look(&mut ahead, tile, me, comptime!(i + 1), s);
        }
        let both = ahead.pairs[comptime!(i % 2)];
        let step = both.extract(0usize);
        let drive = both.extract(1usize);
        let mut read = 0.0f32;
        #[unroll]
        for in_n in 0..s.kn {
            let b4 = ahead.b[comptime!(i % 2 * (s.kn / 4) + in_n / 4)];
            let c4 = ahead.c[comptime!(i % 2 * (s.kn / 4) + in_n / 4)];
            let k = in_n;
            let decay = (step * a[k]).exp();
            if comptime!(keep) {
                states[comptime!(i * s.kn + k)] = h[k];
                decays[comptime!(i * s.kn + k)] = decay;
            }
            h[k] = fma(decay, h[k], drive * b4.extract(comptime!(in_n % 4)));
            read = fma(h[k], c4.extract(comptime!(in_n % 4)), read);
        }
        if comptime!(keep && s.gate) {
            let at = comptime!(i * s.lanes) + me.lane;
            reads[me.group * comptime!(s.tile * s.lanes) + at] = read;
        }
    }
}

/// Grid: (⌈d / channels⌉, b). Sums over channels go to `part_b`, `part_c` (b, cubes, l, n), sums
/// over time to `part_a` (b, d, n), `part_skip`, `part_bias` (b, d).
///
/// With λ_t the gradient of h_t from all later steps, and dy' = dy silu(z):
///
/// ```text
/// g_t = λ_t + dy'_t C_t             λ_{t-1} = exp(Δ'_t A) g_t
/// dC_t = Σ_d dy'_t h_t              dB_t = Σ_d g_t Δ'_t u_t
/// dΔ'_t = Σ_n λ_{t-1} A h_{t-1} + u_t Σ_n g_t B_t
/// du_t = Δ'_t Σ_n g_t B_t + D dy'_t         dA = Σ_t λ_{t-1} h_{t-1} Δ'_t
/// ```
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn scan_backward<F: Float>(
    u: &[F],
    delta: &[F],
    a: &[f32],
    b: &[F],
    c: &[F],
    skip: &[f32],
    gate: &[F],
    bias: &[f32],
    checkpoints: &[f32],
    dy: &[F],
    dlast: &[f32],
    scratch: &mut [f32],
    du: &mut [F],
    ddelta: &mut [F],
    dgate: &mut [F],
    dinitial: &mut [f32],
    part_a: &mut [f32],
    part_b: &mut [f32],
    part_c: &mut [f32],
    part_skip: &mut [f32],
    part_bias: &mut [f32],
    b_len: usize,
    l: usize,
    d_len: usize,
    #[comptime] s: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let me = place(l, d_len, s);
    let own = s.kn;
    let size = comptime!(s.tile * s.lanes);
    let mut tile = Tile {
        steps: Shared::new_slice(size),
        dys: Shared::new_slice(size),
        bs: Shared::new_slice(comptime!(s.vectors())),
        cs: Shared::new_slice(comptime!(s.vectors())),
    };
    let parts = comptime!(s.groups * size);
    let mut reads = Shared::<[f32]>::new_slice(comptime!(if s.gate { parts } else { 1 }));
    let mut to_drive = Shared::<[f32]>::new_slice(parts);
    let mut to_step = Shared::<[f32]>::new_slice(parts);
    let mut folded = Shared::<[f32]>::new_slice(comptime!(s.tile * s.units()));
    let mut exchange = Shared::<[f32]>::new_slice(comptime!(s.exchange()));

    let mut ra = Array::<f32>::new(own);
    own_states(&mut ra, a, 0usize, &me, s);
    let mut da = Array::<f32>::new(own);
    let mut dh = Array::<f32>::new(own);
    let mut h = Array::<f32>::new(own);
    let mut states = Array::<f32>::new(comptime!(s.tile * own));
    let mut decays = Array::<f32>::new(comptime!(s.tile * own));
    #[unroll]
    for k in 0..own {
        da[k] = 0.0;
        dh[k] = 0.0;
    }
    if comptime!(s.state_grad) {
        own_states(&mut dh, dlast, me.sample * d_len, &me, s);
    }
    let mut bias_ch = 0.0f32;
    if comptime!(s.bias) {
        bias_ch = bias[me.ch];
    }
    let mut skip_ch = 0.0f32;
    if comptime!(s.skip) {
        skip_ch = skip[me.ch];
    }
    let mut dskip = 0.0f32;
    let mut dbias = 0.0f32;

    let rounds = comptime!(s.rounds());
    let mut next_u = Array::<F>::new(rounds);
    let mut next_delta = Array::<F>::new(rounds);
    let mut next_gate = Array::<F>::new(rounds);
    let mut next_dy = Array::<F>::new(rounds);
    let mut next_bc = Array::<F>::new(comptime!(4 * s.vector_rounds()));
    // What the unit laid out, for when the tile is done.
    let mut now_u = Array::<f32>::new(rounds);
    let mut now_step = Array::<f32>::new(rounds);
    let mut now_slope = Array::<f32>::new(rounds);
    let mut now_dy = Array::<f32>::new(rounds);
    let mut now_dgate = Array::<f32>::new(rounds);

    let chunks = l.div_ceil(s.every);
    let tiles = comptime!(s.every / s.tile);
    let end = chunks * s.every - s.tile;
    fetch(&mut next_u, u, end, &me, s);
    fetch(&mut next_delta, delta, end, &me, s);
    fetch(&mut next_dy, dy, end, &me, s);
    fetch_states(&mut next_bc, b, c, end, &me, s);
    if comptime!(s.gate) {
        fetch(&mut next_gate, gate, end, &me, s);
    }

    let cube = me.sample * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let scratch_base = cube * comptime!(tiles * own * s.units()) + me.unit;

    for back in 0..chunks {
        let q = chunks - 1 - back;
        let row = (q * b_len + me.sample) * s.n;
        #[unroll]
        for k in 0..s.kn {
            let state = me.group * s.kn + k;
            let value =
                checkpoints[(row + min(state, comptime!(s.n - 1).runtime())) * d_len + me.ch];
            h[k] = select(state < s.n && me.inside, value, 0.0f32);
        }

        // Every tile's first state, to go through the tiles from the last to the first.
        if comptime!(tiles > 1) {
            let mut early_u = Array::<F>::new(rounds);
            let mut early_delta = Array::<F>::new(rounds);
            let mut early_bc = Array::<F>::new(comptime!(4 * s.vector_rounds()));
            for m in 0..comptime!(tiles - 1) {
                let t0 = q * s.every + m * s.tile;
                #[unroll]
                for k in 0..own {
                    scratch[scratch_base + (m * own + k) * comptime!(s.units())] = h[k];
                }
                fetch(&mut early_u, u, t0, &me, s);
                fetch(&mut early_delta, delta, t0, &me, s);
                fetch_states(&mut early_bc, b, c, t0, &me, s);
                #[unroll]
                for i in 0..rounds {
                    let i_row = me.group + comptime!(i * s.groups);
                    let mut step = f32::cast_from(early_delta[i]) + bias_ch;
                    if comptime!(s.softplus) {
                        step = softplus(step, folded_exp(step));
                    }
                    step = select(t0 + i_row < l && me.inside, step, 0.0f32);
                    let at = i_row * s.lanes + me.lane;
                    tile.steps[at] = pair(step, step * f32::cast_from(early_u[i]));
                }
                lay_states(&mut tile.bs, &mut tile.cs, &early_bc, &me, s);
                sync_cube();
                advance(
                    &mut h,
                    &mut states,
                    &mut decays,
                    &mut reads,
                    &ra,
                    &tile,
                    &me,
                    false,
                    s,
                );
                sync_cube();
            }
        }

        for m_back in 0..tiles {
            let m = tiles - 1 - m_back;
            let t0 = q * s.every + m * s.tile;
            if comptime!(tiles > 1) {
                if m_back > 0 {
                    #[unroll]
                    for k in 0..own {
                        h[k] = scratch[scratch_base + (m * own + k) * comptime!(s.units())];
                    }
                }
            }
            #[unroll]
            for i in 0..rounds {
                let i_row = me.group + comptime!(i * s.groups);
                let exists = t0 + i_row < l && me.inside;
                let mut step = f32::cast_from(next_delta[i]) + bias_ch;
                now_slope[i] = 1.0f32;
                if comptime!(s.softplus) {
                    let z = folded_exp(step);
                    now_slope[i] = sigmoid(step, z);
                    step = softplus(step, z);
                }
                step = select(exists, step, 0.0f32);
                let mut grad = select(exists, f32::cast_from(next_dy[i]), 0.0f32);
                if comptime!(s.gate) {
                    let z = f32::cast_from(next_gate[i]);
                    let open = sigmoid(z, folded_exp(z));
                    now_dgate[i] = grad * open * fma(z, 1.0f32 - open, 1.0f32);
                    grad *= z * open;
                }
                now_u[i] = f32::cast_from(next_u[i]);
                now_step[i] = step;
                now_dy[i] = grad;
                let at = i_row * s.lanes + me.lane;
                tile.steps[at] = pair(step, step * now_u[i]);
                tile.dys[at] = grad;
            }
            lay_states(&mut tile.bs, &mut tile.cs, &next_bc, &me, s);
            sync_cube();

            let ahead = max(t0, comptime!(s.tile).runtime()) - s.tile;
            fetch(&mut next_u, u, ahead, &me, s);
            fetch(&mut next_delta, delta, ahead, &me, s);
            fetch(&mut next_dy, dy, ahead, &me, s);
            fetch_states(&mut next_bc, b, c, ahead, &me, s);
            if comptime!(s.gate) {
                fetch(&mut next_gate, gate, ahead, &me, s);
            }

            advance(
                &mut h,
                &mut states,
                &mut decays,
                &mut reads,
                &ra,
                &tile,
                &me,
                true,
                s,
            );
            reverse(
                &mut dh,
                &mut da,
                &mut h,
                &states,
                &decays,
                &ra,
                &tile,
                &mut to_drive,
                &mut to_step,
                &mut folded,
                &mut exchange,
                &me,
                s,
            );
            sync_cube();

            #[unroll]
            for i in 0..rounds {
                let i_row = me.group + comptime!(i * s.groups);
                let at = i_row * s.lanes + me.lane;
                let mut drive = 0.0f32;
                let mut step = 0.0f32;
                #[unroll]
                for g in 0..s.groups {
                    drive += to_drive[at + comptime!(g * size)];
                    step += to_step[at + comptime!(g * size)];
                }
                let t = t0 + i_row;
                let exists = t < l && me.inside;
                let grad = fma(drive, now_u[i], step) * now_slope[i];
                dbias += select(exists, grad, 0.0f32);
                dskip = fma(now_dy[i], now_u[i], dskip);
                let out = (me.sample * l + t) * d_len + me.ch;
                if exists {
                    ddelta[out] = F::cast_from(grad);
                    du[out] = F::cast_from(fma(drive, now_step[i], skip_ch * now_dy[i]));
                }
                if comptime!(s.gate) {
                    let mut read = skip_ch * now_u[i];
                    #[unroll]
                    for g in 0..s.groups {
                        read += reads[at + comptime!(g * size)];
                    }
                    if exists {
                        dgate[out] = F::cast_from(read * now_dgate[i]);
                    }
                }
            }
            put_sums(part_b, part_c, &folded, t0, &me, s);
        }
    }

    put_states(part_a, &da, &me, s);
    if comptime!(s.state) {
        put_states(dinitial, &dh, &me, s);
    }
    if comptime!(s.skip || s.bias) {
        to_drive[me.unit] = dskip;
        to_step[me.unit] = dbias;
        sync_cube();
        if me.group == 0 && me.inside {
            dskip = 0.0;
            dbias = 0.0;
            #[unroll]
            for i in 0..s.groups {
                dskip += to_drive[me.lane + comptime!(i * s.lanes)];
                dbias += to_step[me.lane + comptime!(i * s.lanes)];
            }
            let out = me.sample * d_len + me.ch;
            if comptime!(s.skip) {
                part_skip[out] = dskip;
            }
            if comptime!(s.bias) {
                part_bias[out] = dbias;
            }
        }
    }
}

/// Runs over a tile from its last step to its first; `h` is the state after it.
#[cube]
#[allow(clippy::too_many_arguments)]
fn reverse(
    dh: &mut Array<f32>,
    da: &mut Array<f32>,
    h: &mut Array<f32>,
    states: &Array<f32>,
    decays: &Array<f32>,
    a: &Array<f32>,
    tile: &Tile,
    to_drive: &mut Shared<[f32]>,
    to_step: &mut Shared<[f32]>,
    folded: &mut Shared<[f32]>,
    exchange: &mut Shared<[f32]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    let size = comptime!(s.tile * s.lanes);
    let mut sums = Array::<f32>::new(comptime!(s.sums()));
    let mut ahead = new_ahead(s);
    look(&mut ahead, tile, me, comptime!(s.tile - 1), s);
    #[unroll]
    for back in 0..s.tile {
        let i = comptime!(s.tile - 1 - back);
        if comptime!(i > 0) {
            look(&mut ahead, tile, me, comptime!(s.tile - 2 - back), s);
        }
        #[unroll]
        for k in 0..comptime!(s.sums()) {
            sums[k] = 0.0;
        }
        let both = ahead.pairs[comptime!(i % 2)];
        let step = both.extract(0usize);
        let drive = both.extract(1usize);
        let dy = ahead.dys[comptime!(i % 2)];
        let mut over_b = 0.0f32;
        let mut over_a = 0.0f32;
        #[unroll]
        for in_n in 0..s.kn {
            let b4 = ahead.b[comptime!(i % 2 * (s.kn / 4) + in_n / 4)];
            let c4 = ahead.c[comptime!(i % 2 * (s.kn / 4) + in_n / 4)];
            let k = in_n;
            let before = states[comptime!(i * s.kn + k)];
            let g = fma(dy, c4.extract(comptime!(in_n % 4)), dh[k]);
            sums[in_n] = fma(g, drive, sums[in_n]);
            sums[comptime!(s.kn + in_n)] = fma(dy, h[k], sums[comptime!(s.kn + in_n)]);
            over_b = fma(g, b4.extract(comptime!(in_n % 4)), over_b);
            let carried = g * decays[comptime!(i * s.kn + k)];
            let weight = carried * before;
            over_a = fma(weight, a[k], over_a);
            da[k] = fma(weight, step, da[k]);
            dh[k] = carried;
            h[k] = before;
        }
        let at = comptime!(i * s.lanes) + me.lane;
        to_drive[me.group * size + at] = over_b;
        to_step[me.group * size + at] = over_a;
        if comptime!(s.planes) {
            fold_lanes(&mut sums, (me.lane % 32) as u32, comptime!(s.sums()));
            folded[comptime!(i * s.units()) + me.unit] = sums[0];
        } else {
            let sum = fold_shared(&sums, exchange, me, s);
            folded[comptime!(i * s.units()) + me.unit] = sum;
        }
    }
}

/// Adds up what is left of the sums over the channels of the cube, and writes them.
#[cube]
fn put_sums(
    part_b: &mut [f32],
    part_c: &mut [f32],
    folded: &Shared<[f32]>,
    t0: usize,
    me: &Place,
    #[comptime] s: Plan,
) {
    let count = comptime!(s.sums());
    let parts = comptime!(s.width() / s.sums());
    let row = (me.sample * CUBE_COUNT_X as usize + CUBE_POS_X as usize) * me.l;
    let values = comptime!(s.tile * s.groups * s.sums());
    #[unroll]
    for i in 0..comptime!(values.div_ceil(s.units())) {
        let at = me.unit + comptime!(i * s.units());
        // Which step and group, and which of their sums.
        let strip = at / count;
        let value = at % count;
        let t = t0 + strip / s.groups;
        let state = strip % s.groups * s.kn + value % s.kn;
        if at < values && t < me.l && state < s.n {
            let mut sum = 0.0f32;
            #[unroll]
            for w in 0..comptime!(s.lanes / s.width()) {
                #[unroll]
                for p in 0..parts {
                    sum += folded[strip * s.lanes + value * parts + comptime!(w * s.width() + p)];
                }
            }
            let out = (row + t) * s.n + state;
            if value < s.kn {
                part_b[out] = sum;
            } else {
                part_c[out] = sum;
            }
        }
    }
}
