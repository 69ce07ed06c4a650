//! Recordings out of files of named arrays (`.npz`, `.mat`, `.h5`) or of one array (`.npy`).

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array4, ArrayD, Axis, Ix4};

use super::description::FolderConfig;
use super::labels::{Raw, plain};
use crate::formats::Array;
use crate::formats::hdf5::Hdf5;
use crate::formats::mat::Mat;
use crate::formats::npy::{Npz, read_npy};
use crate::{Error, Labels, Part, Recording, Result};

/// A recording whose labels are not yet class indices.
pub(super) struct Item {
    pub path: PathBuf,
    /// Which recording of the file it is.
    pub number: usize,
    pub recording: Recording,
    pub labels: Raw,
}

/// A file of arrays.
pub(super) enum Arrays {
    Npz(Npz),
    Mat(Mat),
    Hdf5(Hdf5),
    Npy(Array),
}

impl Arrays {
    /// Opens a file by its extension, `None` when it is none of arrays.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        Ok(Some(match extension.to_str() {
            Some("npz") => Self::Npz(Npz::open(path)?),
            Some("mat") => Self::Mat(Mat::open(path)?),
            Some("h5" | "hdf5") => Self::Hdf5(Hdf5::open(path)?),
            Some("npy") => Self::Npy(read_npy(path)?),
            _ => return Ok(None),
        }))
    }

    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Npz(npz) => npz.contains(name),
            Self::Mat(mat) => mat.contains(name),
            Self::Hdf5(file) => file.contains(name),
            Self::Npy(_) => name == "x",
        }
    }

    pub fn read(&mut self, path: &Path, name: &str) -> Result<Array> {
        match self {
            Self::Npz(npz) => npz.read(name),
            Self::Mat(mat) => mat.read(name),
            Self::Hdf5(file) => file.read(name),
            Self::Npy(array) if name == "x" => Ok(array.clone()),
            Self::Npy(_) => Err(Error::file(
                path,
                name,
                "an .npy file holds one array, x",
                "use .npz, or name the labels' own file with labels = \"y.npy\"",
            )),
        }
    }
}

impl Arrays {
    /// The numbers of an array, without an array of their own type in between where that can be.
    fn read_f32(&mut self, path: &Path, name: &str) -> Result<ArrayD<f32>> {
        match self {
            Self::Npz(npz) => npz.read_f32(name),
            Self::Hdf5(file) => file.read_f32(name, None),
            _ => self.read(path, name)?.into_f32(path, name),
        }
    }
}

const AXES: [&str; 4] = ["samples", "nodes", "time", "features"];

/// Which axis of an array is what; values index [`AXES`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout(Vec<usize>);

impl Layout {
    /// Reads a layout such as `samples nodes time`.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |problem: String| {
            Error::file(
                path,
                "layout",
                problem,
                "list the axes of x in their order, out of samples, nodes, time and features; \
                 nodes and time must be there",
            )
        };
        let mut axes = Vec::new();
        for word in text.split([' ', ',']).filter(|w| !w.is_empty()) {
            let axis = AXES
                .iter()
                .position(|a| *a == word)
                .ok_or_else(|| wrong(format!("{word:?} is no axis")))?;
            if axes.contains(&axis) {
                return Err(wrong(format!("{word} is there twice")));
            }
            axes.push(axis);
        }
        if !axes.contains(&1) || !axes.contains(&2) {
            return Err(wrong(format!("{text:?} lacks nodes or time")));
        }
        Ok(Self(axes))
    }

    pub fn has_samples(&self) -> bool {
        self.0.contains(&0)
    }

    /// The layout without some of its axes.
    fn without(&self, gone: &[usize]) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|a| !gone.contains(a))
                .collect(),
        )
    }

    /// `array` as (samples, nodes, time, features), with 1 for axes that are not there.
    fn arrange<A: Clone>(&self, path: &Path, name: &str, array: ArrayD<A>) -> Result<Array4<A>> {
        let names: Vec<&str> = self.0.iter().map(|a| AXES[*a]).collect();
        let wrong = |shape: &[usize]| {
            Error::file(
                path,
                name,
                format!(
                    "has shape {shape:?}, but its layout is ({})",
                    names.join(", ")
                ),
                "correct layout in dataset.toml, or the array",
            )
        };
        if array.ndim() != self.0.len() {
            return Err(wrong(array.shape()));
        }
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_key(|i| self.0[*i]);
        let mut array = array.permuted_axes(order);
        for axis in (0..4).filter(|a| !self.0.contains(a)) {
            array = array.insert_axis(Axis(axis));
        }
        array.into_dimensionality::<Ix4>().map_err(|_| wrong(&[]))
    }
}

