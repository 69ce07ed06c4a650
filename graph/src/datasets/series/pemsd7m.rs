//! PeMSD7(M) (Yu et al. 2018): speed at 228 detectors on the working days of May and June 2012.
//!
//! Read from `PeMSD7_V_228.csv` (no header, a row every 5 minutes) and `PeMSD7_W_228.csv` (228 ×
//! 228, distances in metres), also without `PeMSD7_`, and, where it is there,
//! `PeMSD7_M_Station_Info.csv`.

use std::path::Path;

use ndarray::Axis;

use super::{SeriesSet, places, take};
use crate::datasets::find;
use crate::formats::csv::{CsvConfig, parse_cells, parse_table};
use crate::series::{
    Feature, ForecastProtocol, ForecastSplit, Gaps, Positions, Scaling, Series, SeriesGraph, Step,
    TimePolicy, stamp_of,
};
use crate::topology::CsrGraph;
use crate::{Error, Result, fetch};

const DAY: i64 = 86_400;
const STEPS_PER_DAY: usize = 288;

/// σ² of the kernel exp(−d² / σ²) in (10 km)², and the weight below which there is no edge.
const SIGMA2: f64 = 0.1;
const LEAST: f64 = 0.5;

pub(super) fn read(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let folders = ["pemsd7m", "PeMSD7M", "PeMSD7(M)"];
    let (long, short) = ("PeMSD7_V_228.csv", "V_228.csv");
    let (folder, prefix) = match find(data_dir, &folders, long) {
        Ok(folder) => (folder, "PeMSD7_"),
        Err(e) => (find(data_dir, &folders, short).map_err(|_| e)?, ""),
    };
    let mut sources = Vec::new();
    let path = folder.join(format!("{prefix}V_228.csv"));
    let table = parse_table(&take(&path, &mut sources)?, &path, &CsvConfig::bare())?;
    let (steps, n) = table.values.dim();
    let info = fetch::info("pemsd7m").unwrap_or_default();
    let stations = folder.join("PeMSD7_M_Station_Info.csv");
    let stations = match stations.is_file() {
        false => None,
        true => {
            let bytes = take(&stations, &mut sources)?;
            let cells = parse_cells(&bytes, &stations, &CsvConfig::default())?;
            Some((stations, cells))
        }
    };
    let sensors: Vec<String> = match stations.as_ref().and_then(|(_, c)| c.column("ID")) {
        Some(ids) if ids.len() == n => ids.to_vec(),
        Some(ids) => {
            return Err(Error::file(
                &path,
                "columns",
                format!("{n} columns for {} stations", ids.len()),
                "fetch the original files again",
            ));
        }
        None => (0..n).map(|i| i.to_string()).collect(),
    };
    let speed = vec![Feature::new("speed", "mph")];
    let series = Series::new(info, sensors, speed, table.values.insert_axis(Axis(2)))?;
    let weekends = TimePolicy {
        gaps: Gaps::Keep,
        ..TimePolicy::default()
    };
    let (mut series, clock) =
        series.with_time(&working_days(steps), Some(Step::Seconds(300)), weekends)?;
    if let Some((path, cells)) = stations {
        let columns = ["ID", "Latitude", "Longitude"];
        let positions = places(&cells, &path, &series.sensors, columns)?;
        series = series.with_positions(Positions::LatLon(positions))?;
    }
    let path = folder.join(format!("{prefix}W_228.csv"));
    let matrix = parse_table(&take(&path, &mut sources)?, &path, &CsvConfig::bare())?.values;
    if matrix.dim() != (n, n) {
        return Err(Error::file(
            &path,
            "matrix",
            format!("has shape {:?} for {n} detectors", matrix.dim()),
            "fetch the original file again",
        ));
    }
    let edges: Vec<(usize, usize, f64)> = matrix
        .indexed_iter()
        .filter(|((i, j), _)| i != j)
        .map(|((i, j), metres)| (j, i, f64::from(*metres) / 10_000.0))
        .collect();
    let graph = CsrGraph::gaussian(n, &edges, Some(SIGMA2.sqrt()), LEAST)?;
    let mut series = series.with_graph(SeriesGraph::fixed(graph))?;
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: ForecastProtocol {
            history: 12,
            horizon: 9,
            report: vec![3, 6, 9],
            targets: vec!["speed".into()],
            split: ForecastSplit::Days {
                steps_per_day: STEPS_PER_DAY,
                train: 34,
                validation: 5,
                test: 5,
            },
            scaling: Scaling::Zscore,
            source: "STGCN (Yu et al. 2018): 34, 5 and 5 days, no window across midnight".into(),
        },
        clock,
    })
}

/// Stamps of `steps` steps of 5 minutes on Mondays to Fridays from Tuesday, 1 May 2012.
fn working_days(steps: usize) -> Vec<i64> {
    let first = stamp_of(2012, 5, 1, 0, 0, 0).unwrap_or_default();
    let mut stamps = Vec::with_capacity(steps);
    // Days since Monday, 30 April.
    for day in (1..).filter(|d| d % 7 < 5) {
        for step in 0..STEPS_PER_DAY as i64 {
            if stamps.len() == steps {
                return stamps;
            }
            stamps.push(first + (day - 1) * DAY + step * 300);
        }
    }
    stamps
}
