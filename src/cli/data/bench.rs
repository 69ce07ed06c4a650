//! `data bench`: how fast files become batches, beside Python doing the same in the same run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Args;
use ndarray::Array3;
use serde_json::{Value, json};
use tgmamba_graph::cache::{CacheMode, CacheOptions};
use tgmamba_graph::datasets::{
    self, DatasetConfig, Purpose, SeriesConfig, SeriesSet, State, load_series_with, load_with,
};
use tgmamba_graph::formats::npy::{read_npy, write_npz};
use tgmamba_graph::speed::{BATCH_CASES, BatchCase, LARGE_CASES, cached_batches, edf_windows};
use tgmamba_graph::split::Fold;
use tgmamba_graph::topology::GraphConfig;

use super::super::{cache_options, device};
use super::Place;
use super::text::bytes;
use crate::error::{Error, Result};
use crate::report::tables::Table;
use crate::run::RunConfig;
use crate::training::classification::Classification;
use crate::training::data::FoldData;
use crate::training::trainer::{self, Ended};

const PANDAS: &str = include_str!("../../../graph/benches/beijing_air_pandas.py");
const MNE: &str = include_str!("../../../graph/benches/edf_mne.py");

/// The electrodes that the script for MNE reads.
const ELECTRODES: [&str; 19] = [
    "Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4", "T5", "T6", "P3", "P4", "O1",
    "O2", "Fz", "Cz", "Pz",
];

/// Time how files become batches, beside Python doing the same
///
/// CSV files (beijing-air) to an array, beside pandas; EDF files (eegmat) filtered, resampled and
/// cut, beside MNE; every data set that is there, cold and from the cache; batches out of a warm cache, beside a plain copy of memory; how long training
/// waits for its data. A part whose files are not in the data directory says so.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// A Python with pandas and mne, for the comparison
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// How often files are read; the fastest counts
    #[arg(long, value_name = "N", default_value_t = 7)]
    repeats: usize,
    /// How long batches are taken of each kind
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Also a million windows and the whole of LargeST: 8 GB of disk and of memory
    #[arg(long)]
    large: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &BenchArgs) -> Result<()> {
    let bench = Bench {
        args,
        scratch: Scratch::new()?,
    };
    say!(
        "{} threads, best of {}; ratio: their time over ours",
        rayon::current_num_threads(),
        args.repeats.max(1)
    );
    if args.python.is_none() {
        say!("without a Python (--python PATH) there is nothing to compare with");
    }
    say!("\nCSV to array and mask");
    bench.csv()?;
    say!("\nEDF to windows");
    bench.edf()?;
    say!("\ndata sets that are here, files to windows");
    bench.sets()?;
    say!("\nwarm cache to batches");
    bench.batches()?;
    say!("\nshare of a training epoch that waits for data");
    bench.epochs()
}

