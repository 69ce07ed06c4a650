//! The `.ts` text format of the UEA and UCR time series archives.
//!
//! Header lines start with `@`, comments with `#`; after `@data` every line is a series:
//! dimensions separated by `:`, values by `,`, the class last. `?` and `NaN` are missing values.

use std::path::Path;

use ndarray::Array3;

use crate::files;
use crate::{Error, Result};

/// The content of a `.ts` file of labelled series of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct TsFile {
    /// `@problemName`.
    pub problem: String,
    /// `@classLabel`, in the order of the header.
    pub classes: Vec<String>,
    /// (samples, dimensions, time); NaN where missing.
    pub x: Array3<f32>,
    /// Index into `classes` per sample.
    pub y: Vec<usize>,
}

/// Reads a `.ts` file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<TsFile> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads the bytes of a `.ts` file.
///
/// # Errors
/// [`Error::File`] naming the line when it is not UTF-8, the header promises no classes, has time
/// stamps, or a line has another number of dimensions or values, a value that is no number, or an
/// unknown class.
pub fn parse(bytes: &[u8], path: &Path) -> Result<TsFile> {
    let text = files::text(bytes, path, "check that this is a .ts file")?;
    let mut problem = String::new();
    let mut classes: Vec<String> = Vec::new();
    let mut dimensions: Option<usize> = None;
    let mut length: Option<usize> = None;
    let mut values: Vec<f32> = Vec::new();
    let mut y = Vec::new();
    let mut in_data = false;
    for (number, line) in text.lines().enumerate() {
        let wrong = |problem: String, remedy: &str| {
            Error::file(path, format!("line {}", number + 1), problem, remedy)
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let (false, Some(rest)) = (in_data, line.strip_prefix('@')) {
            let mut words = rest.split_whitespace();
            let key = words.next().unwrap_or_default().to_ascii_lowercase();
            let first = words.clone().next().unwrap_or_default();
            let number = || {
                first
                    .parse::<usize>()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| {
                        wrong(
                            format!("@{key} should be a positive number, not {first:?}"),
                            "correct the header",
                        )
                    })
            };
            match key.as_str() {
                "problemname" => problem = first.to_string(),
                "dimensions" | "dimension" => dimensions = Some(number()?),
                "serieslength" => length = Some(number()?),
                "classlabel" if first.eq_ignore_ascii_case("true") => {
                    classes = words.skip(1).map(str::to_string).collect();
                }
                "timestamps" if first.eq_ignore_ascii_case("true") => {
                    return Err(wrong(
                        "series with time stamps are not read".into(),
                        "resample to a constant rate and set @timeStamps false",
                    ));
                }
                "targetlabel" if first.eq_ignore_ascii_case("true") => {
                    return Err(wrong(
                        "series with a numeric target are not read".into(),
                        "use a file with @classLabel",
                    ));
                }
                "data" => {
                    if classes.is_empty() {
                        return Err(wrong(
                            "@data without a line '@classLabel true NAME ...' before it".into(),
                            "add the class names to the header",
                        ));
                    }
                    in_data = true;
                }
                // Others (@univariate, @missing, @equalLength) say what the data show anyway.
                _ => {}
            }
            continue;
        }
        if !in_data {
            return Err(wrong(
                "neither a header line (@...) nor a comment (#...) before @data".into(),
                "check that this is a .ts file",
            ));
        }
        let parts: Vec<&str> = line.split(':').collect();
        let (class, series) = parts.split_last().unwrap_or((&"", &[]));
        let d = *dimensions.get_or_insert(series.len());
        if series.len() != d || d == 0 {
            return Err(wrong(
                format!("{} dimensions before the class, not {d}", series.len()),
                "give every series all dimensions, separated by ':', and then its class",
            ));
        }
        for (i, one) in series.iter().enumerate() {
            let before = values.len();
            for cell in one.split(',') {
                let cell = cell.trim();
                let value = if cell == "?" {
                    f32::NAN
                } else {
                    cell.parse().map_err(|_| {
                        wrong(
                            format!(
                                "{cell:?} in dimension {}, value {}, is no number",
                                i + 1,
                                values.len() - before + 1
                            ),
                            "write a number, or ? where it is missing",
                        )
                    })?
                };
                values.push(value);
            }
            let n = values.len() - before;
            let l = *length.get_or_insert(n);
            if n != l {
                return Err(wrong(
                    format!("dimension {} has {n} values, not {l}", i + 1),
                    "only series of equal length are read: cut or pad them",
                ));
            }
        }
        let class = class.trim();
        let index = classes.iter().position(|c| c == class).ok_or_else(|| {
            wrong(
                format!("class {class:?} is not among {}", classes.join(", ")),
                "add it to @classLabel or correct the line",
            )
        })?;
        y.push(index);
    }
    let shape = (y.len(), dimensions.unwrap_or(0), length.unwrap_or(0));
    match Array3::from_shape_vec(shape, values) {
        Ok(x) if !y.is_empty() => Ok(TsFile {
            problem,
            classes,
            x,
            y,
        }),
        _ => Err(Error::file(
            path,
            "@data",
            "no series in the file",
            "check that the file is complete",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# a\n@problemName P\n@timeStamps false\n@classLabel true a b\n@data\n";

    fn read(data: &str) -> Result<TsFile> {
        parse(format!("{HEAD}{data}").as_bytes(), Path::new("p.ts"))
    }

    #[test]
    fn two_series() {
        let file = read("1,2,?:4,5e-1,6:b\n7,8,9:-1,NaN,0:a\n").unwrap();
        assert_eq!(file.x.dim(), (2, 2, 3));
        assert_eq!(file.x[[0, 1, 1]], 0.5);
        assert!(file.x[[0, 0, 2]].is_nan() && file.x[[1, 1, 1]].is_nan());
        assert_eq!(file.y, [1, 0]);
        assert_eq!(file.problem, "P");
    }

    #[test]
    fn errors_name_the_line() {
        for (data, expected) in [
            ("1,2:3,4:a\n1,2:3:a\n", "line 7: dimension 2 has 1 values"),
            ("1,2:3,4:a\n1,2:a\n", "line 7: 1 dimensions"),
            ("1,x:3,4:a\n", "\"x\" in dimension 1, value 2"),
            ("1,:3,4:a\n", "\"\" in dimension 1, value 2"),
            ("1,2:3,4:c\n", "class \"c\" is not among a, b"),
            ("1,2\n", "line 6: 0 dimensions"),
            ("", "no series"),
        ] {
            let error = read(data).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("p.ts"),
                "{error}"
            );
        }
        for (text, expected) in [
            ("1,2:a\n", "before @data"),
            ("@data\n1:a\n", "@classLabel"),
            ("@timeStamps true\n", "time stamps are not read"),
            ("@targetlabel true\n", "numeric target"),
            ("@dimensions 0\n", "@dimensions should be a positive number"),
            (
                "@seriesLength -5\n",
                "@serieslength should be a positive number",
            ),
        ] {
            let error = parse(text.as_bytes(), Path::new("p.ts")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(parse(b"@problemName \xff\n", Path::new("p.ts")).is_err());
    }

    #[test]
    fn unequal_lengths_are_refused_with_a_remedy() {
        let error = read("1,2,3:4,5,6:b\n7,8:9,0:a\n").unwrap_err().to_string();
        assert!(
            error.contains("line 7") && error.contains("cut or pad them"),
            "{error}"
        );
        let head = HEAD.replace("@data", "@seriesLength 3\n@equalLength false\n@data");
        let text = format!("{head}1,2:3,4:a\n");
        let error = parse(text.as_bytes(), Path::new("p.ts")).unwrap_err();
        assert!(error.to_string().contains("has 2 values, not 3"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors_or_series_but_no_panic() {
        let text = format!("{HEAD}1,2,?:4,5e-1,6:b\n7,8,9:-1,NaN,0:a\n");
        for n in 0..text.len() {
            let _ = parse(&text.as_bytes()[..n], Path::new("p.ts"));
            for flip in [1u8, 4, 0x10, 0x80] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[n] ^= flip;
                let _ = parse(&bytes, Path::new("p.ts"));
            }
        }
    }
}
