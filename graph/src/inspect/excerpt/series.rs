//! A stretch of a series, with the graph that came with it.

use ndarray::Array2;

use super::stretch::{finish, most_different, stretch};
use super::{Clock, Excerpt, ExcerptOptions};
use crate::Result;
use crate::series::{Positions, Series};
use crate::topology::{SensorGraph, layout_2d};

/// Takes a stretch of a series; see [`excerpt`](super::excerpt).
///
/// # Errors
/// As [`excerpt`](super::excerpt).
pub fn of_series(series: &Series, options: &ExcerptOptions) -> Result<Excerpt> {
    let feature = match &options.quantity {
        None => 0,
        Some(name) => series.feature(name)?,
    };
    let rate = series.time.as_ref().and_then(|t| t.step().rate());
    let range = stretch(series.len(), rate, options)?;
    let values = Array2::from_shape_fn((series.sensors.len(), range.len()), |(v, t)| {
        let step = range.start + t;
        match series.is_observed(step, v, feature) {
            true => series.values()[[step, v, feature]],
            false => f32::NAN,
        }
    });
    let (times, clock) = match &series.time {
        Some(axis) => (
            axis.stamps()[range.clone()]
                .iter()
                .map(|s| *s as f64)
                .collect(),
            Clock::Stamps,
        ),
        None => (range.clone().map(|t| t as f64).collect(), Clock::Steps),
    };
    let moment = most_different(&values);
    let nodes = &series.sensors;
    let (graph, edges_from) = match (&series.graph, &series.positions) {
        (Some(given), _) => {
            let at = given.at(range.start + moment);
            let graph = match at {
                Some(graph) => graph.to_sensor_graph(nodes)?,
                None => SensorGraph::unconnected(nodes)?,
            };
            (
                graph,
                if given.is_dynamic() {
                    "given with the data, at the marked step"
                } else {
                    "given with the data"
                },
            )
        }
        (None, Some(positions)) => {
            let graph = SensorGraph::gaussian(nodes, &positions.distances(), None, 0.1, false)?;
            (graph, "Gaussian kernel of the distances")
        }
        (None, None) => (SensorGraph::unconnected(nodes)?, "none"),
    };
    let graph = match &series.positions {
        Some(positions) => graph.with_positions(in_a_plane(positions))?,
        None => graph,
    };
    let f = &series.features[feature];
    finish(
        Excerpt {
            title: series.info.name.clone(),
            quantity: match f.unit.as_str() {
                "" => f.name.clone(),
                unit if unit.starts_with(&f.name) => unit.into(),
                unit => format!("{}, {unit}", f.name),
            },
            layout: layout_2d(&graph),
            head: false,
            edges: graph.edges(),
            edges_from: edges_from.into(),
            shown: Vec::new(),
            times,
            clock,
            values,
            moment,
            sensors: nodes.clone(),
        },
        &options.sensors,
    )
}

/// Places on the Earth as a map shows them: east to the right, north up, the scale that of the
/// middle.
fn in_a_plane(positions: &Positions) -> Array2<f64> {
    match positions {
        Positions::Metres(p) => p.clone(),
        Positions::LatLon(p) => {
            let middle = p.column(0).mean().unwrap_or(0.0).to_radians().cos();
            Array2::from_shape_fn(p.dim(), |(i, axis)| match axis {
                0 => p[[i, 1]] * middle,
                _ => p[[i, 0]],
            })
        }
    }
}
