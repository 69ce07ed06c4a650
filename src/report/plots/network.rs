//! A graph on the positions of its sensors.

use plotters::backend::DrawingBackend;

use super::axes::{SMALL, title};
use super::canvas::{Align, Canvas, Words, shortened, text_width};
use super::colour::{INK, MUTED, PAPER};
use super::sensors::{Area, Edge, Edges, edge, head, place_names, places, radius};
use super::{Drawn, Figure};
use crate::report::GraphFigure;

/// Side of the area the unit square is drawn on.
const SIDE: f64 = 600.0;
/// Space around it, for the nose and for names at the rim.
const MARGIN: f64 = 52.0;
/// Space above it, for the title.
const HEAD_ROOM: f64 = 40.0;

/// Sensors at their positions in the unit square, joined by their edges: wider and more opaque
/// the larger the weight, orange if negative, with arrows if the weights are not symmetric.
/// Self-loops are left out, and of a dense graph all but the strongest edges.
#[derive(Debug, Clone, Copy)]
pub struct SensorNetwork<'a> {
    /// The graph.
    pub graph: &'a GraphFigure,
}

fn edges(graph: &GraphFigure) -> Edges {
    let v = graph.len();
    let pairs = (0..v).flat_map(|to| (0..v).map(move |from| (from, to)));
    Edges::of(
        v,
        pairs.map(|(from, to)| Edge {
            from,
            to,
            weight: graph.weight(to, from),
        }),
    )
}

impl SensorNetwork<'_> {
    /// Shortened names, and the size at which all fit into discs of `radius`.
    fn name_list(&self, radius: f64) -> Result<(Vec<String>, f64), String> {
        let names: Vec<String> = (0..self.graph.len())
            .map(|i| shortened(&self.graph.node(i), SMALL, 100.0))
            .collect::<Result<_, _>>()?;
        let widest = names.iter().try_fold(1.0, |w: f64, n| {
            Ok::<_, String>(w.max(text_width(n, 10.0)?))
        })?;
        Ok((names, (2.0 * (radius - 1.5) / widest * 10.0).min(SMALL)))
    }

    /// Writes names beside their discs and returns how many found room.
    fn names<B: DrawingBackend>(
        canvas: &mut Canvas<B>,
        names: &[String],
        points: &[(f64, f64)],
        radius: f64,
        edges: &Edges,
    ) -> Result<usize, String> {
        let v = points.len();
        let mut degree = vec![0.0; v];
        for e in &edges.shown {
            degree[e.from] += e.weight.abs();
            degree[e.to] += e.weight.abs();
        }
        let mut order: Vec<usize> = (0..v).collect();
        order.sort_by(|&a, &b| degree[b].total_cmp(&degree[a]));
        let em = if v > 100 { 8.0 } else { 10.0 };
        let widths: Vec<f64> = names
            .iter()
            .map(|n| text_width(n, em))
            .collect::<Result<_, _>>()?;
        // The key stands below, the title above.
        let sheet = (
            (2.0, HEAD_ROOM),
            (canvas.size.0 - 2.0, canvas.size.1 - 24.0),
        );
        let places = place_names(points, &widths, &order, (radius, em), sheet);
        for (i, place) in places.iter().enumerate() {
            if let Some((x, y)) = *place {
                let half = (widths[i] / 2.0 + 1.0, em * 0.45);
                let corners = ((x - half.0, y - half.1), (x + half.0, y + half.1));
                canvas.veil(corners.0, corners.1, PAPER, 0.75)?;
                canvas.text(&names[i], (x, y), Words::new(em, INK, Align::Middle))?;
            }
        }
        Ok(places.iter().flatten().count())
    }

    /// Sample lines for the largest and half the largest weight, and what was left out.
    fn key<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, edges: &Edges, named: usize) -> Drawn {
        let y = canvas.size.1 - 16.0;
        let mut x = 20.0;
        let words = Words::new(SMALL, MUTED, Align::Left);
        for share in [1.0, 0.5, 0.1] {
            if edges.largest > 0.0 {
                edge(canvas, ((x, y), (x + 26.0, y)), (share, 1.0), true, None)?;
                let text = format!("{:.2}", edges.largest * share);
                canvas.text(&text, (x + 32.0, y), words)?;
                x += 76.0;
            }
        }
        let (shown, total, v) = (edges.shown.len(), edges.total, self.graph.len());
        let mut note = if shown < total {
            format!("{shown} strongest of {total} edges")
        } else {
            format!("{total} edges")
        };
        if named < v {
            note += &format!(", {named} of {v} names");
        }
        if edges.shown.iter().any(|e| e.weight < 0.0) {
            note += ", orange: negative";
        }
        let at = (canvas.size.0 - 20.0, y);
        canvas.text(
            &note,
            at,
            Words {
                align: Align::Right,
                ..words
            },
        )
    }
}

