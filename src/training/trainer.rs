//! The training loop of one fold: batches in, best and last checkpoint out.

#[cfg(all(test, feature = "flex"))]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use indicatif::{ProgressBar, ProgressStyle};

use super::checkpoint::{self, Progress};
use super::config::TrainingConfig;
use super::optimizer::{self, Adam};
use super::schedule::Schedule;
use super::{data::host, history, random};
use crate::error::{Error, Result};
use crate::models::weights;
use crate::nn::{dropout, state_dict};
use crate::ops::dropout::SEEDS;
use crate::ops::is_cpu;
use crate::ops::overwrite::copied;
use crate::recorder::{Feed, Placed, Recorder};
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

/// What is learned: the model, its batches, its loss, and the value that chooses the best epoch.
pub trait Objective {
    /// The model.
    type Model: Module;
    /// What a loss is computed on.
    type Batch;

    /// A model with random weights drawn from the device's generator.
    ///
    /// # Errors
    /// A configuration that cannot be built.
    fn init(&self, device: &Device) -> Result<Self::Model>;
    /// Batches per epoch.
    fn batches(&self) -> usize;
    /// Windows per epoch.
    fn samples(&self) -> usize;
    /// The batches of an epoch from number `first` on; a function of its arguments alone.
    fn stream(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Self::Batch> + '_>;
    /// Time spent waiting for batches so far.
    fn waited(&self) -> Duration;
    /// Windows of a batch.
    fn count(&self, batch: &Self::Batch) -> usize;
    /// What [`loss`](Self::loss) takes of a batch in epoch `epoch` (from 0).
    fn feed(&self, batch: Self::Batch, epoch: usize) -> Feed;
    /// Mean loss over a batch, (1), by operations that depend on the shapes of what was placed alone:
    /// they may be recorded and run again for other batches.
    fn loss(&self, model: &Self::Model, batch: Placed) -> Tensor<1>;
    /// Whether there is a validation part.
    fn validates(&self) -> bool;
    /// Measures a model, without autodiff, on the validation part.
    ///
    /// # Errors
    /// Results that are not finite, or a value that is not defined there.
    fn validate(&self, model: &Self::Model) -> Result<Validation>;
    /// Whether the value `new` is better than `old`.
    fn is_better(&self, new: f64, old: f64) -> bool;
    /// Whether weight decay leaves a parameter alone.
    fn is_exempt_from_decay(&self, name: &str) -> bool {
        optimizer::is_exempt_from_decay(name)
    }
    /// What a progress line shows of the validation part.
    fn shown(&self, record: &EpochRecord, value: f64) -> String;
}

/// What [`Objective::validate`] finds.
pub struct Validation {
    /// Mean loss.
    pub loss: Option<f64>,
    /// Other metrics by name.
    pub metrics: BTreeMap<String, f64>,
    /// The value that chooses the best epoch.
    pub value: f64,
    /// Time spent waiting for batches.
    pub waited: Duration,
}

/// What the loop works on.
pub struct Task<'a, O> {
    /// What is learned.
    pub objective: &'a O,
    /// Loop settings.
    pub training: &'a TrainingConfig,
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
///
/// # Errors
/// As `init`.
pub fn seeded<M: Module>(
    seed: u64,
    device: &Device,
    init: impl FnOnce(&Device) -> Result<M>,
) -> Result<M> {
    device.seed(random::stream(seed, "weights", 0));
    let model = init(device)?;
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
pub fn train<O: Objective>(task: &Task<O>) -> Result<Ended> {
    Trainer::new(task)?.run()
}

struct Trainer<'a, O: Objective> {
    task: &'a Task<'a, O>,
    model: O::Model,
    optimizer: Adam,
    progress: Progress,
    schedule: Schedule,
    recorder: Recorder<Tensor<1>>,
    /// Losses that are still on the device.
    unread: Vec<Unread>,
    /// How many of them are left there at most.
    ahead: usize,
}

/// The loss of a batch.
struct Unread {
    loss: Tensor<1>,
    windows: usize,
    /// Steps of the run before it.
    step: usize,
}

/// Batches that a GPU is given before it is asked for their losses: an answer takes until all work is
/// done, and the next step would only then be prepared.
const AHEAD: usize = 8;

impl<'a, O: Objective> Trainer<'a, O> {
    fn new(task: &'a Task<'a, O>) -> Result<Self> {
        task.training.validate()?;
        let autodiff = task.device.clone().autodiff();
        let model = seeded(task.seed, &autodiff, |device| task.objective.init(device))?;
        let exempt = |name: &str| task.objective.is_exempt_from_decay(name);
        let optimizer = Adam::new(task.training, &model, exempt);
        let path = last_checkpoint(task.folder);
        let (model, optimizer, progress) = if path.exists() {
            checkpoint::load(&path, model, optimizer, task.device)?
        } else {
            (model, optimizer, Progress::default())
        };
        let steps = task.objective.batches().div_ceil(task.training.accumulate);
        // The losses of batches that share a step come before it: that is not one recording.
        let launch = task.training.launch || task.training.accumulate > 1;
        Ok(Self {
            task,
            model: optimizer::own_memory(model),
            optimizer,
            progress,
            schedule: Schedule::new(task.training, steps),
            recorder: Recorder::new(&autodiff, launch),
            unread: Vec::new(),
            ahead: if is_cpu(task.device) { 1 } else { AHEAD },
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
            Some((best, _)) if patience > 0 && self.task.objective.validates() => {
                self.progress.epoch - best >= patience
            }
            _ => false,
        }
    }

    /// One epoch from where the progress stands; false if asked to stop inside it.
    fn epoch(&mut self) -> Result<bool> {
        let training = self.task.training;
        let objective = self.task.objective;
        let started = Instant::now();
        let before = self.progress.seconds;
        let waited = objective.waited();
        let loader_before = self.progress.loader_seconds;
        let bar = self.bar();
        let mut accumulator = GradientsAccumulator::<O::Model>::new();
        let batches = objective.batches();
        let first = self.progress.batch;
        let mut lr = 0.0;
        let stream = objective.stream(self.progress.epoch as u64, first);
        for batch in stream {
            let index = self.progress.batch;
            // The batches that share a step weigh as one batch of all their windows.
            let group_start = index - index % training.accumulate;
            let group = (batches - group_start).min(training.accumulate);
            let windows = ((group_start + group) * training.batch_size).min(objective.samples())
                - group_start * training.batch_size;
            let count = objective.count(&batch);
            let feed = objective.feed(batch, self.progress.epoch);
            let position = (self.progress.epoch * batches + index) as u64;
            lr = self.schedule.lr(self.progress.step);
            let loss = if group > 1 {
                let share = count as f64 / windows as f64;
                self.part_of_step(feed, position, share, &mut accumulator)
            } else {
                self.step(feed, position, lr)?
            };
            self.unread.push(Unread {
                loss,
                windows: count,
                step: self.progress.step,
            });
            if self.unread.len() >= self.ahead {
                self.read_losses()?;
            }
            self.progress.batch += 1;
            let stepped = self.progress.batch - group_start == group;
            if stepped {
                if group > 1 {
                    let grads = accumulator.grads();
                    self.model = self.optimizer.step(lr, self.model.clone(), grads);
                }
                self.progress.step += 1;
            }
            bar.inc(count as u64);
            if self.progress.loss_count > 0 {
                let mean = self.progress.loss_sum / self.progress.loss_count as f64;
                bar.set_message(format!("loss {mean:.4}"));
            }
            let ended = self.progress.batch == batches;
            let stop = self.task.stop.load(Ordering::Relaxed);
            let every = training.checkpoint_steps;
            let due = every > 0 && self.progress.step.is_multiple_of(every);
            if stepped && !ended && (stop || due) {
                self.read_losses()?;
                self.progress.seconds = before + started.elapsed().as_secs_f64();
                let loader = objective.waited().saturating_sub(waited);
                self.progress.loader_seconds = loader_before + loader.as_secs_f64();
                self.save()?;
                if stop {
                    bar.finish_and_clear();
                    return Ok(false);
                }
            }
        }
        self.read_losses()?;
        let loader = objective.waited().saturating_sub(waited);
        self.progress.loader_seconds = loader_before + loader.as_secs_f64();
        self.close_epoch(lr, before + started.elapsed().as_secs_f64(), &bar)?;
        Ok(true)
    }

    /// Counts the losses that are still on the device.
    fn read_losses(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let unread = std::mem::take(&mut self.unread);
        let losses = unread.iter().map(|of| of.loss.clone()).collect();
        for (value, of) in host(Tensor::cat(losses, 0))?.into_iter().zip(unread) {
            let value = f64::from(value);
            if !value.is_finite() {
                return Err(self.diverged(value, of.step));
            }
            self.progress.loss_sum += value * of.windows as f64;
            self.progress.loss_count += of.windows;
        }
        Ok(())
    }

    /// A step on a batch; its loss. `position` counts batches through the run.
    fn step(&mut self, feed: Feed, position: u64, lr: f64) -> Result<Tensor<1>> {
        let objective = self.task.objective;
        let mut arrays = Feed::default();
        arrays.push(self.optimizer.course(lr).to_vec(), [3]);
        arrays.push(self.seeds(position).to_vec(), [2]);
        arrays.append(feed);
        let (model, optimizer) = (&mut self.model, &mut self.optimizer);
        let loss = self.recorder.run(arrays, |mut placed| {
            let course = placed.take::<1>().inner();
            let seeds = placed.take::<1>().inner();
            let loss = dropout::seeded(seeds, || objective.loss(model, placed));
            let grads = GradientsParams::from_grads(loss.backward(), model);
            *model = optimizer.apply(model.clone(), grads, course);
            loss.inner()
        })?;
        self.optimizer.count_step();
        // The next step may write its loss into the same memory.
        Ok(copied(loss))
    }

    /// The loss of a batch that is a `share` of its step, and its gradients, added.
    fn part_of_step(
        &self,
        feed: Feed,
        position: u64,
        share: f64,
        accumulator: &mut GradientsAccumulator<O::Model>,
    ) -> Tensor<1> {
        let device = self.task.device;
        let placed = feed.place(&device.clone().autodiff());
        let seeds = Tensor::from_floats(self.seeds(position), device);
        let loss = dropout::seeded(seeds, || self.task.objective.loss(&self.model, placed));
        let value = loss.clone().inner();
        let grads = GradientsParams::from_grads((loss * share).backward(), &self.model);
        accumulator.accumulate(&self.model, grads);
        value
    }

    /// Seeds of the dropout at a position.
    fn seeds(&self, position: u64) -> [f32; 2] {
        let draw = random::stream(self.task.seed, "dropout", position);
        let whole = |bits: u64| (bits % SEEDS as u64) as f32;
        [whole(draw), whole(draw >> 32)]
    }

    /// Validates, keeps the best weights, records the epoch and moves on to the next.
    fn close_epoch(&mut self, lr: f64, train_seconds: f64, bar: &ProgressBar) -> Result<()> {
        let task = self.task;
        let started = Instant::now();
        let train_loss = self.progress.loss_sum / self.progress.loss_count.max(1) as f64;
        let epoch = self.progress.epoch + 1;
        let mut record = EpochRecord {
            epoch,
            train_loss,
            val_loss: None,
            metrics: Default::default(),
            lr,
            seconds: 0.0,
            loader_seconds: self.progress.loader_seconds,
        };
        let value = if task.objective.validates() {
            let found = task.objective.validate(&self.model.valid())?;
            record.loader_seconds += found.waited.as_secs_f64();
            record.val_loss = found.loss;
            record.metrics = found.metrics;
            Some(found.value)
        } else {
            // Without a validation part the last epoch is taken: every epoch is a new best.
            None
        };
        let improved = match (value, self.progress.best) {
            (Some(new), Some((_, Some(old)))) => task.objective.is_better(new, old),
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
        if let Some(value) = value {
            let found = task.objective.shown(record, value);
            line += &format!("  {found}{}", if improved { " *" } else { "  " });
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
        let windows = self.task.objective.samples() as u64;
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

    fn diverged(&self, loss: f64, step: usize) -> Error {
        Error::config(
            "training",
            format!(
                "the loss became {loss} in epoch {}, step {}",
                self.progress.epoch + 1,
                step + 1
            ),
            "lower --lr, keep --clip-norm above 0, or use --state-mixing bounded",
        )
    }
}
