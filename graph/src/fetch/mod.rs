//! Getting the files of data sets: whole, verified, once.
//!
//! Every file is pinned: address, size and SHA-256. It is written to `NAME.part` beside its place,
//! hashed on the way, and renamed when the hash is right, so that a file is there whole or not at
//! all. An interrupted transfer goes on where it stopped. A lock keeps two processes from fetching
//! one set at once; the second waits and then finds the files there.
//!
//! Sets that their owners give out under an agreement are not fetched: [`fetch`] says where they
//! are had and how their files must lie.

mod agreement;
mod catalog;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{DatasetInfo, Error, Result, files};

use catalog::{CATALOG, Entry, Remote};
use transfer::{Job, Transfer};

/// Where from and where to.
#[derive(Clone)]
pub struct FetchOptions<'a> {
    /// The folder that holds a folder for each set.
    pub data_dir: PathBuf,
    /// What replaces the host of the addresses, `https://raw.githubusercontent.com`: another
    /// `http://` or `https://` address, or a folder as a path or `file://` address. In a folder a
    /// file is looked for at the path of its address, then in a folder of the set's name, then by
    /// its name alone.
    pub mirror: Option<String>,
    /// Use no network: an error names what is missing. A mirror that is a folder is still used.
    pub offline: bool,
    /// Most bytes to transfer; more are an error before the first is.
    pub limit: Option<u64>,
    /// Attempts after the first that fail without a byte gained.
    pub retries: u32,
    /// Pause before the second attempt, doubled each time, at most half a minute.
    pub pause: Duration,
    /// Longest silence of a server.
    pub patience: Duration,
    /// Told about every piece that arrives.
    pub progress: Option<&'a (dyn Fn(Progress<'_>) + Sync)>,
}

impl Default for FetchOptions<'_> {
    /// Into `data` of the current folder, with four retries.
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            mirror: None,
            offline: false,
            limit: None,
            retries: 4,
            pause: Duration::from_millis(500),
            patience: Duration::from_secs(60),
            progress: None,
        }
    }
}

/// How far a set has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file that is on its way.
    pub file: &'a str,
    /// Bytes of the missing files that are there.
    pub done: u64,
    /// Bytes of the missing files.
    pub total: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The files are there.
    Here(Fetched),
    /// They are had from their owners only.
    ByHand(Instructions),
}

/// Files that are there and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// Name, licence and citation, to be shown.
    pub info: DatasetInfo,
    /// What else is to be known of the files; empty where nothing is.
    pub note: String,
    /// Their folder.
    pub folder: PathBuf,
    /// The files, in the order of the catalogue.
    pub files: Vec<PathBuf>,
    /// How many of them were there before.
    pub kept: usize,
    /// Bytes transferred.
    pub transferred: u64,
}

/// Where a set is had and how its files must lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Instructions {
    /// Name, terms and citation.
    pub info: DatasetInfo,
    /// Where and how to get it.
    pub how: String,
    /// The files below the data directory, a line each.
    pub layout: String,
}

/// Names that [`fetch`] knows: those it gets, then those it tells how to get.
pub fn names() -> Vec<&'static str> {
    let by_hand = agreement::SETS.iter().map(|s| s.name);
    CATALOG.iter().map(|e| e.name).chain(by_hand).collect()
}

/// Title, licence and citation of a set that [`fetch`] knows.
pub fn info(name: &str) -> Option<DatasetInfo> {
    let fetched = CATALOG.iter().find(|e| e.name == name).map(Entry::info);
    fetched.or_else(|| instructions(name).map(|i| i.info))
}

/// Where a set is had that its owners give out themselves, and how its files must lie.
pub fn instructions(name: &str) -> Option<Instructions> {
    let set = agreement::SETS.iter().find(|s| s.name == name)?;
    Some(set.instructions())
}

/// Names that the folder of a set may have; files are put into the first.
pub fn folders(name: &str) -> Vec<&'static str> {
    if let Some(entry) = CATALOG.iter().find(|e| e.name == name) {
        return entry.folders.to_vec();
    }
    let set = agreement::SETS.iter().find(|s| s.name == name);
    set.map(agreement::ByHand::folders).unwrap_or_default()
}

