//! Signals over the graph of their sensors.

use plotters::backend::DrawingBackend;
use tgmamba_graph::inspect::{Clock, Excerpt};

use super::axes::{Axis, Frame, SMALL, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened, text_width};
use super::colour::{GRID, INK, MUTED, Map, PAPER, line};
use super::sensors::{Area, Edge, Edges, head, place_names, places, radius};
use super::{Drawn, Figure};

const WIDTH: f64 = 1120.0;
/// Height of the panel of one sensor.
const PANEL: f64 = 92.0;
/// Least and largest height of all panels together.
const PANELS: (f64, f64) = (380.0, 620.0);
/// Left end of the panels.
const RIGHT_PART: f64 = 500.0;
/// Room for the titles above, and for the time axis below the panels.
const ABOVE: f64 = 66.0;
const BELOW: f64 = 60.0;

/// On the left the sensors at their places, joined by their edges and coloured by their values at
/// one moment; on the right a few of them in time, the moment marked, missing stretches grey. All
/// panels share one range.
#[derive(Debug, Clone, Copy)]
pub struct SignalsOverGraph<'a> {
    /// What to draw.
    pub excerpt: &'a Excerpt,
}

impl SignalsOverGraph<'_> {
    fn panels(&self) -> f64 {
        (self.excerpt.shown.len() as f64 * PANEL).clamp(PANELS.0, PANELS.1)
    }

    fn axis(&self) -> Axis {
        let times = &self.excerpt.times;
        let (from, to) = (times.first(), times.last());
        let (from, to) = (from.copied().unwrap_or(0.0), to.copied().unwrap_or(1.0));
        match self.excerpt.clock {
            Clock::Stamps => Axis::clock(from, to, 6),
            _ => Axis::linear(from, to, 6),
        }
    }

    fn series<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let e = self.excerpt;
        let rows = e.shown.len().max(1) as f64;
        let (low, high) = range(
            e.shown.iter().flat_map(|i| e.values.row(*i).to_vec()),
            0.001,
        );
        let room = (high - low) * 0.06;
        let height = self.panels() / rows;
        let right = WIDTH - 24.0;
        let widest = e.shown.iter().try_fold(0.0, |w: f64, i| {
            Ok::<_, String>(w.max(text_width(&short(&e.sensors[*i])?, SMALL)?))
        })?;
        for (k, &sensor) in e.shown.iter().enumerate() {
            let top = ABOVE + k as f64 * height;
            let y = Axis::linear(low - room, high + room, if height < 80.0 { 2 } else { 3 });
            let left = RIGHT_PART + widest;
            let frame = Frame::within(
                (left, top + 4.0),
                (right, top + height - 6.0),
                self.axis(),
                y,
            )?;
            self.missing(canvas, &frame, sensor)?;
            frame.grid(canvas, k + 1 == e.shown.len())?;
            let row = e.values.row(sensor);
            let points: Vec<(f64, f64)> = e
                .times
                .iter()
                .zip(row)
                .map(|(t, v)| (*t, f64::from(*v).clamp(low - room, high + room)))
                .collect();
            frame.series(
                canvas,
                &points,
                Stroke {
                    width: 1.3,
                    ..Stroke::solid(line(k), 1.3)
                },
            )?;
            let moment = e.times.get(e.moment).copied().unwrap_or(0.0);
            let (x, _) = frame.at(moment, low);
            canvas.line(
                &[(x, frame.top), (x, frame.bottom)],
                Stroke::dashed(MUTED, 1.0),
            )?;
            let at = (RIGHT_PART - 12.0, top + height / 2.0);
            canvas.text(
                &short(&e.sensors[sensor])?,
                at,
                Words::new(SMALL, line(k), Align::Left),
            )?;
        }
        let below = ABOVE + self.panels() + 30.0;
        let middle = (RIGHT_PART + widest + right) / 2.0;
        let words = Words::new(SMALL, INK, Align::Middle);
        let name = match e.clock {
            Clock::Stamps => "",
            Clock::Seconds => "time, s",
            Clock::Steps => "step",
        };
        canvas.text(name, (middle, below), words)
    }

    /// Grey where the sensor has no value.
    fn missing<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        frame: &Frame,
        sensor: usize,
    ) -> Drawn {
        let e = self.excerpt;
        let row = e.values.row(sensor);
        let mut t = 0;
        while t < row.len() {
            if row[t].is_finite() {
                t += 1;
                continue;
            }
            let first = t;
            while t < row.len() && !row[t].is_finite() {
                t += 1;
            }
            let x = |i: usize| frame.at(e.times[i.min(e.times.len() - 1)], 0.0).0;
            let (from, to) = (x(first.saturating_sub(1)), x(t));
            canvas.veil((from, frame.top), (to, frame.bottom), GRID, 0.8)?;
        }
        Ok(())
    }

    fn map<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let e = self.excerpt;
        let v = e.sensors.len();
        let space = if e.head { 40.0 } else { 24.0 };
        let side = (RIGHT_PART - 60.0 - 2.0 * space).min(self.panels() - 2.0 * space - 10.0);
        let area = Area {
            left: (RIGHT_PART - 40.0 - side) / 2.0,
            top: ABOVE + space + (self.panels() - 2.0 * space - 10.0 - side) / 2.0,
            side,
        };
        let (points, centre, reach) = places(&e.layout, v, area);
        let radius = (radius(&points) * 1.15).clamp(3.0, 13.0);
        if e.head {
            head(canvas, centre, reach)?;
        }
        let edges = Edges::of(
            v,
            e.edges.iter().map(|(from, to, w)| Edge {
                from: *from,
                to: *to,
                weight: f64::from(*w),
            }),
        );
        let thin = (radius / 8.0).clamp(0.35, 1.0);
        for edge in &edges.shown {
            let strength = edge.weight.abs() / edges.largest;
            let stroke = Stroke {
                opacity: 0.25 + 0.6 * strength,
                ..Stroke::solid(MUTED, thin * (0.5 + 2.0 * strength))
            };
            canvas.line(&[points[edge.from], points[edge.to]], stroke)?;
        }
        let now: Vec<f32> = e.values.column(e.moment).to_vec();
        let (low, high) = range(now.iter().copied(), 0.02);
        let colour = |v: f32| match v.is_finite() {
            true => Map::Viridis.at((f64::from(v) - low) / (high - low).max(f64::MIN_POSITIVE)),
            false => PAPER,
        };
        for (p, value) in points.iter().zip(&now) {
            canvas.disc(*p, radius, MUTED)?;
            canvas.disc(*p, radius - 0.8, colour(*value))?;
        }
        // Those in time last: ringed in the colour of their line, with their names.
        for (k, &i) in e.shown.iter().enumerate() {
            let p = points[i];
            canvas.disc(p, radius + 3.2, line(k))?;
            canvas.disc(p, radius + 0.8, PAPER)?;
            canvas.disc(p, radius - 0.2, colour(now[i]))?;
        }
        let names: Vec<String> = e
            .shown
            .iter()
            .map(|i| short(&e.sensors[*i]))
            .collect::<Result<_, _>>()?;
        let mut widths = vec![0.0; v];
        for (name, i) in names.iter().zip(&e.shown) {
            widths[*i] = text_width(name, SMALL)?;
        }
        let sheet = (
            (4.0, ABOVE - 8.0),
            (RIGHT_PART - 20.0, ABOVE + self.panels()),
        );
        // With hundreds of sensors there is no room beside all of them: others may be covered.
        let crowded = v > 60;
        let obstacles: Vec<(f64, f64)> = match crowded {
            true => e.shown.iter().map(|i| points[*i]).collect(),
            false => points.clone(),
        };
        let order: Vec<usize> = match crowded {
            true => (0..obstacles.len()).collect(),
            false => e.shown.clone(),
        };
        let widths: Vec<f64> = match crowded {
            true => e.shown.iter().map(|i| widths[*i]).collect(),
            false => widths,
        };
        let at = place_names(&obstacles, &widths, &order, (radius + 3.0, SMALL), sheet);
        for (k, (name, i)) in names.iter().zip(&order).enumerate() {
            let Some((x, y)) = at[*i] else { continue };
            let half = widths[*i] / 2.0 + 1.0;
            canvas.veil((x - half, y - 6.0), (x + half, y + 6.0), PAPER, 0.8)?;
            canvas.text(name, (x, y), Words::new(SMALL, line(k), Align::Middle))?;
        }
        let above = now.iter().any(|v| f64::from(*v) > high);
        self.key(canvas, (low, high, above), &edges)
    }

    /// The colours of the values, and what the edges are.
    fn key<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        (low, high, above): (f64, f64, bool),
        edges: &Edges,
    ) -> Drawn {
        let y = ABOVE + self.panels() + 16.0;
        let words = Words::new(SMALL, MUTED, Align::Left);
        let (left, width) = (24.0, 130.0);
        for k in 0..65 {
            let x = left + width * f64::from(k) / 65.0;
            let to = (x + width / 65.0 + 0.5, y + 5.0);
            canvas.rect((x, y - 5.0), to, Map::Viridis.at(f64::from(k) / 64.0))?;
        }
        let mut text = format!("{} to {}", short_number(low), short_number(high));
        if above {
            text += " and more";
        }
        canvas.text(&text, (left + width + 8.0, y), words)?;
        let n = match edges.shown.len() {
            shown if shown < edges.total => format!("{shown} strongest of {} edges", edges.total),
            shown => format!("{shown} edges"),
        };
        let text = format!(
            "{} sensors, {n}: {}",
            self.excerpt.sensors.len(),
            self.excerpt.edges_from
        );
        let text = shortened(&text, SMALL, RIGHT_PART - 60.0)?;
        canvas.text(&text, (left, y + 22.0), words)
    }
}

