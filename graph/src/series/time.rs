//! The clock of a series: time stamps, the step between them, and what is wrong with them.

use serde::{Deserialize, Serialize};

use super::stamp::{civil, write_stamp};
use super::step::{Step, positive, usual_step};
use crate::{Error, Result};

/// Beyond this many inserted steps for each given one, filling gaps is refused.
const MOST_FILLED: usize = 9;

/// What to do with steps that are not in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Refuse them.
    #[default]
    Error,
    /// Sort the steps by time.
    Sort,
}

/// What to do with several steps of the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Refuse them.
    #[default]
    Error,
    /// Keep the first of them.
    First,
    /// Keep the last of them.
    Last,
}

/// What to do where steps are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gaps {
    /// Refuse them.
    #[default]
    Error,
    /// Leave them: step follows step across the gap, as in the published protocol of PEMS-BAY.
    Keep,
    /// Insert the steps as not observed.
    Fill,
}

/// What to accept of a clock that is not in order; by default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimePolicy {
    pub order: Order,
    pub duplicates: Duplicates,
    pub gaps: Gaps,
}

impl TimePolicy {
    /// Sort, keep the first of several steps of one time, insert what is left out.
    pub fn mend() -> Self {
        Self {
            order: Order::Sort,
            duplicates: Duplicates::First,
            gaps: Gaps::Fill,
        }
    }

    /// As the files are, across gaps; order and duplicates are refused.
    pub fn keep_gaps() -> Self {
        Self {
            gaps: Gaps::Keep,
            ..Self::default()
        }
    }
}

/// Steps that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last stamp before it.
    pub after: i64,
    /// The first stamp after it.
    pub until: i64,
    /// Number of steps that are not there.
    pub missing: usize,
}

/// What was found in the stamps of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeReport {
    /// Steps earlier than the one before them.
    pub unordered: usize,
    /// Steps of a time that another step has.
    pub duplicates: usize,
    /// Steps left out, in the order of time.
    pub gaps: Vec<Gap>,
}

