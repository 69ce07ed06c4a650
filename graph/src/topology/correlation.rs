//! How strongly the signals of the sensors go together.

use ndarray::{Array2, Axis, s};

use crate::{Dataset, Error, Result};

/// How strongly the signals of two nodes go together, in [0, 1]: |Pearson's r| over all time steps
/// of the samples `train`, averaged over features; (nodes, nodes), diagonal 1.
///
/// Only steps where both nodes are observed count. A node whose feature is constant there
/// contributes 0 for it (on the diagonal too).
///
/// # Errors
/// When `train` is empty or names a sample that does not exist, or a value is not finite.
pub fn correlation_strength(dataset: &Dataset, train: &[usize]) -> Result<Array2<f64>> {
    let (samples, nodes, _, features) = dataset.x.dim();
    if train.is_empty() {
        return Err(Error::config(
            "train",
            "no training sample to correlate",
            "give at least one",
        ));
    }
    if let Some(bad) = train.iter().find(|i| **i >= samples) {
        return Err(Error::config(
            "train",
            format!("sample {bad} of {samples}"),
            "give indices of samples that exist",
        ));
    }
    let mut strength = Array2::<f64>::zeros((nodes, nodes));
    for feature in 0..features {
        strength += &absolute_pearson(dataset, feature, train)?;
    }
    strength /= features.max(1) as f64;
    // Rounding may carry a perfect correlation a hair above 1.
    strength.mapv_inplace(|r| r.min(1.0));
    Ok(strength)
}

