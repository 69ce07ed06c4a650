//! The forward kernel: one pass over time, the states stay in registers.

use super::tile::*;
use cubecl::prelude::*;

/// Grid: (⌈d / channels⌉, b). While a tile is scanned, the values of the next are on their way.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn scan_forward<F: Float>(
    u: &[F],
    delta: &[F],
    a: &[f32],
    b: &[F],
    c: &[F],
    skip: &[f32],
    gate: &[F],
    bias: &[f32],
    initial: &[f32],
    y: &mut [F],
    last: &mut [f32],
    checkpoints: &mut [f32],
    b_len: usize,
    l: usize,
    d_len: usize,
    #[comptime] s: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let me = place(l, d_len, s);
    let size = comptime!(s.tile * s.lanes);
    let mut steps = Shared::<[V2]>::new_slice(size);
    let mut bs = Shared::<[V4]>::new_slice(comptime!(s.vectors()));
    let mut cs = Shared::<[V4]>::new_slice(comptime!(s.vectors()));
    let mut reads = Shared::<[f32]>::new_slice(comptime!(s.groups * s.tile * s.lanes));

    let mut ra = Array::<f32>::new(s.kn);
    own_states(&mut ra, a, 0usize, &me, s);
    let mut h = Array::<f32>::new(s.kn);
    if comptime!(s.state) {
        own_states(&mut h, initial, me.sample * d_len, &me, s);
    } else {
        #[unroll]
        for k in 0..s.kn {
            h[k] = 0.0;
        }
    }
    let mut bias_ch = 0.0f32;
    if comptime!(s.bias) {
        bias_ch = bias[me.ch];
    }
    let mut skip_ch = 0.0f32;
    if comptime!(s.skip) {
        skip_ch = skip[me.ch];
    }

    let rounds = comptime!(s.rounds());
    let mut next_u = Array::<F>::new(rounds);
    let mut next_delta = Array::<F>::new(rounds);
    let mut next_gate = Array::<F>::new(rounds);
    let mut next_bc = Array::<F>::new(comptime!(4 * s.vector_rounds()));
    fetch(&mut next_u, u, 0usize, &me, s);
    fetch(&mut next_delta, delta, 0usize, &me, s);
    fetch_states(&mut next_bc, b, c, 0usize, &me, s);
    if comptime!(s.gate) {
        fetch(&mut next_gate, gate, 0usize, &me, s);
    }
    let mut out = Array::<f32>::new(s.tile);
    let mut now_u = Array::<f32>::new(rounds);
    let mut now_gate = Array::<f32>::new(rounds);

    for q in 0..l.div_ceil(s.tile) {
        let t0 = q * s.tile;
        #[unroll]
        for i in 0..rounds {
            let i_row = me.group + comptime!(i * s.groups);
            let mut step = f32::cast_from(next_delta[i]) + bias_ch;
            if comptime!(s.softplus) {
                step = softplus(step, folded_exp(step));
            }
            // A step beyond the end leaves the state as it is.
            step = select(t0 + i_row < l && me.inside, step, 0.0f32);
            now_u[i] = f32::cast_from(next_u[i]);
            if comptime!(s.gate) {
                now_gate[i] = f32::cast_from(next_gate[i]);
            }
            steps[i_row * s.lanes + me.lane] = pair(step, step * now_u[i]);
        }
        lay_states(&mut bs, &mut cs, &next_bc, &me, s);
        sync_cube();

        let ahead = t0 + s.tile;
        fetch(&mut next_u, u, ahead, &me, s);
        fetch(&mut next_delta, delta, ahead, &me, s);
        fetch_states(&mut next_bc, b, c, ahead, &me, s);
        if comptime!(s.gate) {
            fetch(&mut next_gate, gate, ahead, &me, s);
        }

        if comptime!(s.every > 0) {
            if t0 % s.every == 0 && me.inside {
                let row = (t0 / s.every * b_len + me.sample) * s.n;
                #[unroll]
                for k in 0..s.kn {
                    let state = me.group * s.kn + k;
                    if state < s.n {
                        checkpoints[(row + state) * d_len + me.ch] = h[k];
                    }
                }
            }
        }

        #[unroll]
        for i in 0..s.tile {
            let both = steps[comptime!(i * s.lanes) + me.lane];
            let step = both.extract(0usize);
            let drive = both.extract(1usize);
            let mut read = 0.0f32;
            #[unroll]
            for k4 in 0..comptime!(s.kn / 4) {
                let row = comptime!(i * s.n4() + k4) + me.group * comptime!(s.kn / 4);
                let b4 = bs[row];
                let c4 = cs[row];
                #[unroll]
                for c in 0..4usize {
                    let k = comptime!(k4 * 4 + c);
                    let decay = (step * ra[k]).exp();
                    let hk = fma(decay, h[k], drive * b4.extract(c));
                    h[k] = hk;
                    read = fma(hk, c4.extract(c), read);
                }
            }
            out[i] = read;
        }
        // Only now: a write between two steps would hold up the reads of the next.
        #[unroll]
        for i in 0..s.tile {
            reads[(me.group * s.tile + i) * s.lanes + me.lane] = out[i];
        }
        sync_cube();

        #[unroll]
        for i in 0..rounds {
            let i_row = me.group + comptime!(i * s.groups);
            let mut value = skip_ch * now_u[i];
            #[unroll]
            for g in 0..s.groups {
                value += reads[(i_row + comptime!(g * s.tile)) * s.lanes + me.lane];
            }
            if comptime!(s.gate) {
                value *= now_gate[i] * sigmoid(now_gate[i], folded_exp(now_gate[i]));
            }
            let t = t0 + i_row;
            if t < l && me.inside {
                y[(me.sample * l + t) * d_len + me.ch] = F::cast_from(value);
            }
        }
    }
    put_states(last, &h, &me, s);
}
