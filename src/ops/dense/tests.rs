//! The kernels against sums in f64.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use super::{Around, ConvAfter, FEW_ROWS, NormBefore, WeightLayout, dense, dense_step};
#[cfg(all(feature = "wgpu", not(feature = "fusion")))]
use crate::ops::overwrite::copied;
use crate::ops::simd::testing::{Random, error};
use crate::ops::testing::silu;

fn sums(x: &[f64], w: &[f64], [rows, k, n]: [usize; 3], layout: WeightLayout) -> Vec<f64> {
    let at = |i: usize, j: usize| match layout {
        WeightLayout::InOut => w[i * n + j],
        WeightLayout::OutIn => w[j * k + i],
    };
    let element = |r: usize, j: usize| (0..k).map(|i| x[r * k + i] * at(i, j)).sum();
    (0..rows * n).map(|e| element(e / n, e % n)).collect()
}

fn shape([_, k, n]: [usize; 3], layout: WeightLayout) -> [usize; 2] {
    match layout {
        WeightLayout::InOut => [k, n],
        WeightLayout::OutIn => [n, k],
    }
}

/// Values of both operands, rounded to the type of the weight.
fn operands(sizes: [usize; 3], layout: WeightLayout, dtype: FloatDType) -> (Tensor<2>, Tensor<2>) {
    let [rows, k, n] = sizes;
    let mut random = Random(7);
    let mut tensor = |shape: [usize; 2]| {
        let values = random.between(shape[0] * shape[1], -1.0, 1.0);
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, shape), &Device::flex())
    };
    let x = tensor([rows, k]);
    assert_eq!(shape(sizes, layout).iter().product::<usize>(), k * n);
    (x, tensor(shape(sizes, layout)).cast(dtype))
}

fn wide(t: &Tensor<2>) -> Vec<f64> {
    t.clone()
        .cast(FloatDType::F32)
        .into_data()
        .iter::<f64>()
        .collect()
}

