//! The JSON files of PyTorch Geometric Temporal, in the three layouts that exist.
//!
//! | keys | layout | example |
//! |---|---|---|
//! | `FX`, `edges`, `node_ids` | values (time, nodes), one graph without weights | chickenpox |
//! | `y`, `edge_mapping`, `time_periods` | values (time, nodes), a weighted graph per step | England covid |
//! | `nodes`, `links` | node-link of networkx, the series inside the nodes | Montevideo bus |

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array3};
use serde::Deserialize;
use serde_json::Value;

use crate::series::SeriesGraph;
use crate::topology::CsrGraph;
use crate::{Error, Result, files};

/// The content of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TemporalJson {
    /// Names of the nodes; their numbers where the file has no names.
    pub nodes: Vec<String>,
    /// Names of the features.
    pub features: Vec<String>,
    /// Values, (time, nodes, features).
    pub values: Array3<f32>,
    /// The graph, entry [target, source].
    pub graph: SeriesGraph,
    /// `lon` and `lat` of every node as written, (nodes, 2), where all have them.
    pub lon_lat: Option<Array2<f64>>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "FX")]
    fx: Option<Vec<Vec<f32>>>,
    edges: Option<Vec<(usize, usize)>>,
    node_ids: Option<BTreeMap<String, usize>>,
    y: Option<Vec<Vec<f32>>>,
    edge_mapping: Option<EdgeMapping>,
    time_periods: Option<usize>,
    nodes: Option<Vec<Node>>,
    links: Option<Vec<Link>>,
    #[serde(default = "yes")]
    directed: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct EdgeMapping {
    edge_index: HashMap<String, Vec<(usize, usize)>>,
    edge_weight: HashMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Node {
    id: Value,
    lon: Option<f64>,
    lat: Option<f64>,
    y: Vec<f32>,
    #[serde(default, rename = "X")]
    x: BTreeMap<String, Vec<f32>>,
}

#[derive(Deserialize)]
struct Link {
    source: Value,
    target: Value,
    weight: Option<f32>,
}

/// Reads a file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<TemporalJson> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads the bytes of a file.
///
/// # Errors
/// [`Error::File`] when it is no JSON, in none of the three layouts, rows or series differ in
/// length, an edge leads to a node that is not there or is listed twice, or a step has no graph.
pub fn parse(bytes: &[u8], path: &Path) -> Result<TemporalJson> {
    let content: Content = serde_json::from_slice(bytes).map_err(|e| {
        Error::file(
            path,
            format!("line {}, column {}", e.line(), e.column()),
            e.to_string(),
            "check that the file is complete, and one of PyTorch Geometric Temporal",
        )
    })?;
    let file = File { path };
    match content {
        Content {
            fx: Some(fx),
            edges: Some(edges),
            node_ids,
            ..
        } => file.fixed(&fx, &edges, node_ids),
        Content {
            y: Some(y),
            edge_mapping: Some(edges),
            time_periods,
            ..
        } => file.dynamic(&y, edges, time_periods),
        Content {
            nodes: Some(nodes),
            links: Some(links),
            directed,
            ..
        } => file.node_link(&nodes, &links, directed),
        _ => Err(file.wrong(
            "keys",
            "neither FX and edges, nor y and edge_mapping, nor nodes and links are there",
        )),
    }
}

struct File<'a> {
    path: &'a Path,
}