/// Bytes of the files of a set; `None` of one that [`fetch`] only tells how to get.
pub fn size(name: &str) -> Option<u64> {
    let entry = CATALOG.iter().find(|e| e.name == name)?;
    Some(entry.files().map(|(_, f)| f.bytes).sum())
}

/// Gets the files of a set, or says where they are had. Files that are there are verified and
/// kept.
///
/// # Errors
/// [`Error::Unknown`] for a name that is not in [`names`]; [`Error::Config`] when files are missing
/// and `offline` is set, or the limit is exceeded; [`Error::File`] when a file there has other
/// content, or one cannot be had as it should be; [`Error::Io`] when the disk refuses.
pub fn fetch(name: &str, options: &FetchOptions<'_>) -> Result<Outcome> {
    let hyphens = name.replace('_', "-");
    if let Some(set) = agreement::SETS.iter().find(|s| s.name == hyphens) {
        return Ok(Outcome::ByHand(set.instructions()));
    }
    match CATALOG.iter().find(|e| e.name == hyphens) {
        Some(entry) => fetch_entry(entry, options).map(Outcome::Here),
        None => Err(Error::unknown("data set", name, &names())),
    }
}

fn fetch_entry(entry: &Entry, options: &FetchOptions<'_>) -> Result<Fetched> {
    let folder = options.data_dir.join(entry.folders[0]);
    let files: Vec<PathBuf> = entry.files().map(|(_, f)| folder.join(f.name)).collect();
    let mut missing = missing(entry, &folder)?;
    let mut kept = files.len() - missing.len();
    let mut transferred = 0;
    if !missing.is_empty() {
        let transfer = Transfer::new(entry, options);
        if options.offline && !transfer.is_local() {
            return Err(offline(entry, &folder, &missing));
        }
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let _lock = files::lock(&folder.join(".fetch.lock"))?;
        // Another process may have fetched them while this one waited for the lock.
        missing = self::missing(entry, &folder)?;
        kept = files.len() - missing.len();
        let total: u64 = missing.iter().map(|(_, f)| f.bytes).sum();
        if let Some(limit) = options.limit.filter(|limit| total > *limit) {
            return Err(Error::config(
                format!("fetch {}", entry.name),
                format!("{total} bytes are missing, and the limit is {limit}"),
                "raise the limit",
            ));
        }
        let mut before = 0;
        for (repository, file) in missing {
            let job = Job {
                addresses: file.addresses(repository),
                target: folder.join(file.name),
                file,
                before,
                total,
            };
            transferred += transfer.run(&job)?;
            before += file.bytes;
        }
    }
    Ok(Fetched {
        info: entry.info(),
        note: entry.note.into(),
        folder,
        files,
        kept,
        transferred,
    })
}

/// The files that are not there.
fn missing<'e>(entry: &'e Entry, folder: &Path) -> Result<Vec<(&'e catalog::Source, &'e Remote)>> {
    let mut missing = Vec::new();
    for (source, file) in entry.files() {
        let path = folder.join(file.name);
        if !path.exists() {
            missing.push((source, file));
            continue;
        }
        let found = files::source_file(&path)?;
        if (found.bytes, found.sha256.as_str()) != (file.bytes, file.sha256) {
            return Err(Error::file(
                path,
                "content",
                format!(
                    "has {} bytes and SHA-256 {}, not {} and {}",
                    found.bytes, found.sha256, file.bytes, file.sha256
                ),
                "move the file away, and fetch again",
            ));
        }
    }
    Ok(missing)
}

fn offline(entry: &Entry, folder: &Path, missing: &[(&catalog::Source, &Remote)]) -> Error {
    let list: Vec<String> = missing
        .iter()
        .map(|(source, file)| {
            let address = file.addresses(source).remove(0);
            format!("{} (from {address})", folder.join(file.name).display())
        })
        .collect();
    Error::config(
        format!("fetch {}", entry.name),
        format!("offline, and not there: {}", list.join(", ")),
        "fetch with a network, or put the files there, or name a folder that has them as mirror",
    )
}

#[cfg(test)]
mod tests;
