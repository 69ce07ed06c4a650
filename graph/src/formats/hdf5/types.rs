//! Bytes of elements to numbers and strings.

use hdf5_reader::error::{Error as Hdf5Error, Result as Hdf5Result};
use hdf5_reader::{
    ByteOrder, Datatype, H5Type, ReferenceType, StringPadding, StringSize, dtype_element_size,
};

use super::is_text;
use crate::formats::count;
use crate::formats::numbers::{Cells, Kind, Number, decode};

/// The numbers in the elements of a data set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbers {
    pub cells: Cells,
    /// Axes inside an element.
    pub inner: Vec<usize>,
}

impl Numbers {
    /// The numbers of a type, or of a field of a compound type; `None` when there are none.
    pub fn of(dtype: &Datatype, field: Option<&str>) -> Option<Self> {
        let stride = dtype_element_size(dtype).ok()?;
        let (mut dtype, offset) = match (field, dtype) {
            (None, dtype) => (dtype, 0),
            (Some(name), Datatype::Compound { fields, .. }) => {
                let field = fields.iter().find(|f| f.name == name)?;
                (&field.datatype, field.byte_offset as usize)
            }
            _ => return None,
        };
        let mut inner = Vec::new();
        while let Datatype::Array { base, dims } = dtype {
            for d in dims {
                inner.push(usize::try_from(*d).ok()?);
            }
            dtype = base;
        }
        if let Datatype::Enum { base, .. } = dtype {
            dtype = base;
        }
        let (kind, order) = match dtype {
            Datatype::FixedPoint {
                size,
                signed,
                byte_order,
            } => match signed {
                true => (Kind::Signed(usize::from(*size)), byte_order),
                false => (Kind::Unsigned(usize::from(*size)), byte_order),
            },
            Datatype::Bitfield { size, byte_order } => {
                (Kind::Unsigned(usize::from(*size)), byte_order)
            }
            Datatype::FloatingPoint { size, byte_order } => {
                (Kind::Float(usize::from(*size)), byte_order)
            }
            _ => return None,
        };
        let per = count(&inner)?;
        let end = per.checked_mul(kind.bytes())?.checked_add(offset)?;
        (kind.is_known() && end <= stride && per > 0).then_some(Self {
            cells: Cells {
                kind,
                big_endian: *order == ByteOrder::BigEndian,
                stride,
                offset,
                per,
            },
            inner,
        })
    }
}

/// A number of any stored type as `T`, for the library's reader of chunks. It copies bytes into
/// values where [`H5Type::native_copy_compatible`] says so; every pattern of bits is a number.
#[derive(Clone)]
#[repr(transparent)]
pub(super) struct Cast<T>(pub T);

impl<T: Number> H5Type for Cast<T> {
    fn hdf5_type() -> Datatype {
        Datatype::FloatingPoint {
            size: 8,
            byte_order: ByteOrder::LittleEndian,
        }
    }

    fn from_bytes(bytes: &[u8], dtype: &Datatype) -> Hdf5Result<Self> {
        let first = Self::decode_vec(bytes, dtype, 1).and_then(|v| v.ok()?.into_iter().next());
        first.ok_or_else(|| Hdf5Error::InvalidData("an element is no number".into()))
    }

    fn element_size(dtype: &Datatype) -> usize {
        dtype_element_size(dtype).unwrap_or(0)
    }

    fn native_copy_compatible(dtype: &Datatype) -> bool {
        Numbers::of(dtype, None).is_some_and(|numbers| {
            numbers.cells == Cells::dense(T::KIND, cfg!(target_endian = "big"))
        })
    }

    fn decode_vec(raw: &[u8], dtype: &Datatype, count: usize) -> Option<Hdf5Result<Vec<Self>>> {
        let cells = Numbers::of(dtype, None)?.cells;
        let raw = raw.get(..count.checked_mul(cells.stride)?)?;
        Some(match decode::<T>(raw, &cells) {
            Ok(values) => Ok(values.into_iter().map(Cast).collect()),
            Err(e) => Err(Hdf5Error::InvalidData(e)),
        })
    }
}

/// How strings are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Text {
    /// In the element, from `offset`.
    Fixed {
        offset: usize,
        length: usize,
        padding: StringPadding,
    },
    /// In the file's heap; the element at `offset` says where.
    Variable { offset: usize },
    /// The path of the object whose address is in the element.
    Reference { offset: usize, length: usize },
}

impl Text {
    /// The strings of a type, or of a field of a compound type; `None` when there are none.
    pub fn of(dtype: &Datatype, field: Option<&str>) -> Option<Self> {
        let (dtype, offset) = match (field, dtype) {
            (None, dtype) => (dtype, 0),
            (Some(name), Datatype::Compound { fields, .. }) => {
                let field = fields.iter().find(|f| f.name == name)?;
                (&field.datatype, field.byte_offset as usize)
            }
            _ => return None,
        };
        match dtype {
            Datatype::String {
                size: StringSize::Fixed(length),
                padding,
                ..
            } if *length > 0 => Some(Self::Fixed {
                offset,
                length: *length as usize,
                padding: *padding,
            }),
            Datatype::Reference {
                ref_type: ReferenceType::Object,
                size,
            } => Some(Self::Reference {
                offset,
                length: usize::from(*size),
            }),
            Datatype::String {
                size: StringSize::Variable,
                ..
            } => Some(Self::Variable { offset }),
            dtype if is_text(dtype) && !matches!(dtype, Datatype::String { .. }) => {
                Some(Self::Variable { offset })
            }
            _ => None,
        }
    }

