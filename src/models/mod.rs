//! Layers made into whole models.

pub mod classifier;
pub mod config;
pub mod weights;

pub use classifier::{Classifier, StreamState};
pub use config::{DtRank, ModelConfig, SeqPool, VertexPool};
