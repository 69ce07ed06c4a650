//! Testing trained forecasts: errors over the whole test part, tables and files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tgmamba_graph::Series;
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::series::write_stamp;
use tgmamba_graph::split::Fold;
use tgmamba_graph::table::{self, Column};

use super::data::ForecastData;
use super::metrics::{Errors, QuantileErrors, QuantileScores, Scores};
use super::model::Forecaster;
use super::naive::Naive;
use super::objective::{Piece, initial_forecaster, predict};
use super::resolve;
use crate::error::{Error, Result};
use crate::models::weights;
use crate::report::tables::{Table, number};
use crate::run::{Part, RunConfig, RunFolder};
use crate::training::metrics::{Summary, summarise};
use crate::training::trainer::best_weights;

/// Forecasts of more values than this are not written one by one.
const MOST_ROWS: usize = 8_000_000;

/// Errors of one target, by every way of averaging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetScores {
    /// Name of the feature.
    pub target: String,
    /// Its unit.
    pub unit: String,
    /// Errors `at` each step ahead, from 1 (convention of DCRNN).
    pub at: Vec<Scores>,
    /// Errors of steps 1 to each reported one together (convention of T-GCN).
    pub up_to: Vec<StepScores>,
    /// Errors of all steps together.
    pub pooled: Scores,
    /// The mean of the errors at each step.
    pub mean_of_steps: Scores,
}

/// Errors up to a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepScores {
    /// Steps ahead.
    pub step: usize,
    #[serde(flatten)]
    pub scores: Scores,
}

/// Errors of a part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastScores {
    /// Test windows; of protocols that cut windows for each horizon anew, those of the longest.
    pub windows: usize,
    /// Steps ahead that are reported.
    pub report: Vec<usize>,
    /// Every target.
    pub targets: Vec<TargetScores>,
    /// How quantiles fit, where there are some, over all targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<QuantileScores>,
}

/// One tested part of a run.
pub struct PartResult {
    /// Fold and seed.
    pub part: Part,
    /// Its data.
    pub data: ForecastData,
    /// Its network; `None` for a naive forecast.
    pub model: Option<Forecaster>,
    /// Test windows with their group, see [`ForecastData::test_windows`].
    pub windows: Vec<(usize, usize)>,
    /// Forecasts in raw units, (n, v, h, k, q) row-major; empty where there are too many to keep.
    pub forecasts: Vec<f64>,
    /// Error sums.
    pub errors: Errors,
    /// Errors.
    pub scores: ForecastScores,
}

/// A tested run.
pub struct ForecastEvaluation {
    pub config: RunConfig,
    pub parts: Vec<PartResult>,
    /// Mean and spread of each number over the parts.
    pub summary: BTreeMap<String, Summary>,
}

/// Tests every part of a run with its best weights and writes `test.json`, `nodes.csv` and
/// `predictions.parquet`.
///
/// # Errors
/// Data that changed since training, parts that have not been trained.
pub fn evaluate(
    folder: &RunFolder,
    device: &Device,
    cache: &CacheOptions,
) -> Result<ForecastEvaluation> {
    let config = folder.config()?;
    let series = resolve::load(&config, cache)?;
    crate::evaluation::check_files(folder, &config, &series.sources)?;
    let folds = resolve::folds(&config, series.len())?;
    let plan = config.parts(&folds);
    let mut parts = Vec::with_capacity(plan.len());
    for part in &plan {
        let place = folder.part(part, plan.len());
        let fold = folds[part.index].clone();
        parts.push(test_part(&config, &series, fold, part, &place, device)?);
    }
    let evaluation = ForecastEvaluation {
        summary: summarise(&parts.iter().map(|p| named(&p.scores)).collect::<Vec<_>>()),
        config,
        parts,
    };
    evaluation.write(folder)?;
    Ok(evaluation)
}

