//! GPU kernels of the graph scan, for every CubeCL runtime.
//!
//! Up to some 64 vertices, over few edges ten times as many, the whole scan is one launch: a cube
//! keeps the state of one sample and a few channels in shared memory and runs over time. What does not fit there runs step by step
//! (see [`large`]).

// What is decided at compile time stays apart from what units decide, and kernels have no
// `is_multiple_of`.
#![allow(clippy::collapsible_if, clippy::manual_is_multiple_of)]

mod ahead;
mod backward;
mod forward;
mod large;
mod plan;
mod rows;
mod sums;
mod tile;

use burn::backend::{TensorMetadata, cubecl::dtype_to_storage_type};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{GraphScanBackend, Operands, Saved, ScanGradients, ScanSpec, Scanned};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty, nothing, summed};
use plan::Sizes;
use tile::{Plan, pack_p};

fn contiguous(x: Operands<CubeBackend>) -> Operands<CubeBackend> {
    Operands {
        u: into_contiguous(x.u),
        delta: into_contiguous(x.delta),
        a: into_contiguous(x.a),
        b: into_contiguous(x.b),
        c1: into_contiguous(x.c1),
        c2: into_contiguous(x.c2),
        skip: into_contiguous(x.skip),
        p: into_contiguous(x.p),
        a_root: into_contiguous(x.a_root),
        a_rel: into_contiguous(x.a_rel),
        state: into_contiguous(x.state),
    }
}

/// P packed for a plan and, if `both`, its transpose. A sparse one is so already.
fn packed(p: &CubeTensor, plan: &Plan, both: bool) -> (CubeTensor, CubeTensor) {
    if plan.sparse {
        return (p.clone(), p.clone());
    }
    let [b, l, v, _] = p.shape().dims();
    let count = b * l;
    let vectors = count * plan.p_size();
    let pt = empty(p, [vectors, 4], DType::F32);
    let pn = match both {
        true => empty(p, [vectors, 4], DType::F32),
        false => nothing(p, DType::F32),
    };
    // SAFETY: one unit per vector of the outputs, bounded inside.
    unsafe {
        pack_p::launch_unchecked(
            &p.client,
            elementwise(vectors),
            CubeDim::new_1d(ELEMENTWISE),
            p.clone().into_buffer_arg(),
            pt.clone().into_buffer_arg(),
            pn.clone().into_buffer_arg(),
            count,
            v,
            plan.tv,
            both,
        );
    }
    (pt, pn)
}

impl GraphScanBackend for CubeBackend {
    fn graph_scan(x: Operands<Self>, spec: ScanSpec, keep: bool) -> Scanned<Self> {
        let x = contiguous(x);
        let sizes = Sizes::of(&x, &spec);
        let Sizes { b, v, l, d, n, .. } = sizes;
        let every = if keep { spec.every } else { 0 };
        let Some(plan) = Plan::forward(&sizes, &spec, every, &x.u.client) else {
            return large::forward(&x, spec, keep);
        };
        let dtype = x.u.dtype;
        let y = empty(&x.u, [b, v, l, d], dtype);
        let last = empty(&x.u, [b, v, d, n], DType::F32);
        let checkpoints = match keep {
            true => empty(&x.u, [l.div_ceil(every), b, v, d, n], DType::F32),
            false => nothing(&x.u, DType::F32),
        };
        let (pt, _) = packed(&x.p, &plan, false);
        let client = x.u.client.clone();
        // SAFETY: all indices are within the shapes above; the kernel guards the remainders.
        unsafe {
            forward::fused_forward::launch_unchecked(
                &client,
                CubeCount::Static(d.div_ceil(plan.dg) as u32, b as u32, 1),
                CubeDim::new_1d(plan.units as u32),
                x.u.into_buffer_arg(),
                x.delta.into_buffer_arg(),
                x.a.into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c1.into_buffer_arg(),
                x.c2.into_buffer_arg(),
                x.skip.into_buffer_arg(),
                pt.into_buffer_arg(),
                x.a_root.into_buffer_arg(),
                x.a_rel.into_buffer_arg(),
                x.state.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                last.clone().into_buffer_arg(),
                checkpoints.clone().into_buffer_arg(),
                l,
                d,
                b,
                plan,
                dtype_to_storage_type(dtype),
            );
        }
        Scanned {
            y,
            state: last,
            checkpoints,
        }
    }

