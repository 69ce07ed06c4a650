//! A run: its configuration and its folder `results/NAME/`.
//!
//! A run of one fold and one seed keeps its files in the folder itself. A run of several keeps
//! each in `parts/FOLD-seedN/`, laid out like a run of its own, and sums them up in the folder.

pub mod config;
pub mod presets;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tgmamba_graph::files;

pub use config::{Part, Precision, Provenance, RunConfig};

use crate::error::{Error, Result};

/// A run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new folder; it must not exist.
    ///
    /// # Errors
    /// A name in use, or a place that cannot be written.
    pub fn create(results: &Path, name: &str) -> Result<Self> {
        let plain = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(['/', '\\'])
            && !name.contains(char::is_control);
        if !plain {
            return Err(Error::config(
                "--name",
                format!("\"{name}\" cannot name a folder"),
                "use letters, digits, dots and dashes",
            ));
        }
        std::fs::create_dir_all(results).map_err(|e| unwritable(results, &e))?;
        let path = results.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::config(
                "--name",
                format!("{} exists, and runs are never overwritten", path.display()),
                format!(
                    "choose another name, or continue it with --resume {}",
                    path.display()
                ),
            )),
            Err(e) => Err(unwritable(&path, &e)),
        }
    }

    /// Makes a new folder, `name`, or `name-2`, `name-3`, ... if that exists.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn create_numbered(results: &Path, name: &str) -> Result<Self> {
        let free = (1..)
            .map(|k| match k {
                1 => name.to_string(),
                k => format!("{name}-{k}"),
            })
            .find(|name| !results.join(name).exists())
            .unwrap_or_default();
        Self::create(results, &free)
    }

    /// A folder that holds a run.
    ///
    /// # Errors
    /// A folder without `config.json`.
    pub fn open(path: &Path) -> Result<Self> {
        let config = path.join("config.json");
        if !config.is_file() {
            return Err(Error::file(
                path,
                "config.json",
                "there is no run in this folder",
                "give a folder that train made, such as results/NAME",
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    /// The run that was started last.
    ///
    /// # Errors
    /// A folder without runs.
    pub fn newest(results: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(results).into_iter().flatten();
        entries
            .flatten()
            .map(|e| e.path())
            .filter_map(|path| {
                let started = path.join("checkpoints").exists() || path.join("parts").exists();
                let changed = std::fs::metadata(path.join("config.json"))
                    .ok()
                    .filter(|_| started)?;
                Some((changed.modified().ok()?, path))
            })
            .max()
            .map(|(_, path)| Self { path })
            .ok_or_else(|| {
                Error::file(
                    results,
                    "runs",
                    "there is no run in this folder",
                    "train one first, or name one with --run",
                )
            })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last component of its path.
    pub fn name(&self) -> String {
        self.path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone())
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// The stored configuration.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of another version.
    pub fn config(&self) -> Result<RunConfig> {
        let path = self.path.join("config.json");
        let value = config::read_json(&path)?;
        RunConfig::from_value(value).map_err(|problem| {
            Error::file(
                &path,
                "configuration",
                problem,
                "use the version of the program that made the run",
            )
        })
    }

    /// Stores the configuration.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        self.write_json("config.json", &config.stored()?)
    }

    /// Writes a JSON file into the folder, whole or not at all.
    pub fn write_json(&self, name: &str, value: &Value) -> Result<()> {
        let path = self.path.join(name);
        let text = serde_json::to_string_pretty(value).map_err(|e| defect(&path, &e))?;
        files::atomic_write(&path, |out| {
            std::io::Write::write_all(out, text.as_bytes())
                .and_then(|()| std::io::Write::write_all(out, b"\n"))
                .map_err(|e| Error::io(&path, e))
        })
    }

    /// The folder of one part: the run folder itself where there is only one.
    pub fn part(&self, part: &Part, parts: usize) -> Self {
        if parts == 1 {
            return self.clone();
        }
        Self {
            path: self.path.join("parts").join(part.label()),
        }
    }
}

fn unwritable(path: &Path, e: &std::io::Error) -> Error {
    Error::file(
        path,
        "results folder",
        format!("cannot be written ({e})"),
        "choose a writable folder with --results",
    )
}

fn defect(path: &Path, e: &serde_json::Error) -> Error {
    Error::file(path, "json", e.to_string(), "report this as a defect")
}