/// The best weights of a part.
///
/// # Errors
/// A part that has not been trained, or weights of another model.
pub fn best_forecaster(
    data: &ForecastData,
    config: &RunConfig,
    place: &RunFolder,
    device: &Device,
) -> Result<Option<Forecaster>> {
    if data.config.model.is_naive() {
        return Ok(None);
    }
    let path = best_weights(place.path());
    if !path.is_file() {
        return Err(Error::file(
            &path,
            "weights",
            "this part has not been trained yet",
            "continue the run with train --resume",
        ));
    }
    let model = initial_forecaster(data, &config.model, config.seed, device)?;
    weights::load_into(model, &path).map(Some)
}

fn test_part(
    config: &RunConfig,
    series: &Arc<Series>,
    fold: Fold,
    part: &Part,
    place: &RunFolder,
    device: &Device,
) -> Result<PartResult> {
    let data = ForecastData::new(Arc::clone(series), fold, resolve::section(config)?)?;
    let model = best_forecaster(&data, config, place, device)?;
    let settings = data.config.clone();
    let windows = data.test_windows()?;
    let (v, h, k) = (data.nodes(), settings.horizon, settings.targets.len());
    let groups = settings.report.len();
    let mut errors = Errors::new(groups, k, h, v);
    let mut quantiles =
        (!settings.quantiles.is_empty()).then(|| QuantileErrors::new(&settings.quantiles));
    let keep = windows.len() * v * h * k <= MOST_ROWS;
    let mut forecasts = Vec::new();
    let mut done = 0;
    let mut take = |piece: Piece| {
        let group = |i: usize| windows[done + i].1;
        piece.count(&data, &mut errors, group, quantiles.as_mut());
        done += piece.starts.len();
        if keep {
            forecasts.extend(piece.values);
        }
        Ok(())
    };
    let starts: Vec<usize> = windows.iter().map(|w| w.0).collect();
    let batch = config.training.batch_size;
    match &model {
        Some(model) => predict(model, &data, &starts, batch, device, take)?,
        None => {
            let naive = Naive::new(settings.model, &data);
            for starts in starts.chunks(batch) {
                take(Piece {
                    starts: starts.to_vec(),
                    values: naive.forecast(starts),
                })?;
            }
        }
    }
    let scores = scores(&data, &errors, &windows, quantiles.map(|q| q.scores()));
    Ok(PartResult {
        part: part.clone(),
        windows,
        forecasts,
        errors,
        scores,
        model,
        data,
    })
}

fn scores(
    data: &ForecastData,
    errors: &Errors,
    windows: &[(usize, usize)],
    quantiles: Option<QuantileScores>,
) -> ForecastScores {
    let config = &data.config;
    let last = config.report.len() - 1;
    let target = |(k, name): (usize, &String)| {
        let unit = data.series.feature(name).ok();
        TargetScores {
            target: name.clone(),
            unit: unit.map_or(String::new(), |f| data.series.features[f].unit.clone()),
            at: (1..=config.horizon).map(|s| errors.at(k, s)).collect(),
            up_to: config
                .report
                .iter()
                .enumerate()
                .map(|(group, step)| {
                    // Where the longest reported step is not the horizon, all windows are its.
                    let scores = errors.up_to(group, k, *step);
                    StepScores {
                        step: *step,
                        scores,
                    }
                })
                .collect(),
            pooled: errors.pooled(k),
            mean_of_steps: errors.mean_of_steps(k),
        }
    };
    ForecastScores {
        windows: windows.iter().filter(|w| w.1 == last).count(),
        report: config.report.clone(),
        targets: config.targets.iter().enumerate().map(target).collect(),
        quantiles,
    }
}

