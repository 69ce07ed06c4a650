//! Headers of fixed fields, read one after the other.

use std::path::Path;

use super::{DAMAGED, SampleType, Source};
use crate::{Error, Result};

/// A header and the place up to which it has been read.
pub(in crate::formats) struct Fields<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, at: 0 }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, name: &str) -> Result<&'a [u8]> {
        let found = self.bytes.get(self.at..).and_then(|b| b.get(..n));
        let Some(found) = found else {
            return Err(Error::file(
                self.path,
                format!("byte {}, {name}", self.at),
                format!("the header ends after {} bytes", self.bytes.len()),
                DAMAGED,
            ));
        };
        self.at += n;
        Ok(found)
    }

    /// An error about the field of `n` bytes that was read last.
    pub fn wrong(&self, n: usize, name: &str, problem: impl Into<String>) -> Error {
        let field = format!("byte {}, {name}", self.at.saturating_sub(n));
        Error::file(self.path, field, problem, DAMAGED)
    }

    /// Text of `n` bytes without the blanks and zeros around it. Bytes outside ASCII, which the
    /// formats do not allow but micro signs bring in, are taken for UTF-8 where they can be, and
    /// else for Latin-1.
    pub fn text(&mut self, n: usize, name: &str) -> Result<String> {
        Ok(text(self.take(n, name)?))
    }

    /// A number written in `n` ASCII characters.
    pub fn number(&mut self, n: usize, name: &str) -> Result<f64> {
        let text = self.text(n, name)?;
        // `parse` alone would take "inf" and "nan".
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        text.parse()
            .ok()
            .filter(|v: &f64| plain && v.is_finite())
            .ok_or_else(|| self.wrong(n, name, format!("{text:?} is no number")))
    }

    /// A whole number written in `n` ASCII characters.
    pub fn whole(&mut self, n: usize, name: &str) -> Result<i64> {
        let text = self.text(n, name)?;
        text.parse()
            .map_err(|_| self.wrong(n, name, format!("{text:?} is no whole number")))
    }

    /// `N` bytes, for a little-endian number.
    pub fn word<const N: usize>(&mut self, name: &str) -> Result<[u8; N]> {
        let bytes = self.take(N, name)?;
        bytes
            .try_into()
            .map_err(|_| self.wrong(N, name, "is cut short"))
    }

    /// One value per channel of a field that is stored for all channels together.
    pub fn each<T>(
        &mut self,
        channels: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        // Grows with what is read, so that a wrong count cannot ask for memory.
        let mut out = Vec::new();
        for _ in 0..channels {
            out.push(read(self)?);
        }
        Ok(out)
    }
}

/// Text without the blanks and zeros around it.
pub(in crate::formats) fn text(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    };
    text.trim_matches(['\0', ' ']).to_string()
}

/// The size of a source, and its header as far as it is there: its first `fixed` bytes give its
/// `length`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and those of `length`.
pub(in crate::formats) fn head<'a, S: Source>(
    source: &'a S,
    path: &Path,
    fixed: usize,
    length: impl Fn(&Path, &[u8]) -> Result<usize>,
    buffer: &'a mut Vec<u8>,
) -> Result<(u64, &'a [u8])> {
    let io = |e| Error::io(path, e);
    let size = source.size().map_err(io)?;
    let there = usize::try_from(size).unwrap_or(usize::MAX);
    let start = source.bytes(0, there.min(fixed), buffer).map_err(io)?;
    let all = length(path, start)?;
    let bytes = source.bytes(0, there.min(all), buffer).map_err(io)?;
    Ok((size, bytes))
}

/// Byte of each channel in a record, and the bytes of a record.
///
/// # Errors
/// [`Error::File`] when a record is empty, or larger than a file can be.
pub(in crate::formats) fn record_layout(
    path: &Path,
    channels: &[(SampleType, usize)],
) -> Result<(Vec<u64>, u64)> {
    offsets(channels)
        .filter(|(_, bytes)| *bytes > 0)
        .ok_or_else(|| {
            Error::file(
                path,
                "samples per record",
                "no channel has any, or more than a file can hold",
                DAMAGED,
            )
        })
}

fn offsets(channels: &[(SampleType, usize)]) -> Option<(Vec<u64>, u64)> {
    let mut at = 0u64;
    let mut out = Vec::with_capacity(channels.len());
    for (kind, samples) in channels {
        out.push(at);
        at = at.checked_add(
            u64::try_from(*samples)
                .ok()?
                .checked_mul(kind.bytes() as u64)?,
        )?;
    }
    Some((out, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_name_their_place() {
        let path = Path::new("a.edf");
        let mut fields = Fields::new(path, b"12  -3.5    1,5 inf \xb5V\0\0ab");
        assert_eq!(fields.whole(4, "count").unwrap(), 12);
        assert_eq!(fields.number(8, "minimum").unwrap(), -3.5);
        let error = |r: Result<f64>| r.unwrap_err().to_string();
        let text = error(fields.number(4, "maximum"));
        assert!(
            text.contains("a.edf: byte 12, maximum: \"1,5\" is no number"),
            "{text}"
        );
        assert!(error(fields.number(4, "x")).contains("inf"));
        assert_eq!(fields.text(4, "unit").unwrap(), "µV");
        assert!(error(fields.number(4, "y")).contains("header ends after 26 bytes"));
        assert_eq!(fields.word::<2>("z").unwrap(), *b"ab");
    }

    #[test]
    fn records_are_laid_out_without_overflow() {
        let kinds = [(SampleType::I16, 3), (SampleType::I24, 2)];
        assert_eq!(offsets(&kinds), Some((vec![0, 6], 12)));
        assert_eq!(offsets(&[(SampleType::F64, usize::MAX)]), None);
    }
}
