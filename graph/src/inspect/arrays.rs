//! Files of arrays: `.npy`, `.npz`, `.mat`.

use std::path::Path;

use super::Figures;
use super::Format;
use super::record::{ArrayFigures, ClassCounts, GraphFigures, Inspection, few};
use crate::formats::Array;
use crate::formats::archive::Archive;
use crate::formats::mat::Mat;
use crate::formats::npy::{Npz, read_npy};
use crate::topology::CsrGraph;
use crate::{Result, files};

/// Names that labels usually have.
const LABELS: [&str; 8] = [
    "y", "y_train", "y_test", "label", "labels", "class", "classes", "target",
];
/// More different whole numbers than these are no classes.
const CLASSES: usize = 64;
/// Different strings that are listed.
const WORDS: usize = 12;

pub(super) fn inspect(path: &Path, format: Format) -> Result<Inspection> {
    let mut found = Inspection::default();
    match format {
        Format::Npy => add(&mut found, "array", Ok(read_npy(path)?)),
        Format::Npz => {
            let mut npz = Npz::open(path)?;
            let names = Archive::parse(&files::read(path)?, path)?.names();
            if !names.iter().any(|n| n.ends_with(".npy")) {
                found.format = "zip".into();
                found.fact("members", few(&names));
                found.warn("a zip without arrays: unpack it, and inspect its members");
                return Ok(found);
            }
            for name in npz.names() {
                add(&mut found, &name, npz.read(&name));
            }
        }
        _ => {
            let mat = Mat::open(path)?;
            for name in mat.names() {
                add(&mut found, &name, mat.read(&name));
            }
        }
    }
    found.format = format.name().into();
    Ok(found)
}

/// Describes an array; one that cannot be read is a warning, as others may be sound.
fn add(found: &mut Inspection, name: &str, array: Result<Array>) {
    let array = match array {
        Ok(array) => array,
        Err(e) => {
            found.arrays.push(ArrayFigures {
                name: name.into(),
                kind: "not read".into(),
                ..Default::default()
            });
            return found.warn(e.to_string());
        }
    };
    let shape = array.shape().to_vec();
    let (kind, figures, mut words) = match &array {
        Array::F32(a) => ("float32", Some(a.as_slice().map(Figures::of)), Vec::new()),
        Array::F64(a) => ("float64", Some(a.as_slice().map(Figures::of)), Vec::new()),
        Array::I64(a) => {
            let floats: Vec<f64> = a.iter().map(|v| *v as f64).collect();
            ("integer", Some(Some(Figures::of(&floats))), Vec::new())
        }
        Array::Text(a) => ("text", None, a.iter().cloned().collect()),
    };
    let figures = figures.flatten();
    if found.classes.is_none() && LABELS.contains(&name.to_lowercase().as_str()) {
        found.classes = classes(name, &array);
    }
    if found.graph.is_none() {
        found.graph = graph(name, &array);
    }
    let mut seen = std::collections::HashSet::new();
    words.retain(|w: &String| seen.insert(w.clone()));
    let different = words.len();
    words.truncate(WORDS);
    if let Some(f) = figures.filter(|f| f.infinite > 0) {
        found.warn(format!("{name}: {} infinite values", f.infinite));
    }
    found.arrays.push(ArrayFigures {
        name: name.into(),
        kind: kind.into(),
        shape,
        figures,
        words,
        different,
    });
}

/// Counts of the values of labels.
fn classes(name: &str, array: &Array) -> Option<ClassCounts> {
    let path = Path::new("");
    let labels = array.clone().into_text(path, name).ok()?;
    let mut names: Vec<String> = labels.iter().cloned().collect();
    names.sort_by_key(|n| (n.parse::<i64>().unwrap_or(i64::MAX), n.clone()));
    names.dedup();
    if names.len() > CLASSES {
        return None;
    }
    let index = |label: &String| names.iter().position(|n| n == label);
    Some(ClassCounts::new(
        &format!("values of {name}"),
        &names,
        labels.iter().map(index),
    ))
}

/// The graph of a square matrix that is named like one.
fn graph(name: &str, array: &Array) -> Option<GraphFigures> {
    let lower = name.to_lowercase();
    let named = lower.starts_with("adj") || lower == "array" || lower == "w" || lower == "a";
    let [n, m] = *array.shape() else { return None };
    if !named || n != m || n < 2 {
        return None;
    }
    let matrix = array.clone().into_f32(Path::new(""), name).ok()?;
    let matrix = matrix.into_dimensionality::<ndarray::Ix2>().ok()?;
    let graph = CsrGraph::from_dense(matrix.view()).ok()?;
    Some(GraphFigures::new(
        &format!("the square matrix {name}"),
        &graph,
    ))
}
