//! ARFF, the text format of Weka, in which UCI and UEA distribute data.
//!
//! Read are numeric, nominal, string, date and relational attributes, `?` for missing values, and
//! sparse rows. The UEA archive keeps a multivariate series as a relational attribute: a quoted
//! table whose rows are the dimensions and whose columns are the time steps; [`ArffFile::into_ts`]
//! turns such a file into samples.

mod lex;

use std::path::Path;

use ndarray::{Array2, Array3};

use super::ts::TsFile;
use crate::{Error, Result, files};
use lex::{Row, Token, row, words};

/// Relational attributes inside relational attributes are read to this depth.
const DEEPEST: usize = 4;

/// Sparse rows and small tables inside rows may stand for so many times more cells than the file
/// has bytes.
const SPARSEST: usize = 64;

/// The content of an ARFF file.
#[derive(Debug, Clone, PartialEq)]
pub struct ArffFile {
    /// `@relation`.
    pub relation: String,
    /// `@attribute`, in order.
    pub attributes: Vec<Attribute>,
    /// The data, a column for each attribute.
    pub columns: Vec<Column>,
}

/// A column as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub kind: Kind,
}

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `numeric`, `real` or `integer`.
    Numeric,
    /// One of these words.
    Nominal(Vec<String>),
    /// `string`, and `date`, which is kept as it is written.
    Text,
    /// A table for each row.
    Relational(Vec<Attribute>),
}

/// The values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// NaN where missing.
    Numeric(Vec<f64>),
    /// Index into the words of the attribute.
    Nominal(Vec<Option<usize>>),
    Text(Vec<Option<String>>),
    /// The columns of the table of each row.
    Relational(Vec<Option<Vec<Column>>>),
}

