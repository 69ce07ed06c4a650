//! `lm inspect`: what is in a checkpoint.

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::lm::checkpoint::{config, source};

/// Show the configuration and the tensors of a checkpoint.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder of the checkpoint
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &InspectArgs) -> Result<()> {
    let described = config::read(&args.folder)?;
    let source = source::open(&args.folder)?;
    say!("{:?}: {:#?}", described.format, described.config);
    let width = source.tensors.values().map(|t| t.name.len()).max();
    let width = width.unwrap_or(0);
    let mut numbers = 0;
    for stored in source.tensors.values() {
        numbers += stored.shape.iter().product::<usize>();
        say!(
            "{:width$}  {:>4}  {:?}",
            stored.name,
            stored.storage,
            stored.shape
        );
    }
    say!("{} tensors, {numbers} numbers", source.tensors.len());
    for file in &source.files {
        say!("{}", file.display());
    }
    Ok(())
}
