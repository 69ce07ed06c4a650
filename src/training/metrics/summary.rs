//! Mean and spread over folds or seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Mean and sample standard deviation of a metric over folds or seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n - 1); `None` for n = 1.
    pub sd: Option<f64>,
    /// Number of values.
    pub n: usize,
}

impl Summary {
    /// Summarises the finite values; `None` if there is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, n })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.sd {
            Some(sd) => format!("{:.4} ± {sd:.4} (n = {})", self.mean, self.n),
            None => format!("{:.4} (n = {})", self.mean, self.n),
        };
        f.pad(&text)
    }
}

/// Summary of each metric over the rows (folds, seeds) that have it.
pub fn summarise<K: Ord + Clone>(rows: &[BTreeMap<K, f64>]) -> BTreeMap<K, Summary> {
    let names: BTreeSet<&K> = rows.iter().flat_map(BTreeMap::keys).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let column = rows.iter().filter_map(|row| row.get(name).copied());
            Some((name.clone(), Summary::of(column)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::*;

    /// numpy.std([2, 4, 4, 4, 5, 5, 7, 9], ddof=1) = 2.138089935299395.
    #[test]
    fn spread_is_numpys_with_ddof_one() {
        let summary = Summary::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, f64::NAN]).unwrap();
        assert_eq!((summary.mean, summary.n), (5.0, 8));
        assert!((summary.sd.unwrap() - 2.138_089_935_299_395).abs() < 1e-14);
        assert_eq!(Summary::of([3.0]).unwrap().sd, None);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn folds_without_the_metric_are_left_out() {
        let fold = |v: Option<f64>| BTreeMap::from_iter(v.map(|v| (Metric::Auroc, v)));
        let all = summarise(&[fold(Some(0.5)), fold(None), fold(Some(0.7))]);
        assert_eq!(all[&Metric::Auroc].n, 2);
        assert_eq!(all.len(), 1);
        assert_eq!(all[&Metric::Auroc].to_string(), "0.6000 ± 0.1414 (n = 2)");
    }
}
