//! From recordings to the equally shaped, labelled windows of a [`Dataset`].

mod gather;
mod layout;
mod lazy;
mod mask;
mod missing;
mod store;

use std::ops::Range;

use arrow::buffer::ScalarBuffer;
use ndarray::{Array2, Array3, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use gather::{Affine, Copied, each_row};
use layout::{Place, Prepared, of_recording, places};
pub use lazy::{LazySet, Shard, join};
pub(crate) use lazy::{absorb, seen_throughout};
pub use mask::Mask;
pub use missing::Missing;
use missing::{fill, observed};
pub use store::{Block, Order, Piece, Starts, Windows};

use crate::preparation::Preparation;
use crate::signal::FeatureConfig;
use crate::{Dataset, DatasetInfo, Error, Labels, Recording, Result, SourceFile, Span};

/// Unit of [`WindowConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds; needs the sampling rate.
    #[default]
    Seconds,
    /// Samples, counted after cropping and decimation.
    Samples,
}

/// Length of windows and the way from one to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowConfig {
    /// Length; `None`: each recording is one window.
    pub length: Option<f64>,
    /// From start to start; `None`: the length, so that windows do not overlap.
    pub stride: Option<f64>,
    /// What both are counted in.
    pub unit: Unit,
}

/// Recordings of one data set and what they share.
#[derive(Debug, Clone)]
pub struct RecordingSet {
    pub info: DatasetInfo,
    /// Sensor names, in the order of the nodes.
    pub sensors: Vec<String>,
    /// Sensor positions, (nodes, 2 or 3), metres.
    pub positions: Option<Array2<f64>>,
    /// Adjacency that came with the data, (nodes, nodes), entry [target, source].
    pub adjacency: Option<Array2<f32>>,
    /// Class names.
    pub classes: Vec<String>,
    /// The recordings; all have the same nodes and features.
    pub recordings: Vec<Recording>,
    /// Files read.
    pub sources: Vec<SourceFile>,
}

impl WindowConfig {
    /// Windows of a recording of `n` samples at `rate`, a trailing part shorter than the window
    /// left out.
    ///
    /// # Errors
    /// [`Error::Config`] when length or stride is less than one sample, a stride has no length,
    /// or seconds are given and the rate is not known.
    pub fn ranges(&self, n: usize, rate: Option<f64>) -> Result<Vec<Range<usize>>> {
        let Some(length) = self.length else {
            if self.stride.is_some() {
                return Err(Error::config(
                    "window.stride",
                    "is given without window.length",
                    "give a length too, or neither",
                ));
            }
            return Ok(std::iter::once(0..n).collect());
        };
        let samples = |value: f64, field: &str| {
            let factor = match self.unit {
                Unit::Samples => 1.0,
                Unit::Seconds => rate.ok_or_else(|| {
                    Error::config(
                        field,
                        "is in seconds, but the sampling rate is not known",
                        "set sampling_rate, or count the window in samples",
                    )
                })?,
            };
            let count = (value * factor).round();
            if count >= 1.0 && count < usize::MAX as f64 {
                return Ok(count as usize);
            }
            Err(Error::config(
                field,
                format!("{value} is not at least one sample"),
                "give a larger value",
            ))
        };
        let length = samples(length, "window.length")?;
        let stride = match self.stride {
            Some(s) => samples(s, "window.stride")?,
            None => length,
        };
        Ok((0..(n + 1).saturating_sub(length))
            .step_by(stride)
            .map(|start| start..start + length)
            .collect())
    }
}

