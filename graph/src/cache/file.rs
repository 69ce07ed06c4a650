//! Cache files: Arrow IPC, read through a memory map without a copy.
//!
//! A batch holds the values of a stack of windows or of a block of a recording: column `x`, a list
//! of the f features of each (node, step) in the order they are stored, and where values are
//! missing `mask`, 1 where observed. What the batches are stands as JSON in the footer's metadata,
//! with its own SHA-256. Any reader of Arrow opens such a file.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, UInt8Array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field, Schema};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{Block as Place, root_as_footer, root_as_message};
use ndarray::{Array2, s};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::meta::{FORMAT, Meta, PieceMeta};
use super::series::{self, SeriesMeta};
use crate::files::{atomic_write, hexadecimal};
use crate::windows::{Block, Mask, Order, Piece, Starts, Windows};
use crate::{Dataset, Error, Result};

const MAGIC: &[u8] = b"ARROW1";
const CHECK: &str = "tgmamba-sha256";

/// What the footer of a file says.
pub(super) trait Footer: serde::Serialize + serde::de::DeserializeOwned {
    /// The key of its text among the footer's metadata.
    const NAME: &'static str;
    fn format(&self) -> u32;
    /// Notes the hashes of the values of each batch, and of their masks, and whether all values are
    /// finite.
    fn note(&mut self, checks: Vec<String>, mask_checks: Vec<String>, finite: bool);
}

impl Footer for Meta {
    const NAME: &'static str = "tgmamba";

    fn format(&self) -> u32 {
        self.format
    }

    fn note(&mut self, checks: Vec<String>, mask_checks: Vec<String>, finite: bool) {
        (self.checks, self.mask_checks, self.finite) = (checks, mask_checks, finite);
    }
}

/// Puts windows into a file, batch after batch.
pub(super) struct Writer<'w, 'f> {
    path: &'w Path,
    out: Option<&'w mut BufWriter<&'f mut File>>,
    /// There from the first batch on, which has the features and tells whether there are masks.
    arrow: Option<(FileWriter<&'w mut BufWriter<&'f mut File>>, Arc<Schema>)>,
    checks: Vec<String>,
    mask_checks: Vec<String>,
    finite: bool,
}

impl Writer<'_, '_> {
    /// Appends a batch of `features` features. All batches have a mask, with an entry for each
    /// (node, step), or none has.
    pub fn batch(
        &mut self,
        features: usize,
        x: &ScalarBuffer<f32>,
        mask: Option<&ScalarBuffer<u8>>,
    ) -> Result<()> {
        let path = self.path;
        let failed = |e: arrow::error::ArrowError| unwritable(path, e);
        let size = i32::try_from(features).map_err(|_| {
            Error::file(path, "cache", "too many features", "run without the cache")
        })?;
        self.finite &= x
            .par_chunks(1 << 16)
            .all(|c| c.iter().all(|v| v.is_finite()));
        self.checks
            .push(hexadecimal(Sha256::new_with_prefix(x.inner().as_slice())));
        let values = Arc::new(Float32Array::new(x.clone(), None));
        let list = FixedSizeListArray::try_new(item(), size, values, None).map_err(failed)?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(list)];
        if let Some(mask) = mask {
            self.mask_checks.push(hexadecimal(Sha256::new_with_prefix(
                mask.inner().as_slice(),
            )));
            columns.push(Arc::new(UInt8Array::new(mask.clone(), None)));
        }
        if let Some(out) = self.out.take() {
            let schema = schema(size, mask.is_some());
            self.arrow = Some((FileWriter::try_new(out, &schema).map_err(failed)?, schema));
        }
        if let Some((arrow, schema)) = &mut self.arrow {
            let batch = RecordBatch::try_new(schema.clone(), columns).map_err(failed)?;
            arrow.write(&batch).map_err(failed)?;
        }
        Ok(())
    }
}

fn schema(features: i32, masked: bool) -> Arc<Schema> {
    let list = DataType::FixedSizeList(item(), features);
    let mut fields = vec![Field::new("x", list, false)];
    if masked {
        fields.push(Field::new("mask", DataType::UInt8, false));
    }
    Arc::new(Schema::new(fields))
}

