//! The header of a `.npy` file, and the array behind it.

use std::io::Read;
use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::DAMAGED;
use crate::formats::numbers::{Cells, Kind, Number, decode, decode_into};
use crate::formats::{Array, count, shaped};
use crate::{Error, Result};

/// Bytes that are read from a stream at once.
const BLOCK: usize = 1 << 20;

/// What a `.npy` file says about its array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// Byte order, letter and width of the type, as in `<f4`.
    pub descr: String,
    /// Whether the first index runs fastest.
    pub fortran: bool,
    pub shape: Vec<usize>,
}

/// How the elements are stored.
enum Type {
    Numbers(Cells),
    /// Bytes of a string, padded with zeros.
    Bytes(usize),
    /// Code points of a string of four bytes each, padded with zeros.
    Unicode {
        length: usize,
        big_endian: bool,
    },
}

impl Type {
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::Numbers(cells) => Some(cells.stride),
            Self::Bytes(n) => Some(*n),
            Self::Unicode { length, .. } => length.checked_mul(4),
        }
    }
}

impl Header {
    /// Reads the header at the start of a file, and leaves `reader` behind it; gives the header and
    /// its bytes.
    pub fn read(path: &Path, field: &str, reader: &mut impl Read) -> Result<(Self, usize)> {
        let damaged = |problem: &str| Error::file(path, field, problem, DAMAGED);
        let mut take = |n: usize| {
            let mut bytes = Vec::new();
            let read = reader.by_ref().take(n as u64).read_to_end(&mut bytes);
            read.ok().filter(|found| *found == n).map(|_| bytes)
        };
        let start = take(8).filter(|b| b.starts_with(b"\x93NUMPY"));
        let start = start.ok_or_else(|| damaged("does not start like an .npy file"))?;
        let width = match start[6] {
            1 => 2,
            2 | 3 => 4,
            _ => return Err(damaged("has an unknown .npy version")),
        };
        let broken = || damaged("has a broken header");
        let length = take(width).ok_or_else(broken)?;
        let length = length
            .iter()
            .rev()
            .fold(0usize, |n, b| (n << 8) | usize::from(*b));
        let text = take(length).ok_or_else(broken)?;
        let text = String::from_utf8(text).map_err(|_| broken())?;
        let header =
            parse_header(&text).ok_or_else(|| damaged(&format!("has a broken header {text:?}")))?;
        Ok((header, 8 + width + length))
    }

    /// The array in `data`, which are all bytes behind the header.
    pub fn decode(&self, path: &Path, field: &str, data: &[u8]) -> Result<Array> {
        let stored = self.fitting(path, field, data.len() as u64)?;
        match stored {
            Type::Numbers(cells) => {
                macro_rules! array {
                    ($variant:ident) => {{
                        let v = decode(data, &cells).map_err(|e| too_large(path, field, e))?;
                        Ok(Array::$variant(self.shaped(path, field, v)?))
                    }};
                }
                match cells.kind.float_bytes() {
                    Some(8) => array!(F64),
                    Some(_) => array!(F32),
                    None => array!(I64),
                }
            }
            text => self.strings(path, field, &text, data),
        }
    }

    /// The array in the `length` bytes that `reader` has left, in blocks: at no time more than the
    /// array and one block is in memory.
    pub fn stream(
        &self,
        path: &Path,
        field: &str,
        length: u64,
        reader: &mut impl Read,
    ) -> Result<Array> {
        match self.fitting(path, field, length)? {
            Type::Numbers(cells) => Ok(match cells.kind.float_bytes() {
                Some(8) => Array::F64(self.numbers(path, field, &cells, reader)?),
                Some(_) => Array::F32(self.numbers(path, field, &cells, reader)?),
                None => Array::I64(self.numbers(path, field, &cells, reader)?),
            }),
            text => {
                let mut data = Vec::new();
                reader
                    .take(length)
                    .read_to_end(&mut data)
                    .map_err(|e| Error::file(path, field, e.to_string(), DAMAGED))?;
                self.fitting(path, field, data.len() as u64)?;
                self.strings(path, field, &text, &data)
            }
        }
    }

    /// As [`Header::stream`], with the numbers as `f32` whatever their type.
    pub fn stream_f32(
        &self,
        path: &Path,
        field: &str,
        length: u64,
        reader: &mut impl Read,
    ) -> Result<ArrayD<f32>> {
        match self.fitting(path, field, length)? {
            Type::Numbers(cells) => self.numbers(path, field, &cells, reader),
            _ => Err(Error::file(
                path,
                field,
                "should hold numbers, but holds strings",
                "name another variable or save it with the right type",
            )),
        }
    }