impl TimeReport {
    /// Number of steps left out.
    pub fn missing(&self) -> usize {
        self.gaps.iter().map(|g| g.missing).sum()
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Times of the steps of a series: strictly ascending, on one grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeAxis {
    stamps: Vec<i64>,
    step: Step,
}

/// How rows of a file become steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arranged {
    pub axis: TimeAxis,
    /// The row that becomes each step; `None` for one that was inserted.
    pub rows: Vec<Option<usize>>,
    pub report: TimeReport,
}

impl TimeAxis {
    /// `length` steps from `start` on.
    ///
    /// # Errors
    /// [`Error::Config`] when the step is not positive or the end lies outside the calendar.
    pub fn regular(start: i64, step: Step, length: usize) -> Result<Self> {
        positive(step)?;
        let stamps = (0..length)
            .map(|t| {
                let stamp = i64::try_from(t).ok().and_then(|t| step.after(start, t));
                stamp.filter(|s| civil(*s).is_some()).ok_or_else(|| {
                    Error::config(
                        "time",
                        format!("{length} steps of {step} from {start} leave the calendar"),
                        "check the start and the step",
                    )
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { stamps, step })
    }

    /// Stamps as an axis had them.
    ///
    /// # Errors
    /// [`Error::Config`] when there are not `length` of them, ascending, inside the calendar.
    pub(crate) fn stored(stamps: Vec<i64>, step: Step, length: usize) -> Result<Self> {
        positive(step)?;
        let ends = [stamps.first(), stamps.last()];
        let sound = stamps.len() == length
            && stamps.windows(2).all(|w| w[0] < w[1])
            && ends.into_iter().flatten().all(|s| civil(*s).is_some());
        match sound {
            true => Ok(Self { stamps, step }),
            false => Err(Error::config(
                "time",
                format!(
                    "{} stamps for {length} steps, or not in order",
                    stamps.len()
                ),
                "delete the file",
            )),
        }
    }

    /// Checks stamps, and puts them in order as far as `policy` allows.
    ///
    /// `step` is what should lie between two of them; `None`: the most frequent difference, or
    /// months or years where the day of the month and the time of day never change.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first stamp at fault, when they are not ascending, repeat, or
    /// leave steps out, and `policy` does not accept that; when a stamp is on no grid with the
    /// others; or when filling would insert more than nine steps for every one there is.
    pub fn arrange(stamps: &[i64], step: Option<Step>, policy: TimePolicy) -> Result<Arranged> {
        let fault = |problem: String, remedy: &str| Err(Error::config("time", problem, remedy));
        // The calendar is an interval: its ends speak for all.
        let ends = [stamps.iter().min(), stamps.iter().max()];
        if let Some(bad) = ends.into_iter().flatten().find(|s| civil(**s).is_none()) {
            return fault(
                format!("{bad} seconds is no time of the calendar"),
                "give seconds since 1970, or dates",
            );
        }
        let mut report = TimeReport::default();
        let mut rows: Vec<usize> = (0..stamps.len()).collect();
        let descents = || (1..stamps.len()).filter(|i| stamps[*i] < stamps[i - 1]);
        report.unordered = descents().count();
        if let (Some(i), Order::Error) = (descents().next(), policy.order) {
            return fault(
                format!(
                    "row {i} ({}) is earlier than the row before it ({}), and {} such rows in all",
                    write_stamp(stamps[i]),
                    write_stamp(stamps[i - 1]),
                    report.unordered
                ),
                "sort the file by time, or accept it with clock.order = \"sort\" (--clock mend)",
            );
        }
        rows.sort_by_key(|r| stamps[*r]);
        let before = rows.len();
        let repeated = rows.windows(2).find(|w| stamps[w[0]] == stamps[w[1]]);
        let first_repeat = repeated.map(|w| stamps[w[0]]);
        if policy.duplicates == Duplicates::Last {
            // Of equal neighbours `dedup` keeps the first: let that be the last of the file.
            rows.reverse();
            rows.dedup_by_key(|r| stamps[*r]);
            rows.reverse();
        } else {
            rows.dedup_by_key(|r| stamps[*r]);
        }
        report.duplicates = before - rows.len();
        if let (Some(stamp), Duplicates::Error) = (first_repeat, policy.duplicates) {
            return fault(
                format!(
                    "{} occurs more than once, and {} rows repeat a time in all",
                    write_stamp(stamp),
                    report.duplicates
                ),
                "keep one row of each time, or accept it with clock.duplicates = \"first\" or \"last\" \
                 (--clock mend)",
            );
        }
        let sorted: Vec<i64> = rows.iter().map(|r| stamps[*r]).collect();
        let step = match step {
            Some(step) => step,
            None => usual_step(&sorted)?,
        };
        positive(step)?;
        for pair in sorted.windows(2) {
            let Some(n) = step.between(pair[0], pair[1]) else {
                return fault(
                    format!(
                        "{} is not a multiple of {step} after {}",
                        write_stamp(pair[1]),
                        write_stamp(pair[0])
                    ),
                    "resample to a constant step",
                );
            };
            if n > 1 {
                report.gaps.push(Gap {
                    after: pair[0],
                    until: pair[1],
                    missing: usize::try_from(n - 1).unwrap_or(usize::MAX),
                });
            }
        }
        let missing = report
            .gaps
            .iter()
            .fold(0usize, |n, gap| n.saturating_add(gap.missing));
        if let (Some(gap), Gaps::Error) = (report.gaps.first(), policy.gaps) {
            return fault(
                format!(
                    "{} steps of {step} are left out after {}, and {missing} in {} gaps in all",
                    gap.missing,
                    write_stamp(gap.after),
                    report.gaps.len()
                ),
                "insert the missing rows, or accept it with clock.gaps = \"fill\" or \"keep\" (--clock mend, \
                 --clock keep-gaps)",
            );
        }
        if policy.gaps != Gaps::Fill || report.gaps.is_empty() {
            return Ok(Arranged {
                axis: Self {
                    stamps: sorted,
                    step,
                },
                rows: rows.into_iter().map(Some).collect(),
                report,
            });
        }
        if missing > MOST_FILLED * sorted.len() {
            return fault(
                format!(
                    "{missing} steps of {step} are left out between {} rows",
                    sorted.len()
                ),
                "check the time stamps and the step, or keep the gaps",
            );
        }
        let mut filled = Vec::with_capacity(sorted.len() + missing);
        let mut from = Vec::with_capacity(sorted.len() + missing);
        let mut gaps = report.gaps.iter().peekable();
        for (row, stamp) in rows.into_iter().zip(&sorted) {
            filled.push(*stamp);
            from.push(Some(row));
            if let Some(gap) = gaps.next_if(|g| g.after == *stamp) {
                for n in 1..=gap.missing as i64 {
                    filled.push(step.after(*stamp, n).unwrap_or(*stamp));
                    from.push(None);
                }
            }
        }
        Ok(Arranged {
            axis: Self {
                stamps: filled,
                step,
            },
            rows: from,
            report,
        })
    }

    /// Seconds since 1970-01-01 00:00:00 of every step.
    pub fn stamps(&self) -> &[i64] {
        &self.stamps
    }

    /// What lies between two steps, except at gaps.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Steps after which others are left out, as indices.
    pub fn gaps(&self) -> Vec<usize> {
        (1..self.stamps.len())
            .filter(|t| self.step.between(self.stamps[t - 1], self.stamps[*t]) != Some(1))
            .map(|t| t - 1)
            .collect()
    }

    /// The time of the `n`-th step after the last one, `n` from 1: where a forecast lies.
    pub fn next(&self, n: usize) -> Option<i64> {
        self.step
            .after(*self.stamps.last()?, i64::try_from(n).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stamp_of;
    use super::*;

    const DAY: i64 = 86_400;

    fn arrange(stamps: &[i64], policy: TimePolicy) -> Result<Arranged> {
        TimeAxis::arrange(stamps, None, policy)
    }

    #[test]
    fn clean_stamps_stay() {
        let a = arrange(&[0, 300, 600], TimePolicy::default()).unwrap();
        assert!(a.report.is_clean());
        assert_eq!(a.axis.step(), Step::Seconds(300));
        assert_eq!(a.axis.next(2), Some(1200));
        assert_eq!(a.rows, [Some(0), Some(1), Some(2)]);
        assert_eq!(a.axis, TimeAxis::regular(0, Step::Seconds(300), 3).unwrap());
    }

    #[test]
    fn every_fault_is_named_and_refused_until_accepted() {
        let bad = |s: &[i64]| arrange(s, TimePolicy::default()).unwrap_err().to_string();
        let text = bad(&[0, 600, 300, 900]);
        assert!(text.contains("row 2 (1970-01-01 00:05:00)"), "{text}");
        let text = bad(&[0, 300, 300, 600]);
        assert!(text.contains("00:05:00 occurs more than once"), "{text}");
        let text = bad(&[0, 300, 600, 1500]);
        assert!(text.contains("2 steps of 5 minutes are left out after 1970-01-01 00:10:00"));
        let text = bad(&[0, 300, 600, 1000]);
        assert!(text.contains("00:16:40 is not a multiple"), "{text}");
        assert!(bad(&[0]).contains("cannot be told"));
        assert!(bad(&[0, i64::MAX]).contains("no time of the calendar"));
        let policy = TimePolicy::mend();
        let a = arrange(&[600, 0, 300, 300, 1200], policy).unwrap();
        assert_eq!(a.axis.stamps(), [0, 300, 600, 900, 1200]);
        assert_eq!(a.rows, [Some(1), Some(2), Some(0), None, Some(4)]);
        assert_eq!((a.report.unordered, a.report.duplicates), (1, 1));
        assert_eq!(
            a.report.gaps,
            [Gap {
                after: 600,
                until: 1200,
                missing: 1
            }]
        );
        let last = TimePolicy {
            duplicates: Duplicates::Last,
            gaps: Gaps::Keep,
            ..policy
        };
        let a = arrange(&[600, 0, 300, 300, 1200], last).unwrap();
        assert_eq!(a.rows, [Some(1), Some(3), Some(0), Some(4)]);
        assert_eq!(a.axis.gaps(), [2]);
    }

    #[test]
    fn a_single_wild_stamp_does_not_fill_memory() {
        let text = arrange(&[0, 1, 2, 3, 100_000_000_000], TimePolicy::mend())
            .unwrap_err()
            .to_string();
        assert!(text.contains("between 5 rows"), "{text}");
    }

    #[test]
    fn months_and_years_are_calendar_steps() {
        let stamps: Vec<i64> = (1929..2010)
            .map(|y| stamp_of(y, 1, 1, 0, 0, 0).unwrap())
            .collect();
        let a = arrange(&stamps, TimePolicy::default()).unwrap();
        assert_eq!(a.axis.step(), Step::Months(12));
        assert_eq!(a.axis.step().to_string(), "1 year");
        assert_eq!(a.axis.next(1), stamp_of(2010, 1, 1, 0, 0, 0));
        let months: Vec<i64> = [1, 2, 4]
            .map(|m| stamp_of(2020, m, 1, 0, 0, 0).unwrap())
            .to_vec();
        let a = arrange(&months, TimePolicy::mend()).unwrap();
        assert_eq!(a.axis.step(), Step::Months(1));
        assert_eq!(Some(a.axis.stamps()[2]), stamp_of(2020, 3, 1, 0, 0, 0));
        // Four weeks are not a month.
        let weeks = arrange(&[0, 28 * DAY, 56 * DAY], TimePolicy::default()).unwrap();
        assert_eq!(weeks.axis.step(), Step::Seconds(28 * DAY));
        assert_eq!(weeks.axis.step().to_string(), "4 weeks");
    }

    #[test]
    fn steps_that_stand_still_are_refused() {
        for step in [Step::Seconds(0), Step::Seconds(-5), Step::Months(0)] {
            assert!(TimeAxis::arrange(&[0, 1], Some(step), TimePolicy::mend()).is_err());
            assert!(TimeAxis::regular(0, step, 2).is_err());
        }
        assert!(TimeAxis::regular(0, Step::Seconds(i64::MAX), 3).is_err());
        assert_eq!(Step::Seconds(300).per_day(), Some(288));
        assert_eq!(Step::Seconds(7).per_day(), None);
    }
}
