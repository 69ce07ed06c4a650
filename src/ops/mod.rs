//! Numerical operations: each a folder with the function and its formula in `mod.rs`, the readable
//! version in plain tensor operations in `reference.rs`, kernels for the CPU in `cpu/` and for GPUs
//! in `cube/`, the backend's operation in `backend.rs` and its gradient in `autodiff.rs`.

pub mod adam;
pub mod argmax;
pub mod causal_conv1d;
#[cfg(feature = "cube")]
mod cube;
pub mod dense;
pub mod dropout;
#[cfg(feature = "flex")]
mod flex;
pub mod graph_scan;
mod last_state;
pub mod matmul;
mod operand;
pub mod overwrite;
pub mod part;
pub mod rms_norm;
pub mod selective_scan;
pub mod selective_state_update;
#[cfg_attr(
    not(feature = "flex"),
    allow(dead_code, reason = "most of it is for CPU kernels")
)]
pub(crate) mod simd;
pub mod sparse;
pub mod ssd;
#[cfg(feature = "flex")]
mod team;
#[cfg(test)]
pub(crate) mod testing;

pub use causal_conv1d::causal_conv1d;
pub use graph_scan::{GraphMixing, ScanInput, ScanOutput, graph_scan, sparse_graph_scan};
pub use rms_norm::rms_norm;
pub use selective_scan::{SelectiveScanInput, SelectiveScanOutput, selective_scan};
pub use selective_state_update::{
    ChannelStep, HeadStep, selective_state_update, selective_state_update_heads,
};
pub use ssd::{SsdInput, SsdOutput, ssd};

use burn::tensor::Device;

/// Whether tensors of this device, with gradients or without, lie on the CPU.
pub(crate) fn is_cpu(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return matches!(
        device.clone().inner().as_dispatch(),
        burn::backend::DispatchDevice::Flex(_)
    );
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}
