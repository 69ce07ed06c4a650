//! Measurements of sensors out of a table: a sensor in each column (wide), or a row for each sensor
//! and time (long).

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type, TimeUnit};
use ndarray::{Array3, Axis, Zip};
use rayon::prelude::*;

use crate::series::parse_stamp;
use crate::{Error, Result};

/// Values of sensors over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Names of the sensors.
    pub sensors: Vec<String>,
    /// Names of what they measure.
    pub features: Vec<String>,
    /// Seconds since 1970-01-01 00:00:00 of each step, fractions cut off, where the table says it.
    pub stamps: Option<Vec<i64>>,
    /// Values, (time, sensors, features); NaN where there is none.
    pub values: Array3<f32>,
}

/// Which columns of a wide table are what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wide {
    /// Column of the times: dates, times, text as [`parse_stamp`] reads it, or Unix seconds.
    pub time: Option<String>,
    /// Columns that are no sensors.
    pub skip: Vec<String>,
    /// Name of what is measured; empty: `value`.
    pub feature: String,
}

/// Which columns of a long table are what.
#[derive(Debug, Clone, PartialEq)]
pub struct Long {
    /// Column of the times, as in [`Wide`], or of step numbers.
    pub time: String,
    /// Column of the sensors' names or numbers.
    pub node: String,
    /// Columns of the features, at least one.
    pub values: Vec<String>,
}

impl Panel {
    /// A panel out of a table with a sensor in each column; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] naming the column that is not there, that holds no numbers, or whose times
    /// cannot be read, and the row.
    pub fn wide(table: &RecordBatch, path: &Path, config: &Wide) -> Result<Self> {
        for name in config.time.iter().chain(&config.skip) {
            column(table, path, name)?;
        }
        let stamps = match &config.time {
            Some(name) => match times(table, path, name)? {
                Times::Stamps(stamps) => Some(stamps),
                Times::Steps(_) => return Err(no_times(path, name)),
            },
            None => None,
        };
        let schema = table.schema();
        let columns: Vec<(&str, &ArrayRef)> = schema
            .fields()
            .iter()
            .zip(table.columns())
            .map(|(field, array)| (field.name().as_str(), array))
            .filter(|(name, _)| config.time.as_deref() != Some(name))
            .filter(|(name, _)| !config.skip.iter().any(|s| s == name))
            .collect();
        let numbers = columns
            .par_iter()
            .map(|(name, array)| numbers(path, name, array))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let mut values = Array3::zeros((table.num_rows(), columns.len(), 1));
        // Rows in memory are steps: each task copies a stretch of steps out of every column.
        values
            .axis_chunks_iter_mut(Axis(0), 256)
            .into_par_iter()
            .enumerate()
            .for_each(|(chunk, mut part)| {
                for (k, column) in numbers.iter().enumerate() {
                    let column = column.as_primitive::<Float32Type>();
                    for (t, v) in part.slice_mut(ndarray::s![.., k, 0]).iter_mut().enumerate() {
                        *v = value(column, chunk * 256 + t);
                    }
                }
            });
        Ok(Self {
            sensors: columns.iter().map(|(name, _)| name.to_string()).collect(),
            features: vec![match config.feature.as_str() {
                "" => "value".to_string(),
                name => name.to_string(),
            }],
            stamps,
            values,
        })
    }

