//! Axes, frames and legends.

use plotters::backend::DrawingBackend;

use super::Drawn;
use super::canvas::{Align, Canvas, Stroke, Words, text_width};
use super::colour::{GRID, INK, MUTED};

/// Size of tick labels, in em pixels.
pub const SMALL: f64 = 11.0;
/// Size of axis titles and legends.
pub const MEDIUM: f64 = 12.0;
/// Size of panel titles.
pub const LARGE: f64 = 15.0;

/// Range, ticks and their labels along one direction.
#[derive(Debug, Clone)]
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Position and label of each tick.
    pub ticks: Vec<(f64, String)>,
}

/// The one of 1, 2, 5, 10, times a power of ten, that is nearest to `raw` by ratio.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let limits = [(1.4, 1.0), (3.2, 2.0), (7.1, 5.0)];
    let nearest = limits.into_iter().find(|(limit, _)| raw / power < *limit);
    nearest.map_or(10.0, |(_, step)| step) * power
}

/// A number as short as its neighbours `step` away allow.
fn label(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 {
        0.0
    } else {
        value
    };
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    if decimals > 5 || value.abs() >= 1e6 {
        let digits = (value.abs().max(step) / step)
            .log10()
            .ceil()
            .clamp(0.0, 6.0) as usize;
        format!("{value:.digits$e}")
    } else {
        format!("{value:.decimals$}")
    }
}

impl Axis {
    /// About `count` round ticks within [low, high], which is widened if empty.
    pub fn linear(low: f64, high: f64, count: usize) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else {
            let around = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low - around, low + around)
        };
        let step = nice_step((high - low) / count.max(1) as f64);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last)
            .map(|k| (k as f64 * step, label(k as f64 * step, step)))
            .collect();
        Self {
            low,
            high,
            log: false,
            ticks,
        }
    }

    /// [0, 1].
    pub fn unit() -> Self {
        Self::linear(0.0, 1.0, 5)
    }

    /// Round ticks around the finite `values` with a margin; logarithmic if all are positive and
    /// the largest is over `ratio` times the smallest.
    pub fn around(values: impl Iterator<Item = f64>, ratio: f64, count: usize) -> Self {
        let (low, high) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
        if low > high {
            return Self::unit();
        }
        if low > 0.0 && high > ratio * low {
            return Self::log(low, high);
        }
        let margin = (high - low) * 0.06;
        Self::linear(low - margin, high + margin, count)
    }

    /// Decades and, where few, their halves, around [low, high], both positive.
    fn log(low: f64, high: f64) -> Self {
        let margin = (high / low).powf(0.05);
        let (low, high) = (low / margin, high * margin);
        let decades = (high / low).log10();
        let within: &[f64] = if decades < 2.5 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let stride = (decades / 6.0).ceil().max(1.0) as i32;
        let first = low.log10().floor() as i32;
        let last = high.log10().ceil() as i32;
        let mut ticks = Vec::new();
        for k in (first..=last).filter(|k| k.rem_euclid(stride) == 0) {
            for m in within {
                let value = m * 10f64.powi(k);
                if value >= low && value <= high {
                    let text = if (-2..5).contains(&k) {
                        label(value, 10f64.powi(k))
                    } else {
                        format!("{m:.0}e{k}")
                    };
                    ticks.push((value, text));
                }
            }
        }
        Self {
            low,
            high,
            log: true,
            ticks,
        }
    }

    /// Whole-number ticks over [low, high], half a step of room for a single value.
    pub fn whole(low: usize, high: usize, count: usize) -> Self {
        let (from, to) = (low as f64, high.max(low) as f64);
        let step = nice_step((to - from) / count.max(1) as f64).max(1.0) as usize;
        let mut ticks: Vec<usize> = (low.div_ceil(step) * step..=high).step_by(step).collect();
        if ticks
            .first()
            .is_none_or(|&t| t > low && t - low >= step.div_ceil(2))
        {
            ticks.insert(0, low);
        }
        let room = if to > from { (to - from) * 0.02 } else { 0.5 };
        Self {
            low: from - room,
            high: to + room,
            log: false,
            ticks: ticks
                .into_iter()
                .map(|t| (t as f64, t.to_string()))
                .collect(),
        }
    }

    /// Names at 0, 1, ..., half a step of room at both ends.
    pub fn named(names: Vec<String>) -> Self {
        Self {
            low: -0.5,
            high: names.len() as f64 - 0.5,
            log: false,
            ticks: names
                .into_iter()
                .enumerate()
                .map(|(i, n)| (i as f64, n))
                .collect(),
        }
    }

    /// At most about `count` round times between two, in seconds since 1970-01-01 00:00:00.
    pub fn clock(from: f64, to: f64, count: usize) -> Self {
        const DAY: f64 = 86_400.0;
        let steps = [
            1.0,
            5.0,
            15.0,
            60.0,
            300.0,
            900.0,
            3600.0,
            10_800.0,
            21_600.0,
            43_200.0,
            DAY,
            2.0 * DAY,
            3.0 * DAY,
            7.0 * DAY,
            14.0 * DAY,
            28.0 * DAY,
            91.0 * DAY,
            365.25 * DAY,
        ];
        let span = (to - from).max(1.0);
        let fits = |s: &f64| span / s <= count as f64;
        let mut step = steps.into_iter().find(fits).unwrap_or(365.25 * DAY);
        while span / step > count as f64 {
            step *= 2.0;
        }
        let label = |stamp: f64| {
            let text = tgmamba_graph::series::write_stamp(stamp as i64);
            let (day, hour) = text.split_once(' ').unwrap_or((&text, ""));
            match step {
                s if s >= 91.0 * DAY => day.get(..7).unwrap_or(day).to_string(),
                s if s >= DAY => day.to_string(),
                s if s >= 3600.0 && hour.starts_with("00:00") => day.to_string(),
                s if s >= 60.0 => hour.get(..5).unwrap_or(hour).to_string(),
                _ => hour.to_string(),
            }
        };
        let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
        Self {
            low: from,
            high: from + span,
            log: false,
            ticks: (first..=last)
                .map(|k| (k as f64 * step, label(k as f64 * step)))
                .collect(),
        }
    }

    /// Position of a value, 0 at the low and 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Width of the widest label.
    fn label_width(&self) -> Result<f64, String> {
        self.ticks.iter().try_fold(0.0, |widest: f64, (_, text)| {
            Ok(widest.max(text_width(text, SMALL)?))
        })
    }
}

