//! The windows of one recording.

use std::ops::Range;

use arrow::buffer::ScalarBuffer;
use ndarray::{Array2, Array3, Axis, s};

use super::layout::{Place, Prepared, of_recording, places};
use super::missing::{fill, observed};
use super::{Block, Mask, Missing, Piece, Starts, WindowConfig};
use crate::signal::FeatureConfig;
use crate::{Error, Recording, Result};

/// The windows of one recording.
pub(super) struct Cut {
    pub x: Piece,
    /// `None` when nothing is missing.
    pub mask: Option<Piece<u8>>,
    /// (v, l, f) of its windows.
    pub shape: (usize, usize, usize),
    pub y: Vec<usize>,
    /// The trial each was cut from.
    pub trial: Vec<usize>,
    /// Whether all values are finite, which filters that overflow are not.
    pub finite: bool,
    /// Windows that were too disturbed.
    pub rejected: usize,
}

/// Takes the signal out of the recording.
pub(super) fn cut_one(
    r: &mut Recording,
    sensors: &[String],
    window: &WindowConfig,
    features: &FeatureConfig,
    missing: Missing,
) -> Result<Cut> {
    let name = r.name.clone();
    let in_recording = |e: Error| match e {
        Error::Config {
            field,
            problem,
            remedy,
        } => Error::Config {
            field: format!("recording {name}, {field}"),
            problem,
            remedy,
        },
        other => other,
    };
    let (mask, gaps) = observed(r, sensors, missing)?;
    let mut signal = std::mem::take(&mut r.signal);
    if gaps {
        fill(&mut signal, &mask);
    }
    let time = signal.len_of(Axis(1));
    let whole = of_recording(features, &r.labels);
    let from = whole
        .time_steps(time, r.sampling_rate)
        .map_err(in_recording)?;
    let signal = whole
        .prepare(signal, r.sampling_rate)
        .map_err(in_recording)?;
    let mask = gaps.then(|| mask.select(Axis(1), &from));
    let rate = features.rate(r.sampling_rate);
    let recording = Prepared {
        from: &from,
        rates: (r.sampling_rate, rate),
    };
    let places = places(&r.labels, &recording, window, features).map_err(in_recording)?;
    let all = places.len();
    let (places, bad) = undisturbed(features, &signal, mask.as_ref(), places);
    let rejected = all - places.len();
    let y = places.iter().map(|p| p.class).collect();
    let trial = places.iter().map(|p| p.trial).collect();
    let ranges: Vec<Range<usize>> = places.into_iter().map(|p| p.steps).collect();
    let spoiled = bad.iter().flatten().any(|bad| *bad);
    // Few windows of a long recording are better copied than kept with all the rest.
    let covered: usize = ranges.iter().map(Range::len).sum();
    let dense = 2 * covered >= signal.len_of(Axis(1));
    if features.keeps_steps() && !spoiled && (dense || ranges.is_empty()) {
        return Ok(Cut {
            rejected,
            trial,
            ..in_place(signal, mask, &ranges, y)
        });
    }
    let mut values = Vec::new();
    let mut masks = Vec::new();
    let mut shape = (0, 0, 0);
    for (i, range) in ranges.iter().enumerate() {
        let part = signal.slice(s![.., range.clone(), ..]);
        let mut seen = mask
            .as_ref()
            .map(|m| m.slice(s![.., range.clone()]).to_owned());
        if spoiled {
            let all = || Array2::from_elem((part.len_of(Axis(0)), range.len()), true);
            let seen = seen.get_or_insert_with(all);
            for (mut node, bad) in seen.outer_iter_mut().zip(&bad[i]) {
                if *bad {
                    node.fill(false);
                }
            }
        }
        let (x, mask) = features
            .window(part, seen.as_ref().map(|m| m.view()), rate)
            .map_err(in_recording)?;
        shape = x.dim();
        values.extend(x.iter().copied());
        masks.extend(mask);
    }
    Ok(Cut {
        finite: values.iter().all(|value| value.is_finite()),
        x: Piece::Stack {
            values: ScalarBuffer::from(values),
            count: ranges.len(),
        },
        mask: masks
            .iter()
            .any(|m| m.iter().any(|seen| !seen))
            .then(|| Mask::stack(masks)),
        shape,
        y,
        trial,
        rejected,
    })
}

/// The windows that are not too disturbed, and which nodes are bad in each; none are said to be
/// where nothing is asked for.
fn undisturbed(
    features: &FeatureConfig,
    signal: &Array3<f32>,
    mask: Option<&Array2<bool>>,
    places: Vec<Place>,
) -> (Vec<Place>, Vec<Vec<bool>>) {
    let Some(reject) = &features.reject else {
        return (places, Vec::new());
    };
    places
        .into_iter()
        .filter_map(|place| {
            let seen = mask.map(|m| m.slice(s![.., place.steps.clone()]));
            let part = signal.slice(s![.., place.steps.clone(), ..]);
            let bad = reject.bad_nodes(part, seen)?;
            Some((place, bad))
        })
        .unzip()
}

/// Windows that stay in their recording, as nothing is done to each for itself.
fn in_place(
    mut signal: Array3<f32>,
    mask: Option<Array2<bool>>,
    ranges: &[Range<usize>],
    y: Vec<usize>,
) -> Cut {
    if let Some(mask) = &mask {
        for (mut step, seen) in signal.lanes_mut(Axis(2)).into_iter().zip(mask) {
            if !seen {
                step.fill(0.0);
            }
        }
    }
    let (v, _, f) = signal.dim();
    let starts = Starts::of(ranges);
    // A gap between windows does not make them incomplete.
    let missing = mask.filter(|m| {
        let gap = |r: &Range<usize>| m.slice(s![.., r.clone()]).iter().any(|seen| !seen);
        ranges.iter().any(gap)
    });
    Cut {
        finite: signal.iter().all(|value| value.is_finite()),
        mask: missing.map(|mask| Piece::Recording {
            blocks: vec![Mask::block(mask)],
            starts: starts.clone(),
        }),
        x: Piece::Recording {
            blocks: vec![Block::of(signal)],
            starts,
        },
        shape: (v, ranges.first().map_or(0, Range::len), f),
        y,
        trial: Vec::new(),
        rejected: 0,
    }
}
