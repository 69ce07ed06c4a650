//! The scan step by step, for graphs whose state does not fit a cube.
//!
//! A step is products with P, over all channels and states at once or edge by edge, and kernels
//! of rows between them (see [`super::rows`]). The state lives in global memory, one step of it:
//! nothing of size (b, l, v, d, n) exists.

mod backward;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend,
    kernel::{into_contiguous, slice},
    tensor::CubeTensor,
};
use cubecl::prelude::*;

use super::super::backend::{Operands, ScanSpec, Scanned};
use super::plan::{Sizes, divisors};
use super::rows::{Forward, Rows, StepLaunch, edge_products, forward_rows, output_rows};
use crate::ops::cube::{ELEMENTWISE, add_parts, elementwise, empty, nothing};
use crate::ops::matmul::gemm_of;

pub use backward::backward;

/// A contiguous tensor under another shape.
fn reshaped(t: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    CubeTensor::new_contiguous(
        t.client.clone(),
        t.device.clone(),
        shape.into(),
        t.handle.clone(),
        t.dtype,
    )
}

/// The parts one after the other along `axis`, contiguous.
fn joined(parts: Vec<CubeTensor>, axis: usize) -> CubeTensor {
    into_contiguous(CubeBackend::float_cat(parts, axis))
}

/// One scan in progress.
struct Large<'a> {
    x: &'a Operands<CubeBackend>,
    sizes: Sizes,
    rows: Rows,
    spec: ScanSpec,
    /// P with rows of whole vectors, zeros at their ends: (b or 1, l or 1, v, ..); a sparse one as it is
    /// packed.
    p: CubeTensor,
}

impl<'a> Large<'a> {
    fn new(x: &'a Operands<CubeBackend>, spec: ScanSpec) -> Self {
        let sizes = Sizes::of(x, &spec);
        let n4 = sizes.n / 4;
        let mut rows = Rows {
            n4,
            nt4: divisors(n4).max().unwrap_or(1),
            root: spec.a_root,
            c1: spec.c1,
            skip: spec.skip,
            units: 0,
            staged: false,
        };
        let hardware = &x.u.client.properties().hardware;
        let room = hardware.max_shared_memory_size;
        for most in [64, 128, 256] {
            let larger = Rows {
                units: n4 * (most / n4),
                ..rows
            };
            let allowed = most <= hardware.max_units_per_cube as usize;
            if most == 64 || (allowed && larger.unit_bytes() <= room) {
                rows = larger;
            }
        }
        rows.staged = rows.unit_bytes() + rows.w_bytes() <= room;
        Self {
            x,
            sizes,
            rows,
            spec,
            p: match spec.sparse {
                true => x.p.clone(),
                false => whole_vectors(&x.p),
            },
        }
    }

    fn client(&self) -> &Client {
        &self.x.u.client
    }

    /// (b, v, d, n), undefined.
    fn state(&self) -> CubeTensor {
        let Sizes { b, v, d, n, .. } = self.sizes;
        empty(&self.x.u, [b, v, d, n], DType::F32)
    }

    fn step(&self, t: usize) -> StepLaunch {
        let Sizes { b, v, l, d, .. } = self.sizes;
        StepLaunch::new(b * v * d, d, l, t)
    }

    /// Where the state before the step `i · every` is kept, for a kernel to write there; none where
    /// the device cannot address it.
    fn slot(&self, checkpoints: &CubeTensor, i: usize) -> Option<CubeTensor> {
        let Sizes { b, v, d, n, .. } = self.sizes;
        let alignment = self.client().properties().memory.alignment as usize;
        if !(b * v * d * n * DType::F32.size()).is_multiple_of(alignment) {
            return None;
        }
        let state = slice(checkpoints.clone(), &[i..i + 1, 0..b, 0..v, 0..d, 0..n]);
        Some(reshaped(&state, [b, v, d, n]))
    }

    /// One unit per row.
    fn grid(&self) -> (CubeCount, CubeDim) {
        let Sizes { b, v, d, .. } = self.sizes;
        (elementwise(b * v * d), CubeDim::new_1d(ELEMENTWISE))
    }

