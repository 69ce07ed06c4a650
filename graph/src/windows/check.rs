//! What must hold over all recordings of a set before they are cut.

use ndarray::{Array2, Axis};

use super::RecordingSet;
use crate::{Error, Labels, Recording, Result, Span};

/// What must hold of the labels and names of all recordings, whether their signals are there or not:
/// there is one, and what one has all have.
pub(crate) fn alike(set: &RecordingSet) -> Result<&Recording> {
    let first = set.recordings.first().ok_or_else(|| {
        Error::config(
            format!("data set {}", set.info.name),
            "has no recordings",
            "check the files, the choice of subjects and what was left out",
        )
    })?;
    for r in &set.recordings {
        for (what, one, other) in [
            (
                "label",
                r.labels == Labels::None,
                first.labels == Labels::None,
            ),
            ("subject", r.subject.is_none(), first.subject.is_none()),
            ("session", r.session.is_none(), first.session.is_none()),
        ] {
            if one != other {
                let (with, without) = if one { (first, r) } else { (r, first) };
                return Err(Error::config(
                    format!("recording {}", r.name),
                    format!("{} has a {what}, {} has none", with.name, without.name),
                    "give it for all recordings or for none",
                ));
            }
        }
    }
    Ok(first)
}

/// What must hold over all recordings, which have so many time steps.
pub(super) fn check(set: &RecordingSet, times: &[usize]) -> Result<()> {
    let first = alike(set)?;
    let v = set.sensors.len();
    let f = first.signal.len_of(Axis(2));
    for (r, time) in set.recordings.iter().zip(times) {
        let wrong = |problem: String, remedy: &str| {
            Err(Error::config(
                format!("recording {}", r.name),
                problem,
                remedy,
            ))
        };
        let (nodes, _, features) = r.signal.dim();
        if nodes != v || features != f || f == 0 || v == 0 {
            return wrong(
                format!("has {nodes} nodes and {features} features, not {v} and {f}"),
                "give every recording the same sensors and features, and check the layout",
            );
        }
        if r.mask.as_ref().is_some_and(|m| m.dim() != (nodes, *time)) {
            return wrong(
                "has a mask of another shape than (nodes, time)".into(),
                "give one truth value for each node and time step",
            );
        }
        if r.sampling_rate != first.sampling_rate {
            return wrong(
                format!(
                    "has sampling rate {:?}, {} has {:?}",
                    r.sampling_rate, first.name, first.sampling_rate
                ),
                "resample all recordings to one rate",
            );
        }
        let classes = set.classes.len();
        let out_of_range = match &r.labels {
            Labels::None => None,
            Labels::Whole(c) => Some(*c),
            Labels::PerStep(steps) => {
                if steps.len() != *time {
                    return wrong(
                        format!("has {} labels for {time} time steps", steps.len()),
                        "give one label for each time step",
                    );
                }
                steps.iter().max().copied()
            }
            Labels::Events {
                events: spans,
                otherwise,
            } => {
                inside(r, *time, spans)?;
                let classes = spans.iter().map(|s| s.class);
                classes.chain([*otherwise]).max()
            }
            Labels::Trials { trials: spans, .. } => {
                inside(r, *time, spans)?;
                spans.iter().map(|s| s.class).max()
            }
        }
        .filter(|c| *c >= classes);
        if let Some(c) = out_of_range {
            return wrong(
                format!("has label {c}, but there are {classes} classes"),
                "number the classes from 0 and name them all",
            );
        }
    }
    let square = |a: &Array2<f32>| a.dim() == (v, v);
    if !set.adjacency.as_ref().is_none_or(square)
        || set.positions.as_ref().is_some_and(|p| p.nrows() != v)
    {
        return Err(Error::config(
            format!("data set {}", set.info.name),
            format!("has {v} sensors, and an adjacency or positions for others"),
            "give one row for each sensor",
        ));
    }
    Ok(())
}

/// Checks that events or trials lie in their recording.
fn inside(r: &Recording, time: usize, spans: &[Span]) -> Result<()> {
    let beyond = |s: &&Span| s.steps.start > s.steps.end || s.steps.end > time;
    match spans.iter().find(beyond) {
        None => Ok(()),
        Some(span) => Err(Error::config(
            format!("recording {}", r.name),
            format!("time steps {:?} are not inside its {time}", span.steps),
            "give events and trials in time steps of the recording",
        )),
    }
}
