//! Beijing Multi-Site Air Quality (UCI 501): hourly pollutants and weather at 12 stations, March
//! 2013 to February 2017, with values really missing.
//!
//! Read from the zip of twelve CSV files as UCI distributes it, a file per station, or from these
//! files themselves; and, where they are there, `stations.csv` (`station,longitude,latitude`) and
//! `distances.csv` (`from,to,km`).

use std::path::{Path, PathBuf};

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use super::{SeriesSet, take, with_places};
use crate::datasets::find;
use crate::formats::archive::Archive;
use crate::formats::csv::{CsvConfig, DateParts, Table, TimeColumns, parse_table};
use crate::formats::distances::{self, Unlisted};
use crate::series::{
    Feature, ForecastProtocol, ForecastSplit, Scaling, Series, SeriesGraph, Step, TimePolicy,
    write_stamp,
};
use crate::topology::CsrGraph;
use crate::{Error, Result, SourceFile, fetch, files};

const ZIP: &str = "PRSA2017_Data_20130301-20170228.zip";

/// The first of the files, where there is no zip.
const FIRST: &str = "PRSA_Data_Aotizhongxin_20130301-20170228.csv";

const FEATURES: [(&str, &str); 11] = [
    ("PM2.5", "µg/m³"),
    ("PM10", "µg/m³"),
    ("SO2", "µg/m³"),
    ("NO2", "µg/m³"),
    ("CO", "µg/m³"),
    ("O3", "µg/m³"),
    ("TEMP", "°C"),
    ("PRES", "hPa"),
    ("DEWP", "°C"),
    ("RAIN", "mm"),
    ("WSPM", "m/s"),
];

/// Points of the compass, clockwise from north, 22.5° apart.
const WINDS: [&str; 16] = [
    "N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW",
    "NNW",
];

pub(super) fn read(data_dir: Option<&Path>, clock: Option<TimePolicy>) -> Result<SeriesSet> {
    let folders = ["beijing_air", "beijing-air"];
    let folder = match find(data_dir, &folders, ZIP) {
        Ok(folder) => folder,
        Err(e) => find(data_dir, &folders, FIRST).map_err(|_| e)?,
    };
    let (stations, mut sources) = stations(&folder)?;
    let (sensors, values, stamps) = together(&stations)?;
    let mut features: Vec<Feature> = FEATURES.map(|(name, unit)| Feature::new(name, unit)).into();
    features.push(Feature::new("wind sin", ""));
    features.push(Feature::new("wind cos", ""));
    let info = fetch::info("beijing-air").unwrap_or_default();
    let series = Series::new(info, sensors, features, values)?;
    let hour = Some(Step::Seconds(3600));
    let (series, clock) = series.with_time(&stamps, hour, clock.unwrap_or_default())?;
    let columns = ["station", "latitude", "longitude"];
    let mut series = with_places(series, &folder.join("stations.csv"), columns, &mut sources)?;
    let path = folder.join("distances.csv");
    if path.is_file() {
        let list = distances::parse(&take(&path, &mut sources)?, &path)?;
        let edges = list.among(&series.sensors, Unlisted::Error, &path)?;
        let graph = CsrGraph::gaussian(series.sensors.len(), &edges, None, 0.1)?;
        series = series.with_graph(SeriesGraph::fixed(graph))?;
    }
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: ForecastProtocol {
            history: 24,
            horizon: 24,
            report: vec![1, 6, 24],
            targets: vec!["PM2.5".into()],
            split: ForecastSplit::Steps {
                train: 0.7,
                test: 0.2,
                drop_last: false,
            },
            scaling: Scaling::Zscore,
            source: "none is agreed upon: chronological 70, 10 and 20 %, missing targets left out"
                .into(),
        },
        clock,
    })
}

/// The measurements of one station.
struct Station {
    name: String,
    path: PathBuf,
    table: Table,
    stamps: Vec<i64>,
    /// Sine and cosine of every word for a direction of the wind.
    winds: Vec<[f32; 2]>,
}

/// The stations, in the order of their names, out of the zip or the files of a folder.
fn stations(folder: &Path) -> Result<(Vec<Station>, Vec<SourceFile>)> {
    let zip = folder.join(ZIP);
    if !zip.is_file() {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(|e| Error::io(folder, e))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|p| station(p).is_some())
            .collect();
        paths.sort();
        let read = paths.into_par_iter().map(|path| {
            let bytes = files::read(&path)?;
            let source = files::source_of(&path, &bytes);
            Ok((Station::parse(&bytes, path)?, source))
        });
        let read: Vec<_> = read.collect::<Result<_>>()?;
        return Ok(read.into_iter().unzip());
    }
    let bytes = files::read(&zip)?;
    let archive = Archive::parse(&bytes, &zip)?;
    let mut names = archive.names();
    names.retain(|n| station(Path::new(n)).is_some());
    names.sort();
    let read = || {
        let parse = |name: &String| Station::parse(&archive.read(name)?, zip.join(name));
        names.par_iter().map(parse).collect::<Result<Vec<_>>>()
    };
    let (read, source) = rayon::join(read, || files::source_of(&zip, &bytes));
    let read = read?;
    if read.is_empty() {
        return Err(Error::file(
            zip,
            "archive",
            "holds no file PRSA_Data_STATION_...csv",
            "fetch the original file again",
        ));
    }
    Ok((read, vec![source]))
}

