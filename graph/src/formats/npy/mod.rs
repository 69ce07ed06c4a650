//! NumPy's `.npy` and `.npz` (a zip of `.npy`).
//!
//! Reads versions 1 to 3, C and Fortran order, either byte order, types `f2 f4 f8 i1..i8 u1..u8 b1
//! U S`; object arrays (pickles) are refused. Lengths are checked before memory is asked for, so a
//! damaged header costs nothing, and arrays are decoded as they are read: only the array itself
//! and a block of the file are in memory at once.

mod header;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use ndarray_npy::NpzWriter;
use zip::ZipArchive;

pub(crate) use self::header::Header;
use super::Array;
use crate::files::atomic_write;
use crate::{Error, Result};

const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";

/// Deflate packs at most 1032 bytes into one.
const MAX_RATIO: u64 = 1032;

/// Reads a `.npy` file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::File`] when it is damaged or of a type that is
/// not read.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    let (mut file, length) = open(path)?;
    let (header, start) = Header::read(path, "array", &mut file)?;
    header.stream(
        path,
        "array",
        length.saturating_sub(start as u64),
        &mut file,
    )
}

/// Reads the numbers of a `.npy` file as `f32`, without an array of their own type in between.
///
/// # Errors
/// As [`read_npy`], and [`Error::File`] when it holds strings.
pub fn read_npy_f32(path: impl AsRef<Path>) -> Result<ArrayD<f32>> {
    let path = path.as_ref();
    let (mut file, length) = open(path)?;
    let (header, start) = Header::read(path, "array", &mut file)?;
    header.stream_f32(
        path,
        "array",
        length.saturating_sub(start as u64),
        &mut file,
    )
}

/// Reads a `.npy` file out of memory; `path` is for messages.
///
/// # Errors
/// As [`read_npy`].
pub fn parse(bytes: &[u8], path: &Path) -> Result<Array> {
    let mut rest = bytes;
    let (header, _) = Header::read(path, "array", &mut rest)?;
    header.decode(path, "array", rest)
}

fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let failed = |e| Error::io(path, e);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((BufReader::new(file), length))
}

/// What an archive is read from.
trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// An open `.npz` file.
pub struct Npz {
    path: PathBuf,
    zip: ZipArchive<Box<dyn Source>>,
    /// Bytes of the file.
    size: u64,
}

impl Npz {
    /// Opens a `.npz` file and reads its directory.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::File`] when it is no complete zip.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, size) = open(path)?;
        Self::new(path, Box::new(file), size)
    }

    /// Reads a `.npz` file out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] when it is no complete zip.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::new(
            path,
            Box::new(Cursor::new(bytes.to_vec())),
            bytes.len() as u64,
        )
    }

    fn new(path: &Path, source: Box<dyn Source>, size: u64) -> Result<Self> {
        let zip = ZipArchive::new(source)
            .map_err(|e| Error::file(path, "archive", format!("is no .npz file ({e})"), DAMAGED))?;
        Ok(Self {
            path: path.to_path_buf(),
            zip,
            size,
        })
    }

    /// Names of the arrays, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .zip
            .file_names()
            .map(|n| n.strip_suffix(".npy").unwrap_or(n).to_string())
            .collect();
        names.sort();
        names
    }

    /// Whether an array of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.zip
            .file_names()
            .any(|n| n.strip_suffix(".npy").unwrap_or(n) == name)
    }

    /// Reads the array `name`.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such array (it lists those present), when it is damaged,
    /// or of a type that is not read.
    pub fn read(&mut self, name: &str) -> Result<Array> {
        self.entry(name, |path, header, length, mut entry| {
            let array = header.stream(path, name, length, &mut entry)?;
            finished(path, name, entry)?;
            Ok(array)
        })
    }

    /// Reads the numbers of the array `name` as `f32`, without an array of their own type in
    /// between: half the memory for arrays of doubles.
    ///
    /// # Errors
    /// As [`Npz::read`], and [`Error::File`] when it holds strings.
    pub fn read_f32(&mut self, name: &str) -> Result<ArrayD<f32>> {
        self.entry(name, |path, header, length, mut entry| {
            let array = header.stream_f32(path, name, length, &mut entry)?;
            finished(path, name, entry)?;
            Ok(array)
        })
    }

    /// Type and shape of the array `name`, as in NumPy's header: `<f4`, `[3, 4]`.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn info(&mut self, name: &str) -> Result<(String, Vec<usize>)> {
        self.entry(name, |_, header, _, _| Ok((header.descr, header.shape)))
    }

    fn entry<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Path, Header, u64, &mut dyn Read) -> Result<T>,
    ) -> Result<T> {
        let entry = [format!("{name}.npy"), name.to_string()]
            .into_iter()
            .find(|n| self.zip.index_for_name(n).is_some());
        let Some(entry) = entry else {
            return Err(Error::file(
                &self.path,
                name,
                format!("no such array; present: {}", self.names().join(", ")),
                "correct the variable name",
            ));
        };
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let mut file = self
            .zip
            .by_name(&entry)
            .map_err(|e| damaged(e.to_string()))?;
        let packed = file.compressed_size().min(self.size);
        if file.size() > packed.saturating_mul(MAX_RATIO).saturating_add(1 << 10) {
            return Err(damaged(format!(
                "claims {} bytes, more than {packed} can hold",
                file.size()
            )));
        }
        let size = file.size();
        let (header, start) = Header::read(&self.path, name, &mut file)?;
        let value = read(
            &self.path,
            header,
            size.saturating_sub(start as u64),
            &mut file,
        )?;
        Ok(value)
    }
}

