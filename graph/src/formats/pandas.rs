//! Tables that pandas keeps in HDF5 (`to_hdf`), in its fixed and in its table format, as
//! METR-LA, PEMS-BAY and LargeST are distributed.
//!
//! A store holds tables under keys. In the fixed format a table is a group with the names of its
//! columns (`axis0`), its index (`axis1`) and blocks of columns of one type (`block0_items`,
//! `block0_values`, ...); in the table format it is one data set of compound rows, whose columns
//! are named in attributes (pickled, and read as [`super::pickle`] reads them). A series (one
//! column) is read as a table of one.
//!
//! Source: `pandas/io/pytables.py`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use ndarray::{Array2, ArrayD, Axis, Ix2};

use super::hdf5::Hdf5;
use super::pickle::{Pickle, Value};
use super::{Array, Panel};
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

/// What a table is read from.
struct Reader<'a, 'k> {
    file: &'a Hdf5,
    key: &'k str,
}

impl<'a> Reader<'a, '_> {
    fn wrong(&self, field: &str, problem: String, remedy: &str) -> Error {
        Error::file(
            self.file.path(),
            format!("{}/{field}", self.key),
            problem,
            remedy,
        )
    }

    fn frame(&self, columns: Vec<String>, index: Index, blocks: Vec<Block>) -> Frame<'a> {
        Frame {
            file: self.file,
            key: self.key.to_string(),
            columns,
            index,
            blocks,
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.key)
    }

    fn fixed(&self) -> Result<Frame<'a>> {
        let columns = self.names("axis0")?;
        let index = self.index("axis1")?;
        let blocks = self.file.number_attribute(self.key, "nblocks")?;
        let blocks = blocks.unwrap_or(0.0).clamp(0.0, columns.len() as f64) as usize;
        // A name may be there twice; its columns are taken in turn.
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, name) in columns.iter().enumerate().rev() {
            places.entry(name).or_default().push(i);
        }
        let mut found = Vec::new();
        for b in 0..blocks {
            let items = self.names(&format!("block{b}_items"))?;
            let places = items
                .iter()
                .map(|item| {
                    places
                        .get_mut(item.as_str())
                        .and_then(Vec::pop)
                        .ok_or_else(|| {
                            self.wrong(
                                &format!("block{b}_items"),
                                format!("names the column {item:?}, which axis0 does not"),
                                DAMAGED,
                            )
                        })
                })
                .collect::<Result<Vec<usize>>>()?;
            found.push(Block {
                values: self.path(&format!("block{b}_values")),
                field: None,
                places,
            });
        }
        Ok(self.frame(columns, index, found))
    }

    fn series(&self) -> Result<Frame<'a>> {
        let index = self.index("index")?;
        let name = self.file.text_attribute(self.key, "name")?;
        // Without a name the attribute is the pickle of None.
        let name = name.filter(|n| n != "N." && !n.is_empty());
        let block = Block {
            values: self.path("values"),
            field: None,
            places: vec![0],
        };
        let name = name.unwrap_or_else(|| "0".into());
        Ok(self.frame(vec![name], index, vec![block]))
    }

    fn table(&self) -> Result<Frame<'a>> {
        let table = self.path("table");
        let levels = self.file.number_attribute(self.key, "levels")?;
        if levels.is_some_and(|n| n != 1.0) {
            return Err(self.wrong(
                "levels",
                "the rows have several levels of names".into(),
                "reset_index() before saving",
            ));
        }
        let index = self.file.read_field(&table, "index", None)?;
        let kind = self.file.text_attribute(&table, "index_kind")?;
        let zone = self.info_zone()?;
        let index = self.interpret("table", index, kind.as_deref().unwrap_or("integer"), zone)?;
        let fields = self.pickled(self.key, "values_cols")?;
        let fields = fields.as_ref().map(|p| p.root());
        let fields = fields
            .and_then(|v| list_of_text(&v))
            .ok_or_else(|| self.wrong("values_cols", "is no list of names".into(), DAMAGED))?;
        let mut blocks = Vec::new();
        let mut stored: Vec<String> = Vec::new();
        for field in fields {
            let key = format!("{field}_kind");
            let names = self.pickled(&table, &key)?;
            let names = names.as_ref().map(|p| p.root());
            let names = names
                .and_then(|v| list_of_text(&v))
                .ok_or_else(|| self.wrong(&key, "is no list of column names".into(), DAMAGED))?;
            let start = stored.len();
            stored.extend(names);
            blocks.push(Block {
                values: table.clone(),
                field: Some(field),
                places: (start..stored.len()).collect(),
            });
        }
        // The order of the columns is kept apart from that of the fields.
        let axes = self.pickled(self.key, "non_index_axes")?;
        let columns = axes.as_ref().and_then(|axes| {
            let axes = axes.root().items()?;
            let [axis] = axes.as_slice() else {
                return None;
            };
            match axis.items()?.as_slice() {
                [_, names] => list_of_text(names),
                _ => None,
            }
        });
        let Some(columns) = columns.filter(|c| c.len() == stored.len()) else {
            return Ok(self.frame(stored, index, blocks));
        };
        let places: HashMap<&str, usize> = columns
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        for block in &mut blocks {
            for place in &mut block.places {
                let name = stored[*place].as_str();
                *place = *places.get(name).ok_or_else(|| {
                    self.wrong(
                        "non_index_axes",
                        format!("does not name the column {name:?}"),
                        DAMAGED,
                    )
                })?;
            }
        }
        Ok(self.frame(columns, index, blocks))
    }

    /// Time zone of the index in the table format.
    fn info_zone(&self) -> Result<Option<String>> {
        let info = self.pickled(self.key, "info")?;
        Ok(info.and_then(|info| {
            let entries = info.root().entries()?;
            let index = entries
                .iter()
                .find(|(k, _)| k.text().as_deref() == Some("index"));
            index?.1.get("tz")?.text()
        }))
    }

    /// A pickled attribute; what is no data in it (offsets of pandas) is left out.
    fn pickled(&self, object: &str, name: &str) -> Result<Option<Pickle>> {
        let bytes = self.file.bytes_attribute(object, name)?;
        Ok(bytes.and_then(|b| Pickle::parse_partly(&b, self.file.path()).ok()))
    }

    /// Refuses names of several levels.
    fn regular(&self, axis: &str) -> Result<()> {
        let key = format!("{axis}_variety");
        match self.file.text_attribute(self.key, &key)?.as_deref() {
            None | Some("regular") => Ok(()),
            Some(other) => Err(self.wrong(
                axis,
                format!("has names of the kind {other:?}, of several levels perhaps"),
                "give columns and rows one name each before saving",
            )),
        }
    }

    fn names(&self, axis: &str) -> Result<Vec<String>> {
        self.regular(axis)?;
        let path = self.path(axis);
        if self.is_empty(&path)? {
            return Ok(Vec::new());
        }
        Ok(match self.file.read(&path)? {
            Array::F64(a) => a.iter().map(f64::to_string).collect(),
            other => other
                .into_text(self.file.path(), &path)?
                .into_iter()
                .collect(),
        })
    }

    fn index(&self, axis: &str) -> Result<Index> {
        self.regular(axis)?;
        let path = self.path(axis);
        let kind = self.file.text_attribute(&path, "kind")?;
        let zone = self.file.text_attribute(&path, "tz")?;
        let array = match self.is_empty(&path)? {
            true => Array::I64(ArrayD::zeros(ndarray::IxDyn(&[0]))),
            false => self.file.read(&path)?,
        };
        self.interpret(axis, array, kind.as_deref().unwrap_or("integer"), zone)
    }

    /// PyTables has no empty arrays: pandas writes one element and the shape as an attribute.
    fn is_empty(&self, path: &str) -> Result<bool> {
        Ok(self.file.attribute(path, "shape")?.is_some())
    }

    fn interpret(
        &self,
        field: &str,
        array: Array,
        kind: &str,
        zone: Option<String>,
    ) -> Result<Index> {
        let path = self.file.path();
        let unit = match kind.strip_prefix("datetime64") {
            Some("" | "[ns]") => Some(1),
            Some("[us]") => Some(1_000),
            Some("[ms]") => Some(1_000_000),
            Some("[s]") => Some(1_000_000_000),
            _ => None,
        };
        if let Some(unit) = unit {
            let times = array.into_i64(path, field)?;
            let nanoseconds: Option<Vec<i64>> = times.iter().map(|t| t.checked_mul(unit)).collect();
            return Ok(Index::Time {
                nanoseconds: nanoseconds.ok_or_else(|| {
                    self.wrong(field, "has a time beyond the year 2262".into(), DAMAGED)
                })?,
                zone,
            });
        }
        Ok(match array {
            Array::I64(a) if kind == "integer" => Index::Numbers(a.into_iter().collect()),
            Array::I64(a) if a.is_empty() => Index::Numbers(Vec::new()),
            Array::F64(a) if kind == "float" => Index::Floats(a.into_iter().collect()),
            Array::Text(a) => Index::Text(a.into_iter().collect()),
            _ => {
                return Err(self.wrong(
                    field,
                    format!("names rows by {kind:?}, which is not read"),
                    "give the rows times, numbers or text as their index",
                ));
            }
        })
    }
}

fn list_of_text(list: &Value<'_>) -> Option<Vec<String>> {
    list.items()?
        .iter()
        .map(|v| {
            v.text()
                .or_else(|| v.int().map(|n| n.to_string()))
                .or_else(|| v.float().map(|n| n.to_string()))
        })
        .collect()
}
