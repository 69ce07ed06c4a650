//! `train`: one run, from data to checkpoints.

mod jobs;
mod material;
mod parts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::json;
use tgmamba_graph::datasets::load_with;
use tgmamba_graph::split::{self, Fold};

use super::device::device_quietly;
use super::flags::ConfigFlags;
use super::{cache_options, command_line, device, finish, start_log, stop_flag};
use crate::error::{Error, Result};
use crate::evaluation;
use crate::forecast::{self, resolve};
use crate::ops::matmul::set_precision;
use crate::run::config::{merge, read_toml};
use crate::run::{Provenance, RunConfig, RunFolder};
use crate::training::data::FoldData;
use jobs::share_out;
use material::Material;
use parts::train_parts;

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
    /// Neither read nor keep preprocessed windows and series (see data cache)
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

/// The program.
pub fn main() -> ExitCode {
    let args = TrainArgs::parse();
    let given = match args.flags.given() {
        Ok(given) => given,
        Err(e) => usage(&e.to_string()),
    };
    if args.resume.is_some() && (!given.is_empty() || args.config.is_some() || args.name.is_some())
    {
        usage(
            "--resume takes the settings of the run; give no other settings than --device and --launch",
        );
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
        Material::Series(_) => {
            forecast::evaluation::evaluate(&run.folder, &device, &cache_options(args.no_cache))?
                .text()
        }
    };
    say!("\n{text}");
    say!(
        "trained in {seconds:.1} s; see plots and the report with\n  cargo run --release --bin eval -- --run {}",
        run.folder.path().display()
    );
    Ok(())
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
            } = resolve::resolve(user, &cache_options(args.no_cache))?;
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
        command: command_line("train"),
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

fn reopen(path: &Path, args: &TrainArgs) -> Result<Run> {
    let folder = RunFolder::open(path)?;
    let mut config = folder.config()?;
    let log = args.share.is_none().then(|| folder.path().join("run.log"));
    start_log(log.as_deref())?;
    if let Some(device) = &args.flags.run.device {
        config.device = device.clone();
    }
    config.training.launch |= args.flags.training.launch;
    let (material, folds) = match config.forecast {
        None => {
            let dataset = load_with(&config.dataset, &cache_options(args.no_cache))?;
            let folds = split::plan(&dataset, &config.split)?;
            (Material::Windows(Box::new(dataset)), folds)
        }
        Some(_) => {
            let series = resolve::load(&config, &cache_options(args.no_cache))?;
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
