//! Strings as the text protocols of old write them.

/// The bytes of a quoted string as Python 2's `repr` writes it.
pub(super) fn unquote(line: &str) -> Option<Vec<u8>> {
    let line = line.trim();
    let quote = line.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = line.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = Vec::new();
    let mut at = inside.bytes();
    while let Some(b) = at.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        out.push(match at.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => {
                let digits = [at.next()?, at.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b @ (b'\\' | b'\'' | b'"') => b,
            _ => return None,
        });
    }
    Some(out)
}

/// Text in Python's raw-unicode-escape: Latin-1, with `\u` and `\U` for the rest.
pub(super) fn unescape(line: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = line;
    while let [first, after @ ..] = rest {
        let digits = match (first, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(*first));
                rest = after;
                continue;
            }
        };
        let code = std::str::from_utf8(after.get(1..1 + digits)?).ok()?;
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = &after[1 + digits..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_old_protocols() {
        assert_eq!(unquote(r"'a\'\\\x00\n'").unwrap(), b"a'\\\0\n");
        assert_eq!(unquote("\"it's\"").unwrap(), b"it's");
        for bad in ["", "'", "abc", "'a", r"'\x0'", r"'\q'", "'a\""] {
            assert!(unquote(bad).is_none(), "{bad}");
        }
        assert_eq!(
            unescape(b"a\xe9\\u20ac\\U0001f600").unwrap(),
            "a\u{e9}\u{20ac}\u{1f600}"
        );
        for bad in [&b"\\u12"[..], b"\\ud800", b"\\Uffffffff", b"\\uzzzz"] {
            assert!(unescape(bad).is_none());
        }
    }
}
