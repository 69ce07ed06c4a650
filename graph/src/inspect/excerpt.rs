//! A stretch of signals over the graph of their sensors, small enough to draw.

use std::path::Path;

use ndarray::{Array2, Axis, s};

use super::dataset::{open_set, read_series, series_name};
use super::format::{Format, recognise};
use super::signals::on_the_scalp;
use super::{Figures, InspectOptions};
use crate::datasets::Recordings;
use crate::electrodes::{electrode_positions, normalise_channel_name};
use crate::formats::biosignal::{Breaks, MixedRates, RecordingOptions};
use crate::formats::{edf, gdf};
use crate::series::{Positions, Series};
use crate::signal::FeatureConfig;
use crate::topology::{GraphConfig, SensorGraph, build, layout_2d};
use crate::windows::{LazySet, Missing, RecordingSet, WindowConfig, cut};
use crate::{Error, Labels, Recording, Result};

/// Steps that are drawn unless others are asked for, of signals without a sampling rate.
const STEPS: usize = 1000;
/// Duration that is drawn of signals of at least one sample per second, seconds.
const SECONDS: f64 = 5.0;
/// Sensors shown in time.
const SHOWN: usize = 5;

/// Which stretch to take.
#[derive(Debug, Clone, Default)]
pub struct ExcerptOptions {
    /// Where and how to look.
    pub inspect: InspectOptions,
    /// Which recording, from 0; `None`: the first of the last class.
    pub recording: Option<usize>,
    /// Where it begins, seconds after the start (steps where no rate is known).
    pub start: Option<f64>,
    /// How long it is, in the same unit.
    pub length: Option<f64>,
    /// Sensors shown in time; empty: five that lie far apart.
    pub sensors: Vec<String>,
    /// Which quantity; `None`: the first.
    pub quantity: Option<String>,
}

/// A stretch of signals over the graph of their sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// Data set, recording, class.
    pub title: String,
    /// What is measured, with its unit.
    pub quantity: String,
    /// Sensor names.
    pub sensors: Vec<String>,
    /// Places in the unit square, see [`layout_2d`].
    pub layout: Vec<[f64; 2]>,
    /// Whether the sensors are electrodes on a head.
    pub head: bool,
    /// Edges as (source, target, weight).
    pub edges: Vec<(usize, usize, f32)>,
    /// Where the edges are from.
    pub edges_from: String,
    /// Indices of the sensors shown in time.
    pub shown: Vec<usize>,
    /// Time of each step: seconds since 1970 on a clock, else seconds after the start, else steps.
    pub times: Vec<f64>,
    /// What `times` are.
    pub clock: Clock,
    /// Values, (sensors, steps); NaN where missing.
    pub values: Array2<f32>,
    /// The step at which all sensors are shown: where they differ most.
    pub moment: usize,
}

/// What a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since 1970-01-01 00:00:00 on the clock of the data.
    Stamps,
    /// Seconds after the start of the recording.
    Seconds,
    /// Number of the step.
    Steps,
}

/// Takes a stretch of a file of signals, a folder with a `dataset.toml`, or a named data set, with
/// the graph that came with it or else the one that training would use: the Gaussian kernel of the
/// positions, or correlations of the stretch.
///
/// # Errors
/// As [`inspect`](super::inspect); [`Error::Config`] and [`Error::Unknown`] for a stretch, sensor
/// or quantity that is not there, or a file without signals.
pub fn excerpt(target: &str, options: &ExcerptOptions) -> Result<Excerpt> {
    let path = Path::new(target);
    if let Some(name) = series_name(target) {
        return of_series(&read_series(name, &options.inspect)?.series, options);
    }
    let set = if path.is_file() && path.file_name().is_none_or(|n| n != "dataset.toml") {
        signals_of(path)?
    } else {
        match open_set(target, &options.inspect)? {
            Recordings::Read(set) => set,
            Recordings::Lazy(set) => {
                let (set, recording) = one_shard(set, options.recording)?;
                let recording = Some(recording);
                return of_recordings(
                    set,
                    &ExcerptOptions {
                        recording,
                        ..options.clone()
                    },
                );
            }
        }
    };
    of_recordings(set, options)
}

