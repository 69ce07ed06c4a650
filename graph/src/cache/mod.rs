//! Windows kept from one run to the next.
//!
//! Reading, filtering and cutting may take minutes, and gives the same bits every time. The first
//! time the windows are written to a file that later runs map into memory: they start at once, and
//! what is larger than memory is paged in as batches ask for it.
//!
//! A file belongs to the content of its sources and to every parameter, see `key.rs`: a changed
//! filter, file or program never reads old windows. Files are written under another name and
//! renamed when they are whole, under a lock, so that any number of processes may run at once.
//! A damaged file is found when it is opened, and made again with a warning.
//!
//! The folder is `windows` in `TGMAMBA_CACHE`, else in `tgmamba` of the user's cache folder
//! (`XDG_CACHE_HOME`, else `.cache` in the home folder). It may be deleted at any time.

mod file;
mod keep;
mod key;
mod meta;
mod series;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::{Dataset, Error, Result, SourceFile, files};

pub use file::parse;
use keep::To;
pub(crate) use keep::{Keeper, Made};
pub(crate) use key::Request;
use key::{Before, Remembered, content_key};
use meta::Meta;
pub use series::parse_series;
pub(crate) use series::series_through;

/// Age from which a file under its temporary name is one that a killed process left.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// When windows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Never; and none are looked for.
    Off,
    /// When making them takes half a second or more.
    #[default]
    Auto,
    /// Always.
    Always,
}

/// Whether and where windows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheOptions {
    pub mode: CacheMode,
    /// The folder; `None`: that of the user, see [`Cache::user`].
    pub folder: Option<PathBuf>,
}

impl CacheOptions {
    /// Neither read nor write a cache.
    pub fn off() -> Self {
        Self {
            mode: CacheMode::Off,
            folder: None,
        }
    }

    /// The cache that they mean; `None`: neither read nor write one.
    fn cache(&self) -> Option<Cache> {
        let folder = self.folder.clone().map(Cache::at);
        let cache = folder.or_else(Cache::user);
        cache.filter(|_| self.mode != CacheMode::Off)
    }
}

/// A folder of windows and series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// A file of a cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its content key.
    pub key: String,
    pub path: PathBuf,
    pub bytes: u64,
    /// When it was last opened.
    pub used: SystemTime,
    /// What is in it, or what is wrong with it.
    pub content: std::result::Result<Content, String>,
}

/// Windows in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Name of the data set.
    pub name: String,
    /// (windows, nodes, time, features).
    pub shape: (usize, usize, usize, usize),
}

/// What [`Cache::clear`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    pub files: usize,
    pub bytes: u64,
}

