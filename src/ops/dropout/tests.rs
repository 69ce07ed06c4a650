//! Shares, independence and gradients of the draws.

use burn::tensor::{Device, Tensor};

use super::dropout;

const N: usize = 200_000;

fn kept(device: &Device, rate: f64, seeds: [f32; 2], salt: u32) -> Vec<f32> {
    let x = Tensor::<2>::full([N / 4, 4], 2.0, device);
    let seeds = Tensor::<1>::from_floats(seeds, &device.clone().inner());
    let y = dropout(x, rate, seeds, salt);
    y.into_data().iter::<f32>().collect()
}

fn share(values: impl Iterator<Item = bool>) -> f64 {
    values.filter(|v| *v).count() as f64 / N as f64
}

fn check(device: &Device) {
    for rate in [0.1, 0.5, 0.9] {
        let one = kept(device, rate, [3.0, 16_777_215.0], 0);
        assert_eq!(one, kept(device, rate, [3.0, 16_777_215.0], 0));
        let scaled = (2.0 / (1.0 - rate)) as f32;
        let wrong = one
            .iter()
            .filter(|v| **v != 0.0 && (**v - scaled).abs() > 1e-5);
        assert_eq!(wrong.count(), 0);
        // Five standard deviations of a share of N draws.
        let slack = 5.0 * (rate * (1.0 - rate) / N as f64).sqrt();
        let zeros = share(one.iter().map(|v| *v == 0.0));
        assert!((zeros - rate).abs() < slack, "{zeros} of {rate}");
        for (seeds, salt) in [
            ([4.0, 16_777_215.0], 0),
            ([3.0, 16_777_214.0], 0),
            ([3.0, 16_777_215.0], 1),
        ] {
            let other = kept(device, rate, seeds, salt);
            let both = share(one.iter().zip(&other).map(|(a, b)| *a == 0.0 && *b == 0.0));
            assert!((both - rate * rate).abs() < slack, "{both}, rate {rate}");
        }
        let next = share(one.windows(2).map(|w| w[0] == 0.0 && w[1] == 0.0));
        assert!((next - rate * rate).abs() < slack, "{next}, rate {rate}");
    }
    assert!(kept(device, 0.0, [1.0, 2.0], 7).iter().all(|v| *v == 2.0));
}

fn check_gradient(device: &Device) {
    let device = device.clone().autodiff();
    let x = Tensor::<1>::ones([1000], &device).require_grad();
    let seeds = Tensor::<1>::from_floats([1.0, 2.0], &device.clone().inner());
    let y = dropout(x.clone(), 0.5, seeds, 3);
    let grads = y.clone().sum().backward();
    let grad: Vec<f32> = x.grad(&grads).unwrap().into_data().iter::<f32>().collect();
    assert_eq!(grad, y.into_data().iter::<f32>().collect::<Vec<_>>());
    assert!(grad.contains(&0.0) && grad.contains(&2.0));
}

#[test]
fn draws_are_fair_and_independent() {
    check(&Device::flex());
    check_gradient(&Device::flex());
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU or Mesa's software Vulkan"]
fn draws_are_those_of_the_cpu_on_a_gpu() {
    let gpu = Device::wgpu(Default::default());
    check_gradient(&gpu);
    for rate in [0.1, 0.5] {
        let here = kept(&Device::flex(), rate, [5.0, 9.0], 2);
        assert_eq!(kept(&gpu, rate, [5.0, 9.0], 2), here);
    }
}
