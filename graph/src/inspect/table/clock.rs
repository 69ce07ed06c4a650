//! The clock of a table.

use super::super::record::{GapFigures, Inspection, TimeFigures};
use super::super::signals::GAPS;
use super::Column;
use crate::series::{Duplicates, Gaps, Order, TimeAxis, TimePolicy, stamp_of, write_stamp};

/// Names of columns that together make a date.
const PARTS: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];

/// The columns that together make a date: year, month, day and what follows of hour, minute, second.
pub(super) fn date_parts(names: &[String], columns: &[Column]) -> Vec<usize> {
    let at = |part: &str| {
        let found = names.iter().position(|n| n.eq_ignore_ascii_case(part))?;
        matches!(columns[found], Column::Numbers(..)).then_some(found)
    };
    let parts: Vec<usize> = PARTS.iter().map_while(|p| at(p)).collect();
    if parts.len() < 3 { Vec::new() } else { parts }
}

/// The time of every row, where the table says it.
pub(super) fn stamps(columns: &[Column], parts: &[usize]) -> Option<Vec<i64>> {
    let stamps = columns.iter().find_map(|c| match c {
        Column::Stamps(stamps) => Some(stamps.clone()),
        _ => None,
    });
    if stamps.is_some() || parts.is_empty() {
        return stamps;
    }
    let numbers: Vec<&Vec<f64>> = parts
        .iter()
        .filter_map(|i| match &columns[*i] {
            Column::Numbers(values, _) => Some(values),
            _ => None,
        })
        .collect();
    let rows = numbers.first().map_or(0, |c| c.len());
    (0..rows)
        .map(|row| {
            let part = |i: usize| match numbers.get(i) {
                Some(column) => Some(column[row]).filter(|v| v.fract() == 0.0),
                None => Some(0.0),
            };
            let small = |i: usize| Some(part(i)? as i8);
            let year = part(0)? as i16;
            stamp_of(year, small(1)?, small(2)?, small(3)?, small(4)?, small(5)?)
        })
        .collect()
}

/// Describes the clock and what is wrong with it.
pub(in super::super) fn describe(stamps: &[i64], found: &mut Inspection) {
    let policy = TimePolicy {
        order: Order::Sort,
        duplicates: Duplicates::First,
        gaps: Gaps::Keep,
    };
    let arranged = match TimeAxis::arrange(stamps, None, policy) {
        Ok(arranged) => arranged,
        Err(e) => return found.warn(format!("the time stamps make no clock: {e}")),
    };
    let (axis, report) = (&arranged.axis, &arranged.report);
    let ends = (axis.stamps().first(), axis.stamps().last());
    let rate_hz = axis.step().rate();
    found.time = Some(TimeFigures {
        steps: Some(axis.stamps().len() as u64),
        rate_hz,
        step: Some(axis.step().to_string()),
        start: ends.0.map(|s| write_stamp(*s)),
        end: ends.1.map(|s| write_stamp(*s)),
        seconds: rate_hz.map(|r| axis.stamps().len() as f64 / r),
        gap_count: Some(report.gaps.len()),
        gaps: report
            .gaps
            .iter()
            .take(GAPS)
            .map(|g| GapFigures {
                at: write_stamp(g.after),
                seconds: Some((g.until - g.after) as f64),
                steps: Some(g.missing),
            })
            .collect(),
    });
    if report.unordered > 0 {
        found.warn(format!(
            "{} rows are earlier than the row before",
            report.unordered
        ));
    }
    if report.duplicates > 0 {
        found.warn(format!(
            "{} rows have the time of another row: are several sensors listed one below the other?",
            report.duplicates
        ));
    }
    if !report.gaps.is_empty() {
        found.warn(format!(
            "the clock has {} gap{}, of {} steps",
            report.gaps.len(),
            if report.gaps.len() == 1 { "" } else { "s" },
            report.missing()
        ));
    }
}
