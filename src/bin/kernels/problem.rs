//! Random scans, and their results by any implementation.

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba::ops::graph_scan::reference::{self, StateWeights};
use tgmamba::ops::graph_scan::{GraphMixing, ScanInput, ScanOutput, graph_scan, sparse_graph_scan};
use tgmamba::ops::sparse::SparseMatrix;
use tgmamba_graph::topology::CsrGraph;

/// Shape and options of a graph scan.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub b: usize,
    pub v: usize,
    pub l: usize,
    pub d: usize,
    pub n: usize,
    /// P per sample.
    pub p_batch: bool,
    /// P per step.
    pub p_steps: bool,
    /// gconv_A and gconv_C have W_root.
    pub root: bool,
    /// A state before the first step.
    pub state: bool,
    /// P is given by its edges.
    pub sparse: bool,
}

impl Case {
    pub fn new([b, v, l, d, n]: [usize; 5]) -> Self {
        Self {
            b,
            v,
            l,
            d,
            n,
            p_batch: false,
            p_steps: false,
            root: true,
            state: false,
            sparse: false,
        }
    }

    /// P per sample and step.
    pub fn per_step(self) -> Self {
        Self {
            p_batch: true,
            p_steps: true,
            ..self
        }
    }

    /// Additions and multiplications of the recurrence: the fewest that compute it. Forward: the
    /// products P h (one per step, two where P changes) and h W; backward: with respect to both
    /// factors of each. Recomputed states are not counted.
    pub fn flop(&self) -> (f64, f64) {
        let Self { b, v, l, d, n, .. } = *self;
        let products = if self.p_steps { 2 } else { 1 };
        let matrices = if self.root { 2 } else { 1 };
        // One pair in nine is an edge.
        let pairs = if self.sparse { v * v / 9 } else { v * v };
        let step = 2 * products * pairs * n + 2 * matrices * v * n * n;
        let forward = (b * l * d) as f64 * step as f64;
        (forward, 3.0 * forward)
    }

    /// Bytes that have to cross the memory once: operands and y forward; operands, dy and all
    /// gradients backward.
    pub fn bytes(&self, size: usize) -> (f64, f64) {
        let Self { b, v, l, d, n, .. } = *self;
        let signal = b * v * l * d * size;
        let row = b * v * l * n * size;
        let p = v * v * if self.p_batch { b } else { 1 } * if self.p_steps { l } else { 1 } * 4;
        let read = 2 * signal + 3 * row + p;
        ((read + signal) as f64, (2 * read + signal) as f64)
    }
}

/// The operands as numbers.
pub struct Problem {
    pub case: Case,
    tensors: Vec<(Vec<f64>, Vec<usize>)>,
    /// Weights of y and of the last state in the loss.
    weights: [(Vec<f64>, Vec<usize>); 2],
}

/// y, last state, then the gradients in the order of [`Problem::names`].
pub type Results = Vec<Vec<f64>>;

const FIXED: usize = 8;

impl Problem {
    pub fn random(case: Case, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let Case { b, v, l, d, n, .. } = case;
        let mut array = |shape: &[usize], low: f64, high: f64| {
            let count = shape.iter().product();
            let values: Vec<f64> = (0..count).map(|_| rng.random_range(low..high)).collect();
            (values, shape.to_vec())
        };
        let w = 1.0 / n as f64;
        let p_b = if case.p_batch { b } else { 1 };
        let p_l = if case.p_steps { l } else { 1 };
        let mut tensors = vec![
            array(&[b, v, l, d], -1.0, 1.0),
            array(&[b, v, l, d], 0.01, 0.6),
            array(&[d, n], -2.0, -0.2),
            array(&[b, v, l, n], -1.0, 1.0),
            array(&[b, v, l, n], -1.0, 1.0),
            array(&[d], -1.0, 1.0),
            // Rows of P and W sum to less than one: the state stays bounded for any l.
            array(&[p_b, p_l, v, v], -1.0 / v as f64, 1.0 / v as f64),
            array(&[n, n], -w, w),
        ];
        if case.sparse {
            // One in eight stays; some rows have none, one of them the first.
            let keep = |i: usize| (i * 5 + i / v).is_multiple_of(8) && !(i / v).is_multiple_of(9);
            let p = tensors[6].0.iter_mut().enumerate();
            p.for_each(|(i, p)| *p *= if keep(i) { 8.0 } else { 0.0 });
        }
        assert_eq!(tensors.len(), FIXED);
        tensors.push(array(&[n, n], -w, w));
        if case.root {
            tensors.push(array(&[n, n], -w, w));
            tensors.push(array(&[n, n], -w, w));
        }
        if case.state {
            tensors.push(array(&[b, v, d, n], -1.0, 1.0));
        }
        let weights = [
            array(&[b, v, l, d], -1.0, 1.0),
            array(&[b, v, d, n], -1.0, 1.0),
        ];
        Self {
            case,
            tensors,
            weights,
        }
    }

