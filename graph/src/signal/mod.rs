//! Signals before they are cut into windows: filters, references, trends, spectra.
//!
//! Functions take (nodes, time) arrays of `f32`, work on the nodes in parallel and compute in
//! `f64`: recordings often carry an offset thousands of times larger than what is of interest.

pub mod extract;
pub mod features;
pub mod filter;
mod local;
pub mod montage;
pub mod power;
pub mod resample;
pub mod robust;
pub mod spectrum;
pub mod steps;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

pub use features::{FeatureConfig, Standardize, Transform};
pub use filter::{Band, BesselNorm, Filter, FilterStream, Initial, Section};
pub(crate) use local::{Stretches, Times};
pub use montage::{Montage, Reference};
pub use resample::ResampleMethod;
pub use robust::RejectConfig;
pub use steps::Step;

/// What to subtract from a signal before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detrend {
    /// Nothing.
    #[default]
    None,
    /// The mean over time of each node.
    Constant,
    /// The least-squares line over time of each node.
    Linear,
}

/// A number that signals consist of: `f32` or `f64`. What is computed, is computed in `f64`.
pub trait Sample: Copy + Default + Send + Sync + sealed::Sealed + 'static {
    /// Exactly this number.
    fn to_f64(self) -> f64;
    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Sample for f32 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Sample for f64 {
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// Applies `f` to every node's signal in `f64`.
pub(crate) fn each_node<T: Sample>(
    x: &mut ArrayViewMut2<'_, T>,
    f: impl Fn(&mut Vec<f64>) + Sync + Send,
) {
    x.axis_iter_mut(Axis(0))
        .into_par_iter()
        .for_each(|mut row| {
            let mut values: Vec<f64> = row.iter().map(|v| v.to_f64()).collect();
            f(&mut values);
            for (to, from) in row.iter_mut().zip(values) {
                *to = T::from_f64(from);
            }
        });
}

/// Subtracts mean or line from each node of (nodes, time).
pub fn detrend<T: Sample>(mut x: ArrayViewMut2<'_, T>, kind: Detrend) {
    if kind == Detrend::None || x.is_empty() {
        return;
    }
    each_node(&mut x, |v| {
        let n = v.len() as f64;
        let mean = v.iter().sum::<f64>() / n;
        let centre = (n - 1.0) / 2.0;
        let mut slope = 0.0;
        if kind == Detrend::Linear && v.len() > 1 {
            let covariance: f64 = v
                .iter()
                .enumerate()
                .map(|(i, y)| (i as f64 - centre) * (y - mean))
                .sum();
            // The sum of (i - centre)^2 over 0..n.
            slope = covariance / (n * (n * n - 1.0) / 12.0);
        }
        for (i, y) in v.iter_mut().enumerate() {
            *y -= mean + slope * (i as f64 - centre);
        }
    });
}

/// Common average reference: subtracts the mean over the nodes at each time step of (nodes,
/// time).
pub fn common_average(mut x: ArrayViewMut2<'_, f32>) {
    let nodes = x.nrows() as f64;
    for mut column in x.columns_mut() {
        let mean = column.iter().map(|v| f64::from(*v)).sum::<f64>() / nodes;
        column.mapv_inplace(|v| (f64::from(v) - mean) as f32);
    }
}

/// Keeps every `factor`-th sample of (nodes, time), starting with the first, after an
/// anti-alias low-pass: Butterworth of order 8 at 0.8 of the new Nyquist frequency.
pub fn decimate(x: ArrayView2<'_, f32>, factor: usize, zero_phase: bool) -> Array2<f32> {
    let mut y = x.to_owned();
    if factor <= 1 {
        return y;
    }
    if let Some(filter) = anti_alias(factor) {
        filter.apply(y.view_mut(), zero_phase);
    }
    y.slice(ndarray::s![.., ..;factor]).to_owned()
}

fn anti_alias(factor: usize) -> Option<Filter> {
    // In units of the sampling rate the old Nyquist frequency is 0.5.
    Filter::butterworth(8, Band::Lowpass(0.4 / factor as f64), 1.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn linear_detrend_matches_scipy() {
        // scipy.signal.detrend([1, 3, 2, 7, 5.5])
        let mut x = arr2(&[[1.0f32, 3.0, 2.0, 7.0, 5.5]]);
        detrend(x.view_mut(), Detrend::Linear);
        for (a, b) in x.iter().zip([-0.1, 0.6, -1.7, 2.0, -0.8]) {
            assert!((a - b).abs() < 1e-6, "{x}");
        }
        let mut y = arr2(&[[1.0f32, 3.0], [1e6, 1e6 + 1.0]]);
        detrend(y.view_mut(), Detrend::Constant);
        assert_eq!(y, arr2(&[[-1.0, 1.0], [-0.5, 0.5]]));
    }

    #[test]
    fn average_reference_sums_to_zero() {
        let mut x = arr2(&[[1.0f32, 5.0], [3.0, 1.0]]);
        common_average(x.view_mut());
        assert_eq!(x, arr2(&[[-1.0, 2.0], [1.0, -2.0]]));
    }

    #[test]
    fn decimation_keeps_slow_and_removes_what_would_alias() {
        let tone = |cycles: f64| {
            Array2::from_shape_fn((1, 800), |(_, t)| {
                (std::f64::consts::TAU * cycles * t as f64).sin() as f32
            })
        };
        let slow = decimate(tone(0.01).view(), 4, true);
        assert_eq!(slow.dim(), (1, 200));
        for t in 50..150 {
            let expected = (std::f64::consts::TAU * 0.04 * t as f64).sin();
            assert!((f64::from(slow[[0, t]]) - expected).abs() < 1e-3);
        }
        // 0.24 of the old rate would appear at 0.04 of the new one.
        let fast = decimate(tone(0.24).view(), 4, true);
        assert!(fast.iter().skip(50).take(100).all(|v| v.abs() < 1e-3));
    }
}
