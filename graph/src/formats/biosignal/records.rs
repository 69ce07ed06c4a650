//! Samples of all channels in turn, record after record: how EDF, BDF and GDF store signals, and
//! how a part of them is read without the rest.

use std::fs::File;
use std::io;
use std::ops::Range;

use rayon::prelude::*;

/// Bytes that one step of the parallel work reads.
const CHUNK: u64 = 1 << 19;

/// Unwanted bytes per record from which on reading around them is cheaper than through them.
const HOLE: u64 = 1 << 14;

/// Bytes that can be read at any place, by several threads at once: a file, a memory map's slice
/// or bytes in memory.
pub trait Source: Sync {
    /// Number of bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn size(&self) -> io::Result<u64>;

    /// The `length` bytes from `offset` on, in place or through `buffer`. Callers ask for
    /// nothing beyond [`size`](Self::size).
    ///
    /// # Errors
    /// Whatever the operating system says, and `UnexpectedEof` beyond the end.
    fn bytes<'a>(
        &'a self,
        offset: u64,
        length: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]>;
}

impl Source for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|m| m.len())
    }

    fn bytes<'a>(
        &'a self,
        offset: u64,
        length: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        buffer.resize(length, 0);
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)?;
        #[cfg(windows)]
        {
            let mut done = 0;
            while done < length {
                let at = offset + done as u64;
                match std::os::windows::fs::FileExt::seek_read(self, &mut buffer[done..], at)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => done += n,
                }
            }
        }
        Ok(buffer)
    }
}

impl Source for &[u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn bytes<'a>(&'a self, offset: u64, length: usize, _: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        usize::try_from(offset)
            .ok()
            .and_then(|o| self.get(o..)?.get(..length))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// How a sample is stored; little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleType {
    I8,
    U8,
    I16,
    U16,
    /// Three bytes.
    I24,
    /// Three bytes.
    U24,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl SampleType {
    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I24 | Self::U24 => 3,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
}

/// Where the samples of a channel are, and what they mean: value = gain · stored + offset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::formats) struct Layout {
    pub kind: SampleType,
    /// Samples in a record.
    pub samples: usize,
    /// Byte of the first one in a record.
    pub at: u64,
    pub gain: f64,
    pub offset: f64,
}

impl Layout {
    fn end(&self) -> u64 {
        self.at + (self.samples * self.kind.bytes()) as u64
    }
}

/// The records of a file. Whoever makes it has checked that `first + count * bytes` lies inside
/// the file and that the channels fill a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Records {
    /// Byte of the first record.
    pub first: u64,
    /// Bytes of a record.
    pub bytes: u64,
    /// Number of records.
    pub count: u64,
}

/// A run of records, and where the samples of some channels go to.
struct Chunk<'a> {
    records: Range<u64>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    channel: &'a Layout,
    /// Samples to skip from the first record on.
    skip: usize,
    /// Place of the others.
    to: &'a mut [f32],
}

impl Records {
    /// Reads samples `wanted[i]` (counted over all records) of `channels[i]` into `rows[i]`, in
    /// parallel over runs of records, and over channels where a record is large.
    pub fn read<S: Source>(
        &self,
        source: &S,
        channels: &[Layout],
        wanted: &[Range<u64>],
        rows: Vec<&mut [f32]>,
    ) -> io::Result<()> {
        self.chunks(channels, wanted, rows)
            .into_par_iter()
            .try_for_each_init(Vec::new, |buffer, chunk| {
                self.read_chunk(source, chunk, buffer)
            })
    }

    fn read_chunk<S: Source>(
        &self,
        source: &S,
        mut chunk: Chunk<'_>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (start, stop) = (chunk.records.start, chunk.records.end);
        if let ([row], true) = (&mut chunk.rows[..], stop - start == 1) {
            let width = row.channel.kind.bytes();
            let at = row.channel.at + (row.skip * width) as u64;
            let place = self.first + start * self.bytes + at;
            let block = source.bytes(place, row.to.len() * width, buffer)?;
            unpack(row.channel, block, 0, 0, 0, row.to);
            return Ok(());
        }
        let begin = chunk.rows.iter().map(|r| r.channel.at).min().unwrap_or(0);
        let end = chunk.rows.iter().map(|r| r.channel.end()).max();
        let width = end.unwrap_or(0) - begin;
        let at = |c: &Layout| (c.at - begin) as usize;
        if self.bytes - width < HOLE {
            let length = (stop - start - 1) * self.bytes + width;
            let place = self.first + start * self.bytes + begin;
            let block = source.bytes(place, length as usize, buffer)?;
            for row in chunk.rows {
                let stride = self.bytes as usize;
                unpack(
                    row.channel,
                    block,
                    at(row.channel),
                    stride,
                    row.skip,
                    row.to,
                );
            }
            return Ok(());
        }
        for record in start..stop {
            let place = self.first + record * self.bytes + begin;
            let block = source.bytes(place, width as usize, buffer)?;
            for row in &mut chunk.rows {
                if row.skip >= row.channel.samples {
                    row.skip -= row.channel.samples;
                    continue;
                }
                let n = (row.channel.samples - row.skip).min(row.to.len());
                let (head, tail) = std::mem::take(&mut row.to).split_at_mut(n);
                unpack(row.channel, block, at(row.channel), 0, row.skip, head);
                (row.skip, row.to) = (0, tail);
            }
        }
        Ok(())
    }

