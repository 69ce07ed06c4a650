//! Settings of a forecast: what goes in, what comes out, and which model stands between.

use serde::{Deserialize, Serialize};
use tgmamba_graph::series::{ForecastProtocol, ForecastSplit, Scaling};

use super::calendar::CalendarFeature;
use super::losses::LossKind;
use super::model::ForecasterKind;
use crate::error::{Error, Result};

/// Which edges are used of those that came with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraphUse {
    /// As given: entry [target, source] weighs the edge source → target.
    #[default]
    Given,
    /// Every edge in both directions, with the larger weight of the two.
    Undirected,
    /// Every edge turned round.
    Reversed,
    /// None.
    None,
}

/// What values go through before they are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// Nothing.
    #[default]
    None,
    /// ln(1 + x), for counts and for what grows by shares; refused where x ≤ -1.
    Log1p,
}

/// What the horizon is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The last step.
    #[default]
    Last,
    /// All steps side by side.
    All,
}

/// A forecast. Fields that a file leaves out take the defaults; those of the data set's protocol
/// are filled in when the data are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastConfig {
    /// Model.
    pub model: ForecasterKind,
    /// Steps in, l; 0: those of the protocol.
    pub history: usize,
    /// Steps out, h; 0: those of the protocol.
    pub horizon: usize,
    /// Steps ahead, from 1, at which results are reported; empty: those of the protocol.
    pub report: Vec<usize>,
    /// Features to forecast; empty: those of the protocol.
    pub targets: Vec<String>,
    /// Further features that go in, by name; `all` for all there are.
    pub covariates: Vec<String>,
    /// What is known of the time of a step; `None`: what suits the clock and the training part.
    pub calendar: Option<Vec<CalendarFeature>>,
    /// Which windows train, choose and test; `None`: the split of the protocol.
    pub split: Option<ForecastSplit>,
    /// How values are scaled, fitted on the training part; `None`: as the protocol says.
    pub scaling: Option<Scaling>,
    /// What values go through before.
    pub transform: Transform,
    /// Which of the given edges are used.
    pub graph: GraphUse,
    /// Whether the given graph is kept as its edges only; `None`: where the model can and it has more
    /// than 64 nodes and edges for a quarter of all pairs at most, or more than 1,000 nodes.
    pub sparse: Option<bool>,
    /// Whether models are told where targets were observed; `None`: where some are missing.
    pub masked: Option<bool>,
    /// Whether a graph is learned beside the given one.
    pub adaptive: bool,
    /// Width of the two embeddings the learned graph is made of.
    pub adaptive_dim: usize,
    /// Whether nodes have a learned embedding at the input.
    pub node_embedding: bool,
    /// Whether times of day and kinds of days, where the calendar has them, have learned embeddings at
    /// the input.
    pub time_embedding: bool,
    /// Whether a second stack runs against time.
    pub bidirectional: bool,
    /// What the horizon is read from.
    pub head: Head,
    /// Residual perceptrons between what `tgmamba` and `mamba` found and the horizon.
    pub readout_layers: usize,
    /// Whether models forecast the difference from the last observed value.
    pub anchor: bool,
    /// Whether the history of the targets goes in as the difference from it.
    pub relative: bool,
    /// Whether `linear` has weights of its own for each node.
    pub per_node: bool,
    /// Loss.
    pub loss: LossKind,
    /// Where the Huber loss turns from square to straight, in scaled units.
    pub huber_delta: f64,
    /// Quantiles to forecast, with 0.5 among them; empty for a point forecast.
    pub quantiles: Vec<f64>,
    /// Epochs over which the horizon that is learned grows from 1 to h; 0 for all of it at once.
    pub curriculum_epochs: usize,
    /// Steps of a season, for `seasonal-naive` and `historical-average`; 0: what suits the clock.
    pub season: usize,
    /// Rolling origins: the test part is cut into as many pieces, each forecast by a model trained
    /// on everything before it.
    pub origins: usize,
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self {
            model: ForecasterKind::TgMamba,
            history: 0,
            horizon: 0,
            report: Vec::new(),
            targets: Vec::new(),
            covariates: Vec::new(),
            calendar: None,
            split: None,
            scaling: None,
            transform: Transform::None,
            graph: GraphUse::Given,
            sparse: None,
            masked: None,
            adaptive: true,
            adaptive_dim: 10,
            node_embedding: true,
            time_embedding: true,
            bidirectional: false,
            head: Head::Last,
            readout_layers: 2,
            anchor: true,
            relative: false,
            per_node: false,
            loss: LossKind::Mae,
            huber_delta: 1.0,
            quantiles: Vec::new(),
            curriculum_epochs: 0,
            season: 0,
            origins: 1,
        }
    }
}