impl Cache {
    /// The cache of the user; `None` without a home folder.
    pub fn user() -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name);
        user_folder(variable, std::env::home_dir()).map(Self::at)
    }

    /// The cache in a folder, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its files, the last used first. Empty where there is no such folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for path in self.paths(&self.folder)? {
            if path.extension().is_none_or(|e| e != "arrow") {
                continue;
            }
            // Another process may have removed it in the meantime.
            let Ok(data) = std::fs::metadata(&path) else {
                continue;
            };
            entries.push(Entry {
                key: stem(&path),
                bytes: data.len(),
                used: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                content: content(&path).map_err(|e| e.to_string()),
                path,
            });
        }
        entries.sort_by(|a, b| b.used.cmp(&a.used).then(a.key.cmp(&b.key)));
        Ok(entries)
    }

    /// Removes the windows of one data set, or all. Windows in use stay readable for those who
    /// have them open.
    ///
    /// # Errors
    /// [`Error::Io`] naming the first file that cannot be removed.
    pub fn clear(&self, name: Option<&str>) -> Result<Cleared> {
        self.clear_where(|entry| {
            let other = |n| entry.content.as_ref().is_ok_and(|c| c.name != n);
            !name.is_some_and(other)
        })
    }

    /// Removes the windows that nobody opened for this long.
    ///
    /// # Errors
    /// As [`clear`](Self::clear).
    pub fn clear_unused(&self, age: Duration) -> Result<Cleared> {
        self.clear_where(|entry| entry.used.elapsed().is_ok_and(|unused| unused >= age))
    }

    fn clear_where(&self, gone: impl Fn(&Entry) -> bool) -> Result<Cleared> {
        let mut cleared = Cleared::default();
        for entry in self.list()? {
            if !gone(&entry) {
                continue;
            }
            remove(&entry.path)?;
            cleared.files += 1;
            cleared.bytes += entry.bytes;
        }
        for path in self.paths(&self.folder.join("index"))? {
            let kept = read_index(&path).is_some_and(|seen| self.path(&seen.key).exists());
            if !kept {
                remove(&path)?;
            }
        }
        for path in self.paths(&self.folder)? {
            let old = std::fs::metadata(&path)
                .and_then(|data| data.modified())
                .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED));
            if old && stem(&path).starts_with(".tmp-") {
                remove(&path)?;
            }
        }
        Ok(cleared)
    }

    /// Reads every file and compares the values with their hashes; the files at fault, each with
    /// what is wrong.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn verify(&self) -> Result<Vec<(PathBuf, Error)>> {
        let paths = self.list()?.into_iter().map(|e| e.path);
        let check = |path: PathBuf| file::verify(&path).err().map(|e| (path, e));
        Ok(paths.filter_map(check).collect())
    }

    fn paths(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        match std::fs::read_dir(folder) {
            Ok(entries) => Ok(entries.flatten().map(|e| e.path()).collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::io(folder, e)),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.arrow"))
    }

    fn index(&self, request: &Request) -> PathBuf {
        self.folder.join("index").join(request.key() + ".json")
    }

    /// The key and the sources of a request made before, if these are what they were.
    fn known(&self, request: &Request, before: &Before) -> Option<(String, Vec<SourceFile>)> {
        let path = self.index(request);
        let seen = read_index(&path)?;
        let (sources, hashed) = seen.sources(before)?;
        if hashed && let Err(e) = self.remember(request, before, &sources, &seen.key) {
            log::debug!("the index of the cache stays as it is: {e}");
        }
        Some((seen.key, sources))
    }

    /// The windows of a request made before, if its sources are what they were.
    fn find(&self, request: &Request, before: &Before) -> Option<Dataset> {
        let (key, sources) = self.known(request, before)?;
        self.open(&key, &sources)
    }

    /// The windows of a key; `None` where there are none, or they are damaged.
    fn open(&self, key: &str, sources: &[SourceFile]) -> Option<Dataset> {
        let path = self.path(key);
        let mut dataset = self.opened(&path, key, file::open(&path))?;
        dataset.sources = sources.to_vec();
        Some(dataset)
    }

    /// What is in a file, if it is that of the key, and notes that it was used.
    fn opened<T>(&self, path: &Path, key: &str, content: Result<(String, T)>) -> Option<T> {
        match content {
            Ok((found, content)) if found == key => {
                let touched = std::fs::File::options()
                    .append(true)
                    .open(path)
                    .and_then(|f| f.set_modified(SystemTime::now()));
                if let Err(e) = touched {
                    log::debug!("{}: the last use is not noted: {e}", path.display());
                }
                Some(content)
            }
            Ok(_) => {
                log::warn!(
                    "{} holds something else; what it should hold is made again",
                    path.display()
                );
                None
            }
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                log::warn!("what the cache holds is made again: {e}");
                None
            }
        }
    }

    /// Keeps windows and gives them back from their file.
    fn keep(
        &self,
        dataset: &Dataset,
        key: &str,
        portable: Vec<meta::Source>,
        sources: &[SourceFile],
    ) -> Result<Dataset> {
        let open = || self.open(key, sources);
        self.once(key, open, |path| {
            file::write(path, |writer| {
                let mut meta = Meta::of(dataset, key, portable);
                file::append(writer, dataset, &mut meta)?;
                Ok(meta)
            })
        })
    }

    /// What `open` finds in the file of a key, written before by `write` unless another process did.
    fn once<T>(
        &self,
        key: &str,
        open: impl Fn() -> Option<T>,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<T> {
        let path = self.path(key);
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        let _lock = files::lock(&self.folder.join(format!(".lock-{key}")))?;
        // Another process may have made it while this one waited for the lock.
        if let Some(made) = path.exists().then(&open).flatten() {
            return Ok(made);
        }
        write(&path)?;
        open().ok_or_else(|| Error::file(path, "cache", "cannot be read back", "check the disk"))
    }

    fn remember(
        &self,
        request: &Request,
        before: &Before,
        sources: &[SourceFile],
        key: &str,
    ) -> Result<()> {
        let path = self.index(request);
        let seen = request.remember(before, sources, key)?;
        let text = serde_json::to_vec(&seen).unwrap_or_default();
        files::atomic_write(&path, |out| {
            std::io::Write::write_all(out, &text).map_err(|e| Error::io(&path, e))
        })
    }
}

