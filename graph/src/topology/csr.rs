//! A graph as compressed sparse rows, for networks whose matrix would not fit: 8,600 detectors
//! are 296 MB dense and a few megabytes sparse.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView2, Axis};
use petgraph::unionfind::UnionFind;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::SensorGraph;
use crate::{Error, Result};

/// A directed, weighted graph over numbered nodes, entry [target, source], in compressed sparse
/// rows: the sources of target `i` are `sources[row_start[i]..row_start[i + 1]]`, ascending.
///
/// At most one edge per ordered pair; a weight is finite and never 0; self loops are allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct CsrGraph {
    pub(super) row_start: Vec<usize>,
    pub(super) sources: Vec<u32>,
    pub(super) weights: Vec<f32>,
}

/// How the two directions of a pair become one weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symmetry {
    /// max(A, Aᵀ), an absent edge counting as 0 (T-GCN's `los_adj.csv`).
    Max,
    /// (A + Aᵀ) / 2.
    Mean,
}

/// Figures of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphStatistics {
    pub nodes: usize,
    /// Directed edges, self loops included.
    pub edges: usize,
    pub self_loops: usize,
    /// Edges between different nodes over the V (V − 1) there could be.
    pub density: f64,
    /// Connected components, edges taken without their direction.
    pub components: usize,
    /// Nodes without an edge to or from another.
    pub isolated: usize,
    /// Edges that end at a node, self loops included: least, mean, most.
    pub in_degree: Spread,
    /// Edges that start at a node, self loops included.
    pub out_degree: Spread,
    /// Whether every edge has a counterpart of exactly the same weight.
    pub symmetric: bool,
}

/// Least, mean and most of something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub min: usize,
    pub mean: f64,
    pub max: usize,
}

impl Spread {
    fn of(values: &[usize]) -> Self {
        Self {
            min: values.iter().copied().min().unwrap_or(0),
            mean: values.iter().sum::<usize>() as f64 / values.len().max(1) as f64,
            max: values.iter().copied().max().unwrap_or(0),
        }
    }
}

impl CsrGraph {
    /// From edges (source, target, weight) in any order; weight 0 means no edge.
    ///
    /// # Errors
    /// [`Error::Config`] naming the edge when a node is not below `nodes`, a weight is not finite,
    /// or an ordered pair occurs twice; and when there are no nodes, or 2³² of them or more.
    pub fn from_edges(nodes: usize, edges: &[(usize, usize, f32)]) -> Result<Self> {
        if nodes == 0 || u32::try_from(nodes).is_err() {
            return Err(Error::config(
                "nodes",
                format!("a graph of {nodes} nodes"),
                "give from 1 to 4294967295 nodes",
            ));
        }
        for (i, (source, target, weight)) in edges.iter().enumerate() {
            if *source >= nodes || *target >= nodes || !weight.is_finite() {
                return Err(Error::config(
                    format!("edges[{i}]"),
                    format!("{source} -> {target} of weight {weight} among {nodes} nodes"),
                    "number the nodes from 0, and give finite weights",
                ));
            }
        }
        let mut sorted: Vec<(u32, u32, f32)> = edges
            .iter()
            .filter(|e| e.2 != 0.0)
            .map(|(source, target, weight)| (*target as u32, *source as u32, *weight))
            .collect();
        sorted.par_sort_unstable_by_key(|e| (e.0, e.1));
        if let Some(pair) = sorted
            .windows(2)
            .find(|w| (w[0].0, w[0].1) == (w[1].0, w[1].1))
        {
            return Err(Error::config(
                "edges",
                format!("{} -> {} is there twice", pair[0].1, pair[0].0),
                "list every ordered pair at most once",
            ));
        }
        Ok(Self::from_sorted(nodes, sorted))
    }

    /// From (target, source, weight) in that order, checked.
    fn from_sorted(nodes: usize, sorted: Vec<(u32, u32, f32)>) -> Self {
        let mut row_start = vec![0; nodes + 1];
        for (target, _, _) in &sorted {
            row_start[*target as usize + 1] += 1;
        }
        for i in 0..nodes {
            row_start[i + 1] += row_start[i];
        }
        Self {
            row_start,
            sources: sorted.iter().map(|e| e.1).collect(),
            weights: sorted.iter().map(|e| e.2).collect(),
        }
    }

