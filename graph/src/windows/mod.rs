//! From recordings to the equally shaped, labelled windows of a [`Dataset`](crate::Dataset).

mod check;
pub(crate) use check::alike;
mod config;
mod dataset;
mod gather;
mod layout;
mod lazy;
mod long;
mod mask;
mod missing;
mod recording;
mod shard;
mod store;
#[cfg(test)]
mod tests;

use ndarray::Array2;

pub use config::{Unit, WindowConfig};
pub use dataset::cut;
use dataset::{attempt, nothing};
pub(crate) use gather::{Affine, Copied, each_row};
pub use lazy::{LazySet, join};
pub(crate) use lazy::{absorb, seen_throughout};
pub use long::{Long, ReadSteps};
pub use mask::Mask;
pub use missing::Missing;
pub use shard::Shard;
pub use store::{Block, Order, Piece, Starts, Windows};

use crate::{DatasetInfo, Recording, SourceFile};

/// Recordings of one data set and what they share.
#[derive(Debug, Clone)]
pub struct RecordingSet {
    pub info: DatasetInfo,
    /// Sensor names, in the order of the nodes.
    pub sensors: Vec<String>,
    /// Sensor positions, (nodes, 2 or 3), metres.
    pub positions: Option<Array2<f64>>,
    /// Adjacency that came with the data, (nodes, nodes), entry [target, source].
    pub adjacency: Option<Array2<f32>>,
    /// Class names.
    pub classes: Vec<String>,
    /// The recordings; all have the same nodes and features.
    pub recordings: Vec<Recording>,
    /// Files read.
    pub sources: Vec<SourceFile>,
}

impl RecordingSet {
    /// A set of these sensors and classes, without recordings yet.
    pub fn new(info: DatasetInfo, sensors: Vec<String>, classes: &[&str]) -> Self {
        Self {
            info,
            sensors,
            positions: None,
            adjacency: None,
            classes: classes.iter().map(|c| c.to_string()).collect(),
            recordings: Vec::new(),
            sources: Vec::new(),
        }
    }
}