/// Least and largest of the values. The outer `share` of them at each end only counts as far as it
/// lies near, so that a few extreme ones do not flatten the rest.
fn range(of: impl Iterator<Item = f32>, share: f64) -> (f64, f64) {
    let mut all: Vec<f32> = of.filter(|v| v.is_finite()).collect();
    all.sort_by(f32::total_cmp);
    let at = |share: f64| all.get((share * (all.len() as f64 - 1.0)).round() as usize);
    let (Some(low), Some(high)) = (all.first(), all.last()) else {
        return (0.0, 1.0);
    };
    let inner = |share: f64, outer: f32| f64::from(*at(share).unwrap_or(&outer));
    let (a, b) = (inner(share, *low), inner(1.0 - share, *high));
    let room = 0.5 * (b - a);
    let near = |v: f32| f64::from(v).clamp(a - room, b + room);
    (near(*low), near(*high))
}

/// A time stamp without what is 0 at its end.
fn moment(stamp: f64) -> String {
    let text = tgmamba_graph::series::write_stamp(stamp as i64);
    let text = text.strip_suffix(":00").unwrap_or(&text);
    text.strip_suffix(" 00:00").unwrap_or(text).to_string()
}

/// A name that fits beside a panel.
fn short(name: &str) -> Result<String, String> {
    shortened(name, SMALL, 110.0)
}

