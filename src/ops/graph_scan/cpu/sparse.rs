//! Products with a graph that has few edges: what is zero is neither read nor multiplied.

use super::{Dims, Inputs};
use crate::ops::simd::{Kernel, Lanes, Pack, Real};
use crate::ops::sparse::packed;

/// Smallest graph for which it pays to look for zeros.
const VERTICES: usize = 16;
/// Of so many entries at most one may be an edge.
const SHARE: usize = 4;

/// The entries of a matrix that are not zero, row by row.
pub struct Rows<T> {
    /// Where the entries of a row begin; one more than there are rows.
    start: Vec<usize>,
    column: Vec<u32>,
    weight: Vec<T>,
}

/// P and its transpose.
pub struct Edges<T> {
    pub rows: Rows<T>,
    pub columns: Rows<T>,
}

impl<T: Real> Rows<T> {
    /// Of the matrix whose entry (i, j) is `p[i · outer + j · inner]`, (v, v).
    fn new(p: &[T], v: usize, outer: usize, inner: usize) -> Self {
        let mut rows = Self {
            start: vec![0],
            column: Vec::new(),
            weight: Vec::new(),
        };
        for i in 0..v {
            for j in 0..v {
                let weight = p[i * outer + j * inner];
                if weight != T::ZERO {
                    rows.column.push(j as u32);
                    rows.weight.push(weight);
                }
            }
            rows.start.push(rows.column.len());
        }
        rows
    }
}

impl<T: Real> Rows<T> {
    /// Of a half of a packed matrix.
    fn packed(half: &[T], v: usize) -> Self {
        let mut rows = Self {
            start: vec![0],
            column: Vec::new(),
            weight: Vec::new(),
        };
        for entries in packed::rows(half, v) {
            for (column, weight) in entries {
                rows.column.push(column as u32);
                rows.weight.push(weight);
            }
            rows.start.push(rows.column.len());
        }
        rows
    }
}

impl<T: Real> Edges<T> {
    /// The edges of one P for all samples and steps, where they are few or P is given by them.
    pub fn few(dims: &Dims, inputs: &Inputs<T>) -> Option<Self> {
        let v = dims.v;
        if inputs.sparse {
            let (p, transposed) = inputs.p.split_at(inputs.p.len() / 2);
            return Some(Self {
                rows: Rows::packed(p, v),
                columns: Rows::packed(transposed, v),
            });
        }
        if dims.p_batch || dims.p_steps || v < VERTICES {
            return None;
        }
        let edges = inputs.p.iter().filter(|w| **w != T::ZERO).count();
        (edges * SHARE <= v * v).then(|| Self {
            rows: Rows::new(inputs.p, v, v, 1),
            columns: Rows::new(inputs.p, v, 1, v),
        })
    }
}

/// `out[i] (+)= Σ_j P[i, j] x[j]` for rows of `n` packs; the same bits as the product with the whole
/// matrix for finite x, since every sum is taken in the order of j.
pub struct SparseProduct<'a, T> {
    pub out: &'a mut [Pack<T>],
    pub rows: &'a Rows<T>,
    pub x: &'a [Pack<T>],
    pub n: usize,
    /// Whether to add to `out`.
    pub add: bool,
}

impl<T: Real> Kernel<T> for SparseProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<T>>(mut self) {
        let n = self.n;
        let v = self.rows.start.len() - 1;
        assert!(
            self.out.len() == v * n && self.x.len() == v * n,
            "size of the product"
        );
        for i in 0..v {
            let mut k = 0;
            // As many sums at a time as there are registers for.
            while k < n {
                k += match n - k {
                    8.. if V::WIDE => self.part::<V, 8>(i, k),
                    4.. => self.part::<V, 4>(i, k),
                    _ => self.part::<V, 1>(i, k),
                };
            }
        }
    }
}

impl<T: Real> SparseProduct<'_, T> {
    /// Packs k..k + C of row i.
    #[inline(always)]
    fn part<V: Lanes<T>, const C: usize>(&mut self, i: usize, k: usize) -> usize {
        let out = &mut self.out[i * self.n + k..i * self.n + k + C];
        let mut sums = [V::splat(T::ZERO); C];
        if self.add {
            for (sum, out) in sums.iter_mut().zip(&*out) {
                *sum = V::load(out);
            }
        }
        let edges = self.rows.start[i]..self.rows.start[i + 1];
        let columns = &self.rows.column[edges.clone()];
        for (j, weight) in columns.iter().zip(&self.rows.weight[edges]) {
            let weight = V::splat(*weight);
            let start = *j as usize * self.n + k;
            for (sum, x) in sums.iter_mut().zip(&self.x[start..start + C]) {
                *sum = weight.mul_add(V::load(x), *sum);
            }
        }
        for (sum, out) in sums.iter().zip(out) {
            sum.store(out);
        }
        C
    }
}
