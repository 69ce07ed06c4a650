//! GraphML, the XML of graphs that networkx, igraph, Gephi and yEd write.
//!
//! Read are one graph, its nodes and edges and their `data`; ports, hyperedges and graphs inside
//! nodes are refused.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ndarray::Array2;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use crate::series::Positions;
use crate::topology::CsrGraph;
use crate::{Error, Result, files};

/// Values of a node or an edge by the name of their attribute.
pub type Data = BTreeMap<String, String>;

/// The content of a GraphML file.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphMl {
    /// Identifiers of the nodes, in the order of the file.
    pub ids: Vec<String>,
    /// What the file says of each node; defaults are filled in.
    pub nodes: Vec<Data>,
    /// The edges.
    pub edges: Vec<GraphMlEdge>,
}

/// An edge between nodes by their index.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphMlEdge {
    pub source: usize,
    pub target: usize,
    pub directed: bool,
    /// What the file says of it; defaults are filled in.
    pub data: Data,
}

/// Reads a GraphML file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<GraphMl> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads the bytes of a GraphML file.
///
/// # Errors
/// [`Error::File`] naming the byte when it is not UTF-8 or no well-formed XML, has no graph or more
/// than one, a node has no identifier or that of another, an edge leads to a node that is not
/// there, or a value belongs to no declared key.
pub fn parse(bytes: &[u8], path: &Path) -> Result<GraphMl> {
    let text = files::utf8(bytes, path, "save the file as UTF-8")?;
    let mut reader = Reader::from_str(text);
    let mut state = State::default();
    loop {
        let event = reader.read_event().map_err(|e| {
            let at = reader.error_position();
            wrong(path, at, format!("is no well-formed XML: {e}"))
        })?;
        let at = reader.buffer_position();
        let done = matches!(event, Event::Eof);
        state
            .take(event)
            .map_err(|problem| wrong(path, at, problem))?;
        if done {
            break;
        }
    }
    state
        .finish()
        .map_err(|problem| wrong(path, reader.buffer_position(), problem))
}

fn wrong(path: &Path, at: u64, problem: String) -> Error {
    Error::file(
        path,
        format!("byte {at}"),
        problem,
        "check that this is a complete GraphML file with one graph",
    )
}

/// A declared attribute.
struct Key {
    name: String,
    for_edges: bool,
    for_nodes: bool,
    default: Option<String>,
}

/// What is open while the file is read.
#[derive(Default)]
struct State {
    depth: usize,
    keys: HashMap<String, Key>,
    /// The key whose default is being read.
    key: Option<String>,
    graphs: usize,
    directed: bool,
    ids: Vec<String>,
    index: HashMap<String, usize>,
    nodes: Vec<Data>,
    /// Ends by identifier: nodes may come after the edges that need them.
    edges: Vec<(String, String, bool, Data)>,
    inside: Inside,
    /// The key and the text of the value being read.
    value: Option<(String, String)>,
}

#[derive(Default, PartialEq)]
enum Inside {
    #[default]
    Graph,
    Node,
    Edge,
}

type Taken = std::result::Result<(), String>;

impl State {
    fn take(&mut self, event: Event<'_>) -> Taken {
        match event {
            Event::Start(e) => {
                self.depth += 1;
                self.open(&e)
            }
            Event::Empty(e) => {
                self.open(&e)?;
                self.close(e.local_name().as_ref())
            }
            Event::End(e) => {
                self.depth = self.depth.saturating_sub(1);
                self.close(e.local_name().as_ref())
            }
            Event::Text(t) => {
                self.add(&t.xml10_content());
                Ok(())
            }
            Event::CData(t) => {
                self.add(&t.xml10_content());
                Ok(())
            }
            Event::GeneralRef(r) => {
                if let Some(c) = r.resolve_char_ref().map_err(|e| e.to_string())? {
                    self.add(c.encode_utf8(&mut [0; 4]));
                    return Ok(());
                }
                let entity = resolve_xml_entity(&r)
                    .ok_or_else(|| format!("the entity &{};, which is not read", &*r))?;
                self.add(entity);
                Ok(())
            }
            Event::Eof if self.depth > 0 => Err("ends inside an element".into()),
            _ => Ok(()),
        }
    }

    fn add(&mut self, text: &str) {
        if let Some((_, value)) = &mut self.value {
            value.push_str(text);
        }
    }

