//! Where the windows of a recording lie, and which class each has.

use std::ops::Range;

use super::WindowConfig;
use crate::signal::{FeatureConfig, Times};
use crate::{Labels, Result};

/// A window of a prepared recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Its time steps, as they are after [`FeatureConfig::prepare`].
    pub steps: Range<usize>,
    pub class: usize,
    /// The trial it was cut from, 0 where there are none.
    pub trial: usize,
}

/// A recording after [`FeatureConfig::prepare`].
pub(super) struct Prepared {
    /// For each of its time steps, the one of the recording whose label it has.
    pub from: Times,
    /// Samples per second before and after.
    pub rates: (Option<f64>, Option<f64>),
}

/// What of `features` is done to a whole recording: trials are cropped one by one.
pub(super) fn of_recording(features: &FeatureConfig, labels: &Labels) -> FeatureConfig {
    let crop_seconds = features.crop_seconds;
    FeatureConfig {
        crop_seconds: crop_seconds.filter(|_| !matches!(labels, Labels::Trials { .. })),
        ..features.clone()
    }
}

/// All windows of a recording, in order.
///
/// # Errors
/// As [`WindowConfig::ranges`] and [`FeatureConfig::crop`].
pub(super) fn places(
    labels: &Labels,
    recording: &Prepared,
    window: &WindowConfig,
    features: &FeatureConfig,
) -> Result<Vec<Place>> {
    let from = recording.from;
    let n = from.len;
    let rate = recording.rates.1;
    let whole = |class: &dyn Fn(&Range<usize>) -> usize| {
        let place = |steps: Range<usize>| Place {
            class: class(&steps),
            trial: 0,
            steps,
        };
        let ranges = window.ranges(n, rate)?;
        Ok(ranges.into_iter().map(place).collect())
    };
    let (trials, ratio) = match labels {
        Labels::None => return whole(&|_| 0),
        Labels::Whole(class) => return whole(&|_| *class),
        Labels::PerStep(steps) => {
            return whole(&|range| {
                let all: Vec<usize> = range.clone().map(|t| steps[from.at(t)]).collect();
                most_frequent(&all)
            });
        }
        Labels::Events { events, otherwise } => {
            return whole(&|range| {
                if range.is_empty() {
                    return *otherwise;
                }
                let first = from.at(range.start);
                // Up to where the next time step begins.
                let after = match range.end < n {
                    true => from.at(range.end),
                    false => from.at(range.end - 1) + 1,
                };
                let mut found = (0, *otherwise);
                for event in events {
                    let end = event.steps.end.min(after);
                    let shared = end.saturating_sub(event.steps.start.max(first));
                    if shared > found.0 {
                        found = (shared, event.class);
                    }
                }
                found.1
            });
        }
        Labels::Trials { trials, .. } => match recording.rates {
            (Some(before), Some(after)) => (trials, after / before),
            _ => (trials, 1.0 / features.decimate.max(1) as f64),
        },
    };
    let scaled = |steps: usize| (steps as f64 * ratio).round() as usize;
    let mut out = Vec::new();
    for (number, trial) in trials.iter().enumerate() {
        let length = scaled(trial.steps.len()).min(n);
        let start = scaled(trial.steps.start).min(n - length);
        let keep = features.crop(length, rate)?;
        for range in window.ranges(keep.len(), rate)? {
            let at = start + keep.start;
            out.push(Place {
                steps: at + range.start..at + range.end,
                class: trial.class,
                trial: number,
            });
        }
    }
    Ok(out)
}

/// The most frequent class; among equals, the one that occurs last.
fn most_frequent(steps: &[usize]) -> usize {
    let mut counts = vec![0usize; steps.iter().max().map_or(0, |m| m + 1)];
    for s in steps {
        counts[*s] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let last = steps.iter().rev().find(|s| counts[**s] == most);
    last.copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;
    use crate::windows::Unit;

    fn of(length: f64) -> WindowConfig {
        WindowConfig {
            length: Some(length),
            stride: None,
            unit: Unit::Samples,
        }
    }

    fn span(steps: Range<usize>, class: usize) -> Span {
        Span { steps, class }
    }

    fn go(labels: &Labels, n: usize, window: &WindowConfig, features: &str) -> Vec<Place> {
        let features: FeatureConfig = toml::from_str(features).unwrap();
        let whole = of_recording(&features, labels);
        let recording = Prepared {
            from: whole.times(n, Some(10.0)).unwrap(),
            rates: (Some(10.0), whole.rate(Some(10.0))),
        };
        places(labels, &recording, window, &features).unwrap()
    }

    #[test]
    fn a_window_has_the_class_of_the_event_it_touches() {
        let labels = Labels::Events {
            events: vec![
                span(3..4, 1),
                span(6..10, 2),
                span(5..7, 1),
                span(12..12, 2),
            ],
            otherwise: 0,
        };
        let classes = |places: Vec<Place>| places.iter().map(|p| p.class).collect::<Vec<_>>();
        // 0..4 touches the first; 4..8 shares two steps with 5..7 and 6..10, of which the former
        // comes later in the list; 8..12 the second; an empty event touches nothing.
        assert_eq!(classes(go(&labels, 16, &of(4.0), "")), [1, 2, 2, 0]);
        // Every second step: 0..4 is 0..8 of the recording.
        let halved = "steps = [{ kind = \"resample\", hz = 5, method = \"linear\" }]";
        assert_eq!(classes(go(&labels, 16, &of(2.0), halved)), [1, 2, 2, 0]);
        assert_eq!(classes(go(&labels, 16, &of(4.0), halved)), [2, 2]);
    }

    #[test]
    fn windows_stay_inside_their_trials() {
        let labels = Labels::Trials {
            trials: vec![span(2..12, 1), span(20..30, 0)],
            apart: true,
        };
        let told = |places: Vec<Place>| -> Vec<(Range<usize>, usize, usize)> {
            let told = places.into_iter().map(|p| (p.steps, p.class, p.trial));
            told.collect()
        };
        assert_eq!(
            told(go(&labels, 31, &of(4.0), "")),
            [(2..6, 1, 0), (6..10, 1, 0), (20..24, 0, 1), (24..28, 0, 1)]
        );
        // The crop counts from the start of a trial.
        let cropped = "crop_seconds = [0.5, 0.9]";
        assert_eq!(
            told(go(&labels, 31, &WindowConfig::default(), cropped)),
            [(7..11, 1, 0), (25..29, 0, 1)]
        );
        let halved = "steps = [{ kind = \"resample\", hz = 5, method = \"linear\" }]";
        assert_eq!(
            told(go(&labels, 31, &WindowConfig::default(), halved)),
            [(1..6, 1, 0), (10..15, 0, 1)]
        );
    }
}
