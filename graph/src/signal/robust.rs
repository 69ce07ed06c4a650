//! Scaling and limits that outliers do not move, and windows that they spoil.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

use super::{Sample, each_node};

/// Brings each node of (nodes, time) to median 0 and interquartile range 1, in place. Where the
/// range is 0, only the median is removed. Equal to scikit-learn's `RobustScaler`, time as its
/// samples.
pub fn robust_scale<T: Sample>(mut x: ArrayViewMut2<'_, T>) {
    each_node(&mut x, |v| {
        let mut sorted = v.clone();
        let mut at = |q| quantile(&mut sorted, q);
        let (Some(low), Some(median), Some(high)) = (at(0.25), at(0.5), at(0.75)) else {
            return;
        };
        let range = high - low;
        // The range of a constant is rounding, not signal.
        let range = if range > 1e-12 * median.abs() {
            range
        } else {
            1.0
        };
        for value in v.iter_mut() {
            *value = (*value - median) / range;
        }
    });
}

/// The `q`-quantile, 0 to 1, between two values on the line that joins them (NumPy's default);
/// reorders `values`. `None` of none.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (high - low) * (at - below as f64))
}

/// Limits the values of (nodes, time) to ±`limit`, in place.
pub fn clip<T: Sample>(mut x: ArrayViewMut2<'_, T>, limit: f64) {
    let limit = limit.abs();
    x.mapv_inplace(|v| T::from_f64(v.to_f64().clamp(-limit, limit)));
}

/// Which windows are too disturbed to be used. Values are in the unit of the signal after
/// everything that is done to whole recordings.
///
/// A node is bad in a window when it breaks any limit that is given. Up to `tolerate` of the nodes
/// may be: they are marked as missing there. Windows with more are left out, of every part alike:
/// figures on a test part then hold for undisturbed windows.
/// ```toml
/// [features]
/// reject = { peak_to_peak = 150e-6, flat = 0.5e-6 }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, try_from = "Unchecked")]
pub struct RejectConfig {
    /// Bad above this absolute value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute: Option<f64>,
    /// Bad above this difference of largest and smallest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_to_peak: Option<f64>,
    /// Bad below this difference of largest and smallest value: the electrode is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat: Option<f64>,
    /// Share of the nodes that may be bad, 0 (the default) to 1.
    pub tolerate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    absolute: Option<f64>,
    peak_to_peak: Option<f64>,
    flat: Option<f64>,
    #[serde(default)]
    tolerate: f64,
}

impl TryFrom<Unchecked> for RejectConfig {
    type Error = String;

    fn try_from(u: Unchecked) -> Result<Self, String> {
        for (key, limit) in [
            ("absolute", u.absolute),
            ("peak_to_peak", u.peak_to_peak),
            ("flat", u.flat),
        ] {
            if let Some(limit) = limit
                && !(limit >= 0.0 && limit.is_finite())
            {
                return Err(format!("{key} is {limit}; give a limit of 0 or more"));
            }
        }
        if !(0.0..=1.0).contains(&u.tolerate) {
            return Err(format!(
                "tolerate is {}; give a share of 0 to 1",
                u.tolerate
            ));
        }
        if u.absolute.is_none() && u.peak_to_peak.is_none() && u.flat.is_none() {
            return Err("reject needs absolute, peak_to_peak or flat".into());
        }
        Ok(Self {
            absolute: u.absolute,
            peak_to_peak: u.peak_to_peak,
            flat: u.flat,
            tolerate: u.tolerate,
        })
    }
}

