//! The windows of one recording.

use std::ops::Range;

use arrow::buffer::ScalarBuffer;
use ndarray::{Array2, Array3, Axis, CowArray, Ix3, s};

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

/// Names the recording in an error about its configuration.
pub(super) fn in_recording(name: &str) -> impl Fn(Error) -> Error + '_ {
    move |e| match e {
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
    }
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
    let in_recording = in_recording(&name);
    let (mask, gaps) = observed(r, 0, sensors, missing)?;
    let mut signal = std::mem::take(&mut r.signal);
    if gaps {
        fill(&mut signal, &mask);
    }
    let time = signal.len_of(Axis(1));
    let whole = of_recording(features, &r.labels);
    let from = whole.times(time, r.sampling_rate).map_err(&in_recording)?;
    let signal = whole
        .prepare(signal, r.sampling_rate)
        .map_err(&in_recording)?;
    let mask = gaps.then(|| {
        let from: Vec<usize> = (0..from.len).map(|t| from.at(t)).collect();
        mask.select(Axis(1), &from)
    });
    let rate = features.rate(r.sampling_rate);
    let recording = Prepared {
        from,
        rates: (r.sampling_rate, rate),
    };
    let places = places(&r.labels, &recording, window, features).map_err(&in_recording)?;
    let part = |range: Range<usize>| signal.slice(s![.., range, ..]).into();
    let chosen = Chosen::of(places, features, &part, mask.as_ref());
    // Few windows of a long recording are better copied than kept with all the rest.
    let covered: usize = chosen.ranges.iter().map(Range::len).sum();
    let dense = 2 * covered >= signal.len_of(Axis(1));
    if chosen.stay(features) && (dense || chosen.ranges.is_empty()) {
        let rejected = chosen.rejected;
        return Ok(Cut {
            rejected,
            trial: chosen.trial,
            ..in_place(signal, mask, &chosen.ranges, chosen.y)
        });
    }
    let cut = chosen.apart(features, &part, mask.as_ref(), rate);
    cut.map_err(in_recording)
}

/// Gives some steps of a prepared recording.
type Part<'a> = &'a dyn Fn(Range<usize>) -> CowArray<'a, f32, Ix3>;

/// The windows of a recording that are not too disturbed.
pub(super) struct Chosen {
    pub ranges: Vec<Range<usize>>,
    pub y: Vec<usize>,
    pub trial: Vec<usize>,
    pub rejected: usize,
    /// Which nodes are bad in each; none where nothing is asked for.
    bad: Vec<Vec<bool>>,
}

impl Chosen {
    /// Of `places`, those that `features` does not reject.
    pub fn of(
        places: Vec<Place>,
        features: &FeatureConfig,
        part: Part<'_>,
        mask: Option<&Array2<bool>>,
    ) -> Self {
        let all = places.len();
        let (places, bad): (Vec<Place>, Vec<Vec<bool>>) = match &features.reject {
            None => (places, Vec::new()),
            Some(reject) => places
                .into_iter()
                .filter_map(|place| {
                    let seen = mask.map(|m| m.slice(s![.., place.steps.clone()]));
                    let bad = reject.bad_nodes(part(place.steps.clone()).view(), seen)?;
                    Some((place, bad))
                })
                .unzip(),
        };
        Self {
            rejected: all - places.len(),
            y: places.iter().map(|p| p.class).collect(),
            trial: places.iter().map(|p| p.trial).collect(),
            ranges: places.into_iter().map(|p| p.steps).collect(),
            bad,
        }
    }

    /// Whether windows may stay in their recording: nothing is done to one for itself.
    pub fn stay(&self, features: &FeatureConfig) -> bool {
        features.keeps_steps() && !self.spoiled()
    }

    fn spoiled(&self) -> bool {
        self.bad.iter().flatten().any(|bad| *bad)
    }

    /// Windows as copies, each for itself as `features` say.
    ///
    /// # Errors
    /// As [`FeatureConfig::window`].
    pub fn apart(
        self,
        features: &FeatureConfig,
        part: Part<'_>,
        mask: Option<&Array2<bool>>,
        rate: Option<f64>,
    ) -> Result<Cut> {
        let spoiled = self.spoiled();
        let mut values = Vec::new();
        let mut masks = Vec::new();
        let mut shape = (0, 0, 0);
        for (i, range) in self.ranges.iter().enumerate() {
            let part = part(range.clone());
            let mut seen = mask.map(|m| m.slice(s![.., range.clone()]).to_owned());
            if spoiled {
                let all = || Array2::from_elem((part.len_of(Axis(0)), range.len()), true);
                let seen = seen.get_or_insert_with(all);
                for (mut node, bad) in seen.outer_iter_mut().zip(&self.bad[i]) {
                    if *bad {
                        node.fill(false);
                    }
                }
            }
            let (x, mask) = features.window(part.view(), seen.as_ref().map(|m| m.view()), rate)?;
            shape = x.dim();
            values.extend(x.iter().copied());
            masks.extend(mask);
        }
        Ok(Cut {
            finite: values.iter().all(|value| value.is_finite()),
            x: Piece::Stack {
                values: ScalarBuffer::from(values),
                count: self.ranges.len(),
            },
            mask: masks
                .iter()
                .any(|m| m.iter().any(|seen| !seen))
                .then(|| Mask::stack(masks)),
            shape,
            y: self.y,
            trial: self.trial,
            rejected: self.rejected,
        })
    }
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
