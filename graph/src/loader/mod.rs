//! Batches: which samples, in which order, with which disturbances.
//!
//! Everything drawn at random is a function of (seed, epoch, position), never of what was drawn
//! before: a run that resumes in the middle of an epoch sees the batches it would have seen.

mod augment;
mod batches;
mod pace;
mod sampling;
mod throughput;

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array3, Array4, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Result};

pub use augment::{AugmentConfig, TimeShift};
pub use batches::Batches;
pub use pace::LoaderTimes;
use pace::Pace;
pub use sampling::Sampling;
pub use throughput::{Throughput, throughput};

/// How batches are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Rows of a batch.
    pub batch_size: usize,
    /// Which samples an epoch has, and in which order.
    pub sampling: Sampling,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Batches made ahead by a thread of their own; 0 makes each when it is asked for.
    pub prefetch: usize,
    /// Whether the last batch is filled up with copies of its own rows, so that every batch has
    /// the same shape; [`Batch::valid`] tells how many rows count.
    pub pad_last: bool,
    /// Disturbances of the features; none by default.
    pub augment: AugmentConfig,
}

impl Default for LoaderConfig {
    /// 32 shuffled rows, two batches ahead, no augmentation.
    fn default() -> Self {
        Self {
            batch_size: 32,
            sampling: Sampling::Shuffle,
            seed: 0,
            prefetch: 2,
            pad_last: false,
            augment: AugmentConfig::default(),
        }
    }
}

/// A piece of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Sample of the data set behind each row.
    pub index: Vec<usize>,
    /// (b, v, l, f), contiguous; 0 where missing.
    pub features: Array4<f32>,
    /// `true` where observed, (b, v, l); `None` when nothing is missing.
    pub mask: Option<Array3<bool>>,
    /// Class of each row.
    pub target: Vec<usize>,
    /// Rows that count; those after it repeat earlier ones.
    pub valid: usize,
}

/// Makes batches of some samples of a data set. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Loader {
    dataset: Arc<Dataset>,
    indices: Arc<Vec<usize>>,
    cfg: LoaderConfig,
    pace: Arc<Pace>,
}

impl Loader {
    /// A loader over the samples `indices`.
    ///
    /// # Errors
    /// When there is no sample, one does not exist, a class is out of range, a feature is not
    /// finite, shapes disagree, the batch size is 0, or an augmentation parameter is out of range.
    pub fn new(dataset: Arc<Dataset>, indices: Vec<usize>, cfg: LoaderConfig) -> Result<Self> {
        if cfg.batch_size == 0 {
            return Err(Error::config(
                "batch_size",
                "a batch of 0 rows",
                "give at least 1",
            ));
        }
        cfg.augment.check(dataset.x.dim().2)?;
        check_dataset(&dataset, &indices)?;
        Ok(Self {
            dataset,
            indices: Arc::new(indices),
            pace: Arc::new(Pace::new(cfg.prefetch + 2)),
            cfg,
        })
    }

    /// Gives the memory of a batch back for one of the batches to come.
    pub fn recycle(&self, batch: Batch) {
        self.pace.give_back(batch.features);
    }

    /// Time spent on batches since the loader was made, over all its clones.
    pub fn times(&self) -> LoaderTimes {
        self.pace.times()
    }

    /// How batches are made.
    pub fn config(&self) -> &LoaderConfig {
        &self.cfg
    }

    /// The data set behind the batches.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The samples given to [`new`](Self::new).
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Samples of an epoch in their order: a pure function of the seed and `epoch`.
    pub fn order(&self, epoch: u64) -> Vec<usize> {
        let cfg = &self.cfg;
        sampling::order(
            cfg.sampling,
            &self.indices,
            &self.dataset.y,
            cfg.seed,
            epoch,
        )
    }

    /// Draws per epoch.
    pub fn samples_per_epoch(&self) -> usize {
        sampling::draws(self.cfg.sampling, &self.indices, &self.dataset.y)
    }

