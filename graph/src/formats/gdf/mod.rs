//! GDF, versions 1.x and 2.x: a binary relative of EDF with any numeric type, and a table of
//! events behind the records.
//!
//! Events become annotations whose text is the event code in decimal; events with the code
//! 32766 (start of a new segment) divide the recording. As the format defines it, values are
//! scaled for every numeric type, floats included.
//!
//! Sources: Schlögl, "GDF - A general dataformat for biosignals", arXiv:cs/0608052 (versions 1.25
//! to 2.51); the reading of record durations, by version, as in the BioSig library.

mod events;
mod header;

use std::fs::File;
use std::path::Path;

use super::biosignal::{
    Annotation, OpenOptions, RecordingOptions, Records, Segment, SignalFile, Source, head,
};
use crate::{Error, Recording, Result};
use events::Event;
use header::{FIXED, Header};

/// Code of the event that starts a new segment after a break of unknown length.
const NEW_SEGMENT: u16 = 0x7ffe;

/// Opens a file: reads its header and events. Samples are read later.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when a header field is wrong, a type of
/// numbers is not read, the file is shorter than its header says, or the table of events is
/// damaged.
pub fn open(path: impl AsRef<Path>) -> Result<SignalFile<File>> {
    open_with(path, OpenOptions::default())
}

/// [`open`] with less strictness.
///
/// # Errors
/// As [`open`], but for what `options` accepts.
pub fn open_with(path: impl AsRef<Path>, options: OpenOptions) -> Result<SignalFile<File>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    read(file, path, options)
}

/// The content of a file that is in memory; `path` is for messages.
///
/// # Errors
/// As [`open`].
pub fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SignalFile<&'a [u8]>> {
    read(bytes, path, OpenOptions::default())
}

/// Any [`Source`] of bytes, such as a memory map; `path` is for messages.
///
/// # Errors
/// As [`open`], but for what `options` accepts.
pub fn read<S: Source>(source: S, path: &Path, options: OpenOptions) -> Result<SignalFile<S>> {
    let io = |e| Error::io(path, e);
    let mut buffer = Vec::new();
    let (size, bytes) = head(&source, path, FIXED, header::length, &mut buffer)?;
    let header = Header::parse(path, bytes)?;
    let (count, table_at) = record_count(&header, size, path, options)?;
    let events = match table_at {
        Some(at) if at < size => {
            let length = usize::try_from(size - at).unwrap_or(usize::MAX);
            let bytes = source.bytes(at, length, &mut buffer).map_err(io)?;
            let rates = header.channels.iter().map(|c| c.rate);
            let fastest = rates.fold(0.0, f64::max);
            match events::parse(path, bytes, at, header.version, fastest) {
                Err(e) if options.accept_damaged_annotations => {
                    log::warn!("{e}");
                    Vec::new()
                }
                other => other?,
            }
        }
        _ => Vec::new(),
    };
    let seconds = header.record_seconds * count as f64;
    let (segments, annotations) = timeline(&header, seconds, events, path)?;
    let mut channels = header.channels;
    for channel in &mut channels {
        channel.samples = channel.layout.samples as u64 * count;
    }
    Ok(SignalFile {
        format: header.format,
        start: header.start,
        patient: header.patient,
        recording: header.recording,
        record_seconds: header.record_seconds,
        channels,
        annotations,
        segments,
        path: path.to_path_buf(),
        source,
        records: Records {
            first: header.bytes,
            bytes: header.record_bytes,
            count,
        },
    })
}

/// Opens a file and makes recordings of it, see [`SignalFile::recordings`]: sensor names and the
/// recordings between the breaks.
///
/// # Errors
/// As [`open`] and [`SignalFile::recordings`].
pub fn recordings(
    path: impl AsRef<Path>,
    options: &RecordingOptions,
) -> Result<(Vec<String>, Vec<Recording>)> {
    open(path)?.recordings(options)
}

/// The number of records in the file, and the byte of the table of events behind them; `None`
/// where the header leaves the number open, so that no table can be found.
fn record_count(
    header: &Header,
    size: u64,
    path: &Path,
    options: OpenOptions,
) -> Result<(u64, Option<u64>)> {
    let data = size.saturating_sub(header.bytes);
    let whole = data / header.record_bytes;
    let Some(claimed) = header.records else {
        return Ok((whole, None));
    };
    if claimed <= whole {
        return Ok((claimed, Some(header.bytes + claimed * header.record_bytes)));
    }
    if options.accept_incomplete {
        log::warn!(
            "{}: {claimed} records in the header, {whole} in the file, which are read",
            path.display()
        );
        return Ok((whole, None));
    }
    Err(Error::file(
        path,
        "byte 236, number of records",
        format!(
            "{claimed} records of {} bytes after a header of {} do not fit a file of {size}",
            header.record_bytes, header.bytes
        ),
        "fetch or export the file again, or accept an incomplete file to read its complete records",
    ))
}

/// Stretches between breaks, and events in order of time.
fn timeline(
    header: &Header,
    seconds: f64,
    events: Vec<Event>,
    path: &Path,
) -> Result<(Vec<Segment>, Vec<Annotation>)> {
    let channels = header.channels.len();
    let mut starts = vec![0.0];
    let mut annotations = Vec::with_capacity(events.len());
    for (i, event) in events.into_iter().enumerate() {
        let wrong = |problem: String| {
            Error::file(
                path,
                format!("event {i}"),
                problem,
                "the table of events is damaged: fetch or export the file again",
            )
        };
        let channel = match event.channel {
            0 => None,
            // Channels count from 1, those without samples included.
            n => Some(
                header
                    .positions
                    .iter()
                    .position(|p| *p == usize::from(n))
                    .ok_or_else(|| wrong(format!("belongs to channel {n} of {channels}")))?,
            ),
        };
        if event.code == NEW_SEGMENT && event.onset > 0.0 && event.onset < seconds {
            starts.push(event.onset);
        }
        annotations.push(Annotation {
            onset: event.onset,
            duration: event.duration,
            text: event.code.to_string(),
            channel,
        });
    }
    starts.sort_by(f64::total_cmp);
    starts.dedup();
    starts.push(seconds);
    let segments = starts
        .windows(2)
        .filter(|w| w[1] > w[0])
        .map(|w| Segment {
            start: w[0],
            stored: w[0],
            seconds: w[1] - w[0],
        })
        .collect();
    annotations.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    Ok((segments, annotations))
}
