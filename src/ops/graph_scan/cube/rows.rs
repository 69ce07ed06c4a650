//! Element-wise kernels of the step-by-step scan: a unit owns the state of one (sample, vertex,
//! channel), a row of n values in global memory.

use super::tile::{V4, total};
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

/// h_t from h_{t-1} and P_t h_{t-1}; without a `past`, from the input alone.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn advance_rows<F: Float>(
    h: &[V4],
    ph: &[V4],
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    a_root: &[V4],
    a_rel: &[V4],
    out: &mut [V4],
    at: Step,
    #[comptime] past: bool,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let r = ABSOLUTE_POS;
    if r < at.rows {
        let vertex = r / at.d;
        let d = r % at.d;
        let signal = (vertex * at.l + at.t) * at.d + d;
        let step = f32::cast_from(delta[signal]);
        let drive = step * f32::cast_from(u[signal]);
        for slice in 0..comptime!(s.n4 / s.nt4) {
            let col = slice * s.nt4;
            let mut g = Array::<V4>::new(s.nt4);
            #[unroll]
            for j in 0..s.nt4 {
                g[j] = V4::new(0.0f32);
            }
            if comptime!(past) {
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
                let input = V4::cast_from(b[(vertex * at.l + at.t) * s.n4 + col + j]);
                out[r * s.n4 + col + j] = fma(decay, g[j], V4::new(drive) * input);
            }
        }
    }
}

/// y_t from h_t and P_t h_t.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn read_rows<F: Float>(
    h: &[V4],
    ph: &[V4],
    u: &[F],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    skip: &[f32],
    y: &mut [F],
    at: Step,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let r = ABSOLUTE_POS;
    if r < at.rows {
        let vertex = r / at.d;
        let d = r % at.d;
        let row = (vertex * at.l + at.t) * s.n4;
        let mut sum = V4::new(0.0f32);
        for n4 in 0..s.n4 {
            sum = fma(ph[r * s.n4 + n4], V4::cast_from(c2[row + n4]), sum);
            if comptime!(s.c1) {
                sum = fma(h[r * s.n4 + n4], V4::cast_from(c1[row + n4]), sum);
            }
        }
        let signal = (vertex * at.l + at.t) * at.d + d;
        let mut out = total(sum);
        if comptime!(s.skip) {
            out = fma(skip[d], f32::cast_from(u[signal]), out);
        }
        y[signal] = F::cast_from(out);
    }
}

/// What of the backward pass happens before a product with Pᵀ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Push {
    /// q_{t+1} exists.
    pub state: bool,
    /// dy_t exists.
    pub output: bool,
    /// λ is added to, not set.
    pub add: bool,
}

/// X = q W_relᵀ + dy ⊗ C2 and λ = q W_rootᵀ + dy ⊗ C1 (+ λ), as `push` says.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn push_rows<F: Float>(
    q: &[V4],
    dy: &[F],
    c1: &[Vector<F, Const<4>>],
    c2: &[Vector<F, Const<4>>],
    a_root: &[V4],
    a_rel: &[V4],
    x: &mut [V4],
    lam: &mut [V4],
    at: Step,
    #[comptime] push: Push,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let r = ABSOLUTE_POS;
    if r < at.rows {
        let vertex = r / at.d;
        let d = r % at.d;
        let row = (vertex * at.l + at.t) * s.n4;
        for m4 in 0..s.n4 {
            let mut to_x = V4::new(0.0f32);
            let mut to_lam = V4::new(0.0f32);
            if comptime!(push.add) {
                to_lam = lam[r * s.n4 + m4];
            }
            if comptime!(push.state) {
                // Components m of q Wᵀ: rows m of W times q.
                #[unroll]
                for c in 0..4 {
                    let w = (m4 * 4 + c) * s.n4;
                    let mut rel = V4::new(0.0f32);
                    let mut root = V4::new(0.0f32);
                    for n4 in 0..s.n4 {
                        let value = q[r * s.n4 + n4];
                        rel = fma(value, a_rel[w + n4], rel);
                        if comptime!(s.root) {
                            root = fma(value, a_root[w + n4], root);
                        }
                    }
                    to_x.insert(c, total(rel));
                    if comptime!(s.root) {
                        to_lam.insert(c, to_lam.extract(c) + total(root));
                    }
                }
            }
            if comptime!(push.output) {
                let g = V4::new(f32::cast_from(dy[(vertex * at.l + at.t) * at.d + d]));
                to_x = fma(g, V4::cast_from(c2[row + m4]), to_x);
                if comptime!(s.c1) {
                    to_lam = fma(g, V4::cast_from(c1[row + m4]), to_lam);
                }
            }
            x[r * s.n4 + m4] = to_x;
            lam[r * s.n4 + m4] = to_lam;
        }
    }
}

