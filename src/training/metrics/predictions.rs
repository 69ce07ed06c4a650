//! Targets and scores of a classifier, checked once, and every measure of them.

use std::collections::BTreeMap;

use tgmamba_graph::{Error, Result};

use super::ranking::Ranking;
use super::{Bootstrap, ClassScores, Confusion, Curve, Estimate, Metric, Metrics, Undefined};

/// Sums of a row of scores may miss 1 by this much (scores computed in bf16).
const ROW_SUM_TOLERANCE: f64 = 1e-2;

/// Targets (n,) and the scores (n, c) a model gave, rows summing to 1.
///
/// ```text
/// let p = Predictions::new(targets, probabilities, classes)?.with_groups(subjects)?;
/// let metrics = p.metrics_with_intervals(&Bootstrap::default());
/// ```
#[derive(Debug, Clone)]
pub struct Predictions {
    targets: Vec<usize>,
    scores: Vec<f64>,
    classes: usize,
    predicted: Vec<usize>,
    pub(super) groups: Option<Vec<usize>>,
}

/// The part of the work that no resample changes.
pub(super) struct Prepared<'a> {
    of: &'a Predictions,
    rankings: Vec<Ranking>,
    losses: Vec<f64>,
}

/// Values in the order of [`Metric::ALL`].
pub(super) type Values = [std::result::Result<f64, Undefined>; Metric::ALL.len()];

/// Index of the highest score; of equal ones the lowest.
fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best })
}

impl Predictions {
    /// Takes `targets` (n,), classes counted from 0, and row-major `scores` (n, `classes`) that
    /// are probabilities. The predicted class is the highest score, of equal ones the lowest index.
    ///
    /// Errors: [`Error::Config`] naming the field if n = 0, `classes` < 2, the lengths disagree, a
    /// target is out of range, a score is negative or not finite, or a row does not sum to 1
    /// within 0.01.
    pub fn new(targets: Vec<usize>, scores: Vec<f64>, classes: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::config(
                "classes",
                format!("{classes} given"),
                "give at least 2; a binary problem has the two columns 1 - p and p",
            ));
        }
        if targets.is_empty() || scores.len() != targets.len() * classes {
            return Err(Error::config(
                "scores",
                format!(
                    "{} values for {} targets of {classes} classes",
                    scores.len(),
                    targets.len()
                ),
                "give one row of scores for each of at least one target",
            ));
        }
        if let Some(i) = targets.iter().position(|&t| t >= classes) {
            return Err(Error::config(
                format!("targets[{i}]"),
                format!("class {} of {classes}", targets[i]),
                "count classes from 0 and give a score column for each",
            ));
        }
        for (i, row) in scores.chunks_exact(classes).enumerate() {
            let sum: f64 = row.iter().sum();
            let shares = row.iter().all(|&s| s >= 0.0);
            let near_one = (sum - 1.0).abs() <= ROW_SUM_TOLERANCE;
            if !(shares && near_one) {
                return Err(Error::config(
                    format!("scores[{i}]"),
                    format!("{row:?} is not a distribution"),
                    "give softmax outputs; if they are NaN, the training diverged: lower the learning rate",
                ));
            }
        }
        let predicted = scores.chunks_exact(classes).map(argmax).collect();
        Ok(Self {
            targets,
            scores,
            classes,
            predicted,
            groups: None,
        })
    }

    /// Names the group (subject, recording) of each sample: the bootstrap then draws whole groups,
    /// as samples of one group are not independent.
    ///
    /// Errors: [`Error::Config`] if there is not one group per sample.
    pub fn with_groups(mut self, groups: Vec<usize>) -> Result<Self> {
        if groups.len() != self.targets.len() {
            return Err(Error::config(
                "groups",
                format!("{} for {} samples", groups.len(), self.targets.len()),
                "give one per sample",
            ));
        }
        self.groups = Some(groups);
        Ok(self)
    }

    /// Number of samples n, at least 1.
    pub fn samples(&self) -> usize {
        self.targets.len()
    }

    /// Number of classes c.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Predicted classes (n,).
    pub fn predicted(&self) -> &[usize] {
        &self.predicted
    }

    fn ones(&self) -> Vec<u32> {
        vec![1; self.targets.len()]
    }

    fn confusion_of(&self, weights: &[u32]) -> Confusion {
        let labels = self.targets.iter().zip(&self.predicted);
        Confusion::count(
            self.classes,
            labels.zip(weights).map(|((&t, &p), &w)| (t, p, w)),
        )
    }

    /// Counts (c, c): row the target, column the prediction.
    pub fn confusion(&self) -> Confusion {
        self.confusion_of(&self.ones())
    }

    /// Precision, recall, F1 and support of every class.
    pub fn per_class(&self) -> Vec<ClassScores> {
        self.confusion().per_class()
    }

    /// Every metric, without intervals.
    pub fn metrics(&self) -> Metrics {
        let values = self.prepare().values(&self.ones());
        Metrics(
            Metric::ALL
                .into_iter()
                .zip(values.map(Estimate::from))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    /// Every metric with its percentile interval; O(resamples n c) time, in parallel.
    pub fn metrics_with_intervals(&self, bootstrap: &Bootstrap) -> Metrics {
        let mut metrics = self.metrics();
        for (metric, bounds) in Metric::ALL.iter().zip(bootstrap.intervals(self)) {
            if let (Some(estimate), Some((low, high))) = (metrics.0.get_mut(metric), bounds) {
                // An undefined value has no interval, even if some resamples define it.
                if estimate.value.is_some() {
                    (estimate.low, estimate.high) = (Some(low), Some(high));
                }
            }
        }
        metrics
    }

    /// Classes ranked one against the rest: class 1 of two, all of several.
    fn ranked_classes(&self) -> std::ops::Range<usize> {
        if self.classes == 2 {
            1..2
        } else {
            0..self.classes
        }
    }

    fn rankings(&self) -> Vec<Ranking> {
        self.ranked_classes()
            .map(|k| Ranking::new(&self.targets, &self.scores, self.classes, k))
            .collect()
    }

    /// ROC curve of class 1 for c = 2, else of each class that occurs, one against the rest.
    pub fn roc_curves(&self) -> Vec<Curve> {
        self.rankings().iter().filter_map(Ranking::roc).collect()
    }

    /// Precision-recall curve of class 1 for c = 2, else of each class that occurs.
    pub fn precision_recall_curves(&self) -> Vec<Curve> {
        self.rankings()
            .iter()
            .filter_map(Ranking::precision_recall)
            .collect()
    }

    pub(super) fn prepare(&self) -> Prepared<'_> {
        let rows = self.scores.chunks_exact(self.classes).zip(&self.targets);
        let losses = rows
            .map(|(row, &t)| -row[t].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln())
            .collect();
        Prepared {
            of: self,
            rankings: self.rankings(),
            losses,
        }
    }
}

