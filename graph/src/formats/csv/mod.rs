//! Comma-, semicolon- or tab-separated text: a column per sensor or feature, a time step per row.

mod numbers;
mod scan;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};
use scan::{End, after_line, cell, content_end, excerpt, guess_delimiter, is_blank, line_of};

pub use table::{Table, TextColumn, parse_table, read_table};

/// How a text table is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvConfig {
    /// Whether the first line names the columns; otherwise they are `0`, `1`, ...
    pub header: bool,
    /// Between cells; `None`: a tab for `.tsv` files, and for others the one of comma, semicolon
    /// and tab that is most frequent in the first line.
    pub delimiter: Option<char>,
    /// Lines that start with it are left out.
    pub comment: Option<char>,
    /// Columns that are no sensors (row numbers, remarks).
    pub skip: Vec<String>,
    /// Columns that are kept as words.
    pub text: Vec<String>,
    /// What is written where nothing was measured, beside nothing at all and `NA`, `N/A`, `NaN`,
    /// `null`, `none`, `?`, `-` and `#N/A`, whatever their case.
    pub missing: Vec<String>,
    /// When a row was measured.
    pub time: Option<TimeColumns>,
    /// Column with a class per time step.
    pub label: Option<String>,
}

/// Where the time of a row is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TimeColumns {
    /// One column, in a form that [`parse_stamp`](crate::series::parse_stamp) reads.
    Stamp(String),
    /// A column each for the parts of the date.
    Parts(DateParts),
}

/// Names of the columns that make a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateParts {
    pub year: String,
    pub month: Option<String>,
    pub day: Option<String>,
    pub hour: Option<String>,
    pub minute: Option<String>,
    pub second: Option<String>,
}

impl Default for CsvConfig {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: None,
            comment: None,
            skip: Vec::new(),
            text: Vec::new(),
            missing: Vec::new(),
            time: None,
            label: None,
        }
    }
}

impl CsvConfig {
    /// A table without a line of names.
    pub fn bare() -> Self {
        Self {
            header: false,
            ..Self::default()
        }
    }
}

/// A table of strings.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Column names.
    pub names: Vec<String>,
    /// Cells, one vector per column; empty cells are empty strings.
    pub columns: Vec<Vec<String>>,
    /// Line of the file that each row starts on, from 1.
    pub lines: Vec<usize>,
}

impl Cells {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// A column by its name.
    pub fn column(&self, name: &str) -> Option<&[String]> {
        let at = self.names.iter().position(|n| n == name)?;
        Some(&self.columns[at])
    }

    /// A column that has to be there; `path` and `remedy` are for the message.
    ///
    /// # Errors
    /// [`Error::File`] with the names of the columns that are there.
    pub(crate) fn require(&self, name: &str, path: &Path, remedy: &str) -> Result<&[String]> {
        self.column(name).ok_or_else(|| {
            Error::file(
                path,
                "header",
                format!("no column {name:?} among {}", self.names.join(", ")),
                remedy,
            )
        })
    }
}

/// What the beginning of a file says.
struct Head {
    delimiter: u8,
    comment: Option<u8>,
    names: Vec<String>,
    /// Where the first row starts.
    body: usize,
    /// Where the white space at the end starts.
    end: usize,
}

