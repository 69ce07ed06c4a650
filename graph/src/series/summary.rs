//! What a series holds, in figures: for people, and to refuse data that cannot be learnt from.

use ndarray::Axis;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Series, SeriesGraph, write_stamp};
use crate::topology::GraphStatistics;

/// Figures of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    pub steps: usize,
    pub sensors: usize,
    /// Times of the first and the last step, and what lies between two.
    pub clock: Option<Clock>,
    pub features: Vec<FeatureSummary>,
    /// The graph; of a sequence the first one.
    pub graph: Option<GraphStatistics>,
    /// Number of different graphs in a sequence.
    pub graphs: usize,
}

/// When a series was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    pub start: String,
    pub end: String,
    pub step: String,
    /// Number of places where steps are left out.
    pub gaps: usize,
}

/// Figures of a feature over what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureSummary {
    pub name: String,
    pub unit: String,
    /// Share that is not observed.
    pub missing: f64,
    /// Least, mean and most; NaN when nothing was observed.
    pub min: f64,
    pub mean: f64,
    pub max: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Sensors that never measured it.
    pub silent: Vec<String>,
    /// Sensors that measured one value only: their variance is zero.
    pub constant: Vec<String>,
}

/// Sums over what one sensor measured.
#[derive(Clone, Copy)]
struct Sums {
    n: usize,
    mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Sums {
    const NONE: Self = Self {
        n: 0,
        mean: 0.0,
        squares: 0.0,
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
    };

    /// Both together (Chan, Golub, LeVeque 1979).
    fn and(self, other: Self) -> Self {
        let n = self.n + other.n;
        if n == 0 {
            return Self::NONE;
        }
        let difference = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        Self {
            n,
            mean: self.mean + difference * share,
            squares: self.squares + other.squares + difference * difference * self.n as f64 * share,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn of(value: f64) -> Self {
        Self {
            n: 1,
            mean: value,
            squares: 0.0,
            min: value,
            max: value,
        }
    }
}

impl Series {
    /// The figures of the series.
    pub fn summary(&self) -> SeriesSummary {
        let (l, v, f) = self.dim();
        // (sensors, features), steps in the order they lie in memory.
        let sums: Vec<Sums> = self
            .values()
            .axis_chunks_iter(Axis(0), 1024)
            .into_par_iter()
            .enumerate()
            .map(|(chunk, part)| {
                let mut sums = vec![Sums::NONE; v * f];
                for ((t, i, k), value) in part.indexed_iter() {
                    if self.is_observed(1024 * chunk + t, i, k) {
                        let slot = &mut sums[i * f + k];
                        *slot = slot.and(Sums::of(f64::from(*value)));
                    }
                }
                sums
            })
            .reduce(
                || vec![Sums::NONE; v * f],
                |a, b| a.into_iter().zip(b).map(|(a, b)| a.and(b)).collect(),
            );
        let features = self.features.iter().enumerate().map(|(k, feature)| {
            let of_sensor = |i: usize| sums[i * f + k];
            let all = (0..v).map(of_sensor).fold(Sums::NONE, Sums::and);
            let which = |wanted: &dyn Fn(Sums) -> bool| -> Vec<String> {
                (0..v)
                    .filter(|i| wanted(of_sensor(*i)))
                    .map(|i| self.sensors[i].clone())
                    .collect()
            };
            let known = |value: f64| if all.n == 0 { f64::NAN } else { value };
            FeatureSummary {
                name: feature.name.clone(),
                unit: feature.unit.clone(),
                missing: 1.0 - all.n as f64 / (l * v) as f64,
                min: known(all.min),
                mean: known(all.mean),
                max: known(all.max),
                sd: known((all.squares / all.n as f64).sqrt()),
                silent: which(&|s| s.n == 0),
                constant: which(&|s| s.n > 0 && s.min == s.max),
            }
        });
        let graphs = match &self.graph {
            None => 0,
            Some(SeriesGraph::Static(_)) => 1,
            Some(SeriesGraph::PerStep(many)) => {
                1 + many.windows(2).filter(|w| w[0] != w[1]).count()
            }
        };
        SeriesSummary {
            steps: l,
            sensors: v,
            clock: self.time.as_ref().and_then(|time| {
                let stamps = time.stamps();
                Some(Clock {
                    start: write_stamp(*stamps.first()?),
                    end: write_stamp(*stamps.last()?),
                    step: time.step().to_string(),
                    gaps: time.gaps().len(),
                })
            }),
            features: features.collect(),
            graph: self
                .graph
                .as_ref()
                .and_then(|g| g.at(0))
                .map(|g| g.statistics()),
            graphs,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::super::{Feature, Step, TimeAxis};
    use super::*;
    use crate::topology::CsrGraph;

    #[test]
    fn figures_of_what_was_observed() {
        let values = array![
            [[1.0], [f32::NAN], [5.0]],
            [[2.0], [f32::NAN], [5.0]],
            [[6.0], [f32::NAN], [f32::NAN]],
        ];
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let speed = vec![Feature::new("speed", "mph")];
        let mut s = Series::new(Default::default(), names, speed, values).unwrap();
        s.time = Some(TimeAxis::regular(0, Step::Seconds(300), 3).unwrap());
        let graph = CsrGraph::from_edges(3, &[(0, 1, 1.0)]).unwrap();
        let s = s.with_graph(SeriesGraph::fixed(graph)).unwrap();
        let summary = s.summary();
        let f = &summary.features[0];
        assert!((f.missing - 4.0 / 9.0).abs() < 1e-12);
        assert_eq!((f.min, f.max), (1.0, 6.0));
        // numpy: mean and std of [1, 2, 6, 5, 5].
        assert!((f.mean - 3.8).abs() < 1e-12 && (f.sd - 1.939_071_942_966_531_4).abs() < 1e-12);
        assert_eq!(
            (&f.silent[..], &f.constant[..]),
            (&["b".into()][..], &["c".into()][..])
        );
        let clock = summary.clock.unwrap();
        assert_eq!((clock.step.as_str(), clock.gaps), ("5 minutes", 0));
        assert_eq!(clock.end, "1970-01-01 00:10:00");
        assert_eq!((summary.graph.unwrap().edges, summary.graphs), (1, 1));
    }

    #[test]
    fn nothing_observed_is_no_number_and_no_panic() {
        let values = Array3::from_elem((2, 1, 1), f32::NAN);
        let x = vec![Feature::new("x", "")];
        let s = Series::new(Default::default(), vec!["a".into()], x, values).unwrap();
        let f = &s.summary().features[0];
        assert!(f.mean.is_nan() && f.min.is_nan() && f.sd.is_nan());
        assert_eq!((f.missing, f.silent.len()), (1.0, 1));
    }
}