impl RejectConfig {
    /// Which nodes of a window, (nodes, time, features), are bad, by what `mask` (nodes, time) says
    /// was observed; `None` when so many are that the window is to be left out. A node of which
    /// nothing was observed is not bad.
    pub fn bad_nodes(
        &self,
        x: ArrayView3<'_, f32>,
        mask: Option<ArrayView2<'_, bool>>,
    ) -> Option<Vec<bool>> {
        let bad: Vec<bool> = x
            .outer_iter()
            .enumerate()
            .map(|(v, node)| {
                node.axis_iter(Axis(1)).any(|feature| {
                    let seen = |t: usize| mask.as_ref().is_none_or(|m| m[[v, t]]);
                    let mut values = feature
                        .iter()
                        .enumerate()
                        .filter(|(t, _)| seen(*t))
                        .map(|p| *p.1);
                    let Some(first) = values.next() else {
                        return false;
                    };
                    let (low, high) = values.fold((first, first), |(l, h), v| (l.min(v), h.max(v)));
                    self.breaks(f64::from(low), f64::from(high))
                })
            })
            .collect();
        let count = bad.iter().filter(|b| **b).count();
        (count as f64 <= self.tolerate * bad.len() as f64).then_some(bad)
    }

    fn breaks(&self, low: f64, high: f64) -> bool {
        let above = |value: f64, limit: Option<f64>| limit.is_some_and(|l| value > l);
        above(high.max(-low), self.absolute)
            || above(high - low, self.peak_to_peak)
            || self.flat.is_some_and(|l| high - low < l)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr2, arr3};

    use super::*;

    #[test]
    fn quantiles_of_numpy() {
        // numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6], [0, 0.25, 0.5, 0.9, 1])
        let mut v = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (q, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.5), (0.9, 6.9), (1.0, 9.0)] {
            let got = quantile(&mut v, q).unwrap();
            assert!((got - expected).abs() < 1e-12, "{q} {got}");
        }
        assert_eq!(quantile(&mut [7.0], 0.3), Some(7.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn an_outlier_does_not_move_the_scale() {
        let mut x = arr2(&[[1.0, 2.0, 3.0, 4.0, 1e9], [5.0, 5.0, 5.0, 5.0, 5.0]]);
        robust_scale(x.view_mut());
        assert_eq!(x.row(0).to_vec(), [-1.0, -0.5, 0.0, 0.5, (1e9 - 3.0) / 2.0]);
        assert_eq!(x.row(1).to_vec(), [0.0; 5]);
        clip(x.view_mut(), 0.75);
        assert_eq!(x.row(0).to_vec(), [-0.75, -0.5, 0.0, 0.5, 0.75]);
    }

    #[test]
    fn limits_of_a_window() {
        let x = arr3(&[
            [[0.0f32], [2.0], [-1.0]],
            [[5.0], [5.0], [5.0]],
            [[0.1], [0.0], [0.2]],
            [[f32::MAX], [0.0], [1.0]],
        ]);
        let mask = arr2(&[[true; 3], [true; 3], [true; 3], [false, true, true]]);
        let bad = |c: RejectConfig| c.bad_nodes(x.view(), Some(mask.view()));
        let all = |c: RejectConfig| RejectConfig { tolerate: 1.0, ..c };
        let limits = RejectConfig {
            peak_to_peak: Some(2.5),
            flat: Some(0.01),
            ..Default::default()
        };
        assert_eq!(
            bad(all(limits.clone())),
            Some(vec![true, true, false, false])
        );
        assert_eq!(bad(limits.clone()), None);
        let half = RejectConfig {
            tolerate: 0.5,
            ..limits
        };
        assert!(bad(half).is_some());
        let absolute = RejectConfig {
            absolute: Some(4.9),
            ..Default::default()
        };
        assert_eq!(bad(all(absolute)), Some(vec![false, true, false, false]));
        let nothing = arr2(&[[false; 3]; 4]);
        let flat = RejectConfig {
            flat: Some(1e9),
            ..Default::default()
        };
        assert_eq!(
            flat.bad_nodes(x.view(), Some(nothing.view())),
            Some(vec![false; 4])
        );
    }

    #[test]
    fn limits_in_a_file_are_checked() {
        let parse = |text: &str| toml::from_str::<RejectConfig>(text).map_err(|e| e.to_string());
        let ok = parse("peak_to_peak = 150e-6\nflat = 1e-7").unwrap();
        assert_eq!(parse(&toml::to_string(&ok).unwrap()).unwrap(), ok);
        for (text, expected) in [
            ("", "needs absolute"),
            ("flat = -1", "flat is -1"),
            ("flat = 1\ntolerate = 2", "tolerate is 2"),
            ("ptp = 1", "unknown field `ptp`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
