//! Series: of the UEA archive, and of sensor networks with a clock.

use ndarray::Axis;
use rayon::prelude::*;

use super::dataset::facts_of;
use super::figures::Tally;
use super::record::{
    ChannelFigures, ClassCounts, GapFigures, GraphFigures, GraphOverTime, Inspection, TimeFigures,
};
use super::signals::GAPS;
use crate::formats::ts::TsFile;
use crate::series::{Positions, Series, SeriesGraph, write_stamp};

/// Describes labelled series of equal length, as `.ts` and some ARFF files hold them.
pub(super) fn of_ts(file: &TsFile) -> Inspection {
    let (samples, dimensions, steps) = file.x.dim();
    let mut found = Inspection {
        format: "UEA .ts".into(),
        classes: Some(ClassCounts::new(
            "series",
            &file.classes,
            file.y.iter().map(|y| Some(*y)),
        )),
        time: Some(TimeFigures {
            steps: Some(steps as u64),
            ..Default::default()
        }),
        ..Default::default()
    };
    found.fact("problem", &file.problem);
    found.fact(
        "shape",
        format!("{samples} series of {dimensions} dimensions × {steps} steps"),
    );
    found.channels = file
        .x
        .axis_iter(Axis(1))
        .enumerate()
        .map(|(i, values)| ChannelFigures {
            name: format!("dimension {i}"),
            figures: Tally::of(values.iter().map(|v| f64::from(*v))).figures(),
            ..Default::default()
        })
        .collect();
    found.warn_of_channels();
    found
}

/// Describes the series of a sensor network.
pub fn of_series(series: &Series) -> Inspection {
    let (steps, sensors, features) = series.dim();
    let mut found = Inspection {
        format: "series of a sensor network".into(),
        bytes: series.sources.iter().map(|s| s.bytes).sum(),
        time: Some(time(series)),
        graph: series.graph.as_ref().and_then(graph),
        ..Default::default()
    };
    facts_of(&mut found, &series.info);
    if !series.sources.is_empty() {
        found.fact("files", series.sources.len());
    }
    found.fact(
        "shape",
        format!("{steps} steps × {sensors} sensors × {features} features"),
    );
    found.fact(
        "positions",
        match &series.positions {
            Some(Positions::LatLon(_)) => "latitude and longitude",
            Some(Positions::Metres(_)) => "metres",
            None => "none",
        },
    );
    let tallies: Vec<Vec<Tally>> = (0..sensors)
        .into_par_iter()
        .map(|v| (0..features).map(|f| tally(series, v, f)).collect())
        .collect();
    let rate_hz = series.time.as_ref().and_then(|t| t.step().rate());
    for (sensor, by_feature) in series.sensors.iter().zip(&tallies) {
        for (feature, tally) in series.features.iter().zip(by_feature) {
            found.channels.push(ChannelFigures {
                name: match features {
                    1 => sensor.clone(),
                    _ => format!("{sensor}: {}", feature.name),
                },
                unit: feature.unit.clone(),
                rate_hz,
                figures: tally.figures(),
            });
        }
    }
    found.quantities = series
        .features
        .iter()
        .enumerate()
        .map(|(f, feature)| {
            let mut all = Tally::default();
            tallies
                .iter()
                .for_each(|by_feature| all.join(&by_feature[f]));
            ChannelFigures {
                name: feature.name.clone(),
                unit: feature.unit.clone(),
                rate_hz,
                figures: all.figures(),
            }
        })
        .collect();
    let gaps = found.time.as_ref().and_then(|t| t.gap_count);
    if let Some(gaps) = gaps.filter(|n| *n > 0) {
        let listed = found.time.iter().flat_map(|t| &t.gaps);
        let lost: usize = listed.filter_map(|g| g.steps).sum();
        let more = if gaps > GAPS { " and more" } else { "" };
        let plural = if gaps == 1 { "" } else { "s" };
        found.warn(format!(
            "the clock has {gaps} gap{plural}, of {lost} steps{more}"
        ));
    }
    if series.time.is_none() {
        found.warn("steps have no time");
    }
    found.warn_of_channels();
    found
}

fn tally(series: &Series, sensor: usize, feature: usize) -> Tally {
    let values = series.values();
    let values = values.index_axis(Axis(1), sensor);
    let values = values.index_axis_move(Axis(1), feature);
    Tally::of(values.iter().enumerate().map(
        |(t, v)| match series.is_observed(t, sensor, feature) {
            true => f64::from(*v),
            false => f64::NAN,
        },
    ))
}

fn time(series: &Series) -> TimeFigures {
    let steps = series.len();
    let mut figures = TimeFigures {
        steps: Some(steps as u64),
        ..Default::default()
    };
    let Some(axis) = &series.time else {
        return figures;
    };
    let stamps = axis.stamps();
    figures.rate_hz = axis.step().rate();
    figures.step = Some(axis.step().to_string());
    figures.start = stamps.first().map(|s| write_stamp(*s));
    figures.end = stamps.last().map(|s| write_stamp(*s));
    figures.seconds = figures.rate_hz.map(|r| steps as f64 / r);
    let gaps = axis.gaps();
    figures.gap_count = Some(gaps.len());
    let pair = |t: &usize| Some((*stamps.get(*t)?, *stamps.get(t + 1)?));
    figures.gaps = gaps
        .iter()
        .take(GAPS)
        .filter_map(pair)
        .map(|(after, until)| GapFigures {
            at: write_stamp(after),
            seconds: Some((until - after) as f64),
            steps: figures.rate_hz.map(|r| {
                let steps = ((until - after) as f64 * r).round() as usize;
                steps.saturating_sub(1)
            }),
        })
        .collect();
    figures
}

fn graph(graph: &SeriesGraph) -> Option<GraphFigures> {
    let many = match graph {
        SeriesGraph::Static(one) => return Some(GraphFigures::new("given with the data", one)),
        SeriesGraph::PerStep(many) => many,
    };
    let edges: Vec<f64> = many.iter().map(|g| g.n_edges() as f64).collect();
    let figures = GraphFigures::new("given with the data, one for each step", many.first()?);
    Some(GraphFigures {
        over_time: Some(GraphOverTime {
            graphs: many.len(),
            edges: [
                edges.iter().copied().fold(f64::INFINITY, f64::min),
                edges.iter().sum::<f64>() / edges.len() as f64,
                edges.iter().copied().fold(0.0, f64::max),
            ],
            changes: many.windows(2).filter(|w| w[0] != w[1]).count(),
        }),
        ..figures
    })
}
