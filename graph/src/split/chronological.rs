//! Splits in the order of time.

use super::atoms::Atom;
use super::{Fold, SplitConfig};
use crate::{Error, Result};

/// Hold-out or rolling origin; see
/// [`SplitMethod::Chronological`](super::SplitMethod::Chronological).
pub(super) fn split(atoms: &[&Atom], cfg: &SplitConfig) -> Result<Vec<Fold>> {
    let validates = usize::from(cfg.validation_fraction > 0.0);
    let tests = cfg.folds.unwrap_or(usize::from(cfg.test_fraction > 0.0));
    let needed = 1 + validates + tests;
    let line = Line::new(atoms, needed, cfg.gap)?;
    let starts = match cfg.folds {
        // Equal test blocks at the end, the remainder goes to the first block, which only trains.
        Some(k) => {
            let block = line.total() / (k + 1);
            let targets: Vec<f64> = (0..k)
                .map(|fold| (line.total() - (k - fold) * block) as f64)
                .collect();
            line.boundaries(&targets, 1 + validates)
        }
        None if tests == 1 => {
            let target = line.total() as f64 * (1.0 - cfg.test_fraction);
            line.boundaries(&[target], 1 + validates)
        }
        None => vec![line.units.len()],
    };
    let mut folds = Vec::new();
    for (number, &test_at) in starts.iter().enumerate() {
        let name = match cfg.folds {
            Some(_) => format!("fold{}", number + 1),
            None => "holdout".to_string(),
        };
        let test_end = starts.get(number + 1).copied().unwrap_or(line.units.len());
        let validation_at = match validates {
            0 => test_at,
            _ => {
                let target = line.before[test_at] as f64 * (1.0 - cfg.validation_fraction);
                line.nearest(target, 1, test_at - 1)
            }
        };
        let next = |at: usize| at < line.units.len();
        let train = line.part(0, validation_at, next(validation_at));
        let validation = line.part(validation_at, test_at, next(test_at));
        let test = line.part(test_at, test_end, false);
        if train.is_empty() || (validates == 1 && validation.is_empty()) {
            return Err(Error::config(
                "split.gap",
                format!(
                    "fold \"{name}\": a gap of {} windows leaves a part empty",
                    cfg.gap
                ),
                "use a smaller gap, shorter windows, or fewer folds",
            ));
        }
        folds.push(Fold::new(name, [train, validation, test]));
    }
    Ok(folds)
}

/// The units between which boundaries may fall, in order: recordings, or single windows.
struct Line {
    units: Vec<Vec<usize>>,
    /// Samples before each unit, and in the end all of them.
    before: Vec<usize>,
    /// Units dropped before a boundary; 0 between recordings.
    gap: usize,
}

impl Line {
    fn new(atoms: &[&Atom], needed: usize, gap: usize) -> Result<Self> {
        let whole = atoms.len() >= needed;
        let units: Vec<Vec<usize>> = if whole {
            atoms.iter().map(|a| a.samples.clone()).collect()
        } else {
            let samples = atoms.iter().flat_map(|a| a.samples.iter());
            samples.map(|s| vec![*s]).collect()
        };
        if units.len() < needed {
            return Err(Error::config(
                "split",
                format!("{} windows for {needed} parts in time", units.len()),
                "use fewer folds or shorter windows",
            ));
        }
        let mut before = vec![0];
        for unit in &units {
            before.push(before[before.len() - 1] + unit.len());
        }
        Ok(Self {
            units,
            before,
            gap: if whole { 0 } else { gap },
        })
    }

    fn total(&self) -> usize {
        self.before[self.units.len()]
    }

    /// The unit from `low` to `high` before which the number of samples is nearest to `target`.
    fn nearest(&self, target: f64, low: usize, high: usize) -> usize {
        let distance = |unit: usize| (self.before[unit] as f64 - target).abs();
        (low..=high)
            .min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
            .unwrap_or(low)
    }

