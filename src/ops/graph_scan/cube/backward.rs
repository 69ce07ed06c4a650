//! The fused backward kernel: time runs from the last step to the first, the gradient of the state
//! stays in the cube.
//!
//! With λ_t the gradient of h_t and q_t = exp(Δ_t A) ⊙ λ_t that of g_t = gconv_A(h_{t-1}):
//!
//! ```text
//! X_t = q_{t+1} W_relᵀ (with P_{t+1});  dy_t ⊗ C2_t (with P_t)
//! λ_t = q_{t+1} W_rootᵀ + dy_t ⊗ C1_t + Pᵀ X_t
//! dP  = Σ_{d,n} X_t ⊗ h_t          dW_root = Σ h_tᵀ q_{t+1}      dW_rel = Σ (P_{t+1} h_t)ᵀ q_{t+1}
//! dC1 = Σ_d dy_t h_t               dC2 = Σ_d dy_t (P_t h_t)      dB = Σ_d λ_t Δ_t u_t
//! dΔ  = Σ_n λ_t (A (h_t − Δ u B) + u B)      du = Σ_n λ_t Δ B + D dy      dA = Σ λ_t (h_t − Δ u B) Δ
//! ```
//!
//! When P does not change both parts of X_t share one product. Sums over the channels of a cube are
//! taken here, sums over cubes by a kernel of their own: no atomics, the same bits every time.

use super::ahead::*;
use super::forward::{Time, advance, state_at};
use super::sums::{add_outer_p, add_outer_w, over_channels, write_channels, write_p, write_w};
use super::tile::*;
use cubecl::prelude::*;