/// The recordings of the shard in which the wanted one is, and its number there.
fn one_shard(set: LazySet, recording: Option<usize>) -> Result<(RecordingSet, usize)> {
    let (wanted, mut before) = (recording.unwrap_or(0), 0);
    for shard in &set.shards {
        let recordings = shard.read()?;
        if wanted < before + recordings.len() {
            let shared = set.shared;
            return Ok((
                RecordingSet {
                    recordings,
                    ..shared
                },
                wanted - before,
            ));
        }
        before += recordings.len();
    }
    Err(Error::config(
        "recording",
        format!("there is no recording {wanted} of {before}"),
        "count from 0",
    ))
}

/// The signals of a file; of one with electrodes only these.
fn signals_of(path: &Path) -> Result<RecordingSet> {
    let mut how = RecordingOptions {
        mixed_rates: MixedRates::MostCommon,
        breaks: Breaks::Split,
        ..Default::default()
    };
    let (format, _) = recognise(path)?;
    let file = match format {
        Format::Edf | Format::Bdf => edf::open(path)?,
        Format::Gdf => gdf::open(path)?,
        other => {
            return Err(Error::file(
                path,
                "format",
                format!("{} says nothing of sensors in time", other.name()),
                "describe it in a dataset.toml and give its folder",
            ));
        }
    };
    let labels = file.channels.iter().map(|c| c.label.clone());
    let electrodes: Vec<String> = labels.filter(|l| on_the_scalp(l)).collect();
    let some = electrodes.len() > 1;
    if some {
        how.channels = electrodes;
    }
    let (sensors, recordings) = file.recordings(&how)?;
    Ok(RecordingSet {
        info: crate::DatasetInfo {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            ..Default::default()
        },
        positions: some.then(|| electrode_positions(&sensors)).transpose()?,
        sensors: sensors.iter().map(|s| normalise_channel_name(s)).collect(),
        adjacency: None,
        classes: Vec::new(),
        recordings,
        sources: Vec::new(),
    })
}

/// Takes a stretch of one recording; see [`excerpt`].
///
/// # Errors
/// As [`excerpt`].
pub fn of_recordings(mut set: RecordingSet, options: &ExcerptOptions) -> Result<Excerpt> {
    let all = set.recordings.len();
    let class = |r: &Recording| match &r.labels {
        Labels::Whole(class) => Some(*class),
        _ => None,
    };
    let last = set.classes.len().checked_sub(1);
    let usual = set
        .recordings
        .iter()
        .position(|r| last.is_some() && class(r) == last);
    let at = options.recording.or(usual).unwrap_or(0);
    if at >= all {
        return Err(Error::config(
            "recording",
            format!("there is no recording {at} of {all}"),
            "count from 0",
        ));
    }
    let r = set.recordings.swap_remove(at);
    let rate = r.sampling_rate;
    let range = stretch(r.signal.dim().1, rate, options)?;
    let features = r.signal.dim().2;
    let feature = match &options.quantity {
        None => 0,
        Some(text) => text.parse().ok().filter(|f| *f < features).ok_or_else(|| {
            let known: Vec<String> = (0..features).map(|f| f.to_string()).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Error::unknown("feature", text, &known)
        })?,
    };
    let signal = r
        .signal
        .slice(s![.., range.clone(), feature..=feature])
        .to_owned();
    let mask = r
        .mask
        .as_ref()
        .map(|m| m.slice(s![.., range.clone()]).to_owned());
    let mut values = signal.index_axis(Axis(2), 0).to_owned();
    if let Some(mask) = &mask {
        values.zip_mut_with(mask, |v, seen| *v = if *seen { *v } else { f32::NAN });
    }
    let mut title = match r.name.as_str() {
        name if name == set.info.name || all == 1 => set.info.name.clone(),
        name => format!("{}, {name}", set.info.name),
    };
    if let Some(name) = class(&r).and_then(|c| set.classes.get(c)) {
        title += &format!(", class {name}");
    }
    set.classes.clear();
    set.recordings = vec![Recording {
        signal,
        mask,
        labels: Labels::None,
        ..r
    }];
    let dataset = cut(
        set,
        &WindowConfig::default(),
        &FeatureConfig::default(),
        Missing::Mask,
    )?;
    let config = GraphConfig::for_dataset(&dataset);
    let graph = build(&config, &dataset, &[0])?;
    let head = dataset.positions.as_ref().is_some_and(|p| p.ncols() == 3);
    let mut quantity = match (features, head) {
        (1, false) => "value".to_string(),
        (1, true) => "voltage".to_string(),
        _ => format!("feature {feature}"),
    };
    if head {
        // Electrodes have offsets that would hide what they measure.
        for mut row in values.rows_mut() {
            let mean = Figures::of(&row.to_vec()).mean.unwrap_or(0.0) as f32;
            row.mapv_inplace(|v| v - mean);
        }
        quantity += " about its mean";
    }
    let per_unit = rate.unwrap_or(1.0);
    finish(
        Excerpt {
            title,
            quantity,
            layout: layout_2d(&graph),
            head,
            edges: graph.edges(),
            edges_from: match config {
                GraphConfig::Given {} => "given with the data".into(),
                GraphConfig::Gaussian { .. } => "Gaussian kernel of the distances".into(),
                GraphConfig::Correlation { .. } => "correlations of this stretch".into(),
                _ => "none".into(),
            },
            shown: Vec::new(),
            times: range.map(|t| t as f64 / per_unit).collect(),
            clock: if rate.is_some() {
                Clock::Seconds
            } else {
                Clock::Steps
            },
            values,
            moment: 0,
            sensors: dataset.sensors,
        },
        &options.sensors,
    )
}

