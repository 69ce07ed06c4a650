//! `lm bench`: the time of a prompt and its continuation, as the published benchmark takes it.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{Device, FloatDType};
use clap::Args;
use rand::{RngExt, SeedableRng};

use super::{Choosing, Computing, tokenizer};
use crate::error::{Error, Result};
use crate::lm::checkpoint::Storage;
use crate::lm::generate::{Options, generate};
use crate::models::{LanguageModel, LanguageModelConfig};
use crate::nn::state_dict::{self, parameters};
use crate::training::random::stream;

/// Measure prompt processing and decoding; prints the lines of the published benchmark.
///
/// The mean of three runs after one that is not counted. Random prompts have ids from 1 to 999; a
/// continuation never ends early.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Folder of a checkpoint
    #[arg(long, value_name = "DIR", conflicts_with = "size")]
    model: Option<PathBuf>,
    /// Random model of a published size: 130m, 370m, 790m, 1.4b, 2.8b; with --mamba2 130m, 370m,
    /// 780m, 1.3b, 2.7b
    #[arg(long, value_name = "SIZE", default_value = "130m")]
    size: String,
    /// The random model is a Mamba-2
    #[arg(long)]
    mamba2: bool,
    /// Text to continue, with --model [default: a random prompt]
    #[arg(long, value_name = "TEXT", requires = "model")]
    prompt: Option<String>,
    /// tokenizer.json for --prompt [default: that of the model]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Tokens of the random prompt
    #[arg(long, alias = "promptlen", value_name = "N", default_value_t = 100)]
    prompt_len: usize,
    /// Tokens to add
    #[arg(long, alias = "genlen", value_name = "N", default_value_t = 100)]
    gen_len: usize,
    /// Random prompts side by side
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    #[command(flatten)]
    choosing: Choosing,
    #[command(flatten)]
    computing: Computing,
}

/// Timed runs.
const REPEATS: u32 = 3;

/// Seed of the random prompt and the random weights.
const SEED: u64 = 0;

pub fn run(args: &BenchArgs) -> Result<()> {
    let sampling = args.choosing.sampling()?;
    let name = match &args.model {
        Some(folder) => folder.display().to_string(),
        None => format!(
            "random/{}-{}",
            if args.mamba2 { "mamba2" } else { "mamba" },
            args.size
        ),
    };
    say!("Loading model {name}");
    let (model, device) = open(args)?;
    let model = model.frozen();
    say!("Number of parameters: {}", parameters(&model));
    let rows = model.config().padded_vocabulary();
    let folder = args.model.clone().unwrap_or_default();
    let tokenizer = match &args.prompt {
        Some(_) => Some(tokenizer(args.tokenizer.as_ref(), &folder, rows)?),
        None => None,
    };
    let prompts = match (&args.prompt, &tokenizer) {
        (Some(prompt), Some(tokenizer)) => vec![tokenizer.encode(prompt)?],
        _ => random_prompts(args, rows)?,
    };
    let options = |count| Options {
        sampling: sampling.clone(),
        seed: args.choosing.seed,
        max_new_tokens: count,
        eos: vec![],
        vocabulary: rows,
        launch: args.computing.launch,
    };
    let timed = |count: usize| -> Result<(f64, Vec<Vec<u32>>)> {
        let options = options(count);
        let started = Instant::now();
        let tokens = generate(&model, &device, &prompts, &options, |_, _| Ok(true))?;
        Ok((started.elapsed().as_secs_f64(), tokens))
    };
    let (_, tokens) = timed(args.gen_len)?;
    if let Some(tokenizer) = &tokenizer {
        let whole = [&prompts[0][..], &tokens[0]].concat();
        say!("[{:?}]", tokenizer.decode(&whole)?);
    }
    let mean = |count: usize| -> Result<f64> {
        let mut total = 0.0;
        for _ in 0..REPEATS {
            total += timed(count)?.0;
        }
        Ok(total / f64::from(REPEATS))
    };
    let whole = mean(args.gen_len)?;
    let length = prompts[0].len();
    say!(
        "Prompt length: {length}, generation length: {}",
        args.gen_len
    );
    say!(
        "{name} prompt processing + decoding time: {:.0}ms",
        whole * 1e3
    );
    // One token needs the prompt alone; the others one step each.
    let first = mean(1)?;
    let rest = (args.gen_len - 1) as f64;
    let step = (whole - first) / rest.max(1.0);
    say!(
        "prompt: {:.1} ms, {:.0} tokens/s; decoding: {:.2} ms a token, {:.1} tokens/s",
        first * 1e3,
        (length * prompts.len()) as f64 / first,
        step * 1e3,
        prompts.len() as f64 / step
    );
    Ok(())
}

fn open(args: &BenchArgs) -> Result<(LanguageModel, Device)> {
    if let Some(folder) = &args.model {
        let (loaded, device) = args.computing.open(folder)?;
        return Ok((loaded.model, device));
    }
    let config = LanguageModelConfig::published(&args.size, args.mamba2)?;
    let device = crate::cli::device::device_quietly(&args.computing.device)?;
    device.seed(stream(SEED, "weights", 0));
    let model = config.init(&device)?;
    let model = match args.computing.dtype {
        Some(Storage::Bf16) => state_dict::cast_matrices(model, FloatDType::BF16),
        Some(Storage::F16) => state_dict::cast_matrices(model, FloatDType::F16),
        Some(Storage::F32) | None => model,
    };
    Ok((model, device))
}

fn random_prompts(args: &BenchArgs, rows: usize) -> Result<Vec<Vec<u32>>> {
    for (name, count) in [
        ("--prompt-len", args.prompt_len),
        ("--gen-len", args.gen_len),
        ("--batch", args.batch),
    ] {
        if count == 0 {
            return Err(Error::config(name, "is 0", "give at least 1"));
        }
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(SEED);
    let highest = rows.min(1000) as u32;
    let mut prompt = || {
        (0..args.prompt_len)
            .map(|_| random.random_range(1..highest))
            .collect()
    };
    Ok((0..args.batch).map(|_| prompt()).collect())
}
