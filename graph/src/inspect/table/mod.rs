//! Tables: what their columns are, and whether they are a graph.

mod arff;
mod arrow;
pub(super) mod clock;
mod graph;
mod text;

use std::collections::HashMap;

use super::Figures;
use super::record::{ArrayFigures, ChannelFigures, ClassCounts, Inspection};
use graph::Form;

pub(super) use arff::inspect as inspect_arff;
pub(super) use arrow::inspect as inspect_columns;
pub(super) use text::inspect as inspect_text;

const LABELS: [&str; 7] = [
    "class",
    "classes",
    "label",
    "labels",
    "target",
    "y",
    "eyedetection",
];
/// More different words than these, or than one for two rows, are no classes.
const CLASSES: usize = 64;
/// Different words that are listed.
const WORDS: usize = 12;

/// A table of any file.
pub(super) struct Columns {
    pub names: Vec<String>,
    pub columns: Vec<Column>,
    pub rows: usize,
}

/// What a column holds.
#[derive(Debug, PartialEq)]
pub(super) enum Column {
    /// Numbers, NaN where missing; and a cell that should have been one, with its row.
    Numbers(Vec<f64>, Option<(usize, String)>),
    /// Seconds since 1970-01-01 00:00:00.
    Stamps(Vec<i64>),
    /// The different words and the word of every row; `None` where missing.
    Words(Vec<String>, Vec<Option<usize>>),
}

impl Column {
    /// Words of the rows.
    pub fn words<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut index: HashMap<&str, usize> = HashMap::new();
        let mut words = Vec::new();
        let codes = cells
            .map(|cell| {
                let cell = cell?;
                Some(*index.entry(cell).or_insert_with(|| {
                    words.push(cell.to_string());
                    words.len() - 1
                }))
            })
            .collect();
        Self::Words(words, codes)
    }

    /// Whether the numbers are 0, 1, 2, ... or 1, 2, 3, ...
    fn counts_rows(&self) -> bool {
        let Self::Numbers(values, None) = self else {
            return false;
        };
        let from = |first: f64| {
            let mut all = values.iter().enumerate();
            all.all(|(i, v)| v - i as f64 == first)
        };
        values.len() > 2 && (from(0.0) || from(1.0))
    }
}

/// Describes the columns of a table, and the graph it may be.
pub(super) fn describe(table: &Columns, found: &mut Inspection) {
    let Columns {
        names,
        columns,
        rows,
    } = table;
    found.fact("shape", format!("{rows} rows × {} columns", names.len()));
    match graph::of(table) {
        Some(Ok((graph, Form::Matrix))) => {
            // Its columns are nodes, not quantities.
            found.graph = Some(graph);
            return;
        }
        Some(Ok((graph, Form::Edges))) => found.graph = Some(graph),
        Some(Err(problem)) => found.warn(problem),
        None => {}
    }
    let parts = clock::date_parts(names, columns);
    if let Some(stamps) = clock::stamps(columns, &parts) {
        clock::describe(&stamps, found);
    }
    for (i, (name, column)) in names.iter().zip(columns).enumerate() {
        let alone = columns.len() == 1 && *rows > 2;
        let is_label = alone || LABELS.contains(&name.to_lowercase().as_str());
        if is_label && found.classes.is_none() {
            found.classes = classes(name, column);
            if found.classes.is_some() {
                continue;
            }
        }
        match column {
            _ if parts.contains(&i) => {}
            Column::Stamps(_) => found.fact("time", name),
            Column::Words(words, codes) => found.arrays.push(ArrayFigures {
                name: name.clone(),
                kind: "text".into(),
                shape: vec![codes.len()],
                figures: None,
                different: words.len(),
                words: words.iter().take(WORDS).cloned().collect(),
            }),
            _ if column.counts_rows() => found.fact("row numbers", name),
            Column::Numbers(values, fault) => {
                if let Some((row, cell)) = fault {
                    let number = values.iter().filter(|v| !v.is_nan()).count();
                    found.warn(format!(
                        "column {name}: row {} holds {cell:?}, which is no number like the other \
                         {number}",
                        row + 1
                    ));
                }
                found.channels.push(ChannelFigures {
                    name: name.clone(),
                    figures: Figures::of(values),
                    ..Default::default()
                });
            }
        }
    }
    if found.graph.is_none() {
        found.warn_of_channels();
    }
}

