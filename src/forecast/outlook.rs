//! The next steps after the last observation: what a forecast is made for.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::series::write_stamp;
use tgmamba_graph::table::{self, Column};

use super::data::ForecastData;
use super::evaluation::best_forecaster;
use super::naive::Naive;
use super::objective::{Piece, predict};
use super::resolve;
use crate::error::{Error, Result};
use crate::run::RunFolder;

/// Forecasts the h steps after the last one of the series as it is now, with the last fold's model of
/// the first seed, and writes a row for each sensor, step and target to `output` (`.csv` or
/// `.parquet`): sensor, step, time where known, forecast, and its quantiles. Returns the number of
/// rows.
///
/// The series may have grown since training; scale and weights stay those of training.
///
/// # Errors
/// A run that has not been trained, other sensors, a series shorter than in training, or a file that
/// cannot be written.
pub fn write(
    folder: &RunFolder,
    output: &Path,
    device: &Device,
    cache: &CacheOptions,
) -> Result<usize> {
    let csv = match output.extension().and_then(|e| e.to_str()) {
        Some("csv") => true,
        Some("parquet") => false,
        _ => {
            return Err(Error::file(
                output,
                "file name",
                "says neither CSV nor Parquet",
                "name it .csv or .parquet",
            ));
        }
    };
    let config = folder.config()?;
    let series = resolve::load(&config, cache)?;
    let sensors = config.provenance.as_ref().map(|p| &p.sensors);
    if sensors.is_some_and(|s| *s != series.sensors) {
        return Err(Error::config(
            "sensors",
            "are not those the run was trained on",
            "give the same sensors in the same order, or train again",
        ));
    }
    let trained = config.provenance.as_ref().and_then(|p| p.steps);
    let (steps, trained) = (series.len(), trained.unwrap_or(series.len()));
    if trained > steps {
        return Err(Error::config(
            "series",
            format!("has {steps} steps; the run was trained on {trained}"),
            "give the series of the run, or one that has grown",
        ));
    }
    let folds = resolve::folds(&config, trained)?;
    let plan = config.parts(&folds);
    // The last origin has seen most.
    let part = &plan[folds.len() - 1];
    let place = folder.part(part, plan.len());
    let data = ForecastData::new(
        Arc::clone(&series),
        folds[part.index].clone(),
        resolve::section(&config)?,
    )?;
    let settings = &data.config;
    let start = steps.checked_sub(settings.history).ok_or_else(|| {
        Error::config(
            "history",
            format!(
                "{} steps are more than the {steps} there are",
                settings.history
            ),
            "give more steps",
        )
    })?;
    let mut values = Vec::new();
    match best_forecaster(&data, &config, &place, device)? {
        Some(model) => predict(&model, &data, &[start], 1, device, |piece: Piece| {
            values = piece.values;
            Ok(())
        })?,
        None => values = Naive::new(settings.model, &data).forecast(&[start]),
    }
    let (v, h, k, q) = (
        data.nodes(),
        settings.horizon,
        settings.targets.len(),
        settings.outputs(),
    );
    let rows =
        || (0..v).flat_map(move |n| (0..h).flat_map(move |s| (0..k).map(move |t| (n, s, t))));
    let mut columns = vec![
        (
            "sensor".to_string(),
            Column::Text(
                rows()
                    .map(|(n, ..)| data.series.sensors[n].clone())
                    .collect(),
            ),
        ),
        (
            "step".into(),
            Column::I64(rows().map(|(_, s, _)| s as i64 + 1).collect()),
        ),
    ];
    if data.series.time.is_some() {
        let stamp = |(_, s, _): (usize, usize, usize)| {
            data.calendar
                .stamp(steps + s)
                .map(write_stamp)
                .unwrap_or_default()
        };
        columns.push(("time".into(), Column::Text(rows().map(stamp).collect())));
    }
    if k > 1 {
        let names = rows().map(|(.., t)| settings.targets[t].clone()).collect();
        columns.push(("target".into(), Column::Text(names)));
    }
    let value = |i: usize| {
        let at = move |(n, s, t): (usize, usize, usize)| ((n * h + s) * k + t) * q + i;
        Column::F64(rows().map(|row| values[at(row)]).collect())
    };
    columns.push(("forecast".into(), value(settings.median())));
    for (i, level) in settings.quantiles.iter().enumerate() {
        columns.push((format!("q{level}"), value(i)));
    }
    let columns = columns
        .iter()
        .map(|(n, c)| (n.as_str(), c.clone()))
        .collect();
    let batch = table::batch(columns)?;
    match csv {
        true => table::write_csv(output, &batch)?,
        false => table::write_parquet(output, &batch)?,
    }
    Ok(v * h * k)
}
