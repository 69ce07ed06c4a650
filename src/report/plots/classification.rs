//! Figures of a classifier on the test part.

use plotters::backend::DrawingBackend;

use super::axes::{Axis, Frame, MEDIUM, SMALL, legend_entry, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened, text_width};
use super::colour::{MUTED, Map, text_on};
use super::matrix::Sheet;
use super::{Drawn, Figure};
use crate::report::Curve;

/// Curves beyond this number are left out, the largest areas first to stay.
const MAX_CURVES: usize = 20;
/// Longest class name, in pixels.
const NAME_WIDTH: f64 = 110.0;

/// Name of a class, its number if it has none.
fn class_name(classes: &[String], class: usize) -> String {
    let name = classes.get(class).filter(|n| !n.is_empty());
    name.cloned().unwrap_or_else(|| format!("class {class}"))
}

/// Counts and row shares: row the target, column the prediction, colour the share of the row.
#[derive(Debug, Clone, Copy)]
pub struct ConfusionMatrix<'a> {
    /// Counts (c, c).
    pub counts: &'a [Vec<u64>],
    /// Names of the c classes.
    pub classes: &'a [String],
}

impl ConfusionMatrix<'_> {
    fn sheet(&self) -> Result<Sheet, String> {
        let c = self.counts.len();
        let share = |side: f64| side / c.max(1) as f64;
        let cell = share(440.0).clamp(24.0, 110.0).min(share(960.0));
        Sheet::new(c, cell, |k| class_name(self.classes, k))
    }
}

impl Figure for ConfusionMatrix<'_> {
    fn size(&self) -> (u32, u32) {
        // Without a font nothing can be measured, and drawing says so.
        self.sheet().map_or((320, 240), |s| s.size)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let sheet = self.sheet()?;
        let cell = sheet.cell;
        let em = (cell * 0.24).min(16.0);
        let largest = self.counts.iter().flatten().max().copied().unwrap_or(0);
        let room = cell - 6.0;
        let both = text_width(&largest.to_string(), em)? <= room
            && text_width("100.0 %", em * 0.8)? <= room
            && cell >= 42.0;
        for (i, row) in self.counts.iter().enumerate() {
            let total: u64 = row.iter().sum();
            let y = sheet.top + i as f64 * cell;
            for (j, &count) in row.iter().enumerate() {
                let x = sheet.left + j as f64 * cell;
                let share = count as f64 / total.max(1) as f64;
                let colour = Map::Blues.at(share);
                canvas.rect((x, y), (x + cell - 1.0, y + cell - 1.0), colour)?;
                let (x, y) = (x + cell / 2.0, y + cell / 2.0);
                let words = Words::new(em, text_on(colour), Align::Middle);
                if both {
                    canvas.text(&count.to_string(), (x, y - em * 0.55), words)?;
                    let small = Words {
                        em: em * 0.8,
                        ..words
                    };
                    let percent = format!("{:.1} %", share * 100.0);
                    canvas.text(&percent, (x, y + em * 0.75), small)?;
                } else if share >= 0.005 && cell >= 20.0 {
                    let words = Words {
                        em: (cell * 0.38).min(12.0),
                        ..words
                    };
                    canvas.text(&format!("{:.0}", share * 100.0), (x, y), words)?;
                }
            }
        }
        sheet.labels(canvas, "Confusion matrix", ("target", "predicted"))?;
        let note = if both {
            ["colour:", "% of the target"]
        } else {
            ["all in", "% of the target"]
        };
        sheet.bar(canvas, Map::Blues, &Axis::linear(0.0, 100.0, 5), &note)
    }
}

/// True-positive against false-positive rate, one class against the rest, areas in the legend.
#[derive(Debug, Clone, Copy)]
pub struct Roc<'a> {
    /// One curve per class; of two classes only that of class 1.
    pub curves: &'a [Curve],
    /// Names of the classes.
    pub classes: &'a [String],
}

/// Precision against recall, one class against the rest, average precision in the legend; for a
/// single curve the prevalence is drawn as the level of guessing.
#[derive(Debug, Clone, Copy)]
pub struct PrecisionRecall<'a> {
    /// One curve per class; of two classes only that of class 1.
    pub curves: &'a [Curve],
    /// Names of the classes.
    pub classes: &'a [String],
}

/// Curves in the unit square with a legend on the right.
struct Square<'a> {
    title: &'a str,
    axes: (&'a str, &'a str),
    area: &'a str,
    curves: &'a [Curve],
    classes: &'a [String],
    guess: Option<(&'a str, [(f64, f64); 2])>,
}

impl Square<'_> {
    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        title(canvas, self.title, (16.0, 20.0))?;
        let (right, bottom) = (436.0, 454.0);
        let frame = Frame::fit((12.0, 46.0), (right, bottom), Axis::unit(), Axis::unit())?;
        frame.draw(canvas, self.axes.0, self.axes.1)?;
        let legend = (right + 26.0, 58.0);
        canvas.text(
            self.area,
            (legend.0, legend.1),
            Words::new(MEDIUM, MUTED, Align::Left),
        )?;
        let mut shown: Vec<&Curve> = self.curves.iter().collect();
        if shown.len() > MAX_CURVES {
            shown.sort_by(|a, b| b.area.total_cmp(&a.area));
            shown.truncate(MAX_CURVES);
        }
        let mut y = legend.1 + 22.0;
        for (i, curve) in shown.iter().enumerate() {
            let stroke = Stroke::nth(i);
            let points: Vec<_> = curve
                .x
                .iter()
                .copied()
                .zip(curve.y.iter().copied())
                .collect();
            let pixels: Vec<_> = points
                .iter()
                .filter(|p| p.0.is_finite() && p.1.is_finite())
                .map(|p| frame.at(p.0, p.1))
                .collect();
            canvas.line(&pixels, stroke)?;
            let name = shortened(&class_name(self.classes, curve.class), MEDIUM, NAME_WIDTH)?;
            let text = format!("{name}  {:.3}", curve.area);
            legend_entry(canvas, &text, stroke, (legend.0, y))?;
            y += 17.0;
        }
        if let Some((name, ends)) = self.guess {
            let stroke = Stroke::dashed(MUTED, 1.2);
            canvas.line(&ends.map(|(x, y)| frame.at(x, y)), stroke)?;
            legend_entry(canvas, name, stroke, (legend.0, y))?;
            y += 17.0;
        }
        if shown.len() < self.curves.len() {
            let note = format!("largest {} of {}", shown.len(), self.curves.len());
            canvas.text(&note, (legend.0, y), Words::new(SMALL, MUTED, Align::Left))?;
        }
        Ok(())
    }
}

impl Figure for Roc<'_> {
    fn size(&self) -> (u32, u32) {
        (635, 470)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        Square {
            title: "ROC",
            axes: ("false-positive rate", "true-positive rate"),
            area: "area under the curve",
            curves: self.curves,
            classes: self.classes,
            guess: Some(("guessing", [(0.0, 0.0), (1.0, 1.0)])),
        }
        .draw(canvas)
    }
}

impl Figure for PrecisionRecall<'_> {
    fn size(&self) -> (u32, u32) {
        (635, 470)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let guess = match self.curves {
            [only] => Some(("guessing", [(0.0, only.prevalence), (1.0, only.prevalence)])),
            _ => None,
        };
        Square {
            title: "Precision and recall",
            axes: ("recall", "precision"),
            area: "average precision",
            curves: self.curves,
            classes: self.classes,
            guess,
        }
        .draw(canvas)
    }
}
