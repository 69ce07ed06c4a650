//! The norm against its formula in f64, gradients against differences of it.

use burn::tensor::{DType, Device, Tensor};

use super::{reference, rms_norm};
use crate::ops::testing::{Random, close, dot, rounded, slope, tensor, values};

type Norm = fn(Tensor<2>, Tensor<1>, f64, Option<Tensor<2>>, usize, bool) -> Tensor<2>;

/// So large that values near zero do not make the norm steep.
const EPSILON: f64 = 1e-2;

#[derive(Debug, Clone, Copy)]
struct Case {
    /// Rows, channels, groups.
    size: [usize; 3],
    /// Whether there is a gate, and whether it acts after the norm.
    gate: Option<bool>,
}

/// x, weight, z, and weights of y in the loss.
type Parts = [Vec<f64>; 4];

fn parts(case: Case, dtype: DType, random: &mut Random) -> Parts {
    let [rows, d, _] = case.size;
    [rows * d, d, rows * d, rows * d].map(|n| rounded(&random.between(n, -2.0, 2.0), dtype))
}

fn exact(case: Case, [x, weight, z, _]: &Parts) -> Vec<f64> {
    let [_, d, groups] = case.size;
    let width = d / groups;
    let silu = |z: f64| z / (1.0 + (-z).exp());
    let mut y = Vec::with_capacity(x.len());
    for (index, (x, z)) in x.chunks(width).zip(z.chunks(width)).enumerate() {
        let gated: Vec<f64> = match case.gate {
            Some(false) => x.iter().zip(z).map(|(x, z)| x * silu(*z)).collect(),
            _ => x.to_vec(),
        };
        let root = (dot(&gated, &gated) / width as f64 + EPSILON).sqrt();
        for (i, (v, z)) in gated.iter().zip(z).enumerate() {
            let after = if case.gate == Some(true) {
                silu(*z)
            } else {
                1.0
            };
            y.push(v / root * weight[index * width % d + i] * after);
        }
    }
    y
}

/// y and the gradients of x, weight, z.
fn found(case: Case, parts: &Parts, norm: Norm, dtype: DType, device: &Device) -> Vec<Vec<f64>> {
    let [rows, d, groups] = case.size;
    let device = device.clone().autodiff();
    let [x, weight, z, w] = parts;
    let x = tensor(x, [rows, d], dtype, &device).require_grad();
    let weight = tensor(weight, [d], dtype, &device).require_grad();
    let z = tensor(z, [rows, d], dtype, &device).require_grad();
    let gate = case.gate.map(|_| z.clone());
    let after = case.gate == Some(true);
    let y = norm(x.clone(), weight.clone(), EPSILON, gate, groups, after);
    assert_eq!(y.dtype(), dtype);
    let grads = (y.clone() * tensor(w, [rows, d], dtype, &device))
        .sum()
        .backward();
    vec![
        values(y),
        values(x.grad(&grads).expect("dx")),
        values(weight.grad(&grads).expect("dweight")),
        z.grad(&grads).map(values).unwrap_or_default(),
    ]
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [
        [1, 1, 1],
        [3, 7, 7],
        [5, 64, 1],
        [40, 96, 3],
        [257, 33, 1],
        [9, 1536, 1],
        [2, 4100, 4],
    ] {
        for gate in [None, Some(false), Some(true)] {
            cases.push(Case { size, gate });
        }
    }
    cases
}

fn check(norm: Norm, dtype: DType, device: &Device, tolerance: f64) {
    let mut random = Random::new();
    for case in cases() {
        let parts = parts(case, dtype, &mut random);
        let got = found(case, &parts, norm, dtype, device);
        close(
            &format!("y {case:?}"),
            &got[0],
            &exact(case, &parts),
            tolerance,
        );
        let want = found(
            case,
            &parts,
            reference::rms_norm,
            DType::F64,
            &Device::flex(),
        );
        for (i, name) in ["dx", "dweight", "dz"].into_iter().enumerate() {
            close(
                &format!("{name} {case:?}"),
                &got[i + 1],
                &want[i + 1],
                tolerance,
            );
        }
    }
}

#[test]
fn the_reference_is_the_formula() {
    let mut random = Random::new();
    for case in cases() {
        let parts = parts(case, DType::F64, &mut random);
        let got = found(
            case,
            &parts,
            reference::rms_norm,
            DType::F64,
            &Device::flex(),
        );
        close(&format!("y {case:?}"), &got[0], &exact(case, &parts), 1e-12);
        for part in 0..3 {
            let gradient = &got[part + 1];
            if gradient.is_empty() {
                continue;
            }
            let v = random.between(gradient.len(), -1.0, 1.0);
            let along = |values: &[f64]| {
                let mut moved = parts.clone();
                moved[part] = values.to_vec();
                dot(&exact(case, &moved), &parts[3])
            };
            let want = slope(along, &parts[part], &v);
            let size = dot(gradient, gradient).sqrt() * dot(&v, &v).sqrt();
            let error = (dot(gradient, &v) - want).abs();
            assert!(
                error <= 1e-7 * size.max(1.0),
                "part {part} of {case:?}: {error:e}"
            );
        }
    }
}

#[test]
fn cpu_is_the_formula() {
    check(rms_norm, DType::F64, &Device::flex(), 1e-10);
    check(rms_norm, DType::F32, &Device::flex(), 3e-6);
    check(rms_norm, DType::BF16, &Device::flex(), 1e-2);
}

#[test]
#[should_panic(expected = "3 groups do not divide 8 channels")]
fn refuses_groups_that_do_not_divide() {
    let device = Device::flex();
    let x = Tensor::<2>::zeros([2, 8], &device);
    rms_norm(x, Tensor::ones([8], &device), 1e-5, None, 3, false);
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn is_the_formula_on_a_gpu() {
    check(
        rms_norm,
        DType::F32,
        &Device::wgpu(Default::default()),
        5e-6,
    );
}
