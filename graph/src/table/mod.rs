//! Tables in files: the one place that writes and reads CSV and Parquet, and reads Arrow IPC.
//!
//! A table is an arrow [`RecordBatch`]; [`batch`] makes one from named columns. Writing is
//! atomic: a temporary file beside the target is renamed at the end.

mod ipc;
mod pages;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, LargeListArray, RecordBatch, StringArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::files::{self, atomic_write};
use crate::{Error, Result};

pub use ipc::{parse_ipc, read_ipc};

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers; NaN stays NaN.
    F64(Vec<f64>),
    /// Numbers that may be absent (an empty cell).
    OptionF64(Vec<Option<f64>>),
    /// Whole numbers.
    I64(Vec<i64>),
    /// Text.
    Text(Vec<String>),
}

impl From<Vec<f64>> for Column {
    fn from(v: Vec<f64>) -> Self {
        Self::F64(v)
    }
}

impl From<Vec<Option<f64>>> for Column {
    fn from(v: Vec<Option<f64>>) -> Self {
        Self::OptionF64(v)
    }
}

impl From<Vec<i64>> for Column {
    fn from(v: Vec<i64>) -> Self {
        Self::I64(v)
    }
}

impl From<Vec<String>> for Column {
    fn from(v: Vec<String>) -> Self {
        Self::Text(v)
    }
}

/// A table from named columns of equal length.
///
/// # Errors
/// [`Error::Config`] when lengths differ or there is no column.
pub fn batch(columns: Vec<(&str, Column)>) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, column) in columns {
        let (kind, array): (_, ArrayRef) = match column {
            Column::F64(v) => (DataType::Float64, Arc::new(Float64Array::from(v))),
            Column::OptionF64(v) => (DataType::Float64, Arc::new(Float64Array::from(v))),
            Column::I64(v) => (DataType::Int64, Arc::new(Int64Array::from(v))),
            Column::Text(v) => (DataType::Utf8, Arc::new(StringArray::from(v))),
        };
        fields.push(Field::new(name, kind, true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| {
        Error::config(
            "table",
            e.to_string(),
            "give at least one column, all of one length",
        )
    })
}

/// Writes a table as comma-separated text with a header.
///
/// # Errors
/// [`Error::Io`] or [`Error::File`] naming `path`.
pub fn write_csv(path: impl AsRef<Path>, table: &RecordBatch) -> Result<()> {
    let path = path.as_ref();
    atomic_write(path, |w| {
        arrow::csv::WriterBuilder::new()
            .with_header(true)
            .build(w)
            .write(table)
            .map_err(|e| unwritable(path, e))
    })
}

/// Writes a table as Parquet (Snappy).
///
/// # Errors
/// [`Error::Io`] or [`Error::File`] naming `path`.
pub fn write_parquet(path: impl AsRef<Path>, table: &RecordBatch) -> Result<()> {
    let path = path.as_ref();
    atomic_write(path, |w| {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let mut writer = ArrowWriter::try_new(w, table.schema(), Some(properties))
            .map_err(|e| unwritable(path, e))?;
        writer.write(table).map_err(|e| unwritable(path, e))?;
        writer.close().map_err(|e| unwritable(path, e))?;
        Ok(())
    })
}

/// Reads comma-separated text with a header; the type of a column is the narrowest that fits all
/// its cells (integer, number, text, ...).
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is no table.
pub fn read_csv(path: impl AsRef<Path>) -> Result<RecordBatch> {
    let path = path.as_ref();
    let broken = |e: arrow::error::ArrowError| {
        Error::file(
            path,
            "table",
            e.to_string(),
            "give a header line and the same number of fields on every line",
        )
    };
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let format = arrow::csv::reader::Format::default().with_header(true);
    let (schema, _) = format.infer_schema(&mut file, None).map_err(broken)?;
    file.seek(SeekFrom::Start(0))
        .map_err(|e| Error::io(path, e))?;
    let schema = Arc::new(schema);
    let reader = arrow::csv::ReaderBuilder::new(schema.clone())
        .with_header(true)
        .build(file)
        .map_err(broken)?;
    let batches = reader
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(broken)?;
    concat_batches(&schema, &batches).map_err(broken)
}

/// Reads a Parquet file: plain, or packed with Snappy, gzip, LZ4 or Zstandard.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is not Parquet.
pub fn read_parquet(path: impl AsRef<Path>) -> Result<RecordBatch> {
    let path = path.as_ref();
    parquet_table(path, bytes::Bytes::from_owner(files::map(path)?))
}

/// Reads a Parquet file out of memory; `path` is for messages.
///
/// # Errors
/// [`Error::File`] when it is not Parquet.
pub fn parse_parquet(bytes: &[u8], path: &Path) -> Result<RecordBatch> {
    parquet_table(path, bytes::Bytes::copy_from_slice(bytes))
}

fn parquet_table(path: &Path, source: bytes::Bytes) -> Result<RecordBatch> {
    let read = || {
        let file = source.clone();
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(source).map_err(|e| e.to_string())?;
        pages::check(builder.metadata(), &file)?;
        let schema = builder.schema().clone();
        let reader = builder.build().map_err(|e| e.to_string())?;
        let batches = reader
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())?;
        concat_batches(&schema, &batches).map_err(|e| e.to_string())
    };
    guarded(read).map_err(|e| {
        Error::file(
            path,
            "table",
            e,
            "give a complete Parquet file of plain columns",
        )
    })
}

