//! The training loop of one fold: batches in, best and last checkpoint out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};
use tgmamba_graph::loader::{Loader, LoaderConfig, Sampling};

use super::checkpoint::{self, Progress};
use super::config::{ClassWeights, TrainingConfig};
use super::data::{self, FoldData};
use super::history;
use super::metrics::{Metric, Predictions};
use super::optimizer;
use super::schedule::Schedule;
use super::{loss, random};
use crate::error::{Error, Result};
use crate::models::{Classifier, ModelConfig, weights};
use crate::nn::state_dict;
use crate::report::{EpochRecord, loader_share};

/// How a call to [`train`] ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// All epochs done or early stopping; the best epoch and its value of the chosen metric.
    Finished {
        best_epoch: usize,
        best_value: Option<f64>,
        epochs: usize,
        /// Share of the time of all epochs spent waiting for batches.
        loader_share: Option<f64>,
    },
    /// Asked to stop; the checkpoint lets the run go on.
    Interrupted { epoch: usize, batch: usize },
}

/// What the loop works on.
pub struct Task<'a> {
    /// Resolved model.
    pub model: &'a ModelConfig,
    /// Loop settings.
    pub training: &'a TrainingConfig,
    /// Scaled windows, graph and parts.
    pub data: &'a FoldData,
    /// Seed of everything random.
    pub seed: u64,
    /// Folder that gets `metrics.csv` and `checkpoints/`.
    pub folder: &'a Path,
    /// Device without autodiff.
    pub device: &'a Device,
    /// Set from outside to stop after the current step.
    pub stop: &'a AtomicBool,
    /// Shown before progress lines, for runs of several folds.
    pub label: &'a str,
    /// Whether to print progress at all.
    pub verbose: bool,
}

/// Where the last checkpoint of a run folder is.
pub fn last_checkpoint(folder: &Path) -> PathBuf {
    folder.join("checkpoints/last/checkpoint.safetensors")
}

/// Where the best weights of a run folder are.
pub fn best_weights(folder: &Path) -> PathBuf {
    folder.join("checkpoints/best.safetensors")
}

/// Where the table of epochs of a run folder is.
pub fn metrics_table(folder: &Path) -> PathBuf {
    folder.join("metrics.csv")
}

/// A model with the weights that `seed` gives.
pub fn initial_model(config: &ModelConfig, seed: u64, device: &Device) -> Result<Classifier> {
    device.seed(random::stream(seed, "weights", 0));
    let model = config.init(device)?;
    // Parameters are created on first use; using them all now ties them to this seed.
    state_dict::collect(&model);
    Ok(model)
}

/// Trains one fold, from the beginning or from its last checkpoint, and writes as it goes.
///
/// Given the same task the weights and metrics come out bit for bit the same on the CPU, however
/// often the training was stopped and continued.
///
/// # Errors
/// A loss that is not finite, a checkpoint of another model, an unwritable folder.
pub fn train(task: &Task) -> Result<Ended> {
    Trainer::new(task)?.run()
}

struct Trainer<'a> {
    task: &'a Task<'a>,
    model: Classifier,
    optimizer: ModuleOptimizer,
    progress: Progress,
    loader: Loader,
    schedule: Schedule,
    class_weights: Option<Vec<f32>>,
    adjacency: Tensor<4>,
    autodiff: Device,
}

impl<'a> Trainer<'a> {
    fn new(task: &'a Task<'a>) -> Result<Self> {
        task.training.validate()?;
        let autodiff = task.device.clone().autodiff();
        let model = initial_model(task.model, task.seed, &autodiff)?;
        let optimizer = optimizer::build(task.training, &model);
        let path = last_checkpoint(task.folder);
        let (model, optimizer, progress) = if path.exists() {
            checkpoint::load(&path, model, |model| optimizer::build(task.training, model))?
        } else {
            (model, optimizer, Progress::default())
        };
        let loader = Loader::new(
            Arc::clone(&task.data.dataset),
            task.data.fold.train.clone(),
            LoaderConfig {
                batch_size: task.training.batch_size,
                sampling: task.training.sampling,
                seed: random::stream(task.seed, "batches", 0),
                augment: task.training.augment.clone(),
                ..LoaderConfig::default()
            },
        )?;
        let steps = loader.len().div_ceil(task.training.accumulate);
        Ok(Self {
            task,
            model,
            optimizer,
            progress,
            schedule: Schedule::new(task.training, steps),
            loader,
            class_weights: class_weights(task),
            adjacency: data::adjacency(&task.data.graph, &autodiff),
            autodiff,
        })
    }