/// Takes a stretch of a series; see [`excerpt`].
///
/// # Errors
/// As [`excerpt`].
pub fn of_series(series: &Series, options: &ExcerptOptions) -> Result<Excerpt> {
    let feature = match &options.quantity {
        None => 0,
        Some(name) => series.feature(name)?,
    };
    let rate = series.time.as_ref().and_then(|t| t.step().rate());
    let range = stretch(series.len(), rate, options)?;
    let values = Array2::from_shape_fn((series.sensors.len(), range.len()), |(v, t)| {
        let step = range.start + t;
        match series.is_observed(step, v, feature) {
            true => series.values[[step, v, feature]],
            false => f32::NAN,
        }
    });
    let (times, clock) = match &series.time {
        Some(axis) => (
            axis.stamps()[range.clone()]
                .iter()
                .map(|s| *s as f64)
                .collect(),
            Clock::Stamps,
        ),
        None => (range.clone().map(|t| t as f64).collect(), Clock::Steps),
    };
    let moment = most_different(&values);
    let nodes = &series.sensors;
    let (graph, edges_from) = match (&series.graph, &series.positions) {
        (Some(given), _) => {
            let at = given.at(range.start + moment);
            let graph = match at {
                Some(graph) => graph.to_sensor_graph(nodes)?,
                None => SensorGraph::unconnected(nodes)?,
            };
            (
                graph,
                if given.is_dynamic() {
                    "given with the data, at the marked step"
                } else {
                    "given with the data"
                },
            )
        }
        (None, Some(positions)) => {
            let graph = SensorGraph::gaussian(nodes, &positions.distances(), None, 0.1, false)?;
            (graph, "Gaussian kernel of the distances")
        }
        (None, None) => (SensorGraph::unconnected(nodes)?, "none"),
    };
    let graph = match &series.positions {
        Some(positions) => graph.with_positions(in_a_plane(positions))?,
        None => graph,
    };
    let f = &series.features[feature];
    finish(
        Excerpt {
            title: series.info.name.clone(),
            quantity: match f.unit.as_str() {
                "" => f.name.clone(),
                unit if unit.starts_with(&f.name) => unit.into(),
                unit => format!("{}, {unit}", f.name),
            },
            layout: layout_2d(&graph),
            head: false,
            edges: graph.edges(),
            edges_from: edges_from.into(),
            shown: Vec::new(),
            times,
            clock,
            values,
            moment,
            sensors: nodes.clone(),
        },
        &options.sensors,
    )
}

/// Places on the Earth as a map shows them: east to the right, north up, the scale that of the
/// middle.
fn in_a_plane(positions: &Positions) -> Array2<f64> {
    match positions {
        Positions::Metres(p) => p.clone(),
        Positions::LatLon(p) => {
            let middle = p.column(0).mean().unwrap_or(0.0).to_radians().cos();
            Array2::from_shape_fn(p.dim(), |(i, axis)| match axis {
                0 => p[[i, 1]] * middle,
                _ => p[[i, 0]],
            })
        }
    }
}

