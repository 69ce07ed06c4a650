//! The fused forward kernel: one pass over time, the state never leaves the cube.

use super::ahead::*;
use super::tile::*;
use cubecl::prelude::*;

/// One step of the state: from h_{t-1} in `hs` and P_t h_{t-1} in `ph` (in the second buffer of
/// `hs` when n is spread over several units) to h_t in registers.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn advance(
    h: &mut Array<V4>,
    ph: &Array<V4>,
    hs: &Shared<[V4]>,
    w_root: &Shared<[V4]>,
    w_rel: &Shared<[V4]>,
    a: &Array<V4>,
    signals: &Shared<[f32]>,
    rows: &Shared<[V4]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    clear(h, s);
    if comptime!(s.root) {
        mix(h, hs, 0usize, w_root, me, s);
    }
    if comptime!(s.slices() > 1) {
        mix(h, hs, comptime!(s.buffer()), w_rel, me, s);
    } else {
        // All of n is at hand: no way through shared memory.
        #[unroll]
        for m4 in 0..s.n4 {
            #[unroll]
            for c in 0..4usize {
                #[unroll]
                for j in 0..s.nt4 {
                    let weight = w_rel[comptime!((m4 * 4 + c) * s.n4 + j)];
                    #[unroll]
                    for k in 0..s.tv {
                        let i = comptime!(k * s.nt4 + j);
                        let value = ph[comptime!(k * s.nt4 + m4)].extract(c);
                        h[i] = fma(V4::new(value), weight, h[i]);
                    }
                }
            }
        }
    }
    #[unroll]
    for k in 0..s.tv {
        let step = signal(signals, comptime!(STEP), k, me, s);
        let drive = step * signal(signals, comptime!(INPUT), k, me, s);
        let row = row_at(k, me, s);
        #[unroll]
        for j in 0..s.nt4 {
            let i = comptime!(k * s.nt4 + j);
            let decay = (a[j] * V4::new(step)).exp();
            h[i] = fma(decay, h[i], V4::new(drive) * rows[row + j]);
        }
    }
}

/// Where in time a step is.
#[derive(CubeType, Clone, Copy)]
pub struct Time {
    pub sample: usize,
    pub t: usize,
    pub l: usize,
    pub d_len: usize,
}

/// h (b, v, d, n) of one sample: index of the first vector of a unit's row `k`.
#[cube]
pub fn state_at(sample: usize, me: &Place, k: usize, d_len: usize, #[comptime] s: Plan) -> usize {
    ((sample * s.v + me.row + k) * d_len + me.d) * s.n4 + me.col
}

