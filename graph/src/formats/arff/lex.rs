//! Words of ARFF lines: quotes, escapes, lists and sparse rows.

use std::borrow::Cow;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// `?`
    Missing,
    /// Not written in a sparse row.
    Zero,
    /// As written, without quotes and escapes.
    Word(Cow<'a, str>),
}

/// A row of data.
#[derive(Debug, PartialEq)]
pub(super) enum Row<'a> {
    Dense(Vec<Token<'a>>),
    /// Attribute (from 0) and value.
    Sparse(Vec<(usize, Token<'a>)>),
}

/// The values of a line.
pub(super) fn row(line: &str) -> Result<Row<'_>, &'static str> {
    let Some(inside) = line.strip_prefix('{') else {
        let mut tokens = Vec::new();
        let mut rest = line;
        loop {
            let (token, after) = token(rest, false)?;
            tokens.push(token);
            match after.trim_start().strip_prefix(',') {
                Some(next) => rest = next,
                None if after.trim().is_empty() => return Ok(Row::Dense(tokens)),
                None if after.trim().starts_with('{') => {
                    return Err("has an instance weight, which is not read");
                }
                None => return Err("has text after a closing quote"),
            }
        }
    };
    let Some(inside) = inside.trim_end().strip_suffix('}') else {
        return Err("a sparse row has no closing brace");
    };
    let mut pairs = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let Ok(at) = rest[..digits].parse::<usize>() else {
            return Err("a value of a sparse row has no number of its attribute");
        };
        let (token, after) = token(rest[digits..].trim_start(), true)?;
        pairs.push((at, token));
        rest = match after.trim_start().strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after.trim().is_empty() => "",
            None => return Err("has text after a closing quote"),
        };
    }
    Ok(Row::Sparse(pairs))
}

/// The value at the start of `text`, and what follows it.
fn token(text: &str, sparse: bool) -> Result<(Token<'_>, &str), &'static str> {
    let text = text.trim_start();
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (word, rest) = quoted(&text[1..], quote).ok_or("a quote is not closed")?;
        return Ok((Token::Word(word), rest));
    }
    let (word, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
    Ok(match word.trim() {
        "?" => (Token::Missing, rest),
        "" if sparse => return Err("a value of a sparse row is empty"),
        word => (Token::Word(unescaped(word)), rest),
    })
}

/// The text up to the closing `quote`, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some((unescaped(&text[..at]), &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// Backslashes as Weka writes them.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A name, perhaps in quotes, and what follows it.
pub(super) fn name(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let (word, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => quoted(&text[1..], quote)?,
        _ => {
            let end = text.find([' ', '\t', '{'])?;
            (Cow::Borrowed(&text[..end]), &text[end..])
        }
    };
    Some((word.into_owned(), rest))
}

/// The words of a list separated by commas.
pub(super) fn words(list: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let Ok((token, after)) = token(rest, false) else {
            break;
        };
        match token {
            Token::Word(word) => out.push(word.into_owned()),
            Token::Missing => out.push("?".into()),
            Token::Zero => {}
        }
        rest = after.trim_start().strip_prefix(',').unwrap_or_default();
    }
    out
}
