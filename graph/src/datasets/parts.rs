//! A table that says which part of a split a file or subject belongs to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::formats::csv::{CsvConfig, read_cells};
use crate::{Error, Part, Result};

/// Names of files or subjects, and their parts.
#[derive(Debug)]
pub(super) struct Parts {
    pub path: PathBuf,
    of: BTreeMap<String, Part>,
}

impl Parts {
    /// Reads a table with a column `record_id`, `file`, `subject` or `patient`, and a column `split`
    /// or `part` that says `train`, `val` (`validation`, `dev`) or `test` (`eval`). Ends of file
    /// names do not count.
    ///
    /// # Errors
    /// [`Error::File`] when a column is missing, a part has another name, or a name has two parts.
    pub fn read(path: &Path) -> Result<Self> {
        let cells = read_cells(path, &CsvConfig::default())?;
        let column = |names: &[&str]| {
            names.iter().find_map(|n| cells.column(n)).ok_or_else(|| {
                Error::file(
                    path,
                    "header",
                    format!(
                        "no column {} among {}",
                        names.join(" or "),
                        cells.names.join(", ")
                    ),
                    "name the columns record_id,split",
                )
            })
        };
        let names = column(&["record_id", "file", "subject", "patient"])?;
        let parts = column(&["split", "part"])?;
        let mut of = BTreeMap::new();
        for (i, (name, part)) in names.iter().zip(parts).enumerate() {
            let wrong = |problem: String, remedy: &str| {
                let line = format!("line {}", cells.lines[i]);
                Err(Error::file(path, line, problem, remedy))
            };
            let part = match part.to_lowercase().as_str() {
                "train" => Part::Train,
                "val" | "validation" | "dev" => Part::Validation,
                "test" | "eval" => Part::Test,
                other => return wrong(format!("{other:?} is no part"), "write train, val or test"),
            };
            if *of.entry(stem(name)).or_insert(part) != part {
                return wrong(format!("{name} has two parts"), "keep one line for each");
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            of,
        })
    }

    /// The part of a file or subject.
    ///
    /// # Errors
    /// [`Error::File`] when the table has no line for it.
    pub fn part(&self, name: &str) -> Result<Part> {
        self.of.get(&stem(name)).copied().ok_or_else(|| {
            Error::file(
                &self.path,
                name,
                "the table has no line for it",
                "add one that says train, val or test",
            )
        })
    }
}

/// A file's name without its folder and end.
fn stem(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name).trim();
    let ends = [".h5", ".edf", ".csv", ".mat"];
    let end = ends.iter().find_map(|end| file.strip_suffix(end));
    end.unwrap_or(file).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parts_and_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("split.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Parts::read(&path)
        };
        let parts = read("record_id,split\nab-1.h5,train\ncd.h5,val\nx/ef.h5,TEST\n").unwrap();
        assert_eq!(parts.part("ab-1").unwrap(), Part::Train);
        assert_eq!(parts.part("cd.h5").unwrap(), Part::Validation);
        assert_eq!(parts.part("ef").unwrap(), Part::Test);
        assert!(parts.part("gh").unwrap_err().to_string().contains("gh"));
        for (text, expected) in [
            ("id,split\na,train\n", "record_id"),
            (
                "subject,part\na,training\n",
                "line 2: \"training\" is no part",
            ),
            (
                "subject,part\na,train\na.h5,test\n",
                "line 3: a.h5 has two parts",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
