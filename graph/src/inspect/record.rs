//! What an inspection finds, as plain records.

use serde::Serialize;

use super::Figures;
use crate::topology::{CsrGraph, GraphStatistics};

/// What was understood of a file, a folder or a data set. Parts it does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// The path or name that was asked for.
    pub source: String,
    /// Format and version, such as `EDF+C` or `NumPy .npz`.
    pub format: String,
    /// Bytes of the files read.
    pub bytes: u64,
    /// What has no place below: title, licence, patient, protocol, ...
    pub facts: Vec<Fact>,
    /// Arrays by name.
    pub arrays: Vec<ArrayFigures>,
    /// When it was recorded.
    pub time: Option<TimeFigures>,
    /// Sensors or columns; of sensors that measure several quantities, `sensor: quantity`.
    pub channels: Vec<ChannelFigures>,
    /// Quantities, each over all sensors, where there are several.
    pub quantities: Vec<ChannelFigures>,
    /// Classes and how often each occurs.
    pub classes: Option<ClassCounts>,
    /// Kinds of annotations and how often each occurs.
    pub annotations: Vec<AnnotationCount>,
    /// The graph.
    pub graph: Option<GraphFigures>,
    /// What is unusual and may be wrong.
    pub warnings: Vec<String>,
}

/// Values from which on a single one should not matter.
const MANY: u64 = 1000;

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

/// An array of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ArrayFigures {
    pub name: String,
    /// `float32`, `float64`, `integer` or `text`; of an array that was not read, what the file calls it.
    pub kind: String,
    pub shape: Vec<usize>,
    /// Of numbers that were read.
    pub figures: Option<Figures>,
    /// Of strings: the first different ones.
    pub words: Vec<String>,
    /// Of strings: how many are different.
    pub different: usize,
}

/// When a signal was recorded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TimeFigures {
    /// Time steps; `None` where channels differ.
    pub steps: Option<u64>,
    /// Steps per second; `None` where not known, or channels differ.
    pub rate_hz: Option<f64>,
    /// What lies between two steps, of series with a clock: `5 min`.
    pub step: Option<String>,
    /// Local date and time.
    pub start: Option<String>,
    /// Of the last step.
    pub end: Option<String>,
    /// Duration of what is stored, without breaks.
    pub seconds: Option<f64>,
    /// Breaks, the first hundred of them.
    pub gaps: Vec<GapFigures>,
    /// Breaks in all; `None` of several recordings, which are not looked at one after the other.
    pub gap_count: Option<usize>,
}

/// A break.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GapFigures {
    /// A time stamp, or seconds after the start.
    pub at: String,
    /// How long; `None` where the file does not say.
    pub seconds: Option<f64>,
    /// How many steps of a series with a clock are not there.
    pub steps: Option<usize>,
}

/// A sensor or column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ChannelFigures {
    pub name: String,
    /// Empty where there is none or it is not known.
    pub unit: String,
    /// Samples per second, where known.
    pub rate_hz: Option<f64>,
    pub figures: Figures,
}

/// Classes and how often each occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCounts {
    /// What is counted: `recordings`, `trials`, `time steps`, `series`, `rows`.
    pub of: String,
    pub classes: Vec<ClassCount>,
    /// Those without a class.
    pub without: u64,
}

/// How often a class occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCount {
    pub name: String,
    pub count: u64,
    /// Of all that have a class.
    pub share: f64,
}

impl ClassCounts {
    /// Counts of `classes` by index; labels that are no index of it count as without a class.
    pub(super) fn new(
        of: &str,
        classes: &[String],
        labels: impl Iterator<Item = Option<usize>>,
    ) -> Self {
        let mut counts = vec![0u64; classes.len()];
        let mut without = 0;
        for label in labels {
            match label.and_then(|l| counts.get_mut(l)) {
                Some(count) => *count += 1,
                None => without += 1,
            }
        }
        Self::of_counts(of, classes, &counts, without)
    }

    /// Counts that are known, one for each of `classes`.
    pub(super) fn of_counts(of: &str, classes: &[String], counts: &[u64], without: u64) -> Self {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        Self {
            of: of.into(),
            classes: classes
                .iter()
                .zip(counts)
                .map(|(name, count)| ClassCount {
                    name: name.clone(),
                    count: *count,
                    share: *count as f64 / all,
                })
                .collect(),
            without,
        }
    }

    /// Share of the most frequent class: the accuracy of always saying it.
    pub fn majority(&self) -> f64 {
        self.classes.iter().map(|c| c.share).fold(0.0, f64::max)
    }
}

/// Annotations of the same text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnnotationCount {
    pub text: String,
    pub count: u64,
    /// Seconds of all of them together; 0 where they have no duration.
    pub seconds: f64,
    /// When the first begins, seconds after the start.
    pub first: f64,
}

