//! Errors of forecasts, in raw units over a whole part, only where targets were observed.
//!
//! With e = ŷ - y over the observed values of a set of windows, nodes and steps:
//!
//! ```text
//! MAE = mean |e|     RMSE = √(mean e²)     MAPE = mean |e| / |y| over y ≠ 0
//! ```
//!
//! Sums are f64 and run over the whole part: a mean of batch means would weigh a short last batch,
//! or one with many gaps, like a full one. Two ways to average over the horizon are in use, and
//! both are given by name:
//!
//! - `at` step s: errors s steps ahead (DCRNN and those after it);
//! - `up to` step s: steps 1 to s together (T-GCN).
//!
//! Over all steps, `pooled` takes all errors together, and `mean of steps` is the mean of the
//! values `at` each step; for MAE without gaps they agree, for RMSE the first is never smaller.

use serde::{Deserialize, Serialize};

/// Sums over observed values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    n: u64,
    abs: f64,
    squared: f64,
    nonzero: u64,
    relative: f64,
}

/// Errors over some set of values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean absolute error, raw units.
    pub mae: Option<f64>,
    /// Root of the mean squared error, raw units.
    pub rmse: Option<f64>,
    /// Mean absolute error relative to the target where that is not zero, as a share.
    pub mape: Option<f64>,
    /// Observed values.
    pub n: u64,
}

impl Sums {
    fn add(&mut self, y: f64, forecast: f64) {
        let e = forecast - y;
        self.n += 1;
        self.abs += e.abs();
        self.squared += e * e;
        if y != 0.0 {
            self.nonzero += 1;
            self.relative += (e / y).abs();
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.n += other.n;
        self.abs += other.abs;
        self.squared += other.squared;
        self.nonzero += other.nonzero;
        self.relative += other.relative;
        self
    }

    /// The errors; none where nothing was observed.
    pub fn scores(&self) -> Scores {
        let mean = |sum: f64, n: u64| (n > 0).then(|| sum / n as f64);
        Scores {
            mae: mean(self.abs, self.n),
            rmse: mean(self.squared, self.n).map(f64::sqrt),
            mape: mean(self.relative, self.nonzero),
            n: self.n,
        }
    }
}

/// Error sums of every group of windows, target, step and node.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors {
    groups: usize,
    targets: usize,
    horizon: usize,
    nodes: usize,
    /// (groups, targets, steps, nodes).
    cells: Vec<Sums>,
}

impl Errors {
    /// Without any value yet. Groups of windows are numbered; see [`up_to`](Self::up_to).
    pub fn new(groups: usize, targets: usize, horizon: usize, nodes: usize) -> Self {
        Self {
            groups,
            targets,
            horizon,
            nodes,
            cells: vec![Sums::default(); groups * targets * horizon * nodes],
        }
    }

    fn row(&self, group: usize, target: usize, step: usize) -> usize {
        ((group * self.targets + target) * self.horizon + step) * self.nodes
    }

    /// Counts an observed value of a window of `group`, `step` from 0.
    pub fn add(
        &mut self,
        group: usize,
        target: usize,
        step: usize,
        node: usize,
        y: f64,
        forecast: f64,
    ) {
        let at = self.row(group, target, step) + node;
        self.cells[at].add(y, forecast);
    }

    fn sum(&self, group: usize, target: usize, steps: std::ops::Range<usize>) -> Sums {
        steps.fold(Sums::default(), |sum, step| {
            let row = self.row(group, target, step);
            self.cells[row..row + self.nodes]
                .iter()
                .fold(sum, Sums::join)
        })
    }

    /// Errors at step `step` ahead, from 1, of the windows of the last group.
    pub fn at(&self, target: usize, step: usize) -> Scores {
        self.sum(self.groups - 1, target, step - 1..step).scores()
    }

    /// Errors of steps 1 to `step` together, of the windows of `group` and of those after it.
    pub fn up_to(&self, group: usize, target: usize, step: usize) -> Scores {
        let groups = (group..self.groups).map(|g| self.sum(g, target, 0..step));
        groups.fold(Sums::default(), |a, b| a.join(&b)).scores()
    }

