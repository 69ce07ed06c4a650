//! Numbers, time stamps and words out of a text table, in parallel over its lines.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;
use rayon::prelude::*;

use super::numbers::{DayCache, Markers, fast_number, fast_whole, number, whole};
use super::scan::{Cell, End, after_line, cell, excerpt, is_blank, line_of, pieces};
use super::{CsvConfig, Head, TimeColumns};
use crate::series::StampReader;
use crate::{Error, Result, files};

/// Lines are read in parallel in pieces of at least this many bytes.
const PIECE: usize = 1 << 18;

/// A table of numbers over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns of numbers.
    pub columns: Vec<String>,
    /// Numbers, (rows, columns); NaN where missing.
    pub values: Array2<f32>,
    /// Time of every row, in seconds since 1970, where [`CsvConfig::time`] says how.
    pub stamps: Option<Vec<i64>>,
    /// The columns of [`CsvConfig::text`], and last that of [`CsvConfig::label`].
    pub text: Vec<TextColumn>,
}

/// A column of words, each kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    /// Name of the column.
    pub name: String,
    /// The distinct words, in the order in which they first occur.
    pub words: Vec<String>,
    /// Index into `words` for every row.
    pub codes: Vec<u32>,
}

impl TextColumn {
    /// The words row by row.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(|c| self.words[*c as usize].as_str())
    }
}

/// What a column of the file is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Skip,
    Stamp,
    /// Year, month, day, hour, minute or second.
    Part(usize),
    Text(usize),
}

/// Why a piece could not be read, at which byte and in which column.
struct Fault {
    at: usize,
    column: usize,
    problem: String,
    remedy: &'static str,
}

/// The rows of one piece.
#[derive(Default)]
struct Rows {
    count: usize,
    values: Vec<f32>,
    stamps: Vec<i64>,
    text: Vec<Words>,
}

#[derive(Default)]
struct Words {
    index: HashMap<Vec<u8>, u32>,
    words: Vec<String>,
    codes: Vec<u32>,
}

impl Words {
    fn push(&mut self, cell: Cell<'_>) {
        let code = match self.index.get(cell.bytes()) {
            Some(code) => *code,
            None => {
                let code = self.words.len() as u32;
                self.index.insert(cell.bytes().to_vec(), code);
                self.words.push(cell.text().into_owned());
                code
            }
        };
        self.codes.push(code);
    }
}