    fn open(&mut self, e: &BytesStart<'_>) -> Taken {
        match e.local_name().as_ref() {
            "key" => {
                let id = required(e, "id")?;
                let of = attribute(e, "for")?.unwrap_or_else(|| "all".into());
                let key = Key {
                    name: attribute(e, "attr.name")?.unwrap_or_else(|| id.clone()),
                    for_nodes: of == "node" || of == "all",
                    for_edges: of == "edge" || of == "all",
                    default: None,
                };
                self.key = Some(id.clone());
                self.keys.insert(id, key);
            }
            "default" => self.value = self.key.clone().map(|k| (k, String::new())),
            "graph" => {
                self.graphs += 1;
                if self.graphs > 1 || self.inside != Inside::Graph {
                    return Err("has more than one graph".into());
                }
                self.directed = required(e, "edgedefault")? == "directed";
            }
            "node" => {
                if self.graphs == 0 {
                    return Err("a node stands outside the graph".into());
                }
                let id = required(e, "id")?;
                if self.index.insert(id.clone(), self.ids.len()).is_some() {
                    return Err(format!("the node {id:?} is there twice"));
                }
                self.ids.push(id);
                self.nodes.push(Data::new());
                self.inside = Inside::Node;
            }
            "edge" => {
                if self.graphs == 0 {
                    return Err("an edge stands outside the graph".into());
                }
                let directed = match attribute(e, "directed")?.as_deref() {
                    None => self.directed,
                    Some("true") => true,
                    Some("false") => false,
                    Some(other) => return Err(format!("directed={other:?}")),
                };
                let (source, target) = (required(e, "source")?, required(e, "target")?);
                self.edges.push((source, target, directed, Data::new()));
                self.inside = Inside::Edge;
            }
            "data" => self.value = Some((required(e, "key")?, String::new())),
            "hyperedge" | "port" => {
                let name = e.local_name();
                return Err(format!("has a {}, which is not read", name.as_ref()));
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Taken {
        match name {
            "key" => self.key = None,
            "node" | "edge" => self.inside = Inside::Graph,
            "default" => {
                if let Some((key, value)) = self.value.take()
                    && let Some(key) = self.keys.get_mut(&key)
                {
                    key.default = Some(value.trim().to_string());
                }
            }
            "data" => {
                let Some((key, value)) = self.value.take() else {
                    return Ok(());
                };
                let name = match self.keys.get(&key) {
                    Some(key) => key.name.clone(),
                    None => return Err(format!("the key {key:?} is not declared")),
                };
                let data = match self.inside {
                    Inside::Graph => None,
                    Inside::Node => self.nodes.last_mut(),
                    Inside::Edge => self.edges.last_mut().map(|e| &mut e.3),
                };
                if let Some(data) = data {
                    data.insert(name, value.trim().to_string());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> std::result::Result<GraphMl, String> {
        if self.graphs == 0 || self.ids.is_empty() {
            return Err("has no graph with nodes".into());
        }
        for key in self.keys.values() {
            let Some(default) = &key.default else {
                continue;
            };
            let mut fill = |data: &mut Data| {
                data.entry(key.name.clone())
                    .or_insert_with(|| default.clone());
            };
            if key.for_nodes {
                self.nodes.iter_mut().for_each(&mut fill);
            }
            if key.for_edges {
                self.edges.iter_mut().for_each(|e| fill(&mut e.3));
            }
        }
        let edges = self
            .edges
            .into_iter()
            .map(|(source, target, directed, data)| {
                let node = |id: &str| {
                    let index = self.index.get(id).copied();
                    index.ok_or_else(|| format!("an edge leads to {id:?}, which is no node"))
                };
                Ok(GraphMlEdge {
                    source: node(&source)?,
                    target: node(&target)?,
                    directed,
                    data,
                })
            });
        Ok(GraphMl {
            edges: edges.collect::<std::result::Result<_, String>>()?,
            ids: self.ids,
            nodes: self.nodes,
        })
    }
}

fn attribute(e: &BytesStart<'_>, name: &str) -> std::result::Result<Option<String>, String> {
    for one in e.attributes() {
        let one = one.map_err(|e| e.to_string())?;
        if one.key.as_ref() == name {
            let value = one
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|e| e.to_string())?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

fn required(e: &BytesStart<'_>, name: &str) -> std::result::Result<String, String> {
    attribute(e, name)?.ok_or_else(|| format!("a {} without {name}", e.local_name().as_ref()))
}

impl GraphMl {
    /// The graph; the weight of an edge is its attribute `weight`, 1 where it has none. Undirected
    /// edges run both ways.
    ///
    /// # Errors
    /// [`Error::File`] when a weight is no finite number or two edges join the same nodes.
    pub fn to_csr(&self, weight: &str, path: &Path) -> Result<CsrGraph> {
        let mut edges = Vec::with_capacity(2 * self.edges.len());
        for e in &self.edges {
            let w = match e.data.get(weight) {
                None => 1.0,
                Some(text) => text.parse().map_err(|_| {
                    Error::file(
                        path,
                        format!("edge {} -> {}", self.ids[e.source], self.ids[e.target]),
                        format!("{weight} is {text:?}, no number"),
                        "name another attribute",
                    )
                })?,
            };
            edges.push((e.source, e.target, w));
            if !e.directed && e.source != e.target {
                edges.push((e.target, e.source, w));
            }
        }
        CsrGraph::from_edges(self.ids.len(), &edges).map_err(|e| {
            Error::file(
                path,
                "edges",
                e.to_string(),
                "join every pair of nodes once",
            )
        })
    }

    /// Where the nodes are: their attributes `lat` and `lon` (or `latitude` and `longitude`) in
    /// degrees, or `x` and `y` in metres; `None` when a node has neither.
    pub fn positions(&self) -> Option<Positions> {
        let pairs = [("lat", "lon"), ("latitude", "longitude"), ("x", "y")];
        pairs.into_iter().find_map(|(a, b)| {
            let number = |d: &Data, name| d.get(name)?.parse::<f64>().ok();
            let rows: Option<Vec<[f64; 2]>> = self
                .nodes
                .iter()
                .map(|d| Some([number(d, a)?, number(d, b)?]))
                .collect();
            let rows = rows?;
            let table = Array2::from_shape_fn((rows.len(), 2), |(i, j)| rows[i][j]);
            Some(match a {
                "x" => Positions::Metres(table),
                _ => Positions::LatLon(table),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GraphMl> {
        parse(text.as_bytes(), Path::new("g.graphml"))
    }

    const SMALL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <!-- two detectors and a crossing -->
  <key id="d0" for="node" attr.name="lat" attr.type="double"/>
  <key id="d1" for="node" attr.name="lon" attr.type="double"><default>-118.5</default></key>
  <key id="d2" for="edge" attr.name="weight" attr.type="double"><default>0.5</default></key>
  <graph id="G" edgedefault="undirected">
    <edge source="a" target="b&amp;c"><data key="d2">2</data></edge>
    <node id="a"><data key="d0"> 34.1</data><data key="d1">-118.25</data></node>
    <node id="b&amp;c"><data key="d0"><![CDATA[34]]>.&#50;</data></node>
    <node id="d"><data key="d0">34.3</data></node>
    <edge source="d" target="a" directed="true"/>
    <data key="d0">of the graph</data>
  </graph>
</graphml>"#;

    #[test]
    fn nodes_edges_and_defaults() {
        let g = read(SMALL).unwrap();
        assert_eq!(g.ids, ["a", "b&c", "d"]);
        assert_eq!(g.nodes[1]["lat"], "34.2");
        let csr = g.to_csr("weight", Path::new("g")).unwrap();
        assert_eq!((csr.weight(1, 0), csr.weight(0, 1)), (2.0, 2.0));
        assert_eq!((csr.weight(0, 2), csr.weight(2, 0)), (0.5, 0.0));
        let Some(Positions::LatLon(p)) = g.positions() else {
            panic!()
        };
        assert_eq!(p.row(0).to_vec(), [34.1, -118.25]);
        assert_eq!(p.row(2).to_vec(), [34.3, -118.5]);
        assert!(g.to_csr("no such", Path::new("g")).unwrap().weights()[0] == 1.0);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            ("target=\"a\"", "target=\"x\"", "leads to \"x\""),
            ("<node id=\"d\"", "<node id=\"a\"", "\"a\" is there twice"),
            ("<node id=\"d\"", "<node", "a node without id"),
            (
                "edgedefault=\"undirected\"",
                "",
                "a graph without edgedefault",
            ),
            ("key=\"d2\"", "key=\"d9\"", "\"d9\" is not declared"),
            ("</graph>", "", "well-formed"),
            ("</graphml>", "", "ends inside"),
            ("&#50;", "&two;", "&two;"),
            ("&#50;", "&#x110000;", "g.graphml"),
            (
                "directed=\"true\"",
                "directed=\"maybe\"",
                "directed=\"maybe\"",
            ),
            (
                "<data key=\"d0\">of",
                "<hyperedge/><data key=\"d0\">of",
                "a hyperedge",
            ),
            (
                "<node id=\"d\">",
                "<node id=\"d\"><graph edgedefault=\"directed\"/>",
                "more than one graph",
            ),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = read(&SMALL.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{from}: {error}");
        }
        let bad = SMALL.replace(">2<", ">x<");
        let error = read(&bad)
            .unwrap()
            .to_csr("weight", Path::new("g"))
            .unwrap_err();
        assert!(error.to_string().contains("edge a -> b&c"), "{error}");
        let twice = SMALL.replace("source=\"d\"", "source=\"b&amp;c\"");
        assert!(
            read(&twice)
                .unwrap()
                .to_csr("weight", Path::new("g"))
                .is_err()
        );
        for text in [
            "",
            "<graphml/>",
            "<node id=\"a\"/>",
            "<edge source=\"a\" target=\"b\"/>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(parse(b"<graphml>\xff", Path::new("g")).is_err());
    }

    #[test]
    fn damaged_files_are_errors_or_graphs_but_no_panic() {
        for n in 0..SMALL.len() {
            assert!(
                parse(&SMALL.as_bytes()[..n], Path::new("g")).is_err(),
                "{n}"
            );
            for flip in [1u8, 4, 0x20, 0x80] {
                let mut bytes = SMALL.as_bytes().to_vec();
                bytes[n] ^= flip;
                let _ = parse(&bytes, Path::new("g")).map(|g| g.to_csr("weight", Path::new("g")));
            }
        }
        // Depth costs no stack, and entities are not expanded.
        assert!(read(&"<a>".repeat(200_000)).is_err());
    }
}