/// Numbers of a part by name, such as `mae`, `rmse@3` and `rmse<=3`; of several targets with their
/// name before.
pub fn named(scores: &ForecastScores) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for target in &scores.targets {
        let prefix = match scores.targets.len() {
            1 => String::new(),
            _ => format!("{}:", target.target),
        };
        let mut put = |suffix: String, s: &Scores| {
            for (name, value) in [("mae", s.mae), ("rmse", s.rmse), ("mape", s.mape)] {
                if let Some(value) = value {
                    all.insert(format!("{prefix}{name}{suffix}"), value);
                }
            }
        };
        put(String::new(), &target.pooled);
        put("-mean-of-steps".into(), &target.mean_of_steps);
        for step in &scores.report {
            put(format!("@{step}"), &target.at[step - 1]);
        }
        for up_to in &target.up_to {
            put(format!("<={}", up_to.step), &up_to.scores);
        }
    }
    if let Some(q) = &scores.quantiles {
        for (name, value) in [("crps", q.crps), ("coverage", q.coverage)] {
            if let Some(value) = value {
                all.insert(name.into(), value);
            }
        }
    }
    all
}

fn cell(value: Option<f64>) -> String {
    number(value.unwrap_or(f64::NAN))
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{:.2} %", v * 100.0))
}

impl TargetScores {
    /// A row for each reported step, and both ways to average them.
    pub fn table(&self, report: &[usize]) -> Table {
        let mut table = Table::new(&[
            "steps ahead",
            "MAE at",
            "RMSE at",
            "MAPE at",
            "MAE up to",
            "RMSE up to",
        ]);
        for (step, up_to) in report.iter().zip(&self.up_to) {
            let at = &self.at[step - 1];
            let s = &up_to.scores;
            table.rows.push(vec![
                step.to_string(),
                cell(at.mae),
                cell(at.rmse),
                percent(at.mape),
                cell(s.mae),
                cell(s.rmse),
            ]);
        }
        for (name, s) in [
            ("all, pooled", &self.pooled),
            ("mean of steps", &self.mean_of_steps),
        ] {
            table.rows.push(vec![
                name.into(),
                cell(s.mae),
                cell(s.rmse),
                percent(s.mape),
            ]);
        }
        table
    }
}

impl ForecastEvaluation {
    /// The table for the terminal.
    pub fn text(&self) -> String {
        if let [only] = self.parts.as_slice() {
            return only.text();
        }
        let mut table = Table::new(&["error", "mean ± sd"]);
        for (name, summary) in &self.summary {
            table.rows.push(vec![name.clone(), summary.to_string()]);
        }
        format!(
            "test, mean ± sd over {} parts (folds × seeds)\n{}",
            self.parts.len(),
            table.text()
        )
    }

    fn write(&self, folder: &RunFolder) -> Result<()> {
        let several = self.parts.len() > 1;
        for result in &self.parts {
            let place = folder.part(&result.part, self.parts.len());
            place.write_json("test.json", &json!(result.scores))?;
            result.write_tables(place.path())?;
        }
        if several {
            let part = |p: &PartResult| json!({"fold": p.part.fold, "seed": p.part.seed, "test": p.scores});
            let parts: Vec<_> = self.parts.iter().map(part).collect();
            folder.write_json(
                "test.json",
                &json!({"summary": self.summary, "parts": parts}),
            )?;
        }
        Ok(())
    }
}

