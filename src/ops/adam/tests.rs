//! The kernels against the plain formula in f64.

use burn::tensor::{Device, Distribution, FloatDType, Tensor};

use super::{AdamStep, Moments, adam, add_squares, reference};

fn close(got: Tensor<2>, want: Tensor<2>, what: &str) {
    let got: Vec<f64> = got.into_data().iter::<f64>().collect();
    let want: Vec<f64> = want.into_data().iter::<f64>().collect();
    for (got, want) in got.iter().zip(&want) {
        let error = (got - want).abs();
        assert!(error <= 2e-6 * want.abs().max(1.0), "{what}: {got} {want}");
    }
}

fn check(device: &Device) {
    for (shape, decay, penalty) in [
        ([1, 1], 0.0, 0.0),
        ([37, 3], 0.1, 0.0),
        ([300, 70], 0.0, 0.1),
        // So many that several cubes of a GPU add up their squares.
        ([331, 199], 0.05, 0.0),
    ] {
        let step = AdamStep {
            decay,
            penalty,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
        };
        let course = |device: &Device| Tensor::<1>::from_floats([0.01, 0.19, 0.0199], device);
        let factor = |device: &Device| Tensor::<1>::from_floats([0.75], device);
        let normal = || Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex());
        let x = [normal(), normal(), normal() * 0.1, normal().square() + 0.01];
        let wide = x.clone().map(|t| t.cast(FloatDType::F64));
        let [value, grad, first, second] = x.map(|t| Tensor::from_data(t.into_data(), device));
        let squares = add_squares(Tensor::full([1], 2.0, device), grad.clone());
        let got = adam(
            Moments {
                value,
                first,
                second,
            },
            grad,
            factor(device),
            course(device),
            step,
        );
        let [value, grad, first, second] = wide;
        let sum: f64 = grad.clone().square().sum().into_scalar::<f64>() + 2.0;
        let squares = f64::from(squares.into_scalar::<f32>());
        assert!((squares - sum).abs() <= 1e-6 * sum, "{squares} {sum}");
        let moments = Moments {
            value,
            first,
            second,
        };
        let here = Device::flex();
        let want = reference::adam(moments, grad, factor(&here), course(&here), step);
        close(got.value, want.value, "value");
        close(got.first, want.first, "first moment");
        close(got.second, want.second, "second moment");
    }
}

#[test]
fn is_the_formula() {
    check(&Device::flex());
    check(&Device::flex().autodiff());
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn is_the_formula_on_a_gpu() {
    check(&Device::wgpu(Default::default()));
}
