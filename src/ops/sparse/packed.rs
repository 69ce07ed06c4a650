//! A sparse matrix and its transpose as the numbers of one tensor, as operations of many operands take
//! them: each begins with where its rows begin, counted in fours, then come the rows:
//!
//! ```text
//! start of row 0, ..., of row v − 1, end of the last, zeros up to a multiple of four,
//! column, weight, column, weight, ...      a row of an odd number of entries ends with two zeros
//! ```
//!
//! The shorter of the two ends with zeros. Columns and places are exact in f32 below 2²⁴.

use burn::tensor::TensorData;
use tgmamba_graph::topology::CsrGraph;

/// Fours that the places of the rows of `v` vertices take.
pub const fn head(v: usize) -> usize {
    (v + 1).div_ceil(4)
}

/// What f32 counts exactly.
const MOST: usize = 1 << 24;

/// A matrix and its transpose, (1, 1, 2, numbers of each); none if f32 cannot count vertices or places.
pub fn pack(both: [&CsrGraph; 2]) -> Option<TensorData> {
    // A row takes half a vector more than its entries at most.
    let fours = |graph: &CsrGraph| head(graph.n_nodes()) + graph.n_edges() / 2 + graph.n_nodes();
    if both.iter().any(|graph| fours(graph) >= MOST) {
        return None;
    }
    let parts = both.map(numbers);
    let width = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut all = Vec::with_capacity(2 * width);
    for part in parts {
        all.extend(part);
        all.resize(all.len().div_ceil(width) * width, 0.0);
    }
    Some(TensorData::new(all, [1, 1, 2, width]))
}

fn numbers(graph: &CsrGraph) -> Vec<f32> {
    let v = graph.n_nodes();
    let mut starts = Vec::with_capacity(4 * head(v));
    let mut entries = Vec::new();
    let rows = graph.row_start();
    for row in 0..v {
        starts.push((head(v) + entries.len() / 4) as f32);
        for k in rows[row]..rows[row + 1] {
            entries.push(graph.sources()[k] as f32);
            entries.push(graph.weights()[k]);
        }
        entries.resize(entries.len().next_multiple_of(4), 0.0);
    }
    starts.push((head(v) + entries.len() / 4) as f32);
    starts.resize(4 * head(v), 0.0);
    starts.extend(entries);
    starts
}

/// Row by row the entries (column, weight) of a half of what [`pack`] gives, as numbers of any type.
#[cfg(feature = "flex")]
pub fn rows<T: Copy + Into<f64>>(
    half: &[T],
    v: usize,
) -> impl Iterator<Item = impl Iterator<Item = (usize, T)>> {
    let place = |i: usize| half[i].into() as usize;
    (0..v).map(move |row| {
        let entries = &half[4 * place(row)..4 * place(row + 1)];
        let pairs = entries.chunks_exact(2);
        pairs
            .map(|pair| (pair[0].into() as usize, pair[1]))
            .filter(|(_, weight)| (*weight).into() != 0.0)
    })
}
