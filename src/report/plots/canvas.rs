//! A sheet in logical pixels over any plotters backend.
//!
//! Backends take whole pixels; drawing them `scale` times larger gives fractions to a vector file
//! and smooth edges to a bitmap that is averaged down afterwards. Text is placed by its baseline
//! here, as the backends disagree on where the middle of a line of text is.

use plotters::backend::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
};

use super::Drawn;
use super::colour::{PAPER, line};

/// Height of capital letters, in em.
const CAP: f64 = 0.69;

/// How a backend understands the size and the top of a text.
#[derive(Debug, Clone, Copy)]
pub struct TextRule {
    /// Font size to ask for, per em.
    pub size: f64,
    /// Distance of the baseline below the anchor "top", per size asked for.
    pub baseline: f64,
}

impl TextRule {
    /// plotters-svg writes font-size = size / 1.24 and dy = 0.76 em.
    pub const SVG: Self = Self {
        size: 1.24,
        baseline: 0.76 / 1.24,
    };
    /// plotters with `ab_glyph`: the size is ascent + descent (1.121 em in the font registered
    /// here), the baseline half of it.
    pub const BITMAP: Self = Self {
        size: 1.121,
        baseline: 0.5,
    };
}

/// Colour, opacity, width and dash of a line.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    /// Colour.
    pub colour: RGBColor,
    /// Opacity in [0, 1].
    pub opacity: f64,
    /// Width in logical pixels.
    pub width: f64,
    /// Lengths drawn and left out in turn; empty for a solid line.
    pub dash: &'static [f64],
}

impl Stroke {
    /// A solid, opaque line.
    pub fn solid(colour: RGBColor, width: f64) -> Self {
        Self {
            colour,
            opacity: 1.0,
            width,
            dash: &[],
        }
    }

    /// A dashed, opaque line.
    pub fn dashed(colour: RGBColor, width: f64) -> Self {
        Self {
            dash: &[5.0, 4.0],
            ..Self::solid(colour, width)
        }
    }

    /// The `i`-th line of a figure: seven colours, then the same dashed, then dotted.
    pub fn nth(i: usize) -> Self {
        let dash: &'static [f64] = match i / super::colour::LINES.len() {
            0 => &[],
            1 => &[7.0, 3.5],
            _ => &[1.5, 3.0],
        };
        Self {
            dash,
            ..Self::solid(line(i), 2.0)
        }
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Point at the left end.
    Left,
    /// Point in the middle.
    Middle,
    /// Point at the right end.
    Right,
}

/// Size in em pixels, colour and place of a text; capitals are centred vertically on the point.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Logical pixels per em.
    pub em: f64,
    /// Colour.
    pub colour: RGBColor,
    /// Place along the line of text.
    pub align: Align,
    /// Whether the text reads upwards.
    pub upwards: bool,
}

impl Words {
    /// Text that reads to the right.
    pub fn new(em: f64, colour: RGBColor, align: Align) -> Self {
        Self {
            em,
            colour,
            align,
            upwards: false,
        }
    }

    /// The same, reading upwards.
    pub fn upwards(self) -> Self {
        Self {
            upwards: true,
            ..self
        }
    }
}

/// The sheet. Coordinates are logical pixels from the upper left corner.
pub struct Canvas<'a, B: DrawingBackend> {
    backend: &'a mut B,
    scale: f64,
    text: TextRule,
    /// Width and height in logical pixels.
    pub size: (f64, f64),
}

fn problem(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn font(em: f64) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, em, FontStyle::Normal)
}

/// Width of `text` in logical pixels at `em` pixels per em.
pub fn text_width(text: &str, em: f64) -> Result<f64, String> {
    super::fonts();
    // Measured large, as the measure is in whole pixels.
    let measured = font(100.0 * TextRule::BITMAP.size).layout_box(text);
    let ((left, _), (right, _)) = measured.map_err(problem)?;
    // A viewer's own font may be a little wider than the measured one.
    Ok(f64::from(right - left) / 100.0 * em * 1.04)
}

