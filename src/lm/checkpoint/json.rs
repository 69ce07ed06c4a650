//! JSON as checkpoints have it: with an infinity that JSON does not know.

use std::path::Path;

use serde_json::Value;
use tgmamba_graph::files;

use crate::error::{Error, Result};

/// Reads a configuration in which infinity may be the bare word `Infinity` or
/// `{"__float__": "Infinity"}`; both become null.
///
/// # Errors
/// A file that is missing or not JSON, with the line.
pub fn read(path: &Path) -> Result<Value> {
    let text = files::read_text(path)?;
    let mut value = serde_json::from_str(&without_infinity(&text)).map_err(|e| {
        Error::file(
            path,
            format!("line {}", e.line()),
            format!("not JSON ({e})"),
            "fetch or write the file again",
        )
    })?;
    resolve(&mut value);
    Ok(value)
}

/// `text` with the word Infinity, outside strings, replaced by null.
fn without_infinity(text: &str) -> String {
    const WORD: &str = "Infinity";
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(after) = rest.strip_prefix(WORD) {
            out.push_str("null");
            rest = after;
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn resolve(value: &mut Value) {
    match value {
        Value::Object(fields)
            if fields.len() == 1
                && fields.get("__float__").and_then(Value::as_str) == Some("Infinity") =>
        {
            *value = Value::Null;
        }
        Value::Object(fields) => fields.values_mut().for_each(resolve),
        Value::Array(items) => items.iter_mut().for_each(resolve),
        _ => {}
    }
}

/// What [`text`] writes as the bare word `Infinity`, which every version of Python reads.
pub const INFINITY: &str = "\u{1}Infinity";

/// A configuration as text.
pub fn text(value: &Value) -> String {
    let marked = Value::from(INFINITY).to_string();
    format!("{value:#}\n").replace(&marked, "Infinity")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn both_spellings_of_infinity_are_read() {
        let want = json!({"time_step_limit": [0.0, null], "name": "Infinity \" Infinity"});
        for limit in ["Infinity", r#"{"__float__": "Infinity"}"#] {
            let text =
                format!(r#"{{"time_step_limit": [0.0, {limit}], "name": "Infinity \" Infinity"}}"#);
            assert_eq!(parsed(&text), want);
        }
    }

    #[test]
    fn infinity_is_written_bare() {
        let written = text(&json!({"limit": [0.0, INFINITY]}));
        assert!(
            written.contains("Infinity") && !written.contains('\u{1}'),
            "{written}"
        );
        assert!(!written.contains("\"Infinity\""), "{written}");
        assert_eq!(parsed(&written), json!({"limit": [0.0, null]}));
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{\n\"a\": NaN}").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.contains("line 2") && message.contains("config.json"),
            "{message}"
        );
    }
}
