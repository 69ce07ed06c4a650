//! The graph of the sensors: which node hears which, and how strongly.
//!
//! A [`SensorGraph`] is directed and weighted. Its matrix form is (nodes, nodes) with entry
//! [target, source], so that `A · H` gathers at every node what its sources send; [`propagation`]
//! turns that matrix into the ones graph convolutions multiply by.

mod builders;
mod config;
mod correlation;
mod csr;
mod csr_builders;
mod csr_propagation;
mod distances;
mod layout;
pub mod propagation;

use ndarray::Array2;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::unionfind::UnionFind;
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use config::{EdgeWeights, GraphConfig, build, build_from_positions};
pub use correlation::correlation_strength;
pub use csr::{CsrGraph, GraphStatistics, Spread, Symmetry};
pub use distances::pairwise_distances;
pub use layout::{HEAD_RADIUS, layout_2d};

/// A directed, weighted graph over named sensors.
///
/// At most one edge per ordered pair; a weight is finite and never 0; self loops are allowed.
/// Serialises as `{"nodes": [...], "positions": [[x, y, z], ...] | null, "edges": [[from, to,
/// weight], ...]}`, edges in the order of target, then source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct SensorGraph {
    graph: DiGraph<String, f32>,
    positions: Option<Array2<f64>>,
}

impl SensorGraph {
    /// A graph with these nodes and no edges.
    ///
    /// # Errors
    /// When there is no node, or two share a name.
    pub fn unconnected(nodes: &[String]) -> Result<Self> {
        if nodes.is_empty() {
            return Err(Error::config(
                "nodes",
                "a graph needs at least one node",
                "name the sensors",
            ));
        }
        let mut sorted: Vec<&String> = nodes.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::config(
                "nodes",
                format!("the name \"{}\" occurs more than once", pair[0]),
                "give every sensor its own name",
            ));
        }
        let mut graph = DiGraph::new();
        for name in nodes {
            graph.add_node(name.clone());
        }
        Ok(Self {
            graph,
            positions: None,
        })
    }

    /// The same graph with sensor positions, (nodes, 2 or 3), metres.
    ///
    /// # Errors
    /// When the shape does not fit the nodes or a coordinate is not finite.
    pub fn with_positions(mut self, positions: Array2<f64>) -> Result<Self> {
        let (rows, columns) = positions.dim();
        if rows != self.n_nodes() || !(2..=3).contains(&columns) {
            return Err(Error::config(
                "positions",
                format!("shape ({rows}, {columns}) for {} nodes", self.n_nodes()),
                "give one row per node with two or three coordinates",
            ));
        }
        if let Some(((row, _), value)) = positions.indexed_iter().find(|(_, p)| !p.is_finite()) {
            return Err(Error::config(
                "positions",
                format!("node \"{}\" has the coordinate {value}", self.name(row)),
                "give finite coordinates for every node, or leave positions out",
            ));
        }
        self.positions = Some(positions);
        Ok(self)
    }

    /// Sets the weight of the edge `source -> target`; weight 0 removes it. Indices are in range
    /// and the weight is finite: builders check both before they come here.
    fn set_edge(&mut self, target: usize, source: usize, weight: f32) {
        let (from, to) = (NodeIndex::new(source), NodeIndex::new(target));
        if weight == 0.0 {
            if let Some(edge) = self.graph.find_edge(from, to) {
                self.graph.remove_edge(edge);
            }
        } else {
            self.graph.update_edge(from, to, weight);
        }
    }

    fn name(&self, node: usize) -> &str {
        &self.graph[NodeIndex::new(node)]
    }

    /// Node names, in order.
    pub fn nodes(&self) -> Vec<&str> {
        self.graph.node_weights().map(String::as_str).collect()
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.graph.node_count()
    }

    /// Positions, (nodes, 2 or 3), metres, where known.
    pub fn positions(&self) -> Option<&Array2<f64>> {
        self.positions.as_ref()
    }

    /// The graph itself, for the algorithms of `petgraph`. Node indices are those of [`nodes`].
    ///
    /// [`nodes`]: Self::nodes
    pub fn as_petgraph(&self) -> &DiGraph<String, f32> {
        &self.graph
    }

    /// Number of directed edges, self loops included.
    pub fn n_edges(&self) -> usize {
        self.graph.edge_count()
    }

    /// Edges as (source, target, weight) in the order of target, then source.
    pub fn edges(&self) -> Vec<(usize, usize, f32)> {
        let mut edges: Vec<_> = self
            .graph
            .edge_references()
            .map(|e| (e.source().index(), e.target().index(), *e.weight()))
            .collect();
        edges.sort_by_key(|&(source, target, _)| (target, source));
        edges
    }

    /// Weights as a matrix, (nodes, nodes), entry [target, source]; 0 where there is no edge.
    pub fn adjacency(&self) -> Array2<f32> {
        let mut matrix = Array2::zeros((self.n_nodes(), self.n_nodes()));
        for (source, target, weight) in self.edges() {
            matrix[[target, source]] = weight;
        }
        matrix
    }

    /// Whether every edge has a counterpart of exactly the same weight.
    pub fn is_symmetric(&self) -> bool {
        let matrix = self.adjacency();
        matrix == matrix.t()
    }

    /// Edges between different nodes over the V (V − 1) there could be; 0 for a single node.
    pub fn density(&self) -> f64 {
        let possible = self.n_nodes() * (self.n_nodes() - 1);
        if possible == 0 {
            return 0.0;
        }
        let between = self.edges().iter().filter(|(s, t, _)| s != t).count();
        between as f64 / possible as f64
    }

    /// Number of edges that end at each node, self loops included.
    pub fn in_degrees(&self) -> Vec<usize> {
        self.degrees(petgraph::Direction::Incoming)
    }

    /// Number of edges that start at each node, self loops included.
    pub fn out_degrees(&self) -> Vec<usize> {
        self.degrees(petgraph::Direction::Outgoing)
    }

    fn degrees(&self, direction: petgraph::Direction) -> Vec<usize> {
        self.graph
            .node_indices()
            .map(|n| self.graph.edges_directed(n, direction).count())
            .collect()
    }

    /// Connected components, edges taken without their direction: sorted node indices, components
    /// in the order of their first node.
    pub fn components(&self) -> Vec<Vec<usize>> {
        let mut union = UnionFind::<usize>::new(self.n_nodes());
        for (source, target, _) in self.edges() {
            union.union(source, target);
        }
        let labels = union.into_labeling();
        let mut order: Vec<usize> = Vec::new();
        let mut components: Vec<Vec<usize>> = Vec::new();
        for (node, label) in labels.into_iter().enumerate() {
            match order.iter().position(|l| *l == label) {
                Some(at) => components[at].push(node),
                None => {
                    order.push(label);
                    components.push(vec![node]);
                }
            }
        }
        components
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
}

