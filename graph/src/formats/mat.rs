//! MATLAB level 5 `.mat` files (what MATLAB's `save -v6` and `-v7` and SciPy write).
//!
//! Reads numeric and logical arrays of any rank, char arrays, and cell arrays of char arrays.
//! Structs, objects, sparse and complex arrays are listed but refused. Version 7.3 is HDF5 and
//! refused. Source: "MAT-File Format", The MathWorks, chapter 1 (level 5).

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use ndarray::{IxDyn, ShapeBuilder};

use super::{Array, count, shaped};
use crate::{Error, Result, files};

const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";

// Data types of the format's elements.
const MI_UTF8: u32 = 16;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

// Classes of its arrays.
const MX_CELL: u8 = 1;
const MX_CHAR: u8 = 4;
const MX_DOUBLE: u8 = 6;
const MX_SINGLE: u8 = 7;
const MX_INT8: u8 = 8;
const MX_UINT64: u8 = 15;

/// A `.mat` file, decompressed.
pub struct Mat {
    path: PathBuf,
    /// Name and body of every variable.
    variables: Vec<(String, Vec<u8>)>,
    big_endian: bool,
}

/// One element: its type, its data, and what follows it.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
    rest: &'a [u8],
}

/// The common head of an array element and its remaining parts.
struct Matrix<'a> {
    class: u8,
    complex: bool,
    shape: Vec<usize>,
    name: String,
    rest: &'a [u8],
}

type Parsed<T> = std::result::Result<T, String>;

