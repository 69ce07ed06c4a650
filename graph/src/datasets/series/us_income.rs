//! Income per head of the 48 contiguous United States, 1929 to 2009, as shipped with PySAL.
//!
//! Read from `usjoin.csv` (`Name,STATE_FIPS,1929,..,2009`, a row for each state) and `states48.gal`
//! (which states touch, in the GAL format: the number of states, then for each its number, how many
//! neighbours it has, and on the next line which).

use std::path::Path;

use ndarray::Array3;

use super::{SeriesSet, take};
use crate::datasets::find;
use crate::formats::csv::{Cells, CsvConfig, parse_cells};
use crate::series::{
    Feature, ForecastProtocol, ForecastSplit, Scaling, Series, SeriesGraph, Step, TimeAxis,
    TimeReport, stamp_of,
};
use crate::topology::CsrGraph;
use crate::{DatasetInfo, Error, Result};

/// More neighbours than a graph of this size can have are a damaged file.
const MOST_STATES: usize = 10_000;

pub(super) fn read(data_dir: Option<&Path>) -> Result<SeriesSet> {
    let folder = find(data_dir, &["us-income", "us_income"], "usjoin.csv")?;
    let mut sources = Vec::new();
    let path = folder.join("usjoin.csv");
    let cells = parse_cells(&take(&path, &mut sources)?, &path, &CsvConfig::default())?;
    let (first, values) = incomes(&cells, &path)?;
    let states = cells.column("Name").unwrap_or_default().to_vec();
    let path = folder.join("states48.gal");
    let graph = parse_gal(&take(&path, &mut sources)?, &path, states.len())?;
    let feature = Feature::new("income", "US dollars a head, of their year");
    let mut series = Series::new(info(), states, vec![feature], values)?
        .with_graph(SeriesGraph::fixed(graph))?;
    let start = stamp_of(first, 1, 1, 0, 0, 0).unwrap_or_default();
    series.time = Some(TimeAxis::regular(start, Step::Months(12), series.len())?);
    series.sources = sources;
    Ok(SeriesSet {
        series,
        protocol: ForecastProtocol {
            history: 10,
            horizon: 5,
            report: (1..=5).collect(),
            targets: vec!["income".into()],
            split: ForecastSplit::Windows {
                train: 0.6,
                test: 0.2,
            },
            scaling: Scaling::ZscoreNode,
            source: "none is agreed upon: ten years in, five out, 60, 20 and 20 % of the windows \
                     in the order of time"
                .into(),
        },
        clock: TimeReport::default(),
    })
}

pub(super) fn info() -> DatasetInfo {
    DatasetInfo {
        name: "us-income".into(),
        title: "Income per head of 48 US states, 1929 to 2009".into(),
        licence: "figures of the US Bureau of Economic Analysis (public domain); files of PySAL, \
                  BSD-3-Clause"
            .into(),
        citation: "US Department of Commerce, Bureau of Economic Analysis, Regional Economic \
                   Information System; Rey and Anselin, PySAL: A Python Library of Spatial \
                   Analytical Methods, Review of Regional Studies 37(1), 2007"
            .into(),
    }
}

/// First year and incomes, (years, states, 1).
fn incomes(cells: &Cells, path: &Path) -> Result<(i16, Array3<f32>)> {
    let wrong = |field: String, problem: String| {
        Error::file(path, field, problem, "take the file as it is shipped")
    };
    let years: Vec<i16> = cells.names.iter().filter_map(|n| n.parse().ok()).collect();
    let consecutive = years.windows(2).all(|w| w[0] + 1 == w[1]);
    if cells.column("Name").is_none() || years.is_empty() || !consecutive {
        return Err(wrong(
            "header".into(),
            "is not Name and a column for each year".into(),
        ));
    }
    let mut values = Array3::zeros((years.len(), cells.rows(), 1));
    for (t, year) in years.iter().enumerate() {
        let column = cells.column(&year.to_string()).unwrap_or_default();
        for (v, cell) in column.iter().enumerate() {
            values[[t, v, 0]] = match cell.as_str() {
                "" | "NA" => f32::NAN,
                number => number.parse().map_err(|_| {
                    let place = format!("line {}, column {year}", cells.lines[v]);
                    wrong(place, format!("{number:?} is no number"))
                })?,
            };
        }
    }
    Ok((years[0], values))
}

