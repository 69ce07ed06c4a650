//! `train`: one run, from data to checkpoints.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::json;
use tgmamba_graph::datasets::load_with;
use tgmamba_graph::scale::Scaler;
use tgmamba_graph::series::SeriesGraph;
use tgmamba_graph::split::{self, Fold};
use tgmamba_graph::topology::SensorGraph;
use tgmamba_graph::{Dataset, Series, SourceFile};

use super::device::device_quietly;
use super::flags::ConfigFlags;
use super::{cache_options, device, finish, start_log};
use crate::error::{Error, Result};
use crate::evaluation;
use crate::forecast::objective::initial_forecaster;
use crate::forecast::{self, ForecastData, Forecasting, resolve};
use crate::nn::state_dict;
use crate::ops::matmul::set_precision;
use crate::report::tables;
use crate::run::config::{merge, read_toml};
use crate::run::{Part, Provenance, RunConfig, RunFolder};
use crate::training::classification::{Classification, initial_model};
use crate::training::config::TrainingConfig;
use crate::training::data::FoldData;
use crate::training::trainer::{self, Ended, Objective, Task};

/// Train a TGMamba classifier on multi-sensor recordings, or a forecaster on a series.
///
/// Without arguments it learns the shipped data set basic-motions; with --task forecast the shipped
/// series us-income. The data set decides the task: train --dataset los-loop forecasts. Settings
/// come from defaults, then --config, then flags. The run goes to results/NAME; test it with eval.
#[derive(Debug, Parser)]
#[command(
    name = "train",
    version,
    max_term_width = 100,
    args_override_self = true
)]
pub struct TrainArgs {
    /// Settings from a TOML file with the sections of a run's config.json
    #[arg(long, value_name = "FILE.toml", help_heading = "Run")]
    config: Option<PathBuf>,
    /// Name of the run [default: date-time-dataset-model]
    #[arg(long, value_name = "NAME", help_heading = "Run")]
    name: Option<String>,
    /// Folder of all runs
    #[arg(
        long,
        value_name = "DIR",
        default_value = "results",
        help_heading = "Run"
    )]
    results: PathBuf,
    /// Continue a run where it stopped; takes its settings from the run
    #[arg(long, value_name = "results/NAME", help_heading = "Run")]
    resume: Option<PathBuf>,
    /// Processes that train folds and seeds side by side
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Run")]
    jobs: usize,
    /// Print results only
    #[arg(long, help_heading = "Run")]
    quiet: bool,
    /// Neither read nor keep preprocessed windows (see data cache)
    #[arg(long, help_heading = "Run")]
    no_cache: bool,
    /// Train every n-th part from the k-th on: what a process of --jobs does
    #[arg(long, value_name = "K/N", hide = true)]
    share: Option<String>,
    #[command(flatten)]
    flags: ConfigFlags,
}

/// A run that is ready to train.
struct Run {
    folder: RunFolder,
    config: RunConfig,
    material: Material,
    folds: Vec<Fold>,
}

/// What is learned from.
enum Material {
    Windows(Box<Dataset>),
    Series(Arc<Series>),
}

impl Material {
    fn sources(&self) -> &[SourceFile] {
        match self {
            Self::Windows(dataset) => &dataset.sources,
            Self::Series(series) => &series.sources,
        }
    }

    fn sensors(&self) -> &[String] {
        match self {
            Self::Windows(dataset) => &dataset.sensors,
            Self::Series(series) => &series.sensors,
        }
    }

    fn steps(&self) -> Option<usize> {
        match self {
            Self::Windows(_) => None,
            Self::Series(series) => Some(series.len()),
        }
    }

