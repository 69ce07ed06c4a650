//! A series of one's own: the tables of a folder with a `dataset.toml`.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array3, Axis};

use super::{SeriesSet, places, take};
use crate::datasets::description::FolderConfig;
use crate::datasets::folder::list;
use crate::datasets::graph_file::given;
use crate::datasets::read_positions;
use crate::formats::csv::{CsvConfig, TimeColumns, parse_cells, parse_table};
use crate::formats::pandas::Store;
use crate::formats::panel::{Panel, Wide};
use crate::series::{
    Feature, ForecastProtocol, ForecastSplit, Positions, Scaling, Series, SeriesGraph, TimePolicy,
    TimeReport,
};
use crate::{Error, Result, SourceFile, files};

/// The folder that is meant by `name`, where there is one with a `dataset.toml`.
pub(super) fn folder(name: &str, data_dir: Option<&Path>) -> Option<PathBuf> {
    let path = PathBuf::from(name);
    let below = data_dir.map(|d| d.join(&path));
    let folders = [Some(path), below].into_iter().flatten();
    folders
        .into_iter()
        .find(|f| f.join("dataset.toml").is_file())
}

pub(super) fn read(folder: &Path, clock: Option<TimePolicy>) -> Result<SeriesSet> {
    let config = FolderConfig::read(folder)?;
    let toml = folder.join("dataset.toml");
    let mut sources = vec![files::source_file(&toml)?];
    let joined = tables(folder, &config, &mut sources)?;
    let wanted = &config.forecast;
    let feature = Feature {
        name: wanted.feature.clone(),
        unit: wanted.unit.clone(),
        null_value: wanted.null_value,
    };
    let mut series = Series::new(
        config.info(folder),
        joined.sensors,
        vec![feature],
        joined.values,
    )?;
    let mut report = TimeReport::default();
    if let Some(stamps) = joined.stamps {
        (series, report) = series.with_time(&stamps, None, clock.unwrap_or(config.clock))?;
    }
    if let Some(file) = &config.positions {
        let path = folder.join(file);
        let bytes = take(&path, &mut sources)?;
        let cells = parse_cells(&bytes, &path, &CsvConfig::default())?;
        let positions = match cells.names.iter().any(|n| n == "lat") {
            true => {
                let columns = ["name", "lat", "lon"];
                Positions::LatLon(places(&cells, &path, &series.sensors, columns)?)
            }
            false => Positions::Metres(read_positions(&path, &series.sensors)?),
        };
        series = series.with_positions(positions)?;
    }
    if let Some((path, graph)) = given(folder, &config.graph, &series.sensors)? {
        sources.push(files::source_file(path)?);
        series = series.with_graph(SeriesGraph::fixed(graph))?;
    }
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: ForecastProtocol {
            history: wanted.history,
            horizon: wanted.horizon,
            report: (1..=wanted.horizon).collect(),
            targets: vec![wanted.feature.clone()],
            split: ForecastSplit::Windows {
                train: wanted.train,
                test: wanted.test,
            },
            scaling: Scaling::Zscore,
            source: "dataset.toml".into(),
        },
        clock: report,
    })
}

/// Tables one after the other.
struct Joined {
    sensors: Vec<String>,
    /// (time, sensors, 1).
    values: Array3<f32>,
    stamps: Option<Vec<i64>>,
}

fn tables(folder: &Path, config: &FolderConfig, sources: &mut Vec<SourceFile>) -> Result<Joined> {
    let mut sensors: Vec<String> = config.sensors.clone();
    let mut parts = Vec::new();
    let mut stamps = Vec::new();
    for (path, _) in list(folder, config, None)? {
        let table = table(&path, config, sources)?;
        if sensors.is_empty() {
            sensors = table.columns.clone();
        }
        let fits = match table.named {
            true => table.columns == sensors,
            false => table.columns.len() == sensors.len(),
        };
        if !fits {
            return Err(Error::file(
                &path,
                "header",
                format!(
                    "columns {} are not the sensors {}",
                    table.columns.join(", "),
                    sensors.join(", ")
                ),
                "give all files the same columns in the same order, or list others in csv.skip",
            ));
        }
        stamps.extend(table.stamps.into_iter().flatten());
        parts.push(table.values);
    }
    let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
    let values = ndarray::concatenate(Axis(0), &views).map_err(|_| {
        Error::file(
            folder.join("dataset.toml"),
            "files",
            "names no file",
            "set files = \"*.csv\"",
        )
    })?;
    Ok(Joined {
        sensors,
        values: values.insert_axis(Axis(2)),
        stamps: (!stamps.is_empty()).then_some(stamps),
    })
}

/// One table, a row for each step and a column for each sensor.
struct Wanted {
    columns: Vec<String>,
    /// Whether the file says the names.
    named: bool,
    values: Array2<f32>,
    stamps: Option<Vec<i64>>,
}

/// Reads Parquet, Arrow IPC, tables of pandas in HDF5, or else text.
fn table(path: &Path, config: &FolderConfig, sources: &mut Vec<SourceFile>) -> Result<Wanted> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("parquet" | "arrow" | "arrows" | "feather" | "ipc") => {
            let wide = Wide {
                time: match &config.csv.time {
                    Some(TimeColumns::Stamp(name)) => Some(name.clone()),
                    _ => None,
                },
                skip: config.csv.skip.clone(),
                feature: String::new(),
            };
            let panel = Panel::wide(&crate::table::read(path)?, path, &wide)?;
            sources.push(files::source_file(path)?);
            Ok(Wanted {
                columns: panel.sensors,
                named: true,
                values: panel.values.remove_axis(Axis(2)),
                stamps: panel.stamps,
            })
        }
        Some("h5" | "hdf5" | "hdf") => {
            let store = Store::open(path)?;
            let frame = store.frame(None)?;
            sources.push(files::source_file(path)?);
            Ok(Wanted {
                values: frame.read()?,
                named: true,
                stamps: frame.index.stamps(),
                columns: frame.columns.clone(),
            })
        }
        _ => {
            let table = parse_table(&take(path, sources)?, path, &config.csv)?;
            Ok(Wanted {
                columns: table.columns,
                named: config.csv.header,
                values: table.values,
                stamps: table.stamps,
            })
        }
    }
}