impl PartialEq for SensorGraph {
    fn eq(&self, other: &Self) -> bool {
        self.nodes() == other.nodes()
            && self.positions == other.positions
            && self.edges() == other.edges()
    }
}

/// The serialised form of a graph.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    nodes: Vec<String>,
    #[serde(default)]
    positions: Option<Vec<Vec<f64>>>,
    edges: Vec<(String, String, f32)>,
}

impl From<SensorGraph> for Written {
    fn from(graph: SensorGraph) -> Self {
        Self {
            nodes: graph.nodes().into_iter().map(str::to_string).collect(),
            positions: graph
                .positions
                .as_ref()
                .map(|p| p.rows().into_iter().map(|r| r.to_vec()).collect()),
            edges: graph
                .edges()
                .into_iter()
                .map(|(source, target, weight)| {
                    let (from, to) = (graph.name(source), graph.name(target));
                    (from.to_string(), to.to_string(), weight)
                })
                .collect(),
        }
    }
}

impl TryFrom<Written> for SensorGraph {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let graph = Self::from_edges(&written.nodes, &written.edges)?;
        let Some(rows) = written.positions else {
            return Ok(graph);
        };
        let columns = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|r| r.len() != columns) {
            return Err(Error::config(
                "positions",
                "rows of different lengths",
                "give every node the same number of coordinates",
            ));
        }
        let count = rows.len();
        let flat: Vec<f64> = rows.into_iter().flatten().collect();
        let positions = Array2::from_shape_vec((count, columns), flat)
            .map_err(|e| Error::config("positions", e.to_string(), "give one row per node"))?;
        graph.with_positions(positions)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    pub(super) fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| n.to_string()).collect()
    }

    pub(super) fn assert_close(got: &Array2<f32>, want: &Array2<f32>) {
        assert_eq!(got.dim(), want.dim());
        let worst = (got - want).mapv(f32::abs).fold(0.0f32, |a, b| a.max(*b));
        assert!(worst < 1e-6, "off by {worst}: {got}");
    }

    fn sample() -> SensorGraph {
        // a -> b, b -> c, c -> c, d alone, e -> a
        let adjacency = array![
            [0.0, 0.0, 0.0, 0.0, 0.5],
            [2.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.25, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0f32],
        ];
        SensorGraph::from_adjacency(&names(&["a", "b", "c", "d", "e"]), &adjacency).unwrap()
    }

    #[test]
    fn figures_of_a_small_graph() {
        let g = sample();
        assert_eq!(g.n_edges(), 4);
        assert!(!g.is_symmetric());
        assert_eq!(g.density(), 3.0 / 20.0);
        assert_eq!(g.in_degrees(), [1, 1, 2, 0, 0]);
        assert_eq!(g.out_degrees(), [1, 1, 1, 0, 1]);
        assert_eq!(g.components(), vec![vec![0, 1, 2, 4], vec![3]]);
        assert_eq!(g.isolated(), [3]);
        assert_eq!(
            g.edges(),
            [(4, 0, 0.5), (0, 1, 2.0), (1, 2, 1.0), (2, 2, 0.25)]
        );
    }

    #[test]
    fn single_node_has_density_zero_and_is_isolated_despite_its_loop() {
        let g = SensorGraph::from_adjacency(&names(&["only"]), &array![[1.0f32]]).unwrap();
        assert_eq!(g.density(), 0.0);
        assert_eq!(g.isolated(), [0]);
        assert!(g.is_symmetric());
    }

    #[test]
    fn round_trip_through_json() {
        let g = sample()
            .with_positions(Array2::from_shape_fn((5, 3), |(i, j)| {
                i as f64 + 0.1 * j as f64
            }))
            .unwrap();
        let text = serde_json::to_string(&g).unwrap();
        assert!(text.contains("[\"e\",\"a\",0.5]"), "{text}");
        let back: SensorGraph = serde_json::from_str(&text).unwrap();
        assert_eq!(back, g);
        assert_eq!(back.adjacency(), g.adjacency());
    }

    #[test]
    fn reading_checks_names_and_positions() {
        let unknown = r#"{"nodes":["Fp1","Fp2"],"edges":[["Fp1","Fp3",1.0]]}"#;
        let message = serde_json::from_str::<SensorGraph>(unknown).unwrap_err();
        assert!(message.to_string().contains("Fp3"), "{message}");
        let ragged = r#"{"nodes":["a","b"],"positions":[[0,0],[1]],"edges":[]}"#;
        assert!(serde_json::from_str::<SensorGraph>(ragged).is_err());
        let short = r#"{"nodes":["a","b"],"positions":[[0,0]],"edges":[]}"#;
        assert!(serde_json::from_str::<SensorGraph>(short).is_err());
    }

    #[test]
    fn names_and_positions_are_checked() {
        assert!(SensorGraph::unconnected(&[]).is_err());
        let message = SensorGraph::unconnected(&names(&["a", "b", "a"])).unwrap_err();
        assert!(message.to_string().contains("\"a\""), "{message}");
        let g = SensorGraph::unconnected(&names(&["a", "b"])).unwrap();
        let message = g
            .clone()
            .with_positions(array![[0.0, 0.0], [f64::NAN, 0.0]])
            .unwrap_err();
        assert!(message.to_string().contains("\"b\""), "{message}");
        assert!(g.with_positions(Array2::zeros((2, 4))).is_err());
    }
}
