//! The norm on the CPU: threads over blocks of rows, vectors along the channels.

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::DType;
use rayon::prelude::*;

use super::backend::{NormGradients, NormSpec, RmsNormBackend};
use crate::ops::flex::{Computed, cast, compute_type, from_vec, load};
use crate::ops::simd::{Kernel, LANES, Lanes, Pack, Real};

/// Numbers of a block.
const BLOCK: usize = 1 << 15;

type T = FloatTensor<Flex>;

/// A block of rows.
struct Rows<'a, E> {
    d: usize,
    spec: NormSpec,
    eps: E,
    x: &'a [E],
    weight: &'a [E],
    gate: &'a [E],
}

impl<E: Real> Rows<'_, E> {
    fn gate_at(&self, range: std::ops::Range<usize>) -> &[E] {
        if self.spec.gate {
            &self.gate[range]
        } else {
            &[]
        }
    }
}

/// Sixteen numbers of a slice, or what is left of it.
#[inline(always)]
fn strip<E: Real, V: Lanes<E>>(of: &[E], at: usize) -> V {
    V::first(&of[at..of.len().min(at + LANES)])
}

#[inline(always)]
fn silu<E: Real, V: Lanes<E>>(z: V) -> V {
    z.mul(z.sigmoid())
}

/// silu'(z).
#[inline(always)]
fn silu_slope<E: Real, V: Lanes<E>>(z: V) -> V {
    let (s, one) = (z.sigmoid(), V::splat(E::ONE));
    s.mul(z.mul(one.sub(s)).add(one))
}

#[inline(always)]
fn lane_sum<E: Real, V: Lanes<E>>(v: V) -> E {
    v.pack().0.into_iter().fold(E::ZERO, |sum, x| sum + x)
}

/// What is normalised: x, or x silu(z).
#[inline(always)]
fn gated<E: Real, V: Lanes<E>>(spec: &NormSpec, x: &[E], z: &[E], at: usize) -> V {
    let x = strip::<E, V>(x, at);
    match spec.gate && !spec.after {
        true => x.mul(silu(strip::<E, V>(z, at))),
        false => x,
    }
}

/// 1 / √(mean + ε) of a group.
#[inline(always)]
fn inverse_root<E: Computed, V: Lanes<E>>(spec: &NormSpec, eps: E, x: &[E], z: &[E]) -> E {
    let mut squares = V::splat(E::ZERO);
    for at in (0..x.len()).step_by(LANES) {
        let v = gated::<E, V>(spec, x, z, at);
        squares = v.mul_add(v, squares);
    }
    let mean = lane_sum(squares).to_f64() / x.len() as f64;
    E::from_elem(1.0 / (mean + eps.to_f64()).sqrt())
}

struct Forward<'a, E> {
    rows: Rows<'a, E>,
    y: &'a mut [E],
}

impl<E: Computed> Kernel<E> for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<E>>(self) {
        let rows = &self.rows;
        let spec = &rows.spec;
        let width = rows.d / spec.groups;
        for (index, y) in self.y.chunks_exact_mut(width).enumerate() {
            let range = index * width..(index + 1) * width;
            let first = range.start % rows.d;
            let weight = &rows.weight[first..first + width];
            let (x, z) = (&rows.x[range.clone()], rows.gate_at(range));
            let root = V::splat(inverse_root::<E, V>(spec, rows.eps, x, z));
            for at in (0..width).step_by(LANES) {
                let v = gated::<E, V>(spec, x, z, at);
                let mut out = v.mul(root).mul(strip::<E, V>(weight, at));
                if spec.gate && spec.after {
                    out = out.mul(silu(strip::<E, V>(z, at)));
                }
                out.write_first(&mut y[at..width.min(at + LANES)]);
            }
        }
    }
}

struct BackwardTask<'a, E> {
    rows: Rows<'a, E>,
    dy: &'a [E],
    dx: &'a mut [E],
    /// Empty without a gate.
    dz: &'a mut [E],
}

impl<E: Computed> Kernel<E> for BackwardTask<'_, E> {
    /// The sum of the gradient of the weight, (groups, strips of a group).
    type Output = Vec<Pack<E>>;

    #[inline(always)]
    fn run<V: Lanes<E>>(self) -> Vec<Pack<E>> {
        let rows = &self.rows;
        let spec = &rows.spec;
        let width = rows.d / spec.groups;
        let strips = width.div_ceil(LANES);
        let mut sums = vec![Pack::ZERO; spec.groups * strips];
        for (index, dx) in self.dx.chunks_exact_mut(width).enumerate() {
            let range = index * width..(index + 1) * width;
            let first = range.start % rows.d;
            let weight = &rows.weight[first..first + width];
            let sums = &mut sums[first / width * strips..][..strips];
            let (x, z) = (&rows.x[range.clone()], rows.gate_at(range.clone()));
            let dy = &self.dy[range.clone()];
            let root = V::splat(inverse_root::<E, V>(spec, rows.eps, x, z));
            // dy silu(z), or dy.
            let arriving = |at: usize| {
                let dy = strip::<E, V>(dy, at);
                match spec.gate && spec.after {
                    true => dy.mul(silu(strip::<E, V>(z, at))),
                    false => dy,
                }
            };
            let mut product = V::splat(E::ZERO);
            for (sum, at) in sums.iter_mut().zip((0..width).step_by(LANES)) {
                let n = gated::<E, V>(spec, x, z, at).mul(root);
                let dn = arriving(at).mul(n);
                V::load(sum).add(dn).store(sum);
                product = dn.mul_add(strip::<E, V>(weight, at), product);
            }
            let mean = lane_sum(product).to_f64() / width as f64;
            let mean = V::splat(E::from_elem(mean));
            for at in (0..width).step_by(LANES) {
                let lanes = at..width.min(at + LANES);
                let n = gated::<E, V>(spec, x, z, at).mul(root);
                let weight = strip::<E, V>(weight, at);
                let dv = arriving(at).mul(weight).sub(n.mul(mean)).mul(root);
                if !spec.gate {
                    dv.write_first(&mut dx[lanes]);
                    continue;
                }
                let gate = strip::<E, V>(z, at);
                let dz = &mut self.dz[range.start + lanes.start..range.start + lanes.end];
                if spec.after {
                    dv.write_first(&mut dx[lanes]);
                    let out = strip::<E, V>(dy, at).mul(n).mul(weight);
                    out.mul(silu_slope(gate)).write_first(dz);
                } else {
                    dv.mul(silu(gate)).write_first(&mut dx[lanes]);
                    let x = strip::<E, V>(x, at);
                    dv.mul(x).mul(silu_slope(gate)).write_first(dz);
                }
            }
        }
        sums
    }
}

