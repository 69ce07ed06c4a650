//! Element-wise kernels of the step-by-step scan. They move the state through global memory, which
//! is what they cost: each does as much as possible on the way.

use super::tile::{V4, edge_place, edge_source, edge_weight, total};
use cubecl::prelude::*;

/// Sizes and choices the kernels of rows are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// State, in vectors of four.
    pub n4: usize,
    /// Vectors computed at a time.
    pub nt4: usize,
    /// gconv_A has W_root.
    pub root: bool,
    /// gconv_C has W_root, so C1 exists.
    pub c1: bool,
    /// There is a skip D.
    pub skip: bool,
    /// Units of a cube of [`backward_rows`]: one for each vector of the state of as many channels
    /// as there is room for.
    pub units: usize,
    /// W fits into shared memory beside them.
    pub staged: bool,
}

impl Rows {
    /// Shared memory of [`backward_rows`] without W.
    pub const fn unit_bytes(&self) -> usize {
        // A vector of q, three terms of sums over channels, two of sums over states.
        self.units * (4 * 16 + 2 * 4) + VERTICES * self.n4 * 3 * 16
    }

    /// Shared memory that W takes.
    pub const fn w_bytes(&self) -> usize {
        (if self.root { 2 } else { 1 }) * 4 * self.n4 * self.n4 * 16
    }
}

/// `out (+)= M x` for the sparse matrix that begins at vector `half` of `edges`; x and out
/// (b, v, `row` vectors). One unit per vector of the output, neighbours beside each other in memory.
#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
pub fn edge_products(
    x: &[V4],
    edges: &[V4],
    out: &mut [V4],
    count: usize,
    v: usize,
    row: usize,
    half: usize,
    #[comptime] add: bool,
) {
    if ABSOLUTE_POS < count {
        let column = ABSOLUTE_POS % row;
        let target = ABSOLUTE_POS / row % v;
        let sample = ABSOLUTE_POS / (row * v) * v;
        let mut sum = V4::new(0.0f32);
        if comptime!(add) {
            sum = out[ABSOLUTE_POS];
        }
        let first = edge_place(edges, half, target);
        let end = edge_place(edges, half, target + 1);
        for edge in 0..end - first {
            let pair = edges[first + edge];
            #[unroll]
            for c in 0..2usize {
                let source = edge_source(pair, c);
                let weight = edge_weight(pair, c);
                sum = fma(weight, x[(sample + source) * row + column], sum);
            }
        }
        out[ABSOLUTE_POS] = sum;
    }
}

/// Sizes known at run time, and the step.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Step {
    /// Rows: b · v · d.
    pub rows: usize,
    pub d: usize,
    pub l: usize,
    pub t: usize,
}

/// What a forward kernel does; both from h_t and a product P h_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Forward {
    /// y_t.
    pub read: bool,
    /// h_{t+1}.
    pub advance: bool,
    /// h_t exists; otherwise h_{t+1} comes from the input alone.
    pub past: bool,
}

