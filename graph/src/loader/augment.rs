//! Disturbances of training samples that leave their class as it is.

use ndarray::{ArrayViewMut2, ArrayViewMut3, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Disturbances, applied in the order of the fields; all off by default.
///
/// What a sample meets depends on the seed of the loader, the epoch and its position in the order
/// of the epoch, and on nothing else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Most time steps a sample is moved by, all nodes alike: uniform in −s..=s.
    pub time_shift: usize,
    /// What comes in at the end that a shift lays bare.
    pub shift_fill: TimeShift,
    /// A factor uniform in [1 − a, 1 + a] for the whole sample, a in [0, 1).
    pub amplitude: f32,
    /// Standard deviation of Gaussian noise added to observed values, in the unit of the features
    /// (standard deviations after `standard` scaling).
    pub noise: f32,
    /// Probability in [0, 1) that a node is silenced: its values become 0 and, where the data have
    /// a mask, count as missing. One node always stays.
    pub channel_dropout: f64,
}

/// What fills the end that a time shift lays bare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeShift {
    /// What was pushed out at the other end.
    #[default]
    Circular,
    /// The first or last step, repeated; what is pushed out is cropped.
    Crop,
}

impl AugmentConfig {
    /// Whether anything is disturbed at all.
    pub fn is_active(&self) -> bool {
        self.time_shift > 0
            || self.amplitude > 0.0
            || self.noise > 0.0
            || self.channel_dropout > 0.0
    }

    /// Checks the ranges for windows of `steps` time steps.
    pub(super) fn check(&self, steps: usize) -> Result<()> {
        let fault = |field: &str, value: String, remedy: &str| {
            Err(Error::config(
                format!("augment.{field}"),
                format!("{value} is out of range"),
                remedy,
            ))
        };
        if self.time_shift > 0 && self.time_shift >= steps {
            return fault(
                "time_shift",
                format!("a shift of {} in windows of {steps} steps", self.time_shift),
                "shift by less than the window",
            );
        }
        if !(0.0..1.0).contains(&self.amplitude) {
            return fault("amplitude", self.amplitude.to_string(), "stay in [0, 1)");
        }
        if !(self.noise >= 0.0 && self.noise.is_finite()) {
            return fault("noise", self.noise.to_string(), "give 0 or more");
        }
        if !(0.0..1.0).contains(&self.channel_dropout) {
            let value = self.channel_dropout.to_string();
            return fault("channel_dropout", value, "stay in [0, 1)");
        }
        Ok(())
    }

    /// Disturbs one sample, (v, l, f), and its mask, (v, l).
    pub(super) fn apply(
        &self,
        mut x: ArrayViewMut3<f32>,
        mut mask: Option<ArrayViewMut2<bool>>,
        random: &mut ChaCha8Rng,
    ) {
        if self.time_shift > 0 {
            let most = self.time_shift as i64;
            let by = random.random_range(-most..=most);
            self.shift(&mut x, mask.as_mut(), by);
        }
        if self.amplitude > 0.0 {
            let factor = 1.0 + self.amplitude * random.random_range(-1.0f32..=1.0);
            x.mapv_inplace(|value| value * factor);
        }
        if self.noise > 0.0 {
            let mut normal = Normal::new(random);
            for ((node, step, _), value) in x.indexed_iter_mut() {
                if mask.as_ref().is_none_or(|m| m[[node, step]]) {
                    *value += self.noise * normal.next();
                }
            }
        }
        if self.channel_dropout > 0.0 {
            let nodes = x.len_of(Axis(0));
            let draw = |_| random.random_bool(self.channel_dropout);
            let mut silent: Vec<bool> = (0..nodes).map(draw).collect();
            if silent.iter().all(|s| *s) {
                silent[random.random_range(0..nodes)] = false;
            }
            for node in (0..nodes).filter(|v| silent[*v]) {
                x.index_axis_mut(Axis(0), node).fill(0.0);
                if let Some(mask) = &mut mask {
                    mask.index_axis_mut(Axis(0), node).fill(false);
                }
            }
        }
    }

    /// Step l takes what was at l − `by`.
    fn shift(&self, x: &mut ArrayViewMut3<f32>, mask: Option<&mut ArrayViewMut2<bool>>, by: i64) {
        let features = x.len_of(Axis(2));
        for mut node in x.outer_iter_mut() {
            match node.as_slice_mut() {
                Some(steps) => self.shift_fill.shift(steps, features, by),
                None => {
                    let mut steps: Vec<f32> = node.iter().copied().collect();
                    self.shift_fill.shift(&mut steps, features, by);
                    node.iter_mut().zip(steps).for_each(|(to, from)| *to = from);
                }
            }
        }
        for mut node in mask.into_iter().flat_map(|m| m.rows_mut()) {
            let mut steps: Vec<bool> = node.iter().copied().collect();
            self.shift_fill.shift(&mut steps, 1, by);
            node.iter_mut().zip(steps).for_each(|(to, from)| *to = from);
        }
    }
}