    /// One boundary per target, ascending, at least `first` units before the first and one between.
    fn boundaries(&self, targets: &[f64], first: usize) -> Vec<usize> {
        let mut boundaries = Vec::new();
        let mut low = first;
        for (number, target) in targets.iter().enumerate() {
            let high = self.units.len() - (targets.len() - number);
            let at = self.nearest(*target, low, high);
            boundaries.push(at);
            low = at + 1;
        }
        boundaries
    }

    /// Samples of units `from..to`, less the gap when another part follows.
    fn part(&self, from: usize, to: usize, followed: bool) -> Vec<usize> {
        let dropped = if followed { self.gap } else { 0 };
        let to = to.saturating_sub(dropped).max(from);
        self.units[from..to].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::dataset;
    use super::super::{SplitMethod, plan};
    use super::*;

    fn config(folds: Option<usize>) -> SplitConfig {
        SplitConfig {
            method: SplitMethod::Chronological,
            validation_fraction: 0.25,
            test_fraction: 0.2,
            folds,
            ..SplitConfig::default()
        }
    }

    #[test]
    fn recordings_in_order() {
        let data = dataset(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 3);
        let folds = plan(&data, &config(None)).unwrap();
        assert_eq!(folds[0].train, (0..18).collect::<Vec<_>>());
        assert_eq!(folds[0].validation, (18..24).collect::<Vec<_>>());
        assert_eq!(folds[0].test, (24..30).collect::<Vec<_>>());
    }

    #[test]
    fn one_recording_is_cut_with_a_gap() {
        let mut data = dataset(&[0], 100);
        data.y = (0..100).map(|i| i % 2).collect();
        let cfg = SplitConfig {
            gap: 3,
            ..config(None)
        };
        let fold = plan(&data, &cfg).unwrap().remove(0);
        assert_eq!(fold.train, (0..57).collect::<Vec<_>>());
        assert_eq!(fold.validation, (60..77).collect::<Vec<_>>());
        assert_eq!(fold.test, (80..100).collect::<Vec<_>>());
        let wide = SplitConfig {
            gap: 20,
            ..config(None)
        };
        let message = plan(&data, &wide).unwrap_err().to_string();
        assert!(message.contains("gap"), "{message}");
    }

    // sklearn.model_selection.TimeSeriesSplit(3).split(range(22)): tests 7..12, 12..17, 17..22.
    #[test]
    fn rolling_origin_agrees_with_sklearn() {
        let mut data = dataset(&[0], 22);
        data.y = (0..22).map(|i| i % 2).collect();
        let cfg = SplitConfig {
            validation_fraction: 0.0,
            ..config(Some(3))
        };
        let folds = plan(&data, &cfg).unwrap();
        for (fold, (from, to)) in folds.iter().zip([(7, 12), (12, 17), (17, 22)]) {
            assert_eq!(fold.train, (0..from).collect::<Vec<_>>());
            assert_eq!(fold.test, (from..to).collect::<Vec<_>>());
            assert!(fold.validation.is_empty());
        }
    }

    #[test]
    fn time_runs_forward_whatever_the_sizes() {
        for recordings in [1, 2, 4, 7, 12] {
            for k in [2, 3, 5] {
                let data = dataset(&vec![0; recordings], 12);
                let folds = plan(&data, &config(Some(k))).unwrap();
                assert_eq!(folds.len(), k);
                let mut tested = Vec::new();
                for fold in &folds {
                    assert!(fold.train.last() < fold.validation.first());
                    assert!(fold.validation.last() < fold.test.first());
                    tested.extend(fold.test.clone());
                }
                // Test blocks follow each other to the end.
                let rest: Vec<usize> = (tested[0]..data.y.len()).collect();
                assert_eq!(tested, rest);
            }
        }
    }

    #[test]
    fn too_little_data_is_an_error() {
        let data = dataset(&[0], 3);
        let message = plan(&data, &config(Some(3))).unwrap_err().to_string();
        assert!(message.contains("3 windows for 5 parts"), "{message}");
    }

    #[test]
    fn a_class_that_comes_only_late_is_an_error() {
        let data = dataset(&[0, 0, 0, 0, 1], 2);
        let message = plan(&data, &config(None)).unwrap_err().to_string();
        assert!(
            message.contains("\"class1\" is absent from train"),
            "{message}"
        );
    }
}
