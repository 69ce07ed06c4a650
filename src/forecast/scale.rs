//! Scales of a series, fitted on the steps that training sees.

use ndarray::Array2;
use rayon::prelude::*;
use tgmamba_graph::Series;
use tgmamba_graph::series::Scaling;

use super::config::Transform;
use crate::error::{Error, Result};

/// `z = (T(x) - shift) / scale` for each node and column, T the identity or ln(1 + x).
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesScaler {
    /// Of the targets; covariates are scaled only.
    transform: Transform,
    targets: usize,
    /// (nodes, columns).
    shift: Array2<f64>,
    /// (nodes, columns), positive.
    scale: Array2<f64>,
    /// Nodes whose first target training never observes.
    unseen: Vec<usize>,
}

/// Sums over observed values.
#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
    largest: f64,
}

impl Sums {
    /// Welford's update.
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        let off = x - self.mean;
        self.mean += off / self.n;
        self.squares += off * (x - self.mean);
        self.largest = self.largest.max(x.abs());
    }

    /// Chan's combination of two parts.
    fn join(self, other: Self) -> Self {
        let n = self.n + other.n;
        if n == 0.0 {
            return self;
        }
        let off = other.mean - self.mean;
        Self {
            n,
            mean: self.mean + off * other.n / n,
            squares: self.squares + other.squares + off * off * self.n * other.n / n,
            largest: self.largest.max(other.largest),
        }
    }

    /// Shift and scale; a scale of zero becomes one, so that a constant becomes zero.
    fn pair(self, scaling: Scaling) -> (f64, f64) {
        let positive = |s: f64| if s > 0.0 && s.is_finite() { s } else { 1.0 };
        match scaling {
            Scaling::None => (0.0, 1.0),
            Scaling::Zscore | Scaling::ZscoreNode => {
                let sd = (self.squares / self.n.max(1.0)).sqrt();
                // A constant sums up to rounding errors, not to zero.
                let constant = sd <= 1e-9 * self.largest;
                (self.mean, if constant { 1.0 } else { positive(sd) })
            }
            Scaling::Max => (0.0, positive(self.largest)),
        }
    }
}

impl SeriesScaler {
    /// Fits on the steps `seen` (one flag for each step) of the features `columns`, of which the
    /// first `targets` go through `transform`.
    ///
    /// A node that is constant keeps its unit: it becomes zero. A node that is never observed there
    /// takes the scale of all nodes.
    ///
    /// # Errors
    /// A feature that is never observed in the training part, or a value that ln(1 + x) refuses.
    pub fn fit(
        series: &Series,
        columns: &[usize],
        targets: usize,
        seen: &[bool],
        scaling: Scaling,
        transform: Transform,
    ) -> Result<Self> {
        let (l, v, _) = series.dim();
        if transform == Transform::Log1p {
            refuse_below_minus_one(series, &columns[..targets])?;
        }
        let sums = |node: usize, (k, feature): (usize, usize)| {
            let transform = if k < targets {
                transform
            } else {
                Transform::None
            };
            let mut sums = Sums::default();
            for t in (0..l).filter(|t| seen[*t] && series.is_observed(*t, node, feature)) {
                sums.add(transform.apply(f64::from(series.values()[[t, node, feature]])));
            }
            sums
        };
        let all: Vec<Vec<Sums>> = columns
            .iter()
            .copied()
            .enumerate()
            .map(|f| (0..v).into_par_iter().map(|node| sums(node, f)).collect())
            .collect();
        let mut shift = Array2::zeros((v, columns.len()));
        let mut scale = Array2::ones((v, columns.len()));
        let mut unseen = Vec::new();
        for (k, nodes) in all.iter().enumerate() {
            let whole = nodes.iter().fold(Sums::default(), |a, b| a.join(*b));
            if whole.n == 0.0 {
                return Err(Error::config(
                    format!("feature {}", series.features[columns[k]].name),
                    "is never observed in the training part",
                    "check the null value of the feature, or change the split",
                ));
            }
            for (node, own) in nodes.iter().enumerate() {
                if k == 0 && own.n == 0.0 {
                    unseen.push(node);
                }
                let per_node = scaling == Scaling::ZscoreNode && own.n > 0.0;
                let sums = if per_node { *own } else { whole };
                (shift[[node, k]], scale[[node, k]]) = sums.pair(scaling);
            }
        }
        Ok(Self {
            transform,
            targets,
            shift,
            scale,
            unseen,
        })
    }

    /// Nodes whose first feature training never observes.
    pub fn unseen(&self) -> &[usize] {
        &self.unseen
    }