impl File<'_> {
    fn wrong(&self, field: &str, problem: impl Into<String>) -> Error {
        Error::file(
            self.path,
            field,
            problem,
            "check that the file is complete, and one of PyTorch Geometric Temporal",
        )
    }

    /// (time, nodes, 1) out of rows of equal length.
    fn table(&self, field: &str, rows: &[Vec<f32>]) -> Result<Array3<f32>> {
        let v = rows.first().map_or(0, Vec::len);
        if let Some((t, row)) = rows.iter().enumerate().find(|(_, r)| r.len() != v) {
            let problem = format!("step {t} has {} values, not {v}", row.len());
            return Err(self.wrong(field, problem));
        }
        if v == 0 {
            return Err(self.wrong(field, "has no values"));
        }
        Ok(Array3::from_shape_fn((rows.len(), v, 1), |(t, i, _)| {
            rows[t][i]
        }))
    }

    fn graph(&self, field: &str, n: usize, edges: &[(usize, usize, f32)]) -> Result<CsrGraph> {
        CsrGraph::from_edges(n, edges).map_err(|e| self.wrong(field, e.to_string()))
    }

    fn fixed(
        &self,
        fx: &[Vec<f32>],
        edges: &[(usize, usize)],
        ids: Option<BTreeMap<String, usize>>,
    ) -> Result<TemporalJson> {
        let values = self.table("FX", fx)?;
        let n = values.dim().1;
        let mut nodes = vec![None; n];
        match ids {
            None => nodes = (0..n).map(|i| Some(i.to_string())).collect(),
            Some(ids) => {
                for (name, at) in ids {
                    match nodes.get_mut(at) {
                        Some(slot @ None) => *slot = Some(name),
                        _ => {
                            let problem = format!("{name} has number {at} of {n} nodes");
                            return Err(self.wrong("node_ids", problem));
                        }
                    }
                }
            }
        }
        let nodes: Option<Vec<String>> = nodes.into_iter().collect();
        let nodes = nodes.ok_or_else(|| self.wrong("node_ids", "some node has no name"))?;
        let edges: Vec<_> = edges.iter().map(|(a, b)| (*a, *b, 1.0)).collect();
        Ok(TemporalJson {
            nodes,
            features: vec!["FX".into()],
            graph: SeriesGraph::fixed(self.graph("edges", n, &edges)?),
            values,
            lon_lat: None,
        })
    }

    fn dynamic(
        &self,
        y: &[Vec<f32>],
        mapping: EdgeMapping,
        periods: Option<usize>,
    ) -> Result<TemporalJson> {
        let values = self.table("y", y)?;
        let (l, n, _) = values.dim();
        if let Some(p) = periods.filter(|p| *p != l) {
            return Err(self.wrong("time_periods", format!("is {p}, but y has {l} steps")));
        }
        let graphs = (0..l).map(|t| {
            let key = t.to_string();
            let field = format!("edge_mapping, step {t}");
            let (Some(index), Some(weight)) =
                (mapping.edge_index.get(&key), mapping.edge_weight.get(&key))
            else {
                return Err(self.wrong(&field, "has no edge_index or no edge_weight"));
            };
            if index.len() != weight.len() {
                let problem = format!("{} edges have {} weights", index.len(), weight.len());
                return Err(self.wrong(&field, problem));
            }
            let edges: Vec<_> = index
                .iter()
                .zip(weight)
                .map(|((a, b), w)| (*a, *b, *w))
                .collect();
            Ok(Arc::new(self.graph(&field, n, &edges)?))
        });
        Ok(TemporalJson {
            nodes: (0..n).map(|i| i.to_string()).collect(),
            features: vec!["y".into()],
            graph: SeriesGraph::PerStep(graphs.collect::<Result<_>>()?),
            values,
            lon_lat: None,
        })
    }

    fn node_link(&self, nodes: &[Node], links: &[Link], directed: bool) -> Result<TemporalJson> {
        let names: Vec<String> = nodes.iter().map(|n| text(&n.id)).collect();
        let index: HashMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(i, n)| (n.as_str(), i))
            .collect();
        if index.len() != nodes.len() {
            return Err(self.wrong("nodes", "two nodes have the same id"));
        }
        let first = nodes
            .first()
            .ok_or_else(|| self.wrong("nodes", "is empty"))?;
        let l = first.y.len();
        // Montevideo repeats y among the inputs.
        let inputs: Vec<&String> = first.x.keys().filter(|k| *k != "y").collect();
        let mut values = Array3::zeros((l, nodes.len(), 1 + inputs.len()));
        for (v, node) in nodes.iter().enumerate() {
            let series =
                std::iter::once(Some(&node.y)).chain(inputs.iter().map(|k| node.x.get(*k)));
            for (f, one) in series.enumerate() {
                let Some(one) = one.filter(|s| s.len() == l) else {
                    let problem = format!("has not all series, or not of {l} steps");
                    return Err(self.wrong(&format!("node {}", names[v]), problem));
                };
                for (t, value) in one.iter().enumerate() {
                    values[[t, v, f]] = *value;
                }
            }
        }
        if l == 0 {
            return Err(self.wrong("nodes", "have no values"));
        }
        let mut edges = Vec::with_capacity(2 * links.len());
        for (i, link) in links.iter().enumerate() {
            let node = |id: &Value| {
                index.get(text(id).as_str()).copied().ok_or_else(|| {
                    self.wrong(&format!("link {i}"), format!("there is no node {id}"))
                })
            };
            let (source, target) = (node(&link.source)?, node(&link.target)?);
            let weight = link.weight.unwrap_or(1.0);
            edges.push((source, target, weight));
            if !directed && source != target {
                edges.push((target, source, weight));
            }
        }
        let places: Option<Vec<[f64; 2]>> = nodes.iter().map(|n| Some([n.lon?, n.lat?])).collect();
        Ok(TemporalJson {
            graph: SeriesGraph::fixed(self.graph("links", nodes.len(), &edges)?),
            nodes: names,
            features: std::iter::once("y".to_string())
                .chain(inputs.into_iter().cloned())
                .collect(),
            values,
            lon_lat: places.map(|p| Array2::from_shape_fn((p.len(), 2), |(i, j)| p[i][j])),
        })
    }
}

