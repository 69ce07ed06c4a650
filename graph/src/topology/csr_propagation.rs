//! The matrices of [`propagation`](super::propagation) for sparse graphs. Their values are the same;
//! none has more entries than the graph and one for each node.

use super::CsrGraph;

impl CsrGraph {
    /// P of GCN (Kipf and Welling 2017): D̃^-½ Ã D̃^-½ with Ã = A plus a self loop of weight 1
    /// where there is none, and D̃ the in-degrees, row sums of Ã.
    pub fn gcn(&self) -> Self {
        let looped = self.with_self_loops(1.0);
        let inverse_root: Vec<f64> = looped.weighted_in_degrees().map(inverse_root).collect();
        looped.reweighted(|source, target, w| inverse_root[target] * w * inverse_root[source])
    }

    /// P of the Chebyshev convolution with K = 2, λmax = 2 (Defferrard et al. 2016): the rescaled
    /// Laplacian −D^-½ A D^-½, self loops removed, D the out-degrees, column sums.
    pub fn chebyshev(&self) -> Self {
        let bare = self.reweighted(|source, target, w| if source == target { 0.0 } else { w });
        let mut degrees = vec![0.0; self.n_nodes()];
        for (source, _, w) in bare.edges() {
            degrees[source] += f64::from(w);
        }
        let inverse_root: Vec<f64> = degrees.into_iter().map(inverse_root).collect();
        bare.reweighted(|source, target, w| -inverse_root[target] * w * inverse_root[source])
    }

    /// Rows divided by the sum of their absolute values, so that ‖P‖_∞ ≤ 1; empty rows stay empty.
    /// Of a graph and of its [transpose](Self::transposed) these are the two random walks of
    /// diffusion convolution (Li et al. 2018).
    pub fn row_normalised(&self) -> Self {
        let sums: Vec<f64> = (0..self.n_nodes())
            .map(|t| self.row(t).1.iter().map(|w| f64::from(w.abs())).sum())
            .collect();
        self.reweighted(|_, target, w| w / sums[target])
    }

    /// The same graph with a self loop of `weight` at every node that has none.
    pub fn with_self_loops(&self, weight: f32) -> Self {
        let mut out = Self {
            row_start: Vec::with_capacity(self.row_start.len()),
            sources: Vec::with_capacity(self.n_edges() + self.n_nodes()),
            weights: Vec::with_capacity(self.n_edges() + self.n_nodes()),
        };
        out.row_start.push(0);
        for target in 0..self.n_nodes() {
            let (sources, weights) = self.row(target);
            let place = sources.partition_point(|s| (*s as usize) < target);
            let there = sources.get(place).is_some_and(|s| *s as usize == target);
            out.sources.extend(&sources[..place]);
            out.weights.extend(&weights[..place]);
            if !there && weight != 0.0 {
                out.sources.push(target as u32);
                out.weights.push(weight);
            }
            out.sources.extend(&sources[place..]);
            out.weights.extend(&weights[place..]);
            out.row_start.push(out.sources.len());
        }
        out
    }

    /// Sum of the weights that arrive at each node.
    pub fn weighted_in_degrees(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.n_nodes()).map(|t| self.row(t).1.iter().map(|w| f64::from(*w)).sum())
    }

    /// Every weight replaced by f(source, target, weight); edges that become 0 are removed.
    fn reweighted(&self, f: impl Fn(usize, usize, f64) -> f64) -> Self {
        let mut out = Self {
            row_start: Vec::with_capacity(self.row_start.len()),
            sources: Vec::with_capacity(self.n_edges()),
            weights: Vec::with_capacity(self.n_edges()),
        };
        out.row_start.push(0);
        for target in 0..self.n_nodes() {
            let (sources, weights) = self.row(target);
            for (source, w) in sources.iter().zip(weights) {
                let w = f(*source as usize, target, f64::from(*w)) as f32;
                if w != 0.0 {
                    out.sources.push(*source);
                    out.weights.push(w);
                }
            }
            out.row_start.push(out.sources.len());
        }
        out
    }
}

/// d^-½, 0 where d is not positive, as in the dense matrices.
fn inverse_root(degree: f64) -> f64 {
    if degree > 0.0 {
        degree.sqrt().recip()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::propagation;
    use super::super::tests::assert_close;
    use super::*;

    #[test]
    fn equal_to_the_dense_matrices() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for n in [1, 2, 5, 30] {
            for density in [0.0, 0.1, 0.6] {
                let dense = Array2::from_shape_fn((n, n), |_| {
                    if rng.random::<f64>() < density {
                        rng.random_range(-0.5..2.0f32)
                    } else {
                        0.0
                    }
                });
                let sparse = CsrGraph::from_dense(dense.view()).unwrap();
                assert_close(&sparse.gcn().to_dense(), &propagation::gcn(&dense));
                assert_close(
                    &sparse.chebyshev().to_dense(),
                    &propagation::chebyshev(&dense),
                );
                assert_close(
                    &sparse.row_normalised().to_dense(),
                    &propagation::row_normalised(&dense),
                );
            }
        }
    }

    #[test]
    fn loops_are_added_only_where_there_is_none() {
        let g = CsrGraph::from_edges(3, &[(1, 1, 0.5), (2, 0, 1.0), (0, 2, 1.0)]).unwrap();
        let looped = g.with_self_loops(1.0);
        assert_eq!([0, 1, 2].map(|i| looped.weight(i, i)), [1.0, 0.5, 1.0]);
        assert_eq!(looped.n_edges(), 5);
        assert_eq!(looped.sources(), [0, 2, 1, 0, 2]);
        assert_eq!(g.with_self_loops(0.0), g);
    }
}
