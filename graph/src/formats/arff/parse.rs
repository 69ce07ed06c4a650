//! The declarations of a file, and the way from its bytes to columns.

use std::path::Path;

use super::lex::{self, words};
use super::rows::{SPARSEST, Table};
use super::{ArffFile, Attribute, Column, Kind, cut};
use crate::{Error, Result, files};

/// Relational attributes inside relational attributes are read to this depth.
const DEEPEST: usize = 4;

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
    let text = files::text(bytes, path, "save the file as UTF-8")?;
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
