//! Testing trained runs: predictions, metrics, figures and the report.

pub mod arrays;
mod record;
mod text;

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::split::{self, Fold};
use tgmamba_graph::table::{self, Column};
use tgmamba_graph::{Dataset, SourceFile, datasets};

use crate::error::{Error, Result};
use crate::models::{Classifier, weights};
use crate::report::{self, FoldRecord, RunRecord, TestRecord, loader_share};
use crate::run::{Part, RunConfig, RunFolder};
use crate::training::classification::{initial_model, predict_on};
use crate::training::data::{self, FoldData};
use crate::training::metrics::{Bootstrap, Predictions, Summary, summarise};
use crate::training::trainer::{best_weights, metrics_table};
use crate::training::{checkpoint, history, trainer};

/// Resamples of the intervals.
const RESAMPLES: usize = 2000;

/// One tested part of a run.
pub struct PartResult {
    /// Fold and seed.
    pub part: Part,
    /// Windows tested.
    pub indices: Vec<usize>,
    /// Their targets and scores.
    pub predictions: Predictions,
    /// Row-major scores (n, c).
    pub scores: Vec<f64>,
    /// Metrics with intervals, and what the figures need.
    pub test: TestRecord,
}

/// A tested run.
pub struct Evaluation {
    config: RunConfig,
    dataset: Dataset,
    parts: Vec<PartResult>,
    /// Metrics of the run as a whole.
    pub summary: RunSummary,
}

/// Metrics over the parts of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Mean and spread over all parts.
    pub parts: BTreeMap<String, Summary>,
    /// Mean and spread over seeds, each the mean over its folds; with several seeds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<String, Summary>,
    /// Mean and spread over subjects, each the mean over its folds and seeds; for splits within
    /// subjects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, Summary>,
}

/// Tests every part of a run with its best weights and writes `test.json` and
/// `predictions.parquet`; `cache` says whether windows are kept.
///
/// # Errors
/// Data that changed since training, parts that have not been trained, no test part.
pub fn evaluate(folder: &RunFolder, device: &Device, cache: &CacheOptions) -> Result<Evaluation> {
    let config = folder.config()?;
    let dataset = datasets::load_with(&config.dataset, cache)?;
    check_sources(folder, &config, &dataset)?;
    let folds = split::plan(&dataset, &config.split)?;
    let plan = config.parts(&folds);
    let mut parts = Vec::with_capacity(plan.len());
    for part in &plan {
        let place = folder.part(part, plan.len());
        let result = test_part(&config, &dataset, &folds[part.index], part, &place, device)?;
        if plan.len() > 1 {
            write_part(&place, &dataset, &result)?;
        }
        parts.push(result);
    }
    let summary = run_summary(&parts);
    let evaluation = Evaluation {
        config,
        dataset,
        parts,
        summary,
    };
    evaluation.write(folder)?;
    Ok(evaluation)
}

/// Checks that the data are those the run was trained on.
///
/// # Errors
/// Names the first file that is missing or differs.
pub fn check_sources(folder: &RunFolder, config: &RunConfig, dataset: &Dataset) -> Result<()> {
    check_files(folder, config, &dataset.sources)
}

/// [`check_sources`] of files that were read as `sources`.
///
/// # Errors
/// Names the first file that is missing or differs.
pub fn check_files(folder: &RunFolder, config: &RunConfig, sources: &[SourceFile]) -> Result<()> {
    let trained_on = config.provenance.as_ref().map(|p| p.sources.as_slice());
    for source in trained_on.unwrap_or_default() {
        // The folder may have moved; the name and the content may not have changed.
        let name = source.path.file_name();
        let mut now = sources.iter();
        if !now.any(|s| s.path.file_name() == name && s.sha256 == source.sha256) {
            return Err(Error::file(
                folder.path(),
                source.path.display().to_string(),
                "is not the file the run was trained on",
                "restore the file, or train again",
            ));
        }
    }
    Ok(())
}

/// The model of a part with its best weights.
fn best_model(config: &RunConfig, place: &RunFolder, device: &Device) -> Result<Classifier> {
    let path = best_weights(place.path());
    if !path.is_file() {
        return Err(Error::file(
            &path,
            "weights",
            "this part has not been trained yet",
            "continue the run with train --resume",
        ));
    }
    let model = initial_model(&config.model, config.seed, device)?;
    weights::load_into(model, &path)
}

fn test_part(
    config: &RunConfig,
    dataset: &Dataset,
    fold: &Fold,
    part: &Part,
    place: &RunFolder,
    device: &Device,
) -> Result<PartResult> {
    if fold.test.is_empty() {
        return Err(Error::config(
            "split.test_fraction",
            "the run has no test part",
            "train with a test part to get test metrics",
        ));
    }
    let data = FoldData::new(dataset, fold.clone(), config)?;
    let model = best_model(config, place, device)?;
    let batch = config.training.batch_size;
    let predicted = predict_on(&model, &data, &fold.test, batch, device)?;
    let (predictions, scores) = (predicted.predictions, predicted.scores);
    let predictions = with_groups(predictions, dataset, &fold.test)?;
    let test = test_record(&predictions, dataset);
    Ok(PartResult {
        part: part.clone(),
        indices: fold.test.clone(),
        predictions,
        scores,
        test,
    })
}

