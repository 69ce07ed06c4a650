//! The convolution against its formula in f64, gradients against differences of it.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{causal_conv1d, reference};
use crate::ops::testing::{Random, close, dot, rounded, slope, tensor, values};

type Conv = fn(
    Tensor<3>,
    Tensor<2>,
    Option<Tensor<1>>,
    Option<Tensor<3>>,
    Option<Tensor<2, Int>>,
    bool,
) -> (Tensor<3>, Tensor<3>);

#[derive(Debug, Clone, Copy)]
struct Case {
    /// b, l, d, k.
    size: [usize; 4],
    bias: bool,
    initial: bool,
    /// Packed sequences, the first with this id.
    packed: Option<i64>,
    silu: bool,
}

/// x, weight, bias, initial, and weights of y and of the final state in the loss.
struct Problem {
    case: Case,
    parts: [Vec<f64>; 6],
    ids: Vec<i64>,
}

impl Problem {
    fn new(case: Case, dtype: DType, random: &mut Random) -> Self {
        let [b, l, d, k] = case.size;
        let past = b * (k - 1) * d;
        let counts = [b * l * d, d * k, d, past, b * l * d, past];
        let parts = counts.map(|n| rounded(&random.between(n, -1.0, 1.0), dtype));
        let ids = match case.packed {
            Some(first) => random.runs(b, l, 4, first),
            None => vec![0; b * l],
        };
        Self { case, parts, ids }
    }

    /// y, final state.
    fn exact(&self, parts: &[Vec<f64>; 6]) -> [Vec<f64>; 2] {
        let [b, l, d, k] = self.case.size;
        let [x, weight, bias, initial, ..] = parts;
        let past = k - 1;
        let mut y = vec![0.0; b * l * d];
        let mut last = vec![0.0; b * past * d];
        for s in 0..b {
            let id = |t: isize| {
                if t < 0 {
                    0
                } else {
                    self.ids[s * l + t as usize]
                }
            };
            for ch in 0..d {
                let value = |t: isize| match (t >= 0, self.case.initial) {
                    (true, _) => x[(s * l + t as usize) * d + ch],
                    (_, true) => initial[(s * past + (t + past as isize) as usize) * d + ch],
                    _ => 0.0,
                };
                for t in 0..l as isize {
                    let mut sum = if self.case.bias { bias[ch] } else { 0.0 };
                    for j in 0..k {
                        let from = t - (k - 1 - j) as isize;
                        if id(from) == id(t) {
                            sum += weight[ch * k + j] * value(from);
                        }
                    }
                    if self.case.silu {
                        sum /= 1.0 + (-sum).exp();
                    }
                    let out = &mut y[(s * l + t as usize) * d + ch];
                    *out = if id(t) < 0 { 0.0 } else { sum };
                }
                let end = l as isize - 1;
                for j in 0..past {
                    let from = end + 1 + j as isize - past as isize;
                    if id(from) == id(end) && id(end) >= 0 {
                        last[(s * past + j) * d + ch] = value(from);
                    }
                }
            }
        }
        [y, last]
    }

    fn loss(&self, parts: &[Vec<f64>; 6]) -> f64 {
        let [y, last] = self.exact(parts);
        dot(&y, &self.parts[4]) + dot(&last, &self.parts[5])
    }

    /// y, final state and the gradients of x, weight, bias, initial.
    fn found(&self, conv: Conv, dtype: DType, device: &Device) -> Vec<Vec<f64>> {
        let [b, l, d, k] = self.case.size;
        let device = device.clone().autodiff();
        let [x, weight, bias, initial, wy, wlast] = &self.parts;
        let x = tensor(x, [b, l, d], dtype, &device).require_grad();
        let weight = tensor(weight, [d, k], dtype, &device).require_grad();
        let bias = tensor(bias, [d], dtype, &device).require_grad();
        let initial = tensor(initial, [b, k - 1, d], dtype, &device).require_grad();
        let ids = self.case.packed.map(|_| {
            Tensor::<2, Int>::from_data(TensorData::new(self.ids.clone(), [b, l]), &device)
        });
        let (y, last) = conv(
            x.clone(),
            weight.clone(),
            self.case.bias.then(|| bias.clone()),
            self.case.initial.then(|| initial.clone()),
            ids,
            self.case.silu,
        );
        assert_eq!((y.dtype(), last.dtype()), (dtype, dtype));
        let loss = (y.clone() * tensor(wy, [b, l, d], dtype, &device)).sum()
            + (last.clone() * tensor(wlast, [b, k - 1, d], dtype, &device)).sum();
        let grads = loss.backward();
        vec![
            values(y),
            values(last),
            values(x.grad(&grads).expect("dx")),
            values(weight.grad(&grads).expect("dweight")),
            bias.grad(&grads).map(values).unwrap_or_default(),
            initial.grad(&grads).map(values).unwrap_or_default(),
        ]
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, size) in [
        [1, 1, 1, 2],
        [2, 1, 5, 4],
        [2, 2, 33, 4],
        [3, 37, 6, 3],
        [2, 130, 40, 4],
        [1, 300, 17, 2],
        [2, 9, 3, 7],
    ]
    .into_iter()
    .enumerate()
    {
        for packed in [None, Some(0), Some(-1), Some(1)] {
            for silu in [false, true] {
                cases.push(Case {
                    size,
                    bias: (i % 2 == 0) ^ silu,
                    initial: packed.is_some() || silu,
                    packed,
                    silu,
                });
            }
        }
    }
    cases
}