/// The windows of one recording.
struct Cut {
    x: Piece,
    /// `None` when nothing is missing.
    mask: Option<Piece<u8>>,
    /// (v, l, f) of its windows.
    shape: (usize, usize, usize),
    y: Vec<usize>,
    /// The trial each was cut from.
    trial: Vec<usize>,
    /// Whether all values are finite, which filters that overflow are not.
    finite: bool,
    /// Windows that were too disturbed.
    rejected: usize,
}

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
fn nothing(rejected: usize) -> Error {
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
fn attempt(
    set: RecordingSet,
    window: &WindowConfig,
    features: &FeatureConfig,
    missing: Missing,
) -> Result<std::result::Result<Dataset, usize>> {
    check(&set)?;
    let mut set = features.rereference(set)?;
    let pieces: Vec<Cut> = set
        .recordings
        .par_iter_mut()
        .map(|r| cut_one(r, &set.sensors, window, features, missing))
        .collect::<Result<_>>()?;
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

/// What must hold over all recordings.
fn check(set: &RecordingSet) -> Result<()> {
    let Some(first) = set.recordings.first() else {
        return Err(Error::config(
            format!("data set {}", set.info.name),
            "has no recordings",
            "check the files and the choice of subjects",
        ));
    };
    let v = set.sensors.len();
    let f = first.signal.len_of(Axis(2));
    for r in &set.recordings {
        let wrong = |problem: String, remedy: &str| {
            Err(Error::config(
                format!("recording {}", r.name),
                problem,
                remedy,
            ))
        };
        let (nodes, time, features) = r.signal.dim();
        if nodes != v || features != f || f == 0 || v == 0 {
            return wrong(
                format!("has {nodes} nodes and {features} features, not {v} and {f}"),
                "give every recording the same sensors and features, and check the layout",
            );
        }
        if r.mask.as_ref().is_some_and(|m| m.dim() != (nodes, time)) {
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
                if steps.len() != time {
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
                inside(r, spans)?;
                let classes = spans.iter().map(|s| s.class);
                classes.chain([*otherwise]).max()
            }
            Labels::Trials { trials: spans, .. } => {
                inside(r, spans)?;
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
                return wrong(
                    format!("{} has a {what}, {} has none", with.name, without.name),
                    "give it for all recordings or for none",
                );
            }
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
fn inside(r: &Recording, spans: &[Span]) -> Result<()> {
    let time = r.signal.len_of(Axis(1));
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

/// Takes the signal out of the recording.
fn cut_one(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;

    fn recording(name: &str, signal: Array3<f32>, labels: Labels) -> Recording {
        Recording {
            name: name.into(),
            signal,
            mask: None,
            sampling_rate: Some(10.0),
            labels,
            subject: Some("s1".into()),
            session: Some("0".into()),
            part: Some(Part::Train),
        }
    }

    fn set(recordings: Vec<Recording>) -> RecordingSet {
        RecordingSet {
            info: DatasetInfo::default(),
            sensors: vec!["a".into(), "b".into()],
            positions: None,
            adjacency: None,
            classes: vec!["x".into(), "y".into()],
            recordings,
            sources: Vec::new(),
        }
    }

    fn ramp(n: usize) -> Array3<f32> {
        Array3::from_shape_fn((2, n, 1), |(v, t, _)| (100 * v + t) as f32)
    }

    fn of(length: f64, stride: Option<f64>, unit: Unit) -> WindowConfig {
        WindowConfig {
            length: Some(length),
            stride,
            unit,
        }
    }

    fn go(set: RecordingSet, window: &WindowConfig) -> Result<Dataset> {
        cut(set, window, &FeatureConfig::default(), Missing::Error)
    }

    #[test]
    fn ranges_drop_the_rest() {
        let ranges = |w: WindowConfig, n| w.ranges(n, Some(10.0)).unwrap();
        assert_eq!(ranges(of(0.4, None, Unit::Seconds), 11), [0..4, 4..8]);
        assert_eq!(
            ranges(of(4.0, Some(3.0), Unit::Samples), 10),
            [0..4, 3..7, 6..10]
        );
        assert!(ranges(of(4.0, None, Unit::Samples), 3).is_empty());
        assert!(of(0.01, None, Unit::Seconds).ranges(9, Some(10.0)).is_err());
        assert!(of(1.0, None, Unit::Seconds).ranges(9, None).is_err());
        assert!(of(f64::NAN, None, Unit::Samples).ranges(9, None).is_err());
        assert!(of(-1.0, None, Unit::Samples).ranges(9, None).is_err());
    }

    #[test]
    fn windows_keep_order_and_groups() {
        let steps = vec![0, 0, 1, 1, 1, 0, 0];
        let data = go(
            set(vec![
                recording("r", ramp(7), Labels::PerStep(steps)),
                recording("q", ramp(4), Labels::PerStep(vec![1; 4])),
            ]),
            &of(4.0, Some(3.0), Unit::Samples),
        )
        .unwrap();
        assert_eq!(data.x.dim(), (3, 2, 4, 1));
        assert_eq!(data.x[[1, 1, 0, 0]], 103.0);
        // Ties: 0 0 1 1 takes the later; 1 1 0 0 as well.
        assert_eq!(data.y, [1, 0, 1]);
        assert_eq!(data.recording, [0, 0, 1]);
        assert_eq!(data.session.unwrap(), ["s1/0"; 3]);
        assert!(data.mask.is_none());
    }

    #[test]
    fn missing_values_are_named_or_masked() {
        let mut signal = ramp(5);
        signal[[1, 3, 0]] = f32::NAN;
        let data = set(vec![recording("r7", signal, Labels::Whole(1))]);
        let error = go(data.clone(), &WindowConfig::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("r7") && error.contains("sensor b is NaN at time step 3"),
            "{error}"
        );
        let masked = cut(
            data,
            &WindowConfig::default(),
            &FeatureConfig::default(),
            Missing::Mask,
        )
        .unwrap();
        let mask = masked.mask.unwrap();
        assert_eq!(mask.gather(&[0]).iter().filter(|s| !**s).count(), 1);
        assert!(!mask[[0, 1, 3]]);
        assert_eq!(masked.x[[0, 1, 3, 0]], 0.0);
        assert_eq!(masked.x[[0, 1, 2, 0]], 102.0);
    }

    #[test]
    fn crop_and_decimation_move_labels_along() {
        let steps = (0..40).map(|t| usize::from(t >= 20)).collect();
        let data = set(vec![recording("r", ramp(40), Labels::PerStep(steps))]);
        let features = FeatureConfig {
            crop_seconds: Some([1.0, 3.0]),
            decimate: 2,
            ..Default::default()
        };
        let window = of(1.0, None, Unit::Seconds);
        let data = cut(data, &window, &features, Missing::Error).unwrap();
        assert_eq!(data.x.dim(), (2, 2, 5, 1));
        assert_eq!(data.y, [0, 1]);
    }

    #[test]
    fn labels_follow_resampling() {
        let steps = (0..40).map(|t| usize::from(t >= 20)).collect();
        let mut r = recording("r", ramp(40), Labels::PerStep(steps));
        let mut mask = Array2::from_elem((2, 40), true);
        mask[[0, 39]] = false;
        r.mask = Some(mask);
        let features: FeatureConfig =
            toml::from_str("steps = [{ kind = \"resample\", hz = 5, method = \"linear\" }]")
                .unwrap();
        let window = of(1.0, None, Unit::Seconds);
        let data = cut(set(vec![r]), &window, &features, Missing::Error).unwrap();
        assert_eq!(data.x.dim(), (4, 2, 5, 1));
        assert_eq!(data.y, [0, 0, 1, 1]);
        assert_eq!(data.x[[1, 1, 2, 0]], 114.0);
        // The step that is missing falls between two of the new ones.
        assert!(data.mask.is_none());
    }

    #[test]
    fn disturbed_windows_are_left_out() {
        let mut signal = ramp(20);
        signal[[0, 7, 0]] = 1e3;
        let go = |reject: &str| {
            let text = format!("reject = {{ peak_to_peak = 50, {reject} }}");
            let features: FeatureConfig = toml::from_str(&text).unwrap();
            let r = recording("r", signal.clone(), Labels::Whole(1));
            let window = of(5.0, None, Unit::Samples);
            cut(set(vec![r]), &window, &features, Missing::Error)
        };
        let data = go("").unwrap();
        assert_eq!((data.x.dim().0, data.y.len()), (3, 3));
        assert_eq!(data.x[[1, 0, 0, 0]], 10.0);
        assert!(data.mask.is_none());
        let masked = go("tolerate = 0.5").unwrap();
        assert_eq!(masked.x.dim().0, 4);
        let mask = masked.mask.unwrap();
        assert!(!mask[[1, 0, 0]] && mask[[1, 1, 0]] && mask[[0, 0, 0]]);
        assert_eq!(masked.x[[1, 0, 2, 0]], 0.0);
        let error = go("flat = 5").unwrap_err().to_string();
        assert!(error.contains("none of 4 windows"), "{error}");
    }

    #[test]
    fn montages_change_the_nodes() {
        let mut data = set(vec![recording("r", ramp(4), Labels::Whole(0))]);
        data.sensors = vec!["EEG T3-REF".into(), "EEG C3-REF".into()];
        let features: FeatureConfig = toml::from_str("montage = [\"C3-T7\"]").unwrap();
        let data = cut(data, &WindowConfig::default(), &features, Missing::Error).unwrap();
        assert_eq!(data.sensors, ["C3-T7"]);
        assert_eq!(data.x.window(0), Array3::from_elem((1, 4, 1), 100.0));
    }

    #[test]
    fn contradictions_are_errors() {
        let whole = WindowConfig::default();
        let r = |n, l| recording("r", ramp(n), l);
        let expect = |set: RecordingSet, text: &str| {
            let error = go(set, &whole).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        expect(set(vec![]), "no recordings");
        expect(
            set(vec![r(4, Labels::Whole(0)), r(5, Labels::Whole(0))]),
            "window.length",
        );
        expect(set(vec![r(4, Labels::Whole(2))]), "label 2");
        expect(set(vec![r(4, Labels::PerStep(vec![0]))]), "1 labels for 4");
        expect(
            set(vec![r(4, Labels::Whole(0)), r(4, Labels::None)]),
            "label",
        );
        let mut other = r(4, Labels::Whole(0));
        other.sampling_rate = None;
        expect(set(vec![r(4, Labels::Whole(0)), other]), "sampling rate");
        let mut other = set(vec![r(4, Labels::Whole(0))]);
        other.sensors.pop();
        expect(other, "2 nodes");
        let long = of(9.0, None, Unit::Samples);
        assert!(go(set(vec![r(4, Labels::Whole(0))]), &long).is_err());
    }
}