/// y_t and h_{t+1} from h_t and P h_t, as `forward` says. `advance_to` is t + 1.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn forward_rows<F: Float>(
    h: &[V4],
    ph: &[V4],
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    skip: &[f32],
    a_root: &[V4],
    a_rel: &[V4],
    y: &mut [F],
    out: &mut [V4],
    at: Step,
    advance_to: usize,
    #[comptime] forward: Forward,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let r = ABSOLUTE_POS;
    if r < at.rows {
        let vertex = r / at.d;
        let d = r % at.d;
        if comptime!(forward.read) {
            let row = (vertex * at.l + at.t) * s.n4;
            let mut sum = V4::new(0.0f32);
            for n4 in 0..s.n4 {
                sum = fma(ph[r * s.n4 + n4], V4::cast_from(c2[row + n4]), sum);
                if comptime!(s.c1) {
                    sum = fma(h[r * s.n4 + n4], V4::cast_from(c1[row + n4]), sum);
                }
            }
            let signal = (vertex * at.l + at.t) * at.d + d;
            let mut result = total(sum);
            if comptime!(s.skip) {
                result = fma(skip[d], f32::cast_from(u[signal]), result);
            }
            y[signal] = F::cast_from(result);
        }
        if comptime!(forward.advance) {
            let signal = (vertex * at.l + advance_to) * at.d + d;
            let step = f32::cast_from(delta[signal]);
            let drive = step * f32::cast_from(u[signal]);
            for slice in 0..comptime!(s.n4 / s.nt4) {
                let col = slice * s.nt4;
                let mut g = Array::<V4>::new(s.nt4);
                #[unroll]
                for j in 0..s.nt4 {
                    g[j] = V4::new(0.0f32);
                }
                if comptime!(forward.past) {
                    for m4 in 0..s.n4 {
                        let root = h[r * s.n4 + m4];
                        let rel = ph[r * s.n4 + m4];
                        #[unroll]
                        for c in 0..4 {
                            let w = (m4 * 4 + c) * s.n4 + col;
                            #[unroll]
                            for j in 0..s.nt4 {
                                if comptime!(s.root) {
                                    g[j] = fma(V4::new(root.extract(c)), a_root[w + j], g[j]);
                                }
                                g[j] = fma(V4::new(rel.extract(c)), a_rel[w + j], g[j]);
                            }
                        }
                    }
                }
                #[unroll]
                for j in 0..s.nt4 {
                    let decay = (a[d * s.n4 + col + j] * V4::new(step)).exp();
                    let input = V4::cast_from(b[(vertex * at.l + advance_to) * s.n4 + col + j]);
                    out[r * s.n4 + col + j] = fma(decay, g[j], V4::new(drive) * input);
                }
            }
        }
    }
}

/// X = dy ⊗ C2 and, if `lam_too`, λ = dy ⊗ C1: what the output of a step sends back.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn output_rows<F: Float>(
    dy: &[F],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    x: &mut [V4],
    lam: &mut [V4],
    at: Step,
    #[comptime] lam_too: bool,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    let r = i / s.n4;
    let n4 = i % s.n4;
    if r < at.rows {
        let vertex = r / at.d;
        let row = (vertex * at.l + at.t) * s.n4 + n4;
        let g = V4::new(f32::cast_from(dy[(vertex * at.l + at.t) * at.d + r % at.d]));
        x[i] = g * V4::cast_from(c2[row]);
        if comptime!(lam_too) {
            let mut to_lam = V4::new(0.0f32);
            if comptime!(s.c1) {
                to_lam = g * V4::cast_from(c1[row]);
            }
            lam[i] = to_lam;
        }
    }
}

/// What a backward kernel does beyond the gradients of its own step t.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Back {
    /// The last step of time: running sums begin.
    pub first: bool,
    /// X and λ of the step before are wanted.
    pub push: bool,
    /// The step before has an output.
    pub output: bool,
    /// P is the same at both steps, so that X takes the output's part too.
    pub shared_p: bool,
}

/// Vertices of a cube of [`backward_rows`], one after the other.
pub const VERTICES: usize = 8;

