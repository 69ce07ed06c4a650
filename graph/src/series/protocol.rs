//! How the field forecasts on a data set: what goes in, what comes out, which windows train.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The published way to forecast on a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastProtocol {
    /// Steps in.
    pub history: usize,
    /// Steps out.
    pub horizon: usize,
    /// Steps ahead, from 1, at which results are reported.
    pub report: Vec<usize>,
    /// Names of the features to forecast.
    pub targets: Vec<String>,
    /// Which windows train, which choose, which test.
    pub split: ForecastSplit,
    /// How values are scaled; always fitted on the training part.
    pub scaling: Scaling,
    /// Who uses it, and where we deviate.
    pub source: String,
}

/// How values are scaled before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Not at all.
    None,
    /// (x − mean) / standard deviation, one pair for each feature over all nodes.
    Zscore,
    /// The same with a pair for each node and feature.
    ZscoreNode,
    /// x / maximum, one for each feature over all nodes.
    Max,
}

/// A chronological split of a series into windows of `history + horizon` steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForecastSplit {
    /// All windows in order, then shares of them: n·train (rounded) train, n·test (rounded) test,
    /// those between validate. Windows at a border share steps (DCRNN and those after it).
    Windows { train: f64, test: f64 },
    /// As [`Windows`](Self::Windows), but n·train and n·validation are rounded, and the rest test
    /// (LargeST).
    WindowsRest { train: f64, validation: f64 },
    /// As [`Windows`](Self::Windows), but cut at ⌊n·train⌋ and ⌊n·(1 − test)⌋ (PyTorch Geometric
    /// Temporal).
    WindowsFloor { train: f64, test: f64 },
    /// The steps are cut first, at ⌊l·train⌋ and ⌊l·(1 − test)⌋, and windows stay inside a part
    /// (STSGCN). With `drop_last` without the last window of each part (T-GCN).
    Steps {
        train: f64,
        test: f64,
        drop_last: bool,
    },
    /// Whole days of `steps_per_day` steps; windows stay inside a day (STGCN).
    Days {
        steps_per_day: usize,
        train: usize,
        validation: usize,
        test: usize,
    },
}

/// First steps of the windows of each part. A window is `start .. start + history + horizon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowStarts {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
}

impl ForecastSplit {
    /// Windows of `history` steps in and `horizon` steps out of a series of `steps`.
    ///
    /// # Errors
    /// [`Error::Config`] when a share is outside [0, 1], the shares leave nothing over, the series
    /// is shorter than a window or than the days asked for, or training or test would have none.
    pub fn starts(&self, steps: usize, history: usize, horizon: usize) -> Result<WindowStarts> {
        let wrong = |problem: String, remedy: &str| Err(Error::config("split", problem, remedy));
        let window = match history.checked_add(horizon) {
            Some(window) if history > 0 && horizon > 0 => window,
            _ => {
                return wrong(
                    format!("{history} steps in and {horizon} steps out are no window"),
                    "give at least one step of each",
                );
            }
        };
        if steps < window {
            return wrong(
                format!("{history} steps in and {horizon} out are more than the {steps} there are"),
                "shorten the history or the horizon",
            );
        }
        if let Some((a, b)) = self.shares() {
            let share = |s: f64| (0.0..=1.0).contains(&s);
            if !share(a) || !share(b) || a + b > 1.0 + 1e-9 {
                return wrong(
                    format!("{a} and {b} are no shares"),
                    "give two numbers between 0 and 1 with a sum of at most 1",
                );
            }
        }
        let windows = steps - window + 1;
        let rounded =
            |share: f64| ((windows as f64 * share).round_ties_even() as usize).min(windows);
        let inside = |from: usize, to: usize| {
            let end = (to + 1).saturating_sub(window).max(from);
            (from..end).collect::<Vec<usize>>()
        };
        let cut = |a: usize, b: usize| {
            let (b, a) = (b.min(windows), a.min(b));
            [0..a, a..b, b..windows].map(Iterator::collect)
        };
        let [train, validation, test] = match *self {
            Self::Windows { train, test } => cut(rounded(train), windows - rounded(test)),
            Self::WindowsRest { train, validation } => {
                cut(rounded(train), rounded(train) + rounded(validation))
            }
            Self::WindowsFloor { train, test } => {
                let [a, b] = floors(windows, train, test);
                cut(a, b)
            }
            Self::Steps {
                train,
                test,
                drop_last,
            } => {
                let [a, b] = floors(steps, train, test);
                [(0, a), (a, b), (b, steps)].map(|(from, to)| {
                    let mut starts = inside(from, to);
                    if drop_last {
                        starts.pop();
                    }
                    starts
                })
            }
            Self::Days {
                steps_per_day,
                train,
                validation,
                test,
            } => {
                let days = train
                    .checked_add(validation)
                    .and_then(|d| d.checked_add(test))
                    .and_then(|d| d.checked_mul(steps_per_day));
                if days.is_none_or(|d| d > steps) {
                    return wrong(
                        format!(
                            "{train}, {validation} and {test} days of {steps_per_day} steps are \
                             more than the {steps} there are"
                        ),
                        "give fewer days",
                    );
                }
                let part = |from: usize, days: usize| {
                    (from..from + days)
                        .flat_map(|d| inside(d * steps_per_day, (d + 1) * steps_per_day))
                        .collect()
                };
                [
                    part(0, train),
                    part(train, validation),
                    part(train + validation, test),
                ]
            }
        };
        for (part, starts) in [("training", &train), ("test", &test)] {
            if starts.is_empty() {
                return wrong(
                    format!("the {part} part of {steps} steps has no window of {window} steps"),
                    "shorten the history or the horizon, or change the shares",
                );
            }
        }
        Ok(WindowStarts {
            train,
            validation,
            test,
        })
    }

