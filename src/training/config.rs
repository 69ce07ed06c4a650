//! Settings of the training loop.

use serde::{Deserialize, Serialize};
use tgmamba_graph::loader::{AugmentConfig, Sampling};

use super::metrics::Metric;
use crate::error::{Error, Result};

/// Optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101).
    #[default]
    AdamW,
    /// Weight decay as an L2 term of the gradient (Kingma & Ba, arXiv:1412.6980).
    Adam,
}

/// Course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Half a cosine from the learning rate to its minimum.
    #[default]
    Cosine,
    /// A straight line to the minimum.
    Linear,
    /// No change.
    Constant,
}

/// Weights of the classes in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All 1.
    #[default]
    None,
    /// Inverse to the frequency in the training part, mean 1 over its samples.
    Balanced,
}

/// The training loop. Fields that a file leaves out take the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Largest number of passes over the training part.
    pub epochs: usize,
    /// Windows per batch.
    pub batch_size: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Optimiser.
    pub optimizer: OptimizerKind,
    /// Largest learning rate.
    pub lr: f64,
    /// Weight decay; never on what [`is_exempt_from_decay`] names.
    ///
    /// [`is_exempt_from_decay`]: super::optimizer::is_exempt_from_decay
    pub weight_decay: f64,
    /// First moment decay.
    pub beta1: f64,
    /// Second moment decay.
    pub beta2: f64,
    /// Course of the learning rate.
    pub schedule: ScheduleKind,
    /// Smallest learning rate as a share of the largest.
    pub min_lr_ratio: f64,
    /// Epochs of linear warm-up from 0.
    pub warmup_epochs: f64,
    /// Largest norm of the whole gradient; 0 for no limit.
    pub clip_norm: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,
    /// Class weights in the loss.
    pub class_weights: ClassWeights,
    /// How training windows are drawn.
    pub sampling: Sampling,
    /// Changes to training windows.
    pub augment: AugmentConfig,
    /// Metric of the validation part that picks the best epoch.
    pub metric: Metric,
    /// Epochs without improvement before stopping; 0 to never stop early.
    pub patience: usize,
    /// Steps between checkpoints inside an epoch; 0 for one per epoch.
    pub checkpoint_steps: usize,
    /// On a GPU: launch the kernels of a step one by one instead of running a recording of them.
    pub launch: bool,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: 16,
            accumulate: 1,
            optimizer: OptimizerKind::AdamW,
            lr: 3e-3,
            weight_decay: 0.02,
            beta1: 0.9,
            beta2: 0.999,
            schedule: ScheduleKind::Cosine,
            min_lr_ratio: 0.01,
            warmup_epochs: 2.0,
            clip_norm: 1.0,
            label_smoothing: 0.0,
            class_weights: ClassWeights::None,
            sampling: Sampling::Shuffle,
            augment: AugmentConfig::default(),
            metric: Metric::Accuracy,
            patience: 0,
            checkpoint_steps: 0,
            launch: false,
        }
    }
}

impl TrainingConfig {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// Names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(Error::config(
                    format!("training.{field}"),
                    "is 0",
                    "give at least 1",
                ));
            }
        }
        let ranges = [
            ("lr", self.lr, f64::MIN_POSITIVE, 1e3),
            ("weight_decay", self.weight_decay, 0.0, 1e3),
            ("beta1", self.beta1, 0.0, 1.0 - 1e-9),
            ("beta2", self.beta2, 0.0, 1.0 - 1e-9),
            ("min_lr_ratio", self.min_lr_ratio, 0.0, 1.0),
            ("warmup_epochs", self.warmup_epochs, 0.0, 1e9),
            ("clip_norm", self.clip_norm, 0.0, 1e9),
            ("label_smoothing", self.label_smoothing, 0.0, 1.0 - 1e-9),
        ];
        for (field, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::config(
                    format!("training.{field}"),
                    format!("is {value}"),
                    format!("give a number from {low:e} to {high}"),
                ));
            }
        }
        Ok(())
    }
}
