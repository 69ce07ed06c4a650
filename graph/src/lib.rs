//! The data layer of `tgmamba`: from files to batches.
//!
//! ```text
//! files -> formats -> Recording -> signal -> windows -> Dataset -> split -> scale -> loader -> Batch
//! ```
//!
//! It knows nothing of tensors or devices: arrays are `ndarray`, tables are `arrow`, the sensor
//! graph is a `petgraph`. Letters: `b` batch, `v`/`w` vertices, `l` time, `f` features.

pub mod cache;
pub mod datasets;
pub mod electrodes;
pub mod error;
pub mod fetch;
pub mod files;
pub mod formats;
pub mod inspect;
pub mod loader;
pub mod node_features;
pub mod preparation;
pub mod recording;
pub mod scale;
pub mod series;
pub mod signal;
pub mod speed;
pub mod split;
pub mod table;
pub mod topology;
pub mod windows;

pub use error::{Error, Result};
pub use recording::{Dataset, DatasetInfo, Labels, Part, Recording, SourceFile, Span};
pub use series::Series;
