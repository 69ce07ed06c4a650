//! The confusion matrix and what follows from its counts alone.

use serde::{Deserialize, Serialize};

use super::Undefined;

/// Counts (c, c): row the target, column the prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confusion(pub Vec<Vec<u64>>);

/// Precision, recall and F1 of one class; a ratio over nothing is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Index of the class.
    pub class: usize,
    /// TP / (TP + FP).
    pub precision: f64,
    /// TP / (TP + FN).
    pub recall: f64,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: f64,
    /// Samples of the class in the targets.
    pub support: u64,
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 {
        0.0
    } else {
        numerator as f64 / denominator as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u32), |(s, n), v| (s + v, n + 1));
    sum / f64::from(n.max(1))
}

impl Confusion {
    /// Counts the pairs (target, prediction), each `weight` times; labels are below `classes`.
    pub(super) fn count(classes: usize, pairs: impl Iterator<Item = (usize, usize, u32)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (target, predicted, weight) in pairs {
            counts[target][predicted] += u64::from(weight);
        }
        Self(counts)
    }

    fn row(&self, class: usize) -> u64 {
        self.0[class].iter().sum()
    }

    fn column(&self, class: usize) -> u64 {
        self.0.iter().map(|row| row[class]).sum()
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// Trace over total.
    pub fn accuracy(&self) -> f64 {
        let hits = self.0.iter().enumerate().map(|(k, row)| row[k]).sum();
        ratio(hits, self.total())
    }

    /// Precision, recall, F1 and support of every class, also of absent ones (zeros).
    pub fn per_class(&self) -> Vec<ClassScores> {
        (0..self.0.len())
            .map(|class| {
                let hits = self.0[class][class];
                let (support, claimed) = (self.row(class), self.column(class));
                ClassScores {
                    class,
                    precision: ratio(hits, claimed),
                    recall: ratio(hits, support),
                    f1: ratio(2 * hits, support + claimed),
                    support,
                }
            })
            .collect()
    }

    /// Mean recall over the classes with support.
    pub fn balanced_accuracy(&self) -> f64 {
        let scores = self.per_class();
        mean(scores.iter().filter(|s| s.support > 0).map(|s| s.recall))
    }

    fn macro_mean(&self, of: fn(&ClassScores) -> f64) -> f64 {
        let scores = self.per_class();
        let seen = |s: &&ClassScores| s.support > 0 || self.column(s.class) > 0;
        mean(scores.iter().filter(seen).map(of))
    }

    /// Mean F1 over the classes that occur in the targets or the predictions.
    pub fn macro_f1(&self) -> f64 {
        self.macro_mean(|s| s.f1)
    }

    /// Mean recall over the classes that occur in the targets or the predictions.
    pub fn macro_recall(&self) -> f64 {
        self.macro_mean(|s| s.recall)
    }

    /// Cohen's kappa, 1 - (1 - p_o) / (1 - p_e) with p_e the sum of row share x column share.
    ///
    /// Errors: [`Undefined::OneClass`] if p_e = 1.
    pub fn kappa(&self) -> Result<f64, Undefined> {
        let total = self.total() as f64;
        let (mut missed, mut chance) = (0.0, 0.0);
        for (i, row) in self.0.iter().enumerate() {
            for (j, &count) in row.iter().enumerate() {
                if i != j {
                    missed += count as f64;
                    chance += self.row(i) as f64 * self.column(j) as f64 / total;
                }
            }
        }
        if chance > 0.0 {
            Ok(1.0 - missed / chance)
        } else {
            Err(Undefined::OneClass)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cohen's (1960) kind of table: p_o = 35/50, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    #[test]
    fn kappa_of_a_worked_table() {
        let confusion = Confusion(vec![vec![20, 5], vec![10, 15]]);
        assert!((confusion.accuracy() - 0.7).abs() < 1e-15);
        assert!((confusion.kappa().unwrap() - 0.4).abs() < 1e-15);
    }

    #[test]
    fn one_class_has_no_kappa() {
        let confusion = Confusion(vec![vec![7, 0], vec![0, 0]]);
        assert_eq!(confusion.kappa(), Err(Undefined::OneClass));
        assert_eq!(confusion.macro_f1(), 1.0);
    }
}