/// The steps that are taken of `all`.
fn stretch(
    all: usize,
    rate: Option<f64>,
    options: &ExcerptOptions,
) -> Result<std::ops::Range<usize>> {
    let steps = |value: f64, field: &str| {
        let n = (value * rate.unwrap_or(1.0)).round();
        match n >= 0.0 && n < usize::MAX as f64 {
            true => Ok(n as usize),
            false => Err(Error::config(
                field,
                format!("{value} is no time"),
                "give seconds from 0 on",
            )),
        }
    };
    let start = options.start.map_or(Ok(0), |s| steps(s, "from"))?;
    let length = match (options.length, rate) {
        (Some(length), _) => steps(length, "length")?,
        (None, Some(rate)) if rate >= 1.0 => (SECONDS * rate).round() as usize,
        // A few days of minutes, two weeks of hours, all of days.
        (None, Some(rate)) if rate > 1.5 / 3600.0 => (3.0 * 86_400.0 * rate).round() as usize,
        (None, Some(rate)) if rate > 1.5 / 86_400.0 => (14.0 * 86_400.0 * rate).round() as usize,
        (None, _) => STEPS,
    };
    let end = start.saturating_add(length).min(all);
    if start + 1 >= end {
        return Err(Error::config(
            "from, length",
            format!("leave nothing of {all} steps"),
            "choose a stretch inside the recording",
        ));
    }
    Ok(start..end)
}

/// Chooses the sensors to show and the moment.
fn finish(mut e: Excerpt, wanted: &[String]) -> Result<Excerpt> {
    e.moment = most_different(&e.values);
    e.shown = match wanted {
        [] => apart(&e),
        names => names
            .iter()
            .map(|name| {
                e.sensors.iter().position(|s| s == name).ok_or_else(|| {
                    let known: Vec<&str> = e.sensors.iter().map(String::as_str).collect();
                    Error::unknown("sensor", name, &known)
                })
            })
            .collect::<Result<_>>()?,
    };
    Ok(e)
}

/// The step at which the sensors differ most; those at which few of them are observed do not count.
fn most_different(values: &Array2<f32>) -> usize {
    let spread = |t: usize| {
        let f = Figures::of(&values.column(t).to_vec());
        match 2 * (f.count - f.missing) >= f.count {
            true => f.sd.unwrap_or(0.0),
            false => 0.0,
        }
    };
    let steps = (0..values.ncols()).map(|t| (t, spread(t)));
    steps
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(t, _)| t)
}

