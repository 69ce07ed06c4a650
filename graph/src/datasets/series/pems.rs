//! PEMS03, PEMS04, PEMS07 and PEMS08: Californian detectors as ASTGCN (Guo et al. 2019) and STSGCN
//! (Song et al. 2020) published them.
//!
//! Read from `PEMS04.npz` with `data` (time, nodes, features) and a list of distances `PEMS04.csv`
//! or `distance.csv` (`from,to,cost`) over node numbers; PEMS03 lists its detectors in `PEMS03.txt`,
//! by whose names its distances go.

use std::path::{Path, PathBuf};

use ndarray::Ix3;

use super::{SeriesSet, take, twelve_steps};
use crate::datasets::find;
use crate::formats::distances::{self, Unlisted, parse_ids};
use crate::formats::npy::Npz;
use crate::series::{
    Feature, ForecastSplit, Series, SeriesGraph, Step, TimeAxis, TimeReport, stamp_of,
};
use crate::topology::CsrGraph;
use crate::{Error, Result, fetch, files};

const AGAIN: &str = "fetch the original file again";

/// First day and number of detectors. The files hold no times: they start at midnight of the first
/// day that the papers name. The papers let PEMS07 end on 31 August, but its 98 days end on 6
/// August.
fn facts(name: &str) -> ((i16, i8, i8), usize) {
    match name {
        "pems03" => ((2018, 9, 1), 358),
        "pems04" => ((2018, 1, 1), 307),
        "pems07" => ((2017, 5, 1), 883),
        _ => ((2016, 7, 1), 170),
    }
}

pub(super) fn read(data_dir: Option<&Path>, name: &str) -> Result<SeriesSet> {
    let upper = name.to_uppercase();
    let variants = [name, upper.as_str()];
    let marked = |file: &str| find(data_dir, &variants, file);
    let folder = marked(&format!("{upper}.npz")).or_else(|e| {
        // The first message names the file in the spelling of the papers.
        marked(&format!("{name}.npz")).map_err(|_| e)
    })?;
    let file = |candidates: &[String]| -> Option<PathBuf> {
        let mut paths = candidates.iter().map(|c| folder.join(c));
        paths.find(|p| p.is_file())
    };
    let both = |end: &str| [format!("{upper}{end}"), format!("{name}{end}")];
    let mut sources = Vec::new();
    let path = file(&both(".npz")).unwrap_or_else(|| folder.join(format!("{upper}.npz")));
    let values = Npz::open(&path)?.read("data")?.into_f32(&path, "data")?;
    sources.push(files::source_file(&path)?);
    let ((year, month, day), nodes) = facts(name);
    let values = values
        .into_dimensionality::<Ix3>()
        .ok()
        .filter(|v| [1, 3].contains(&v.dim().2))
        .ok_or_else(|| {
            Error::file(
                &path,
                "data",
                "is not (time, nodes, 1 or 3): flow, or flow, occupancy and speed",
                AGAIN,
            )
        })?;
    let n = values.dim().1;
    if n != nodes {
        log::warn!(
            "{}: {n} detectors, not the {nodes} of the papers",
            path.display()
        );
    }
    let mut sensors: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    if let Some(ids) = file(&both(".txt")) {
        sensors = parse_ids(&take(&ids, &mut sources)?, &ids)?;
        if sensors.len() != n {
            return Err(Error::file(
                ids,
                "sensors",
                format!("names {} sensors, but there are {n}", sensors.len()),
                AGAIN,
            ));
        }
    }
    let features = [
        Feature::new("flow", "vehicles in 5 minutes").null(0.0),
        Feature::new("occupancy", "share of time"),
        Feature::new("speed", "mph"),
    ];
    let info = fetch::info(name).unwrap_or_default();
    let wanted = features[..values.dim().2].to_vec();
    let mut series = Series::new(info, sensors, wanted, values)?;
    let start = stamp_of(year, month, day, 0, 0, 0).unwrap_or_default();
    series.time = Some(TimeAxis::regular(start, Step::Seconds(300), series.len())?);
    let [a, b] = both(".csv");
    let lists = [a, b, "distance.csv".to_string()];
    let path = file(&lists).ok_or_else(|| {
        Error::file(
            folder.join(&lists[0]),
            "distances",
            format!("none of {} is there", lists.join(", ")),
            "put the list of distances beside the values",
        )
    })?;
    let list = distances::parse(&take(&path, &mut sources)?, &path)?;
    let edges = list.among(&series.sensors, Unlisted::Error, &path)?;
    let graph = CsrGraph::connected(n, edges.into_iter().map(|(a, b, _)| (a, b)))?;
    let mut series = series.with_graph(SeriesGraph::fixed(graph))?;
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: twelve_steps(
            "flow",
            ForecastSplit::Steps {
                train: 0.6,
                test: 0.2,
                drop_last: false,
            },
            "STSGCN (Song et al. 2020): 6:2:2 of the steps, flow alone, errors averaged \
                     over 12 steps without those where the flow is 0",
        ),
        clock: TimeReport::default(),
    })
}
