//! Learning to forecast: what the training loop needs to know about it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::data::{ForecastData, HostBatch};
use super::graph::GivenGraph;
use super::losses;
use super::metrics::Errors;
use super::model::Forecaster;
use crate::error::{Error, Result};
use crate::models::ModelConfig;
use crate::recorder::{Feed, Placed};
use crate::report::EpochRecord;
use crate::training::config::TrainingConfig;
use crate::training::trainer::{Objective, Validation, seeded};
use crate::training::{data::host, random};

/// Forecasting the windows of one fold.
pub struct Forecasting<'a> {
    data: &'a ForecastData,
    model: &'a ModelConfig,
    training: &'a TrainingConfig,
    seed: u64,
    graph: Option<GivenGraph>,
    device: Device,
    /// Nanoseconds spent gathering windows.
    gathering: AtomicU64,
}

/// A forecaster with the weights that `seed` gives.
///
/// # Errors
/// Sizes that cannot be built.
pub fn initial_forecaster(
    data: &ForecastData,
    model: &ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<Forecaster> {
    seeded(seed, device, |device| {
        Forecaster::new(&data.config, model, data.sizes(), device)
    })
}

impl<'a> Forecasting<'a> {
    /// Draws the fold's training windows in an order given by `seed`; `device` is without autodiff.
    ///
    /// # Errors
    /// As [`ForecastData::fixed_graph`].
    pub fn new(
        data: &'a ForecastData,
        model: &'a ModelConfig,
        training: &'a TrainingConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let autodiff = device.clone().autodiff();
        Ok(Self {
            graph: data.fixed_graph(model, &autodiff)?,
            data,
            model,
            training,
            seed,
            device: device.clone(),
            gathering: AtomicU64::new(0),
        })
    }

    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order = self.data.fold.train.clone();
        let seed = random::stream(self.seed, "batches", epoch);
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        order
    }

    /// Steps of the horizon that are learned in an epoch.
    fn learned_steps(&self, epoch: usize) -> usize {
        let h = self.data.config.horizon;
        match self.data.config.curriculum_epochs {
            0 => h,
            epochs => (1 + epoch * h / epochs).min(h),
        }
    }
}

impl Objective for Forecasting<'_> {
    type Model = Forecaster;
    type Batch = HostBatch;

    fn init(&self, device: &Device) -> Result<Forecaster> {
        Forecaster::new(&self.data.config, self.model, self.data.sizes(), device)
    }

    fn batches(&self) -> usize {
        self.samples().div_ceil(self.training.batch_size)
    }

    fn samples(&self) -> usize {
        self.data.fold.train.len()
    }

    fn stream(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = HostBatch> + '_> {
        let order = self.order(epoch);
        let size = self.training.batch_size;
        let batches = (first..self.batches()).map(move |i| {
            let started = Instant::now();
            let end = ((i + 1) * size).min(order.len());
            let batch = self.data.gather(&order[i * size..end]);
            let spent = started.elapsed().as_nanos() as u64;
            self.gathering.fetch_add(spent, Ordering::Relaxed);
            batch
        });
        Box::new(batches)
    }

    fn waited(&self) -> Duration {
        Duration::from_nanos(self.gathering.load(Ordering::Relaxed))
    }

    fn count(&self, batch: &HostBatch) -> usize {
        batch.starts.len()
    }

    fn feed(&self, mut batch: HostBatch, epoch: usize) -> Feed {
        let config = &self.data.config;
        let (h, k) = (config.horizon, config.targets.len());
        let shape = [batch.starts.len(), self.data.nodes(), h, k];
        let learned = self.learned_steps(epoch);
        if learned < h {
            for (i, m) in batch.mask.iter_mut().enumerate() {
                if i / k % h >= learned {
                    *m = 0.0;
                }
            }
        }
        let mut feed = self.data.feed(&mut batch);
        feed.push(batch.y, shape);
        feed.push(batch.mask, shape);
        feed
    }

    fn loss(&self, model: &Forecaster, mut batch: Placed) -> Tensor<1> {
        let config = &self.data.config;
        let input = self.data.take_input(&mut batch, self.graph.as_ref());
        let forecast = model.forward(input);
        let (y, mask) = (batch.take(), batch.take());
        match config.quantiles.is_empty() {
            true => losses::masked(config.loss, config.huber_delta, forecast, y, mask),
            false => losses::pinball(&config.quantiles, forecast, y, mask),
        }
    }

    fn validates(&self) -> bool {
        !self.data.fold.validation.is_empty()
    }

    fn validate(&self, model: &Forecaster) -> Result<Validation> {
        let started = self.waited();
        let (data, starts) = (self.data, &self.data.fold.validation);
        let config = &data.config;
        let (v, h, k) = (data.nodes(), config.horizon, config.targets.len());
        let mut errors = Errors::new(1, k, h, v);
        predict(
            model,
            data,
            starts,
            self.training.batch_size,
            &self.device,
            |piece| {
                piece.count(data, &mut errors, |_| 0, None);
                Ok(())
            },
        )?;
        // Targets of different units are made comparable by nothing but their own scale: the mean
        // over targets is what one target has alone.
        let mean = |of: fn(&super::metrics::Scores) -> Option<f64>| {
            let known: Vec<f64> = (0..k).filter_map(|t| of(&errors.pooled(t))).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let mae = mean(|s| s.mae).ok_or_else(|| {
            Error::config(
                "validation",
                "no target was observed",
                "change the split, or check the null value of the feature",
            )
        })?;
        let named = [("mae", Some(mae)), ("rmse", mean(|s| s.rmse))];
        let metrics = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), value?)));
        Ok(Validation {
            // The loss is in scaled units; what is validated in those of the targets.
            loss: None,
            metrics: BTreeMap::from_iter(metrics),
            value: mae,
            waited: self.waited().saturating_sub(started),
        })
    }

    fn is_better(&self, new: f64, old: f64) -> bool {
        new < old
    }

    fn shown(&self, record: &EpochRecord, value: f64) -> String {
        let rmse = record.metrics.get("rmse").copied();
        format!(
            "val MAE {value:.4}  val RMSE {:.4}",
            rmse.unwrap_or(f64::NAN)
        )
    }
}