/// Sensors far from each other out of those that vary most.
fn apart(e: &Excerpt) -> Vec<usize> {
    let varies: Vec<f64> = e
        .values
        .rows()
        .into_iter()
        .map(|row| Figures::of(&row.to_vec()).sd.unwrap_or(-1.0))
        .collect();
    let mut order: Vec<usize> = (0..e.sensors.len()).collect();
    order.sort_by(|a, b| varies[*b].total_cmp(&varies[*a]));
    // At the edge of a network little may happen: only the livelier sensors are considered.
    order.truncate((order.len() / 4).max(2 * SHOWN));
    let Some(first) = order.first() else {
        return order;
    };
    let mut chosen = vec![*first];
    let square = |a: usize, b: usize| {
        let (p, q) = (e.layout[a], e.layout[b]);
        (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)
    };
    while chosen.len() < SHOWN.min(order.len()) {
        let lonely = |i: &usize| {
            chosen
                .iter()
                .map(|c| square(*c, *i))
                .fold(f64::INFINITY, f64::min)
        };
        let left = order.iter().filter(|i| !chosen.contains(i));
        let Some(next) = left.max_by(|a, b| lonely(a).total_cmp(&lonely(b))) else {
            break;
        };
        chosen.push(*next);
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatasetInfo;
    use crate::series::{Feature, Step, TimePolicy};
    use ndarray::Array3;

    fn set(sensors: &[&str], positions: bool) -> RecordingSet {
        let sensors: Vec<String> = sensors.iter().map(|s| s.to_string()).collect();
        let n = sensors.len();
        let recording = |class: usize| Recording {
            name: format!("r{class}"),
            signal: Array3::from_shape_fn((n, 400, 1), |(v, t, _)| {
                5.0 + ((t * (v + 1)) as f32 * 0.1).sin() * (1 + class) as f32
            }),
            mask: None,
            sampling_rate: Some(40.0),
            labels: Labels::Whole(class),
            subject: None,
            session: None,
            part: None,
        };
        RecordingSet {
            info: DatasetInfo {
                name: "set".into(),
                ..Default::default()
            },
            positions: positions.then(|| electrode_positions(&sensors).unwrap()),
            sensors,
            adjacency: None,
            classes: vec!["rest".into(), "task".into()],
            recordings: vec![recording(0), recording(1)],
            sources: Vec::new(),
        }
    }

    #[test]
    fn electrodes_are_shown_on_a_head_about_their_means() {
        let names = ["Fp1", "Fp2", "Cz", "O1", "O2", "T7", "T8"];
        let e = of_recordings(set(&names, true), &ExcerptOptions::default()).unwrap();
        assert_eq!(e.title, "set, r1, class task");
        assert!(e.head && e.edges_from.contains("Gaussian") && !e.edges.is_empty());
        assert_eq!((e.values.dim(), e.shown.len()), ((7, 200), 5));
        assert_eq!((e.clock, e.times[199]), (Clock::Seconds, 199.0 / 40.0));
        assert!(e.values.mean().unwrap().abs() < 1e-5);
        // Fp1 and Fp2 are neighbours; one of them will do.
        assert!(
            !(e.shown.contains(&0) && e.shown.contains(&1)),
            "{:?}",
            e.shown
        );
    }

    #[test]
    fn what_is_asked_for_is_taken_or_named() {
        let options = |f: &dyn Fn(&mut ExcerptOptions)| {
            let mut o = ExcerptOptions::default();
            f(&mut o);
            of_recordings(set(&["a", "b"], false), &o)
        };
        let e = options(&|o| {
            (o.recording, o.start, o.length) = (Some(0), Some(1.0), Some(0.5));
            o.sensors = vec!["b".into()];
        })
        .unwrap();
        assert_eq!(
            (e.values.ncols(), e.times[0], &e.shown[..]),
            (20, 1.0, &[1][..])
        );
        assert!(!e.head && e.edges_from.contains("correlation"));
        for (change, expected) in [
            (
                (|o| o.recording = Some(2)) as fn(&mut ExcerptOptions),
                "no recording 2 of 2",
            ),
            (|o| o.start = Some(10.0), "leave nothing of 400 steps"),
            (|o| o.start = Some(-1.0), "-1 is no time"),
            (|o| o.sensors = vec!["c".into()], "unknown sensor \"c\""),
            (|o| o.quantity = Some("1".into()), "unknown feature \"1\""),
        ] {
            let error = options(&change).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_series_keeps_its_clock_and_its_gaps() {
        let values = Array3::from_shape_fn((30, 3, 2), |(t, v, f)| match (t, v, f) {
            (4, 0, 1) => f32::NAN,
            _ => (t * v + f) as f32,
        });
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let features = vec![Feature::new("flow", ""), Feature::new("speed", "mph")];
        let stamps: Vec<i64> = (0..30).map(|t| t * 86_400).collect();
        let positions = Positions::LatLon(ndarray::arr2(&[[60.0, 0.0], [60.0, 2.0], [61.0, 0.0]]));
        let series = Series::new(
            DatasetInfo {
                name: "s".into(),
                ..Default::default()
            },
            names,
            features,
            values,
        )
        .unwrap()
        .with_time(&stamps, Some(Step::Seconds(86_400)), TimePolicy::default())
        .unwrap()
        .0
        .with_positions(positions)
        .unwrap();
        let options = ExcerptOptions {
            quantity: Some("speed".into()),
            ..Default::default()
        };
        let e = of_series(&series, &options).unwrap();
        assert_eq!(
            (e.quantity.as_str(), e.clock, e.values.dim()),
            ("speed, mph", Clock::Stamps, (3, 30))
        );
        assert!(e.values[[0, 4]].is_nan());
        assert_eq!((e.moment, e.times[29]), (29, 29.0 * 86_400.0));
        // Two degrees east at 60° north are as far as one degree north.
        let [dx, dy] = [
            e.layout[1][0] - e.layout[0][0],
            e.layout[2][1] - e.layout[0][1],
        ];
        assert!((dx / dy - 1.0).abs() < 0.02, "{dx} {dy}");
    }
}