    /// The two shares the split is given by.
    fn shares(&self) -> Option<(f64, f64)> {
        match *self {
            Self::Windows { train, test }
            | Self::WindowsFloor { train, test }
            | Self::Steps { train, test, .. } => Some((train, test)),
            Self::WindowsRest { train, validation } => Some((train, validation)),
            Self::Days { .. } => None,
        }
    }

    /// The same split with a validation part cut from the end of training, where the published one
    /// has none; the test part stays. `fraction` is the share of training that goes over.
    pub fn with_validation(self, fraction: f64) -> Self {
        let less = |train: f64| train * (1.0 - fraction);
        match self {
            Self::Windows { train, test } => Self::Windows {
                train: less(train),
                test,
            },
            Self::WindowsRest { train, validation } => Self::WindowsRest {
                train: less(train),
                validation: validation + train * fraction,
            },
            Self::WindowsFloor { train, test } => Self::WindowsFloor {
                train: less(train),
                test,
            },
            Self::Steps {
                train,
                test,
                drop_last,
            } => Self::Steps {
                train: less(train),
                test,
                drop_last,
            },
            Self::Days {
                steps_per_day,
                train,
                validation,
                test,
            } => {
                let over = ((train as f64 * fraction) as usize).min(train);
                Self::Days {
                    steps_per_day,
                    train: train - over,
                    validation: validation.saturating_add(over),
                    test,
                }
            }
        }
    }
}

