//! `data cache`: windows kept from one run to the next.

use std::time::Duration;

use clap::{Args, Subcommand};
use tgmamba_graph::cache::{Cache, Cleared};

use super::text::{bytes, duration};
use crate::error::{Error, Result};
use crate::report::tables::Table;

/// See or empty the cache of preprocessed windows
///
/// It is in the folder windows of TGMAMBA_CACHE, else in tgmamba of the user's cache folder.
#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// List what is kept, the last used first
    Ls,
    /// Remove windows
    Clear(ClearArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct ClearArgs {
    /// Those of one data set
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Those that were not used for this long, such as 12h, 30d or 4w
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
}

/// A number of hours, days or weeks.
fn age(text: &str) -> std::result::Result<Duration, String> {
    let hours = |number: &str, hours: u64| {
        let seconds = number.parse::<u64>().ok()?.checked_mul(hours * 3600)?;
        Some(Duration::from_secs(seconds))
    };
    let units = [('h', 1), ('d', 24), ('w', 168)];
    let found = units
        .iter()
        .find_map(|(unit, n)| hours(text.strip_suffix(*unit)?, *n));
    found.ok_or_else(|| "give a number of hours, days or weeks: 12h, 30d, 4w".into())
}

pub(super) fn run(command: &CacheCommand) -> Result<()> {
    let cache = Cache::user().ok_or_else(|| {
        Error::config(
            "TGMAMBA_CACHE",
            "there is no home folder",
            "name a folder for the cache",
        )
    })?;
    match command {
        CacheCommand::Ls => list(&cache),
        CacheCommand::Clear(args) => {
            let Cleared { files, bytes: size } = match (&args.name, args.older_than) {
                (_, Some(age)) => cache.clear_unused(age)?,
                (name, None) => cache.clear(name.as_deref())?,
            };
            let place = cache.folder().display();
            say!("{place}: {files} files removed, {}", bytes(size));
            Ok(())
        }
    }
}

fn list(cache: &Cache) -> Result<()> {
    let entries = cache.list()?;
    let mut table = Table::new(&["data set", "windows", "size", "last used", "key"]);
    for entry in &entries {
        let (name, shape) = match &entry.content {
            Ok(content) => {
                let (n, v, l, f) = content.shape;
                (content.name.clone(), format!("{n} × ({v}, {l}, {f})"))
            }
            Err(problem) => (format!("damaged: {problem}"), String::new()),
        };
        let ago = entry.used.elapsed().map_or_else(
            |_| "in the future".into(),
            |age| format!("{} ago", duration(age.as_secs_f64())),
        );
        let key: String = entry.key.chars().take(12).collect();
        table
            .rows
            .push(vec![name, shape, bytes(entry.bytes), ago, key]);
    }
    let total = entries.iter().map(|e| e.bytes).sum();
    if !entries.is_empty() {
        say!("{}", table.text());
    }
    say!(
        "{}: {} files, {}",
        cache.folder().display(),
        entries.len(),
        bytes(total)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("2d"), Ok(Duration::from_secs(2 * 86_400)));
        assert_eq!(age("0h"), Ok(Duration::ZERO));
        for wrong in ["", "d", "2", "-1d", "2y", "99999999999999999999w"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