/// A plotting area with its two axes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Left edge of the data area.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
    x: Axis,
    y: Axis,
    names_upwards: bool,
}

impl Frame {
    /// Fits the data area into the rectangle between two corners, leaving room for tick labels and
    /// axis titles on the left and below.
    pub fn fit(from: (f64, f64), to: (f64, f64), x: Axis, y: Axis) -> Result<Self, String> {
        let left = from.0 + y.label_width()? + 30.0;
        let slot = (to.0 - left) / x.ticks.len().max(1) as f64;
        let widest = x.label_width()?;
        let names_upwards = widest > slot;
        let below = if names_upwards { widest } else { SMALL };
        Ok(Self {
            left,
            top: from.1,
            right: to.0,
            bottom: to.1 - below - 32.0,
            x,
            y,
            names_upwards,
        })
    }

    /// A small panel: its labels on the left lie outside the rectangle, those of x below it.
    pub fn within(from: (f64, f64), to: (f64, f64), x: Axis, y: Axis) -> Result<Self, String> {
        Ok(Self {
            left: from.0 + y.label_width()? + 10.0,
            top: from.1,
            right: to.0,
            bottom: to.1,
            x,
            y,
            names_upwards: false,
        })
    }

    /// Pixel of a pair of values.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        )
    }

    /// Grid, tick labels and axis titles; an empty title is none.
    pub fn draw<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        x_title: &str,
        y_title: &str,
    ) -> Drawn {
        self.grid(canvas, true)?;
        let centre = (
            (self.left + self.right) / 2.0,
            (self.top + self.bottom) / 2.0,
        );
        let below = if self.names_upwards {
            self.x.label_width()?
        } else {
            SMALL
        };
        let title = Words::new(MEDIUM, INK, Align::Middle);
        canvas.text(x_title, (centre.0, self.bottom + below + 22.0), title)?;
        if y_title.is_empty() {
            return Ok(());
        }
        let beside = self.left - self.y.label_width()? - 20.0;
        canvas.text(y_title, (beside, centre.1), title.upwards())
    }

    /// Grid and tick labels; those of the x axis only if asked for.
    pub fn grid<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, x_labels: bool) -> Drawn {
        let grid = Stroke::solid(GRID, 1.0);
        for (value, text) in &self.y.ticks {
            let (_, y) = self.at(self.x.low, *value);
            canvas.line(&[(self.left, y), (self.right, y)], grid)?;
            let words = Words::new(SMALL, MUTED, Align::Right);
            canvas.text(text, (self.left - 7.0, y), words)?;
        }
        let corner = [(self.left, self.bottom), (self.right, self.bottom)];
        canvas.line(&corner, Stroke::solid(MUTED, 1.0))?;
        if !x_labels {
            return Ok(());
        }
        let mut free = f64::NEG_INFINITY;
        for (value, text) in &self.x.ticks {
            let (x, _) = self.at(*value, self.y.low);
            let width = if self.names_upwards {
                SMALL
            } else {
                text_width(text, SMALL)?
            };
            if x - width / 2.0 < free {
                continue;
            }
            free = x + width / 2.0 + 3.0;
            canvas.line(
                &[(x, self.bottom), (x, self.bottom + 4.0)],
                Stroke::solid(MUTED, 1.0),
            )?;
            if self.names_upwards {
                let words = Words::new(SMALL, MUTED, Align::Right).upwards();
                canvas.text(text, (x, self.bottom + 7.0), words)?;
            } else {
                let words = Words::new(SMALL, MUTED, Align::Middle);
                canvas.text(text, (x, self.bottom + 13.0), words)?;
            }
        }
        Ok(())
    }

    /// A line through the points, broken where a value is not finite; a point alone is a dot, and
    /// short lines show their points.
    pub fn series<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        points: &[(f64, f64)],
        stroke: Stroke,
    ) -> Drawn {
        let drawable = |p: &(f64, f64)| {
            let (x, y) = self.at(p.0, p.1);
            x.is_finite() && y.is_finite()
        };
        let dots = points.len() <= 30;
        for run in points.split(|p| !drawable(p)) {
            let pixels: Vec<_> = run.iter().map(|p| self.at(p.0, p.1)).collect();
            canvas.line(&pixels, stroke)?;
            if dots || pixels.len() == 1 {
                for p in pixels {
                    canvas.disc(p, stroke.width * 1.35, stroke.colour)?;
                }
            }
        }
        Ok(())
    }
}

