//! The exact product against the framework's in f64, values and gradients.

use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor};

use super::{Precision, exact, matmul, precision, set_precision};

/// Y, dA and dB of Σ W ⊙ (A B), in f64.
fn results<const D: usize>(
    [a, b, w]: [Tensor<D>; 3],
    device: &Device,
    dtype: FloatDType,
    product: fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
) -> [Vec<f64>; 3] {
    let device = device.clone().autodiff();
    let [a, b, w] = [a, b, w].map(|x| Tensor::<D>::from_data(x.into_data(), &device).cast(dtype));
    let (a, b) = (a.require_grad(), b.require_grad());
    let y = product(a.clone(), b.clone());
    let grads = (y.clone() * w).sum().backward();
    let [da, db] = [a, b].map(|x| x.grad(&grads).expect("a gradient").into_data());
    [y.into_data(), da, db].map(|data| data.iter::<f64>().collect())
}

fn check<const D: usize>(device: &Device, left: [usize; D], right: [usize; D]) {
    let mut out = left;
    for axis in 0..D - 2 {
        out[axis] = left[axis].max(right[axis]);
    }
    out[D - 1] = right[D - 1];
    let operands = [left, right, out]
        .map(|shape| Tensor::<D>::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex()));
    let want = results(
        operands.clone(),
        &Device::flex(),
        FloatDType::F64,
        Tensor::matmul,
    );
    let got = results(operands, device, FloatDType::F32, exact);
    for ((got, want), name) in got.iter().zip(&want).zip(["Y", "dA", "dB"]) {
        assert_eq!(got.len(), want.len(), "{name} of {left:?} {right:?}");
        let rms = (want.iter().map(|x| x * x).sum::<f64>() / want.len() as f64).sqrt();
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got - want).abs() <= 3e-6 * rms.max(1.0),
                "{name} of {left:?} {right:?}: {got} instead of {want}"
            );
        }
    }
}

fn check_all(device: &Device) {
    check(device, [1, 1], [1, 1]);
    check(device, [65, 33], [33, 129]);
    check(device, [5, 40, 16], [1, 16, 12]);
    check(device, [1, 19, 21], [3, 21, 70]);
    check(device, [4, 7, 3], [4, 3, 5]);
    check(device, [2, 1, 9, 11], [1, 3, 11, 6]);
}

#[test]
fn agrees_with_f64_on_the_cpu() {
    check_all(&Device::flex());
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a Vulkan driver and a minute"]
fn agrees_with_f64_on_a_gpu() {
    check_all(&Device::wgpu(Default::default()));
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a Vulkan driver"]
fn a_transposed_view_is_read_in_place_and_right() {
    let device = Device::wgpu(Default::default());
    let random = |shape| Tensor::<3>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
    let (a, b) = (random([2, 30, 17]), random([2, 41, 30]));
    let got = exact(a.clone().swap_dims(1, 2), b.clone().swap_dims(1, 2)).into_data();
    let cpu = Device::flex();
    let [a, b] = [a, b].map(|x| {
        Tensor::<3>::from_data(x.into_data(), &cpu)
            .cast(FloatDType::F64)
            .swap_dims(1, 2)
    });
    let want = a.matmul(b).into_data();
    for (got, want) in got.iter::<f64>().zip(want.iter::<f64>()) {
        assert!((got - want).abs() < 1e-5, "{got} instead of {want}");
    }
}

#[test]
fn precision_starts_exact_and_can_be_chosen() {
    assert_eq!(precision(), Precision::Exact);
    set_precision(Precision::Fast);
    assert_eq!(precision(), Precision::Fast);
    set_precision(Precision::Exact);
    assert_eq!(precision(), Precision::Exact);
}

#[test]
#[should_panic(expected = "no matrix product")]
fn shapes_that_do_not_fit_are_refused() {
    let zeros = |shape| Tensor::<2>::zeros(shape, &Device::flex());
    exact(zeros([2, 3]), zeros([4, 2]));
}

#[test]
fn the_cpu_keeps_f64() {
    let wide = |data: [f64; 2], shape| {
        let data = burn::tensor::TensorData::new(data.to_vec(), shape);
        Tensor::<2>::from_data(data, (&Device::flex(), DType::F64))
    };
    let y = matmul(wide([1.0, 1e-12], [1, 2]), wide([1.0, 1.0], [2, 1]));
    assert_eq!(y.dtype(), DType::F64);
    assert_eq!(y.into_data().iter::<f64>().next(), Some(1.0 + 1e-12));
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a Vulkan driver"]
fn gemm_overwrites_adds_and_sums_over_the_batch() {
    use burn::backend::DispatchDevice;
    use burn::tensor::Shape;
    use burn_cubecl::tensor::CubeTensor;

    let device = Device::wgpu(Default::default());
    let DispatchDevice::Cube(device) = device.as_dispatch() else {
        panic!("wgpu is a cube device")
    };
    let client = device.client();
    let upload = |data: &[f32], shape: [usize; 3]| {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let buffer = client.create_from_slice(&bytes);
        let (client, shape) = (client.clone(), Shape::new(shape));
        CubeTensor::new_contiguous(client, device.clone(), shape, buffer, DType::F32)
    };
    // Small whole numbers: every sum is exact. k is long enough to be cut into parts.
    let (batch, m, k, n) = (2, 3, 600, 5);
    let number = |i: usize, b: usize| ((i * 7 + b * 3) % 11) as f32 - 5.0;
    let a: Vec<f32> = (0..m * k).map(|i| number(i, 0)).collect();
    let b: Vec<f32> = (0..batch * k * n).map(|i| number(i, 1)).collect();
    let term = |x: usize, i: usize, j: usize| -> f32 {
        (0..k).map(|q| a[q * m + i] * b[(x * n + j) * k + q]).sum()
    };
    for (many, accumulate) in [(2, false), (2, true), (1, false), (1, true)] {
        let start = if accumulate { 9.0 } else { f32::NAN };
        let out = upload(&vec![start; many * m * n], [many, m, n]);
        // A is stored (1, k, m), B (2, n, k).
        let (a, b) = (upload(&a, [1, k, m]), upload(&b, [batch, n, k]));
        let y = super::gemm(a, b, Some(out), true, true, accumulate);
        let bytes = client.read_one_unchecked(y.handle);
        for (at, value) in bytes.chunks_exact(4).enumerate() {
            let (x, i, j) = (at / (m * n), at / n % m, at % n);
            let sum = if many == 2 {
                term(x, i, j)
            } else {
                term(0, i, j) + term(1, i, j)
            };
            let want = sum + if accumulate { 9.0 } else { 0.0 };
            let got = f32::from_le_bytes([value[0], value[1], value[2], value[3]]);
            assert_eq!(got, want, "{many} {accumulate} at {x}, {i}, {j}");
        }
    }
}