/// Grid: (⌈d / dg⌉, b). Parts that are sums over cubes: `part_b`, `part_c1`, `part_c2`
/// (channel groups, b, v, l, n); `part_a` (b, d, n); `part_skip` (b, d); `part_p`
/// (channel groups, b, l or 1, v, w), unused if P is sparse; `part_w` (channel groups, b, 1 or 2, n, n).
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn fused_backward<F: Float>(
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    skip: &[f32],
    pt: &[V4],
    pn: &[V4],
    a_root: &[V4],
    a_rel: &[V4],
    checkpoints: &[V4],
    last: &[V4],
    scratch: &mut [V4],
    dy: &[F],
    dlast: &[V4],
    du: &mut [F],
    ddelta: &mut [F],
    dinitial: &mut [V4],
    part_b: &mut [V4],
    part_c1: &mut [V4],
    part_c2: &mut [V4],
    part_a: &mut [V4],
    part_skip: &mut [f32],
    part_p: &mut [f32],
    part_w: &mut [V4],
    l: usize,
    d_len: usize,
    b_len: usize,
    half: usize,
    #[comptime] s: Plan,
    #[define(F)] _dtype: ElemType,
) {
    let sample = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let me = place(d_len, s);
    // This cube among all, in the order of the parts.
    let cube = CUBE_POS_X as usize * b_len + sample;

    let mut hs = Shared::<[V4]>::new_slice(comptime!(2 * s.buffer()));
    let mut xs = Shared::<[V4]>::new_slice(comptime!(s.pool()));
    let mut qs = Shared::<[V4]>::new_slice(comptime!(s.buffer()));
    let mut ps = Shared::<[V4]>::new_slice(comptime!(s.p_size()));
    let mut pns = Shared::<[V4]>::new_slice(comptime!(s.p_size()));
    let again = comptime!(s.every > 1);
    let mut w_root =
        Shared::<[V4]>::new_slice(comptime!(if again && s.root { s.w_size() } else { 1 }));
    let mut w_rel = Shared::<[V4]>::new_slice(comptime!(if again { s.w_size() } else { 1 }));
    let mut wt_root = Shared::<[V4]>::new_slice(comptime!(if s.root { s.w_size() } else { 1 }));
    let mut wt_rel = Shared::<[V4]>::new_slice(comptime!(s.w_size()));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(2 * s.slice_sums()));
    let mut signals = Shared::<[f32]>::new_slice(comptime!(4 * s.signal_size()));
    let mut rows = Shared::<[V4]>::new_slice(comptime!(s.rows_size()));

    let mut next_u = Array::<F>::new(comptime!(s.share(s.signal_size())));
    let mut next_delta = Array::<F>::new(comptime!(s.share(s.signal_size())));
    let mut next_dy = Array::<F>::new(comptime!(s.share(s.signal_size())));
    let mut next_rows = Array::<Vector<F, Const<4>>>::new(comptime!(s.share(s.rows_size())));
    let p_share = comptime!(if s.p_steps { s.share(s.p_size()) } else { 1 });
    let mut next_pt = Array::<V4>::new(p_share);
    let mut next_pn = Array::<V4>::new(p_share);
    let final_step = Time {
        sample,
        t: l - 1,
        l,
        d_len,
    };
    fetch_signal::<F>(&mut next_u, u, &final_step, s);
    fetch_signal::<F>(&mut next_delta, delta, &final_step, s);
    fetch_signal::<F>(&mut next_dy, dy, &final_step, s);
    fetch_rows::<F>(&mut next_rows, b, c1, c2, &final_step, s);
    store_inputs::<F>(&mut signals, &next_u, &next_delta, s);
    store_weights::<F>(&mut signals, &next_u, &next_delta, &next_dy, d_len, s);
    store_rows::<F>(&mut rows, &next_rows, s);

    if comptime!(again) {
        stage(&mut w_rel, a_rel, 0usize, comptime!(s.w_size()), s);
        if comptime!(s.root) {
            stage(&mut w_root, a_root, 0usize, comptime!(s.w_size()), s);
        }
    }
    stage_transposed(&mut wt_rel, a_rel, s);
    if comptime!(s.root) {
        stage_transposed(&mut wt_root, a_root, s);
    }
    if comptime!(!s.p_steps && !s.sparse) {
        let from = p_offset(sample, 0usize, l, s);
        stage(&mut ps, pt, from, comptime!(s.p_size()), s);
        stage(&mut pns, pn, from, comptime!(s.p_size()), s);
    }

    let mut ra = Array::<V4>::new(s.nt4);
    let mut ga = Array::<V4>::new(s.nt4);
    #[unroll]
    for j in 0..s.nt4 {
        ra[j] = a[me.d * s.n4 + me.col + j];
        ga[j] = V4::new(0.0f32);
    }
    let mut gskip = 0.0f32;
    let mut gain = 0.0f32;
    if comptime!(s.skip) {
        if me.slice == 0 {
            gain = skip[me.d];
        }
    }
    let p_sums = comptime!(if s.sparse {
        1
    } else {
        16 * s.rounds(s.p_tiles())
    });
    let mut gp = Array::<f32>::new(p_sums);
    #[unroll]
    for i in 0..p_sums {
        gp[i] = 0.0;
    }
    let mut gw = Array::<V4>::new(comptime!(4 * s.tn4 * s.rounds(s.w_tiles())));
    #[unroll]
    for i in 0..comptime!(4 * s.tn4 * s.rounds(s.w_tiles())) {
        gw[i] = V4::new(0.0f32);
    }
    let mut h = Array::<V4>::new(comptime!(s.owned()));
    let mut ph = Array::<V4>::new(comptime!(s.owned()));
    let mut x = Array::<V4>::new(comptime!(s.owned()));
    let mut lam = Array::<V4>::new(comptime!(s.owned()));
    clear(&mut lam, s);
    put(&mut qs, 0usize, &lam, &me, s);
    sync_cube();

    // The state before the first step is one more iteration, without an output.
    let total_steps = if comptime!(s.state) { l + 1 } else { l };
    for i in 0..total_steps {
        let live = i < l;
        let t = select(live, l - 1 - min(i, l - 1), 0usize);
        if comptime!(s.p_steps) {
            let from = p_offset(sample, t, l, s);
            fetch(&mut next_pt, pt, from, comptime!(s.p_size()), s);
            fetch(&mut next_pn, pn, from, comptime!(s.p_size()), s);
        }
        if comptime!(again) {
            if live && (i == 0 || (t + 1) % s.every == 0) {
                let start = (t / s.every) * s.every;
                fetch_state(
                    &mut h,
                    checkpoints,
                    (t / s.every) * b_len + sample,
                    &me,
                    d_len,
                    s,
                );
                put(&mut hs, 0usize, &h, &me, s);
                for t2 in start..t + 1 {
                    if comptime!(s.p_steps) {
                        let from = p_offset(sample, t2, l, s);
                        stage(&mut ps, pt, from, comptime!(s.p_size()), s);
                    }
                    let time = Time {
                        sample,
                        t: t2,
                        l,
                        d_len,
                    };
                    fetch_signal::<F>(&mut next_u, u, &time, s);
                    fetch_signal::<F>(&mut next_delta, delta, &time, s);
                    fetch_rows::<F>(&mut next_rows, b, c1, c2, &time, s);
                    store_inputs::<F>(&mut signals, &next_u, &next_delta, s);
                    store_rows::<F>(&mut rows, &next_rows, s);
                    sync_cube();
                    clear(&mut ph, s);
                    spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);
                    if comptime!(s.slices() > 1) {
                        put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                        sync_cube();
                    }
                    advance(
                        &mut h, &ph, &hs, &w_root, &w_rel, &ra, &signals, &rows, &me, s,
                    );
                    sync_cube();
                    put(&mut hs, 0usize, &h, &me, s);
                    let which = (t2 - start) * b_len + sample;
                    store_state(scratch, &h, which, &me, d_len, s);
                }
                if comptime!(s.p_steps) {
                    // The product with P_{t+1} of this iteration needs it again.
                    sync_cube();
                    if i > 0 {
                        let from = p_offset(sample, t + 1, l, s);
                        stage(&mut ps, pt, from, comptime!(s.p_size()), s);
                    }
                }
                sync_cube();
            }
        }

        // What the next iteration reads is asked for as soon as registers are free, before a
        // barrier: the compiler moves loads towards their use, but not across it.
        let before = Time {
            sample,
            t: t - min(t, 1usize),
            l,
            d_len,
        };
        // h_t; without recomputation the iteration before has asked for it.
        if i == 0 || comptime!(again).runtime() {
            if !live {
                fetch_state(&mut h, checkpoints, sample, &me, d_len, s);
            } else if comptime!(again) {
                #[unroll]
                for k in 0..s.tv {
                    #[unroll]
                    for j in 0..s.nt4 {
                        if me.row + k < s.v {
                            let which = (t % s.every) * b_len + sample;
                            h[comptime!(k * s.nt4 + j)] =
                                scratch[state_at(which, &me, k, d_len, s) + j];
                        }
                    }
                }
            } else {
                fetch_state(&mut h, last, sample, &me, d_len, s);
            }
        }
        clear(&mut x, s);
        if i > 0 {
            mix(&mut x, &qs, 0usize, &wt_rel, &me, s);
        }
        if comptime!(!s.p_steps) {
            sync_cube();
            if live {
                add_output(&mut x, &signals, &rows, comptime!(s.row_size()), &me, s);
            }
        }
        put(&mut hs, 0usize, &h, &me, s);
        put_active(&mut xs, &x, &me, s);
        sync_cube();

        // P h before λ, so that few registers are in use at a time.
        if comptime!(!s.p_steps) {
            clear(&mut ph, s);
            spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);
            put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
            if comptime!(!s.sparse) {
                add_outer_p(&mut gp, &xs, &hs, s);
            }
        }
        clear(&mut lam, s);
        if comptime!(s.root) {
            if i > 0 {
                mix(&mut lam, &qs, 0usize, &wt_root, &me, s);
            }
        }
        if comptime!(s.state_grad) {
            if i == 0 {
                #[unroll]
                for k in 0..s.tv {
                    #[unroll]
                    for j in 0..s.nt4 {
                        if me.row + k < s.v {
                            let to = comptime!(k * s.nt4 + j);
                            lam[to] += dlast[state_at(sample, &me, k, d_len, s) + j];
                        }
                    }
                }
            }
        }
        if comptime!(s.c1) {
            if live {
                add_output(
                    &mut lam,
                    &signals,
                    &rows,
                    comptime!(2 * s.row_size()),
                    &me,
                    s,
                );
            }
        }
        if comptime!(!s.p_steps) {
            spread(&mut lam, &pns, pn, half, &xs, &me, s);
            if live {
                fetch_signal::<F>(&mut next_u, u, &before, s);
                fetch_signal::<F>(&mut next_delta, delta, &before, s);
                fetch_signal::<F>(&mut next_dy, dy, &before, s);
                fetch_rows::<F>(&mut next_rows, b, c1, c2, &before, s);
                if comptime!(!again) {
                    fetch_state(&mut h, checkpoints, t * b_len + sample, &me, d_len, s);
                }
            }
            sync_cube();
            add_outer_w(&mut gw, &hs, &qs, s);
        } else {
            if i > 0 {
                spread(&mut lam, &pns, pn, half, &xs, &me, s);
                clear(&mut ph, s);
                spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);
                put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                add_outer_p(&mut gp, &xs, &hs, s);
                sync_cube();
                add_outer_w(&mut gw, &hs, &qs, s);
                let first = (cube * l + (l - i)) * comptime!(s.v * s.v);
                write_p(part_p, first, &mut gp, &mut xs, s);
                sync_cube();
            }
            if live {
                store(&mut ps, &next_pt, comptime!(s.p_size()), s);
                store(&mut pns, &next_pn, comptime!(s.p_size()), s);
                clear(&mut x, s);
                add_output(&mut x, &signals, &rows, comptime!(s.row_size()), &me, s);
                put_active(&mut xs, &x, &me, s);
                sync_cube();
                spread(&mut lam, &pns, pn, half, &xs, &me, s);
                clear(&mut ph, s);
                spread(&mut ph, &ps, pt, 0usize, &hs, &me, s);
                put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                add_outer_p(&mut gp, &xs, &hs, s);
                fetch_signal::<F>(&mut next_u, u, &before, s);
                fetch_signal::<F>(&mut next_delta, delta, &before, s);
                fetch_signal::<F>(&mut next_dy, dy, &before, s);
                fetch_rows::<F>(&mut next_rows, b, c1, c2, &before, s);
                if comptime!(!again) {
                    fetch_state(&mut h, checkpoints, t * b_len + sample, &me, d_len, s);
                }
                sync_cube();
            }
        }

        if live {
            if comptime!(s.c1) {
                over_channels(
                    part_c1,
                    cube * comptime!(s.v * s.n4) * l,
                    &hs,
                    0usize,
                    &signals,
                    comptime!(OUTPUT),
                    t,
                    l,
                    s,
                );
            }
            over_channels(
                part_c2,
                cube * comptime!(s.v * s.n4) * l,
                &hs,
                comptime!(s.buffer()),
                &signals,
                comptime!(OUTPUT),
                t,
                l,
                s,
            );
            put(&mut xs, 0usize, &lam, &me, s);
            #[unroll]
            for k in 0..s.tv {
                let step = signal(&signals, comptime!(STEP), k, &me, s);
                let input = signal(&signals, comptime!(INPUT), k, &me, s);
                let weight = signal(&signals, comptime!(OUTPUT), k, &me, s);
                let row = row_at(k, &me, s);
                let inside = me.row + k < s.v;
                let mut to_delta = V4::new(0.0f32);
                let mut to_u = V4::new(0.0f32);
                #[unroll]
                for j in 0..s.nt4 {
                    let i = comptime!(k * s.nt4 + j);
                    let into = rows[row + j];
                    // exp(Δ A) g, as the state without its new part.
                    let state = hs[at_own(&me, k, j, s)];
                    let kept = state - V4::new(step * input) * into;
                    to_delta = fma(lam[i], ra[j] * kept + V4::new(input) * into, to_delta);
                    to_u = fma(lam[i], into, to_u);
                    if inside {
                        ga[j] = fma(lam[i] * V4::new(step), kept, ga[j]);
                    }
                    let decay = (ra[j] * V4::new(step)).exp();
                    x[i] = kept_if(me.active, decay * lam[i]);
                }
                let g_delta = total(to_delta);
                let mut g_u = total(to_u) * step;
                if comptime!(s.skip) {
                    g_u = fma(gain, weight, g_u);
                }
                if comptime!(s.slice_sums() > 1) {
                    if me.owner {
                        let to =
                            me.slice * comptime!(s.slice_pitch()) + (me.row + k) * s.dg + me.lane;
                        sums[to] = g_delta;
                        sums[to + comptime!(s.slice_sums())] = g_u;
                    }
                } else {
                    let g_delta = over_slices(g_delta, s);
                    let g_u = over_slices(g_u, s);
                    if me.active && inside && me.slice == 0 {
                        let at = ((sample * s.v + me.row + k) * l + t) * d_len + me.d;
                        ddelta[at] = F::cast_from(g_delta);
                        du[at] = F::cast_from(g_u);
                    }
                }
                if comptime!(s.skip) {
                    if inside && me.slice == 0 {
                        gskip = fma(input, weight, gskip);
                    }
                }
            }
            sync_cube();
            put(&mut qs, 0usize, &x, &me, s);
            over_channels(
                part_b,
                cube * comptime!(s.v * s.n4) * l,
                &xs,
                0usize,
                &signals,
                comptime!(DRIVE),
                t,
                l,
                s,
            );
            if comptime!(s.slice_sums() > 1) {
                let count = comptime!(s.v * s.dg);
                for i in 0..comptime!(count.div_ceil(s.units)) {
                    let k = i * s.units + unit;
                    let d = CUBE_POS_X as usize * s.dg + k % s.dg;
                    if k < count && d < d_len {
                        let mut to_delta = 0.0f32;
                        let mut to_u = 0.0f32;
                        #[unroll]
                        for slice in 0..comptime!(s.slices()) {
                            let from = k + comptime!(slice * s.slice_pitch());
                            to_delta += sums[from];
                            to_u += sums[from + comptime!(s.slice_sums())];
                        }
                        let at = ((sample * s.v + k / s.dg) * l + t) * d_len + d;
                        ddelta[at] = F::cast_from(to_delta);
                        du[at] = F::cast_from(to_u);
                    }
                }
            }
        } else {
            store_state(dinitial, &lam, sample, &me, d_len, s);
        }
        sync_cube();
        // Nobody reads the operands of this step any more.
        if live {
            store_inputs::<F>(&mut signals, &next_u, &next_delta, s);
            store_weights::<F>(&mut signals, &next_u, &next_delta, &next_dy, d_len, s);
            store_rows::<F>(&mut rows, &next_rows, s);
        }
    }

    // The sums over time.
    if comptime!(s.p_steps) {
        if comptime!(!s.state) {
            write_p(part_p, cube * l * comptime!(s.v * s.v), &mut gp, &mut xs, s);
        }
    } else if comptime!(!s.sparse) {
        write_p(part_p, cube * comptime!(s.v * s.v), &mut gp, &mut xs, s);
    }
    sync_cube();
    let w_out = comptime!(s.w_size() * if s.root { 2 } else { 1 });
    write_w(part_w, cube * w_out, &gw, &mut xs, s);
    sync_cube();
    write_channels(
        part_a,
        part_skip,
        &ga,
        gskip,
        sample,
        d_len,
        &mut xs,
        &mut signals,
        &me,
        s,
    );
}
