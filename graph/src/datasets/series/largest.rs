//! LargeST (Liu et al. 2023): traffic flow at 8,600 detectors of California and in three regions of
//! it, 2017 to 2021.
//!
//! Read from `ca_his_raw_YEAR.h5` (pandas, a column for each detector, 5 minutes) as Kaggle has it,
//! and brought to 15 minutes as the authors do: the rounded mean of what was measured, 0 where
//! nothing was. Files that their notebooks made (`ca_his_YEAR.h5`, `sd_his_YEAR.h5`) are read as they
//! are. Besides `ca_meta.csv` and `ca_rn_adj.npy`, or those of the region.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Axis, Ix2};

use super::{SeriesSet, places, take, twelve_steps};
use crate::datasets::find;
use crate::formats::csv::{Cells, CsvConfig, parse_cells};
use crate::formats::npy::read_npy_f32;
use crate::formats::pandas::Store;
use crate::series::{
    Feature, ForecastSplit, Gaps, Positions, Series, SeriesGraph, Step, TimePolicy,
};
use crate::topology::CsrGraph;
use crate::{Error, Result, SourceFile, fetch, files};

const STEP: i64 = 900;

/// Rows of a raw file that are read at once: a day of 5 minutes.
const ROWS: usize = 288;

/// Districts of Caltrans; none stands for all.
fn districts(region: &str) -> &'static [&'static str] {
    match region {
        "gla" => &["7", "8", "12"],
        "gba" => &["4"],
        "sd" => &["11"],
        _ => &[],
    }
}

/// The detectors of a region: rows of the table and of the matrix.
struct Detectors {
    names: Vec<String>,
    places: Array2<f64>,
    /// Rows of `ca_rn_adj.npy`; `None` when the matrix is that of the region.
    rows: Option<Vec<usize>>,
}

pub(super) fn read(
    data_dir: Option<&Path>,
    name: &str,
    years: &[u16],
    clock: Option<TimePolicy>,
) -> Result<SeriesSet> {
    let region = name.rsplit('-').next().unwrap_or("ca");
    let own = format!("{region}_meta.csv");
    let folders = ["largest", region, "ca"];
    let folder = match find(data_dir, &folders, &own) {
        Ok(folder) => folder,
        Err(_) => find(data_dir, &folders, "ca_meta.csv")?,
    };
    let mut sources = Vec::new();
    let detectors = detectors(&folder, region, &mut sources)?;
    let years = match years {
        [] => &[2019],
        some => some,
    };
    let mut stamps = Vec::new();
    let mut values = Array2::zeros((0, detectors.names.len()));
    for year in years {
        let path = history(&folder, region, *year)?;
        let (at, rows) = one_year(&path, &detectors.names)?;
        stamps.extend(at);
        values
            .append(Axis(0), rows.view())
            .map_err(|e| Error::file(&path, "values", e.to_string(), "check the file"))?;
        sources.push(files::source_file(&path)?);
    }
    let mut info = fetch::info("largest").unwrap_or_default();
    info.name = name.into();
    let flow = Feature::new("flow", "vehicles in 5 minutes").null(0.0);
    let series = Series::new(
        info,
        detectors.names,
        vec![flow],
        values.insert_axis(Axis(2)),
    )?;
    // The authors' `resample` inserts what is left out.
    let fill = TimePolicy {
        gaps: Gaps::Fill,
        ..TimePolicy::default()
    };
    let step = Some(Step::Seconds(STEP));
    let (series, clock) = series.with_time(&stamps, step, clock.unwrap_or(fill))?;
    let graph = graph(&folder, region, detectors.rows.as_deref(), &mut sources)?;
    let mut series = series
        .with_graph(SeriesGraph::fixed(graph))?
        .with_positions(Positions::LatLon(detectors.places))?;
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: twelve_steps(
            "flow",
            ForecastSplit::WindowsRest {
                train: 0.6,
                validation: 0.2,
            },
            "LargeST (Liu et al. 2023): the year 2019, 15 minutes, 6:2:2 of the windows, \
                     errors without flows of 0",
        ),
        clock,
    })
}

fn detectors(folder: &Path, region: &str, sources: &mut Vec<SourceFile>) -> Result<Detectors> {
    let own = folder.join(format!("{region}_meta.csv"));
    let (path, all) = match own.is_file() {
        true => (own, true),
        false => (folder.join("ca_meta.csv"), false),
    };
    let bytes = take(&path, sources)?;
    let cells = parse_cells(&bytes, &path, &CsvConfig::default())?;
    let column = |name: &str| cells.require(name, &path, "fetch the original file again");
    let wanted = districts(region);
    let district = column("District")?;
    let chosen: Vec<usize> = (0..cells.rows())
        .filter(|row| all || wanted.is_empty() || wanted.contains(&district[*row].as_str()))
        .collect();
    let ids = column("ID")?;
    let names: Vec<String> = chosen.iter().map(|row| ids[*row].clone()).collect();
    if names.is_empty() {
        return Err(Error::file(
            &path,
            "District",
            format!("no detector is in the districts {}", wanted.join(", ")),
            "fetch the original file again",
        ));
    }
    let matrix = folder.join(format!("{region}_rn_adj.npy"));
    let rows = match matrix.is_file() {
        true => None,
        false => Some(matrix_rows(&cells, &path, &chosen)?),
    };
    Ok(Detectors {
        places: places(&cells, &path, &names, ["ID", "Lat", "Lng"])?,
        names,
        rows,
    })
}