    /// A panel out of a table with a row for each sensor and time; `path` is for messages. Steps
    /// are sorted by time, sensors are in the order in which they appear first; what no row gives
    /// is NaN.
    ///
    /// # Errors
    /// [`Error::File`] naming a column that is not there or has the wrong type, a row without time
    /// or sensor, two rows of one time and sensor, and tables of so few rows that nearly all of the
    /// panel would be empty.
    pub fn long(table: &RecordBatch, path: &Path, config: &Long) -> Result<Self> {
        let wrong = |field: &str, problem: String, remedy: &str| {
            Error::file(path, format!("column {field:?}"), problem, remedy)
        };
        if config.values.is_empty() {
            return Err(Error::config(
                "values",
                "names no column",
                "name at least one column of values",
            ));
        }
        let rows = table.num_rows();
        let times = times(table, path, &config.time)?;
        let clock = matches!(times, Times::Stamps(_));
        let (Times::Stamps(when) | Times::Steps(when)) = times;
        let names = column(table, path, &config.node)?;
        let names = cast(names, &DataType::Utf8).map_err(|e| {
            let remedy = "name sensors by text or numbers";
            wrong(&config.node, e.to_string(), remedy)
        })?;
        let names = names.as_string::<i32>();
        let mut sensors: Vec<String> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut node = Vec::with_capacity(rows);
        for (row, name) in names.iter().enumerate() {
            let Some(name) = name else {
                let problem = format!("row {row} has no sensor");
                return Err(wrong(&config.node, problem, "fill in every cell"));
            };
            let next = sensors.len();
            node.push(*known.entry(name).or_insert_with(|| {
                sensors.push(name.to_string());
                next
            }));
        }
        let mut steps = when.clone();
        steps.par_sort_unstable();
        steps.dedup();
        let cells = steps.len().checked_mul(sensors.len());
        let most = rows.saturating_mul(100).saturating_add(1 << 20);
        if cells.is_none_or(|n| n > most) {
            let problem = format!(
                "{} steps of {} sensors in {rows} rows: nearly all would be empty",
                steps.len(),
                sensors.len()
            );
            let remedy = "check which columns are time and sensor, or resample the times";
            return Err(wrong(&config.time, problem, remedy));
        }
        let columns = config
            .values
            .iter()
            .map(|name| numbers(path, name, column(table, path, name)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let shape = (steps.len(), sensors.len(), columns.len());
        let mut values = Array3::from_elem(shape, f32::NAN);
        let mut taken = ndarray::Array2::from_elem((shape.0, shape.1), usize::MAX);
        let places: HashMap<i64, usize> = steps.iter().enumerate().map(|(i, t)| (*t, i)).collect();
        for (row, (when, v)) in when.iter().zip(&node).enumerate() {
            let t = places.get(when).copied().unwrap_or_default();
            let before = std::mem::replace(&mut taken[[t, *v]], row);
            if before != usize::MAX {
                let problem = format!(
                    "rows {before} and {row} are of the same time and the same sensor {:?}",
                    sensors[*v]
                );
                return Err(wrong(
                    &config.node,
                    problem,
                    "give each time and sensor one row",
                ));
            }
        }
        Zip::from(values.lanes_mut(Axis(2)))
            .and(&taken)
            .par_for_each(|mut lane, row| {
                if *row != usize::MAX {
                    for (v, column) in lane.iter_mut().zip(&columns) {
                        *v = value(column.as_primitive::<Float32Type>(), *row);
                    }
                }
            });
        Ok(Self {
            sensors,
            features: config.values.clone(),
            stamps: clock.then_some(steps),
            values,
        })
    }
}

/// Times of the rows of a table.
enum Times {
    /// Seconds since 1970.
    Stamps(Vec<i64>),
    /// Numbers of steps.
    Steps(Vec<i64>),
}

fn value(column: &arrow::array::Float32Array, row: usize) -> f32 {
    match column.is_null(row) {
        true => f32::NAN,
        false => column.value(row),
    }
}

fn column<'a>(table: &'a RecordBatch, path: &Path, name: &str) -> Result<&'a ArrayRef> {
    table.column_by_name(name).ok_or_else(|| {
        let schema = table.schema();
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .take(30)
            .map(|f| f.name().as_str())
            .collect();
        Error::file(
            path,
            format!("column {name:?}"),
            format!("is not there; present: {}", names.join(", ")),
            "correct the name of the column",
        )
    })
}