    fn graph_scan_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ScanSpec,
        has_state: bool,
    ) -> ScanGradients<Self> {
        let x = contiguous(x);
        let sizes = Sizes::of(&x, &spec);
        let Sizes { b, v, l, d, n, .. } = sizes;
        let Some(plan) = Plan::backward(&sizes, &spec, has_state, &x.u.client) else {
            return large::backward(&x, saved, spec, has_state);
        };
        let dtype = x.u.dtype;
        let groups = d.div_ceil(plan.dg);
        let matrices = if spec.a_root { 2 } else { 1 };
        let (p_b, p_l) = (
            if sizes.p_batch { b } else { 1 },
            if sizes.p_steps { l } else { 1 },
        );
        let f32 = DType::F32;
        let only_if = |present: bool, shape: Shape| match present {
            true => empty(&x.u, shape, f32),
            false => nothing(&x.u, DType::F32),
        };
        let scratch = only_if(spec.every > 1, Shape::new([spec.every, b, v, d, n]));
        let du = empty(&x.u, [b, v, l, d], dtype);
        let ddelta = empty(&x.u, [b, v, l, d], dtype);
        let dinitial = only_if(spec.state, Shape::new([b, v, d, n]));
        let rows = Shape::new([groups, b, v, l, n]);
        let part_b = only_if(true, rows.clone());
        let part_c1 = only_if(spec.c1, rows.clone());
        let part_c2 = only_if(true, rows);
        let part_a = only_if(true, Shape::new([b, d, n]));
        let part_skip = only_if(spec.skip, Shape::new([b, d]));
        let part_p = only_if(!spec.sparse, Shape::new([groups, b, p_l, v, v]));
        let part_w = only_if(true, Shape::new([groups, b, matrices, n, n]));
        let (pt, pn) = packed(&x.p, &plan, true);
        let client = x.u.client.clone();
        // SAFETY: all indices are within the shapes above; the kernel guards the remainders.
        unsafe {
            backward::fused_backward::launch_unchecked(
                &client,
                CubeCount::Static(groups as u32, b as u32, 1),
                CubeDim::new_1d(plan.units as u32),
                x.u.clone().into_buffer_arg(),
                x.delta.into_buffer_arg(),
                x.a.into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c1.into_buffer_arg(),
                x.c2.into_buffer_arg(),
                x.skip.into_buffer_arg(),
                pt.into_buffer_arg(),
                pn.into_buffer_arg(),
                x.a_root.into_buffer_arg(),
                x.a_rel.into_buffer_arg(),
                into_contiguous(saved.checkpoints).into_buffer_arg(),
                into_contiguous(saved.last).into_buffer_arg(),
                scratch.into_buffer_arg(),
                into_contiguous(saved.y).into_buffer_arg(),
                into_contiguous(saved.state).into_buffer_arg(),
                du.clone().into_buffer_arg(),
                ddelta.clone().into_buffer_arg(),
                dinitial.clone().into_buffer_arg(),
                part_b.clone().into_buffer_arg(),
                part_c1.clone().into_buffer_arg(),
                part_c2.clone().into_buffer_arg(),
                part_a.clone().into_buffer_arg(),
                part_skip.clone().into_buffer_arg(),
                part_p.clone().into_buffer_arg(),
                part_w.clone().into_buffer_arg(),
                l,
                d,
                b,
                x.p.shape()[3] / 4,
                plan,
                dtype_to_storage_type(dtype),
            );
        }
        let per_step = |parts: CubeTensor| {
            let inner = b * v * l * n;
            summed(parts, [1, groups, inner], [b, v, l, n], dtype)
        };
        let (p_count, p_inner) = match sizes.p_batch {
            true => (groups, b * p_l * v * v),
            false => (groups * b, p_l * v * v),
        };
        let w = summed(
            part_w,
            [1, groups * b, matrices * n * n],
            Shape::new([matrices, n, n]),
            f32,
        );
        let matrix = |i: usize| burn_cubecl::kernel::slice(w.clone(), &[i..i + 1, 0..n, 0..n]);
        let square = |t: CubeTensor| {
            let t = into_contiguous(t);
            CubeTensor::new_contiguous(
                t.client.clone(),
                t.device.clone(),
                Shape::new([n, n]),
                t.handle.clone(),
                f32,
            )
        };
        ScanGradients {
            u: du,
            delta: ddelta,
            a: summed(part_a, [1, b, d * n], [d, n], f32),
            b: per_step(part_b),
            c1: if spec.c1 { per_step(part_c1) } else { part_c1 },
            c2: per_step(part_c2),
            skip: match spec.skip {
                true => summed(part_skip, [1, b, d], [d], f32),
                false => part_skip,
            },
            p: match spec.p_gradient {
                true => summed(
                    part_p,
                    [1, p_count, p_inner],
                    Shape::new([p_b, p_l, v, v]),
                    f32,
                ),
                false => nothing(&x.u, DType::F32),
            },
            a_root: match spec.a_root {
                true => square(matrix(0)),
                false => nothing(&x.u, DType::F32),
            },
            a_rel: square(matrix(matrices - 1)),
            state: dinitial,
        }
    }
}
