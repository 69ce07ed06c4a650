//! The scan on the GPU, for every CubeCL runtime; on tensor cores for bf16 and f16 where there are
//! some.
//!
//! Forward is one launch after the sums of Δ A: a cube runs over the chunks of one head with the
//! state in registers, so that x, B and C are read and y is written, and nothing else. Backward, the
//! states before each chunk and their gradients are computed again and kept in memory for one kernel
//! over all chunks. No chunk × chunk matrix ever leaves a cube. Every sum is taken in a fixed order.

// What is decided at compile time stays apart from what units decide, and kernels have no
// `is_multiple_of`.
#![allow(
    clippy::collapsible_if,
    clippy::manual_is_multiple_of,
    clippy::assign_op_pattern
)]

mod backward;
mod carry;
mod forward;
mod load;
mod plan;
#[cfg(test)]
mod tests;
mod tile;
mod times;

use burn::backend::{cubecl::dtype_to_storage_type, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{Operands, Scanned, SsdBackend, SsdGradients, SsdSpec};
use crate::ops::cube::{ELEMENTWISE, cubes, elementwise, empty, nothing, summed};
use backward::Shapes;
use plan::{Cut, Plan};

type T = FloatTensor<CubeBackend>;

fn contiguous(x: Operands<CubeBackend>) -> Operands<CubeBackend> {
    Operands {
        x: into_contiguous(x.x),
        dt: into_contiguous(x.dt),
        a: into_contiguous(x.a),
        b: into_contiguous(x.b),
        c: into_contiguous(x.c),
        skip: into_contiguous(x.skip),
        state: into_contiguous(x.state),
        ids: into_contiguous(x.ids),
    }
}

/// The type that products multiply.
fn multiplied(plan: &Plan, like: &CubeTensor) -> DType {
    if plan.cores { like.dtype } else { DType::F32 }
}

/// Numbers of a vector that results are written as.
fn pairs(plan: &Plan) -> usize {
    if plan.width_x > 1 { 2 } else { 1 }
}

fn units(plan: &Plan) -> CubeDim {
    CubeDim::new_1d(plan.units() as u32)
}

fn cut(x: &Operands<CubeBackend>, spec: SsdSpec) -> Cut {
    Cut::new(x, spec).unwrap_or_else(|| {
        panic!(
            "ssd: x of {:?} with B of {:?} does not fit on this device",
            x.x.meta.shape(),
            x.b.meta.shape()
        )
    })
}

/// Sums of Δ A and Δ by head, (b, h, steps).
fn times(x: &Operands<CubeBackend>, cut: &Cut) -> [CubeTensor; 2] {
    let shape = [cut.b, cut.h, cut.steps()];
    let out = [0; 2].map(|_| empty(&x.x, shape, DType::F32));
    let [times, steps] = out.clone();
    let count = cut.b * cut.chunks() * cut.h;
    // SAFETY: units beyond the last do nothing; steps are bounded by the sizes.
    unsafe {
        times::times_kernel::launch_unchecked(
            &x.x.client,
            elementwise(count),
            CubeDim::new_1d(ELEMENTWISE),
            x.dt.clone().into_buffer_arg(),
            x.a.clone().into_buffer_arg(),
            times.into_buffer_arg(),
            steps.into_buffer_arg(),
            cut.sizes(count),
            cut.plan,
        );
    }
    out
}

/// The states before each chunk, or with `reverse` the gradients of those after it, (b, chunks, h,
/// p, n); and what is left at the end of the run.
#[allow(clippy::too_many_arguments)]
fn carry(
    cut: &Cut,
    [signals, projections]: [&CubeTensor; 2],
    [times, steps]: [&CubeTensor; 2],
    ids: &CubeTensor,
    initial: Option<&CubeTensor>,
    reverse: bool,
    to_last: bool,
) -> [CubeTensor; 2] {
    let plan = cut.plan;
    let f32 = DType::F32;
    let kind = multiplied(&plan, signals);
    let shape = Shape::new([cut.b, cut.chunks(), cut.h, cut.p, plan.n]);
    let states = empty(signals, shape, kind);
    let last = match to_last {
        true => empty(signals, [cut.b, cut.h, cut.p, cut.n], f32),
        false => nothing(signals, f32),
    };
    let count = cut.b * cut.h * cut.tiles();
    let pn = plan.pn();
    // SAFETY: rows and columns outside the shapes are neither read nor written.
    unsafe {
        carry::carry_kernel::launch_unchecked(
            &signals.client,
            cubes(count),
            units(&plan),
            plan.width_x,
            plan.width_n,
            signals.clone().into_buffer_arg(),
            projections.clone().into_buffer_arg(),
            times.clone().into_buffer_arg(),
            steps.clone().into_buffer_arg(),
            ids.clone().into_buffer_arg(),
            initial.unwrap_or(times).clone().into_buffer_arg(),
            states.clone().into_buffer_arg(),
            last.clone().into_buffer_arg(),
            cut.sizes(count),
            plan,
            pn,
            plan.lie(pn, plan.q, [plan.p, plan.n], true, false),
            reverse,
            initial.is_some(),
            to_last,
            dtype_to_storage_type(signals.dtype),
            dtype_to_storage_type(kind),
        );
    }
    [states, last]
}

impl SsdBackend for CubeBackend {
    fn ssd(x: Operands<Self>, spec: SsdSpec) -> Scanned<Self> {
        let cut = cut(&x, spec);
        let plan = cut.plan;
        let x = contiguous(x);
        let dtype = x.x.dtype;
        let y = empty(&x.x, [cut.b, cut.l, cut.h, cut.p], dtype);
        let last = empty(&x.x, [cut.b, cut.h, cut.p, cut.n], DType::F32);
        let [times, steps] = times(&x, &cut);
        let (qq, qp, pn) = (plan.qq(), plan.qp(), plan.pn());
        let lies = [
            plan.lie(qq, plan.n, [plan.n, plan.n], false, true),
            plan.lie(qp, plan.n, [plan.n, plan.n], false, true),
            plan.lie(qp, plan.q, [plan.q, plan.p], false, false),
            plan.lie(pn, plan.q, [plan.p, plan.n], true, false),
        ];
        let count = cut.b * cut.h * cut.tiles();
        let client = x.x.client.clone();
        // SAFETY: rows and columns outside the shapes are neither read nor written.
        unsafe {
            forward::forward_kernel::launch_unchecked(
                &client,
                cubes(count),
                units(&plan),
                plan.width_x,
                plan.width_n,
                pairs(&plan),
                x.x.clone().into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c.into_buffer_arg(),
                times.into_buffer_arg(),
                steps.into_buffer_arg(),
                x.skip.into_buffer_arg(),
                x.state.into_buffer_arg(),
                x.ids.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                last.clone().into_buffer_arg(),
                cut.sizes(count),
                plan,
                qq,
                qp,
                pn,
                lies,
                dtype_to_storage_type(dtype),
                dtype_to_storage_type(multiplied(&plan, &x.x)),
            );
        }
        Scanned { y, state: last }
    }

    fn ssd_backward(
        x: Operands<Self>,
        saved: Scanned<Self>,
        spec: SsdSpec,
        has_state: bool,
    ) -> SsdGradients<Self> {
        let cut = cut(&x, spec);
        let plan = cut.plan;
        let Cut {
            b, l, h, p, g, n, ..
        } = cut;
        let x = contiguous(x);
        let (dy, dstate) = (into_contiguous(saved.y), into_contiguous(saved.state));
        let (dtype, f32) = (x.x.dtype, DType::F32);
        let [times, steps] = times(&x, &cut);
        let at = [&times, &steps];
        let initial = spec.state.then_some(&x.state);
        let [before, _] = carry(&cut, [&x.x, &x.b], at, &x.ids, initial, false, false);
        let dlast = has_state.then_some(&dstate);
        let [after, dinitial] = carry(&cut, [&dy, &x.c], at, &x.ids, dlast, true, spec.state);

        let (chunks, splits) = (cut.chunks(), cut.splits());
        let dx = empty(&x.x, [b, l, h, p], dtype);
        let [part_b, part_c] = [0; 2].map(|_| empty(&x.x, [splits, b * l * g * n], f32));
        let [rows, inputs, direct] = [0; 3].map(|_| empty(&x.x, [b, h, cut.steps()], f32));
        let kept = empty(&x.x, [b, chunks, h], f32);
        let width = if spec.wide_skip { p } else { 1 };
        let part_skip = match spec.skip {
            true => empty(&x.x, [b * chunks, h * width], f32),
            false => nothing(&x.x, f32),
        };
        let count = b * chunks * g * splits;
        let client = x.x.client.clone();
        // SAFETY: rows and columns outside the shapes are neither read nor written.
        unsafe {
            backward::backward_kernel::launch_unchecked(
                &client,
                cubes(count),
                units(&plan),
                plan.width_x,
                plan.width_n,
                plan.width_r,
                pairs(&plan),
                x.x.clone().into_buffer_arg(),
                dy.into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c.into_buffer_arg(),
                before.into_buffer_arg(),
                after.into_buffer_arg(),
                times.into_buffer_arg(),
                steps.clone().into_buffer_arg(),
                x.skip.into_buffer_arg(),
                x.ids.into_buffer_arg(),
                dx.clone().into_buffer_arg(),
                part_b.clone().into_buffer_arg(),
                part_c.clone().into_buffer_arg(),
                rows.clone().into_buffer_arg(),
                inputs.clone().into_buffer_arg(),
                direct.clone().into_buffer_arg(),
                kept.clone().into_buffer_arg(),
                part_skip.clone().into_buffer_arg(),
                cut.sizes(count),
                plan,
                Shapes::new(&plan),
                dtype_to_storage_type(dtype),
                dtype_to_storage_type(multiplied(&plan, &x.x)),
            );
        }
        let ddt = empty(&x.x, [b, l, h], f32);
        let part_a = empty(&x.x, [b * chunks, h], f32);
        let count = b * chunks * h;
        // SAFETY: units beyond the last do nothing; steps are bounded by the sizes.
        unsafe {
            times::gradients_kernel::launch_unchecked(
                &client,
                elementwise(count),
                CubeDim::new_1d(ELEMENTWISE),
                steps.into_buffer_arg(),
                x.a.into_buffer_arg(),
                rows.into_buffer_arg(),
                inputs.into_buffer_arg(),
                direct.into_buffer_arg(),
                kept.into_buffer_arg(),
                ddt.clone().into_buffer_arg(),
                part_a.clone().into_buffer_arg(),
                cut.sizes(count),
                plan,
            );
        }
        let share = |part: T| summed(part, [1, splits, b * l * g * n], [b, l, g, n], dtype);
        SsdGradients {
            x: dx,
            dt: ddt,
            a: summed(part_a, [1, b * chunks, h], [h], f32),
            b: share(part_b),
            c: share(part_c),
            skip: match spec.skip {
                true => summed(part_skip, [1, b * chunks, h * width], [h, width], f32),
                false => part_skip,
            },
            state: dinitial,
        }
    }
}