impl Column {
    fn empty(kind: &Kind) -> Self {
        match kind {
            Kind::Numeric => Self::Numeric(Vec::new()),
            Kind::Nominal(_) => Self::Nominal(Vec::new()),
            Kind::Text => Self::Text(Vec::new()),
            Kind::Relational(_) => Self::Relational(Vec::new()),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numeric(v) => v.len(),
            Self::Nominal(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::Relational(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads an ARFF file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<ArffFile> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads the bytes of an ARFF file.
///
/// # Errors
/// [`Error::File`] naming the line when it is not UTF-8, a declaration is not understood, a row has
/// another number of values than there are attributes, a value is no number or none of the words
/// of its attribute, or there is no row.
pub fn parse(bytes: &[u8], path: &Path) -> Result<ArffFile> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::file(
            path,
            format!("byte {}", e.valid_up_to()),
            "is not UTF-8 text",
            "save the file as UTF-8",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l.trim()));
    let mut relation = String::new();
    let mut levels: Vec<(String, Vec<Attribute>)> = vec![(String::new(), Vec::new())];
    for (number, line) in lines.by_ref() {
        let wrong = |problem: String, remedy: &str| {
            Err(Error::file(path, format!("line {number}"), problem, remedy))
        };
        if line.is_empty() || line.starts_with('%') {
            continue;
        }
        let (key, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
        match key.to_ascii_lowercase().as_str() {
            "@relation" => {
                relation = words(rest).into_iter().next().unwrap_or_default();
            }
            "@attribute" => {
                let Some((name, kind)) = declaration(rest) else {
                    return wrong(
                        format!("cannot understand the attribute {:?}", cut(rest)),
                        "write @attribute NAME numeric, {a,b}, string, date or relational",
                    );
                };
                if kind != Declared::Relational {
                    last(&mut levels).1.push(Attribute {
                        name,
                        kind: kind.into(),
                    });
                } else if levels.len() > DEEPEST {
                    return wrong(
                        format!("more than {DEEPEST} relational attributes inside each other"),
                        "flatten the table",
                    );
                } else {
                    levels.push((name, Vec::new()));
                }
            }
            "@end" if levels.len() > 1 => {
                let name = words(rest).into_iter().next().unwrap_or_default();
                let (opened, inner) = levels.pop().unwrap_or_default();
                if name != opened {
                    return wrong(
                        format!("@end {name} ends the attribute {opened}"),
                        "end every relational attribute by its own name",
                    );
                }
                unique(&inner, path)?;
                last(&mut levels).1.push(Attribute {
                    name,
                    kind: Kind::Relational(inner),
                });
            }
            "@data" => {
                if levels.len() > 1 {
                    return wrong(
                        format!("the attribute {} has no @end", levels[levels.len() - 1].0),
                        "end every relational attribute before @data",
                    );
                }
                break;
            }
            _ => {
                return wrong(
                    format!("cannot understand {:?}", cut(line)),
                    "check that this is an ARFF file",
                );
            }
        }
    }
    let (_, attributes) = levels.swap_remove(0);
    if attributes.is_empty() || levels.len() > 1 {
        return Err(Error::file(
            path,
            "@attribute",
            "the file declares no attributes before @data",
            "check that this is an ARFF file",
        ));
    }
    unique(&attributes, path)?;
    let mut table = Table::new(&attributes, path, SPARSEST.saturating_mul(bytes.len()));
    for (number, line) in lines {
        if !line.is_empty() && !line.starts_with('%') {
            table.push(line, number)?;
        }
    }
    let columns = table.columns;
    if columns.iter().all(Column::is_empty) {
        return Err(Error::file(
            path,
            "@data",
            "has no rows",
            "check that the file is complete",
        ));
    }
    Ok(ArffFile {
        relation,
        attributes,
        columns,
    })
}

fn last(levels: &mut [(String, Vec<Attribute>)]) -> &mut (String, Vec<Attribute>) {
    let end = levels.len() - 1;
    &mut levels[end]
}

fn unique(attributes: &[Attribute], path: &Path) -> Result<()> {
    let mut names: Vec<&str> = attributes.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|w| w[0] == w[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::file(
            path,
            "@attribute",
            format!("the attribute {:?} is there twice", pair[0]),
            "give every attribute its own name",
        )),
    }
}

fn cut(text: &str) -> String {
    text.trim().chars().take(60).collect()
}

#[derive(PartialEq)]
enum Declared {
    Plain(Kind),
    Relational,
}

impl From<Declared> for Kind {
    fn from(declared: Declared) -> Self {
        match declared {
            Declared::Plain(kind) => kind,
            Declared::Relational => Self::Relational(Vec::new()),
        }
    }
}

/// Name and type of what stands after `@attribute`.
fn declaration(text: &str) -> Option<(String, Declared)> {
    let (name, rest) = lex::name(text)?;
    let rest = rest.trim();
    if let Some(list) = rest.strip_prefix('{') {
        let list = list.strip_suffix('}')?;
        return Some((name, Declared::Plain(Kind::Nominal(words(list)))));
    }
    let kind = rest.split_whitespace().next()?.to_ascii_lowercase();
    let kind = match kind.as_str() {
        "numeric" | "real" | "integer" => Declared::Plain(Kind::Numeric),
        "string" | "date" => Declared::Plain(Kind::Text),
        "relational" => Declared::Relational,
        _ => return None,
    };
    Some((name, kind))
}

/// A table that grows row by row.
struct Table<'a> {
    attributes: &'a [Attribute],
    columns: Vec<Column>,
    path: &'a Path,
    /// Cells that may still be made without being written out.
    budget: usize,
}

impl<'a> Table<'a> {
    fn new(attributes: &'a [Attribute], path: &'a Path, budget: usize) -> Self {
        Self {
            columns: attributes.iter().map(|a| Column::empty(&a.kind)).collect(),
            attributes,
            path,
            budget,
        }
    }

    fn push(&mut self, line: &str, number: usize) -> Result<()> {
        let wrong = |problem: String, remedy: &str| {
            Error::file(self.path, format!("line {number}"), problem, remedy)
        };
        let n = self.attributes.len();
        let tokens = match row(line) {
            Err(problem) => return Err(wrong(problem.into(), "correct the line")),
            Ok(Row::Dense(tokens)) => {
                if tokens.len() != n {
                    return Err(wrong(
                        format!("has {} values for {n} attributes", tokens.len()),
                        "give one value for each attribute",
                    ));
                }
                tokens
            }
            Ok(Row::Sparse(pairs)) => {
                self.budget = spend(self.budget, n, number, self.path)?;
                let mut tokens: Vec<Token> = self.attributes.iter().map(|_| Token::Zero).collect();
                for (at, token) in pairs {
                    let Some(slot) = tokens.get_mut(at) else {
                        return Err(wrong(
                            format!("value {at} for {n} attributes"),
                            "number the attributes from 0",
                        ));
                    };
                    *slot = token;
                }
                tokens
            }
        };
        for ((attribute, column), token) in
            self.attributes.iter().zip(&mut self.columns).zip(tokens)
        {
            let wrong = |problem: String, remedy: &str| {
                Error::file(
                    self.path,
                    format!("line {number}, attribute {:?}", attribute.name),
                    problem,
                    remedy,
                )
            };
            match (column, &attribute.kind) {
                (Column::Numeric(values), _) => values.push(match token {
                    Token::Missing => f64::NAN,
                    Token::Zero => 0.0,
                    Token::Word(word) => fast_float2::parse(word.as_bytes()).map_err(|_| {
                        wrong(
                            format!("{:?} is no number", cut(&word)),
                            "write a number, or ? where it is missing",
                        )
                    })?,
                }),
                (Column::Nominal(codes), Kind::Nominal(words)) => codes.push(match token {
                    Token::Missing => None,
                    // In a sparse row the first word stands for itself.
                    Token::Zero => (!words.is_empty()).then_some(0),
                    Token::Word(word) => {
                        let code = words.iter().position(|w| *w == word);
                        Some(code.ok_or_else(|| {
                            wrong(
                                format!("{:?} is none of {}", cut(&word), cut(&words.join(", "))),
                                "correct the value, or add it to the attribute",
                            )
                        })?)
                    }
                }),
                (Column::Text(texts), _) => texts.push(match token {
                    Token::Word(word) => Some(word.into_owned()),
                    Token::Missing | Token::Zero => None,
                }),
                (Column::Relational(tables), Kind::Relational(inner)) => tables.push(match token {
                    Token::Word(word) => {
                        let left = spend(self.budget, inner.len(), number, self.path)?;
                        let mut table = Table::new(inner, self.path, left);
                        for line in word.lines().map(str::trim).filter(|l| !l.is_empty()) {
                            table.push(line, number)?;
                        }
                        self.budget = table.budget;
                        Some(table.columns)
                    }
                    Token::Missing | Token::Zero => None,
                }),
                // Columns are made from the kinds of their attributes.
                (Column::Nominal(_) | Column::Relational(_), _) => {}
            }
        }
        Ok(())
    }
}

/// The budget less `cells`.
fn spend(budget: usize, cells: usize, line: usize, path: &Path) -> Result<usize> {
    budget.checked_sub(cells).ok_or_else(|| {
        Error::file(
            path,
            format!("line {line}"),
            format!("the rows stand for more than {SPARSEST} cells a byte"),
            "write the rows out",
        )
    })
}

impl ArffFile {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// Index of an attribute.
    pub fn attribute(&self, name: &str) -> Option<usize> {
        self.attributes.iter().position(|a| a.name == name)
    }

    /// The numeric attributes: their names and (rows, attributes), NaN where missing.
    pub fn numbers(&self) -> (Vec<String>, Array2<f32>) {
        let numeric: Vec<(&Attribute, &Vec<f64>)> = self
            .attributes
            .iter()
            .zip(&self.columns)
            .filter_map(|(a, c)| match c {
                Column::Numeric(values) => Some((a, values)),
                _ => None,
            })
            .collect();
        let names = numeric.iter().map(|(a, _)| a.name.clone()).collect();
        let values = Array2::from_shape_fn((self.rows(), numeric.len()), |(row, column)| {
            numeric[column].1[row] as f32
        });
        (names, values)
    }

    /// The words of the last nominal attribute and an index into them for every row: the class.
    ///
    /// # Errors
    /// [`Error::File`] when there is no nominal attribute, or a row has no class.
    pub fn classes(&self, path: &Path) -> Result<(Vec<String>, Vec<usize>)> {
        let nominal = self.attributes.iter().zip(&self.columns).rev();
        let Some((attribute, words, codes)) = nominal
            .filter_map(|(a, c)| match (&a.kind, c) {
                (Kind::Nominal(words), Column::Nominal(codes)) => Some((a, words, codes)),
                _ => None,
            })
            .next()
        else {
            return Err(Error::file(
                path,
                "@attribute",
                "no attribute is nominal, so there is no class",
                "declare the class as {a,b,...}",
            ));
        };
        let codes = codes.iter().enumerate().map(|(row, code)| {
            code.ok_or_else(|| {
                Error::file(
                    path,
                    &attribute.name,
                    format!("row {row} has no class"),
                    "give every row a class",
                )
            })
        });
        Ok((words.clone(), codes.collect::<Result<_>>()?))
    }

    /// The samples of a file of the UEA or UCR archive: a relational attribute with a row for each
    /// dimension, or a numeric attribute for each time step, and a class.
    ///
    /// # Errors
    /// [`Error::File`] when there is no class, no series, a series is missing, or series differ in
    /// their number of dimensions.
    pub fn into_ts(self, path: &Path) -> Result<TsFile> {
        let (classes, y) = self.classes(path)?;
        let series = self.columns.iter().find_map(|c| match c {
            Column::Relational(tables) => Some(tables),
            _ => None,
        });
        let x = match series {
            None => {
                let (_, values) = self.numbers();
                values.insert_axis(ndarray::Axis(1))
            }
            Some(tables) => samples(tables, path)?,
        };
        if x.is_empty() {
            return Err(Error::file(
                path,
                "@attribute",
                "no attribute holds a series",
                "declare a relational attribute of numbers, or a number for each time step",
            ));
        }
        Ok(TsFile {
            problem: self.relation,
            classes,
            x,
            y,
        })
    }
}

/// (samples, dimensions, time) out of tables of a row for each dimension.
fn samples(tables: &[Option<Vec<Column>>], path: &Path) -> Result<Array3<f32>> {
    let wrong = |row: usize, problem: String| {
        Error::file(
            path,
            format!("row {row}"),
            problem,
            "give every row a table of numbers with the same number of dimensions",
        )
    };
    let shape = |table: &Option<Vec<Column>>| {
        let table = table.as_ref()?;
        Some((table.first().map_or(0, Column::len), table.len()))
    };
    let first = tables.first().and_then(shape);
    let (dimensions, time) = first.ok_or_else(|| wrong(0, "has no series".into()))?;
    let mut x = Array3::zeros((tables.len(), dimensions, time));
    for (row, table) in tables.iter().enumerate() {
        if shape(table) != first {
            let found = shape(table).map_or(0, |s| s.0);
            return Err(wrong(
                row,
                format!("has {found} dimensions, not {dimensions}"),
            ));
        }
        for (t, column) in table.iter().flatten().enumerate() {
            let Column::Numeric(values) = column else {
                return Err(wrong(row, format!("time step {t} is no number")));
            };
            for (d, value) in values.iter().enumerate() {
                x[[row, d, t]] = *value as f32;
            }
        }
    }
    Ok(x)
}

#[cfg(test)]
mod tests;
