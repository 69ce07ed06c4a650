//! The kernels against sums in f64.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use super::{FEW_ROWS, WeightLayout, dense};
use crate::ops::simd::testing::{Random, error};

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
