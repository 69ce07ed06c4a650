//! The graph selective scan against the recurrence written out in f64, and its gradients against
//! finite differences. Inputs are new in every run; a failure names the seed.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tgmamba::models::ModelConfig;
use tgmamba::nn::{BlockState, ConvType, StateMixing};
use tgmamba::ops::{GraphMixing, ScanInput, graph_scan};

/// A row-major array.
#[derive(Clone)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    fn random(rng: &mut ChaCha8Rng, shape: &[usize], low: f64, high: f64) -> Self {
        let n = shape.iter().product();
        Self {
            shape: shape.to_vec(),
            values: (0..n).map(|_| rng.random_range(low..high)).collect(),
        }
    }

    fn at(&self, index: &[usize]) -> f64 {
        // An axis of length one stands for every index.
        let flat = index
            .iter()
            .zip(&self.shape)
            .fold(0, |flat, (&i, &n)| flat * n + if n == 1 { 0 } else { i });
        self.values[flat]
    }

    fn tensor<const D: usize>(&self, device: &Device, dtype: DType) -> Tensor<D> {
        let data = TensorData::new(self.values.clone(), self.shape.clone());
        Tensor::from_data(data, (device, dtype))
    }
}

/// Every input of a scan, in the order u, Δ, A, B, C, D, h0, P, W_A root and rel, W_C root and rel.
struct Case {
    arrays: Vec<Array>,
    root: bool,
}

impl Case {
    fn random(
        rng: &mut ChaCha8Rng,
        [b, v, l, d, n]: [usize; 5],
        p: [usize; 2],
        root: bool,
    ) -> Self {
        let mut array = |shape: &[usize], low, high| Array::random(rng, shape, low, high);
        let w = 1.0 / n as f64;
        let arrays = vec![
            array(&[b, v, l, d], -1.0, 1.0),
            array(&[b, v, l, d], 0.05, 0.8),
            array(&[d, n], -2.0, -0.2),
            array(&[b, v, l, n], -1.0, 1.0),
            array(&[b, v, l, n], -1.0, 1.0),
            array(&[d], -1.0, 1.0),
            array(&[b, v, d, n], -1.0, 1.0),
            array(&[p[0], p[1], v, v], -1.0 / v as f64, 1.0 / v as f64),
            array(&[n, n], -w, w),
            array(&[n, n], -w, w),
            array(&[n, n], -w, w),
            array(&[n, n], -w, w),
        ];
        Self { arrays, root }
    }

    fn dims(&self) -> [usize; 5] {
        let u = &self.arrays[0].shape;
        [u[0], u[1], u[2], u[3], self.arrays[2].shape[1]]
    }

    /// The recurrence, entry by entry: y (b, v, l, d).
    fn recurrence(&self) -> Vec<f64> {
        let [nb, nv, nl, nd, nn] = self.dims();
        let [u, delta, a, b, c, skip, h0, p, a_root, a_rel, c_root, c_rel] =
            self.arrays.each_ref_12();
        let mut y = vec![0.0; nb * nv * nl * nd];
        for ib in 0..nb {
            for id in 0..nd {
                let mut h: Vec<Vec<f64>> = (0..nv)
                    .map(|i| (0..nn).map(|m| h0.at(&[ib, i, id, m])).collect())
                    .collect();
                for t in 0..nl {
                    let conv = |h: &[Vec<f64>], root: &Array, rel: &Array, i: usize, m: usize| {
                        let own: f64 = (0..nn).map(|k| h[i][k] * root.at(&[k, m])).sum();
                        let others: f64 = (0..nv)
                            .flat_map(|j| (0..nn).map(move |k| (j, k)))
                            .map(|(j, k)| p.at(&[ib, t, i, j]) * h[j][k] * rel.at(&[k, m]))
                            .sum();
                        if self.root { own + others } else { others }
                    };
                    let before = h.clone();
                    for (i, row) in h.iter_mut().enumerate() {
                        let dt = delta.at(&[ib, i, t, id]);
                        for (m, state) in row.iter_mut().enumerate() {
                            *state = (dt * a.at(&[id, m])).exp()
                                * conv(&before, a_root, a_rel, i, m)
                                + dt * u.at(&[ib, i, t, id]) * b.at(&[ib, i, t, m]);
                        }
                    }
                    for i in 0..nv {
                        let read: f64 = (0..nn)
                            .map(|m| conv(&h, c_root, c_rel, i, m) * c.at(&[ib, i, t, m]))
                            .sum();
                        y[((ib * nv + i) * nl + t) * nd + id] =
                            read + skip.at(&[id]) * u.at(&[ib, i, t, id]);
                    }
                }
            }
        }
        y
    }

