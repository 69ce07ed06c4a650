//! What the CPU kernels of the operations share: tensors as slices of the type they compute in.

use burn::backend::{
    BackendTensor, DispatchTensor, DispatchTensorKind, Flex,
    ops::{FloatTensorOps, IntTensorOps},
    tensor::{FloatTensor, IntTensor},
};
use burn::tensor::{DType, Element, IntDType, Shape, Tensor, TensorData};

use super::simd::Real;

type T = FloatTensor<Flex>;

/// A type the CPU kernels compute in.
pub trait Computed: Real + Element + bytemuck::Pod {
    /// The numbers of a contiguous tensor of this type.
    fn values(of: &T) -> &[Self];
}

impl Computed for f32 {
    fn values(of: &T) -> &[Self] {
        of.as_slice().expect("made contiguous and cast to f32")
    }
}

impl Computed for f64 {
    fn values(of: &T) -> &[Self] {
        of.as_slice().expect("made contiguous and cast to f64")
    }
}

/// The tensor of a CPU; none for one of a GPU or with gradients.
pub fn primitive<const D: usize>(t: Tensor<D>) -> Option<T> {
    match t.into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) => Some(tensor),
        _ => None,
    }
}

/// The other way, for a device that `like` is on.
pub fn tensor<const D: usize, const E: usize>(of: T, like: &Tensor<E>) -> Tensor<D> {
    Tensor::from_dispatch(DispatchTensor {
        kind: DispatchTensorKind::Flex(BackendTensor::Float(of)),
        autodiff: like.clone().into_dispatch().autodiff,
    })
}

/// The type to compute in: half types are widened.
pub fn compute_type(x: &T) -> DType {
    match x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

pub fn from_vec<E: Element>(values: Vec<E>, shape: impl Into<Shape>) -> T {
    T::from_data(TensorData::new(values, shape))
}

pub fn cast(t: T, dtype: DType) -> T {
    match t.dtype() == dtype {
        true => t,
        false => Flex::float_cast(t, dtype.into()),
    }
}

/// Contiguous, in the type to compute in, with no other numbers in its memory.
pub fn load(t: T, dtype: DType) -> T {
    cast(t, dtype).to_contiguous()
}

/// Contiguous 32-bit integers.
pub fn load_ints(t: IntTensor<Flex>) -> Vec<i32> {
    let t = match t.dtype() {
        DType::I32 => t,
        _ => Flex::int_cast(t, IntDType::I32),
    };
    t.to_contiguous().storage::<i32>().to_vec()
}
