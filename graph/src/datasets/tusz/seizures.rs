//! From annotations to seizures.

use std::path::{Path, PathBuf};

use super::super::options::Task;
use crate::formats::tuh::{self, Annotations, Event};
use crate::{Error, Result};

/// Classes of seizures, after Tang et al.
pub(super) const CLASSES: [&str; 4] = ["focal", "generalised", "absence", "tonic"];

/// Labels of seizures and their class in [`CLASSES`].
const SEIZURES: [(&str, Option<usize>); 11] = [
    ("seiz", None),
    ("fnsz", Some(0)),
    ("spsz", Some(0)),
    ("cpsz", Some(0)),
    ("gnsz", Some(1)),
    ("absz", Some(2)),
    ("tnsz", Some(3)),
    ("tcsz", Some(3)),
    ("cnsz", None),
    ("atsz", None),
    ("mysz", None),
];

/// Labels of everything else; `nesz` is what looks like a seizure and is none.
const OTHERS: [&str; 22] = [
    "bckg",
    "(null)",
    "null",
    "nesz",
    "spsw",
    "gped",
    "pled",
    "eybl",
    "artf",
    "intr",
    "slow",
    "eyem",
    "chew",
    "shiv",
    "musc",
    "elpp",
    "elec",
    "elst",
    "calb",
    "hphs",
    "trip",
    "eyem_musc",
];

/// A seizure, on whatever channels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seizure {
    /// Seconds after the start of the recording.
    pub start: f64,
    pub stop: f64,
    /// Index in [`CLASSES`]; `None`: of another type, or of an unknown one.
    pub class: Option<usize>,
}

/// Ends of the names of annotations, in the order in which they are looked for.
pub(super) fn extensions(task: Task) -> &'static [&'static str] {
    match task {
        Task::Detection => &["csv_bi", "tse_bi", "csv", "tse", "lbl_bi", "lbl"],
        Task::Classification => &["csv", "tse", "lbl"],
    }
}

/// The seizures of an annotation file, in order of time. Of classification, times come from the
/// file of two labels beside it where there is one, and the type from `path`.
pub(super) fn read(path: &Path, task: Task) -> Result<Vec<Seizure>> {
    let events = seizure_events(&tuh::read(path)?, path)?;
    if task == Task::Detection {
        return Ok(merged(events.iter().map(|e| (e.start, e.stop)))
            .into_iter()
            .map(|(start, stop)| Seizure {
                start,
                stop,
                class: None,
            })
            .collect());
    }
    match coarse(path) {
        Some(coarse) => {
            let whole = seizure_events(&tuh::read(&coarse)?, &coarse)?;
            Ok(typed(
                merged(whole.iter().map(|e| (e.start, e.stop))),
                &events,
            ))
        }
        None => Ok(by_type(&events)),
    }
}

/// The annotations of two labels for all channels beside those of a v2 file.
pub(super) fn coarse(path: &Path) -> Option<PathBuf> {
    let is_csv = path.extension().is_some_and(|e| e == "csv");
    let coarse = path.with_extension("csv_bi");
    (is_csv && coarse.is_file()).then_some(coarse)
}

fn seizure_events(annotations: &Annotations, path: &Path) -> Result<Vec<Event>> {
    let mut out = Vec::new();
    for event in &annotations.events {
        if SEIZURES.iter().any(|(label, _)| *label == event.label) {
            out.push(event.clone());
        } else if !OTHERS.contains(&event.label.as_str()) {
            return Err(Error::file(
                path,
                format!("label at {} s", event.start),
                format!("{:?} is none of the corpus", event.label),
                "correct the label, or fetch the file again",
            ));
        }
    }
    Ok(out)
}

fn class(label: &str) -> Option<usize> {
    SEIZURES.iter().find(|(l, _)| *l == label).and_then(|s| s.1)
}

/// Stretches of time with those that touch or overlap made one, in order.
fn merged(spans: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = spans.collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut out: Vec<(f64, f64)> = Vec::new();
    for (start, stop) in spans {
        match out.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(stop),
            _ => out.push((start, stop)),
        }
    }
    out
}

/// Each stretch with the type that the events give it for most of the time, channels counted one by
/// one; of equals, the one that comes first.
fn typed(spans: Vec<(f64, f64)>, events: &[Event]) -> Vec<Seizure> {
    let kind = |start: f64, stop: f64| {
        let mut shares: Vec<(&str, f64)> = Vec::new();
        for event in events {
            let share = event.stop.min(stop) - event.start.max(start);
            if share <= 0.0 {
                continue;
            }
            match shares.iter_mut().find(|(label, _)| *label == event.label) {
                Some(known) => known.1 += share,
                None => shares.push((&event.label, share)),
            }
        }
        let most = shares.iter().map(|s| s.1).fold(0.0, f64::max);
        let first = shares.iter().find(|s| s.1 == most);
        first.and_then(|(label, _)| class(label))
    };
    let seizure = |(start, stop): (f64, f64)| Seizure {
        start,
        stop,
        class: kind(start, stop),
    };
    spans.into_iter().map(seizure).collect()
}

/// The events of each type with those that touch or overlap made one.
fn by_type(events: &[Event]) -> Vec<Seizure> {
    let mut labels: Vec<&str> = events.iter().map(|e| e.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let mut out = Vec::new();
    for label in labels {
        let of_type = events.iter().filter(|e| e.label == label);
        for (start, stop) in merged(of_type.map(|e| (e.start, e.stop))) {
            out.push(Seizure {
                start,
                stop,
                class: class(label),
            });
        }
    }
    out.sort_by(|a, b| a.start.total_cmp(&b.start));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(channel: &str, start: f64, stop: f64, label: &str) -> Event {
        Event {
            channel: Some(channel.into()),
            start,
            stop,
            label: label.into(),
            confidence: 1.0,
        }
    }

    fn told(seizures: Vec<Seizure>) -> Vec<(f64, f64, Option<usize>)> {
        let told = seizures.into_iter().map(|s| (s.start, s.stop, s.class));
        told.collect()
    }

    #[test]
    fn channels_make_one_seizure() {
        let events = [
            event("a", 10.0, 20.0, "cpsz"),
            event("b", 12.0, 24.0, "cpsz"),
            event("a", 40.0, 50.0, "gnsz"),
            event("b", 41.0, 44.0, "tcsz"),
            event("c", 60.0, 61.0, "mysz"),
        ];
        assert_eq!(
            told(by_type(&events)),
            [
                (10.0, 24.0, Some(0)),
                (40.0, 50.0, Some(1)),
                (41.0, 44.0, Some(3)),
                (60.0, 61.0, None)
            ]
        );
        let spans = vec![(9.0, 24.0), (40.0, 50.0), (70.0, 71.0)];
        assert_eq!(
            told(typed(spans, &events)),
            [
                (9.0, 24.0, Some(0)),
                (40.0, 50.0, Some(1)),
                (70.0, 71.0, None)
            ]
        );
        let touching = merged([(5.0, 6.0), (0.0, 2.0), (2.0, 3.0)].into_iter());
        assert_eq!(touching, [(0.0, 3.0), (5.0, 6.0)]);
    }

    #[test]
    fn unknown_labels_are_errors() {
        let annotations = Annotations {
            events: vec![event("a", 0.0, 1.0, "sized")],
            duration: None,
        };
        let error = seizure_events(&annotations, Path::new("a.csv")).unwrap_err();
        assert!(error.to_string().contains("\"sized\""), "{error}");
    }
}
