//! Values that are NaN, infinite, or marked as missing.

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::{Error, Recording, Result};

/// What to do about values that are NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Refuse the data.
    #[default]
    Error,
    /// Mark them in the mask, and give the model 0.
    Mask,
}

/// What was observed, (nodes, time), and whether anything was not. The signal begins at time step
/// `first`.
pub(super) fn observed(
    r: &Recording,
    first: usize,
    sensors: &[String],
    missing: Missing,
) -> Result<(Array2<bool>, bool)> {
    let (v, l, _) = r.signal.dim();
    let mut mask = match &r.mask {
        Some(mask) => mask.clone(),
        None => Array2::from_elem((v, l), true),
    };
    for ((node, step, _), value) in r.signal.indexed_iter() {
        if value.is_finite() || !mask[[node, step]] {
            continue;
        }
        if missing == Missing::Error {
            return Err(Error::config(
                format!("recording {}", r.name),
                format!(
                    "sensor {} is {value} at time step {}",
                    sensors.get(node).map_or("?", String::as_str),
                    first + step
                ),
                "repair the file, or set missing = \"mask\" to leave such values out",
            ));
        }
        mask[[node, step]] = false;
    }
    let gaps = mask.iter().any(|seen| !seen);
    Ok((mask, gaps))
}

/// Puts values on the line between their observed neighbours (constant at the ends, 0 where
/// nothing was observed), so that filters and spectra see no jumps.
pub(super) fn fill(signal: &mut Array3<f32>, mask: &Array2<bool>) {
    for (mut node, seen) in signal.outer_iter_mut().zip(mask.outer_iter()) {
        let known: Vec<usize> = (0..seen.len()).filter(|t| seen[*t]).collect();
        for mut row in node.columns_mut() {
            for t in (0..row.len()).filter(|t| !seen[*t]) {
                let next = known.partition_point(|k| *k < t);
                let before = next.checked_sub(1).and_then(|i| known.get(i));
                row[t] = match (before, known.get(next)) {
                    (Some(a), Some(b)) => {
                        let w = (t - a) as f32 / (b - a) as f32;
                        row[*a] * (1.0 - w) + row[*b] * w
                    }
                    (Some(k), None) | (None, Some(k)) => row[*k],
                    (None, None) => 0.0,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::s;

    #[test]
    fn gaps_are_filled_along_a_line() {
        let mut signal = Array3::from_shape_fn((2, 6, 1), |(v, t, _)| (100 * v + t) as f32);
        let mut mask = Array2::from_elem((2, 6), true);
        for t in [0, 2, 3, 5] {
            mask[[0, t]] = false;
            signal[[0, t, 0]] = f32::INFINITY;
        }
        fill(&mut signal, &mask);
        assert_eq!(
            signal.slice(s![0, .., 0]).to_vec(),
            [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]
        );
    }
}
