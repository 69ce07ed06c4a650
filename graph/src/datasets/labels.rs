//! From labels as files have them (numbers or names) to class indices.

use std::collections::HashMap;
use std::path::Path;

use crate::{Error, Labels, Result, files};

/// Labels of one recording as written; numbers in decimal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    None,
    Whole(String),
    PerStep(Vec<String>),
    /// Class indices already.
    Known(Labels),
}

impl Raw {
    fn all(&self) -> &[String] {
        match self {
            Self::None | Self::Known(_) => &[],
            Self::Whole(one) => std::slice::from_ref(one),
            Self::PerStep(many) => many,
        }
    }
}

/// Labels out of a text file, separated by white space or commas; `1.0e+00` is read as `1`.
pub(super) fn read_text(path: &Path) -> Result<Vec<String>> {
    let text = files::read_text(path)?;
    let labels: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|t| !t.is_empty())
        .map(plain)
        .collect();
    if labels.is_empty() {
        return Err(Error::file(
            path,
            "labels",
            "the file is empty",
            "write one label per line",
        ));
    }
    Ok(labels)
}

/// A whole number in decimal, whatever its notation; other text as it is.
pub(super) fn plain(text: &str) -> String {
    match text.trim().parse::<f64>() {
        Ok(v) if v.fract() == 0.0 && v.abs() < 1e15 => (v as i64).to_string(),
        _ => text.trim().to_string(),
    }
}

/// Class indices of all recordings (name for messages, labels), and the class names.
///
/// With `values`, the i-th value stands for the i-th class. Otherwise a label is the name of a
/// class or its index; without `classes` the distinct labels are the classes, numbers in
/// numerical order.
pub(super) fn resolve(
    raw: &[(String, Raw)],
    mut classes: Vec<String>,
    values: &[i64],
) -> Result<(Vec<Labels>, Vec<String>)> {
    if !values.is_empty() && values.len() != classes.len() {
        return Err(Error::config(
            "label_values",
            format!("{} values for {} classes", values.len(), classes.len()),
            "give one value for each name in classes",
        ));
    }
    if classes.is_empty() {
        classes = raw.iter().flat_map(|(_, r)| r.all()).cloned().collect();
        classes.sort_by_key(|c| (c.parse::<i64>().unwrap_or(i64::MAX), c.clone()));
        classes.dedup();
    }
    let mut index: HashMap<String, usize> = HashMap::new();
    if values.is_empty() {
        for i in 0..classes.len() {
            index.insert(i.to_string(), i);
        }
        for (i, class) in classes.iter().enumerate() {
            index.insert(class.clone(), i);
        }
    } else {
        for (i, value) in values.iter().enumerate() {
            index.insert(value.to_string(), i);
        }
    }
    let labels = raw
        .iter()
        .map(|(name, raw)| {
            let mut found = raw.all().iter().enumerate().map(|(i, label)| {
                index.get(label).copied().ok_or_else(|| {
                    let step = match raw {
                        Raw::PerStep(_) => format!(" at time step {i}"),
                        _ => String::new(),
                    };
                    let known: Vec<String> = match values {
                        [] => classes.clone(),
                        values => values.iter().map(i64::to_string).collect(),
                    };
                    Error::config(
                        format!("recording {name}"),
                        format!(
                            "label {label:?}{step} is none of the {} classes {}",
                            classes.len(),
                            known.join(", ")
                        ),
                        "number labels from 0, or list names in classes and numbers in \
                         label_values",
                    )
                })
            });
            Ok(match raw {
                Raw::None => Labels::None,
                Raw::Known(labels) => labels.clone(),
                Raw::Whole(_) => found
                    .next()
                    .transpose()?
                    .map_or(Labels::None, Labels::Whole),
                Raw::PerStep(_) => Labels::PerStep(found.collect::<Result<_>>()?),
            })
        })
        .collect::<Result<_>>()?;
    Ok((labels, classes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(labels: &[&str], classes: &[&str], values: &[i64]) -> Result<(Vec<usize>, Vec<String>)> {
        let raw: Vec<_> = labels
            .iter()
            .map(|l| ("r".to_string(), Raw::Whole(l.to_string())))
            .collect();
        let classes = classes.iter().map(|c| c.to_string()).collect();
        let (labels, classes) = resolve(&raw, classes, values)?;
        let indices = labels.into_iter().map(|l| match l {
            Labels::Whole(i) => i,
            _ => panic!("lost a label"),
        });
        Ok((indices.collect(), classes))
    }

    #[test]
    fn names_numbers_and_values() {
        assert_eq!(go(&["b", "0"], &["a", "b"], &[]).unwrap().0, [1, 0]);
        assert_eq!(go(&["2", "1"], &["a", "b"], &[1, 2]).unwrap().0, [1, 0]);
        let (y, classes) = go(&["10", "9", "10"], &[], &[]).unwrap();
        assert_eq!((y, classes), (vec![1, 0, 1], vec!["9".into(), "10".into()]));
        for (label, values) in [
            ("2", vec![]),
            ("-1", vec![]),
            ("0", vec![1, 2]),
            ("c", vec![]),
        ] {
            let text = go(&[label], &["a", "b"], &values).unwrap_err().to_string();
            assert!(text.contains(&format!("{label:?}")), "{text}");
        }
        assert!(go(&["1"], &["a", "b"], &[1]).is_err());
    }

    #[test]
    fn text_in_several_notations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.txt");
        std::fs::write(&path, "1.0000000e+00\n0\nleft, 2.5\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), ["1", "0", "left", "2.5"]);
        std::fs::write(&path, "\n").unwrap();
        assert!(read_text(&path).is_err());
    }
}
