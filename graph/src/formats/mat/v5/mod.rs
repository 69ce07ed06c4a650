//! MATLAB level 5 `.mat` files (what MATLAB's `save -v6` and `-v7` and SciPy write).
//!
//! Source: "MAT-File Format", The MathWorks, chapter 1 (level 5).

mod elements;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use ndarray::{IxDyn, ShapeBuilder};

use self::elements::{
    ByteOrder, MI_COMPRESSED, MI_MATRIX, MX_CELL, MX_CHAR, MX_DOUBLE, MX_INT8, MX_SINGLE,
    MX_STRUCT, MX_UINT64, Matrix, fits,
};
use super::{DAMAGED, Info, Parsed, Step, no_step, place, refused};
use crate::formats::{Array, count, shaped};
use crate::{Error, Result};

/// A level 5 file, decompressed.
pub(super) struct Level5 {
    path: PathBuf,
    /// Name and body of every variable.
    variables: Vec<(String, Vec<u8>)>,
    order: ByteOrder,
}

impl Level5 {
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged = |problem: String| Error::file(path, "header", problem, DAMAGED);
        let big_endian = match bytes.get(124..128) {
            Some([_, 1, b'I', b'M']) => false,
            Some([1, _, b'M', b'I']) => true,
            _ => {
                return Err(damaged("does not start like a MATLAB 5 file".into()));
            }
        };
        let mut mat = Self {
            path: path.to_path_buf(),
            variables: Vec::new(),
            order: ByteOrder { big_endian },
        };
        let mut rest = &bytes[128..];
        while !rest.is_empty() {
            let place = bytes.len() - rest.len();
            let (name, body, after) = mat
                .variable(rest)
                .map_err(|e| Error::file(path, format!("byte {place}"), e, DAMAGED))?;
            if !name.is_empty() {
                mat.variables.push((name, body));
            }
            rest = after;
        }
        Ok(mat)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn names(&self) -> Vec<String> {
        self.variables.iter().map(|(n, _)| n.clone()).collect()
    }

    pub fn info(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Info> {
        let matrix = self.walk(name, variable, steps)?;
        self.order
            .describe(&matrix)
            .map_err(|e| Error::file(&self.path, name, e, DAMAGED))
    }

    pub fn read(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Array> {
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let matrix = self.walk(name, variable, steps)?;
        let info = self.order.describe(&matrix).map_err(damaged)?;
        let shape = IxDyn(&matrix.shape).f();
        match matrix.class {
            MX_CHAR => {
                let rows = self.order.chars(&matrix).map_err(damaged)?;
                shaped(&self.path, name, IxDyn(&[rows.len()]), rows).map(Array::Text)
            }
            MX_CELL => {
                let n = count(&matrix.shape).unwrap_or(usize::MAX);
                let mut rest = matrix.rest;
                let mut cells = Vec::new();
                while cells.len() < n {
                    let (inner, after) = self.order.inner(rest).map_err(damaged)?;
                    rest = after;
                    if inner.class != MX_CHAR && count(&inner.shape) != Some(0) {
                        return Err(refused(&self.path, name, &info));
                    }
                    cells.push(self.order.chars(&inner).map_err(damaged)?.join("\n"));
                }
                shaped(&self.path, name, shape, cells).map(Array::Text)
            }
            class @ MX_DOUBLE..=MX_UINT64 if !matrix.complex => {
                let values = self.order.element(matrix.rest).map_err(damaged)?;
                let n = count(&matrix.shape);
                if class < MX_INT8 {
                    let v = self.order.floats(&values).map_err(damaged)?;
                    fits(v.len(), n).map_err(damaged)?;
                    if class == MX_SINGLE {
                        let v = v.iter().map(|v| *v as f32).collect();
                        shaped(&self.path, name, shape, v).map(Array::F32)
                    } else {
                        shaped(&self.path, name, shape, v).map(Array::F64)
                    }
                } else {
                    let v = self.order.integers(&values).map_err(damaged)?;
                    fits(v.len(), n).map_err(damaged)?;
                    shaped(&self.path, name, shape, v).map(Array::I64)
                }
            }
            _ => Err(refused(&self.path, name, &info)),
        }
    }

    /// The array that a variable and the steps into it lead to.
    fn walk(&self, name: &str, variable: &str, steps: &[Step]) -> Result<Matrix<'_>> {
        let damaged = |e: String| Error::file(&self.path, name, e, DAMAGED);
        let body = self.variables.iter().find(|(n, _)| n == variable);
        let body = body.map(|(_, body)| body.as_slice()).unwrap_or_default();
        let mut matrix = self.order.matrix(body).map_err(damaged)?;
        let mut steps = steps.iter();
        while let Some(mut step) = steps.next() {
            let wrong = |step: &Step, matrix: &Matrix<'_>| match self.order.describe(matrix) {
                Ok(info) => no_step(&self.path, name, step, &info),
                Err(e) => damaged(e),
            };
            let mut at = (count(&matrix.shape) == Some(1)).then_some(0);
            if let Step::Cell(index) | Step::Index(index) = step {
                at = place(&matrix.shape, index);
                if at.is_none() {
                    return Err(wrong(step, &matrix));
                }
            }
            // An index into a struct is for the field that has to follow.
            if let (Step::Index(_), MX_STRUCT) = (step, matrix.class) {
                match steps.next() {
                    Some(next) => step = next,
                    None if count(&matrix.shape) == Some(1) => break,
                    None => return Err(wrong(step, &matrix)),
                }
            }
            // Cells lie one after the other, structs with all fields of the first before those of
            // the second.
            let found = match (step, matrix.class, at) {
                (Step::Cell(_), MX_CELL, Some(at)) => Some((matrix.rest, at)),
                (Step::Field(field), MX_STRUCT, Some(at)) => {
                    let (fields, rest) = self.order.fields(&matrix).map_err(damaged)?;
                    let index = fields.iter().position(|f| f == field);
                    index.map(|i| (rest, at.saturating_mul(fields.len()).saturating_add(i)))
                }
                _ => None,
            };
            let Some((mut rest, skip)) = found else {
                return Err(wrong(step, &matrix));
            };
            for _ in 0..skip {
                rest = self.order.element(rest).map_err(damaged)?.rest;
            }
            matrix = self.order.inner(rest).map_err(damaged)?.0;
        }
        Ok(matrix)
    }

    /// Name and body of the variable at the start of `bytes`, and what follows it. Elements that
    /// hold no array have an empty name.
    fn variable<'a>(&self, bytes: &'a [u8]) -> Parsed<(String, Vec<u8>, &'a [u8])> {
        let (kind, length) = self.order.tag(bytes)?;
        // Compressed elements are not padded to eight bytes; others at this level are aligned.
        let data = bytes
            .get(8..)
            .and_then(|b| b.get(..length))
            .ok_or("a variable is cut short")?;
        let after = &bytes[8 + length..];
        let unpacked;
        let body = if kind == MI_COMPRESSED {
            let mut out = Vec::new();
            ZlibDecoder::new(data)
                .read_to_end(&mut out)
                .map_err(|e| format!("a compressed variable cannot be unpacked ({e})"))?;
            unpacked = out;
            let inner = self.order.element(&unpacked)?;
            if inner.kind != MI_MATRIX {
                return Ok((String::new(), Vec::new(), after));
            }
            inner.data
        } else if kind == MI_MATRIX {
            data
        } else {
            return Ok((String::new(), Vec::new(), after));
        };
        let name = self.order.matrix(body)?.name;
        Ok((name, body.to_vec(), after))
    }
}
