//! One part after the other: data, model, training loop.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use tgmamba_graph::scale::Scaler;
use tgmamba_graph::split::Fold;
use tgmamba_graph::topology::SensorGraph;

use super::jobs::share;
use super::material::Material;
use super::{Run, TrainArgs};
use crate::error::{Error, Result};
use crate::forecast::objective::initial_forecaster;
use crate::forecast::{ForecastData, Forecasting, resolve};
use crate::nn::state_dict::parameters;
use crate::run::{Part, RunFolder};
use crate::training::classification::{Classification, initial_model};
use crate::training::config::TrainingConfig;
use crate::training::data::FoldData;
use crate::training::trainer::{self, Ended, Objective, Task};

/// Trains what is left of the parts; false if stopped.
pub fn train_parts(
    run: &mut Run,
    plan: &[Part],
    args: &TrainArgs,
    device: &Device,
    stop: &AtomicBool,
) -> Result<bool> {
    let (first, step) = share(args)?;
    let mut warned = HashSet::new();
    for (i, part) in plan.iter().enumerate().skip(first).step_by(step) {
        let place = run.folder.part(part, plan.len());
        let fold = run.folds[part.index].clone();
        let label = if plan.len() > 1 {
            format!("[{}/{}] {}  ", i + 1, plan.len(), part.label())
        } else {
            String::new()
        };
        let training = &run.config.training;
        let place_of = Place {
            folder: place.path(),
            seed: part.seed,
            device,
            stop,
            label: &label,
            verbose: !args.quiet,
        };
        let ended = match &run.material {
            Material::Windows(dataset) => {
                let data = FoldData::new(dataset, fold, &run.config)?;
                let facts = Facts::of_windows(run, part, &data, device)?;
                describe_part(run, part, &place, facts, plan.len())?;
                let model = &run.config.model;
                let objective = Classification::new(model, training, &data, part.seed, device)?;
                place_of.train(&objective, training)?
            }
            Material::Series(series) => {
                let data =
                    ForecastData::new(Arc::clone(series), fold, resolve::section(&run.config)?)?;
                for warning in data.warnings() {
                    if warned.insert(warning.clone()) {
                        log::warn!("{warning}");
                    }
                }
                let naive = data.config.model.is_naive();
                let facts = Facts::of_series(run, part, &data, device)?;
                describe_part(run, part, &place, facts, plan.len())?;
                if naive {
                    // Nothing to learn; the folder marks the part as done.
                    let folder = place.path().join("checkpoints");
                    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
                    continue;
                }
                let model = &run.config.model;
                let objective = Forecasting::new(&data, model, training, part.seed, device)?;
                place_of.train(&objective, training)?
            }
        };
        match ended {
            Ended::Interrupted { epoch, batch } => {
                log::info!("stopped in epoch {epoch} after batch {batch}");
                return Ok(false);
            }
            Ended::Finished {
                best_epoch,
                best_value,
                epochs,
                loader_share,
            } => {
                let metric = match run.material {
                    Material::Windows(_) => run.config.training.metric.to_string(),
                    Material::Series(_) => "MAE".into(),
                };
                let value = best_value.map(|v| format!(", val {metric} {v:.4}"));
                let share = loader_share
                    .map(|s| format!(", {:.1} % of the time waiting for data", s * 100.0));
                let line = format!(
                    "{label}best epoch {best_epoch} of {epochs}{}{}",
                    value.unwrap_or_default(),
                    share.unwrap_or_default()
                );
                log::info!("{line}");
                say!("{line}");
            }
        }
    }
    Ok(true)
}

/// Where and how a part is trained.
struct Place<'a> {
    folder: &'a Path,
    seed: u64,
    device: &'a Device,
    stop: &'a AtomicBool,
    label: &'a str,
    verbose: bool,
}

impl Place<'_> {
    fn train<O: Objective>(&self, objective: &O, training: &TrainingConfig) -> Result<Ended> {
        trainer::train(&Task {
            objective,
            training,
            seed: self.seed,
            folder: self.folder,
            device: self.device,
            stop: self.stop,
            label: self.label,
            verbose: self.verbose,
        })
    }
}

/// What is known of a part once its data are prepared.
struct Facts {
    sizes: [usize; 3],
    parameters: usize,
    graph: Option<SensorGraph>,
    scaler: Option<Scaler>,
}

fn sizes(fold: &Fold) -> [usize; 3] {
    [fold.train.len(), fold.validation.len(), fold.test.len()]
}

impl Facts {
    fn of_windows(run: &Run, part: &Part, data: &FoldData, device: &Device) -> Result<Self> {
        let model = initial_model(&run.config.model, part.seed, device)?;
        Ok(Self {
            sizes: sizes(&data.fold),
            parameters: parameters(&model),
            graph: Some(data.graph.clone()),
            scaler: Some(data.scaler.clone()),
        })
    }

    fn of_series(run: &Run, part: &Part, data: &ForecastData, device: &Device) -> Result<Self> {
        Ok(Self {
            sizes: sizes(&data.fold),
            parameters: match data.config.model.is_naive() {
                true => 0,
                false => parameters(&initial_forecaster(
                    data,
                    &run.config.model,
                    part.seed,
                    device,
                )?),
            },
            graph: None,
            scaler: None,
        })
    }
}

/// Stores what is known once a part's data are prepared; what stands there already stays.
fn describe_part(
    run: &Run,
    part: &Part,
    place: &RunFolder,
    facts: Facts,
    parts: usize,
) -> Result<()> {
    let done = RunFolder::open(place.path()).and_then(|p| p.config());
    if done.is_ok_and(|c| c.provenance.is_some_and(|p| p.part.is_some())) {
        return Ok(());
    }
    let mut config = run.config.clone();
    if parts > 1 {
        config.seed = part.seed;
        config.seeds = 1;
    }
    if let Some(provenance) = &mut config.provenance {
        provenance.part = Some(part.clone());
        provenance.sizes = Some(facts.sizes);
        provenance.parameters = Some(facts.parameters);
        provenance.graph = facts.graph;
        provenance.scaler = facts.scaler;
    }
    place.write_config(&config)
}
