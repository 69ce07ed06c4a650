//! What of a set is read at once.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::Long;
use crate::{Recording, Result, SourceFile, files};

/// A part of a set that is read at once, mostly a file.
pub struct Shard {
    files: Vec<PathBuf>,
    sources: OnceLock<Vec<SourceFile>>,
    read: Reader<Vec<Recording>>,
    long: Option<Reader<Option<Vec<Long>>>>,
}

type Reader<T> = Box<dyn Fn() -> Result<T> + Send + Sync>;

impl Shard {
    /// A shard whose recordings, perhaps none, `read` makes of `files`.
    pub fn new(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<Vec<Recording>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            files,
            sources: OnceLock::new(),
            read: Box::new(read),
            long: None,
        }
    }

    /// The same, whose recordings `open` makes available without reading them, so that they may be
    /// larger than memory; `None` where that is not possible.
    pub fn or_long(
        self,
        open: impl Fn() -> Result<Option<Vec<Long>>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            long: Some(Box::new(open)),
            ..self
        }
    }

    /// The same, its files hashed already.
    pub fn hashed(self, sources: Vec<SourceFile>) -> Self {
        Self {
            sources: OnceLock::from(sources),
            ..self
        }
    }

    /// Its recordings, to be read stretch by stretch; `None` where they have to be read whole.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub(super) fn open_long(&self) -> Result<Option<Vec<Long>>> {
        match &self.long {
            Some(open) => open(),
            None => Ok(None),
        }
    }

    /// What it is read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads the recordings.
    ///
    /// # Errors
    /// Whatever is wrong with the files.
    pub fn read(&self) -> Result<Vec<Recording>> {
        (self.read)()
    }

    /// Its files. They are hashed the first time.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be read.
    pub fn sources(&self) -> Result<&[SourceFile]> {
        if let Some(known) = self.sources.get() {
            return Ok(known);
        }
        let hashed = self.files.iter().map(files::source_file);
        let hashed = hashed.collect::<Result<_>>()?;
        Ok(self.sources.get_or_init(|| hashed))
    }
}