    /// What there is, in a line.
    fn text(&self, config: &RunConfig) -> String {
        match self {
            Self::Windows(dataset) => {
                let (n, v, l, f) = dataset.x.dim();
                format!(
                    "{n} windows of {v} sensors × {l} steps × {f} features, {} classes",
                    dataset.classes.len()
                )
            }
            Self::Series(series) => {
                let (l, v, _) = series.dim();
                let forecast = config.forecast.clone().unwrap_or_default();
                let graph = match &series.graph {
                    None => "no graph".to_string(),
                    Some(SeriesGraph::PerStep(_)) => "a graph for each step".into(),
                    Some(SeriesGraph::Static(g)) => {
                        let kind = match g.is_symmetric() {
                            true => "undirected",
                            false => "directed",
                        };
                        format!("{} edges, {kind}", g.n_edges())
                    }
                };
                format!(
                    "{l} steps of {v} sensors, {graph}; {} forecasts {} steps of {} from {}",
                    forecast.model,
                    forecast.horizon,
                    forecast.targets.join(", "),
                    forecast.history
                )
            }
        }
    }
}

/// The program.
pub fn main() -> ExitCode {
    let args = TrainArgs::parse();
    let given = match args.flags.given() {
        Ok(given) => given,
        Err(e) => usage(&e.to_string()),
    };
    if args.resume.is_some() && (!given.is_empty() || args.config.is_some() || args.name.is_some())
    {
        usage("--resume takes the settings of the run; give no other settings than --device");
    }
    if args.jobs == 0 {
        usage("--jobs must be at least 1");
    }
    finish(run(&args))
}

fn usage(message: &str) -> ! {
    TrainArgs::command()
        .error(ErrorKind::ArgumentConflict, message)
        .exit()
}

fn run(args: &TrainArgs) -> Result<()> {
    let started = Instant::now();
    let mut run = match &args.resume {
        Some(path) => reopen(path, args)?,
        None => start(args)?,
    };
    let device = match args.quiet {
        true => device_quietly(&run.config.device)?,
        false => device(&run.config.device)?,
    };
    set_precision(run.config.precision);
    let stop = stop_flag();
    let plan = run.config.parts(&run.folds);
    if args.share.is_none() && !args.quiet {
        introduce(&run, plan.len());
    }
    let finished = if args.jobs > 1 && plan.len() > 1 {
        share_out(&run, args, &stop)?
    } else {
        train_parts(&mut run, &plan, args, &device, &stop)?
    };
    if !finished {
        let again = run.folder.path().display();
        return Err(Error::config(
            "interrupted",
            "the training was stopped before its end",
            format!("continue it with train --resume {again}"),
        ));
    }
    if args.share.is_some() {
        return Ok(());
    }
    let seconds = started.elapsed().as_secs_f64();
    if run.folds.iter().any(|f| f.test.is_empty()) {
        say!("trained in {seconds:.1} s; there is no test part to evaluate");
        return Ok(());
    }
    let text = match run.material {
        Material::Windows(_) => {
            evaluation::evaluate(&run.folder, &device, &cache_options(args.no_cache))?.text()
        }
        Material::Series(_) => forecast::evaluation::evaluate(&run.folder, &device)?.text(),
    };
    say!("\n{text}");
    say!(
        "trained in {seconds:.1} s; see plots and the report with\n  cargo run --release --bin eval -- --run {}",
        run.folder.path().display()
    );
    Ok(())
}

/// A flag that SIGINT and SIGTERM set; the second signal ends the program at once.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        eprintln!("stopping after this step; once more to stop at once");
    };
    // Without a handler a signal ends the program, which a run survives as well.
    drop(ctrlc::set_handler(handler));
    stop
}

