//! What a forecaster sees: windows gathered straight from the series.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;
use tgmamba_graph::series::{ForecastSplit, Series, SeriesGraph, WindowStarts};
use tgmamba_graph::split::Fold;

use super::calendar::Calendar;
use super::config::ForecastConfig;
use super::graph::{GivenGraph, Graphs, fill_dense, graphs};
use super::scale::SeriesScaler;
use crate::error::{Error, Result};
use crate::recorder::{Feed, Placed};

/// Scaled history, calendar, graph and parts of one fold.
#[derive(Debug, Clone)]
pub struct ForecastData {
    /// The series as it was read.
    pub series: Arc<Series>,
    /// Settings, complete.
    pub config: ForecastConfig,
    /// First steps of the windows that train, choose and test.
    pub fold: Fold,
    /// Scale, by column: the targets first, then the covariates.
    pub scaler: SeriesScaler,
    /// Times of the steps.
    pub calendar: Calendar,
    /// Features behind the columns.
    columns: Vec<usize>,
    /// Whether models are told where targets were observed.
    masked: bool,
    pub(super) graph: Graphs,
}

/// Windows side by side, on the host; row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBatch {
    /// First steps of the windows.
    pub starts: Vec<usize>,
    /// Scaled history (b, v, l, f): targets, covariates, and where targets were observed if that
    /// is not everywhere.
    pub x: Vec<f32>,
    /// Calendar of the history (b, l, c).
    pub clock: Vec<f32>,
    /// Place in the day of the last step in, (b).
    pub slot: Vec<i32>,
    /// Kind of its day, (b).
    pub weekday: Vec<i32>,
    /// The last observed scaled value of each target, 0 if there is none, (b, v, k).
    pub last: Vec<f32>,
    /// Scaled targets (b, v, h, k), 0 where not observed.
    pub y: Vec<f32>,
    /// 1 where a target was observed, else 0, (b, v, h, k).
    pub mask: Vec<f32>,
    /// Graph of every step in, (b, l, v, v), if it changes.
    pub graph: Option<Vec<f32>>,
}

/// What goes into a forecaster.
#[derive(Debug, Clone)]
pub struct Input {
    /// Scaled history (b, v, l, f), the k targets first.
    pub x: Tensor<4>,
    /// Calendar of the history (b, l, c); absent without a calendar.
    pub clock: Option<Tensor<3>>,
    /// Place in the day of the last step in, (b).
    pub slot: Tensor<1, Int>,
    /// Kind of its day, (b).
    pub weekday: Tensor<1, Int>,
    /// Last observed scaled value of the targets, (b, v, k).
    pub last: Tensor<3>,
    /// The given graph; absent if none is used.
    pub graph: Option<GivenGraph>,
}

/// Sizes that a forecaster is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Nodes, v.
    pub nodes: usize,
    /// Features in, f.
    pub features: usize,
    /// Calendar features, c.
    pub clock: usize,
    /// Places in a day.
    pub slots: usize,
    /// Kinds of days: 7 days of the week, 2 with weekends, else 1.
    pub weekdays: usize,
    /// Steps in, l.
    pub history: usize,
    /// Steps out, h.
    pub horizon: usize,
    /// Targets, k.
    pub targets: usize,
    /// Values for each target, q.
    pub outputs: usize,
    /// Whether a graph is given.
    pub graph: bool,
    /// Whether the last k features say where the targets were observed.
    pub masked: bool,
}

