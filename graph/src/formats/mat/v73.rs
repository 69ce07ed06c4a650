//! Version 7.3: HDF5 in which every variable carries its class in the attribute `MATLAB_class`.
//!
//! Arrays lie transposed, as HDF5 counts rows first; char arrays are numbers of 16 bits; a cell
//! array is a data set of references into the group `#refs#`; a struct is a group, an array of
//! structs a group of data sets of references. Source: files of MATLAB, and the notes of the
//! projects mat73 and hdf5storage.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use super::{DAMAGED, Info, Parsed, Step, no_step, place, refused, rows_of_text};
use crate::formats::hdf5::Hdf5;
use crate::formats::{Array, count, shaped};
use crate::{Error, Result};

/// A file of version 7.3.
pub(super) struct Hdf5Mat {
    file: Hdf5,
    names: Vec<String>,
}

/// An object of the file and what it is.
struct Object {
    path: String,
    info: Info,
    /// A struct that is an array: its fields are references.
    several: bool,
}

impl Hdf5Mat {
    pub fn new(file: Hdf5) -> Self {
        // A root that cannot be listed leaves no names, and every read says so.
        let (groups, datasets) = file.members("").unwrap_or_default();
        let mut names: Vec<String> = groups
            .into_iter()
            .chain(datasets)
            .filter(|n| !n.starts_with('#'))
            .collect();
        names.sort();
        Self { file, names }
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub fn info(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Info> {
        Ok(self.walk(name, variable, steps)?.info)
    }

    pub fn read(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Array> {
        let object = self.walk(name, variable, steps)?;
        let Object { path, info, .. } = &object;
        match info.class.as_str() {
            "char" => {
                let rows = self.chars(name, &object)?;
                shaped(self.path(), name, IxDyn(&[rows.len()]), rows).map(Array::Text)
            }
            "cell" => {
                let mut cells = Vec::new();
                for path in self.references(path)? {
                    let cell = self.object(name, &path)?;
                    let empty = count(&cell.info.shape) == Some(0);
                    if cell.info.class != "char" && !empty {
                        return Err(refused(self.path(), name, info));
                    }
                    cells.push(match empty {
                        true => String::new(),
                        false => self.chars(name, &cell)?.join("\n"),
                    });
                }
                let reversed: Vec<usize> = info.shape.iter().rev().copied().collect();
                let cells = shaped(self.path(), name, IxDyn(&reversed), cells)?;
                Ok(Array::Text(upright(cells)))
            }
            "double" | "single" | "logical" | "int8" | "int16" | "int32" | "int64" | "uint8"
            | "uint16" | "uint32" | "uint64" => {
                if count(&info.shape) == Some(0) {
                    // A zero beside axes too long for any memory is refused like other shapes.
                    let shape = IxDyn(&info.shape);
                    let path = self.path();
                    return match info.class.as_str() {
                        "double" => shaped(path, name, shape, vec![]).map(Array::F64),
                        "single" => shaped(path, name, shape, vec![]).map(Array::F32),
                        _ => shaped(path, name, shape, vec![]).map(Array::I64),
                    };
                }
                Ok(match self.file.read(path)? {
                    Array::F32(a) => Array::F32(upright(a)),
                    Array::F64(a) => Array::F64(upright(a)),
                    Array::I64(a) => Array::I64(upright(a)),
                    Array::Text(a) => Array::Text(upright(a)),
                })
            }
            _ => Err(refused(self.path(), name, info)),
        }
    }

    fn walk(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Object> {
        let mut object = self.object(name, variable)?;
        let mut steps = steps.iter();
        while let Some(step) = steps.next() {
            let wrong = || no_step(self.path(), name, step, &object.info);
            let path = match step {
                Step::Cell(index) => {
                    let at = place(&object.info.shape, index).ok_or_else(wrong)?;
                    match object.info.class.as_str() {
                        "cell" => self.references(&object.path)?.into_iter().nth(at),
                        _ => None,
                    }
                }
                // An index into a struct is for the field that has to follow.
                Step::Index(index) => {
                    let at = place(&object.info.shape, index).ok_or_else(wrong)?;
                    match (object.info.class.as_str(), steps.next()) {
                        ("struct", Some(Step::Field(field)))
                            if object.info.fields.contains(field) =>
                        {
                            self.field(&object, field, at)?
                        }
                        ("struct", Some(next)) => {
                            return Err(no_step(self.path(), name, next, &object.info));
                        }
                        ("struct", None) if !object.several => Some(object.path.clone()),
                        _ => None,
                    }
                }
                Step::Field(field) => {
                    let one =
                        object.info.fields.contains(field) && count(&object.info.shape) == Some(1);
                    match one {
                        true => self.field(&object, field, 0)?,
                        false => None,
                    }
                }
            };
            object = self.object(name, &path.ok_or_else(wrong)?)?;
        }
        Ok(object)
    }

    /// Path of a field of the struct at place `at` of an array of structs.
    fn field(&self, object: &Object, field: &str, at: usize) -> Result<Option<String>> {
        let path = format!("{}/{field}", object.path);
        match object.several {
            true => Ok(self.references(&path)?.into_iter().nth(at)),
            false => Ok(Some(path)),
        }
    }

    /// Paths that the references of a data set lead to, in column-major order.
    fn references(&self, path: &str) -> Result<Vec<String>> {
        match self.file.read(path)? {
            Array::Text(paths) => Ok(paths.into_iter().collect()),
            _ => Err(Error::file(
                self.path(),
                path,
                "should hold references to cells or fields, but holds numbers",
                DAMAGED,
            )),
        }
    }

    fn object(&self, name: &str, path: &str) -> Result<Object> {
        let class = self.file.text_attribute(path, "MATLAB_class")?;
        let number = |key: &str| self.file.number_attribute(path, key);
        if !self.file.contains(path) {
            return self.group(path, class);
        }
        let stored = self.file.info(path)?;
        let class = class.unwrap_or_else(|| match stored.kind.as_str() {
            // Files of other programs without MATLAB's attributes.
            "float64" => "double".into(),
            "float32" | "float16" => "single".into(),
            "object reference" => "cell".into(),
            "enumeration" => "logical".into(),
            kind => kind.to_string(),
        });
        let complex = stored.kind.starts_with("compound");
        let shape = if number("MATLAB_empty")?.unwrap_or(0.0) != 0.0 {
            let lengths = self.file.read(path)?.into_i64(self.path(), name)?;
            let lengths: Option<Vec<usize>> =
                lengths.iter().map(|n| usize::try_from(*n).ok()).collect();
            lengths.filter(|l| count(l) == Some(0)).ok_or_else(|| {
                Error::file(self.path(), name, "an empty array with elements", DAMAGED)
            })?
        } else {
            stored.shape.iter().rev().copied().collect()
        };
        Ok(Object {
            path: path.to_string(),
            info: Info {
                class: match complex && class != "cell" {
                    true => format!("complex {class}"),
                    false => class,
                },
                shape,
                fields: Vec::new(),
            },
            several: false,
        })
    }

    /// A group is a struct, or a sparse array.
    fn group(&self, path: &str, class: Option<String>) -> Result<Object> {
        let (groups, datasets) = self.file.members(path)?;
        if self.file.attribute(path, "MATLAB_sparse")?.is_some() {
            let class = format!("sparse {}", class.as_deref().unwrap_or("double"));
            return Ok(Object {
                path: path.to_string(),
                info: Info {
                    class,
                    shape: Vec::new(),
                    fields: Vec::new(),
                },
                several: false,
            });
        }
        // The fields of an array of structs are references without a class of their own.
        let mut shape = vec![1, 1];
        let mut several = false;
        if let Some(field) = datasets.first().filter(|_| groups.is_empty()) {
            let field = format!("{path}/{field}");
            let info = self.file.info(&field)?;
            let class = self.file.text_attribute(&field, "MATLAB_class")?;
            if info.kind == "object reference" && class.is_none() {
                shape = info.shape.iter().rev().copied().collect();
                several = true;
            }
        }
        let mut fields: Vec<String> = groups.into_iter().chain(datasets).collect();
        fields.sort();
        let class = class.unwrap_or_else(|| "struct".into());
        Ok(Object {
            path: path.to_string(),
            info: Info {
                class,
                shape,
                fields,
            },
            several,
        })
    }

    fn chars(&self, name: &str, object: &Object) -> Result<Vec<String>> {
        if count(&object.info.shape) == Some(0) {
            return Ok(vec![String::new()]);
        }
        let units = self
            .file
            .read(&object.path)?
            .into_i64(self.path(), name)?
            .into_iter()
            .map(|u| u16::try_from(u).map_err(|_| "a character out of range".to_string()))
            .collect::<Parsed<Vec<_>>>()
            .and_then(|units| rows_of_text(units, object.info.shape.first().copied().unwrap_or(1)));
        units.map_err(|e| Error::file(self.path(), name, e, DAMAGED))
    }
}

/// The array with its axes the other way round, in row-major order.
fn upright<A: Clone>(array: ArrayD<A>) -> ArrayD<A> {
    let array = array.reversed_axes();
    match array.is_standard_layout() {
        true => array,
        false => array.as_standard_layout().into_owned(),
    }
}
