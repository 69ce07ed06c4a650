//! Numbers of any width and byte order as they lie in files, decoded in parallel.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

/// Elements that a task decodes at once.
const BLOCK: usize = 1 << 14;

/// How a number is stored; the field is its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1, 2, 4 or 8 bytes, two's complement.
    Signed(usize),
    /// 1, 2, 4 or 8 bytes.
    Unsigned(usize),
    /// 2, 4 or 8 bytes, IEEE 754.
    Float(usize),
}

impl Kind {
    pub fn bytes(self) -> usize {
        match self {
            Self::Signed(n) | Self::Unsigned(n) | Self::Float(n) => n,
        }
    }

    /// Whether numbers of this width are read.
    pub fn is_known(self) -> bool {
        match self {
            Self::Float(n) => matches!(n, 2 | 4 | 8),
            Self::Signed(n) | Self::Unsigned(n) => matches!(n, 1 | 2 | 4 | 8),
        }
    }

    /// Bytes of a float, `None` for whole numbers.
    pub fn float_bytes(self) -> Option<usize> {
        match self {
            Self::Float(n) => Some(n),
            _ => None,
        }
    }
}

/// Where the numbers are in elements that lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells {
    pub kind: Kind,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// Bytes from one element to the next.
    pub stride: usize,
    /// Bytes before the first number of an element.
    pub offset: usize,
    /// Numbers in an element.
    pub per: usize,
}

impl Cells {
    /// Numbers with nothing between them.
    pub fn dense(kind: Kind, big_endian: bool) -> Self {
        Self {
            kind,
            big_endian,
            stride: kind.bytes(),
            offset: 0,
            per: 1,
        }
    }

    /// Whether nothing lies between the numbers.
    pub fn is_dense(&self) -> bool {
        self.per.checked_mul(self.kind.bytes()) == Some(self.stride)
    }
}

/// A number that stored ones become.
pub(crate) trait Number: Copy + Default + Send + Sync {
    /// How it is stored where nothing has to be converted.
    const KIND: Kind;

    fn from_f32(v: f32) -> Self;
    fn from_f64(v: f64) -> Self;
    fn from_i64(v: i64) -> Self;
    /// `None` when it is too large.
    fn from_u64(v: u64) -> Option<Self>;
}

macro_rules! number {
    ($kind:ty, $stored:expr, $from_u64:expr) => {
        impl Number for $kind {
            const KIND: Kind = $stored;

            fn from_f32(v: f32) -> Self {
                v as $kind
            }
            fn from_f64(v: f64) -> Self {
                v as $kind
            }
            fn from_i64(v: i64) -> Self {
                v as $kind
            }
            fn from_u64(v: u64) -> Option<Self> {
                $from_u64(v)
            }
        }
    };
}

number!(f32, Kind::Float(4), |v| Some(v as f32));
number!(f64, Kind::Float(8), |v| Some(v as f64));
number!(i64, Kind::Signed(8), |v| i64::try_from(v).ok());

/// The numbers of whole elements.
pub(crate) fn decode<T: Number>(raw: &[u8], cells: &Cells) -> Result<Vec<T>, String> {
    let mut out = Vec::new();
    decode_into(raw, cells, &mut out)?;
    Ok(out)
}

/// Appends the numbers of whole elements to `out`.
pub(crate) fn decode_into<T: Number>(
    raw: &[u8],
    cells: &Cells,
    out: &mut Vec<T>,
) -> Result<(), String> {
    let Cells {
        kind,
        stride,
        offset,
        per,
        ..
    } = *cells;
    let inside = per
        .checked_mul(kind.bytes())
        .and_then(|b| b.checked_add(offset))
        .is_some_and(|end| end <= stride);
    if !inside || per == 0 || !kind.is_known() {
        return Err("has numbers that do not fit their elements".into());
    }
    let start = out.len();
    let n = raw.len() / stride * per;
    out.resize(start + n, T::default());
    let out = &mut out[start..];
    let elements = (BLOCK / per).max(1);
    let block = block::<T>(kind);
    let too_large = AtomicBool::new(false);
    out.par_chunks_mut(elements * per)
        .zip(raw.par_chunks(elements * stride))
        .for_each(|(out, raw)| {
            if !block(raw, cells, out) {
                too_large.store(true, Ordering::Relaxed);
            }
        });
    if too_large.into_inner() {
        return Err("holds numbers above 2^63".into());
    }
    Ok(())
}

