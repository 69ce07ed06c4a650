//! One file from an address or a folder to its place.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::catalog::{Entry, Remote};
use super::{FetchOptions, Progress};
use crate::files::hexadecimal;
use crate::{Error, Result};

/// What the addresses of the catalogue belong to.
const HOST: &str = "https://raw.githubusercontent.com";

/// Longest pause between attempts, whatever a server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is to be had.
pub(super) struct Job<'e> {
    /// Addresses without the host.
    pub addresses: Vec<String>,
    pub target: PathBuf,
    pub file: &'e Remote,
    /// Bytes of the files before this one, and of all.
    pub before: u64,
    pub total: u64,
}

/// How it is had.
pub(super) struct Transfer<'a> {
    entry: &'a Entry,
    options: &'a FetchOptions<'a>,
    from: From,
}

enum From {
    Web { agent: Agent, base: String },
    Folder(PathBuf),
}

/// Why an attempt ended early.
enum Trouble {
    /// Another attempt may help.
    Passing {
        problem: String,
        gained: bool,
        pause: Option<Duration>,
    },
    /// There is no such file at this address.
    Absent(String),
    /// It does not help to go on.
    Lasting(Error),
}

impl<'a> Transfer<'a> {
    pub fn new(entry: &'a Entry, options: &'a FetchOptions<'a>) -> Self {
        let base = options.mirror.as_deref().unwrap_or(HOST);
        let from = if base.starts_with("http://") || base.starts_with("https://") {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(options.patience))
                .timeout_recv_response(Some(options.patience))
                .timeout_per_read(Some(options.patience))
                .user_agent(concat!("tgmamba/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .build();
            From::Web {
                agent: config.into(),
                base: base.trim_end_matches('/').to_string(),
            }
        } else {
            From::Folder(folder_of(base))
        };
        Self {
            entry,
            options,
            from,
        }
    }

    /// Whether no network is needed.
    pub fn is_local(&self) -> bool {
        matches!(self.from, From::Folder(_))
    }

    /// Puts the file in its place; the number of bytes transferred.
    pub fn run(&self, job: &Job<'_>) -> Result<u64> {
        if let Some(parent) = job.target.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
        }
        match &self.from {
            From::Folder(folder) => self.copy(job, folder),
            From::Web { agent, base } => self.download(job, agent, base),
        }
    }

    fn copy(&self, job: &Job<'_>, folder: &Path) -> Result<u64> {
        let of_address = job.addresses.iter().map(|a| folder.join(decoded(a)));
        let of_set = self.entry.folders.iter().map(|f| folder.join(f));
        let of_set = of_set.map(|f| f.join(job.file.name));
        let candidates = of_address.chain(of_set).chain([folder.join(job.file.name)]);
        let Some(source) = candidates.into_iter().find(|path| path.is_file()) else {
            return Err(Error::file(
                folder,
                job.file.name,
                "is not in the mirror",
                format!(
                    "put it there, as {} or in a folder {}",
                    job.file.name, self.entry.folders[0]
                ),
            ));
        };
        let mut part = Part::open(&job.target)?;
        part.restart()?;
        let mut reader = File::open(&source).map_err(|e| Error::io(&source, e))?;
        match self.receive(job, &mut part, &mut reader) {
            Ok(()) => {}
            Err(Trouble::Lasting(e)) => return Err(e),
            Err(Trouble::Passing { problem, .. } | Trouble::Absent(problem)) => {
                return Err(unavailable(job, &source.display().to_string(), &problem));
            }
        }
        part.finish(job)
            .map_err(|found| wrong_hash(job, &source.display().to_string(), &found))??;
        Ok(job.file.bytes)
    }

