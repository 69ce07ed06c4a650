//! Products with a sparse matrix, for graphs whose matrix of all pairs would not fit.
//!
//! ```text
//! Y[b, i, c] = Σ_{j in row i} P[i, j] X[b, j, c]
//! ```
//!
//! Compressed sparse rows and, for the gradient Pᵀ dY, those of the transpose. Every sum is taken in
//! the order of the row, so that two runs give the same bits. A row costs its entries only: 2 e b c
//! operations for e entries against 2 v² b c.

mod autodiff;
mod backend;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub(crate) mod packed;
#[cfg(test)]
mod tests;

pub use backend::SparseBackend;

use backend::Matrix;
use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use tgmamba_graph::topology::CsrGraph;

/// A constant sparse matrix (v, w) on a device, row = target, column = source.
#[derive(Debug, Clone)]
pub struct SparseMatrix {
    rows: Rows,
    columns: Rows,
    /// Both as [`packed`] numbers, if f32 can count them.
    packed: Option<Tensor<4>>,
    size: usize,
}

/// Compressed rows of a matrix: entry k of row i is for `start[i] <= k < start[i + 1]`.
#[derive(Debug, Clone)]
struct Rows {
    start: Tensor<1, Int>,
    other: Tensor<1, Int>,
    weight: Tensor<1>,
}

impl Rows {
    fn new(graph: &CsrGraph, device: &Device) -> Self {
        let ints = |values: Vec<i32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [n]), device)
        };
        // A tensor has at least one element; row 0 of a graph without edges ends before it.
        let mut other: Vec<i32> = graph.sources().iter().map(|s| *s as i32).collect();
        let mut weight = graph.weights().to_vec();
        if other.is_empty() {
            (other, weight) = (vec![0], vec![0.0]);
        }
        let n = weight.len();
        Self {
            start: ints(graph.row_start().iter().map(|s| *s as i32).collect()),
            other: ints(other),
            weight: Tensor::from_data(TensorData::new(weight, [n]), device),
        }
    }

    fn into_dispatch(self) -> Matrix<Dispatch> {
        Matrix {
            start: self.start.into_dispatch(),
            other: self.other.into_dispatch(),
            weight: self.weight.into_dispatch(),
        }
    }
}

impl SparseMatrix {
    /// The weights of a graph as they are.
    pub fn new(graph: &CsrGraph, device: &Device) -> Self {
        let transposed = graph.transposed();
        let packed = packed::pack([graph, &transposed]);
        Self {
            rows: Rows::new(graph, device),
            columns: Rows::new(&transposed, device),
            packed: packed.map(|packed| Tensor::from_data(packed, (device, DType::F32))),
            size: graph.n_nodes(),
        }
    }

    /// The matrix and its transpose as one tensor, (1, 1, 2, ..), for kernels that hold products with
    /// them inside; none if there are too many for that.
    pub(crate) fn packed(&self) -> Option<Tensor<4>> {
        self.packed.clone()
    }

    /// Number of vertices, v.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// P X of x, (b, w, c) → (b, v, c), in f32; differentiable in x.
///
/// # Panics
/// If x does not have a row for every vertex.
pub fn sparse_product(p: &SparseMatrix, x: Tensor<3>) -> Tensor<3> {
    let [_, w, _] = x.dims();
    assert!(
        w == p.size,
        "sparse_product: x has {w} vertices, the matrix {}",
        p.size
    );
    Tensor::from_dispatch(Dispatch::sparse_product(
        x.into_dispatch(),
        p.rows.clone().into_dispatch(),
        p.columns.clone().into_dispatch(),
    ))
}