    fn run(&self, tensors: &Tensors) -> Tensor<4> {
        let (input, mixing) = tensors.clone().split(self.root);
        graph_scan(input, mixing).y
    }
}

trait Each {
    fn each_ref_12(&self) -> [&Array; 12];
}

impl Each for Vec<Array> {
    fn each_ref_12(&self) -> [&Array; 12] {
        std::array::from_fn(|i| &self[i])
    }
}

#[derive(Clone)]
struct Tensors {
    four: [Tensor<4>; 6],
    two: [Tensor<2>; 5],
    d: Tensor<1>,
}

impl Tensors {
    fn new(case: &Case, device: &Device, dtype: DType) -> Self {
        let four = [0, 1, 3, 4, 6, 7].map(|i| case.arrays[i].tensor::<4>(device, dtype));
        let two = [2, 8, 9, 10, 11].map(|i| case.arrays[i].tensor::<2>(device, dtype));
        Self {
            four,
            two,
            d: case.arrays[5].tensor(device, dtype),
        }
    }

    fn require_grad(self) -> Self {
        Self {
            four: self.four.map(Tensor::require_grad),
            two: self.two.map(Tensor::require_grad),
            d: self.d.require_grad(),
        }
    }

    fn split(self, root: bool) -> (ScanInput, GraphMixing) {
        let [u, delta, b, c, h0, p] = self.four;
        let [a, a_root, a_rel, c_root, c_rel] = self.two;
        let input = ScanInput {
            u,
            delta,
            a,
            b,
            c,
            d: Some(self.d),
            initial_state: Some(h0),
        };
        let mixing = GraphMixing {
            p,
            a_root: root.then_some(a_root),
            a_rel,
            c_root: root.then_some(c_root),
            c_rel,
        };
        (input, mixing)
    }
}

fn generator() -> (u64, ChaCha8Rng) {
    let seed = rand::random();
    (seed, ChaCha8Rng::seed_from_u64(seed))
}

