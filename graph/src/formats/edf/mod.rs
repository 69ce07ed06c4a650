//! EDF, EDF+ and their 24-bit relatives BDF and BDF+.
//!
//! A header of 256 bytes and 256 more per channel, all in ASCII, is followed by records of equal
//! duration; a record holds the samples of each channel in turn as little-endian integers of 16
//! (EDF) or 24 (BDF) bits. In the plus variants one channel holds annotations, the first of
//! every record being its start time: with it, files of type `D` (discontinuous) have breaks.
//!
//! Sources: Kemp et al., "A simple format for exchange of digitized polygraphic recordings",
//! Electroencephalography and Clinical Neurophysiology 82, 1992; Kemp and Olivan, "European data
//! format 'plus' (EDF+)", Clinical Neurophysiology 114, 2003; BioSemi, "BDF file format".

mod annotations;
mod header;

use std::fs::File;
use std::path::Path;

use super::biosignal::{
    Annotation, DAMAGED, OpenOptions, RecordingOptions, Records, Segment, SignalFile, Source, head,
};
use crate::{Error, Recording, Result};
use annotations::Tal;
use header::{FIXED, Header};

/// Opens a file: reads its header and annotations. Samples are read later.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when a header field is wrong, the file
/// is shorter or longer than its header says, or an annotation cannot be read.
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
    let mut buffer = Vec::new();
    let (size, bytes) = head(&source, path, FIXED, header::length, &mut buffer)?;
    let header = Header::parse(path, bytes)?;
    let count = record_count(&header, size, path, options)?;
    let records = Records {
        first: header.bytes,
        bytes: header.record_bytes,
        count,
    };
    let tals = annotations::read(&source, path, &header, &records, options)?;
    let (segments, annotations) = timeline(&header, count, tals, path)?;
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
        records,
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

/// The number of records in the file, which the header may leave open with -1.
fn record_count(header: &Header, size: u64, path: &Path, options: OpenOptions) -> Result<u64> {
    let data = size.saturating_sub(header.bytes);
    let whole = data / header.record_bytes;
    let Some(claimed) = header.records else {
        return Ok(whole);
    };
    let expected = claimed.checked_mul(header.record_bytes);
    if expected == Some(data) {
        return Ok(claimed);
    }
    if options.accept_incomplete {
        let count = claimed.min(whole);
        log::warn!(
            "{}: {claimed} records in the header, {whole} in the file; {count} are read",
            path.display()
        );
        return Ok(count);
    }
    Err(Error::file(
        path,
        "byte 236, number of records",
        format!(
            "{claimed} records of {} bytes after a header of {} do not make a file of {size}",
            header.record_bytes, header.bytes
        ),
        "fetch or export the file again, or accept an incomplete file to read its complete records",
    ))
}

/// Stretches between breaks, and annotations in order of time.
fn timeline(
    header: &Header,
    count: u64,
    tals: Vec<Tal>,
    path: &Path,
) -> Result<(Vec<Segment>, Vec<Annotation>)> {
    let seconds = header.record_seconds;
    let mut segments = Vec::new();
    let mut annotations: Vec<Annotation> = Vec::new();
    let mut current = Segment {
        start: 0.0,
        stored: 0.0,
        seconds: 0.0,
    };
    let mut clock = tals.into_iter().peekable();
    // A record starts where the one before it ended, unless its own start time differs by more
    // than such times are written with.
    let tolerance = (0.5 / header.fastest()).max(1e-3);
    // End of the record before, by its own start time: durations are rounded in the header, and
    // the error must not add up over many records.
    let mut end = 0.0;
    for record in 0..count {
        let mut start = None;
        while let Some(tal) = clock.next_if(|t| t.record == record) {
            match tal.annotation {
                None => start = start.or(Some(tal.onset)),
                Some(annotation) => annotations.push(annotation),
            }
        }
        if start.is_none() && header.discontinuous {
            return Err(Error::file(
                path,
                format!("record {record}"),
                "has no start time, which a discontinuous file gives in every record",
                DAMAGED,
            ));
        }
        let start = start.unwrap_or(end);
        if record == 0 {
            current.start = start;
        } else if (start - end).abs() > tolerance {
            if start < end {
                return Err(Error::file(
                    path,
                    format!("record {record}"),
                    format!("starts at {start} s, before the end of the previous one at {end} s"),
                    DAMAGED,
                ));
            }
            let stored = current.stored + current.seconds;
            segments.push(current);
            current = Segment {
                start,
                stored,
                seconds: 0.0,
            };
        }
        current.seconds += seconds;
        end = start + seconds;
    }
    if count > 0 {
        segments.push(current);
    }
    annotations.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    Ok((segments, annotations))
}
