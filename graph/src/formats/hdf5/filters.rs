//! Filters that the library leaves to its callers: LZF (h5py) and Blosc 1 (PyTables, pandas).
//!
//! Sources: the formats of LibLZF (M. Lehmann) and of C-Blosc 1 (`README_CHUNK_FORMAT`), and
//! BloscLZ as a variant of FastLZ.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdf5_reader::FilterRegistry;
use hdf5_reader::error::Error as Hdf5Error;

const LZF: u16 = 32000;
const BLOSC: u16 = 32001;

/// Filters that are known by name only.
const OTHERS: [(u16, &str); 8] = [
    (305, "LZO"),
    (307, "bzip2"),
    (32004, "LZ4"),
    (32008, "bitshuffle"),
    (32013, "ZFP"),
    (32015, "Zstandard"),
    (32026, "Blosc 2"),
    (32028, "Granular BitRound"),
];

type Unpacked<T> = Result<T, String>;

/// The library's filters and those of this file, which unpack at most `limit` bytes at once.
pub(super) fn registry(limit: usize) -> FilterRegistry {
    let mut registry = FilterRegistry::new();
    registry.register(
        LZF,
        Box::new(move |filter, data, _| {
            let size = filter.client_data.get(2).copied().unwrap_or(0) as usize;
            lzf(data, size.min(limit)).map_err(|e| Hdf5Error::DecompressionError(e.into()))
        }),
    );
    registry.register(
        BLOSC,
        Box::new(move |_, data, _| blosc(data, limit).map_err(Hdf5Error::DecompressionError)),
    );
    registry
}

/// The message of an error, with the filter it lacks by name.
pub(super) fn named(error: &Hdf5Error) -> String {
    let text = error.to_string();
    if let Hdf5Error::UnsupportedFilter(what) = error {
        let id = what.rsplit(' ').next().and_then(|n| n.parse::<u16>().ok());
        if let Some((id, name)) = id.and_then(|id| OTHERS.iter().find(|(i, _)| *i == id)) {
            return format!("is packed with {name} (filter {id}), which is not read");
        }
    }
    text
}

/// Copies `length` bytes that start `distance` bytes before the end of `out` to its end; the two
/// may overlap.
fn repeat(out: &mut Vec<u8>, distance: usize, length: usize, limit: usize) -> Option<()> {
    let start = out.len().checked_sub(distance).filter(|_| distance > 0)?;
    if out.len().checked_add(length)? > limit {
        return None;
    }
    if distance >= length {
        out.extend_from_within(start..start + length);
    } else {
        for i in start..start + length {
            out.push(out[i]);
        }
    }
    Some(())
}

fn literal(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Option<()> {
    if out.len() + bytes.len() > limit {
        return None;
    }
    out.extend_from_slice(bytes);
    Some(())
}

/// LZF: a control byte below 32 copies that many bytes and one more; above, its top three bits give
/// a length and the rest with the next byte a distance.
fn lzf(data: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    let mut at = data.iter();
    let mut step = |out: &mut Vec<u8>| {
        let Some(control) = at.next() else {
            return Some(false);
        };
        let control = usize::from(*control);
        if control < 32 {
            let (bytes, rest) = at.as_slice().split_at_checked(control + 1)?;
            at = rest.iter();
            literal(out, bytes, limit)?;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += usize::from(*at.next()?);
            }
            let distance = ((control & 31) << 8) + usize::from(*at.next()?) + 1;
            repeat(out, distance, length + 2, limit)?;
        }
        Some(true)
    };
    loop {
        match step(&mut out) {
            Some(true) => {}
            Some(false) => return Ok(out),
            None => return Err("broken LZF data"),
        }
    }
}

