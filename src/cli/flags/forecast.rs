//! Flags of forecasts.

use clap::Args;

use super::{Override, value};
use crate::forecast::ForecasterKind;
use crate::forecast::losses::LossKind;

/// The forecast.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Forecast")]
pub struct ForecastFlags {
    /// Forecaster [default: tgmamba]
    #[arg(long, value_enum, value_name = "NAME")]
    model: Option<ForecasterKind>,
    /// Steps in [default: those of the data set's protocol]
    #[arg(long, value_name = "L")]
    history: Option<usize>,
    /// Steps out [default: those of the data set's protocol]
    #[arg(long, value_name = "H")]
    horizon: Option<usize>,
    /// Steps ahead to report [default: those of the data set's protocol]
    #[arg(long, value_name = "S,...", value_delimiter = ',')]
    report: Option<Vec<usize>>,
    /// Features to forecast [default: those of the data set's protocol]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    targets: Option<Vec<String>>,
    /// Further features that go in, or all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    covariates: Option<Vec<String>>,
    /// Times that go in: time-of-day, day-of-week, weekend, time-of-year [default: what suits the
    /// clock and the length of the training part]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    calendar: Option<Vec<String>>,
    /// What values go through before they are scaled: none, log1p [default: none]
    #[arg(long, value_name = "KIND")]
    transform: Option<String>,
    /// Keep the given graph as its edges only, in tgmamba without a learned graph [default: above 64
    /// sensors if they are a quarter of all pairs at most, and above 1,000]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    sparse_graph: Option<bool>,
    /// Learn a graph beside the given one [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    adaptive_graph: Option<bool>,
    /// A second stack against time [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bidirectional: Option<bool>,
    /// What the horizon is read from: last, all [default: last]
    #[arg(long, value_name = "STEPS")]
    head: Option<String>,
    /// Residual perceptrons before the horizon, of tgmamba and mamba [default: 2]
    #[arg(long, value_name = "N")]
    readout_layers: Option<usize>,
    /// Forecast the difference from the last value [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    anchor: Option<bool>,
    /// Let the history of the targets go in as the difference from the last value [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    relative: Option<bool>,
    /// Weights of its own for each node, in --model linear [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    per_node: Option<bool>,
    /// Loss of a point forecast [default: mae]
    #[arg(long, value_enum, value_name = "KIND")]
    loss: Option<LossKind>,
    /// Quantiles to forecast, 0.5 among them [default: a point forecast]
    #[arg(long, value_name = "Q,...", value_delimiter = ',')]
    quantiles: Option<Vec<f64>>,
    /// Epochs over which the learned horizon grows [default: 0]
    #[arg(long, value_name = "N")]
    curriculum_epochs: Option<usize>,
    /// Steps of a season [default: what suits the clock]
    #[arg(long, value_name = "N")]
    season: Option<usize>,
    /// Rolling origins: train anew before each of n pieces of the test part [default: 1]
    #[arg(long, value_name = "N")]
    origins: Option<usize>,
}

impl ForecastFlags {
    pub(super) fn overrides(&self) -> Vec<Override> {
        vec![
            ("forecast.model", value(&self.model)),
            ("forecast.history", value(&self.history)),
            ("forecast.horizon", value(&self.horizon)),
            ("forecast.report", value(&self.report)),
            ("forecast.targets", value(&self.targets)),
            ("forecast.covariates", value(&self.covariates)),
            ("forecast.calendar", value(&self.calendar)),
            ("forecast.transform", value(&self.transform)),
            ("forecast.sparse", value(&self.sparse_graph)),
            ("forecast.adaptive", value(&self.adaptive_graph)),
            ("forecast.bidirectional", value(&self.bidirectional)),
            ("forecast.head", value(&self.head)),
            ("forecast.readout_layers", value(&self.readout_layers)),
            ("forecast.anchor", value(&self.anchor)),
            ("forecast.relative", value(&self.relative)),
            ("forecast.per_node", value(&self.per_node)),
            ("forecast.loss", value(&self.loss)),
            ("forecast.quantiles", value(&self.quantiles)),
            ("forecast.curriculum_epochs", value(&self.curriculum_epochs)),
            ("forecast.season", value(&self.season)),
            ("forecast.origins", value(&self.origins)),
        ]
    }
}