    /// Batches per epoch; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a loader is never empty")]
    pub fn len(&self) -> usize {
        self.samples_per_epoch().div_ceil(self.cfg.batch_size)
    }

    /// The batches of an epoch from number `start` on; none when `start` is beyond the last.
    ///
    /// With `prefetch` a thread makes them ahead; it ends when the iterator is dropped, and a
    /// panic in it is carried over to the caller.
    pub fn batches(&self, epoch: u64, start: usize) -> Batches {
        Batches::new(self.clone(), epoch, start)
    }

    /// Batch `number` of an epoch, whose [`order`](Self::order) the caller holds.
    fn batch(&self, order: &[usize], epoch: u64, number: usize) -> Batch {
        let started = Instant::now();
        let cfg = &self.cfg;
        let from = number * cfg.batch_size;
        let to = (from + cfg.batch_size).min(order.len());
        let valid = to - from;
        let rows = if cfg.pad_last { cfg.batch_size } else { valid };
        let positions: Vec<usize> = (0..rows).map(|row| from + row % valid).collect();
        let index: Vec<usize> = positions.iter().map(|p| order[*p]).collect();
        let mut mask = self.dataset.mask.as_ref().map(|m| m.gather(&index));
        let (_, v, l, f) = self.dataset.dim();
        let mut values = self.pace.buffer(rows * v * l * f);
        let prepare = &self.dataset.preparation;
        prepare.gather(&self.dataset.x, &index, mask.as_ref(), &mut values);
        let mut features = Array4::from_shape_vec((rows, v, l, f), values).unwrap_or_default();
        if cfg.augment.is_active() {
            let disturb = |position: usize, x, mask| {
                let mut random = augment::generator(cfg.seed, epoch, position as u64);
                cfg.augment.apply(x, mask, &mut random);
            };
            let rows = features.axis_iter_mut(Axis(0)).into_par_iter();
            let rows = rows.zip(positions.par_iter());
            match &mut mask {
                None => rows.for_each(|(x, position)| disturb(*position, x, None)),
                Some(mask) => rows
                    .zip(mask.axis_iter_mut(Axis(0)).into_par_iter())
                    .for_each(|((x, position), mask)| disturb(*position, x, Some(mask))),
            }
        }
        let batch = Batch {
            target: index.iter().map(|sample| self.dataset.y[*sample]).collect(),
            index,
            features,
            mask,
            valid,
        };
        self.pace.made(started.elapsed());
        batch
    }
}