    /// Object addresses of references.
    pub fn addresses<'a>(&self, raw: &'a [u8], element: usize) -> impl Iterator<Item = u64> + 'a {
        let (offset, length) = match *self {
            Self::Reference { offset, length } => (offset, length.min(8)),
            _ => (0, 0),
        };
        raw.chunks_exact(element.max(1)).map(move |cell| {
            let bytes = cell.get(offset..offset + length).unwrap_or_default();
            bytes
                .iter()
                .rev()
                .fold(0u64, |a, b| (a << 8) | u64::from(*b))
        })
    }

    /// The strings of whole elements; those of variable length may take `limit` bytes together.
    pub fn strings(
        &self,
        raw: &[u8],
        element: usize,
        limit: usize,
        resolve: impl Fn(&[u8]) -> Hdf5Result<Vec<u8>>,
    ) -> Result<Vec<String>, String> {
        let mut left = limit;
        raw.chunks_exact(element.max(1))
            .map(|cell| {
                let cut = || "a string is cut short".to_string();
                match *self {
                    Self::Variable { offset } => {
                        let reference = cell.get(offset..).ok_or_else(cut)?;
                        // The number of bytes comes first; two references may not share a string
                        // over and over to make more of it than the file holds.
                        let length = reference.first_chunk::<4>().ok_or_else(cut)?;
                        left = left
                            .checked_sub(u32::from_le_bytes(*length) as usize)
                            .ok_or("strings claim more bytes than the file has")?;
                        let bytes = resolve(reference).map_err(|e| e.to_string())?;
                        Ok(plain(&bytes, StringPadding::NullTerminate))
                    }
                    Self::Fixed {
                        offset,
                        length,
                        padding,
                    } => {
                        let bytes = cell.get(offset..offset + length).ok_or_else(cut)?;
                        Ok(plain(bytes, padding))
                    }
                    Self::Reference { .. } => Err("is a reference, not text".into()),
                }
            })
            .collect()
    }
}

/// Text without its padding; bytes that are not UTF-8 are taken as Latin-1, as older programs
/// wrote them.
fn plain(bytes: &[u8], padding: StringPadding) -> String {
    let bytes = match padding {
        StringPadding::NullTerminate => bytes.split(|b| *b == 0).next().unwrap_or_default(),
        StringPadding::NullPad => {
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
            &bytes[..end]
        }
        StringPadding::SpacePad => {
            let end = bytes.iter().rposition(|b| *b != b' ').map_or(0, |i| i + 1);
            &bytes[..end]
        }
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// Whether a stored datatype message describes the IEEE 754 float of `bytes` bytes.
pub(super) fn ieee(message: &[u8], bytes: usize) -> bool {
    // After class and version (1 byte), flags (3) and size (4): bit offset and precision (2 each),
    // exponent location and size, mantissa location and size (1 each), exponent bias (4).
    let Some(p) = message.get(8..20) else {
        return false;
    };
    let precision = u16::from_le_bytes([p[2], p[3]]);
    let bias = u32::from_le_bytes([p[8], p[9], p[10], p[11]]);
    let expected = match bytes {
        2 => (16, 10, 5, 10, 15),
        4 => (32, 23, 8, 23, 127),
        _ => (64, 52, 11, 52, 1023),
    };
    // Bit 6 of the flags marks the byte order of VAX.
    (precision, p[4], p[5], p[7], bias) == expected
        && p[..2] == [0, 0]
        && p[6] == 0
        && message[1] & 0x40 == 0
}

/// A type, for people.
pub(super) fn describe(dtype: &Datatype) -> String {
    match dtype {
        Datatype::FixedPoint { size, signed, .. } => {
            let sign = if *signed { "int" } else { "uint" };
            format!("{sign}{}", u32::from(*size) * 8)
        }
        Datatype::FloatingPoint { size, .. } => format!("float{}", u32::from(*size) * 8),
        Datatype::Bitfield { size, .. } => format!("bits{}", u32::from(*size) * 8),
        Datatype::Enum { .. } => "enumeration".into(),
        Datatype::Reference {
            ref_type: ReferenceType::Object,
            ..
        } => "object reference".into(),
        Datatype::Reference { .. } => "region reference".into(),
        Datatype::Compound { fields, .. } => {
            let fields: Vec<String> = fields
                .iter()
                .take(20)
                .map(|f| format!("{}: {}", f.name, short(&f.datatype)))
                .collect();
            format!("compound ({})", fields.join(", "))
        }
        dtype => short(dtype),
    }
}

fn short(dtype: &Datatype) -> String {
    match dtype {
        Datatype::Compound { .. } => "compound".into(),
        Datatype::Array { base, dims } => match **base {
            Datatype::Array { .. } | Datatype::Compound { .. } => format!("array {dims:?}"),
            ref base => format!("{} {dims:?}", describe(base)),
        },
        dtype if is_text(dtype) => "text".into(),
        Datatype::VarLen { .. } => "sequences of variable length".into(),
        Datatype::Opaque { .. } => "opaque bytes".into(),
        dtype => describe(dtype),
    }
}
