//! ARFF, the text format of Weka, in which UCI and UEA distribute data.
//!
//! Read are numeric, nominal, string, date and relational attributes, `?` for missing values, and
//! sparse rows. The UEA archive keeps a multivariate series as a relational attribute: a quoted
//! table whose rows are the dimensions and whose columns are the time steps; [`ArffFile::into_ts`]
//! turns such a file into samples.

mod lex;
mod parse;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use ndarray::{Array2, Array3};

use super::ts::TsFile;
use crate::{Error, Result};
pub use parse::{parse, read};

/// The content of an ARFF file.
#[derive(Debug, Clone, PartialEq)]
pub struct ArffFile {
    /// `@relation`.
    pub relation: String,
    /// `@attribute`, in order.
    pub attributes: Vec<Attribute>,
    /// The data, a column for each attribute.
    pub columns: Vec<Column>,
}

/// A column as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub kind: Kind,
}

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `numeric`, `real` or `integer`.
    Numeric,
    /// One of these words.
    Nominal(Vec<String>),
    /// `string`, and `date`, which is kept as it is written.
    Text,
    /// A table for each row.
    Relational(Vec<Attribute>),
}

/// The values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// NaN where missing.
    Numeric(Vec<f64>),
    /// Index into the words of the attribute.
    Nominal(Vec<Option<usize>>),
    Text(Vec<Option<String>>),
    /// The columns of the table of each row.
    Relational(Vec<Option<Vec<Column>>>),
}

impl Column {
    fn empty(kind: &Kind) -> Self {
        match kind {
            Kind::Numeric => Self::Numeric(Vec::new()),
            Kind::Nominal(_) => Self::Nominal(Vec::new()),
            Kind::Text => Self::Text(Vec::new()),
            Kind::Relational(_) => Self::Relational(Vec::new()),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numeric(v) => v.len(),
            Self::Nominal(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Relational(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ArffFile {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Index of an attribute.
    pub fn attribute(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|a| a.name == name)
    }

    /// The numeric attributes: their names and (rows, attributes), NaN where missing.
    pub fn numbers(&self) -> (Vec<String>, Array2<f32>) {
        let numeric: Vec<(&Attribute, &Vec<f64>)> = self
            .attributes
            .iter()
            .zip(&self.columns)
            .filter_map(|(a, c)| match c {
                Column::Numeric(values) => Some((a, values)),
                _ => None,
            })
            .collect();
        let names = numeric.iter().map(|(a, _)| a.name.clone()).collect();
        let values = Array2::from_shape_fn((self.rows(), numeric.len()), |(row, column)| {
            numeric[column].1[row] as f32
        });
        (names, values)
    }

    /// The words of the last nominal attribute and an index into them for every row: the class.
    ///
    /// # Errors
    /// [`Error::File`] when there is no nominal attribute, or a row has no class.
    pub fn classes(&self, path: &Path) -> Result<(Vec<String>, Vec<usize>)> {
        let nominal = self.attributes.iter().zip(&self.columns).rev();
        let Some((attribute, words, codes)) = nominal
            .filter_map(|(a, c)| match (&a.kind, c) {
                (Kind::Nominal(words), Column::Nominal(codes)) => Some((a, words, codes)),
                _ => None,
            })
            .next()
        else {
            return Err(Error::file(
                path,
                "@attribute",
                "no attribute is nominal, so there is no class",
                "declare the class as {a,b,...}",
            ));
        };
        let codes = codes.iter().enumerate().map(|(row, code)| {
            code.ok_or_else(|| {
                Error::file(
                    path,
                    &attribute.name,
                    format!("row {row} has no class"),
                    "give every row a class",
                )
            })
        });
        Ok((words.clone(), codes.collect::<Result<_>>()?))
    }

    /// The samples of a file of the UEA or UCR archive: a relational attribute with a row for each
    /// dimension, or a numeric attribute for each time step, and a class.
    ///
    /// # Errors
    /// [`Error::File`] when there is no class, no series, a series is missing, or series differ in
    /// their number of dimensions.
    pub fn into_ts(self, path: &Path) -> Result<TsFile> {
        let (classes, y) = self.classes(path)?;
        let series = self.columns.iter().find_map(|c| match c {
            Column::Relational(tables) => Some(tables),
            _ => None,
        });
        let x = match series {
            None => {
                let (_, values) = self.numbers();
                values.insert_axis(ndarray::Axis(1))
            }
            Some(tables) => samples(tables, path)?,
        };
        if x.is_empty() {
            return Err(Error::file(
                path,
                "@attribute",
                "no attribute holds a series",
                "declare a relational attribute of numbers, or a number for each time step",
            ));
        }
        Ok(TsFile {
            problem: self.relation,
            classes,
            x,
            y,
        })
    }
}

/// (samples, dimensions, time) out of tables of a row for each dimension.
fn samples(tables: &[Option<Vec<Column>>], path: &Path) -> Result<Array3<f32>> {
    let wrong = |row: usize, problem: String| {
        Error::file(
            path,
            format!("row {row}"),
            problem,
            "give every row a table of numbers with the same number of dimensions",
        )
    };
    let shape = |table: &Option<Vec<Column>>| {
        let table = table.as_ref()?;
        Some((table.first().map_or(0, Column::len), table.len()))
    };
    let first = tables.first().and_then(shape);
    let (dimensions, time) = first.ok_or_else(|| wrong(0, "has no series".into()))?;
    let mut x = Array3::zeros((tables.len(), dimensions, time));
    for (row, table) in tables.iter().enumerate() {
        if shape(table) != first {
            let found = shape(table).map_or(0, |s| s.0);
            return Err(wrong(
                row,
                format!("has {found} dimensions, not {dimensions}"),
            ));
        }
        for (t, column) in table.iter().flatten().enumerate() {
            let Column::Numeric(values) = column else {
                return Err(wrong(row, format!("time step {t} is no number")));
            };
            for (d, value) in values.iter().enumerate() {
                x[[row, d, t]] = *value as f32;
            }
        }
    }
    Ok(x)
}

fn cut(text: &str) -> String {
    text.trim().chars().take(60).collect()
}