    fn download(&self, job: &Job<'_>, agent: &Agent, base: &str) -> Result<u64> {
        let mut addresses = job.addresses.iter().map(|a| format!("{base}/{a}"));
        let mut address = addresses.next().unwrap_or_default();
        let (mut failures, mut transferred, mut restarted) = (0, 0, false);
        loop {
            let mut part = Part::open(&job.target)?;
            let before = part.len;
            let ended = self.attempt(job, agent, &address, &mut part);
            transferred += part.received;
            let (problem, gained, pause) = match ended {
                Ok(()) => match part.finish(job) {
                    Ok(done) => return done.map(|()| transferred),
                    // What was there from an earlier transfer may be at fault.
                    Err(found) if before > 0 && !restarted => {
                        restarted = true;
                        log::warn!(
                            "{} has SHA-256 {found} after it was resumed; from the start",
                            job.target.display()
                        );
                        continue;
                    }
                    Err(found) => return Err(wrong_hash(job, &address, &found)),
                },
                Err(Trouble::Lasting(e)) => return Err(e),
                Err(Trouble::Absent(problem)) => match addresses.next() {
                    Some(next) => {
                        address = next;
                        continue;
                    }
                    None => return Err(unavailable(job, &address, &problem)),
                },
                Err(Trouble::Passing {
                    problem,
                    gained,
                    pause,
                }) => (problem, gained, pause),
            };
            failures = if gained { 1 } else { failures + 1 };
            if failures > self.options.retries {
                return Err(unavailable(job, &address, &problem));
            }
            let own = self.options.pause * 2u32.saturating_pow(failures - 1);
            let pause = pause.unwrap_or(own).min(LONGEST_PAUSE);
            log::info!("{address}: {problem}; again in {pause:?}");
            std::thread::sleep(pause);
        }
    }

    /// One request, from where the part ends.
    fn attempt(
        &self,
        job: &Job<'_>,
        agent: &Agent,
        address: &str,
        part: &mut Part,
    ) -> std::result::Result<(), Trouble> {
        if part.len > job.file.bytes {
            part.restart()?;
        }
        if part.len == job.file.bytes {
            return Ok(());
        }
        let mut request = agent.get(address);
        if part.len > 0 {
            request = request.header("Range", format!("bytes={}-", part.len));
            if let Some(tag) = part.tag() {
                request = request.header("If-Range", tag);
            }
        }
        let passing = |problem: String| Trouble::Passing {
            problem,
            gained: false,
            pause: None,
        };
        let response = request.call().map_err(|e| passing(e.to_string()))?;
        let header = |name: &str| header(&response, name);
        let length = header("content-length").and_then(|s| s.parse::<u64>().ok());
        let other_size = |whole: u64| {
            let problem = format!("would have {whole} bytes, not {}", job.file.bytes);
            Trouble::Lasting(unavailable(job, address, &problem))
        };
        match response.status().as_u16() {
            206 => {
                let range = header("content-range").unwrap_or_default();
                if !range.starts_with(&format!("bytes {}-", part.len)) {
                    part.restart()?;
                    return Err(passing(format!("asked for a part, got {range:?}")));
                }
            }
            // The whole file: the server has no ranges, or another version. A page that says it is of
            // another size, as of a portal before the network, is no reason to lose the part.
            200 => match length {
                Some(length) if length != job.file.bytes => return Err(other_size(length)),
                _ => part.restart()?,
            },
            // The part is longer than what the server has.
            416 => {
                part.restart()?;
                return Err(passing("status 416".into()));
            }
            status @ (404 | 410) => return Err(Trouble::Absent(format!("status {status}"))),
            status @ (408 | 425 | 429 | 500..=599) => {
                let seconds = header("retry-after").and_then(|s| s.parse().ok());
                return Err(Trouble::Passing {
                    problem: format!("status {status}"),
                    gained: false,
                    pause: seconds.map(Duration::from_secs),
                });
            }
            status => {
                let problem = format!("status {status}");
                return Err(Trouble::Lasting(unavailable(job, address, &problem)));
            }
        }
        if let Some(length) = length.filter(|l| part.len.checked_add(*l) != Some(job.file.bytes)) {
            return Err(other_size(part.len.saturating_add(length)));
        }
        if let Some(tag) = header("etag") {
            part.keep_tag(&tag)?;
        }
        self.receive(job, part, &mut response.into_body().into_reader())
    }

