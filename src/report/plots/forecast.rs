//! Figures of forecasts: against the truth, over the horizon, and over the sensors.

use plotters::backend::DrawingBackend;

use super::axes::{Axis, Frame, MEDIUM, SMALL, legend_row, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened};
use super::colour::{INK, LINES, MUTED, Map};
use super::sensors::{Area, places, radius};
use super::{Drawn, Figure};
use crate::report::{ForecastExcerpt, SensorError, StepError};

/// Height of one panel of forecasts.
const PANEL: f64 = 210.0;

/// What was observed, and what was forecast for the same times some steps before; a panel for each
/// sensor. Quantiles are a band.
#[derive(Debug, Clone, Copy)]
pub struct ForecastLines<'a> {
    /// The sensors.
    pub excerpts: &'a [ForecastExcerpt],
    /// What is forecast, with its unit.
    pub quantity: &'a str,
    /// Whether positions along time are seconds since 1970; else steps.
    pub clock: bool,
}

impl ForecastLines<'_> {
    fn panel<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        excerpt: &ForecastExcerpt,
        top: f64,
    ) -> Drawn {
        let name = format!("{}: MAE {:.3}", excerpt.sensor, excerpt.mae);
        let name = shortened(&name, MEDIUM, canvas.size.0 - 60.0)?;
        canvas.text(
            &name,
            (16.0, top + 8.0),
            Words::new(MEDIUM, INK, Align::Left),
        )?;
        let lines = excerpt.lines.iter().flat_map(|l| l.points.iter());
        let bands = excerpt.band.iter().flat_map(|b| [b.1, b.2]);
        let observed = excerpt.observed.iter().map(|p| p.1);
        let values = lines.map(|p| p.1).chain(observed.clone()).chain(bands);
        let y = Axis::around(values, f64::INFINITY, 4);
        let times = || excerpt.observed.iter().map(|p| p.0);
        let low = times().fold(f64::INFINITY, f64::min);
        let high = times().fold(f64::NEG_INFINITY, f64::max);
        let x = match self.clock {
            true => Axis::clock(low, high, 8),
            false => Axis::linear(low, high, 8),
        };
        let corner = (canvas.size.0 - 20.0, top + PANEL);
        let frame = Frame::fit((12.0, top + 22.0), corner, x, y)?;
        frame.draw(canvas, "", "")?;
        for band in excerpt.band.windows(2) {
            let (a, b) = (band[0], band[1]);
            let corners = [
                frame.at(a.0, a.1),
                frame.at(b.0, b.1),
                frame.at(b.0, b.2),
                frame.at(a.0, a.2),
            ];
            if corners.iter().all(|p| p.0.is_finite() && p.1.is_finite()) {
                canvas.polygon(&corners, LINES[5], 0.25)?;
            }
        }
        frame.series(canvas, &excerpt.observed, Stroke::solid(INK, 1.6))?;
        for (i, line) in excerpt.lines.iter().enumerate() {
            let stroke = Stroke {
                width: 1.5,
                ..Stroke::nth(i)
            };
            frame.series(canvas, &line.points, stroke)?;
        }
        Ok(())
    }
}

impl Figure for ForecastLines<'_> {
    fn size(&self) -> (u32, u32) {
        (960, (70.0 + PANEL * self.excerpts.len() as f64) as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let name = format!("Forecasts against the truth: {}", self.quantity);
        title(canvas, &name, (16.0, 20.0))?;
        let mut entries = vec![("observed".to_string(), Stroke::solid(INK, 1.6))];
        if let Some(first) = self.excerpts.first() {
            let lines = first.lines.iter().enumerate();
            entries.extend(lines.map(|(i, l)| (l.label.clone(), Stroke::nth(i))));
        }
        legend_row(canvas, &entries, (16.0, 46.0), canvas.size.0 - 20.0)?;
        for (i, excerpt) in self.excerpts.iter().enumerate() {
            self.panel(canvas, excerpt, 64.0 + PANEL * i as f64)?;
        }
        Ok(())
    }
}

/// MAE and RMSE at each step ahead.
#[derive(Debug, Clone, Copy)]
pub struct HorizonErrors<'a> {
    /// The steps, in order.
    pub steps: &'a [StepError],
    /// Unit of the errors; may be empty.
    pub unit: &'a str,
}

impl Figure for HorizonErrors<'_> {
    fn size(&self) -> (u32, u32) {
        (560, 360)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        title(canvas, "Error by steps ahead", (16.0, 20.0))?;
        let lines = [
            ("MAE", Stroke::nth(0), (|s| s.mae) as fn(&StepError) -> f64),
            ("RMSE", Stroke::nth(1), |s| s.rmse),
        ];
        let entries: Vec<_> = lines.iter().map(|l| (l.0.to_string(), l.1)).collect();
        let legend = legend_row(canvas, &entries, (16.0, 46.0), canvas.size.0 - 20.0)?;
        let values = self.steps.iter().flat_map(|s| [s.mae, s.rmse]).chain([0.0]);
        let y = Axis::around(values, f64::INFINITY, 5);
        let last = self.steps.last().map_or(1, |s| s.step);
        let corner = (canvas.size.0 - 20.0, canvas.size.1 - 6.0);
        let top = (12.0, 50.0 + legend);
        let frame = Frame::fit(top, corner, Axis::whole(1, last, 8), y)?;
        frame.draw(canvas, "steps ahead", self.unit)?;
        for (_, stroke, value) in lines {
            let points: Vec<_> = self
                .steps
                .iter()
                .map(|s| (s.step as f64, value(s)))
                .collect();
            frame.series(canvas, &points, stroke)?;
        }
        Ok(())
    }
}