/// Reads a table of numbers; see [`parse_table`].
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse_table`].
pub fn read_table(path: impl AsRef<Path>, config: &CsvConfig) -> Result<Table> {
    let path = path.as_ref();
    parse_table(&files::read(path)?, path, config)
}

/// Reads a table of numbers from the bytes of a file. Columns that `config` does not name as time,
/// text, label or to be skipped are numbers.
///
/// # Errors
/// [`Error::File`] naming line and column of a cell that is no number or time, a line with another
/// number of cells, a column of `config` that is not there or a header that repeats one, or when
/// there is no row or no column of numbers.
pub fn parse_table(bytes: &[u8], path: &Path, config: &CsvConfig) -> Result<Table> {
    let head = Head::read(bytes, path, config)?;
    let (kinds, text) = kinds(&head, path, config)?;
    let columns: Vec<String> = head
        .names
        .iter()
        .zip(&kinds)
        .filter(|(_, k)| **k == Kind::Number)
        .map(|(n, _)| n.clone())
        .collect();
    if columns.is_empty() {
        return Err(Error::file(
            path,
            "header",
            "no column is left for numbers",
            "shorten csv.skip and csv.text",
        ));
    }
    let body = bytes.len().saturating_sub(head.body);
    let parts = (body / PIECE).clamp(1, 8 * rayon::current_num_threads());
    let markers = Markers {
        words: &config.missing,
        numbers: config
            .missing
            .iter()
            .filter_map(|m| m.parse().ok())
            .collect(),
    };
    let read: Vec<std::result::Result<Rows, Fault>> = pieces(bytes, head.body, parts)
        .into_par_iter()
        .map(|(from, to)| rows(&bytes[..to], from, &head, &kinds, &markers))
        .collect();
    let mut all = Vec::with_capacity(read.len());
    for piece in read {
        all.push(piece.map_err(|f| {
            let place = match head.names.get(f.column) {
                Some(name) => format!("line {}, column {name:?}", line_of(bytes, f.at)),
                None => format!("line {}", line_of(bytes, f.at)),
            };
            Error::file(path, place, f.problem, f.remedy)
        })?);
    }
    let count: usize = all.iter().map(|r| r.count).sum();
    if count == 0 {
        return Err(Error::file(
            path,
            "table",
            "has no rows",
            "check that the file is complete",
        ));
    }
    let stamps = config
        .time
        .is_some()
        .then(|| all.iter().flat_map(|r| r.stamps.iter().copied()).collect());
    let text = text
        .into_iter()
        .enumerate()
        .map(|(i, name)| joined(name, all.iter().map(|r| &r.text[i])))
        .collect();
    let values = match all.as_mut_slice() {
        [one] => std::mem::take(&mut one.values),
        many => {
            let mut values = Vec::with_capacity(count * columns.len());
            for piece in many {
                values.append(&mut piece.values);
            }
            values
        }
    };
    let values = Array2::from_shape_vec((count, columns.len()), values)
        .map_err(|e| Error::file(path, "table", e.to_string(), "check the file"))?;
    Ok(Table {
        columns,
        values,
        stamps,
        text,
    })
}

/// What every column is, and the names of the text columns in order.
fn kinds(head: &Head, path: &Path, config: &CsvConfig) -> Result<(Vec<Kind>, Vec<String>)> {
    let mut kinds = vec![Kind::Number; head.names.len()];
    let text: Vec<String> = config.text.iter().chain(&config.label).cloned().collect();
    let parts: Vec<(&String, Kind)> = match &config.time {
        None => Vec::new(),
        Some(TimeColumns::Stamp(name)) => vec![(name, Kind::Stamp)],
        Some(TimeColumns::Parts(p)) => [
            Some(&p.year),
            p.month.as_ref(),
            p.day.as_ref(),
            p.hour.as_ref(),
            p.minute.as_ref(),
            p.second.as_ref(),
        ]
        .into_iter()
        .enumerate()
        .filter_map(|(i, name)| Some((name?, Kind::Part(i))))
        .collect(),
    };
    let skipped = config.skip.iter().map(|name| (name, Kind::Skip));
    let words = text.iter().enumerate().map(|(i, n)| (n, Kind::Text(i)));
    for (name, kind) in skipped.chain(words).chain(parts) {
        let wrong = |problem: String| {
            Error::file(
                path,
                name,
                problem,
                "correct csv.skip, csv.text, csv.time or csv.label",
            )
        };
        let Some(at) = head.names.iter().position(|n| n == name) else {
            return Err(wrong(format!(
                "no such column; present: {}",
                head.names.join(", ")
            )));
        };
        if kinds[at] != Kind::Number {
            return Err(wrong("the column is named for two purposes".into()));
        }
        kinds[at] = kind;
    }
    Ok((kinds, text))
}

/// Reads the rows from byte `from` to the end of `bytes`.
fn rows(
    bytes: &[u8],
    from: usize,
    head: &Head,
    kinds: &[Kind],
    markers: &Markers<'_>,
) -> std::result::Result<Rows, Fault> {
    let numbers = kinds.iter().filter(|k| **k == Kind::Number).count();
    let texts = kinds.iter().filter(|k| matches!(k, Kind::Text(_))).count();
    let has_parts = kinds.iter().any(|k| matches!(k, Kind::Part(_)));
    let mut out = Rows::default();
    out.text.resize_with(texts, Words::default);
    // At least one byte for a cell: the guess is bounded by the size of the piece.
    out.values
        .reserve((bytes.len() - from) / 8 * numbers / kinds.len() + numbers);
    let mut clock = StampReader::default();
    let mut days = DayCache::default();
    let last = kinds.len() - 1;
    let mut at = from;
    while at < bytes.len() {
        if is_blank(bytes, at, head.comment) && !(last == 0 && head.keeps_blank(bytes, at)) {
            at = after_line(bytes, at);
            continue;
        }
        let line = at;
        let mut date = [0i64, 1, 1, 0, 0, 0];
        for (column, kind) in kinds.iter().enumerate() {
            let start = at;
            let fault = |problem: String, remedy: &'static str| Fault {
                at: start,
                column,
                problem,
                remedy,
            };
            let end = if let (Kind::Number, Some((value, next, end))) =
                (kind, fast_number(bytes, at, head.delimiter))
            {
                let missing = markers.numbers.contains(&value);
                out.values.push(if missing { f32::NAN } else { value });
                at = next;
                end
            } else if let (Kind::Part(i), Some((value, next))) =
                (kind, fast_whole(bytes, at, head.delimiter))
            {
                date[*i] = value;
                at = next;
                End::Delimiter
            } else {
                let (cell, next, end) = cell(bytes, at, head.delimiter);
                match kind {
                    Kind::Skip => {}
                    Kind::Number => out.values.push(number(cell, markers).ok_or_else(|| {
                        fault(
                            format!("{:?} is no number", cell.text()),
                            "write a number, leave the cell empty where it is missing, or put the \
                             column into csv.skip",
                        )
                    })?),
                    Kind::Text(i) => out.text[*i].push(cell),
                    Kind::Stamp => {
                        out.stamps.push(clock.read(cell.bytes()).ok_or_else(|| {
                            fault(
                                format!("{:?} is no time", cell.text()),
                                "write it as YYYY-MM-DD HH:MM:SS",
                            )
                        })?);
                    }
                    Kind::Part(i) => {
                        date[*i] = whole(cell.bytes()).ok_or_else(|| {
                            fault(
                                format!("{:?} is no part of a date", cell.text()),
                                "write a whole number",
                            )
                        })?;
                    }
                }
                at = next;
                end
            };
            if end == End::Broken {
                return Err(fault(
                    "a quote is not closed, or text follows it".into(),
                    "close it, and double the quotes inside",
                ));
            }
            if (end == End::Line) != (column == last) {
                let problem = if column == last {
                    format!("has more cells than the {} columns", kinds.len())
                } else {
                    format!("has {} cells, not {}", column + 1, kinds.len())
                };
                return Err(Fault {
                    at: line,
                    column: usize::MAX,
                    problem: format!("{problem}: {:?}", excerpt(bytes, line)),
                    remedy: "give every line the same number of cells and check the delimiter",
                });
            }
        }
        if has_parts {
            out.stamps.push(days.stamp(&date).ok_or_else(|| Fault {
                at: line,
                column: usize::MAX,
                problem: format!("there is no such time: {:?}", excerpt(bytes, line)),
                remedy: "correct year, month, day, hour, minute and second",
            })?);
        }
        out.count += 1;
    }
    Ok(out)
}

/// The pieces of a text column as one.
fn joined<'a>(name: String, pieces: impl Iterator<Item = &'a Words>) -> TextColumn {
    let mut words: Vec<String> = Vec::new();
    let mut index: HashMap<&str, u32> = HashMap::new();
    let mut codes = Vec::new();
    for piece in pieces {
        let place: Vec<u32> = piece
            .words
            .iter()
            .map(|w| {
                *index.entry(w).or_insert_with(|| {
                    words.push(w.clone());
                    words.len() as u32 - 1
                })
            })
            .collect();
        codes.extend(piece.codes.iter().map(|c| place[*c as usize]));
    }
    TextColumn { name, words, codes }
}