fn start(args: &TrainArgs) -> Result<Run> {
    let mut user = match &args.config {
        Some(path) => read_toml(path)?,
        None => json!({}),
    };
    merge(&mut user, args.flags.to_value()?);
    let task = resolve::task_of(&user, args.flags.data.task())?;
    let (mut config, material, folds) = match task {
        resolve::Task::Classification => {
            let (config, dataset) = RunConfig::resolve(user, &cache_options(args.no_cache))?;
            let folds = split::plan(&dataset, &config.split)?;
            (config, Material::Windows(Box::new(dataset)), folds)
        }
        resolve::Task::Forecast => {
            let resolve::Resolved {
                config,
                series,
                folds,
            } = resolve::resolve(user)?;
            (config, Material::Series(series), folds)
        }
    };
    device::check(&config.device)?;
    let now = jiff::Zoned::now();
    let name = {
        let dataset = config.dataset.name.trim_end_matches('/');
        let dataset = dataset.rsplit('/').next().unwrap_or(dataset);
        let model = match &config.forecast {
            Some(forecast) => forecast.model.to_string(),
            None => {
                let model = serde_json::to_value(config.model.conv_type).unwrap_or_default();
                model.as_str().unwrap_or("tgmamba").to_string()
            }
        };
        let stamp = now.strftime("%Y%m%d-%H%M%S");
        format!("{stamp}-{dataset}-{model}")
    };
    config.provenance = Some(Provenance {
        version: env!("CARGO_PKG_VERSION").into(),
        command: command_line(),
        started: now.strftime("%F %T %Z").to_string(),
        sources: material.sources().to_vec(),
        sensors: material.sensors().to_vec(),
        classes: match &material {
            Material::Windows(dataset) => dataset.classes.clone(),
            Material::Series(_) => vec![],
        },
        steps: material.steps(),
        part: None,
        sizes: None,
        parameters: None,
        graph: None,
        scaler: None,
    });
    // Whatever is wrong with graph, scale or features shows before there is a folder.
    if let (Some(first), Material::Windows(dataset)) = (folds.first(), &material) {
        FoldData::new(dataset, first.clone(), &config)?;
    }
    let folder = match &args.name {
        Some(name) => RunFolder::create(&args.results, name)?,
        None => RunFolder::create_numbered(&args.results, &name)?,
    };
    start_log(Some(&folder.path().join("run.log")))?;
    folder.write_config(&config)?;
    Ok(Run {
        folder,
        config,
        material,
        folds,
    })
}

fn command_line() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quoted = arguments.iter().map(|a| {
        if a.contains(char::is_whitespace) {
            format!("'{a}'")
        } else {
            a.clone()
        }
    });
    let arguments: Vec<String> = quoted.collect();
    format!("cargo run --release --bin train -- {}", arguments.join(" "))
        .trim_end_matches(" -- ")
        .to_string()
}

fn reopen(path: &Path, args: &TrainArgs) -> Result<Run> {
    let folder = RunFolder::open(path)?;
    let mut config = folder.config()?;
    let log = args.share.is_none().then(|| folder.path().join("run.log"));
    start_log(log.as_deref())?;
    if let Some(device) = &args.flags.run.device {
        config.device = device.clone();
    }
    let (material, folds) = match config.forecast {
        None => {
            let dataset = load_with(&config.dataset, &cache_options(args.no_cache))?;
            let folds = split::plan(&dataset, &config.split)?;
            (Material::Windows(Box::new(dataset)), folds)
        }
        Some(_) => {
            let series = resolve::load(&config)?;
            let folds = resolve::folds(&config, series.len())?;
            (Material::Series(series), folds)
        }
    };
    evaluation::check_files(&folder, &config, material.sources())?;
    Ok(Run {
        folder,
        config,
        material,
        folds,
    })
}

fn introduce(run: &Run, parts: usize) {
    say!(
        "{}: {}",
        run.config.dataset.name,
        run.material.text(&run.config)
    );
    if parts > 1 {
        say!(
            "{parts} parts: {} folds × {} seeds",
            run.folds.len(),
            run.config.seeds
        );
    }
    say!("run folder: {}", run.folder.path().display());
}

