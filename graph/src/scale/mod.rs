//! Bringing features to a common scale, by figures of the training samples alone.
//!
//! x' = (x − shift) / scale, with shift and scale per node and feature:
//!
//! | method | shift | scale |
//! |---|---|---|
//! | `none` | 0 | 1 |
//! | `standard` | mean | standard deviation (of the population) |
//! | `standard-feature` | the same, over all nodes together | |
//! | `min-max` | minimum | maximum − minimum |
//! | `robust` | median | interquartile range |
//!
//! Missing entries are left out of the figures and stay 0. A feature that is constant in training
//! has scale 1.

mod figures;

use std::sync::Arc;

use ndarray::{ArrayView3, ArrayViewMut4, Axis, Zip};
use serde::{Deserialize, Serialize};

use crate::preparation::Preparation;
use crate::{Dataset, Error, Result};
use figures::{Moments, Values};

/// Which figures a [`Scaler`] takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleConfig {
    /// Values as they are.
    None,
    /// Mean 0 and standard deviation 1 per node and feature.
    #[default]
    Standard,
    /// Mean 0 and standard deviation 1 per feature over all nodes: differences between nodes stay.
    StandardFeature,
    /// From 0 to 1 per node and feature.
    MinMax,
    /// Median 0 and interquartile range 1 per node and feature: outliers have no say.
    Robust,
}

/// Figures taken from training samples, to be stored with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// What the figures are.
    pub method: ScaleConfig,
    /// V.
    pub nodes: usize,
    /// F.
    pub features: usize,
    /// (nodes, features), row by row, in the unit of the data; in single precision like the data,
    /// so that text keeps it exactly.
    pub shift: Vec<f32>,
    /// (nodes, features), row by row, in the unit of the data; positive.
    pub scale: Vec<f32>,
}

impl Scaler {
    /// Takes the figures from the samples `train` of `dataset`.
    ///
    /// # Errors
    /// When `train` is empty or names a sample that does not exist, or an observed value is not
    /// finite.
    pub fn fit(dataset: &Dataset, train: &[usize], cfg: ScaleConfig) -> Result<Self> {
        let (samples, nodes, _, features) = dataset.x.dim();
        if train.is_empty() {
            return Err(Error::config(
                "train",
                "no sample to take the scale from",
                "give at least one training sample",
            ));
        }
        if let Some(bad) = train.iter().find(|i| **i >= samples) {
            return Err(Error::config(
                "train",
                format!("sample {bad} of {samples}"),
                "give indices of samples that exist",
            ));
        }
        if let Some(mask) = &dataset.mask {
            check_mask(dataset.x.dim(), mask.dim())?;
        }
        let values = Values { dataset, train };
        let pairs = match cfg {
            ScaleConfig::None => vec![(0.0, 1.0); nodes * features],
            ScaleConfig::Standard => {
                let moments = values.moments()?;
                moments.iter().map(|m| m.shift_and_scale()).collect()
            }
            ScaleConfig::StandardFeature => {
                let moments = values.moments()?;
                // Merged in the order of nodes: the figures do not depend on the threads.
                let of_feature = |lane: usize| {
                    let own = moments.iter().skip(lane % features).step_by(features);
                    own.fold(Moments::default(), |all, one| all.merge(one))
                        .shift_and_scale()
                };
                (0..nodes * features).map(of_feature).collect()
            }
            ScaleConfig::MinMax => values.range()?,
            ScaleConfig::Robust => values.quartiles()?,
        };
        let narrow = |(shift, scale): (f64, f64)| {
            let scale = scale.min(f64::from(f32::MAX)) as f32;
            (shift as f32, if scale > 0.0 { scale } else { 1.0 })
        };
        let (shift, scale) = pairs.into_iter().map(narrow).unzip();
        Ok(Self {
            method: cfg,
            nodes,
            features,
            shift,
            scale,
        })
    }

    /// Scales `x`, (samples, nodes, time, features), in place. Entries that `mask`, (samples,
    /// nodes, time), marks as missing become 0.
    ///
    /// # Errors
    /// When nodes or features differ from those the figures were taken from.
    pub fn apply(&self, x: ArrayViewMut4<f32>, mask: Option<ArrayView3<bool>>) -> Result<()> {
        self.transform(x, mask, |value, shift, scale| (value - shift) / scale)
    }

