//! Tables that pandas keeps in HDF5 (`to_hdf`), in its fixed and in its table format, as
//! METR-LA, PEMS-BAY and LargeST are distributed.
//!
//! A store holds tables under keys. In the fixed format a table is a group with the names of its
//! columns (`axis0`), its index (`axis1`) and blocks of columns of one type (`block0_items`,
//! `block0_values`, ...); in the table format it is one data set of compound rows, whose columns
//! are named in attributes (pickled, and read as [`pickle`](super::pickle) reads them). A series (one
//! column) is read as a table of one.
//!
//! Source: `pandas/io/pytables.py`.

mod reader;

use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, ArrayD, Axis, Ix2};

use self::reader::Reader;
use super::Panel;
use super::hdf5::Hdf5;
use crate::{Error, Result};

const DAMAGED: &str = "the file is damaged: write or fetch it again";

/// An HDF5 file of pandas.
pub struct Store {
    file: Hdf5,
}

/// A table of a store. Only its names and index are in memory until values are read.
pub struct Frame<'a> {
    file: &'a Hdf5,
    key: String,
    /// Names of the columns, numbers in decimal.
    pub columns: Vec<String>,
    /// What names the rows.
    pub index: Index,
    blocks: Vec<Block>,
}

/// What names the rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Index {
    /// Times, in nanoseconds since 1970-01-01 00:00:00, and the time zone they are shown in; with
    /// one they count in UTC, without in whatever the clock of the data was.
    Time {
        nanoseconds: Vec<i64>,
        zone: Option<String>,
    },
    /// Whole numbers.
    Numbers(Vec<i64>),
    /// Other numbers.
    Floats(Vec<f64>),
    /// Text.
    Text(Vec<String>),
}

impl Index {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Time { nanoseconds, .. } => nanoseconds.len(),
            Self::Numbers(v) => v.len(),
            Self::Floats(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seconds since 1970-01-01 00:00:00, fractions cut off; `None` when rows are not named by
    /// times.
    pub fn stamps(&self) -> Option<Vec<i64>> {
        match self {
            Self::Time { nanoseconds, .. } => Some(
                nanoseconds
                    .iter()
                    .map(|n| n.div_euclid(1_000_000_000))
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// Columns of one type.
struct Block {
    /// Path of the data set.
    values: String,
    /// Field of the rows in the table format.
    field: Option<String>,
    /// Where each of its columns is among those of the table.
    places: Vec<usize>,
}

impl Store {
    /// Opens a file. It is memory-mapped: it must not be changed while it is open.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::File`] when it is no HDF5.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self {
            file: Hdf5::open(path)?,
        })
    }

    /// Reads a file out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] when it is no HDF5.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Ok(Self {
            file: Hdf5::parse(bytes, path)?,
        })
    }

    /// Keys of the tables.
    ///
    /// # Errors
    /// [`Error::File`] when the file is damaged.
    pub fn keys(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for group in self.file.groups()? {
            if self.file.text_attribute(&group, "pandas_type")?.is_some() {
                keys.push(group);
            }
        }
        Ok(keys)
    }

    /// Names and index of the table `key`; without a key, of the only one.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such table (it lists those present), there are several and
    /// no key says which, its columns or rows have several levels of names, or it is damaged.
    pub fn frame(&self, key: Option<&str>) -> Result<Frame<'_>> {
        let keys = self.keys()?;
        let key = match key {
            Some(key) => key.trim_matches('/').to_string(),
            None => match keys.as_slice() {
                [one] => one.clone(),
                _ => String::new(),
            },
        };
        if !keys.contains(&key) {
            return Err(Error::file(
                self.file.path(),
                if key.is_empty() { "key" } else { &key },
                format!("pandas tables present: {}", keys.join(", ")),
                "name one of them, or give a file that pandas' to_hdf wrote",
            ));
        }
        let kind = self.file.text_attribute(&key, "pandas_type")?;
        let reader = Reader {
            file: &self.file,
            key: &key,
        };
        match kind.as_deref().unwrap_or_default() {
            "frame" => reader.fixed(),
            "series" => reader.series(),
            "frame_table" | "series_table" => reader.table(),
            other => Err(reader.wrong(
                "pandas_type",
                format!("is {other:?}, which is not read"),
                "save it as a DataFrame or Series of numbers",
            )),
        }
    }
}

impl Frame<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.index.len()
    }

    /// All values, (rows, columns).
    ///
    /// # Errors
    /// [`Error::File`] when a column holds no numbers or the file is damaged.
    pub fn read(&self) -> Result<Array2<f32>> {
        self.read_rows(0..self.rows())
    }

    /// The values of some rows, (rows, columns), without reading the others.
    ///
    /// # Errors
    /// As [`Frame::read`], and for rows that are not there.
    pub fn read_rows(&self, rows: Range<usize>) -> Result<Array2<f32>> {
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(Error::file(
                self.file.path(),
                &self.key,
                format!("rows {}..{} of {}", rows.start, rows.end, self.rows()),
                "ask for rows that are there",
            ));
        }
        if rows.is_empty() {
            return Ok(Array2::zeros((0, self.columns.len())));
        }
        // A single block in the order of the columns is the table.
        if let [block] = self.blocks.as_slice()
            && block.places.iter().enumerate().all(|(i, p)| i == *p)
            && block.places.len() == self.columns.len()
        {
            return self.block(block, &rows);
        }
        let mut values = Array2::from_elem((rows.len(), self.columns.len()), f32::NAN);
        for block in &self.blocks {
            let part = self.block(block, &rows)?;
            for (place, column) in block.places.iter().zip(part.columns()) {
                values.column_mut(*place).assign(&column);
            }
        }
        Ok(values)
    }

    /// The table as a panel of one feature, `feature`, with a sensor in each column.
    ///
    /// # Errors
    /// As [`Frame::read`].
    pub fn panel(&self, feature: &str) -> Result<Panel> {
        Ok(Panel {
            sensors: self.columns.clone(),
            features: vec![feature.to_string()],
            stamps: self.index.stamps(),
            values: self.read()?.insert_axis(Axis(2)),
        })
    }

    fn block(&self, block: &Block, rows: &Range<usize>) -> Result<Array2<f32>> {
        let name = &block.values;
        let values: ArrayD<f32> = match &block.field {
            None => self.file.read_f32(name, Some(rows.clone()))?,
            Some(field) => self
                .file
                .read_field(name, field, Some(rows.clone()))?
                .into_f32(self.file.path(), name)?,
        };
        let values = match values.ndim() {
            1 => values.insert_axis(Axis(1)),
            _ => values,
        };
        let shape = values.shape().to_vec();
        let wanted = [rows.len(), block.places.len()];
        values
            .into_dimensionality::<Ix2>()
            .ok()
            .filter(|v| v.shape() == wanted)
            .ok_or_else(|| {
                Error::file(
                    self.file.path(),
                    name,
                    format!("has shape {shape:?} where its names ask for {wanted:?}"),
                    DAMAGED,
                )
            })
    }
}
