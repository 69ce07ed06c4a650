//! A graph out of a file: a matrix, a table of edges, GraphML or a pickle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Ix2};

use super::description::GraphFiles;
use super::variables::Arrays;
use crate::formats::csv::{Cells, CsvConfig, read_cells};
use crate::formats::distances::{self, Unlisted};
use crate::formats::{graphml, pickle};
use crate::topology::CsrGraph;
use crate::{Error, Result};

/// A square matrix of finite numbers, or an error about `name` of `path`.
pub(super) fn square(path: &Path, name: &str, a: Option<Array2<f32>>) -> Result<Array2<f32>> {
    let wrong = |problem: String| {
        Error::file(
            path,
            name,
            problem,
            "give a square matrix with one row and column for each sensor, 0 where there is no edge",
        )
    };
    let a = a.ok_or_else(|| wrong("is no matrix".into()))?;
    if !a.is_square() {
        return Err(wrong(format!("has shape {:?}, not square", a.shape())));
    }
    if let Some(((i, j), v)) = a.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(wrong(format!("entry [{i}, {j}] is {v}")));
    }
    Ok(a)
}

/// The graph that a description names, over `sensors`, and its file.
pub(super) fn given(
    folder: &Path,
    files: &GraphFiles,
    sensors: &[String],
) -> Result<Option<(PathBuf, CsrGraph)>> {
    let (path, graph) = if let Some(file) = &files.distances {
        let path = folder.join(file);
        let graph = near(&path, sensors)?;
        (path, graph)
    } else if let Some(file) = &files.edges {
        let path = folder.join(file);
        let graph = CsrGraph::from_dense(edges(&path, sensors, files.undirected)?.view())?;
        (path, graph)
    } else if let Some(file) = &files.adjacency {
        let path = folder.join(file);
        let graph = adjacency_file(&path, sensors)?;
        (path, graph)
    } else {
        return Ok(None);
    };
    Ok(Some((path, graph)))
}

/// Reads a graph by the extension of its file: GraphML, a pickle as DCRNN makes it, or a matrix.
fn adjacency_file(path: &Path, sensors: &[String]) -> Result<CsrGraph> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("graphml" | "xml") => {
            let file = graphml::read(path)?;
            let graph = file.to_csr("weight", path)?;
            among(&file.ids, graph.edges(), sensors, path)
        }
        Some("pkl" | "pickle") => pickled(&pickle::read_adjacency(path)?, sensors, path),
        _ => CsrGraph::from_dense(matrix(path, sensors)?.view()),
    }
}

/// A pickled adjacency, entry [from, to], in the order of `sensors`.
pub(super) fn pickled(
    graph: &pickle::Adjacency,
    sensors: &[String],
    path: &Path,
) -> Result<CsrGraph> {
    let entries = graph.weights.indexed_iter().filter(|(_, w)| **w != 0.0);
    let edges = entries.map(|((from, to), w)| (from, to, *w));
    among(&graph.sensors, edges, sensors, path)
}

/// Edges (source, target, weight) between nodes `named` in a file, over exactly the same `sensors`
/// in their order.
fn among(
    named: &[String],
    edges: impl Iterator<Item = (usize, usize, f32)>,
    sensors: &[String],
    path: &Path,
) -> Result<CsrGraph> {
    let place: HashMap<&str, usize> = sensors
        .iter()
        .enumerate()
        .map(|(i, s)| (s.as_str(), i))
        .collect();
    let order: Vec<Option<usize>> = named
        .iter()
        .map(|s| place.get(s.as_str()).copied())
        .collect();
    let known = order.iter().flatten().count();
    if known != sensors.len() || known != named.len() {
        return Err(Error::file(
            path,
            "sensors",
            format!(
                "{known} of its {} nodes are among the {} sensors of the values",
                named.len(),
                sensors.len()
            ),
            "use the graph that belongs to the values, its nodes named as the sensors",
        ));
    }
    let edges: Vec<(usize, usize, f32)> = edges
        .filter_map(|(source, target, w)| Some((order[source]?, order[target]?, w)))
        .collect();
    CsrGraph::from_edges(sensors.len(), &edges)
}

/// Reads an adjacency, entry [target, source], in the order of `sensors`. A text table may carry
/// the names of the sensors in its first line, and is brought into their order.
pub(super) fn matrix(path: &Path, sensors: &[String]) -> Result<Array2<f32>> {
    let n = sensors.len();
    let a = match Arrays::open(path)? {
        Some(mut arrays) => {
            let name = ["adjacency", "x"]
                .into_iter()
                .find(|n| arrays.contains(n))
                .unwrap_or("adjacency");
            let a = arrays.read(path, name)?.into_f32(path, name)?;
            square(path, name, a.into_dimensionality::<Ix2>().ok())?
        }
        None => table(path, sensors)?,
    };
    if a.nrows() != n {
        return Err(Error::file(
            path,
            "adjacency",
            format!("has {} nodes, but there are {n} sensors", a.nrows()),
            "give one row and column for each sensor",
        ));
    }
    Ok(a)
}

