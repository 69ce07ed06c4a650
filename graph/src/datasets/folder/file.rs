//! From a file of a folder to its recordings, by its format.

use std::path::Path;

use ndarray::{Array2, Axis, Ix2, s};

use crate::datasets::description::FolderConfig;
use crate::datasets::graph_file::square;
use crate::datasets::labels::{self, Raw};
use crate::datasets::variables::{Arrays, Item, Layout, items};
use crate::datasets::{Accept, biosignals};
use crate::formats::csv::read_table;
use crate::formats::{arff, ts};
use crate::series::{Arranged, TimeAxis, TimePolicy};
use crate::{Error, Labels, Recording, Result};

/// What the files say about the data set as a whole.
#[derive(Default)]
pub struct Shared {
    pub sensors: Vec<String>,
    pub classes: Vec<String>,
    pub positions: Option<Array2<f64>>,
    pub adjacency: Option<Array2<f32>>,
    /// Whether the first file has been read.
    pub started: bool,
}

/// The recordings of a file; what the first says of all goes to `shared`. None of a file that is left
/// out. Without `signals` those that need not be read have no time step.
pub fn read_file(
    path: &Path,
    config: &FolderConfig,
    toml: &Path,
    shared: &mut Shared,
    accept: &[Accept],
    signals: bool,
) -> Result<Vec<Item>> {
    let first = !std::mem::replace(&mut shared.started, true);
    if let Some(mut arrays) = Arrays::open(path)? {
        let layout = Layout::parse(toml, &config.layout)?;
        let variables = &config.variables;
        if first {
            if let Some(name) = &variables.sensors {
                let names = arrays.read(path, name)?.into_text(path, name)?;
                shared.sensors = names.into_iter().collect();
            }
            if let Some(name) = &variables.adjacency {
                let a = arrays.read(path, name)?.into_f32(path, name)?;
                shared.adjacency = Some(square(path, name, a.into_dimensionality().ok())?);
            }
            if let Some(name) = &variables.positions {
                let p = arrays.read(path, name)?.into_f64(path, name)?;
                let p = p.into_dimensionality::<Ix2>().ok();
                shared.positions = Some(
                    p.filter(|p| [2, 3].contains(&p.ncols()) && p.iter().all(|v| v.is_finite()))
                        .ok_or_else(|| {
                            Error::file(
                                path,
                                name,
                                "is not (nodes, 2 or 3) of finite numbers",
                                "correct the array",
                            )
                        })?,
                );
            }
        }
        return items(path, &mut arrays, config, &layout);
    }
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let recording = |name: String, signal| Recording {
        name,
        signal,
        mask: None,
        sampling_rate: config.sampling_rate,
        labels: Labels::None,
        subject: None,
        session: None,
        part: None,
    };
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some(kind @ ("ts" | "arff")) => {
            let file = match kind {
                "ts" => ts::read(path)?,
                _ => arff::read(path)?.into_ts(path)?,
            };
            if shared.classes.is_empty() {
                shared.classes = file.classes.clone();
            }
            Ok(file
                .x
                .outer_iter()
                .zip(&file.y)
                .enumerate()
                .map(|(i, (x, y))| Item {
                    number: 0,
                    path: path.to_path_buf(),
                    recording: recording(
                        format!("{stem}/{i}"),
                        x.slice(s![.., .., ndarray::NewAxis]).to_owned(),
                    ),
                    labels: Raw::Whole(file.classes[*y].clone()),
                })
                .collect())
        }
        Some("edf" | "bdf" | "gdf") => {
            let Some((sensors, found)) = biosignals::items(path, config, accept, signals)? else {
                return Ok(Vec::new());
            };
            if shared.sensors.is_empty() {
                shared.sensors = sensors.clone();
            }
            if config.sensors.is_empty() && sensors != shared.sensors {
                return Err(Error::file(
                    path,
                    "channels",
                    format!(
                        "{} are not {}",
                        sensors.join(", "),
                        shared.sensors.join(", ")
                    ),
                    "list those that all files have in recording.channels",
                ));
            }
            Ok(found)
        }
        Some("csv" | "tsv" | "txt") => {
            let table = read_table(path, &config.csv)?;
            if shared.sensors.is_empty() {
                shared.sensors = table.columns.clone();
            }
            if config.csv.header && table.columns != shared.sensors {
                return Err(Error::file(
                    path,
                    "header",
                    format!(
                        "columns {} are not the sensors {}",
                        table.columns.join(", "),
                        shared.sensors.join(", ")
                    ),
                    "give all files the same columns in the same order, or list others in csv.skip",
                ));
            }
            let clock = match &table.stamps {
                Some(stamps) => Some(arranged(path, stamps, config.clock)?),
                None => None,
            };
            let steps: Vec<Option<usize>> = match &clock {
                Some(arranged) => arranged.rows.clone(),
                None => (0..table.values.nrows()).map(Some).collect(),
            };
            let signal = Array2::from_shape_fn((table.columns.len(), steps.len()), |(v, t)| {
                steps[t].map_or(f32::NAN, |row| table.values[[row, v]])
            });
            let labels = match (&config.csv.label, table.text.last()) {
                (Some(_), Some(column)) => {
                    // An inserted step has the class of the step before it.
                    let mut last = 0;
                    let code = |row: &Option<usize>| {
                        last = row.unwrap_or(last);
                        labels::plain(&column.words[column.codes[last] as usize])
                    };
                    Raw::PerStep(steps.iter().map(code).collect())
                }
                _ => Raw::None,
            };
            let mut recording = recording(stem, signal.insert_axis(Axis(2)));
            let rate = clock.and_then(|c| c.axis.step().rate());
            recording.sampling_rate = recording.sampling_rate.or(rate);
            Ok(vec![Item {
                number: 0,
                path: path.to_path_buf(),
                recording,
                labels,
            }])
        }
        _ => Err(Error::file(
            path,
            "extension",
            "is none of a format that is read",
            "use .npz, .npy, .mat, .h5, .ts, .arff, .csv, .tsv, .edf, .bdf or .gdf",
        )),
    }
}

/// The order of the steps of a file by their time stamps.
fn arranged(path: &Path, stamps: &[i64], policy: TimePolicy) -> Result<Arranged> {
    let in_file = |e: Error| match e {
        Error::Config {
            field,
            problem,
            remedy,
        } => Error::file(path, field, problem, remedy),
        other => other,
    };
    let arranged = TimeAxis::arrange(stamps, None, policy).map_err(in_file)?;
    let report = &arranged.report;
    if !report.is_clean() {
        log::warn!(
            "{}: {} rows out of order, {} repeated, {} left out in {} gaps",
            path.display(),
            report.unordered,
            report.duplicates,
            report.missing(),
            report.gaps.len()
        );
    }
    Ok(arranged)
}