/// Windows of one recording are resampled together: they are not independent.
fn with_groups(
    predictions: Predictions,
    dataset: &Dataset,
    indices: &[usize],
) -> Result<Predictions> {
    let groups: Vec<usize> = indices.iter().map(|&i| dataset.recording[i]).collect();
    let mut distinct = groups.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() == groups.len() || distinct.len() < 2 {
        return Ok(predictions);
    }
    predictions.with_groups(groups)
}

fn test_record(predictions: &Predictions, dataset: &Dataset) -> TestRecord {
    let bootstrap = Bootstrap {
        resamples: RESAMPLES,
        ..Bootstrap::default()
    };
    TestRecord {
        samples: predictions.samples(),
        unit: "windows".into(),
        classes: dataset.classes.clone(),
        metrics: predictions.metrics_with_intervals(&bootstrap).named(),
        per_class: predictions.per_class(),
        confusion: predictions.confusion().0,
        roc: predictions.roc_curves(),
        precision_recall: predictions.precision_recall_curves(),
    }
}

fn values(result: &PartResult) -> BTreeMap<String, f64> {
    let metrics = result.test.metrics.iter();
    metrics
        .filter_map(|(name, e)| Some((name.clone(), e.value?)))
        .collect()
}

fn run_summary(parts: &[PartResult]) -> RunSummary {
    let all: Vec<BTreeMap<String, f64>> = parts.iter().map(values).collect();
    let over = |groups: BTreeMap<String, Vec<usize>>| {
        if groups.len() < 2 {
            return BTreeMap::new();
        }
        let means: Vec<BTreeMap<String, f64>> = groups
            .values()
            .map(|members| {
                let rows: Vec<_> = members.iter().map(|&i| all[i].clone()).collect();
                let mean = |(name, s): (String, Summary)| (name, s.mean);
                summarise(&rows).into_iter().map(mean).collect()
            })
            .collect();
        summarise(&means)
    };
    let mut seeds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut subjects: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, result) in parts.iter().enumerate() {
        let seed = result.part.seed.to_string();
        seeds.entry(seed).or_default().push(i);
        // Folds within a subject are named SUBJECT/FOLD.
        if let Some((subject, _)) = result.part.fold.split_once('/') {
            subjects.entry(subject.to_string()).or_default().push(i);
        }
    }
    RunSummary {
        parts: summarise(&all),
        seeds: over(seeds),
        subjects: over(subjects),
    }
}

fn write_part(place: &RunFolder, dataset: &Dataset, result: &PartResult) -> Result<()> {
    place.write_json("test.json", &json!(result.test))?;
    write_predictions(place, dataset, std::slice::from_ref(result))
}

/// A row per window and part: which window, target, prediction and the score of every class.
fn write_predictions(place: &RunFolder, dataset: &Dataset, parts: &[PartResult]) -> Result<()> {
    let rows: Vec<(&PartResult, usize, usize)> = parts
        .iter()
        .flat_map(|p| {
            p.indices
                .iter()
                .enumerate()
                .map(move |(row, &i)| (p, row, i))
        })
        .collect();
    let integers = |f: &dyn Fn(&(&PartResult, usize, usize)) -> usize| {
        Column::I64(rows.iter().map(|r| f(r) as i64).collect())
    };
    let texts = |f: &dyn Fn(&(&PartResult, usize, usize)) -> String| {
        Column::Text(rows.iter().map(f).collect())
    };
    let class = |k: usize| dataset.classes[k].clone();
    let mut columns = vec![
        ("fold", texts(&|(p, ..)| p.part.fold.clone())),
        ("seed", integers(&|(p, ..)| p.part.seed as usize)),
        ("window", integers(&|(.., i)| *i)),
        ("recording", integers(&|(.., i)| dataset.recording[*i])),
    ];
    if let Some(subject) = &dataset.subject {
        columns.push(("subject", texts(&|(.., i)| subject[*i].clone())));
    }
    if let Some(session) = &dataset.session {
        columns.push(("session", texts(&|(.., i)| session[*i].clone())));
    }
    columns.push(("target", texts(&|(.., i)| class(dataset.y[*i]))));
    columns.push((
        "predicted",
        texts(&|(p, row, _)| class(p.predictions.predicted()[*row])),
    ));
    let names: Vec<String> = dataset
        .classes
        .iter()
        .map(|c| format!("score_{c}"))
        .collect();
    for (k, name) in names.iter().enumerate() {
        let c = dataset.classes.len();
        let scores = rows
            .iter()
            .map(|(p, row, _)| p.scores[row * c + k])
            .collect();
        columns.push((name, Column::F64(scores)));
    }
    let path = place.path().join("predictions.parquet");
    table::write_parquet(&path, &table::batch(columns)?)
}

