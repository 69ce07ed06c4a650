//! `data list`: the data sets known by name.

use clap::Args;
use tgmamba_graph::datasets::{Listed, Purpose, State, list};

use super::Place;
use super::text::bytes;
use crate::error::{Error, Result};

/// List the data sets known by name, and where their files are
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &ListArgs) -> Result<()> {
    let all = list(args.place.data_dir.as_deref());
    if args.json {
        let text = serde_json::to_string_pretty(&all)
            .map_err(|e| Error::config("--json", e.to_string(), "report this as a fault"))?;
        say!("{text}");
        return Ok(());
    }
    let width = all.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for (purpose, heading) in [
        (Purpose::Classification, "classification"),
        (Purpose::Forecasting, "forecasting"),
        (Purpose::Table, "used by others"),
    ] {
        say!("{heading}");
        for set in all.iter().filter(|s| s.purpose == purpose) {
            say!("  {:width$}  {}", set.name, set.title);
            say!("  {:width$}  licence: {}", "", set.licence);
            say!("  {:width$}  {}", "", files(set));
        }
    }
    Ok(())
}

fn files(set: &Listed) -> String {
    match &set.state {
        State::Here(folder) => format!("here: {}", folder.display()),
        State::Fetch(size) => format!("not here; data fetch {} ({})", set.name, bytes(*size)),
        State::ByHand => format!("not here; data fetch {} says how to get it", set.name),
    }
}
