//! Windows on their way into a cache file.

use std::time::{Duration, Instant};

use super::meta::{Meta, Source};
use super::{Cache, CacheMode, file};
use crate::windows::{Mask, Windows, absorb, join, seen_throughout};
use crate::{Dataset, Error, Result, SourceFile};

/// Least time that reading and cutting takes for its windows to be kept.
const WORTH_KEEPING: Duration = Duration::from_millis(500);

/// Where windows that are being made may be kept.
pub(crate) struct Keeper<'a> {
    /// `None`: nowhere.
    pub(super) to: Option<To<'a>>,
    pub(super) started: Instant,
}

/// The place in a cache.
pub(super) struct To<'a> {
    pub cache: &'a Cache,
    pub mode: CacheMode,
    pub key: &'a str,
    pub portable: Vec<Source>,
    pub sources: &'a [SourceFile],
}

/// Windows that have been made.
pub(crate) enum Made {
    /// They are in memory alone.
    InMemory(Dataset),
    /// They are in the cache.
    Kept(Dataset),
}

/// Whether what took since `started` to make is kept.
pub(super) fn worth(mode: CacheMode, started: Instant) -> bool {
    mode == CacheMode::Always || started.elapsed() >= WORTH_KEEPING
}

impl To<'_> {
    fn worth(&self, started: Instant) -> bool {
        worth(self.mode, started)
    }
}

impl Keeper<'_> {
    /// Windows that are there already.
    pub fn whole(self, made: Dataset) -> Made {
        let Some(to) = self.to.filter(|to| to.worth(self.started)) else {
            return Made::InMemory(made);
        };
        match to.cache.keep(&made, to.key, to.portable, to.sources) {
            Ok(kept) => Made::Kept(kept),
            Err(e) => {
                log::warn!("windows are not kept for the next run: {e}");
                Made::InMemory(made)
            }
        }
    }

    /// Windows made part by part. Those that are kept are never in memory together. `masked` tells
    /// whether a part may have a mask; `parts` may be called twice.
    ///
    /// # Errors
    /// Those of `parts`, and of joining what it gives.
    pub fn parts<I>(self, masked: bool, parts: impl Fn() -> I) -> Result<Made>
    where
        I: Iterator<Item = Result<Dataset>>,
    {
        let together = |parts: Vec<Dataset>| {
            let none = || Error::config("data set", "has no window", "check its files");
            join(parts)?.ok_or_else(none).map(Made::InMemory)
        };
        let mut rest = parts();
        let Some(to) = self.to else {
            return together(rest.collect::<Result<_>>()?);
        };
        let mut early = Vec::new();
        while !to.worth(self.started) {
            match rest.next() {
                Some(part) => early.push(part?),
                None => return together(early),
            }
        }
        let mut broken = None;
        let stream = early.into_iter().map(Ok).chain(rest);
        // The first that cannot be made ends them, and is no fault of the cache.
        let stream = stream.map_while(|part| part.map_err(|e| broken = Some(e)).ok());
        let written = write(&to, masked, stream);
        if let Some(e) = broken {
            return Err(e);
        }
        match written {
            Ok(kept) => Ok(Made::Kept(kept)),
            Err(e) => {
                log::warn!("windows are not kept for the next run, and made again: {e}");
                together(parts().collect::<Result<_>>()?)
            }
        }
    }
}

/// Writes parts to the file of their key, and gives them back from there.
fn write(to: &To<'_>, masked: bool, parts: impl Iterator<Item = Dataset>) -> Result<Dataset> {
    let path = to.cache.path(to.key);
    let wrong = |problem: &str| Error::file(&path, "cache", problem, "run without the cache");
    let fill = |writer: &mut file::Writer<'_, '_>| {
        let mut all: Option<(Dataset, Meta)> = None;
        let mut gaps = false;
        for mut part in parts {
            let (n, v, l, f) = part.x.dim();
            gaps |= part.mask.is_some();
            if masked && part.mask.is_none() {
                part.mask = Some(Mask::new((v, l), vec![seen_throughout(n, v, l)])?);
            }
            if !masked && part.mask.is_some() {
                return Err(wrong("a part has missing values where none may have"));
            }
            let empty = Windows::new((v, l, f), Vec::new())?;
            let about = |part: Dataset| Dataset {
                x: empty,
                mask: None,
                ..part
            };
            match &mut all {
                Some((before, meta)) => {
                    file::append(writer, &part, meta)?;
                    absorb(before, about(part))?;
                }
                None => {
                    let mut meta = Meta::of(&part, to.key, Vec::new());
                    file::append(writer, &part, &mut meta)?;
                    all = Some((about(part), meta));
                }
            }
        }
        let (all, meta) = all.ok_or_else(|| wrong("no window to write"))?;
        Ok(Meta {
            pieces: meta.pieces,
            masked: gaps,
            ..Meta::of(&all, to.key, to.portable.clone())
        })
    };
    let open = || to.cache.open(to.key, to.sources);
    to.cache.once(to.key, open, |path| file::write(path, fill))
}