/// `ID2` counts the detectors of California from 0; without it, the rows of the table do.
fn matrix_rows(cells: &Cells, path: &Path, chosen: &[usize]) -> Result<Vec<usize>> {
    let Some(column) = cells.column("ID2") else {
        return Ok(chosen.to_vec());
    };
    let number = |row: &usize| {
        column[*row].parse().map_err(|_| {
            Error::file(
                path,
                format!("line {}, column \"ID2\"", cells.lines[*row]),
                format!("{:?} is no row number", column[*row]),
                "fetch the original file again",
            )
        })
    };
    chosen.iter().map(number).collect()
}

/// The file of a year: of the region or of California, in 15 minutes or raw.
fn history(folder: &Path, region: &str, year: u16) -> Result<PathBuf> {
    let files = [
        format!("{region}_his_{year}.h5"),
        format!("ca_his_{year}.h5"),
        format!("ca_his_raw_{year}.h5"),
    ];
    let paths = files.iter().map(|f| folder.join(f));
    paths.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::file(
            folder.join(&files[2]),
            "year",
            format!("none of {} is there", files.join(", ")),
            "get the file, or choose another year",
        )
    })
}

/// Steps of 15 minutes and the flow at `names`, (time, detectors), 0 where nothing was measured.
fn one_year(path: &Path, names: &[String]) -> Result<(Vec<i64>, Array2<f32>)> {
    let store = Store::open(path)?;
    let frame = store.frame(None)?;
    let stamps = frame
        .index
        .stamps()
        .ok_or_else(|| Error::file(path, "index", "is no time", "fetch the original file again"))?;
    let place: std::collections::HashMap<&str, usize> = frame
        .columns
        .iter()
        .enumerate()
        .map(|(i, c)| (c.as_str(), i))
        .collect();
    let columns: Vec<usize> = names
        .iter()
        .map(|n| {
            place.get(n.as_str()).copied().ok_or_else(|| {
                Error::file(
                    path,
                    n,
                    "the detector has no column",
                    "use the table of detectors that belongs to the values",
                )
            })
        })
        .collect::<Result<_>>()?;
    let bin = |stamp: i64| stamp.div_euclid(STEP) * STEP;
    let mut at: Vec<i64> = Vec::new();
    let mut means = Means::new(columns.len());
    for from in (0..stamps.len()).step_by(ROWS) {
        let to = (from + ROWS).min(stamps.len());
        let rows = frame.read_rows(from..to)?;
        for (row, stamp) in rows.outer_iter().zip(&stamps[from..to]) {
            let next = bin(*stamp);
            if at.last() != Some(&next) {
                means.finish(!at.is_empty());
                at.push(next);
            }
            means.add(columns.iter().map(|c| row[*c]));
        }
    }
    means.finish(!at.is_empty());
    let shape = (at.len(), columns.len());
    let values = Array2::from_shape_vec(shape, means.out)
        .map_err(|e| Error::file(path, "values", e.to_string(), "check the file"))?;
    Ok((at, values))
}

/// Rounded means of what was measured, as pandas' `resample(...).mean().round(0).fillna(0)`.
struct Means {
    sum: Array1<f64>,
    count: Array1<u32>,
    out: Vec<f32>,
}

impl Means {
    fn new(n: usize) -> Self {
        Self {
            sum: Array1::zeros(n),
            count: Array1::zeros(n),
            out: Vec::new(),
        }
    }

    fn add(&mut self, row: impl Iterator<Item = f32>) {
        for ((value, sum), count) in row.zip(&mut self.sum).zip(&mut self.count) {
            if !value.is_nan() {
                *sum += f64::from(value);
                *count += 1;
            }
        }
    }

    /// Ends a step, if one was begun.
    fn finish(&mut self, begun: bool) {
        if begun {
            let mean = |(sum, count): (&f64, &u32)| match count {
                0 => 0.0,
                n => (sum / f64::from(*n)).round_ties_even() as f32,
            };
            self.out.extend(self.sum.iter().zip(&self.count).map(mean));
        }
        self.sum.fill(0.0);
        self.count.fill(0);
    }
}

/// The authors' entry [from, to] becomes [target, source].
fn graph(
    folder: &Path,
    region: &str,
    rows: Option<&[usize]>,
    sources: &mut Vec<SourceFile>,
) -> Result<CsrGraph> {
    let file = match rows {
        None => format!("{region}_rn_adj.npy"),
        Some(_) => "ca_rn_adj.npy".into(),
    };
    let path = folder.join(file);
    let matrix = read_npy_f32(&path)?;
    sources.push(files::source_file(&path)?);
    let matrix = matrix.into_dimensionality::<Ix2>().map_err(|e| {
        Error::file(
            &path,
            "array",
            e.to_string(),
            "fetch the original file again",
        )
    })?;
    let graph = CsrGraph::from_dense(matrix.t())?;
    match rows {
        None => Ok(graph),
        Some(rows) => graph.subgraph(rows),
    }
}