/// An identifier, whether written as number or as text.
fn text(id: &Value) -> String {
    match id {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TemporalJson> {
        parse(text.as_bytes(), Path::new("a.json"))
    }

    const FIXED: &str = r#"{"edges": [[0, 1], [1, 1]], "node_ids": {"B": 1, "A": 0},
                            "FX": [[1, 2], [3, 4.5], [5, 6]]}"#;
    const DYNAMIC: &str = r#"{"edge_mapping": {"edge_index": {"1": [[1, 0]], "0": [[0, 1]]},
                              "edge_weight": {"0": [2.5], "1": [3]}}, "time_periods": 2,
                              "y": [[1, 2], [3, 4]]}"#;
    const LINKS: &str = r#"{"directed": true, "multigraph": false, "graph": {"name": "x"},
        "nodes": [{"id": 7, "bus_stop": 7, "lon": 1, "lat": 2.5, "y": [1, 2], "X": {"y": [1, 2],
        "rain": [0, 1]}}, {"id": "a", "lon": 3, "lat": 4, "y": [3, 4], "X": {"rain": [5, 6]}}],
        "links": [{"weight": 172.2, "source": 7, "target": "a"}]}"#;

    #[test]
    fn three_layouts() {
        let file = read(FIXED).unwrap();
        assert_eq!(file.nodes, ["A", "B"]);
        assert_eq!(file.values[[1, 1, 0]], 4.5);
        let graph = file.graph.at(5).unwrap();
        assert_eq!((graph.weight(1, 0), graph.weight(0, 1)), (1.0, 0.0));
        let file = read(DYNAMIC).unwrap();
        assert!(file.graph.is_dynamic());
        assert_eq!(file.graph.at(0).unwrap().weight(1, 0), 2.5);
        assert_eq!(file.graph.at(1).unwrap().weight(0, 1), 3.0);
        assert_eq!(file.values.dim(), (2, 2, 1));
        let file = read(LINKS).unwrap();
        assert_eq!(file.nodes, ["7", "a"]);
        assert_eq!(file.features, ["y", "rain"]);
        assert_eq!(file.values[[1, 1, 1]], 6.0);
        assert_eq!(file.graph.at(0).unwrap().weight(1, 0), 172.2);
        assert_eq!(file.lon_lat.unwrap()[[0, 1]], 2.5);
        let both = read(&LINKS.replace("\"directed\": true", "\"directed\": false")).unwrap();
        assert_eq!(both.graph.at(0).unwrap().weight(0, 1), 172.2);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, from, to, expected) in [
            (FIXED, "[3, 4.5]", "[3]", "step 1 has 1 values, not 2"),
            (FIXED, "\"A\": 0", "\"A\": 1", "has number 1 of 2 nodes"),
            (FIXED, ", \"A\": 0", "", "some node has no name"),
            (FIXED, "[1, 1]", "[1, 2]", "edges[1]: 1 -> 2"),
            (FIXED, "\"FX\"", "\"XF\"", "neither FX"),
            (FIXED, "4.5", "x", "line 2"),
            (
                DYNAMIC,
                "\"time_periods\": 2",
                "\"time_periods\": 3",
                "is 3, but y has 2",
            ),
            (
                DYNAMIC,
                "\"1\": [[1, 0]]",
                "\"2\": [[1, 0]]",
                "step 1: has no edge_index",
            ),
            (DYNAMIC, "[2.5]", "[2.5, 1]", "1 edges have 2 weights"),
            (
                LINKS,
                "\"y\": [3, 4]",
                "\"y\": [3]",
                "node a: has not all series",
            ),
            (LINKS, "\"rain\": [5, 6]", "\"snow\": [5, 6]", "node a"),
            (LINKS, "\"id\": \"a\"", "\"id\": 7", "same id"),
            (
                LINKS,
                "\"target\": \"a\"",
                "\"target\": 8",
                "there is no node 8",
            ),
        ] {
            assert!(text.contains(from), "{from}");
            let error = read(&text.replace(from, to)).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("a.json"),
                "{from}: {error}"
            );
        }
        for text in [
            "",
            "[]",
            "{}",
            "null",
            "{\"nodes\": [], \"links\": []}",
            "{\"FX\": [], \"edges\": []}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn damaged_files_are_errors_or_data_but_no_panic() {
        for text in [FIXED, DYNAMIC, LINKS] {
            for n in 0..text.len() {
                assert!(read(&text[..n]).is_err());
                for flip in [1u8, 2, 0x10, 0x80] {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[n] ^= flip;
                    let _ = parse(&bytes, Path::new("a.json"));
                }
            }
        }
    }
}