/// `PRSA_Data_Aotizhongxin_20130301-20170228.csv` is of the station Aotizhongxin.
fn station(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(".csv")?;
    name.strip_prefix("PRSA_Data_")?.split('_').next()
}

impl Station {
    fn parse(bytes: &[u8], path: PathBuf) -> Result<Self> {
        let mut table = parse_table(bytes, &path, &config())?;
        let expected = FEATURES.map(|(name, _)| name);
        if table.columns != expected {
            return Err(Error::file(
                path,
                "header",
                format!("has the numbers {}", table.columns.join(", ")),
                format!("should have {}", expected.join(", ")),
            ));
        }
        Ok(Self {
            name: station(&path).unwrap_or_default().to_string(),
            stamps: table.stamps.take().unwrap_or_default(),
            winds: directions(&table, &path)?,
            table,
            path,
        })
    }
}

/// Names, values (time, stations, features) and hours of all stations. Hours that only some stations
/// have are missing at the others.
fn together(stations: &[Station]) -> Result<(Vec<String>, Array3<f32>, Vec<i64>)> {
    let mut hours = stations.first().map_or(Vec::new(), |s| s.stamps.clone());
    // Usually all have the same, in order.
    if stations.iter().any(|s| s.stamps != hours) {
        hours = stations.iter().flat_map(|s| s.stamps.clone()).collect();
        hours.sort_unstable();
        hours.dedup();
    }
    let rows: Vec<Vec<Option<usize>>> = stations
        .iter()
        .map(|s| placed(&s.stamps, &hours, &s.path))
        .collect::<Result<_>>()?;
    let shape = (hours.len(), stations.len(), FEATURES.len() + 2);
    let mut values = Array3::from_elem(shape, f32::NAN);
    values
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .with_min_len(256)
        .enumerate()
        .for_each(|(t, mut step)| {
            for ((mut out, s), rows) in step.outer_iter_mut().zip(stations).zip(&rows) {
                let Some(row) = rows[t] else { continue };
                let measured = s.table.values.row(row);
                let wind = &s.winds[s.table.text[0].codes[row] as usize];
                for (o, m) in out.iter_mut().zip(measured.iter().chain(wind)) {
                    *o = *m;
                }
            }
        });
    let names = stations.iter().map(|s| s.name.clone()).collect();
    Ok((names, values, hours))
}

fn config() -> CsvConfig {
    let name = |n: &str| n.to_string();
    CsvConfig {
        skip: vec![name("No"), name("station")],
        text: vec![name("wd")],
        time: Some(TimeColumns::Parts(DateParts {
            year: name("year"),
            month: Some(name("month")),
            day: Some(name("day")),
            hour: Some(name("hour")),
            minute: None,
            second: None,
        })),
        ..Default::default()
    }
}

/// Sine and cosine of every word for a wind direction, NaN where missing.
fn directions(table: &Table, path: &Path) -> Result<Vec<[f32; 2]>> {
    let word = |word: &String| match WINDS.iter().position(|w| w == word) {
        Some(at) => {
            let (sin, cos) = (at as f32 * std::f32::consts::PI / 8.0).sin_cos();
            Ok([sin, cos])
        }
        None if word.is_empty() || word == "NA" => Ok([f32::NAN; 2]),
        None => Err(Error::file(
            path,
            "column \"wd\"",
            format!("{word:?} is no direction of the wind"),
            format!("use {}", WINDS.join(", ")),
        )),
    };
    table.text[0].words.iter().map(word).collect()
}

/// The row of a file for each of the hours.
fn placed(stamps: &[i64], hours: &[i64], path: &Path) -> Result<Vec<Option<usize>>> {
    if stamps == hours {
        return Ok((0..hours.len()).map(Some).collect());
    }
    let mut rows = vec![None; hours.len()];
    for (row, stamp) in stamps.iter().enumerate() {
        if let Ok(at) = hours.binary_search(stamp)
            && rows[at].replace(row).is_some()
        {
            return Err(Error::file(
                path,
                format!("row {}", row + 1),
                format!("the hour {} is there twice", write_stamp(*stamp)),
                "keep one row for each hour",
            ));
        }
    }
    Ok(rows)
}