impl Figure for SensorNetwork<'_> {
    fn size(&self) -> (u32, u32) {
        let side = SIDE + 2.0 * MARGIN;
        (side as u32, (side + HEAD_ROOM + 24.0) as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) -> Drawn {
        let name = shortened(
            &format!("Graph: {}", self.graph.name),
            15.0,
            canvas.size.0 - 32.0,
        )?;
        title(canvas, &name, (16.0, 20.0))?;
        let area = Area {
            left: MARGIN,
            top: HEAD_ROOM + MARGIN,
            side: SIDE,
        };
        let v = self.graph.len();
        let (points, centre, reach) = places(&self.graph.layout, v, area);
        let mut radius = radius(&points);
        let (names, em) = self.name_list(radius)?;
        let inside = em >= 7.0;
        if !inside {
            radius = radius.min(7.0);
        }
        if self.graph.head {
            head(canvas, centre, reach)?;
        }
        let edges = edges(self.graph);
        // Crowded sensors need thinner lines.
        let width = if inside {
            1.0
        } else {
            (radius / 6.0).clamp(0.4, 1.0)
        };
        for e in &edges.shown {
            let strength = e.weight.abs() / edges.largest;
            let ends = (points[e.from], points[e.to]);
            let arrow = edges.directed.then_some(radius);
            edge(canvas, ends, (strength, width), e.weight > 0.0, arrow)?;
        }
        for &p in &points {
            canvas.disc(p, radius, MUTED)?;
            if inside {
                canvas.disc(p, radius - 1.2, PAPER)?;
            }
        }
        let mut named = points.len();
        if inside {
            for (name, &p) in names.iter().zip(&points) {
                canvas.text(name, p, Words::new(em, INK, Align::Middle))?;
            }
        } else {
            named = Self::names(canvas, &names, &points, radius, &edges)?;
        }
        self.key(canvas, &edges, named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_graph_keeps_its_strongest_edges() {
        let v = 40;
        let adjacency = (0..v)
            .map(|i| (0..v).map(|j| ((i + 1) * (j + 1)) as f32).collect())
            .collect();
        let graph = GraphFigure {
            adjacency,
            ..GraphFigure::default()
        };
        let edges = edges(&graph);
        assert!(!edges.directed);
        assert_eq!((edges.total, edges.shown.len()), (780, 120));
        assert_eq!(edges.shown.last().unwrap().weight, 39.0 * 40.0);
    }

    #[test]
    fn one_way_edges_make_the_graph_directed() {
        let graph = GraphFigure {
            adjacency: vec![vec![1.0, 2.0], vec![0.0, f32::NAN]],
            ..GraphFigure::default()
        };
        let edges = edges(&graph);
        assert!(edges.directed);
        assert_eq!(edges.total, 1);
        // Entry [0, 1] is the edge into 0 from 1.
        assert_eq!((edges.shown[0].from, edges.shown[0].to), (1, 0));
    }
}