/// The folds of a configuration: one, or one for each rolling origin.
///
/// With n origins the test windows are cut into n pieces in order. The model that forecasts a piece
/// trains on every window that ends before the piece begins, the last of them validating in the
/// share of the original split.
///
/// # Errors
/// As [`ForecastSplit::starts`]; more origins than test windows, or one with nothing to train on.
pub fn folds(config: &ForecastConfig, split: ForecastSplit, steps: usize) -> Result<Vec<Fold>> {
    let (l, h) = (config.history, config.horizon);
    let WindowStarts {
        train,
        validation,
        test,
    } = split.starts(steps, l, h)?;
    if config.origins == 1 {
        return Ok(vec![Fold {
            name: "holdout".into(),
            train,
            validation,
            test,
        }]);
    }
    if config.origins > test.len() {
        return Err(Error::config(
            "forecast.origins",
            format!("{} origins for {} test windows", config.origins, test.len()),
            "give fewer origins, or a larger test part",
        ));
    }
    let share = validation.len() as f64 / (train.len() + validation.len()) as f64;
    let cut = |i: usize| i * test.len() / config.origins;
    (0..config.origins)
        .map(|i| {
            let piece = &test[cut(i)..cut(i + 1)];
            // Nothing that training sees may lie at or after the first step that is forecast.
            let known = (piece[0] + 1).saturating_sub(h);
            let mut train: Vec<usize> = (train[0]..known).collect();
            let held = (train.len() as f64 * share).round() as usize;
            if held >= train.len() {
                return Err(Error::config(
                    "forecast.origins",
                    format!("origin {} has {} windows before it", i + 1, train.len()),
                    "give fewer origins, a shorter horizon or a smaller test part",
                ));
            }
            let validation = train.split_off(train.len() - held);
            Ok(Fold {
                name: format!("origin{}", i + 1),
                train,
                validation,
                test: piece.to_vec(),
            })
        })
        .collect()
}

impl ForecastData {
    /// Prepares a fold.
    ///
    /// # Errors
    /// Unknown features, a target that training or testing never observes, a calendar without a
    /// clock.
    pub fn new(series: Arc<Series>, fold: Fold, config: &ForecastConfig) -> Result<Self> {
        config.validate()?;
        let columns = columns(&series, config)?;
        let k = config.targets.len();
        let (steps, v, _) = series.dim();
        let window = config.history + config.horizon;
        let mut seen = vec![false; steps];
        for start in &fold.train {
            seen[*start..(start + window).min(steps)].fill(true);
        }
        let scaling = config
            .scaling
            .unwrap_or(tgmamba_graph::series::Scaling::Zscore);
        let scaler = SeriesScaler::fit(&series, &columns, k, &seen, scaling, config.transform)?;
        let time = series.time.as_ref();
        let calendar = config.calendar.clone().unwrap_or_else(|| {
            let first = seen.iter().position(|s| *s).unwrap_or(0);
            let end = seen.iter().rposition(|s| *s).map_or(first, |i| i + 1);
            Calendar::suited(time, first..end)
        });
        let data = Self {
            calendar: Calendar::new(time, &calendar, config.horizon)?,
            masked: config.masked.unwrap_or_else(|| {
                let missing = |t, n| columns[..k].iter().any(|c| !series.is_observed(t, n, *c));
                series.observed().is_some() && (0..steps).any(|t| (0..v).any(|n| missing(t, n)))
            }),
            graph: graphs(&series, config)?,
            config: config.clone(),
            fold,
            scaler,
            columns,
            series,
        };
        data.check_targets()?;
        Ok(data)
    }