fn check_dataset(dataset: &Dataset, indices: &[usize]) -> Result<()> {
    let (samples, nodes, steps, features) = dataset.x.dim();
    if indices.is_empty() {
        return Err(Error::config(
            "indices",
            "no sample to load",
            "give the loader a part that is not empty",
        ));
    }
    let shape = || format!("for features of shape {:?}", dataset.x.dim());
    if nodes * steps * features == 0 {
        return Err(Error::config(
            "x",
            format!("nothing in an array of shape {:?}", dataset.x.dim()),
            "check the window length and the selection of sensors",
        ));
    }
    if dataset.y.len() != samples {
        return Err(Error::config(
            "y",
            format!("{} classes {}", dataset.y.len(), shape()),
            "give one class per sample",
        ));
    }
    if let Some(mask) = &dataset.mask
        && mask.dim() != (samples, nodes, steps)
    {
        return Err(Error::config(
            "mask",
            format!("shape {:?} {}", mask.dim(), shape()),
            "give one entry per sample, node and time step",
        ));
    }
    if let Some(bad) = indices.iter().find(|i| **i >= samples) {
        return Err(Error::config(
            "indices",
            format!("sample {bad} of {samples}"),
            "give indices of samples that exist",
        ));
    }
    let classes = dataset.classes.len();
    if let Some(bad) = indices.iter().find(|i| dataset.y[**i] >= classes) {
        return Err(Error::config(
            format!("y[{bad}]"),
            format!("class {} of {classes}", dataset.y[*bad]),
            "name every class in `classes`; indices start at 0",
        ));
    }
    if dataset.x.is_finite() {
        return Ok(());
    }
    let fault = |sample: &usize| {
        let x = dataset.x.window(*sample);
        if x.iter().all(|v| v.is_finite()) {
            return None;
        }
        let at = x.indexed_iter().find(|(_, v)| !v.is_finite());
        at.map(|(place, value)| (*sample, place, *value))
    };
    match indices.par_iter().find_map_first(fault) {
        None => Ok(()),
        Some((sample, (node, step, feature), value)) => Err(Error::config(
            format!("x[{sample}, {node}, {step}, {feature}]"),
            format!("the feature is {value}"),
            "write 0 for missing values and mark them in the mask",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::fixture::dataset;

    fn loader(cfg: LoaderConfig) -> Loader {
        let data = dataset(&[0, 1, 0, 1, 1, 1, 0], 3);
        Loader::new(
            Arc::new(data),
            (0..21).filter(|i| i % 5 != 0).collect(),
            cfg,
        )
        .unwrap()
    }

    fn noisy(prefetch: usize) -> LoaderConfig {
        LoaderConfig {
            batch_size: 3,
            prefetch,
            augment: AugmentConfig {
                noise: 0.5,
                amplitude: 0.2,
                time_shift: 2,
                channel_dropout: 0.3,
                ..AugmentConfig::default()
            },
            ..LoaderConfig::default()
        }
    }

    #[test]
    fn rows_are_the_samples() {
        let loader = loader(LoaderConfig {
            batch_size: 5,
            ..LoaderConfig::default()
        });
        assert_eq!((loader.samples_per_epoch(), loader.len()), (16, 4));
        let batches: Vec<Batch> = loader.batches(3, 0).collect();
        let sizes: Vec<usize> = batches.iter().map(|b| b.valid).collect();
        assert_eq!(sizes, [5, 5, 5, 1]);
        let drawn: Vec<usize> = batches.iter().flat_map(|b| b.index.clone()).collect();
        assert_eq!(drawn, loader.order(3));
        for batch in &batches {
            assert_eq!(batch.features.dim(), (batch.valid, 4, 8, 1));
            assert!(batch.features.is_standard_layout());
            for (row, &sample) in batch.index.iter().enumerate() {
                assert_eq!(batch.target[row], loader.dataset().y[sample]);
                // The fixture writes sample * 100 + node * 10 + step.
                assert_eq!(batch.features[[row, 2, 3, 0]], (sample * 100 + 23) as f32);
            }
        }
    }

    #[test]
    fn padding_repeats_rows_that_do_not_count() {
        let loader = loader(LoaderConfig {
            batch_size: 6,
            pad_last: true,
            sampling: Sampling::Sequential,
            ..LoaderConfig::default()
        });
        let last = loader.batches(0, 2).next().unwrap();
        assert_eq!(last.valid, 4);
        assert_eq!(last.index, [16, 17, 18, 19, 16, 17]);
        assert_eq!(last.features.dim().0, 6);
    }

    #[test]
    fn padding_fills_batches_larger_than_the_data() {
        let loader = loader(LoaderConfig {
            batch_size: 40,
            pad_last: true,
            ..LoaderConfig::default()
        });
        let only = loader.batches(0, 0).next().unwrap();
        assert_eq!((only.index.len(), only.valid), (40, 16));
        assert_eq!(only.index[3], only.index[35]);
    }

    #[test]
    fn resuming_gives_the_same_batches_with_and_without_a_thread() {
        let all: Vec<Batch> = loader(noisy(0)).batches(4, 0).collect();
        for prefetch in [0, 1, 3] {
            let loader = loader(noisy(prefetch));
            for start in 0..=loader.len() + 1 {
                let rest: Vec<Batch> = loader.batches(4, start).collect();
                assert_eq!(rest, all[start.min(all.len())..]);
            }
        }
        let other: Vec<Batch> = loader(noisy(0)).batches(5, 0).collect();
        assert_ne!(other, all);
    }

    #[test]
    fn every_row_meets_its_own_disturbance() {
        let mut cfg = noisy(0);
        cfg.augment = AugmentConfig {
            noise: 1.0,
            ..AugmentConfig::default()
        };
        cfg.sampling = Sampling::Sequential;
        let loader = loader(cfg);
        let mut noise: Vec<Vec<i64>> = Vec::new();
        for batch in loader.batches(0, 0) {
            let clean = loader.dataset().x.gather(&batch.index);
            for row in (batch.features - clean).axis_iter(Axis(0)) {
                noise.push(row.iter().map(|v| (v * 100.0).round() as i64).collect());
            }
        }
        for (number, one) in noise.iter().enumerate() {
            assert!(
                !noise[..number].contains(one),
                "row {number} repeats another"
            );
        }
    }

    #[test]
    fn masks_travel_with_their_samples() {
        let mut data = dataset(&[0, 1], 4);
        data.mask = Some(Array3::from_shape_fn((8, 4, 8), |(n, v, l)| n != v + l).into());
        let data = Arc::new(data);
        let loader = Loader::new(data.clone(), (0..8).collect(), LoaderConfig::default()).unwrap();
        let batch = loader.batches(0, 0).next().unwrap();
        let mask = batch.mask.unwrap();
        for (row, &sample) in batch.index.iter().enumerate() {
            let want = data.mask.as_ref().unwrap().window(sample);
            assert_eq!(mask.index_axis(Axis(0), row), want);
        }
    }

    #[test]
    fn bad_data_are_named_at_construction() {
        let message = |change: fn(&mut Dataset), indices: Vec<usize>, cfg: LoaderConfig| {
            let mut data = dataset(&[0, 1, 0], 1);
            change(&mut data);
            Loader::new(Arc::new(data), indices, cfg)
                .unwrap_err()
                .to_string()
        };
        let cfg = LoaderConfig::default;
        assert!(message(|_| (), vec![], cfg()).contains("no sample"));
        assert!(message(|_| (), vec![0, 3], cfg()).contains("sample 3 of 3"));
        assert!(message(|d| d.y[1] = 2, vec![0, 1], cfg()).contains("y[1]: class 2 of 2"));
        let nan = |d: &mut Dataset| {
            let mut x = d.x.to_array();
            x[[2, 1, 0, 0]] = f32::NAN;
            d.x = x.into();
        };
        assert!(message(nan, vec![2], cfg()).contains("x[2, 1, 0, 0]"));
        assert!(message(|d| d.y.truncate(2), vec![0], cfg()).starts_with("y:"));
        let empty = |d: &mut Dataset| d.x = Array4::zeros((3, 4, 0, 1)).into();
        assert!(message(empty, vec![0], cfg()).starts_with("x:"));
        let mask = |d: &mut Dataset| d.mask = Some(Array3::from_elem((3, 4, 7), true).into());
        assert!(message(mask, vec![0], cfg()).starts_with("mask:"));
        let none = LoaderConfig {
            batch_size: 0,
            ..cfg()
        };
        assert!(message(|_| (), vec![0], none).starts_with("batch_size"));
    }

    #[test]
    fn configuration_round_trip() {
        let text = "batch_size = 8\nsampling = \"class-balanced\"\n[augment]\nnoise = 0.1\n";
        let cfg: LoaderConfig = toml::from_str(text).unwrap();
        assert_eq!(cfg.sampling, Sampling::ClassBalanced);
        assert_eq!((cfg.prefetch, cfg.augment.noise), (2, 0.1));
        let back: LoaderConfig = toml::from_str(&toml::to_string(&cfg).unwrap()).unwrap();
        assert_eq!(back, cfg);
        assert!(toml::from_str::<LoaderConfig>("batchsize = 8").is_err());
        assert!(toml::from_str::<LoaderConfig>("[augment]\nmixup = 0.1").is_err());
    }
}