/// Trains what is left of the parts; false if stopped.
fn train_parts(
    run: &mut Run,
    plan: &[Part],
    args: &TrainArgs,
    device: &burn::tensor::Device,
    stop: &AtomicBool,
) -> Result<bool> {
    let (first, step) = share(args)?;
    for (i, part) in plan.iter().enumerate().skip(first).step_by(step) {
        let place = run.folder.part(part, plan.len());
        let fold = run.folds[part.index].clone();
        let label = if plan.len() > 1 {
            format!("[{}/{}] {}  ", i + 1, plan.len(), part.label())
        } else {
            String::new()
        };
        let training = &run.config.training;
        let place_of = Place {
            folder: place.path(),
            seed: part.seed,
            device,
            stop,
            label: &label,
            verbose: !args.quiet,
        };
        let ended = match &run.material {
            Material::Windows(dataset) => {
                let data = FoldData::new(dataset, fold, &run.config)?;
                let facts = Facts::of_windows(run, part, &data, device)?;
                describe_part(run, part, &place, facts, plan.len())?;
                let model = &run.config.model;
                let objective = Classification::new(model, training, &data, part.seed, device)?;
                place_of.train(&objective, training)?
            }
            Material::Series(series) => {
                let data =
                    ForecastData::new(Arc::clone(series), fold, resolve::section(&run.config)?)?;
                let naive = data.config.model.is_naive();
                let facts = Facts::of_series(run, part, &data, device)?;
                describe_part(run, part, &place, facts, plan.len())?;
                if naive {
                    // Nothing to learn; the folder marks the part as done.
                    let folder = place.path().join("checkpoints");
                    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
                    continue;
                }
                let model = &run.config.model;
                let objective = Forecasting::new(&data, model, training, part.seed, device);
                place_of.train(&objective, training)?
            }
        };
        match ended {
            Ended::Interrupted { epoch, batch } => {
                log::info!("stopped in epoch {epoch} after batch {batch}");
                return Ok(false);
            }
            Ended::Finished {
                best_epoch,
                best_value,
                epochs,
                loader_share,
            } => {
                let metric = match run.material {
                    Material::Windows(_) => run.config.training.metric.to_string(),
                    Material::Series(_) => "MAE".into(),
                };
                let value = best_value.map(|v| format!(", val {metric} {v:.4}"));
                let share = loader_share
                    .map(|s| format!(", {:.1} % of the time waiting for data", s * 100.0));
                let line = format!(
                    "{label}best epoch {best_epoch} of {epochs}{}{}",
                    value.unwrap_or_default(),
                    share.unwrap_or_default()
                );
                log::info!("{line}");
                say!("{line}");
            }
        }
    }
    Ok(true)
}

/// Where and how a part is trained.
struct Place<'a> {
    folder: &'a Path,
    seed: u64,
    device: &'a burn::tensor::Device,
    stop: &'a AtomicBool,
    label: &'a str,
    verbose: bool,
}

impl Place<'_> {
    fn train<O: Objective>(&self, objective: &O, training: &TrainingConfig) -> Result<Ended> {
        trainer::train(&Task {
            objective,
            training,
            seed: self.seed,
            folder: self.folder,
            device: self.device,
            stop: self.stop,
            label: self.label,
            verbose: self.verbose,
        })
    }
}

/// What is known of a part once its data are prepared.
struct Facts {
    sizes: [usize; 3],
    parameters: usize,
    graph: Option<SensorGraph>,
    scaler: Option<Scaler>,
}

fn parameters<M: burn::module::Module>(model: &M) -> usize {
    let tensors = state_dict::collect(model);
    tensors.values().map(|t| t.values.len()).sum()
}

fn sizes(fold: &Fold) -> [usize; 3] {
    [fold.train.len(), fold.validation.len(), fold.test.len()]
}

impl Facts {
    fn of_windows(
        run: &Run,
        part: &Part,
        data: &FoldData,
        device: &burn::tensor::Device,
    ) -> Result<Self> {
        let model = initial_model(&run.config.model, part.seed, device)?;
        Ok(Self {
            sizes: sizes(&data.fold),
            parameters: parameters(&model),
            graph: Some(data.graph.clone()),
            scaler: Some(data.scaler.clone()),
        })
    }