    /// Rounds what is stored in `dtype` to it, so that only the computation differs.
    pub fn rounded(mut self, dtype: DType) -> Self {
        let round: fn(f64) -> f64 = match dtype {
            DType::BF16 => |x| half::bf16::from_f64(x).to_f64(),
            DType::F16 => |x| half::f16::from_f64(x).to_f64(),
            _ => return self,
        };
        for i in [0, 1, 3, 4] {
            self.tensors[i].0.iter_mut().for_each(|x| *x = round(*x));
        }
        self.weights[0].0.iter_mut().for_each(|x| *x = round(*x));
        self
    }

    pub fn names(&self) -> Vec<&'static str> {
        let c = &self.case;
        if [c.v, c.l, c.d, c.n] == [1; 4] {
            return vec!["y", "h", "gradients"];
        }
        let mut names = vec!["y", "h", "du", "dΔ", "dA", "dB", "dC", "dD"];
        if !c.sparse {
            names.push("dP");
        }
        match (self.case.n, self.case.root) {
            (1, _) => names.push("dW"),
            (_, false) => names.extend(["dWa_rel", "dWc_rel"]),
            (_, true) => names.extend(["dWa_rel", "dWc_rel", "dWa_root", "dWc_root"]),
        }
        if self.case.state {
            names.push("dh0");
        }
        names
    }

    /// The operands on a device; u, Δ, B and C stored as `dtype`, the rest in f32 (f64 if that is
    /// the type).
    pub fn load(&self, device: &Device, dtype: DType) -> Operands {
        let wide = if dtype == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        let tensor = |i: usize, dtype: DType| {
            let (values, shape) = &self.tensors[i];
            Flat(TensorData::new(values.clone(), shape.clone()), dtype)
        };
        let track = |t: Tensor<4>| t.require_grad();
        let u = track(tensor(0, dtype).on(device));
        let delta = track(tensor(1, dtype).on(device));
        let a = tensor(2, wide).on::<2>(device).require_grad();
        let b = track(tensor(3, dtype).on(device));
        let c = track(tensor(4, dtype).on(device));
        let d = tensor(5, wide).on::<1>(device).require_grad();
        let p = tensor(6, wide).on(device);
        let edges = self.case.sparse.then(|| edges(&p.clone().inner()));
        let p = if self.case.sparse { p } else { track(p) };
        let w: Vec<Tensor<2>> = (7..if self.case.root { 11 } else { 9 })
            .map(|i| tensor(i, wide).on::<2>(device).require_grad())
            .collect();
        let state = self
            .case
            .state
            .then(|| track(tensor(self.tensors.len() - 1, wide).on(device)));
        let weight = |i: usize, dtype: DType| {
            let (values, shape) = &self.weights[i];
            Flat(TensorData::new(values.clone(), shape.clone()), dtype).on::<4>(device)
        };
        Operands {
            u,
            delta,
            a,
            b,
            c,
            d,
            p,
            edges,
            w,
            state,
            weights: [weight(0, dtype), weight(1, wide)],
        }
    }
}

struct Flat(TensorData, DType);

impl Flat {
    fn on<const D: usize>(self, device: &Device) -> Tensor<D> {
        let data = match self.1 {
            DType::BF16 | DType::F16 => self.0.convert_dtype(DType::F32).convert_dtype(self.1),
            dtype => self.0.convert_dtype(dtype),
        };
        Tensor::from_data(data, (device, self.1))
    }
}

/// The operands as tensors.
#[derive(Clone)]
pub struct Operands {
    pub u: Tensor<4>,
    pub delta: Tensor<4>,
    pub a: Tensor<2>,
    pub b: Tensor<4>,
    pub c: Tensor<4>,
    pub d: Tensor<1>,
    pub p: Tensor<4>,
    edges: Option<SparseMatrix>,
    /// gconv_A rel, gconv_C rel, then the roots.
    pub w: Vec<Tensor<2>>,
    pub state: Option<Tensor<4>>,
    weights: [Tensor<4>; 2],
}

/// An implementation of the scan.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// The kernels of the device, over the edges of P if that is the case.
    Kernel,
    /// Plain tensor operations.
    Reference,
}

/// P by its edges.
fn edges(p: &Tensor<4>) -> SparseMatrix {
    let [_, _, v, _] = p.dims();
    let weights = numbers(p.clone());
    let edges = weights.iter().enumerate().filter(|(_, w)| **w != 0.0);
    let edges: Vec<_> = edges.map(|(i, w)| (i % v, i / v, *w as f32)).collect();
    let graph = CsrGraph::from_edges(v, &edges).expect("indices below v");
    SparseMatrix::new(&graph, &p.device())
}

impl Operands {
    /// Without gradients.
    pub fn inner(&self) -> Self {
        Self {
            u: self.u.clone().inner(),
            delta: self.delta.clone().inner(),
            a: self.a.clone().inner(),
            b: self.b.clone().inner(),
            c: self.c.clone().inner(),
            d: self.d.clone().inner(),
            p: self.p.clone().inner(),
            edges: self.edges.clone(),
            w: self.w.iter().map(|w| w.clone().inner()).collect(),
            state: self.state.clone().map(Tensor::inner),
            weights: self.weights.clone().map(Tensor::inner),
        }
    }

