//! Arrow IPC, as files (`.arrow`, Feather 2) and as streams (`.arrows`).
//!
//! Every length in a message comes from the file, so each is checked against the bytes that are
//! there before the library sees it: buffers must lie inside the body of their message, and what a
//! packed buffer claims to unpack to is bounded.
//!
//! Source: "Arrow Columnar Format", version 1.5, section "Serialization and Interprocess
//! Communication".

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Message, MessageHeader, MetadataVersion, root_as_footer, root_as_message};

use super::guarded;
use crate::{Error, Result, files};

const MAGIC: &[u8] = b"ARROW1";
/// Bytes of a file's trailer: the length of the footer and the magic.
const TRAILER: usize = 10;
/// What packed buffers may always unpack to together, and how often the size of the file beyond
/// that: runs of one value pack almost without limit.
const ALWAYS: usize = 1 << 28;
const MAX_RATIO: usize = 1032;

type Parsed<T> = std::result::Result<T, String>;

/// Reads an Arrow IPC file or stream, plain or packed with LZ4 or Zstandard. The file is mapped:
/// columns that are not packed lie in the map.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is no Arrow IPC.
pub fn read_ipc(path: impl AsRef<Path>) -> Result<RecordBatch> {
    let path = path.as_ref();
    let map = files::map(path)?;
    read(path, Buffer::from(bytes::Bytes::from_owner(map)))
}

/// Reads an Arrow IPC file or stream out of memory; `path` is for messages.
///
/// # Errors
/// [`Error::File`] when it is no Arrow IPC.
pub fn parse_ipc(bytes: &[u8], path: &Path) -> Result<RecordBatch> {
    read(path, Buffer::from(bytes))
}

fn read(path: &Path, data: Buffer) -> Result<RecordBatch> {
    guarded(|| table(&data)).map_err(|e| {
        Error::file(
            path,
            "table",
            e,
            "give a complete Arrow IPC file or stream (Feather 2) of plain columns",
        )
    })
}

/// Where the messages of a file or stream are.
struct Messages {
    schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: Vec<Block>,
    batches: Vec<Block>,
}

fn table(data: &Buffer) -> Parsed<RecordBatch> {
    if data.starts_with(b"FEA1") {
        return Err("is Feather 1, which is not read; write it with Feather 2".into());
    }
    let messages = match data.starts_with(MAGIC) {
        true => of_file(data)?,
        false => of_stream(data)?,
    };
    let mut decoder = FileDecoder::new(messages.schema.clone(), messages.version);
    let mut left = data.len().saturating_mul(MAX_RATIO).saturating_add(ALWAYS);
    let failed = |e: arrow::error::ArrowError| e.to_string();
    for block in &messages.dictionaries {
        let bytes = checked(data, block, &mut left)?;
        decoder.read_dictionary(block, &bytes).map_err(failed)?;
    }
    let mut batches = Vec::new();
    for block in &messages.batches {
        let bytes = checked(data, block, &mut left)?;
        batches.extend(decoder.read_record_batch(block, &bytes).map_err(failed)?);
    }
    // Joining copies; a table in one piece stays where it is.
    match batches.as_slice() {
        [one] => Ok(one.clone()),
        many => concat_batches(&messages.schema, many).map_err(failed),
    }
}

fn of_file(data: &Buffer) -> Parsed<Messages> {
    let cut = || "is cut short".to_string();
    let trailer = data.last_chunk::<TRAILER>().ok_or_else(cut)?;
    let length = read_footer_length(*trailer).map_err(|_| cut())?;
    let end = data.len() - TRAILER;
    let start = end.checked_sub(length).ok_or_else(cut)?;
    let footer = root_as_footer(&data[start..end]).map_err(|e| e.to_string())?;
    let schema = footer.schema().ok_or("has no schema")?;
    let dictionaries = footer.dictionaries().map(|v| v.iter().copied().collect());
    let batches = footer.recordBatches().map(|v| v.iter().copied().collect());
    Ok(Messages {
        schema: Arc::new(try_fb_to_schema(schema).map_err(|e| e.to_string())?),
        version: footer.version(),
        dictionaries: dictionaries.unwrap_or_default(),
        batches: batches.unwrap_or_default(),
    })
}

