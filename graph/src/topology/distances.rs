//! Graphs from the distances between sensors.

use ndarray::Array2;

use super::builders::{check_fraction, check_square};
use super::{EdgeWeights, SensorGraph};
use crate::{Error, Result};

impl SensorGraph {
    /// Gaussian kernel of distances: weight exp(−d² / σ²), edges below `threshold` left out.
    ///
    /// `distances` is (nodes, nodes), entry [target, source], any unit; infinity means that the
    /// pair is not connected. `sigma` is in the same unit; by default it is the standard deviation
    /// of all finite entries, the diagonal included, as in DCRNN (Li et al. 2018, section 4). Self
    /// loops (weight 1) only with `self_loops`.
    ///
    /// # Errors
    /// When the matrix does not fit, a distance is negative or NaN, σ is not positive, or the
    /// threshold is outside [0, 1].
    pub fn gaussian(
        nodes: &[String],
        distances: &Array2<f64>,
        sigma: Option<f64>,
        threshold: f64,
        self_loops: bool,
    ) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        check_distances(nodes, distances)?;
        check_fraction("threshold", threshold)?;
        let sigma = checked_sigma(sigma, distances)?;
        for ((target, source), d) in distances.indexed_iter() {
            let weight = kernel(*d, sigma);
            if weight >= threshold && (self_loops || target != source) {
                graph.set_edge(target, source, weight as f32);
            }
        }
        Ok(graph)
    }

    /// Edges to every node from its `k` nearest others; on a tie the one earlier in the list.
    ///
    /// `distances` as in [`gaussian`](Self::gaussian); a pair at infinity is never joined. Weights
    /// are 1 or the Gaussian kernel with `sigma`. With `symmetric` an edge also runs the other way,
    /// when only one of the two counts the other among its nearest; both take the larger weight.
    ///
    /// # Errors
    /// As [`gaussian`](Self::gaussian); and when `k` is 0 or not below the number of nodes.
    pub fn nearest(
        nodes: &[String],
        distances: &Array2<f64>,
        k: usize,
        weights: EdgeWeights,
        sigma: Option<f64>,
        symmetric: bool,
    ) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        check_distances(nodes, distances)?;
        if k == 0 || k >= nodes.len() {
            return Err(Error::config(
                "k",
                format!("{k} neighbours among {} nodes", nodes.len()),
                format!("give k between 1 and {}", nodes.len().saturating_sub(1)),
            ));
        }
        let weight = edge_weight(weights, sigma, distances)?;
        for target in 0..nodes.len() {
            let mut others: Vec<usize> = (0..nodes.len())
                .filter(|s| *s != target && distances[[target, *s]].is_finite())
                .collect();
            others.sort_by(|a, b| distances[[target, *a]].total_cmp(&distances[[target, *b]]));
            for &source in others.iter().take(k) {
                graph.set_edge(target, source, weight(distances[[target, source]]));
            }
        }
        if symmetric {
            for (source, target, weight) in graph.edges() {
                let back = graph.adjacency_entry(source, target);
                graph.set_edge(source, target, weight.max(back));
                graph.set_edge(target, source, weight.max(back));
            }
        }
        Ok(graph)
    }

    /// Edges between nodes at most `radius` apart, in the unit of `distances`; no self loops.
    ///
    /// `distances`, weights and `sigma` as in [`nearest`](Self::nearest).
    ///
    /// # Errors
    /// As [`gaussian`](Self::gaussian); and when the radius is negative or not finite.
    pub fn within(
        nodes: &[String],
        distances: &Array2<f64>,
        radius: f64,
        weights: EdgeWeights,
        sigma: Option<f64>,
    ) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        check_distances(nodes, distances)?;
        if !(radius.is_finite() && radius >= 0.0) {
            return Err(Error::config(
                "radius",
                format!("a largest distance of {radius}"),
                "give a distance of 0 or more, in the unit of the positions",
            ));
        }
        let weight = edge_weight(weights, sigma, distances)?;
        for ((target, source), d) in distances.indexed_iter() {
            if target != source && *d <= radius {
                graph.set_edge(target, source, weight(*d));
            }
        }
        Ok(graph)
    }

    fn adjacency_entry(&self, target: usize, source: usize) -> f32 {
        let (from, to) = (source as u32, target as u32);
        self.graph
            .find_edge(from.into(), to.into())
            .map_or(0.0, |e| self.graph[e])
    }
}

