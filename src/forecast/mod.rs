//! Forecasting on sensor networks: history in, the next steps out, for every node and target.
//!
//! ```text
//! SeriesSet, Fold -> ForecastData (scaled history, calendar, mask) -> Batch -> Forecaster
//!   -> loss over what was observed -> trainer
//!   -> errors in raw units over the whole test part -> table, files, figures
//! ```
//!
//! Letters: b windows, v nodes, l steps in, h steps out, k targets, q quantiles (1 without them).

pub mod calendar;
pub mod config;
pub mod data;
pub mod evaluation;
pub mod graph;
pub mod losses;
pub mod metrics;
pub mod model;
pub mod naive;
pub mod objective;
pub mod outlook;
pub mod record;
pub mod resolve;
pub mod scale;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use config::ForecastConfig;
pub use data::ForecastData;
pub use model::{Forecaster, ForecasterKind};
pub use objective::Forecasting;
