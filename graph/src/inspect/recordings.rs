//! Recordings of one data set, summed up one by one, so that those of a large set need not be in
//! memory together.

use std::collections::BTreeSet;

use ndarray::Axis;
use rayon::prelude::*;

use super::dataset::facts_of;
use super::figures::Tally;
use super::plain;
use super::record::{ChannelFigures, ClassCounts, GraphFigures, Inspection, TimeFigures};
use crate::topology::CsrGraph;
use crate::windows::{LazySet, RecordingSet};
use crate::{Error, Labels, Part, Recording, Result};

/// Describes the recordings of one data set.
///
/// # Errors
/// [`Error::Config`] when the adjacency that came with them is no graph.
pub fn of_recordings(set: &RecordingSet) -> Result<Inspection> {
    let mut all = Summary::default();
    all.add(&set.recordings, set.classes.len());
    let bytes = set.sources.iter().map(|s| s.bytes).sum();
    describe(set, &all, set.sources.len(), bytes)
}

/// [`of_recordings`] of a set that is read file by file: as many at a time as it allows.
///
/// # Errors
/// As [`of_recordings`], and whatever is wrong with the files.
pub fn of_lazy(set: &LazySet) -> Result<Inspection> {
    let classes = set.shared.classes.len();
    let at_once = set.at_once.unwrap_or_else(rayon::current_num_threads);
    let mut all = Summary::default();
    for shards in set.shards.chunks(at_once.max(1)) {
        let read = shards.par_iter().map(|shard| {
            let mut part = Summary::default();
            part.add(&shard.read()?, classes);
            Ok(part)
        });
        for part in read.collect::<Result<Vec<Summary>>>()? {
            all.join(part);
        }
    }
    let mut bytes: u64 = set.shared.sources.iter().map(|s| s.bytes).sum();
    let mut files = set.shared.sources.len();
    for path in set.shards.iter().flat_map(|s| s.files()) {
        bytes += std::fs::metadata(path)
            .map_err(|e| Error::io(path, e))?
            .len();
        files += 1;
    }
    describe(&set.shared, &all, files, bytes)
}

/// What is kept of recordings.
#[derive(Default)]
struct Summary {
    recordings: usize,
    /// Time steps of the shortest and the longest.
    lengths: Option<[usize; 2]>,
    steps: u64,
    /// Seconds of those whose rate is known.
    seconds: f64,
    /// Sampling rates in the order in which they occur first.
    rates: Vec<Option<f64>>,
    features: usize,
    subjects: BTreeSet<String>,
    sessions: BTreeSet<String>,
    /// Recordings that train, validate and test.
    parts: [usize; 3],
    /// Of each node, and of each feature where there are several.
    nodes: Vec<Tally>,
    quantities: Vec<Tally>,
    labels: Counts,
}

impl Summary {
    /// Takes in recordings with labels of so many classes.
    fn add(&mut self, recordings: &[Recording], classes: usize) {
        let each = recordings.par_iter().map(|r| Self::of(r, classes));
        for one in each.collect::<Vec<_>>() {
            self.join(one);
        }
    }

    fn of(r: &Recording, classes: usize) -> Self {
        let (nodes, steps, features) = r.signal.dim();
        let seen = |v: usize, t: usize| r.mask.as_ref().is_none_or(|m| m[[v, t]]);
        let known = |v: usize, t: usize, value: f32| match seen(v, t) {
            true => f64::from(value),
            false => f64::NAN,
        };
        let by_node = (0..nodes).map(|v| {
            let values = r.signal.index_axis(Axis(0), v);
            Tally::of(values.indexed_iter().map(|((t, _), x)| known(v, t, *x)))
        });
        let several = if features > 1 { features } else { 0 };
        let by_feature = (0..several).map(|f| {
            let values = r.signal.index_axis(Axis(2), f);
            Tally::of(values.indexed_iter().map(|((v, t), x)| known(v, t, *x)))
        });
        let of_subject = r.subject.as_deref().unwrap_or_default();
        let session = r.session.as_ref().map(|s| format!("{of_subject}/{s}"));
        Self {
            recordings: 1,
            lengths: Some([steps, steps]),
            steps: steps as u64,
            seconds: r.sampling_rate.map_or(0.0, |rate| steps as f64 / rate),
            rates: vec![r.sampling_rate],
            features,
            subjects: r.subject.iter().cloned().collect(),
            sessions: session.into_iter().collect(),
            parts: [Part::Train, Part::Validation, Part::Test]
                .map(|part| usize::from(r.part == Some(part))),
            nodes: by_node.collect(),
            quantities: by_feature.collect(),
            labels: Counts::of(&r.labels, steps, classes),
        }
    }

    fn join(&mut self, other: Self) {
        self.recordings += other.recordings;
        self.lengths = match (self.lengths, other.lengths) {
            (Some([a, b]), Some([c, d])) => Some([a.min(c), b.max(d)]),
            (one, other) => one.or(other),
        };
        self.steps += other.steps;
        self.seconds += other.seconds;
        for rate in other.rates {
            if !self.rates.contains(&rate) {
                self.rates.push(rate);
            }
        }
        self.features = self.features.max(other.features);
        self.subjects.extend(other.subjects);
        self.sessions.extend(other.sessions);
        for (all, part) in self.parts.iter_mut().zip(other.parts) {
            *all += part;
        }
        join_tallies(&mut self.nodes, &other.nodes);
        join_tallies(&mut self.quantities, &other.quantities);
        self.labels.join(other.labels);
    }
}

