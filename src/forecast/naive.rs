//! Forecasts without a trained model, in raw units, from what is known when the forecast is made.

use rayon::prelude::*;

use super::calendar::Calendar;
use super::data::ForecastData;
use super::model::ForecasterKind;

/// A naive forecast of every window.
#[derive(Debug, Clone)]
pub struct Naive<'a> {
    kind: ForecasterKind,
    data: &'a ForecastData,
    season: usize,
    /// Mean of the training steps by place in the season, (season, nodes, targets), and whether
    /// there was any.
    profile: Vec<Option<f64>>,
}

impl<'a> Naive<'a> {
    /// A naive forecaster; of `historical-average` its table is made here, from the steps that
    /// training windows cover.
    pub fn new(kind: ForecasterKind, data: &'a ForecastData) -> Self {
        let config = &data.config;
        let step = data.series.time.as_ref().map(|t| t.step());
        let season = match config.season {
            0 => Calendar::season(step),
            season => season,
        };
        // An average by time of day holds for a week where there are several of them.
        let season = match (kind, config.season, step.and_then(|s| s.per_day())) {
            (ForecasterKind::HistoricalAverage, 0, Some(n)) if n > 1 => {
                let weeks = data.fold.train.len() / (7 * n);
                if weeks >= 2 { 7 * n } else { n }
            }
            _ => season,
        };
        let mut naive = Self {
            kind,
            data,
            season,
            profile: Vec::new(),
        };
        if kind == ForecasterKind::HistoricalAverage {
            naive.profile = naive.averages();
        }
        naive
    }

    /// Steps of a season.
    pub fn season(&self) -> usize {
        self.season
    }

    fn averages(&self) -> Vec<Option<f64>> {
        let data = self.data;
        let (v, k) = (data.nodes(), data.config.targets.len());
        let window = data.config.history + data.config.horizon;
        let mut seen = vec![false; data.series.len()];
        for start in &data.fold.train {
            seen[*start..start + window].fill(true);
        }
        let cell = |i: usize| {
            let (place, node, target) = (i / (v * k), i / k % v, i % k);
            let values = (place..seen.len())
                .step_by(self.season)
                .filter(|t| seen[*t])
                .filter_map(|t| data.target_at(t, node, target));
            mean(values)
        };
        (0..self.season * v * k).into_par_iter().map(cell).collect()
    }

    /// Forecasts of the windows from `starts`, raw units, (b, v, h, k) row-major.
    ///
    /// - `last-value`: y_{t+s} = the last observed value in the history.
    /// - `seasonal-naive`: the value one season before the step, or as many whole seasons as lie
    ///   wholly in the past; the one before that where it is missing.
    /// - `historical-average`: the training mean at the same place in the season.
    ///
    /// Where there is none of it: the last observed value, then the training mean of the node's
    /// scale.
    pub fn forecast(&self, starts: &[usize]) -> Vec<f64> {
        let config = &self.data.config;
        let (v, h, k) = (self.data.nodes(), config.horizon, config.targets.len());
        let mut out = vec![0.0; starts.len() * v * h * k];
        out.par_chunks_mut(v * h * k)
            .zip(starts)
            .for_each(|(out, start)| {
                for (i, value) in out.iter_mut().enumerate() {
                    let (node, step, target) = (i / (h * k), i / k % h, i % k);
                    *value = self.value(*start, node, step, target);
                }
            });
        out
    }

    fn value(&self, start: usize, node: usize, step: usize, target: usize) -> f64 {
        let data = self.data;
        let origin = start + data.config.history;
        let at = origin + step;
        let found = match self.kind {
            ForecasterKind::HistoricalAverage => {
                let (v, k) = (data.nodes(), data.config.targets.len());
                self.profile[(at % self.season * v + node) * k + target]
            }
            ForecasterKind::SeasonalNaive => {
                let seasons = step / self.season + 1;
                (seasons..=at / self.season)
                    .map(|n| at - n * self.season)
                    .find_map(|t| data.target_at(t, node, target))
                    .map(f64::from)
            }
            _ => None,
        };
        found
            .or_else(|| {
                let mut history = (start..origin).rev();
                history
                    .find_map(|t| data.target_at(t, node, target))
                    .map(f64::from)
            })
            .unwrap_or_else(|| data.scaler.inverse(0.0, node, target))
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f64> {
    let (n, sum) = values.fold((0usize, 0.0), |(n, sum), x| (n + 1, sum + f64::from(x)));
    (n > 0).then(|| sum / n as f64)
}