impl Mat {
    /// Reads a file and the names of its variables.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is no complete level 5 file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &files::read(path)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged = |problem: String| Error::file(path, "header", problem, DAMAGED);
        if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
            return Err(Error::file(
                path,
                "header",
                "is a MATLAB 7.3 (HDF5) file, which is not read",
                "save it in MATLAB with the option '-v7', or as .npz from Python",
            ));
        }
        let big_endian = match bytes.get(124..128) {
            Some([_, 1, b'I', b'M']) => false,
            Some([1, _, b'M', b'I']) => true,
            _ => {
                return Err(damaged("does not start like a MATLAB 5 file".into()));
            }
        };
        let mut mat = Self {
            path: path.to_path_buf(),
            variables: Vec::new(),
            big_endian,
        };
        let mut rest = &bytes[128..];
        while !rest.is_empty() {
            let place = bytes.len() - rest.len();
            let (name, body, after) = mat
                .variable(rest)
                .map_err(|e| Error::file(path, format!("byte {place}"), e, DAMAGED))?;
            if !name.is_empty() {
                mat.variables.push((name, body));
            }
            rest = after;
        }
        Ok(mat)
    }

    /// Names of the variables, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.variables.iter().map(|(n, _)| n.clone()).collect()
    }

    /// Whether a variable of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.variables.iter().any(|(n, _)| n == name)
    }

    /// Reads a variable. A char array of r rows gives r strings, a cell array of char arrays
    /// strings in the shape of the cell.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such variable (it lists those present), when it is
    /// damaged, or of a class that is not read.
    pub fn read(&self, name: &str) -> Result<Array> {
        let Some((_, body)) = self.variables.iter().find(|(n, _)| n == name) else {
            return Err(Error::file(
                &self.path,
                name,
                format!("no such variable; present: {}", self.names().join(", ")),
                "correct the variable name",
            ));
        };
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let matrix = self.matrix(body).map_err(damaged)?;
        let shape = IxDyn(&matrix.shape).f();
        match matrix.class {
            MX_CHAR => {
                let rows = self.chars(&matrix).map_err(damaged)?;
                shaped(&self.path, name, IxDyn(&[rows.len()]), rows).map(Array::Text)
            }
            MX_CELL => {
                let n = count(&matrix.shape).unwrap_or(usize::MAX);
                let mut rest = matrix.rest;
                let mut cells = Vec::new();
                while cells.len() < n {
                    let cell = self.element(rest).map_err(damaged)?;
                    rest = cell.rest;
                    let inner = match cell.kind {
                        MI_MATRIX => self.matrix(cell.data).map_err(damaged)?,
                        _ => return Err(damaged("a cell holds no array".into())),
                    };
                    if inner.class != MX_CHAR && count(&inner.shape) != Some(0) {
                        return Err(self.refused(name, "a cell array with other things than text"));
                    }
                    cells.push(self.chars(&inner).map_err(damaged)?.join("\n"));
                }
                shaped(&self.path, name, shape, cells).map(Array::Text)
            }
            MX_DOUBLE..=MX_UINT64 if matrix.complex => Err(self.refused(name, "complex")),
            class @ MX_DOUBLE..=MX_UINT64 => {
                let values = self.element(matrix.rest).map_err(damaged)?;
                let n = count(&matrix.shape);
                if class < MX_INT8 {
                    let v = self.floats(&values).map_err(damaged)?;
                    fits(v.len(), n).map_err(damaged)?;
                    if class == MX_SINGLE {
                        let v = v.iter().map(|v| *v as f32).collect();
                        shaped(&self.path, name, shape, v).map(Array::F32)
                    } else {
                        shaped(&self.path, name, shape, v).map(Array::F64)
                    }
                } else {
                    let v = self.integers(&values).map_err(damaged)?;
                    fits(v.len(), n).map_err(damaged)?;
                    shaped(&self.path, name, shape, v).map(Array::I64)
                }
            }
            _ => Err(self.refused(name, "a struct, object, sparse array or function")),
        }
    }

    fn refused(&self, name: &str, what: &str) -> Error {
        Error::file(
            &self.path,
            name,
            format!("is {what}, which is not read"),
            "save it as a plain numeric array or a cell array of strings",
        )
    }

    /// Name and body of the variable at the start of `bytes`, and what follows it. Elements that
    /// hold no array have an empty name.
    fn variable<'a>(&self, bytes: &'a [u8]) -> Parsed<(String, Vec<u8>, &'a [u8])> {
        let (kind, length) = self.tag(bytes)?;
        // Compressed elements are not padded to eight bytes; others at this level are aligned.
        let data = bytes
            .get(8..)
            .and_then(|b| b.get(..length))
            .ok_or("a variable is cut short")?;
        let after = &bytes[8 + length..];
        let unpacked;
        let body = if kind == MI_COMPRESSED {
            let mut out = Vec::new();
            ZlibDecoder::new(data)
                .read_to_end(&mut out)
                .map_err(|e| format!("a compressed variable cannot be unpacked ({e})"))?;
            unpacked = out;
            let inner = self.element(&unpacked)?;
            if inner.kind != MI_MATRIX {
                return Ok((String::new(), Vec::new(), after));
            }
            inner.data
        } else if kind == MI_MATRIX {
            data
        } else {
            return Ok((String::new(), Vec::new(), after));
        };
        let name = self.matrix(body)?.name;
        Ok((name, body.to_vec(), after))
    }

    fn u32(&self, bytes: &[u8]) -> Parsed<u32> {
        let four: [u8; 4] = bytes
            .get(..4)
            .and_then(|b| b.try_into().ok())
            .ok_or("an element is cut short")?;
        Ok(if self.big_endian {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    }

    fn tag(&self, bytes: &[u8]) -> Parsed<(u32, usize)> {
        let length = self.u32(bytes.get(4..).unwrap_or_default())?;
        Ok((self.u32(bytes)?, length as usize))
    }

    /// The element at the start of `bytes`: eight bytes of tag and padded data, or, with up to
    /// four bytes of data, everything in eight bytes.
    fn element<'a>(&self, bytes: &'a [u8]) -> Parsed<Element<'a>> {
        let first = self.u32(bytes)?;
        if first >> 16 != 0 {
            let length = (first >> 16) as usize;
            let small = bytes.get(4..8).filter(|_| length <= 4);
            return Ok(Element {
                kind: first & 0xffff,
                data: &small.ok_or("a small element is broken")?[..length],
                rest: &bytes[8..],
            });
        }
        let (kind, length) = self.tag(bytes)?;
        let data = bytes
            .get(8..)
            .and_then(|b| b.get(..length))
            .ok_or("an element is cut short")?;
        let end = 8 + length.next_multiple_of(8);
        Ok(Element {
            kind,
            data,
            rest: bytes.get(end..).unwrap_or_default(),
        })
    }

    fn matrix<'a>(&self, body: &'a [u8]) -> Parsed<Matrix<'a>> {
        if body.is_empty() {
            // An empty cell may be an array element without any content.
            return Ok(Matrix {
                class: MX_DOUBLE,
                complex: false,
                shape: vec![0, 0],
                name: String::new(),
                rest: body,
            });
        }
        let flags = self.element(body)?;
        let word = self.u32(flags.data)?;
        let dims = self.element(flags.rest)?;
        let shape = self
            .integers(&dims)?
            .into_iter()
            .map(|d| usize::try_from(d).map_err(|_| "a negative dimension".to_string()))
            .collect::<Parsed<Vec<_>>>()?;
        let name = self.element(dims.rest)?;
        Ok(Matrix {
            class: (word & 0xff) as u8,
            complex: word & 0x0800 != 0,
            shape,
            name: String::from_utf8_lossy(name.data).into_owned(),
            rest: name.rest,
        })
    }

    /// Rows of a char array, without trailing blanks and zeros.
    fn chars(&self, matrix: &Matrix<'_>) -> Parsed<Vec<String>> {
        let n = count(&matrix.shape).ok_or("an impossible shape")?;
        if n == 0 {
            return Ok(vec![String::new()]);
        }
        let element = self.element(matrix.rest)?;
        let chars: Vec<char> = if element.kind == MI_UTF8 {
            std::str::from_utf8(element.data)
                .map_err(|_| "text that is not UTF-8")?
                .chars()
                .collect()
        } else {
            let units = self
                .integers(&element)?
                .into_iter()
                .map(|u| u16::try_from(u).map_err(|_| "a character out of range".to_string()))
                .collect::<Parsed<Vec<_>>>()?;
            char::decode_utf16(units)
                .collect::<std::result::Result<_, _>>()
                .map_err(|_| "text that is not UTF-16")?
        };
        fits(chars.len(), Some(n))?;
        let rows = matrix.shape.first().copied().unwrap_or(1);
        Ok((0..rows)
            .map(|r| {
                let row: String = chars.iter().skip(r).step_by(rows).collect();
                row.trim_end_matches([' ', '\0']).to_string()
            })
            .collect())
    }

    /// Numbers of an element; doubles may be stored in a narrower type.
    fn floats(&self, element: &Element<'_>) -> Parsed<Vec<f64>> {
        match element.kind {
            7 => Ok(self
                .words::<4>(element.data)?
                .map(|b| f64::from(f32::from_le_bytes(b)))
                .collect()),
            9 => Ok(self
                .words::<8>(element.data)?
                .map(f64::from_le_bytes)
                .collect()),
            _ => Ok(self
                .integers(element)?
                .into_iter()
                .map(|v| v as f64)
                .collect()),
        }
    }

    fn integers(&self, element: &Element<'_>) -> Parsed<Vec<i64>> {
        let data = element.data;
        Ok(match element.kind {
            1 => data.iter().map(|b| i64::from(*b as i8)).collect(),
            2 | MI_UTF8 => data.iter().map(|b| i64::from(*b)).collect(),
            3 => self
                .words::<2>(data)?
                .map(|b| i64::from(i16::from_le_bytes(b)))
                .collect(),
            4 | 17 => self
                .words::<2>(data)?
                .map(|b| i64::from(u16::from_le_bytes(b)))
                .collect(),
            5 => self
                .words::<4>(data)?
                .map(|b| i64::from(i32::from_le_bytes(b)))
                .collect(),
            6 => self
                .words::<4>(data)?
                .map(|b| i64::from(u32::from_le_bytes(b)))
                .collect(),
            12 => self.words::<8>(data)?.map(i64::from_le_bytes).collect(),
            13 => self
                .words::<8>(data)?
                .map(|b| {
                    i64::try_from(u64::from_le_bytes(b))
                        .map_err(|_| "a number above 2^63".to_string())
                })
                .collect::<Parsed<_>>()?,
            other => return Err(format!("numbers of the unknown type {other}")),
        })
    }

    /// The data in words of `N` bytes, little-endian.
    fn words<'a, const N: usize>(
        &self,
        data: &'a [u8],
    ) -> Parsed<impl Iterator<Item = [u8; N]> + use<'a, N>> {
        let (words, rest) = data.as_chunks::<N>();
        if !rest.is_empty() {
            return Err("a length that is no multiple of the word".into());
        }
        let swap = self.big_endian;
        Ok(words.iter().map(move |w| {
            let mut w = *w;
            if swap {
                w.reverse();
            }
            w
        }))
    }
}