    fn transform(&self, k: usize) -> Transform {
        match k < self.targets {
            true => self.transform,
            false => Transform::None,
        }
    }

    /// A raw value of a node in column `k` of the fit, scaled.
    pub fn forward(&self, x: f32, node: usize, k: usize) -> f32 {
        let z = self.transform(k).apply(f64::from(x)) - self.shift[[node, k]];
        (z / self.scale[[node, k]]) as f32
    }

    /// A scaled value of a node in column `k`, in raw units.
    pub fn inverse(&self, z: f32, node: usize, k: usize) -> f64 {
        let x = f64::from(z) * self.scale[[node, k]] + self.shift[[node, k]];
        self.transform(k).invert(x)
    }
}

impl Transform {
    fn apply(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Log1p => x.ln_1p(),
        }
    }

    fn invert(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Log1p => x.exp_m1(),
        }
    }
}

fn refuse_below_minus_one(series: &Series, columns: &[usize]) -> Result<()> {
    for ((t, v, f), x) in series.values().indexed_iter() {
        if columns.contains(&f) && series.is_observed(t, v, f) && *x <= -1.0 {
            return Err(Error::config(
                "forecast.transform",
                format!(
                    "ln(1 + x) of {x} (feature {}, sensor {}, step {t})",
                    series.features[f].name, series.sensors[v]
                ),
                "use --transform none for values that are negative",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use tgmamba_graph::series::Feature;

    /// Node 0 is 1, 3, 5; node 1 is constant; node 2 is never observed while training.
    fn series() -> Series {
        let values = array![
            [[1.0], [4.0], [f32::NAN]],
            [[3.0], [4.0], [f32::NAN]],
            [[5.0], [4.0], [8.0]]
        ];
        let names = ["a", "b", "c"].map(String::from).to_vec();
        Series::new(
            Default::default(),
            names,
            vec![Feature::new("x", "")],
            values,
        )
        .unwrap()
    }

    const TRAIN: [bool; 3] = [true, true, false];

    fn fit(scaling: Scaling, transform: Transform) -> SeriesScaler {
        SeriesScaler::fit(&series(), &[0], 1, &TRAIN, scaling, transform).unwrap()
    }

    #[test]
    fn scales_come_from_training_alone() {
        // Mean and standard deviation of 1, 3, 4, 4: 3 and √1.5.
        let all = fit(Scaling::Zscore, Transform::None);
        assert!((f64::from(all.forward(5.0, 0, 0)) - 2.0 / 1.5f64.sqrt()).abs() < 1e-6);
        let node = fit(Scaling::ZscoreNode, Transform::None);
        assert_eq!(node.forward(3.0, 0, 0), 1.0, "mean 2, deviation 1");
        assert_eq!(node.unseen(), [2]);
        assert_eq!(fit(Scaling::Max, Transform::None).forward(3.0, 0, 0), 0.75);
    }

    #[test]
    fn constant_and_unseen_nodes_stay_finite() {
        let node = fit(Scaling::ZscoreNode, Transform::None);
        assert_eq!(node.forward(4.0, 1, 0), 0.0);
        assert_eq!(node.inverse(0.0, 1, 0), 4.0);
        assert_eq!(node.forward(5.0, 1, 0), 1.0, "in units of the file");
        // As all nodes together: 3 and √1.5.
        assert!((node.inverse(1.0, 2, 0) - 3.0 - 1.5f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn raw_units_come_back() {
        for transform in [Transform::None, Transform::Log1p] {
            for scaling in [
                Scaling::None,
                Scaling::Zscore,
                Scaling::ZscoreNode,
                Scaling::Max,
            ] {
                let s = fit(scaling, transform);
                for x in [0.0f32, 1.0, 70.0] {
                    let back = s.inverse(s.forward(x, 0, 0), 0, 0);
                    assert!((back - f64::from(x)).abs() < 2e-4, "{scaling:?} {x} {back}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_fit_on_is_refused() {
        let scaling = Scaling::Zscore;
        let none = [false, false, false];
        let fit = |seen: &[bool], transform| {
            SeriesScaler::fit(&series(), &[0], 1, seen, scaling, transform)
        };
        let message = fit(&none, Transform::None).unwrap_err().to_string();
        assert!(message.contains("never observed"), "{message}");
        let mut negative = series();
        let mut values = negative.values().to_owned();
        values[[1, 1, 0]] = -2.0;
        negative = negative.with_values(values).unwrap();
        let message = SeriesScaler::fit(&negative, &[0], 1, &TRAIN, scaling, Transform::Log1p)
            .unwrap_err()
            .to_string();
        assert!(message.contains("sensor b, step 1"), "{message}");
    }
}
