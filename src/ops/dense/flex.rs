//! The product of a few rows on Burn's CPU backend: hands the memory to the kernels of [`cpu`].

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, FloatDType, TensorData};
use half::{bf16, f16};

use super::backend::DenseBackend;
use super::cpu::{Stored, few_rows};

type T = FloatTensor<Flex>;

fn product<W: Stored + burn::tensor::Element + bytemuck::Pod>(
    x: &T,
    weight: &T,
    out_in: bool,
) -> T {
    let [rows, k] = x.shape().dims();
    let outputs = weight.shape()[usize::from(!out_in)];
    let x = x.storage::<f32>();
    let y = few_rows(x, weight.storage::<W>(), [rows, k, outputs], out_in);
    T::from_data(TensorData::new(y, [rows, outputs]))
}

impl DenseBackend for Flex {
    fn few_rows(x: T, weight: T, out_in: bool) -> T {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        match weight.dtype() {
            DType::BF16 => product::<bf16>(&x, &weight, out_in),
            DType::F16 => product::<f16>(&x, &weight, out_in),
            DType::F32 => product::<f32>(&x, &weight, out_in),
            _ => {
                let weight = Self::float_cast(weight, FloatDType::F32);
                product::<f32>(&x, &weight, out_in)
            }
        }
    }
}