    /// From a matrix, (nodes, nodes), entry [target, source]; 0 means no edge.
    ///
    /// # Errors
    /// [`Error::Config`] when it is empty or not square, or an entry is not finite.
    pub fn from_dense(adjacency: ArrayView2<f32>) -> Result<Self> {
        if !adjacency.is_square() {
            return Err(Error::config(
                "adjacency",
                format!("has shape {:?}, not square", adjacency.shape()),
                "give one row and one column for each node",
            ));
        }
        let edges: Vec<_> = adjacency
            .indexed_iter()
            .filter(|(_, w)| **w != 0.0)
            .map(|((target, source), w)| (source, target, *w))
            .collect();
        Self::from_edges(adjacency.nrows(), &edges)
    }

    /// The matrix, (nodes, nodes), entry [target, source].
    pub fn to_dense(&self) -> Array2<f32> {
        let mut matrix = Array2::zeros((self.n_nodes(), self.n_nodes()));
        for (source, target, weight) in self.edges() {
            matrix[[target, source]] = weight;
        }
        matrix
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.row_start.len() - 1
    }

    /// Number of directed edges, self loops included.
    pub fn n_edges(&self) -> usize {
        self.sources.len()
    }

    /// Start of every row in [`sources`](Self::sources) and [`weights`](Self::weights), and their
    /// length at the end: nodes + 1 numbers.
    pub fn row_start(&self) -> &[usize] {
        &self.row_start
    }

    /// Source of every edge, row by row, ascending inside a row.
    pub fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// Weight of every edge, in the order of [`sources`](Self::sources).
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Sources and weights of the edges that end at `target`; nothing when there is no such node.
    pub fn row(&self, target: usize) -> (&[u32], &[f32]) {
        match (self.row_start.get(target), self.row_start.get(target + 1)) {
            (Some(a), Some(b)) => (&self.sources[*a..*b], &self.weights[*a..*b]),
            _ => (&[], &[]),
        }
    }

