//! From the recordings of a set to a [`Dataset`].

use ndarray::Axis;
use rayon::prelude::*;

use super::check::check;
use super::recording::{Cut, cut_one};
use super::{Mask, Missing, RecordingSet, WindowConfig, Windows, seen_throughout};
use crate::preparation::Preparation;
use crate::signal::FeatureConfig;
use crate::{Dataset, Error, Labels, Recording, Result};

/// Applies `features` to every recording and cuts them into windows.
///
/// The class of a window is told with [`Labels`]. Where no recording has a label, `y` is 0
/// throughout and `classes` empty. Missing values are filled linearly before filters see them and set to 0 at the end.
///
/// # Errors
/// [`Error::Config`] when there is no recording or no window, recordings differ in nodes,
/// features or sampling rate, whole recordings differ in length, only some of them have a label,
/// subject or session, a label is out of range, an option does not fit, or a value is NaN or
/// infinite and `missing` is [`Missing::Error`].
pub fn cut(
    set: RecordingSet,
    window: &WindowConfig,
    features: &FeatureConfig,
    missing: Missing,
) -> Result<Dataset> {
    attempt(set, window, features, missing)?.map_err(nothing)
}

/// Why there is no window, of which so many were too disturbed.
pub(super) fn nothing(rejected: usize) -> Error {
    if rejected > 0 {
        return Error::config(
            "features.reject",
            format!("leaves none of {rejected} windows"),
            "widen the limits (they are in the unit of the filtered signal), or tolerate a \
             share of bad nodes",
        );
    }
    Error::config(
        "window.length",
        "is longer than every recording",
        "shorten the window, or take whole recordings by leaving it out",
    )
}

/// [`cut`], with the number of windows that were too disturbed where none is left.
pub(super) fn attempt(
    set: RecordingSet,
    window: &WindowConfig,
    features: &FeatureConfig,
    missing: Missing,
) -> Result<std::result::Result<Dataset, usize>> {
    let times: Vec<usize> = set
        .recordings
        .iter()
        .map(|r| r.signal.len_of(Axis(1)))
        .collect();
    check(&set, &times)?;
    let mut set = features.rereference(set)?;
    let pieces: Vec<Cut> = set
        .recordings
        .par_iter_mut()
        .map(|r| cut_one(r, &set.sensors, window, features, missing))
        .collect::<Result<_>>()?;
    assemble(set, pieces)
}

/// The data set of the windows of each recording, or the number of those that were too disturbed where
/// none is left.
pub(super) fn assemble(
    set: RecordingSet,
    pieces: Vec<Cut>,
) -> Result<std::result::Result<Dataset, usize>> {
    for (r, piece) in set.recordings.iter().zip(&pieces) {
        if piece.rejected > 0 {
            log::info!(
                "{}: {} windows left out as too disturbed, {} used",
                r.name,
                piece.rejected,
                piece.y.len()
            );
        } else if piece.y.is_empty() {
            log::warn!("{} is shorter than the window and gives no sample", r.name);
        }
    }
    let rejected: usize = pieces.iter().map(|p| p.rejected).sum();
    let all = pieces.iter().zip(&set.recordings);
    let mut filled = all.filter(|(p, _)| !p.y.is_empty());
    let Some((first, first_recording)) = filled.next() else {
        return Ok(Err(rejected));
    };
    let (v, l, f) = first.shape;
    if let Some((other, r)) = filled.find(|(p, _)| p.shape != first.shape) {
        return Err(Error::config(
            format!("recording {}", r.name),
            format!(
                "has {} time steps, {} has {l}",
                other.shape.1, first_recording.name
            ),
            "set window.length, so that all windows are equally long",
        ));
    }
    let incomplete = pieces.iter().any(|p| p.mask.is_some());
    let finite = pieces.iter().all(|p| p.finite);
    let mut x = Vec::with_capacity(pieces.len());
    let mut mask = Vec::new();
    let mut y = Vec::new();
    // The recording of each sample, and what must not part: recordings, or trials of their own.
    let (mut home, mut recording, mut next) = (Vec::new(), Vec::new(), 0);
    for (index, piece) in pieces.into_iter().enumerate() {
        let first = next;
        let apart = match &set.recordings[index].labels {
            Labels::Trials { trials, apart } if *apart => Some(trials.len()),
            _ => None,
        };
        next += apart.unwrap_or(1);
        if piece.y.is_empty() {
            continue;
        }
        if incomplete {
            mask.push(
                piece
                    .mask
                    .unwrap_or_else(|| seen_throughout(piece.y.len(), v, l)),
            );
        }
        x.push(piece.x);
        home.extend(std::iter::repeat_n(index, piece.y.len()));
        recording.extend(piece.trial.iter().map(|trial| match apart {
            Some(_) => first + trial,
            None => first,
        }));
        y.extend(piece.y);
    }
    let mut x = Windows::new((v, l, f), x)?;
    if finite {
        x = x.known_finite();
    }
    let mask = match incomplete {
        true => Some(Mask::new((v, l), mask)?),
        false => None,
    };
    let per_sample = |of: &dyn Fn(&Recording) -> Option<String>| -> Option<Vec<String>> {
        home.iter().map(|r| of(&set.recordings[*r])).collect()
    };
    let subject = per_sample(&|r| r.subject.clone());
    let session = per_sample(&|r| {
        let session = r.session.as_ref()?;
        Some(match &r.subject {
            Some(subject) => format!("{subject}/{session}"),
            None => session.clone(),
        })
    });
    Ok(Ok(Dataset {
        part: home.iter().map(|r| set.recordings[*r].part).collect(),
        sampling_rate: set.recordings.first().and_then(|r| r.sampling_rate),
        info: set.info,
        sensors: set.sensors,
        positions: set.positions,
        adjacency: set.adjacency,
        x,
        mask,
        y,
        classes: set.classes,
        recording,
        subject,
        session,
        sources: set.sources,
        preparation: Preparation::default(),
    }))
}
