//! Graphs of sensors as DCRNN pickles them.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;

use super::{Pickle, Value};
use crate::{Error, Result};

/// A graph as DCRNN pickles it.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjacency {
    /// Names of the sensors, in the order of the matrix.
    pub sensors: Vec<String>,
    /// Weights, (nodes, nodes), entry [from, to] as in the file; the crate's graphs are
    /// [target, source], its transpose.
    pub weights: Array2<f32>,
}

/// Reads DCRNN's `adj_mx.pkl`: a list of sensor names, a dictionary from name to row, and the
/// matrix. A pickled matrix alone is read too; its sensors are `0`, `1`, ...
///
/// # Errors
/// As [`Pickle::open`], and [`Error::File`] when the parts are not there or do not fit.
pub fn read_adjacency(path: impl AsRef<Path>) -> Result<Adjacency> {
    let path = path.as_ref();
    adjacency(&Pickle::open(path)?)
}

/// The graph of a pickle that was read; see [`read_adjacency`].
///
/// # Errors
/// As [`read_adjacency`].
pub fn adjacency(pickle: &Pickle) -> Result<Adjacency> {
    let wrong = |field: &str, problem: String| {
        Error::file(
            &pickle.path,
            field,
            problem,
            "give [sensor_ids, id_to_index, matrix] as DCRNN's gen_adj_mx.py writes it, or a matrix",
        )
    };
    let root = pickle.root();
    let parts = root.items().filter(|parts| parts.len() == 3);
    let (ids, index, matrix) = match parts.as_deref() {
        Some([ids, index, matrix]) if index.entries().is_some() => {
            (Some(ids), index.entries(), *matrix)
        }
        _ => (None, None, root),
    };
    let weights = matrix.matrix("matrix")?;
    let (n, columns) = weights.dim();
    if n != columns {
        return Err(wrong(
            "matrix",
            format!("has {n} rows and {columns} columns"),
        ));
    }
    let Some(ids) = ids else {
        let sensors = (0..n).map(|i| i.to_string()).collect();
        return Ok(Adjacency { sensors, weights });
    };
    let ids = ids
        .array("sensor_ids")?
        .into_text(&pickle.path, "sensor_ids")?;
    let sensors: Vec<String> = ids.into_iter().collect();
    if sensors.len() != n {
        let problem = format!("{} names for a matrix of {n}", sensors.len());
        return Err(wrong("sensor_ids", problem));
    }
    let name = |v: &Value<'_>| v.text().or_else(|| v.int().map(|i| i.to_string()));
    let index: HashMap<String, i64> = index
        .unwrap_or_default()
        .iter()
        .filter_map(|(k, v)| Some((name(k)?, v.int()?)))
        .collect();
    for (row, sensor) in sensors.iter().enumerate() {
        if index.get(sensor) != Some(&(row as i64)) {
            let problem = format!(
                "puts the sensor {sensor:?} of row {row} at {:?}",
                index.get(sensor)
            );
            return Err(wrong("id_to_index", problem));
        }
    }
    Ok(Adjacency { sensors, weights })
}
