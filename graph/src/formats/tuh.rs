//! Annotations of the EEG corpora of Temple University Hospital: text files beside each EDF.
//!
//! | extension | release | holds |
//! |---|---|---|
//! | `.csv` | v2 | an event a line with its channel and type |
//! | `.csv_bi` | v2 | `seiz` and `bckg` for all channels together (channel `TERM`) |
//! | `.tse`, `.tse_bi` | v1 | start, stop, label and probability a line, for all channels |
//! | `.lbl`, `.lbl_bi` | v1 | events with a channel and a probability for each label |
//!
//! Times are seconds after the start of the EDF file. What a file is, is told by its content.
//!
//! Sources: the corpora's `AAREADME.txt` (TUSZ v1.5.2 and v2.0.3); Ochal et al., "The Temple
//! University Hospital EEG Corpus: Annotation Guidelines", 2020.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Error, Result, files};

/// Content of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotations {
    /// Events in the order of the file.
    pub events: Vec<Event>,
    /// Length of the recording in seconds, where the file tells it.
    pub duration: Option<f64>,
}

/// A stretch of time with a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Derivation (`FP1-F7`); `None`: all.
    pub channel: Option<String>,
    /// Seconds after the start of the recording.
    pub start: f64,
    /// Seconds after the start of the recording.
    pub stop: f64,
    /// Label in lower case (`bckg`, `seiz`, `fnsz`, ...).
    pub label: String,
    /// Probability of the label, 1 where people gave it.
    pub confidence: f64,
}

/// Reads a file.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; otherwise as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<Annotations> {
    let path = path.as_ref();
    parse(&files::read(path)?, path)
}

/// Reads a file that is in memory; `path` is for messages.
///
/// # Errors
/// [`Error::File`] naming the line when the text is none of these formats or of another version,
/// a line has too few fields, a time is no number or runs backwards, or a label has no name.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Annotations> {
    let text = files::text(bytes, path, REMEDY)?;
    let lines = Lines { text, path };
    let Some((number, first)) = lines.content().next() else {
        return Err(lines.wrong(1, "the file is empty", REMEDY));
    };
    let kind = match first.split_once('=') {
        Some((key, version)) if key.trim() == "version" => version.trim(),
        _ if first.starts_with("channel,") => lines.comment("version").unwrap_or("csv_v1.0.0"),
        _ if first.starts_with(|c: char| c.is_ascii_digit()) => "tse_v1.0.0",
        _ => {
            let problem = format!("{first:?} starts neither a table of events nor names a version");
            return Err(lines.wrong(number, problem, REMEDY));
        }
    };
    match kind.split_once("_v") {
        Some(("csv", version)) if version.starts_with("1.") => lines.csv(),
        Some(("tse", version)) if version.starts_with("1.") => lines.tse(),
        Some(("lbl", version)) if version.starts_with("1.") => lines.lbl(),
        _ => Err(lines.wrong(
            number,
            format!("version {kind:?} is not read"),
            "give a file of version csv_v1, tse_v1 or lbl_v1",
        )),
    }
}

const REMEDY: &str = "fetch the file again";

struct Lines<'a> {
    text: &'a str,
    path: &'a Path,
}

impl<'a> Lines<'a> {
    fn wrong(&self, line: usize, problem: impl Into<String>, remedy: &str) -> Error {
        Error::file(self.path, format!("line {line}"), problem, remedy)
    }

    /// Lines that are not empty and no comment, with their numbers from 1.
    fn content(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let lines = self.text.lines().map(str::trim);
        let numbered = lines.enumerate().map(|(i, line)| (i + 1, line));
        numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }

    /// What a comment `# key = value` says.
    fn comment(&self, key: &str) -> Option<&'a str> {
        self.text.lines().find_map(|line| {
            let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
            (name.trim() == key).then(|| value.trim())
        })
    }

    fn event(
        &self,
        line: usize,
        channel: Option<String>,
        [start, stop, confidence]: [&str; 3],
        label: &str,
    ) -> Result<Event> {
        let number = |text: &str, what: &str| {
            let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
            let problem = || format!("{text:?} is no {what}");
            number.ok_or_else(|| self.wrong(line, problem(), "write a number"))
        };
        let event = Event {
            channel,
            start: number(start, "start time")?,
            stop: number(stop, "stop time")?,
            label: label.trim().to_ascii_lowercase(),
            confidence: number(confidence, "probability")?,
        };
        if event.label.is_empty() {
            return Err(self.wrong(line, "the label is empty", REMEDY));
        }
        if event.start < 0.0 || event.stop < event.start {
            let problem = format!("the event lasts from {} s to {} s", event.start, event.stop);
            return Err(self.wrong(line, problem, "give times that run forward from 0"));
        }
        Ok(event)
    }

    fn csv(&self) -> Result<Annotations> {
        const HEADER: &str = "channel,start_time,stop_time,label,confidence";
        let mut events = Vec::new();
        for (i, (line, text)) in self.content().enumerate() {
            let cells: Vec<&str> = text.split(',').map(str::trim).collect();
            if i == 0 {
                if cells.join(",") != HEADER {
                    let problem = format!("the columns are {text:?}");
                    return Err(self.wrong(line, problem, &format!("name them {HEADER}")));
                }
                continue;
            }
            let [channel, start, stop, label, confidence] = cells[..] else {
                let problem = format!("has {} cells, not 5", cells.len());
                return Err(self.wrong(line, problem, REMEDY));
            };
            let channel = (channel != "TERM").then(|| channel.to_string());
            events.push(self.event(line, channel, [start, stop, confidence], label)?);
        }
        let duration = self.comment("duration").and_then(|text| {
            let number = text.split_whitespace().next()?.parse().ok();
            number.filter(|d: &f64| d.is_finite() && *d >= 0.0)
        });
        Ok(Annotations { events, duration })
    }

    fn tse(&self) -> Result<Annotations> {
        let mut events = Vec::new();
        for (line, text) in self.content().filter(|(_, t)| !t.starts_with("version")) {
            let cells: Vec<&str> = text.split_whitespace().collect();
            let [start, stop, label, confidence] = cells[..] else {
                let problem = format!(
                    "has {} fields, not start, stop, label and probability",
                    cells.len()
                );
                return Err(self.wrong(line, problem, REMEDY));
            };
            events.push(self.event(line, None, [start, stop, confidence], label)?);
        }
        Ok(Annotations {
            events,
            duration: None,
        })
    }

    fn lbl(&self) -> Result<Annotations> {
        let mut channels: BTreeMap<i64, String> = BTreeMap::new();
        let mut symbols: BTreeMap<i64, BTreeMap<usize, String>> = BTreeMap::new();
        let mut events = Vec::new();
        for (line, text) in self.content() {
            let wrong = |problem: &str| self.wrong(line, problem, REMEDY);
            let (key, value) = match text.split_once('=') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => return Err(wrong("is no key = value")),
            };
            if key == "montage" {
                // 0, FP1-F7: EEG FP1-REF -- EEG F7-REF
                let channel = value.split_once(',').and_then(|(number, rest)| {
                    let (name, _) = rest.split_once(':')?;
                    Some((number.trim().parse().ok()?, name.trim().to_string()))
                });
                let (number, name) = channel
                    .ok_or_else(|| wrong("is no channel of a montage: number, name: ..."))?;
                channels.insert(number, name);
            } else if key.starts_with("symbols[") {
                let table = symbol_table(key, value);
                let (level, names) =
                    table.ok_or_else(|| wrong("is no table of symbols: {0: 'name', ...}"))?;
                symbols.insert(level, names);
            } else if key == "label" {
                // {level, sublevel, start, stop, channel, [probability of each symbol]}
                let inner = value.strip_prefix('{').and_then(|v| v.strip_suffix('}'));
                let parts = inner.and_then(|v| v.split_once('['));
                let (head, tail) =
                    parts.ok_or_else(|| wrong("is no event: {level, sublevel, ..., [...]}"))?;
                let head: Vec<&str> = head.split(',').map(str::trim).collect();
                let [level, _, start, stop, channel, ""] = head[..] else {
                    return Err(wrong("has not five numbers before the probabilities"));
                };
                let (level, channel) = match (level.parse(), channel.parse::<i64>()) {
                    (Ok(level), Ok(channel)) => (level, channel),
                    _ => return Err(wrong("level or channel is no whole number")),
                };
                let channel = match channels.get(&channel) {
                    Some(name) => Some(name.clone()),
                    None if channel == -1 => None,
                    None => return Err(wrong("the channel is not in the montage")),
                };
                let likely = likeliest(tail.trim_end().trim_end_matches(']'));
                let (index, confidence) =
                    likely.ok_or_else(|| wrong("a probability is no number"))?;
                let label = symbols.get(&level).and_then(|names| names.get(&index));
                let label = label.ok_or_else(|| wrong("the symbol has no name"))?;
                events.push(self.event(line, channel, [start, stop, confidence], label)?);
            } else if key != "version" && key != "number_of_levels" && !key.starts_with("level[") {
                return Err(wrong("is none of montage, symbols, level and label"));
            }
        }
        Ok(Annotations {
            events,
            duration: None,
        })
    }
}

/// `symbols[0] = {0: '(null)', 1: 'spsw'}`: the level and its names.
fn symbol_table(key: &str, value: &str) -> Option<(i64, BTreeMap<usize, String>)> {
    let level = key.strip_prefix("symbols[")?.strip_suffix(']')?;
    let inner = value.strip_prefix('{')?.strip_suffix('}')?;
    let pairs = inner.split(',').filter(|p| !p.trim().is_empty());
    let names = pairs
        .map(|pair| {
            let (number, name) = pair.split_once(':')?;
            let name = name.trim().trim_matches(['\'', '"']);
            Some((number.trim().parse().ok()?, name.to_string()))
        })
        .collect::<Option<_>>()?;
    Some((level.trim().parse().ok()?, names))
}

