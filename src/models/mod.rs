//! Layers made into whole models.

pub mod classifier;
pub mod config;
pub mod language_model;
pub mod weights;

pub use classifier::{Classifier, StreamState};
pub use config::{DtRank, ModelConfig, SeqPool, VertexPool};
pub use language_model::{LanguageModel, LanguageModelConfig, MixerConfig};