    /// Appends what `reader` gives to the part, up to the size the file should have.
    fn receive(
        &self,
        job: &Job<'_>,
        part: &mut Part,
        reader: &mut dyn Read,
    ) -> std::result::Result<(), Trouble> {
        let start = part.len;
        let mut buffer = vec![0; 1 << 16];
        let problem = loop {
            match reader.read(&mut buffer) {
                Ok(0) if part.len == job.file.bytes => return Ok(()),
                Ok(0) => break format!("ended after {} of {} bytes", part.len, job.file.bytes),
                Ok(n) if part.len + n as u64 > job.file.bytes => {
                    part.restart()?;
                    let problem = format!("is longer than {} bytes", job.file.bytes);
                    let address = job.addresses.first().map_or("", String::as_str);
                    return Err(Trouble::Lasting(unavailable(job, address, &problem)));
                }
                Ok(n) => part.append(&buffer[..n])?,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    break format!("{e} after {} of {} bytes", part.len, job.file.bytes);
                }
            }
            if let Some(progress) = self.options.progress {
                progress(Progress {
                    file: job.file.name,
                    done: job.before + part.len,
                    total: job.total,
                });
            }
        };
        Err(Trouble::Passing {
            problem,
            gained: part.len > start,
            pause: None,
        })
    }
}

impl std::convert::From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Lasting(error)
    }
}

/// What has arrived of a file.
struct Part {
    file: File,
    path: PathBuf,
    len: u64,
    hash: Sha256,
    received: u64,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.len == 0 {
            // Nothing came: there is nothing to go on from, and where it cannot be removed it is empty.
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

impl Part {
    /// The part beside `target`, with the hash of what is in it.
    fn open(target: &Path) -> Result<Self> {
        let path = beside(target, "part");
        let failed = |e| Error::io(&path, e);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut len = 0;
        loop {
            let n = file.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            len += n as u64;
        }
        Ok(Self {
            file,
            path,
            len,
            hash,
            received: 0,
        })
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(&self.path, error)
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|e| self.failed(e))?;
        let start = self.file.seek(SeekFrom::Start(0));
        start.map_err(|e| self.failed(e))?;
        (self.len, self.hash) = (0, Sha256::new());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| self.failed(e))?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Renames a part whose hash is right; else removes it and gives the hash it has.
    fn finish(self, job: &Job<'_>) -> std::result::Result<Result<()>, String> {
        let found = hexadecimal(self.hash.clone());
        // Without a tag there is no such file, which is as good.
        let _gone = std::fs::remove_file(self.path.with_extension("tag"));
        if found != job.file.sha256 {
            let _gone = std::fs::remove_file(&self.path);
            return Err(found);
        }
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| std::fs::rename(&self.path, &job.target));
        Ok(renamed.map_err(|e| Error::io(&job.target, e)))
    }

    /// The strong tag of the version the part belongs to.
    fn tag(&self) -> Option<String> {
        let tag = std::fs::read_to_string(self.path.with_extension("tag")).ok()?;
        (tag.starts_with('"') && tag.is_ascii()).then_some(tag)
    }

    fn keep_tag(&self, tag: &str) -> Result<()> {
        let path = self.path.with_extension("tag");
        std::fs::write(&path, tag).map_err(|e| Error::io(&path, e))
    }
}

/// `NAME.part` beside `NAME`.
fn beside(target: &Path, extension: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(extension);
    target.with_file_name(name)
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_string)
}

fn unavailable(job: &Job<'_>, address: &str, problem: &str) -> Error {
    Error::file(
        &job.target,
        address,
        problem,
        "check the network and try again, or name another source as mirror",
    )
}

fn wrong_hash(job: &Job<'_>, address: &str, found: &str) -> Error {
    Error::file(
        &job.target,
        address,
        format!("has SHA-256 {found}, not {}", job.file.sha256),
        "the source has other bytes than those this version knows; name another as mirror",
    )
}

/// The folder of a `file://` address, or a path as it is.
fn folder_of(address: &str) -> PathBuf {
    match address.strip_prefix("file://") {
        Some(path) => PathBuf::from(decoded(path)),
        None => PathBuf::from(address),
    }
}

/// An address with its percent signs resolved.
fn decoded(address: &str) -> String {
    let bytes = address.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = address.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
