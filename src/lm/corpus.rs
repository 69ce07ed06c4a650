//! Token streams: texts through a tokenizer, or tables of tokens, one after another.

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use tgmamba_graph::{SourceFile, files, table};

use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::training::random::stream;

/// Columns in which token shards are looked for.
const COLUMNS: [&str; 4] = ["input_ids", "tokens", "token_ids", "ids"];

/// Whether a file is a table of tokens rather than a text.
fn is_table(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ["parquet", "arrow", "feather", "ipc"].contains(&extension)
}

/// The texts among `paths`, from which a tokenizer may learn.
///
/// # Errors
/// A file that is missing or no UTF-8; no text at all.
pub fn texts(paths: &[PathBuf]) -> Result<Vec<String>> {
    let texts: Vec<String> = paths
        .iter()
        .filter(|path| !is_table(path))
        .map(files::read_text)
        .collect::<Result<_>>()?;
    match texts.is_empty() {
        true => Err(Error::config(
            "--tokenizer",
            "there is no text to learn from, only tables",
            "name the tokenizer that made the tables",
        )),
        false => Ok(texts),
    }
}

/// The tokens of files, packed: texts and the lists of tables follow each other with the tokenizer's
/// end of text between them.
///
/// Tables are Parquet or Arrow with a column `input_ids`, `tokens`, `token_ids` or `ids` of lists or
/// of plain numbers.
///
/// # Errors
/// A file that is missing or damaged, a table without such a column, a token beyond the tokenizer.
pub fn read(paths: &[PathBuf], tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut tokens = Vec::new();
    let end = tokenizer.end_of_text();
    for path in paths {
        if !is_table(path) {
            tokens.extend(tokenizer.encode(&files::read_text(path)?)?);
            tokens.extend(end);
            continue;
        }
        let (values, ends) = numbers(path)?;
        let mut start = 0;
        for stop in ends {
            for value in &values[start..stop] {
                let id = u32::try_from(*value)
                    .ok()
                    .filter(|id| (*id as usize) < tokenizer.size());
                tokens.push(id.ok_or_else(|| {
                    Error::file(
                        path,
                        "tokens",
                        format!(
                            "token {value} is none of the tokenizer's {}",
                            tokenizer.size()
                        ),
                        "give the tokenizer that made the table",
                    )
                })?);
            }
            tokens.extend(end.filter(|end| tokens.last() != Some(end)));
            start = stop;
        }
    }
    Ok(tokens)
}

fn numbers(path: &Path) -> Result<(Vec<i64>, Vec<usize>)> {
    let table = table::read(path)?;
    let column = COLUMNS
        .iter()
        .find(|name| table.column_by_name(name).is_some());
    let Some(column) = column else {
        let schema = table.schema();
        let found: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return Err(Error::file(
            path,
            "columns",
            format!(
                "none of {} is there, but {}",
                COLUMNS.join(", "),
                found.join(", ")
            ),
            "rename the column of tokens to input_ids",
        ));
    };
    table::i64_lists(&table, column)
}

/// Name and hash of every file.
///
/// # Errors
/// A file that cannot be read.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<SourceFile>> {
    paths.iter().map(files::source_file).collect()
}

/// Windows of a token stream: `length` inputs and, one further, as many targets.
#[derive(Debug, Clone)]
pub struct Windows {
    tokens: Vec<u32>,
    length: usize,
}

impl Windows {
    /// # Errors
    /// A stream shorter than one window.
    pub fn new(tokens: Vec<u32>, length: usize, what: &str) -> Result<Self> {
        match tokens.len() > length && length > 0 {
            true => Ok(Self { tokens, length }),
            false => Err(Error::config(
                "--seq-len",
                format!(
                    "{what} has {} tokens, a window {} and its target",
                    tokens.len(),
                    length
                ),
                "give more data or a smaller --seq-len",
            )),
        }
    }

    /// Number of windows.
    pub fn count(&self) -> usize {
        (self.tokens.len() - 1) / self.length
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Window `index`: `length + 1` tokens, the last of which begins the next window.
    pub fn window(&self, index: usize) -> &[u32] {
        &self.tokens[index * self.length..(index + 1) * self.length + 1]
    }

    /// The windows of draw `first`, `first + 1`, ...: every pass over all windows has an order of its
    /// own, a function of seed and pass alone.
    pub fn draws(&self, seed: u64, first: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.count();
        let mut known: Option<(usize, Vec<usize>)> = None;
        (first..).map(move |draw| {
            let pass = draw / count;
            if known.as_ref().is_none_or(|(of, _)| *of != pass) {
                let mut order: Vec<usize> = (0..count).collect();
                let seed = stream(seed, "order", pass as u64);
                order.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
                known = Some((pass, order));
            }
            known.as_ref().map_or(0, |(_, order)| order[draw % count])
        })
    }
}

#[cfg(test)]
mod tests {
    use tgmamba_graph::table::Column;

    use super::*;

    #[test]
    fn windows_share_one_token_and_passes_see_each_once() {
        let windows = Windows::new((0..11).collect(), 3, "data").unwrap();
        assert_eq!(windows.count(), 3);
        assert_eq!(windows.window(0), [0, 1, 2, 3]);
        assert_eq!(windows.window(2), [6, 7, 8, 9]);
        let draws: Vec<usize> = windows.draws(1, 0).take(60).collect();
        for pass in draws.chunks(3) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, [0, 1, 2]);
        }
        assert!(draws.chunks(3).any(|pass| pass != &draws[..3]));
        // From the middle on it is the same.
        let later: Vec<usize> = windows.draws(1, 7).take(20).collect();
        assert_eq!(later, draws[7..27]);
        assert!(Windows::new(vec![1, 2, 3], 3, "data").is_err());
    }

    #[test]
    fn texts_and_tables_are_packed() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("a.txt");
        std::fs::write(&text, "ab").unwrap();
        let shard = folder.path().join("b.parquet");
        let batch = table::batch(vec![("tokens", Column::I64(vec![5, 6, 7]))]).unwrap();
        table::write_parquet(&shard, &batch).unwrap();
        let tokenizer = Tokenizer::bytes().unwrap();
        let ab = tokenizer.encode("ab").unwrap();
        let found = read(&[text.clone(), shard.clone()], &tokenizer).unwrap();
        assert_eq!(found, [&ab[..], &[256, 5, 6, 7, 256]].concat());

        let batch = table::batch(vec![("tokens", Column::I64(vec![5, 257]))]).unwrap();
        table::write_parquet(&shard, &batch).unwrap();
        let message = read(std::slice::from_ref(&shard), &tokenizer)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("token 257") && message.contains("b.parquet"),
            "{message}"
        );
        let batch = table::batch(vec![("words", Column::I64(vec![5]))]).unwrap();
        table::write_parquet(&shard, &batch).unwrap();
        let message = read(std::slice::from_ref(&shard), &tokenizer)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("input_ids") && message.contains("words"),
            "{message}"
        );
        assert!(texts(&[shard]).is_err());
        assert_eq!(texts(&[text]).unwrap(), ["ab"]);
    }
}