/// From λ_t: q_t = exp(Δ A) ⊙ λ, du, dΔ, dB, dC1, dC2 of the step and running sums of dA and dD
/// over the vertices of a cube; then X and λ of the step before, without what comes through P:
/// X = q W_relᵀ + dy ⊗ C2, λ = q W_rootᵀ + dy ⊗ C1.
///
/// Cube: [`VERTICES`] (sample, vertex) pairs; unit: a channel and four states, the channels in
/// rounds where they do not fit. `sum_a` (cubes, d, n), `sum_skip` (cubes, d).
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn backward_rows<F: Float>(
    h: &[V4],
    ph: &[V4],
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    skip: &[f32],
    dy: &[F],
    a_root: &[V4],
    a_rel: &[V4],
    lam: &mut [V4],
    q: &mut [V4],
    x: &mut [V4],
    du: &mut [F],
    ddelta: &mut [F],
    db: &mut [Vector<F, Const<4>>],
    dc1: &mut [Vector<F, Const<4>>],
    dc2: &mut [Vector<F, Const<4>>],
    sum_a: &mut [V4],
    sum_skip: &mut [f32],
    at: Step,
    #[comptime] back: Back,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let unit = UNIT_POS as usize;
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let channels = comptime!(s.units / s.n4);
    let lane = unit / s.n4;
    let n4 = unit % s.n4;
    let vertices = at.rows / at.d;
    let staged = comptime!(back.push && s.staged);
    let w_size = comptime!(if staged { 4 * s.n4 * s.n4 } else { 1 });
    // Rows c of four neighbouring m side by side: [c][k][m4], so that units read neighbours.
    let mut w_rel = Shared::<[V4]>::new_slice(w_size);
    let mut w_root = Shared::<[V4]>::new_slice(comptime!(if s.root { w_size } else { 1 }));
    let mut qs = Shared::<[V4]>::new_slice(comptime!(s.units));
    let mut rows = Shared::<[f32]>::new_slice(comptime!(2 * s.units));
    let mut columns = Shared::<[V4]>::new_slice(comptime!(3 * s.units));
    let mut totals = Shared::<[V4]>::new_slice(comptime!(VERTICES * s.n4 * 3));
    if comptime!(staged) {
        for i in 0..comptime!(w_size.div_ceil(s.units)) {
            let at = i * comptime!(s.units) + unit;
            if at < w_size {
                let m4 = at % s.n4;
                let k = (at / s.n4) % s.n4;
                let c = at / comptime!(s.n4 * s.n4);
                w_rel[at] = a_rel[(m4 * 4 + c) * s.n4 + k];
                if comptime!(s.root) {
                    w_root[at] = a_root[(m4 * 4 + c) * s.n4 + k];
                }
            }
        }
    }
    let rounds = at.d.div_ceil(channels);
    for round in 0..rounds {
        let d = round * channels + lane;
        let there = d < at.d;
        let channel = min(d, at.d - 1);
        let rate = a[channel * s.n4 + n4];
        let mut to_a = V4::new(0.0f32);
        let mut to_skip = 0.0f32;
        for i in 0..VERTICES {
            let pair = cube * VERTICES + i;
            let live = there && pair < vertices;
            let vertex = min(pair, vertices - 1);
            let signal = (vertex * at.l + at.t) * at.d + channel;
            let row = (vertex * at.l + at.t) * s.n4 + n4;
            let item = (vertex * at.d + channel) * s.n4 + n4;
            let step = f32::cast_from(delta[signal]);
            let input = f32::cast_from(u[signal]);
            let g = select(live, f32::cast_from(dy[signal]), 0.0f32);
            let value = select(live, lam[item], V4::new(0.0f32));
            let into = V4::cast_from(b[row]);
            let state = h[item];
            let kept = state - V4::new(step * input) * into;
            to_a += value * V4::new(step) * kept;
            to_skip += select(n4 == 0, input * g, 0.0f32);
            let pulled = (rate * V4::new(step)).exp() * value;
            qs[unit] = pulled;
            rows[unit] = total(value * (rate * kept + V4::new(input) * into));
            rows[unit + comptime!(s.units)] = total(value * into);
            columns[unit] = V4::new(step * input) * value;
            columns[unit + comptime!(s.units)] = V4::new(g) * ph[item];
            if comptime!(s.c1) {
                columns[unit + comptime!(2 * s.units)] = V4::new(g) * state;
            }
            if live {
                q[item] = pulled;
            }
            sync_cube();
            if live && n4 == 0 {
                let mut to_delta = 0.0f32;
                let mut to_u = 0.0f32;
                #[unroll]
                for k in 0..s.n4 {
                    to_delta += rows[unit + k];
                    to_u += rows[unit + k + comptime!(s.units)];
                }
                ddelta[signal] = F::cast_from(to_delta);
                to_u *= step;
                if comptime!(s.skip) {
                    to_u = fma(skip[channel], g, to_u);
                }
                du[signal] = F::cast_from(to_u);
            }
            if comptime!(back.push) {
                if live {
                    let mut to_x = V4::new(0.0f32);
                    let mut to_lam = V4::new(0.0f32);
                    #[unroll(s.n4 <= 4)]
                    for k in 0..s.n4 {
                        let value = qs[lane * s.n4 + k];
                        #[unroll]
                        for c in 0..4usize {
                            let staged_at = (c * s.n4 + k) * s.n4 + n4;
                            let stored_at = (n4 * 4 + c) * s.n4 + k;
                            let rel = if comptime!(staged) {
                                w_rel[staged_at]
                            } else {
                                a_rel[stored_at]
                            };
                            to_x.insert(c, to_x.extract(c) + total(value * rel));
                            if comptime!(s.root) {
                                let root = if comptime!(staged) {
                                    w_root[staged_at]
                                } else {
                                    a_root[stored_at]
                                };
                                to_lam.insert(c, to_lam.extract(c) + total(value * root));
                            }
                        }
                    }
                    if comptime!(back.output) {
                        let before = V4::new(f32::cast_from(dy[signal - at.d]));
                        if comptime!(back.shared_p) {
                            to_x = fma(before, V4::cast_from(c2[row - s.n4]), to_x);
                        }
                        if comptime!(s.c1) {
                            to_lam = fma(before, V4::cast_from(c1[row - s.n4]), to_lam);
                        }
                    }
                    x[item] = to_x;
                    lam[item] = to_lam;
                }
            }
            // Channels are halved, an odd one left over joins the first half.
            let mut left = channels.runtime();
            while left > 1 {
                let half = left.div_ceil(2);
                if lane < left / 2 {
                    let other = unit + half * s.n4;
                    #[unroll]
                    for k in 0..comptime!(if s.c1 { 3 } else { 2 }) {
                        columns[unit + comptime!(k * s.units)] = columns
                            [unit + comptime!(k * s.units)]
                            + columns[other + comptime!(k * s.units)];
                    }
                }
                sync_cube();
                left = half;
            }
            if lane == 0 {
                // The rounds' sums; the unit is the same in each.
                let to = (i * s.n4 + n4) * 3;
                let mut to_b = columns[unit];
                let mut to_c2 = columns[unit + comptime!(s.units)];
                let mut to_c1 = V4::new(0.0f32);
                if comptime!(s.c1) {
                    to_c1 = columns[unit + comptime!(2 * s.units)];
                }
                if round > 0 {
                    to_b += totals[to];
                    to_c2 += totals[to + 1];
                    to_c1 += totals[to + 2];
                }
                totals[to] = to_b;
                totals[to + 1] = to_c2;
                totals[to + 2] = to_c1;
                if round + 1 == rounds && pair < vertices {
                    db[row] = Vector::cast_from(to_b);
                    dc2[row] = Vector::cast_from(to_c2);
                    if comptime!(s.c1) {
                        dc1[row] = Vector::cast_from(to_c1);
                    }
                }
            }
            sync_cube();
        }
        if there && cube * VERTICES < vertices {
            let to = (cube * at.d + channel) * s.n4 + n4;
            if comptime!(back.first) {
                sum_a[to] = to_a;
            } else {
                sum_a[to] += to_a;
            }
            if comptime!(s.skip) {
                if n4 == 0 {
                    let to = cube * at.d + channel;
                    if comptime!(back.first) {
                        sum_skip[to] = to_skip;
                    } else {
                        sum_skip[to] += to_skip;
                    }
                }
            }
        }
    }
}
