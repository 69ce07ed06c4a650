//! Named data sets, and folders with a `dataset.toml`.

use super::InspectOptions;
use super::record::Inspection;
use super::recordings::{of_lazy, of_recordings};
use super::series::of_series;
use crate::datasets::{
    DatasetConfig, Recordings, SeriesConfig, SeriesSet, load_series, names, open_recordings,
    series_names,
};
use crate::series::{Duplicates, Gaps, Order, TimePolicy};
use crate::{DatasetInfo, Error, Result};

pub(super) fn inspect(target: &str, options: &InspectOptions) -> Result<Inspection> {
    if let Some(name) = series_name(target) {
        return series(name, options);
    }
    match open_set(target, options)? {
        Recordings::Read(set) => of_recordings(&set),
        Recordings::Lazy(set) => of_lazy(&set),
    }
}

/// A set that is no series.
pub(super) fn open_set(target: &str, options: &InspectOptions) -> Result<Recordings> {
    let config = DatasetConfig {
        name: target.into(),
        data_dir: options.data_dir.clone(),
        task: options.task,
        channels: options.channels.clone(),
        split_file: options.split_file.clone(),
        accept: options.accept.clone(),
        ..Default::default()
    };
    open_recordings(&config).map_err(|e| match e {
        // The name may be a misspelt one of a series.
        Error::Unknown {
            kind: "data set", ..
        } => Error::unknown("data set", target, &[names(), series_names()].concat()),
        other => other,
    })
}

/// The name of a series of that name.
pub(super) fn series_name(target: &str) -> Option<&'static str> {
    let hyphens = target.replace('_', "-").to_lowercase();
    series_names().iter().copied().find(|n| *n == hyphens)
}

/// Reads a series whatever its clock is like: that is what inspecting is for.
pub(super) fn read_series(name: &str, options: &InspectOptions) -> Result<SeriesSet> {
    load_series(&SeriesConfig {
        name: name.into(),
        data_dir: options.data_dir.clone(),
        clock: Some(TimePolicy {
            order: Order::Sort,
            duplicates: Duplicates::First,
            gaps: Gaps::Keep,
        }),
        ..Default::default()
    })
}

fn series(name: &str, options: &InspectOptions) -> Result<Inspection> {
    let set = read_series(name, options)?;
    let mut found = of_series(&set.series);
    let p = &set.protocol;
    let reported: Vec<String> = p.report.iter().map(usize::to_string).collect();
    found.fact(
        "forecast",
        format!(
            "{} from {} steps, {} ahead, reported at {}",
            p.targets.join(", "),
            p.history,
            p.horizon,
            reported.join(", ")
        ),
    );
    let starts = p.split.starts(set.series.len(), p.history, p.horizon)?;
    let sizes = [&starts.train, &starts.validation, &starts.test].map(|s| s.len().to_string());
    found.fact("train / validation / test windows", sizes.join(" / "));
    found.fact("protocol", &p.source);
    if set.clock.unordered > 0 {
        found.warn(format!(
            "{} steps are earlier than the one before",
            set.clock.unordered
        ));
    }
    if set.clock.duplicates > 0 {
        found.warn(format!(
            "{} steps have the time of another",
            set.clock.duplicates
        ));
    }
    Ok(found)
}

pub(super) fn facts_of(found: &mut Inspection, info: &DatasetInfo) {
    found.fact("title", &info.title);
    found.fact("licence", &info.licence);
    found.fact("cite", &info.citation);
}
