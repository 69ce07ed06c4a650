//! The elements of the format: tags, arrays and what they hold, in the byte order of the file.

use crate::formats::count;
use crate::formats::mat::{Info, Parsed, rows_of_chars, rows_of_text};

// Data types of the format's elements.
const MI_UTF8: u32 = 16;
pub(super) const MI_MATRIX: u32 = 14;
pub(super) const MI_COMPRESSED: u32 = 15;

// Classes of its arrays.
pub(super) const MX_CELL: u8 = 1;
pub(super) const MX_STRUCT: u8 = 2;
pub(super) const MX_CHAR: u8 = 4;
pub(super) const MX_DOUBLE: u8 = 6;
pub(super) const MX_SINGLE: u8 = 7;
pub(super) const MX_INT8: u8 = 8;
pub(super) const MX_UINT64: u8 = 15;
/// MATLAB's names of the classes, from class 1 on.
const CLASSES: [&str; 17] = [
    "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16",
    "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque",
];

/// One element: its type, its data, and what follows it.
pub(super) struct Element<'a> {
    pub kind: u32,
    pub data: &'a [u8],
    pub rest: &'a [u8],
}

/// The common head of an array element and its remaining parts.
pub(super) struct Matrix<'a> {
    pub class: u8,
    pub complex: bool,
    pub logical: bool,
    pub shape: Vec<usize>,
    pub name: String,
    pub rest: &'a [u8],
}

/// The byte order of a file, by which its elements are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByteOrder {
    pub big_endian: bool,
}

impl ByteOrder {
    pub fn describe(&self, matrix: &Matrix<'_>) -> Parsed<Info> {
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
    pub fn fields<'a>(&self, matrix: &Matrix<'a>) -> Parsed<(Vec<String>, &'a [u8])> {
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
    pub fn inner<'a>(&self, bytes: &'a [u8]) -> Parsed<(Matrix<'a>, &'a [u8])> {
        let element = self.element(bytes)?;
        match element.kind {
            MI_MATRIX => Ok((self.matrix(element.data)?, element.rest)),
            _ => Err("a cell or field holds no array".into()),
        }
    }

    pub fn tag(&self, bytes: &[u8]) -> Parsed<(u32, usize)> {
        let length = self.u32(bytes.get(4..).unwrap_or_default())?;
        Ok((self.u32(bytes)?, length as usize))
    }

    /// The element at the start of `bytes`: eight bytes of tag and padded data, or, with up to
    /// four bytes of data, everything in eight bytes.
    pub fn element<'a>(&self, bytes: &'a [u8]) -> Parsed<Element<'a>> {
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

    pub fn matrix<'a>(&self, body: &'a [u8]) -> Parsed<Matrix<'a>> {
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
    pub fn chars(&self, matrix: &Matrix<'_>) -> Parsed<Vec<String>> {
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
    pub fn floats(&self, element: &Element<'_>) -> Parsed<Vec<f64>> {
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

    pub fn integers(&self, element: &Element<'_>) -> Parsed<Vec<i64>> {
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
}

pub(super) fn fits(found: usize, expected: Option<usize>) -> Parsed<()> {
    if expected == Some(found) {
        return Ok(());
    }
    Err(format!("{found} values where the shape asks for others"))
}