fn join_tallies(all: &mut Vec<Tally>, part: &[Tally]) {
    all.resize(part.len().max(all.len()), Tally::default());
    all.iter_mut().zip(part).for_each(|(all, t)| all.join(t));
}

/// How often each class occurs.
#[derive(Default)]
struct Counts {
    /// Recordings, or trials where there are any.
    items: Vec<u64>,
    steps: Vec<u64>,
    without_items: u64,
    without_steps: u64,
    labelled: bool,
    by_step: bool,
    trials: bool,
}

impl Counts {
    fn of(labels: &Labels, steps: usize, classes: usize) -> Self {
        let mut counts = Self {
            items: vec![0; classes],
            steps: vec![0; classes],
            labelled: *labels != Labels::None,
            ..Self::default()
        };
        match labels {
            Labels::None => counts.item(None, steps),
            Labels::Whole(class) => counts.item(Some(*class), steps),
            Labels::PerStep(of) => {
                counts.by_step = true;
                (0..steps).for_each(|t| counts.step(of.get(t).copied(), 1));
            }
            Labels::Events { events, otherwise } => {
                counts.by_step = true;
                let mut of = vec![*otherwise; steps];
                for event in events {
                    if let Some(part) = of.get_mut(event.steps.clone()) {
                        part.fill(event.class);
                    }
                }
                of.into_iter().for_each(|class| counts.step(Some(class), 1));
            }
            Labels::Trials { trials, .. } => {
                counts.trials = true;
                let mut rest = steps;
                for trial in trials {
                    counts.item(Some(trial.class), trial.steps.len());
                    rest = rest.saturating_sub(trial.steps.len());
                }
                counts.step(None, rest);
            }
        }
        counts
    }

    fn item(&mut self, class: Option<usize>, steps: usize) {
        match class.and_then(|c| self.items.get_mut(c)) {
            Some(count) => *count += 1,
            None => self.without_items += 1,
        }
        self.step(class, steps);
    }

    fn step(&mut self, class: Option<usize>, steps: usize) {
        match class.and_then(|c| self.steps.get_mut(c)) {
            Some(count) => *count += steps as u64,
            None => self.without_steps += steps as u64,
        }
    }

    fn join(&mut self, other: Self) {
        for (all, part) in [
            (&mut self.items, other.items),
            (&mut self.steps, other.steps),
        ] {
            all.resize(all.len().max(part.len()), 0);
            all.iter_mut().zip(part).for_each(|(a, p)| *a += p);
        }
        self.without_items += other.without_items;
        self.without_steps += other.without_steps;
        self.labelled |= other.labelled;
        self.by_step |= other.by_step;
        self.trials |= other.trials;
    }

    fn told(&self, classes: &[String]) -> Option<ClassCounts> {
        let (of, counts, without) = match (self.by_step, self.trials) {
            (true, _) => ("time steps", &self.steps, self.without_steps),
            (false, true) => ("trials", &self.items, self.without_items),
            (false, false) => ("recordings", &self.items, self.without_items),
        };
        self.labelled
            .then(|| ClassCounts::of_counts(of, classes, counts, without))
    }
}

fn describe(set: &RecordingSet, all: &Summary, files: usize, bytes: u64) -> Result<Inspection> {
    let mut found = Inspection {
        format: "data set of recordings".into(),
        bytes,
        time: Some(time(all)),
        classes: all.labels.told(&set.classes),
        ..Default::default()
    };
    facts_of(&mut found, &set.info);
    found.fact("files", files);
    let steps = match all.lengths.unwrap_or_default() {
        [low, high] if low == high => low.to_string(),
        [low, high] => format!("{low} to {high}"),
    };
    found.fact(
        "shape",
        format!(
            "{} recordings of {} sensors × {steps} steps × {} features",
            all.recordings,
            set.sensors.len(),
            all.features
        ),
    );
    for (name, different) in [("subjects", &all.subjects), ("sessions", &all.sessions)] {
        if !different.is_empty() {
            found.fact(name, different.len());
        }
    }
    if all.parts.iter().sum::<usize>() > 0 {
        let [train, validation, test] = all.parts;
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
    let rate_hz = found.time.as_ref().and_then(|t| t.rate_hz);
    let channel = |name: &str, tally: &Tally| ChannelFigures {
        name: name.into(),
        unit: String::new(),
        rate_hz,
        figures: tally.figures(),
    };
    let mut nodes = all.nodes.clone();
    nodes.resize(set.sensors.len(), Tally::default());
    let named = set.sensors.iter().zip(&nodes);
    found.channels = named.map(|(n, t)| channel(n, t)).collect();
    let named = all.quantities.iter().enumerate();
    found.quantities = named
        .map(|(i, t)| channel(&format!("feature {i}"), t))
        .collect();
    if let Some(adjacency) = &set.adjacency {
        let graph = CsrGraph::from_dense(adjacency.view())?;
        found.graph = Some(GraphFigures::new("given with the data", &graph));
    }
    warn(all, &mut found);
    found.warn_of_channels();
    Ok(found)
}

fn time(all: &Summary) -> TimeFigures {
    let rate = match &all.rates[..] {
        [one] => *one,
        _ => None,
    };
    let known = !all.rates.is_empty() && all.rates.iter().all(Option::is_some);
    TimeFigures {
        steps: Some(all.steps),
        rate_hz: rate,
        seconds: known.then_some(all.seconds),
        ..Default::default()
    }
}

fn warn(all: &Summary, found: &mut Inspection) {
    let mut rates: Vec<f64> = all.rates.iter().flatten().copied().collect();
    rates.sort_by(f64::total_cmp);
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
