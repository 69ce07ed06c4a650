//! Where the trials of a session begin and end, and their classes.

use std::path::Path;

use ndarray::Ix2;

use super::CLASSES;
use crate::formats::mat::Mat;
use crate::{Error, Result, Span};

/// Milliseconds without an event that end a trial of dataset II.
const PAUSE: f64 = 2000.0;
/// Samples that the events of a trial of dataset II span at least, but for the last.
const SPAN: f64 = 382.0;
/// Samples of a trial of dataset II.
const TRIAL: usize = 1250;

/// Labels of the two halves of a session of dataset III.
const SEQUENCES: [&[usize]; 2] = [
    &[4, 2, 3, 5, 1, 2, 5, 4, 2, 3, 1, 5],
    &[4, 3, 2, 4, 1, 2, 5, 3, 4, 1, 3, 1, 3],
];
const START: f64 = 32779.0;
const STOP: f64 = 32780.0;

/// Trials with their classes, or why they do not fit their labels.
pub(super) type Trials = std::result::Result<Vec<Span>, String>;

pub(super) fn trials_of_two(mat: &Mat, path: &Path) -> Result<Trials> {
    let again = "fetch the original file again";
    let shape = mat.info("DIN_1")?.shape;
    let [4, count] = shape[..] else {
        let problem = format!("has shape {shape:?}, not (4, events)");
        return Err(Error::file(path, "DIN_1", problem, again));
    };
    let one = |name: String| -> Result<f64> {
        let value = mat.read(&name)?.into_f64(path, &name)?;
        let first = value.first().copied().filter(|v| v.is_finite());
        first.ok_or_else(|| Error::file(path, name, "is empty or no number", again))
    };
    let mut events = Vec::with_capacity(count);
    for i in 1..=count {
        let (ms, sample) = (
            one(format!("DIN_1{{2,{i}}}"))?,
            one(format!("DIN_1{{4,{i}}}"))?,
        );
        if !(1.0..1e15).contains(&sample) {
            let problem = format!("{sample} is no sample, counted from 1");
            return Err(Error::file(path, format!("DIN_1{{4,{i}}}"), problem, again));
        }
        events.push((ms, sample));
    }
    let info = mat.info("labels")?;
    let labels: Vec<f64> = match info.class.as_str() {
        "cell" => (1..=info.shape.iter().product())
            .map(|i| one(format!("labels{{{i}}}")))
            .collect::<Result<_>>()?,
        _ => mat
            .read("labels")?
            .into_f64(path, "labels")?
            .into_iter()
            .collect(),
    };
    let starts = bursts(&events);
    if starts.len() != labels.len() {
        return Ok(Err(format!(
            "{} labels for {} trials",
            labels.len(),
            starts.len()
        )));
    }
    let trials = starts.into_iter().zip(labels).enumerate();
    let spans = trials.map(|(i, (start, label))| {
        let class = (1..=CLASSES.len()).find(|c| *c as f64 == label);
        let class = class.ok_or_else(|| format!("label {i} is {label}, not 1 to 5"))? - 1;
        let steps = start..start + TRIAL;
        Ok(Span { steps, class })
    });
    Ok(spans.collect())
}

/// Samples, counted from 0, at which trials begin, of events (milliseconds, sample from 1).
fn bursts(events: &[(f64, f64)]) -> Vec<usize> {
    let mut out = Vec::new();
    let mut rest = events;
    while let Some((_, first)) = rest.first() {
        let pause = |pair: &[(f64, f64)]| pair[1].0 - pair[0].0 > PAUSE;
        let count = rest
            .windows(2)
            .position(pause)
            .map_or(rest.len(), |i| i + 1);
        let last = rest[count - 1].1;
        rest = &rest[count..];
        if rest.is_empty() || last - first > SPAN {
            out.push(*first as usize - 1);
        }
    }
    out
}

pub(super) fn trials_of_three(mat: &Mat, path: &Path, half: usize) -> Result<Trials> {
    let events = mat.read("events")?.into_f64(path, "events")?;
    let shape = events.shape().to_vec();
    let events = events.into_dimensionality::<Ix2>().ok();
    let events = events.filter(|e| e.ncols() >= 3).ok_or_else(|| {
        let problem = format!("has shape {shape:?}, not (events, 3 or more)");
        Error::file(path, "events", problem, "fetch the original file again")
    })?;
    // Samples count from 1; a trial ends before the sample of its stop.
    let of = |code: f64| -> Vec<f64> {
        let rows = events.outer_iter().filter(|row| row[1] == code);
        rows.map(|row| row[2]).collect()
    };
    let (starts, stops) = (of(START), of(STOP));
    let labels = SEQUENCES[half];
    if starts.len() != labels.len() || stops.len() != labels.len() {
        return Ok(Err(format!(
            "{} starts and {} stops for a sequence of {} trials",
            starts.len(),
            stops.len(),
            labels.len()
        )));
    }
    let pairs = starts.iter().zip(&stops).zip(labels);
    let spans = pairs.map(|((start, stop), label)| {
        let fits = (1.0..1e15).contains(start) && stop > start && stop < &1e15;
        if !fits {
            return Err(format!("a trial from sample {start} to {stop}"));
        }
        Ok(Span {
            steps: *start as usize - 1..*stop as usize - 1,
            class: label - 1,
        })
    });
    Ok(spans.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_begin_after_a_pause() {
        let burst = |ms: f64, sample: f64, n: usize| {
            (0..n).map(move |i| (ms + 100.0 * i as f64, sample + 25.0 * i as f64))
        };
        let mut events: Vec<(f64, f64)> = burst(0.0, 101.0, 40).collect();
        // Three events alone are none, but for the last.
        events.extend(burst(9_000.0, 2_300.0, 3));
        events.extend(burst(14_000.0, 3_601.0, 40));
        assert_eq!(bursts(&events), [100, 3_600]);
        events.extend(burst(30_000.0, 7_601.0, 2));
        assert_eq!(bursts(&events), [100, 3_600, 7_600]);
        assert!(bursts(&[]).is_empty());
    }
}