/// The recordings of one file of arrays.
pub(super) fn items(
    path: &Path,
    arrays: &mut Arrays,
    config: &FolderConfig,
    layout: &Layout,
) -> Result<Vec<Item>> {
    let variables = &config.variables;
    let x_name = variables.x.as_deref().unwrap_or("x");
    let x = arrays.read_f32(path, x_name)?;
    let x = layout.arrange(path, x_name, x)?;
    let (samples, nodes, time, _) = x.dim();
    let mask = match &variables.mask {
        None => None,
        Some(name) => {
            let mask = arrays.read(path, name)?.into_i64(path, name)?;
            let mask = layout.without(&[3]).arrange(path, name, mask)?;
            if mask.dim() != (samples, nodes, time, 1) {
                return Err(shape(
                    path,
                    name,
                    mask.shape(),
                    "that of x without features",
                ));
            }
            Some(mask.mapv(|m| m != 0))
        }
    };
    let labels = match &variables.y {
        Some(name) => per_label(path, arrays, name, layout, samples, time)?,
        None if arrays.contains("y") => per_label(path, arrays, "y", layout, samples, time)?,
        None => vec![Raw::None; samples],
    };
    let mut texts = |name: &Option<String>| -> Result<Option<Vec<String>>> {
        let Some(name) = name else { return Ok(None) };
        let values = arrays.read(path, name)?.into_text(path, name)?;
        match values.len() {
            n if n == samples => Ok(Some(values.into_iter().collect())),
            1 => Ok(values.first().map(|one| vec![one.clone(); samples])),
            _ => Err(shape(
                path,
                name,
                values.shape(),
                "one value, or one for each sample",
            )),
        }
    };
    let subject = texts(&variables.subject)?;
    let session = texts(&variables.session)?;
    let part = texts(&variables.part)?;
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut out = Vec::with_capacity(samples);
    for ((i, signal), labels) in x.outer_iter().enumerate().zip(labels) {
        let mask: Option<Array2<bool>> = mask
            .as_ref()
            .map(|m| m.index_axis(Axis(0), i).index_axis(Axis(2), 0).to_owned());
        let part = match &part {
            Some(parts) => Some(parse_part(path, &parts[i])?),
            None => None,
        };
        out.push(Item {
            number: 0,
            path: path.to_path_buf(),
            recording: Recording {
                name: match layout.has_samples() {
                    true => format!("{stem}/{i}"),
                    false => stem.clone(),
                },
                signal: signal.to_owned(),
                mask,
                sampling_rate: config.sampling_rate,
                labels: Labels::None,
                subject: subject.as_ref().map(|s| s[i].clone()),
                session: session.as_ref().map(|s| s[i].clone()),
                part,
            },
            labels,
        });
    }
    Ok(out)
}

/// `train`, `validation` or `test`.
pub(super) fn parse_part(path: &Path, text: &str) -> Result<Part> {
    match text.trim().to_lowercase().as_str() {
        "train" => Ok(Part::Train),
        "validation" => Ok(Part::Validation),
        "test" => Ok(Part::Test),
        other => Err(Error::file(
            path,
            "part",
            format!("{other:?} is no part"),
            "write train, validation or test",
        )),
    }
}

fn shape(path: &Path, name: &str, found: &[usize], wanted: &str) -> Error {
    Error::file(
        path,
        name,
        format!("has shape {found:?}, not {wanted}"),
        "correct the array, or layout in dataset.toml",
    )
}

/// Labels for each sample: one each, or one for each time step.
fn per_label(
    path: &Path,
    arrays: &mut Arrays,
    name: &str,
    layout: &Layout,
    samples: usize,
    time: usize,
) -> Result<Vec<Raw>> {
    let y = arrays.read(path, name)?.into_text(path, name)?;
    let y = y.mapv(|t| plain(&t));
    if y.len() == samples && (layout.has_samples() || y.len() == 1) {
        return Ok(y.into_iter().map(Raw::Whole).collect());
    }
    let found = y.shape().to_vec();
    let wrong = || shape(path, name, &found, "one label for each sample or time step");
    if y.len() != samples * time {
        return Err(wrong());
    }
    let steps = layout.without(&[1, 3]);
    // MATLAB has no vectors: labels of a single recording come as a row or a column.
    let y = if layout.has_samples() {
        y
    } else {
        y.flatten().into_owned().into_dyn()
    };
    let y = steps.arrange(path, name, y)?;
    if y.len_of(Axis(0)) != samples {
        return Err(wrong());
    }
    Ok(y.outer_iter()
        .map(|steps| Raw::PerStep(steps.iter().cloned().collect()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, arr3};

    fn layout(text: &str) -> Result<Layout> {
        Layout::parse(Path::new("dataset.toml"), text)
    }

    #[test]
    fn axes_are_brought_into_order() {
        let a: Array3<f32> = arr3(&[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]);
        let p = Path::new("a");
        let b = layout("time nodes samples")
            .unwrap()
            .arrange(p, "x", a.clone().into_dyn())
            .unwrap();
        assert_eq!(b.dim(), (2, 3, 1, 1));
        assert_eq!(b[[1, 2, 0, 0]], 6.0);
        let c = layout("nodes,time,features")
            .unwrap()
            .arrange(p, "x", a.clone().into_dyn())
            .unwrap();
        assert_eq!(c.dim(), (1, 1, 3, 2));
        let wrong = layout("nodes time").unwrap().arrange(p, "x", a.into_dyn());
        let text = wrong.unwrap_err().to_string();
        assert!(
            text.contains("[1, 3, 2]") && text.contains("(nodes, time)"),
            "{text}"
        );
    }

    #[test]
    fn layouts_are_strict() {
        for bad in ["", "nodes", "nodes time nodes", "nodes time channels"] {
            assert!(layout(bad).is_err(), "{bad}");
        }
    }
}
