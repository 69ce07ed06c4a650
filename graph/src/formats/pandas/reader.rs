//! What a table consists of, in each of its formats.

use std::collections::HashMap;

use ndarray::ArrayD;

use super::{Block, DAMAGED, Frame, Index};
use crate::formats::Array;
use crate::formats::hdf5::Hdf5;
use crate::formats::pickle::{Pickle, Value};
use crate::{Error, Result};

/// What a table is read from.
pub(super) struct Reader<'a, 'k> {
    pub file: &'a Hdf5,
    pub key: &'k str,
}

impl<'a> Reader<'a, '_> {
    pub fn wrong(&self, field: &str, problem: String, remedy: &str) -> Error {
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

    pub fn fixed(&self) -> Result<Frame<'a>> {
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

    pub fn series(&self) -> Result<Frame<'a>> {
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

    pub fn table(&self) -> Result<Frame<'a>> {
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
