//! `lm train`: a language model learned from texts or token shards.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::Args;
use tgmamba_graph::files;

use crate::cli::device::{check, device_quietly};
use crate::cli::{command_line, start_log, stop_flag};
use crate::error::{Error, Result};
use crate::lm::checkpoint::{self, Storage};
use crate::lm::corpus::{self, Windows};
use crate::lm::tokenizer::Tokenizer;
use crate::lm::training::{LmObjective, LmRun, LmTraining};
use crate::models::{LanguageModelConfig, MixerConfig};
use crate::nn::{Mamba2Config, MambaConfig};
use crate::ops::dense::set_autocast;
use crate::run::RunFolder;
use crate::run::config::read_json;
use crate::training::config::ScheduleKind;
use crate::training::trainer::{self, Ended, Task};

/// Learn a language model from texts or token shards.
///
/// Writes results/NAME like train, and the best weights with their tokenizer as
/// results/NAME/model, which lm generate takes as --model.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Texts (UTF-8), or Parquet or Arrow tables with a column input_ids of tokens
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "resume", help_heading = "Data")]
    data: Vec<PathBuf>,
    /// Held-out texts or tables [default: the end of the data]
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Data")]
    valid: Vec<PathBuf>,
    /// Share of the data to hold out without --valid; 0 for none
    #[arg(long, value_name = "X", default_value_t = 0.05, help_heading = "Data")]
    valid_share: f64,
    /// bytes, bpe:N to learn N tokens from the texts, or a tokenizer.json [default: that of --model,
    /// else bytes]
    #[arg(long, value_name = "KIND", help_heading = "Data")]
    tokenizer: Option<TokenizerKind>,
    /// Checkpoint to start from instead of random weights
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    model: Option<PathBuf>,
    /// Block of every layer: mamba or mamba2
    #[arg(
        long,
        value_name = "BLOCK",
        default_value = "mamba",
        help_heading = "Model"
    )]
    mixer: Mixer,
    /// Width of the residual stream
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "Model")]
    d_model: usize,
    /// Layers
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Model")]
    n_layer: usize,
    /// State per channel [default: 16, of mamba2 128]
    #[arg(long, value_name = "N", help_heading = "Model")]
    d_state: Option<usize>,
    /// Channels of a head of mamba2
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Model")]
    headdim: usize,
    /// Hidden width of an MLP after each block; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Model")]
    d_intermediate: usize,
    /// Optimiser steps
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        help_heading = "Training"
    )]
    steps: usize,
    /// Windows of a step
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Training")]
    batch_size: usize,
    /// Tokens of a window
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        help_heading = "Training"
    )]
    seq_len: usize,
    /// Steps between two measurements of the held-out loss
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        help_heading = "Training"
    )]
    eval_every: usize,
    /// Steps between checkpoints besides; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    checkpoint_every: usize,
    /// Largest learning rate
    #[arg(
        long,
        value_name = "X",
        default_value_t = 2e-3,
        help_heading = "Training"
    )]
    lr: f64,
    /// Smallest learning rate as a share of the largest
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.1,
        help_heading = "Training"
    )]
    min_lr_ratio: f64,
    /// Steps of linear warm-up
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        help_heading = "Training"
    )]
    warmup_steps: usize,
    /// Course of the learning rate after it
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cosine",
        help_heading = "Training"
    )]
    schedule: ScheduleKind,
    /// Decay of weights; never of A_log, D, biases and norms
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.1,
        help_heading = "Training"
    )]
    weight_decay: f64,
    /// Decay of the first moment
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.9,
        help_heading = "Training"
    )]
    beta1: f64,
    /// Decay of the second moment
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.95,
        help_heading = "Training"
    )]
    beta2: f64,
    /// Largest norm of the gradient; 0 for no limit
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        help_heading = "Training"
    )]
    clip_norm: f64,
    /// Matrix products in bf16, weights and everything else in f32; for a GPU
    #[arg(long, help_heading = "Training")]
    bf16: bool,
    /// On a GPU: launch the kernels of a step one by one instead of running a recording of them
    #[arg(long, help_heading = "Training")]
    launch: bool,
    /// Seed of weights and order
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    seed: u64,
    /// cpu, cuda, cuda:N or wgpu [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Run")]
    device: Option<String>,
    /// Name of the run [default: date-time-lm-mixer]
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
    /// Continue a run where it stopped, with its settings
    #[arg(long, value_name = "results/NAME", help_heading = "Run", conflicts_with_all = ["data", "name"])]
    resume: Option<PathBuf>,
    /// Print results only
    #[arg(long, help_heading = "Run")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mixer {
    Mamba,
    Mamba2,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TokenizerKind {
    Bytes,
    Learned(usize),
    File(PathBuf),
}