fn unwritable(path: &Path, e: arrow::error::ArrowError) -> Error {
    match e {
        arrow::error::ArrowError::IoError(_, source) => Error::io(path, source),
        other => Error::file(path, "cache", other.to_string(), "run without the cache"),
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// Writes a file: `fill` appends the batches, at least one, and says what they are; their hashes
/// and whether all values are finite is noted here.
pub(super) fn write<M: Footer>(
    path: &Path,
    fill: impl FnOnce(&mut Writer<'_, '_>) -> Result<M>,
) -> Result<()> {
    let refused = |problem: &str| Error::file(path, "cache", problem, "run without the cache");
    atomic_write(path, |out| {
        let mut writer = Writer {
            path,
            out: Some(out),
            arrow: None,
            checks: Vec::new(),
            mask_checks: Vec::new(),
            finite: true,
        };
        let mut meta = fill(&mut writer)?;
        meta.note(writer.checks, writer.mask_checks, writer.finite);
        let text = serde_json::to_string(&meta).map_err(|e| refused(&e.to_string()))?;
        let check = hexadecimal(Sha256::new_with_prefix(&text));
        let (mut arrow, _) = writer.arrow.ok_or_else(|| refused("no window to write"))?;
        arrow.write_metadata(M::NAME, text);
        arrow.write_metadata(CHECK, check);
        arrow.finish().map_err(|e| unwritable(path, e))
    })
}

/// Appends the windows of a data set; what they are goes into `meta`.
pub(super) fn append(
    writer: &mut Writer<'_, '_>,
    dataset: &Dataset,
    meta: &mut Meta,
) -> Result<()> {
    let features = dataset.x.dim().3;
    let mut first = 0;
    for piece in dataset.x.pieces() {
        let windows = first..first + piece.count();
        first = windows.end;
        match piece {
            Piece::Stack { values, count } => {
                let mask = dataset.mask.as_ref().map(|m| m.bytes(windows));
                meta.pieces.push(PieceMeta::Stack { count: *count });
                writer.batch(features, values, mask.as_ref())?;
            }
            Piece::Recording { blocks, starts } => {
                let steps = blocks.iter().map(Block::steps).sum();
                let mask = dataset
                    .mask
                    .as_ref()
                    .map(|m| cells(m, windows, starts, steps));
                meta.pieces.push(PieceMeta::Recording {
                    blocks: blocks.iter().map(|b| (b.steps(), b.order())).collect(),
                    starts: starts.clone(),
                });
                let mut from = 0;
                for block in blocks {
                    let range = from..from + block.steps();
                    from = range.end;
                    let mask = mask.as_ref().map(|m| in_order(m, range, block.order()));
                    writer.batch(features, block.values(), mask.as_ref())?;
                }
            }
        }
    }
    Ok(())
}

/// The mask of a recording, (nodes, steps), out of those of its windows. What no window sees counts
/// as observed.
fn cells(mask: &Mask, windows: Range<usize>, starts: &Starts, steps: usize) -> Array2<u8> {
    let (_, v, l) = mask.dim();
    let mut all = Array2::ones((v, steps));
    for (k, window) in windows.enumerate() {
        let start = starts.get(k);
        let mut part = all.slice_mut(s![.., start..start + l]);
        part.assign(&mask.window(window).mapv(u8::from));
    }
    all
}

/// Some steps of a mask in the order of a block.
fn in_order(mask: &Array2<u8>, steps: Range<usize>, order: Order) -> ScalarBuffer<u8> {
    let part = mask.slice(s![.., steps]);
    let bytes: Vec<u8> = match order {
        Order::Nodes => part.iter().copied().collect(),
        Order::Time => part.t().iter().copied().collect(),
    };
    ScalarBuffer::from(bytes)
}

/// The data set in a file, its values mapped.
///
/// # Errors
/// [`Error::Io`] when it is not there, [`Error::File`] when it is damaged or of another version.
pub(super) fn open(path: &Path) -> Result<(String, Dataset)> {
    parse_buffer(&map(path)?, path)
}

pub(super) fn map(path: &Path) -> Result<Buffer> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    // SAFETY: cache files are never written to once they have their name: they are made under
    // another name, renamed, and removed. What is removed stays readable while it is mapped.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
    Ok(Buffer::from(bytes::Bytes::from_owner(map)))
}

/// The data set in the bytes of a cache file, and its key. `path` is for messages.
///
/// # Errors
/// [`Error::File`] when they are damaged or of another version.
pub fn parse(bytes: &[u8], path: &Path) -> Result<(String, Dataset)> {
    parse_buffer(&Buffer::from_slice_ref(bytes), path)
}

pub(super) fn damaged(path: &Path, field: &str, problem: &str) -> Error {
    Error::file(
        path,
        field,
        problem,
        "delete the file; it is made again when needed",
    )
}

/// What stands in the footer, and where the batches are.
pub(super) fn footer<M: Footer>(bytes: &[u8], path: &Path) -> Result<(M, Vec<Place>, usize)> {
    let wrong = |problem: &str| damaged(path, "footer", problem);
    let end = bytes
        .len()
        .checked_sub(10)
        .filter(|_| bytes.starts_with(MAGIC));
    let end = end.ok_or_else(|| wrong("not an Arrow file"))?;
    if &bytes[end + 4..] != MAGIC {
        return Err(wrong("the end is missing"));
    }
    let length = bytes[end..end + 4].iter().rev();
    let length = length.fold(0usize, |n, b| n << 8 | usize::from(*b));
    let start = end
        .checked_sub(length)
        .ok_or_else(|| wrong("its length is wrong"))?;
    let footer = root_as_footer(&bytes[start..end]).map_err(|e| wrong(&e.to_string()))?;
    let entry = |key: &str| {
        let all = footer.custom_metadata()?;
        let found = all.iter().find(|e| e.key() == Some(key))?;
        found.value()
    };
    let text = entry(M::NAME).ok_or_else(|| wrong("says nothing of what is wanted"))?;
    let check = hexadecimal(Sha256::new_with_prefix(text));
    // A fuzzer would never get past it.
    if entry(CHECK) != Some(check.as_str()) && !cfg!(fuzzing) {
        return Err(wrong("its SHA-256 is another"));
    }
    let meta: M = serde_json::from_str(text).map_err(|e| wrong(&e.to_string()))?;
    if meta.format() != FORMAT {
        return Err(wrong(&format!("format {}, not {FORMAT}", meta.format())));
    }
    let places = footer
        .recordBatches()
        .into_iter()
        .flatten()
        .copied()
        .collect();
    Ok((meta, places, start))
}

fn parse_buffer(bytes: &Buffer, path: &Path) -> Result<(String, Dataset)> {
    let (mut meta, places, end) = footer::<Meta>(bytes, path)?;
    let wrong = |field: &str, problem: &str| damaged(path, field, problem);
    let (v, l, f) = meta.shape;
    if v == 0 || l == 0 || f == 0 {
        return Err(wrong("shape", "has no values"));
    }
    let mut batches = Batches::new(bytes, path, &places, end, f, meta.masked);
    let cells = |a: usize, b: usize| {
        a.checked_mul(b)
            .ok_or_else(|| wrong("shape", "is too large"))
    };
    let (mut x, mut masks) = (Vec::new(), Vec::new());
    for piece in std::mem::take(&mut meta.pieces) {
        match piece {
            PieceMeta::Stack { count } => {
                let (values, mask) = batches.next(cells(cells(count, v)?, l)?)?;
                x.push(Piece::Stack { values, count });
                masks.extend(mask.map(|values| Piece::Stack { values, count }));
            }
            PieceMeta::Recording { blocks, starts } => {
                if !starts.is_sound() {
                    return Err(wrong("starts", "windows at the same step"));
                }
                let (mut values, mut seen) = (Vec::new(), Vec::new());
                for (steps, order) in blocks {
                    let (block, mask) = batches.next(cells(steps, v)?)?;
                    values.push(Block::new(block, steps, order));
                    seen.extend(mask.map(|mask| Block::new(mask, steps, order)));
                }
                if meta.masked {
                    masks.push(Piece::Recording {
                        blocks: seen,
                        starts: starts.clone(),
                    });
                }
                x.push(Piece::Recording {
                    blocks: values,
                    starts,
                });
            }
        }
    }
    let outside = |e: Error| wrong("windows", &e.to_string());
    let x = Windows::new((v, l, f), x).map_err(outside)?;
    let mask = match meta.masked {
        true => Some(Mask::new((v, l), masks).map_err(outside)?),
        false => None,
    };
    let key = meta.key.clone();
    let dataset = meta.dataset(x, mask).map_err(|e| wrong("metadata", &e))?;
    Ok((key, dataset))
}

/// The batches of a file, one after the other.
pub(super) struct Batches<'a> {
    bytes: &'a Buffer,
    path: &'a Path,
    places: std::iter::Enumerate<std::slice::Iter<'a, Place>>,
    end: usize,
    features: usize,
    masked: bool,
}