impl ForecastConfig {
    /// Takes from the protocol what was left open.
    pub fn filled(mut self, protocol: &ForecastProtocol) -> Self {
        if self.history == 0 {
            self.history = protocol.history;
        }
        if self.horizon == 0 {
            self.horizon = protocol.horizon;
        }
        if self.targets.is_empty() {
            self.targets = protocol.targets.clone();
        }
        if self.report.is_empty() {
            self.report = protocol.report.clone();
            self.report.retain(|s| *s <= self.horizon);
            if !self.report.contains(&self.horizon) {
                self.report.push(self.horizon);
            }
        }
        self.split.get_or_insert(protocol.split);
        self.scaling.get_or_insert(protocol.scaling);
        self
    }

    /// Number of values per node and step: one, or one for each quantile.
    pub fn outputs(&self) -> usize {
        self.quantiles.len().max(1)
    }

    /// Place of the median among the quantiles; 0 for a point forecast.
    pub fn median(&self) -> usize {
        self.quantiles.iter().position(|q| *q == 0.5).unwrap_or(0)
    }

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// Names the first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<()> {
        let wrong = |field: &str, problem: String, remedy: &str| {
            Err(Error::config(format!("forecast.{field}"), problem, remedy))
        };
        for (field, value) in [
            ("history", self.history),
            ("horizon", self.horizon),
            ("adaptive_dim", self.adaptive_dim),
            ("origins", self.origins),
        ] {
            if value == 0 {
                return wrong(field, "is 0".into(), "give at least 1");
            }
        }
        if let Some(step) = self.report.iter().find(|s| **s == 0 || **s > self.horizon) {
            return wrong(
                "report",
                format!("step {step} is not one of the {} steps out", self.horizon),
                "give steps from 1 to the horizon",
            );
        }
        if self.report.windows(2).any(|w| w[0] >= w[1]) {
            return wrong(
                "report",
                format!("{:?} is not ascending", self.report),
                "give each step once, in order",
            );
        }
        let open = |q: &f64| *q > 0.0 && *q < 1.0;
        let ascending = self.quantiles.windows(2).all(|w| w[0] < w[1]);
        if !self.quantiles.iter().all(open) || !ascending {
            return wrong(
                "quantiles",
                format!("{:?} are no levels", self.quantiles),
                "give numbers between 0 and 1 in ascending order, such as 0.1,0.5,0.9",
            );
        }
        if !self.quantiles.is_empty() && !self.quantiles.contains(&0.5) {
            return wrong(
                "quantiles",
                format!("{:?} lack the median", self.quantiles),
                "add 0.5, which is the point forecast",
            );
        }
        if !self.quantiles.is_empty() && self.model.is_naive() {
            return wrong(
                "quantiles",
                format!("{} forecasts one value", self.model),
                "leave --quantiles out, or choose a model that is trained",
            );
        }
        if !(self.huber_delta > 0.0 && self.huber_delta.is_finite()) {
            return wrong(
                "huber_delta",
                format!("is {}", self.huber_delta),
                "give a positive number",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ForecastConfig {
        ForecastConfig {
            history: 12,
            horizon: 12,
            report: vec![3, 12],
            ..ForecastConfig::default()
        }
    }

    #[test]
    fn what_cannot_be_run_is_named() {
        assert!(config().validate().is_ok());
        type Change = fn(&mut ForecastConfig);
        let cases: [(Change, &str); 8] = [
            (|c| c.horizon = 0, "forecast.horizon"),
            (|c| c.report = vec![13], "step 13"),
            (|c| c.report = vec![6, 3], "not ascending"),
            (|c| c.quantiles = vec![0.5, 1.0], "no levels"),
            (|c| c.quantiles = vec![0.9, 0.5], "no levels"),
            (|c| c.quantiles = vec![0.1, 0.9], "the median"),
            (|c| c.huber_delta = f64::NAN, "huber_delta"),
            (
                |c| {
                    c.quantiles = vec![0.1, 0.5, 0.9];
                    c.model = ForecasterKind::LastValue;
                },
                "last-value forecasts one value",
            ),
        ];
        for (change, expected) in cases {
            let mut config = config();
            change(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_shorter_horizon_shortens_the_report() {
        let protocol = ForecastProtocol {
            history: 12,
            horizon: 12,
            report: vec![3, 6, 12],
            targets: vec!["speed".into()],
            split: ForecastSplit::Windows {
                train: 0.7,
                test: 0.2,
            },
            scaling: Scaling::Zscore,
            source: String::new(),
        };
        let filled = ForecastConfig {
            horizon: 4,
            ..ForecastConfig::default()
        }
        .filled(&protocol);
        assert_eq!((filled.history, filled.report), (12, vec![3, 4]));
        assert_eq!(filled.targets, ["speed"]);
    }
}