impl TimeShift {
    /// Moves steps of `width` values each to the right by `by`.
    fn shift<T: Copy>(self, values: &mut [T], width: usize, by: i64) {
        let steps = values.len() / width.max(1);
        let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        if steps == 0 {
            return;
        }
        match (self, by > 0) {
            (Self::Circular, true) => values.rotate_right(distance % steps * width),
            (Self::Circular, false) => values.rotate_left(distance % steps * width),
            (Self::Crop, true) => {
                let bare = distance.min(steps - 1);
                values.copy_within(..(steps - bare) * width, bare * width);
                for step in 1..bare {
                    values.copy_within(..width, step * width);
                }
            }
            (Self::Crop, false) => {
                let bare = distance.min(steps - 1);
                values.copy_within(bare * width.., 0);
                for step in steps - bare..steps - 1 {
                    values.copy_within((steps - 1) * width.., step * width);
                }
            }
        }
    }
}

/// The generator of one sample: a key of its own, so that no order of work matters.
pub(super) fn generator(seed: u64, epoch: u64, position: u64) -> ChaCha8Rng {
    let mut key = *b"........................augment.";
    for (word, value) in key.chunks_exact_mut(8).zip([seed, epoch, position]) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Standard normal numbers by the method of Box and Muller, which makes them in pairs.
struct Normal<'a> {
    random: &'a mut ChaCha8Rng,
    spare: Option<f32>,
}

impl<'a> Normal<'a> {
    fn new(random: &'a mut ChaCha8Rng) -> Self {
        Self {
            random,
            spare: None,
        }
    }