/// Reads past the last byte, where the archive checks its sum.
fn finished(path: &Path, name: &str, entry: &mut dyn Read) -> Result<()> {
    let problem = match entry.read(&mut [0]) {
        Ok(0) => return Ok(()),
        Ok(_) => "goes on behind its array".to_string(),
        Err(e) => e.to_string(),
    };
    Err(Error::file(path, name, problem, DAMAGED))
}

/// Reads the array `name` of a `.npz` file; see [`Npz::read`].
pub fn read_npz(path: impl AsRef<Path>, name: &str) -> Result<Array> {
    Npz::open(path)?.read(name)
}

/// Writes arrays into an uncompressed `.npz` file, atomically; `numpy.load` reads it.
///
/// # Errors
/// [`Error::Io`] or [`Error::File`] naming `path`.
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, ArrayD<f32>)]) -> Result<()> {
    let path = path.as_ref();
    atomic_write(path, |w| {
        let mut npz = NpzWriter::new(w);
        let failed = |e: ndarray_npy::WriteNpzError, name: &str| {
            Error::file(path, name, e.to_string(), "check free space and the name")
        };
        for (name, array) in arrays {
            npz.add_array(*name, array).map_err(|e| failed(e, name))?;
        }
        npz.finish().map_err(|e| failed(e, "archive"))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, arr1, arr2};

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text =
            format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Array> {
        parse(bytes, Path::new("a.npy"))
    }

    #[test]
    fn orders_and_types() {
        let ints: Vec<u8> = [1i16, -2, 3, 4, 5, 6]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        assert_eq!(
            read(&npy("'<i2'", "False", "(2, 3)", &ints)).unwrap(),
            Array::I64(arr2(&[[1, -2, 3], [4, 5, 6]]).into_dyn())
        );
        assert_eq!(
            read(&npy("'<i2'", "True", "(2, 3)", &ints)).unwrap(),
            Array::I64(arr2(&[[1, 3, 5], [-2, 4, 6]]).into_dyn())
        );
        assert_eq!(
            read(&npy("'>f8'", "False", "(1,)", &1.5f64.to_be_bytes())).unwrap(),
            Array::F64(arr1(&[1.5]).into_dyn())
        );
        assert_eq!(
            read(&npy("'|b1'", "False", "(2,)", &[1, 0])).unwrap(),
            Array::I64(arr1(&[1, 0]).into_dyn())
        );
        assert_eq!(
            read(&npy("'|u1'", "False", "()", &[200])).unwrap().shape(),
            &[] as &[usize]
        );
        let text: Vec<u8> = ['O', 'z', 'é', '\0']
            .iter()
            .flat_map(|c| (*c as u32).to_le_bytes())
            .collect();
        assert_eq!(
            read(&npy("'<U2'", "False", "(2,)", &text)).unwrap(),
            Array::Text(arr1(&["Oz".to_string(), "é".into()]).into_dyn())
        );
    }

    #[test]
    fn every_cut_of_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let whole = npy("'<f4'", "False", "(3,)", &[0; 12]);
        assert!(read(&whole).is_ok());
        for n in 0..whole.len() {
            assert!(read(&whole[..n]).is_err(), "{n}");
            std::fs::write(&path, &whole[..n]).unwrap();
            assert!(
                read_npy(&path).is_err() && read_npy_f32(&path).is_err(),
                "{n}"
            );
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read_npy_f32(&path).unwrap().shape(), [3]);
    }

    #[test]
    fn impossible_headers_are_errors() {
        for (descr, order, shape) in [
            ("'<f4'", "False", "(18446744073709551615, 9)"),
            ("'<f4'", "False", "(4611686018427387904,)"),
            ("'<f4'", "False", "(-1,)"),
            ("'<f4'", "Perhaps", "(1,)"),
            ("'|O'", "False", "(1,)"),
            ("'<c8'", "False", "(1,)"),
            ("'<U0'", "False", "(4611686018427387904,)"),
            ("'|S0'", "False", "(9,)"),
            ("'<U4611686018427387904'", "False", "(1,)"),
            ("'é'", "False", "(1,)"),
            ("[('a', '<f4')]", "False", "(1,)"),
        ] {
            assert!(read(&npy(descr, order, shape, &[0; 4])).is_err(), "{shape}");
        }
        assert!(read(&npy("'<u8'", "False", "(1,)", &[255; 8])).is_err());
    }

    #[test]
    fn npz_round_trip_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let a = Array2::from_shape_fn((3, 4), |(i, j)| (i * 4 + j) as f32);
        let t = a.t().to_owned();
        write_npz(
            &path,
            &[("a", a.clone().into_dyn()), ("b/t", t.clone().into_dyn())],
        )
        .unwrap();
        let mut npz = Npz::open(&path).unwrap();
        assert_eq!(npz.names(), ["a", "b/t"]);
        assert_eq!(npz.read("a").unwrap(), Array::F32(a.into_dyn()));
        assert_eq!(npz.read("b/t").unwrap(), Array::F32(t.clone().into_dyn()));
        assert_eq!(npz.read_f32("b/t").unwrap(), t.into_dyn());
        assert_eq!(npz.info("a").unwrap(), ("<f4".to_string(), vec![3, 4]));
        let error = npz.read("c").err().unwrap().to_string();
        assert!(error.contains("present: a, b/t"), "{error}");
        let bytes = std::fs::read(&path).unwrap();
        for n in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..n]).unwrap();
            let opened = Npz::open(&path).and_then(|mut z| z.read("b/t"));
            assert!(opened.is_err(), "{n}");
        }
    }
}
