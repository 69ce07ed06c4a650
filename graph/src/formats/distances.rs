//! Lists of distances between sensors: a row `from,to,cost` for every way.
//!
//! So come DCRNN's `distances_la_2012.csv` (header `from,to,cost`), its `distances_bay_2017.csv`
//! (no header) and the `distance.csv` of the PEMS0x sets (header `from,to,cost` or
//! `from,to,distance`). Which sensors there are, and in which order, stands in another file: see
//! [`parse_ids`].

use std::collections::HashMap;
use std::path::Path;

use super::csv::{CsvConfig, parse_cells, parse_table};
use crate::{Error, Result, files};

/// Ways between named sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceList {
    /// (from, to, distance), in the order of the file.
    pub edges: Vec<(String, String, f64)>,
}

/// What to do with ways between sensors that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// Leave them out: the lists of DCRNN hold many more sensors than the data.
    Skip,
    /// Refuse them.
    Error,
}

/// Reads a list of distances.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, and as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<DistanceList> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads the bytes of a list of distances, with or without a header.
///
/// # Errors
/// [`Error::File`] naming the line when there are not three columns, a distance is no number, or
/// negative.
pub fn parse(bytes: &[u8], path: &Path) -> Result<DistanceList> {
    // The first line is a header when its last cell is no number.
    let start = if bytes.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let first = parse_cells(
        &bytes[start.min(line_end)..line_end],
        path,
        &CsvConfig::bare(),
    )?;
    if first.columns.len() != 3 {
        return Err(Error::file(
            path,
            "line 1",
            format!("has {} columns, not 3", first.columns.len()),
            "write from,to,cost",
        ));
    }
    let header = first.columns[2][0].parse::<f64>().is_err();
    let cell = |i: usize| match header {
        true => first.columns[i][0].clone(),
        false => i.to_string(),
    };
    let table = parse_table(
        bytes,
        path,
        &CsvConfig {
            header,
            text: vec![cell(0), cell(1)],
            ..Default::default()
        },
    )?;
    let mut edges = Vec::with_capacity(table.values.nrows());
    let ends = table.text[0].iter().zip(table.text[1].iter());
    for (row, ((from, to), cost)) in ends.zip(table.values.column(0)).enumerate() {
        if cost.is_nan() || *cost < 0.0 {
            return Err(Error::file(
                path,
                format!("row {}", row + 1),
                format!("the distance from {from} to {to} is {cost}"),
                "give a distance of 0 or more",
            ));
        }
        edges.push((from.to_string(), to.to_string(), f64::from(*cost)));
    }
    Ok(DistanceList { edges })
}

impl DistanceList {
    /// The ways as (from, to, distance) between indices into `sensors`.
    ///
    /// # Errors
    /// [`Error::File`] for a sensor that is not listed, unless those are skipped, and when no way
    /// is left.
    pub fn among(
        &self,
        sensors: &[String],
        unlisted: Unlisted,
        path: &Path,
    ) -> Result<Vec<(usize, usize, f64)>> {
        let index: HashMap<&str, usize> = sensors
            .iter()
            .enumerate()
            .map(|(i, s)| (s.as_str(), i))
            .collect();
        let mut out = Vec::new();
        for (row, (from, to, distance)) in self.edges.iter().enumerate() {
            match (index.get(from.as_str()), index.get(to.as_str())) {
                (Some(a), Some(b)) => out.push((*a, *b, *distance)),
                _ if unlisted == Unlisted::Skip => {}
                (a, _) => {
                    let name = if a.is_none() { from } else { to };
                    return Err(Error::file(
                        path,
                        format!("row {}", row + 1),
                        format!("there is no sensor {name}"),
                        "correct the list of distances or that of the sensors",
                    ));
                }
            }
        }
        if out.is_empty() && !self.edges.is_empty() {
            return Err(Error::file(
                path,
                "from, to",
                "no way joins two of the sensors",
                "check that both files name sensors in the same way",
            ));
        }
        Ok(out)
    }
}

/// Reads names of sensors, separated by commas, white space or line ends
/// (`graph_sensor_ids.txt`, `PEMS03.txt`).
///
/// # Errors
/// [`Error::File`] when it is not UTF-8, holds no name, or one twice.
pub fn parse_ids(bytes: &[u8], path: &Path) -> Result<Vec<String>> {
    let wrong =
        |problem: String| Error::file(path, "sensors", problem, "give every sensor its own name");
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    let ids: Vec<String> = text
        .trim_start_matches('\u{feff}')
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|s| !s.is_empty())
        .map(str::to_string)
        .collect();
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Err(wrong(format!("{} is there twice", pair[0])));
    }
    if ids.is_empty() {
        return Err(wrong("the file names none".into()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DistanceList> {
        parse(text.as_bytes(), Path::new("d.csv"))
    }

    fn edge(from: &str, to: &str, d: f64) -> (String, String, f64) {
        (from.into(), to.into(), d)
    }

    #[test]
    fn with_and_without_header() {
        let expected = [edge("717447", "717446", 2.5), edge("717446", "a", 0.0)];
        for head in [
            "from,to,cost\n",
            "from,to,distance\r\n",
            "",
            "\u{feff}from,to,cost\n",
        ] {
            let list = read(&format!("{head}717447,717446,2.5\n717446,a,0\n")).unwrap();
            assert_eq!(list.edges, expected, "{head}");
        }
    }

    #[test]
    fn indices_follow_the_sensors() {
        let sensors = ["c", "a"].map(String::from);
        let list = read("a,c,1\na,b,2\nc,a,3\n").unwrap();
        let p = Path::new("d.csv");
        let edges = list.among(&sensors, Unlisted::Skip, p).unwrap();
        assert_eq!(edges, [(1, 0, 1.0), (0, 1, 3.0)]);
        let error = list.among(&sensors, Unlisted::Error, p).unwrap_err();
        assert!(error.to_string().contains("row 2: there is no sensor b"));
        let others = ["x".to_string()];
        let error = list.among(&others, Unlisted::Skip, p).unwrap_err();
        assert!(error.to_string().contains("no way joins"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("a,b\n1,2\n", "has 2 columns"),
            ("from,to,cost\na,b,x\n", "line 2, column \"cost\""),
            ("a,b,1\na,b,-1\n", "row 2: the distance from a to b is -1"),
            ("from,to,cost\na,b,\n", "is NaN"),
            ("from,to,cost\n", "no rows"),
            ("", "no rows"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn names_of_sensors() {
        let read = |t: &str| parse_ids(t.as_bytes(), Path::new("ids.txt"));
        assert_eq!(read("773869,767541\n").unwrap(), ["773869", "767541"]);
        assert_eq!(read("1\r\n2\n3").unwrap(), ["1", "2", "3"]);
        assert!(
            read("1,1")
                .unwrap_err()
                .to_string()
                .contains("1 is there twice")
        );
        assert!(read(" ,\n").is_err());
        assert!(parse_ids(b"\xff", Path::new("i")).is_err());
    }

    #[test]
    fn damaged_lists_are_errors_or_lists_but_no_panic() {
        let text = b"from,to,cost\n717447,717446,2.5\n717446,\"a\",0\n";
        for n in 0..text.len() {
            let _ = parse(&text[..n], Path::new("d"));
            for flip in [1u8, 8, 0x20, 0x80] {
                let mut bytes = text.to_vec();
                bytes[n] ^= flip;
                let _ = parse(&bytes, Path::new("d"));
                let _ = parse_ids(&bytes, Path::new("d"));
            }
        }
    }
}