/// A graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraphFigures {
    /// Where it is from: `in the file`, `given with the data`, ...
    pub origin: String,
    /// Of one that changes with time: that of the first step.
    pub statistics: GraphStatistics,
    /// Of the edges that are no self loops.
    pub weights: Figures,
    /// Of one that changes with time.
    pub over_time: Option<GraphOverTime>,
}

/// A graph that changes with time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GraphOverTime {
    /// Graphs, one for each step.
    pub graphs: usize,
    /// Edges of a graph: least, mean, most.
    pub edges: [f64; 3],
    /// Graphs that differ from the one before.
    pub changes: usize,
}

impl GraphFigures {
    pub(super) fn new(origin: &str, graph: &CsrGraph) -> Self {
        let weights: Vec<f32> = graph
            .edges()
            .filter(|(s, t, _)| s != t)
            .map(|(_, _, w)| w)
            .collect();
        Self {
            origin: origin.into(),
            statistics: graph.statistics(),
            weights: Figures::of(&weights),
            over_time: None,
        }
    }
}

impl Inspection {
    pub(super) fn fact(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        if !value.is_empty() {
            self.facts.push(Fact {
                name: name.into(),
                value,
            });
        }
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Share of missing values over all channels and arrays, `None` without values.
    pub fn missing_share(&self) -> Option<f64> {
        let arrays = self.arrays.iter().filter_map(|a| a.figures.as_ref());
        let all: Vec<&Figures> = match self.channels.is_empty() {
            true => arrays.collect(),
            false => self.channels.iter().map(|c| &c.figures).collect(),
        };
        let count: u64 = all.iter().map(|f| f.count).sum();
        let missing: u64 = all.iter().map(|f| f.missing).sum();
        (count > 0).then(|| missing as f64 / count as f64)
    }

    /// Warns of channels that are constant, infinite, or mostly missing.
    pub(super) fn warn_of_channels(&mut self) {
        let named = |test: &dyn Fn(&Figures) -> bool| -> Vec<&str> {
            let hits = self.channels.iter().filter(|c| test(&c.figures));
            hits.map(|c| c.name.as_str()).collect()
        };
        // (max - mean)² over the variance is at most n, where all of it is due to the one value.
        let glitch = |f: &Figures| -> Option<bool> {
            let (mean, sd) = (f.mean?, f.sd.filter(|sd| *sd > 0.0)?);
            let far = (f.max? - mean).max(mean - f.min?) / sd;
            Some(f.count >= MANY && far * far > 0.25 * f.count as f64)
        };
        let found = [
            (named(&|f| f.is_constant()), "constant"),
            (
                named(&|f| glitch(f) == Some(true)),
                "with a quarter of their variance or more from one value, perhaps a glitch",
            ),
            (named(&|f| f.infinite > 0), "with infinite values"),
            (
                named(&|f| f.count > 0 && f.missing == f.count),
                "without a value",
            ),
            (
                named(&|f| f.missing < f.count && f.missing_share() > 0.5),
                "missing for more than half of the time",
            ),
        ];
        let all = self.channels.len();
        for (names, what) in found {
            if !names.is_empty() {
                let warning = format!("{} of {all} channels {what}: {}", names.len(), few(&names));
                self.warnings.push(warning);
            }
        }
    }
}

/// At most eight names.
pub(super) fn few<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(8).map(AsRef::as_ref).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted() {
        let names = ["a".to_string(), "b".to_string()];
        let labels = [Some(0), Some(0), None, Some(1), Some(0), Some(7)];
        let counts = ClassCounts::new("rows", &names, labels.into_iter());
        assert_eq!(counts.classes[0].count, 3);
        assert_eq!((counts.without, counts.majority()), (2, 0.75));
    }

    #[test]
    fn channels_that_are_suspicious_are_named() {
        let channel = |name: &str, values: &[f32]| ChannelFigures {
            name: name.into(),
            figures: Figures::of(values),
            ..Default::default()
        };
        let mut spike: Vec<f32> = (0..2000).map(|i| (i % 7) as f32).collect();
        spike[5] = 1e4;
        let mut found = Inspection {
            channels: vec![
                channel("flat", &[1.0, 1.0]),
                channel("gone", &[f32::NAN, f32::NAN]),
                channel("good", &[1.0, 2.0]),
                channel("wild", &spike),
            ],
            ..Default::default()
        };
        found.warn_of_channels();
        assert_eq!(
            found.warnings,
            [
                "1 of 4 channels constant: flat",
                "1 of 4 channels with a quarter of their variance or more from one value, perhaps a \
                 glitch: wild",
                "1 of 4 channels without a value: gone"
            ]
        );
        assert_eq!(found.missing_share(), Some(2.0 / 2006.0));
        assert_eq!(few(&["a"; 10]), "a, a, a, a, a, a, a, a and 2 more");
    }
}
