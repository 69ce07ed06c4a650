//! The table of epochs, `metrics.csv`.

use std::collections::BTreeSet;
use std::path::Path;

use tgmamba_graph::table::{self, Column};

use crate::error::Result;
use crate::report::EpochRecord;

/// Writes the table: a row per epoch with `epoch, train_loss, val_loss, val_METRIC..., lr, seconds,
/// loader_seconds`; the file is replaced whole.
///
/// # Errors
/// An unwritable folder.
pub fn write(path: &Path, epochs: &[EpochRecord]) -> Result<()> {
    let optional =
        |f: &dyn Fn(&EpochRecord) -> Option<f64>| Column::OptionF64(epochs.iter().map(f).collect());
    let number = |f: fn(&EpochRecord) -> f64| Column::F64(epochs.iter().map(f).collect());
    let names: BTreeSet<&String> = epochs.iter().flat_map(|e| e.metrics.keys()).collect();
    let named: Vec<(String, Column)> = names
        .into_iter()
        .map(|name| {
            let column = optional(&|e| e.metrics.get(name).copied());
            (format!("val_{}", name.replace('-', "_")), column)
        })
        .collect();
    let mut columns = vec![
        (
            "epoch",
            Column::I64(epochs.iter().map(|e| e.epoch as i64).collect()),
        ),
        ("train_loss", number(|e| e.train_loss)),
        ("val_loss", optional(&|e| e.val_loss)),
    ];
    columns.extend(named.iter().map(|(name, c)| (name.as_str(), c.clone())));
    columns.push(("lr", number(|e| e.lr)));
    columns.push(("seconds", number(|e| e.seconds)));
    columns.push(("loader_seconds", number(|e| e.loader_seconds)));
    table::write_csv(path, &table::batch(columns)?)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// A missing or damaged file.
pub fn read(path: &Path) -> Result<Vec<EpochRecord>> {
    let batch = table::read_csv(path)?;
    let number = |name: &str| table::f64_column(&batch, name);
    let epochs = table::i64_column(&batch, "epoch")?;
    let (train, lr, seconds) = (number("train_loss")?, number("lr")?, number("seconds")?);
    let validation = number("val_loss")?;
    // Runs of earlier versions do not have it.
    let loader = match batch.column_by_name("loader_seconds") {
        Some(_) => number("loader_seconds")?,
        None => vec![f64::NAN; epochs.len()],
    };
    let names: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .filter_map(|f| f.name().strip_prefix("val_").map(str::to_string))
        .filter(|name| name != "loss")
        .collect();
    let mut metrics = Vec::with_capacity(names.len());
    for name in &names {
        metrics.push((name.replace('_', "-"), number(&format!("val_{name}"))?));
    }
    let known = |v: f64| (!v.is_nan()).then_some(v);
    Ok((0..epochs.len())
        .map(|i| EpochRecord {
            epoch: epochs[i] as usize,
            train_loss: train[i],
            val_loss: known(validation[i]),
            metrics: metrics
                .iter()
                .filter_map(|(name, values)| Some((name.clone(), known(values[i])?)))
                .collect(),
            lr: lr[i],
            seconds: seconds[i],
            loader_seconds: loader[i],
        })
        .collect())
}
