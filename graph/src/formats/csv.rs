//! Comma- or tab-separated text: a sensor per column, a time step per row.

use std::path::Path;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, files};

/// How a text table is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvConfig {
    /// Whether the first line names the columns; otherwise they are `0`, `1`, ...
    pub header: bool,
    /// Between cells; `None`: a tab for `.tsv` files and a comma for others.
    pub delimiter: Option<char>,
    /// Columns that are no sensors (time stamps, row numbers).
    pub skip: Vec<String>,
    /// Column with a class per time step.
    pub label: Option<String>,
}

impl Default for CsvConfig {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: None,
            skip: Vec::new(),
            label: None,
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
    /// Line of the file that the first row stands on, from 1.
    pub first_line: usize,
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
}

/// Signals of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Names of the sensors, (nodes).
    pub sensors: Vec<String>,
    /// Values, (nodes, time); NaN where a cell is empty or says NaN.
    pub signal: Array2<f32>,
    /// Class per time step, as written, where [`CsvConfig::label`] names a column.
    pub labels: Option<Vec<String>>,
}

/// Reads a table as strings.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::File`] when lines have different numbers of
/// cells, the header repeats a name, or there is no row.
pub fn read_cells(path: impl AsRef<Path>, config: &CsvConfig) -> Result<Cells> {
    let path = path.as_ref();
    let text = files::read_text(path)?;
    let delimiter = match config.delimiter {
        Some(c) => u8::try_from(c).ok().filter(u8::is_ascii).ok_or_else(|| {
            Error::config(
                "csv.delimiter",
                format!("{c:?} is not ASCII"),
                "use a comma, a semicolon, a tab or a space",
            )
        })?,
        None if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("tsv")) =>
        {
            b'\t'
        }
        None => b',',
    };
    let broken = |e: arrow::error::ArrowError| {
        Error::file(
            path,
            "table",
            e.to_string(),
            "give every line the same number of cells and check the delimiter",
        )
    };
    let (inferred, _) = Format::default()
        .with_header(config.header)
        .with_delimiter(delimiter)
        .infer_schema(text.as_bytes(), Some(1))
        .map_err(broken)?;
    let names: Vec<String> = inferred
        .fields()
        .iter()
        .enumerate()
        .map(|(i, f)| match config.header {
            true => f.name().trim().to_string(),
            false => i.to_string(),
        })
        .collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::file(
                path,
                "header",
                format!("the column {name:?} is there twice"),
                "give every column its own name, or set header = false if there is none",
            ));
        }
    }
    let fields: Vec<Field> = names
        .iter()
        .map(|n| Field::new(n, DataType::Utf8, true))
        .collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_header(config.header)
        .with_delimiter(delimiter)
        .build(text.as_bytes())
        .map_err(broken)?;
    let mut columns = vec![Vec::new(); names.len()];
    for batch in reader {
        let batch = batch.map_err(broken)?;
        for (column, array) in columns.iter_mut().zip(batch.columns()) {
            let cells = array.as_any().downcast_ref::<StringArray>();
            column.extend(
                cells
                    .into_iter()
                    .flatten()
                    .map(|c| c.unwrap_or_default().trim().to_string()),
            );
        }
    }
    let cells = Cells {
        names,
        columns,
        first_line: 1 + usize::from(config.header),
    };
    if cells.rows() == 0 {
        return Err(Error::file(
            path,
            "table",
            "has no rows",
            "check that the file is complete",
        ));
    }
    Ok(cells)
}

/// Reads one recording.
///
/// # Errors
/// As [`read_cells`], and [`Error::File`] naming line and column of a cell that is no number, or a
/// column to skip or of labels that is not there.
pub fn read_series(path: impl AsRef<Path>, config: &CsvConfig) -> Result<Series> {
    let path = path.as_ref();
    let cells = read_cells(path, config)?;
    for name in config.skip.iter().chain(&config.label) {
        if !cells.names.contains(name) {
            return Err(Error::file(
                path,
                name,
                format!("no such column; present: {}", cells.names.join(", ")),
                "correct csv.skip or csv.label",
            ));
        }
    }
    let mut sensors = Vec::new();
    let mut values = Vec::new();
    for (name, column) in cells.names.iter().zip(&cells.columns) {
        if config.skip.contains(name) || config.label.as_ref() == Some(name) {
            continue;
        }
        sensors.push(name.clone());
        for (row, cell) in column.iter().enumerate() {
            values.push(number(cell).ok_or_else(|| {
                Error::file(
                    path,
                    format!("line {}, column {name:?}", cells.first_line + row),
                    format!("{cell:?} is no number"),
                    "write a number, leave the cell empty where it is missing, or put the \
                     column into csv.skip",
                )
            })?);
        }
    }
    let signal = Array2::from_shape_vec((sensors.len(), cells.rows()), values)
        .map_err(|e| Error::file(path, "table", e.to_string(), "check the file"))?;
    if sensors.is_empty() {
        return Err(Error::file(
            path,
            "header",
            "no column is left as a sensor",
            "shorten csv.skip",
        ));
    }
    Ok(Series {
        sensors,
        signal,
        labels: config
            .label
            .as_ref()
            .and_then(|n| cells.column(n))
            .map(<[String]>::to_vec),
    })
}

fn number(cell: &str) -> Option<f32> {
    if cell.is_empty() || ["na", "n/a", "null", "?"].contains(&cell.to_lowercase().as_str()) {
        return Some(f32::NAN);
    }
    cell.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str, config: &CsvConfig) -> Result<Series> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_series(&path, config)
    }

    #[test]
    fn columns_are_nodes() {
        let config = CsvConfig {
            skip: vec!["time".into()],
            label: Some("class".into()),
            ..Default::default()
        };
        let series = read(
            "time,a,b,class\n2020-01-01,1,,x\n2020-01-02,2,NaN,y\n2020-01-03,-3e0,5,y\n",
            "r.csv",
            &config,
        )
        .unwrap();
        assert_eq!(series.sensors, ["a", "b"]);
        assert_eq!(series.signal.row(0).to_vec(), [1.0, 2.0, -3.0]);
        assert!(series.signal[[1, 0]].is_nan() && series.signal[[1, 1]].is_nan());
        assert_eq!(series.labels.unwrap(), ["x", "y", "y"]);
    }

    #[test]
    fn tabs_and_no_header() {
        let config = CsvConfig {
            header: false,
            ..Default::default()
        };
        let series = read("1\t2\n3\t4\n", "r.tsv", &config).unwrap();
        assert_eq!(series.sensors, ["0", "1"]);
        assert_eq!(series.signal, ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]));
    }

    #[test]
    fn errors_name_line_and_column() {
        let d = CsvConfig::default();
        for (text, expected) in [
            (
                "a,b\n1,2\n3,x\n",
                "line 3, column \"b\": \"x\" is no number",
            ),
            ("a,b\n1,2\n3\n", "r.csv"),
            ("a,a\n1,2\n", "twice"),
            ("a,b\n", "no rows"),
            ("", "r.csv"),
        ] {
            let error = read(text, "r.csv", &d).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let config = CsvConfig {
            skip: vec!["t".into()],
            ..Default::default()
        };
        let error = read("a,b\n1,2\n", "r.csv", &config)
            .unwrap_err()
            .to_string();
        assert!(error.contains("present: a, b"), "{error}");
    }
}