/// `text` with an ellipsis for its middle if wider than `width` logical pixels: the ends of names
/// tell them apart.
pub fn shortened(text: &str, em: f64, width: f64) -> Result<String, String> {
    if text_width(text, em)? <= width {
        return Ok(text.to_string());
    }
    let all: Vec<char> = text.chars().collect();
    for kept in (1..all.len()).rev() {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let head: String = all[..head].iter().collect();
        let tail: String = all[all.len() - tail..].iter().collect();
        let cut = format!("{}…{}", head.trim_end(), tail.trim_start());
        if text_width(&cut, em)? <= width {
            return Ok(cut);
        }
    }
    Ok("…".to_string())
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    /// A sheet over `backend`, which is `scale` times `size` large, cleared to paper.
    pub fn new(
        backend: &'a mut B,
        scale: f64,
        text: TextRule,
        size: (u32, u32),
    ) -> Result<Self, String> {
        let size = (f64::from(size.0), f64::from(size.1));
        let mut canvas = Self {
            backend,
            scale,
            text,
            size,
        };
        canvas.rect((0.0, 0.0), size, PAPER)?;
        Ok(canvas)
    }

    fn point(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (
            (x * self.scale).round() as i32,
            (y * self.scale).round() as i32,
        )
    }

    fn style(&self, colour: RGBColor, opacity: f64, width: f64) -> ShapeStyle {
        ShapeStyle {
            color: colour.mix(opacity),
            filled: true,
            stroke_width: (width * self.scale).round().max(1.0) as u32,
        }
    }

    /// A filled rectangle between two corners.
    pub fn rect(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
        self.veil(from, to, colour, 1.0)
    }

    /// A filled rectangle of some opacity.
    pub fn veil(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        colour: RGBColor,
        opacity: f64,
    ) -> Drawn {
        let style = self.style(colour, opacity, 1.0);
        let (from, to) = (self.point(from), self.point(to));
        self.backend
            .draw_rect(from, to, &style, true)
            .map_err(problem)
    }

    /// A filled polygon.
    pub fn polygon(&mut self, points: &[(f64, f64)], colour: RGBColor, opacity: f64) -> Drawn {
        let style = self.style(colour, opacity, 1.0);
        let points: Vec<_> = points.iter().map(|&p| self.point(p)).collect();
        self.backend
            .fill_polygon(points, &style.color)
            .map_err(problem)
    }

    /// A disc.
    pub fn disc(&mut self, centre: (f64, f64), radius: f64, colour: RGBColor) -> Drawn {
        let style = self.style(colour, 1.0, 1.0);
        let radius = (radius * self.scale).round().max(1.0) as u32;
        self.backend
            .draw_circle(self.point(centre), radius, &style, true)
            .map_err(problem)
    }

    /// A line through the points, dashed as the stroke says.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) -> Drawn {
        if stroke.dash.is_empty() {
            return self.solid(points, stroke);
        }
        for piece in dashes(points, stroke.dash) {
            self.solid(&piece, stroke)?;
        }
        Ok(())
    }

    fn solid(&mut self, points: &[(f64, f64)], stroke: Stroke) -> Drawn {
        let mut path: Vec<_> = points.iter().map(|&p| self.point(p)).collect();
        // Points that coincide after rounding have no direction to make a joint from.
        path.dedup();
        if path.len() < 2 {
            return Ok(());
        }
        let style = self.style(stroke.colour, stroke.opacity, stroke.width);
        self.backend.draw_path(path, &style).map_err(problem)
    }

    /// A line of text, its capitals centred on `at` across the line.
    pub fn text(&mut self, text: &str, at: (f64, f64), words: Words) -> Drawn {
        let size = words.em * self.scale * self.text.size;
        let below = words.em * self.scale * CAP / 2.0 - size * self.text.baseline;
        let (x, y) = (at.0 * self.scale, at.1 * self.scale);
        let (x, y) = if words.upwards {
            (x + below, y)
        } else {
            (x, y + below)
        };
        let h_pos = match words.align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let mut described = font(size);
        if words.upwards {
            described = described.transform(FontTransform::Rotate270);
        }
        let style = TextStyle::from(described)
            .color(&words.colour)
            .pos(Pos::new(h_pos, VPos::Top));
        self.backend
            .draw_text(text, &style, (x.round() as i32, y.round() as i32))
            .map_err(problem)
    }
}

/// Cuts a line into the pieces a dash pattern draws.
fn dashes(points: &[(f64, f64)], pattern: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    let (mut turn, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length <= left {
                left -= length;
                if turn % 2 == 0 {
                    piece.push(to);
                }
                break;
            }
            let part = left / length;
            from = (
                from.0 + (to.0 - from.0) * part,
                from.1 + (to.1 - from.1) * part,
            );
            if turn % 2 == 0 {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            turn += 1;
            left = pattern[turn % pattern.len()];
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share() {
        let pieces = dashes(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)], &[2.0, 1.0]);
        let length: f64 = pieces
            .iter()
            .flat_map(|p| p.windows(2))
            .map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1))
            .sum();
        assert_eq!(pieces.len(), 4);
        assert!((length - 7.0).abs() < 1e-9, "{length}");
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(shortened("Cz", 10.0, 50.0).unwrap(), "Cz");
        let cut = shortened("a very long sensor name", 10.0, 50.0).unwrap();
        assert!(cut.starts_with("a v") && cut.ends_with("ame"), "{cut}");
        assert!(text_width(&cut, 10.0).unwrap() <= 50.0);
        assert_eq!(shortened("Cz", 10.0, 1.0).unwrap(), "…");
    }
}