    fn chunks<'a>(
        &self,
        channels: &'a [Layout],
        wanted: &[Range<u64>],
        mut rows: Vec<&'a mut [f32]>,
    ) -> Vec<Chunk<'a>> {
        let pairs = || channels.iter().zip(wanted).filter(|(_, w)| !w.is_empty());
        let first = pairs().map(|(c, w)| w.start / c.samples as u64).min();
        let last = pairs().map(|(c, w)| w.end.div_ceil(c.samples as u64)).max();
        let (Some(mut start), Some(last)) = (first, last) else {
            return Vec::new();
        };
        let step = (CHUNK / self.bytes).max(1);
        let mut out = Vec::new();
        while start < last {
            let stop = (start + step).min(last);
            let parts = channels.iter().zip(wanted).zip(&mut rows);
            let rows = parts.filter_map(|((channel, w), row)| {
                let n = channel.samples as u64;
                let from = w.start.max(start * n);
                let to = w.end.min(stop * n);
                let count = to.checked_sub(from).filter(|c| *c > 0)?;
                let (head, tail) = std::mem::take(row).split_at_mut(count as usize);
                *row = tail;
                Some(Row {
                    channel,
                    skip: (from - start * n) as usize,
                    to: head,
                })
            });
            let records = start..stop;
            if self.bytes <= CHUNK {
                let rows = rows.collect();
                out.push(Chunk { records, rows });
            } else {
                out.extend(rows.map(|row| Chunk {
                    records: records.clone(),
                    rows: vec![row],
                }));
            }
            start = stop;
        }
        out
    }
}

/// Fills `row` with the samples of a channel that starts at byte `at` of every `stride` bytes of
/// `block`, without the first `skip` ones.
fn unpack(channel: &Layout, block: &[u8], at: usize, stride: usize, skip: usize, row: &mut [f32]) {
    let place = Place {
        channel,
        block,
        at,
        stride,
        skip,
    };
    let low = |w: [u8; 3], high: u8| u32::from_le_bytes([w[0], w[1], w[2], high]);
    match channel.kind {
        SampleType::I8 => place.fill(row, |w| f64::from(i8::from_le_bytes(w))),
        SampleType::U8 => place.fill(row, |w| f64::from(u8::from_le_bytes(w))),
        SampleType::I16 => place.fill(row, |w| f64::from(i16::from_le_bytes(w))),
        SampleType::U16 => place.fill(row, |w| f64::from(u16::from_le_bytes(w))),
        // The sign is that of the third byte: shifted up and down again.
        SampleType::I24 => place.fill(row, |w| f64::from((low(w, 0) << 8) as i32 >> 8)),
        SampleType::U24 => place.fill(row, |w| f64::from(low(w, 0))),
        SampleType::I32 => place.fill(row, |w| f64::from(i32::from_le_bytes(w))),
        SampleType::U32 => place.fill(row, |w| f64::from(u32::from_le_bytes(w))),
        SampleType::I64 => place.fill(row, |w| i64::from_le_bytes(w) as f64),
        SampleType::U64 => place.fill(row, |w| u64::from_le_bytes(w) as f64),
        SampleType::F32 => place.fill(row, |w| f64::from(f32::from_le_bytes(w))),
        SampleType::F64 => place.fill(row, f64::from_le_bytes),
    }
}

struct Place<'a> {
    channel: &'a Layout,
    block: &'a [u8],
    at: usize,
    stride: usize,
    skip: usize,
}

