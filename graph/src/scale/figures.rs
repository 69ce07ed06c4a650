//! Figures of the training values of every node and feature.
//!
//! The windows are gone through one after the other, whichever way their values lie, and nodes in
//! parallel. A lane, node · f + feature, meets its values in the order of samples and steps, so
//! that its figures do not depend on the number of threads.

use std::ops::Range;

use ndarray::{Array2, ArrayView3, s};
use rayon::prelude::*;

use crate::{Dataset, Error, Result};

/// Values sorted at a time, over all lanes; more are counted instead.
const SORTED: usize = 1 << 26;

/// Lanes counted at a time: each takes half a megabyte for every pass and rank.
const COUNTED: usize = 64;

/// The observed values of the samples `train`.
pub(super) struct Values<'a> {
    pub dataset: &'a Dataset,
    pub train: &'a [usize],
}

impl Values<'_> {
    /// Goes through the values of some nodes: an accumulator for each lane, first `start`, then
    /// changed by every value.
    fn fold<A: Send>(
        &self,
        nodes: Range<usize>,
        start: impl Fn(usize) -> A + Sync,
        visit: impl Fn(&mut A, f32) + Sync,
    ) -> Result<Vec<A>> {
        let (_, _, _, f) = self.dataset.x.dim();
        let size = nodes
            .len()
            .div_ceil(2 * rayon::current_num_threads())
            .max(1);
        let blocks: Vec<Vec<A>> = nodes
            .clone()
            .into_par_iter()
            .step_by(size)
            .map(|first| {
                let block = first..(first + size).min(nodes.end);
                let lanes = block.start * f..block.end * f;
                let mut all: Vec<A> = lanes.map(&start).collect();
                for &sample in self.train {
                    let window = self.dataset.x.window(sample);
                    let part = window.slice(s![block.clone(), .., ..]);
                    let mask = self.dataset.mask.as_ref().map(|m| m.window(sample));
                    let mut fault = None;
                    each(part, |node, step, feature, value| {
                        let seen = |m: &Array2<bool>| m[[block.start + node, step]];
                        if !mask.as_ref().is_none_or(seen) {
                            return;
                        }
                        if !value.is_finite() {
                            fault.get_or_insert((block.start + node, step, feature, value));
                        }
                        visit(&mut all[node * f + feature], value);
                    });
                    if let Some((node, step, feature, value)) = fault {
                        return Err(Error::config(
                            format!("sample {sample}"),
                            format!("node {node}, step {step}, feature {feature} is {value}"),
                            "mark missing values in the mask",
                        ));
                    }
                }
                Ok(all)
            })
            .collect::<Result<_>>()?;
        Ok(blocks.into_iter().flatten().collect())
    }

    fn nodes(&self) -> Range<usize> {
        0..self.dataset.x.dim().1
    }

    /// Count, mean, squares and extremes of each lane.
    pub fn moments(&self) -> Result<Vec<Moments>> {
        let mut moments = self.fold(
            self.nodes(),
            |_| Moments::default(),
            |m, value| {
                m.low = m.low.min(f64::from(value));
                m.high = m.high.max(f64::from(value));
                m.count += 1.0;
                m.mean += f64::from(value);
            },
        )?;
        for m in &mut moments {
            m.mean /= m.count.max(1.0);
        }
        self.fold(
            self.nodes(),
            |lane| moments[lane],
            |m, value| m.squares += (f64::from(value) - m.mean).powi(2),
        )
    }

    /// Minimum and range of each lane; 0 and 1 where nothing was observed.
    pub fn range(&self) -> Result<Vec<(f64, f64)>> {
        let extremes = self.fold(
            self.nodes(),
            |_| (f64::INFINITY, f64::NEG_INFINITY),
            |(low, high), value| {
                *low = low.min(f64::from(value));
                *high = high.max(f64::from(value));
            },
        )?;
        let range = |(low, high): (f64, f64)| match low > high {
            true => (0.0, 1.0),
            false => (low, high - low),
        };
        Ok(extremes.into_iter().map(range).collect())
    }

    /// Median and interquartile range of each lane; 0 and 1 where nothing was observed.
    pub fn quartiles(&self) -> Result<Vec<(f64, f64)>> {
        let (_, v, l, f) = self.dataset.x.dim();
        let per_node = (self.train.len() * l * f).max(1);
        let (group, sort) = match SORTED / per_node {
            0 => ((COUNTED / f.max(1)).max(1), false),
            nodes => (nodes, true),
        };
        let mut all = Vec::new();
        for first in (0..v).step_by(group) {
            let nodes = first..(first + group).min(v);
            all.extend(match sort {
                true => self.sorted_quartiles(nodes)?,
                false => self.counted_quartiles(nodes)?,
            });
        }
        Ok(all)
    }

    fn sorted_quartiles(&self, nodes: Range<usize>) -> Result<Vec<(f64, f64)>> {
        let mut lanes = self.fold(nodes, |_| Vec::new(), |values, value| values.push(value))?;
        let of_lane = |values: &mut Vec<f32>| {
            values.sort_unstable_by(f32::total_cmp);
            quartiles(values.len(), |rank| values[rank])
        };
        Ok(lanes.par_iter_mut().map(of_lane).collect())
    }

    /// The same without room for the values: the upper halves of their bits are counted, then the
    /// lower halves where the upper one belongs to a value sought.
    fn counted_quartiles(&self, nodes: Range<usize>) -> Result<Vec<(f64, f64)>> {
        let first = nodes.start * self.dataset.x.dim().3;
        let none = || vec![0u64; 1 << 16];
        let uppers = self.fold(
            nodes.clone(),
            |_| none(),
            |counts, value| counts[upper_half(value)] += 1,
        )?;
        let total = |lane: usize| uppers[lane].iter().sum::<u64>() as usize;
        let lowers = self.fold(
            nodes,
            |lane| {
                let mut sought = std::collections::BTreeMap::new();
                quartiles(total(lane - first), |rank| {
                    let (upper, _) = locate(&uppers[lane - first], rank as u64);
                    sought.entry(upper).or_insert_with(none);
                    0.0
                });
                sought
            },
            |sought, value| {
                if let Some(counts) = sought.get_mut(&upper_half(value)) {
                    counts[(ordered(value) & 0xffff) as usize] += 1;
                }
            },
        )?;
        let of_lane = |(lane, lower): (usize, &std::collections::BTreeMap<usize, Vec<u64>>)| {
            quartiles(total(lane), |rank| {
                let (upper, within) = locate(&uppers[lane], rank as u64);
                let lower = lower
                    .get(&upper)
                    .map_or(0, |counts| locate(counts, within).0);
                from_ordered(((upper as u32) << 16) | lower as u32)
            })
        };
        Ok(lowers.iter().enumerate().map(of_lane).collect())
    }
}

