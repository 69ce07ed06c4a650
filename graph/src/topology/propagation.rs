//! The matrix P a graph convolution multiplies by, from the adjacency A.
//!
//! Both are (nodes, nodes) with entry [target, source]: `(P H)[i] = Σ_j P[i, j] H[j]`.
//!
//! | convolution | P | function |
//! |---|---|---|
//! | GraphConv | A | none needed |
//! | GCN | D̃^-½ (A + I) D̃^-½ | [`gcn`] |
//! | Chebyshev, K = 2 | −D^-½ A D^-½ | [`chebyshev`] |
//! | bounded mixing | rows of A over Σ abs(row) | [`row_normalised`] |
//!
//! Values agree with `GCNConv`, `ChebConv` and `GraphConv` of PyTorch Geometric 2.8, for asymmetric
//! weights and nodes without edges too. A sum of degrees that is not positive, where PyTorch
//! Geometric gives infinity (set to 0) or NaN, counts as degree 0: its inverse root is 0.
//!
//! All functions panic when the matrix is not square; [`SensorGraph::adjacency`] always is.
//!
//! [`SensorGraph::adjacency`]: super::SensorGraph::adjacency

use ndarray::{Array2, Axis};

/// P of GraphConv (Morris et al. 2019): the weights as they are.
pub fn graphconv(adjacency: &Array2<f32>) -> Array2<f32> {
    assert_square(adjacency);
    adjacency.clone()
}

/// P of GCN (Kipf and Welling 2017): D̃^-½ Ã D̃^-½ with Ã = A plus a self loop of weight 1 where
/// there is none, and D̃ the in-degrees, row sums of Ã.
pub fn gcn(adjacency: &Array2<f32>) -> Array2<f32> {
    assert_square(adjacency);
    let mut looped = adjacency.clone();
    looped
        .diag_mut()
        .mapv_inplace(|w| if w == 0.0 { 1.0 } else { w });
    let inverse_root = inverse_roots(&looped, Axis(1));
    scaled(&looped, &inverse_root, 1.0)
}

/// P of the Chebyshev convolution with K = 2 (Defferrard et al. 2016), λmax = 2: the rescaled
/// Laplacian 2 L / λmax − I = −D^-½ A D^-½, self loops removed, D the out-degrees, column sums.
pub fn chebyshev(adjacency: &Array2<f32>) -> Array2<f32> {
    assert_square(adjacency);
    let mut bare = adjacency.clone();
    bare.diag_mut().fill(0.0);
    let inverse_root = inverse_roots(&bare, Axis(0));
    scaled(&bare, &inverse_root, -1.0)
}

/// Rows divided by the sum of their absolute values, so that ‖P‖_∞ ≤ 1; empty rows stay 0.
pub fn row_normalised(adjacency: &Array2<f32>) -> Array2<f32> {
    assert_square(adjacency);
    let mut rows = adjacency.clone();
    for mut row in rows.rows_mut() {
        let sum: f64 = row.iter().map(|w| f64::from(w.abs())).sum();
        if sum > 0.0 {
            row.mapv_inplace(|w| (f64::from(w) / sum) as f32);
        }
    }
    rows
}

fn inverse_roots(weights: &Array2<f32>, summed: Axis) -> Vec<f64> {
    let degrees = weights.mapv(f64::from).sum_axis(summed);
    let inverse = |d: &f64| if *d > 0.0 { d.sqrt().recip() } else { 0.0 };
    degrees.iter().map(inverse).collect()
}

fn scaled(weights: &Array2<f32>, inverse_root: &[f64], sign: f64) -> Array2<f32> {
    Array2::from_shape_fn(weights.dim(), |(i, j)| {
        let w = f64::from(weights[[i, j]]);
        if w == 0.0 {
            return 0.0;
        }
        (sign * inverse_root[i] * w * inverse_root[j]) as f32
    })
}

fn assert_square(matrix: &Array2<f32>) {
    assert!(
        matrix.is_square(),
        "a propagation matrix needs a square adjacency, not {:?}",
        matrix.dim()
    );
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::tests::assert_close;
    use super::*;

    // Node 1 has a self loop, node 3 no edge, node 4 only receives.
    fn asymmetric() -> Array2<f32> {
        array![
            [0.0, 0.5, 0.0, 0.0, 0.0],
            [2.0, 0.25, 0.0, 0.0, 0.0],
            [0.0, 1.5, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.75, 0.0, 3.0, 0.0, 0.0],
        ]
    }

    // Numbers: GCNConv(5, 5, bias=False) of PyTorch Geometric 2.8.1 with an identity weight,
    // applied to the identity.
    #[test]
    fn gcn_agrees_with_pytorch_geometric() {
        let want = array![
            [0.666667, 0.272166, 0.0, 0.0, 0.0],
            [1.088662, 0.111111, 0.0, 0.0, 0.0],
            [0.0, 0.632456, 0.4, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 0.0],
            [0.280976, 0.0, 0.870571, 0.0, 0.210526],
        ];
        assert_close(&gcn(&asymmetric()), &want);
    }

    // Numbers: ChebConv(5, 5, K=2, bias=False), lins.0 zero and lins.1 the identity.
    #[test]
    fn chebyshev_agrees_with_pytorch_geometric() {
        let want = array![
            [0.0, -0.213201, 0.0, 0.0, 0.0],
            [-0.852803, 0.0, 0.0, 0.0, 0.0],
            [0.0, -0.612372, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ];
        assert_close(&chebyshev(&asymmetric()), &want);
    }

    #[test]
    fn graphconv_is_the_adjacency() {
        assert_eq!(graphconv(&asymmetric()), asymmetric());
    }

    #[test]
    fn rows_sum_to_one_in_absolute_value_or_stay_empty() {
        let got = row_normalised(&array![[1.0, -3.0], [0.0, 0.0]]);
        assert_eq!(got, array![[0.25, -0.75], [0.0, 0.0]]);
    }

    #[test]
    fn degrees_that_are_not_positive_give_zero_not_nan() {
        let negative = array![[0.0, -2.0], [-2.0, 0.0]];
        assert_eq!(chebyshev(&negative), Array2::<f32>::zeros((2, 2)));
        // Row sums of A + I are -1.
        assert_eq!(gcn(&negative), Array2::<f32>::zeros((2, 2)));
    }
}
