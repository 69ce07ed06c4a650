//! Which data sets are known by name, and whether their files are there.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{names, roots, series, series_names};
use crate::fetch;

/// A data set that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    pub title: String,
    pub licence: String,
    pub purpose: Purpose,
    pub state: State,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Windows have a class.
    Classification,
    /// The series goes on.
    Forecasting,
    /// A table that other sets use.
    Table,
}

/// Where its files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// In this folder.
    Here(PathBuf),
    /// Not here; so many bytes can be fetched.
    Fetch(u64),
    /// Not here, and had from their owners only.
    ByHand,
}

/// Everything known by name, with the state of its files in `data_dir` (as
/// [`DatasetConfig`](super::DatasetConfig)).
pub fn list(data_dir: Option<&Path>) -> Vec<Listed> {
    let mut all: Vec<(&str, Purpose)> = names()
        .iter()
        .map(|n| (*n, Purpose::Classification))
        .collect();
    all.extend(series_names().iter().map(|n| (*n, Purpose::Forecasting)));
    for name in fetch::names() {
        let known = |n: &&str| *n == name || n.starts_with(&format!("{name}-"));
        if !all.iter().map(|(n, _)| n).any(known) {
            all.push((name, Purpose::Table));
        }
    }
    all.into_iter()
        .map(|(name, purpose)| {
            // Parts of a set, such as largest-sd, are got as the whole.
            let whole = fetch::names()
                .into_iter()
                .find(|n| name == *n || name.starts_with(&format!("{n}-")));
            let whole = whole.unwrap_or(name);
            let info = fetch::info(whole).or_else(|| series::shipped(whole));
            let info = info.unwrap_or_default();
            Listed {
                name: name.into(),
                title: info.title,
                licence: info.licence,
                purpose,
                state: match (folder(whole, data_dir), fetch::size(whole)) {
                    (Some(folder), _) => State::Here(folder),
                    (None, Some(bytes)) => State::Fetch(bytes),
                    (None, None) => State::ByHand,
                },
            }
        })
        .collect()
}

/// The folder of a set, if it has files.
fn folder(name: &str, data_dir: Option<&Path>) -> Option<PathBuf> {
    let mut folders = fetch::folders(name);
    if folders.is_empty() {
        // What comes with the program is in no catalogue.
        folders.push(name);
    }
    let below = |root: PathBuf| {
        folders
            .iter()
            .map(move |f| root.join(f))
            .collect::<Vec<_>>()
    };
    roots(data_dir).into_iter().flat_map(below).find(|folder| {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return false;
        };
        let mut names = entries.flatten().map(|e| e.file_name());
        names.any(|n| n != "SOURCE.md" && !n.to_string_lossy().starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_the_program_is_here_and_has_a_title() {
        let all = list(None);
        for name in ["basic-motions", "us-income"] {
            let set = all.iter().find(|s| s.name == name).unwrap();
            assert!(matches!(set.state, State::Here(_)), "{set:?}");
            assert!(!set.title.is_empty() && !set.licence.is_empty(), "{set:?}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let all = list(Some(elsewhere.path()));
        assert!(all.iter().all(|s| !matches!(s.state, State::Here(_))));
    }
}
