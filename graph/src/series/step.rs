//! What lies between two time stamps.

use std::collections::HashMap;

use jiff::Span;
use serde::{Deserialize, Serialize};

use super::stamp::{civil, seconds};
use crate::{Error, Result};

const DAY: i64 = 86_400;

/// What lies between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A fixed number of seconds.
    Seconds(i64),
    /// Calendar months: 1, or 12 for a year.
    Months(i32),
}

impl Step {
    /// Steps per second, `None` for months, which differ in length.
    pub fn rate(self) -> Option<f64> {
        match self {
            Self::Seconds(s) => Some(1.0 / s as f64),
            Self::Months(_) => None,
        }
    }

    /// Steps in a day, where that is a whole number of at least one.
    pub fn per_day(self) -> Option<usize> {
        match self {
            Self::Seconds(s) if s > 0 && DAY % s == 0 => usize::try_from(DAY / s).ok(),
            _ => None,
        }
    }

    /// Number of steps from `a` to `b`, `None` when `b` is not on the grid through `a`.
    pub(super) fn between(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Seconds(s) => {
                let d = b.checked_sub(a)?;
                (d % s == 0).then(|| d / s)
            }
            Self::Months(m) => {
                let (from, to) = (civil(a)?, civil(b)?);
                let months = 12 * (i64::from(to.year()) - i64::from(from.year()))
                    + i64::from(to.month())
                    - i64::from(from.month());
                let whole = months % i64::from(m) == 0;
                (whole && self.after(a, months / i64::from(m)) == Some(b))
                    .then(|| months / i64::from(m))
            }
        }
    }

    /// The stamp `n` steps after `a`. The 31st of a month becomes the last day of a shorter one.
    pub(super) fn after(self, a: i64, n: i64) -> Option<i64> {
        match self {
            Self::Seconds(s) => a.checked_add(s.checked_mul(n)?),
            Self::Months(m) => {
                let span = Span::new().try_months(i64::from(m).checked_mul(n)?).ok()?;
                seconds(civil(a)?.checked_add(span).ok()?)
            }
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seconds(s) => {
                let (n, unit) = [
                    (7 * DAY, "week"),
                    (DAY, "day"),
                    (3600, "hour"),
                    (60, "minute"),
                ]
                .into_iter()
                .find(|(size, _)| s % size == 0)
                .map_or((*s, "second"), |(size, unit)| (s / size, unit));
                write!(f, "{n} {unit}{}", if n == 1 { "" } else { "s" })
            }
            Self::Months(12) => write!(f, "1 year"),
            Self::Months(m) => write!(f, "{m} month{}", if *m == 1 { "" } else { "s" }),
        }
    }
}

pub(super) fn positive(step: Step) -> Result<()> {
    match step {
        Step::Seconds(1..) | Step::Months(1..) => Ok(()),
        _ => Err(Error::config(
            "time.step",
            format!("{step:?} does not go forward"),
            "give a positive step",
        )),
    }
}

/// The most frequent difference of ascending stamps, the shorter one on a tie.
pub(super) fn usual_step(sorted: &[i64]) -> Result<Step> {
    if sorted.len() < 2 {
        return Err(Error::config(
            "time.step",
            format!("cannot be told from {} time stamps", sorted.len()),
            "give the step, or more rows",
        ));
    }
    if let Some(months) = calendar_step(sorted) {
        return Ok(Step::Months(months));
    }
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for pair in sorted.windows(2) {
        *counts.entry(pair[1] - pair[0]).or_default() += 1;
    }
    let usual = counts
        .into_iter()
        .max_by_key(|(difference, count)| (*count, -difference));
    Ok(Step::Seconds(usual.map_or(1, |(difference, _)| difference)))
}

/// Months between stamps that all have the same day of the month and time of day, and at least 28
/// days between them; `None` for others.
fn calendar_step(sorted: &[i64]) -> Option<i32> {
    if sorted.windows(2).any(|w| w[1] - w[0] < 28 * DAY) {
        return None;
    }
    let first = civil(sorted[0])?;
    let mut counts: HashMap<i32, usize> = HashMap::new();
    let mut before: Option<i32> = None;
    for stamp in sorted {
        let c = civil(*stamp)?;
        if (c.day(), c.time()) != (first.day(), first.time()) {
            return None;
        }
        let month = 12 * i32::from(c.year()) + i32::from(c.month());
        if let Some(before) = before {
            *counts.entry(month - before).or_default() += 1;
        }
        before = Some(month);
    }
    let usual = counts.into_iter().max_by_key(|(m, count)| (*count, -m));
    usual.map(|(months, _)| months)
}
