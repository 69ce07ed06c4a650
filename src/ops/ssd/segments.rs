//! Ids of packed sequences, brought into the form that the scan needs.

use burn::tensor::{Bool, Int, Tensor};

/// Packed sequences of a scan.
pub struct Segments {
    /// The sequence whose state a step sees, (b, l): its own or, where it is padding, the one before
    /// it (0 at the start).
    pub owner: Tensor<2, Int>,
    /// Which steps are padding, (b, l).
    pub padding: Tensor<2, Bool>,
}

impl Segments {
    pub fn new(seq_idx: Tensor<2, Int>) -> Self {
        Self {
            padding: seq_idx.clone().lower_elem(0),
            // Ids increase along time, so that the largest so far is the last one.
            owner: seq_idx.clamp_min(0).cummax(1),
        }
    }

    /// Zeros in the padding of (b, l, ..).
    pub fn silence<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let mut narrow = [1; D];
        narrow[..2].copy_from_slice(&shape[..2]);
        x.mask_fill(self.padding.clone().reshape(narrow).expand(shape), 0)
    }
}
