//! What is in a file: groups, data sets and attributes.

use std::collections::{HashMap, HashSet};

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Datatype, RawAttribute, StringSize};
use ndarray::IxDyn;

use super::types::{Numbers, Text, describe};
use super::{DAMAGED, Hdf5, failed};
use crate::formats::numbers::decode;
use crate::formats::{Array, count, shaped};
use crate::{Error, Result};

/// A data set that a file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetInfo {
    /// Path from the root, without a slash in front.
    pub name: String,
    /// Length along every axis; empty for a single value.
    pub shape: Vec<usize>,
    /// Type of the elements, for people: `float32`, `text`, `compound (a: int32, b: float64)`.
    pub kind: String,
    /// Shape of the chunks it is stored in; `None`: in one piece.
    pub chunks: Option<Vec<usize>>,
}

/// Groups (with their paths) and paths of data sets, by depth and then by name.
struct Tree {
    groups: Vec<(String, Group)>,
    datasets: Vec<(usize, String, String)>,
}

/// Names in alphabetical order, as h5py lists them: that of the file is often one of hashes.
fn sorted((mut groups, mut datasets): (Vec<String>, Vec<String>)) -> (Vec<String>, Vec<String>) {
    groups.sort();
    datasets.sort();
    (groups, datasets)
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_string(),
        _ => format!("{path}/{name}"),
    }
}

impl Hdf5 {
    /// Every group is listed once, under the first path that leads to it; links in circles are
    /// followed once.
    fn tree(&self) -> Result<Tree> {
        let root = self
            .file
            .root_group()
            .map_err(|e| failed(&self.path, "/", &e))?;
        let mut seen = HashSet::from([root.address()]);
        let mut tree = Tree {
            groups: vec![(String::new(), root)],
            datasets: Vec::new(),
        };
        let mut next = 0;
        while next < tree.groups.len() {
            let (path, group) = tree.groups[next].clone();
            let broken = |e: Hdf5Error| failed(&self.path, &path, &e);
            let (groups, datasets) = sorted(group.member_names().map_err(broken)?);
            for name in datasets {
                tree.datasets.push((next, join(&path, &name), name));
            }
            for name in groups {
                let child = group.group(&name).map_err(broken)?;
                if seen.insert(child.address()) {
                    tree.groups.push((join(&path, &name), child));
                }
            }
            next += 1;
        }
        Ok(tree)
    }

    /// Paths of all groups but the root, without a slash in front.
    ///
    /// # Errors
    /// [`Error::File`] when the file is damaged.
    pub fn groups(&self) -> Result<Vec<String>> {
        let groups = self.tree()?.groups;
        Ok(groups.into_iter().skip(1).map(|(path, _)| path).collect())
    }

    /// All data sets, those of the root first. Links to other files and to nothing are left out.
    ///
    /// # Errors
    /// [`Error::File`] when the file is damaged.
    pub fn datasets(&self) -> Result<Vec<DatasetInfo>> {
        let tree = self.tree()?;
        tree.datasets
            .into_iter()
            .map(|(group, path, name)| {
                let dataset = tree.groups[group].1.dataset(&name);
                let dataset = dataset.map_err(|e| failed(&self.path, &path, &e))?;
                let lengths = |v: &[u64]| v.iter().map(|n| *n as usize).collect();
                Ok(DatasetInfo {
                    name: path,
                    shape: lengths(dataset.shape()),
                    kind: describe(dataset.dtype()),
                    chunks: dataset
                        .chunks()
                        .map(|c| c.into_iter().map(|n| n as usize).collect()),
                })
            })
            .collect()
    }

    /// Whether there is a data set of this path.
    pub fn contains(&self, name: &str) -> bool {
        self.file.dataset(name).is_ok()
    }

    /// Shape and type of one data set.
    ///
    /// # Errors
    /// [`Error::File`] when it is not there or damaged.
    pub fn info(&self, name: &str) -> Result<DatasetInfo> {
        let dataset = self.dataset(name)?;
        let (shape, _) = self.extent(name, &dataset, None)?;
        Ok(DatasetInfo {
            name: name.trim_matches('/').to_string(),
            shape,
            kind: describe(dataset.dtype()),
            chunks: dataset
                .chunks()
                .map(|c| c.into_iter().map(|n| n as usize).collect()),
        })
    }

    /// Names in a group, sorted: of its groups, and of its data sets. The root is `""`.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such group or it is damaged.
    pub fn members(&self, group: &str) -> Result<(Vec<String>, Vec<String>)> {
        let names = self.group(group)?.member_names();
        Ok(sorted(names.map_err(|e| failed(&self.path, group, &e))?))
    }

    /// Names of the attributes of a data set or group; the root is `""`.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such object or it is damaged.
    pub fn attribute_names(&self, object: &str) -> Result<Vec<String>> {
        let attributes = self.raw_attributes(object)?;
        Ok(attributes.iter().map(|a| a.name().to_string()).collect())
    }

