//! A graph as a matrix of colours, and what matrices share.

use plotters::backend::DrawingBackend;

use super::axes::{Axis, LARGE, MEDIUM, SMALL, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened, text_width};
use super::colour::{GRID, INK, MUTED, Map};
use super::{Drawn, Figure};
use crate::report::GraphFigure;

/// Side of the matrix in logical pixels, about.
const SIDE: f64 = 560.0;
/// More sensors than this are averaged in blocks,
const MAX_CELLS: usize = 400;
/// and so are more weights than this, as each is a rectangle of its own in the vector file.
const MAX_RECTANGLES: f64 = 30_000.0;
/// Longest name at the side, in pixels.
const NAME_WIDTH: f64 = 110.0;

/// Where a square matrix, its names and its colour bar go.
pub(super) struct Sheet {
    /// Left edge of the cells.
    pub(super) left: f64,
    /// Upper edge of the cells.
    pub(super) top: f64,
    /// Side of all cells together.
    pub(super) side: f64,
    /// Side of one cell.
    pub(super) cell: f64,
    /// Baseline of the title below.
    pub(super) foot: f64,
    /// Size of the figure.
    pub(super) size: (u32, u32),
    em: f64,
    rows: Vec<(usize, String)>,
    columns: Vec<(usize, String)>,
    upwards: bool,
}

impl Sheet {
    /// Fits `n` cells of side `cell`, of which as many are named as can be read.
    pub(super) fn new(n: usize, cell: f64, name: impl Fn(usize) -> String) -> Result<Self, String> {
        let em = (cell * 0.92).clamp(7.5, MEDIUM);
        let every = (em * 1.02 / cell).ceil().max(1.0) as usize;
        let names = |width: f64| {
            (0..n)
                .step_by(every)
                .map(|i| Ok((i, shortened(&name(i), em, width)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        let rows = names(NAME_WIDTH)?;
        let widest = rows.iter().try_fold(0.0, |w: f64, (_, name)| {
            Ok::<_, String>(w.max(text_width(name, em)?))
        })?;
        let slot = cell * every as f64 - 5.0;
        // Wide cells have room for a shortened name, which reads better than an upright one.
        let upwards = widest > slot && slot < 50.0;
        let columns = if upwards {
            rows.clone()
        } else {
            names(slot.max(1.0))?
        };
        let (left, top, side) = (widest + 42.0, 44.0, cell * n as f64);
        let foot = top + side.max(150.0) + if upwards { widest } else { em } + 24.0;
        Ok(Self {
            left,
            top,
            side,
            cell,
            foot,
            size: (
                (left + side + 150.0).max(320.0) as u32,
                (foot + 34.0) as u32,
            ),
            em,
            rows,
            columns,
            upwards,
        })
    }

    /// The title above, the names and titles of rows and columns.
    pub(super) fn labels<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        name: &str,
        (row, column): (&str, &str),
    ) -> Drawn {
        let name = shortened(name, LARGE, canvas.size.0 - 32.0)?;
        title(canvas, &name, (16.0, 20.0))?;
        let words = Words::new(self.em, INK, Align::Right);
        for (i, name) in &self.rows {
            let along = (*i as f64 + 0.5) * self.cell;
            canvas.text(name, (self.left - 6.0, self.top + along), words)?;
        }
        for (i, name) in &self.columns {
            let x = self.left + (*i as f64 + 0.5) * self.cell;
            let below = self.top + self.side;
            if self.upwards {
                canvas.text(name, (x, below + 6.0), words.upwards())?;
            } else {
                let words = Words::new(self.em, INK, Align::Middle);
                canvas.text(name, (x, below + 12.0), words)?;
            }
        }
        let words = Words::new(MEDIUM, MUTED, Align::Middle);
        canvas.text(column, (self.left + self.side / 2.0, self.foot), words)?;
        let middle = self.top + self.side / 2.0;
        canvas.text(row, (18.0, middle), words.upwards())
    }

    /// The colour bar on the right with a note under it.
    pub(super) fn bar<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        map: Map,
        axis: &Axis,
        note: &[&str],
    ) -> Drawn {
        let (x, height) = (self.left + self.side + 24.0, self.side.clamp(110.0, 260.0));
        let steps = 64;
        for k in 0..steps {
            // Each step reaches to the top and the next covers it: no seams between neighbours.
            let lower = self.top + height * (1.0 - f64::from(k) / f64::from(steps));
            let colour = map.at((f64::from(k) + 0.5) / f64::from(steps));
            canvas.rect((x, self.top), (x + 14.0, lower), colour)?;
        }
        let words = Words::new(SMALL, MUTED, Align::Left);
        for (value, text) in &axis.ticks {
            let y = self.top + height * (1.0 - axis.place(*value));
            let tick = [(x + 14.0, y), (x + 18.0, y)];
            canvas.line(&tick, Stroke::solid(MUTED, 1.0))?;
            canvas.text(text, (x + 22.0, y), words)?;
        }
        for (k, line) in note.iter().enumerate() {
            let y = self.top + height + 17.0 + 14.0 * k as f64;
            canvas.text(line, (x, y), words)?;
        }
        Ok(())
    }
}

/// The weights as a matrix: row the target, column the source. Of a graph too large to show,
/// blocks of neighbouring sensors are averaged.
#[derive(Debug, Clone, Copy)]
pub struct AdjacencyMatrix<'a> {
    /// The graph.
    pub graph: &'a GraphFigure,
}

impl AdjacencyMatrix<'_> {
    /// Sensors per side of a cell.
    fn block(&self) -> usize {
        let weights = self.graph.adjacency.iter().flatten();
        let edges = weights.filter(|w| **w != 0.0).count() as f64;
        let by_edges = (edges / MAX_RECTANGLES).sqrt().ceil() as usize;
        by_edges.max(self.graph.len().div_ceil(MAX_CELLS)).max(1)
    }

