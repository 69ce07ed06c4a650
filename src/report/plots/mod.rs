//! Figures, drawn once for any plotters backend and saved as `.svg` and `.png`.
//!
//! ```text
//! a record -> Figure (training, classification, graph, folds, signals) -> Canvas (logical pixels)
//!          -> svg (text) | save (NAME.svg, NAME.png at twice the size)
//! ```

pub mod axes;
pub mod canvas;
pub mod classification;
pub mod colour;
pub mod folds;
pub mod matrix;
pub mod network;
mod sensors;
pub mod signals;
pub mod training;

pub use classification::{ConfusionMatrix, PrecisionRecall, Roc};
pub use folds::FoldDots;
pub use matrix::AdjacencyMatrix;
pub use network::SensorNetwork;
pub use signals::SignalsOverGraph;
pub use training::{LearningCurves, LearningRate};

use std::path::Path;
use std::sync::Once;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::{FontStyle, register_font};

use super::{Error, Result, write_atomic};
use canvas::{Canvas, TextRule};

/// Result of drawing; the error says what the backend refused.
pub type Drawn = std::result::Result<(), String>;

/// Pixels of the bitmap per logical pixel.
const DENSITY: u32 = 2;
/// Subdivision of a logical pixel while drawing: each pixel of the bitmap is the mean of 2 x 2.
const SCALE: u32 = 2 * DENSITY;

/// Something that can be drawn on a sheet of its own size.
pub trait Figure {
    /// Width and height in logical pixels.
    fn size(&self) -> (u32, u32);

    /// Draws everything on an empty sheet. Errors: what the backend refused.
    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn;
}

/// Gives plotters a font of our own, so that figures are the same on every machine.
pub(crate) fn fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An invalid font would show as a drawing error of every text.
        let _ = register_font(
            "sans-serif",
            FontStyle::Normal,
            epaint_default_fonts::UBUNTU_LIGHT,
        );
    });
}

fn scaled(figure: &impl Figure, by: u32) -> (u32, u32) {
    let (w, h) = figure.size();
    (w * by, h * by)
}

/// The figure as SVG text, of the figure's size in CSS pixels.
///
/// Errors: what could not be drawn.
pub fn svg(figure: &impl Figure) -> std::result::Result<String, String> {
    fonts();
    let (w, h) = scaled(figure, SCALE);
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, (w, h));
        let mut canvas = Canvas::new(&mut backend, f64::from(SCALE), TextRule::SVG, figure.size())?;
        figure.draw(&mut canvas)?;
        backend.present().map_err(|e| e.to_string())?;
    }
    let (logical_w, logical_h) = figure.size();
    let text = text.replacen(
        &format!("width=\"{w}\" height=\"{h}\""),
        &format!(
            "width=\"{logical_w}\" height=\"{logical_h}\" stroke-linejoin=\"round\" \
             font-family=\"Ubuntu, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\""
        ),
        1,
    );
    // Cells of a matrix touch: smoothed edges would let the background through.
    let text = text.replacen(
        ">\n",
        ">\n<style>rect{shape-rendering:crispEdges}</style>\n",
        1,
    );
    Ok(text
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" opacity=\"1\"", ""))
}

/// The figure as RGB bytes, DENSITY pixels per logical pixel.
fn pixels(figure: &impl Figure) -> std::result::Result<Vec<u8>, String> {
    fonts();
    let (w, h) = scaled(figure, SCALE);
    let mut large = vec![0; (w * h * 3) as usize];
    {
        let mut backend = BitMapBackend::with_buffer(&mut large, (w, h));
        let mut canvas = Canvas::new(
            &mut backend,
            f64::from(SCALE),
            TextRule::BITMAP,
            figure.size(),
        )?;
        figure.draw(&mut canvas)?;
        backend.present().map_err(|e| e.to_string())?;
    }
    Ok(halved(&large, (w * 3) as usize))
}

/// Means of 2 x 2 RGB pixels of an image whose rows are `stride` bytes long.
fn halved(large: &[u8], stride: usize) -> Vec<u8> {
    let mut small = Vec::with_capacity(large.len() / 4);
    for rows in large.chunks_exact(2 * stride) {
        for at in (0..stride).step_by(6) {
            for i in at..at + 3 {
                let upper = u16::from(rows[i]) + u16::from(rows[i + 3]);
                let lower = u16::from(rows[i + stride]) + u16::from(rows[i + stride + 3]);
                small.push(((upper + lower + 2) / 4) as u8);
            }
        }
    }
    small
}

/// Saves the figure as `folder/name.svg` and `folder/name.png` and returns the SVG text.
///
/// Errors: [`Error::Draw`] if the figure cannot be drawn, [`Error::Io`] if a file cannot be written.
pub fn save(figure: &impl Figure, folder: &Path, name: &str) -> Result<String> {
    let text = save_svg(figure, &folder.join(format!("{name}.svg")))?;
    save_png(figure, &folder.join(format!("{name}.png")))?;
    Ok(text)
}

fn undrawn(path: &Path, problem: String) -> Error {
    Error::Draw {
        path: path.to_path_buf(),
        problem,
    }
}

/// Saves the figure as an SVG file and returns its text; errors as [`save`].
pub fn save_svg(figure: &impl Figure, path: &Path) -> Result<String> {
    let text = svg(figure).map_err(|p| undrawn(path, p))?;
    write_atomic(path, text.as_bytes())?;
    Ok(text)
}

/// Saves the figure as a PNG file; errors as [`save`].
pub fn save_png(figure: &impl Figure, path: &Path) -> Result<()> {
    let buffer = pixels(figure).map_err(|p| undrawn(path, p))?;
    // The encoder chooses the format by the extension, so the passing name keeps it.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let passing = path.with_file_name(format!(".{}.{name}", std::process::id()));
    let size = scaled(figure, DENSITY);
    let mut backend = BitMapBackend::new(&passing, size);
    let encoded = backend
        .blit_bitmap((0, 0), size, &buffer)
        .and_then(|()| backend.present())
        .map_err(|e| undrawn(path, e.to_string()));
    drop(backend);
    let saved = encoded.and_then(|()| {
        std::fs::rename(&passing, path).map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })
    });
    if saved.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&passing);
    }
    saved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_averaged_per_channel() {
        let row = |a: [u8; 3], b: [u8; 3]| [a, b, b, a].concat();
        let large = [
            row([0, 10, 200], [4, 10, 100]),
            row([8, 10, 200], [0, 10, 100]),
        ]
        .concat();
        assert_eq!(halved(&large, 12), [3, 10, 150, 3, 10, 150]);
    }
}
