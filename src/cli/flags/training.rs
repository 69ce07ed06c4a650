//! Flags of the training loop.

use clap::Args;

use super::{Override, value};
use crate::training::config::{ClassWeights, OptimizerKind, ScheduleKind};

/// The training loop.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingFlags {
    /// Largest number of epochs [default: 50]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Windows per batch [default: 16]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Batches per optimiser step [default: 1]
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Optimiser [default: adamw]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerKind>,
    /// Largest learning rate [default: 0.003]
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Weight decay [default: 0.02]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Course of the learning rate [default: cosine]
    #[arg(long, value_enum, value_name = "NAME")]
    schedule: Option<ScheduleKind>,
    /// Smallest learning rate as a share of the largest [default: 0.01]
    #[arg(long, value_name = "X")]
    min_lr_ratio: Option<f64>,
    /// Epochs of linear warm-up [default: 2]
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<f64>,
    /// Largest norm of the gradient, 0 for no limit [default: 1]
    #[arg(long, value_name = "X")]
    clip_norm: Option<f64>,
    /// Share of the target spread over all classes [default: 0]
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f64>,
    /// Class weights in the loss [default: none]
    #[arg(long, value_enum, value_name = "KIND")]
    class_weights: Option<ClassWeights>,
    /// Draws: shuffle, sequential, class-balanced, inverse-frequency [default: shuffle]
    #[arg(long, value_name = "KIND")]
    sampling: Option<String>,
    /// Validation metric that picks the best epoch: accuracy, balanced-accuracy, macro-f1, recall,
    /// kappa, auroc, average-precision, loss [default: accuracy]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Epochs without improvement before stopping, 0 to never stop early [default: 0]
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Steps between checkpoints inside an epoch, 0 for one per epoch [default: 0]
    #[arg(long, value_name = "N")]
    checkpoint_steps: Option<usize>,
    /// On a GPU: launch the kernels of a step one by one instead of running a recording of them
    #[arg(long)]
    pub launch: bool,
}

impl TrainingFlags {
    pub(super) fn overrides(&self) -> Vec<Override> {
        vec![
            ("training.epochs", value(&self.epochs)),
            ("training.batch_size", value(&self.batch_size)),
            ("training.accumulate", value(&self.accumulate)),
            ("training.optimizer", value(&self.optimizer)),
            ("training.lr", value(&self.lr)),
            ("training.weight_decay", value(&self.weight_decay)),
            ("training.schedule", value(&self.schedule)),
            ("training.min_lr_ratio", value(&self.min_lr_ratio)),
            ("training.warmup_epochs", value(&self.warmup_epochs)),
            ("training.clip_norm", value(&self.clip_norm)),
            ("training.label_smoothing", value(&self.label_smoothing)),
            ("training.class_weights", value(&self.class_weights)),
            ("training.sampling", value(&self.sampling)),
            ("training.metric", value(&self.metric)),
            ("training.patience", value(&self.patience)),
            ("training.checkpoint_steps", value(&self.checkpoint_steps)),
            ("training.launch", value(&self.launch.then_some(true))),
        ]
    }
}