/// The bytes of a message's metadata, without its length in front, and of both.
fn metadata(message: &[u8]) -> Option<(&[u8], usize)> {
    // Since version 0.15 a mark comes before the length.
    let prefix = match message.starts_with(&[0xff; 4]) {
        true => 8,
        false => 4,
    };
    let length = message.get(prefix - 4..)?.first_chunk::<4>()?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
    let bytes = message.get(prefix..)?.get(..length)?;
    Some((bytes, prefix + length))
}

fn of_stream(data: &Buffer) -> Parsed<Messages> {
    let mut at = 0;
    let mut schema = None;
    let mut version = MetadataVersion::V5;
    let (mut dictionaries, mut batches) = (Vec::new(), Vec::new());
    while at < data.len() {
        let Some((bytes, length)) = metadata(&data[at..]) else {
            return Err(match schema {
                None => "does not start like Arrow IPC".to_string(),
                Some(_) => format!("the message at byte {at} is cut short"),
            });
        };
        if bytes.is_empty() {
            break;
        }
        let message = root_as_message(bytes).map_err(|e| e.to_string())?;
        let body = usize::try_from(message.bodyLength()).unwrap_or(usize::MAX);
        let place = (i64::try_from(at), i32::try_from(length));
        let (Ok(offset), Ok(metadata)) = place else {
            return Err(format!("the message at byte {at} is too long"));
        };
        let block = Block::new(offset, metadata, message.bodyLength());
        match message.header_type() {
            MessageHeader::Schema => {
                let header = message.header_as_schema().ok_or("has no schema")?;
                schema = Some(try_fb_to_schema(header).map_err(|e| e.to_string())?);
                version = message.version();
            }
            MessageHeader::DictionaryBatch => dictionaries.push(block),
            MessageHeader::RecordBatch => batches.push(block),
            _ => return Err(format!("the message at byte {at} is of an unknown kind")),
        }
        at = at
            .checked_add(length)
            .and_then(|at| at.checked_add(body))
            .filter(|at| *at <= data.len())
            .ok_or_else(|| format!("the message at byte {at} is cut short"))?;
    }
    Ok(Messages {
        schema: Arc::new(schema.ok_or("has no schema")?),
        version,
        dictionaries,
        batches,
    })
}

/// The bytes of a message whose lengths fit them; what it unpacks to is taken from `left`.
fn checked(data: &Buffer, block: &Block, left: &mut usize) -> Parsed<Buffer> {
    let broken = |what: &str| format!("the message at byte {} {what}", block.offset());
    let cut = || broken("is cut short");
    let (Ok(offset), Ok(head), Ok(body)) = (
        usize::try_from(block.offset()),
        usize::try_from(block.metaDataLength()),
        usize::try_from(block.bodyLength()),
    ) else {
        return Err(cut());
    };
    let length = head.checked_add(body).ok_or_else(cut)?;
    let end = offset.checked_add(length).ok_or_else(cut)?;
    if end > data.len() {
        return Err(cut());
    }
    let bytes = data.slice_with_length(offset, length);
    let (found, _) = metadata(&bytes[..head]).ok_or_else(cut)?;
    let message = root_as_message(found).map_err(|e| broken(&e.to_string()))?;
    buffers_fit(message, &bytes[head..], left)
        .ok_or_else(|| broken("has lengths that do not fit"))?;
    Ok(bytes)
}

fn buffers_fit(message: Message<'_>, body: &[u8], left: &mut usize) -> Option<()> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch()?,
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch()?.data()?,
        _ => return None,
    };
    let packed = batch.compression().is_some();
    let mut total = 0usize;
    for buffer in batch.buffers()? {
        let start = usize::try_from(buffer.offset()).ok()?;
        let length = usize::try_from(buffer.length()).ok()?;
        let bytes = body.get(start..)?.get(..length)?;
        let mut size = length;
        if packed && length > 0 {
            // -1 stands for a buffer that is not packed after all.
            match i64::from_le_bytes(*bytes.first_chunk::<8>()?) {
                -1 => {}
                claimed => size = usize::try_from(claimed).ok()?,
            }
            *left = left.checked_sub(size)?;
        }
        total = total.checked_add(size)?;
    }
    // A bit is the least that a row takes, but for columns of nothing but nulls.
    let most = total.checked_mul(8)?.checked_add(1 << 16)?;
    let rows = usize::try_from(batch.length()).ok()?;
    let nodes = batch.nodes()?;
    let lengths = nodes.iter().map(|n| usize::try_from(n.length()));
    for length in lengths {
        length.ok().filter(|n| *n <= most)?;
    }
    (rows <= most).then_some(())
}
