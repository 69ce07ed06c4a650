//! Ways from files to batches that `data bench` measures.

mod batches;
mod edf;

pub use batches::{BATCH_CASES, BatchCase, BatchSpeed, LARGE_CASES, cached_batches};
pub use edf::edf_windows;

/// A step and how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lap {
    /// `read`, `filter`, `resample` or `window`.
    pub step: &'static str,
    pub seconds: f64,
}