/// Counts of a column of labels; `None` when it has too many different ones.
fn classes(name: &str, column: &Column) -> Option<ClassCounts> {
    let (mut words, codes) = match column {
        Column::Words(words, codes) => (words.clone(), codes.clone()),
        Column::Numbers(values, _) => {
            if values.iter().any(|v| v.fract() != 0.0 && !v.is_nan()) {
                return None;
            }
            let text = |v: &f64| (!v.is_nan()).then(|| v.to_string());
            let cells: Vec<Option<String>> = values.iter().map(text).collect();
            match Column::words(cells.iter().map(Option::as_deref)) {
                Column::Words(words, codes) => (words, codes),
                _ => return None,
            }
        }
        Column::Stamps(_) => return None,
    };
    if words.len() > CLASSES || 2 * words.len() > codes.len() {
        return None;
    }
    let mut order: Vec<usize> = (0..words.len()).collect();
    order.sort_by_key(|i| (words[*i].parse::<i64>().unwrap_or(i64::MAX), &words[*i]));
    let mut place = vec![0; words.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(new, old)| place[*old] = new);
    words = order.iter().map(|i| words[*i].clone()).collect();
    let labels = codes.into_iter().map(|c| Some(place[c?]));
    Some(ClassCounts::new(
        &format!("rows, by {name}"),
        &words,
        labels,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Inspection {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        inspect_text(&path).unwrap()
    }

    fn warned(found: &Inspection, text: &str) -> bool {
        found.warnings.iter().any(|w| w.contains(text))
    }

    #[test]
    fn a_clock_with_faults() {
        let found = of(
            "No,time,a,wind,label\n1,2020-01-01 00:00,1,N,x\n2,2020-01-01 01:00,NA,SE,y\n\
                        3,2020-01-01 02:00,3,N,x\n4,2020-01-01 05:00,-4,N,x\n",
        );
        let time = found.time.as_ref().unwrap();
        assert_eq!(time.start.as_deref(), Some("2020-01-01 00:00:00"));
        assert_eq!(time.step.as_deref(), Some("1 hour"));
        assert_eq!((time.gap_count, time.gaps[0].steps), (Some(1), Some(2)));
        assert_eq!(time.gaps[0].at, "2020-01-01 02:00:00");
        assert!(warned(&found, "1 gap, of 2 steps"));
        let names: Vec<&str> = found.channels.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(found.missing_share(), Some(0.25));
        assert_eq!(found.channels[0].figures.mean, Some(0.0));
        assert_eq!(found.arrays[0].words, ["N", "SE"]);
        assert_eq!(found.classes.unwrap().classes[0].share, 0.75);
    }

    #[test]
    fn dates_in_parts() {
        let rows: String = (0..4).map(|h| format!("2013,3,1,{h},5\n")).collect();
        let found = of(&format!("year,month,day,hour,pm\n{rows}"));
        let time = found.time.unwrap();
        assert_eq!(time.end.as_deref(), Some("2013-03-01 03:00:00"));
        assert_eq!(found.channels.len(), 1);
        assert!(found.warnings[0].contains("constant: pm"));
    }

    #[test]
    fn numbered_sensors_are_names() {
        let rows: String = (0..12).map(|i| format!("{},6{i}.5\n", 60 + i)).collect();
        let found = of(&format!("773869,767541\n{rows}"));
        assert_eq!(found.channels[1].name, "767541");
        assert_eq!(found.channels[0].figures.count, 12);
        assert!(warned(&found, "taken as names"));
        let found = of(&rows);
        assert_eq!(found.channels[0].figures.count, 12);
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }

    #[test]
    fn graphs_are_recognised() {
        let graph = of("0,1,0\n1,0,0.5\n0,0.5,0\n").graph.unwrap();
        assert_eq!((graph.statistics.nodes, graph.statistics.edges), (3, 4));
        assert!(graph.statistics.symmetric);
        let graph = of("from,to,cost\na,a,0\na,b,2.5\nc,b,3\n").graph.unwrap();
        assert_eq!((graph.statistics.nodes, graph.statistics.edges), (3, 2));
        assert!(!graph.statistics.symmetric && graph.origin.contains("1 of weight 0"));
        let found = of("from,to,cost\na,b,x\n");
        assert!(found.graph.is_none() && warned(&found, "are no numbers"));
    }

    #[test]
    fn a_word_among_numbers_is_a_fault() {
        let rows: String = (0..20).map(|i| format!("{}\n", i * i)).collect();
        let found = of(&format!("a\n{rows}oops\n"));
        assert!(
            warned(&found, "row 21 holds \"oops\""),
            "{:?}",
            found.warnings
        );
        assert_eq!(found.channels[0].figures.missing, 1);
    }
}