impl Prepared<'_> {
    /// Mean over the ranked classes; undefined if a class that it needs does not occur.
    fn ranked(
        &self,
        confusion: &Confusion,
        needed: std::ops::Range<usize>,
        of: impl Fn(&Ranking) -> Option<f64>,
    ) -> std::result::Result<f64, Undefined> {
        for class in needed {
            if confusion.0[class].iter().all(|&n| n == 0) {
                return Err(Undefined::AbsentClass(class));
            }
        }
        let values: Option<Vec<f64>> = self.rankings.iter().map(of).collect();
        let values = values.ok_or(Undefined::OneClass)?;
        Ok(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Every metric of the sample in which sample i stands `weights[i]` times.
    pub(super) fn values(&self, weights: &[u32]) -> Values {
        let confusion = self.of.confusion_of(weights);
        let weighted: f64 = self
            .losses
            .iter()
            .zip(weights)
            .map(|(loss, &w)| loss * f64::from(w))
            .sum();
        Metric::ALL.map(|metric| match metric {
            Metric::Accuracy => Ok(confusion.accuracy()),
            Metric::BalancedAccuracy => Ok(confusion.balanced_accuracy()),
            Metric::MacroF1 => Ok(confusion.macro_f1()),
            Metric::Recall => Ok(confusion.macro_recall()),
            Metric::Kappa => confusion.kappa(),
            Metric::Auroc => self.ranked(&confusion, 0..self.of.classes, |r| r.auroc(weights)),
            Metric::AveragePrecision => self.ranked(&confusion, self.of.ranked_classes(), |r| {
                r.average_precision(weights)
            }),
            Metric::Loss => Ok(weighted / confusion.total() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        classes: usize,
        targets: Vec<usize>,
        scores: Vec<f64>,
        resample: Vec<u32>,
        metrics: BTreeMap<Metric, Option<f64>>,
        resampled: BTreeMap<Metric, Option<f64>>,
        confusion: Vec<Vec<u64>>,
        per_class: Vec<[f64; 4]>,
        roc: Vec<Points>,
        precision_recall: Vec<Points>,
    }

    #[derive(serde::Deserialize)]
    struct Points {
        class: usize,
        x: Vec<f64>,
        y: Vec<f64>,
        area: f64,
    }

    fn cases() -> Vec<Case> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/metrics.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12
    }

    fn same_curves(ours: &[Curve], theirs: &[Points], name: &str) {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (a, b) in ours.iter().zip(theirs) {
            assert_eq!(a.class, b.class, "{name}");
            assert!(close(a.area, b.area), "{name}: {} {}", a.area, b.area);
            for (ours, theirs) in [(&a.x, &b.x), (&a.y, &b.y)] {
                assert_eq!(ours.len(), theirs.len(), "{name}");
                let equal = ours.iter().zip(theirs).all(|(&p, &q)| close(p, q));
                assert!(equal, "{name}: {ours:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn every_metric_is_scikit_learns() {
        let cases = cases();
        assert!(cases.len() >= 6);
        for case in cases {
            let p = Predictions::new(case.targets, case.scores, case.classes).unwrap();
            let prepared = p.prepare();
            for (expected, weights) in [
                (&case.metrics, &p.ones()),
                (&case.resampled, &case.resample),
            ] {
                for (metric, ours) in Metric::ALL.into_iter().zip(prepared.values(weights)) {
                    let theirs = expected[&metric];
                    let equal = match (ours, theirs) {
                        (Ok(a), Some(b)) => close(a, b),
                        (Err(_), None) => true,
                        _ => false,
                    };
                    assert!(equal, "{}: {metric}: {ours:?}, not {theirs:?}", case.name);
                }
            }
            assert_eq!(p.confusion().0, case.confusion, "{}", case.name);
            for (ours, theirs) in p.per_class().iter().zip(&case.per_class) {
                let row = [ours.precision, ours.recall, ours.f1, ours.support as f64];
                assert!(
                    row.iter().zip(theirs).all(|(&a, &b)| close(a, b)),
                    "{}: {row:?} {theirs:?}",
                    case.name
                );
            }
            same_curves(&p.roc_curves(), &case.roc, &case.name);
            same_curves(
                &p.precision_recall_curves(),
                &case.precision_recall,
                &case.name,
            );
        }
    }

    #[test]
    fn equal_scores_predict_the_lowest_class() {
        let p = Predictions::new(vec![1, 2], vec![0.4, 0.4, 0.2, 0.2, 0.4, 0.4], 3).unwrap();
        assert_eq!(p.predicted(), [0, 1]);
    }

    #[test]
    fn an_absent_class_has_a_reason() {
        let p = Predictions::new(vec![1, 1], vec![0.4, 0.6, 0.2, 0.8], 2).unwrap();
        let metrics = p.metrics_with_intervals(&Bootstrap::default());
        let auroc = &metrics.0[&Metric::Auroc];
        assert_eq!(auroc.value, None);
        assert_eq!(
            auroc.undefined.as_deref(),
            Some("class 0 does not occur in the targets")
        );
        assert_eq!(metrics.get(Metric::AveragePrecision), Some(1.0));
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        let problem = |targets: &[usize], scores: &[f64], classes| {
            Predictions::new(targets.to_vec(), scores.to_vec(), classes)
                .unwrap_err()
                .to_string()
        };
        assert!(problem(&[0], &[1.0], 1).starts_with("classes"));
        assert!(problem(&[], &[], 2).starts_with("scores"));
        assert!(problem(&[0, 1], &[1.0, 0.0], 2).starts_with("scores"));
        assert!(problem(&[0, 2], &[1.0, 0.0, 0.5, 0.5], 2).starts_with("targets[1]"));
        assert!(problem(&[0], &[f64::NAN, 1.0], 2).starts_with("scores[0]"));
        assert!(problem(&[0], &[2.0, -1.0], 2).starts_with("scores[0]"));
        assert!(problem(&[0], &[0.5, 0.2], 2).starts_with("scores[0]"));
    }
}