impl<'a> Batches<'a> {
    /// Those at `places` before `end`, each of `features` values a row, with masks or without.
    pub fn new(
        bytes: &'a Buffer,
        path: &'a Path,
        places: &'a [Place],
        end: usize,
        features: usize,
        masked: bool,
    ) -> Self {
        Self {
            bytes,
            path,
            places: places.iter().enumerate(),
            end,
            features,
            masked,
        }
    }

    /// Values and mask of the next batch, which must have this many (node, step).
    pub fn next(&mut self, cells: usize) -> Result<(ScalarBuffer<f32>, Option<ScalarBuffer<u8>>)> {
        let Some((number, place)) = self.places.next() else {
            return Err(damaged(self.path, "batches", "some are missing"));
        };
        let field = format!("batch {number}");
        let wrong = |problem: &str| damaged(self.path, &field, problem);
        let size = |n: i64| usize::try_from(n).ok();
        let bounds = || {
            let start = size(place.offset())?;
            let body = start.checked_add(size(place.metaDataLength().into())?)?;
            let end = body.checked_add(size(place.bodyLength())?)?;
            (start + 8 <= body && end <= self.end).then_some((start + 8, body, end))
        };
        let (start, body, end) = bounds().ok_or_else(|| wrong("lies outside the file"))?;
        let message = root_as_message(&self.bytes[start..body]);
        let message = message.map_err(|e| wrong(&e.to_string()))?;
        let batch = message.header_as_record_batch();
        let batch = batch.ok_or_else(|| wrong("is no record batch"))?;
        let buffers = batch.buffers().filter(|_| batch.compression().is_none());
        let buffers = buffers.ok_or_else(|| wrong("is compressed, or has no buffers"))?;
        if size(batch.length()) != Some(cells) {
            return Err(wrong(&format!("has {} cells, not {cells}", batch.length())));
        }
        let slice = |number: usize, bytes: Option<usize>| {
            let buffer = (number < buffers.len()).then(|| buffers.get(number))?;
            let from = body.checked_add(size(buffer.offset())?)?;
            let length = bytes.filter(|b| size(buffer.length()).is_some_and(|l| *b <= l))?;
            let inside = from.checked_add(length).is_some_and(|to| to <= end);
            inside.then(|| self.bytes.slice_with_length(from, length))
        };
        // Validity of the lists and of their items come first, then the items.
        let values = cells.checked_mul(self.features);
        let x = slice(2, values.and_then(|n| n.checked_mul(4)));
        let x = x
            .and_then(aligned::<f32>)
            .ok_or_else(|| wrong("x is cut short"))?;
        if !self.masked {
            return Ok((x, None));
        }
        let mask = slice(4, Some(cells)).and_then(aligned::<u8>);
        Ok((x, Some(mask.ok_or_else(|| wrong("mask is cut short"))?)))
    }
}

