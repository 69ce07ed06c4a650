//! NumPy's `.npy` and `.npz` (a zip of `.npy`).
//!
//! Reads versions 1 to 3, C and Fortran order, either byte order, types `f4 f8 i1..i8 u1..u8 b1 U
//! S`; object arrays (pickles) are refused. Lengths are checked before memory is asked for, so a
//! damaged header costs nothing.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use ndarray_npy::NpzWriter;
use zip::ZipArchive;

use super::{Array, count, shaped};
use crate::files::{self, atomic_write};
use crate::{Error, Result};

const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";

/// Reads a `.npy` file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::File`] when it is damaged or of a type that is
/// not read.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    decode(path, "array", &files::read(path)?)
}

/// An open `.npz` file.
pub struct Npz {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

impl Npz {
    /// Opens a `.npz` file and reads its directory.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::File`] when it is no complete zip.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| Error::file(path, "archive", format!("is no .npz file ({e})"), DAMAGED))?;
        Ok(Self {
            path: path.to_path_buf(),
            zip,
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
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| damaged(e.to_string()))?;
        decode(&self.path, name, &bytes)
    }
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

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

/// Decodes the bytes of a `.npy` file; `path` and `field` are for messages.
fn decode(path: &Path, field: &str, bytes: &[u8]) -> Result<Array> {
    let damaged = |problem: &str| Error::file(path, field, problem, DAMAGED);
    if bytes.len() < 10 || &bytes[..6] != b"\x93NUMPY" {
        return Err(damaged("does not start like an .npy file"));
    }
    let (start, length): (usize, usize) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        2 | 3 if bytes.len() >= 12 => (
            12,
            u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize,
        ),
        _ => return Err(damaged("has an unknown .npy version")),
    };
    let text = start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .and_then(|b| std::str::from_utf8(b).ok())
        .ok_or_else(|| damaged("has a broken header"))?;
    let header =
        parse_header(text).ok_or_else(|| damaged(&format!("has a broken header {text:?}")))?;
    let data = &bytes[start + length..];
    let unread = || {
        Error::file(
            path,
            field,
            format!(
                "has type {:?}, which is not read (object arrays, complex, half precision, ...)",
                header.descr
            ),
            "save it as float32, float64, an integer type, bool or strings",
        )
    };
    if !header.descr.is_ascii() || header.descr.len() < 3 {
        return Err(unread());
    }
    let (order, kind) = header.descr.split_at(1);
    let little = match order {
        "<" | "|" => true,
        "=" => cfg!(target_endian = "little"),
        ">" => false,
        _ => return Err(unread()),
    };
    let (letter, width) = kind.split_at(1);
    let width: usize = width.parse().map_err(|_| unread())?;
    let size = if letter == "U" {
        width.checked_mul(4)
    } else {
        Some(width)
    };
    let n = count(&header.shape).ok_or_else(|| damaged("has an impossible shape"))?;
    let expected = size.and_then(|s| s.checked_mul(n));
    if expected != Some(data.len()) {
        return Err(damaged(&format!(
            "shape {:?} of {kind} does not fit the {} bytes of data",
            header.shape,
            data.len()
        )));
    }
    let shape = IxDyn(&header.shape).set_f(header.fortran);
    macro_rules! numbers {
        ($from:ty, $to:ty, $variant:ident) => {{
            let values = data
                .as_chunks::<{ size_of::<$from>() }>()
                .0
                .iter()
                .map(|b| {
                    let v = if little {
                        <$from>::from_le_bytes(*b)
                    } else {
                        <$from>::from_be_bytes(*b)
                    };
                    v as $to
                })
                .collect();
            Ok(Array::$variant(shaped(path, field, shape, values)?))
        }};
    }
    match (letter, width) {
        ("f", 4) => numbers!(f32, f32, F32),
        ("f", 8) => numbers!(f64, f64, F64),
        ("i", 1) => numbers!(i8, i64, I64),
        ("i", 2) => numbers!(i16, i64, I64),
        ("i", 4) => numbers!(i32, i64, I64),
        ("i", 8) => numbers!(i64, i64, I64),
        ("u" | "b", 1) => numbers!(u8, i64, I64),
        ("u", 2) => numbers!(u16, i64, I64),
        ("u", 4) => numbers!(u32, i64, I64),
        ("u", 8) => {
            if data
                .as_chunks::<8>()
                .0
                .iter()
                .any(|b| b[if little { 7 } else { 0 }] > 127)
            {
                return Err(Error::file(
                    path,
                    field,
                    "holds numbers above 2^63",
                    "save it as int64 or float64",
                ));
            }
            numbers!(u64, i64, I64)
        }
        ("S" | "U", 0) => Ok(Array::Text(shaped(
            path,
            field,
            shape,
            vec![String::new(); n],
        )?)),
        ("S" | "U", _) => {
            let unreadable = || damaged("holds a string that is not Unicode");
            let values = data
                .chunks_exact(size.unwrap_or(1))
                .map(|cell| match letter {
                    "S" => std::str::from_utf8(cell)
                        .map(|s| s.trim_end_matches('\0').to_string())
                        .map_err(|_| unreadable()),
                    _ => cell
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|b| {
                            if little {
                                u32::from_le_bytes(*b)
                            } else {
                                u32::from_be_bytes(*b)
                            }
                        })
                        .take_while(|c| *c != 0)
                        .map(|c| char::from_u32(c).ok_or_else(unreadable))
                        .collect(),
                })
                .collect::<Result<Vec<String>>>()?;
            Ok(Array::Text(shaped(path, field, shape, values)?))
        }
        _ => Err(unread()),
    }
}

/// The three entries of a header such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3,
/// 4), }`.
fn parse_header(text: &str) -> Option<Header> {
    let value = |key: &str| {
        let at = text.find(&format!("'{key}'"))?;
        Some(
            text[at + key.len() + 2..]
                .trim_start()
                .strip_prefix(':')?
                .trim_start(),
        )
    };
    let descr = value("descr")?;
    // A structured type is a list; it is kept whole, so that the message shows it.
    let descr = match descr.strip_prefix('\'') {
        Some(rest) => rest.split_once('\'')?.0,
        None => descr.split_once("'fortran_order'")?.0,
    };
    let order = value("fortran_order")?;
    let fortran = if order.starts_with("True") {
        true
    } else if order.starts_with("False") {
        false
    } else {
        return None;
    };
    let inside = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let shape = inside
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.trim_end_matches('L').parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    Some(Header {
        descr: descr.to_string(),
        fortran,
        shape,
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
        decode(Path::new("a.npy"), "x", bytes)
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
        let whole = npy("'<f4'", "False", "(3,)", &[0; 12]);
        assert!(read(&whole).is_ok());
        for n in 0..whole.len() {
            assert!(read(&whole[..n]).is_err(), "{n}");
        }
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
        assert_eq!(npz.read("b/t").unwrap(), Array::F32(t.into_dyn()));
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
