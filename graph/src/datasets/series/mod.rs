//! Continuous series by name, with the protocol by which the field forecasts on them.
//!
//! | name | sensors × steps | step | graph | protocol |
//! |---|---|---|---|---|
//! | `los-loop` | 207 × 2,016 | 5 min | given, weighted | T-GCN 80/20, validation cut from training |
//! | `metr-la`, `pems-bay` | 207 × 34,272, 325 × 52,116 | 5 min | distances, Gaussian kernel | DCRNN 7:1:2 |
//! | `pems03`, `pems04`, `pems07`, `pems08` | 358, 307, 883, 170 | 5 min | distances, connected pairs | STSGCN 6:2:2 |
//! | `pemsd7m` | 228 × 12,672 | 5 min | distances, Gaussian kernel | STGCN, 34, 5 and 5 days |
//! | `largest-ca`, `-gla`, `-gba`, `-sd` | 8,600, 3,834, 2,352, 716 × 35,040 a year | 15 min | road distances | LargeST 6:2:2 |
//! | `beijing-air` | 12 × 35,064 | 1 h | distances, Gaussian kernel | 7:1:2 |
//! | `chickenpox` | 20 × 521 | 1 week | neighbours | PyTorch Geometric Temporal 9:1 |
//! | `england-covid` | 129 × 61 | 1 day | mobility, one a day | the same |
//! | `montevideo-bus` | 675 × 744 | 1 h | bus lines | the same |
//! | `us-income` (shipped) | 48 × 81 | 1 year | neighbours | 6:2:2 |

mod beijing_air;
mod largest;
mod los_loop;
mod metr;
mod own;
mod pems;
mod pemsd7m;
mod pyg_temporal;
mod us_income;

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::roots;
use crate::cache::{self, CacheOptions};
use crate::formats::csv::{Cells, CsvConfig, parse_cells};
use crate::series::{
    ForecastProtocol, ForecastSplit, Positions, Scaling, Series, TimePolicy, TimeReport,
};
use crate::{DatasetInfo, Error, Result, SourceFile, files};

const NAMES: &[&str] = &[
    "beijing-air",
    "chickenpox",
    "england-covid",
    "largest-ca",
    "largest-gba",
    "largest-gla",
    "largest-sd",
    "los-loop",
    "metr-la",
    "montevideo-bus",
    "pems03",
    "pems04",
    "pems07",
    "pems-bay",
    "pems08",
    "pemsd7m",
    "us-income",
];

/// Share of the training part that validates where the published protocol has no validation part:
/// a ninth of nine tenths, an eighth of eight.
const NINTH: f64 = 1.0 / 9.0;

/// Which series to load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesConfig {
    /// A name out of [`series_names`], or the path of a folder with a `dataset.toml`.
    pub name: String,
    /// Where the files are; `None`: `data` in the current folder, then `data` of the source tree.
    pub data_dir: Option<PathBuf>,
    /// What to accept of the time stamps; `None`: what the published protocol accepts, mostly
    /// nothing.
    pub clock: Option<TimePolicy>,
    /// Which years of LargeST to join; empty: 2019, as its authors do.
    pub years: Vec<u16>,
}

/// A series and how the field forecasts on it.
#[derive(Debug, Clone)]
pub struct SeriesSet {
    pub series: Series,
    pub protocol: ForecastProtocol,
    /// What was found in the time stamps, before anything was mended.
    pub clock: TimeReport,
}

/// Names of the series.
pub fn series_names() -> &'static [&'static str] {
    NAMES
}

/// Reads a series by name, or that of a folder: its tables, joined in the order of their names, a
/// row for each step and a column for each sensor.
///
/// ```toml
/// files = "flow-*.csv"
/// positions = "places.csv"          # name,lat,lon in degrees, or name,x,y in metres
/// [csv]
/// time = "when"
/// [graph]
/// distances = "distances.csv"       # from,to,distance
/// [clock]
/// gaps = "fill"
/// [forecast]
/// feature = "flow"
/// null_value = 0
/// history = 12
/// horizon = 12
/// ```
///
/// # Errors
/// [`Error::Unknown`] for a name that is not there; [`Error::Io`] and [`Error::File`] for files
/// that are missing or wrong; [`Error::Config`] for a clock that is not in order and `clock` does
/// not accept that.
///
/// ```no_run
/// use tgmamba_graph::datasets::{SeriesConfig, load_series};
/// let set = load_series(&SeriesConfig {
///     name: "los-loop".into(),
///     ..Default::default()
/// })?;
/// let p = &set.protocol;
/// let windows = p.split.starts(set.series.len(), p.history, p.horizon)?;
/// println!("{:?}: {} training windows", set.series.dim(), windows.train.len());
/// # Ok::<(), tgmamba_graph::Error>(())
/// ```
///
/// What took half a second or more to read is kept in the cache, and mapped from there the next time:
/// then only what is looked at takes memory.
pub fn load_series(config: &SeriesConfig) -> Result<SeriesSet> {
    load_series_with(config, &CacheOptions::default())
}

/// [`load_series`], with a say in whether and where the series is kept for the next time.
///
/// # Errors
/// As [`load_series`]. What goes wrong with the cache itself is a warning.
pub fn load_series_with(config: &SeriesConfig, options: &CacheOptions) -> Result<SeriesSet> {
    let hyphens = config.name.replace('_', "-").to_lowercase();
    let dir = config.data_dir.as_deref();
    let (name, roots) = match NAMES.contains(&hyphens.as_str()) {
        true => (hyphens, roots(dir)),
        // Whoever reads says what is wrong with a folder that is not there.
        false => match own::folder(&config.name, dir) {
            Some(folder) => ("folder".into(), vec![folder]),
            None => return read(config),
        },
    };
    let request = cache::Request {
        parameters: json!(["series", name, config.clock, config.years]),
        roots,
    };
    cache::series_through(options, &request, || read(config))
}

