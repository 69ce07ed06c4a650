//! Named data sets, and folders with a `dataset.toml`.

use std::collections::BTreeSet;

use ndarray::Axis;
use rayon::prelude::*;

use super::figures::Tally;
use super::record::{ChannelFigures, ClassCounts, GraphFigures, Inspection, TimeFigures};
use super::series::of_series;
use super::{InspectOptions, plain};
use crate::datasets::{
    DatasetConfig, SeriesConfig, SeriesSet, load_recordings, load_series, names, series_names,
};
use crate::series::{Duplicates, Gaps, Order, TimePolicy};
use crate::topology::CsrGraph;
use crate::windows::RecordingSet;
use crate::{DatasetInfo, Error, Labels, Part, Recording, Result};

pub(super) fn inspect(target: &str, options: &InspectOptions) -> Result<Inspection> {
    if let Some(name) = series_name(target) {
        return series(name, options);
    }
    of_recordings(&read_recordings(target, options)?)
}

/// Reads a set that is no series.
pub(super) fn read_recordings(target: &str, options: &InspectOptions) -> Result<RecordingSet> {
    let config = DatasetConfig {
        name: target.into(),
        data_dir: options.data_dir.clone(),
        ..Default::default()
    };
    load_recordings(&config).map_err(|e| match e {
        // The name may be a misspelt one of a series.
        Error::Unknown {
            kind: "data set", ..
        } => Error::unknown("data set", target, &[names(), series_names()].concat()),
        other => other,
    })
}

/// The name of a series of that name.
pub(super) fn series_name(target: &str) -> Option<&'static str> {
    let hyphens = target.replace('_', "-").to_lowercase();
    series_names().iter().copied().find(|n| *n == hyphens)
}

/// Reads a series whatever its clock is like: that is what inspecting is for.
pub(super) fn read_series(name: &str, options: &InspectOptions) -> Result<SeriesSet> {
    load_series(&SeriesConfig {
        name: name.into(),
        data_dir: options.data_dir.clone(),
        clock: Some(TimePolicy {
            order: Order::Sort,
            duplicates: Duplicates::First,
            gaps: Gaps::Keep,
        }),
        ..Default::default()
    })
}

fn series(name: &str, options: &InspectOptions) -> Result<Inspection> {
    let set = read_series(name, options)?;
    let mut found = of_series(&set.series);
    let p = &set.protocol;
    let reported: Vec<String> = p.report.iter().map(usize::to_string).collect();
    found.fact(
        "forecast",
        format!(
            "{} from {} steps, {} ahead, reported at {}",
            p.targets.join(", "),
            p.history,
            p.horizon,
            reported.join(", ")
        ),
    );
    let starts = p.split.starts(set.series.len(), p.history, p.horizon)?;
    let sizes = [&starts.train, &starts.validation, &starts.test].map(|s| s.len().to_string());
    found.fact("train / validation / test windows", sizes.join(" / "));
    found.fact("protocol", &p.source);
    if set.clock.unordered > 0 {
        found.warn(format!(
            "{} steps are earlier than the one before",
            set.clock.unordered
        ));
    }
    if set.clock.duplicates > 0 {
        found.warn(format!(
            "{} steps have the time of another",
            set.clock.duplicates
        ));
    }
    Ok(found)
}

pub(super) fn facts_of(found: &mut Inspection, info: &DatasetInfo) {
    found.fact("title", &info.title);
    found.fact("licence", &info.licence);
    found.fact("cite", &info.citation);
}

/// Describes the recordings of one data set.
///
/// # Errors
/// [`Error::Config`] when the adjacency that came with them is no graph.
pub fn of_recordings(set: &RecordingSet) -> Result<Inspection> {
    let all = &set.recordings;
    let mut found = Inspection {
        format: "data set of recordings".into(),
        bytes: set.sources.iter().map(|s| s.bytes).sum(),
        time: Some(time(all)),
        classes: classes(set),
        ..Default::default()
    };
    facts_of(&mut found, &set.info);
    found.fact("files", set.sources.len());
    let features = all.first().map_or(0, |r| r.signal.dim().2);
    found.fact(
        "shape",
        format!(
            "{} recordings of {} sensors × {} steps × {features} features",
            all.len(),
            set.sensors.len(),
            range(all.iter().map(|r| r.signal.dim().1))
        ),
    );
    for (name, of) in [
        (
            "subjects",
            (|r| r.subject.clone()) as fn(&Recording) -> Option<String>,
        ),
        ("sessions", |r| {
            let session = r.session.as_ref()?;
            Some(format!(
                "{}/{session}",
                r.subject.as_deref().unwrap_or_default()
            ))
        }),
    ] {
        let different: BTreeSet<String> = all.iter().filter_map(of).collect();
        if !different.is_empty() {
            found.fact(name, different.len());
        }
    }
    let count = |part: Part| all.iter().filter(|r| r.part == Some(part)).count();
    let parts = [Part::Train, Part::Validation, Part::Test].map(count);
    if parts.iter().sum::<usize>() > 0 {
        let [train, validation, test] = parts;
        found.fact(
            "parts given with the data",
            format!("{train} train, {validation} validation, {test} test"),
        );
    }
    found.fact(
        "positions",
        match &set.positions {
            Some(p) => format!("{} dimensions", p.ncols()),
            None => "none".into(),
        },
    );
    let (channels, features) = figures(set);
    let channel = |name: &String, tally: &Tally| ChannelFigures {
        name: name.clone(),
        unit: String::new(),
        rate_hz: found.time.as_ref().and_then(|t| t.rate_hz),
        figures: tally.figures(),
    };
    found.channels = set
        .sensors
        .iter()
        .zip(&channels)
        .map(|(n, t)| channel(n, t))
        .collect();
    if features.len() > 1 {
        let named = features.iter().enumerate();
        found.quantities = named
            .map(|(i, t)| channel(&format!("feature {i}"), t))
            .collect();
    }
    if let Some(adjacency) = &set.adjacency {
        let graph = CsrGraph::from_dense(adjacency.view())?;
        found.graph = Some(GraphFigures::new("given with the data", &graph));
    }
    warn(set, &mut found);
    found.warn_of_channels();
    Ok(found)
}

