//! Which steps and which sensors are worth a look.

use std::ops::Range;

use ndarray::Array2;

use super::{Excerpt, ExcerptOptions};
use crate::inspect::Figures;
use crate::{Error, Result};

/// Steps that are drawn unless others are asked for, of signals without a sampling rate.
const STEPS: usize = 1000;
/// Duration that is drawn of signals of at least one sample per second, seconds.
const SECONDS: f64 = 5.0;
/// Sensors shown in time.
const SHOWN: usize = 5;

/// The steps that are taken of `all`.
pub(super) fn stretch(
    all: usize,
    rate: Option<f64>,
    options: &ExcerptOptions,
) -> Result<Range<usize>> {
    let steps = |value: f64, field: &str| {
        let n = (value * rate.unwrap_or(1.0)).round();
        match n >= 0.0 && n < usize::MAX as f64 {
            true => Ok(n as usize),
            false => Err(Error::config(
                field,
                format!("{value} is no time"),
                "give seconds from 0 on",
            )),
        }
    };
    let start = options.start.map_or(Ok(0), |s| steps(s, "from"))?;
    let length = match (options.length, rate) {
        (Some(length), _) => steps(length, "length")?,
        (None, Some(rate)) if rate >= 1.0 => (SECONDS * rate).round() as usize,
        // A few days of minutes, two weeks of hours, all of days.
        (None, Some(rate)) if rate > 1.5 / 3600.0 => (3.0 * 86_400.0 * rate).round() as usize,
        (None, Some(rate)) if rate > 1.5 / 86_400.0 => (14.0 * 86_400.0 * rate).round() as usize,
        (None, _) => STEPS,
    };
    let end = start.saturating_add(length).min(all);
    if start + 1 >= end {
        return Err(Error::config(
            "from, length",
            format!("leave nothing of {all} steps"),
            "choose a stretch inside the recording",
        ));
    }
    Ok(start..end)
}

/// Chooses the sensors to show and the moment.
pub(super) fn finish(mut e: Excerpt, wanted: &[String]) -> Result<Excerpt> {
    e.moment = most_different(&e.values);
    e.shown = match wanted {
        [] => apart(&e),
        names => names
            .iter()
            .map(|name| {
                e.sensors.iter().position(|s| s == name).ok_or_else(|| {
                    let known: Vec<&str> = e.sensors.iter().map(String::as_str).collect();
                    Error::unknown("sensor", name, &known)
                })
            })
            .collect::<Result<_>>()?,
    };
    Ok(e)
}

/// The step at which the sensors differ most; those at which few of them are observed do not count.
pub(super) fn most_different(values: &Array2<f32>) -> usize {
    let spread = |t: usize| {
        let f = Figures::of(&values.column(t).to_vec());
        match 2 * (f.count - f.missing) >= f.count {
            true => f.sd.unwrap_or(0.0),
            false => 0.0,
        }
    };
    let steps = (0..values.ncols()).map(|t| (t, spread(t)));
    steps
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(t, _)| t)
}

/// Sensors far from each other out of those that vary most.
fn apart(e: &Excerpt) -> Vec<usize> {
    let varies: Vec<f64> = e
        .values
        .rows()
        .into_iter()
        .map(|row| Figures::of(&row.to_vec()).sd.unwrap_or(-1.0))
        .collect();
    let mut order: Vec<usize> = (0..e.sensors.len()).collect();
    order.sort_by(|a, b| varies[*b].total_cmp(&varies[*a]));
    // At the edge of a network little may happen: only the livelier sensors are considered.
    order.truncate((order.len() / 4).max(2 * SHOWN));
    let Some(first) = order.first() else {
        return order;
    };
    let mut chosen = vec![*first];
    let square = |a: usize, b: usize| {
        let (p, q) = (e.layout[a], e.layout[b]);
        (p[0] - q[0]).powi(2) + (p[1] - q[1]).powi(2)
    };
    while chosen.len() < SHOWN.min(order.len()) {
        let lonely = |i: &usize| {
            chosen
                .iter()
                .map(|c| square(*c, *i))
                .fold(f64::INFINITY, f64::min)
        };
        let left = order.iter().filter(|i| !chosen.contains(i));
        let Some(next) = left.max_by(|a, b| lonely(a).total_cmp(&lonely(b))) else {
            break;
        };
        chosen.push(*next);
    }
    chosen.sort_unstable();
    chosen
}
