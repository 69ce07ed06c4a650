//! Parquet and Arrow IPC files.

use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use super::super::record::Inspection;
use super::{Column, Columns, describe};
use crate::table::{self, f64_column, text_column};
use crate::{Error, Result};

pub(in super::super) fn inspect(path: &Path, name: &str) -> Result<Inspection> {
    let batch = table::read(path)?;
    let mut found = Inspection {
        format: name.into(),
        ..Default::default()
    };
    let mut names = Vec::new();
    let mut columns = Vec::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let column = match array.data_type() {
            kind if kind.is_numeric() || kind.is_null() => {
                Column::Numbers(f64_column(&batch, name)?, None)
            }
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                let seconds = cast(array, &DataType::Timestamp(TimeUnit::Second, None));
                let seconds = seconds
                    .and_then(|s| cast(&s, &DataType::Int64))
                    .map_err(|e| {
                        Error::file(path, name, e.to_string(), "write times as Unix seconds")
                    })?;
                match seconds.null_count() {
                    0 => Column::Stamps(seconds.as_primitive::<Int64Type>().values().to_vec()),
                    n => {
                        found.warn(format!("column {name}: {n} times are missing"));
                        continue;
                    }
                }
            }
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Boolean
            | DataType::Dictionary(..) => {
                let cells = text_column(&batch, name)?;
                let seen = (0..cells.len()).map(|i| array.is_valid(i).then(|| cells[i].as_str()));
                Column::words(seen)
            }
            other => {
                found.warn(format!("column {name}: {other} is not read"));
                continue;
            }
        };
        names.push(name.clone());
        columns.push(column);
    }
    let table = Columns {
        rows: batch.num_rows(),
        names,
        columns,
    };
    describe(&table, &mut found);
    Ok(found)
}
