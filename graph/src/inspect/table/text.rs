//! Text tables, of which nothing is known beforehand.

use std::collections::HashSet;
use std::path::Path;

use super::super::figures::Tally;
use super::super::record::Inspection;
use super::{Column, Columns, describe};
use crate::formats::csv::{Cells, CsvConfig, TimeColumns, parse_cells, parse_table};
use crate::series::parse_stamp;
use crate::{Error, Result, files};

/// A column of which fewer cells than this share are no numbers is one of numbers with faults.
const FAULTS: f64 = 0.1;

/// Files of more bytes than this are read as numbers at once: their cells as text would take ten
/// times the room.
const LARGE: u64 = 1 << 26;
/// Bytes of a large file from which the kinds of its columns are told.
const HEAD: usize = 1 << 18;

pub(in super::super) fn inspect(path: &Path) -> Result<Inspection> {
    let size = std::fs::metadata(path)
        .map_err(|e| Error::io(path, e))?
        .len();
    let (table, named) = match size > LARGE {
        true => large(path)?,
        false => small(path)?,
    };
    let mut found = Inspection {
        format: "text table".into(),
        ..Default::default()
    };
    found.fact(
        "header",
        match named {
            Named::No => "none",
            _ => "names in the first line",
        },
    );
    if named == Named::Numbers {
        found.warn(
            "the first line holds whole numbers far from those below: taken as names of the columns",
        );
    }
    describe(&table, &mut found);
    Ok(found)
}

/// A table every cell of which is looked at.
fn small(path: &Path) -> Result<(Columns, Named)> {
    let bytes = files::read(path)?;
    let (cells, named, _) = read(&bytes, path)?;
    Ok((columns(cells), named))
}

fn columns(cells: Cells) -> Columns {
    Columns {
        rows: cells.rows(),
        columns: cells.columns.iter().map(|c| column(c)).collect(),
        names: cells.names,
    }
}

/// A table whose columns are what they are in its first rows.
fn large(path: &Path) -> Result<(Columns, Named)> {
    let bytes = files::read(path)?;
    let head = &bytes[..bytes.len().min(HEAD)];
    let end = head
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(head.len(), |at| at + 1);
    let (cells, named, mut config) = read(&head[..end], path)?;
    let first = columns(cells);
    for (name, column) in first.names.iter().zip(&first.columns) {
        match column {
            Column::Numbers(..) => {}
            Column::Stamps(_) if config.time.is_none() => {
                config.time = Some(TimeColumns::Stamp(name.clone()));
            }
            _ => config.text.push(name.clone()),
        }
    }
    let table = parse_table(&bytes, path, &config)?;
    let mut out = Columns {
        rows: table.values.nrows(),
        names: Vec::new(),
        columns: Vec::new(),
    };
    for name in first.names {
        let number = table.columns.iter().position(|c| *c == name);
        let text = table.text.iter().find(|c| c.name == name);
        out.columns.push(match (number, text, &table.stamps) {
            (Some(i), _, _) => {
                let values = table.values.column(i);
                Column::Numbers(values.iter().map(|v| f64::from(*v)).collect(), None)
            }
            (_, Some(text), _) => Column::words(text.iter().map(|c| (!missing(c)).then_some(c))),
            (_, _, Some(stamps)) => Column::Stamps(stamps.clone()),
            _ => continue,
        });
        out.names.push(name);
    }
    Ok((out, named))
}

/// What the first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Words,
    Numbers,
    No,
}

fn read(bytes: &[u8], path: &Path) -> Result<(Cells, Named, CsvConfig)> {
    let mut config = CsvConfig {
        delimiter: delimiter(bytes),
        ..CsvConfig::bare()
    };
    let cells = parse_cells(bytes, path, &config)?;
    let named = names(&cells);
    if named == Named::No || cells.rows() < 2 {
        return Ok((cells, Named::No, config));
    }
    config.header = true;
    Ok((parse_cells(bytes, path, &config)?, named, config))
}

/// A space where the first line has none of the delimiters that are told by themselves.
fn delimiter(bytes: &[u8]) -> Option<char> {
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|l| !l.is_empty())?;
    let usual = line.iter().any(|b| b",;\t".contains(b));
    (!usual && line.contains(&b' ')).then_some(' ')
}

fn names(cells: &Cells) -> Named {
    let first: Vec<&str> = cells.columns.iter().map(|c| c[0].as_str()).collect();
    let word = |c: &str| !missing(c) && c.parse::<f64>().is_err() && parse_stamp(c).is_none();
    let different = first.iter().collect::<HashSet<_>>().len() == first.len();
    if first.iter().any(|c| word(c)) {
        return if different { Named::Words } else { Named::No };
    }
    // Sensors may be numbered: their numbers are whole and unlike what they measure.
    let apart = |c: &Vec<String>| -> Option<bool> {
        let head: f64 = c[0].parse().ok().filter(|v: &f64| v.fract() == 0.0)?;
        let below = Tally::of(c[1..].iter().map(|v| v.parse().unwrap_or(f64::NAN))).figures();
        let (low, high) = (below.min?, below.max?);
        Some(head > high + 2.0 * (high - low) || head < low - 2.0 * (high - low))
    };
    let columns = &cells.columns;
    let numbered = columns.len() > 1 && cells.rows() > 10 && different;
    match numbered && columns.iter().all(|c| apart(c) == Some(true)) {
        true => Named::Numbers,
        false => Named::No,
    }
}

fn missing(cell: &str) -> bool {
    let words = ["", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a"];
    words.contains(&cell.to_lowercase().as_str())
}

fn column(cells: &[String]) -> Column {
    let mut values = Vec::with_capacity(cells.len());
    let mut faults = 0;
    let mut fault = None;
    let mut present = 0;
    for (row, cell) in cells.iter().enumerate() {
        if missing(cell) {
            values.push(f64::NAN);
            continue;
        }
        present += 1;
        values.push(cell.parse().unwrap_or_else(|_| {
            faults += 1;
            fault.get_or_insert_with(|| (row, cell.clone()));
            f64::NAN
        }));
    }
    if present == 0 || (faults as f64) < FAULTS * present as f64 {
        return Column::Numbers(values, fault);
    }
    match cells.iter().map(|c| parse_stamp(c)).collect() {
        Some(stamps) => Column::Stamps(stamps),
        None => Column::words(cells.iter().map(|c| (!missing(c)).then_some(c.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_is_read_like_a_small_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let rows: String = (0..50)
            .map(|i| {
                format!(
                    "2020-01-01 00:{i:02},{i}.5,{},w\n",
                    if i == 7 { "NA" } else { "3" }
                )
            })
            .collect();
        std::fs::write(&path, format!("time,a,b,word\n{rows}")).unwrap();
        let ((small, named), (large, _)) = (small(&path).unwrap(), large(&path).unwrap());
        assert_eq!((named, small.rows, large.rows), (Named::Words, 50, 50));
        assert_eq!(small.names, large.names);
        for (a, b) in small.columns.iter().zip(&large.columns) {
            // NaN is not equal to itself.
            assert_eq!(format!("{a:?}"), format!("{b:?}"));
        }
    }
}
