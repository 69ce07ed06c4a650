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
    Push, Rows, StepLaunch, advance_rows, pull_rows, push_rows, read_rows, sum_channels,
};
use crate::ops::cube::{ELEMENTWISE, elementwise, empty, nothing, summed};
use crate::ops::matmul::gemm;

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
}

impl<'a> Large<'a> {
    fn new(x: &'a Operands<CubeBackend>, spec: ScanSpec) -> Self {
        let sizes = Sizes::of(x);
        let n4 = sizes.n / 4;
        Self {
            x,
            sizes,
            rows: Rows {
                n4,
                nt4: divisors(n4).max().unwrap_or(1),
                root: spec.a_root,
                c1: spec.c1,
                skip: spec.skip,
            },
            spec,
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

    /// One unit per row.
    fn grid(&self) -> (CubeCount, CubeDim) {
        let Sizes { b, v, d, .. } = self.sizes;
        (elementwise(b * v * d), CubeDim::new_1d(ELEMENTWISE))
    }

    /// P_t as (b or 1, v, v).
    fn p(&self, t: usize) -> CubeTensor {
        let [p_b, p_l, v, _] = self.x.p.shape().dims();
        if p_l == 1 {
            return reshaped(&self.x.p, [p_b, v, v]);
        }
        let step = slice(self.x.p.clone(), &[0..p_b, t..t + 1, 0..v, 0..v]);
        reshaped(&into_contiguous(step), [p_b, v, v])
    }

    /// As (b, v, d n).
    fn wide(&self, state: &CubeTensor) -> CubeTensor {
        let Sizes { b, v, d, n, .. } = self.sizes;
        reshaped(state, [b, v, d * n])
    }

    fn propagate(&self, p: &CubeTensor, h: &CubeTensor) -> CubeTensor {
        gemm(p.clone(), self.wide(h), None, false, false, false)
    }

    /// The state before the first step.
    fn initial(&self) -> Option<CubeTensor> {
        self.spec.state.then(|| self.x.state.clone())
    }

    /// h_t from (h_{t-1}, P_t h_{t-1}).
    fn advance(&self, t: usize, past: Option<(&CubeTensor, CubeTensor)>) -> CubeTensor {
        let out = self.state();
        let has_past = past.is_some();
        let (h, ph) = match past {
            Some((h, ph)) => (h.clone(), ph),
            None => (
                nothing(&self.x.u, DType::F32),
                nothing(&self.x.u, DType::F32),
            ),
        };
        let (count, dim) = self.grid();
        let x = self.x;
        // SAFETY: one unit per row, bounded inside.
        unsafe {
            advance_rows::launch_unchecked(
                self.client(),
                count,
                dim,
                h.into_buffer_arg(),
                ph.into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.delta.clone().into_buffer_arg(),
                x.a.clone().into_buffer_arg(),
                x.b.clone().into_buffer_arg(),
                x.a_root.clone().into_buffer_arg(),
                x.a_rel.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                self.step(t),
                has_past,
                self.rows,
                dtype_to_storage_type(x.u.dtype),
            );
        }
        out
    }

    fn read(&self, t: usize, h: &CubeTensor, ph: &CubeTensor, y: &CubeTensor) {
        let (count, dim) = self.grid();
        let x = self.x;
        // SAFETY: one unit per row, bounded inside.
        unsafe {
            read_rows::launch_unchecked(
                self.client(),
                count,
                dim,
                h.clone().into_buffer_arg(),
                ph.clone().into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.c1.clone().into_buffer_arg(),
                x.c2.clone().into_buffer_arg(),
                x.skip.clone().into_buffer_arg(),
                y.clone().into_buffer_arg(),
                self.step(t),
                self.rows,
                dtype_to_storage_type(x.u.dtype),
            );
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn push(
        &self,
        t: usize,
        q: Option<&CubeTensor>,
        dy: Option<&CubeTensor>,
        x_out: &CubeTensor,
        lam: &CubeTensor,
        add: bool,
    ) {
        let push = Push {
            state: q.is_some(),
            output: dy.is_some(),
            add,
        };
        let (count, dim) = self.grid();
        let x = self.x;
        let or_nothing =
            |t: Option<&CubeTensor>| t.cloned().unwrap_or_else(|| nothing(&x.u, DType::F32));
        // SAFETY: one unit per row, bounded inside.
        unsafe {
            push_rows::launch_unchecked(
                self.client(),
                count,
                dim,
                or_nothing(q).into_buffer_arg(),
                or_nothing(dy).into_buffer_arg(),
                x.c1.clone().into_buffer_arg(),
                x.c2.clone().into_buffer_arg(),
                x.a_root.clone().into_buffer_arg(),
                x.a_rel.clone().into_buffer_arg(),
                x_out.clone().into_buffer_arg(),
                lam.clone().into_buffer_arg(),
                self.step(t),
                push,
                self.rows,
                dtype_to_storage_type(x.u.dtype),
            );
        }
    }
}

/// The scan; checkpoints if `keep`.
pub fn forward(x: &Operands<CubeBackend>, spec: ScanSpec, keep: bool) -> Scanned<CubeBackend> {
    let scan = Large::new(x, spec);
    let Sizes { b, v, l, d, n, .. } = scan.sizes;
    let y = empty(&x.u, [b, v, l, d], x.u.dtype);
    let kept = l.div_ceil(spec.every);
    let mut checkpoints: Vec<CubeTensor> = Vec::new();
    let mut h = scan.initial();
    let mut product: Option<CubeTensor> = None;
    let mut p = scan.p(0);
    for t in 0..l {
        if scan.sizes.p_steps && t > 0 {
            p = scan.p(t);
            product = None;
        }
        if keep && t % spec.every == 0 {
            checkpoints.push(h.clone().unwrap_or_else(|| zeros(&scan)));
        }
        let past = h.as_ref().map(|h| {
            let ph = product.take().unwrap_or_else(|| scan.propagate(&p, h));
            (h, ph)
        });
        let next = scan.advance(t, past);
        let ph = scan.propagate(&p, &next);
        scan.read(t, &next, &ph, &y);
        product = Some(ph);
        h = Some(next);
    }
    let checkpoints = match keep {
        true => {
            let parts = checkpoints
                .iter()
                .map(|state| reshaped(state, [1, b, v, d, n]))
                .collect();
            joined(parts, 0)
        }
        false => nothing(&x.u, DType::F32),
    };
    debug_assert!(!keep || checkpoints.shape()[0] == kept);
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
    let sum_a = scan.state();
    let sum_skip = empty(&x.u, [b, v, d], f32);
    let checkpoint = |i: usize| {
        let state = slice(checkpoints.clone(), &[i..i + 1, 0..b, 0..v, 0..d, 0..n]);
        reshaped(&into_contiguous(state), [b, v, d, n])
    };

    let x_rows = scan.state();
    let lam = scan.state();
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
    let pull_back = |p: &CubeTensor| {
        gemm(
            p.clone(),
            scan.wide(&x_rows),
            Some(scan.wide(&lam)),
            true,
            false,
            true,
        );
    };
    let to_state = |lam: &CubeTensor, gradient: CubeTensor| {
        burn_cubecl::ops::numeric::add(lam.clone(), gradient)
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
                    let p = scan.p(t);
                    let past = h.as_ref().map(|h| (h, scan.propagate(&p, h)));
                    let next = scan.advance(t, past);
                    chunk.push(next.clone());
                    h = Some(next);
                }
            }
            chunk[t % spec.every].clone()
        };
        let dy_t = live.then_some(&dy);
        let mut ph = None;
        if p_steps {
            // P_{t+1} goes with q_{t+1}, P_t with dy_t.
            scan.push(t, q.as_ref(), None, &x_rows, &lam, false);
            if let Some(q) = &q {
                let p = scan.p(l - i);
                pull_back(&p);
                dp_steps.push(outer_p(dp.take(), &h));
                dw_rel = Some(outer_w(dw_rel.take(), &scan.propagate(&p, &h), q));
            }
            if live {
                let p = scan.p(t);
                scan.push(t, None, dy_t, &x_rows, &lam, true);
                pull_back(&p);
                dp = Some(outer_p(None, &h));
                ph = Some(scan.propagate(&p, &h));
            }
        } else {
            let p = scan.p(0);
            scan.push(t, q.as_ref(), dy_t, &x_rows, &lam, false);
            pull_back(&p);
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
        let lam = match i == 0 && has_state {
            true => to_state(&lam, into_contiguous(saved.state.clone())),
            false => lam.clone(),
        };
        let out = q_buffers[0].clone();
        q_buffers.swap(0, 1);
        let (count, dim) = scan.grid();
        // SAFETY: one unit per row, and per (sample, vertex, n4), bounded inside.
        unsafe {
            pull_rows::launch_unchecked(
                scan.client(),
                count,
                dim,
                lam.clone().into_buffer_arg(),
                h.clone().into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.delta.clone().into_buffer_arg(),
                x.a.clone().into_buffer_arg(),
                x.b.clone().into_buffer_arg(),
                x.skip.clone().into_buffer_arg(),
                dy.clone().into_buffer_arg(),
                out.clone().into_buffer_arg(),
                du.clone().into_buffer_arg(),
                ddelta.clone().into_buffer_arg(),
                sum_a.clone().into_buffer_arg(),
                sum_skip.clone().into_buffer_arg(),
                scan.step(t),
                i == 0,
                scan.rows,
                dtype_to_storage_type(dtype),
            );
            sum_channels::launch_unchecked(
                scan.client(),
                elementwise(b * v * n / 4),
                CubeDim::new_1d(ELEMENTWISE),
                lam.into_buffer_arg(),
                h.into_buffer_arg(),
                ph.into_buffer_arg(),
                x.u.clone().into_buffer_arg(),
                x.delta.clone().into_buffer_arg(),
                dy.clone().into_buffer_arg(),
                db.clone().into_buffer_arg(),
                dc1.clone().into_buffer_arg(),
                dc2.clone().into_buffer_arg(),
                scan.step(t),
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
        a: summed(sum_a, [1, b * v, d * n], [d, n], f32),
        b: db,
        c1: dc1,
        c2: dc2,
        skip: match spec.skip {
            true => summed(sum_skip, [1, b * v, d], [d], f32),
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
