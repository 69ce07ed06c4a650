//! The exact product on the CPU, where the framework's own is exact.

use burn::backend::{Flex, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor};

use super::backend::{MatmulBackend, shape};

type T = FloatTensor<Flex>;

impl MatmulBackend for Flex {
    fn exact_matmul(a: T, b: T, transpose_a: bool, transpose_b: bool, sum: bool) -> T {
        let shape = shape(&a.shape(), &b.shape(), transpose_a, transpose_b, sum);
        let turned = |x: T, transpose: bool| match transpose {
            true => Self::float_swap_dims(x, 1, 2),
            false => x,
        };
        let y = Self::float_matmul(turned(a, transpose_a), turned(b, transpose_b));
        match sum && y.shape() != shape {
            true => Self::float_sum_dim(y, 0),
            false => y,
        }
    }
}
