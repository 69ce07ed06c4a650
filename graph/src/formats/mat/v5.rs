//! MATLAB level 5 `.mat` files (what MATLAB's `save -v6` and `-v7` and SciPy write).
//!
//! Source: "MAT-File Format", The MathWorks, chapter 1 (level 5).

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use ndarray::{IxDyn, ShapeBuilder};

use super::{DAMAGED, Info, Parsed, Step, no_step, place, refused, rows_of_chars, rows_of_text};
use crate::formats::{Array, count, shaped};
use crate::{Error, Result};

// Data types of the format's elements.
const MI_UTF8: u32 = 16;
const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

// Classes of its arrays.
const MX_CELL: u8 = 1;
const MX_STRUCT: u8 = 2;
const MX_CHAR: u8 = 4;
const MX_DOUBLE: u8 = 6;
const MX_SINGLE: u8 = 7;
const MX_INT8: u8 = 8;
const MX_UINT64: u8 = 15;
/// MATLAB's names of the classes, from class 1 on.
const CLASSES: [&str; 17] = [
    "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16",
    "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque",
];

/// A level 5 file, decompressed.
pub(super) struct Level5 {
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
    logical: bool,
    shape: Vec<usize>,
    name: String,
    rest: &'a [u8],
}

impl Level5 {
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged = |problem: String| Error::file(path, "header", problem, DAMAGED);
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

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn names(&self) -> Vec<String> {
        self.variables.iter().map(|(n, _)| n.clone()).collect()
    }

    pub fn info(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Info> {
        let matrix = self.walk(name, variable, steps)?;
        self.describe(&matrix)
            .map_err(|e| Error::file(&self.path, name, e, DAMAGED))
    }

    pub fn read(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Array> {
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let matrix = self.walk(name, variable, steps)?;
        let info = self.describe(&matrix).map_err(damaged)?;
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
                    let (inner, after) = self.inner(rest).map_err(damaged)?;
                    rest = after;
                    if inner.class != MX_CHAR && count(&inner.shape) != Some(0) {
                        return Err(refused(&self.path, name, &info));
                    }
                    cells.push(self.chars(&inner).map_err(damaged)?.join("\n"));
                }
                shaped(&self.path, name, shape, cells).map(Array::Text)
            }
            class @ MX_DOUBLE..=MX_UINT64 if !matrix.complex => {
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
            _ => Err(refused(&self.path, name, &info)),
        }
    }

