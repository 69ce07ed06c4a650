//! On the CPU nothing is recorded: the new tensor takes the place of the old one.

use burn::backend::{Flex, tensor::FloatTensor};

use super::backend::OverwriteBackend;

impl OverwriteBackend for Flex {
    fn overwrite(_target: FloatTensor<Self>, source: FloatTensor<Self>) -> FloatTensor<Self> {
        source
    }
}