    fn of_series(
        run: &Run,
        part: &Part,
        data: &ForecastData,
        device: &burn::tensor::Device,
    ) -> Result<Self> {
        Ok(Self {
            sizes: sizes(&data.fold),
            parameters: match data.config.model.is_naive() {
                true => 0,
                false => parameters(&initial_forecaster(
                    data,
                    &run.config.model,
                    part.seed,
                    device,
                )?),
            },
            graph: None,
            scaler: None,
        })
    }
}

/// Stores what is known once a part's data are prepared; what stands there already stays.
fn describe_part(
    run: &Run,
    part: &Part,
    place: &RunFolder,
    facts: Facts,
    parts: usize,
) -> Result<()> {
    let done = RunFolder::open(place.path()).and_then(|p| p.config());
    if done.is_ok_and(|c| c.provenance.is_some_and(|p| p.part.is_some())) {
        return Ok(());
    }
    let mut config = run.config.clone();
    if parts > 1 {
        config.seed = part.seed;
        config.seeds = 1;
    }
    if let Some(provenance) = &mut config.provenance {
        provenance.part = Some(part.clone());
        provenance.sizes = Some(facts.sizes);
        provenance.parameters = Some(facts.parameters);
        provenance.graph = facts.graph;
        provenance.scaler = facts.scaler;
    }
    place.write_config(&config)
}

/// First part and step of this process.
fn share(args: &TrainArgs) -> Result<(usize, usize)> {
    let Some(text) = &args.share else {
        return Ok((0, 1));
    };
    text.split_once('/')
        .and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)))
        .filter(|(k, n)| k < n)
        .ok_or_else(|| Error::config("--share", format!("\"{text}\" is no share"), "give 0/2"))
}

/// Runs this program once per job on its share of the parts; false if one was stopped.
fn share_out(run: &Run, args: &TrainArgs, stop: &AtomicBool) -> Result<bool> {
    let program = std::env::current_exe().map_err(|e| Error::io("train", e))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut children = Vec::with_capacity(args.jobs);
    for k in 0..args.jobs {
        let mut command = Command::new(&program);
        command
            .arg("--resume")
            .arg(run.folder.path())
            .arg("--share")
            .arg(format!("{k}/{}", args.jobs))
            .arg("--quiet")
            .arg("--device")
            .arg(&run.config.device)
            .env("RAYON_NUM_THREADS", cores.div_ceil(args.jobs).to_string())
            .stdin(Stdio::null());
        if args.no_cache {
            command.arg("--no-cache");
        }
        children.push(command.spawn().map_err(|e| Error::io(&program, e))?);
    }
    let mut finished = true;
    for mut child in children {
        let status = child.wait().map_err(|e| Error::io(&program, e))?;
        finished &= status.success();
    }
    if !finished && !stop.load(Ordering::Relaxed) {
        return Err(Error::config(
            "--jobs",
            "a process of the run failed",
            format!(
                "see its message above, then continue with train --resume {}",
                run.folder.path().display()
            ),
        ));
    }
    Ok(finished)
}

impl evaluation::Evaluation {
    /// Test metrics as a table for the terminal.
    pub fn text(&self) -> String {
        if let [only] = self.parts() {
            return format!(
                "test, {} windows (95 % bootstrap intervals)\n{}",
                only.test.samples,
                tables::test(&only.test).text()
            );
        }
        let mut table = tables::Table::new(&["metric", "parts", "seeds", "subjects"]);
        let cell = |column: &std::collections::BTreeMap<String, _>, name: &String| {
            column
                .get(name)
                .map(|s: &crate::training::metrics::Summary| s.to_string())
                .unwrap_or_default()
        };
        let summary = &self.summary;
        for name in summary.parts.keys() {
            table.rows.push(vec![
                name.clone(),
                cell(&summary.parts, name),
                cell(&summary.seeds, name),
                cell(&summary.subjects, name),
            ]);
        }
        format!(
            "test, mean ± sd over parts, seeds and subjects\n{}",
            table.text()
        )
    }
}
