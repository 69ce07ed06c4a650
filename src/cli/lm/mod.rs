//! `lm`: language models, from published checkpoints or trained here.

mod bench;
mod convert;
mod generate;
mod inspect;
mod train;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use clap::{Args, Parser, Subcommand};

use super::{finish, start_log};
use crate::error::Result;
use crate::lm::checkpoint::{self, Loaded, Storage};
use crate::lm::sampling::Sampling;
use crate::lm::tokenizer::Tokenizer;

/// Train Mamba language models, continue texts with them, convert and measure them.
#[derive(Debug, Parser)]
#[command(name = "lm", version, max_term_width = 100, args_override_self = true)]
struct LmArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(generate::GenerateArgs),
    Convert(convert::ConvertArgs),
    Bench(bench::BenchArgs),
    Inspect(inspect::InspectArgs),
    Train(Box<train::TrainArgs>),
}

/// Where a model computes, and how.
#[derive(Debug, Args)]
struct Computing {
    /// cpu, cuda, cuda:N or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// How matrices are kept in memory; everything else is f32 [default: as in the file]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<Storage>,
    /// On a GPU: launch the kernels of a token one by one instead of running a recording of them
    #[arg(long)]
    launch: bool,
}

/// How tokens are chosen.
#[derive(Debug, Args)]
struct Choosing {
    /// Divide logits by it; 0 for the most likely token
    #[arg(long, value_name = "T", help_heading = "Sampling")]
    temperature: Option<f64>,
    /// Keep the K most likely tokens; 0 for all, 1 for the most likely [default: 1, or 0 where
    /// another setting of sampling is given]
    #[arg(long, alias = "topk", value_name = "K", help_heading = "Sampling")]
    top_k: Option<usize>,
    /// Keep the most likely tokens that hold probability P together
    #[arg(long, alias = "topp", value_name = "P", help_heading = "Sampling")]
    top_p: Option<f64>,
    /// Keep tokens at least P times as likely as the most likely one
    #[arg(long, alias = "minp", value_name = "P", help_heading = "Sampling")]
    min_p: Option<f64>,
    /// Divide the logits of tokens that were there by it
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        help_heading = "Sampling"
    )]
    repetition_penalty: f64,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Sampling")]
    seed: u64,
}

impl Choosing {
    fn sampling(&self) -> Result<Sampling> {
        let asked = self.temperature.is_some() || self.top_p.is_some() || self.min_p.is_some();
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(usize::from(!asked)),
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty,
        };
        sampling.validate()?;
        Ok(sampling)
    }
}

impl Computing {
    fn open(&self, folder: &Path) -> Result<(Loaded, Device)> {
        let device = super::device::device_quietly(&self.device)?;
        let loaded = checkpoint::load(folder, self.dtype, &device)?;
        Ok((loaded, device))
    }
}

/// The tokenizer of a model: the one that is named, else the one in its folder.
fn tokenizer(given: Option<&PathBuf>, folder: &Path, rows: usize) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::open(given.map_or(folder, PathBuf::as_path))?;
    tokenizer.fits(rows)?;
    Ok(tokenizer)
}

/// The program.
pub fn main() -> ExitCode {
    let args = LmArgs::parse();
    finish(run(&args.command))
}

fn run(command: &Command) -> Result<()> {
    // A training keeps its own log.
    if !matches!(command, Command::Train(_)) {
        start_log(None)?;
    }
    match command {
        Command::Generate(args) => generate::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Train(args) => train::run(args),
    }
}