/// Entries side by side from `at`, wrapped at `right`; returns the height used.
pub fn legend_row<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    entries: &[(String, Stroke)],
    at: (f64, f64),
    right: f64,
) -> Result<f64, String> {
    let (mut x, mut y) = at;
    for (text, stroke) in entries {
        let width = 26.0 + text_width(text, MEDIUM)?;
        if x > at.0 && x + width > right {
            (x, y) = (at.0, y + 18.0);
        }
        legend_entry(canvas, text, *stroke, (x, y))?;
        x += width + 16.0;
    }
    Ok(y - at.1 + 18.0)
}

/// A sample of the line and its name, centred vertically on `at`.
pub fn legend_entry<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    text: &str,
    stroke: Stroke,
    at: (f64, f64),
) -> Drawn {
    canvas.line(&[at, (at.0 + 20.0, at.1)], stroke)?;
    canvas.text(
        text,
        (at.0 + 26.0, at.1),
        Words::new(MEDIUM, INK, Align::Left),
    )
}

/// The title of a panel, its left end at `at`.
pub fn title<B: DrawingBackend>(canvas: &mut Canvas<B>, text: &str, at: (f64, f64)) -> Drawn {
    canvas.text(text, at, Words::new(LARGE, INK, Align::Left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, t)| t.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels(&Axis::unit()),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&Axis::linear(0.0, 7.3, 5)), ["0", "2", "4", "6"]);
        assert_eq!(
            labels(&Axis::linear(-0.011, 0.012, 4)),
            ["-0.010", "-0.005", "0.000", "0.005", "0.010"]
        );
        assert_eq!(labels(&Axis::whole(1, 1, 6)), ["1"]);
        assert_eq!(labels(&Axis::whole(1, 20, 5)), ["1", "5", "10", "15", "20"]);
    }

    #[test]
    fn a_wide_range_is_logarithmic() {
        let axis = Axis::around([1e-5, 1e-3].into_iter(), 20.0, 5);
        assert_eq!(
            labels(&axis),
            ["1e-5", "2e-5", "5e-5", "1e-4", "2e-4", "5e-4", "1e-3"]
        );
        assert!((axis.place(1e-4) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn times_are_round() {
        let hours = |n: f64| 3600.0 * n;
        let day = Axis::clock(hours(1.0), hours(26.0), 6);
        assert_eq!(labels(&day), ["06:00", "12:00", "18:00", "1970-01-02"]);
        let month = Axis::clock(0.0, hours(24.0 * 60.0), 6);
        assert_eq!(labels(&month)[1], "1970-01-15");
        let century = Axis::clock(0.0, hours(24.0 * 36_525.0), 6);
        assert!(century.ticks.len() > 2 && labels(&century)[0] == "1970-01");
        assert!(Axis::clock(5.0, 5.0, 6).ticks.len() < 3);
    }

    #[test]
    fn nothing_finite_still_gives_an_axis() {
        assert_eq!(Axis::around([f64::NAN].into_iter(), 20.0, 5).ticks.len(), 6);
        assert!(!Axis::around([3.0].into_iter(), 20.0, 5).ticks.is_empty());
    }
}
