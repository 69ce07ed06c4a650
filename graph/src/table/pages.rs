//! What the pages of a Parquet file claim, looked at before the library reads them: it makes room
//! for the sizes in their headers before it sees what is behind.
//!
//! Source: `parquet.thrift` of the format, and "Thrift compact protocol encoding".

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

type Checked<T> = std::result::Result<T, String>;

/// How many values a file of this size may hold: runs of one value pack almost without limit, but
/// not any number of them is believed.
fn most_values(size: usize) -> u64 {
    (size as u64).saturating_mul(1000).saturating_add(1 << 26)
}

/// Bytes that a page may unpack to: the codecs pack runs up to some ten thousand times.
fn most_bytes(packed: usize) -> usize {
    packed.saturating_mul(1 << 16).saturating_add(1 << 16)
}

/// Whether the parts that a Parquet footer lists are in the file, and its pages claim no more than
/// they can hold.
pub(super) fn check(metadata: &ParquetMetaData, file: &[u8]) -> Checked<()> {
    let mut values = 0u64;
    for (i, group) in metadata.row_groups().iter().enumerate() {
        for column in group.columns() {
            let name = || format!("row group {i}, column {}", column.column_path());
            let n = u64::try_from(column.num_values());
            values = n.map_or(u64::MAX, |n| values.saturating_add(n));
            if values > most_values(file.len()) || group.num_rows() < 0 {
                return Err(format!("{}: too many values for the file", name()));
            }
            let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
            if rows > most_values(file.len()) {
                return Err(format!("{}: too many rows for the file", name()));
            }
            pages(column, file).map_err(|e| format!("{}: {e}", name()))?;
        }
    }
    Ok(())
}

fn pages(column: &ColumnChunkMetaData, file: &[u8]) -> Checked<()> {
    let cut = || "is cut short".to_string();
    // Checked here, as the library's own sum of the two may overflow.
    let start = column.dictionary_page_offset().filter(|o| *o > 0);
    let start = start.unwrap_or(column.data_page_offset());
    let start = start.min(column.data_page_offset());
    let (Ok(start), Ok(length)) = (
        usize::try_from(start),
        usize::try_from(column.compressed_size()),
    ) else {
        return Err(cut());
    };
    let bytes = file.get(start..).and_then(|b| b.get(..length));
    let bytes = bytes.ok_or_else(cut)?;
    let values = u64::try_from(column.num_values()).unwrap_or(0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut compact = Compact { bytes: rest };
        let page = compact.page().ok_or("has a broken page header")?;
        rest = compact.bytes;
        let packed = usize::try_from(page.packed).map_err(|_| cut())?;
        let plain = usize::try_from(page.plain).map_err(|_| cut())?;
        let claims = u64::try_from(page.values.unwrap_or(0)).map_err(|_| cut())?;
        let most = match page.dictionary {
            // A value of a dictionary takes a byte at least.
            true => plain as u64,
            false => values,
        };
        if plain > most_bytes(packed) || claims > most {
            return Err("a page claims more than it can hold".into());
        }
        rest = rest.get(packed..).ok_or_else(cut)?;
    }
    Ok(())
}

/// What a page header says.
#[derive(Default)]
struct Page {
    plain: i64,
    packed: i64,
    values: Option<i64>,
    dictionary: bool,
}

/// A reader of Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
}

const STOP: u8 = 0;
const STRUCT: u8 = 12;
/// Structs inside each other; a page header has three.
const DEEPEST: usize = 8;

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn skip_bytes(&mut self, n: usize) -> Option<()> {
        self.bytes = self.bytes.get(n..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let v = self.varint()?;
        Some((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// Number and type of the next field of a struct whose last field was `last`.
    fn field(&mut self, last: i64) -> Option<(i64, u8)> {
        let head = self.byte()?;
        let number = match head >> 4 {
            0 if head & 15 != STOP => self.int()?,
            step => last.checked_add(i64::from(step))?,
        };
        Some((number, head & 15))
    }

    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut last = 0;
        loop {
            let (number, kind) = self.field(last)?;
            last = number;
            match (number, kind) {
                (_, STOP) => return Some(page),
                (2, 5) => page.plain = self.int()?,
                (3, 5) => page.packed = self.int()?,
                // Headers of a data page, a dictionary and a data page of version 2.
                (5 | 7 | 8, STRUCT) => {
                    page.dictionary |= number == 7;
                    page.values = Some(self.values()?);
                }
                (_, kind) => self.skip(kind, 0)?,
            }
        }
    }

    /// The first field of a struct, a number, with the rest skipped.
    fn values(&mut self) -> Option<i64> {
        let mut found = 0;
        let mut last = 0;
        loop {
            let (number, kind) = self.field(last)?;
            last = number;
            match (number, kind) {
                (_, STOP) => return Some(found),
                (1, 5) => found = self.int()?,
                (_, kind) => self.skip(kind, 1)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            // Truth values are in the type of their field.
            1 | 2 => Some(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip_bytes(8),
            8 => {
                let n = usize::try_from(self.varint()?).ok()?;
                self.skip_bytes(n)
            }
            9 | 10 if depth < DEEPEST => {
                let head = self.byte()?;
                let n = match head >> 4 {
                    15 => self.varint()?,
                    n => u64::from(n),
                };
                for _ in 0..n {
                    match head & 15 {
                        1 | 2 => self.skip_bytes(1)?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
                Some(())
            }
            STRUCT if depth < DEEPEST => {
                let mut last = 0;
                loop {
                    let (number, kind) = self.field(last)?;
                    last = number;
                    match kind {
                        STOP => return Some(()),
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            // Page headers have no maps.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_headers() {
        // type 0, 100 bytes plain, 10 packed, header {300 values, encoding 0, statistics {"ab"}}
        let header = [
            0x15, 0x00, 0x15, 0xc8, 0x01, 0x15, 0x14, 0x2c, 0x15, 0xd8, 0x04, 0x15, 0x00, 0x3c,
            0x18, 0x02, b'a', b'b', 0x00, 0x00, 0x00, 0x77,
        ];
        let mut compact = Compact { bytes: &header };
        let page = compact.page().unwrap();
        assert_eq!((page.plain, page.packed, page.values), (100, 10, Some(300)));
        assert!(!page.dictionary);
        assert_eq!(compact.bytes, [0x77]);
        for n in 0..header.len() - 1 {
            assert!(
                Compact {
                    bytes: &header[..n]
                }
                .page()
                .is_none(),
                "{n}"
            );
        }
        // A list of lists of lists ... does not recurse without end.
        let deep = [&[0x19][..], &[0x19; 100]].concat();
        assert!(Compact { bytes: &deep }.page().is_none());
        // Many elements that take no bytes.
        let mut compact = Compact {
            bytes: &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00],
        };
        assert!(compact.page().is_none());
    }
}
