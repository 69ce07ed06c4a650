//! The sparse product on the CPU, threads over samples and blocks of rows.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{
    Flex, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

use super::backend::{Matrix, SparseBackend};

/// Rows that a task takes.
const BLOCK: usize = 64;

/// Places as stored, in whichever of the types of integers the backend keeps them.
fn places(of: &IntTensor<Flex>) -> Vec<usize> {
    let of = of.to_contiguous();
    match of.dtype() {
        DType::I32 => of.storage::<i32>().iter().map(|i| *i as usize).collect(),
        _ => of.storage::<i64>().iter().map(|i| *i as usize).collect(),
    }
}

fn floats(of: FloatTensor<Flex>) -> FloatTensor<Flex> {
    match of.dtype() {
        DType::F32 => of.to_contiguous(),
        _ => Flex::float_cast(of, burn::tensor::FloatDType::F32).to_contiguous(),
    }
}

impl SparseBackend for Flex {
    fn sparse_product(
        x: FloatTensor<Self>,
        matrix: Matrix<Self>,
        _transpose: Matrix<Self>,
    ) -> FloatTensor<Self> {
        let [b, v, c] = x.shape().dims();
        let (x, weights) = (floats(x), floats(matrix.weight));
        let (x, weights) = (x.storage::<f32>(), weights.storage::<f32>());
        let (start, other) = (places(&matrix.start), places(&matrix.other));
        let mut y = vec![0.0f32; b * v * c];
        let blocks = y.par_chunks_mut(v * c).zip(x.par_chunks(v * c));
        blocks.for_each(|(y, x)| {
            y.par_chunks_mut(BLOCK * c)
                .enumerate()
                .for_each(|(block, rows)| {
                    for (i, row) in rows.chunks_mut(c).enumerate() {
                        let i = block * BLOCK + i;
                        for k in start[i]..start[i + 1] {
                            let from = other[k] * c;
                            let weight = weights[k];
                            for (y, x) in row.iter_mut().zip(&x[from..from + c]) {
                                *y += weight * x;
                            }
                        }
                    }
                });
        });
        FloatTensor::<Self>::from_data(TensorData::new(y, [b, v, c]))
    }
}