fn values(tensor: Tensor<4>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(1e-12, |m: f64, v| m.max(v.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / scale
}

#[test]
fn equals_the_recurrence() {
    let (seed, mut rng) = generator();
    let device = Device::flex();
    for (dims, p) in [
        ([1, 1, 1, 1, 1], [1, 1]),
        ([2, 3, 7, 5, 4], [1, 1]),
        ([3, 5, 6, 2, 3], [3, 1]),
        ([2, 4, 9, 3, 5], [2, 9]),
        ([1, 8, 31, 3, 16], [1, 31]),
    ] {
        for root in [true, false] {
            let case = Case::random(&mut rng, dims, p, root);
            let expected = case.recurrence();
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                let tensors = Tensors::new(&case, &device, dtype);
                let error = relative_error(&values(case.run(&tensors)), &expected);
                assert!(
                    error < tolerance,
                    "seed {seed}, {dims:?}, {dtype:?}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let (seed, mut rng) = generator();
    let device = Device::flex().autodiff();
    for p in [[1, 1], [2, 4]] {
        let mut case = Case::random(&mut rng, [2, 3, 4, 2, 3], p, true);
        let cotangent = Array::random(&mut rng, &[2, 3, 4, 2], -1.0, 1.0);
        let loss = |case: &Case| {
            let pairs = case.recurrence().into_iter().zip(&cotangent.values);
            pairs.map(|(y, c)| y * c).sum::<f64>()
        };
        let tensors = Tensors::new(&case, &device, DType::F64).require_grad();
        let weights = cotangent.tensor::<4>(&device, DType::F64);
        let grads = (case.run(&tensors) * weights).sum().backward();
        let found: Vec<Vec<f64>> = {
            let four = tensors.four.each_ref();
            let two = tensors.two.each_ref();
            let four = four.map(|t| t.grad(&grads).unwrap().into_data().iter::<f64>().collect());
            let two: [Vec<f64>; 5] =
                two.map(|t| t.grad(&grads).unwrap().into_data().iter::<f64>().collect());
            let d = tensors
                .d
                .grad(&grads)
                .unwrap()
                .into_data()
                .iter::<f64>()
                .collect();
            let [u, delta, b, c, h0, p]: [Vec<f64>; 6] = four;
            let [a, a_root, a_rel, c_root, c_rel] = two;
            vec![u, delta, a, b, c, d, h0, p, a_root, a_rel, c_root, c_rel]
        };
        for (input, found) in found.iter().enumerate() {
            let step = 1e-6;
            let expected: Vec<f64> = (0..found.len())
                .map(|i| {
                    let middle = case.arrays[input].values[i];
                    case.arrays[input].values[i] = middle + step;
                    let above = loss(&case);
                    case.arrays[input].values[i] = middle - step;
                    let below = loss(&case);
                    case.arrays[input].values[i] = middle;
                    (above - below) / (2.0 * step)
                })
                .collect();
            let error = relative_error(found, &expected);
            assert!(error < 1e-6, "seed {seed}, input {input}: {error:e}");
        }
    }
}

/// Two halves, the second from the state of the first, are the whole: outputs and gradients.
#[test]
fn pieces_are_the_whole() {
    let (seed, mut rng) = generator();
    let device = Device::flex().autodiff();
    for (dims, p) in [([2, 3, 70, 5, 4], [1, 1]), ([1, 5, 40, 3, 3], [1, 40])] {
        let case = Case::random(&mut rng, dims, p, true);
        let [_, v, l, d, n] = dims;
        let cut = 33;
        let weight = Array::random(&mut rng, &[dims[0], v, d, n], -1.0, 1.0);
        let weight = weight.tensor::<4>(&device, DType::F64);
        let run = |pieces: &[(usize, usize)]| {
            let tensors = Tensors::new(&case, &device, DType::F64).require_grad();
            let (input, mixing) = tensors.clone().split(true);
            let mut state = input.initial_state.clone();
            let mut outputs = Vec::new();
            for &(start, length) in pieces {
                let piece = |x: &Tensor<4>| x.clone().narrow(2, start, length);
                let out = graph_scan(
                    ScanInput {
                        u: piece(&input.u),
                        delta: piece(&input.delta),
                        b: piece(&input.b),
                        c: piece(&input.c),
                        initial_state: state,
                        ..input.clone()
                    },
                    GraphMixing {
                        p: match p[1] {
                            1 => mixing.p.clone(),
                            _ => mixing.p.clone().narrow(1, start, length),
                        },
                        ..mixing.clone()
                    },
                );
                outputs.push(out.y);
                state = Some(out.state);
            }
            let y = Tensor::cat(outputs, 2);
            let state = state.unwrap();
            let grads = ((state.clone() * weight.clone()).sum() + y.clone().sum()).backward();
            let mut results = vec![values(y), values(state)];
            let four = tensors.four.iter().map(|t| t.grad(&grads).unwrap());
            results.extend(four.map(values));
            let two = tensors.two.iter().map(|t| t.grad(&grads).unwrap());
            results.extend(two.map(|g| values(g.unsqueeze())));
            results
        };
        let whole = run(&[(0, l)]);
        let pieces = run(&[(0, cut), (cut, l - cut)]);
        for (i, (pieces, whole)) in pieces.iter().zip(&whole).enumerate() {
            let error = relative_error(pieces, whole);
            assert!(
                error < 1e-10,
                "seed {seed}, {dims:?}, result {i}: {error:e}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "graph_scan: c is [1, 2, 3, 5], expected [1, 2, 3, 4]")]
fn names_the_operand_that_does_not_fit() {
    let (_, mut rng) = generator();
    let device = Device::flex();
    let case = Case::random(&mut rng, [1, 2, 3, 2, 4], [1, 1], true);
    let (input, mixing) = Tensors::new(&case, &device, DType::F32).split(true);
    let c = Tensor::zeros([1, 2, 3, 5], &device);
    graph_scan(ScanInput { c, ..input }, mixing);
}

/// The bounded recurrence stays finite for any length, the state within what is fed into it.
#[test]
fn twenty_thousand_steps_stay_finite() {
    let device = Device::flex();
    device.seed(7);
    let (b, v, l) = (1, 4, 20_000);
    for conv_type in [
        ConvType::GraphConv,
        ConvType::GcnConv,
        ConvType::ChebConv,
        ConvType::GatV2Conv,
        ConvType::None,
    ] {
        let mut config = ModelConfig::new(1, 2, v);
        config.d_model = 4;
        config.d_state = 4;
        config.conv_type = conv_type;
        config.state_mixing = StateMixing::Bounded;
        let block = config.block().init(&device);
        let x = Tensor::random(
            [b, v, l, 4],
            burn::tensor::Distribution::Normal(0.0, 1.0),
            &device,
        );
        let a = Tensor::random(
            [1, 1, v, v],
            burn::tensor::Distribution::Uniform(0.0, 5.0),
            &device,
        );
        let out = block.forward(x, a, BlockState::default());
        let last = values(out.state.scan.unwrap());
        assert!(
            values(out.hidden)
                .iter()
                .chain(&last)
                .all(|h| h.is_finite()),
            "{conv_type:?} is not finite after {l} steps"
        );
    }
}
