//! `data fetch`: the files of a data set, or where they are had.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tgmamba_graph::fetch::{self, FetchOptions, Fetched, Instructions, Outcome, Progress};
use tgmamba_graph::{DatasetInfo, Error};

use super::text::bytes;
use crate::error::Result;

/// Get the files of a data set
///
/// Files are verified by their SHA-256, an interrupted transfer goes on where it stopped, and files
/// that are there stay. Of sets behind an agreement it prints where and how to get them.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    /// Name of the data set
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,
    /// List what can be fetched, and what is had from its owners only
    #[arg(long, conflicts_with_all = ["to", "mirror", "offline"])]
    list: bool,
    /// Folder that gets a folder for the data set: that of --data-dir elsewhere
    #[arg(long, value_name = "DIR", default_value = "data")]
    to: PathBuf,
    /// Where to fetch from instead of raw.githubusercontent.com: an address, or a folder
    #[arg(long, value_name = "BASE")]
    mirror: Option<String>,
    /// Use no network: verify what is there
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(args: &FetchArgs) -> Result<()> {
    let Some(name) = args.name.as_ref().filter(|_| !args.list) else {
        list();
        return Ok(());
    };
    let bar = bar();
    let show = |p: Progress<'_>| {
        bar.set_length(p.total);
        bar.set_position(p.done);
        bar.set_message(p.file.to_string());
    };
    let outcome = fetch::fetch(
        name,
        &FetchOptions {
            data_dir: args.to.clone(),
            mirror: args.mirror.clone(),
            offline: args.offline,
            progress: Some(&show),
            ..Default::default()
        },
    );
    bar.finish_and_clear();
    match outcome? {
        Outcome::Here(fetched) => here(&fetched),
        Outcome::ByHand(instructions) => {
            by_hand(&instructions);
            // Nothing was fetched: a script that goes on would miss the files.
            return Err(Error::config(
                format!("fetch {}", instructions.info.name),
                "its owners give it out themselves",
                "follow the steps above",
            ));
        }
    }
    Ok(())
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = "[{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  eta {eta}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn terms(info: &DatasetInfo) {
    say!("{}: {}", info.name, info.title);
    say!("licence: {}", info.licence);
    say!("cite: {}", info.citation);
}

fn here(fetched: &Fetched) {
    terms(&fetched.info);
    if !fetched.note.is_empty() {
        say!("note: {}", fetched.note);
    }
    let all = fetched.files.len();
    say!(
        "{all} files in {}: {} fetched ({}), {} there before; all verified",
        fetched.folder.display(),
        all - fetched.kept,
        bytes(fetched.transferred),
        fetched.kept,
    );
}

fn by_hand(set: &Instructions) {
    terms(&set.info);
    say!("how to get it: {}", set.how);
    say!("where to put it, below the data directory:");
    for line in set.layout.lines() {
        say!("  {line}");
    }
}

fn list() {
    for name in fetch::names() {
        if let Some(info) = fetch::info(name) {
            say!("{name}: {}\n  {}", info.title, info.licence);
        }
    }
}