    fn sheet(&self, block: usize) -> Result<Sheet, String> {
        let cells = self.graph.len().div_ceil(block);
        let cell = (SIDE / cells.max(1) as f64).min(60.0);
        Sheet::new(cells, cell, |i| self.graph.node(i * block))
    }

    fn values(&self, block: usize) -> Vec<Vec<f64>> {
        let v = self.graph.len();
        let range = |i: usize| i * block..((i + 1) * block).min(v);
        let mean = |i: usize, j: usize| {
            let pairs = range(i).flat_map(|a| range(j).map(move |b| (a, b)));
            let sum: f64 = pairs.map(|(a, b)| self.graph.weight(a, b)).sum();
            sum / (range(i).len() * range(j).len()) as f64
        };
        let cells = v.div_ceil(block);
        (0..cells)
            .map(|i| (0..cells).map(|j| mean(i, j)).collect())
            .collect()
    }
}

impl Figure for AdjacencyMatrix<'_> {
    fn size(&self) -> (u32, u32) {
        // Without a font nothing can be measured, and drawing says so.
        self.sheet(self.block()).map_or((320, 240), |s| s.size)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let block = self.block();
        let sheet = self.sheet(block)?;
        let (left, top, cell, side) = (sheet.left, sheet.top, sheet.cell, sheet.side);
        let values = self.values(block);
        let flat = || values.iter().flatten();
        let high = flat().fold(0.0, |m: f64, v| m.max(v.abs()));
        let high = if high > 0.0 { high } else { 1.0 };
        let (map, low) = if flat().any(|v| *v < 0.0) {
            (Map::Signed, -high)
        } else {
            (Map::Viridis, 0.0)
        };
        let colour_of = |v: f64| map.at(((v - low) / (high - low) * 128.0).round() / 128.0);

        let corner = (left + side, top + side);
        canvas.rect((left, top), corner, colour_of(0.0))?;
        for (i, row) in values.iter().enumerate() {
            let y = top + i as f64 * cell;
            let mut j = 0;
            while j < row.len() {
                // Equal neighbours are one rectangle; zeros are the ground already.
                let colour = colour_of(row[j]);
                let run = row[j..].iter().take_while(|v| colour_of(**v) == colour);
                let run = run.count();
                if colour != colour_of(0.0) {
                    let x = left + j as f64 * cell;
                    canvas.rect((x, y), (x + run as f64 * cell, y + cell), colour)?;
                }
                j += run;
            }
        }
        let (right, bottom) = corner;
        let outline = [
            (left, top),
            (right, top),
            (right, bottom),
            (left, bottom),
            (left, top),
        ];
        canvas.line(&outline, Stroke::solid(GRID, 1.0))?;
        let name = format!("Weights: {}", self.graph.name);
        sheet.labels(canvas, &name, ("target", "source"))?;
        let axis = Axis::linear(low, high, 5);
        if block == 1 {
            return sheet.bar(canvas, map, &axis, &[]);
        }
        let blocks = format!("{block} x {block} sensors");
        sheet.bar(canvas, map, &axis, &["means of blocks", &blocks])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_graphs_are_averaged_in_blocks() {
        let v = 402;
        let graph = GraphFigure {
            adjacency: vec![vec![0.5; v]; v],
            ..GraphFigure::default()
        };
        let matrix = AdjacencyMatrix { graph: &graph };
        assert_eq!(matrix.block(), 3);
        let values = matrix.values(3);
        assert_eq!(values.len(), 134);
        assert!(values.iter().flatten().all(|w| (w - 0.5).abs() < 1e-12));
    }

    #[test]
    fn a_sparse_graph_stays_whole() {
        let v = 325;
        let mut graph = GraphFigure {
            adjacency: vec![vec![0.0; v]; v],
            ..GraphFigure::default()
        };
        graph.adjacency[3][4] = 1.0;
        let matrix = AdjacencyMatrix { graph: &graph };
        assert_eq!(matrix.block(), 1);
        let svg = super::super::svg(&matrix).unwrap();
        assert!(svg.len() < 40_000, "{}", svg.len());
    }
}
