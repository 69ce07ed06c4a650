//! Pickled adjacencies.

use std::path::Path;

use super::record::{GraphFigures, Inspection, few};
use crate::Result;
use crate::formats::pickle;
use crate::topology::CsrGraph;

/// Describes a pickled adjacency.
pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let adjacency = pickle::read_adjacency(path)?;
    // The file says [from, to], graphs are [target, source].
    let graph = CsrGraph::from_dense(adjacency.weights.t())?;
    let mut found = Inspection {
        format: "Python pickle of an adjacency".into(),
        graph: Some(GraphFigures::new("in the file, entry [from, to]", &graph)),
        ..Default::default()
    };
    found.fact("sensors", few(&adjacency.sensors));
    Ok(found)
}
