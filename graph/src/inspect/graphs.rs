//! Files of graphs: GraphML.

use std::path::Path;

use super::record::{GraphFigures, Inspection, few};
use crate::Result;
use crate::formats::graphml;

/// Describes a GraphML file.
pub(super) fn graphml(path: &Path) -> Result<Inspection> {
    let file = graphml::read(path)?;
    let mut found = Inspection {
        format: "GraphML".into(),
        ..Default::default()
    };
    found.fact("nodes", few(&file.ids));
    for (what, all) in [
        ("attributes of nodes", names(file.nodes.iter())),
        (
            "attributes of edges",
            names(file.edges.iter().map(|e| &e.data)),
        ),
    ] {
        found.fact(what, all.join(", "));
    }
    found.fact(
        "positions",
        if file.positions().is_some() {
            "of every node"
        } else {
            "none"
        },
    );
    match file.to_csr("weight", path) {
        Ok(graph) => found.graph = Some(GraphFigures::new("in the file", &graph)),
        Err(e) => found.warn(e.to_string()),
    }
    Ok(found)
}

fn names<'a>(data: impl Iterator<Item = &'a graphml::Data>) -> Vec<String> {
    let mut names: Vec<String> = data.flat_map(|d| d.keys().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