    /// The value of an attribute, `None` when there is no such attribute. An attribute without
    /// value (a null data space) is an array of length 0.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such object, it is damaged, or the attribute has a type
    /// that is not read.
    pub fn attribute(&self, object: &str, name: &str) -> Result<Option<Array>> {
        let attributes = self.raw_attributes(object)?;
        let Some(attribute) = attributes.into_iter().find(|a| a.name() == name) else {
            return Ok(None);
        };
        let field = format!("{object}@{name}");
        let (message, _) = attribute.into_parts();
        let wrong = |problem: String| Error::file(&self.path, &field, problem, DAMAGED);
        let mut shape: Vec<usize> = message.dataspace.dims.iter().map(|n| *n as usize).collect();
        let stored = message
            .dataspace
            .num_elements()
            .map_err(|e| wrong(e.to_string()))?;
        if shape.is_empty() && stored == 0 {
            shape = vec![0];
        }
        let n = count(&shape).unwrap_or(usize::MAX);
        let element = self.element_size(&message.datatype);
        let raw = n
            .checked_mul(element)
            .filter(|_| element > 0)
            .and_then(|bytes| message.raw_data.get(..bytes))
            .ok_or_else(|| wrong("is cut short".into()))?;
        if let Some(stored) = Numbers::of(&message.datatype, None) {
            shape.extend(&stored.inner);
            let shape = IxDyn(&shape);
            let cells = &stored.cells;
            return Ok(Some(match cells.kind.float_bytes() {
                Some(8) => {
                    let v = decode(raw, cells).map_err(wrong)?;
                    Array::F64(shaped(&self.path, &field, shape, v)?)
                }
                Some(_) => {
                    let v = decode(raw, cells).map_err(wrong)?;
                    Array::F32(shaped(&self.path, &field, shape, v)?)
                }
                None => {
                    let v = decode(raw, cells).map_err(wrong)?;
                    Array::I64(shaped(&self.path, &field, shape, v)?)
                }
            }));
        }
        let Some(text) = Text::of(&message.datatype, None) else {
            return Err(Error::file(
                &self.path,
                &field,
                format!("holds {}, which is not read", describe(&message.datatype)),
                "save it as numbers or strings",
            ));
        };
        let root = self
            .file
            .root_group()
            .map_err(|e| failed(&self.path, "/", &e))?;
        let resolve = |r: &[u8]| root.resolve_vlen_reference_bytes(r, 1);
        let values = self.texts(&field, raw, &text, element, resolve)?;
        Ok(Some(Array::Text(shaped(
            &self.path,
            &field,
            IxDyn(&shape),
            values,
        )?)))
    }

    /// The first string of an attribute, `None` when there is no such attribute or it is no text.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such object or it is damaged.
    pub fn text_attribute(&self, object: &str, name: &str) -> Result<Option<String>> {
        Ok(match self.attribute(object, name)? {
            Some(Array::Text(a)) => Some(a.into_iter().next().unwrap_or_default()),
            _ => None,
        })
    }

    /// The first number of an attribute, `None` when there is no such attribute or it holds none.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such object or it is damaged.
    pub fn number_attribute(&self, object: &str, name: &str) -> Result<Option<f64>> {
        Ok(match self.attribute(object, name)? {
            None | Some(Array::Text(_)) => None,
            Some(numbers) => numbers.into_f64(&self.path, name)?.into_iter().next(),
        })
    }

    /// The bytes of an attribute of text, without zeros at the end and as they are: attributes of
    /// PyTables may hold pickles. `None` when there is no such attribute or it is no text of fixed
    /// length.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such object or it is damaged.
    pub fn bytes_attribute(&self, object: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let attributes = self.raw_attributes(object)?;
        let found = attributes.into_iter().find(|a| a.name() == name);
        Ok(found.and_then(|attribute| {
            let (message, _) = attribute.into_parts();
            let fixed = matches!(
                message.datatype,
                Datatype::String {
                    size: StringSize::Fixed(_),
                    ..
                }
            );
            let mut bytes = message.raw_data;
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
            bytes.truncate(end);
            fixed.then_some(bytes)
        }))
    }

    fn raw_attributes(&self, object: &str) -> Result<Vec<RawAttribute>> {
        let broken = |e: Hdf5Error| failed(&self.path, object, &e);
        match self.file.dataset(object) {
            Ok(dataset) => dataset.raw_attributes().map_err(broken),
            Err(_) => self.group(object)?.raw_attributes().map_err(broken),
        }
    }

    /// Object addresses to paths.
    pub(super) fn names(&self) -> Result<&HashMap<u64, String>> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let tree = self.tree()?;
        let mut names = HashMap::new();
        for (group, path, name) in &tree.datasets {
            // A damaged object cannot be referred to; reading others is still possible.
            if let Ok(dataset) = tree.groups[*group].1.dataset(name) {
                names.entry(dataset.address()).or_insert(path.clone());
            }
        }
        for (path, group) in &tree.groups {
            names.entry(group.address()).or_insert(path.clone());
        }
        Ok(self.names.get_or_init(|| names))
    }
}
