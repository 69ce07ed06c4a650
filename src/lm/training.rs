//! Learning a language model from a token stream, on the loop that trains everything here.
//!
//! An epoch of the loop is the stretch between two measurements of the held-out loss, not a pass over
//! the data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use tgmamba_graph::SourceFile;

use super::corpus::Windows;
use crate::error::{Error, Result};
use crate::models::language_model::is_exempt_from_decay;
use crate::models::{LanguageModel, LanguageModelConfig};
use crate::recorder::{Feed, Placed};
use crate::report::EpochRecord;
use crate::training::config::{ScheduleKind, TrainingConfig};
use crate::training::trainer::{Objective, Validation};

/// The numbers of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmTraining {
    /// Optimiser steps.
    pub steps: usize,
    /// Windows of a step.
    pub batch_size: usize,
    /// Tokens of a window.
    pub seq_len: usize,
    /// Steps between two measurements of the held-out loss.
    pub eval_every: usize,
    /// Steps between checkpoints within such a stretch; 0 for none.
    pub checkpoint_every: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// Smallest as a share of it.
    pub min_lr_ratio: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: usize,
    /// Course after it.
    pub schedule: ScheduleKind,
    /// Decoupled decay; never on A_log, D, biases and scales of norms.
    pub weight_decay: f64,
    /// First moment decay.
    pub beta1: f64,
    /// Second moment decay.
    pub beta2: f64,
    /// Largest norm of the gradient; 0 for no limit.
    pub clip_norm: f64,
    /// Products in bf16.
    pub bf16: bool,
    /// On a GPU: launch the kernels of a step one by one instead of running a recording of them.
    #[serde(default)]
    pub launch: bool,
}

/// Everything that decides a run; its `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmRun {
    /// Texts and tables that train.
    pub data: Vec<PathBuf>,
    /// Texts and tables that are held out.
    pub valid: Vec<PathBuf>,
    /// Share of the data that is held out where `valid` is empty: its end.
    pub valid_share: f64,
    /// Checkpoint that the training starts from.
    pub start: Option<PathBuf>,
    pub model: LanguageModelConfig,
    pub training: LmTraining,
    /// Seed of weights and order.
    pub seed: u64,
    pub device: String,
    /// Version of the program.
    pub version: String,
    /// Command line.
    pub command: String,
    /// Local time of the start.
    pub started: String,
    /// Data files with their hashes.
    pub sources: Vec<SourceFile>,
}

impl LmTraining {
    /// Settings of the loop.
    pub fn config(&self) -> TrainingConfig {
        let every = self.eval_every.clamp(1, self.steps.max(1));
        TrainingConfig {
            epochs: self.steps.div_ceil(every),
            batch_size: self.batch_size,
            lr: self.lr,
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            schedule: self.schedule,
            min_lr_ratio: self.min_lr_ratio,
            warmup_epochs: self.warmup_steps as f64 / every as f64,
            clip_norm: self.clip_norm,
            checkpoint_steps: self.checkpoint_every,
            launch: self.launch,
            ..TrainingConfig::default()
        }
    }

    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// Names the first setting out of range.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("--steps", self.steps),
            ("--batch-size", self.batch_size),
            ("--seq-len", self.seq_len),
            ("--eval-every", self.eval_every),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::config(*name, "is 0", "give at least 1")),
            None => self.config().validate(),
        }
    }
}

/// Mean of -ln p(target) over ids, (b, l + 1): every token is the target of those before it. (1).
///
/// # Panics
/// If an id is beyond the embedding.
pub fn next_token_loss(model: &LanguageModel, ids: Tensor<2, Int>) -> Tensor<1> {
    let [b, wide] = ids.dims();
    let l = wide - 1;
    let inputs = ids.clone().narrow(1, 0, l);
    let targets = ids.narrow(1, 1, l).reshape([b * l, 1]);
    let (logits, _) = model.forward(inputs, None, None, false);
    let width = logits.dims()[2];
    let log_p = log_softmax(logits.reshape([b * l, width]), 1);
    log_p.gather(1, targets).mean().neg()
}

/// What `lm train` learns.
pub struct LmObjective {
    config: LanguageModelConfig,
    training: LmTraining,
    seed: u64,
    train: Windows,
    held_out: Option<Windows>,
    /// Weights to start from.
    start: Option<LanguageModel>,
    device: Device,
}

