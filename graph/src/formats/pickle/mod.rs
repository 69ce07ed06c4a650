//! Python pickles, read as data: protocols 0 to 5 of Python 2 and 3.
//!
//! A pickle is a program that may call anything. This reader calls nothing: it knows a fixed list
//! of names that NumPy, SciPy and Python's own containers need (see `names.rs`), builds their
//! values itself, and refuses every other name with an error. Text of Python 2 (`str`) stays bytes,
//! which [`Value::text`] shows as UTF-8 or else Latin-1.
//!
//! Values live in one table and refer to each other by number, so that shared values are stored
//! once, circles do no harm, and nothing recurses; the table has at most one entry per byte read.
//!
//! Source: `pickletools.py` of CPython for the opcodes, `numpy/core/src/multiarray/methods.c` for
//! the state of arrays.

mod adjacency;
mod machine;
mod names;
mod numpy;
mod opcodes;
mod strings;

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayD, Ix2};

pub use self::adjacency::{Adjacency, adjacency, read_adjacency};
use self::names::Name;
use super::Array;
use crate::{Error, Result, files};

/// Number of a value in the table.
type Id = usize;

/// Bytes: a place in the file, or made while reading.
#[derive(Debug, Clone)]
enum Data {
    File(Range<usize>),
    Made(Vec<u8>),
}

#[derive(Debug)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Data),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name of the fixed list.
    Name(Name),
    /// A NumPy type: byte order and kind as in `.npy` files.
    Dtype(String),
    /// A NumPy array; empty until its state is known.
    Array(Array),
    /// A NumPy array of Python objects.
    Objects {
        shape: Vec<usize>,
        items: Vec<Id>,
    },
    /// An instance of a class of the list, with its state.
    Object {
        class: Name,
        state: Option<Id>,
    },
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    path: PathBuf,
    nodes: Vec<Node>,
    root: Id,
}

/// A value of a pickle.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    pickle: &'a Pickle,
    id: Id,
}

/// A sparse matrix: rows, columns and values of its entries, those of one place to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Row, column and value of each entry.
    pub entries: Vec<(usize, usize, f64)>,
}

impl Sparse {
    /// The matrix with its zeros.
    ///
    /// # Errors
    /// [`Error::File`] when it would take more than 2^28 entries.
    pub fn to_dense(&self, path: &Path, field: &str) -> Result<Array2<f32>> {
        // A zero beside a long axis is no array either.
        let (rows, columns) = self.shape;
        let n = rows.max(1).checked_mul(columns.max(1));
        if n.is_none_or(|n| n > 1 << 28) {
            return Err(Error::file(
                path,
                field,
                format!("is a matrix of shape {:?}, too large to fill", self.shape),
                "cut it into parts",
            ));
        }
        let mut dense = Array2::zeros(self.shape);
        for (r, c, v) in &self.entries {
            dense[[*r, *c]] += *v as f32;
        }
        Ok(dense)
    }
}

