//! Classification metrics with bootstrap intervals, numerically those of scikit-learn.
//!
//! [`Predictions`] holds the targets (n,) and the scores (n, c); everything else is derived from it:
//!
//! ```text
//! targets, scores -> Predictions -> metrics, metrics_with_intervals -> Metrics {metric: Estimate}
//!                                -> confusion, per_class, roc_curves, precision_recall_curves
//! values of several folds or seeds -> summarise -> {metric: Summary {mean, sd, n}}
//! ```
//!
//! A metric the data cannot define (AUROC of one class) is `None` with its reason, never NaN.
//! All formulas take integer sample weights inside, so that a bootstrap resample costs one pass
//! over the scores sorted once. Letters: n samples, c classes.

mod bootstrap;
mod confusion;
mod predictions;
mod ranking;
mod summary;

pub use bootstrap::Bootstrap;
pub use confusion::{ClassScores, Confusion};
pub use predictions::Predictions;
pub use ranking::Curve;
pub use summary::{Summary, summarise};

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tgmamba_graph::Error;

/// A scalar measure of a classifier. The order of the variants is the order of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of samples whose highest score is the target's.
    Accuracy,
    /// Mean recall over the classes that occur in the targets.
    BalancedAccuracy,
    /// Unweighted mean of F1 = 2 TP / (2 TP + FP + FN) over the classes in targets or predictions.
    MacroF1,
    /// Unweighted mean recall over the classes in targets or predictions.
    Recall,
    /// Cohen's kappa, (p_o - p_e) / (1 - p_e): agreement beyond chance (Cohen 1960).
    Kappa,
    /// Area under the ROC curve: class 1 against class 0; for c > 2 the one-vs-rest macro mean.
    Auroc,
    /// Average precision, sum (R_k - R_(k-1)) P_k: class 1; for c > 2 the one-vs-rest macro mean.
    AveragePrecision,
    /// Cross-entropy in nats, the mean of -ln(score of the target's class).
    Loss,
}

impl Metric {
    /// Every metric, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::MacroF1,
        Self::Recall,
        Self::Kappa,
        Self::Auroc,
        Self::AveragePrecision,
        Self::Loss,
    ];

    /// The name in configurations and files, in kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced-accuracy",
            Self::MacroF1 => "macro-f1",
            Self::Recall => "recall",
            Self::Kappa => "kappa",
            Self::Auroc => "auroc",
            Self::AveragePrecision => "average-precision",
            Self::Loss => "loss",
        }
    }

    /// Whether a larger value is the better one: true of all but the loss.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::Loss)
    }

    /// Whether `new` beats `old`; a NaN never does, and anything beats a NaN.
    pub fn is_better(self, new: f64, old: f64) -> bool {
        if new.is_nan() || old.is_nan() {
            return !new.is_nan();
        }
        if self.higher_is_better() {
            new > old
        } else {
            new < old
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    /// Reads the kebab-case name. Errors: [`Error::Unknown`] with the known names and the nearest.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|m| m.name() == name)
            .ok_or_else(|| Error::unknown("metric", name, &Self::ALL.map(Self::name)))
    }
}

/// Why the data do not define a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// No sample of the class, so that nothing can be ranked above or below the others.
    #[error("class {0} does not occur in the targets")]
    AbsentClass(usize),
    /// Chance agreement is 1.
    #[error("targets and predictions are all of one class")]
    OneClass,
}

/// A metric's value with the bounds of its bootstrap interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on the whole sample; `None` if undefined there.
    pub value: Option<f64>,
    /// Lower bound; `None` without a bootstrap or if no resample defines the metric.
    pub low: Option<f64>,
    /// Upper bound, as `low`.
    pub high: Option<f64>,
    /// Why `value` is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

impl Estimate {
    /// A value without an interval.
    pub fn of(value: f64) -> Self {
        Self {
            value: Some(value),
            ..Self::default()
        }
    }

    /// Width of the interval, high - low.
    pub fn width(&self) -> Option<f64> {
        Some(self.high? - self.low?)
    }
}

impl From<Result<f64, Undefined>> for Estimate {
    fn from(result: Result<f64, Undefined>) -> Self {
        match result {
            Ok(value) => Self::of(value),
            Err(reason) => Self {
                undefined: Some(reason.to_string()),
                ..Self::default()
            },
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.value, self.low, self.high) {
            (Some(v), Some(l), Some(h)) => format!("{v:.4} [{l:.4}, {h:.4}]"),
            (Some(v), ..) => format!("{v:.4}"),
            _ => "undefined".to_string(),
        };
        f.pad(&text)
    }
}

/// Metric name -> estimate; serialises as a map in the order of [`Metric::ALL`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(pub BTreeMap<Metric, Estimate>);

impl Metrics {
    /// The value of one metric, where defined.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric)?.value
    }

    /// Name -> value of the defined metrics, as a row of an epoch table wants it.
    pub fn values(&self) -> BTreeMap<String, f64> {
        self.0
            .iter()
            .filter_map(|(m, e)| Some((m.name().to_string(), e.value?)))
            .collect()
    }

    /// Name -> estimate, as the report wants it.
    pub fn named(&self) -> BTreeMap<String, Estimate> {
        self.0
            .iter()
            .map(|(m, e)| (m.name().to_string(), e.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_unknown_ones_are_explained() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("\"{}\"", metric.name()));
        }
        let message = "acuracy".parse::<Metric>().unwrap_err().to_string();
        assert!(message.contains("did you mean \"accuracy\""), "{message}");
        assert!(message.contains("macro-f1"), "{message}");
    }

    #[test]
    fn only_the_loss_falls() {
        assert!(Metric::Auroc.is_better(0.8, 0.7));
        assert!(Metric::Loss.is_better(0.3, 0.4));
        assert!(!Metric::Loss.is_better(f64::NAN, 0.4));
        assert!(Metric::Loss.is_better(9.0, f64::NAN));
    }

    #[test]
    fn metrics_serialise_as_a_map_without_nan() {
        let metrics = Metrics(BTreeMap::from([
            (Metric::Accuracy, Estimate::of(0.5)),
            (Metric::Auroc, Err(Undefined::AbsentClass(1)).into()),
        ]));
        let json = serde_json::to_value(&metrics).unwrap();
        assert_eq!(json["accuracy"]["value"], 0.5);
        assert!(json["auroc"]["value"].is_null());
        assert_eq!(
            json["auroc"]["undefined"],
            "class 1 does not occur in the targets"
        );
        assert_eq!(serde_json::from_value::<Metrics>(json).unwrap(), metrics);
    }
}
