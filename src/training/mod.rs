//! The training loop and everything around it.
//!
//! ```text
//! Dataset, Fold -> FoldData -> Loader -> Batch -> tensors -> loss -> gradients -> optimiser
//!                                                          -> scores -> metrics -> best, last
//! ```

pub mod checkpoint;
pub mod classification;
pub mod config;
pub mod data;
pub mod history;
pub mod loss;
pub mod metrics;
pub mod optimizer;
pub mod random;
pub mod schedule;
pub mod trainer;
