//! What a cache file belongs to: the content of the sources and every parameter.
//!
//! The *content key* is a SHA-256 over the hashes of the sources, their names below the folder of
//! the data, the parameters, the format and the code that made the windows. Where the files lie
//! has no part in it.
//!
//! To find it without reading the sources, the *index* remembers for a request (the parameters
//! and the folders looked into) which files were read, with their sizes, times of change and
//! hashes, and the names of all files around them. A request finds its entry again as long as
//! these names and the sources are the same; a source whose size or time differs is hashed anew.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::meta::{FORMAT, Source};
use crate::files::{hexadecimal, source_file};
use crate::{Error, Result, SourceFile};

/// A file changed so shortly before it was read may have changed again within the grain of its
/// time stamp, so that the stamp proves nothing.
const GRAIN: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// The parameters as they were given.
    pub parameters: Value,
    /// Folders that may hold the data, in the order they are looked into.
    pub roots: Vec<PathBuf>,
}

/// What the index remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    parameters: Value,
    /// SHA-256 of the names below the roots.
    names: String,
    sources: Vec<Seen>,
    pub key: String,
}

/// A source as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    path: PathBuf,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: i128,
    /// Whether the time of change lies well before the file was read.
    settled: bool,
    sha256: String,
}

/// The state of the folders before anything is read.
pub(crate) struct Before {
    at: SystemTime,
    names: String,
}

impl Request {
    /// Name of the entry in the index.
    pub fn key(&self) -> String {
        // As given and as they are: sources are remembered by the path they were given with.
        let place = |r: &PathBuf| (r.to_string_lossy().into_owned(), absolute(r));
        let roots: Vec<_> = self.roots.iter().map(place).collect();
        hash(&(
            &self.parameters,
            roots,
            FORMAT,
            env!("TGMAMBA_GRAPH_SOURCE"),
        ))
    }

    /// To be taken before the sources are read.
    pub fn before(&self) -> Before {
        Before {
            at: SystemTime::now(),
            names: names(&self.roots),
        }
    }

    /// Sources as the content key sees them.
    pub(super) fn portable(&self, sources: &[SourceFile]) -> Vec<Source> {
        let name = |path: &Path| {
            let below = self.roots.iter().find_map(|r| path.strip_prefix(r).ok());
            let name = below.or(path.file_name().map(Path::new)).unwrap_or(path);
            name.to_string_lossy().replace('\\', "/")
        };
        sources
            .iter()
            .map(|s| Source {
                name: name(&s.path),
                bytes: s.bytes,
                sha256: s.sha256.clone(),
            })
            .collect()
    }

    /// What to remember of sources that have been read.
    ///
    /// # Errors
    /// [`Error::Io`] when one of them is gone.
    pub(super) fn remember(
        &self,
        before: &Before,
        sources: &[SourceFile],
        key: &str,
    ) -> Result<Remembered> {
        let seen = |source: &SourceFile| {
            let (bytes, changed) = stat(&source.path)?;
            let read = before.at.checked_sub(GRAIN).map_or(0, nanoseconds);
            Ok(Seen {
                path: source.path.clone(),
                bytes,
                changed,
                settled: changed < read && bytes == source.bytes,
                sha256: source.sha256.clone(),
            })
        };
        Ok(Remembered {
            parameters: self.parameters.clone(),
            names: before.names.clone(),
            sources: sources.iter().map(seen).collect::<Result<_>>()?,
            key: key.into(),
        })
    }
}

impl Remembered {
    /// The sources if they are what they were, and whether any had to be hashed to tell.
    pub fn sources(&self, before: &Before) -> Option<(Vec<SourceFile>, bool)> {
        if self.names != before.names {
            return None;
        }
        let mut hashed = false;
        let mut same = |seen: &Seen| {
            let found = stat(&seen.path).ok()?;
            if !seen.settled || found != (seen.bytes, seen.changed) {
                hashed = true;
                let now = source_file(&seen.path).ok()?;
                if now.sha256 != seen.sha256 {
                    return None;
                }
            }
            Some(SourceFile {
                path: seen.path.clone(),
                bytes: seen.bytes,
                sha256: seen.sha256.clone(),
            })
        };
        let sources = self.sources.iter().map(&mut same).collect::<Option<_>>()?;
        Some((sources, hashed))
    }
}

/// The key of windows made of `sources` with these parameters.
pub(super) fn content_key(parameters: &Value, sources: &[Source]) -> String {
    hash(&(FORMAT, env!("TGMAMBA_GRAPH_SOURCE"), parameters, sources))
}

fn hash(value: &impl Serialize) -> String {
    // Values without maps of other keys than text, and without numbers that JSON lacks, always
    // have a text.
    let text = serde_json::to_string(value).unwrap_or_default();
    hexadecimal(Sha256::new_with_prefix(text))
}

fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    path.to_string_lossy().into_owned()
}

/// Size and time of change.
fn stat(path: &Path) -> Result<(u64, i128)> {
    let of = |e| Error::io(path, e);
    let data = std::fs::metadata(path).map_err(of)?;
    Ok((data.len(), nanoseconds(data.modified().map_err(of)?)))
}

fn nanoseconds(time: SystemTime) -> i128 {
    let signed = |d: Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(e) => -signed(e.duration()),
    }
}

/// The names of everything below the folders, hashed. What cannot be listed counts as empty.
fn names(roots: &[PathBuf]) -> String {
    let mut all = Vec::new();
    for root in roots {
        all.push(format!("{}\n", absolute(root)));
        let mut folders = vec![(root.clone(), String::new())];
        while let Some((folder, below)) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                // Left behind by locks and unfinished transfers, which are no data.
                if name.starts_with('.') || name.ends_with(".part") || name.ends_with(".tag") {
                    continue;
                }
                let name = format!("{below}/{name}");
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    folders.push((entry.path(), name.clone()));
                }
                all.push(name);
            }
        }
    }
    all.sort_unstable();
    hash(&all)
}