    /// All steps together, of the windows of the last group.
    pub fn pooled(&self, target: usize) -> Scores {
        self.up_to(self.groups - 1, target, self.horizon)
    }

    /// The mean of the errors at each step, of the windows of the last group.
    pub fn mean_of_steps(&self, target: usize) -> Scores {
        let all: Vec<Scores> = (1..=self.horizon).map(|s| self.at(target, s)).collect();
        let mean = |of: fn(&Scores) -> Option<f64>| {
            let known: Vec<f64> = all.iter().filter_map(of).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        Scores {
            mae: mean(|s| s.mae),
            rmse: mean(|s| s.rmse),
            mape: mean(|s| s.mape),
            n: all.iter().map(|s| s.n).sum(),
        }
    }

    /// All steps of one node together, of the windows of the last group.
    pub fn node(&self, target: usize, node: usize) -> Scores {
        let steps = 0..self.horizon;
        let cells = steps.map(|s| &self.cells[self.row(self.groups - 1, target, s) + node]);
        cells.fold(Sums::default(), Sums::join).scores()
    }
}

/// How quantile forecasts fit, over a whole part.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileErrors {
    levels: Vec<f64>,
    n: u64,
    /// Sum of the pinball loss of each level.
    pinball: Vec<f64>,
    /// How many targets lie at or below each quantile.
    below: Vec<u64>,
    /// How many lie between the lowest and the highest.
    inside: u64,
    /// Sum of the widths between the two.
    width: f64,
}

/// What [`QuantileErrors`] come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileScores {
    /// Levels of the quantiles.
    pub levels: Vec<f64>,
    /// Continuous ranked probability score, raw units: the integral of twice the pinball loss over
    /// all levels, by the trapezoid rule over the given ones, which stand for the tails too
    /// (Gneiting & Raftery 2007).
    pub crps: Option<f64>,
    /// Mean pinball loss of each level, raw units.
    pub pinball: Vec<f64>,
    /// Share of targets at or below each quantile; ideally its level.
    pub below: Vec<f64>,
    /// Level of the interval from the lowest to the highest quantile.
    pub interval: f64,
    /// Share of targets in it; ideally `interval`.
    pub coverage: Option<f64>,
    /// Its mean width, raw units.
    pub width: Option<f64>,
}

/// max(τ (y - q), (τ - 1) (y - q)).
pub fn pinball(level: f64, y: f64, q: f64) -> f64 {
    let e = y - q;
    (level * e).max((level - 1.0) * e)
}

impl QuantileErrors {
    /// For quantiles of these ascending levels.
    pub fn new(levels: &[f64]) -> Self {
        Self {
            levels: levels.to_vec(),
            n: 0,
            pinball: vec![0.0; levels.len()],
            below: vec![0; levels.len()],
            inside: 0,
            width: 0.0,
        }
    }

    /// Counts an observed value with its ascending quantiles.
    pub fn add(&mut self, y: f64, quantiles: &[f64]) {
        self.n += 1;
        for (i, q) in quantiles.iter().enumerate() {
            self.pinball[i] += pinball(self.levels[i], y, *q);
            self.below[i] += u64::from(y <= *q);
        }
        if let (Some(low), Some(high)) = (quantiles.first(), quantiles.last()) {
            self.inside += u64::from(y >= *low && y <= *high);
            self.width += high - low;
        }
    }