/// Forecasts of some windows.
pub struct Piece {
    /// First steps of the windows.
    pub starts: Vec<usize>,
    /// Raw units, (b, v, h, k, q) row-major, quantiles ascending.
    pub values: Vec<f64>,
}

impl Piece {
    /// Adds what was observed to `errors`, and to `quantiles` if given; `group` says the group of
    /// the window with a number within the piece.
    pub fn count(
        &self,
        data: &ForecastData,
        errors: &mut Errors,
        group: impl Fn(usize) -> usize,
        mut quantiles: Option<&mut super::metrics::QuantileErrors>,
    ) {
        let config = &data.config;
        let (v, h, k) = (data.nodes(), config.horizon, config.targets.len());
        let (q, median) = (config.outputs(), config.median());
        for (i, start) in self.starts.iter().enumerate() {
            for node in 0..v {
                for step in 0..h {
                    for target in 0..k {
                        let at = start + config.history + step;
                        let Some(y) = data.target_at(at, node, target) else {
                            continue;
                        };
                        let from = (((i * v + node) * h + step) * k + target) * q;
                        let values = &self.values[from..from + q];
                        let y = f64::from(y);
                        errors.add(group(i), target, step, node, y, values[median]);
                        if let Some(quantiles) = quantiles.as_deref_mut() {
                            quantiles.add(y, values);
                        }
                    }
                }
            }
        }
    }
}

/// Forecasts windows in their order, batch by batch, and hands each batch on.
///
/// # Errors
/// Forecasts that are not finite, and what `then` finds.
pub fn predict(
    model: &Forecaster,
    data: &ForecastData,
    starts: &[usize],
    batch_size: usize,
    device: &Device,
    mut then: impl FnMut(Piece) -> Result<()>,
) -> Result<()> {
    let graph = data.fixed_graph(model.config(), device)?;
    let config = &data.config;
    let (v, h, k, q) = (
        data.nodes(),
        config.horizon,
        config.targets.len(),
        config.outputs(),
    );
    for starts in starts.chunks(batch_size) {
        let batch = data.gather(starts);
        let input = data.input(batch, graph.as_ref(), device);
        let scaled = host(model.forward(input))?;
        if let Some(i) = scaled.iter().position(|x| !x.is_finite()) {
            return Err(Error::config(
                "forecast",
                format!(
                    "window {} gives {} for sensor {}",
                    starts[i / (v * h * k * q)],
                    scaled[i],
                    data.series.sensors[i / (h * k * q) % v]
                ),
                "the weights diverged; lower --lr or use --state-mixing bounded",
            ));
        }
        let raw = scaled.iter().enumerate().map(|(i, z)| {
            let (node, target) = (i / (h * k * q) % v, i / q % k);
            data.scaler.inverse(*z, node, target)
        });
        let mut values: Vec<f64> = raw.collect();
        if q > 1 {
            // Quantiles that cross are put in order, which never raises the pinball loss.
            values.chunks_mut(q).for_each(|c| c.sort_by(f64::total_cmp));
        }
        then(Piece {
            starts: starts.to_vec(),
            values,
        })?;
    }
    Ok(())
}
