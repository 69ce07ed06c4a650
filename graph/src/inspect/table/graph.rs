//! The graph that a table is: a list of edges, or a square matrix.

use std::collections::HashMap;

use ndarray::Array2;

use super::super::record::GraphFigures;
use super::{Column, Columns};
use crate::topology::CsrGraph;

/// How a table is a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A row for each edge.
    Edges,
    /// A row and a column for each node.
    Matrix,
}

/// The graph of a table; `None`: it is none. An error says what is wrong with it.
pub(super) fn of(table: &Columns) -> Option<Result<(GraphFigures, Form), String>> {
    if let Some(edges) = edge_list(table) {
        return Some(edges.map(|graph| (graph, Form::Edges)));
    }
    Some(Ok((matrix(table)?, Form::Matrix)))
}

fn matrix(table: &Columns) -> Option<GraphFigures> {
    let n = table.columns.len();
    if n < 3 || table.rows != n {
        return None;
    }
    let mut matrix = Array2::zeros((n, n));
    for (j, column) in table.columns.iter().enumerate() {
        let Column::Numbers(values, None) = column else {
            return None;
        };
        for (i, v) in values.iter().enumerate() {
            matrix[[i, j]] = *v as f32;
        }
    }
    let graph = CsrGraph::from_dense(matrix.view()).ok()?;
    Some(GraphFigures::new(
        "the table as an adjacency, entry [target, source]",
        &graph,
    ))
}

fn edge_list(table: &Columns) -> Option<Result<GraphFigures, String>> {
    let column = |names: &[&str]| {
        let named = |n: &String| names.iter().any(|k| n.eq_ignore_ascii_case(k));
        table
            .names
            .iter()
            .position(named)
            .map(|i| &table.columns[i])
    };
    let from = names(column(&["from", "source", "src"])?)?;
    let to = names(column(&["to", "target", "dst"])?)?;
    let weights = match column(&["weight", "cost", "distance", "distance_km", "km"]) {
        None => None,
        Some(Column::Numbers(values, _)) => Some(values),
        Some(_) => return Some(Err("the weights of the edges are no numbers".into())),
    };
    let mut ids: HashMap<&str, usize> = HashMap::new();
    let mut edges = Vec::with_capacity(from.len());
    let mut zero = 0;
    for (row, (a, b)) in from.iter().zip(&to).enumerate() {
        let mut id = |name| {
            let next = ids.len();
            *ids.entry(name).or_insert(next)
        };
        let (a, b) = (id(a.as_str()), id(b.as_str()));
        let w = weights.map_or(1.0, |w| w[row]);
        if w.is_nan() {
            return Some(Err(format!("the edge of row {} has no weight", row + 1)));
        }
        match w == 0.0 {
            true => zero += 1,
            false => edges.push((a, b, w as f32)),
        }
    }
    let origin = match zero {
        0 => "the table as a list of edges".to_string(),
        n => format!("the table as a list of edges, {n} of weight 0 left out"),
    };
    let graph = CsrGraph::from_edges(ids.len(), &edges);
    Some(match graph {
        Ok(graph) => Ok(GraphFigures::new(&origin, &graph)),
        Err(e) => Err(format!("the list of edges is no graph: {e}")),
    })
}

/// The cells as names of nodes; `None` of a column that is none.
fn names(column: &Column) -> Option<Vec<String>> {
    match column {
        Column::Numbers(values, None) => Some(values.iter().map(f64::to_string).collect()),
        Column::Words(words, codes) => codes.iter().map(|c| Some(words[(*c)?].clone())).collect(),
        _ => None,
    }
}