/// Reads a table by its content: Parquet, Arrow IPC, or else comma-separated text with a header.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is no table.
pub fn read(path: impl AsRef<Path>) -> Result<RecordBatch> {
    let path = path.as_ref();
    let mut head = Vec::new();
    File::open(path)
        .and_then(|f| f.take(8).read_to_end(&mut head))
        .map_err(|e| Error::io(path, e))?;
    let stream = head.starts_with(&[0xff; 4]);
    match head.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => read_parquet(path),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [b'F', b'E', b'A', b'1', ..] => read_ipc(path),
        _ if stream => read_ipc(path),
        _ => read_csv(path),
    }
}

/// Runs a reader of the libraries. They check most of what they read, but some damage makes them
/// panic instead of failing; that is an error of the file like any other.
fn guarded<T>(
    read: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("is damaged in a way its reader does not expect".into()))
}

/// A column as numbers; an empty cell is NaN.
///
/// # Errors
/// [`Error::Unknown`] without such a column, [`Error::Config`] when it is not numeric.
pub fn f64_column(table: &RecordBatch, name: &str) -> Result<Vec<f64>> {
    let array = typed(table, name, &DataType::Float64)?;
    let array = array.as_any().downcast_ref::<Float64Array>();
    Ok(array
        .into_iter()
        .flat_map(|a| a.iter().map(|v| v.unwrap_or(f64::NAN)))
        .collect())
}

/// A column as whole numbers.
///
/// # Errors
/// [`Error::Unknown`] without such a column, [`Error::Config`] when a cell is empty or no whole
/// number.
pub fn i64_column(table: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let array = typed(table, name, &DataType::Int64)?;
    if array.null_count() > 0 {
        return Err(Error::config(
            format!("column {name}"),
            "has empty cells",
            "fill in every cell",
        ));
    }
    let array = array.as_any().downcast_ref::<Int64Array>();
    Ok(array
        .into_iter()
        .flat_map(|a| a.values().iter().copied())
        .collect())
}

/// A column of lists of whole numbers, one after another with where each ends; a column of plain
/// whole numbers is one list.
///
/// # Errors
/// As [`i64_column`]; an empty cell is an empty list.
pub fn i64_lists(table: &RecordBatch, name: &str) -> Result<(Vec<i64>, Vec<usize>)> {
    let is_list = table.column_by_name(name).is_some_and(|column| {
        let kind = column.data_type();
        matches!(
            kind,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
        )
    });
    if !is_list {
        let values = i64_column(table, name)?;
        let end = values.len();
        return Ok((values, vec![end]));
    }
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let array = typed(table, name, &DataType::LargeList(item))?;
    let (mut values, mut ends) = (Vec::new(), Vec::new());
    let lists = array.as_any().downcast_ref::<LargeListArray>();
    for list in lists.into_iter().flat_map(|lists| lists.iter()).flatten() {
        if list.null_count() > 0 {
            return Err(Error::config(
                format!("column {name}"),
                "has lists with empty cells",
                "fill in every cell",
            ));
        }
        let numbers = list.as_any().downcast_ref::<Int64Array>();
        values.extend(numbers.into_iter().flat_map(|a| a.values().iter().copied()));
        ends.push(values.len());
    }
    Ok((values, ends))
}