/// The MAE of every sensor, as the colour of a disc at its place; grey where it was never observed.
#[derive(Debug, Clone, Copy)]
pub struct SensorErrors<'a> {
    /// The sensors.
    pub sensors: &'a [SensorError],
    /// Unit of the errors; may be empty.
    pub unit: &'a str,
}

/// Side of the area the unit square is drawn on.
const SIDE: f64 = 520.0;
/// Space around it.
const MARGIN: f64 = 36.0;

impl Figure for SensorErrors<'_> {
    fn size(&self) -> (u32, u32) {
        let side = (SIDE + 2.0 * MARGIN) as u32;
        (side + 90, side + 40)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        title(canvas, "MAE of each sensor", (16.0, 20.0))?;
        let area = Area {
            left: MARGIN,
            top: 40.0 + MARGIN,
            side: SIDE,
        };
        let layout: Vec<[f64; 2]> = self.sensors.iter().map(|s| s.place).collect();
        let (points, ..) = places(&layout, layout.len(), area);
        let mut known: Vec<f64> = self.sensors.iter().filter_map(|s| s.mae).collect();
        known.sort_by(f64::total_cmp);
        // One sensor far off would hide the differences between the others.
        let at = |share: f64| known.get(((known.len().max(1) - 1) as f64 * share) as usize);
        let low = known.first().copied().unwrap_or(0.0);
        let high = at(0.98).copied().unwrap_or(1.0).max(low + 1e-12);
        let axis = Axis::linear(low, high, 5);
        let size = radius(&points).clamp(3.5, 12.0);
        for (sensor, p) in self.sensors.iter().zip(&points) {
            match sensor.mae {
                Some(mae) => {
                    let colour = Map::Viridis.at(axis.place(mae));
                    canvas.disc(*p, size, MUTED)?;
                    canvas.disc(*p, size - 0.8, colour)?;
                }
                None => canvas.disc(*p, size, MUTED)?,
            }
        }
        let (x, top, height) = (MARGIN + SIDE + 40.0, 40.0 + MARGIN, 240.0);
        let steps = 64;
        for k in 0..steps {
            let lower = top + height * (1.0 - f64::from(k) / f64::from(steps));
            let colour = Map::Viridis.at((f64::from(k) + 0.5) / f64::from(steps));
            canvas.rect((x, top), (x + 14.0, lower), colour)?;
        }
        let words = Words::new(SMALL, MUTED, Align::Left);
        for (value, text) in &axis.ticks {
            let y = top + height * (1.0 - axis.place(*value));
            canvas.line(&[(x + 14.0, y), (x + 18.0, y)], Stroke::solid(MUTED, 1.0))?;
            canvas.text(text, (x + 22.0, y), words)?;
        }
        canvas.text(self.unit, (x - 8.0, top + height + 17.0), words)
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg;
    use super::*;
    use crate::report::ForecastLine;

    fn excerpt() -> ForecastExcerpt {
        ForecastExcerpt {
            sensor: "717446".into(),
            mae: 2.5,
            observed: vec![(0.0, 60.0), (300.0, f64::NAN), (600.0, 40.0)],
            lines: vec![ForecastLine {
                label: "1 step before".into(),
                points: vec![(0.0, 58.0), (300.0, 57.0), (600.0, 45.0)],
            }],
            band: vec![(0.0, 50.0, 65.0), (300.0, 49.0, 63.0)],
        }
    }

    #[test]
    fn figures_say_what_they_show() {
        let excerpts = [excerpt()];
        let lines = ForecastLines {
            excerpts: &excerpts,
            quantity: "speed, mph",
            clock: true,
        };
        let text = svg(&lines).unwrap();
        for label in [
            "717446: MAE 2.500",
            "observed",
            "1 step before",
            "speed, mph",
        ] {
            assert!(text.contains(label), "{label}");
        }
        assert!(!text.contains("NaN"));
        let steps =
            [(1, 2.0, 3.0), (2, 2.5, 4.0)].map(|(step, mae, rmse)| StepError { step, mae, rmse });
        let text = svg(&HorizonErrors {
            steps: &steps,
            unit: "mph",
        })
        .unwrap();
        assert!(text.contains("RMSE") && text.contains("steps ahead"));
        let sensor = |place, mae| SensorError {
            name: "a".into(),
            place,
            mae,
        };
        let sensors = [sensor([0.1, 0.2], Some(1.0)), sensor([0.9, 0.5], None)];
        let text = svg(&SensorErrors {
            sensors: &sensors,
            unit: "mph",
        })
        .unwrap();
        assert!(text.contains("MAE of each sensor") && !text.contains("NaN"));
    }
}