    /// Undoes [`apply`](Self::apply), to rounding.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn inverse(&self, x: ArrayViewMut4<f32>, mask: Option<ArrayView3<bool>>) -> Result<()> {
        self.transform(x, mask, |value, shift, scale| value * scale + shift)
    }

    /// Has the samples of a data set scaled on their way into a batch.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and when the data set is prepared already.
    pub fn apply_dataset(&self, dataset: &mut Dataset) -> Result<()> {
        let (_, nodes, _, features) = dataset.x.dim();
        self.check(nodes, features)?;
        if dataset.preparation != Preparation::default() {
            return Err(Error::config(
                "scaler",
                "the data set is scaled already, or has features of nodes",
                "scale once, and before node features are added",
            ));
        }
        dataset.preparation.scaler = Some(Arc::new(self.clone()));
        Ok(())
    }

    /// Whether values stay as they are.
    pub(crate) fn is_identity(&self) -> bool {
        self.shift.iter().all(|s| *s == 0.0) && self.scale.iter().all(|s| *s == 1.0)
    }

    fn check(&self, nodes: usize, features: usize) -> Result<()> {
        let figures = self.nodes * self.features;
        if (nodes, features) == (self.nodes, self.features)
            && self.shift.len() == figures
            && self.scale.len() == figures
        {
            return Ok(());
        }
        Err(Error::config(
            "scaler",
            format!(
                "taken from {} nodes and {} features ({} and {} figures), \
                 not {nodes} and {features}",
                self.nodes,
                self.features,
                self.shift.len(),
                self.scale.len()
            ),
            "use data with the sensors and features of the training run",
        ))
    }

    fn transform(
        &self,
        mut x: ArrayViewMut4<f32>,
        mask: Option<ArrayView3<bool>>,
        change: impl Fn(f64, f64, f64) -> f64 + Sync,
    ) -> Result<()> {
        let (_, nodes, _, features) = x.dim();
        self.check(nodes, features)?;
        if let Some(mask) = &mask {
            check_mask(x.dim(), mask.dim())?;
        }
        Zip::indexed(x.axis_iter_mut(Axis(0))).par_for_each(|sample, mut x| {
            for ((node, step, feature), value) in x.indexed_iter_mut() {
                let seen = mask.as_ref().is_none_or(|m| m[[sample, node, step]]);
                let lane = node * features + feature;
                *value = if seen {
                    let figures = (self.shift[lane].into(), self.scale[lane].into());
                    change(f64::from(*value), figures.0, figures.1) as f32
                } else {
                    0.0
                };
            }
        });
        Ok(())
    }
}