/// Numbers of the rows that a task takes.
fn block(d: usize) -> usize {
    (BLOCK / d).max(1) * d
}

fn normalise<E: Computed>(tensors: &[T; 3], spec: NormSpec) -> T {
    let [x, weight, gate] = tensors.each_ref().map(E::values);
    let shape = tensors[0].shape();
    let d = shape[1];
    let size = block(d);
    let mut y = vec![E::ZERO; x.len()];
    let task = |(i, y): (usize, &mut [E])| {
        let range = i * size..i * size + y.len();
        E::dispatch(Forward {
            rows: rows(x, weight, gate, spec, range),
            y,
        });
    };
    match y.len() <= size {
        true => task((0, &mut y)),
        false => y.par_chunks_mut(size).enumerate().for_each(task),
    }
    from_vec(y, shape)
}

fn rows<'a, E: Computed>(
    x: &'a [E],
    weight: &'a [E],
    gate: &'a [E],
    spec: NormSpec,
    range: std::ops::Range<usize>,
) -> Rows<'a, E> {
    Rows {
        d: weight.len(),
        spec,
        eps: E::from_elem(spec.eps),
        x: &x[range.clone()],
        weight,
        gate: if spec.gate { &gate[range] } else { &[] },
    }
}

fn gradients<E: Computed>(tensors: &[T; 4], spec: NormSpec) -> [T; 3] {
    let [x, weight, gate, dy] = tensors.each_ref().map(E::values);
    let shape = tensors[0].shape();
    let d = shape[1];
    let size = block(d);
    let width = d / spec.groups;
    let strips = width.div_ceil(LANES);
    let mut dx = vec![E::ZERO; x.len()];
    let mut dz = vec![E::ZERO; if spec.gate { x.len() } else { 1 }];
    let mut outputs: Vec<(&mut [E], &mut [E])> = match spec.gate {
        true => dx.chunks_mut(size).zip(dz.chunks_mut(size)).collect(),
        false => dx.chunks_mut(size).map(|dx| (dx, &mut [][..])).collect(),
    };
    let sums: Vec<Vec<Pack<E>>> = outputs
        .par_iter_mut()
        .enumerate()
        .map(|(i, (dx, dz))| {
            let range = i * size..i * size + dx.len();
            E::dispatch(BackwardTask {
                rows: rows(x, weight, gate, spec, range.clone()),
                dy: &dy[range],
                dx,
                dz,
            })
        })
        .collect();
    // Blocks in their order, so that the number of threads does not change the sums.
    let mut dweight = vec![E::ZERO; d];
    for sums in &sums {
        for (channel, out) in dweight.iter_mut().enumerate() {
            let (group, at) = (channel / width, channel % width);
            *out += sums[group * strips + at / LANES].0[at % LANES];
        }
    }
    let dz_shape = if spec.gate { shape.clone() } else { [1].into() };
    [
        from_vec(dx, shape),
        from_vec(dweight, [d]),
        from_vec(dz, dz_shape),
    ]
}

impl RmsNormBackend for Flex {
    fn rms_norm(x: T, weight: T, gate: T, spec: NormSpec) -> T {
        let stored = x.dtype();
        let dtype = compute_type(&x);
        let tensors = [x, weight, gate].map(|t| load(t, dtype));
        let y = match dtype {
            DType::F64 => normalise::<f64>(&tensors, spec),
            _ => normalise::<f32>(&tensors, spec),
        };
        cast(y, stored)
    }

    fn rms_norm_backward(x: T, weight: T, gate: T, dy: T, spec: NormSpec) -> NormGradients<Self> {
        let stored = x.dtype();
        let dtype = compute_type(&x);
        let tensors = [x, weight, gate, dy].map(|t| load(t, dtype));
        let [x, weight, gate] = match dtype {
            DType::F64 => gradients::<f64>(&tensors, spec),
            _ => gradients::<f32>(&tensors, spec),
        };
        NormGradients {
            x: cast(x, stored),
            weight,
            gate: cast(gate, stored),
        }
    }
}
