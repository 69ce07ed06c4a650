//! A table with one line per file: its label, subject, session and part.

use std::path::{Path, PathBuf};

use super::labels::{Raw, plain};
use super::variables::{Item, parse_part};
use crate::formats::csv::{CsvConfig, read_cells};
use crate::{Error, Part, Result};

const COLUMNS: [&str; 5] = ["file", "label", "subject", "session", "part"];

#[derive(Debug)]
struct Row {
    path: PathBuf,
    label: Option<String>,
    subject: Option<String>,
    session: Option<String>,
    part: Option<Part>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Manifest {
    /// Reads the table at `path`; its files are relative to `folder`. Empty cells say nothing.
    pub fn read(folder: &Path, path: &Path) -> Result<Self> {
        let cells = read_cells(path, &CsvConfig::default())?;
        if let Some(other) = cells.names.iter().find(|n| !COLUMNS.contains(&n.as_str())) {
            return Err(Error::file(
                path,
                "header",
                format!("unknown column {other:?}"),
                format!("use {}", COLUMNS.join(", ")),
            ));
        }
        let files = cells.column("file").ok_or_else(|| {
            Error::file(
                path,
                "header",
                "no column \"file\"",
                "add it, with file names",
            )
        })?;
        let cell = |name: &str, i: usize| {
            let text = &cells.column(name)?[i];
            (!text.is_empty()).then(|| text.clone())
        };
        let mut rows: Vec<Row> = Vec::new();
        for (i, file) in files.iter().enumerate() {
            let row = Row {
                path: folder.join(file),
                label: cell("label", i).map(|t| plain(&t)),
                subject: cell("subject", i),
                session: cell("session", i),
                part: match cell("part", i) {
                    Some(text) => Some(parse_part(path, &text)?),
                    None => None,
                },
            };
            if rows.iter().any(|r| r.path == row.path) {
                return Err(Error::file(
                    path,
                    format!("line {}", cells.lines[i]),
                    format!("{file} is there twice"),
                    "keep one line for each file",
                ));
            }
            rows.push(row);
        }
        Ok(Self {
            path: path.to_path_buf(),
            rows,
        })
    }

    /// The files, in the order of the table.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.rows.iter().map(|r| r.path.as_path())
    }

    /// Writes what the table says about `file` into one of its recordings.
    pub fn apply(&self, file: &Path, item: &mut Item) -> Result<()> {
        let Some(row) = self.rows.iter().find(|r| r.path == file) else {
            return Err(Error::file(
                &self.path,
                file.display().to_string(),
                "the file has no line",
                "add one, or narrow files in dataset.toml",
            ));
        };
        if let Some(label) = &row.label {
            item.labels = Raw::Whole(label.clone());
        }
        let r = &mut item.recording;
        r.subject = row.subject.clone().or(r.subject.take());
        r.session = row.session.clone().or(r.session.take());
        r.part = row.part.or(r.part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_about_columns_and_repeats() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Manifest::read(folder.path(), &path)
        };
        let m = read("file,label,part\na.csv,1.0,test\nb.csv,,\n").unwrap();
        assert_eq!(m.rows[0].label.as_deref(), Some("1"));
        assert_eq!(m.rows[0].part, Some(Part::Test));
        assert_eq!(m.rows[1].label, None);
        for (text, expected) in [
            ("file,lable\na,1\n", "unknown column \"lable\""),
            ("label\n1\n", "no column \"file\""),
            ("file\na\na\n", "line 3: a is there twice"),
            ("file,part\na,training\n", "\"training\" is no part"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