fn read(config: &SeriesConfig) -> Result<SeriesSet> {
    let hyphens = config.name.replace('_', "-").to_lowercase();
    let dir = config.data_dir.as_deref();
    let clock = config.clock;
    if !config.years.is_empty() && !hyphens.starts_with("largest-") {
        return Err(Error::config(
            "dataset.years",
            format!("series {} has no such option", config.name),
            "leave it out, or choose one of largest-ca, largest-gba, largest-gla, largest-sd",
        ));
    }
    match hyphens.as_str() {
        "beijing-air" => beijing_air::read(dir, clock),
        "chickenpox" => pyg_temporal::chickenpox(dir),
        "england-covid" => pyg_temporal::england_covid(dir),
        "largest-ca" | "largest-gba" | "largest-gla" | "largest-sd" => {
            largest::read(dir, &hyphens, &config.years, clock)
        }
        "metr-la" | "pems-bay" => metr::read(dir, &hyphens, clock),
        "los-loop" => los_loop::read(dir),
        "montevideo-bus" => pyg_temporal::montevideo_bus(dir),
        "pems03" | "pems04" | "pems07" | "pems08" => pems::read(dir, &hyphens),
        "pemsd7m" => pemsd7m::read(dir),
        "us-income" => us_income::read(dir),
        _ => match own::folder(&config.name, dir) {
            Some(folder) => own::read(&folder, clock),
            None => Err(Error::unknown("series", &config.name, NAMES)),
        },
    }
}

/// Whether the files of a series have time stamps, so that [`SeriesConfig::clock`] has a say; of a
/// folder they may.
pub fn has_stamps(name: &str) -> bool {
    let hyphens = name.replace('_', "-").to_lowercase();
    let stamped = ["beijing-air", "metr-la", "pems-bay"].contains(&hyphens.as_str());
    stamped || hyphens.starts_with("largest-") || !NAMES.contains(&hyphens.as_str())
}

/// What is said of a series that comes with the program.
pub(super) fn shipped(name: &str) -> Option<DatasetInfo> {
    (name == "us-income").then(us_income::info)
}

/// A file that was read, and its bytes.
fn take(path: &Path, sources: &mut Vec<SourceFile>) -> Result<Vec<u8>> {
    let bytes = files::read(path)?;
    sources.push(files::source_of(path, &bytes));
    Ok(bytes)
}

/// Latitude and longitude of `sensors`, (nodes, 2), out of a table with the columns `id`, `lat` and
/// `lon`.
fn places(
    cells: &Cells,
    path: &Path,
    sensors: &[String],
    [id, lat, lon]: [&str; 3],
) -> Result<Array2<f64>> {
    let column = |name: &str| cells.require(name, path, "fetch the original file again");
    let (ids, columns) = (column(id)?, [column(lat)?, column(lon)?]);
    let row_of: std::collections::HashMap<&str, usize> = ids
        .iter()
        .enumerate()
        .map(|(row, id)| (id.as_str(), row))
        .collect();
    let mut out = Array2::zeros((sensors.len(), 2));
    for (v, sensor) in sensors.iter().enumerate() {
        let row = *row_of.get(sensor.as_str()).ok_or_else(|| {
            Error::file(
                path,
                sensor,
                "the sensor has no position",
                "fetch the original file again",
            )
        })?;
        for (k, column) in columns.iter().enumerate() {
            out[[v, k]] = column[row].parse().map_err(|_| {
                Error::file(
                    path,
                    format!("line {}", cells.lines[row]),
                    format!("{:?} is no coordinate", column[row]),
                    "write a number in degrees",
                )
            })?;
        }
    }
    Ok(out)
}

/// The series with the places of its sensors, degrees, out of a table; as it is where there is no
/// such file.
fn with_places(
    series: Series,
    path: &Path,
    columns: [&str; 3],
    sources: &mut Vec<SourceFile>,
) -> Result<Series> {
    if !path.is_file() {
        return Ok(series);
    }
    let cells = parse_cells(&take(path, sources)?, path, &CsvConfig::default())?;
    let positions = places(&cells, path, &series.sensors, columns)?;
    series.with_positions(Positions::LatLon(positions))
}

/// Twelve steps in, twelve out, reported 3, 6 and 12 ahead: how traffic is forecast since DCRNN.
fn twelve_steps(target: &str, split: ForecastSplit, source: &str) -> ForecastProtocol {
    ForecastProtocol {
        history: 12,
        horizon: 12,
        report: vec![3, 6, 12],
        targets: vec![target.into()],
        split,
        scaling: Scaling::Zscore,
        source: source.into(),
    }
}

/// The protocol of PyTorch Geometric Temporal: the last tenth of the windows tests.
fn last_tenth(history: usize, target: &str, scaling: Scaling, source: &str) -> ForecastProtocol {
    ForecastProtocol {
        history,
        horizon: 1,
        report: vec![1],
        targets: vec![target.into()],
        split: ForecastSplit::WindowsFloor {
            train: 0.9,
            test: 0.1,
        }
        .with_validation(NINTH),
        scaling,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_missing_files_are_named() {
        let with = |name: &str, dir: &Path| {
            load_series(&SeriesConfig {
                name: name.into(),
                data_dir: Some(dir.into()),
                ..Default::default()
            })
            .unwrap_err()
            .to_string()
        };
        let folder = tempfile::tempdir().unwrap();
        assert!(with("los-lop", folder.path()).contains("did you mean \"los-loop\""));
        for name in NAMES {
            let text = with(name, folder.path());
            assert!(text.contains("--data-dir"), "{name}: {text}");
        }
    }
}