    /// What is odd about the data and still forecast.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unseen = self.scaler.unseen();
        if !unseen.is_empty() {
            let names = unseen.iter().take(5);
            let names: Vec<&str> = names.map(|n| &*self.series.sensors[*n]).collect();
            warnings.push(format!(
                "{} sensors are never observed in the training part ({}); they are scaled as all \
                 others together",
                unseen.len(),
                names.join(", ")
            ));
        }
        let isolated = match &self.series.graph {
            Some(SeriesGraph::Static(graph)) if !matches!(self.graph, Graphs::None) => {
                graph.isolated().len()
            }
            _ => 0,
        };
        if isolated > 0 {
            let rest = match self.config.adaptive {
                true => " and the learned graph",
                false => "",
            };
            warnings.push(format!(
                "{isolated} of {} sensors have no edge to another; they are forecast from their own \
                 history{rest} alone",
                self.nodes()
            ));
        }
        warnings
    }

    /// A part without any observed target teaches or tells nothing.
    fn check_targets(&self) -> Result<()> {
        let parts = [
            ("training", &self.fold.train),
            ("validation", &self.fold.validation),
            ("test", &self.fold.test),
        ];
        let (l, h) = (self.config.history, self.config.horizon);
        for ((name, starts), (k, target)) in parts.into_iter().flat_map(|part| {
            let targets = self.config.targets.iter().enumerate();
            targets.map(move |target| (part, target))
        }) {
            let seen = |step| (0..self.nodes()).any(|v| self.target_at(step, v, k).is_some());
            let any = starts
                .iter()
                .any(|start| (0..h).any(|s| seen(start + l + s)));
            if !starts.is_empty() && !any {
                return Err(Error::config(
                    format!("feature {target}"),
                    format!("is never observed in the {name} part"),
                    "check the null value of the feature, or change the split",
                ));
            }
        }
        Ok(())
    }

    /// Number of nodes, v.
    pub fn nodes(&self) -> usize {
        self.series.dim().1
    }

    /// Sizes for a forecaster.
    pub fn sizes(&self) -> Sizes {
        let config = &self.config;
        Sizes {
            nodes: self.nodes(),
            features: self.features(),
            clock: self.calendar.features().len(),
            slots: self.calendar.slots(),
            weekdays: self.calendar.weekdays(),
            history: config.history,
            horizon: config.horizon,
            targets: config.targets.len(),
            outputs: config.outputs(),
            graph: !matches!(self.graph, Graphs::None),
            masked: self.masked,
        }
    }

    fn features(&self) -> usize {
        self.columns.len()
            + if self.masked {
                self.config.targets.len()
            } else {
                0
            }
    }

    /// Raw value of target `k` at a step of the series; `None` if not observed or past the end.
    pub fn target_at(&self, step: usize, node: usize, k: usize) -> Option<f32> {
        let feature = self.columns[k];
        let inside = step < self.series.len();
        (inside && self.series.is_observed(step, node, feature))
            .then(|| self.series.value(step, node, feature))
    }

    /// The same of any column, scaled. Series are scaled batch by batch: those that are mapped from
    /// a file may be larger than memory.
    fn scaled(&self, step: usize, node: usize, column: usize) -> Option<f32> {
        let x = self.target_at(step, node, column)?;
        Some(self.scaler.forward(x, node, column))
    }

    /// Gathers windows; targets past the end of the series count as not observed.
    pub fn gather(&self, starts: &[usize]) -> HostBatch {
        let sizes = self.sizes();
        let (v, f, c) = (sizes.nodes, sizes.features, sizes.clock);
        let (l, h, k) = (sizes.history, sizes.horizon, sizes.targets);
        let b = starts.len();
        let mut batch = HostBatch {
            starts: starts.to_vec(),
            x: vec![0.0; b * v * l * f],
            clock: vec![0.0; b * l * c],
            slot: vec![0; b],
            weekday: vec![0; b],
            last: vec![0.0; b * v * k],
            y: vec![0.0; b * v * h * k],
            mask: vec![0.0; b * v * h * k],
            graph: None,
        };
        batch
            .x
            .par_chunks_mut(v * l * f)
            .zip(batch.last.par_chunks_mut(v * k))
            .zip(starts)
            .for_each(|((x, last), start)| self.fill_history(*start, x, last));
        batch
            .y
            .par_chunks_mut(v * h * k)
            .zip(batch.mask.par_chunks_mut(v * h * k))
            .zip(starts)
            .for_each(|((y, mask), start)| self.fill_targets(start + l, y, mask));
        for (i, start) in starts.iter().enumerate() {
            if c > 0 {
                let rows = batch.clock[i * l * c..(i + 1) * l * c].chunks_mut(c);
                for (t, row) in rows.enumerate() {
                    self.calendar.fill(start + t, row);
                }
            }
            let (slot, day) = self.calendar.place(start + l - 1);
            (batch.slot[i], batch.weekday[i]) = (slot as i32, day as i32);
        }
        if let Graphs::PerStep(graphs) = &self.graph {
            let mut dense = vec![0.0; b * l * v * v];
            dense
                .par_chunks_mut(v * v)
                .enumerate()
                .for_each(|(i, out)| {
                    let step = starts[i / l] + i % l;
                    fill_dense(&graphs[step.min(graphs.len() - 1)], out);
                });
            batch.graph = Some(dense);
        }
        batch
    }

    fn fill_history(&self, start: usize, x: &mut [f32], last: &mut [f32]) {
        let (l, k, n) = (
            self.config.history,
            self.config.targets.len(),
            self.columns.len(),
        );
        let f = self.features();
        for (node, x) in x.chunks_mut(l * f).enumerate() {
            for (t, out) in x.chunks_mut(f).enumerate() {
                for (column, value) in out[..n].iter_mut().enumerate() {
                    *value = self.scaled(start + t, node, column).unwrap_or(0.0);
                }
                for target in 0..k {
                    let seen = self
                        .series
                        .is_observed(start + t, node, self.columns[target]);
                    if self.masked {
                        out[n + target] = f32::from(u8::from(seen));
                    }
                    if seen {
                        last[node * k + target] = out[target];
                    }
                }
            }
        }
    }

    fn fill_targets(&self, first: usize, y: &mut [f32], mask: &mut [f32]) {
        let (h, k) = (self.config.horizon, self.config.targets.len());
        for (i, (y, mask)) in y.iter_mut().zip(mask).enumerate() {
            let (node, step, target) = (i / (h * k), first + i / k % h, i % k);
            if let Some(value) = self.scaled(step, node, target) {
                *y = value;
                *mask = 1.0;
            }
        }
    }

    /// A batch on a device, with the graph of [`fixed_graph`](Self::fixed_graph) if that is what
    /// is used.
    pub fn input(
        &self,
        mut batch: HostBatch,
        fixed: Option<&GivenGraph>,
        device: &Device,
    ) -> Input {
        let mut placed = self.feed(&mut batch).place(device);
        self.take_input(&mut placed, fixed)
    }

    /// The arrays that [`take_input`](Self::take_input) takes, out of the batch.
    pub fn feed(&self, batch: &mut HostBatch) -> Feed {
        let sizes = self.sizes();
        let (b, v, l) = (batch.starts.len(), sizes.nodes, sizes.history);
        let mut feed = Feed::default();
        feed.push(take(&mut batch.x), [b, v, l, sizes.features]);
        if sizes.clock > 0 {
            feed.push(take(&mut batch.clock), [b, l, sizes.clock]);
        }
        feed.push_ints(take(&mut batch.slot), [b]);
        feed.push_ints(take(&mut batch.weekday), [b]);
        feed.push(take(&mut batch.last), [b, v, sizes.targets]);
        if let Some(dense) = batch.graph.take() {
            feed.push(dense, [b, l, v, v]);
        }
        feed
    }

    /// The first arrays of a batch as what goes into a forecaster.
    pub fn take_input(&self, placed: &mut Placed, fixed: Option<&GivenGraph>) -> Input {
        Input {
            x: placed.take(),
            clock: (self.sizes().clock > 0).then(|| placed.take()),
            slot: placed.take_ints(),
            weekday: placed.take_ints(),
            last: placed.take(),
            graph: match &self.graph {
                Graphs::PerStep(_) => Some(GivenGraph::Dense(placed.take())),
                _ => fixed.cloned(),
            },
        }
    }

    /// The groups of test windows that the reported steps are counted over.
    ///
    /// Most protocols have one. T-GCN cuts windows anew for each horizon, so that shorter horizons
    /// have more of them: then the windows are those of the shortest reported step, and each has
    /// the number of the longest one it belongs to.
    ///
    /// # Errors
    /// As [`ForecastSplit::starts`].
    pub fn test_windows(&self) -> Result<Vec<(usize, usize)>> {
        let report = &self.config.report;
        let longest = report.len() - 1;
        let own = self.config.split.filter(|s| {
            matches!(
                s,
                ForecastSplit::Steps {
                    drop_last: true,
                    ..
                }
            ) && self.config.origins == 1
        });
        let Some(split) = own else {
            return Ok(self.fold.test.iter().map(|s| (*s, longest)).collect());
        };
        let mut group = BTreeMap::new();
        for (i, steps) in report.iter().enumerate() {
            let starts = split.starts(self.series.len(), self.config.history, *steps)?;
            group.extend(starts.test.into_iter().map(|s| (s, i)));
        }
        Ok(group.into_iter().collect())
    }
}

/// Features of the targets, then of the covariates.
fn columns(series: &Series, config: &ForecastConfig) -> Result<Vec<usize>> {
    let mut columns = Vec::new();
    for name in &config.targets {
        let feature = series.feature(name)?;
        if columns.contains(&feature) {
            return Err(Error::config(
                "forecast.targets",
                format!("{name} is named twice"),
                "name every target once",
            ));
        }
        columns.push(feature);
    }
    let all = config.covariates.iter().any(|c| c == "all");
    let wanted = match all {
        true => (0..series.features.len()).collect(),
        false => config
            .covariates
            .iter()
            .map(|name| series.feature(name))
            .collect::<Result<Vec<_>>>()?,
    };
    for feature in wanted {
        if !columns.contains(&feature) {
            columns.push(feature);
        }
    }
    Ok(columns)
}