    fn run(mut self) -> Result<Ended> {
        let epochs = self.task.training.epochs;
        while !self.progress.finished {
            if !self.epoch()? {
                return Ok(self.interrupted());
            }
            self.progress.finished = self.progress.epoch == epochs || self.out_of_patience();
            // The table first: a checkpoint that says finished is never written again.
            history::write(&metrics_table(self.task.folder), &self.progress.history)?;
            self.save()?;
            if self.task.stop.load(Ordering::Relaxed) && !self.progress.finished {
                return Ok(self.interrupted());
            }
        }
        let (best_epoch, best_value) = self.progress.best.unwrap_or((epochs, None));
        Ok(Ended::Finished {
            best_epoch,
            best_value,
            epochs: self.progress.history.len(),
            loader_share: loader_share(&self.progress.history),
        })
    }

    fn interrupted(&self) -> Ended {
        Ended::Interrupted {
            epoch: self.progress.epoch + 1,
            batch: self.progress.batch,
        }
    }

    fn out_of_patience(&self) -> bool {
        let patience = self.task.training.patience;
        match self.progress.best {
            Some((best, _)) if patience > 0 && !self.task.data.fold.validation.is_empty() => {
                self.progress.epoch - best >= patience
            }
            _ => false,
        }
    }

    /// One epoch from where the progress stands; false if asked to stop inside it.
    fn epoch(&mut self) -> Result<bool> {
        let training = self.task.training;
        let started = Instant::now();
        let before = self.progress.seconds;
        let waited = self.loader.times().waited;
        let loader_before = self.progress.loader_seconds;
        let bar = self.bar();
        let mut accumulator = GradientsAccumulator::<Classifier>::new();
        let batches = self.loader.len();
        let first = self.progress.batch;
        let mut lr = 0.0;
        let stream = self.loader.batches(self.progress.epoch as u64, first);
        for batch in stream {
            let index = self.progress.batch;
            // The batches that share a step weigh as one batch of all their windows.
            let group_start = index - index % training.accumulate;
            let group = (batches - group_start).min(training.accumulate);
            let windows = ((group_start + group) * training.batch_size)
                .min(self.loader.samples_per_epoch())
                - group_start * training.batch_size;
            self.autodiff.seed(random::stream(
                self.task.seed,
                "dropout",
                (self.progress.epoch * batches + index) as u64,
            ));
            let target = batch.target.clone();
            let count = target.len();
            let x = data::features(batch, &self.autodiff);
            let logits = self.model.forward(x, self.adjacency.clone()).logits;
            let loss = loss::classification_loss(
                logits,
                &target,
                self.class_weights.as_deref(),
                training.label_smoothing,
            );
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(self.diverged(value));
            }
            let scaled = if group > 1 {
                loss * (count as f64 / windows as f64)
            } else {
                loss
            };
            let grads = GradientsParams::from_grads(scaled.backward(), &self.model);
            accumulator.accumulate(&self.model, grads);
            self.progress.loss_sum += value * count as f64;
            self.progress.loss_count += count;
            self.progress.batch += 1;
            let stepped = self.progress.batch - group_start == group;
            if stepped {
                lr = self.schedule.lr(self.progress.step);
                let mut grads = accumulator.grads();
                if training.clip_norm > 0.0 {
                    grads = optimizer::clip_by_global_norm(&self.model, grads, training.clip_norm);
                }
                self.model = self.optimizer.step(lr, self.model.clone(), grads);
                self.progress.step += 1;
            }
            bar.inc(count as u64);
            bar.set_message(format!(
                "loss {:.4}",
                self.progress.loss_sum / self.progress.loss_count as f64
            ));
            let ended = self.progress.batch == batches;
            if stepped && !ended {
                self.progress.seconds = before + started.elapsed().as_secs_f64();
                let loader = self.loader.times().waited.saturating_sub(waited);
                self.progress.loader_seconds = loader_before + loader.as_secs_f64();
                if self.task.stop.load(Ordering::Relaxed) {
                    bar.finish_and_clear();
                    self.save()?;
                    return Ok(false);
                }
                let every = training.checkpoint_steps;
                if every > 0 && self.progress.step.is_multiple_of(every) {
                    self.save()?;
                }
            }
        }
        let loader = self.loader.times().waited.saturating_sub(waited);
        self.progress.loader_seconds = loader_before + loader.as_secs_f64();
        self.close_epoch(lr, before + started.elapsed().as_secs_f64(), &bar)?;
        Ok(true)
    }

    /// Validates, keeps the best weights, records the epoch and moves on to the next.
    fn close_epoch(&mut self, lr: f64, train_seconds: f64, bar: &ProgressBar) -> Result<()> {
        let task = self.task;
        let started = Instant::now();
        let train_loss = self.progress.loss_sum / self.progress.loss_count.max(1) as f64;
        let epoch = self.progress.epoch + 1;
        let metric = task.training.metric;
        let mut record = EpochRecord {
            epoch,
            train_loss,
            val_loss: None,
            metrics: Default::default(),
            lr,
            seconds: 0.0,
            loader_seconds: self.progress.loader_seconds,
        };
        let value = if task.data.fold.validation.is_empty() {
            // Without a validation part the last epoch is taken: every epoch is a new best.
            None
        } else {
            let model = self.model.valid();
            let validation = &task.data.fold.validation;
            let batch_size = task.training.batch_size;
            let predicted = predict_on(&model, task.data, validation, batch_size, task.device)?;
            record.loader_seconds += predicted.waited.as_secs_f64();
            let metrics = predicted.predictions.metrics();
            record.val_loss = metrics.get(Metric::Loss);
            record.metrics = metrics.values();
            record.metrics.remove(Metric::Loss.name());
            Some(metrics.get(metric).ok_or_else(|| {
                Error::config(
                    "training.metric",
                    format!("{metric} is not defined on the validation part"),
                    "choose another metric or a larger validation part",
                )
            })?)
        };
        let improved = match (value, self.progress.best) {
            (Some(new), Some((_, Some(old)))) => metric.is_better(new, old),
            _ => true,
        };
        if improved {
            weights::save(
                &state_dict::collect(&self.model),
                &best_weights(task.folder),
            )?;
            self.progress.best = Some((epoch, value));
        }
        let rate = self.progress.loss_count as f64 / train_seconds.max(1e-9);
        record.seconds = train_seconds + started.elapsed().as_secs_f64();
        self.report(&record, value, improved, rate, bar);
        self.progress.history.push(record);
        self.progress.epoch = epoch;
        self.progress.batch = 0;
        self.progress.loss_sum = 0.0;
        self.progress.loss_count = 0;
        self.progress.seconds = 0.0;
        self.progress.loader_seconds = 0.0;
        Ok(())
    }

    fn report(
        &self,
        record: &EpochRecord,
        value: Option<f64>,
        improved: bool,
        rate: f64,
        bar: &ProgressBar,
    ) {
        let task = self.task;
        let mut line = format!(
            "{}epoch {:>3}/{}  train loss {:.4}",
            task.label, record.epoch, task.training.epochs, record.train_loss
        );
        if let (Some(loss), Some(value)) = (record.val_loss, value) {
            // A loss alone says little to a person.
            let (name, value) = match task.training.metric {
                Metric::Loss => (
                    Metric::Accuracy,
                    record.metrics.get(Metric::Accuracy.name()).copied(),
                ),
                metric => (metric, Some(value)),
            };
            line += &format!(
                "  val loss {loss:.4}  val {name} {:.4}{}",
                value.unwrap_or(f64::NAN),
                if improved { " *" } else { "  " }
            );
        }
        line += &format!(
            "  lr {:.2e}  {rate:.0} samples/s  {:.1} s",
            record.lr, record.seconds
        );
        log::info!(target: "epoch", "{line}");
        bar.finish_and_clear();
        if task.verbose {
            say!("{line}");
        }
    }

    /// A bar on a terminal, nothing elsewhere.
    fn bar(&self) -> ProgressBar {
        use std::io::IsTerminal;

        if !self.task.verbose || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let windows = self.task.data.fold.train.len() as u64;
        let style = ProgressStyle::with_template(
            "{prefix} [{bar:30}] {pos}/{len}  {per_sec} samples  eta {eta}  {msg}",
        );
        let bar = ProgressBar::new(windows);
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!(
            "{}epoch {:>3}/{}",
            self.task.label,
            self.progress.epoch + 1,
            self.task.training.epochs
        ));
        bar
    }

    fn save(&self) -> Result<()> {
        let path = last_checkpoint(self.task.folder);
        checkpoint::save(&path, &self.model, &self.optimizer, &self.progress)
    }

    fn diverged(&self, loss: f64) -> Error {
        Error::config(
            "training",
            format!(
                "the loss became {loss} in epoch {}, step {}",
                self.progress.epoch + 1,
                self.progress.step + 1
            ),
            "lower --lr, keep --clip-norm above 0, or use --state-mixing bounded",
        )
    }
}