struct Bench<'a> {
    args: &'a BenchArgs,
    scratch: Scratch,
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tgmamba-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        Ok(Self(path))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Bench<'_> {
    /// The folder of a set that is there.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        let all = datasets::list(self.args.place.data_dir.as_deref());
        let set = all.into_iter().find(|s| s.name == name)?;
        match set.state {
            State::Here(folder) => Some(folder),
            _ => {
                say!("  {name} is not here: see data list");
                None
            }
        }
    }

    fn repeats(&self) -> String {
        self.args.repeats.max(1).to_string()
    }

    /// The least time of several runs, and what the last gave.
    fn best<T>(&self, mut run: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
        let mut time = f64::INFINITY;
        let mut last = run()?;
        for _ in 0..self.args.repeats.max(1) {
            let started = Instant::now();
            last = run()?;
            time = time.min(started.elapsed().as_secs_f64());
        }
        Ok((time, last))
    }

    /// What a script prints; `None` without a Python, or, with a line that says so, when it fails.
    fn python(&self, script: &str, arguments: &[&OsStr]) -> Option<Value> {
        let python = self.args.python.as_ref()?;
        let path = self.scratch.0.join("script.py");
        let run = || -> std::result::Result<Value, String> {
            std::fs::write(&path, script).map_err(|e| e.to_string())?;
            let output = Command::new(python)
                .arg(&path)
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .map_err(|e| e.to_string())?;
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors.lines().last().unwrap_or_default().to_string();
            serde_json::from_slice(&output.stdout).map_err(|_| last)
        };
        match run() {
            Ok(value) => Some(value),
            Err(problem) => {
                say!("  {} gives no figures: {problem}", python.display());
                None
            }
        }
    }

    fn csv(&self) -> Result<()> {
        if self.folder("beijing-air").is_none() {
            return Ok(());
        }
        let config = SeriesConfig {
            name: "beijing-air".into(),
            data_dir: self.args.place.data_dir.clone(),
            ..Default::default()
        };
        let (ours, set) = self.best(|| load_series_with(&config, &CacheOptions::off()))?;
        let SeriesSet { series, .. } = set;
        let read = series.sources.iter().map(|s| s.bytes).sum();
        say!(
            "  beijing-air, {} to {:?}, its SHA-256 taken",
            bytes(read),
            series.dim()
        );
        let mut table = Table::new(&["", "seconds", "ratio"]);
        row(&mut table, "ours", ours, None);
        let path = self.scratch.folder("csv")?.join("ours.npz");
        let observed = match series.observed() {
            Some(o) => o.mapv(f32::from),
            None => Array3::ones(series.dim()),
        };
        let arrays = [
            ("values", series.values().to_owned().into_dyn()),
            ("observed", observed.into_dyn()),
        ];
        write_npz(&path, &arrays)?;
        let source = series
            .sources
            .first()
            .map(|s| s.path.as_path())
            .unwrap_or(Path::new(""));
        if let Some(theirs) = self.python(
            PANDAS,
            &[
                source.as_os_str(),
                self.repeats().as_ref(),
                path.as_os_str(),
            ],
        ) {
            let version = theirs["version"].as_str().unwrap_or("?");
            for (name, key) in [("one thread", "one"), ("two threads", "two")] {
                let seconds = theirs[key].as_f64().unwrap_or(f64::NAN);
                row(
                    &mut table,
                    &format!("pandas {version}, {name}"),
                    seconds,
                    Some(ours),
                );
            }
            say!("  largest difference to pandas: {}", theirs["difference"]);
        }
        show(&table);
        Ok(())
    }

    fn edf(&self) -> Result<()> {
        let Some(folder) = self.folder("eegmat") else {
            return Ok(());
        };
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
            .map_err(|e| Error::io(&folder, e))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "edf"))
            .collect();
        paths.sort();
        let (mut windows, mut laps) = edf_windows(&paths, &ELECTRODES)?;
        let mut total = f64::INFINITY;
        for _ in 0..self.args.repeats.max(1) {
            let (again, steps) = edf_windows(&paths, &ELECTRODES)?;
            windows = again;
            total = total.min(steps.iter().map(|l| l.seconds).sum());
            for (best, lap) in laps.iter_mut().zip(steps) {
                best.seconds = best.seconds.min(lap.seconds);
            }
        }
        say!(
            "  eegmat, {} files to {:?}: 0.5 to 45 Hz forward and backward, 200 Hz, 5 s",
            paths.len(),
            windows.dim()
        );
        let out = self.scratch.folder("edf")?.join("windows.npy");
        let repeats = self.repeats();
        let mut arguments = vec![repeats.as_ref(), out.as_os_str()];
        arguments.extend(paths.iter().map(|p| p.as_os_str()));
        let theirs = self.python(MNE, &arguments);
        let mut table = Table::new(&["", "ours, s", "MNE, s", "ratio"]);
        let of = |key: &str| theirs.as_ref().and_then(|t| t[key].as_f64());
        let mut add = |name: &str, ours: f64, key: &str| {
            let mut cells = vec![name.to_string(), format!("{ours:.4}")];
            if let Some(theirs) = of(key) {
                cells.extend([format!("{theirs:.4}"), format!("{:.1}", theirs / ours)]);
            }
            table.rows.push(cells);
        };
        for lap in &laps {
            add(lap.step, lap.seconds, lap.step);
        }
        add("total", total, "total");
        if theirs.is_some() {
            add("total, MNE with two jobs", total, "two jobs");
        }
        show(&table);
        if theirs.is_some() && out.is_file() {
            let theirs = read_npy(&out)?.into_f32(&out, "windows")?;
            match theirs.shape() == windows.shape() {
                true => say!(
                    "  difference to MNE: {:.1e} of the root mean square",
                    difference(&windows, &theirs)
                ),
                false => say!("  MNE has windows {:?}", theirs.shape()),
            }
        }
        Ok(())
    }

    fn sets(&self) -> Result<()> {
        let mut table = Table::new(&[
            "data set",
            "files",
            "read",
            "windows",
            "classes or horizons",
            "graph",
            "cold, s",
            "cached, s",
        ]);
        for set in datasets::list(self.args.place.data_dir.as_deref()) {
            if !matches!(set.state, State::Here(_)) {
                continue;
            }
            let row = match set.purpose {
                Purpose::Classification => self.classified(&set.name),
                Purpose::Forecasting => self.forecast(&set.name),
                Purpose::Table => continue,
            };
            match row {
                Ok(row) => table.rows.push(row),
                Err(e) => say!("  {}: {e}", set.name),
            }
        }
        show(&table);
        Ok(())
    }

    /// A row of a set whose windows have classes; they are kept in a cache and opened again.
    fn classified(&self, name: &str) -> Result<Vec<String>> {
        let config = DatasetConfig {
            name: name.into(),
            data_dir: self.args.place.data_dir.clone(),
            ..Default::default()
        };
        let options = CacheOptions {
            mode: CacheMode::Always,
            folder: Some(self.scratch.folder("sets")?),
        };
        let started = Instant::now();
        let data = load_with(&config, &options)?;
        let cold = started.elapsed().as_secs_f64();
        let started = Instant::now();
        load_with(&config, &options)?;
        let cached = started.elapsed().as_secs_f64();
        let (n, v, l, f) = data.x.dim();
        Ok(vec![
            name.into(),
            data.sources.len().to_string(),
            bytes(data.sources.iter().map(|s| s.bytes).sum()),
            format!("{n} × ({v}, {l}, {f})"),
            format!("{} classes", data.classes.len()),
            GraphConfig::for_dataset(&data).kind().into(),
            format!("{cold:.3}"),
            format!("{cached:.3}"),
        ])
    }

    /// A row of a series; those that are here take too little time to be kept.
    fn forecast(&self, name: &str) -> Result<Vec<String>> {
        let config = SeriesConfig {
            name: name.into(),
            data_dir: self.args.place.data_dir.clone(),
            ..Default::default()
        };
        let started = Instant::now();
        let SeriesSet {
            series, protocol, ..
        } = load_series_with(&config, &CacheOptions::off())?;
        let cold = started.elapsed().as_secs_f64();
        let starts = protocol
            .split
            .starts(series.len(), protocol.history, protocol.horizon)?;
        let n = starts.train.len() + starts.validation.len() + starts.test.len();
        let (_, v, f) = series.dim();
        let horizons: Vec<String> = protocol.report.iter().map(usize::to_string).collect();
        let graph = match &series.graph {
            Some(graph) if graph.is_dynamic() => "given, one a step".into(),
            Some(graph) => format!("given, {} edges", graph.at(0).map_or(0, |g| g.n_edges())),
            None => "none".into(),
        };
        Ok(vec![
            name.into(),
            series.sources.len().to_string(),
            bytes(series.sources.iter().map(|s| s.bytes).sum()),
            format!("{n} × ({v}, {}, {f})", protocol.history + protocol.horizon),
            format!("{} steps", horizons.join(", ")),
            graph,
            format!("{cold:.3}"),
            "–".into(),
        ])
    }

    fn batches(&self) -> Result<()> {
        let time = Duration::from_secs_f64(self.args.seconds.clamp(0.01, 600.0));
        let mut table = Table::new(&[
            "made-up windows",
            "number",
            "batch",
            "cold, s",
            "cached, s",
            "GB/s",
            "scaled, GB/s",
            "copy, GB/s",
            "of copy",
        ]);
        let large: &[BatchCase] = if self.args.large { &LARGE_CASES } else { &[] };
        for case in BATCH_CASES.iter().chain(large) {
            let folder = self.scratch.folder("batches")?;
            let speed = cached_batches(case, &folder, time)?;
            let gigabytes = |rate: f64| format!("{:.2}", rate / 1e9);
            table.rows.push(vec![
                case.name.into(),
                speed.windows.to_string(),
                bytes(speed.plain.batch_bytes as u64),
                format!("{:.3}", speed.cold),
                format!("{:.4}", speed.cached),
                gigabytes(speed.plain.loaded),
                gigabytes(speed.scaled.loaded),
                gigabytes(speed.plain.copied),
                format!("{:.0} %", 100.0 * speed.plain.ratio()),
            ]);
            std::fs::remove_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        }
        show(&table);
        Ok(())
    }

    fn epochs(&self) -> Result<()> {
        let mut table = Table::new(&["two epochs on the CPU", "windows", "waiting"]);
        let raw = json!({"kind": "raw", "decimate": 4});
        for (name, features) in [("basic-motions", Value::Null), ("eegmat", raw)] {
            if self.folder(name).is_none() {
                continue;
            }
            let mut user = json!({
                "dataset": {"name": name, "data_dir": self.args.place.data_dir},
                "model": {"d_model": 16, "n_layers": 1, "d_state": 8},
                "training": {"epochs": 2, "batch_size": 8, "warmup_epochs": 0, "metric": "loss"},
            });
            if !features.is_null() {
                user["dataset"]["features"] = features;
            }
            let (windows, share) = self.epoch(user, name)?;
            let share = share.map_or("–".into(), |s| format!("{:.2} %", 100.0 * s));
            table
                .rows
                .push(vec![name.into(), windows.to_string(), share]);
        }
        show(&table);
        Ok(())
    }

    /// Windows of the training part, and the share of two epochs that waits for them.
    fn epoch(&self, user: Value, name: &str) -> Result<(usize, Option<f64>)> {
        let (config, dataset) = RunConfig::resolve(user, &cache_options(true))?;
        // Nothing is to be learned: all windows train.
        let fold = Fold {
            name: name.into(),
            train: (0..dataset.x.len()).collect(),
            validation: Vec::new(),
            test: Vec::new(),
        };
        let data = FoldData::new(&dataset, fold, &config)?;
        let stop = AtomicBool::new(false);
        let device = device("cpu")?;
        let objective = Classification::new(&config.model, &config.training, &data, 0, &device)?;
        let ended = trainer::train(&trainer::Task {
            objective: &objective,
            training: &config.training,
            seed: 0,
            folder: &self.scratch.folder(name)?,
            device: &device,
            stop: &stop,
            label: "",
            verbose: false,
        })?;
        let share = match ended {
            Ended::Finished { loader_share, .. } => loader_share,
            Ended::Interrupted { .. } => None,
        };
        Ok((data.fold.train.len(), share))
    }
}

fn row(table: &mut Table, name: &str, seconds: f64, ours: Option<f64>) {
    let ratio = ours.map_or(String::new(), |ours| format!("{:.1}", seconds / ours));
    table
        .rows
        .push(vec![name.into(), format!("{seconds:.3}"), ratio]);
}

fn show(table: &Table) {
    for line in table.text().lines() {
        say!("  {line}");
    }
}

/// Root mean square of the difference over that of `theirs`.
fn difference(ours: &Array3<f32>, theirs: &ndarray::ArrayD<f32>) -> f64 {
    let mut square = (0.0, 0.0);
    for (a, b) in ours.iter().zip(theirs) {
        square.0 += f64::from(a - b).powi(2);
        square.1 += f64::from(*b).powi(2);
    }
    (square.0 / square.1).sqrt()
}
