//! `lm generate`: texts continued.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::{Choosing, Computing, tokenizer};
use crate::error::{Error, Result};
use crate::lm::generate::{Options, generate};
use crate::lm::tokenizer::TextStream;

/// Continue one text or several.
///
/// Writes a prompt and its continuation as it comes; several prompts run as one batch, and each
/// gives what it gives alone. Without sampling settings the most likely token is taken.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Folder of a checkpoint: state-spaces, Hugging Face, Codestral, or of lm train
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Text to continue, once for each [default: standard input]
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// tokenizer.json, or its folder [default: that of the model]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Tokens to add at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_new_tokens: usize,
    /// Text that ends a continuation, and is not part of it; once for each
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on after the token that ends a text
    #[arg(long)]
    ignore_eos: bool,
    /// Write continuations without their prompts
    #[arg(long)]
    no_echo: bool,
    #[command(flatten)]
    choosing: Choosing,
    #[command(flatten)]
    computing: Computing,
}

pub fn run(args: &GenerateArgs) -> Result<()> {
    let sampling = args.choosing.sampling()?;
    let prompts = prompts(args)?;
    let (loaded, device) = args.computing.open(&args.model)?;
    let model = loaded.model.frozen();
    let rows = model.config().padded_vocabulary();
    let tokenizer = tokenizer(args.tokenizer.as_ref(), &args.model, rows)?;
    let ids: Vec<Vec<u32>> = prompts
        .iter()
        .map(|prompt| tokenizer.encode(prompt))
        .collect::<Result<_>>()?;
    let eos = match (args.ignore_eos, loaded.described.eos.is_empty()) {
        (true, _) => vec![],
        (false, false) => loaded.described.eos.clone(),
        (false, true) => tokenizer.end_of_text().into_iter().collect(),
    };
    let options = Options {
        sampling,
        seed: args.choosing.seed,
        max_new_tokens: args.max_new_tokens,
        eos: eos.clone(),
        vocabulary: tokenizer.size(),
        launch: args.computing.launch,
    };
    let mut streams: Vec<TextStream> = ids
        .iter()
        .map(|prompt| TextStream::new(&tokenizer, &args.stop, prompt))
        .collect();
    // One text is written as it comes, several one after the other.
    let single = prompts.len() == 1;
    let mut texts = vec![String::new(); prompts.len()];
    let echo = |prompt: &str| match args.no_echo {
        true => String::new(),
        false => prompt.to_string(),
    };
    if single && !args.no_echo {
        write(&prompts[0])?;
    }
    let started = Instant::now();
    let tokens = generate(&model, &device, &ids, &options, |row, id| {
        if eos.contains(&id) {
            return Ok(false);
        }
        let text = streams[row].push(id)?;
        match single {
            true => write(&text)?,
            false => texts[row] += &text,
        }
        Ok(!streams[row].stopped())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    for (row, stream) in streams.iter_mut().enumerate() {
        let rest = stream.finish()?;
        match single {
            true => write(&(rest + "\n"))?,
            false => {
                let text = echo(&prompts[row]) + &texts[row] + &rest;
                write(&format!("--- {} ---\n{text}\n", row + 1))?;
            }
        }
    }
    if std::io::stderr().is_terminal() {
        let count: usize = tokens.iter().map(Vec::len).sum();
        eprintln!(
            "{count} tokens in {seconds:.2} s, {:.1} tokens/s",
            count as f64 / seconds
        );
    }
    Ok(())
}

/// Writes at once; a reader that has gone away ends the program's output, not the program.
fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("output", e)),
        _ => Ok(()),
    }
}

fn prompts(args: &GenerateArgs) -> Result<Vec<String>> {
    if !args.prompt.is_empty() {
        return Ok(args.prompt.clone());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::io("standard input", e))?;
    // The line end of a shell's echo is no part of a prompt.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(vec![text.to_string()])
}