/// Place and text of the largest number of a list, the first of equals.
fn likeliest(list: &str) -> Option<(usize, &str)> {
    let mut best: Option<(usize, f64, &str)> = None;
    for (i, text) in list.split(',').map(str::trim).enumerate() {
        let value: f64 = text.parse().ok()?;
        if best.is_none_or(|(_, most, _)| value > most) {
            best = Some((i, value, text));
        }
    }
    best.map(|(i, _, text)| (i, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "# version = csv_v1.0.0\n# bname = aaaaaaac_s001_t000\n\
                       # duration = 301.00 secs\n# montage_file = x.txt\n#\n\
                       channel,start_time,stop_time,label,confidence\n\
                       FP1-F7,0.0000,36.8868,bckg,1.0000\nTERM,36.8868,183.3055,CPSZ,0.5\n";
    const TSE: &str = "version = tse_v1.0.0\n\n0.0000 10.2775 bckg 1.0000\n\
                       10.2775 35.7775 gnsz 1.0000\n";
    const LBL: &str = "version = lbl_v1.0.0\n\n# montages\nmontage =  0, FP1-F7: EEG FP1-REF --  \
                       EEG F7-REF\nmontage =  1, F7-T3:  EEG F7-REF  --  EEG T3-REF\n\n\
                       number_of_levels = 1\n\nlevel[0] = 1\n\n\
                       symbols[0] = {0: '(null)', 1: 'bckg', 2: 'seiz', 3: 'fnsz'}\n\n\
                       label = {0, 0, 0.0000, 36.8868, 0, [0.0, 1.0, 0.0, 0.0]}\n\
                       label = {0, 0, 36.8868, 40.5, -1, [0.1, 0.0, 0.2, 0.7]}\n";

    fn go(text: &str) -> Result<Annotations> {
        parse(text.as_bytes(), Path::new("a.csv"))
    }

    #[test]
    fn each_format() {
        let event = |channel: Option<&str>, start, stop, label: &str, confidence| Event {
            channel: channel.map(String::from),
            start,
            stop,
            label: label.into(),
            confidence,
        };
        let csv = go(CSV).unwrap();
        assert_eq!(csv.duration, Some(301.0));
        assert_eq!(
            csv.events,
            [
                event(Some("FP1-F7"), 0.0, 36.8868, "bckg", 1.0),
                event(None, 36.8868, 183.3055, "cpsz", 0.5)
            ]
        );
        let tse = go(TSE).unwrap();
        assert_eq!(tse.events[1], event(None, 10.2775, 35.7775, "gnsz", 1.0));
        assert_eq!(go("0 1 bckg 1\n").unwrap().events.len(), 1);
        let lbl = go(LBL).unwrap();
        assert_eq!(
            lbl.events,
            [
                event(Some("FP1-F7"), 0.0, 36.8868, "bckg", 1.0),
                event(None, 36.8868, 40.5, "fnsz", 0.7)
            ]
        );
        // What has no event is whole.
        assert!(go("version = tse_v1.0.0\n").unwrap().events.is_empty());
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, from, to, expected) in [
            (CSV, "channel,", "channels,", "line 6"),
            (CSV, "csv_v1.0.0", "csv_v2.0.0", "version \"csv_v2.0.0\""),
            (CSV, "36.8868,bckg", "36.8868", "line 7: has 4 cells"),
            (CSV, "183.3055", "18.3055", "line 8: the event lasts"),
            (CSV, "183.3055", "inf", "line 8: \"inf\" is no stop time"),
            (CSV, "CPSZ", "", "line 8: the label is empty"),
            (TSE, "gnsz", "", "line 4: has 3 fields"),
            (TSE, "tse_v1", "rec_v1", "version \"rec_v1.0.0\""),
            (TSE, "0.0000", "-1", "line 3: the event lasts"),
            (LBL, "FP1-F7:", "FP1-F7", "line 4"),
            (LBL, "3: 'fnsz'", "3 'fnsz'", "line 11"),
            (
                LBL,
                "3: 'fnsz'",
                "4: 'fnsz'",
                "line 14: the symbol has no name",
            ),
            (LBL, "36.8868, 0,", "36.8868, 7,", "line 13: the channel"),
            (LBL, "0.7]", "x]", "line 14: a probability"),
            (
                LBL,
                "label = {0, 0,",
                "label = {0,",
                "line 13: has not five",
            ),
            (LBL, "level[0]", "layer[0]", "line 9"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = go(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("a.csv"),
                "{error}"
            );
        }
        for text in ["", "\n# only a comment\n", "hello\n"] {
            assert!(go(text).is_err(), "{text:?}");
        }
        assert!(parse(b"0 1 \xff 1\n", Path::new("a")).is_err());
    }

    #[test]
    fn damage_is_an_error_or_a_file_but_no_panic() {
        let mut state = 7u64;
        for text in [CSV, TSE, LBL] {
            for end in 0..text.len() {
                let _ = go(&text[..end]);
            }
            for _ in 0..4000 {
                let mut bytes = text.as_bytes().to_vec();
                for _ in 0..3 {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    let at = (state >> 33) as usize;
                    let length = bytes.len();
                    bytes[at % length] ^= 1 << (at % 8);
                }
                let _ = parse(&bytes, Path::new("a"));
            }
        }
    }
}