    fn next(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // In (0, 1], where the logarithm is finite.
        let uniform = 1.0 - self.random.random::<f32>();
        let radius = (-2.0 * uniform.ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * self.random.random::<f32>()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;

    fn sample() -> Array3<f32> {
        Array3::from_shape_fn((3, 6, 1), |(v, l, _)| (v * 10 + l + 1) as f32)
    }

    fn disturbed(cfg: &AugmentConfig, position: u64) -> Array3<f32> {
        let mut x = sample();
        cfg.apply(x.view_mut(), None, &mut generator(0, 0, position));
        x
    }

    #[test]
    fn nothing_by_default() {
        let cfg = AugmentConfig::default();
        assert!(!cfg.is_active());
        assert_eq!(disturbed(&cfg, 0), sample());
    }

    #[test]
    fn keys_do_not_collide() {
        let word = |seed, epoch, position| generator(seed, epoch, position).random::<u64>();
        let base = word(1, 2, 3);
        for other in [word(2, 2, 3), word(1, 3, 3), word(1, 2, 4), word(3, 2, 1)] {
            assert_ne!(base, other);
        }
        assert_eq!(base, word(1, 2, 3));
    }

    #[test]
    fn shifts_move_values_and_mask_together() {
        for (shift_fill, want) in [
            (TimeShift::Circular, [5.0, 6.0, 1.0, 2.0, 3.0, 4.0]),
            (TimeShift::Crop, [1.0, 1.0, 1.0, 2.0, 3.0, 4.0]),
        ] {
            let cfg = AugmentConfig {
                time_shift: 2,
                shift_fill,
                ..AugmentConfig::default()
            };
            let mut x = sample();
            let mut mask = Array2::from_shape_fn((3, 6), |(v, l)| v + l != 1);
            cfg.shift(&mut x.view_mut(), Some(&mut mask.view_mut()), 2);
            assert_eq!(
                x.index_axis(Axis(0), 0).iter().copied().collect::<Vec<_>>(),
                want
            );
            assert!(!mask[[0, 3]] && mask[[0, 1]]);
        }
        // All offsets from -2 to 2 occur: the first step of node 0 tells which.
        let cfg = AugmentConfig {
            time_shift: 2,
            ..AugmentConfig::default()
        };
        let mut firsts: Vec<i32> = (0..100)
            .map(|p| disturbed(&cfg, p)[[0, 0, 0]] as i32)
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, [1, 2, 3, 5, 6]);
    }

    #[test]
    fn every_distance_moves_every_step() {
        for (fill, width) in [
            (TimeShift::Circular, 1),
            (TimeShift::Circular, 3),
            (TimeShift::Crop, 1),
            (TimeShift::Crop, 3),
        ] {
            for by in -7..=7 {
                let mut values: Vec<usize> = (0..5 * width).collect();
                fill.shift(&mut values, width, by);
                for (place, value) in values.iter().enumerate() {
                    let from = (place / width) as i64 - by;
                    let from = match fill {
                        TimeShift::Circular => from.rem_euclid(5),
                        TimeShift::Crop => from.clamp(0, 4),
                    };
                    assert_eq!(
                        *value,
                        from as usize * width + place % width,
                        "{fill:?} {by}"
                    );
                }
            }
        }
    }

    #[test]
    fn amplitude_is_one_factor_within_its_range() {
        let cfg = AugmentConfig {
            amplitude: 0.2,
            ..AugmentConfig::default()
        };
        let factors: Vec<f32> = (0..2000)
            .map(|p| {
                let ratio = disturbed(&cfg, p) / sample();
                let first = ratio[[0, 0, 0]];
                assert!(ratio.iter().all(|r| (r - first).abs() < 1e-5));
                first
            })
            .collect();
        assert!(factors.iter().all(|f| (0.8..=1.2).contains(f)));
        let mean = factors.iter().sum::<f32>() / 2000.0;
        assert!((mean - 1.0).abs() < 0.013, "{mean}");
    }

    #[test]
    fn noise_is_standard_normal_times_its_size_where_observed() {
        let cfg = AugmentConfig {
            noise: 3.0,
            ..AugmentConfig::default()
        };
        let mut x = Array3::<f32>::zeros((2, 50_000, 1));
        let mut mask = Array2::from_elem((2, 50_000), true);
        mask.row_mut(1).fill(false);
        cfg.apply(x.view_mut(), Some(mask.view_mut()), &mut generator(5, 0, 0));
        assert!(x.index_axis(Axis(0), 1).iter().all(|v| *v == 0.0));
        let drawn: Vec<f64> = x
            .index_axis(Axis(0), 0)
            .iter()
            .map(|v| f64::from(*v) / 3.0)
            .collect();
        let moment = |k: i32| drawn.iter().map(|v| v.powi(k)).sum::<f64>() / 50_000.0;
        // Standard errors: 0.0045, 0.0063, 0.017, 0.044.
        assert!(moment(1).abs() < 0.02);
        assert!((moment(2) - 1.0).abs() < 0.03);
        assert!(moment(3).abs() < 0.09);
        assert!((moment(4) - 3.0).abs() < 0.2);
    }

    #[test]
    fn dropout_silences_whole_nodes_but_never_all() {
        let cfg = AugmentConfig {
            channel_dropout: 0.4,
            ..AugmentConfig::default()
        };
        let mut silenced = 0;
        for position in 0..3000 {
            let mut x = sample();
            let mut mask = Array2::from_elem((3, 6), true);
            let view = Some(mask.view_mut());
            cfg.apply(x.view_mut(), view, &mut generator(0, 0, position));
            let mut silent = 0;
            for node in 0..3 {
                let zero = x.index_axis(Axis(0), node).iter().all(|v| *v == 0.0);
                assert_eq!(mask.row(node).iter().all(|m| !m), zero);
                silent += usize::from(zero);
            }
            assert!(silent < 3);
            silenced += silent;
        }
        // 3 * 0.4 less one with probability 0.4^3: 1.136 a sample, standard error 0.015.
        let mean = silenced as f64 / 3000.0;
        assert!((mean - 1.136).abs() < 0.07, "{mean}");
    }

    #[test]
    fn ranges_are_checked() {
        let default = AugmentConfig::default;
        for (cfg, field) in [
            (
                AugmentConfig {
                    time_shift: 8,
                    ..default()
                },
                "time_shift",
            ),
            (
                AugmentConfig {
                    amplitude: 1.0,
                    ..default()
                },
                "amplitude",
            ),
            (
                AugmentConfig {
                    noise: -0.1,
                    ..default()
                },
                "noise",
            ),
            (
                AugmentConfig {
                    noise: f32::NAN,
                    ..default()
                },
                "noise",
            ),
            (
                AugmentConfig {
                    channel_dropout: 1.0,
                    ..default()
                },
                "channel_dropout",
            ),
        ] {
            let message = cfg.check(8).unwrap_err().to_string();
            assert!(message.contains(&format!("augment.{field}")), "{message}");
        }
        AugmentConfig {
            time_shift: 7,
            ..default()
        }
        .check(8)
        .unwrap();
    }
}