    /// The array that a variable and the steps into it lead to.
    fn walk(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Matrix<'_>> {
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let body = self.variables.iter().find(|(n, _)| n == variable);
        let body = body.map(|(_, body)| body.as_slice()).unwrap_or_default();
        let mut matrix = self.matrix(body).map_err(damaged)?;
        let mut steps = steps.iter();
        while let Some(mut step) = steps.next() {
            let wrong = |step: &Step, matrix: &Matrix<'_>| match self.describe(matrix) {
                Ok(info) => no_step(&self.path, name, step, &info),
                Err(e) => damaged(e),
            };
            let mut at = (count(&matrix.shape) == Some(1)).then_some(0);
            if let Step::Cell(index) | Step::Index(index) = step {
                at = place(&matrix.shape, index);
                if at.is_none() {
                    return Err(wrong(step, &matrix));
                }
            }
            // An index into a struct is for the field that has to follow.
            if let (Step::Index(_), MX_STRUCT) = (step, matrix.class) {
                match steps.next() {
                    Some(next) => step = next,
                    None if count(&matrix.shape) == Some(1) => break,
                    None => return Err(wrong(step, &matrix)),
                }
            }
            // Cells lie one after the other, structs with all fields of the first before those of
            // the second.
            let found = match (step, matrix.class, at) {
                (Step::Cell(_), MX_CELL, Some(at)) => Some((matrix.rest, at)),
                (Step::Field(field), MX_STRUCT, Some(at)) => {
                    let (fields, rest) = self.fields(&matrix).map_err(damaged)?;
                    let index = fields.iter().position(|f| f == field);
                    index.map(|i| (rest, at.saturating_mul(fields.len()).saturating_add(i)))
                }
                _ => None,
            };
            let Some((mut rest, skip)) = found else {
                return Err(wrong(step, &matrix));
            };
            for _ in 0..skip {
                rest = self.element(rest).map_err(damaged)?.rest;
            }
            matrix = self.inner(rest).map_err(damaged)?.0;
        }
        Ok(matrix)
    }

    fn describe(&self, matrix: &Matrix<'_>) -> Parsed<Info> {
        let class = usize::from(matrix.class).wrapping_sub(1);
        let mut class = CLASSES.get(class).copied().unwrap_or("unknown").to_string();
        if matrix.logical && matches!(matrix.class, MX_DOUBLE..=MX_UINT64) {
            class = "logical".into();
        }
        if matrix.complex {
            class = format!("complex {class}");
        }
        Ok(Info {
            class,
            shape: matrix.shape.clone(),
            fields: match matrix.class {
                MX_STRUCT => self.fields(matrix)?.0,
                _ => Vec::new(),
            },
        })
    }

    /// Names of the fields of a struct, and what follows them.
    fn fields<'a>(&self, matrix: &Matrix<'a>) -> Parsed<(Vec<String>, &'a [u8])> {
        let width = self.element(matrix.rest)?;
        let names = self.element(width.rest)?;
        let width = match self.integers(&width)?.first() {
            Some(w @ 1..=4096) => *w as usize,
            _ => return Err("an impossible length of field names".into()),
        };
        let fields = names
            .data
            .chunks_exact(width)
            .map(|n| {
                String::from_utf8_lossy(n)
                    .trim_end_matches('\0')
                    .to_string()
            })
            .collect();
        Ok((fields, names.rest))
    }

    /// The array at the start of the content of a cell or struct, and what follows it.
    fn inner<'a>(&self, bytes: &'a [u8]) -> Parsed<(Matrix<'a>, &'a [u8])> {
        let element = self.element(bytes)?;
        match element.kind {
            MI_MATRIX => Ok((self.matrix(element.data)?, element.rest)),
            _ => Err("a cell or field holds no array".into()),
        }
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
                logical: false,
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
            logical: word & 0x0200 != 0,
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
        let rows = matrix.shape.first().copied().unwrap_or(1);
        if element.kind == MI_UTF8 {
            let text = std::str::from_utf8(element.data).map_err(|_| "text that is not UTF-8")?;
            let chars: Vec<char> = text.chars().collect();
            fits(chars.len(), Some(n))?;
            return Ok(rows_of_chars(&chars, rows));
        }
        let units = self
            .integers(&element)?
            .into_iter()
            .map(|u| u16::try_from(u).map_err(|_| "a character out of range".to_string()))
            .collect::<Parsed<Vec<_>>>()?;
        fits(units.len(), Some(n))?;
        rows_of_text(units, rows)
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
    use super::super::Mat;
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
            // A struct with two fields, the names of which take four bytes each.
            array(
                2,
                &[1, 1],
                "s",
                &[
                    element(5, &4i32.to_le_bytes()),
                    element(1, b"a\0\0\0b\0\0\0"),
                    text("x"),
                    array(6, &[1, 2], "", &[2, 0, 2, 0, 7, 8, 0, 0]),
                ]
                .concat(),
            ),
        ])
    }

    #[test]
    fn column_major_numbers_and_cells_of_text() {
        let mat = Mat::parse(&sample(), Path::new("a.mat")).unwrap();
        assert_eq!(mat.names(), ["m", "names", "s"]);
        let m = ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]).into_dyn();
        assert_eq!(mat.read("m").unwrap(), Array::F64(m));
        let names = ndarray::arr2(&[["Oz".to_string(), "PO3".into()]]).into_dyn();
        assert_eq!(mat.read("names").unwrap(), Array::Text(names));
        assert!(mat.read("s").unwrap_err().to_string().contains("struct"));
        let x = ndarray::arr1(&["x".to_string()]).into_dyn();
        assert_eq!(mat.read("s.a").unwrap(), Array::Text(x));
        let b = ndarray::arr2(&[[7.0, 8.0]]).into_dyn();
        assert_eq!(mat.read("s(1).b").unwrap(), Array::F64(b));
        let cell = ndarray::arr1(&["PO3".to_string()]).into_dyn();
        assert_eq!(mat.read("names{1,2}").unwrap(), Array::Text(cell));
        for bad in [
            "s.c",
            "s(2).a",
            "names{3}",
            "m.a",
            "m{1}",
            "s{1}.c",
            "names{1}.a",
        ] {
            let error = mat.read(bad).unwrap_err().to_string();
            assert!(error.contains("there is no"), "{bad}: {error}");
        }
        let info = mat.info("s").unwrap();
        assert_eq!((info.class.as_str(), info.shape), ("struct", vec![1, 1]));
        assert_eq!(info.fields, ["a", "b"]);
        let error = mat.read("q").unwrap_err().to_string();
        assert!(error.contains("present: m, names, s"), "{error}");
    }

    #[test]
    fn cut_or_changed_files_never_panic() {
        let whole = sample();
        let readable = |bytes: &[u8]| {
            Mat::parse(bytes, Path::new("a.mat"))
                .map(|mat| mat.names().iter().filter(|n| mat.read(n).is_ok()).count())
        };
        assert_eq!(readable(&whole).unwrap(), 2);
        for n in 0..128 {
            assert!(readable(&whole[..n]).is_err(), "{n}");
        }
        for n in 128..whole.len() {
            // A cut between two variables leaves a complete file of fewer.
            let names = Mat::parse(&whole[..n], Path::new("a.mat")).map(|m| m.names().len());
            assert!(names.unwrap_or(0) < 3, "{n}");
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[n] ^= flip;
                let _ = readable(&changed);
            }
        }
    }
}
