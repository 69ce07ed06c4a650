//! Numerical operations: each a folder with the function and its formula in `mod.rs`, the readable
//! version in plain tensor operations in `reference.rs`, kernels for the CPU in `cpu/` and for GPUs
//! in `cube/`, the backend's operation in `backend.rs` and its gradient in `autodiff.rs`.

pub mod graph_scan;
pub mod matmul;
pub mod selective_scan;
#[cfg(feature = "flex")]
mod simd;

pub use graph_scan::{GraphMixing, ScanInput, ScanOutput, graph_scan};
pub use selective_scan::{SelectiveScanInput, SelectiveScanOutput, selective_scan};