impl LmObjective {
    /// `device` is the one without autodiff; `start` has the weights to begin with, if not random.
    pub fn new(
        run: &LmRun,
        train: Windows,
        held_out: Option<Windows>,
        start: Option<LanguageModel>,
        device: &Device,
    ) -> Self {
        Self {
            config: run.model.clone(),
            training: run.training.clone(),
            seed: run.seed,
            train,
            held_out,
            start,
            device: device.clone(),
        }
    }

    fn tensor(&self, windows: &[&[u32]], device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i32> = windows
            .iter()
            .flat_map(|w| w.iter().map(|id| *id as i32))
            .collect();
        let shape = [windows.len(), windows[0].len()];
        Tensor::from_data(TensorData::new(ids, shape), device)
    }
}

impl Objective for LmObjective {
    type Model = LanguageModel;
    type Batch = Vec<usize>;

    fn init(&self, device: &Device) -> Result<LanguageModel> {
        match &self.start {
            Some(model) => Ok(burn::module::Module::train(model.clone())),
            None => self.config.init(device),
        }
    }

    fn batches(&self) -> usize {
        self.training.eval_every.min(self.training.steps)
    }

    fn samples(&self) -> usize {
        self.batches() * self.training.batch_size
    }

    fn stream(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Vec<usize>> + '_> {
        let size = self.training.batch_size;
        let step = epoch as usize * self.batches() + first;
        let mut draws = self.train.draws(self.seed, step * size);
        let left = self.batches() - first;
        Box::new((0..left).map(move |_| draws.by_ref().take(size).collect()))
    }

    fn waited(&self) -> Duration {
        // The tokens are in memory.
        Duration::ZERO
    }

    fn count(&self, batch: &Vec<usize>) -> usize {
        batch.len()
    }

    fn feed(&self, batch: Vec<usize>, _epoch: usize) -> Feed {
        let windows: Vec<&[u32]> = batch.iter().map(|i| self.train.window(*i)).collect();
        let ids = windows.iter().flat_map(|w| w.iter().map(|id| *id as i32));
        let mut feed = Feed::default();
        feed.push_ints(ids, [windows.len(), windows[0].len()]);
        feed
    }

    fn loss(&self, model: &LanguageModel, mut batch: Placed) -> Tensor<1> {
        next_token_loss(model, batch.take_ints())
    }

    fn validates(&self) -> bool {
        self.held_out.is_some()
    }

    fn validate(&self, model: &LanguageModel) -> Result<Validation> {
        let loss = match &self.held_out {
            Some(windows) => self.held_out_loss(model, windows)?,
            None => f64::NAN,
        };
        Ok(Validation {
            loss: Some(loss),
            metrics: BTreeMap::from([("perplexity".to_string(), loss.exp())]),
            value: loss,
            waited: Duration::ZERO,
        })
    }

    fn is_better(&self, new: f64, old: f64) -> bool {
        new < old
    }

    fn is_exempt_from_decay(&self, name: &str) -> bool {
        is_exempt_from_decay(name)
    }

    fn shown(&self, record: &EpochRecord, value: f64) -> String {
        let perplexity = record.metrics.get("perplexity").copied();
        format!(
            "val loss {value:.4}  val perplexity {:.4}",
            perplexity.unwrap_or(f64::NAN)
        )
    }
}

impl LmObjective {
    fn held_out_loss(&self, model: &LanguageModel, windows: &Windows) -> Result<f64> {
        let all: Vec<usize> = (0..windows.count()).collect();
        let mut sum = 0.0;
        for batch in all.chunks(self.training.batch_size) {
            let rows: Vec<&[u32]> = batch.iter().map(|i| windows.window(*i)).collect();
            let loss = next_token_loss(model, self.tensor(&rows, &self.device));
            sum += f64::from(loss.into_scalar::<f32>()) * batch.len() as f64;
        }
        let loss = sum / all.len() as f64;
        match loss.is_finite() {
            true => Ok(loss),
            false => Err(Error::config(
                "training",
                format!("the held-out loss became {loss}"),
                "lower --lr, or keep --clip-norm above 0",
            )),
        }
    }
}
