//! Time-stamped annotation lists (TAL): `+onset[\x15duration]\x14text\x14...\x14\0`.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::header::Header;
use crate::formats::biosignal::{Annotation, OpenOptions, Records, Source};
use crate::{Error, Result};

/// One entry of a list.
#[derive(Debug, PartialEq)]
pub(super) struct Tal {
    /// Record it stands in.
    pub record: u64,
    /// Seconds after the start of the file.
    pub onset: f64,
    /// `None`: the start time of the record.
    pub annotation: Option<Annotation>,
}

/// Records whose annotations are read in one step of the parallel work.
const STEP: u64 = 1024;

/// The annotations of all records, in the order of the file.
pub(super) fn read<S: Source>(
    source: &S,
    path: &Path,
    header: &Header,
    records: &Records,
    options: OpenOptions,
) -> Result<Vec<Tal>> {
    if header.annotations.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<Vec<Tal>> = (0..records.count.div_ceil(STEP))
        .into_par_iter()
        .map(|i| {
            let some = i * STEP..((i + 1) * STEP).min(records.count);
            read_some(source, path, header, records, options, some)
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn read_some<S: Source>(
    source: &S,
    path: &Path,
    header: &Header,
    records: &Records,
    options: OpenOptions,
    some: Range<u64>,
) -> Result<Vec<Tal>> {
    let mut out = Vec::new();
    let mut buffer = Vec::new();
    for record in some {
        for (list, place) in header.annotations.iter().enumerate() {
            let at = records.first + record * records.bytes + place.start;
            let length = (place.end - place.start) as usize;
            let bytes = source
                .bytes(at, length, &mut buffer)
                .map_err(|e| Error::io(path, e))?;
            let Err((byte, problem)) = parse(bytes, record, list == 0, &mut out) else {
                continue;
            };
            if !options.accept_damaged_annotations {
                return Err(Error::file(
                    path,
                    format!("byte {}, annotations of record {record}", at + byte as u64),
                    problem,
                    "fetch the file again, or accept damaged annotations to leave them out",
                ));
            }
            log::warn!("{}: record {record}: {problem}", path.display());
        }
    }
    Ok(out)
}

/// Adds the entries of one record's list to `out`. The first entry of the first list gives the
/// start time of the record, by an empty text. An error has its byte.
fn parse(
    bytes: &[u8],
    record: u64,
    first_list: bool,
    out: &mut Vec<Tal>,
) -> std::result::Result<(), (usize, String)> {
    let mut at = 0;
    let mut first = first_list;
    while let Some(skip) = bytes[at..].iter().position(|b| *b != 0) {
        at += skip;
        let rest = &bytes[at..];
        // An entry ends with the end of its last text and a zero.
        let Some(end) = rest.windows(2).position(|w| w == [0x14, 0]) else {
            return Err((at, "an annotation has no end".into()));
        };
        let mut texts = rest[..end].split(|b| *b == 0x14);
        let stamp = texts.next().unwrap_or_default();
        let mut times = stamp.split(|b| *b == 0x15);
        let onset = times.next().unwrap_or_default();
        let onset = Some(onset)
            .filter(|t| t.starts_with(b"+") || t.starts_with(b"-"))
            .and_then(number)
            .ok_or_else(|| (at, format!("{:?} is no onset", lossy(onset))))?;
        let duration = match times.next() {
            None => None,
            Some(text) => Some(
                number(text)
                    .filter(|d| *d >= 0.0)
                    .ok_or_else(|| (at, format!("{:?} is no duration", lossy(text))))?,
            ),
        };
        let mut any = false;
        for text in texts {
            any = true;
            if text.is_empty() && first {
                out.push(Tal {
                    record,
                    onset,
                    annotation: None,
                });
            } else if !text.is_empty() {
                let text = lossy(text);
                out.push(Tal {
                    record,
                    onset,
                    annotation: Some(Annotation {
                        onset,
                        duration,
                        text,
                        channel: None,
                    }),
                });
            }
            first = false;
        }
        // "+0" and the two end bytes alone: an empty text whose separator is the end.
        if !any && first {
            out.push(Tal {
                record,
                onset,
                annotation: None,
            });
        }
        first = false;
        at += end + 2;
    }
    Ok(())
}

/// Digits and one point, with a sign.
fn number(text: &[u8]) -> Option<f64> {
    let plain = |b: &u8| b.is_ascii_digit() || b"+-.".contains(b);
    let text = std::str::from_utf8(text).ok()?;
    text.parse()
        .ok()
        .filter(|v: &f64| text.bytes().all(|b| plain(&b)) && v.is_finite())
}

/// UTF-8 as the format demands, else Latin-1.
fn lossy(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_string(),
        Err(_) => text.iter().map(|b| char::from(*b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(bytes: &[u8]) -> std::result::Result<Vec<(f64, Option<f64>, String)>, String> {
        let mut out = Vec::new();
        parse(bytes, 7, true, &mut out).map_err(|(at, e)| format!("{at}: {e}"))?;
        Ok(out
            .into_iter()
            .map(|t| match t.annotation {
                None => (t.onset, None, "start".into()),
                Some(a) => (a.onset, a.duration, a.text),
            })
            .collect())
    }

    #[test]
    fn lists_of_the_specification() {
        // The examples of section 2.2 of the EDF+ paper, with their meaning.
        let bytes = b"+567\x14\x14\0+180\x14Lights off\x14Close door\x14\0\
                      +1800.2\x1525.5\x14Apnea\x14\0-0.065\x14Pre-stimulus beep\x14\0\0\0";
        assert_eq!(
            go(bytes).unwrap(),
            [
                (567.0, None, "start".into()),
                (180.0, None, "Lights off".into()),
                (180.0, None, "Close door".into()),
                (1800.2, Some(25.5), "Apnea".into()),
                (-0.065, None, "Pre-stimulus beep".into()),
            ]
        );
        // The first entry may give the start time and an annotation at once.
        let both = go(b"+3\x14\x14Recording starts\x14\0").unwrap();
        assert_eq!(both[0], (3.0, None, "start".into()));
        assert_eq!(both[1], (3.0, None, "Recording starts".into()));
        assert_eq!(go(b"\0\0\0\0").unwrap(), []);
        assert_eq!(go(b"+1\x14\xb5V\x14\0").unwrap()[0].2, "µV");
        assert_eq!(go(b"+1\x14\0").unwrap(), [(1.0, None, "start".into())]);
    }

    #[test]
    fn what_is_no_list() {
        for (bytes, expected) in [
            (&b"+1\x14\x14"[..], "0: an annotation has no end"),
            (b"+1\x14\x14\0hello", "5: an annotation has no end"),
            (b"1\x14\x14\0", "0: \"1\" is no onset"),
            (b"+inf\x14\x14\0", "\"+inf\" is no onset"),
            (b"+1e3\x14\x14\0", "\"+1e3\" is no onset"),
            (b"+1\x15-2\x14a\x14\0", "\"-2\" is no duration"),
            (b"+1\x15\x14a\x14\0", "\"\" is no duration"),
        ] {
            let text = go(bytes).unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
    }
}