impl Evaluation {
    /// Metrics and curves of all parts together.
    fn pooled(&self) -> Result<TestRecord> {
        if let [only] = self.parts.as_slice() {
            return Ok(only.test.clone());
        }
        let targets = self.parts.iter().flat_map(|p| &p.indices);
        let targets = targets.map(|&i| self.dataset.y[i]).collect();
        let scores = self.parts.iter().flat_map(|p| p.scores.clone()).collect();
        let indices: Vec<usize> = self.parts.iter().flat_map(|p| p.indices.clone()).collect();
        let pooled = Predictions::new(targets, scores, self.dataset.classes.len())?;
        // The same recording tested with several seeds is one observation.
        let pooled = with_groups(pooled, &self.dataset, &indices)?;
        Ok(test_record(&pooled, &self.dataset))
    }

    fn write(&self, folder: &RunFolder) -> Result<()> {
        let mut test = json!(self.pooled()?);
        if self.parts.len() > 1 {
            test["summary"] = json!(self.summary);
            let part = |p: &PartResult| {
                json!({"fold": p.part.fold, "seed": p.part.seed, "samples": p.test.samples,
                       "metrics": p.test.metrics})
            };
            test["parts"] = self.parts.iter().map(part).collect();
        }
        folder.write_json("test.json", &test)?;
        write_predictions(folder, &self.dataset, &self.parts)
    }

    /// Tested parts.
    pub fn parts(&self) -> &[PartResult] {
        &self.parts
    }

    /// Everything the report shows; learned graphs are those of the first part, averaged over
    /// its test windows and time.
    ///
    /// # Errors
    /// As reading the run's files and running its model.
    pub fn record(&self, folder: &RunFolder, device: &Device) -> Result<RunRecord> {
        let several = self.parts.len() > 1;
        let mut folds = Vec::with_capacity(self.parts.len());
        for result in &self.parts {
            let place = folder.part(&result.part, self.parts.len());
            folds.push(FoldRecord {
                name: result.part.label(),
                samples: result.test.samples,
                best_epoch: checkpoint::best_epoch(&trainer::last_checkpoint(place.path()))?,
                metrics: values(result),
                epochs: history::read(&metrics_table(place.path()))?,
            });
        }
        let first = &folds[0];
        let plan = split::plan(&self.dataset, &self.config.split)?;
        let part = &self.parts[0].part;
        let fold = plan[part.index].clone();
        let data = FoldData::new(&self.dataset, fold, &self.config)?;
        let place = folder.part(part, self.parts.len());
        let model = best_model(&self.config, &place, device)?;
        let share = loader_share(
            &folds
                .iter()
                .flat_map(|f| f.epochs.clone())
                .collect::<Vec<_>>(),
        );
        let mut sections = record::sections(&self.config, &self.dataset, &data, self.parts.len());
        if let (Some(share), Some(environment)) = (share, sections.last_mut()) {
            let value = format!("{:.1} % of the time of training", share * 100.0);
            environment.facts.push(("waiting for data".into(), value));
        }
        Ok(RunRecord {
            title: folder.name(),
            sections,
            command: self.command(),
            config: json!(self.config),
            metric: self.config.training.metric.name().into(),
            epochs: first.epochs.clone(),
            best_epoch: first.best_epoch,
            test: Some(self.pooled()?),
            graphs: record::graphs(&model, &data, &self.config, device)?,
            forecast: None,
            folds: if several { folds } else { vec![] },
        })
    }

    fn command(&self) -> String {
        let provenance = self.config.provenance.as_ref();
        provenance.map(|p| p.command.clone()).unwrap_or_default()
    }
}

/// Draws the figures and writes `report.html`.
///
/// # Errors
/// An unwritable folder or a figure that cannot be drawn.
pub fn write_report(folder: &RunFolder, record: &RunRecord) -> Result<()> {
    report::write(record, folder.path())
        .map(drop)
        .map_err(|e| Error::file(folder.path(), "report", e.to_string(), "see the message"))
}

/// Adjacency the model's blocks use on some windows, averaged over windows and time: (v, w) each.
fn learned_graphs(
    model: &Classifier,
    data: &FoldData,
    indices: &[usize],
    device: &Device,
) -> Result<Vec<Vec<f32>>> {
    let x = data.dataset.gather(indices);
    let a = data::adjacency(&data.graph, device);
    let graphs = model.forward(data::tensor4(x, device), a).graphs;
    graphs
        .into_iter()
        .map(|g| data::host(g.mean_dim(0).mean_dim(1)))
        .collect()
}