fn fits(found: usize, expected: Option<usize>) -> Parsed<()> {
    if expected == Some(found) {
        return Ok(());
    }
    Err(format!("{found} values where the shape asks for others"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = kind.to_le_bytes().to_vec();
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    fn array(class: u32, shape: &[i32], name: &str, content: &[u8]) -> Vec<u8> {
        let mut flags = class.to_le_bytes().to_vec();
        flags.extend([0; 4]);
        let dims: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
        let body = [
            element(6, &flags),
            element(5, &dims),
            element(1, name.as_bytes()),
            content.to_vec(),
        ]
        .concat();
        element(MI_MATRIX, &body)
    }

    fn file(variables: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![b' '; 124];
        out.extend([0, 1, b'I', b'M']);
        out.extend(variables.concat());
        out
    }

    fn sample() -> Vec<u8> {
        let text = |s: &str| {
            let units: Vec<u8> = s.encode_utf16().flat_map(u16::to_le_bytes).collect();
            array(4, &[1, s.len() as i32], "", &element(4, &units))
        };
        file(&[
            // A double array stored as bytes, in a small element.
            array(6, &[2, 2], "m", &[2, 0, 4, 0, 1, 2, 3, 4]),
            array(1, &[1, 2], "names", &[text("Oz"), text("PO3")].concat()),
            array(2, &[1, 1], "s", &[]),
        ])
    }

    #[test]
    fn column_major_numbers_and_cells_of_text() {
        let mat = Mat::parse(Path::new("a.mat"), &sample()).unwrap();
        assert_eq!(mat.names(), ["m", "names", "s"]);
        let m = ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]).into_dyn();
        assert_eq!(mat.read("m").unwrap(), Array::F64(m));
        let names = ndarray::arr2(&[["Oz".to_string(), "PO3".into()]]).into_dyn();
        assert_eq!(mat.read("names").unwrap(), Array::Text(names));
        assert!(mat.read("s").unwrap_err().to_string().contains("struct"));
        let error = mat.read("q").unwrap_err().to_string();
        assert!(error.contains("present: m, names, s"), "{error}");
    }

    #[test]
    fn cut_or_changed_files_never_panic() {
        let whole = sample();
        let readable = |bytes: &[u8]| {
            Mat::parse(Path::new("a.mat"), bytes)
                .map(|mat| mat.names().iter().filter(|n| mat.read(n).is_ok()).count())
        };
        assert_eq!(readable(&whole).unwrap(), 2);
        for n in 0..128 {
            assert!(readable(&whole[..n]).is_err(), "{n}");
        }
        for n in 128..whole.len() {
            // A cut between two variables leaves a complete file of fewer.
            let names = Mat::parse(Path::new("a.mat"), &whole[..n]).map(|m| m.names().len());
            assert!(names.unwrap_or(0) < 3, "{n}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[n] ^= flip;
                let _ = readable(&changed);
            }
        }
    }

    #[test]
    fn hdf5_is_named() {
        let error = Mat::parse(Path::new("a.mat"), b"MATLAB 7.3 MAT-file")
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("HDF5") && error.contains("-v7"), "{error}");
    }
}