/// Against the exact formula; and gradients against its differences, where `gradients`, else
/// against those of the reference in f64.
fn check(conv: Conv, dtype: DType, device: &Device, tolerance: f64) {
    let mut random = Random::new();
    for case in cases() {
        let problem = Problem::new(case, dtype, &mut random);
        let found = problem.found(conv, dtype, device);
        let exact = problem.exact(&problem.parts);
        close(&format!("y {case:?}"), &found[0], &exact[0], tolerance);
        close(&format!("final {case:?}"), &found[1], &exact[1], 0.0);
        let wanted = problem.found(reference::causal_conv1d, DType::F64, &Device::flex());
        for (i, name) in ["dx", "dweight", "dbias", "dinitial"]
            .into_iter()
            .enumerate()
        {
            close(
                &format!("{name} {case:?}"),
                &found[i + 2],
                &wanted[i + 2],
                tolerance,
            );
        }
    }
}

#[test]
fn the_reference_is_the_formula() {
    let mut random = Random::new();
    for case in cases() {
        let problem = Problem::new(case, DType::F64, &mut random);
        let found = problem.found(reference::causal_conv1d, DType::F64, &Device::flex());
        let exact = problem.exact(&problem.parts);
        close(&format!("y {case:?}"), &found[0], &exact[0], 1e-12);
        close(&format!("final {case:?}"), &found[1], &exact[1], 0.0);
        for part in 0..4 {
            let gradient = &found[part + 2];
            if gradient.is_empty() {
                continue;
            }
            let v = random.between(gradient.len(), -1.0, 1.0);
            let along = |values: &[f64]| {
                let mut parts = problem.parts.clone();
                parts[part] = values.to_vec();
                problem.loss(&parts)
            };
            let wanted = slope(along, &problem.parts[part], &v);
            let size = dot(gradient, gradient).sqrt() * dot(&v, &v).sqrt();
            let error = (dot(gradient, &v) - wanted).abs();
            assert!(
                error <= 1e-8 * size.max(1.0),
                "part {part} of {case:?}: {error:e}"
            );
        }
    }
}

#[test]
fn cpu_is_the_formula() {
    check(causal_conv1d, DType::F64, &Device::flex(), 1e-12);
    check(causal_conv1d, DType::F32, &Device::flex(), 2e-6);
    check(causal_conv1d, DType::BF16, &Device::flex(), 1e-2);
}

#[test]
fn two_calls_are_one() {
    let mut random = Random::new();
    let device = Device::flex();
    let (b, l, d, k) = (2, 21, 5, 4);
    let x = tensor(
        &random.between(b * l * d, -1.0, 1.0),
        [b, l, d],
        DType::F32,
        &device,
    );
    let weight = tensor(
        &random.between(d * k, -1.0, 1.0),
        [d, k],
        DType::F32,
        &device,
    );
    let run = |x, initial| causal_conv1d(x, weight.clone(), None, initial, None, true);
    let (whole, end) = run(x.clone(), None);
    for cut in [1, 2, 3, 10, 20] {
        let (first, state) = run(x.clone().narrow(1, 0, cut), None);
        let (second, last) = run(x.clone().narrow(1, cut, l - cut), Some(state));
        let parts = values(Tensor::cat(vec![first, second], 1));
        close("y", &parts, &values(whole.clone()), 1e-6);
        close("final", &values(last), &values(end.clone()), 0.0);
    }
}

#[test]
#[should_panic(expected = "initial must be (b, k-1, d) = [1, 2, 4]")]
fn refuses_a_state_of_another_width() {
    let zeros = |shape: [usize; 3]| Tensor::<3>::zeros(shape, &Device::flex());
    let weight = Tensor::zeros([4, 3], &Device::flex());
    causal_conv1d(
        zeros([1, 5, 4]),
        weight,
        None,
        Some(zeros([1, 3, 4])),
        None,
        true,
    );
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn is_the_formula_on_a_gpu() {
    check(
        causal_conv1d,
        DType::F32,
        &Device::wgpu(Default::default()),
        5e-6,
    );
}