    /// P_t as (b or 1, v, ..); a sparse one is the same at all times.
    fn p(&self, t: usize) -> CubeTensor {
        if self.spec.sparse {
            return self.p.clone();
        }
        let [p_b, p_l, v, row] = self.p.shape().dims();
        if p_l == 1 {
            return reshaped(&self.p, [p_b, v, row]);
        }
        let step = slice(self.p.clone(), &[0..p_b, t..t + 1, 0..v, 0..row]);
        reshaped(&into_contiguous(step), [p_b, v, row])
    }

    /// As (b, v, d n).
    fn wide(&self, state: &CubeTensor) -> CubeTensor {
        let Sizes { b, v, d, n, .. } = self.sizes;
        reshaped(state, [b, v, d * n])
    }

    fn propagate(&self, p: &CubeTensor, h: &CubeTensor) -> CubeTensor {
        let v = self.sizes.v;
        if self.spec.sparse {
            let out = self.state();
            self.edges(h, &out, false);
            return self.wide(&out);
        }
        gemm_of(p.clone(), v, self.wide(h), None, false, false, false)
    }

    /// `lam += Pᵀ x`.
    fn pull_back(&self, p: &CubeTensor, x: &CubeTensor, lam: &CubeTensor) {
        if self.spec.sparse {
            return self.edges(x, lam, true);
        }
        let (v, out) = (self.sizes.v, Some(self.wide(lam)));
        gemm_of(p.clone(), v, self.wide(x), out, true, false, true);
    }

    /// `out = P x` of a sparse P, or `out += Pᵀ x`.
    fn edges(&self, x: &CubeTensor, out: &CubeTensor, back: bool) {
        let Sizes { b, v, d, n, .. } = self.sizes;
        let row = d * n / 4;
        let half = if back { self.p.shape()[3] / 4 } else { 0 };
        // SAFETY: one unit per vector of the state, bounded inside; the columns are vertices.
        unsafe {
            edge_products::launch_unchecked(
                self.client(),
                elementwise(b * v * row),
                CubeDim::new_1d(ELEMENTWISE),
                x.required_address_type(),
                x.clone().into_buffer_arg(),
                self.p.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                b * v * row,
                v,
                row,
                half,
                back,
            );
        }
    }

    /// The state before the first step.
    fn initial(&self) -> Option<CubeTensor> {
        self.spec.state.then(|| self.x.state.clone())
    }

    /// From h_t and P h_t: y_t into `y`, and h_{t+1} into `next`, those that are asked for. h is
    /// none before the first step if that state is zero.
    fn step_forward(
        &self,
        t: usize,
        state: Option<(&CubeTensor, &CubeTensor)>,
        y: Option<&CubeTensor>,
        next: Option<(usize, &CubeTensor)>,
    ) {
        let forward = Forward {
            read: y.is_some(),
            advance: next.is_some(),
            past: state.is_some(),
        };
        let (count, dim) = self.grid();
        let x = self.x;
        let or_nothing =
            |t: Option<&CubeTensor>| t.cloned().unwrap_or_else(|| nothing(&x.u, DType::F32));
        let (at, out) = next.map_or((0, None), |(at, out)| (at, Some(out)));
        // SAFETY: one unit per row, bounded inside.
        unsafe {
            forward_rows::launch_unchecked(
                self.client(),
                count,
                dim,
                or_nothing(state.map(|(h, _)| h)).into_buffer_arg(),
                or_nothing(state.map(|(_, ph)| ph)).into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.delta.clone().into_buffer_arg(),
                x.a.clone().into_buffer_arg(),
                x.b.clone().into_buffer_arg(),
                x.c1.clone().into_buffer_arg(),
                x.c2.clone().into_buffer_arg(),
                x.skip.clone().into_buffer_arg(),
                x.a_root.clone().into_buffer_arg(),
                x.a_rel.clone().into_buffer_arg(),
                or_nothing(y).into_buffer_arg(),
                or_nothing(out).into_buffer_arg(),
                self.step(t),
                at,
                forward,
                self.rows,
                dtype_to_storage_type(x.u.dtype),
            );
        }
    }