fn aligned<T: ArrowNativeType>(buffer: Buffer) -> Option<ScalarBuffer<T>> {
    let count = buffer.len() / size_of::<T>();
    let fits = buffer.as_ptr().align_offset(align_of::<T>()) == 0;
    fits.then(|| ScalarBuffer::new(buffer, 0, count))
}

/// Reads all of a file and compares the values with their hashes.
///
/// # Errors
/// As [`open`], and naming the first batch that has changed.
pub(super) fn verify(path: &Path) -> Result<()> {
    let bytes = map(path)?;
    if footer::<Meta>(&bytes, path).is_err() && footer::<SeriesMeta>(&bytes, path).is_ok() {
        return series::verify(&bytes, path);
    }
    let (meta, _, _) = footer::<Meta>(&bytes, path)?;
    let (_, dataset) = parse_buffer(&bytes, path)?;
    let all = [
        ("values", &meta.checks, hashes(&dataset.x)),
        (
            "mask",
            &meta.mask_checks,
            dataset
                .mask
                .as_ref()
                .map(|m| hashes(m.stored()))
                .unwrap_or_default(),
        ),
    ];
    for (what, noted, found) in all {
        // A mask that says that everything was observed is not read.
        let pairs = noted.iter().zip(&found).enumerate();
        if let Some((number, _)) = pairs.into_iter().find(|(_, (a, b))| a != b) {
            let field = format!("batch {number}");
            return Err(damaged(path, &field, &format!("has other {what}")));
        }
    }
    Ok(())
}

/// The hash of the values of a batch.
pub(super) fn hash<T: ArrowNativeType>(values: &ScalarBuffer<T>) -> String {
    hexadecimal(Sha256::new_with_prefix(values.inner().as_slice()))
}

/// The hashes of the values of each batch.
fn hashes<T: ArrowNativeType>(windows: &Windows<T>) -> Vec<String> {
    let of_piece = |piece: &Piece<T>| match piece {
        Piece::Stack { values, .. } => vec![hash(values)],
        Piece::Recording { blocks, .. } => blocks.iter().map(|b| hash(b.values())).collect(),
    };
    windows.pieces().flat_map(of_piece).collect()
}