    /// Edges (source, target, weight) in the order of target, then source.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, f32)> + '_ {
        (0..self.n_nodes()).flat_map(|target| {
            let (sources, weights) = self.row(target);
            sources
                .iter()
                .zip(weights)
                .map(move |(s, w)| (*s as usize, target, *w))
        })
    }

    /// Weight of the edge `source -> target`, 0 where there is none.
    pub fn weight(&self, target: usize, source: usize) -> f32 {
        let (sources, weights) = self.row(target);
        u32::try_from(source)
            .ok()
            .and_then(|s| sources.binary_search(&s).ok())
            .map_or(0.0, |at| weights[at])
    }

    /// Every edge the other way, Aᵀ.
    pub fn transposed(&self) -> Self {
        let mut sorted: Vec<(u32, u32, f32)> = self
            .edges()
            .map(|(source, target, w)| (source as u32, target as u32, w))
            .collect();
        // Stable by target alone: sources already ascend.
        sorted.sort_by_key(|e| e.0);
        Self::from_sorted(self.n_nodes(), sorted)
    }

    /// The undirected graph: every edge also the other way, with one weight for both.
    pub fn symmetrised(&self, rule: Symmetry) -> Self {
        let mut both: HashMap<(u32, u32), [f32; 2]> = HashMap::with_capacity(2 * self.n_edges());
        for (source, target, w) in self.edges() {
            let (s, t) = (source as u32, target as u32);
            both.entry((t, s)).or_default()[0] = w;
            both.entry((s, t)).or_default()[1] = w;
        }
        let mut sorted: Vec<(u32, u32, f32)> = both
            .into_iter()
            .map(|((target, source), [a, b])| {
                let w = match rule {
                    Symmetry::Max => a.max(b),
                    Symmetry::Mean => a / 2.0 + b / 2.0,
                };
                (target, source, w)
            })
            .filter(|e| e.2 != 0.0)
            .collect();
        sorted.par_sort_unstable_by_key(|e| (e.0, e.1));
        Self::from_sorted(self.n_nodes(), sorted)
    }

    /// Whether every edge has a counterpart of exactly the same weight.
    pub fn is_symmetric(&self) -> bool {
        self.edges()
            .all(|(source, target, w)| self.weight(source, target) == w)
    }

    /// Number of edges that end at each node, self loops included.
    pub fn in_degrees(&self) -> Vec<usize> {
        self.row_start.windows(2).map(|w| w[1] - w[0]).collect()
    }

    /// Number of edges that start at each node, self loops included.
    pub fn out_degrees(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.n_nodes()];
        for source in &self.sources {
            degrees[*source as usize] += 1;
        }
        degrees
    }

    /// The component of every node, numbered from 0 in the order of their first node; edges are
    /// taken without their direction.
    pub fn components(&self) -> Vec<usize> {
        let mut union = UnionFind::<usize>::new(self.n_nodes());
        for (source, target, _) in self.edges() {
            union.union(source, target);
        }
        let mut number: HashMap<usize, usize> = HashMap::new();
        union
            .into_labeling()
            .into_iter()
            .map(|label| {
                let next = number.len();
                *number.entry(label).or_insert(next)
            })
            .collect()
    }

    /// Nodes without an edge to or from another node; a self loop does not count.
    pub fn isolated(&self) -> Vec<usize> {
        let mut linked = vec![false; self.n_nodes()];
        for (source, target, _) in self.edges() {
            if source != target {
                linked[source] = true;
                linked[target] = true;
            }
        }
        (0..self.n_nodes()).filter(|n| !linked[*n]).collect()
    }

    /// The figures of the graph.
    pub fn statistics(&self) -> GraphStatistics {
        let nodes = self.n_nodes();
        let self_loops = self.edges().filter(|(s, t, _)| s == t).count();
        let possible = nodes as f64 * (nodes as f64 - 1.0);
        GraphStatistics {
            nodes,
            edges: self.n_edges(),
            self_loops,
            density: match nodes {
                1 => 0.0,
                _ => (self.n_edges() - self_loops) as f64 / possible,
            },
            components: self.components().into_iter().max().map_or(0, |c| c + 1),
            isolated: self.isolated().len(),
            in_degree: Spread::of(&self.in_degrees()),
            out_degree: Spread::of(&self.out_degrees()),
            symmetric: self.is_symmetric(),
        }
    }

    /// The subgraph of `nodes`, renumbered in their order.
    ///
    /// # Errors
    /// [`Error::Config`] when a node does not exist or is listed twice.
    pub fn subgraph(&self, nodes: &[usize]) -> Result<Self> {
        let mut place = vec![None; self.n_nodes()];
        for (new, old) in nodes.iter().enumerate() {
            match place.get_mut(*old) {
                Some(slot @ None) => *slot = Some(new),
                other => {
                    let problem = match other {
                        Some(_) => format!("node {old} is listed twice"),
                        None => format!("there is no node {old} among {}", self.n_nodes()),
                    };
                    return Err(Error::config(
                        "nodes",
                        problem,
                        "list existing nodes, each once",
                    ));
                }
            }
        }
        let edges: Vec<_> = self
            .edges()
            .filter_map(|(s, t, w)| Some((place[s]?, place[t]?, w)))
            .collect();
        Self::from_edges(nodes.len(), &edges)
    }

    /// A · H: at every node the weighted sum of what its sources have; (nodes, channels).
    ///
    /// # Errors
    /// [`Error::Config`] when `h` has not one row for each node.
    pub fn multiply(&self, h: ArrayView2<f32>) -> Result<Array2<f32>> {
        if h.nrows() != self.n_nodes() {
            return Err(Error::config(
                "h",
                format!("has {} rows for {} nodes", h.nrows(), self.n_nodes()),
                "give one row for each node",
            ));
        }
        let mut out = Array2::zeros(h.raw_dim());
        out.axis_iter_mut(Axis(0))
            .into_par_iter()
            .enumerate()
            .for_each(|(target, mut row)| {
                let (sources, weights) = self.row(target);
                for (source, w) in sources.iter().zip(weights) {
                    row.scaled_add(*w, &h.row(*source as usize));
                }
            });
        Ok(out)
    }

    /// The same graph over named nodes.
    ///
    /// # Errors
    /// When there are not as many names as nodes, or two are equal.
    pub fn to_sensor_graph(&self, names: &[String]) -> Result<SensorGraph> {
        let mut graph = SensorGraph::unconnected(names)?;
        if names.len() != self.n_nodes() {
            return Err(Error::config(
                "nodes",
                format!("{} names for {} nodes", names.len(), self.n_nodes()),
                "name every node",
            ));
        }
        for (source, target, weight) in self.edges() {
            graph.set_edge(target, source, weight);
        }
        Ok(graph)
    }
}

