//! `data`: what is in a file or data set, where it comes from, and how fast it is read.

mod bench;
mod cache;
mod fetch;
mod inspect;
mod list;
mod plot;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::{finish, start_log};
use crate::error::Result;

/// Look at, get, list and draw data.
#[derive(Debug, Parser)]
#[command(
    name = "data",
    version,
    max_term_width = 100,
    args_override_self = true
)]
struct DataArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::InspectArgs),
    Fetch(fetch::FetchArgs),
    List(list::ListArgs),
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    Bench(bench::BenchArgs),
    Plot(plot::PlotArgs),
}

/// Where data sets are looked for.
#[derive(Debug, Args)]
struct Place {
    /// Folder with a folder for each named data set [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The program.
pub fn main() -> ExitCode {
    let args = DataArgs::parse();
    finish(run(&args.command))
}

fn run(command: &Command) -> Result<()> {
    start_log(None)?;
    match command {
        Command::Inspect(args) => inspect::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::List(args) => list::run(args),
        Command::Cache(command) => cache::run(command),
        Command::Bench(args) => bench::run(args),
        Command::Plot(args) => plot::run(args),
    }
}