impl Head {
    fn read(bytes: &[u8], path: &Path, config: &CsvConfig) -> Result<Self> {
        let start = match bytes {
            [0xef, 0xbb, 0xbf, ..] => 3,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(Error::file(
                    path,
                    "byte 0",
                    "is UTF-16 text",
                    "save the file as UTF-8",
                ));
            }
            _ => 0,
        };
        let ascii = |c: Option<char>, field: &str| match c {
            None => Ok(None),
            Some(c) if c.is_ascii() && !['"', '\n', '\r'].contains(&c) => Ok(Some(c as u8)),
            Some(c) => Err(Error::config(
                field,
                format!("{c:?} cannot be one"),
                "use a comma, a semicolon, a tab or another ASCII character",
            )),
        };
        let comment = ascii(config.comment, "csv.comment")?;
        let delimiter = ascii(config.delimiter, "csv.delimiter")?;
        let mut at = start;
        while at < bytes.len() && is_blank(bytes, at, comment) {
            at = after_line(bytes, at);
        }
        if at >= bytes.len() {
            return Err(Error::file(
                path,
                "table",
                "has no rows",
                "check that the file is complete",
            ));
        }
        let tabs = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
        let delimiter = match delimiter {
            Some(d) => d,
            None if tabs => b'\t',
            None => guess_delimiter(&bytes[at..after_line(bytes, at)]),
        };
        let mut names = Vec::new();
        let mut next = at;
        loop {
            let (cell, after, end) = cell(bytes, next, delimiter);
            names.push(match config.header {
                true => cell.text().into_owned(),
                false => names.len().to_string(),
            });
            next = after;
            match end {
                End::Delimiter => {}
                End::Line => break,
                End::Broken => return Err(broken(bytes, at, path)),
            }
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|w| w[0] == w[1]) {
            return Err(Error::file(
                path,
                "header",
                format!("the column {:?} is there twice", pair[0]),
                "give every column its own name, or set header = false if there is none",
            ));
        }
        Ok(Self {
            delimiter,
            comment,
            names,
            body: if config.header { next } else { at },
            end: content_end(bytes),
        })
    }

    /// In a table of one column an empty line is a missing value, except at the end of the file.
    fn keeps_blank(&self, bytes: &[u8], at: usize) -> bool {
        at < self.end && bytes.get(at).copied() != self.comment
    }
}

fn broken(bytes: &[u8], at: usize, path: &Path) -> Error {
    Error::file(
        path,
        format!("line {}", line_of(bytes, at)),
        format!(
            "a quote is not closed, or text follows it: {:?}",
            excerpt(bytes, at)
        ),
        "close it, and double the quotes inside",
    )
}

/// Reads a table as strings.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse_cells`].
pub fn read_cells(path: impl AsRef<Path>, config: &CsvConfig) -> Result<Cells> {
    let path = path.as_ref();
    parse_cells(files::read_text(path)?.as_bytes(), path, config)
}

/// Reads a table as strings from the bytes of a file. Of `config` only what tells cells apart
/// matters.
///
/// # Errors
/// [`Error::File`] when lines have different numbers of cells, the header repeats a name, a quote
/// is not closed, or there is no row.
pub fn parse_cells(bytes: &[u8], path: &Path, config: &CsvConfig) -> Result<Cells> {
    let head = Head::read(bytes, path, config)?;
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); head.names.len()];
    let mut lines = Vec::new();
    let (mut at, mut counted, mut line) = (head.body, 0, 1);
    while at < bytes.len() {
        let kept = columns.len() == 1 && head.keeps_blank(bytes, at);
        if is_blank(bytes, at, head.comment) && !kept {
            at = after_line(bytes, at);
            continue;
        }
        line += line_of(&bytes[counted..], at - counted) - 1;
        counted = at;
        let start = at;
        let mut found = 0;
        loop {
            let (cell, next, end) = cell(bytes, at, head.delimiter);
            if let Some(column) = columns.get_mut(found) {
                column.push(cell.text().into_owned());
            }
            found += 1;
            at = next;
            match end {
                End::Delimiter => {}
                End::Line => break,
                End::Broken => return Err(broken(bytes, start, path)),
            }
        }
        if found != columns.len() {
            return Err(Error::file(
                path,
                format!("line {line}"),
                format!(
                    "has {found} cells, not {}: {:?}",
                    columns.len(),
                    excerpt(bytes, start)
                ),
                "give every line the same number of cells and check the delimiter",
            ));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(Error::file(
            path,
            "table",
            "has no rows",
            "check that the file is complete",
        ));
    }
    Ok(Cells {
        names: head.names,
        columns,
        lines,
    })
}
