//! Sensors at their places and the edges between them, as several figures draw them.

use plotters::backend::DrawingBackend;
use std::collections::HashMap;
use std::f64::consts::TAU;

use super::Drawn;
use super::canvas::{Canvas, Stroke};
use super::colour::{LINES, MUTED};

/// A graph of more edges per sensor than this is thinned,
const DENSE: usize = 8;
/// to this many, the strongest.
const EDGES_PER_NODE: usize = 3;

/// The square that the unit square of a layout is drawn on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub side: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    pub weight: f64,
}

/// Edges from weak to strong, so that the strong are drawn on top.
pub(super) struct Edges {
    pub shown: Vec<Edge>,
    pub total: usize,
    pub directed: bool,
    pub largest: f64,
}

impl Edges {
    /// Edges between `v` sensors; those of both directions and one weight become one. Self-loops
    /// and weights of 0 are left out, and of a dense graph all but the strongest edges.
    pub fn of(v: usize, edges: impl Iterator<Item = Edge>) -> Self {
        let mut all: Vec<Edge> = edges
            .filter(|e| e.from != e.to && e.weight != 0.0)
            .collect();
        let largest = all.iter().fold(0.0, |m: f64, e| m.max(e.weight.abs()));
        let weights: HashMap<_, _> = all.iter().map(|e| ((e.from, e.to), e.weight)).collect();
        let directed = all.iter().any(|e| {
            let back = weights.get(&(e.to, e.from)).copied().unwrap_or(0.0);
            (e.weight - back).abs() > 1e-5 * largest
        });
        all.retain(|e| directed || e.from < e.to);
        let total = all.len();
        all.sort_by(|a, b| a.weight.abs().total_cmp(&b.weight.abs()));
        if total > (DENSE * v).max(30) {
            all.drain(..total - (EDGES_PER_NODE * v).max(30));
        }
        Self {
            shown: all,
            total,
            directed,
            largest,
        }
    }
}

/// Pixels of `v` sensors, and of the head's centre and radius. Without one finite place for each,
/// the sensors stand on a circle.
pub(super) fn places(
    layout: &[[f64; 2]],
    v: usize,
    area: Area,
) -> (Vec<(f64, f64)>, (f64, f64), f64) {
    let placed = layout.len() == v && layout.iter().flatten().all(|x| x.is_finite());
    let at = |x: f64, y: f64| (area.left + x * area.side, area.top + (1.0 - y) * area.side);
    let points: Vec<_> = (0..v)
        .map(|i| {
            if placed {
                let [x, y] = layout[i];
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
        .fold(area.side / 2.0, f64::max);
    (points, centre, reach)
}

/// Radius of the discs: as large as the tenth percentile of nearest distances allows.
pub(super) fn radius(points: &[(f64, f64)]) -> f64 {
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
/// `order` choose first, and a name that fits nowhere between two corners of the sheet is left out.
pub(super) fn place_names(
    points: &[(f64, f64)],
    widths: &[f64],
    order: &[usize],
    (radius, em): (f64, f64),
    (low, high): ((f64, f64), (f64, f64)),
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
            let outward = x.signum() * (p.0 - (low.0 + high.0) / 2.0) * f64::from(x != 0.0)
                + y.signum() * (p.1 - (low.1 + high.1) / 2.0) * f64::from(y != 0.0);
            outward / (f64::from(x != 0.0) + f64::from(y != 0.0)).sqrt()
        };
        tries.sort_by(|a, b| away(*b).total_cmp(&away(*a)));
        for (x, y) in tries.map(|(x, y)| (p.0 + x, p.1 + y)) {
            let name = (x - half.0, y - half.1, x + half.0, y + half.1);
            let inside = name.0 >= low.0 && name.2 <= high.0 && name.1 >= low.1;
            let crossed = |(k, other): (usize, &Box4)| k != i && overlap(name, *other);
            if inside && name.3 <= high.1 && !taken.iter().enumerate().any(crossed) {
                taken.push(name);
                places[i] = Some((x, y));
                break;
            }
        }
    }
    places
}

/// The outline of a head seen from above, the nose up.
pub(super) fn head<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    centre: (f64, f64),
    radius: f64,
) -> Drawn {
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

/// An edge of a strength in [0, 1]: blue, or orange if negative; with an arrow that stops at a disc
/// of radius `arrow`.
pub(super) fn edge<B: DrawingBackend>(
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
        let places = place_names(
            &points,
            &[30.0; 100],
            &order,
            (3.0, 10.0),
            ((0.0, 0.0), (700.0, 700.0)),
        );
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
}