/// BloscLZ: as LZF, with lengths that go on over bytes of 255 and a second, longer distance.
fn blosclz(data: &[u8], size: usize) -> Option<Vec<u8>> {
    const NEAR: usize = 8191;
    let mut out = Vec::with_capacity(size.min(data.len().saturating_mul(4)));
    let mut at = data.iter();
    // The first byte is a literal's, whatever its top bits (they hold the version).
    let mut control = usize::from(*at.next()? & 31);
    loop {
        if control < 32 {
            let (bytes, rest) = at.as_slice().split_at_checked(control + 1)?;
            at = rest.iter();
            literal(&mut out, bytes, size)?;
        } else {
            let mut length = (control >> 5) - 1;
            if length == 6 {
                loop {
                    let more = *at.next()?;
                    length = length.checked_add(usize::from(more))?;
                    if more != 255 {
                        break;
                    }
                }
            }
            let high = (control & 31) << 8;
            let low = usize::from(*at.next()?);
            let distance = if low == 255 && high == 31 << 8 {
                let far = usize::from(*at.next()?) << 8;
                far + usize::from(*at.next()?) + NEAR + 1
            } else {
                high + low + 1
            };
            repeat(&mut out, distance, length + 3, size)?;
        }
        match at.next() {
            Some(next) => control = usize::from(*next),
            None => return Some(out),
        }
    }
}

/// A Blosc 1 chunk: a header of 16 bytes, the places of the blocks, and the blocks, each in one
/// stream or in one stream for every byte of an element.
fn blosc(data: &[u8], limit: usize) -> Unpacked<Vec<u8>> {
    const BYTE_SHUFFLE: u8 = 1;
    const STORED: u8 = 2;
    const BIT_SHUFFLE: u8 = 4;
    const ONE_STREAM: u8 = 16;

    let broken = || "broken Blosc data".to_string();
    let word = |at: usize| {
        let four = data.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*four) as usize)
    };
    let (Some(&flags), Some(&width)) = (data.get(2), data.get(3)) else {
        return Err(broken());
    };
    let width = usize::from(width);
    let (size, block, packed) = match (word(4), word(8), word(12)) {
        (Some(size), Some(block), Some(packed)) => (size, block, packed),
        _ => return Err(broken()),
    };
    if size > limit || packed > data.len() || (size > 0 && (block == 0 || block > size)) {
        return Err(broken());
    }
    if flags & STORED != 0 {
        let stored = data.get(16..).and_then(|d| d.get(..size));
        return stored.map(<[u8]>::to_vec).ok_or_else(broken);
    }
    let mut out = Vec::new();
    for (index, first) in (0..size).step_by(block.max(1)).enumerate() {
        let length = block.min(size - first);
        let mut place = word(16 + 4 * index).ok_or_else(broken)?;
        // As C-Blosc decides it: short streams and a last, shorter block are not split.
        let split = flags & ONE_STREAM == 0
            && (1..=16).contains(&width)
            && block / width >= 128
            && length == block;
        let streams = if split { width } else { 1 };
        let part = length / streams;
        let mut bytes = Vec::with_capacity(length);
        for _ in 0..streams {
            let n = word(place).ok_or_else(broken)?;
            let stream = data
                .get(place + 4..)
                .and_then(|d| d.get(..n))
                .ok_or_else(broken)?;
            place += 4 + n;
            let start = bytes.len();
            if n == part {
                bytes.extend_from_slice(stream);
            } else {
                bytes.extend(codec(flags >> 5, stream, part)?);
            }
            if bytes.len() - start != part {
                return Err(broken());
            }
        }
        if bytes.len() != length {
            return Err(broken());
        }
        if flags & BYTE_SHUFFLE != 0 && width > 1 {
            bytes = unshuffle(&bytes, width);
        } else if flags & BIT_SHUFFLE != 0 && width > 0 && length >= width {
            bytes = bit_unshuffle(bytes, width);
        }
        out.append(&mut bytes);
    }
    Ok(out)
}

