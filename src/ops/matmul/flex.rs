//! The exact product on the CPU.
//!
//! The framework's own writes every result twice and takes transposed operands apart; this one calls
//! the same library of kernels on the operands as they lie. Sums are cut into parts whose size
//! depends on nothing but the shapes, so that the number of threads changes no bit.

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};
use burn::tensor::{DType, Shape, TensorData};
use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::backend::{MatmulBackend, shape};

type T = FloatTensor<Flex>;

/// Terms of a sum that one part takes.
const PART: usize = 4096;
/// Multiplications below which threads cost more than they bring.
const SMALL: usize = 1 << 16;

/// A matrix as it lies in memory: entry (i, j) is `data[i · row + j · column]`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    /// (rows, columns), stored the other way round if `transposed`.
    fn new(data: &'a [f32], rows: usize, columns: usize, transposed: bool) -> Self {
        assert!(data.len() >= rows * columns, "a matrix ends too early");
        match transposed {
            false => Self {
                data,
                row: columns,
                column: 1,
            },
            true => Self {
                data,
                row: 1,
                column: rows,
            },
        }
    }
}

/// `out = a b` with a (m, k), b (k, n), out (m, n) row-major, from term `first` of the sums on.
fn multiply(
    out: &mut [f32],
    a: Matrix,
    b: Matrix,
    [m, k, n]: [usize; 3],
    first: usize,
    threads: Parallelism,
) {
    assert_eq!(out.len(), m * n, "size of the product");
    let (a_data, b_data) = (&a.data[first * a.column..], &b.data[first * b.row..]);
    let last =
        |rows: usize, columns: usize, x: &Matrix| (rows - 1) * x.row + (columns - 1) * x.column;
    assert!(last(m, k, &a) < a_data.len() && last(k, n, &b) < b_data.len());
    // SAFETY: the last element of each operand lies inside its slice, as was checked.
    unsafe {
        gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a_data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b_data.as_ptr(),
            b.column as isize,
            b.row as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// One product, by all threads.
fn single(a: Matrix, b: Matrix, [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    let parts = k.div_ceil(PART);
    if parts > 1 && m * n < PART {
        // Long sums of few results: their parts side by side, added in order.
        let sums: Vec<Vec<f32>> = (0..parts)
            .into_par_iter()
            .map(|part| {
                let first = part * PART;
                let mut sum = vec![0.0; m * n];
                let sizes = [m, PART.min(k - first), n];
                multiply(&mut sum, a, b, sizes, first, Parallelism::None);
                sum
            })
            .collect();
        for sum in sums {
            out.iter_mut().zip(sum).for_each(|(out, x)| *out += x);
        }
        return out;
    }
    let threads = match m * k * n > SMALL {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    multiply(&mut out, a, b, [m, k, n], 0, threads);
    out
}

/// A product for each matrix of the batch; an operand of one matrix serves all.
fn batched(a: (&[f32], bool), b: (&[f32], bool), batch: usize, [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; batch * m * n];
    let at = |x: &[f32], size: usize, i: usize| if x.len() == size { 0 } else { i * size };
    let one = |i: usize, out: &mut [f32], threads| {
        let x = Matrix::new(&a.0[at(a.0, m * k, i)..], m, k, a.1);
        let y = Matrix::new(&b.0[at(b.0, k * n, i)..], k, n, b.1);
        multiply(out, x, y, [m, k, n], 0, threads);
    };
    match batch * m * k * n > SMALL {
        true => out
            .par_chunks_mut(m * n)
            .enumerate()
            .for_each(|(i, out)| one(i, out, Parallelism::None)),
        false => out
            .chunks_mut(m * n)
            .enumerate()
            .for_each(|(i, out)| one(i, out, Parallelism::None)),
    }
    out
}

fn tensor(values: Vec<f32>, shape: Shape) -> T {
    T::from_data(TensorData::new(values, shape))
}

impl MatmulBackend for Flex {
    fn exact_matmul(a: T, b: T, transpose_a: bool, transpose_b: bool, sum: bool) -> T {
        let (batch_a, batch_b) = (a.shape()[0], b.shape()[0]);
        let out = shape(&a.shape(), &b.shape(), transpose_a, transpose_b, sum);
        let [_, m, n] = out.dims::<3>();
        let k = a.shape()[if transpose_a { 1 } else { 2 }];
        if a.dtype() != DType::F32 || b.dtype() != DType::F32 {
            return by_framework(a, b, transpose_a, transpose_b, sum, out);
        }
        let (a, b) = (a.to_contiguous(), b.to_contiguous());
        let (x, y) = (a.storage::<f32>(), b.storage::<f32>());
        let batch = batch_a.max(batch_b);
        let sizes = [m, k, n];
        if batch == 1 {
            let (x, y) = (
                Matrix::new(x, m, k, transpose_a),
                Matrix::new(y, k, n, transpose_b),
            );
            return tensor(single(x, y, sizes), out);
        }
        if !sum {
            return tensor(
                batched((x, transpose_a), (y, transpose_b), batch, sizes),
                out,
            );
        }
        if batch_a == batch_b && transpose_a && !transpose_b {
            // Σ AᵀB over the batch is one product with the batches below each other.
            let sizes = [m, batch * k, n];
            let (x, y) = (
                Matrix::new(x, m, batch * k, true),
                Matrix::new(y, batch * k, n, false),
            );
            return tensor(single(x, y, sizes), out);
        }
        let all = batched((x, transpose_a), (y, transpose_b), batch, sizes);
        let mut total = vec![0.0; m * n];
        for one in all.chunks(m * n) {
            total.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
        }
        tensor(total, out)
    }
}

/// For types other than f32.
fn by_framework(a: T, b: T, transpose_a: bool, transpose_b: bool, sum: bool, out: Shape) -> T {
    let turned = |x: T, transpose: bool| match transpose {
        true => Flex::float_swap_dims(x, 1, 2),
        false => x,
    };
    let y = Flex::float_matmul(turned(a, transpose_a), turned(b, transpose_b));
    match sum && y.shape() != out {
        true => Flex::float_sum_dim(y, 0),
        false => y,
    }
}