/// Converts the numbers of some whole elements; `false` when one is too large.
///
/// A pointer, so that the way to run it on all cores is compiled once and not for every width.
type Block<T> = fn(&[u8], &Cells, &mut [T]) -> bool;

fn block<T: Number>(kind: Kind) -> Block<T> {
    macro_rules! block {
        ($stored:ty, $convert:expr) => {
            |raw, cells, out| {
                const N: usize = size_of::<$stored>();
                let mut fits = true;
                let mut number = |w: &[u8; N]| {
                    let stored = match cells.big_endian {
                        true => <$stored>::from_be_bytes(*w),
                        false => <$stored>::from_le_bytes(*w),
                    };
                    $convert(stored).unwrap_or_else(|| {
                        fits = false;
                        T::default()
                    })
                };
                if cells.is_dense() {
                    for (v, w) in out.iter_mut().zip(raw.as_chunks::<N>().0) {
                        *v = number(w);
                    }
                } else {
                    let raw = raw.chunks_exact(cells.stride);
                    for (out, element) in out.chunks_exact_mut(cells.per).zip(raw) {
                        let words = element[cells.offset..].as_chunks::<N>().0;
                        for (v, w) in out.iter_mut().zip(words) {
                            *v = number(w);
                        }
                    }
                }
                fits
            }
        };
    }
    match kind {
        Kind::Float(2) => block!(half::f16, |v: half::f16| Some(T::from_f32(v.to_f32()))),
        Kind::Float(4) => block!(f32, |v| Some(T::from_f32(v))),
        Kind::Float(_) => block!(f64, |v| Some(T::from_f64(v))),
        Kind::Signed(1) => block!(i8, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Signed(2) => block!(i16, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Signed(4) => block!(i32, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Signed(_) => block!(i64, |v| Some(T::from_i64(v))),
        Kind::Unsigned(1) => block!(u8, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Unsigned(2) => block!(u16, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Unsigned(4) => block!(u32, |v| Some(T::from_i64(i64::from(v)))),
        Kind::Unsigned(_) => block!(u64, T::from_u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_and_order() {
        for (kind, bytes) in [
            (Kind::Signed(1), (-3i8).to_be_bytes().to_vec()),
            (Kind::Signed(2), (-3i16).to_be_bytes().to_vec()),
            (Kind::Signed(4), (-3i32).to_be_bytes().to_vec()),
            (Kind::Signed(8), (-3i64).to_be_bytes().to_vec()),
            (Kind::Float(4), (-3f32).to_be_bytes().to_vec()),
            (Kind::Float(8), (-3f64).to_be_bytes().to_vec()),
            (Kind::Float(2), vec![0xc2, 0x00]),
        ] {
            let little: Vec<u8> = bytes.iter().rev().copied().collect();
            let decode = |raw: &[u8], big| decode::<f32>(raw, &Cells::dense(kind, big)).unwrap();
            assert_eq!(decode(&bytes, true), [-3.0], "{kind:?}");
            assert_eq!(decode(&little, false), [-3.0], "{kind:?}");
        }
        for n in [1, 2, 4, 8] {
            let cells = Cells::dense(Kind::Unsigned(n), false);
            assert_eq!(decode::<i64>(&vec![0x7f; n], &cells).unwrap().len(), 1);
            let large = decode::<i64>(&vec![0xff; n], &cells);
            assert_eq!(large.is_err(), n == 8);
            assert!(decode::<f64>(&vec![0xff; n], &cells).is_ok());
        }
    }

    #[test]
    fn fields_of_elements_and_more_than_one_block() {
        let raw: Vec<u8> = (0..40_000u16)
            .flat_map(|i| [0xff, i.to_le_bytes()[0], i.to_le_bytes()[1], 7, 0])
            .collect();
        let cells = Cells {
            kind: Kind::Unsigned(2),
            big_endian: false,
            stride: 5,
            offset: 1,
            per: 2,
        };
        let v = decode::<i64>(&raw, &cells).unwrap();
        assert_eq!(v.len(), 80_000);
        assert!(v.chunks(2).enumerate().all(|(i, c)| c == [i as i64, 7]));
        let outside = Cells { offset: 2, ..cells };
        assert!(decode::<i64>(&raw, &outside).is_err());
    }
}