/// Euclidean distances between the rows of `positions`, (nodes, 2 or 3): (nodes, nodes), same unit.
pub fn pairwise_distances(positions: &Array2<f64>) -> Array2<f64> {
    let n = positions.nrows();
    Array2::from_shape_fn((n, n), |(i, j)| {
        let difference = &positions.row(i) - &positions.row(j);
        difference.dot(&difference).sqrt()
    })
}

/// The weight of an edge as a function of its length.
fn edge_weight(
    weights: EdgeWeights,
    sigma: Option<f64>,
    distances: &Array2<f64>,
) -> Result<impl Fn(f64) -> f32 + use<>> {
    let sigma = match weights {
        EdgeWeights::Gaussian => Some(checked_sigma(sigma, distances)?),
        EdgeWeights::Binary => None,
    };
    Ok(move |d| sigma.map_or(1.0, |s| kernel(d, s) as f32))
}

fn kernel(distance: f64, sigma: f64) -> f64 {
    (-(distance / sigma).powi(2)).exp()
}

fn checked_sigma(sigma: Option<f64>, distances: &Array2<f64>) -> Result<f64> {
    let sigma = sigma.unwrap_or_else(|| {
        let finite: Vec<f64> = distances
            .iter()
            .copied()
            .filter(|d| d.is_finite())
            .collect();
        let n = finite.len() as f64;
        let mean = finite.iter().sum::<f64>() / n;
        (finite.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n).sqrt()
    });
    if sigma.is_finite() && sigma > 0.0 {
        return Ok(sigma);
    }
    Err(Error::config(
        "sigma",
        format!("the width of the kernel is {sigma}"),
        "give a positive sigma in the unit of the distances, or sensors at different places",
    ))
}

