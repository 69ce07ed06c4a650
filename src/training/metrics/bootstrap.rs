//! Percentile intervals by the bootstrap (Efron 1979).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Metric, Predictions};

/// How often to resample, and the level of the interval.
///
/// Each resample draws n samples (or as many groups as there are, see
/// [`Predictions::with_groups`]) with replacement; resamples in which a metric is undefined are
/// skipped for that metric. Resample i has its own random stream, so that the result depends on
/// the seed alone, not on the number of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples; 0 gives no intervals.
    pub resamples: usize,
    /// Seed of the random streams.
    pub seed: u64,
    /// Share of resamples within the interval, in (0, 1).
    pub level: f64,
}

impl Default for Bootstrap {
    /// 1000 resamples, seed 0, level 0.95.
    fn default() -> Self {
        Self {
            resamples: 1000,
            seed: 0,
            level: 0.95,
        }
    }
}

/// Linearly interpolated quantile of sorted values, at position q (n - 1).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64))
}

/// Replaces group names by 0, 1, ... and counts them.
fn renumber(groups: &[usize]) -> (Vec<usize>, usize) {
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    let index = |g: &usize| names.partition_point(|n| n < g);
    (groups.iter().map(index).collect(), names.len())
}

impl Bootstrap {
    /// How often each of `n` units stands in resample `i`.
    fn draw(&self, i: usize, n: usize) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(i as u64);
        let mut times = vec![0; n];
        for _ in 0..n {
            times[rng.random_range(0..n as u64) as usize] += 1;
        }
        times
    }

    /// Lower and upper bound of each metric in the order of [`Metric::ALL`]; `None` where no
    /// resample defines it.
    pub(super) fn intervals(&self, of: &Predictions) -> Vec<Option<(f64, f64)>> {
        let prepared = of.prepare();
        let groups = of.groups.as_deref().map(renumber);
        let resamples: Vec<_> = (0..self.resamples)
            .into_par_iter()
            .map(|i| {
                let weights = match &groups {
                    None => self.draw(i, of.samples()),
                    Some((group, n)) => {
                        let times = self.draw(i, *n);
                        group.iter().map(|&g| times[g]).collect()
                    }
                };
                prepared.values(&weights)
            })
            .collect();
        (0..Metric::ALL.len())
            .map(|m| {
                let mut values: Vec<f64> = resamples.iter().filter_map(|v| v[m].ok()).collect();
                values.sort_by(f64::total_cmp);
                let tail = (1.0 - self.level) / 2.0;
                Some((quantile(&values, tail)?, quantile(&values, 1.0 - tail)?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accuracy 0.7 in 100 independent samples: the binomial normal interval is 0.7 +- 0.0898.
    fn seventy() -> Predictions {
        let targets = vec![1; 100];
        let scores = (0..100)
            .flat_map(|i| if i < 70 { [0.1, 0.9] } else { [0.9, 0.1] })
            .collect();
        Predictions::new(targets, scores, 2).unwrap()
    }

    #[test]
    fn accuracy_has_the_binomial_interval() {
        let bootstrap = Bootstrap {
            resamples: 4000,
            ..Bootstrap::default()
        };
        let (low, high) = bootstrap.intervals(&seventy())[0].unwrap();
        assert!((low - 0.61).abs() < 0.015, "{low}");
        assert!((high - 0.79).abs() < 0.015, "{high}");
    }

    #[test]
    fn the_seed_decides() {
        let with = |seed| Bootstrap {
            resamples: 200,
            seed,
            ..Bootstrap::default()
        };
        let p = seventy();
        assert_eq!(with(3).intervals(&p), with(3).intervals(&p));
        assert_ne!(with(3).intervals(&p), with(4).intervals(&p));
    }

    /// Ten groups of ten equal samples carry the information of ten samples: the interval widens by
    /// the square root of ten.
    #[test]
    fn groups_are_drawn_whole() {
        let p = seventy();
        let groups = (0..100).map(|i| 1000 - i / 10).collect();
        let bootstrap = Bootstrap::default();
        let (low, high) = bootstrap.intervals(&p)[0].unwrap();
        let grouped = p.with_groups(groups).unwrap();
        let (glow, ghigh) = bootstrap.intervals(&grouped)[0].unwrap();
        assert!((ghigh - glow) > 2.5 * (high - low), "{glow} {ghigh}");
    }

    /// numpy.percentile([1, 2, 4, 8], [25, 97.5]) = [1.75, 7.7].
    #[test]
    fn quantiles_are_numpys() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert!((quantile(&sorted, 0.25).unwrap() - 1.75).abs() < 1e-12);
        assert!((quantile(&sorted, 0.975).unwrap() - 7.7).abs() < 1e-12);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