impl Place<'_> {
    /// In `f64` up to the last step: stored integers of 32 bits and offsets lose nothing.
    fn fill<const N: usize>(&self, mut row: &mut [f32], value: impl Fn([u8; N]) -> f64) {
        let Layout {
            samples,
            gain,
            offset,
            ..
        } = *self.channel;
        if row.is_empty() {
            return;
        }
        let mut at = self.at + self.skip / samples * self.stride;
        let mut skip = self.skip % samples;
        while !row.is_empty() {
            let n = (samples - skip).min(row.len());
            let (head, tail) = row.split_at_mut(n);
            let from = at + skip * N;
            let bytes = &self.block[from..from + n * N];
            for (to, word) in head.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *to = (value(*word) * gain + offset) as f32;
            }
            row = tail;
            at += self.stride;
            skip = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(kind: SampleType, samples: usize, at: u64) -> Layout {
        Layout {
            kind,
            samples,
            at,
            gain: 1.0,
            offset: 0.0,
        }
    }

    /// Records of 3 samples i16 and 2 samples i24, counting up in each channel, after 5 bytes.
    fn file(count: i32) -> Vec<u8> {
        let mut out = vec![0xee; 5];
        for r in 0..count {
            for i in 0..3 {
                out.extend(((3 * r + i) as i16).to_le_bytes());
            }
            for i in 0..2 {
                out.extend(&(-(2 * r + i)).to_le_bytes()[..3]);
            }
        }
        out
    }

    #[test]
    fn any_part_of_any_channels() {
        let count = 50_000;
        let bytes = file(count);
        let records = Records {
            first: 5,
            bytes: 12,
            count: count as u64,
        };
        let channels = [layout(SampleType::I16, 3, 0), layout(SampleType::I24, 2, 6)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, &bytes).unwrap();
        let on_disk = File::open(&path).unwrap();
        for wanted in [
            [0..150_000u64, 0..100_000u64],
            [4..5, 2..2],
            [149_999..150_000, 1..99_999],
            [131_073..140_000, 90_001..90_003],
        ] {
            let mut a = vec![f32::NAN; (wanted[0].end - wanted[0].start) as usize];
            let mut b = vec![f32::NAN; (wanted[1].end - wanted[1].start) as usize];
            for disk in [false, true] {
                let rows = vec![&mut a[..], &mut b[..]];
                if disk {
                    records.read(&on_disk, &channels, &wanted, rows).unwrap();
                } else {
                    let source = &bytes[..];
                    records.read(&source, &channels, &wanted, rows).unwrap();
                }
                for (x, s) in a.iter().zip(wanted[0].clone()) {
                    assert_eq!(*x, f32::from(s as i16));
                }
                for (x, s) in b.iter().zip(wanted[1].clone()) {
                    assert_eq!(*x, -(s as f32));
                }
                a.fill(f32::NAN);
                b.fill(f32::NAN);
            }
        }
    }

    #[test]
    fn holes_are_read_around() {
        // One wanted sample of four bytes in records of 20,000 bytes.
        let (count, size) = (40u64, 20_000u64);
        let mut bytes = vec![0u8; (count * size) as usize];
        for r in 0..count {
            let at = (r * size + 100) as usize;
            bytes[at..at + 4].copy_from_slice(&(r as f32).to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&(r as f32 + 0.5).to_le_bytes());
        }
        let records = Records {
            first: 0,
            bytes: size,
            count,
        };
        let mut row = vec![0.0; 77];
        let source = &bytes[..];
        let channel = [layout(SampleType::F32, 2, 100)];
        records
            .read(
                &source,
                &channel,
                std::slice::from_ref(&(3..80)),
                vec![&mut row],
            )
            .unwrap();
        for (i, v) in row.iter().enumerate() {
            assert_eq!(*v, (i + 3) as f32 / 2.0);
        }
    }

    #[test]
    fn every_type_is_scaled() {
        let check = |kind, bytes: &[u8], expected: f32| {
            let mut layout = layout(kind, 1, 0);
            (layout.gain, layout.offset) = (0.5, 10.0);
            assert_eq!(bytes.len(), kind.bytes());
            let mut row = [0.0];
            unpack(&layout, bytes, 0, bytes.len(), 0, &mut row);
            assert_eq!(row, [expected], "{kind:?}");
        };
        check(SampleType::I8, &[0xfe], 9.0);
        check(SampleType::U8, &[0xfe], 137.0);
        check(SampleType::I16, &(-300i16).to_le_bytes(), -140.0);
        check(SampleType::U16, &65_000u16.to_le_bytes(), 32_510.0);
        check(SampleType::I24, &[0, 0, 0x80], -4_194_294.0);
        check(SampleType::U24, &[0, 0, 0x80], 4_194_314.0);
        check(SampleType::I32, &(-70_000i32).to_le_bytes(), -34_990.0);
        check(
            SampleType::U32,
            &3_000_000_000u32.to_le_bytes(),
            1_500_000_010.0,
        );
        check(SampleType::I64, &(-4i64).to_le_bytes(), 8.0);
        check(
            SampleType::U64,
            &u64::MAX.to_le_bytes(),
            u64::MAX as f32 / 2.0,
        );
        check(SampleType::F32, &1.5f32.to_le_bytes(), 10.75);
        check(SampleType::F64, &(-1e3f64).to_le_bytes(), -490.0);
    }
}
