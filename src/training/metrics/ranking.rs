//! Measures of how scores rank one class against the rest: ROC and precision-recall.

use serde::{Deserialize, Serialize};

/// A curve of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The class taken as positive.
    pub class: usize,
    /// False-positive rate (ROC) or recall (precision-recall), each in [0, 1].
    pub x: Vec<f64>,
    /// True-positive rate (ROC) or precision (precision-recall), each in [0, 1].
    pub y: Vec<f64>,
    /// AUROC or average precision.
    pub area: f64,
    /// Share of the class among the targets: the precision of guessing.
    pub prevalence: f64,
}

/// Samples in order of falling score of one class, tied samples together.
pub(super) struct Ranking {
    class: usize,
    order: Vec<usize>,
    /// End of each run of equal scores in `order`.
    ends: Vec<usize>,
    positive: Vec<bool>,
}

/// Positives and negatives at or above a threshold.
#[derive(Clone, Copy, Default, PartialEq)]
struct Above {
    positive: u64,
    negative: u64,
}

impl Ranking {
    /// Sorts column `class` of the scores (n, c).
    pub(super) fn new(targets: &[usize], scores: &[f64], classes: usize, class: usize) -> Self {
        let score = |i: usize| scores[i * classes + class];
        let mut order: Vec<usize> = (0..targets.len()).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let ends = (1..=order.len())
            .filter(|&k| k == order.len() || score(order[k]) != score(order[k - 1]))
            .collect();
        Self {
            class,
            order,
            ends,
            positive: targets.iter().map(|&t| t == class).collect(),
        }
    }

    /// Counts above each distinct score, from the highest score down; sample i counts
    /// `weights[i]` times. Thresholds nobody reaches first are left out.
    fn thresholds(&self, weights: &[u32]) -> Vec<Above> {
        let mut above = Above::default();
        let mut start = 0;
        let mut all = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            let before = above;
            for &i in &self.order[start..end] {
                if self.positive[i] {
                    above.positive += u64::from(weights[i]);
                } else {
                    above.negative += u64::from(weights[i]);
                }
            }
            start = end;
            if above != before {
                all.push(above);
            }
        }
        all
    }

    /// Area under the ROC curve: the share of (positive, negative) pairs ranked rightly, ties half
    /// (midranks; Hanley and McNeil 1982). `None` without a positive or without a negative sample.
    pub(super) fn auroc(&self, weights: &[u32]) -> Option<f64> {
        let (mut before, mut twice) = (Above::default(), 0);
        for now in self.thresholds(weights) {
            twice += (now.negative - before.negative) * (now.positive + before.positive);
            before = now;
        }
        let pairs = before.positive as f64 * before.negative as f64;
        (pairs > 0.0).then(|| twice as f64 / 2.0 / pairs)
    }

    /// Average precision, the sum of (R_k - R_(k-1)) P_k over thresholds (no interpolation).
    /// `None` without a positive sample.
    pub(super) fn average_precision(&self, weights: &[u32]) -> Option<f64> {
        let mut before = 0;
        let mut sum = 0.0;
        for now in self.thresholds(weights) {
            let precision = now.positive as f64 / (now.positive + now.negative) as f64;
            sum += (now.positive - before) as f64 * precision;
            before = now.positive;
        }
        (before > 0).then(|| sum / before as f64)
    }

    fn prevalence(&self) -> f64 {
        let positives = self.positive.iter().filter(|&&p| p).count();
        positives as f64 / self.positive.len() as f64
    }

    /// ROC curve from (0, 0) to (1, 1), without the points on a straight line between others;
    /// `None` where [`Self::auroc`] is.
    pub(super) fn roc(&self) -> Option<Curve> {
        let weights = vec![1; self.order.len()];
        let area = self.auroc(&weights)?;
        let all = self.thresholds(&weights);
        let total = all[all.len() - 1];
        let bends = |k: usize| {
            let second =
                |of: fn(&Above) -> u64| of(&all[k + 1]) + of(&all[k - 1]) != 2 * of(&all[k]);
            k == 0 || k + 1 == all.len() || second(|a| a.positive) || second(|a| a.negative)
        };
        let (mut x, mut y) = (vec![0.0], vec![0.0]);
        for k in (0..all.len()).filter(|&k| bends(k)) {
            x.push(all[k].negative as f64 / total.negative as f64);
            y.push(all[k].positive as f64 / total.positive as f64);
        }
        Some(Curve {
            class: self.class,
            x,
            y,
            area,
            prevalence: self.prevalence(),
        })
    }

    /// Precision against recall, recall falling from 1 to the added last point (0, 1); `None`
    /// where [`Self::average_precision`] is.
    pub(super) fn precision_recall(&self) -> Option<Curve> {
        let weights = vec![1; self.order.len()];
        let area = self.average_precision(&weights)?;
        let all = self.thresholds(&weights);
        let positives = all[all.len() - 1].positive as f64;
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for now in all.iter().rev() {
            x.push(now.positive as f64 / positives);
            y.push(now.positive as f64 / (now.positive + now.negative) as f64);
        }
        x.push(0.0);
        y.push(1.0);
        Some(Curve {
            class: self.class,
            x,
            y,
            area,
            prevalence: self.prevalence(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(targets: &[usize], ones: &[f64]) -> Ranking {
        let scores: Vec<f64> = ones.iter().flat_map(|&s| [1.0 - s, s]).collect();
        Ranking::new(targets, &scores, 2, 1)
    }

    /// The four samples of scikit-learn's documentation: AUROC 0.75, average precision 0.8333.
    #[test]
    fn four_samples() {
        let ranking = binary(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]);
        assert_eq!(ranking.auroc(&[1; 4]).unwrap(), 0.75);
        let ap = ranking.average_precision(&[1; 4]).unwrap();
        assert!((ap - 5.0 / 6.0).abs() < 1e-15);
        let roc = ranking.roc().unwrap();
        assert_eq!(roc.x, [0.0, 0.0, 0.5, 0.5, 1.0]);
        assert_eq!(roc.y, [0.0, 0.5, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn all_tied_is_chance() {
        let ranking = binary(&[0, 1, 1, 0, 1], &[0.5; 5]);
        assert_eq!(ranking.auroc(&[1; 5]).unwrap(), 0.5);
        assert_eq!(ranking.average_precision(&[1; 5]).unwrap(), 0.6);
    }

    #[test]
    fn one_class_is_refused() {
        let ranking = binary(&[0, 0], &[0.2, 0.3]);
        assert_eq!(ranking.auroc(&[1, 1]), None);
        assert_eq!(ranking.average_precision(&[1, 1]), None);
        assert!(ranking.roc().is_none());
    }
}
