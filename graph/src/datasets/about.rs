//! What is said where the files of a set are missing that is had from its owners only.

use std::path::{Path, PathBuf};

use super::roots;
use crate::{Error, fetch};

/// Where to get the files, and how they must lie.
pub(super) fn how(name: &str) -> String {
    match fetch::instructions(name) {
        Some(known) => format!(
            "{} Name the folder above these with --data-dir:\n{}",
            known.how, known.layout
        ),
        None => "name the folder of the files with --data-dir".into(),
    }
}

/// Where the files may be: folders of the set in the data directory, or that directory itself.
pub(super) fn places(name: &str, data_dir: Option<&Path>) -> Vec<PathBuf> {
    let inside = |root: PathBuf| {
        let folders = fetch::folders(name).into_iter();
        let folders: Vec<PathBuf> = folders.map(|f| root.join(f)).collect();
        folders.into_iter().chain([root])
    };
    roots(data_dir).into_iter().flat_map(inside).collect()
}

/// The error of files that are in none of [`places`].
pub(super) fn missing(name: &str, marker: &str, data_dir: Option<&Path>) -> Error {
    let roots = roots(data_dir);
    let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    Error::config(
        "data_dir",
        format!("no {marker} in {}", looked.join(" or ")),
        how(name),
    )
}