impl FromStr for TokenizerKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.strip_prefix("bpe:") {
            Some(size) => size
                .parse()
                .map(Self::Learned)
                .map_err(|_| format!("\"{size}\" is no number of tokens")),
            None if text == "bytes" => Ok(Self::Bytes),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// The tokenizer of a run, in its folder.
const TOKENIZER: &str = "tokenizer.json";

pub fn run(args: &TrainArgs) -> Result<()> {
    let started = Instant::now();
    let (folder, run) = match &args.resume {
        Some(path) => reopen(path, args)?,
        None => start(args)?,
    };
    let device = device_quietly(&run.device)?;
    set_autocast(run.training.bf16);
    let tokenizer = Tokenizer::open(&folder.path().join(TOKENIZER))?;
    let (train, held_out) = windows(&run, &tokenizer)?;
    let begin = match &run.start {
        Some(path) => Some(checkpoint::load(path, Some(Storage::F32), &device)?.model),
        None => None,
    };
    if !args.quiet {
        say!(
            "{} tokens, {} held out; a vocabulary of {}",
            train.tokens(),
            held_out.as_ref().map_or(0, Windows::tokens),
            tokenizer.size()
        );
        say!("run folder: {}", folder.path().display());
    }
    let objective = LmObjective::new(&run, train, held_out, begin, &device);
    let stop = stop_flag();
    let ended = trainer::train(&Task {
        objective: &objective,
        training: &run.training.config(),
        seed: run.seed,
        folder: folder.path(),
        device: &device,
        stop: &stop,
        label: "",
        verbose: !args.quiet,
    })?;
    let Ended::Finished {
        best_epoch,
        best_value,
        ..
    } = ended
    else {
        return Err(Error::config(
            "interrupted",
            "the training was stopped before its end",
            format!(
                "continue it with lm train --resume {}",
                folder.path().display()
            ),
        ));
    };
    let model = publish(&folder, &run)?;
    if let Some(loss) = best_value {
        say!(
            "held-out loss {loss:.4}, perplexity {:.2}, after {} steps",
            loss.exp(),
            best_epoch * run.training.eval_every
        );
    }
    say!(
        "trained in {:.1} s; continue a text with\n  cargo run --release --bin lm -- generate --model {} --prompt ...",
        started.elapsed().as_secs_f64(),
        model.display()
    );
    Ok(())
}

fn start(args: &TrainArgs) -> Result<(RunFolder, LmRun)> {
    let device = args.device.clone().unwrap_or_else(|| "cpu".into());
    check(&device)?;
    if !(0.0..1.0).contains(&args.valid_share) {
        return Err(Error::config(
            "--valid-share",
            format!("is {}", args.valid_share),
            "give a number from 0 to below 1",
        ));
    }
    let tokenizer = match (&args.tokenizer, &args.model) {
        (Some(TokenizerKind::File(path)), _) => Tokenizer::open(path)?,
        (Some(TokenizerKind::Learned(size)), _) => {
            let texts = corpus::texts(&args.data)?;
            Tokenizer::learn(texts.iter().map(String::as_str), *size)?
        }
        (None, Some(model)) => Tokenizer::open(model)?,
        (Some(TokenizerKind::Bytes), _) | (None, None) => Tokenizer::bytes()?,
    };
    let model = match &args.model {
        Some(folder) => checkpoint::config::read(folder)?.config,
        None => random_model(args, tokenizer.size()),
    };
    model.validate()?;
    tokenizer.fits(model.padded_vocabulary())?;
    let training = LmTraining {
        steps: args.steps,
        batch_size: args.batch_size,
        seq_len: args.seq_len,
        eval_every: args.eval_every.min(args.steps),
        checkpoint_every: args.checkpoint_every,
        lr: args.lr,
        min_lr_ratio: args.min_lr_ratio,
        warmup_steps: args.warmup_steps,
        schedule: args.schedule,
        weight_decay: args.weight_decay,
        beta1: args.beta1,
        beta2: args.beta2,
        clip_norm: args.clip_norm,
        bf16: args.bf16,
        launch: args.launch,
    };
    training.validate()?;
    let now = jiff::Zoned::now();
    let run = LmRun {
        data: args.data.clone(),
        valid: args.valid.clone(),
        valid_share: args.valid_share,
        start: args.model.clone(),
        model,
        training,
        seed: args.seed,
        device,
        version: env!("CARGO_PKG_VERSION").into(),
        command: command_line("lm"),
        started: now.strftime("%F %T %Z").to_string(),
        sources: corpus::sources(&[&args.data[..], &args.valid].concat())?,
    };
    // Whatever is wrong with the data shows before there is a folder.
    windows(&run, &tokenizer)?;
    let folder = match &args.name {
        Some(name) => RunFolder::create(&args.results, name)?,
        None => {
            let mixer = match run.model.mixer {
                MixerConfig::Mamba1(_) => "mamba",
                MixerConfig::Mamba2(_) => "mamba2",
            };
            let name = format!("{}-lm-{mixer}", now.strftime("%Y%m%d-%H%M%S"));
            RunFolder::create_numbered(&args.results, &name)?
        }
    };
    start_log(Some(&folder.path().join("run.log")))?;
    tokenizer.save(&folder.path().join(TOKENIZER))?;
    let value = serde_json::to_value(&run)
        .map_err(|e| Error::config("configuration", e.to_string(), "report this as a defect"))?;
    folder.write_json("config.json", &value)?;
    Ok((folder, run))
}

fn random_model(args: &TrainArgs, vocabulary: usize) -> LanguageModelConfig {
    let d_model = args.d_model;
    let mixer = match args.mixer {
        Mixer::Mamba => MixerConfig::Mamba1(MambaConfig {
            d_model,
            d_state: args.d_state.unwrap_or(16),
            ..Default::default()
        }),
        Mixer::Mamba2 => MixerConfig::Mamba2(Mamba2Config {
            d_model,
            d_state: args.d_state.unwrap_or(128),
            headdim: args.headdim,
            ..Default::default()
        }),
    };
    LanguageModelConfig {
        d_intermediate: args.d_intermediate,
        ..LanguageModelConfig::new(args.n_layer, vocabulary, mixer)
    }
}

fn reopen(path: &Path, args: &TrainArgs) -> Result<(RunFolder, LmRun)> {
    let folder = RunFolder::open(path)?;
    start_log(Some(&path.join("run.log")))?;
    let config = path.join("config.json");
    let mut run: LmRun = serde_json::from_value(read_json(&config)?).map_err(|e| {
        Error::file(
            &config,
            "configuration",
            e.to_string(),
            "give a run of lm train; others continue with train --resume",
        )
    })?;
    if let Some(device) = &args.device {
        run.device = device.clone();
    }
    run.training.launch |= args.launch;
    let files = [&run.data[..], &run.valid].concat();
    for (found, wanted) in corpus::sources(&files)?.iter().zip(&run.sources) {
        if found != wanted {
            return Err(Error::file(
                &found.path,
                "contents",
                "are not those that the run began with",
                "restore the file, or start another run",
            ));
        }
    }
    Ok((folder, run))
}

/// What trains and what is held out.
fn windows(run: &LmRun, tokenizer: &Tokenizer) -> Result<(Windows, Option<Windows>)> {
    let length = run.training.seq_len;
    let mut tokens = corpus::read(&run.data, tokenizer)?;
    let held_out = match (run.valid.is_empty(), run.valid_share > 0.0) {
        (false, _) => Some(corpus::read(&run.valid, tokenizer)?),
        (true, true) => {
            let count = (tokens.len() as f64 * run.valid_share).round() as usize;
            Some(tokens.split_off(tokens.len() - count))
        }
        (true, false) => None,
    };
    let held_out = held_out
        .map(|tokens| Windows::new(tokens, length, "the held-out part"))
        .transpose()?;
    Ok((Windows::new(tokens, length, "the data")?, held_out))
}

/// The best weights as a checkpoint of their own.
fn publish(folder: &RunFolder, run: &LmRun) -> Result<PathBuf> {
    let model = folder.path().join("model");
    if !model.exists() {
        let best = trainer::best_weights(folder.path());
        checkpoint::publish(&best, &run.model, &model)?;
    }
    let target = model.join(TOKENIZER);
    let text = files::read(folder.path().join(TOKENIZER))?;
    files::atomic_write(&target, |out| {
        std::io::Write::write_all(out, &text).map_err(|e| Error::io(&target, e))
    })?;
    Ok(model)
}