impl Pickle {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; otherwise as [`Pickle::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(&files::read(path)?, path)
    }

    /// Reads a pickle out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] naming the byte where it is damaged, or the name it asks for that is not on
    /// the list.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::run(bytes, path, false)
    }

    /// As [`Pickle::parse`], but names that are not on the list are let pass, and what they would
    /// make is a value of no kind: for the parts of a pickle that are data.
    ///
    /// # Errors
    /// [`Error::File`] naming the byte where it is damaged.
    pub fn parse_partly(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::run(bytes, path, true)
    }

    fn run(bytes: &[u8], path: &Path, partly: bool) -> Result<Self> {
        let (nodes, root) = machine::run(bytes, path, partly)?;
        Ok(Self {
            path: path.to_path_buf(),
            nodes,
            root,
        })
    }

    /// The value that was pickled.
    pub fn root(&self) -> Value<'_> {
        Value {
            pickle: self,
            id: self.root,
        }
    }
}

impl<'a> Value<'a> {
    fn node(&self) -> &'a Node {
        &self.pickle.nodes[self.id]
    }

    fn at(&self, id: Id) -> Self {
        Self {
            pickle: self.pickle,
            id,
        }
    }

    /// What it is, for people.
    pub fn kind(&self) -> String {
        match self.node() {
            Node::None => "None".into(),
            Node::Bool(_) => "bool".into(),
            Node::Int(_) => "int".into(),
            Node::Float(_) => "float".into(),
            Node::Text(_) => "str".into(),
            Node::Bytes(_) => "bytes".into(),
            Node::List(v) => format!("list of {}", v.len()),
            Node::Tuple(v) => format!("tuple of {}", v.len()),
            Node::Set(v) => format!("set of {}", v.len()),
            Node::Dict(v) => format!("dict of {}", v.len()),
            Node::Name(name) => name.path(),
            Node::Dtype(descr) => format!("numpy.dtype {descr}"),
            Node::Array(a) => format!("array of shape {:?}", a.shape()),
            Node::Objects { shape, .. } => format!("array of objects of shape {shape:?}"),
            Node::Object { class, .. } => class.path(),
        }
    }

    /// A string; bytes (as Python 2 wrote its strings) as UTF-8, or else Latin-1.
    pub fn text(&self) -> Option<String> {
        match self.node() {
            Node::Text(text) => Some(text.clone()),
            Node::Bytes(Data::Made(bytes)) => Some(match std::str::from_utf8(bytes) {
                Ok(text) => text.to_string(),
                Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
            }),
            _ => None,
        }
    }

    /// A whole number; a truth value as 0 or 1.
    pub fn int(&self) -> Option<i64> {
        match self.node() {
            Node::Int(v) => Some(*v),
            Node::Bool(v) => Some(i64::from(*v)),
            _ => None,
        }
    }

    /// A number.
    pub fn float(&self) -> Option<f64> {
        match self.node() {
            Node::Float(v) => Some(*v),
            _ => self.int().map(|v| v as f64),
        }
    }

    /// The items of a list, tuple or set.
    pub fn items(&self) -> Option<Vec<Value<'a>>> {
        match self.node() {
            Node::List(v) | Node::Tuple(v) | Node::Set(v) => {
                Some(v.iter().map(|id| self.at(*id)).collect())
            }
            _ => None,
        }
    }

    /// Keys and values of a dictionary.
    pub fn entries(&self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        match self.node() {
            Node::Dict(v) => Some(v.iter().map(|(k, v)| (self.at(*k), self.at(*v))).collect()),
            _ => None,
        }
    }

    /// The value of a key of a dictionary.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let entries = self.entries()?;
        let found = entries
            .into_iter()
            .rev()
            .find(|(k, _)| k.text().as_deref() == Some(key));
        found.map(|(_, v)| v)
    }

    /// An array: one of NumPy, or a list, tuple or set of nothing but numbers or nothing but text.
    ///
    /// # Errors
    /// [`Error::File`] when it is neither.
    pub fn array(&self, field: &str) -> Result<Array> {
        if let Node::Array(array) = self.node() {
            return Ok(array.clone());
        }
        let (shape, items) = match self.node() {
            Node::Objects { shape, items } => {
                (shape.clone(), items.iter().map(|id| self.at(*id)).collect())
            }
            _ => match self.items() {
                Some(items) => (vec![items.len()], items),
                None => return Err(self.wrong(field, "an array")),
            },
        };
        let of = |name: &str| self.wrong(field, name);
        let all = |kind: fn(&Node) -> bool| items.iter().all(|v| kind(v.node()));
        if all(|n| matches!(n, Node::Int(_) | Node::Bool(_))) {
            let v = items.iter().filter_map(Value::int).collect();
            return Ok(Array::I64(self.shaped(field, &shape, v)?));
        }
        if all(|n| matches!(n, Node::Int(_) | Node::Bool(_) | Node::Float(_))) {
            let v = items.iter().filter_map(Value::float).collect();
            return Ok(Array::F64(self.shaped(field, &shape, v)?));
        }
        if all(|n| matches!(n, Node::Text(_) | Node::Bytes(_))) {
            let v = items.iter().filter_map(Value::text).collect();
            return Ok(Array::Text(self.shaped(field, &shape, v)?));
        }
        Err(of("an array of numbers or of text"))
    }

    fn shaped<A: Clone>(&self, field: &str, shape: &[usize], v: Vec<A>) -> Result<ArrayD<A>> {
        super::shaped(&self.pickle.path, field, ndarray::IxDyn(shape), v)
    }

    /// A matrix of SciPy in one of the layouts csr, csc and coo; `None` when it is no such matrix.
    ///
    /// # Errors
    /// [`Error::File`] when its parts do not fit each other.
    pub fn sparse(&self, field: &str) -> Result<Option<Sparse>> {
        let Node::Object {
            class: Name::Sparse(layout),
            state: Some(state),
        } = self.node()
        else {
            return Ok(None);
        };
        let state = self.at(*state);
        numpy::sparse(state, layout).map(Some).ok_or_else(|| {
            Error::file(
                &self.pickle.path,
                field,
                "is a sparse matrix whose parts do not fit each other",
                "the file is damaged: write it again",
            )
        })
    }

    /// A matrix, (rows, columns): an array of two axes, or a sparse one with its zeros.
    ///
    /// # Errors
    /// [`Error::File`] when it is neither.
    pub fn matrix(&self, field: &str) -> Result<Array2<f32>> {
        let path = &self.pickle.path;
        if let Some(sparse) = self.sparse(field)? {
            return sparse.to_dense(path, field);
        }
        let array = self.array(field)?.into_f32(path, field)?;
        let shape = array.shape().to_vec();
        array
            .into_dimensionality::<Ix2>()
            .map_err(|_| self.wrong(field, &format!("a matrix (its shape is {shape:?})")))
    }

    fn wrong(&self, field: &str, wanted: &str) -> Error {
        Error::file(
            &self.pickle.path,
            field,
            format!("should hold {wanted}, but holds {}", self.kind()),
            "pickle a NumPy array, a SciPy matrix, or lists of numbers or text",
        )
    }
}