    /// The scores.
    pub fn scores(&self) -> QuantileScores {
        let n = self.n.max(1) as f64;
        let known = |x: f64| (self.n > 0).then_some(x);
        let pinball: Vec<f64> = self.pinball.iter().map(|p| p / n).collect();
        let (first, last) = (self.levels[0], self.levels[self.levels.len() - 1]);
        let between: f64 = self
            .levels
            .windows(2)
            .zip(pinball.windows(2))
            .map(|(t, p)| (t[1] - t[0]) * (p[0] + p[1]) / 2.0)
            .sum();
        // The loss falls to zero towards both ends of the levels.
        let tails = first * pinball[0] / 2.0 + (1.0 - last) * pinball[pinball.len() - 1] / 2.0;
        let crps = match self.levels.len() {
            // One level says nothing of the spread: twice its loss, the absolute error.
            1 => 2.0 * pinball[0],
            _ => 2.0 * (between + tails),
        };
        QuantileScores {
            levels: self.levels.clone(),
            crps: known(crps),
            below: self.below.iter().map(|b| *b as f64 / n).collect(),
            interval: last - first,
            coverage: known(self.inside as f64 / n),
            width: known(self.width / n),
            pinball,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps, two nodes; node 1 is observed once. Errors: step 1: 1, -2 and 4; step 2: 3.
    fn errors() -> Errors {
        let mut errors = Errors::new(1, 1, 2, 2);
        errors.add(0, 0, 0, 0, 2.0, 3.0);
        errors.add(0, 0, 0, 0, 4.0, 2.0);
        errors.add(0, 0, 0, 1, 0.0, 4.0);
        errors.add(0, 0, 1, 0, 1.0, 4.0);
        errors
    }

    #[test]
    fn both_averages_by_hand() {
        let errors = errors();
        let at = errors.at(0, 1);
        assert_eq!((at.mae, at.n), (Some(7.0 / 3.0), 3));
        assert_eq!(at.rmse, Some(7.0f64.sqrt()));
        assert_eq!(at.mape, Some(0.5), "1/2 and 2/4; the target 0 is left out");
        let pooled = errors.pooled(0);
        assert_eq!((pooled.mae, pooled.rmse), (Some(2.5), Some(7.5f64.sqrt())));
        let mean = errors.mean_of_steps(0);
        assert_eq!(mean.mae, Some((7.0 / 3.0 + 3.0) / 2.0));
        assert_eq!(mean.rmse, Some((7.0f64.sqrt() + 3.0) / 2.0));
        assert_eq!(errors.node(0, 1).mae, Some(4.0));
    }

    #[test]
    fn groups_add_windows_to_shorter_horizons() {
        let mut errors = Errors::new(2, 1, 2, 1);
        errors.add(0, 0, 0, 0, 0.0, 1.0);
        errors.add(1, 0, 0, 0, 0.0, 3.0);
        errors.add(1, 0, 1, 0, 0.0, 5.0);
        assert_eq!(errors.up_to(0, 0, 1).mae, Some(2.0));
        assert_eq!(errors.up_to(1, 0, 2).mae, Some(4.0));
        assert_eq!(errors.at(0, 1).mae, Some(3.0));
    }

    #[test]
    fn nothing_observed_is_no_score() {
        let scores = Errors::new(1, 1, 1, 1).pooled(0);
        assert_eq!(
            (scores.mae, scores.rmse, scores.mape, scores.n),
            (None, None, None, 0)
        );
    }

    /// Quantiles of the uniform distribution on [0, 1] at 0.01, ..., 0.99 against y = 0.3: its
    /// CRPS is the integral of (F(x) - [x ≥ y])², y³/3 + (1 - y)³/3.
    #[test]
    fn crps_comes_near_the_integral() {
        let levels: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
        let mut errors = QuantileErrors::new(&levels);
        errors.add(0.3, &levels);
        let exact = 0.3f64.powi(3) / 3.0 + 0.7f64.powi(3) / 3.0;
        let crps = errors.scores().crps.unwrap();
        assert!((crps - exact).abs() < 2e-4, "{crps} {exact}");
        assert_eq!(errors.scores().coverage, Some(1.0));
        let mut median = QuantileErrors::new(&[0.5]);
        median.add(1.0, &[3.5]);
        assert_eq!(median.scores().crps, Some(2.5), "the absolute error");
    }

    #[test]
    fn coverage_counts() {
        let mut errors = QuantileErrors::new(&[0.25, 0.5, 0.75]);
        for y in [0.0, 1.0, 2.0, 9.0] {
            errors.add(y, &[1.0, 2.0, 3.0]);
        }
        let scores = errors.scores();
        assert_eq!(scores.coverage, Some(0.5));
        assert_eq!(scores.below, [0.5, 0.75, 0.75]);
        assert_eq!((scores.interval, scores.width), (0.5, Some(2.0)));
    }
}
