//! Graphs from a matrix, from a list of edges, from the strength of correlations, or of every pair.

use std::collections::{HashMap, HashSet};

use ndarray::Array2;

use super::SensorGraph;
use crate::{Error, Result};

impl SensorGraph {
    /// From a matrix of weights, (nodes, nodes), entry [target, source]; 0 means no edge.
    ///
    /// # Errors
    /// When the matrix does not fit the nodes or an entry is not finite.
    pub fn from_adjacency(nodes: &[String], adjacency: &Array2<f32>) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        check_square("adjacency", nodes, adjacency.dim())?;
        for ((target, source), &weight) in adjacency.indexed_iter() {
            if !weight.is_finite() {
                return Err(Error::config(
                    format!("adjacency[{target}, {source}]"),
                    format!(
                        "the weight of \"{}\" -> \"{}\" is {weight}",
                        nodes[source], nodes[target]
                    ),
                    "weights are finite; write 0 where there is no edge",
                ));
            }
            if weight != 0.0 {
                graph.set_edge(target, source, weight);
            }
        }
        Ok(graph)
    }

    /// From edges (from, to, weight) between named nodes; weight 0 means no edge.
    ///
    /// # Errors
    /// When a name is unknown (the nearest one is suggested), a weight is not finite, or the same
    /// edge is listed twice.
    pub fn from_edges(nodes: &[String], edges: &[(String, String, f32)]) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        let index: HashMap<&str, usize> = nodes
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), i))
            .collect();
        let find = |name: &String| {
            index.get(name.as_str()).copied().ok_or_else(|| {
                let known: Vec<&str> = nodes.iter().map(String::as_str).collect();
                Error::unknown("node", name, &known)
            })
        };
        let mut seen = HashSet::new();
        for (line, (from, to, weight)) in edges.iter().enumerate() {
            let (source, target) = (find(from)?, find(to)?);
            let field = || format!("edges[{line}] (\"{from}\" -> \"{to}\")");
            if !weight.is_finite() {
                return Err(Error::config(
                    field(),
                    format!("the weight is {weight}"),
                    "give a finite weight",
                ));
            }
            if !seen.insert((source, target)) {
                return Err(Error::config(
                    field(),
                    "this edge is listed twice",
                    "list every ordered pair at most once",
                ));
            }
            graph.set_edge(target, source, *weight);
        }
        Ok(graph)
    }

    /// Edges where the strength of correlation is at least `threshold`; with `top_k` only the
    /// `k` strongest sources of each target. The weight is the strength; no self loops.
    ///
    /// `strength` is (nodes, nodes) in [0, 1], see [`correlation_strength`](super::correlation_strength). With `top_k` the graph
    /// is made symmetric: an edge stays when either of its ends counts it among the strongest.
    ///
    /// # Errors
    /// When the matrix does not fit, a strength is outside [0, 1], or the threshold is.
    pub fn correlated(
        nodes: &[String],
        strength: &Array2<f64>,
        threshold: f64,
        top_k: Option<usize>,
    ) -> Result<Self> {
        let mut graph = Self::unconnected(nodes)?;
        check_square("correlation", nodes, strength.dim())?;
        check_fraction("threshold", threshold)?;
        if top_k == Some(0) {
            return Err(Error::config(
                "top_k",
                "0 keeps no edge",
                "give at least 1, or use the graph kind \"none\"",
            ));
        }
        for &value in strength {
            check_fraction("correlation", value)?;
        }
        for target in 0..nodes.len() {
            let mut sources: Vec<usize> = (0..nodes.len())
                .filter(|s| *s != target && strength[[target, *s]] >= threshold)
                .collect();
            sources.sort_by(|a, b| strength[[target, *b]].total_cmp(&strength[[target, *a]]));
            sources.truncate(top_k.unwrap_or(nodes.len()));
            for source in sources {
                let weight = strength[[target, source]] as f32;
                if weight != 0.0 {
                    graph.set_edge(target, source, weight);
                    if top_k.is_some() {
                        graph.set_edge(source, target, strength[[source, target]] as f32);
                    }
                }
            }
        }
        Ok(graph)
    }

    /// Every ordered pair of different nodes, weight 1.
    ///
    /// # Errors
    /// When there is no node, or two share a name.
    pub fn complete(nodes: &[String]) -> Result<Self> {
        let adjacency = Array2::from_shape_fn((nodes.len(), nodes.len()), |(target, source)| {
            if target == source { 0.0 } else { 1.0 }
        });
        Self::from_adjacency(nodes, &adjacency)
    }
}

