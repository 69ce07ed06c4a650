//! Figures over epochs.

use plotters::backend::DrawingBackend;

use super::axes::{Axis, Frame, MEDIUM, legend_row, title};
use super::canvas::{Align, Canvas, Stroke, Words, text_width};
use super::colour::{INK, LINES, MUTED};
use super::{Drawn, Figure};
use crate::report::{EpochRecord, readable};

/// More lines than this in one panel hide one another.
const MAX_METRICS: usize = 7;

/// Two panels over epochs: training and validation loss, and the validation metrics, the best
/// epoch marked in both. The loss axis is logarithmic if the losses span a factor over 50.
#[derive(Debug, Clone, Copy)]
pub struct LearningCurves<'a> {
    /// The epochs, in order.
    pub epochs: &'a [EpochRecord],
    /// The metric that chose the best epoch; it is drawn first and thickest.
    pub metric: &'a str,
    /// The best epoch.
    pub best: Option<usize>,
}

fn epoch_axis(epochs: &[EpochRecord]) -> Axis {
    let numbers = || epochs.iter().map(|e| e.epoch);
    let (low, high) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(1));
    Axis::whole(low, high, 6)
}

fn over_epochs(
    epochs: &[EpochRecord],
    value: impl Fn(&EpochRecord) -> Option<f64>,
) -> Vec<(f64, f64)> {
    epochs
        .iter()
        .map(|e| (e.epoch as f64, value(e).unwrap_or(f64::NAN)))
        .collect()
}

/// A named line of a panel.
type Line = (String, Stroke, Vec<(f64, f64)>);

impl LearningCurves<'_> {
    fn losses(&self) -> Vec<Line> {
        let train = over_epochs(self.epochs, |e| Some(e.train_loss));
        let mut lines = vec![("training".to_string(), Stroke::solid(LINES[0], 2.0), train)];
        if self.epochs.iter().any(|e| e.val_loss.is_some()) {
            let validation = over_epochs(self.epochs, |e| e.val_loss);
            let stroke = Stroke::solid(LINES[1], 2.0);
            lines.push(("validation".to_string(), stroke, validation));
        }
        lines
    }

    /// The choosing metric first; the others only if all share the scale of shares, [-1, 1].
    fn metric_lines(&self) -> Vec<Line> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.epochs.iter().flat_map(|e| e.metrics.keys()) {
            if name != "loss" && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.sort_by_key(|n| (*n != self.metric, *n));
        let shares = |name: &str| {
            let mut values = self.epochs.iter().filter_map(|e| e.metrics.get(name));
            values.all(|v| !v.is_finite() || v.abs() <= 1.0)
        };
        if let Some(&first) = names.first() {
            let alike = shares(first);
            names.retain(|n| *n == first || (alike && shares(n)));
        }
        names
            .into_iter()
            .take(MAX_METRICS)
            .enumerate()
            .map(|(i, name)| {
                let values = over_epochs(self.epochs, |e| e.metrics.get(name).copied());
                let width = if name == self.metric { 2.6 } else { 1.5 };
                let stroke = Stroke {
                    width,
                    ..Stroke::nth(i + 2)
                };
                (readable(name), stroke, values)
            })
            .collect()
    }

    fn panel<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        (left, right): (f64, f64),
        name: &str,
        lines: &[Line],
        marked: usize,
    ) -> Drawn {
        title(canvas, name, (left + 8.0, 20.0))?;
        let entries: Vec<_> = lines.iter().map(|l| (l.0.clone(), l.1)).collect();
        let legend = legend_row(canvas, &entries, (left + 8.0, 46.0), right)?;
        let top = 46.0 + legend + 18.0;
        let values = lines.iter().flat_map(|l| l.2.iter().map(|p| p.1));
        let y = Axis::around(values, 50.0, 5);
        let bottom = canvas.size.1 - 6.0;
        let frame = Frame::fit((left, top), (right, bottom), epoch_axis(self.epochs), y)?;
        frame.draw(canvas, "epoch", "")?;
        if let Some(best) = self.best {
            let x = frame.at(best as f64, 1.0).0;
            let guide = Stroke::dashed(MUTED, 1.0);
            canvas.line(&[(x, frame.top), (x, frame.bottom)], guide)?;
        }
        for (_, stroke, points) in lines.iter().rev() {
            frame.series(canvas, points, *stroke)?;
        }
        let Some(best) = self.best else {
            return Ok(());
        };
        let x = frame.at(best as f64, 1.0).0;
        let mut text = format!("best epoch {best}");
        if let Some((_, stroke, points)) = lines.get(marked) {
            let found = points
                .iter()
                .find(|p| p.0 == best as f64 && p.1.is_finite());
            if let Some(&(e, value)) = found {
                let at = frame.at(e, value);
                canvas.disc(at, 5.5, INK)?;
                canvas.disc(at, 3.5, stroke.colour)?;
                text += &format!(": {value:.4}");
            }
        }
        let half = text_width(&text, MEDIUM)? / 2.0;
        let x = x.max(frame.left + half).min(frame.right - half);
        canvas.text(
            &text,
            (x, frame.top - 11.0),
            Words::new(MEDIUM, INK, Align::Middle),
        )
    }
}

impl Figure for LearningCurves<'_> {
    fn size(&self) -> (u32, u32) {
        (960, 400)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let losses = self.losses();
        let metrics = self.metric_lines();
        let width = canvas.size.0;
        if metrics.is_empty() {
            return self.panel(
                canvas,
                (12.0, width - 20.0),
                "Loss",
                &losses,
                losses.len() - 1,
            );
        }
        let middle = width / 2.0;
        self.panel(
            canvas,
            (12.0, middle - 16.0),
            "Loss",
            &losses,
            losses.len() - 1,
        )?;
        let sides = (middle + 16.0, width - 20.0);
        self.panel(canvas, sides, "Validation metrics", &metrics, 0)
    }
}

/// The learning rate over epochs, logarithmic if it spans a factor over 20.
#[derive(Debug, Clone, Copy)]
pub struct LearningRate<'a> {
    /// The epochs, in order.
    pub epochs: &'a [EpochRecord],
}

impl Figure for LearningRate<'_> {
    fn size(&self) -> (u32, u32) {
        (480, 300)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        title(canvas, "Learning rate", (20.0, 20.0))?;
        let points = over_epochs(self.epochs, |e| Some(e.lr));
        let y = Axis::around(points.iter().map(|p| p.1), 20.0, 5);
        let corner = (canvas.size.0 - 20.0, canvas.size.1 - 6.0);
        let frame = Frame::fit((12.0, 44.0), corner, epoch_axis(self.epochs), y)?;
        frame.draw(canvas, "epoch", "")?;
        frame.series(canvas, &points, Stroke::solid(LINES[0], 2.0))
    }
}
