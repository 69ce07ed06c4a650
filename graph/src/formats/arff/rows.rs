//! The rows under `@data`, column by column.

use std::path::Path;

use super::lex::{Row, Token, row};
use super::{Attribute, Column, Kind, cut};
use crate::{Error, Result};

/// Sparse rows and small tables inside rows may stand for so many times more cells than the file
/// has bytes.
pub(super) const SPARSEST: usize = 64;

/// A table that grows row by row.
pub(super) struct Table<'a> {
    attributes: &'a [Attribute],
    pub columns: Vec<Column>,
    path: &'a Path,
    /// Cells that may still be made without being written out.
    budget: usize,
}

impl<'a> Table<'a> {
    pub fn new(attributes: &'a [Attribute], path: &'a Path, budget: usize) -> Self {
        Self {
            columns: attributes.iter().map(|a| Column::empty(&a.kind)).collect(),
            attributes,
            path,
            budget,
        }
    }

    pub fn push(&mut self, line: &str, number: usize) -> Result<()> {
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
