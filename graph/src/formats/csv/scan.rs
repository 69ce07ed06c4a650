//! Cells of a text table: RFC 4180 quotes, any one-byte delimiter, lines that end in `\n`, `\r\n`
//! or not at all.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

/// A cell as it stands in the file, without the quotes around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    raw: &'a [u8],
    /// Quotes inside are doubled.
    doubled: bool,
}

impl<'a> Cell<'a> {
    /// The text without white space around it; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(self.raw.trim_ascii());
        if self.doubled {
            return Cow::Owned(text.replace("\"\"", "\""));
        }
        text
    }

    /// The bytes without white space around them.
    pub fn bytes(&self) -> &'a [u8] {
        self.raw.trim_ascii()
    }
}

/// What stands after a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Another cell of the line.
    Delimiter,
    /// The end of the line or of the file.
    Line,
    /// Text after a closing quote, or no closing quote.
    Broken,
}

/// The cell that starts at `at`, where the next one starts, and what is between.
pub(super) fn cell(bytes: &[u8], at: usize, delimiter: u8) -> (Cell<'_>, usize, End) {
    if bytes.get(at) == Some(&b'"') {
        return quoted(bytes, at, delimiter);
    }
    let rest = &bytes[at.min(bytes.len())..];
    let length = rest
        .iter()
        .position(|b| *b == delimiter || *b == b'\n')
        .unwrap_or(rest.len());
    let cell = Cell {
        raw: &rest[..length],
        doubled: false,
    };
    let end = match rest.get(length) {
        Some(b) if *b == delimiter => End::Delimiter,
        _ => End::Line,
    };
    (cell, at + length + 1, end)
}

fn quoted(bytes: &[u8], at: usize, delimiter: u8) -> (Cell<'_>, usize, End) {
    let start = at + 1;
    let mut doubled = false;
    let mut from = start;
    while let Some(n) = memchr(b'"', &bytes[from..]) {
        let close = from + n;
        if bytes.get(close + 1) == Some(&b'"') {
            doubled = true;
            from = close + 2;
            continue;
        }
        let cell = Cell {
            raw: &bytes[start..close],
            doubled,
        };
        let mut next = close + 1;
        while matches!(bytes.get(next), Some(b' ' | b'\r')) && delimiter != b' ' {
            next += 1;
        }
        let end = match bytes.get(next) {
            None | Some(b'\n') => End::Line,
            Some(b) if *b == delimiter => End::Delimiter,
            Some(_) => End::Broken,
        };
        return (cell, next + 1, end);
    }
    let cell = Cell {
        raw: &bytes[start.min(bytes.len())..],
        doubled,
    };
    (cell, bytes.len(), End::Broken)
}

/// Where the line after the one at `at` starts; quotes mean nothing here.
pub(super) fn after_line(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n + 1)
}

/// Whether the line at `at` is empty or a comment.
pub(super) fn is_blank(bytes: &[u8], at: usize, comment: Option<u8>) -> bool {
    match bytes.get(at) {
        None | Some(b'\n') => true,
        Some(b'\r') => matches!(bytes.get(at + 1), None | Some(b'\n')),
        Some(b) => Some(*b) == comment,
    }
}

/// Number of the line that byte `at` stands on, from 1.
pub(super) fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + memchr_iter(b'\n', &bytes[..at.min(bytes.len())]).count()
}

/// Where the white space at the end of the file starts.
pub(super) fn content_end(bytes: &[u8]) -> usize {
    bytes.trim_ascii_end().len()
}

/// Cuts `bytes[from..]` into about `parts` pieces at ends of lines that are not inside quotes.
pub(super) fn pieces(bytes: &[u8], from: usize, parts: usize) -> Vec<(usize, usize)> {
    let end = bytes.len();
    let size = (end - from.min(end)) / parts.max(1) + 1;
    let mut out = Vec::new();
    let mut start = from.min(end);
    while start < end {
        let mut stop = (start + size).min(end);
        if stop < end {
            // A quote is open where an odd number of them came before.
            let mut open = memchr_iter(b'"', &bytes[start..stop]).count() % 2 == 1;
            stop = loop {
                match memchr2(b'"', b'\n', &bytes[stop..]) {
                    None => break end,
                    Some(n) if bytes[stop + n] == b'"' => {
                        open = !open;
                        stop += n + 1;
                    }
                    Some(n) if open => stop += n + 1,
                    Some(n) => break stop + n + 1,
                }
            };
        }
        out.push((start, stop));
        start = stop;
    }
    out
}

/// The delimiter of a line: the most frequent of comma, semicolon and tab outside quotes, a comma
/// when there is none.
pub(super) fn guess_delimiter(line: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut open = false;
    for b in line {
        match b {
            b'"' => open = !open,
            _ if open => {}
            _ => {
                if let Some((_, n)) = counts.iter_mut().find(|(c, _)| c == b) {
                    *n += 1;
                }
            }
        }
    }
    // Of equally frequent ones the first wins.
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
    counts
        .iter()
        .find(|(_, n)| *n == most)
        .map_or(b',', |(c, _)| *c)
}

/// The line that byte `at` stands on, cut to 60 bytes, for messages.
pub(super) fn excerpt(bytes: &[u8], at: usize) -> String {
    let at = at.min(bytes.len());
    let start = memrchr(b'\n', &bytes[..at]).map_or(0, |n| n + 1);
    let line = bytes[start..after_line(bytes, start)].trim_ascii();
    String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> (Vec<String>, End) {
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let (c, next, end) = cell(line.as_bytes(), at, b',');
            out.push(c.text().into_owned());
            at = next;
            if end != End::Delimiter {
                return (out, end);
            }
        }
    }

    #[test]
    fn quotes_of_rfc_4180() {
        let text = |l: &str| cells(l).0;
        assert_eq!(text("a, b ,c\r\nd"), ["a", "b", "c"]);
        assert_eq!(
            text("\"a,b\",\"say \"\"x\"\"\",\"\""),
            ["a,b", "say \"x\"", ""]
        );
        assert_eq!(text("\"two\nlines\" ,2"), ["two\nlines", "2"]);
        assert_eq!(text("a,"), ["a", ""]);
        assert_eq!(text(""), [""]);
        assert_eq!(cells("\"a\"b,c").1, End::Broken);
        assert_eq!(cells("\"a").1, End::Broken);
        assert_eq!(cells("\"").1, End::Broken);
    }

    #[test]
    fn pieces_cover_the_bytes_and_end_at_lines() {
        let text = b"1,2\n3,\"a\nb\"\n5,\"\"\"\n\"\n7,8\n9,0";
        for parts in 1..20 {
            let pieces = pieces(text, 4, parts);
            assert_eq!(pieces[0].0, 4);
            assert_eq!(pieces[pieces.len() - 1].1, text.len());
            for w in pieces.windows(2) {
                assert_eq!(w[0].1, w[1].0);
                assert!([12, 20, 24].contains(&w[1].0), "{} {parts}", w[1].0);
            }
        }
        assert!(pieces(text, text.len(), 3).is_empty());
    }

    #[test]
    fn delimiters_are_guessed_outside_quotes() {
        assert_eq!(guess_delimiter(b"a,b;c,d"), b',');
        assert_eq!(guess_delimiter(b"\"a,b,c\";d;e"), b';');
        assert_eq!(guess_delimiter(b"a\tb"), b'\t');
        assert_eq!(guess_delimiter(b"abc"), b',');
    }
}
