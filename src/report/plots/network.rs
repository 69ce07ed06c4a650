//! A graph on the positions of its sensors.

use plotters::backend::DrawingBackend;
use std::f64::consts::TAU;

use super::axes::{SMALL, title};
use super::canvas::{Align, Canvas, Stroke, Words, shortened, text_width};
use super::colour::{INK, LINES, MUTED, PAPER};
use super::{Drawn, Figure};
use crate::report::GraphFigure;

/// Side of the area the unit square is drawn on.
const SIDE: f64 = 600.0;
/// Space around it, for the nose and for names at the rim.
const MARGIN: f64 = 52.0;
/// Space above it, for the title.
const HEAD_ROOM: f64 = 40.0;
/// A graph of more edges per sensor than this is thinned,
const DENSE: usize = 8;
/// to this many, the strongest.
const EDGES_PER_NODE: usize = 3;

/// Sensors at their positions in the unit square, joined by their edges: wider and more opaque
/// the larger the weight, orange if negative, with arrows if the weights are not symmetric.
/// Self-loops are left out, and of a dense graph all but the strongest edges.
#[derive(Debug, Clone, Copy)]
pub struct SensorNetwork<'a> {
    /// The graph.
    pub graph: &'a GraphFigure,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    from: usize,
    to: usize,
    weight: f64,
}

/// Edges from weak to strong, so that the strong are drawn on top.
struct Edges {
    shown: Vec<Edge>,
    total: usize,
    directed: bool,
    largest: f64,
}

fn edges(graph: &GraphFigure) -> Edges {
    let v = graph.len();
    let pairs = || (0..v).flat_map(|i| (0..i).map(move |j| (i, j)));
    let largest = pairs().fold(0.0, |m: f64, (i, j)| {
        m.max(graph.weight(i, j).abs())
            .max(graph.weight(j, i).abs())
    });
    let differs = |(i, j)| (graph.weight(i, j) - graph.weight(j, i)).abs() > 1e-5 * largest;
    let directed = pairs().any(differs);
    let mut shown: Vec<Edge> = pairs()
        .flat_map(|(i, j)| [(i, j), (j, i)])
        .filter(|&(i, j)| directed || i < j)
        .map(|(from, to)| Edge {
            from,
            to,
            weight: graph.weight(to, from),
        })
        .filter(|e| e.weight != 0.0)
        .collect();
    let total = shown.len();
    shown.sort_by(|a, b| a.weight.abs().total_cmp(&b.weight.abs()));
    if total > (DENSE * v).max(30) {
        shown.drain(..total - (EDGES_PER_NODE * v).max(30));
    }
    Edges {
        shown,
        total,
        directed,
        largest,
    }
}

/// Pixels of the sensors, and of the head's centre and radius.
fn positions(graph: &GraphFigure) -> (Vec<(f64, f64)>, (f64, f64), f64) {
    let v = graph.len();
    let placed = graph.layout.len() == v && graph.layout.iter().flatten().all(|x| x.is_finite());
    let at = |x: f64, y: f64| (MARGIN + x * SIDE, HEAD_ROOM + MARGIN + (1.0 - y) * SIDE);
    let points: Vec<_> = (0..v)
        .map(|i| {
            if placed {
                let [x, y] = graph.layout[i];
                at(x.clamp(0.0, 1.0), y.clamp(0.0, 1.0))
            } else {
                let angle = TAU * i as f64 / v as f64;
                at(0.5 + 0.46 * angle.sin(), 0.5 + 0.46 * angle.cos())
            }
        })
        .collect();
    let centre = at(0.5, 0.5);
    let reach = points
        .iter()
        .map(|p| (p.0 - centre.0).hypot(p.1 - centre.1))
        .fold(SIDE / 2.0, f64::max);
    (points, centre, reach)
}

/// Radius of the discs: as large as the tenth percentile of nearest distances allows.
fn radius(points: &[(f64, f64)]) -> f64 {
    let mut nearest: Vec<f64> = points
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let others = points.iter().enumerate().filter(|(j, _)| *j != i);
            others
                .map(|(_, q)| (p.0 - q.0).hypot(p.1 - q.1))
                .fold(f64::INFINITY, f64::min)
        })
        .filter(|d| d.is_finite())
        .collect();
    nearest.sort_by(f64::total_cmp);
    let typical = nearest.get(nearest.len() / 10).copied().unwrap_or(60.0);
    (typical * 0.36).clamp(2.5, 17.0)
}

/// A box around a name: left, top, right, bottom.
type Box4 = (f64, f64, f64, f64);

