//! GPU kernels of the selective scan, for every CubeCL runtime.
//!
//! Lanes are channels, so that reads of (b, l, d) tensors are contiguous; the states of a channel
//! are spread over some units (see [`tile`]).

// What is decided at compile time stays apart from what units decide, and kernels have no
// `is_multiple_of`.
#![allow(clippy::collapsible_if, clippy::manual_is_multiple_of)]

mod backward;
mod forward;
mod plan;
mod sums;
mod tile;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};
use cubecl::prelude::*;

use super::backend::{Operands, Saved, ScanGradients, ScanSpec, Scanned, SelectiveScanBackend};
use crate::ops::cube::{empty, nothing, summed};
use plan::Sizes;

fn contiguous(x: Operands<CubeBackend>) -> Operands<CubeBackend> {
    Operands {
        u: into_contiguous(x.u),
        delta: into_contiguous(x.delta),
        a: into_contiguous(x.a),
        b: into_contiguous(x.b),
        c: into_contiguous(x.c),
        skip: into_contiguous(x.skip),
        gate: into_contiguous(x.gate),
        bias: into_contiguous(x.bias),
        state: into_contiguous(x.state),
    }
}

impl SelectiveScanBackend for CubeBackend {
    fn selective_scan(x: Operands<Self>, spec: ScanSpec, keep: bool) -> Scanned<Self> {
        let x = contiguous(x);
        let sizes = Sizes::of(&x);
        let Sizes { b, l, d, n } = sizes;
        let every = if keep { spec.every } else { 0 };
        let plan = sizes.forward(&spec, every, &x.u);
        let dtype = x.u.dtype;
        let y = empty(&x.u, [b, l, d], dtype);
        let last = empty(&x.u, [b, d, n], DType::F32);
        let checkpoints = match keep {
            true => empty(&x.u, [l.div_ceil(every), b, n, d], DType::F32),
            false => nothing(&x.u, DType::F32),
        };
        let client = x.u.client.clone();
        // SAFETY: all indices are within the shapes above; the kernel guards the remainders.
        unsafe {
            forward::scan_forward::launch_unchecked(
                &client,
                CubeCount::Static(d.div_ceil(plan.lanes) as u32, b as u32, 1),
                CubeDim::new_1d(plan.units() as u32),
                x.u.into_buffer_arg(),
                x.delta.into_buffer_arg(),
                x.a.into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c.into_buffer_arg(),
                x.skip.into_buffer_arg(),
                x.gate.into_buffer_arg(),
                x.bias.into_buffer_arg(),
                x.state.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                last.clone().into_buffer_arg(),
                checkpoints.clone().into_buffer_arg(),
                b,
                l,
                d,
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

    fn selective_scan_backward(
        x: Operands<Self>,
        saved: Saved<Self>,
        spec: ScanSpec,
        has_state: bool,
    ) -> ScanGradients<Self> {
        let x = contiguous(x);
        let sizes = Sizes::of(&x);
        let Sizes { b, l, d, n } = sizes;
        let plan = sizes.backward(&spec, has_state, &x.u);
        let dtype = x.u.dtype;
        let f32 = DType::F32;
        let only_if = |present: bool, shape: Shape, dtype: DType| match present {
            true => empty(&x.u, shape, dtype),
            false => nothing(&x.u, dtype),
        };
        let cubes = d.div_ceil(plan.lanes);
        let tiles = plan.every / plan.tile;
        let scratch = Shape::new([b, cubes, tiles, plan.kn, plan.units()]);
        let scratch = only_if(tiles > 1, scratch, f32);
        let signal = Shape::new([b, l, d]);
        let du = empty(&x.u, signal.clone(), dtype);
        let ddelta = empty(&x.u, signal.clone(), dtype);
        let dgate = only_if(spec.gate, signal, dtype);
        let dinitial = only_if(spec.state, Shape::new([b, d, n]), f32);
        let part_a = empty(&x.u, [b, d, n], f32);
        let part_b = empty(&x.u, [b, cubes, l, n], f32);
        let part_c = empty(&x.u, [b, cubes, l, n], f32);
        let part_skip = only_if(spec.skip, Shape::new([b, d]), f32);
        let part_bias = only_if(spec.bias, Shape::new([b, d]), f32);
        let client = x.u.client.clone();
        // SAFETY: all indices are within the shapes above; the kernel guards the remainders.
        unsafe {
            backward::scan_backward::launch_unchecked(
                &client,
                CubeCount::Static(cubes as u32, b as u32, 1),
                CubeDim::new_1d(plan.units() as u32),
                x.u.into_buffer_arg(),
                x.delta.into_buffer_arg(),
                x.a.into_buffer_arg(),
                x.b.into_buffer_arg(),
                x.c.into_buffer_arg(),
                x.skip.into_buffer_arg(),
                x.gate.into_buffer_arg(),
                x.bias.into_buffer_arg(),
                into_contiguous(saved.checkpoints).into_buffer_arg(),
                into_contiguous(saved.y).into_buffer_arg(),
                into_contiguous(saved.state).into_buffer_arg(),
                scratch.into_buffer_arg(),
                du.clone().into_buffer_arg(),
                ddelta.clone().into_buffer_arg(),
                dgate.clone().into_buffer_arg(),
                dinitial.clone().into_buffer_arg(),
                part_a.clone().into_buffer_arg(),
                part_b.clone().into_buffer_arg(),
                part_c.clone().into_buffer_arg(),
                part_skip.clone().into_buffer_arg(),
                part_bias.clone().into_buffer_arg(),
                b,
                l,
                d,
                plan,
                dtype_to_storage_type(dtype),
            );
        }
        let per_step = |parts| summed(parts, [b, cubes, l * n], Shape::new([b, l, n]), dtype);
        let per_channel = |present: bool, parts: CubeTensor| match present {
            true => summed(parts, [1, b, d], Shape::new([d]), f32),
            false => parts,
        };
        ScanGradients {
            u: du,
            delta: ddelta,
            a: summed(part_a, [1, b, d * n], Shape::new([d, n]), f32),
            b: per_step(part_b),
            c: per_step(part_c),
            skip: per_channel(spec.skip, part_skip),
            gate: dgate,
            bias: per_channel(spec.bias, part_bias),
            state: dinitial,
        }
    }
}