impl From<&SensorGraph> for CsrGraph {
    fn from(graph: &SensorGraph) -> Self {
        let edges = graph.edges();
        let sorted = edges
            .into_iter()
            .map(|(source, target, w)| (target as u32, source as u32, w))
            .collect();
        Self::from_sorted(graph.n_nodes(), sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn sample() -> Array2<f32> {
        array![
            [0.0, 0.0, 0.0, 0.0, 0.5],
            [2.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.25, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0f32],
        ]
    }

    #[test]
    fn agrees_with_the_dense_graph() {
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        let dense = SensorGraph::from_adjacency(&names, &sample()).unwrap();
        let g = CsrGraph::from_dense(sample().view()).unwrap();
        assert_eq!(g, CsrGraph::from(&dense));
        assert_eq!(g.to_sensor_graph(&names).unwrap(), dense);
        assert_eq!(g.to_dense(), sample());
        assert_eq!(g.edges().collect::<Vec<_>>(), dense.edges());
        assert_eq!(g.in_degrees(), dense.in_degrees());
        assert_eq!(g.out_degrees(), dense.out_degrees());
        assert_eq!(g.isolated(), dense.isolated());
        assert_eq!(g.components(), [0, 0, 0, 1, 0]);
        let s = g.statistics();
        assert_eq!(s.density, dense.density());
        assert_eq!((s.edges, s.self_loops, s.components), (4, 1, 2));
        assert_eq!((s.isolated, s.symmetric), (1, false));
        assert_eq!((s.in_degree.min, s.in_degree.max), (0, 2));
        assert_eq!(s.in_degree.mean, 0.8);
        assert_eq!(g.weight(2, 1), 1.0);
        assert_eq!(g.weight(1, 2), 0.0);
        assert_eq!(g.row(9), (&[][..], &[][..]));
    }

    #[test]
    fn both_directions() {
        let g = CsrGraph::from_dense(sample().view()).unwrap();
        assert_eq!(g.transposed().to_dense(), sample().t());
        let max = g.symmetrised(Symmetry::Max);
        assert!(max.is_symmetric() && max.statistics().symmetric);
        assert_eq!(max.weight(0, 1), 2.0);
        assert_eq!(max.weight(2, 2), 0.25);
        let mean = g.symmetrised(Symmetry::Mean).to_dense();
        assert_eq!(mean, (&sample() + &sample().t()) / 2.0);
    }

    #[test]
    fn product_and_subgraph() {
        let g = CsrGraph::from_dense(sample().view()).unwrap();
        let h = Array2::from_shape_fn((5, 3), |(i, j)| (3 * i + j) as f32);
        assert_eq!(g.multiply(h.view()).unwrap(), sample().dot(&h));
        assert!(g.multiply(Array2::zeros((4, 3)).view()).is_err());
        let part = g.subgraph(&[2, 1]).unwrap();
        assert_eq!(part.to_dense(), array![[0.25, 1.0], [0.0, 0.0]]);
        assert!(
            g.subgraph(&[1, 1])
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        assert!(
            g.subgraph(&[5])
                .unwrap_err()
                .to_string()
                .contains("no node 5")
        );
    }

    #[test]
    fn mistakes_are_named() {
        let bad =
            |edges: &[(usize, usize, f32)]| CsrGraph::from_edges(2, edges).unwrap_err().to_string();
        assert!(bad(&[(0, 1, 1.0), (2, 0, 1.0)]).contains("edges[1]: 2 -> 0"));
        assert!(bad(&[(0, 1, f32::NAN)]).contains("NaN"));
        assert!(bad(&[(0, 1, 1.0), (0, 1, 2.0)]).contains("0 -> 1 is there twice"));
        assert!(CsrGraph::from_edges(0, &[]).is_err());
        assert!(CsrGraph::from_dense(Array2::zeros((2, 3)).view()).is_err());
        let one = CsrGraph::from_edges(1, &[(0, 0, 1.0)]).unwrap();
        assert_eq!(one.statistics().density, 0.0);
        assert_eq!(one.statistics().isolated, 1);
    }
}
