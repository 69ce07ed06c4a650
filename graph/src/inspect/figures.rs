//! Figures of many numbers in one pass.

use rayon::prelude::*;
use serde::Serialize;

/// Values that one task goes through.
const PIECE: usize = 1 << 16;

/// How many values there are, how many of them are no numbers, and what the others are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Values, missing and infinite ones included.
    pub count: u64,
    /// Values that are NaN or masked.
    pub missing: u64,
    /// Values that are infinite; they do not enter the figures below.
    pub infinite: u64,
    /// The least finite value; `None` without one, as below.
    pub min: Option<f64>,
    /// The largest finite value.
    pub max: Option<f64>,
    /// Mean of the finite values.
    pub mean: Option<f64>,
    /// Their standard deviation, √(Σ (x − mean)² / n).
    pub sd: Option<f64>,
}

impl Figures {
    /// Figures of `values`, in parallel; the result does not depend on the number of threads.
    pub fn of<T: Copy + Sync + Into<f64>>(values: &[T]) -> Self {
        let pieces: Vec<Tally> = values
            .par_chunks(PIECE)
            .map(|piece| Tally::of(piece.iter().map(|v| (*v).into())))
            .collect();
        let mut all = Tally::default();
        pieces.iter().for_each(|t| all.join(t));
        all.figures()
    }

    /// Share of missing values, 0 of none.
    pub fn missing_share(&self) -> f64 {
        self.missing as f64 / self.count.max(1) as f64
    }

    /// Whether there are several values, and all are the same number.
    pub fn is_constant(&self) -> bool {
        self.count > 1 && self.min.is_some() && self.min == self.max
    }
}

/// Figures that grow: sums are kept about the mean, so that a large offset costs no digits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    finite: u64,
    missing: u64,
    infinite: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// Σ (x − mean)².
    spread: f64,
}

impl Tally {
    /// Goes through `values` twice: for the mean, then for the spread about it.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let mut t = Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            ..Self::default()
        };
        let mut sum = 0.0;
        for v in values.clone() {
            if v.is_finite() {
                t.finite += 1;
                sum += v;
                t.min = t.min.min(v);
                t.max = t.max.max(v);
            } else if v.is_nan() {
                t.missing += 1;
            } else {
                t.infinite += 1;
            }
        }
        if t.finite == 0 {
            (t.min, t.max) = (0.0, 0.0);
            return t;
        }
        t.mean = sum / t.finite as f64;
        t.spread = values
            .filter(|v| v.is_finite())
            .map(|v| (v - t.mean).powi(2))
            .sum();
        t
    }

    /// Takes in what `other` saw (Chan, Golub and LeVeque 1979).
    pub fn join(&mut self, other: &Self) {
        self.missing += other.missing;
        self.infinite += other.infinite;
        if other.finite == 0 {
            return;
        }
        if self.finite == 0 {
            let (missing, infinite) = (self.missing, self.infinite);
            *self = Self {
                missing,
                infinite,
                ..*other
            };
            return;
        }
        let (a, b) = (self.finite as f64, other.finite as f64);
        let apart = other.mean - self.mean;
        self.mean += apart * b / (a + b);
        self.spread += other.spread + apart * apart * a * b / (a + b);
        self.finite += other.finite;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The figures so far.
    pub fn figures(&self) -> Figures {
        let known = |v: f64| (self.finite > 0).then_some(v);
        Figures {
            count: self.finite + self.missing + self.infinite,
            missing: self.missing,
            infinite: self.infinite,
            min: known(self.min),
            max: known(self.max),
            mean: known(self.mean),
            sd: known((self.spread / self.finite.max(1) as f64).sqrt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_missing_and_infinite_ones_are_told_apart() {
        let f = Figures::of(&[1.0f32, f32::NAN, 4.0, f32::INFINITY, 1.0]);
        assert_eq!((f.count, f.missing, f.infinite), (5, 1, 1));
        assert_eq!((f.min, f.max, f.mean), (Some(1.0), Some(4.0), Some(2.0)));
        assert_eq!(f.sd, Some(2f64.sqrt()));
        assert_eq!(f.missing_share(), 0.2);
        assert!(!f.is_constant() && Figures::of(&[3.0f32, 3.0]).is_constant());
        let none = Figures::of(&[f64::NAN]);
        assert_eq!((none.count, none.min, none.sd), (1, None, None));
        assert_eq!(Figures::of::<f64>(&[]), Figures::default());
    }

    /// 0, 1, ..., n − 1 has mean (n − 1) / 2 and variance (n² − 1) / 12, here about an offset that
    /// squares would lose the spread in.
    #[test]
    fn pieces_join_to_the_figures_of_the_whole() {
        let n = 3 * PIECE + 5;
        let values: Vec<f64> = (0..n).map(|i| 1e9 + i as f64).collect();
        let f = Figures::of(&values);
        let n = n as f64;
        assert_eq!(f.mean, Some(1e9 + (n - 1.0) / 2.0));
        let sd = ((n * n - 1.0) / 12.0).sqrt();
        assert!((f.sd.unwrap() / sd - 1.0).abs() < 1e-12);
        let mut late = Tally::of([f64::NAN].into_iter());
        late.join(&Tally::of([2.0, 4.0].into_iter()));
        late.join(&Tally::of([f64::NAN].into_iter()));
        let f = late.figures();
        assert_eq!(
            (f.count, f.missing, f.mean, f.sd),
            (4, 2, Some(3.0), Some(1.0))
        );
    }
}
