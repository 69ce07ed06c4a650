//! Los-loop (Zhao et al. 2019): all 207 METR-LA detectors, 1 to 7 March 2012, gaps filled by the
//! authors.
//!
//! Read from `los_speed.csv` (header of sensor numbers, a row every 5 minutes), `los_adj.csv` (207 ×
//! 207, diagonal 1, symmetric) and, where it is there, `graph_sensor_locations.csv` of DCRNN.

use std::path::Path;

use ndarray::Axis;

use super::{SeriesSet, take, with_places};
use crate::datasets::find;
use crate::datasets::graph_file::matrix;
use crate::formats::csv::{CsvConfig, parse_table};
use crate::series::{
    Feature, ForecastProtocol, ForecastSplit, Scaling, Series, SeriesGraph, Step, TimeAxis,
    TimeReport, stamp_of,
};
use crate::topology::CsrGraph;
use crate::{Result, fetch, files};

pub(super) fn read(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let folder = find(data_dir, &["los_loop", "los-loop"], "los_speed.csv")?;
    let mut sources = Vec::new();
    let path = folder.join("los_speed.csv");
    let table = parse_table(&take(&path, &mut sources)?, &path, &CsvConfig::default())?;
    let info = fetch::info("los-loop").unwrap_or_default();
    let mut series = Series::new(
        info,
        table.columns,
        vec![Feature::new("speed", "mph")],
        table.values.insert_axis(Axis(2)),
    )?;
    // The file has no times; T-GCN says 1 to 7 March 2012.
    let start = stamp_of(2012, 3, 1, 0, 0, 0).unwrap_or_default();
    series.time = Some(TimeAxis::regular(start, Step::Seconds(300), series.len())?);
    let path = folder.join("los_adj.csv");
    let adjacency = matrix(&path, &series.sensors)?;
    sources.push(files::source_file(&path)?);
    let graph = CsrGraph::from_dense(adjacency.view())?;
    let series = series.with_graph(SeriesGraph::fixed(graph))?;
    let columns = ["sensor_id", "latitude", "longitude"];
    let path = folder.join("graph_sensor_locations.csv");
    let mut series = with_places(series, &path, columns, &mut sources)?;
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: protocol(),
        clock: TimeReport::default(),
    })
}

/// T-GCN: the first 80 % of the steps train, the rest tests. It has no validation part and divides
/// by the maximum of the whole series; ours cuts an eighth off training to validate, and takes the
/// maximum of training.
fn protocol() -> ForecastProtocol {
    ForecastProtocol {
        history: 12,
        horizon: 12,
        report: vec![3, 6, 9, 12],
        targets: vec!["speed".into()],
        split: ForecastSplit::Steps {
            train: 0.8,
            test: 0.2,
            drop_last: true,
        }
        .with_validation(0.125),
        scaling: Scaling::Max,
        source: "T-GCN (Zhao et al. 2019), which has no validation part, scales by the maximum of \
                 the whole series, and averages horizons 1 to h"
            .into(),
    }
}