/// `a`, or `a to b`.
fn range(values: impl Iterator<Item = usize> + Clone) -> String {
    let (low, high) = (values.clone().min().unwrap_or(0), values.max().unwrap_or(0));
    match low == high {
        true => low.to_string(),
        false => format!("{low} to {high}"),
    }
}

fn time(all: &[Recording]) -> TimeFigures {
    let first = all.first();
    let rate = first.and_then(|r| r.sampling_rate);
    let same = all.iter().all(|r| r.sampling_rate == rate);
    let steps: u64 = all.iter().map(|r| r.signal.dim().1 as u64).sum();
    TimeFigures {
        steps: Some(steps),
        rate_hz: rate.filter(|_| same),
        seconds: all
            .iter()
            .map(|r| Some(r.signal.dim().1 as f64 / r.sampling_rate?))
            .sum::<Option<f64>>()
            .filter(|_| !all.is_empty()),
        ..Default::default()
    }
}

fn classes(set: &RecordingSet) -> Option<ClassCounts> {
    let all = &set.recordings;
    if all.iter().all(|r| r.labels == Labels::None) {
        return None;
    }
    let per_step = all.iter().any(|r| matches!(r.labels, Labels::PerStep(_)));
    let labels = all.iter().flat_map(|r| {
        let steps = if per_step { r.signal.dim().1 } else { 1 };
        (0..steps).map(move |t| match &r.labels {
            Labels::None => None,
            Labels::Whole(class) => Some(*class),
            Labels::PerStep(classes) => classes.get(t).copied(),
        })
    });
    let of = if per_step { "time steps" } else { "recordings" };
    Some(ClassCounts::new(of, &set.classes, labels))
}

/// Figures by node, and by feature.
fn figures(set: &RecordingSet) -> (Vec<Tally>, Vec<Tally>) {
    let one = |r: &Recording| {
        let (nodes, _, features) = r.signal.dim();
        let seen = |v: usize, t: usize| r.mask.as_ref().is_none_or(|m| m[[v, t]]);
        let known = |v: usize, t: usize, value: f32| match seen(v, t) {
            true => f64::from(value),
            false => f64::NAN,
        };
        let by_node: Vec<Tally> = (0..nodes)
            .map(|v| {
                let values = r.signal.index_axis(Axis(0), v);
                Tally::of(values.indexed_iter().map(|((t, _), x)| known(v, t, *x)))
            })
            .collect();
        let several = if features > 1 { features } else { 0 };
        let by_feature: Vec<Tally> = (0..several)
            .map(|f| {
                let values = r.signal.index_axis(Axis(2), f);
                Tally::of(values.indexed_iter().map(|((v, t), x)| known(v, t, *x)))
            })
            .collect();
        (by_node, by_feature)
    };
    let each: Vec<_> = set.recordings.par_iter().map(one).collect();
    let mut nodes = vec![Tally::default(); set.sensors.len()];
    let mut features = Vec::new();
    for (by_node, by_feature) in each {
        features.resize(by_feature.len().max(features.len()), Tally::default());
        nodes
            .iter_mut()
            .zip(&by_node)
            .for_each(|(all, t)| all.join(t));
        features
            .iter_mut()
            .zip(&by_feature)
            .for_each(|(all, t)| all.join(t));
    }
    (nodes, features)
}

fn warn(set: &RecordingSet, found: &mut Inspection) {
    let all = &set.recordings;
    let mut rates: Vec<f64> = all.iter().filter_map(|r| r.sampling_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.len() > 1 {
        let rates: Vec<String> = rates.iter().map(|r| plain(*r)).collect();
        found.warn(format!(
            "recordings differ in sampling rate: {} Hz",
            rates.join(", ")
        ));
    }
    if rates.is_empty() {
        found.warn("the sampling rate is not known");
    }
    if let Some(classes) = &found.classes {
        let mut warnings = Vec::new();
        if classes.without > 0 {
            warnings.push(format!("{} {} have no class", classes.without, classes.of));
        }
        let never: Vec<&str> = classes
            .classes
            .iter()
            .filter(|c| c.count == 0)
            .map(|c| c.name.as_str())
            .collect();
        if !never.is_empty() {
            warnings.push(format!("classes that never occur: {}", never.join(", ")));
        }
        found.warnings.extend(warnings);
    }
}
