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

use super::forward::{Time, advance, state_at};
use super::sums::{add_outer_p, add_outer_w, over_channels, write_p, write_w};
use super::tile::*;
use cubecl::prelude::*;

/// Grid: (⌈d / dg⌉, b). Parts that are sums over cubes: `part_b`, `part_c1`, `part_c2`
/// (channel groups, b, v, l, n); `part_a` (b, d, n); `part_skip` (b, d); `part_p`
/// (channel groups, b, l or 1, v, w); `part_w` (channel groups, b, 1 or 2, n, n).
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
    let mut dys = Shared::<[f32]>::new_slice(comptime!(s.rows() * s.dg));
    let mut dus = Shared::<[f32]>::new_slice(comptime!(s.rows() * s.dg));
    let mut sums = Shared::<[f32]>::new_slice(comptime!(2 * s.slice_sums()));

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
    if comptime!(!s.p_steps) {
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
    let mut gp = Array::<f32>::new(comptime!(16 * s.rounds(s.p_tiles())));
    #[unroll]
    for i in 0..comptime!(16 * s.rounds(s.p_tiles())) {
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
        if comptime!(again) {
            if live && (i == 0 || (t + 1) % s.every == 0) {
                let start = (t / s.every) * s.every;
                #[unroll]
                for k in 0..s.tv {
                    #[unroll]
                    for j in 0..s.nt4 {
                        if me.row + k < s.v {
                            let from =
                                state_at((t / s.every) * b_len + sample, &me, k, d_len, s) + j;
                            h[comptime!(k * s.nt4 + j)] = checkpoints[from];
                        }
                    }
                }
                put(&mut hs, 0usize, &h, &me, s);
                for t2 in start..t + 1 {
                    if comptime!(s.p_steps) {
                        let from = p_offset(sample, t2, l, s);
                        stage(&mut ps, pt, from, comptime!(s.p_size()), s);
                    }
                    sync_cube();
                    clear(&mut ph, s);
                    propagate(&mut ph, &ps, &hs, &me, s);
                    if comptime!(s.slices() > 1) {
                        put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                        sync_cube();
                    }
                    let time = Time {
                        sample,
                        t: t2,
                        l,
                        d_len,
                    };
                    advance::<F>(
                        &mut h, &ph, &hs, &w_root, &w_rel, &ra, u, delta, b, &time, &me, s,
                    );
                    sync_cube();
                    put(&mut hs, 0usize, &h, &me, s);
                    if me.active {
                        #[unroll]
                        for k in 0..s.tv {
                            #[unroll]
                            for j in 0..s.nt4 {
                                if me.row + k < s.v {
                                    let to =
                                        state_at((t2 - start) * b_len + sample, &me, k, d_len, s)
                                            + j;
                                    scratch[to] = h[comptime!(k * s.nt4 + j)];
                                }
                            }
                        }
                    }
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

        // h_t.
        #[unroll]
        for k in 0..s.tv {
            #[unroll]
            for j in 0..s.nt4 {
                let to = comptime!(k * s.nt4 + j);
                if me.row + k < s.v {
                    if !live {
                        h[to] = checkpoints[state_at(sample, &me, k, d_len, s) + j];
                    } else if comptime!(again) {
                        let from = state_at((t % s.every) * b_len + sample, &me, k, d_len, s);
                        h[to] = scratch[from + j];
                    } else if i == 0 {
                        h[to] = last[state_at(sample, &me, k, d_len, s) + j];
                    } else {
                        let from = state_at((t + 1) * b_len + sample, &me, k, d_len, s);
                        h[to] = checkpoints[from + j];
                    }
                }
            }
        }
        // dy ⊗ C2, asked for before the products so that they hide its way from memory.
        clear(&mut ph, s);
        if live {
            #[unroll]
            for k in 0..s.tv {
                let v = min(me.row + k, comptime!(s.v - 1).runtime());
                let at = ((sample * s.v + v) * l + t) * d_len + me.d;
                let g = f32::cast_from(dy[at]);
                if me.owner && me.slice == 0 {
                    let drive = f32::cast_from(delta[at]) * f32::cast_from(u[at]);
                    dys[(me.row + k) * s.dg + me.lane] = select(me.active, g, 0.0f32);
                    dus[(me.row + k) * s.dg + me.lane] = select(me.active, drive, 0.0f32);
                }
                if comptime!(!s.p_steps) {
                    let row = ((sample * s.v + v) * l + t) * s.n4 + me.col;
                    #[unroll]
                    for j in 0..s.nt4 {
                        ph[comptime!(k * s.nt4 + j)] = V4::new(g) * V4::cast_from(c2[row + j]);
                    }
                }
            }
        }
        clear(&mut x, s);
        if i > 0 {
            mix(&mut x, &qs, 0usize, &wt_rel, &me, s);
        }
        #[unroll]
        for k in 0..comptime!(s.owned()) {
            x[k] += ph[k];
        }
        put(&mut hs, 0usize, &h, &me, s);
        put_active(&mut xs, &x, &me, s);
        sync_cube();

        // P h before λ, so that few registers are in use at a time.
        if comptime!(!s.p_steps) {
            clear(&mut ph, s);
            propagate(&mut ph, &ps, &hs, &me, s);
            put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
            add_outer_p(&mut gp, &xs, &hs, s);
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
                #[unroll]
                for k in 0..s.tv {
                    let v = min(me.row + k, comptime!(s.v - 1).runtime());
                    let g = f32::cast_from(dy[((sample * s.v + v) * l + t) * d_len + me.d]);
                    let row = ((sample * s.v + v) * l + t) * s.n4 + me.col;
                    #[unroll]
                    for j in 0..s.nt4 {
                        let to = comptime!(k * s.nt4 + j);
                        lam[to] = fma(V4::new(g), V4::cast_from(c1[row + j]), lam[to]);
                    }
                }
            }
        }
        if comptime!(!s.p_steps) {
            propagate(&mut lam, &pns, &xs, &me, s);
            // What the end of the iteration reads, asked for before the sums.
            if live {
                #[unroll]
                for k in 0..s.tv {
                    let v = min(me.row + k, comptime!(s.v - 1).runtime());
                    let row = ((sample * s.v + v) * l + t) * s.n4 + me.col;
                    #[unroll]
                    for j in 0..s.nt4 {
                        x[comptime!(k * s.nt4 + j)] = V4::cast_from(b[row + j]);
                    }
                }
            }
            sync_cube();
            add_outer_w(&mut gw, &hs, &qs, s);
        } else {
            if i > 0 {
                propagate(&mut lam, &pns, &xs, &me, s);
                clear(&mut ph, s);
                propagate(&mut ph, &ps, &hs, &me, s);
                put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                add_outer_p(&mut gp, &xs, &hs, s);
                sync_cube();
                add_outer_w(&mut gw, &hs, &qs, s);
                let first = (cube * l + (l - i)) * comptime!(s.v * s.v);
                write_p(part_p, first, &mut gp, &mut xs, s);
                sync_cube();
            }
            if live {
                let from = p_offset(sample, t, l, s);
                stage(&mut ps, pt, from, comptime!(s.p_size()), s);
                stage(&mut pns, pn, from, comptime!(s.p_size()), s);
                #[unroll]
                for k in 0..s.tv {
                    let v = min(me.row + k, comptime!(s.v - 1).runtime());
                    let g = f32::cast_from(dy[((sample * s.v + v) * l + t) * d_len + me.d]);
                    let row = ((sample * s.v + v) * l + t) * s.n4 + me.col;
                    #[unroll]
                    for j in 0..s.nt4 {
                        x[comptime!(k * s.nt4 + j)] = V4::new(g) * V4::cast_from(c2[row + j]);
                    }
                }
                put_active(&mut xs, &x, &me, s);
                sync_cube();
                propagate(&mut lam, &pns, &xs, &me, s);
                clear(&mut ph, s);
                propagate(&mut ph, &ps, &hs, &me, s);
                put(&mut hs, comptime!(s.buffer()), &ph, &me, s);
                #[unroll]
                for k in 0..s.tv {
                    let v = min(me.row + k, comptime!(s.v - 1).runtime());
                    let row = ((sample * s.v + v) * l + t) * s.n4 + me.col;
                    #[unroll]
                    for j in 0..s.nt4 {
                        x[comptime!(k * s.nt4 + j)] = V4::cast_from(b[row + j]);
                    }
                }
                add_outer_p(&mut gp, &xs, &hs, s);
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
                    &dys,
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
                &dys,
                t,
                l,
                s,
            );
            put(&mut xs, 0usize, &lam, &me, s);
            #[unroll]
            for k in 0..s.tv {
                let v = min(me.row + k, comptime!(s.v - 1).runtime());
                let at = ((sample * s.v + v) * l + t) * d_len + me.d;
                let step = f32::cast_from(delta[at]);
                let input = f32::cast_from(u[at]);
                let inside = me.row + k < s.v;
                let mut to_delta = V4::new(0.0f32);
                let mut to_u = V4::new(0.0f32);
                #[unroll]
                for j in 0..s.nt4 {
                    let i = comptime!(k * s.nt4 + j);
                    let into = x[i];
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
                let g_u = total(to_u) * step;
                if comptime!(s.slices() > 1) {
                    if me.owner {
                        let to = (me.slice * comptime!(s.rows()) + me.row + k) * s.dg + me.lane;
                        sums[to] = g_delta;
                        sums[to + comptime!(s.slice_sums())] = g_u;
                    }
                } else if me.active && inside {
                    ddelta[at] = F::cast_from(g_delta);
                    let mut out = g_u;
                    if comptime!(s.skip) {
                        out = fma(skip[me.d], f32::cast_from(dy[at]), out);
                    }
                    du[at] = F::cast_from(out);
                }
                if comptime!(s.skip) {
                    if inside && me.slice == 0 {
                        gskip = fma(input, f32::cast_from(dy[at]), gskip);
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
                &dus,
                t,
                l,
                s,
            );
            if comptime!(s.slices() > 1) {
                let count = comptime!(s.v * s.dg);
                for i in 0..comptime!(count.div_ceil(s.units)) {
                    let k = i * s.units + unit;
                    let d = CUBE_POS_X as usize * s.dg + k % s.dg;
                    if k < count && d < d_len {
                        let mut to_delta = 0.0f32;
                        let mut to_u = 0.0f32;
                        #[unroll]
                        for slice in 0..comptime!(s.slices()) {
                            let from = k + comptime!(slice * s.rows() * s.dg);
                            to_delta += sums[from];
                            to_u += sums[from + comptime!(s.slice_sums())];
                        }
                        let at = ((sample * s.v + k / s.dg) * l + t) * d_len + d;
                        if comptime!(s.skip) {
                            to_u = fma(skip[d], f32::cast_from(dy[at]), to_u);
                        }
                        ddelta[at] = F::cast_from(to_delta);
                        du[at] = F::cast_from(to_u);
                    }
                }
            }
        } else if me.active {
            #[unroll]
            for k in 0..s.tv {
                #[unroll]
                for j in 0..s.nt4 {
                    if me.row + k < s.v {
                        dinitial[state_at(sample, &me, k, d_len, s) + j] =
                            lam[comptime!(k * s.nt4 + j)];
                    }
                }
            }
        }
        sync_cube();
    }

    // The sums over time.
    if comptime!(s.p_steps) {
        if comptime!(!s.state) {
            write_p(part_p, cube * l * comptime!(s.v * s.v), &mut gp, &mut xs, s);
        }
    } else {
        write_p(part_p, cube * comptime!(s.v * s.v), &mut gp, &mut xs, s);
    }
    sync_cube();
    let w_out = comptime!(s.w_size() * if s.root { 2 } else { 1 });
    write_w(part_w, cube * w_out, &gw, &mut xs, s);
    sync_cube();
    // dA and dD: over the groups of vertices, in their order.
    if me.owner {
        #[unroll]
        for j in 0..s.nt4 {
            xs[(me.group * s.dg + me.lane) * s.n4 + me.col + j] = ga[j];
        }
        if me.slice == 0 {
            dys[me.group * s.dg + me.lane] = gskip;
        }
    }
    sync_cube();
    let count = comptime!(s.dg * s.n4);
    for i in 0..comptime!(count.div_ceil(s.units)) {
        let k = i * s.units + unit;
        let d = CUBE_POS_X as usize * s.dg + k / s.n4;
        if k < count && d < d_len {
            let mut sum = V4::new(0.0f32);
            for group in 0..comptime!(s.groups()) {
                sum += xs[group * comptime!(s.dg * s.n4) + k];
            }
            part_a[(sample * d_len + d) * s.n4 + k % s.n4] = sum;
        }
    }
    if comptime!(s.skip) {
        for i in 0..comptime!(s.dg.div_ceil(s.units)) {
            let k = i * s.units + unit;
            let d = CUBE_POS_X as usize * s.dg + k;
            if k < s.dg && d < d_len {
                let mut sum = 0.0f32;
                for group in 0..comptime!(s.groups()) {
                    sum += dys[group * s.dg + k];
                }
                part_skip[sample * d_len + d] = sum;
            }
        }
    }
}

/// Index of a unit's own vector in a state buffer.
#[cube]
fn at_own(me: &Place, #[comptime] k: usize, #[comptime] j: usize, #[comptime] s: Plan) -> usize {
    at(me.row, me.lane, me.col, s) + comptime!(k * s.row_pitch() + j)
}

/// Zero where the channel does not exist: what sums over channels read.
#[cube]
fn kept_if(active: bool, x: V4) -> V4 {
    x * V4::new(select(active, 1.0f32, 0.0f32))
}

/// As [`put`], zeros for channels that do not exist.
#[cube]
fn put_active(into: &mut Shared<[V4]>, from: &Array<V4>, me: &Place, #[comptime] s: Plan) {
    if me.owner {
        let base = at(me.row, me.lane, me.col, s);
        #[unroll]
        for k in 0..s.tv {
            #[unroll]
            for j in 0..s.nt4 {
                into[base + comptime!(k * s.row_pitch() + j)] =
                    kept_if(me.active, from[comptime!(k * s.nt4 + j)]);
            }
        }
    }
}
