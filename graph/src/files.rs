//! Files as wholes: reading, writing without half-written results, hashing.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::{Error, Result, SourceFile};

/// The bytes of a file.
///
/// # Errors
/// [`Error::Io`] when the file is missing or cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    std::fs::read(&path).map_err(|e| Error::io(&path, e))
}

/// The bytes of a file, mapped into memory: only the pages that are looked at are read. The file
/// must not be changed while it is mapped.
///
/// # Errors
/// [`Error::Io`] when the file is missing or cannot be mapped.
pub fn map(path: impl AsRef<Path>) -> Result<Mmap> {
    let failed = |e| Error::io(&path, e);
    let file = File::open(&path).map_err(failed)?;
    // SAFETY: the map is read only. Its bytes could change, or vanish with a signal, only if
    // another program cut or rewrote the file meanwhile; files of this crate are replaced as
    // wholes (see `atomic_write`), which leaves the mapped one as it was.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

/// The bytes of a file as text; `path` and `remedy` are for the message.
///
/// # Errors
/// [`Error::File`] naming the first byte that is not UTF-8.
pub(crate) fn utf8<'a>(bytes: &'a [u8], path: &Path, remedy: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let place = format!("byte {}", e.valid_up_to());
        Error::file(path, place, "is not UTF-8 text", remedy)
    })
}

/// [`utf8`] without a byte-order mark.
///
/// # Errors
/// As [`utf8`].
pub(crate) fn text<'a>(bytes: &'a [u8], path: &Path, remedy: &str) -> Result<&'a str> {
    let text = utf8(bytes, path, remedy)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The text of a file, without a byte-order mark.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let remedy = "save the file as UTF-8, or name a binary format by its extension";
    text(&read(path)?, path, remedy).map(str::to_string)
}

/// Writes a file through a temporary one in the same folder that is renamed at the end, so that
/// `path` is either the old file or the whole new one. Missing parent folders are made.
///
/// # Errors
/// [`Error::Io`] on `path`, or whatever `write` returns.
pub fn atomic_write(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let failed = |e| Error::io(path, e);
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; the result should follow the umask instead.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    {
        let mut writer = BufWriter::new(file.as_file_mut());
        write(&mut writer)?;
        writer.flush().map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Size and SHA-256 of a file.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn source_file(path: impl AsRef<Path>) -> Result<SourceFile> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io(path, e))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
    Ok(SourceFile {
        path: path.to_path_buf(),
        bytes,
        sha256: hexadecimal(hash),
    })
}

/// Waits for the lock of a file, made if need be; it is held as long as the file is open.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let failed = |e: std::io::Error| Error::io(path, e);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed)?;
    if let Err(e) = file.try_lock() {
        match e {
            std::fs::TryLockError::WouldBlock => {
                log::info!("{} is locked by another process; waiting", path.display());
                file.lock().map_err(failed)?;
            }
            // Some network file systems have no locks; the atomic rename still holds.
            std::fs::TryLockError::Error(e) => log::warn!("{} has no lock: {e}", path.display()),
        }
    }
    Ok(file)
}

/// Size and SHA-256 of a file that was read into memory.
pub fn source_of(path: impl AsRef<Path>, bytes: &[u8]) -> SourceFile {
    SourceFile {
        path: path.as_ref().to_path_buf(),
        bytes: bytes.len() as u64,
        sha256: hexadecimal(Sha256::new_with_prefix(bytes)),
    }
}

/// The value of a hash in lower-case hexadecimal.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_matches_the_published_vector() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/abc.txt");
        atomic_write(&path, |w| {
            w.write_all(b"abc").map_err(|e| Error::io("x", e))
        })
        .unwrap();
        let source = source_file(&path).unwrap();
        assert_eq!(source.bytes, 3);
        assert_eq!(source_of(&path, b"abc"), source);
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            source.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "old").unwrap();
        let error = atomic_write(&path, |w| {
            w.write_all(b"half").map_err(|e| Error::io("x", e))?;
            Err(Error::config("a", "b", "c"))
        });
        assert!(error.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn text_must_be_utf8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"ab\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("byte 2"));
        std::fs::write(&path, "\u{feff}x").unwrap();
        assert_eq!(read_text(&path).unwrap(), "x");
        assert!(read_text(folder.path().join("none")).is_err());
    }
}
