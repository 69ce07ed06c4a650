//! MATLAB's `.mat` files: level 5 (what `save -v6` and `-v7` and SciPy write) and version 7.3
//! (HDF5), told apart by the file's first bytes.
//!
//! A variable is named as in MATLAB, and so is what lies inside it: `EEG.data`, `DIN_1{4,2}`,
//! `trial(3).X`; indices count from 1, and a single one runs down the columns. Numeric and logical
//! arrays of any rank, char arrays and cell arrays of char arrays become an [`Array`]. Objects,
//! functions, sparse and complex arrays are listed but refused.

mod v5;
mod v73;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Array;
use super::hdf5::Hdf5;
use crate::{Error, Result, files};

const DAMAGED: &str = "the file is damaged or cut short: write or fetch it again";

type Parsed<T> = std::result::Result<T, String>;

/// A `.mat` file.
pub struct Mat(Version);

enum Version {
    V5(v5::Level5),
    V73(v73::Hdf5Mat),
}

/// What a variable, field or cell is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// MATLAB's name of its class: `double`, `int16`, `logical`, `char`, `cell`, `struct`, ...
    pub class: String,
    /// Length along every axis, as MATLAB's `size` gives it.
    pub shape: Vec<usize>,
    /// Names of the fields of a struct.
    pub fields: Vec<String>,
}

/// A step into a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `.name`
    Field(String),
    /// `{i,j}`, subscripts from 0; a single one counts down the columns.
    Cell(Vec<usize>),
    /// `(i,j)`, in front of a field.
    Index(Vec<usize>),
}

impl Mat {
    /// Opens a file. One of version 7.3 is memory-mapped: it must not be changed while it is open.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::File`] when it is no complete `.mat` file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut head = Vec::new();
        File::open(path)
            .and_then(|f| f.take(16).read_to_end(&mut head))
            .map_err(|e| Error::io(path, e))?;
        if is_hdf5(&head) {
            return Ok(Self(Version::V73(v73::Hdf5Mat::new(Hdf5::open(path)?))));
        }
        Self::parse(&files::read(path)?, path)
    }

    /// Reads a file out of memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::File`] when it is no complete `.mat` file.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Ok(Self(if is_hdf5(bytes) {
            Version::V73(v73::Hdf5Mat::new(Hdf5::parse(bytes, path)?))
        } else {
            Version::V5(v5::Level5::parse(path, bytes)?)
        }))
    }

    /// Names of the variables; in the order of the file for level 5, sorted for 7.3.
    pub fn names(&self) -> Vec<String> {
        match &self.0 {
            Version::V5(mat) => mat.names(),
            Version::V73(mat) => mat.names(),
        }
    }

    /// Whether there is such a variable, field or cell.
    pub fn contains(&self, name: &str) -> bool {
        self.info(name).is_ok()
    }

    /// Reads a variable, or a field or cell inside one. A char array of r rows gives r strings, a
    /// cell array of char arrays strings in the shape of the cell.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such variable (it lists those present), when it is
    /// damaged, or of a class that is not read.
    pub fn read(&self, name: &str) -> Result<Array> {
        let (variable, steps) = self.steps(name)?;
        match &self.0 {
            Version::V5(mat) => mat.read(name, variable, &steps),
            Version::V73(mat) => mat.read(name, variable, &steps),
        }
    }

    /// Class, shape and fields of a variable, or of a field or cell inside one.
    ///
    /// # Errors
    /// As [`Mat::read`], but every class is described.
    pub fn info(&self, name: &str) -> Result<Info> {
        let (variable, steps) = self.steps(name)?;
        match &self.0 {
            Version::V5(mat) => mat.info(name, variable, &steps),
            Version::V73(mat) => mat.info(name, variable, &steps),
        }
    }

    fn path(&self) -> &Path {
        match &self.0 {
            Version::V5(mat) => mat.path(),
            Version::V73(mat) => mat.path(),
        }
    }

    /// The variable of a name, checked to be there, and the steps that follow it.
    fn steps<'a>(&self, name: &'a str) -> Result<(&'a str, Vec<Step>)> {
        let (variable, steps) = parse_steps(name).ok_or_else(|| {
            Error::file(
                self.path(),
                name,
                "is no name of a variable, field or cell",
                "write it as in MATLAB: eeg, EEG.data, labels{2} or trial(3).X",
            )
        })?;
        let names = self.names();
        if names.iter().any(|n| n == variable) {
            return Ok((variable, steps));
        }
        Err(Error::file(
            self.path(),
            name,
            format!("no such variable; present: {}", names.join(", ")),
            "correct the variable name",
        ))
    }
}

fn is_hdf5(head: &[u8]) -> bool {
    head.starts_with(b"MATLAB 7.3") || head.starts_with(b"\x89HDF")
}