/// From λ_t: q_t, du, dΔ, and the running sums of dA and dD.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn pull_rows<F: Float>(
    lam: &[V4],
    h: &[V4],
    u: &[F],
    delta: &[F],
    a: &[V4],
    b: &[Vector<F, Const<4>>],
    skip: &[f32],
    dy: &[F],
    q: &mut [V4],
    du: &mut [F],
    ddelta: &mut [F],
    sum_a: &mut [V4],
    sum_skip: &mut [f32],
    at: Step,
    #[comptime] first: bool,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let r = ABSOLUTE_POS;
    if r < at.rows {
        let vertex = r / at.d;
        let d = r % at.d;
        let signal = (vertex * at.l + at.t) * at.d + d;
        let step = f32::cast_from(delta[signal]);
        let input = f32::cast_from(u[signal]);
        let g = f32::cast_from(dy[signal]);
        let mut to_delta = V4::new(0.0f32);
        let mut to_u = V4::new(0.0f32);
        for n4 in 0..s.n4 {
            let i = r * s.n4 + n4;
            let into = V4::cast_from(b[(vertex * at.l + at.t) * s.n4 + n4]);
            let rate = a[d * s.n4 + n4];
            let kept = h[i] - V4::new(step * input) * into;
            let value = lam[i];
            to_delta = fma(value, rate * kept + V4::new(input) * into, to_delta);
            to_u = fma(value, into, to_u);
            let to_a = value * V4::new(step) * kept;
            if comptime!(first) {
                sum_a[i] = to_a;
            } else {
                sum_a[i] += to_a;
            }
            q[i] = (rate * V4::new(step)).exp() * value;
        }
        ddelta[signal] = F::cast_from(total(to_delta));
        let mut out = total(to_u) * step;
        if comptime!(s.skip) {
            out = fma(skip[d], g, out);
            if comptime!(first) {
                sum_skip[r] = input * g;
            } else {
                sum_skip[r] += input * g;
            }
        }
        du[signal] = F::cast_from(out);
    }
}

/// dB, dC1 and dC2 at one step: sums over the channels. One unit per (sample, vertex, n4).
#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
pub fn sum_channels<F: Float>(
    lam: &[V4],
    h: &[V4],
    ph: &[V4],
    u: &[F],
    delta: &[F],
    dy: &[F],
    db: &mut [Vector<F, Const<4>>],
    dc1: &mut [Vector<F, Const<4>>],
    dc2: &mut [Vector<F, Const<4>>],
    at: Step,
    #[comptime] s: Rows,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    let vertex = i / s.n4;
    let n4 = i % s.n4;
    if vertex * at.d < at.rows {
        let mut to_b = V4::new(0.0f32);
        let mut to_c1 = V4::new(0.0f32);
        let mut to_c2 = V4::new(0.0f32);
        for d in 0..at.d {
            let signal = (vertex * at.l + at.t) * at.d + d;
            let from = (vertex * at.d + d) * s.n4 + n4;
            let drive = f32::cast_from(delta[signal]) * f32::cast_from(u[signal]);
            let g = V4::new(f32::cast_from(dy[signal]));
            to_b = fma(V4::new(drive), lam[from], to_b);
            to_c2 = fma(g, ph[from], to_c2);
            if comptime!(s.c1) {
                to_c1 = fma(g, h[from], to_c1);
            }
        }
        let to = (vertex * at.l + at.t) * s.n4 + n4;
        db[to] = Vector::cast_from(to_b);
        dc2[to] = Vector::cast_from(to_c2);
        if comptime!(s.c1) {
            dc1[to] = Vector::cast_from(to_c1);
        }
    }
}