/// Windows out of the cache, or made and, where it is worth it, kept.
///
/// `read` reads the sources; `parameters` gives all that decides what `make` makes of them, and the
/// sources; `make` hands the windows to the [`Keeper`].
///
/// # Errors
/// Those of `read`, `parameters` and `make`. What goes wrong with the cache itself is a warning.
pub(crate) fn through<L>(
    options: &CacheOptions,
    request: &Request,
    read: impl FnOnce() -> Result<L>,
    parameters: impl FnOnce(&L) -> Result<(Value, Vec<SourceFile>)>,
    make: impl FnOnce(L, Keeper<'_>) -> Result<Made>,
) -> Result<Dataset> {
    let started = Instant::now();
    let Some(cache) = options.cache() else {
        let nowhere = Keeper { to: None, started };
        let (Made::InMemory(made) | Made::Kept(made)) = make(read()?, nowhere)?;
        return Ok(made);
    };
    let before = request.before();
    if let Some(dataset) = cache.find(request, &before) {
        return Ok(dataset);
    }
    let loaded = read()?;
    let (parameters, sources) = parameters(&loaded)?;
    let portable = request.portable(&sources);
    let key = content_key(&parameters, &portable);
    let known = cache.path(&key).exists();
    let found = known.then(|| cache.open(&key, &sources)).flatten();
    let dataset = match found {
        Some(dataset) => dataset,
        None => {
            let to = To {
                cache: &cache,
                mode: options.mode,
                key: &key,
                portable,
                sources: &sources,
            };
            let to = Some(to);
            match make(loaded, Keeper { to, started })? {
                Made::InMemory(made) => return Ok(made),
                Made::Kept(kept) => kept,
            }
        }
    };
    if let Err(e) = cache.remember(request, &before, &sources, &key) {
        log::warn!("windows are kept, but will not be found by the next run: {e}");
    }
    Ok(dataset)
}

fn content(path: &Path) -> Result<Content> {
    if let Ok((_, set)) = file::map(path).and_then(|bytes| series::parse(&bytes, path)) {
        let (l, v, f) = set.series.dim();
        return Ok(Content {
            shape: (1, v, l, f),
            name: set.series.info.name,
        });
    }
    let (_, dataset) = file::open(path)?;
    Ok(Content {
        shape: dataset.x.dim(),
        name: dataset.info.name,
    })
}

fn read_index(path: &Path) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

fn user_folder(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let all = set("TGMAMBA_CACHE").or_else(|| {
        let user = set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
        let user = user.or_else(|| Some(home?.join(".cache")))?;
        Some(user.join("tgmamba"))
    })?;
    Some(all.join("windows"))
}

#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod tests;
