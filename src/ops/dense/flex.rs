//! The product of a few rows on Burn's CPU backend: hands the memory to the kernels of [`cpu`](super::cpu).

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, FloatDType, Tensor};
use half::{bf16, f16};

use super::backend::DenseBackend;
use super::cpu::{Stored, few_rows};
use super::step::{Around, normed};
use crate::ops::causal_conv1d::cpu_step;
use crate::ops::flex::{Computed, from_vec, load, primitive, tensor};

type T = FloatTensor<Flex>;

fn product<W: Stored + burn::tensor::Element + bytemuck::Pod>(
    x: &T,
    weight: &T,
    out_in: bool,
) -> Vec<f32> {
    let [rows, k] = x.shape().dims();
    let outputs = weight.shape()[usize::from(!out_in)];
    let x = x.storage::<f32>();
    few_rows(x, weight.storage::<W>(), [rows, k, outputs], out_in)
}

/// The product of x, (r, in), row by row.
fn products(x: &T, weight: T, out_in: bool) -> Vec<f32> {
    // A weight may lie in memory the other way round.
    let turned = weight.transpose(0, 1);
    let (weight, out_in) = match !weight.is_contiguous() && turned.is_contiguous() {
        true => (turned, !out_in),
        false => (weight, out_in),
    };
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    match weight.dtype() {
        DType::BF16 => product::<bf16>(&x, &weight, out_in),
        DType::F16 => product::<f16>(&x, &weight, out_in),
        DType::F32 => product::<f32>(&x, &weight, out_in),
        _ => {
            let weight = Flex::float_cast(weight, FloatDType::F32);
            product::<f32>(&x, &weight, out_in)
        }
    }
}

impl DenseBackend for Flex {
    fn few_rows(x: T, weight: T, out_in: bool) -> T {
        let rows = x.shape()[0];
        let outputs = weight.shape()[usize::from(!out_in)];
        from_vec(products(&x, weight, out_in), [rows, outputs])
    }
}

/// A step of a few rows: what comes after the product is done where the product lies.
pub fn step(x: Tensor<2>, weight: Tensor<2>, around: Around) -> (Tensor<2>, Option<Tensor<3>>) {
    let rows = x.dims()[0];
    let outputs = weight.dims()[1];
    let x = normed(x, around.norm);
    let mut y = products(&own(x.clone()), own(weight), false);
    if let Some(bias) = around.bias {
        let bias = numbers(bias);
        for y in y.chunks_exact_mut(outputs) {
            add(y, f32::values(&bias));
        }
    }
    let last = around.conv.map(|conv| {
        let [d, k] = conv.weight.dims();
        let taps = numbers(conv.weight);
        let offset = conv.bias.map(numbers);
        let mut past = numbers(conv.past);
        // Inputs that are held elsewhere are copied here.
        let before = past.storage_mut::<f32>().chunks_exact_mut((k - 1) * d);
        for (y, before) in y.chunks_exact_mut(outputs).zip(before) {
            cpu_step(
                &mut y[conv.start..conv.start + d],
                before,
                f32::values(&taps),
                offset.as_ref().map(f32::values),
                true,
            );
        }
        tensor(past, &x)
    });
    if let Some(residual) = around.residual {
        add(&mut y, f32::values(&numbers(residual)));
    }
    (tensor(from_vec(y, [rows, outputs]), &x), last)
}

fn add(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

fn own<const D: usize>(t: Tensor<D>) -> T {
    primitive(t).expect("dense_step: all on one device")
}

fn numbers<const D: usize>(t: Tensor<D>) -> T {
    load(own(t), DType::F32)
}
