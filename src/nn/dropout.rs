//! Dropout as a layer.

use std::cell::RefCell;

use burn::module::Module;
use burn::tensor::{Distribution, Tensor};

use crate::ops::dropout::{SEEDS, dropout};

/// Zeroes numbers in training, and nothing else: see [`dropout`].
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    rate: f64,
}

/// Where layers draw from.
struct Source {
    seeds: Tensor<1>,
    /// Layers that have drawn.
    salt: u32,
}

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Runs `f`, whose layers on this thread draw from `seeds`, (2), each for itself.
pub fn seeded<T>(seeds: Tensor<1>, f: impl FnOnce() -> T) -> T {
    let before = SOURCE.replace(Some(Source { seeds, salt: 0 }));
    let value = f();
    SOURCE.replace(before);
    value
}

impl Dropout {
    /// With the probability of a zero, in 0..1.
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// x without autodiff, else x with zeros, from the seeds of [`seeded`], or from the device's
    /// generator outside it.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if self.rate == 0.0 || !x.device().is_autodiff() {
            return x;
        }
        let drawn = SOURCE.with_borrow_mut(|source| {
            source.as_mut().map(|source| {
                source.salt += 1;
                (source.seeds.clone(), source.salt)
            })
        });
        let (seeds, salt) = drawn.unwrap_or_else(|| {
            let range = Distribution::Uniform(0.0, f64::from(SEEDS));
            let device = x.device().inner();
            (Tensor::random([2], range, &device).floor(), 0)
        });
        dropout(x, self.rate, seeds, salt)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn layers_draw_apart_and_repeat() {
        let (here, tracked) = (Device::flex(), Device::flex().autodiff());
        let layer = Dropout::new(0.5);
        let run = |seed: f32| {
            let seeds = Tensor::<1>::from_floats([seed, 0.0], &here);
            let x = || Tensor::<1>::ones([64], &tracked);
            seeded(seeds, || [layer.forward(x()), layer.forward(x())])
                .map(|y| y.into_data().iter::<f32>().collect::<Vec<_>>())
        };
        let [first, second] = run(1.0);
        assert_ne!(first, second);
        assert_eq!(run(1.0), [first.clone(), second]);
        assert_ne!(run(2.0)[0], first);
        let ones = Tensor::<1>::ones([64], &here);
        let same = layer.forward(ones.clone());
        assert_eq!(same.into_data(), ones.into_data());
        let outside = layer.forward(Tensor::<1>::ones([64], &tracked));
        let values: Vec<f32> = outside.into_data().iter::<f32>().collect();
        assert!(values.contains(&0.0) && values.contains(&2.0));
    }
}
