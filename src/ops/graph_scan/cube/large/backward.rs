//! The backward pass step by step: time runs from the last step to the first.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend,
    kernel::{into_contiguous, slice},
    tensor::CubeTensor,
};
use cubecl::prelude::*;

use super::super::super::backend::{Operands, Saved, ScanGradients, ScanSpec};
use super::super::plan::Sizes;
use super::super::rows::{Back, VERTICES, backward_rows};
use super::{Large, joined, reshaped};
use crate::ops::cube::{cubes, empty, nothing, summed};
use crate::ops::matmul::gemm;

/// Gradients of the scan.
pub fn backward(
    x: &Operands<CubeBackend>,
    saved: Saved<CubeBackend>,
    spec: ScanSpec,
    has_state: bool,
) -> ScanGradients<CubeBackend> {
    let scan = Large::new(x, spec);
    let Sizes {
        b,
        v,
        l,
        d,
        n,
        p_batch,
        p_steps,
        ..
    } = scan.sizes;
    let dtype = x.u.dtype;
    let f32 = DType::F32;
    let dy = into_contiguous(saved.y);
    let checkpoints = into_contiguous(saved.checkpoints);
    let last = into_contiguous(saved.last);
    let du = empty(&x.u, [b, v, l, d], dtype);
    let ddelta = empty(&x.u, [b, v, l, d], dtype);
    let db = empty(&x.u, [b, v, l, n], dtype);
    let dc1 = match spec.c1 {
        true => empty(&x.u, [b, v, l, n], dtype),
        false => nothing(&x.u, DType::F32),
    };
    let dc2 = empty(&x.u, [b, v, l, n], dtype);
    let groups = (b * v).div_ceil(VERTICES);
    let sum_a = empty(&x.u, [groups, d, n], f32);
    let sum_skip = empty(&x.u, [groups, d], f32);
    let checkpoint = |i: usize| {
        let state = slice(checkpoints.clone(), &[i..i + 1, 0..b, 0..v, 0..d, 0..n]);
        reshaped(&into_contiguous(state), [b, v, d, n])
    };

    let x_rows = scan.state();
    let mut lam = scan.state();
    let mut q: Option<CubeTensor> = None;
    let mut q_buffers = [scan.state(), scan.state()];
    let mut dp: Option<CubeTensor> = None;
    let mut dp_steps: Vec<CubeTensor> = Vec::new();
    let mut dw_root: Option<CubeTensor> = None;
    let mut dw_rel: Option<CubeTensor> = None;
    // States of the chunk at hand, recomputed from its checkpoint.
    let mut chunk: Vec<CubeTensor> = Vec::new();
    let flat = |t: &CubeTensor| reshaped(t, [1, b * v * d, n]);

    // Σ over (d, n) of X ⊗ h, added to what is there.
    let samples = if p_batch { b } else { 1 };
    let outer_p = |acc: Option<CubeTensor>, h: &CubeTensor| {
        let more = acc.is_some();
        // A P that all samples share receives the sum over them.
        let out = acc.unwrap_or_else(|| empty(&x.u, [samples, v, v], f32));
        gemm(
            scan.wide(&x_rows),
            scan.wide(h),
            Some(out),
            false,
            true,
            more,
        )
    };
    let outer_p = |acc: Option<CubeTensor>, h: &CubeTensor| match spec.p_gradient {
        true => Some(outer_p(acc, h)),
        false => None,
    };
    // hᵀ q over all rows, added to what is there.
    let outer_w = |acc: Option<CubeTensor>, h: &CubeTensor, q: &CubeTensor| {
        let more = acc.is_some();
        gemm(flat(h), flat(q), acc, true, false, more)
    };

    let total = if spec.state { l + 1 } else { l };
    for i in 0..total {
        let live = i < l;
        let t = if live { l - 1 - i } else { 0 };
        let h = if !live {
            x.state.clone()
        } else if spec.every == 1 {
            match i {
                0 => last.clone(),
                _ => checkpoint(t + 1),
            }
        } else {
            if i == 0 || (t + 1) % spec.every == 0 {
                let start = t / spec.every * spec.every;
                chunk.clear();
                let mut h = (start > 0 || spec.state).then(|| checkpoint(t / spec.every));
                for t in start..t + 1 {
                    let ph = h.as_ref().map(|h| scan.propagate(&scan.p(t), h));
                    let next = scan.state();
                    scan.step_forward(t, h.as_ref().zip(ph.as_ref()), None, Some((t, &next)));
                    chunk.push(next.clone());
                    h = Some(next);
                }
            }
            chunk[t % spec.every].clone()
        };
        // X and λ without what comes through P are there from the step after, but for the last.
        if i == 0 {
            scan.output(t, &dy, &x_rows, &lam, true);
        }
        let mut ph = None;
        if p_steps {
            // P_{t+1} goes with q_{t+1}, P_t with dy_t.
            if let Some(q) = &q {
                let p = scan.p(l - i);
                scan.pull_back(&p, &x_rows, &lam);
                dp_steps.extend(outer_p(dp.take(), &h));
                dw_rel = Some(outer_w(dw_rel.take(), &scan.propagate(&p, &h), q));
            }
            if live {
                if i > 0 {
                    scan.output(t, &dy, &x_rows, &lam, false);
                }
                let p = scan.p(t);
                scan.pull_back(&p, &x_rows, &lam);
                dp = outer_p(None, &h);
                ph = Some(scan.propagate(&p, &h));
            }
        } else {
            let p = scan.p(0);
            scan.pull_back(&p, &x_rows, &lam);
            dp = outer_p(dp.take(), &h);
            let product = scan.propagate(&p, &h);
            if let Some(q) = &q {
                dw_rel = Some(outer_w(dw_rel.take(), &product, q));
            }
            ph = Some(product);
        }
        if let (Some(q), true) = (&q, spec.a_root) {
            dw_root = Some(outer_w(dw_root.take(), &h, q));
        }
        let Some(ph) = ph.filter(|_| live) else {
            continue;
        };
        if i == 0 && has_state {
            lam = burn_cubecl::ops::numeric::add(lam, into_contiguous(saved.state.clone()));
        }
        let out = q_buffers[0].clone();
        q_buffers.swap(0, 1);
        let back = Back {
            first: i == 0,
            push: t > 0 || spec.state,
            output: t > 0,
            shared_p: !p_steps,
        };
        // SAFETY: pairs and channels are bounded inside.
        unsafe {
            backward_rows::launch_unchecked(
                scan.client(),
                cubes(groups),
                CubeDim::new_1d(scan.rows.units as u32),
                h.into_buffer_arg(),
                ph.into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.delta.clone().into_buffer_arg(),
                x.a.clone().into_buffer_arg(),
                x.b.clone().into_buffer_arg(),
                x.c1.clone().into_buffer_arg(),
                x.c2.clone().into_buffer_arg(),
                x.skip.clone().into_buffer_arg(),
                dy.clone().into_buffer_arg(),
                x.a_root.clone().into_buffer_arg(),
                x.a_rel.clone().into_buffer_arg(),
                lam.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                x_rows.clone().into_buffer_arg(),
                du.clone().into_buffer_arg(),
                ddelta.clone().into_buffer_arg(),
                db.clone().into_buffer_arg(),
                dc1.clone().into_buffer_arg(),
                dc2.clone().into_buffer_arg(),
                sum_a.clone().into_buffer_arg(),
                sum_skip.clone().into_buffer_arg(),
                scan.step(t),
                back,
                scan.rows,
                dtype_to_storage_type(dtype),
            );
        }
        q = Some(out);
    }

    let p = if !spec.p_gradient {
        nothing(&x.u, DType::F32)
    } else if p_steps {
        dp_steps.extend(dp.take().filter(|_| !spec.state));
        // Gathered from the last step to the first, (b or 1, v, v) each.
        let parts = dp_steps
            .iter()
            .rev()
            .map(|part| reshaped(part, [samples, 1, v, v]))
            .collect();
        joined(parts, 1)
    } else {
        dp.unwrap_or_else(|| nothing(&x.u, DType::F32))
    };
    let p_l = if p_steps { l } else { 1 };
    let p = match spec.p_gradient {
        true => reshaped(&p, [samples, p_l, v, v]),
        false => p,
    };
    let matrix = |w: Option<CubeTensor>| match w {
        Some(w) => reshaped(&w, [n, n]),
        None => burn_cubecl::ops::numeric::zeros_client(
            scan.client().clone(),
            x.u.device.clone(),
            Shape::new([n, n]),
            f32,
        ),
    };
    ScanGradients {
        u: du,
        delta: ddelta,
        a: summed(sum_a, [1, groups, d * n], [d, n], f32),
        b: db,
        c1: dc1,
        c2: dc2,
        skip: match spec.skip {
            true => summed(sum_skip, [1, groups, d], [d], f32),
            false => nothing(&x.u, DType::F32),
        },
        p,
        a_root: match spec.a_root {
            true => matrix(dw_root),
            false => nothing(&x.u, DType::F32),
        },
        a_rel: matrix(dw_rel),
        state: match spec.state {
            true => lam,
            false => nothing(&x.u, DType::F32),
        },
    }
}