/// The graph of a GAL file over `nodes` nodes, numbered from 0, weight 1 for each pair that touches.
fn parse_gal(bytes: &[u8], path: &Path, nodes: usize) -> Result<CsrGraph> {
    let wrong = |line: usize, problem: String| {
        Error::file(
            path,
            format!("line {}", line + 1),
            problem,
            "write the number of nodes, then for each \"node count\" and a line of neighbours",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(0, format!("is not text ({e})")))?;
    let mut lines = text.lines().enumerate();
    let numbers = |(at, line): (usize, &str)| {
        let parsed: std::result::Result<Vec<usize>, _> =
            line.split_whitespace().map(str::parse).collect();
        parsed
            .map(|n| (at, n))
            .map_err(|_| wrong(at, format!("{line:?} is not a list of whole numbers")))
    };
    let (at, head) = numbers(lines.next().unwrap_or((0, "")))?;
    // Newer files say more about themselves in the first line; the number of nodes comes last or
    // second.
    if !head.contains(&nodes) || nodes > MOST_STATES {
        return Err(wrong(at, format!("does not say {nodes} nodes")));
    }
    let mut edges = Vec::new();
    while let Some(line) = lines.next() {
        if line.1.trim().is_empty() {
            continue;
        }
        let (at, head) = numbers(line)?;
        let [node, count] = head[..] else {
            return Err(wrong(
                at,
                "is not a node and its number of neighbours".into(),
            ));
        };
        if count == 0 {
            continue;
        }
        let (at, neighbours) = numbers(lines.next().unwrap_or((at + 1, "")))?;
        if neighbours.len() != count {
            return Err(wrong(
                at,
                format!("has {} neighbours, not {count}", neighbours.len()),
            ));
        }
        edges.extend(neighbours.into_iter().map(|other| (other, node, 1.0)));
    }
    CsrGraph::from_edges(nodes, &edges).map_err(|e| {
        Error::file(
            path,
            "edges",
            e.to_string(),
            "take the file as it is shipped",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_eight_states_and_their_borders() {
        let set = read(None).unwrap();
        let series = &set.series;
        assert_eq!(series.dim(), (81, 48, 1));
        assert!(series.observed().is_none());
        let alabama = series.sensor("Alabama").unwrap();
        assert_eq!(series.values()[[0, alabama, 0]], 323.0);
        let wyoming = series.sensor("Wyoming").unwrap();
        assert_eq!(series.values()[[80, wyoming, 0]], 42504.0);
        let Some(SeriesGraph::Static(graph)) = &series.graph else {
            panic!("one graph");
        };
        assert!(graph.is_symmetric() && graph.isolated().is_empty());
        assert_eq!(
            graph.weight(alabama, series.sensor("Tennessee").unwrap()),
            1.0
        );
        assert_eq!(graph.weight(alabama, wyoming), 0.0);
        let stamps = series.time.as_ref().unwrap().stamps();
        assert_eq!(stamps[80], stamp_of(2009, 1, 1, 0, 0, 0).unwrap());
        let p = &set.protocol;
        let starts = p.split.starts(series.len(), p.history, p.horizon).unwrap();
        let counts = [starts.train, starts.validation, starts.test].map(|s| s.len());
        assert_eq!(counts, [40, 14, 13]);
    }

    #[test]
    fn damaged_borders_are_named() {
        let path = Path::new("x.gal");
        for (text, expected) in [
            ("", "does not say 2"),
            ("3\n0 1\n1\n", "does not say 2"),
            ("2\n0 1\n", "0 neighbours, not 1"),
            ("2\n0 2\n1\n", "1 neighbours, not 2"),
            ("2\n0 1\n7\n", "among 2 nodes"),
            ("2\n0\n1\n", "number of neighbours"),
            ("2\n0 1\nx\n", "whole numbers"),
        ] {
            let error = parse_gal(text.as_bytes(), path, 2).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(parse_gal(&[0xff, 0xfe], path, 2).is_err());
    }
}