/// ⌊n·train⌋ and ⌊n·(1 − test)⌋. Shares like 0.7 are not exact in binary: products that miss a
/// whole number by rounding count as that number.
fn floors(n: usize, train: f64, test: f64) -> [usize; 2] {
    let floor = |share: f64| ((n as f64 * share + 1e-6).floor() as usize).min(n);
    let b = floor(1.0 - test);
    [floor(train).min(b), b]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(split: ForecastSplit, steps: usize, history: usize, horizon: usize) -> WindowStarts {
        let s = split.starts(steps, history, horizon).unwrap();
        let all: Vec<usize> = [&s.train[..], &s.validation, &s.test].concat();
        assert!(all.windows(2).all(|w| w[0] < w[1]));
        assert!(all[all.len() - 1] + history + horizon <= steps);
        s
    }

    fn counts(split: ForecastSplit, steps: usize, history: usize, horizon: usize) -> [usize; 3] {
        let s = starts(split, steps, history, horizon);
        [s.train.len(), s.validation.len(), s.test.len()]
    }

    // Of the window counts of METR-LA (34272 steps) and PEMS-BAY (52116): 70 % and 20 %, rounded.
    #[test]
    fn seven_one_two() {
        let split = ForecastSplit::Windows {
            train: 0.7,
            test: 0.2,
        };
        assert_eq!(counts(split, 34272, 12, 12), [23974, 3425, 6850]);
        assert_eq!(counts(split, 52116, 12, 12), [36465, 5209, 10419]);
    }

    // LargeST, 2019 at 15 minutes: round(0.6 n), round(0.2 n) and the rest of n = 35017.
    #[test]
    fn six_two_and_the_rest() {
        let split = ForecastSplit::WindowsRest {
            train: 0.6,
            validation: 0.2,
        };
        assert_eq!(counts(split, 35040, 12, 12), [21010, 7003, 7004]);
    }

    #[test]
    fn cutting_steps_keeps_windows_inside() {
        let six = ForecastSplit::Steps {
            train: 0.6,
            test: 0.2,
            drop_last: false,
        };
        // PEMS04 has 16992 steps, cut by STSGCN at 10195 and 13593.
        assert_eq!(counts(six, 16992, 12, 12), [10172, 3375, 3376]);
        // T-GCN on los-loop: range(1612 - 12 - 3) and range(404 - 12 - 3).
        let split = ForecastSplit::Steps {
            train: 0.8,
            test: 0.2,
            drop_last: true,
        };
        let s = starts(split, 2016, 12, 3);
        assert_eq!((s.train.len(), s.validation.len()), (1597, 0));
        assert_eq!((s.test[0], s.test.len()), (1612, 389));
        let s = starts(split.with_validation(0.125), 2016, 12, 3);
        assert_eq!((s.train.len(), s.validation[0]), (1411 - 15, 1411));
        assert_eq!((s.test[0], s.test.len()), (1612, 389));
    }

    // STGCN on PeMSD7(M): 288 − 21 + 1 windows in each of 34, 5 and 5 days.
    #[test]
    fn windows_stay_inside_a_day() {
        let days = ForecastSplit::Days {
            steps_per_day: 288,
            train: 34,
            validation: 5,
            test: 5,
        };
        assert_eq!(counts(days, 44 * 288, 12, 9), [34 * 268, 5 * 268, 5 * 268]);
        let s = starts(days, 44 * 288, 12, 9);
        assert_eq!(s.train[267..269], [267, 288]);
        assert_eq!(s.test[0], 39 * 288);
        assert!(days.starts(43 * 288, 12, 9).is_err());
        assert_eq!(
            counts(days.with_validation(0.1), 44 * 288, 12, 9),
            [31 * 268, 8 * 268, 5 * 268]
        );
    }

    #[test]
    fn nine_one() {
        // Chickenpox: 517 windows of 4 + 1 weeks, 52 of them test.
        let nine = ForecastSplit::WindowsFloor {
            train: 0.9,
            test: 0.1,
        };
        assert_eq!(counts(nine, 521, 4, 1), [465, 0, 52]);
        assert_eq!(counts(nine.with_validation(0.1), 521, 4, 1), [418, 47, 52]);
    }

    #[test]
    fn impossible_splits_are_refused() {
        let split = ForecastSplit::Windows {
            train: 0.7,
            test: 0.2,
        };
        for (steps, history, horizon, expected) in [
            (20, 12, 12, "more than the 20"),
            (100, 0, 12, "no window"),
            (100, usize::MAX, 12, "no window"),
            (24, 12, 12, "test part"),
        ] {
            let error = split
                .starts(steps, history, horizon)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (train, test) in [(f64::NAN, 0.2), (0.9, 0.2), (-0.1, 0.2)] {
            let split = ForecastSplit::WindowsFloor { train, test };
            let error = split.starts(100, 2, 2).unwrap_err().to_string();
            assert!(error.contains("no shares"), "{error}");
        }
    }
}
