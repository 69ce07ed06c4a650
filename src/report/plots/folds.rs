//! A metric across folds or seeds.

use plotters::backend::DrawingBackend;

use super::axes::{Axis, Frame, MEDIUM, SMALL, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened};
use super::colour::{INK, LINES, MUTED};
use super::{Drawn, Figure};
use crate::report::{FoldRecord, Summary, readable};

/// Longest name of a fold, in pixels.
const NAME_WIDTH: f64 = 80.0;

/// The test metric of every fold as a dot, the mean as a line and one standard deviation to both
/// sides as a band. Folds without the metric are left out.
#[derive(Debug, Clone, Copy)]
pub struct FoldDots<'a> {
    /// The folds or seeds.
    pub folds: &'a [FoldRecord],
    /// Name of the metric.
    pub metric: &'a str,
}

impl FoldDots<'_> {
    fn values(&self) -> Vec<(&str, f64)> {
        self.folds
            .iter()
            .filter_map(|f| Some((f.name.as_str(), *f.metrics.get(self.metric)?)))
            .filter(|(_, value)| value.is_finite())
            .collect()
    }
}

impl Figure for FoldDots<'_> {
    fn size(&self) -> (u32, u32) {
        let width = (200 + 46 * self.folds.len() as u32).clamp(480, 960);
        (width, 360)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let values = self.values();
        let name = readable(self.metric);
        title(canvas, &format!("Test {name} of each run"), (16.0, 20.0))?;
        let names: Vec<String> = values
            .iter()
            .map(|(n, _)| shortened(n, SMALL, NAME_WIDTH))
            .collect::<Result<_, _>>()?;
        let summary = Summary::of(values.iter().map(|v| v.1));
        let band = summary.and_then(|s| Some((s.mean - s.sd?, s.mean + s.sd?)));
        let ends = band.map_or(vec![], |(low, high)| vec![low, high]);
        let y = Axis::around(values.iter().map(|v| v.1).chain(ends), f64::INFINITY, 5);
        let corner = (canvas.size.0 - 20.0, canvas.size.1 - 6.0);
        let frame = Frame::fit((12.0, 62.0), corner, Axis::named(names), y)?;
        frame.draw(canvas, "", &name)?;
        if let Some((low, high)) = band {
            let (top, bottom) = (frame.at(0.0, high).1, frame.at(0.0, low).1);
            canvas.veil((frame.left, top), (frame.right, bottom), LINES[5], 0.22)?;
        }
        if let Some(s) = summary {
            let y = frame.at(0.0, s.mean).1;
            let ends = [(frame.left, y), (frame.right, y)];
            canvas.line(&ends, Stroke::dashed(LINES[0], 1.5))?;
            let text = format!("mean {s}");
            canvas.text(&text, (16.0, 44.0), Words::new(MEDIUM, MUTED, Align::Left))?;
        }
        for (i, (_, value)) in values.iter().enumerate() {
            let at = frame.at(i as f64, *value);
            canvas.disc(at, 5.0, LINES[1])?;
            if values.len() <= 14 {
                let above = if at.1 - 12.0 > frame.top { -12.0 } else { 13.0 };
                let words = Words::new(SMALL, INK, Align::Middle);
                canvas.text(&format!("{value:.3}"), (at.0, at.1 + above), words)?;
            }
        }
        Ok(())
    }
}
