//! The scan step by step, for graphs whose state does not fit a cube.
//!
//! A step is products with P as matrix products over all channels and states at once, and kernels
//! of rows between them (see [`super::rows`]). The state lives in global memory, one step of it:
//! nothing of size (b, l, v, d, n) exists.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend,
    kernel::{into_contiguous, slice},
    tensor::CubeTensor,
};
use cubecl::prelude::*;

use super::super::backend::{Operands, Saved, ScanGradients, ScanSpec, Scanned};
use super::plan::{Sizes, divisors};
use super::rows::{
    Back, Forward, Rows, StepLaunch, VERTICES, backward_rows, forward_rows, output_rows,
};
use crate::ops::cube::{ELEMENTWISE, add_parts, cubes, elementwise, empty, nothing, summed};
use crate::ops::matmul::{gemm, gemm_of};

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
    /// P with rows of whole vectors, zeros at their ends: (b or 1, l or 1, v, ..).
    p: CubeTensor,
}

impl<'a> Large<'a> {
    fn new(x: &'a Operands<CubeBackend>, spec: ScanSpec) -> Self {
        let sizes = Sizes::of(x);
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
            p: whole_vectors(&x.p),
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

    /// P_t as (b or 1, v, ..).
    fn p(&self, t: usize) -> CubeTensor {
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
        gemm_of(p.clone(), v, self.wide(h), None, false, false, false)
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
    // hᵀ q over all rows, added to what is there.
    let outer_w = |acc: Option<CubeTensor>, h: &CubeTensor, q: &CubeTensor| {
        let more = acc.is_some();
        gemm(flat(h), flat(q), acc, true, false, more)
    };
    let pull_back = |p: &CubeTensor, lam: &CubeTensor| {
        let out = Some(scan.wide(lam));
        gemm_of(p.clone(), v, scan.wide(&x_rows), out, true, false, true);
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
                pull_back(&p, &lam);
                dp_steps.push(outer_p(dp.take(), &h));
                dw_rel = Some(outer_w(dw_rel.take(), &scan.propagate(&p, &h), q));
            }
            if live {
                if i > 0 {
                    scan.output(t, &dy, &x_rows, &lam, false);
                }
                let p = scan.p(t);
                pull_back(&p, &lam);
                dp = Some(outer_p(None, &h));
                ph = Some(scan.propagate(&p, &h));
            }
        } else {
            let p = scan.p(0);
            pull_back(&p, &lam);
            dp = Some(outer_p(dp.take(), &h));
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

    let p = if p_steps {
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
    let p = reshaped(&p, [samples, p_l, v, v]);
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