/// Grid: (⌈d / dg⌉, b).
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn fused_forward<F: Float>(
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    skip: &[f32],
    pt: &[V4],
    a_root: &[V4],
    a_rel: &[V4],
    initial: &[V4],
    y: &mut [F],
    last: &mut [V4],
    checkpoints: &mut [V4],
    l: usize,
    d_len: usize,
    b_len: usize,
    #[comptime] s: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let sample = CUBE_POS_Y as usize;
    let me = place(d_len, s);

    // h, and P h where the units need each other's part of it.
    let mut hs =
        Shared::<[V4]>::new_slice(comptime!(s.buffer() * if s.slices() > 1 { 2 } else { 1 }));
    let mut ps = Shared::<[V4]>::new_slice(comptime!(s.p_size()));
    let mut next_ps = Shared::<[V4]>::new_slice(comptime!(if s.p_steps { s.p_size() } else { 1 }));
    let mut w_root = Shared::<[V4]>::new_slice(comptime!(if s.root { s.w_size() } else { 1 }));
    let mut w_rel = Shared::<[V4]>::new_slice(comptime!(s.w_size()));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(s.slice_sums()));
    let mut signals = Shared::<[f32]>::new_slice(comptime!(2 * s.signal_size()));
    let mut rows = Shared::<[V4]>::new_slice(comptime!(s.rows_size()));

    let mut next_u = Array::<F>::new(comptime!(s.share(s.signal_size())));
    let mut next_delta = Array::<F>::new(comptime!(s.share(s.signal_size())));
    let mut next_rows = Array::<Vector<F, Const<4>>>::new(comptime!(s.share(s.rows_size())));
    let mut next_p = Array::<V4>::new(comptime!(if s.p_steps { s.share(s.p_size()) } else { 1 }));
    let first = Time {
        sample,
        t: 0usize.runtime(),
        l,
        d_len,
    };
    fetch_signal::<F>(&mut next_u, u, &first, s);
    fetch_signal::<F>(&mut next_delta, delta, &first, s);
    fetch_rows::<F>(&mut next_rows, b, c1, c2, &first, s);
    store_inputs::<F>(&mut signals, &next_u, &next_delta, s);
    store_rows::<F>(&mut rows, &next_rows, s);

    if comptime!(s.root) {
        stage(&mut w_root, a_root, 0usize, comptime!(s.w_size()), s);
    }
    stage(&mut w_rel, a_rel, 0usize, comptime!(s.w_size()), s);
    if comptime!(!s.sparse) {
        let from = p_offset(sample, 0usize, l, s);
        stage(&mut ps, pt, from, comptime!(s.p_size()), s);
    }

    let mut ra = Array::<V4>::new(s.nt4);
    #[unroll]
    for j in 0..s.nt4 {
        ra[j] = a[me.d * s.n4 + me.col + j];
    }
    let mut gain = 0.0f32;
    if comptime!(s.skip) {
        if me.slice == 0 {
            gain = skip[me.d];
        }
    }
    let mut h = Array::<V4>::new(comptime!(s.owned()));
    let mut ph = Array::<V4>::new(comptime!(s.owned()));
    #[unroll]
    for k in 0..s.tv {
        #[unroll]
        for j in 0..s.nt4 {
            let i = comptime!(k * s.nt4 + j);
            h[i] = V4::new(0.0f32);
            ph[i] = V4::new(0.0f32);
            if comptime!(s.state) {
                if me.row + k < s.v {
                    h[i] = initial[state_at(sample, &me, k, d_len, s) + j];
                }
            }
        }
    }
    put(&mut hs, 0usize, &h, &me, s);
    if comptime!(s.p_steps) {
        let from = p_offset(sample, min(1usize, l - 1), l, s);
        fetch(&mut next_p, pt, from, comptime!(s.p_size()), s);
    }
    sync_cube();
    if comptime!(s.state) {
        spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);
    }
    if comptime!(s.slices() > 1) {
        put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
        sync_cube();
    }

    for t in 0..l {
        if comptime!(s.every > 0) {
            if t % s.every == 0 && me.active {
                let chunk = (t / s.every) * b_len;
                #[unroll]
                for k in 0..s.tv {
                    if me.row + k < s.v {
                        #[unroll]
                        for j in 0..s.nt4 {
                            checkpoints[state_at(chunk + sample, &me, k, d_len, s) + j] =
                                hs[at(me.row + k, me.lane, me.col + j, s)];
                        }
                    }
                }
            }
        }
        advance(
            &mut h, &ph, &hs, &w_root, &w_rel, &ra, &signals, &rows, &me, s,
        );
        // Before a barrier: the compiler moves loads towards their use, but not across it.
        if t + 1 < l {
            let next = Time {
                sample,
                t: t + 1,
                l,
                d_len,
            };
            fetch_rows::<F>(&mut next_rows, b, c1, c2, &next, s);
            fetch_signal::<F>(&mut next_u, u, &next, s);
            fetch_signal::<F>(&mut next_delta, delta, &next, s);
        }
        sync_cube();
        put(&mut hs, 0usize, &h, &me, s);
        if comptime!(s.p_steps) {
            if t + 1 < l {
                store(&mut next_ps, &next_p, comptime!(s.p_size()), s);
            }
        }
        clear(&mut ph, s);
        sync_cube();
        spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);

        #[unroll]
        for k in 0..s.tv {
            let row = row_at(k, &me, s);
            let mut read = V4::new(0.0f32);
            #[unroll]
            for j in 0..s.nt4 {
                let i = comptime!(k * s.nt4 + j);
                read = fma(ph[i], rows[row + comptime!(s.row_size()) + j], read);
                if comptime!(s.c1) {
                    read = fma(
                        hs[at(me.row + k, me.lane, me.col + j, s)],
                        rows[row + comptime!(2 * s.row_size()) + j],
                        read,
                    );
                }
            }
            let mut part = total(read);
            if comptime!(s.skip) {
                part = fma(gain, signal(&signals, comptime!(INPUT), k, &me, s), part);
            }
            if comptime!(s.slice_sums() > 1) {
                if me.owner {
                    sums[me.slice * comptime!(s.slice_pitch()) + (me.row + k) * s.dg + me.lane] =
                        part;
                }
            } else {
                part = over_slices(part, s);
                if me.active && me.slice == 0 && me.row + k < s.v {
                    let at = ((sample * s.v + me.row + k) * l + t) * d_len + me.d;
                    y[at] = F::cast_from(part);
                }
            }
        }
        if comptime!(s.p_steps) {
            // P_{t+1} h_t, for the next step; P_{t+1} then takes the place of P_t.
            if t + 1 < l {
                clear(&mut ph, s);
                spread(&mut ph, &next_ps, pt, 0usize, &hs, &me, s);
            }
        }
        sync_cube();
        if t + 1 < l {
            store_inputs::<F>(&mut signals, &next_u, &next_delta, s);
            store_rows::<F>(&mut rows, &next_rows, s);
            if comptime!(s.p_steps) {
                store(&mut ps, &next_p, comptime!(s.p_size()), s);
            }
        }
        if comptime!(s.slices() > 1) {
            put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
        }
        if comptime!(s.p_steps) {
            let from = p_offset(sample, min(t + 2, l - 1), l, s);
            fetch(&mut next_p, pt, from, comptime!(s.p_size()), s);
        }
        sync_cube();
        if comptime!(s.slice_sums() > 1) {
            // One unit per (v, d) adds the slices, in their order.
            let count = comptime!(s.v * s.dg);
            for i in 0..comptime!(count.div_ceil(s.units)) {
                let k = i * s.units + UNIT_POS as usize;
                let d = CUBE_POS_X as usize * s.dg + k % s.dg;
                if k < count && d < d_len {
                    let mut out = 0.0f32;
                    #[unroll]
                    for slice in 0..comptime!(s.slices()) {
                        out += sums[comptime!(slice * s.slice_pitch()) + k];
                    }
                    let at = ((sample * s.v + k / s.dg) * l + t) * d_len + d;
                    y[at] = F::cast_from(out);
                }
            }
        }
    }
    if me.active {
        #[unroll]
        for k in 0..s.tv {
            if me.row + k < s.v {
                #[unroll]
                for j in 0..s.nt4 {
                    last[state_at(sample, &me, k, d_len, s) + j] =
                        hs[at(me.row + k, me.lane, me.col + j, s)];
                }
            }
        }
    }
}