fn overlap(a: Box4, b: Box4) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Places names beside their discs where they hide neither discs nor one another; sensors first in
/// `order` choose first, and a name that fits nowhere is left out.
fn place_names(
    points: &[(f64, f64)],
    widths: &[f64],
    order: &[usize],
    (radius, em): (f64, f64),
    sheet: (f64, f64),
) -> Vec<Option<(f64, f64)>> {
    let mut taken: Vec<Box4> = points
        .iter()
        .map(|p| (p.0 - radius, p.1 - radius, p.0 + radius, p.1 + radius))
        .collect();
    let mut places = vec![None; points.len()];
    for &i in order {
        let (p, half) = (points[i], (widths[i] / 2.0, em * 0.5));
        let (dx, dy) = (radius + 3.0 + half.0, radius + 2.0 + half.1);
        let mut tries = [
            (dx, 0.0),
            (-dx, 0.0),
            (0.0, -dy),
            (0.0, dy),
            (dx, -dy),
            (-dx, -dy),
            (dx, dy),
            (-dx, dy),
        ];
        // Away from the middle there are fewer edges to cover.
        let away = |(x, y): (f64, f64)| {
            let outward = x.signum() * (p.0 - sheet.0 / 2.0) * f64::from(x != 0.0)
                + y.signum() * (p.1 - sheet.1 / 2.0) * f64::from(y != 0.0);
            outward / (f64::from(x != 0.0) + f64::from(y != 0.0)).sqrt()
        };
        tries.sort_by(|a, b| away(*b).total_cmp(&away(*a)));
        for (x, y) in tries.map(|(x, y)| (p.0 + x, p.1 + y)) {
            let name = (x - half.0, y - half.1, x + half.0, y + half.1);
            let inside = name.0 >= 2.0 && name.2 <= sheet.0 - 2.0 && name.1 >= HEAD_ROOM;
            let crossed = |(k, other): (usize, &Box4)| k != i && overlap(name, *other);
            if inside && name.3 <= sheet.1 - 24.0 && !taken.iter().enumerate().any(crossed) {
                taken.push(name);
                places[i] = Some((x, y));
                break;
            }
        }
    }
    places
}

impl SensorNetwork<'_> {
    fn head<B: DrawingBackend>(canvas: &mut Canvas<B>, centre: (f64, f64), radius: f64) -> Drawn {
        let stroke = Stroke::solid(MUTED, 1.6);
        let around = |degrees: f64, r: f64| {
            let angle = degrees.to_radians();
            (centre.0 + r * angle.sin(), centre.1 - r * angle.cos())
        };
        let circle: Vec<_> = (0..=180)
            .map(|k| around(f64::from(k) * 2.0, radius))
            .collect();
        canvas.line(&circle, stroke)?;
        let nose = [
            around(-5.5, radius),
            around(0.0, radius + 24.0),
            around(5.5, radius),
        ];
        canvas.line(&nose, stroke)?;
        for side in [-1.0, 1.0] {
            let ear: Vec<_> = (0..=16)
                .map(|k| {
                    let t = f64::from(k) / 16.0;
                    let out = 11.0 * (std::f64::consts::PI * t).sin();
                    around(side * (82.0 + 16.0 * t), radius + out)
                })
                .collect();
            canvas.line(&ear, stroke)?;
        }
        Ok(())
    }

    fn edge<B: DrawingBackend>(
        canvas: &mut Canvas<B>,
        (from, to): ((f64, f64), (f64, f64)),
        (strength, width): (f64, f64),
        positive: bool,
        arrow: Option<f64>,
    ) -> Drawn {
        let stroke = Stroke {
            opacity: 0.2 + 0.7 * strength,
            ..Stroke::solid(
                LINES[usize::from(!positive)],
                width * (0.7 + 3.3 * strength),
            )
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let Some(radius) = arrow else {
            return canvas.line(&[from, to], stroke);
        };
        if length < 2.0 * radius {
            return Ok(());
        }
        // A bend to one side keeps the two directions of a pair apart.
        let bend = 0.10;
        let knee = (
            (from.0 + to.0) / 2.0 - dy * bend,
            (from.1 + to.1) / 2.0 + dx * bend,
        );
        let (ux, uy) = ((to.0 - knee.0), (to.1 - knee.1));
        let back = ux.hypot(uy);
        let (ux, uy) = (ux / back, uy / back);
        let tip = (to.0 - ux * (radius + 1.0), to.1 - uy * (radius + 1.0));
        let head = (width * (5.0 + 5.0 * strength)).min(length * 0.3);
        let neck = (tip.0 - ux * head, tip.1 - uy * head);
        let curve: Vec<_> = (0..=12)
            .map(|k| {
                let t = f64::from(k) / 12.0;
                let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
                (
                    a * from.0 + b * knee.0 + c * neck.0,
                    a * from.1 + b * knee.1 + c * neck.1,
                )
            })
            .collect();
        canvas.line(&curve, stroke)?;
        let half = head * 0.45;
        let corners = [
            tip,
            (neck.0 - uy * half, neck.1 + ux * half),
            (neck.0 + uy * half, neck.1 - ux * half),
        ];
        canvas.polygon(&corners, stroke.colour, stroke.opacity)
    }

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
        let places = place_names(points, &widths, &order, (radius, em), canvas.size);
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
                Self::edge(canvas, ((x, y), (x + 26.0, y)), (share, 1.0), true, None)?;
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
        let (points, centre, reach) = positions(self.graph);
        let mut radius = radius(&points);
        let (names, em) = self.name_list(radius)?;
        let inside = em >= 7.0;
        if !inside {
            radius = radius.min(7.0);
        }
        if self.graph.head {
            Self::head(canvas, centre, reach)?;
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
            Self::edge(canvas, ends, (strength, width), e.weight > 0.0, arrow)?;
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
    fn names_never_overlap() {
        let points: Vec<_> = (0..100)
            .map(|k| {
                (
                    100.0 + f64::from(k % 10) * 14.0,
                    100.0 + f64::from(k / 10) * 14.0,
                )
            })
            .collect();
        let order: Vec<usize> = (0..100).collect();
        let places = place_names(&points, &[30.0; 100], &order, (3.0, 10.0), (700.0, 700.0));
        let boxes: Vec<Box4> = places
            .iter()
            .flatten()
            .map(|(x, y)| (x - 15.0, y - 5.0, x + 15.0, y + 5.0))
            .collect();
        assert!(boxes.len() > 10 && boxes.len() < 100);
        for (i, a) in boxes.iter().enumerate() {
            assert!(boxes[..i].iter().all(|b| !overlap(*a, *b)));
        }
    }

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