/// `a.b{2}(3,4)` as `a` and its steps.
fn parse_steps(name: &str) -> Option<(&str, Vec<Step>)> {
    let end = name.find(['.', '{', '(']).unwrap_or(name.len());
    let (variable, mut rest) = name.split_at(end);
    let mut steps = Vec::new();
    while let Some(first) = rest.chars().next() {
        let inside = &rest[1..];
        let closing = match first {
            '.' => {
                let end = inside.find(['.', '{', '(']).unwrap_or(inside.len());
                let field = &inside[..end];
                if field.is_empty() {
                    return None;
                }
                steps.push(Step::Field(field.to_string()));
                rest = &inside[end..];
                continue;
            }
            '{' => '}',
            '(' => ')',
            _ => return None,
        };
        let (subscripts, after) = inside.split_once(closing)?;
        let subscripts = subscripts
            .split(',')
            .map(|n| n.trim().parse::<usize>().ok()?.checked_sub(1))
            .collect::<Option<Vec<usize>>>()?;
        steps.push(match first {
            '{' => Step::Cell(subscripts),
            _ => Step::Index(subscripts),
        });
        rest = after;
    }
    Some((variable, steps))
}

/// Place of an element in column-major order, `None` when it is not there.
fn place(shape: &[usize], index: &[usize]) -> Option<usize> {
    let n = super::count(shape)?;
    if let [one] = index {
        return Some(*one).filter(|i| *i < n);
    }
    if index.len() < shape.len() {
        return None;
    }
    let mut at = 0;
    let mut stride = 1;
    for (axis, i) in index.iter().enumerate() {
        let length = shape.get(axis).copied().unwrap_or(1);
        if *i >= length {
            return None;
        }
        at += i * stride;
        stride *= length;
    }
    Some(at)
}

/// Why a step cannot be taken, and what could be.
fn no_step(path: &Path, name: &str, step: &Step, info: &Info) -> Error {
    let shape: Vec<String> = info.shape.iter().map(usize::to_string).collect();
    let what = format!("a {} of size {}", info.class, shape.join("x"));
    let problem = match step {
        Step::Field(field) if info.class == "struct" && info.fields.contains(field) => {
            format!("the field {field:?} is one of several: it is {what}")
        }
        Step::Field(field) => format!("there is no field {field:?} in {what}"),
        Step::Cell(index) | Step::Index(index) => {
            let index: Vec<String> = index.iter().map(|i| (i + 1).to_string()).collect();
            format!("there is no element ({}) in {what}", index.join(","))
        }
    };
    let remedy = match info.fields.is_empty() {
        true => "correct the name".to_string(),
        false => format!(
            "its fields are {}; name an element of several by its index, as in s(1).x",
            info.fields.join(", ")
        ),
    };
    Error::file(path, name, problem, remedy)
}

/// A class of values that is not read.
fn refused(path: &Path, name: &str, info: &Info) -> Error {
    let (what, remedy) = match info.class.as_str() {
        "struct" => (
            format!("a struct with the fields {}", info.fields.join(", ")),
            format!("name a field, as in {name}.field"),
        ),
        "cell" => (
            "a cell array with other things than text".to_string(),
            format!("name one of its cells, as in {name}{{1}}"),
        ),
        class => (
            format!("a {class} array"),
            "save it as a plain numeric array or a cell array of strings".to_string(),
        ),
    };
    Error::file(path, name, format!("is {what}, which is not read"), remedy)
}

/// Text of the rows of a char array (r, c) given in column-major UTF-16, without trailing blanks
/// and zeros.
fn rows_of_text(units: Vec<u16>, rows: usize) -> Parsed<Vec<String>> {
    let chars: Vec<char> = char::decode_utf16(units)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| "text that is not UTF-16")?;
    Ok(rows_of_chars(&chars, rows))
}

fn rows_of_chars(chars: &[char], rows: usize) -> Vec<String> {
    (0..rows)
        .map(|r| {
            let row: String = chars.iter().skip(r).step_by(rows).collect();
            row.trim_end_matches([' ', '\0']).to_string()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let field = |s: &str| Step::Field(s.into());
        let steps = |s| parse_steps(s).unwrap();
        assert_eq!(steps("eeg"), ("eeg", vec![]));
        assert_eq!(
            steps("a.b{2}.c(3, 4)"),
            (
                "a",
                vec![
                    field("b"),
                    Step::Cell(vec![1]),
                    field("c"),
                    Step::Index(vec![2, 3])
                ]
            )
        );
        for bad in ["a.", "a{", "a{0}", "a{x}", "a(1", "a{1}x", "a..b", "a{}"] {
            assert!(parse_steps(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn elements_are_counted_down_the_columns() {
        let shape = [2, 3];
        assert_eq!(place(&shape, &[4]), Some(4));
        assert_eq!(place(&shape, &[1, 2]), Some(5));
        assert_eq!(place(&shape, &[0, 1, 0]), Some(2));
        for bad in [&[6][..], &[2, 0], &[0, 3], &[0, 0, 1]] {
            assert_eq!(place(&shape, bad), None);
        }
        assert_eq!(place(&[2, 3, 4], &[0, 1]), None);
    }

    #[test]
    fn a_cut_head_is_an_error() {
        for head in [&b""[..], b"MATLAB 7.3 MAT-file", b"\x89HDF\r\n\x1a\n"] {
            assert!(Mat::parse(head, Path::new("a.mat")).is_err());
        }
    }
}