fn table(path: &Path, sensors: &[String]) -> Result<Array2<f32>> {
    let mut cells = read_cells(path, &CsvConfig::bare())?;
    let named = cells.columns.iter().any(|c| c[0].parse::<f32>().is_err());
    let mut order: Vec<usize> = (0..cells.columns.len()).collect();
    if named {
        cells = read_cells(path, &CsvConfig::default())?;
        order = sensors
            .iter()
            .map(|s| {
                cells.names.iter().position(|n| n == s).ok_or_else(|| {
                    Error::file(
                        path,
                        "header",
                        format!("the sensor {s} has no column"),
                        "name the columns like the sensors",
                    )
                })
            })
            .collect::<Result<_>>()?;
        if let Some(other) = cells.names.iter().find(|n| !sensors.contains(n)) {
            return Err(unknown(path, "header", other, sensors));
        }
    }
    let n = order.len();
    if cells.rows() != n {
        return square(path, "adjacency", Some(Array2::zeros((cells.rows(), n))));
    }
    let mut a = Array2::zeros((n, n));
    for (i, row) in order.iter().enumerate() {
        for (j, column) in order.iter().enumerate() {
            a[[i, j]] = weight(path, &cells, *row, *column)?;
        }
    }
    square(path, "adjacency", Some(a))
}

/// Reads a table `from,to[,weight]` into an adjacency, entry [target, source].
fn edges(path: &Path, sensors: &[String], undirected: bool) -> Result<Array2<f32>> {
    let cells = read_cells(path, &CsvConfig::default())?;
    let at = |name: &str| cells.names.iter().position(|n| n == name);
    let (Some(from), Some(to)) = (at("from"), at("to")) else {
        return Err(Error::file(
            path,
            "header",
            format!("columns {} lack from or to", cells.names.join(", ")),
            "name the columns from,to,weight",
        ));
    };
    let mut a = Array2::zeros((sensors.len(), sensors.len()));
    for row in 0..cells.rows() {
        let node = |column: usize| {
            let name = &cells.columns[column][row];
            let line = format!("line {}", cells.lines[row]);
            sensors
                .iter()
                .position(|s| s == name)
                .ok_or_else(|| unknown(path, &line, name, sensors))
        };
        let (source, target) = (node(from)?, node(to)?);
        let w = match at("weight") {
            Some(column) => weight(path, &cells, row, column)?,
            None => 1.0,
        };
        a[[target, source]] = w;
        if undirected {
            a[[source, target]] = w;
        }
    }
    square(path, "edges", Some(a))
}

/// Reads a table `from,to,distance` into a graph of those that are near each other: the Gaussian
/// kernel of DCRNN with its threshold of 0.1.
fn near(path: &Path, sensors: &[String]) -> Result<CsrGraph> {
    let edges = distances::read(path)?.among(sensors, Unlisted::Error, path)?;
    CsrGraph::gaussian(sensors.len(), &edges, None, 0.1)
}

fn weight(path: &Path, cells: &Cells, row: usize, column: usize) -> Result<f32> {
    let text = &cells.columns[column][row];
    text.parse().map_err(|_| {
        Error::file(
            path,
            format!(
                "line {}, column {:?}",
                cells.lines[row], cells.names[column]
            ),
            format!("{text:?} is no weight"),
            "write a number",
        )
    })
}

fn unknown(path: &Path, place: &str, name: &str, sensors: &[String]) -> Error {
    let known: Vec<&str> = sensors.iter().map(String::as_str).collect();
    Error::file(
        path,
        place,
        Error::unknown("sensor", name, &known).to_string(),
        "correct the name",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    fn with<T>(text: &str, f: impl Fn(&Path, &[String]) -> Result<T>) -> Result<T> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g.csv");
        std::fs::write(&path, text).unwrap();
        f(&path, &["a".to_string(), "b".to_string()])
    }

    #[test]
    fn edges_go_from_source_to_target() {
        let a = with("from,to,weight\na,b,2\nb,b,0.5\n", |p, s| {
            edges(p, s, false)
        })
        .unwrap();
        assert_eq!(a, arr2(&[[0.0, 0.0], [2.0, 0.5]]));
        let a = with("from,to\na,b\n", |p, s| edges(p, s, true)).unwrap();
        assert_eq!(a, arr2(&[[0.0, 1.0], [1.0, 0.0]]));
    }

    #[test]
    fn named_columns_are_brought_into_order() {
        let a = with("b,a\n1,2\n3,4\n", matrix).unwrap();
        assert_eq!(a, arr2(&[[4.0, 3.0], [2.0, 1.0]]));
        let a = with("1,2\n3,4\n", matrix).unwrap();
        assert_eq!(a, arr2(&[[1.0, 2.0], [3.0, 4.0]]));
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "1,2,3\n4,5,6\n",
            "1\n",
            "a,c\n1,2\n3,4\n",
            "a,b\n1,x\n1,1\n",
            "1,inf\n1,1\n",
        ] {
            assert!(with(text, matrix).is_err(), "{text}");
        }
        for (text, expected) in [
            ("from,to\na,c\n", "line 2: unknown sensor \"c\""),
            ("from,two\na,b\n", "lack from or to"),
            ("from,to,weight\na,b,x\n", "\"x\" is no weight"),
        ] {
            let error = with(text, |p, s| edges(p, s, false))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
