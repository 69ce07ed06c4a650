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
use tgmamba_graph::datasets::{Accept, Task};
use tgmamba_graph::inspect::InspectOptions;

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

/// How a named data set is read; details with data list.
#[derive(Debug, Args)]
struct Reading {
    /// What is told apart, where a set has two tasks: detection or classification [default: detection]
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// Only these channels, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    channels: Vec<String>,
    /// A table of the parts of files or subjects; a path relative to the folder of the data set
    #[arg(long, value_name = "FILE.csv")]
    split_file: Option<PathBuf>,
    /// Faults of the files to accept instead of refusing them, as their messages name them:
    /// missing-channels, unlabelled, missing-sessions, shared-subjects, mixed-rates, breaks,
    /// incomplete
    #[arg(long, value_name = "FAULT,...", value_delimiter = ',')]
    accept: Vec<Accept>,
    #[command(flatten)]
    place: Place,
}

impl Reading {
    fn options(&self) -> InspectOptions {
        InspectOptions {
            data_dir: self.place.data_dir.clone(),
            task: self.task,
            channels: self.channels.clone(),
            split_file: self.split_file.clone(),
            accept: self.accept.clone(),
            ..Default::default()
        }
    }
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
