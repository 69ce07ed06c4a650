//! Zip files in memory, whose members are unpacked in parallel.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::{Error, Result};

/// The most that a byte of Deflate can stand for.
const DEFLATE: usize = 1032;

/// More than this is not asked for in one piece, whatever a header says.
const CAPACITY: u64 = 1 << 26;

/// An open zip file.
pub struct Archive<'a> {
    path: PathBuf,
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    /// Reads the directory of a zip file.
    ///
    /// # Errors
    /// [`Error::File`] when it is no complete zip.
    pub fn parse(bytes: &'a [u8], path: &Path) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|e| damaged(path, "archive", &e.to_string()))?;
        Ok(Self {
            path: path.to_path_buf(),
            bytes,
            zip,
        })
    }

    /// Names of the members, in the order of the directory.
    pub fn names(&self) -> Vec<String> {
        self.zip.file_names().map(str::to_string).collect()
    }

    /// Unpacks a member.
    ///
    /// # Errors
    /// [`Error::File`] when there is none of this name, it is damaged, encrypted, or packed in
    /// another way than Deflate.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        // A clone shares the directory, so that members can be read at the same time.
        let mut zip = self.zip.clone();
        let member = zip
            .by_name(name)
            .map_err(|e| damaged(&self.path, name, &e.to_string()))?;
        let most = self.bytes.len().saturating_mul(DEFLATE) as u64;
        let mut out = Vec::with_capacity(member.size().min(most).min(CAPACITY) as usize);
        member
            .take(most)
            .read_to_end(&mut out)
            .map_err(|e| damaged(&self.path, name, &e.to_string()))?;
        Ok(out)
    }
}

fn damaged(path: &Path, field: &str, problem: &str) -> Error {
    Error::file(
        path,
        field,
        format!("cannot be unpacked ({problem})"),
        "the file is damaged or cut short: fetch it again",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for (name, text) in [("a.csv", "x\n1\n"), ("b/c.csv", "y\n2\n")] {
            zip.start_file(name, options).unwrap();
            zip.write_all(text.repeat(50).as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn members_by_name() {
        let bytes = sample();
        let zip = Archive::parse(&bytes, Path::new("a.zip")).unwrap();
        assert_eq!(zip.names(), ["a.csv", "b/c.csv"]);
        assert_eq!(zip.read("b/c.csv").unwrap(), "y\n2\n".repeat(50).as_bytes());
        let error = zip.read("d").unwrap_err().to_string();
        assert!(error.contains("a.zip") && error.contains("d:"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors_or_other_bytes_but_no_panic() {
        let bytes = sample();
        let all = |bytes: &[u8]| {
            Archive::parse(bytes, Path::new("a.zip")).map(|z| {
                let names = z.names();
                names.iter().filter(|n| z.read(n).is_ok()).count()
            })
        };
        for n in 0..bytes.len() {
            assert!(all(&bytes[..n]).is_err(), "{n}");
            let mut changed = bytes.clone();
            changed[n] ^= 0x5a;
            let _ = all(&changed);
        }
    }
}