/// A column as `f32`.
fn numbers(path: &Path, name: &str, array: &ArrayRef) -> Result<ArrayRef> {
    let kind = array.data_type();
    let wrong = || {
        Error::file(
            path,
            format!("column {name:?}"),
            format!("holds {kind}, no numbers"),
            "skip it, or save it as numbers",
        )
    };
    let fits = kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null);
    match fits {
        true => cast(array, &DataType::Float32).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

fn no_times(path: &Path, name: &str) -> Error {
    Error::file(
        path,
        format!("column {name:?}"),
        "holds whole numbers that are no Unix seconds",
        "give dates and times, or leave the column out of the times",
    )
}

fn times(table: &RecordBatch, path: &Path, name: &str) -> Result<Times> {
    let array = column(table, path, name)?;
    let wrong = |problem: String| {
        Error::file(
            path,
            format!("column {name:?}"),
            problem,
            "give dates and times, text such as 2012-03-01 00:05:00, or Unix seconds",
        )
    };
    if let Some(row) = (0..array.len()).find(|row| array.is_null(*row)) {
        return Err(wrong(format!("row {row} has no time")));
    }
    let cast = |kind: &DataType| cast(array, kind).map_err(|e| wrong(e.to_string()));
    let whole = |seconds: i64, unit: i64| -> Result<Vec<i64>> {
        let values = cast(&DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>().values();
        values
            .iter()
            .map(|v| v.div_euclid(unit).checked_mul(seconds))
            .collect::<Option<Vec<i64>>>()
            .ok_or_else(|| wrong("has a time out of range".into()))
    };
    Ok(match array.data_type() {
        DataType::Timestamp(unit, _) => Times::Stamps(whole(
            1,
            match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            },
        )?),
        DataType::Date32 => Times::Stamps(whole(86_400, 1)?),
        DataType::Date64 => Times::Stamps(whole(1, 1_000)?),
        kind if kind.is_integer() => {
            let values = whole(1, 1)?;
            // As parse_stamp decides it: nine to eleven digits are Unix seconds.
            match values
                .iter()
                .all(|v| (100_000_000..100_000_000_000).contains(v))
            {
                true => Times::Stamps(values),
                false => Times::Steps(values),
            }
        }
        _ => {
            let text = cast(&DataType::Utf8)?;
            let text = text.as_string::<i32>();
            let stamps = text.iter().enumerate().map(|(row, text)| {
                let text = text.unwrap_or_default();
                let stamp = parse_stamp(text);
                stamp.ok_or_else(|| wrong(format!("row {row}: {text:?} is no time")))
            });
            Times::Stamps(stamps.collect::<Result<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::batch;
    use ndarray::{arr3, s};

    fn text(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| w.to_string()).collect()
    }

    #[test]
    fn wide_tables() {
        let table = batch(vec![
            (
                "when",
                text(&["2012-03-01 00:00", "2012-03-01 00:05"]).into(),
            ),
            ("a", vec![Some(1.5), None].into()),
            ("note", text(&["x", "y"]).into()),
            ("b", vec![3i64, 4].into()),
        ])
        .unwrap();
        let path = Path::new("a.parquet");
        let mut config = Wide {
            time: Some("when".into()),
            skip: text(&["note"]),
            ..Wide::default()
        };
        let panel = Panel::wide(&table, path, &config).unwrap();
        assert_eq!(panel.sensors, ["a", "b"]);
        assert_eq!(panel.features, ["value"]);
        assert_eq!(panel.stamps, Some(vec![1_330_560_000, 1_330_560_300]));
        assert_eq!(panel.values.slice(s![0, .., 0]).to_vec(), [1.5, 3.0]);
        assert!(panel.values[[1, 0, 0]].is_nan());
        config.skip.clear();
        let error = Panel::wide(&table, path, &config).unwrap_err().to_string();
        assert!(error.contains("\"note\": holds Utf8"), "{error}");
        for time in ["a", "b", "note", "none"] {
            config.time = Some(time.into());
            assert!(Panel::wide(&table, path, &config).is_err(), "{time}");
        }
    }

    #[test]
    fn long_tables() {
        let config = Long {
            time: "t".into(),
            node: "n".into(),
            values: text(&["x", "y"]),
        };
        let table = |t: &[i64], n: &[&str]| {
            let x: Vec<f64> = (0..t.len()).map(|i| i as f64).collect();
            let y: Vec<i64> = (0..t.len() as i64).map(|i| 10 * i).collect();
            batch(vec![
                ("t", t.to_vec().into()),
                ("n", text(n).into()),
                ("x", x.into()),
                ("y", y.into()),
            ])
            .unwrap()
        };
        let path = Path::new("a.arrow");
        let read = |t: &[i64], n: &[&str]| Panel::long(&table(t, n), path, &config);
        let panel = read(&[7, 5, 5], &["q", "p", "q"]).unwrap();
        assert_eq!(panel.sensors, ["q", "p"]);
        assert_eq!(panel.stamps, None);
        let nan = f32::NAN;
        let expected = arr3(&[[[2.0, 20.0], [1.0, 10.0]], [[0.0, 0.0], [nan, nan]]]);
        assert!(
            panel
                .values
                .iter()
                .zip(&expected)
                .all(|(a, b)| a == b || (a.is_nan() && b.is_nan())),
            "{}",
            panel.values
        );
        let stamps = read(&[1_330_560_000], &["p"]).unwrap().stamps;
        assert_eq!(stamps, Some(vec![1_330_560_000]));
        let error = read(&[5, 5], &["p", "p"]).unwrap_err().to_string();
        assert!(error.contains("rows 0 and 1"), "{error}");
        let t: Vec<i64> = (0..3000).collect();
        let names: Vec<String> = t.iter().map(i64::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = read(&t, &names).unwrap_err().to_string();
        assert!(error.contains("nearly all"), "{error}");
    }
}