    pub fn scan(&self, way: Way) -> ScanOutput {
        let input = ScanInput {
            u: self.u.clone(),
            delta: self.delta.clone(),
            a: self.a.clone(),
            b: self.b.clone(),
            c: self.c.clone(),
            d: Some(self.d.clone()),
            initial_state: self.state.clone(),
        };
        let weights = StateWeights {
            a_rel: self.w[0].clone(),
            c_rel: self.w[1].clone(),
            a_root: self.w.get(2).cloned(),
            c_root: self.w.get(3).cloned(),
        };
        let mixing = |weights: StateWeights| GraphMixing {
            p: self.p.clone(),
            a_rel: weights.a_rel,
            c_rel: weights.c_rel,
            a_root: weights.a_root,
            c_root: weights.c_root,
        };
        match (way, &self.edges) {
            (Way::Kernel, Some(p)) => sparse_graph_scan(input, p, weights),
            (Way::Kernel, None) => graph_scan(input, mixing(weights)),
            (Way::Reference, _) => reference::graph_scan(input, mixing(weights)),
        }
    }

    /// y, the last state and all gradients of Σ weights · (y, state).
    pub fn results(&self, way: Way) -> Results {
        let out = self.scan(way);
        let [wy, wh] = self.weights.clone();
        let loss = (out.y.clone() * wy).cast(self.a.dtype()).sum() + (out.state.clone() * wh).sum();
        let grads = loss.backward();
        let mut results = vec![numbers(out.y), numbers(out.state)];
        // An operand the result does not depend on (W_A in a single step) may have no gradient.
        fn push<const D: usize>(results: &mut Results, t: &Tensor<D>, grads: &Gradients) {
            results.push(match t.grad(grads) {
                Some(gradient) => numbers(gradient),
                None => vec![0.0; t.shape().num_elements()],
            });
        }
        push(&mut results, &self.u, &grads);
        push(&mut results, &self.delta, &grads);
        push(&mut results, &self.a, &grads);
        push(&mut results, &self.b, &grads);
        push(&mut results, &self.c, &grads);
        push(&mut results, &self.d, &grads);
        if self.p.is_require_grad() {
            push(&mut results, &self.p, &grads);
        }
        let first = results.len();
        for w in &self.w {
            push(&mut results, w, &grads);
        }
        if self.a.dims()[1] == 1 {
            // Single numbers, sums of many terms of either sign: relative to itself one that
            // happens to be small would have any error. Together they have a size.
            let joined = results.split_off(first).concat();
            results.push(joined);
        }
        if let Some(state) = &self.state {
            push(&mut results, state, &grads);
        }
        if self.u.dims()[1..] == [1, 1, 1] && self.a.dims()[1] == 1 {
            // The same holds for every gradient of a single number in and out.
            let joined = results.split_off(2).concat();
            results.push(joined);
        }
        results
    }

    /// One forward and backward pass with a gradient of ones, dropped unread.
    pub fn step(&self, way: Way) {
        drop(self.scan(way).y.backward());
    }
}

fn numbers<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    t.into_data()
        .convert_dtype(DType::F64)
        .try_to_vec::<f64>()
        .expect("converted to f64")
}

/// ‖x − reference‖ / ‖reference‖; infinite if a value is not finite or the lengths differ. A
/// reference that is zero but for rounding (dA after a single step from the zero state) counts
/// as 1e-3.
pub fn relative_error(x: &[f64], reference: &[f64]) -> f64 {
    if x.len() != reference.len() || x.iter().any(|v| !v.is_finite()) {
        return f64::INFINITY;
    }
    norm(x.iter().zip(reference).map(|(a, b)| a - b)) / size(reference)
}

/// A relative error above `bound`, taken relative to the size that the result usually has: few
/// terms of either sign may happen to cancel, while the rounding of each does not. `other` is the
/// exact result of another random problem, by its number.
pub fn unless_cancelled(
    error: f64,
    bound: f64,
    reference: &[f64],
    other: impl Fn(u64) -> Vec<f64>,
) -> f64 {
    const OTHERS: u64 = 4;
    if error <= bound {
        return error;
    }
    let usual = (1..=OTHERS).map(|k| size(&other(k))).sum::<f64>() / OTHERS as f64;
    error * (size(reference) / usual).min(1.0)
}

fn size(values: &[f64]) -> f64 {
    norm(values.iter().copied()).max(1e-3)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cancelled_is_forgiven() {
        let judged = |found: f64, exact: f64| {
            let error = relative_error(&[found], &[exact]);
            unless_cancelled(error, 1e-2, &[exact], |k| vec![4.0 + (k % 2) as f64])
        };
        assert!(judged(4.03, 4.0) <= 1e-2);
        assert!(judged(4.1, 4.0) > 1e-2);
        assert!(judged(0.05, 0.02) <= 1e-2);
        assert!(judged(0.10, 0.02) > 1e-2);
        assert!(judged(50.0, 40.0) > 1e-2);
        assert!(judged(f64::NAN, 0.02) > 1e-2);
    }
}
