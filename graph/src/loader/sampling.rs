//! The samples of an epoch and their order.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Which samples an epoch has, and in which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every sample once, in the order given.
    Sequential,
    /// Every sample once, in a new random order each epoch.
    #[default]
    Shuffle,
    /// As many of each class as the rarest has, drawn anew each epoch without replacement, in
    /// random order. Classes without a sample are left out.
    ClassBalanced,
    /// As many draws as there are samples, with replacement, each with probability proportional to
    /// 1 / (samples of its class): all classes are drawn equally often on average.
    InverseFrequency,
}

/// Draws per epoch.
pub(super) fn draws(sampling: Sampling, indices: &[usize], y: &[usize]) -> usize {
    match sampling {
        Sampling::ClassBalanced => {
            let classes = by_class(indices, y);
            let rarest = classes.values().map(Vec::len).min().unwrap_or(0);
            rarest * classes.len()
        }
        _ => indices.len(),
    }
}

/// Samples of an epoch in their order: a pure function of its arguments.
pub(super) fn order(
    sampling: Sampling,
    indices: &[usize],
    y: &[usize],
    seed: u64,
    epoch: u64,
) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    match sampling {
        Sampling::Sequential => indices.to_vec(),
        Sampling::Shuffle => {
            let mut order = indices.to_vec();
            order.shuffle(&mut random);
            order
        }
        Sampling::ClassBalanced => {
            let classes = by_class(indices, y);
            let rarest = classes.values().map(Vec::len).min().unwrap_or(0);
            let mut order = Vec::new();
            for mut members in classes.into_values() {
                members.shuffle(&mut random);
                members.truncate(rarest);
                order.extend(members);
            }
            order.shuffle(&mut random);
            order
        }
        Sampling::InverseFrequency => {
            // Any class with equal probability, then any of its samples: the same distribution.
            let classes: Vec<Vec<usize>> = by_class(indices, y).into_values().collect();
            let draw = |_| {
                let class = classes.choose(&mut random)?;
                class.choose(&mut random).copied()
            };
            (0..indices.len()).filter_map(draw).collect()
        }
    }
}

fn by_class(indices: &[usize], y: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &sample in indices {
        classes.entry(y[sample]).or_default().push(sample);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 samples: 60 of class 0, 30 of class 1, 10 of class 3.
    fn labels() -> Vec<usize> {
        (0..100)
            .map(|i| [0, 0, 1, 0, 0, 1, 0, 3, 0, 1][i % 10])
            .collect()
    }

    fn counts(order: &[usize], y: &[usize]) -> [usize; 4] {
        let mut counts = [0; 4];
        for sample in order {
            counts[y[*sample]] += 1;
        }
        counts
    }

    #[test]
    fn epochs_are_functions_of_seed_and_number() {
        let (y, indices) = (labels(), (0..100).collect::<Vec<_>>());
        for sampling in [
            Sampling::Shuffle,
            Sampling::ClassBalanced,
            Sampling::InverseFrequency,
        ] {
            let order = |seed, epoch| order(sampling, &indices, &y, seed, epoch);
            assert_eq!(order(1, 7), order(1, 7));
            assert_ne!(order(1, 7), order(1, 8));
            assert_ne!(order(1, 7), order(2, 7));
            assert_eq!(order(1, 7).len(), draws(sampling, &indices, &y));
        }
        assert_eq!(order(Sampling::Sequential, &indices, &y, 1, 7), indices);
    }

    #[test]
    fn a_shuffle_has_every_sample_once() {
        let (y, indices) = (
            labels(),
            (0..100).filter(|i| i % 3 == 0).collect::<Vec<_>>(),
        );
        for epoch in 0..50 {
            let mut order = order(Sampling::Shuffle, &indices, &y, 0, epoch);
            assert_ne!(order, indices);
            order.sort_unstable();
            assert_eq!(order, indices);
        }
    }

    #[test]
    fn balanced_epochs_have_equal_counts_without_repeats() {
        let (y, indices) = (labels(), (0..100).collect::<Vec<_>>());
        let mut drawn = std::collections::HashSet::new();
        for epoch in 0..50 {
            let mut order = order(Sampling::ClassBalanced, &indices, &y, 0, epoch);
            assert_eq!(counts(&order, &y), [10, 10, 0, 10]);
            order.sort_unstable();
            order.dedup();
            assert_eq!(order.len(), 30);
            drawn.extend(order);
        }
        // Over the epochs the frequent classes are drawn from in full.
        assert_eq!(drawn.len(), 100);
    }

    #[test]
    fn inverse_frequency_evens_out_the_classes() {
        let (y, indices) = (labels(), (0..100).collect::<Vec<_>>());
        let mut all = Vec::new();
        for epoch in 0..300 {
            all.extend(order(Sampling::InverseFrequency, &indices, &y, 0, epoch));
        }
        // 30,000 draws, a third each; the standard deviation of a count is 82.
        for class in [0, 1, 3] {
            let count = counts(&all, &y)[class] as f64;
            assert!((count - 10_000.0).abs() < 5.0 * 82.0, "{class}: {count}");
        }
        // Within class 0: 60 samples, 166.7 draws each, standard deviation 13.
        let of_first = all.iter().filter(|s| **s == 0).count() as f64;
        assert!((of_first - 166.7).abs() < 5.0 * 13.0, "{of_first}");
    }
}