pub(super) fn check_square(field: &str, nodes: &[String], shape: (usize, usize)) -> Result<()> {
    if shape == (nodes.len(), nodes.len()) {
        return Ok(());
    }
    Err(Error::config(
        field,
        format!("shape {shape:?} for {} nodes", nodes.len()),
        "give a square matrix with a row and a column per node",
    ))
}

pub(super) fn check_fraction(field: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(
        field,
        format!("{value} is outside [0, 1]"),
        "give a number from 0 to 1",
    ))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::tests::names;
    use super::*;

    fn edge(from: &str, to: &str, weight: f32) -> (String, String, f32) {
        (from.to_string(), to.to_string(), weight)
    }

    #[test]
    fn list_and_matrix_agree_on_direction() {
        let nodes = names(&["a", "b", "c"]);
        let listed =
            SensorGraph::from_edges(&nodes, &[edge("a", "b", 2.0), edge("c", "a", -1.0)]).unwrap();
        let matrix = array![[0.0, 0.0, -1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0f32]];
        assert_eq!(listed.adjacency(), matrix);
        assert_eq!(
            SensorGraph::from_adjacency(&nodes, &matrix).unwrap(),
            listed
        );
    }

    #[test]
    fn bad_lists_are_named() {
        let nodes = names(&["Fp1", "Fp2", "Cz"]);
        let message = |edges: &[(String, String, f32)]| {
            SensorGraph::from_edges(&nodes, edges)
                .unwrap_err()
                .to_string()
        };
        let unknown = message(&[edge("Fpz", "Cz", 1.0)]);
        assert!(unknown.contains("\"Fpz\", did you mean \"Fp"), "{unknown}");
        assert!(message(&[edge("Fp1", "Cz", f32::NAN)]).contains("NaN"));
        let twice = message(&[edge("Fp1", "Cz", 1.0), edge("Fp1", "Cz", 2.0)]);
        assert!(twice.contains("edges[1]"), "{twice}");
    }

    #[test]
    fn bad_matrices_are_named() {
        let nodes = names(&["a", "b"]);
        let infinite = array![[0.0, f32::INFINITY], [0.0, 0.0]];
        let message = SensorGraph::from_adjacency(&nodes, &infinite)
            .unwrap_err()
            .to_string();
        assert!(message.contains("\"b\" -> \"a\""), "{message}");
        assert!(SensorGraph::from_adjacency(&nodes, &Array2::zeros((2, 3))).is_err());
    }

    #[test]
    fn correlations_above_threshold_or_strongest() {
        let nodes = names(&["a", "b", "c"]);
        let strength = array![[1.0, 0.9, 0.2], [0.9, 1.0, 0.5], [0.2, 0.5, 1.0]];
        let graph = SensorGraph::correlated(&nodes, &strength, 0.5, None).unwrap();
        assert_eq!(
            graph.adjacency(),
            array![[0.0, 0.9, 0.0], [0.9, 0.0, 0.5], [0.0, 0.5, 0.0]]
        );
        // Strongest: a-b, b-a, c-b; the last also runs b <- c by symmetry.
        let graph = SensorGraph::correlated(&nodes, &strength, 0.0, Some(1)).unwrap();
        assert_eq!(graph.n_edges(), 4);
        assert!(graph.is_symmetric());
        assert!(SensorGraph::correlated(&nodes, &strength, 0.0, Some(0)).is_err());
        assert!(SensorGraph::correlated(&nodes, &(strength * 2.0), 0.0, None).is_err());
    }

    #[test]
    fn complete_and_unconnected() {
        let nodes = names(&["a", "b", "c"]);
        let graph = SensorGraph::complete(&nodes).unwrap();
        assert_eq!((graph.n_edges(), graph.density()), (6, 1.0));
        assert_eq!(SensorGraph::unconnected(&nodes).unwrap().n_edges(), 0);
    }
}
