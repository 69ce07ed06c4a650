//! Numerical operations: each a folder with the function and its formula in `mod.rs`, the readable
//! version in plain tensor operations in `reference.rs`.

pub mod graph_scan;

pub use graph_scan::{GraphMixing, ScanInput, ScanOutput, graph_scan};