    fn numbers<T: Number>(
        &self,
        path: &Path,
        field: &str,
        cells: &Cells,
        reader: &mut impl Read,
    ) -> Result<ArrayD<T>> {
        let n = count(&self.shape).unwrap_or(0);
        let mut out = Vec::with_capacity(n);
        let mut left = n.saturating_mul(cells.stride);
        // A multiple of every width.
        let mut block = vec![0; left.min(BLOCK)];
        while left > 0 {
            let part = &mut block[..left.min(BLOCK)];
            reader
                .read_exact(part)
                .map_err(|e| Error::file(path, field, e.to_string(), DAMAGED))?;
            decode_into(part, cells, &mut out).map_err(|e| too_large(path, field, e))?;
            left -= part.len();
        }
        self.shaped(path, field, out)
    }

    fn strings(&self, path: &Path, field: &str, stored: &Type, data: &[u8]) -> Result<Array> {
        let unreadable = || Error::file(path, field, "holds a string that is not Unicode", DAMAGED);
        let cells = data.chunks_exact(stored.bytes().unwrap_or(0).max(1));
        let values = match stored {
            Type::Unicode { big_endian, .. } => cells
                .map(|cell| {
                    let points = cell.as_chunks::<4>().0.iter();
                    points
                        .map(|b| match big_endian {
                            false => u32::from_le_bytes(*b),
                            true => u32::from_be_bytes(*b),
                        })
                        .take_while(|c| *c != 0)
                        .map(|c| char::from_u32(c).ok_or_else(unreadable))
                        .collect()
                })
                .collect::<Result<Vec<String>>>()?,
            _ => cells
                .map(|cell| {
                    std::str::from_utf8(cell)
                        .map(|s| s.trim_end_matches('\0').to_string())
                        .map_err(|_| unreadable())
                })
                .collect::<Result<Vec<String>>>()?,
        };
        Ok(Array::Text(self.shaped(path, field, values)?))
    }

    fn shaped<A: Clone>(&self, path: &Path, field: &str, values: Vec<A>) -> Result<ArrayD<A>> {
        let shape = IxDyn(&self.shape).set_f(self.fortran);
        shaped(path, field, shape, values)
    }

    /// The type, when it is read and `length` bytes are what the shape asks for.
    fn fitting(&self, path: &Path, field: &str, length: u64) -> Result<Type> {
        let damaged = |problem: &str| Error::file(path, field, problem, DAMAGED);
        let stored = self.stored().ok_or_else(|| {
            Error::file(
                path,
                field,
                format!(
                    "has type {:?}, which is not read (object arrays, complex, dates, ...)",
                    self.descr
                ),
                "save it as float32, float64, an integer type, bool or strings",
            )
        })?;
        let n = count(&self.shape).ok_or_else(|| damaged("has an impossible shape"))?;
        let bytes = stored.bytes().and_then(|b| b.checked_mul(n));
        // Strings of no length would make any number of elements out of no bytes.
        let nothing = stored.bytes() == Some(0) && n > 0;
        if nothing || bytes.map(|b| b as u64) != Some(length) {
            return Err(damaged(&format!(
                "shape {:?} of {} does not fit the {length} bytes of data",
                self.shape, self.descr
            )));
        }
        Ok(stored)
    }

    fn stored(&self) -> Option<Type> {
        let mut rest = self.descr.chars();
        let big_endian = match rest.next()? {
            '<' | '|' => false,
            '>' => true,
            '=' => cfg!(target_endian = "big"),
            _ => return None,
        };
        let letter = rest.next()?;
        let width: usize = rest.as_str().parse().ok()?;
        let kind = match letter {
            'f' => Kind::Float(width),
            'i' => Kind::Signed(width),
            'u' => Kind::Unsigned(width),
            'b' if width == 1 => Kind::Unsigned(1),
            'S' => return Some(Type::Bytes(width)),
            'U' => {
                return Some(Type::Unicode {
                    length: width,
                    big_endian,
                });
            }
            _ => return None,
        };
        kind.is_known()
            .then(|| Type::Numbers(Cells::dense(kind, big_endian)))
    }
}

fn too_large(path: &Path, field: &str, problem: String) -> Error {
    Error::file(path, field, problem, "save it as int64 or float64")
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
