//! Which format a file is in: by its first bytes, and by its name where these do not say.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::{Error, Result};

/// Bytes that are looked at.
const HEAD: usize = 4096;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// European Data Format, with or without the plus.
    Edf,
    /// BioSemi Data Format.
    Bdf,
    /// General Data Format for biosignals.
    Gdf,
    /// One NumPy array.
    Npy,
    /// A zip of NumPy arrays.
    Npz,
    /// MATLAB's own format, level 5 or 7.3.
    Mat,
    /// Hierarchical Data Format, version 5.
    Hdf5,
    /// A Python pickle.
    Pickle,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, a file.
    Arrow,
    /// Arrow IPC, a stream.
    ArrowStream,
    /// Series of the UEA and UCR archives.
    Ts,
    /// Weka's table, also of series.
    Arff,
    /// Series with a graph, of PyTorch Geometric Temporal.
    Json,
    /// A graph.
    GraphMl,
    /// Comma-, tab- or otherwise separated text.
    Table,
}

use Format::*;

/// Extensions, in lower case, and what is meant by them.
const EXTENSIONS: &[(&str, Format)] = &[
    ("edf", Edf),
    ("rec", Edf),
    ("bdf", Bdf),
    ("gdf", Gdf),
    ("npy", Npy),
    ("npz", Npz),
    ("mat", Mat),
    ("h5", Hdf5),
    ("hdf5", Hdf5),
    ("hdf", Hdf5),
    ("pkl", Pickle),
    ("pickle", Pickle),
    ("parquet", Parquet),
    ("arrow", Arrow),
    ("feather", Arrow),
    ("ipc", Arrow),
    ("arrows", ArrowStream),
    ("ts", Ts),
    ("arff", Arff),
    ("json", Json),
    ("graphml", GraphMl),
    ("xml", GraphMl),
    ("csv", Table),
    ("tsv", Table),
    ("txt", Table),
];

impl Format {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Edf => "EDF",
            Bdf => "BDF",
            Gdf => "GDF",
            Npy => "NumPy .npy",
            Npz => "NumPy .npz",
            Mat => "MATLAB .mat",
            Hdf5 => "HDF5",
            Pickle => "Python pickle",
            Parquet => "Parquet",
            Arrow => "Arrow IPC",
            ArrowStream => "Arrow IPC stream",
            Ts => "UEA .ts",
            Arff => "ARFF",
            Json => "JSON",
            GraphMl => "GraphML",
            Table => "text table",
        }
    }

    /// Whether the first bytes tell it from every other.
    fn has_magic(self) -> bool {
        !matches!(self, Table | Ts | Arff | GraphMl | Pickle)
    }
}

/// The format of a file, and a warning where its name says another than its content.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when it is empty, of a format that is not
/// read, or does not begin like the format of its name.
pub fn recognise(path: &Path) -> Result<(Format, Option<String>)> {
    let (head, size) = first_bytes(path)?;
    if size == 0 {
        return Err(Error::file(
            path,
            "byte 0",
            "is empty",
            "fetch or write it again",
        ));
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let extension = extension.to_ascii_lowercase();
    let named = EXTENSIONS
        .iter()
        .find(|(e, _)| *e == extension)
        .map(|e| e.1);
    if let Some(reason) = refused(&head) {
        return Err(Error::file(
            path,
            "byte 0",
            reason,
            "see the README for the formats that are read",
        ));
    }
    let found = by_content(&head);
    match (named, found) {
        (Some(named), Some(found)) if named != found => {
            let warning = format!(
                "the name says {}, the content is {}: read as the latter",
                named.name(),
                found.name()
            );
            Ok((found, Some(warning)))
        }
        (_, Some(found)) => Ok((found, None)),
        (Some(named), None) if named.has_magic() => Err(Error::file(
            path,
            "byte 0",
            format!(
                "does not begin like {}, but with {}",
                named.name(),
                shown(&head)
            ),
            "fetch it again, or give it the extension of what it is",
        )),
        (Some(named), None) => Ok((named, None)),
        (None, None) if is_text(&head) => Ok((Table, None)),
        (None, None) => Err(Error::file(
            path,
            "byte 0",
            format!("begins with {}, like no format that is read", shown(&head)),
            "see the README for the formats that are read",
        )),
    }
}

fn first_bytes(path: &Path) -> Result<(Vec<u8>, u64)> {
    let failed = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut head = Vec::new();
    file.by_ref()
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok((head, size))
}

fn by_content(head: &[u8]) -> Option<Format> {
    let magic: &[(&[u8], Format)] = &[
        (b"0       ", Edf),
        (b"\xffBIOSEMI", Bdf),
        (b"GDF ", Gdf),
        (b"\x93NUMPY", Npy),
        (b"PK\x03\x04", Npz),
        (b"PK\x05\x06", Npz),
        (b"MATLAB 5.0 MAT-file", Mat),
        (b"MATLAB 7.3 MAT-file", Mat),
        (b"\x89HDF\r\n\x1a\n", Hdf5),
        (b"PAR1", Parquet),
        (b"ARROW1\0\0", Arrow),
        (b"\xff\xff\xff\xff", ArrowStream),
    ];
    if let Some((_, format)) = magic.iter().find(|(bytes, _)| head.starts_with(bytes)) {
        return Some(*format);
    }
    // A header text of one's own is allowed; the version and the byte order follow it.
    if matches!(
        head.get(124..128),
        Some([0, 1, b'I', b'M'] | [1, 0, b'M', b'I'])
    ) {
        return Some(Mat);
    }
    if let [0x80, 2..=5, ..] = head {
        return Some(Pickle);
    }
    let text = text_head(head)?;
    if text.trim_start().starts_with('{') {
        return Some(Json);
    }
    if text.contains("<graphml") {
        return Some(GraphMl);
    }
    let word = first_word(text)?.to_ascii_lowercase();
    match word.as_str() {
        "@relation" => Some(Arff),
        "@problemname" | "@timestamps" | "@classlabel" | "@univariate" | "@equallength" => Some(Ts),
        _ => None,
    }
}

/// Why a file that can be told by its first bytes is not read.
fn refused(head: &[u8]) -> Option<&'static str> {
    let known: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
        (b"\xfd7zXZ\0", "is compressed with xz: unpack it first"),
        (
            b"\x28\xb5\x2f\xfd",
            "is compressed with Zstandard: unpack it first",
        ),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"),
        (b"\xff\xfe", "is UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff", "is UTF-16 text: save it as UTF-8"),
    ];
    known
        .iter()
        .find(|(bytes, _)| head.starts_with(bytes))
        .map(|k| k.1)
}