/// |r| between the nodes of one feature over the samples `train`.
fn absolute_pearson(dataset: &Dataset, feature: usize, train: &[usize]) -> Result<Array2<f64>> {
    let (_, nodes, steps, _) = dataset.x.dim();
    let observed = |sample: usize| match &dataset.mask {
        None => Array2::ones((nodes, steps)),
        Some(mask) => mask.window(sample).mapv(|o| if o { 1.0 } else { 0.0 }),
    };
    // Centred by each node's own mean first: the sums below then cancel little.
    let mut mean = vec![0.0f64; nodes];
    let mut count = vec![0.0f64; nodes];
    for &sample in train {
        let seen = observed(sample);
        let window = dataset.x.window(sample);
        for node in 0..nodes {
            let row = window.slice(s![node, .., feature]);
            for (value, weight) in row.iter().zip(seen.row(node)) {
                if *weight > 0.0 {
                    if !value.is_finite() {
                        return Err(Error::config(
                            format!("sample {sample}, node {node}"),
                            format!("the signal holds {value}"),
                            "mark missing values in the mask",
                        ));
                    }
                    mean[node] += f64::from(*value);
                    count[node] += 1.0;
                }
            }
        }
    }
    for (mean, count) in mean.iter_mut().zip(&count) {
        *mean /= count.max(1.0);
    }
    // Per pair (i, j), over the steps where both are observed: how many, Σ x_i, Σ x_i², Σ x_i x_j.
    let zeros = || Array2::<f64>::zeros((nodes, nodes));
    let (mut n, mut sum, mut square, mut product) = (zeros(), zeros(), zeros(), zeros());
    for &sample in train {
        let seen = observed(sample);
        let window = dataset.x.window(sample);
        let mut x = window.index_axis(Axis(2), feature).mapv(f64::from);
        for (node, mut row) in x.rows_mut().into_iter().enumerate() {
            row -= mean[node];
        }
        x.zip_mut_with(&seen, |value, seen| {
            *value = if *seen > 0.0 { *value } else { 0.0 };
        });
        let (seen_t, x_t) = (seen.t(), x.t());
        n += &seen.dot(&seen_t);
        sum += &x.dot(&seen_t);
        square += &x.mapv(|v| v * v).dot(&seen_t);
        product += &x.dot(&x_t);
    }
    Ok(Array2::from_shape_fn((nodes, nodes), |(i, j)| {
        let n = n[[i, j]];
        let variance = |a: usize, b: usize| square[[a, b]] - sum[[a, b]] * sum[[a, b]] / n;
        // Centring is by the mean of all steps; over the steps of this pair a signal may yet be
        // constant, and then only rounding is left of the difference.
        let constant = |a: usize, b: usize, v: f64| v <= 1e-12 * square[[a, b]];
        let (vi, vj) = (variance(i, j), variance(j, i));
        if n < 2.0 || constant(i, j, vi) || constant(j, i, vj) {
            return 0.0;
        }
        let covariance = product[[i, j]] - sum[[i, j]] * sum[[j, i]] / n;
        (covariance / (vi * vj).sqrt()).abs()
    }))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4};

    use super::*;
    use crate::split::fixture::dataset;

    // numpy.corrcoef of the same arrays.
    const R01: f64 = 0.9812943924;
    const R02: f64 = 0.4819696551;
    const R12: f64 = 0.4930601545;
    const MASKED01: f64 = 0.9764162615;
    const MASKED02: f64 = 0.5500424003;

    // A fixed scramble, reproducible in numpy: ((a*7919 + b*104729 + c*1299709) % 1000) / 1000.
    fn noise(a: usize, b: usize, c: usize) -> f32 {
        ((a * 7919 + b * 104_729 + c * 1_299_709) % 1000) as f32 / 1000.0
    }

    fn signals() -> Array4<f32> {
        // Node 1 opposes node 0, node 2 is its own, node 3 is constant.
        Array4::from_shape_fn((3, 4, 8, 1), |(n, v, l, _)| match v {
            0 => 100.0 + noise(n, 0, l),
            1 => -2.0 * noise(n, 0, l) + 0.5 * noise(n, 1, l),
            2 => noise(n, 2, l),
            _ => 0.1,
        })
    }

    #[test]
    fn agrees_with_numpy() {
        let mut data = dataset(&[0, 0, 0], 1);
        data.x = signals().into();
        let r = correlation_strength(&data, &[0, 2]).unwrap();
        for ((i, j), want) in [((0, 1), R01), ((0, 2), R02), ((1, 2), R12)] {
            assert!((r[[i, j]] - want).abs() < 1e-6, "{r}");
            assert!((r[[i, j]] - r[[j, i]]).abs() < 1e-12, "{r}");
        }
        assert!((r[[0, 0]] - 1.0).abs() < 1e-12);
        assert_eq!(r.row(3).sum(), 0.0);
    }

    #[test]
    fn constants_correlate_with_nothing() {
        for constant in [0.1, 1234.567, 3.3e5, 1e-3, -7.7] {
            for steps in [5, 7, 11, 13] {
                // Node 0 is constant where node 1 is observed, and moves elsewhere.
                let seen = |l: usize| !l.is_multiple_of(3);
                let mut data = dataset(&[0, 0, 0], 1);
                data.x = Array4::from_shape_fn((3, 4, steps, 1), |(n, v, l, _)| {
                    if v == 0 && seen(l) {
                        constant
                    } else {
                        noise(n, v, l)
                    }
                })
                .into();
                let mask = Array3::from_shape_fn((3, 4, steps), |(_, v, l)| v != 1 || seen(l));
                data.mask = Some(mask.into());
                let r = correlation_strength(&data, &[0, 1, 2]).unwrap();
                assert_eq!(r[[0, 1]], 0.0, "{constant} {steps}");
                assert!(r[[0, 2]] > 0.0 && r[[1, 2]] > 0.0);
            }
        }
    }

    #[test]
    fn only_training_samples_count() {
        let mut data = dataset(&[0, 0, 0], 1);
        data.x = signals().into();
        let before = correlation_strength(&data, &[0, 2]).unwrap();
        let mut x = signals();
        x.slice_mut(s![1, .., .., ..]).fill(f32::NAN);
        data.x = x.into();
        assert_eq!(correlation_strength(&data, &[0, 2]).unwrap(), before);
        assert!(correlation_strength(&data, &[0, 1]).is_err());
        assert!(correlation_strength(&data, &[]).is_err());
        assert!(correlation_strength(&data, &[3]).is_err());
    }

    #[test]
    fn masked_steps_do_not_count() {
        let mut data = dataset(&[0, 0, 0], 1);
        let mut x = signals();
        let mask = Array3::from_shape_fn((3, 4, 8), |(n, v, l)| (n + 2 * v + l) % 5 != 0);
        for ((n, v, l), seen) in mask.indexed_iter() {
            if !seen {
                x[[n, v, l, 0]] = 0.0;
            }
        }
        data.x = x.into();
        data.mask = Some(mask.into());
        let r = correlation_strength(&data, &[0, 1, 2]).unwrap();
        for ((i, j), want) in [((0, 1), MASKED01), ((0, 2), MASKED02)] {
            assert!((r[[i, j]] - want).abs() < 1e-6, "{r}");
        }
    }

    #[test]
    fn features_are_averaged() {
        let mut data = dataset(&[0, 0, 0], 1);
        let one = signals();
        data.x = Array4::from_shape_fn((3, 4, 8, 2), |(n, v, l, f)| {
            if f == 0 {
                one[[n, v, l, 0]]
            } else {
                noise(v, n, l)
            }
        })
        .into();
        let both = correlation_strength(&data, &[0, 2]).unwrap();
        let second = absolute_pearson(&data, 1, &[0, 2]).unwrap();
        assert!((both[[0, 1]] - (R01 + second[[0, 1]]) / 2.0).abs() < 1e-6);
    }
}