/// Inverse-frequency weights with mean 1 over the training windows.
fn class_weights(task: &Task) -> Option<Vec<f32>> {
    if task.training.class_weights == ClassWeights::None {
        return None;
    }
    let mut counts = vec![0usize; task.model.num_classes];
    for &i in &task.data.fold.train {
        counts[task.data.dataset.y[i]] += 1;
    }
    let total = task.data.fold.train.len() as f32;
    let present = counts.iter().filter(|&&n| n > 0).count() as f32;
    let weight = |n: usize| {
        if n == 0 {
            0.0
        } else {
            total / (present * n as f32)
        }
    };
    Some(counts.into_iter().map(weight).collect())
}

/// What [`predict_on`] gives.
pub struct Predicted {
    /// Predictions in the order of the windows.
    pub predictions: Predictions,
    /// Row-major scores, (n, c).
    pub scores: Vec<f64>,
    /// Time spent waiting for batches.
    pub waited: Duration,
}

/// Predictions for the windows `indices` in their order.
///
/// # Errors
/// Logits that are not finite.
pub fn predict_on(
    model: &Classifier,
    data: &FoldData,
    indices: &[usize],
    batch_size: usize,
    device: &Device,
) -> Result<Predicted> {
    let loader = Loader::new(
        Arc::clone(&data.dataset),
        indices.to_vec(),
        LoaderConfig {
            batch_size,
            sampling: Sampling::Sequential,
            ..LoaderConfig::default()
        },
    )?;
    let adjacency = data::adjacency(&data.graph, device);
    let c = model.config().num_logits();
    let mut scores = Vec::with_capacity(indices.len());
    for batch in loader.batches(0, 0) {
        let index = batch.index.clone();
        let x = data::features(batch, device);
        let logits = data::host(model.forward(x, adjacency.clone()).logits)?;
        if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
            return Err(Error::config(
                "logits",
                format!("window {} gives {}", index[i / c], logits[i]),
                "the weights diverged; lower --lr or use --state-mixing bounded",
            ));
        }
        scores.extend(loss::probabilities(&logits, c));
    }
    let targets = indices.iter().map(|&i| data.dataset.y[i]).collect();
    let predictions = Predictions::new(targets, scores.clone(), c.max(2))?;
    Ok(Predicted {
        predictions,
        scores,
        waited: loader.times().waited,
    })
}
