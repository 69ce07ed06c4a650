//! `eval`: tests a run, draws its figures and writes its report; or runs a model on plain arrays.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::{cache_options, device, finish, start_log};
use crate::error::Result;
use crate::evaluation::{self, arrays};
use crate::forecast;
use crate::ops::matmul::set_precision;
use crate::report::tables;
use crate::run::{Precision, RunFolder};

/// Test a trained run, or run a model on plain arrays.
///
/// With --run (or the newest run) it writes test.json, predictions.parquet, plots/ and
/// report.html into the run's folder. With --weights it reads x (samples, nodes, time, features)
/// and an optional adjacency (target, source) from --input and writes logits to --output.
#[derive(Debug, Parser)]
#[command(
    name = "eval",
    version,
    max_term_width = 100,
    args_override_self = true
)]
pub struct EvalArgs {
    /// The run to test [default: the newest in --results]
    #[arg(long, value_name = "results/NAME", conflicts_with_all = ["weights", "arch", "input", "output"])]
    run: Option<PathBuf>,
    /// Folder of all runs
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Weights: .safetensors, or .ckpt/.pt of PyTorch
    #[arg(long, value_name = "FILE", requires_all = ["arch", "input", "output"])]
    weights: Option<PathBuf>,
    /// Model configuration: a run's config.json or its model section
    #[arg(
        id = "arch",
        long = "config",
        value_name = "FILE.json",
        requires = "weights"
    )]
    config: Option<PathBuf>,
    /// Arrays to read, .npz
    #[arg(long, value_name = "FILE.npz", requires = "weights")]
    input: Option<PathBuf>,
    /// Arrays to write, .npz
    #[arg(long, value_name = "FILE.npz", requires = "weights")]
    output: Option<PathBuf>,
    /// Forecast the steps after the last observation of a run's series, to a .csv or .parquet file
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    forecast: Option<PathBuf>,
    /// Windows per batch, for plain arrays
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch_size: usize,
    /// cpu, cuda, cuda:N or wgpu [default: that of the run, or cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Neither read nor keep preprocessed windows and series
    #[arg(long)]
    no_cache: bool,
    /// Matrix products on a GPU: exact (f32 in full precision, the same bits in every run) or fast
    /// (TF32 tensor cores on NVIDIA GPUs, relative errors of about 1e-3) [default: that of the
    /// run, or exact]
    #[arg(
        long,
        value_enum,
        value_name = "PRECISION",
        hide_possible_values = true
    )]
    precision: Option<Precision>,
}

/// The program.
pub fn main() -> ExitCode {
    let args = EvalArgs::parse();
    if args.batch_size == 0 {
        EvalArgs::command()
            .error(ErrorKind::InvalidValue, "--batch-size must be at least 1")
            .exit();
    }
    finish(run(&args))
}

fn run(args: &EvalArgs) -> Result<()> {
    start_log(None)?;
    if let (Some(weights), Some(config), Some(input), Some(output)) =
        (&args.weights, &args.config, &args.input, &args.output)
    {
        let device = device(args.device.as_deref().unwrap_or("cpu"))?;
        set_precision(args.precision.unwrap_or_default());
        let [samples, classes] =
            arrays::run(weights, config, input, output, args.batch_size, &device)?;
        say!("logits ({samples}, {classes}) -> {}", output.display());
        return Ok(());
    }
    let folder = match &args.run {
        Some(path) => RunFolder::open(path)?,
        None => RunFolder::newest(&args.results)?,
    };
    let config = folder.config()?;
    let device = device(args.device.as_deref().unwrap_or(&config.device))?;
    set_precision(args.precision.unwrap_or(config.precision));
    say!("run: {}", folder.path().display());
    if let Some(output) = &args.forecast {
        let rows =
            forecast::outlook::write(&folder, output, &device, &cache_options(args.no_cache))?;
        say!("{rows} forecasts -> {}", output.display());
        return Ok(());
    }
    if config.forecast.is_some() {
        let evaluation =
            forecast::evaluation::evaluate(&folder, &device, &cache_options(args.no_cache))?;
        say!("{}", evaluation.text());
        evaluation::write_report(&folder, &evaluation.record(&folder)?)?;
        let at = folder.path().display();
        say!(
            "written: {at}/test.json, {at}/nodes.csv, {at}/predictions.parquet, {at}/plots/, \
             {at}/report.html"
        );
        return Ok(());
    }
    let evaluation = evaluation::evaluate(&folder, &device, &cache_options(args.no_cache))?;
    say!("{}", evaluation.text());
    let record = evaluation.record(&folder, &device)?;
    if !record.folds.is_empty() {
        say!("{}", tables::folds(&record.folds).text());
    }
    evaluation::write_report(&folder, &record)?;
    let at = folder.path().display();
    say!("written: {at}/test.json, {at}/predictions.parquet, {at}/plots/, {at}/report.html");
    Ok(())
}