/// The text at the start, as far as it is whole.
fn text_head(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_text(head: &[u8]) -> bool {
    let control = |c: char| c.is_control() && !c.is_whitespace();
    text_head(head).is_some_and(|t| !t.contains(control))
}

/// The first word that is in no comment.
fn first_word(text: &str) -> Option<&str> {
    let comment = |l: &&str| !l.trim().is_empty() && !l.trim_start().starts_with(['#', '%']);
    let line = text.lines().find(comment)?;
    line.split_whitespace().next()
}

/// The first bytes, for messages.
fn shown(head: &[u8]) -> String {
    let start = &head[..head.len().min(12)];
    match std::str::from_utf8(start) {
        Ok(text) => format!("{text:?}"),
        Err(_) => {
            let hex: Vec<String> = start.iter().map(|b| format!("{b:02x}")).collect();
            format!("the bytes {}", hex.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, content: &[u8]) -> Result<(Format, Option<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        recognise(&path)
    }

    #[test]
    fn content_wins_over_the_name() {
        assert_eq!(of("a.edf", b"0       x").unwrap(), (Edf, None));
        let (format, warning) = of("a.edf", b"GDF 2.20").unwrap();
        assert_eq!(format, Gdf);
        assert!(
            warning
                .unwrap()
                .contains("the name says EDF, the content is GDF")
        );
        assert_eq!(of("A.NPZ", b"PK\x03\x04").unwrap().0, Npz);
        assert_eq!(of("none", b"\x93NUMPY").unwrap().0, Npy);
        assert_eq!(of("none", b"\x89HDF\r\n\x1a\n").unwrap().0, Hdf5);
        assert_eq!(of("a.pkl", b"(lp0\n").unwrap(), (Pickle, None));
        assert_eq!(of("none", b"\x80\x04\x95").unwrap().0, Pickle);
        assert_eq!(of("x.feather", b"ARROW1\0\0").unwrap(), (Arrow, None));
        assert_eq!(of("none", b"\xff\xff\xff\xff\x10").unwrap().0, ArrowStream);
        assert_eq!(of("none", b"PAR1").unwrap().0, Parquet);
        assert_eq!(of("x.txt", b"% c\n@RELATION x\n").unwrap().0, Arff);
        assert_eq!(of("x.json", b" {\"a\": 1}").unwrap().0, Json);
        assert_eq!(of("g", b"<?xml?><graphml>").unwrap().0, GraphMl);
        assert_eq!(of("data.txt", b"# c\n@problemName X\n").unwrap().0, Ts);
        assert_eq!(of("data.csv", b"a,b\n1,2\n").unwrap().0, Table);
        assert_eq!(of("noname", "ä,b\n1,2\n".as_bytes()).unwrap().0, Table);
        let mut mat = vec![b' '; 124];
        mat.extend([0, 1, b'I', b'M']);
        assert_eq!(of("own.mat", &mat).unwrap().0, Mat);
    }

    #[test]
    fn what_is_no_data_is_refused() {
        for (name, content, expected) in [
            ("a.edf", &b""[..], "is empty"),
            (
                "a.edf",
                b"hello, world",
                "does not begin like EDF, but with \"hello, world\"",
            ),
            (
                "a.bin",
                b"\x00\x01\xff",
                "the bytes 00 01 ff, like no format",
            ),
            ("a.csv", b"\x1f\x8b\x08", "gzip"),
            ("a.csv", b"\xff\xfea\0", "UTF-16"),
        ] {
            let error = of(name, content).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(
            recognise(Path::new("nowhere"))
                .unwrap_err()
                .to_string()
                .contains("check the path")
        );
    }
}
