//! `train`: one run, from data to checkpoints.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{CommandFactory, Parser, error::ErrorKind};
use serde_json::json;
use tgmamba_graph::Dataset;
use tgmamba_graph::datasets::load_with;
use tgmamba_graph::split::{self, Fold};

use super::device::device_quietly;
use super::flags::ConfigFlags;
use super::{cache_options, device, finish, start_log};
use crate::error::{Error, Result};
use crate::evaluation;
use crate::models::Classifier;
use crate::nn::state_dict;
use crate::ops::matmul::set_precision;
use crate::report::tables;
use crate::run::config::{merge, read_toml};
use crate::run::{Part, Provenance, RunConfig, RunFolder};
use crate::training::data::FoldData;
use crate::training::trainer::{self, Ended, Task};

/// Train a TGMamba classifier on multi-sensor recordings.
///
/// Without arguments it learns the shipped data set basic-motions. Settings come from defaults,
/// then --config, then flags. The run goes to results/NAME; test it with eval.
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
    dataset: Dataset,
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
    let evaluation = evaluation::evaluate(&run.folder, &device, &cache_options(args.no_cache))?;
    say!("\n{}", evaluation.text());
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
    let (mut config, dataset) = RunConfig::resolve(user, &cache_options(args.no_cache))?;
    device::check(&config.device)?;
    let folds = split::plan(&dataset, &config.split)?;
    let now = jiff::Zoned::now();
    let name = {
        let dataset = config.dataset.name.trim_end_matches('/');
        let dataset = dataset.rsplit('/').next().unwrap_or(dataset);
        let model = serde_json::to_value(config.model.conv_type).unwrap_or_default();
        let stamp = now.strftime("%Y%m%d-%H%M%S");
        format!("{stamp}-{dataset}-{}", model.as_str().unwrap_or("tgmamba"))
    };
    config.provenance = Some(Provenance {
        version: env!("CARGO_PKG_VERSION").into(),
        command: command_line(),
        started: now.strftime("%F %T %Z").to_string(),
        sources: dataset.sources.clone(),
        sensors: dataset.sensors.clone(),
        classes: dataset.classes.clone(),
        part: None,
        sizes: None,
        parameters: None,
        graph: None,
        scaler: None,
    });
    // Whatever is wrong with graph, scale or features shows before there is a folder.
    if let Some(first) = folds.first() {
        FoldData::new(&dataset, first.clone(), &config)?;
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
        dataset,
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
    let dataset = load_with(&config.dataset, &cache_options(args.no_cache))?;
    evaluation::check_sources(&folder, &config, &dataset)?;
    let folds = split::plan(&dataset, &config.split)?;
    Ok(Run {
        folder,
        config,
        dataset,
        folds,
    })
}

fn introduce(run: &Run, parts: usize) {
    let (n, v, l, f) = run.dataset.x.dim();
    say!(
        "{}: {n} windows of {v} sensors × {l} steps × {f} features, {} classes",
        run.config.dataset.name,
        run.dataset.classes.len()
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
        let data = FoldData::new(&run.dataset, fold, &run.config)?;
        let label = if plan.len() > 1 {
            format!("[{}/{}] {}  ", i + 1, plan.len(), part.label())
        } else {
            String::new()
        };
        describe_part(run, part, &place, &data, plan.len(), device)?;
        let task = Task {
            model: &run.config.model,
            training: &run.config.training,
            data: &data,
            seed: part.seed,
            folder: place.path(),
            device,
            stop,
            label: &label,
            verbose: !args.quiet,
        };
        match trainer::train(&task)? {
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
                let metric = run.config.training.metric;
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

/// Stores what is known once a part's data are prepared; what stands there already stays.
fn describe_part(
    run: &Run,
    part: &Part,
    place: &RunFolder,
    data: &FoldData,
    parts: usize,
    device: &burn::tensor::Device,
) -> Result<()> {
    let done = RunFolder::open(place.path()).and_then(|p| p.config());
    if done.is_ok_and(|c| c.provenance.is_some_and(|p| p.part.is_some())) {
        return Ok(());
    }
    let model: Classifier = trainer::initial_model(&run.config.model, part.seed, device)?;
    let parameters = state_dict::collect(&model)
        .values()
        .map(|t| t.values.len())
        .sum();
    let mut config = run.config.clone();
    if parts > 1 {
        config.seed = part.seed;
        config.seeds = 1;
    }
    if let Some(provenance) = &mut config.provenance {
        let fold = &data.fold;
        provenance.part = Some(part.clone());
        provenance.sizes = Some([fold.train.len(), fold.validation.len(), fold.test.len()]);
        provenance.parameters = Some(parameters);
        provenance.graph = Some(data.graph.clone());
        provenance.scaler = Some(data.scaler.clone());
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
