//! One file per file format: bytes to arrays. A reader checks what its format demands and gives
//! an [`Array`] or a struct of the format; what the arrays mean is decided in
//! [`crate::datasets`].

pub mod archive;
pub mod arff;
pub mod biosignal;
pub mod clip;
pub mod csv;
pub mod distances;
pub mod dreem;
pub mod edf;
pub mod gdf;
pub mod graphml;
pub mod hdf5;
pub mod mat;
pub mod npy;
pub mod pandas;
pub mod panel;
pub mod pickle;
pub mod pygt;
pub mod ts;
pub mod tuh;

mod numbers;

use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use crate::{Error, Result};

pub use panel::Panel;

/// An array as stored in a file, in logical (row-major) index order whatever the file's layout.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// 32-bit floats.
    F32(ArrayD<f32>),
    /// 64-bit floats.
    F64(ArrayD<f64>),
    /// Integers of any width, and truth values as 0 and 1.
    I64(ArrayD<i64>),
    /// Strings.
    Text(ArrayD<String>),
}

impl Array {
    /// Length along every axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(a) => a.shape(),
            Self::F64(a) => a.shape(),
            Self::I64(a) => a.shape(),
            Self::Text(a) => a.shape(),
        }
    }

    /// The numbers as `f32`.
    ///
    /// # Errors
    /// [`Error::File`] (with `path` and `field` for the message) when it holds strings.
    pub fn into_f32(self, path: &Path, field: &str) -> Result<ArrayD<f32>> {
        match self {
            Self::F32(a) => Ok(a),
            Self::F64(a) => Ok(a.mapv(|v| v as f32)),
            Self::I64(a) => Ok(a.mapv(|v| v as f32)),
            Self::Text(_) => Err(not(path, field, "numbers", "strings")),
        }
    }

    /// The numbers as `f64`.
    ///
    /// # Errors
    /// [`Error::File`] when it holds strings.
    pub fn into_f64(self, path: &Path, field: &str) -> Result<ArrayD<f64>> {
        match self {
            Self::F32(a) => Ok(a.mapv(f64::from)),
            Self::F64(a) => Ok(a),
            Self::I64(a) => Ok(a.mapv(|v| v as f64)),
            Self::Text(_) => Err(not(path, field, "numbers", "strings")),
        }
    }

    /// Whole numbers; floats are accepted when every one is whole, as MATLAB stores them.
    ///
    /// # Errors
    /// [`Error::File`] when it holds strings or fractions.
    pub fn into_i64(self, path: &Path, field: &str) -> Result<ArrayD<i64>> {
        let whole = |v: f64| {
            // 2^53 is the largest range in which every whole number is a double.
            if v.fract() == 0.0 && v.abs() <= 9_007_199_254_740_992.0 {
                Ok(v as i64)
            } else {
                Err(not(path, field, "whole numbers", &v.to_string()))
            }
        };
        let shape = IxDyn(self.shape());
        let values: Vec<i64> = match self {
            Self::I64(a) => return Ok(a),
            Self::F32(a) => a
                .iter()
                .map(|v| whole(f64::from(*v)))
                .collect::<Result<_>>()?,
            Self::F64(a) => a.iter().map(|v| whole(*v)).collect::<Result<_>>()?,
            Self::Text(_) => return Err(not(path, field, "whole numbers", "strings")),
        };
        shaped(path, field, shape, values)
    }

    /// The elements as text, whole numbers in decimal.
    ///
    /// # Errors
    /// [`Error::File`] when it holds fractions.
    pub fn into_text(self, path: &Path, field: &str) -> Result<ArrayD<String>> {
        match self {
            Self::Text(a) => Ok(a),
            other => Ok(other.into_i64(path, field)?.mapv(|v| v.to_string())),
        }
    }
}

fn not(path: &Path, field: &str, wanted: &str, found: &str) -> Error {
    Error::file(
        path,
        field,
        format!("should hold {wanted}, but holds {found}"),
        "name another variable or save it with the right type",
    )
}

/// Number of elements of `shape`, `None` on overflow.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s))
}

pub(crate) fn shaped<A: Clone>(
    path: &Path,
    field: &str,
    shape: impl ShapeBuilder<Dim = IxDyn>,
    values: Vec<A>,
) -> Result<ArrayD<A>> {
    let array = ArrayD::from_shape_vec(shape, values).map_err(|e| {
        Error::file(
            path,
            field,
            e.to_string(),
            "the file is damaged: write it again",
        )
    })?;
    Ok(if array.is_standard_layout() {
        array
    } else {
        array.as_standard_layout().into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    #[test]
    fn whole_numbers_only() {
        let p = Path::new("a.mat");
        let good = Array::F64(arr1(&[0.0, 1.0, -2.0]).into_dyn());
        assert_eq!(good.into_i64(p, "y").unwrap(), arr1(&[0, 1, -2]).into_dyn());
        for bad in [0.5, f64::NAN, f64::INFINITY] {
            let error = Array::F64(arr1(&[bad]).into_dyn())
                .into_i64(p, "y")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("a.mat") && error.contains("y: should hold whole"),
                "{error}"
            );
        }
        assert!(
            Array::Text(arr1(&["a".to_string()]).into_dyn())
                .into_f32(p, "y")
                .is_err()
        );
    }
}