    /// X = dy_t ⊗ C2, and λ = dy_t ⊗ C1 if `lam_too`.
    fn output(
        &self,
        t: usize,
        dy: &CubeTensor,
        x_out: &CubeTensor,
        lam: &CubeTensor,
        lam_too: bool,
    ) {
        let Sizes { b, v, d, n, .. } = self.sizes;
        let x = self.x;
        // SAFETY: one unit per vector of the state, bounded inside.
        unsafe {
            output_rows::launch_unchecked(
                self.client(),
                elementwise(b * v * d * n / 4),
                CubeDim::new_1d(ELEMENTWISE),
                dy.clone().into_buffer_arg(),
                x.c1.clone().into_buffer_arg(),
                x.c2.clone().into_buffer_arg(),
                x_out.clone().into_buffer_arg(),
                lam.clone().into_buffer_arg(),
                self.step(t),
                lam_too,
                self.rows,
                dtype_to_storage_type(x.u.dtype),
            );
        }
    }
}

/// P with rows of whole vectors.
fn whole_vectors(p: &CubeTensor) -> CubeTensor {
    let [p_b, p_l, v, w] = p.shape().dims();
    let more = w.next_multiple_of(4) - w;
    if more == 0 {
        return p.clone();
    }
    let zeros = burn_cubecl::ops::numeric::zeros_client(
        p.client.clone(),
        p.device.clone(),
        Shape::new([p_b, p_l, v, more]),
        p.dtype,
    );
    joined(vec![p.clone(), zeros], 3)
}

/// The scan; checkpoints if `keep`.
pub fn forward(x: &Operands<CubeBackend>, spec: ScanSpec, keep: bool) -> Scanned<CubeBackend> {
    let scan = Large::new(x, spec);
    let Sizes { b, v, l, d, n, .. } = scan.sizes;
    let y = empty(&x.u, [b, v, l, d], x.u.dtype);
    let checkpoints = match keep {
        true => empty(&x.u, [l.div_ceil(spec.every), b, v, d, n], DType::F32),
        false => nothing(&x.u, DType::F32),
    };
    // States the device cannot write in their place.
    let mut apart: Vec<CubeTensor> = Vec::new();
    let kept = |t: usize| keep && t < l && t.is_multiple_of(spec.every);
    let slot = |t: usize| match kept(t) {
        true => scan.slot(&checkpoints, t / spec.every),
        false => None,
    };
    let mut h = scan.initial();
    if kept(0) {
        let first = h.clone().unwrap_or_else(|| zeros(&scan));
        match slot(0) {
            Some(place) => add_parts(first, &place, [1, 1, b * v * d * n], false),
            None => apart.push(first),
        }
    }
    let ph = h.as_ref().map(|h| scan.propagate(&scan.p(0), h));
    let next = slot(1).unwrap_or_else(|| scan.state());
    scan.step_forward(0, h.as_ref().zip(ph.as_ref()), None, Some((0, &next)));
    h = Some(next);
    for t in 0..l {
        let Some(state) = h.take() else { break };
        if t + 1 == l {
            let ph = scan.propagate(&scan.p(t), &state);
            scan.step_forward(t, Some((&state, &ph)), Some(&y), None);
            h = Some(state);
            break;
        }
        let place = slot(t + 2);
        let next = place.unwrap_or_else(|| scan.state());
        let ph = scan.propagate(&scan.p(t), &state);
        if scan.sizes.p_steps {
            scan.step_forward(t, Some((&state, &ph)), Some(&y), None);
            let ph = scan.propagate(&scan.p(t + 1), &state);
            scan.step_forward(t, Some((&state, &ph)), None, Some((t + 1, &next)));
        } else {
            let to = Some((t + 1, &next));
            scan.step_forward(t, Some((&state, &ph)), Some(&y), to);
        }
        if kept(t + 1) && slot(t + 1).is_none() {
            apart.push(state);
        }
        h = Some(next);
    }
    let checkpoints = match apart.is_empty() {
        true => checkpoints,
        false => {
            let parts = apart.iter().map(|state| reshaped(state, [1, b, v, d, n]));
            joined(parts.collect(), 0)
        }
    };
    Scanned {
        y,
        state: h.unwrap_or_else(|| zeros(&scan)),
        checkpoints,
    }
}

fn zeros(scan: &Large) -> CubeTensor {
    let Sizes { b, v, d, n, .. } = scan.sizes;
    burn_cubecl::ops::numeric::zeros_client(
        scan.client().clone(),
        scan.x.u.device.clone(),
        Shape::new([b, v, d, n]),
        DType::F32,
    )
}
