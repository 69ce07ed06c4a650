//! One error type for the data layer: what went wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

/// Result of the data layer.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a file and a batch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file.
    #[error("{}: {source}; {}", path.display(), io_remedy(source))]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file is not what its format demands; `field` is the variable, column or line.
    #[error("{}: {field}: {problem}; {remedy}", path.display())]
    File {
        path: PathBuf,
        field: String,
        problem: String,
        remedy: String,
    },
    /// A configuration value or argument cannot be used.
    #[error("{field}: {problem}; {remedy}")]
    Config {
        field: String,
        problem: String,
        remedy: String,
    },
    /// No data set or option has this name.
    #[error("unknown {kind} \"{name}\"{}; known: {}", suggestion(.nearest), known.join(", "))]
    Unknown {
        kind: &'static str,
        name: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
}

fn io_remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};

    match error.kind() {
        NotFound => "check the path",
        PermissionDenied => "check the permissions, or choose another place",
        StorageFull => "free some space",
        _ => "check that the place exists and can be read and written",
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!(", did you mean \"{n}\"?"))
        .unwrap_or_default()
}

impl Error {
    /// An operating-system error on `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    /// A file whose `field` (variable, column, line) is wrong, and what to do.
    pub fn file(
        path: impl AsRef<Path>,
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::File {
            path: path.as_ref().to_path_buf(),
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// A configuration value that cannot be used, and what to do.
    pub fn config(
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Config {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// An unknown name, with the nearest known one (Jaro-Winkler similarity above 0.7).
    pub fn unknown(kind: &'static str, name: &str, known: &[&str]) -> Self {
        let nearest = known
            .iter()
            .map(|k| (strsim::jaro_winkler(name, k), *k))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(score, _)| *score > 0.7)
            .map(|(_, k)| k.to_string());
        Self::Unknown {
            kind,
            name: name.to_string(),
            nearest,
            known: known.iter().map(|k| k.to_string()).collect(),
        }
    }
}