/// A column as text; an empty cell is the empty string.
///
/// # Errors
/// [`Error::Unknown`] without such a column.
pub fn text_column(table: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let array = typed(table, name, &DataType::Utf8)?;
    let array = array.as_any().downcast_ref::<StringArray>();
    Ok(array
        .into_iter()
        .flat_map(|a| a.iter().map(|v| v.unwrap_or_default().to_string()))
        .collect())
}

fn typed(table: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
    let Some(array) = table.column_by_name(name) else {
        let schema = table.schema();
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(Error::unknown("column", name, &known));
    };
    // Casting text to numbers would turn what it cannot read into empty cells.
    let wrong = || {
        Error::config(
            format!("column {name}"),
            format!("holds {}, not {kind}", array.data_type()),
            "choose another column or correct its cells",
        )
    };
    let allowed = match kind {
        DataType::Float64 => array.data_type().is_numeric() || array.data_type().is_null(),
        DataType::Int64 => array.data_type().is_integer(),
        _ => true,
    };
    if !allowed {
        return Err(wrong());
    }
    cast(array, kind).map_err(|_| wrong())
}

fn unwritable(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::file(
        path,
        "table",
        e.to_string(),
        "check free space and that columns are numbers or text",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RecordBatch {
        batch(vec![
            ("epoch", vec![0i64, 1, 2].into()),
            ("loss", vec![Some(0.1), None, Some(1.0 / 3.0)].into()),
            (
                "note",
                vec!["a, \"b\"".to_string(), String::new(), "ü".into()].into(),
            ),
        ])
        .unwrap()
    }

    fn same(read: &RecordBatch) {
        assert_eq!(i64_column(read, "epoch").unwrap(), [0, 1, 2]);
        let loss = f64_column(read, "loss").unwrap();
        assert_eq!((loss[0], loss[2]), (0.1, 1.0 / 3.0));
        assert!(loss[1].is_nan());
        assert_eq!(text_column(read, "note").unwrap(), ["a, \"b\"", "", "ü"]);
    }

    #[test]
    fn csv_and_parquet_return_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (csv, parquet) = (folder.path().join("a.csv"), folder.path().join("a.parquet"));
        write_csv(&csv, &table()).unwrap();
        write_parquet(&parquet, &table()).unwrap();
        same(&read_csv(&csv).unwrap());
        same(&read_parquet(&parquet).unwrap());
        assert_eq!(
            std::fs::read_to_string(&csv).unwrap(),
            "epoch,loss,note\n0,0.1,\"a, \"\"b\"\"\"\n1,,\n2,0.3333333333333333,ü\n"
        );
    }

    #[test]
    fn nan_survives_csv() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        write_csv(
            &path,
            &batch(vec![("a", vec![1.5, f64::NAN].into())]).unwrap(),
        )
        .unwrap();
        let back = f64_column(&read_csv(&path).unwrap(), "a").unwrap();
        assert_eq!(back[0], 1.5);
        assert!(back[1].is_nan());
    }

    #[test]
    fn mistakes_name_column_and_file() {
        let error = f64_column(&table(), "los").unwrap_err().to_string();
        assert!(error.contains("did you mean \"loss\""), "{error}");
        assert!(f64_column(&table(), "note").is_err());
        assert!(i64_column(&table(), "loss").is_err());
        assert!(batch(vec![("a", vec![1.0].into()), ("b", vec![1i64, 2].into())]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.csv");
        std::fs::write(&path, "a,b\n1,2\n3\n").unwrap();
        assert!(read_csv(&path).unwrap_err().to_string().contains("bad.csv"));
        assert!(read_parquet(&path).is_err());
        let whole = folder.path().join("a.parquet");
        write_parquet(&whole, &table()).unwrap();
        let bytes = std::fs::read(&whole).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_parquet(&path).is_err());
    }
}
