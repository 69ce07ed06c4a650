//! Comma-, semicolon- or tab-separated text: a column per sensor or feature, a time step per row.

mod numbers;
mod scan;
mod table;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str, config: &CsvConfig) -> Result<Table> {
        parse_table(text.as_bytes(), Path::new(name), config)
    }

    fn parts(year: &str, month: &str, hour: &str) -> Option<TimeColumns> {
        Some(TimeColumns::Parts(DateParts {
            year: year.into(),
            month: Some(month.into()),
            day: None,
            hour: Some(hour.into()),
            minute: None,
            second: None,
        }))
    }

    #[test]
    fn numbers_times_and_words() {
        let config = CsvConfig {
            time: Some(TimeColumns::Stamp("time".into())),
            text: vec!["wind".into()],
            label: Some("class".into()),
            missing: vec!["-999".into()],
            ..Default::default()
        };
        let table = read(
            "time,a,b,wind,class\n2020-01-01,1,,N,x\n2020-01-02,2,NaN,\"S,W\",y\n\
             2020-01-03, -3e0 ,\"5\",N,y\n2020-01-04 12:00:30,-999,NA,,x\n",
            "r.csv",
            &config,
        )
        .unwrap();
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.values.column(0).as_slice(), None);
        assert_eq!(table.values.column(0).to_vec()[..3], [1.0, 2.0, -3.0]);
        assert_eq!(table.values[[2, 1]], 5.0);
        for missing in [[0, 1], [1, 1], [3, 0], [3, 1]] {
            assert!(table.values[missing].is_nan(), "{missing:?}");
        }
        let stamps = table.stamps.unwrap();
        assert_eq!(stamps[1] - stamps[0], 86_400);
        assert_eq!(stamps[3] - stamps[0], 3 * 86_400 + 43_230);
        let [wind, class] = &table.text[..] else {
            panic!()
        };
        assert_eq!(wind.iter().collect::<Vec<_>>(), ["N", "S,W", "N", ""]);
        assert_eq!(
            (class.name.as_str(), &class.codes[..]),
            ("class", &[0, 1, 1, 0][..])
        );
    }

    #[test]
    fn dates_in_columns() {
        let config = CsvConfig {
            time: parts("y", "m", "h"),
            ..Default::default()
        };
        let table = read("y;m;h;v\n2013;3;0;1\n2013;3;23;2\n", "r.csv", &config).unwrap();
        assert_eq!(
            table.stamps.unwrap(),
            [1_362_096_000, 1_362_096_000 + 23 * 3600]
        );
        for (row, expected) in [
            ("2013;13;0;1", "line 2: there is no such time"),
            ("2013;3;24;1", "no such time"),
            (
                "2013;3;x;1",
                "line 2, column \"h\": \"x\" is no part of a date",
            ),
            ("2013;;1;1", "column \"m\": \"\""),
        ] {
            let error = read(&format!("y;m;h;v\n{row}\n"), "r.csv", &config)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn tabs_comments_windows_lines_and_no_header() {
        let table = read("1\t2\r\n3\t4\r\n\r\n", "r.tsv", &CsvConfig::bare()).unwrap();
        assert_eq!(table.columns, ["0", "1"]);
        assert_eq!(table.values, ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]));
        let config = CsvConfig {
            comment: Some('#'),
            ..Default::default()
        };
        let text = "\u{feff}# by hand\n\na,b\n1,2\n# not\n3,4";
        let table = read(text, "r.csv", &config).unwrap();
        assert_eq!(table.columns, ["a", "b"]);
        assert_eq!(table.values.nrows(), 2);
        let cells = parse_cells(
            text.trim_start_matches('\u{feff}').as_bytes(),
            Path::new("c"),
            &config,
        );
        assert_eq!(cells.unwrap().lines, [4, 6]);
        // An empty line of a single column is a value that is missing.
        let table = read("a\n1\n\n3\n\n", "r.csv", &CsvConfig::default()).unwrap();
        assert_eq!(table.values.nrows(), 3);
        assert!(table.values[[1, 0]].is_nan());
    }

    #[test]
    fn errors_name_line_and_column() {
        let d = CsvConfig::default();
        for (text, expected) in [
            (
                "a,b\n1,2\n3,x\n",
                "line 3, column \"b\": \"x\" is no number",
            ),
            ("a,b\n1,2\n3\n", "line 3: has 1 cells, not 2: \"3\""),
            ("a,b\n1,2,3\n", "line 2: has more cells than the 2 columns"),
            ("a,a\n1,2\n", "twice"),
            ("a,b\n", "no rows"),
            ("", "r.csv"),
            ("\n\n", "no rows"),
            ("a,b\n1,\"2\n", "quote"),
            ("a,\"b\n1,2\n", "quote"),
            ("a,b\n1,2.5.1\n", "2.5.1"),
        ] {
            let error = read(text, "r.csv", &d).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
            if !text.contains("x\n") && !text.contains("2.5.1") {
                assert!(parse_cells(text.as_bytes(), Path::new("r"), &d).is_err());
            }
        }
        assert!(parse_table(b"\xff\xfea\0", Path::new("r"), &d).is_err());
        let with = |skip: &[&str], text: &[&str], delimiter: Option<char>| {
            let config = CsvConfig {
                skip: skip.iter().map(|s| s.to_string()).collect(),
                text: text.iter().map(|s| s.to_string()).collect(),
                delimiter,
                ..Default::default()
            };
            read("a,b\n1,2\n", "r.csv", &config)
                .unwrap_err()
                .to_string()
        };
        assert!(with(&["t"], &[], None).contains("present: a, b"));
        assert!(with(&["a", "b"], &[], None).contains("no column is left"));
        assert!(with(&["a"], &["a"], None).contains("two purposes"));
        assert!(with(&[], &[], Some('é')).contains("csv.delimiter"));
        assert!(with(&[], &[], Some('"')).contains("csv.delimiter"));
    }

    #[test]
    fn pieces_read_in_parallel_are_the_whole() {
        let mut text = String::from("n,w,x\n");
        for i in 0..60_000 {
            let word = ["north", "\"so\nuth\"", "\"e\"\"ast\""][i % 3];
            text.push_str(&format!("{i},{word},{}\n", i as f32 / 7.0));
        }
        assert!(text.len() > 4 * (1 << 18));
        let config = CsvConfig {
            text: vec!["w".into()],
            ..Default::default()
        };
        let table = read(&text, "r.csv", &config).unwrap();
        assert_eq!(table.values.dim(), (60_000, 2));
        for (i, row) in table.values.outer_iter().enumerate() {
            assert_eq!(row.to_vec(), [i as f32, i as f32 / 7.0]);
        }
        assert_eq!(table.text[0].words, ["north", "so\nuth", "e\"ast"]);
        assert!(
            table.text[0]
                .codes
                .iter()
                .enumerate()
                .all(|(i, c)| *c as usize == i % 3)
        );
        // A mistake far inside is found, and its line is right: a third of the rows take two.
        let broken = text.replace("\n50001,", "\n50001x,");
        let error = read(&broken, "r.csv", &config).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {}", 2 + 50_001 + 50_002 / 3)),
            "{error}"
        );
    }

    #[test]
    fn damaged_text_is_an_error_or_a_table_but_no_panic() {
        let text = "time,a,\"b\"\n2020-01-01 00:00:00,1.5,\"2\"\n2020-01-01 01:00:00,,NA\n";
        let config = CsvConfig {
            time: Some(TimeColumns::Stamp("time".into())),
            ..Default::default()
        };
        for n in 0..text.len() {
            let _ = read(&text[..n], "r.csv", &config);
            for flip in [1u8, 0x20, 0x80, 0xff] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[n] ^= flip;
                let _ = parse_table(&bytes, Path::new("r.csv"), &config);
                let _ = parse_cells(&bytes, Path::new("r.csv"), &config);
            }
        }
    }
}