/// One stream of a block, which unpacks to `size` bytes.
fn codec(number: u8, data: &[u8], size: usize) -> Unpacked<Vec<u8>> {
    let (name, out) = match number {
        0 => ("BloscLZ", blosclz(data, size)),
        1 => ("LZ4", lz4_flex::block::decompress(data, size).ok()),
        3 => {
            let mut out = Vec::new();
            let unpacked = ZlibDecoder::new(data)
                .take(size as u64)
                .read_to_end(&mut out);
            ("zlib", unpacked.ok().map(|_| out))
        }
        #[cfg(feature = "zstd")]
        4 => ("Zstandard", zstd::bulk::decompress(data, size).ok()),
        other => {
            let name = ["", "", "Snappy", "", "Zstandard"];
            let name = name.get(usize::from(other)).copied().unwrap_or_default();
            return Err(format!(
                "Blosc with the codec {other} {name}, which is not read"
            ));
        }
    };
    out.ok_or_else(|| format!("broken {name} data"))
}

/// Undoes the grouping of all first bytes, all second bytes, ...
fn unshuffle(bytes: &[u8], width: usize) -> Vec<u8> {
    let n = bytes.len() / width;
    let mut out = bytes.to_vec();
    for (b, plane) in bytes.chunks_exact(n.max(1)).take(width).enumerate() {
        for (element, v) in out.chunks_exact_mut(width).zip(plane) {
            element[b] = *v;
        }
    }
    out
}

/// Undoes the grouping of all first bits, all second bits, ...; blocks whose number of elements is
/// no multiple of eight were left as they are.
fn bit_unshuffle(bytes: Vec<u8>, width: usize) -> Vec<u8> {
    let n = bytes.len() / width;
    if !n.is_multiple_of(8) || n == 0 {
        return bytes;
    }
    let mut out = bytes.clone();
    out[..n * width].fill(0);
    for (row, plane) in bytes.chunks_exact(n / 8).take(8 * width).enumerate() {
        let (byte, bit) = (row / 8, row % 8);
        for (eight, v) in out.chunks_exact_mut(8 * width).zip(plane) {
            for j in 0..8 {
                eight[j * width + byte] |= (v >> j & 1) << bit;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lzf_literals_and_matches() {
        // "abcabcabc": three literals, then six bytes from three before.
        let packed = [2, b'a', b'b', b'c', 4 << 5, 2];
        assert_eq!(lzf(&packed, 9).unwrap(), b"abcabcabc");
        assert!(lzf(&packed, 8).is_err());
        for n in [1, 2, 3, 5] {
            assert!(lzf(&packed[..n], 9).is_err(), "{n}");
        }
        assert!(lzf(&[4 << 5, 2], 9).is_err());
    }

    #[test]
    fn shuffles_are_undone() {
        let plain: Vec<u8> = (0..64).collect();
        let shuffled: Vec<u8> = (0..4)
            .flat_map(|b| plain.iter().skip(b).step_by(4))
            .copied()
            .collect();
        assert_eq!(unshuffle(&shuffled, 4), plain);
        // One element of every eight has its lowest bit set: the first plane is 0x01, others 0.
        let mut planes = vec![0u8; 16];
        planes[0] = 0x02;
        let out = bit_unshuffle(planes, 2);
        assert_eq!(out.iter().position(|b| *b != 0), Some(2));
        assert_eq!(out[2], 1);
        assert_eq!(bit_unshuffle(vec![7; 9], 3), vec![7; 9]);
    }

    #[test]
    fn blosc_headers_are_checked() {
        let header = |flags: u8, size: u32, block: u32, packed: u32| {
            let mut h = vec![2, 1, flags, 4];
            for n in [size, block, packed] {
                h.extend(n.to_le_bytes());
            }
            h
        };
        let mut stored = header(2, 3, 3, 19);
        stored.extend(b"abc");
        assert_eq!(blosc(&stored, 3).unwrap(), b"abc");
        assert!(blosc(&stored, 2).is_err());
        for n in 0..stored.len() {
            assert!(blosc(&stored[..n], 3).is_err(), "{n}");
        }
        assert!(blosc(&header(0, u32::MAX, 1, 16), 1 << 20).is_err());
        assert!(blosc(&header(0, 100, 0, 16), 1 << 20).is_err());
        assert!(blosc(&header(0, 100, 10, 16), 1 << 20).is_err());
        let mut unknown = header(7 << 5, 8, 8, 0);
        unknown.extend([20, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]);
        assert!(blosc(&unknown, 8).unwrap_err().contains("codec 7"));
    }
}