fn check_distances(nodes: &[String], distances: &Array2<f64>) -> Result<()> {
    check_square("distances", nodes, distances.dim())?;
    match distances
        .indexed_iter()
        .find(|(_, d)| d.is_nan() || **d < 0.0)
    {
        None => Ok(()),
        Some(((target, source), d)) => Err(Error::config(
            format!("distances[{target}, {source}]"),
            format!(
                "the distance from \"{}\" to \"{}\" is {d}",
                nodes[source], nodes[target]
            ),
            "distances are 0 or more; write infinity where there is no way",
        )),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::tests::{assert_close, names};
    use super::*;

    #[test]
    fn radius_includes_its_boundary() {
        let nodes = names(&["a", "b", "c"]);
        let distances = pairwise_distances(&array![[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]]);
        let near = |radius, weights| SensorGraph::within(&nodes, &distances, radius, weights, None);
        let graph = near(5.0, EdgeWeights::Binary).unwrap();
        assert_close(
            &graph.adjacency(),
            &array![[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
        );
        assert_eq!(near(4.9, EdgeWeights::Binary).unwrap().n_edges(), 0);
        let graph = near(9.0, EdgeWeights::Gaussian).unwrap();
        assert!((graph.adjacency()[[0, 1]] - 0.06866117).abs() < 1e-6);
        assert!(near(f64::NAN, EdgeWeights::Binary).is_err());
        assert!(near(-1.0, EdgeWeights::Binary).is_err());
    }

    // numpy: d = distances of [[0, 0], [3, 4], [0, 8]]; exp(-(d / d.std()) ** 2), d.std() = 3.055050
    #[test]
    fn gaussian_kernel_of_dcrnn() {
        let nodes = names(&["a", "b", "c"]);
        let distances = pairwise_distances(&array![[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]]);
        let (near, far) = (0.06866117, 0.00105192);
        let graph = SensorGraph::gaussian(&nodes, &distances, None, 0.0, true).unwrap();
        assert_close(
            &graph.adjacency(),
            &array![[1.0, near, far], [near, 1.0, near], [far, near, 1.0]],
        );
        let graph = SensorGraph::gaussian(&nodes, &distances, None, 0.05, false).unwrap();
        assert_close(
            &graph.adjacency(),
            &array![[0.0, near, 0.0], [near, 0.0, near], [0.0, near, 0.0]],
        );
        // exp(-1) at one sigma.
        let graph = SensorGraph::gaussian(&nodes, &distances, Some(5.0), 0.3, false).unwrap();
        assert!((graph.adjacency()[[0, 1]] - 0.36787944).abs() < 1e-7);
        assert!(graph.is_symmetric());
    }

    #[test]
    fn infinite_distances_carry_no_edge_and_do_not_widen_the_kernel() {
        let nodes = names(&["a", "b"]);
        let distances = array![[0.0, 2.0], [f64::INFINITY, 0.0]];
        let graph = SensorGraph::gaussian(&nodes, &distances, None, 0.0, false).unwrap();
        // std([0, 2, 0]) = sqrt(8)/3; exp(-4 / (8/9)) = exp(-4.5)
        let weight = (-4.5f64).exp() as f32;
        assert_close(&graph.adjacency(), &array![[0.0, weight], [0.0, 0.0]]);
    }

    #[test]
    fn kernels_need_width() {
        let nodes = names(&["a", "b"]);
        let same = Array2::zeros((2, 2));
        let message = SensorGraph::gaussian(&nodes, &same, None, 0.1, false)
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("sigma"), "{message}");
        assert!(SensorGraph::gaussian(&nodes, &same, Some(1.0), 1.5, false).is_err());
        let negative = array![[0.0, -1.0], [0.0, 0.0]];
        assert!(SensorGraph::gaussian(&nodes, &negative, Some(1.0), 0.1, false).is_err());
    }

    #[test]
    fn nearest_neighbours_on_a_line() {
        // At 0, 1, 3, 7: nearest of each: b, a, b, c.
        let nodes = names(&["a", "b", "c", "d"]);
        let distances = pairwise_distances(&array![[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0]]);
        let binary = EdgeWeights::Binary;
        let graph = SensorGraph::nearest(&nodes, &distances, 1, binary, None, false).unwrap();
        assert_eq!(
            graph.edges(),
            [(1, 0, 1.0), (0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)]
        );
        let graph = SensorGraph::nearest(&nodes, &distances, 1, binary, None, true).unwrap();
        assert!(graph.is_symmetric());
        assert_eq!(graph.n_edges(), 6);
        let gaussian = EdgeWeights::Gaussian;
        let graph = SensorGraph::nearest(&nodes, &distances, 1, gaussian, Some(2.0), true).unwrap();
        assert!((graph.adjacency()[[1, 2]] - (-1.0f32).exp()).abs() < 1e-7);
        assert_eq!(graph.adjacency()[[2, 1]], graph.adjacency()[[1, 2]]);
        for k in [0, 4] {
            assert!(SensorGraph::nearest(&nodes, &distances, k, binary, None, true).is_err());
        }
    }

    #[test]
    fn symmetric_neighbours_of_one_way_distances_take_the_nearer_way() {
        let nodes = names(&["a", "b"]);
        let distances = array![[0.0, 1.0], [3.0, 0.0]];
        let gaussian = EdgeWeights::Gaussian;
        let graph = SensorGraph::nearest(&nodes, &distances, 1, gaussian, Some(1.0), true).unwrap();
        let weight = (-1.0f32).exp();
        assert_close(&graph.adjacency(), &array![[0.0, weight], [weight, 0.0]]);
    }

    #[test]
    fn every_node_hears_exactly_k() {
        let nodes: Vec<String> = (0..12).map(|i| format!("n{i}")).collect();
        let positions = Array2::from_shape_fn((12, 2), |(i, j)| ((i * 7 + j * 5) % 11) as f64);
        let distances = pairwise_distances(&positions);
        for k in 1..12 {
            let graph =
                SensorGraph::nearest(&nodes, &distances, k, EdgeWeights::Binary, None, false)
                    .unwrap();
            assert_eq!(graph.in_degrees(), vec![k; 12]);
        }
    }
}
