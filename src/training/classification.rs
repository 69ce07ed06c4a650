//! Learning to classify windows: what the training loop needs to know about it.

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use tgmamba_graph::loader::{Batch, Loader, LoaderConfig, Sampling};

use super::config::{ClassWeights, TrainingConfig};
use super::data::{self, FoldData};
use super::metrics::{Metric, Predictions};
use super::trainer::{Objective, Validation, seeded};
use super::{loss, random};
use crate::error::{Error, Result};
use crate::models::{Classifier, ModelConfig};
use crate::recorder::{Feed, Placed};
use crate::report::EpochRecord;

/// A classifier with the weights that `seed` gives.
///
/// # Errors
/// As [`ModelConfig::validate`].
pub fn initial_model(config: &ModelConfig, seed: u64, device: &Device) -> Result<Classifier> {
    seeded(seed, device, |device| config.init(device))
}

/// Classification of the windows of one fold.
pub struct Classification<'a> {
    model: &'a ModelConfig,
    training: &'a TrainingConfig,
    data: &'a FoldData,
    loader: Loader,
    class_weights: Option<Vec<f32>>,
    adjacency: Tensor<4>,
    device: Device,
}

impl<'a> Classification<'a> {
    /// Draws batches of the fold's training windows in an order given by `seed`; `device` is
    /// without autodiff.
    ///
    /// # Errors
    /// As [`Loader::new`], and settings that cannot be run.
    pub fn new(
        model: &'a ModelConfig,
        training: &'a TrainingConfig,
        data: &'a FoldData,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        training.validate()?;
        let loader = Loader::new(
            Arc::clone(&data.dataset),
            data.fold.train.clone(),
            LoaderConfig {
                batch_size: training.batch_size,
                sampling: training.sampling,
                seed: random::stream(seed, "batches", 0),
                augment: training.augment.clone(),
                ..LoaderConfig::default()
            },
        )?;
        let autodiff = device.clone().autodiff();
        Ok(Self {
            class_weights: class_weights(model, training, data),
            adjacency: data::adjacency(&data.graph, &autodiff),
            model,
            training,
            data,
            loader,
            device: device.clone(),
        })
    }
}

impl Objective for Classification<'_> {
    type Model = Classifier;
    type Batch = Batch;

    fn init(&self, device: &Device) -> Result<Classifier> {
        self.model.init(device)
    }

    fn batches(&self) -> usize {
        self.loader.len()
    }

    fn samples(&self) -> usize {
        self.loader.samples_per_epoch()
    }

    fn stream(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new(self.loader.batches(epoch, first))
    }

    fn waited(&self) -> Duration {
        self.loader.times().waited
    }

    fn count(&self, batch: &Batch) -> usize {
        batch.target.len()
    }

    fn feed(&self, batch: Batch, _epoch: usize) -> Feed {
        let (shares, shape) = loss::target_shares(
            &batch.target,
            self.model.num_logits(),
            self.class_weights.as_deref(),
            self.training.label_smoothing,
        );
        let (b, v, l, f) = batch.features.dim();
        let mut feed = Feed::default();
        feed.push(data::row_major(batch.features), [b, v, l, f]);
        feed.push(shares, shape);
        feed
    }

    fn loss(&self, model: &Classifier, mut batch: Placed) -> Tensor<1> {
        let x = batch.take();
        let logits = model.forward(x, self.adjacency.clone()).logits;
        loss::loss_from_shares(logits, batch.take())
    }

    fn validates(&self) -> bool {
        !self.data.fold.validation.is_empty()
    }

    fn validate(&self, model: &Classifier) -> Result<Validation> {
        let metric = self.training.metric;
        let validation = &self.data.fold.validation;
        let batch_size = self.training.batch_size;
        let predicted = predict_on(model, self.data, validation, batch_size, &self.device)?;
        let metrics = predicted.predictions.metrics();
        let mut named = metrics.values();
        named.remove(Metric::Loss.name());
        Ok(Validation {
            loss: metrics.get(Metric::Loss),
            metrics: named,
            value: metrics.get(metric).ok_or_else(|| {
                Error::config(
                    "training.metric",
                    format!("{metric} is not defined on the validation part"),
                    "choose another metric or a larger validation part",
                )
            })?,
            waited: predicted.waited,
        })
    }

    fn is_better(&self, new: f64, old: f64) -> bool {
        self.training.metric.is_better(new, old)
    }

    fn shown(&self, record: &EpochRecord, value: f64) -> String {
        // A loss alone says little to a person.
        let (metric, value) = match self.training.metric {
            Metric::Loss => (
                Metric::Accuracy,
                record.metrics.get(Metric::Accuracy.name()).copied(),
            ),
            metric => (metric, Some(value)),
        };
        let (loss, value) = (record.val_loss, value.unwrap_or(f64::NAN));
        format!(
            "val loss {:.4}  val {metric} {value:.4}",
            loss.unwrap_or(f64::NAN)
        )
    }
}

/// Inverse-frequency weights with mean 1 over the training windows.
fn class_weights(
    model: &ModelConfig,
    training: &TrainingConfig,
    data: &FoldData,
) -> Option<Vec<f32>> {
    if training.class_weights == ClassWeights::None {
        return None;
    }
    let mut counts = vec![0usize; model.num_classes];
    for &i in &data.fold.train {
        counts[data.dataset.y[i]] += 1;
    }
    let total = data.fold.train.len() as f32;
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
