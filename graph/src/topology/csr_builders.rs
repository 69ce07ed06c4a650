//! Sparse graphs out of lists of distances.

use std::collections::BTreeMap;

use super::CsrGraph;
use crate::{Error, Result};

impl CsrGraph {
    /// Gaussian kernel of listed distances: weight exp(−d² / σ²), those below `threshold` left out;
    /// pairs that are not listed have no edge.
    ///
    /// `distances` are (source, target, distance), any unit; of a pair that is listed twice the
    /// last counts. `sigma` is in the same unit; by default it is the standard deviation of the
    /// listed distances, as in DCRNN (Li et al. 2018, section 4), which takes a threshold of 0.1.
    /// There a listed distance of 0 from a sensor to itself gives a self loop of weight 1.
    ///
    /// # Errors
    /// [`Error::Config`] when a node is not below `nodes`, a distance is negative or not finite, σ
    /// is not positive, or the threshold is outside [0, 1].
    pub fn gaussian(
        nodes: usize,
        distances: &[(usize, usize, f64)],
        sigma: Option<f64>,
        threshold: f64,
    ) -> Result<Self> {
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::config(
                "threshold",
                format!("{threshold} is outside [0, 1]"),
                "give a number from 0 to 1",
            ));
        }
        let mut listed: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for (source, target, d) in distances {
            if !d.is_finite() || *d < 0.0 {
                return Err(Error::config(
                    "distances",
                    format!("{source} -> {target} is {d}"),
                    "give finite distances of 0 or more",
                ));
            }
            listed.insert((*source, *target), *d);
        }
        let n = listed.len() as f64;
        let mean = listed.values().sum::<f64>() / n;
        let variance = listed.values().map(|d| (d - mean).powi(2)).sum::<f64>() / n;
        let sigma = sigma.unwrap_or(variance.sqrt());
        if !(sigma.is_finite() && sigma > 0.0) {
            return Err(Error::config(
                "sigma",
                format!("the width of the kernel is {sigma}"),
                "give a positive sigma in the unit of the distances, or more than one distance",
            ));
        }
        let edges: Vec<_> = listed
            .into_iter()
            .map(|((source, target), d)| (source, target, (-(d / sigma).powi(2)).exp()))
            .filter(|(_, _, w)| *w >= threshold)
            .map(|(source, target, w)| (source, target, w as f32))
            .collect();
        Self::from_edges(nodes, &edges)
    }

    /// Weight 1 both ways for every listed pair, in whichever direction it is listed: the graph
    /// that ASTGCN, STSGCN and those after them make of the distances of the PEMS0x sets.
    ///
    /// # Errors
    /// As [`from_edges`](Self::from_edges).
    pub fn connected(nodes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Result<Self> {
        let mut edges: Vec<(usize, usize, f32)> = pairs
            .flat_map(|(a, b)| [(a, b, 1.0), (b, a, 1.0)])
            .collect();
        edges.sort_unstable_by_key(|e| (e.0, e.1));
        edges.dedup_by_key(|e| (e.0, e.1));
        Self::from_edges(nodes, &edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy: d = [0, 0, 0, 3, 5, 4]; d.std() = 2.0816660; exp(-(d / d.std()) ** 2)
    #[test]
    fn kernel_of_dcrnn() {
        let listed = [
            (0, 0, 0.0),
            (1, 1, 0.0),
            (2, 2, 0.0),
            (0, 1, 3.0),
            (1, 0, 5.0),
            (2, 0, 4.0),
        ];
        let g = CsrGraph::gaussian(3, &listed, None, 0.1).unwrap();
        assert_eq!(g.n_edges(), 4);
        assert!(
            (g.weight(1, 0) - 0.12531).abs() < 1e-5,
            "{}",
            g.weight(1, 0)
        );
        assert_eq!(g.weight(0, 1), 0.0);
        assert_eq!(g.weight(2, 2), 1.0);
        let g = CsrGraph::gaussian(3, &listed, Some(4.0), 0.3).unwrap();
        assert!((g.weight(0, 2) - (-1f32).exp()).abs() < 1e-7);
        // The last of two counts, for the width too.
        let twice = [(0, 1, 9.0), (1, 0, 1.0), (0, 1, 3.0)];
        let g = CsrGraph::gaussian(2, &twice, None, 0.0).unwrap();
        assert!((g.weight(1, 0) - (-9f32).exp()).abs() < 1e-7);
    }

    #[test]
    fn mistakes_are_named() {
        let bad = |edges: &[(usize, usize, f64)], sigma, threshold| {
            CsrGraph::gaussian(2, edges, sigma, threshold)
                .unwrap_err()
                .to_string()
        };
        assert!(bad(&[(0, 1, -1.0)], None, 0.1).contains("0 -> 1 is -1"));
        assert!(bad(&[(0, 1, f64::NAN)], None, 0.1).contains("NaN"));
        assert!(bad(&[(0, 1, 1.0)], None, 0.1).contains("kernel is 0"));
        assert!(bad(&[], None, 0.1).contains("kernel is NaN"));
        assert!(bad(&[(0, 1, 1.0)], Some(1.0), 2.0).contains("threshold"));
        assert!(bad(&[(0, 7, 1.0)], Some(1.0), 0.0).contains("0 -> 7"));
    }

    #[test]
    fn connections_run_both_ways_once() {
        let g = CsrGraph::connected(3, [(0, 1), (1, 0), (2, 1)].into_iter()).unwrap();
        assert_eq!(g.n_edges(), 4);
        assert!(g.is_symmetric());
        assert!(CsrGraph::connected(2, [(0, 2)].into_iter()).is_err());
    }
}