#[test]
fn few_and_many_rows_of_every_stored_type() {
    for layout in [WeightLayout::InOut, WeightLayout::OutIn] {
        for sizes in [
            [1, 1, 1],
            [1, 37, 50],
            [3, 130, 67],
            [16, 9, 70],
            [1, 300, 1100],
            [2, 701, 1103],
            [1, 45, 5000],
            [40, 21, 18],
        ] {
            for dtype in [FloatDType::F32, FloatDType::BF16, FloatDType::F16] {
                let (x, w) = operands(sizes, layout, dtype);
                let wanted = sums(&wide(&x), &wide(&w), sizes, layout);
                let y = dense(x, w, layout);
                assert_eq!(y.dtype(), DType::F32);
                let y: Vec<f32> = y.into_data().iter::<f32>().collect();
                let error = error(&y, &wanted);
                assert!(error < 1e-6, "{layout:?} {sizes:?} {dtype:?}: {error:e}");
            }
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn few_rows_are_the_sums_on_a_gpu() {
    let device = Device::wgpu(Default::default());
    for layout in [WeightLayout::InOut, WeightLayout::OutIn] {
        for sizes in [
            [1, 1, 1],
            [1, 37, 50],
            [3, 130, 68],
            [8, 300, 20],
            [2, 1100, 33],
            [9, 21, 18],
        ] {
            let (x, w) = operands(sizes, layout, FloatDType::F32);
            let wanted = sums(&wide(&x), &wide(&w), sizes, layout);
            let [x, w] = [x, w].map(|t| Tensor::from_data(t.into_data(), &device));
            let y: Vec<f32> = dense(x, w, layout).into_data().iter::<f32>().collect();
            let error = error(&y, &wanted);
            assert!(error < 1e-6, "{layout:?} {sizes:?}: {error:e}");
        }
    }
}

#[test]
fn rows_do_not_depend_on_each_other() {
    for layout in [WeightLayout::InOut, WeightLayout::OutIn] {
        let (x, w) = operands([FEW_ROWS, 230, 600], layout, FloatDType::BF16);
        let all: Vec<f32> = dense(x.clone(), w.clone(), layout)
            .into_data()
            .iter()
            .collect();
        for r in [0, 5, FEW_ROWS - 1] {
            let one = dense(x.clone().narrow(0, r, 1), w.clone(), layout);
            let one: Vec<f32> = one.into_data().iter().collect();
            assert_eq!(one, all[r * 600..(r + 1) * 600], "{layout:?} row {r}");
        }
    }
}

#[test]
fn gradients_flow_to_both_operands() {
    let device = Device::flex().autodiff();
    for layout in [WeightLayout::InOut, WeightLayout::OutIn] {
        let sizes = [2, 5, 3];
        let (x, w) = operands(sizes, layout, FloatDType::F32);
        let place = |t: Tensor<2>| Tensor::<2>::from_data(t.into_data(), &device).require_grad();
        let (x, w) = (place(x), place(w));
        let grads = dense(x.clone(), w.clone(), layout).sum().backward();
        // Of a sum over all outputs: the sums of the weights, and of the inputs.
        let (values, weights) = (wide(&x), wide(&w));
        let dx: Vec<f64> = x.grad(&grads).unwrap().into_data().iter().collect();
        let dw: Vec<f64> = w.grad(&grads).unwrap().into_data().iter().collect();
        let at = |i: usize, j: usize| match layout {
            WeightLayout::InOut => i * 3 + j,
            WeightLayout::OutIn => j * 5 + i,
        };
        for i in 0..5 {
            let wanted: f64 = (0..3).map(|j| weights[at(i, j)]).sum();
            assert!((dx[i] - wanted).abs() < 1e-6);
            let wanted = values[i] + values[5 + i];
            assert!((0..3).all(|j| (dw[at(i, j)] - wanted).abs() < 1e-6));
        }
    }
}

/// A step of `[rows, k, n]` with the parts that the bits of `parts` choose, against sums in f64.
fn steps(sizes: [usize; 3], parts: usize, dtype: FloatDType, device: &Device) {
    let [rows, k, n] = sizes;
    let mut random = Random(5 + parts as u64);
    let has = |bit: usize| parts >> bit & 1 == 1;
    let mut draw =
        |shape: &[usize], low: f64, high: f64| random.between(shape.iter().product(), low, high);
    let x = draw(&[rows, k], -1.0, 1.0);
    let (scale, gate) = (draw(&[k], 0.5, 1.5), draw(&[rows, k], -3.0, 3.0));
    let (bias, residual) = (draw(&[n], -1.0, 1.0), draw(&[rows, n], -1.0, 1.0));
    let (start, d, taps) = (n / 8 * 4, n.div_ceil(8) * 4, 2 + parts % 3);
    let d = d.min(n - start);
    let (weights, offset) = (draw(&[d, taps], -1.0, 1.0), draw(&[d], -1.0, 1.0));
    let past = draw(&[rows, taps - 1, d], -1.0, 1.0);
    let (w, eps) = (draw(&[k, n], -1.0, 1.0), 1e-3);
    let on = |values: &[f64], shape: &[usize]| {
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Tensor::<1>::from_data(
            TensorData::new(values, [shape.iter().product::<usize>()]),
            device,
        )
    };
    let stored = on(&w, &[k * n]).reshape([k, n]).cast(dtype);
    let w = wide(&stored);

    let around = Around {
        norm: has(0).then(|| NormBefore {
            weight: on(&scale, &[k]),
            eps,
            gate: has(1).then(|| on(&gate, &[rows, k]).reshape([rows, k])),
            norm_before_gate: has(2),
        }),
        bias: has(3).then(|| on(&bias, &[n])),
        conv: has(4).then(|| ConvAfter {
            start,
            weight: on(&weights, &[d, taps]).reshape([d, taps]),
            bias: has(3).then(|| on(&offset, &[d])),
            past: on(&past, &[rows, taps - 1, d]).reshape([rows, taps - 1, d]),
        }),
        residual: has(5).then(|| on(&residual, &[rows, n]).reshape([rows, n])),
    };
    let input = on(&x, &[rows, k]).reshape([rows, k]);
    // Output by output in memory, and for every fifth choice input by input.
    let stored = match parts % 5 {
        4 => stored,
        _ => {
            let turned: Vec<f64> = (0..k * n).map(|i| w[i % k * n + i / k]).collect();
            on(&turned, &[k * n])
                .reshape([n, k])
                .cast(dtype)
                .transpose()
        }
    };
    let (y, last) = dense_step(input, stored, around);

    let mut inputs = x;
    if has(0) {
        for (r, row) in inputs.chunks_mut(k).enumerate() {
            let gates = |i: usize| silu(gate[r * k + i]);
            if has(1) && !has(2) {
                row.iter_mut().enumerate().for_each(|(i, v)| *v *= gates(i));
            }
            let mean = row.iter().map(|v| v * v).sum::<f64>() / k as f64;
            for (i, v) in row.iter_mut().enumerate() {
                *v *= scale[i] / (mean + eps).sqrt();
                if has(1) && has(2) {
                    *v *= gates(i);
                }
            }
        }
    }
    let mut wanted = sums(&inputs, &w, sizes, WeightLayout::InOut);
    let mut wanted_last = past.clone();
    for r in 0..rows {
        for j in 0..n {
            let y = &mut wanted[r * n + j];
            if has(3) {
                *y += bias[j];
            }
            if has(4) && (start..start + d).contains(&j) {
                let c = j - start;
                let at = |t: usize| (r * (taps - 1) + t) * d + c;
                let mut v = *y * weights[c * taps + taps - 1];
                if has(3) {
                    v += offset[c];
                }
                for t in 0..taps - 1 {
                    v += past[at(t)] * weights[c * taps + t];
                    wanted_last[at(t)] = if t + 2 < taps { past[at(t + 1)] } else { *y };
                }
                *y = silu(v);
            }
            if has(5) {
                *y += residual[r * n + j];
            }
        }
    }
    let values = |y: Vec<f32>, wanted: &[f64], what: &str| {
        let error = error(&y, wanted);
        assert!(
            error < 2e-6,
            "{what}: {sizes:?} {parts:b} {dtype:?}: {error:e}"
        );
    };
    values(y.into_data().iter::<f32>().collect(), &wanted, "y");
    if let Some(last) = last {
        values(
            last.into_data().iter::<f32>().collect(),
            &wanted_last,
            "last",
        );
    }
}

fn all_steps(device: &Device, parts: impl IntoIterator<Item = usize>, dtypes: &[FloatDType]) {
    for parts in parts {
        for sizes in [[1, 37, 50], [2, 130, 68], [1, 300, 1100], [3, 64, 9]] {
            for dtype in dtypes {
                steps(sizes, parts, *dtype, device);
            }
        }
    }
    // More than the kernels take, of a GPU and of a CPU.
    steps([12, 50, 40], 63, FloatDType::F32, device);
    steps([20, 50, 40], 63, FloatDType::F32, device);
}

#[test]
fn a_step_is_its_formula() {
    let dtypes = [FloatDType::F32, FloatDType::BF16];
    all_steps(&Device::flex(), 0..64, &dtypes);
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn a_step_is_its_formula_on_a_gpu() {
    let device = Device::wgpu(Default::default());
    #[cfg(not(feature = "fusion"))]
    {
        let (x, w) = operands([2, 12, 8], WeightLayout::InOut, FloatDType::F32);
        let [x, w] = [x, w].map(|t| Tensor::from_data(t.into_data(), &device));
        let by_output = copied(w.clone().transpose()).transpose();
        assert!(super::cube::step(&x, &by_output, &Around::default()).is_some());
        assert!(super::cube::step(&x, &w, &Around::default()).is_none());
    }
    // Each part alone, and those of the blocks together: every choice is a kernel to compile.
    let parts = [0, 1, 3, 7, 8, 16, 24, 32, 0b10001, 0b100011, 63];
    all_steps(&device, parts, &[FloatDType::F32]);
}
