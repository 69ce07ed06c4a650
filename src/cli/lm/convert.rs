//! `lm convert`: checkpoints from one format to another.

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::lm::checkpoint::convert::{Report, Weights, convert};
use crate::lm::checkpoint::{Format, Storage};

/// Rewrite a checkpoint in another format, bit for bit.
///
/// Reads state-spaces, Hugging Face and Codestral checkpoints (safetensors, PyTorch .bin, parts with
/// an index) and writes config.json and weights; tokenizer files go along. Prints every tensor.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Folder of the checkpoint
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// New folder
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Format to write: state-spaces or hf
    #[arg(long = "to", value_name = "FORMAT", default_value = "hf")]
    format: Format,
    /// File of weights to write [default: bin for state-spaces, safetensors for hf]
    #[arg(long, value_name = "KIND")]
    weights: Option<Weights>,
    /// Round numbers to this type [default: as in the file]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<Storage>,
    /// Print the summary only
    #[arg(long)]
    quiet: bool,
}

pub fn run(args: &ConvertArgs) -> Result<()> {
    let weights = args.weights.unwrap_or(Weights::of(args.format));
    let report = convert(&args.from, &args.to, args.format, weights, args.dtype)?;
    if !args.quiet {
        table(&report);
    }
    let numbers: usize = report
        .tensors
        .iter()
        .map(|t| t.shape.iter().product::<usize>())
        .sum();
    say!("{} tensors, {numbers} numbers", report.tensors.len());
    for file in &report.files {
        say!("wrote {}", file.display());
    }
    for note in &report.notes {
        say!("note: {note}");
    }
    Ok(())
}

fn table(report: &Report) {
    let width = |of: &dyn Fn(&crate::lm::checkpoint::convert::Moved) -> usize| {
        report.tensors.iter().map(of).max().unwrap_or(0)
    };
    let from = width(&|t| t.from.len());
    let to = width(&|t| t.to.as_ref().map_or(0, String::len)).max(6);
    for t in &report.tensors {
        let target = t.to.as_deref().unwrap_or("(tied)");
        let dtype = match t.from_storage == t.to_storage {
            true => t.from_storage.to_string(),
            false => format!("{} -> {}", t.from_storage, t.to_storage),
        };
        say!("{:from$}  {target:to$}  {dtype}  {:?}", t.from, t.shape);
    }
}