/// Calls `visit` with (node, step, feature) and value of a part, (v, l, f), in the order they lie.
fn each(part: ArrayView3<f32>, mut visit: impl FnMut(usize, usize, usize, f32)) {
    let (v, l, f) = part.dim();
    let steps_first = part.strides()[1] > part.strides()[0];
    let (outer, inner) = if steps_first { (l, v) } else { (v, l) };
    for a in 0..outer {
        for b in 0..inner {
            let (node, step) = if steps_first { (b, a) } else { (a, b) };
            for feature in 0..f {
                visit(node, step, feature, part[[node, step, feature]]);
            }
        }
    }
}

/// Median and interquartile range of `count` values, given by their rank; linear between the two
/// nearest ranks, as numpy.percentile does.
fn quartiles(count: usize, mut value: impl FnMut(usize) -> f32) -> (f64, f64) {
    let Some(last) = count.checked_sub(1) else {
        return (0.0, 1.0);
    };
    let mut quantile = |q: f64| {
        let rank = q * last as f64;
        let below = f64::from(value(rank as usize));
        let above = f64::from(value(rank.ceil() as usize));
        below + (above - below) * rank.fract()
    };
    let spread = quantile(0.75) - quantile(0.25);
    (quantile(0.5), spread)
}

/// The bin that holds the value of `rank`, and its rank within.
fn locate(counts: &[u64], rank: u64) -> (usize, u64) {
    let mut left = rank;
    for (bin, count) in counts.iter().enumerate() {
        if left < *count {
            return (bin, left);
        }
        left -= count;
    }
    (counts.len() - 1, 0)
}

/// Bits whose order as numbers is that of `f32::total_cmp`.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    }
}

fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(match bits >> 31 {
        0 => !bits,
        _ => bits & !(1 << 31),
    })
}

fn upper_half(value: f32) -> usize {
    (ordered(value) >> 16) as usize
}

/// Count, mean, and sum of squared deviations, which merge without loss; and the extremes, which
/// tell a constant from rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    low: f64,
    high: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0.0,
            mean: 0.0,
            squares: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }
    }
}

impl Moments {
    /// Chan, Golub and LeVeque (1983).
    pub fn merge(self, other: &Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let difference = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + difference * other.count / count,
            squares: self.squares
                + other.squares
                + difference.powi(2) * self.count * other.count / count,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }

    pub fn shift_and_scale(self) -> (f64, f64) {
        if self.low >= self.high {
            return (self.mean, 1.0);
        }
        (self.mean, (self.squares / self.count).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;
    use crate::split::fixture::dataset;

    #[test]
    fn counting_finds_what_sorting_finds() {
        let mut data = dataset(&[0, 1, 0], 1);
        data.x = Array4::from_shape_fn((3, 4, 8, 2), |(n, v, l, f)| {
            let value = (n * 7919 + v * 104_729 + l * 1_299_709 + f * 15_485_863) % 1000;
            (value as f32 - 500.0) * 10f32.powi(v as i32 - 2)
        })
        .into();
        data.mask = Some(
            ndarray::Array3::from_shape_fn((3, 4, 8), |(n, v, l)| v != 3 && (n + l) % 3 > 0).into(),
        );
        let values = Values {
            dataset: &data,
            train: &[0, 2],
        };
        for nodes in [0..4, 1..3] {
            let sorted = values.sorted_quartiles(nodes.clone()).unwrap();
            assert_eq!(values.counted_quartiles(nodes).unwrap(), sorted);
        }
        assert_eq!(values.quartiles().unwrap()[6], (0.0, 1.0));
    }

    #[test]
    fn bits_keep_the_order_of_numbers() {
        let values = [f32::NEG_INFINITY, -2.0, -1e-40, -0.0, 0.0, 1e-40, 0.5, 3e38];
        assert!(values.windows(2).all(|w| ordered(w[0]) < ordered(w[1])));
        for value in values {
            assert_eq!(from_ordered(ordered(value)).to_bits(), value.to_bits());
        }
    }
}