impl PartResult {
    fn text(&self) -> String {
        let mut text = format!(
            "test, {} windows, {}\n",
            self.scores.windows, self.data.config.model
        );
        for target in &self.scores.targets {
            let unit = match target.unit.as_str() {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            text += &format!(
                "{}{unit}\n{}",
                target.target,
                target.table(&self.scores.report).text()
            );
        }
        if let Some(q) = &self.scores.quantiles {
            text += &format!(
                "CRPS {}, {} of targets in the {:.0} % interval of mean width {}\n",
                cell(q.crps),
                percent(q.coverage),
                q.interval * 100.0,
                cell(q.width)
            );
        }
        text
    }

    /// Forecast of window `i`, raw units.
    pub fn forecast(&self, i: usize, node: usize, step: usize, target: usize) -> &[f64] {
        let config = &self.data.config;
        let (v, h, k, q) = (
            self.data.nodes(),
            config.horizon,
            config.targets.len(),
            config.outputs(),
        );
        let from = (((i * v + node) * h + step) * k + target) * q;
        self.forecasts.get(from..from + q).unwrap_or_default()
    }

    fn write_tables(&self, folder: &Path) -> Result<()> {
        let data = &self.data;
        let nodes = 0..data.nodes();
        let per_node = |k: usize| nodes.clone().map(move |v| self.errors.node(k, v));
        let mut columns = vec![(
            "sensor".to_string(),
            Column::Text(data.series.sensors.clone()),
        )];
        for (k, name) in data.config.targets.iter().enumerate() {
            let prefix = match data.config.targets.len() {
                1 => String::new(),
                _ => format!("{name}_"),
            };
            let column = |of: fn(&Scores) -> Option<f64>| {
                Column::OptionF64(per_node(k).map(|s| of(&s)).collect())
            };
            columns.push((format!("{prefix}mae"), column(|s| s.mae)));
            columns.push((format!("{prefix}rmse"), column(|s| s.rmse)));
            columns.push((format!("{prefix}mape"), column(|s| s.mape)));
            columns.push((
                format!("{prefix}observed"),
                Column::I64(per_node(k).map(|s| s.n as i64).collect()),
            ));
        }
        let columns = columns
            .iter()
            .map(|(n, c)| (n.as_str(), c.clone()))
            .collect();
        table::write_csv(folder.join("nodes.csv"), &table::batch(columns)?)?;
        if self.forecasts.is_empty() {
            log::warn!(
                "{} windows are too many to write every forecast; predictions.parquet is left out",
                self.windows.len()
            );
            return Ok(());
        }
        self.write_predictions(&folder.join("predictions.parquet"))
    }

    /// A row per window, sensor, target and step.
    fn write_predictions(&self, path: &Path) -> Result<()> {
        let data = &self.data;
        let config = &data.config;
        let (v, h, k) = (data.nodes(), config.horizon, config.targets.len());
        let rows = || {
            (0..self.windows.len()).flat_map(move |i| {
                (0..v).flat_map(move |node| {
                    (0..h).flat_map(move |step| (0..k).map(move |target| (i, node, step, target)))
                })
            })
        };
        let at = |i: usize, step: usize| self.windows[i].0 + config.history + step;
        let mut columns = vec![
            (
                "window".to_string(),
                Column::I64(rows().map(|(i, ..)| self.windows[i].0 as i64).collect()),
            ),
            (
                "sensor".into(),
                Column::Text(
                    rows()
                        .map(|(_, n, ..)| data.series.sensors[n].clone())
                        .collect(),
                ),
            ),
            (
                "step".into(),
                Column::I64(rows().map(|(.., s, _)| s as i64 + 1).collect()),
            ),
        ];
        if data.series.time.is_some() {
            let stamp = |(i, _, s, _): (usize, usize, usize, usize)| {
                data.calendar
                    .stamp(at(i, s))
                    .map(write_stamp)
                    .unwrap_or_default()
            };
            columns.push(("time".into(), Column::Text(rows().map(stamp).collect())));
        }
        if k > 1 {
            let names = rows().map(|(.., t)| config.targets[t].clone()).collect();
            columns.push(("target".into(), Column::Text(names)));
        }
        let observed = rows().map(|(i, n, s, t)| data.target_at(at(i, s), n, t).map(f64::from));
        columns.push(("observed".into(), Column::OptionF64(observed.collect())));
        let median = config.median();
        let value = |q: usize| {
            Column::F64(
                rows()
                    .map(|(i, n, s, t)| self.forecast(i, n, s, t)[q])
                    .collect(),
            )
        };
        columns.push(("forecast".into(), value(median)));
        for (q, level) in config.quantiles.iter().enumerate() {
            columns.push((format!("q{level}"), value(q)));
        }
        let columns = columns
            .iter()
            .map(|(n, c)| (n.as_str(), c.clone()))
            .collect();
        table::write_parquet(path, &table::batch(columns)?)
    }
}
