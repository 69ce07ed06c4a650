//! Where to draw the nodes.

use std::f64::consts::{FRAC_PI_2, TAU};

use ndarray::{Array2, ArrayView1};

use super::SensorGraph;

/// Radius, in the unit square, of the circle on which 3-D positions at the height of the origin
/// come to lie: the outline of a head seen from above.
pub const HEAD_RADIUS: f64 = 0.35;

/// A place in the unit square for every node: x to the right, y upwards.
///
/// - 3-D positions (x to the right, y to the front, z upwards, origin inside the head) by
///   azimuthal equidistant projection from above: the angle from the z axis becomes the distance
///   from the middle, 90° at [`HEAD_RADIUS`]; nothing goes beyond the inscribed circle. The nose is
///   up.
/// - 2-D positions as they are, moved and scaled alike in x and y until they fill the square.
/// - Without positions on a circle, the first node at the top, then clockwise.
pub fn layout_2d(graph: &SensorGraph) -> Vec<[f64; 2]> {
    match graph.positions() {
        Some(positions) if positions.ncols() == 3 => {
            positions.rows().into_iter().map(on_head).collect()
        }
        Some(positions) => fitted(positions),
        None => circle(graph.n_nodes()),
    }
}

fn on_head(position: ArrayView1<f64>) -> [f64; 2] {
    let (x, y, z) = (position[0], position[1], position[2]);
    let across = x.hypot(y);
    if across == 0.0 {
        return [0.5, 0.5];
    }
    let angle = across.atan2(z);
    let radius = (angle / FRAC_PI_2 * HEAD_RADIUS).min(0.5);
    [0.5 + radius * x / across, 0.5 + radius * y / across]
}

fn fitted(positions: &Array2<f64>) -> Vec<[f64; 2]> {
    let range = |axis: usize| {
        let column = positions.column(axis);
        let low = column.fold(f64::INFINITY, |a, b| a.min(*b));
        let high = column.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        ((low + high) / 2.0, high - low)
    };
    let ((middle_x, width), (middle_y, height)) = (range(0), range(1));
    let size = width.max(height);
    let scale = if size > 0.0 { size.recip() } else { 0.0 };
    positions
        .rows()
        .into_iter()
        .map(|p| {
            [
                0.5 + (p[0] - middle_x) * scale,
                0.5 + (p[1] - middle_y) * scale,
            ]
        })
        .collect()
}

fn circle(nodes: usize) -> Vec<[f64; 2]> {
    (0..nodes)
        .map(|node| {
            let angle = TAU * node as f64 / nodes as f64;
            [0.5 + 0.5 * angle.sin(), 0.5 + 0.5 * angle.cos()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::tests::names;
    use super::*;

    fn assert_at(got: [f64; 2], want: [f64; 2]) {
        let off = (got[0] - want[0]).hypot(got[1] - want[1]);
        assert!(off < 1e-12, "{got:?} instead of {want:?}");
    }

    #[test]
    fn head_has_its_nose_up() {
        let graph = SensorGraph::unconnected(&names(&["top", "front", "right", "back", "neck"]))
            .unwrap()
            .with_positions(array![
                [0.0, 0.0, 0.1],
                [0.0, 0.1, 0.0],
                [0.07, 0.0, 0.07],
                [0.0, -0.09, 0.0],
                [0.0, -0.001, -0.1],
            ])
            .unwrap();
        let at = layout_2d(&graph);
        assert_at(at[0], [0.5, 0.5]);
        assert_at(at[1], [0.5, 0.85]);
        // 45 degrees from the top is half way to the outline.
        assert_at(at[2], [0.675, 0.5]);
        assert_at(at[3], [0.5, 0.15]);
        // Far below the outline: held at the edge of the square.
        assert_at(at[4], [0.5, 0.0]);
    }

    #[test]
    fn plane_positions_keep_their_proportions() {
        let graph = SensorGraph::unconnected(&names(&["a", "b", "c"]))
            .unwrap()
            .with_positions(array![[10.0, 5.0], [14.0, 5.0], [12.0, 6.0]])
            .unwrap();
        let at = layout_2d(&graph);
        assert_at(at[0], [0.0, 0.375]);
        assert_at(at[1], [1.0, 0.375]);
        assert_at(at[2], [0.5, 0.625]);
    }

    #[test]
    fn without_positions_on_a_circle() {
        let graph = SensorGraph::unconnected(&names(&["a", "b", "c", "d"])).unwrap();
        let at = layout_2d(&graph);
        assert_at(at[0], [0.5, 1.0]);
        assert_at(at[1], [1.0, 0.5]);
        assert_at(at[2], [0.5, 0.0]);
    }

    #[test]
    fn coinciding_positions_sit_in_the_middle() {
        let graph = SensorGraph::unconnected(&names(&["a", "b"]))
            .unwrap()
            .with_positions(array![[3.0, 3.0], [3.0, 3.0]])
            .unwrap();
        assert_at(layout_2d(&graph)[1], [0.5, 0.5]);
    }
}
