//! Errors, shared with the data layer: what, where, and what to do.

pub use tgmamba_graph::{Error, Result};
