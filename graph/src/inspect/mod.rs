//! What is in a file, a folder or a data set: recognised, read, and summed up in plain records.
//!
//! ```text
//! path -> Format (first bytes, then extension) -> reader of the format -> Inspection
//! name, folder with dataset.toml -> data set -> Inspection
//! ```
//!
//! ```no_run
//! use tgmamba_graph::inspect::{InspectOptions, inspect};
//! let found = inspect("recording.edf", &InspectOptions::default())?;
//! println!("{}: {} channels", found.format, found.channels.len());
//! for warning in &found.warnings {
//!     println!("{warning}");
//! }
//! # Ok::<(), tgmamba_graph::Error>(())
//! ```

mod arrays;
mod dataset;
pub mod excerpt;
mod figures;
mod format;
mod graphs;
mod hdf5;
mod pickled;
mod record;
mod recordings;
mod series;
mod signals;
mod table;

use std::path::{Path, PathBuf};

use crate::datasets::{Accept, Task};
use crate::formats::{pygt, ts};
use crate::series::{Feature, Series};
use crate::{Error, Result};

pub use excerpt::{Clock, Excerpt, ExcerptOptions, excerpt};
pub use figures::Figures;
pub use format::{Format, recognise};
pub use record::{
    AnnotationCount, ArrayFigures, ChannelFigures, ClassCount, ClassCounts, Fact, GapFigures,
    GraphFigures, GraphOverTime, Inspection, TimeFigures,
};
pub use recordings::{of_lazy, of_recordings};
pub use series::of_series;

/// How to look.
#[derive(Debug, Clone, Default)]
pub struct InspectOptions {
    /// Where the files of named sets are; as [`DatasetConfig`](crate::datasets::DatasetConfig).
    pub data_dir: Option<PathBuf>,
    /// Read files that are cut short, or whose annotations are damaged, as far as they go.
    pub accept_damaged: bool,
    /// Of a named set, as the fields of
    /// [`DatasetConfig`](crate::datasets::DatasetConfig) of the same names.
    pub task: Option<Task>,
    pub channels: Vec<String>,
    pub split_file: Option<PathBuf>,
    pub accept: Vec<Accept>,
}

/// Inspects a file, a folder with a `dataset.toml`, or a data set by its name.
///
/// # Errors
/// [`Error::Unknown`] for what is neither a path nor a name; [`Error::Io`] and [`Error::File`] for
/// a file that cannot be read, or is of no format that is.
pub fn inspect(target: &str, options: &InspectOptions) -> Result<Inspection> {
    let path = Path::new(target);
    let mut found = if path.is_file() && path.file_name().is_none_or(|n| n != "dataset.toml") {
        file(path, options)?
    } else {
        dataset::inspect(target, options)?
    };
    found.source = target.into();
    Ok(found)
}

fn file(path: &Path, options: &InspectOptions) -> Result<Inspection> {
    let (format, warning) = recognise(path)?;
    let mut found = match format {
        Format::Edf | Format::Bdf | Format::Gdf => signals::inspect(path, format, options)?,
        Format::Hdf5 => hdf5::inspect(path)?,
        Format::Pickle => pickled::inspect(path)?,
        Format::Parquet | Format::Arrow | Format::ArrowStream => {
            table::inspect_columns(path, format.name())?
        }
        Format::Npy | Format::Npz | Format::Mat => arrays::inspect(path, format)?,
        Format::Ts => series::of_ts(&ts::read(path)?),
        Format::Arff => table::inspect_arff(path)?,
        Format::Json => temporal_json(path)?,
        Format::GraphMl => graphs::graphml(path)?,
        Format::Table => table::inspect_text(path)?,
    };
    found.bytes = std::fs::metadata(path)
        .map_err(|e| Error::io(path, e))?
        .len();
    if let Some(warning) = warning {
        found.warnings.insert(0, warning);
    }
    Ok(found)
}

/// Describes a JSON file of PyTorch Geometric Temporal.
fn temporal_json(path: &Path) -> Result<Inspection> {
    let file = pygt::read(path)?;
    let features = file.features.iter().map(|f| Feature::new(f, "")).collect();
    let series = Series::new(Default::default(), file.nodes, features, file.values)?;
    let series = series.with_graph(file.graph)?;
    Ok(Inspection {
        format: "JSON of PyTorch Geometric Temporal".into(),
        ..of_series(&series)
    })
}

/// A number with at most six digits after the point, and no zeros at its end.
fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}
