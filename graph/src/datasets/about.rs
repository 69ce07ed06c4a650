//! What is said where the files of a set are missing that is had from its owners only.

use std::path::PathBuf;

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

/// The error of files that are in none of `roots`.
pub(super) fn missing(name: &str, marker: &str, roots: &[PathBuf]) -> Error {
    let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    Error::config(
        "data_dir",
        format!("no {marker} in {}", looked.join(" or ")),
        how(name),
    )
}
