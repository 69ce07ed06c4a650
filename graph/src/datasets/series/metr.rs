//! METR-LA and PEMS-BAY as DCRNN (Li et al. 2018) published them.
//!
//! Read from `metr-la.h5` or `pems-bay.h5` (a pandas table, a column for each detector), and for the
//! graph `adj_mx.pkl` (PEMS-BAY: `adj_mx_bay.pkl`) or the distances `distances_la_2012.csv`
//! (`distances_bay_2017.csv`), of which the weights are made as DCRNN does; `graph_sensor_ids.txt`
//! only checks that the detectors are those. These may lie in a folder `sensor_graph`, as in DCRNN's
//! repository, and so may the places of the detectors.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};

use super::{SeriesSet, places, take, twelve_steps};
use crate::datasets::find;
use crate::datasets::graph_file::pickled;
use crate::formats::csv::{CsvConfig, parse_cells};
use crate::formats::distances::{self, Unlisted, parse_ids};
use crate::formats::pandas::Store;
use crate::formats::pickle::{self, Pickle};
use crate::series::{Feature, ForecastSplit, Positions, Series, SeriesGraph, Step, TimePolicy};
use crate::topology::CsrGraph;
use crate::{Error, Result, SourceFile, fetch, files};

/// Weights below it are left out.
const LEAST: f64 = 0.1;

/// The files of a set.
struct Files {
    folders: [&'static str; 3],
    values: &'static str,
    pickle: &'static str,
    distances: &'static str,
    ids: &'static str,
    /// Tables of places: with header or without.
    places: [&'static str; 2],
    clock: TimePolicy,
}

fn metr_la() -> Files {
    Files {
        folders: ["metr_la", "metr-la", "METR-LA"],
        values: "metr-la.h5",
        pickle: "adj_mx.pkl",
        distances: "distances_la_2012.csv",
        ids: "graph_sensor_ids.txt",
        places: ["graph_sensor_locations.csv"; 2],
        clock: TimePolicy::default(),
    }
}

fn pems_bay() -> Files {
    Files {
        folders: ["pems_bay", "pems-bay", "PEMS-BAY"],
        values: "pems-bay.h5",
        pickle: "adj_mx_bay.pkl",
        distances: "distances_bay_2017.csv",
        ids: "graph_sensor_ids_bay.txt",
        places: [
            "graph_sensor_locations_bay.csv",
            "graph_sensor_locations_pems_bay.csv",
        ],
        // The hour that summer time skips is left out, and windows run across it.
        clock: TimePolicy::keep_gaps(),
    }
}

pub(super) fn read(
    data_dir: Option<&Path>,
    name: &str,
    clock: Option<TimePolicy>,
) -> Result<SeriesSet> {
    let set = match name {
        "metr-la" => metr_la(),
        _ => pems_bay(),
    };
    let folder = find(data_dir, &set.folders, set.values)?;
    let path = folder.join(set.values);
    let mut sources = vec![files::source_file(&path)?];
    let store = Store::open(&path)?;
    let frame = store.frame(None)?;
    let stamps = frame.index.stamps().ok_or_else(|| {
        Error::file(
            &path,
            "index",
            "is no time",
            "fetch the original file again",
        )
    })?;
    let speed = Feature::new("speed", "mph").null(0.0);
    let series = Series::new(
        fetch::info(name).unwrap_or_default(),
        frame.columns.clone(),
        vec![speed],
        frame.read()?.insert_axis(Axis(2)),
    )?;
    let (series, clock) = series.with_time(
        &stamps,
        Some(Step::Seconds(300)),
        clock.unwrap_or(set.clock),
    )?;
    let graph = graph(&folder, &set, &series.sensors, &mut sources)?;
    let mut series = series.with_graph(SeriesGraph::fixed(graph))?;
    if let Some(path) = set.places.iter().find_map(|f| beside(&folder, f)) {
        let positions = table_of_places(&path, &series.sensors, &mut sources)?;
        series = series.with_positions(Positions::LatLon(positions))?;
    }
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: twelve_steps(
            "speed",
            ForecastSplit::Windows {
                train: 0.7,
                test: 0.2,
            },
            "DCRNN (Li et al. 2018): 7:1:2 of the windows, errors without values of 0",
        ),
        clock,
    })
}

/// A file in the folder of the set or in its `sensor_graph`.
fn beside(folder: &Path, file: &str) -> Option<PathBuf> {
    let paths = [folder.join(file), folder.join("sensor_graph").join(file)];
    paths.into_iter().find(|p| p.is_file())
}

fn graph(
    folder: &Path,
    set: &Files,
    sensors: &[String],
    sources: &mut Vec<SourceFile>,
) -> Result<CsrGraph> {
    if let Some(path) = beside(folder, set.pickle) {
        let bytes = take(&path, sources)?;
        let graph = pickle::adjacency(&Pickle::parse(&bytes, &path)?)?;
        return pickled(&graph, sensors, &path);
    }
    let Some(path) = beside(folder, set.distances) else {
        return Err(Error::file(
            folder.join(set.pickle),
            "graph",
            format!("neither this file nor {} is there", set.distances),
            "put one of them beside the values, from data/sensor_graph of DCRNN",
        ));
    };
    if let Some(ids) = beside(folder, set.ids) {
        let listed = parse_ids(&take(&ids, sources)?, &ids)?;
        if let Some(other) = sensors.iter().find(|s| !listed.contains(s)) {
            return Err(Error::file(
                ids,
                "sensors",
                format!("the detector {other} is not among them"),
                "use the list that belongs to the values",
            ));
        }
    }
    let list = distances::parse(&take(&path, sources)?, &path)?;
    let edges = list.among(sensors, Unlisted::Skip, &path)?;
    CsrGraph::gaussian(sensors.len(), &edges, None, LEAST)
}

/// `index,sensor_id,latitude,longitude` with a header, or `id,latitude,longitude` without.
fn table_of_places(
    path: &Path,
    sensors: &[String],
    sources: &mut Vec<SourceFile>,
) -> Result<Array2<f64>> {
    let bytes = take(path, sources)?;
    let cells = parse_cells(&bytes, path, &CsvConfig::default())?;
    if cells.names.iter().any(|n| n == "sensor_id") {
        let columns = ["sensor_id", "latitude", "longitude"];
        return places(&cells, path, sensors, columns);
    }
    let cells = parse_cells(&bytes, path, &CsvConfig::bare())?;
    places(&cells, path, sensors, ["0", "1", "2"])
}