fn check_mask(x: (usize, usize, usize, usize), mask: (usize, usize, usize)) -> Result<()> {
    if mask == (x.0, x.1, x.2) {
        return Ok(());
    }
    Err(Error::config(
        "mask",
        format!("shape {mask:?} for features of shape {x:?}"),
        "give one entry per sample, node and time step",
    ))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4, s};

    use super::*;
    use crate::split::fixture::dataset;

    const METHODS: [ScaleConfig; 5] = [
        ScaleConfig::None,
        ScaleConfig::Standard,
        ScaleConfig::StandardFeature,
        ScaleConfig::MinMax,
        ScaleConfig::Robust,
    ];

    /// 3 samples, 4 nodes, 8 steps, 2 features; node 3 is constant in feature 0.
    fn scrambled() -> Dataset {
        let mut data = dataset(&[0, 1, 0], 1);
        data.x = Array4::from_shape_fn((3, 4, 8, 2), |(n, v, l, f)| {
            if (v, f) == (3, 0) {
                return 0.1;
            }
            let value = (n * 7919 + v * 104_729 + l * 1_299_709 + f * 15_485_863) % 1000;
            1000.0 * (v + 1) as f32 + value as f32 / 100.0
        })
        .into();
        data
    }

    fn assert_near(got: f32, want: f64) {
        let off = (f64::from(got) - want).abs() / want.abs();
        assert!(off < 1e-7, "{got} is not {want}");
    }

    // sklearn 1.9.1: StandardScaler, MinMaxScaler, RobustScaler fitted on the same numbers.
    #[test]
    fn agrees_with_sklearn() {
        let data = scrambled();
        let train = [0, 2];
        let lane = 2 * 2 + 1;
        let fit = |cfg| Scaler::fit(&data, &train, cfg).unwrap();
        for (cfg, shift, scale) in [
            (ScaleConfig::Standard, 3004.714996338, 2.898428793),
            (ScaleConfig::MinMax, 3000.300048828, 9.649902344),
            (ScaleConfig::Robust, 3004.304931641, 4.599914551),
            (ScaleConfig::StandardFeature, 2504.976247787, 1117.593260423),
        ] {
            let scaler = fit(cfg);
            assert_near(scaler.shift[lane], shift);
            assert_near(scaler.scale[lane], scale);
        }
        let shared = fit(ScaleConfig::StandardFeature);
        assert_eq!(shared.shift[1], shared.shift[7]);
    }

    #[test]
    fn training_samples_become_standard() {
        let mut data = scrambled();
        let scaler = Scaler::fit(&data, &[0, 2], ScaleConfig::Standard).unwrap();
        scaler.apply_dataset(&mut data).unwrap();
        let x = data.gather(&[0, 2]);
        let lane = x.slice(s![.., 1, .., 0]).mapv(f64::from);
        let mean = lane.mean().unwrap();
        let variance = lane.mapv(|v| (v - mean).powi(2)).mean().unwrap();
        // The mean, 2004.7, is stored to 6e-5, which is 2e-5 of the standard deviation.
        assert!(mean.abs() < 3e-5, "{mean}");
        assert!((variance - 1.0).abs() < 1e-6, "{variance}");
    }

    #[test]
    fn constants_and_unseen_nodes_keep_their_scale() {
        let mut data = scrambled();
        let mut mask = Array3::from_elem((3, 4, 8), true);
        mask.slice_mut(s![.., 2, ..]).fill(false);
        data.mask = Some(mask.into());
        for cfg in METHODS {
            let scaler = Scaler::fit(&data, &[0, 1, 2], cfg).unwrap();
            if cfg != ScaleConfig::StandardFeature {
                assert_eq!(scaler.scale[3 * 2], 1.0, "{cfg:?}");
                assert_eq!((scaler.shift[4], scaler.scale[4]), (0.0, 1.0), "{cfg:?}");
            }
            assert!(scaler.scale.iter().all(|s| *s > 0.0));
        }
    }

    #[test]
    fn missing_entries_have_no_say_and_stay_zero() {
        let mut data = scrambled();
        let mask = Array3::from_shape_fn((3, 4, 8), |(n, v, l)| (n + v + l) % 3 != 0);
        data.mask = Some(mask.clone().into());
        for cfg in METHODS {
            let before = Scaler::fit(&data, &[0, 1], cfg).unwrap();
            let mut spoilt = data.clone();
            let mut x = data.x.to_array();
            for ((n, v, l), seen) in mask.indexed_iter() {
                if !seen {
                    x.slice_mut(s![n, v, l, ..]).fill(f32::NAN);
                }
            }
            spoilt.x = x.into();
            assert_eq!(Scaler::fit(&spoilt, &[0, 1], cfg).unwrap(), before);
            before.apply_dataset(&mut spoilt).unwrap();
            for ((n, v, l, _), value) in spoilt.gather(&[0, 1, 2]).indexed_iter() {
                assert!(value.is_finite());
                assert!(mask[[n, v, l]] || *value == 0.0);
            }
        }
    }

    #[test]
    fn other_samples_have_no_say() {
        let data = scrambled();
        let mut changed = data.clone();
        let mut x = data.x.to_array();
        x.slice_mut(s![1, .., .., ..]).fill(f32::NAN);
        changed.x = x.into();
        for cfg in METHODS {
            let scaler = Scaler::fit(&data, &[0, 2], cfg).unwrap();
            assert_eq!(Scaler::fit(&changed, &[0, 2], cfg).unwrap(), scaler);
            let spoilt = Scaler::fit(&changed, &[0, 1], cfg);
            assert_eq!(spoilt.is_err(), cfg != ScaleConfig::None, "{cfg:?}");
        }
    }

    #[test]
    fn inverse_and_storage_give_back_what_was() {
        let data = scrambled();
        for cfg in METHODS {
            let scaler = Scaler::fit(&data, &[0, 1], cfg).unwrap();
            let text = serde_json::to_string(&scaler).unwrap();
            let stored: Scaler = serde_json::from_str(&text).unwrap();
            assert_eq!(stored, scaler);
            let mut x = data.x.to_array();
            scaler.apply(x.view_mut(), None).unwrap();
            stored.inverse(x.view_mut(), None).unwrap();
            let worst = (&x - &data.x.to_array())
                .mapv(f32::abs)
                .fold(0.0f32, |a, b| a.max(*b));
            assert!(worst < 1e-3, "{cfg:?}: {worst}");
        }
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let data = scrambled();
        let scaler = Scaler::fit(&data, &[0], ScaleConfig::Standard).unwrap();
        let mut other = Array4::zeros((1, 3, 8, 2));
        assert!(scaler.apply(other.view_mut(), None).is_err());
        let mut x = data.x.to_array();
        let mask = Array3::from_elem((3, 4, 7), true);
        assert!(scaler.apply(x.view_mut(), Some(mask.view())).is_err());
        assert!(Scaler::fit(&data, &[], ScaleConfig::Standard).is_err());
        assert!(Scaler::fit(&data, &[3], ScaleConfig::Standard).is_err());
        let mut broken = scaler.clone();
        broken.scale.pop();
        assert!(broken.apply(x.view_mut(), None).is_err());
    }

    #[test]
    fn methods_are_written_in_kebab_case() {
        let written = serde_json::to_string(&ScaleConfig::StandardFeature).unwrap();
        assert_eq!(written, "\"standard-feature\"");
        assert!(serde_json::from_str::<ScaleConfig>("\"minmax\"").is_err());
    }
}