/// Three significant digits.
fn short_number(v: f64) -> String {
    let decimals = match v.abs() {
        a if a >= 100.0 || a == 0.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 1.0 => 2,
        _ => 3,
    };
    format!("{v:.decimals$}")
}

impl Figure for SignalsOverGraph<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (ABOVE + self.panels() + BELOW) as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let e = self.excerpt;
        title(
            canvas,
            &shortened(&e.title, 15.0, WIDTH - 48.0)?,
            (24.0, 22.0),
        )?;
        let words = Words::new(SMALL, MUTED, Align::Left);
        let at = e.times.get(e.moment).copied().unwrap_or(0.0);
        let when = match e.clock {
            Clock::Stamps => moment(at),
            Clock::Seconds => format!("{} s", short_number(at)),
            Clock::Steps => format!("step {at}"),
        };
        let under = format!("{} at the dashed line, {when}", e.quantity);
        canvas.text(
            &shortened(&under, SMALL, RIGHT_PART - 60.0)?,
            (24.0, 46.0),
            words,
        )?;
        canvas.text(&e.quantity, (RIGHT_PART - 12.0, 46.0), words)?;
        self.map(canvas)?;
        self.series(canvas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn sample(clock: Clock) -> Excerpt {
        let step = if clock == Clock::Stamps { 3600.0 } else { 0.1 };
        Excerpt {
            title: "a set".into(),
            quantity: "speed, mph".into(),
            sensors: (0..6).map(|i| format!("sensor {i}")).collect(),
            layout: (0..6)
                .map(|i| [f64::from(i) / 5.0, f64::from(i % 2)])
                .collect(),
            head: false,
            edges: vec![(0, 1, 1.0), (1, 0, 1.0), (2, 3, 0.5)],
            edges_from: "given with the data".into(),
            shown: vec![0, 2, 5],
            times: (0..50).map(|t| f64::from(t) * step).collect(),
            clock,
            values: Array2::from_shape_fn((6, 50), |(v, t)| match (v, t) {
                (2, 10..20) => f32::NAN,
                (5, 30) => 1e6,
                _ => (v * t) as f32,
            }),
            moment: 12,
        }
    }

    #[test]
    fn a_glitch_does_not_flatten_the_rest() {
        let values = (0..10_000).map(|i| (i % 100) as f32).chain([1e6]);
        let (low, high) = range(values, 0.001);
        assert_eq!(low, 0.0);
        assert!(high < 200.0, "{high}");
        assert_eq!(range([f32::NAN].into_iter(), 0.001), (0.0, 1.0));
        assert_eq!(range([1.0, 2.0, 9.0].into_iter(), 0.001), (1.0, 9.0));
    }

    #[test]
    fn stamps_are_short() {
        assert_eq!(moment(0.0), "1970-01-01");
        assert_eq!(moment(3600.0), "1970-01-01 01:00");
        assert_eq!(moment(3601.0), "1970-01-01 01:00:01");
    }

    #[test]
    fn every_clock_is_drawn() {
        for (clock, expected) in [
            (Clock::Seconds, "time, s"),
            (Clock::Steps, "step"),
            (Clock::Stamps, "1970-01-01 12:00"),
        ] {
            let excerpt = sample(clock);
            let svg = super::super::svg(&SignalsOverGraph { excerpt: &excerpt }).unwrap();
            assert!(svg.contains(expected), "{clock:?}");
            assert!(svg.contains("sensor 2") && svg.contains("3 edges"));
            assert!(!svg.contains("NaN"));
        }
    }
}
