//! Series in a cache file: all values in one batch, that of a table with a row for each value, so
//! that they lie in one piece of the mapped file; everything else in the footer.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::buffer::Buffer;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::file::{self, Batches, Footer, damaged, footer, map};
use super::keep::worth;
use super::key::{Request, content_key};
use super::meta::{FORMAT, Source};
use super::{Cache, CacheOptions};
use crate::datasets::SeriesSet;
use crate::series::{
    Cells, Feature, ForecastProtocol, Positions, Series, SeriesGraph, Step, TimeAxis, TimeReport,
};
use crate::topology::CsrGraph;
use crate::{DatasetInfo, Error, Result, SourceFile};

/// The graphs of a series: each once, and which of them a step has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Graphs {
    /// Edges (source, target, bits of the weight) of each.
    edges: Vec<Vec<(usize, usize, u32)>>,
    /// Graphs and how many steps in a row have them; `None`: the first, always.
    steps: Option<Vec<(usize, usize)>>,
}

/// The footer of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SeriesMeta {
    format: u32,
    key: String,
    info: DatasetInfo,
    /// (l, v, f).
    shape: (usize, usize, usize),
    masked: bool,
    check: String,
    mask_check: Option<String>,
    sensors: Vec<String>,
    features: Vec<Feature>,
    time: Option<(Vec<i64>, Step)>,
    /// Whether they are degrees, and the bits of the numbers.
    positions: Option<(bool, Vec<u64>)>,
    graphs: Option<Graphs>,
    protocol: ForecastProtocol,
    clock: TimeReport,
    sources: Vec<Source>,
}

impl Footer for SeriesMeta {
    const NAME: &'static str = "tgmamba-series";

    fn format(&self) -> u32 {
        self.format
    }

    fn note(&mut self, checks: Vec<String>, mask_checks: Vec<String>, _finite: bool) {
        self.check = checks.into_iter().next().unwrap_or_default();
        self.mask_check = mask_checks.into_iter().next();
    }
}

impl Graphs {
    fn of(graph: &SeriesGraph) -> Self {
        let edges = |g: &CsrGraph| g.edges().map(|(s, t, w)| (s, t, w.to_bits())).collect();
        let SeriesGraph::PerStep(all) = graph else {
            let first = graph.at(0).map(|g| edges(g));
            return Self {
                edges: first.into_iter().collect(),
                steps: None,
            };
        };
        let (mut distinct, mut steps): (Vec<&Arc<CsrGraph>>, Vec<(usize, usize)>) =
            (Vec::new(), Vec::new());
        for graph in all {
            let which = distinct
                .iter()
                .rposition(|g| Arc::ptr_eq(g, graph) || *g == graph);
            let which = which.unwrap_or_else(|| {
                distinct.push(graph);
                distinct.len() - 1
            });
            match steps.last_mut() {
                Some((last, count)) if *last == which => *count += 1,
                _ => steps.push((which, 1)),
            }
        }
        Self {
            edges: distinct.into_iter().map(|g| edges(g)).collect(),
            steps: Some(steps),
        }
    }

    fn graph(&self, nodes: usize, length: usize) -> Result<Option<SeriesGraph>> {
        let one = |edges: &Vec<(usize, usize, u32)>| {
            let edges: Vec<_> = edges
                .iter()
                .map(|(s, t, bits)| (*s, *t, f32::from_bits(*bits)))
                .collect();
            CsrGraph::from_edges(nodes, &edges).map(Arc::new)
        };
        let all: Vec<Arc<CsrGraph>> = self.edges.iter().map(one).collect::<Result<_>>()?;
        Ok(match &self.steps {
            None => all.into_iter().next().map(SeriesGraph::Static),
            Some(steps) => {
                let count = steps.iter().try_fold(0usize, |n, s| n.checked_add(s.1));
                if count != Some(length) {
                    let problem = format!("are not those of {length} steps");
                    return Err(Error::config("graphs", problem, "delete the file"));
                }
                let graphs = steps.iter().filter_map(|(which, count)| {
                    let graph = all.get(*which)?;
                    Some(std::iter::repeat_n(Arc::clone(graph), *count))
                });
                Some(SeriesGraph::PerStep(graphs.flatten().collect()))
            }
        })
    }
}

impl SeriesMeta {
    fn of(set: &SeriesSet, key: &str, sources: Vec<Source>) -> Self {
        let s = &set.series;
        let bits = |p: &Array2<f64>| p.iter().map(|x| x.to_bits()).collect();
        Self {
            format: FORMAT,
            key: key.into(),
            info: s.info.clone(),
            shape: s.dim(),
            masked: s.observed().is_some(),
            check: String::new(),
            mask_check: None,
            sensors: s.sensors.clone(),
            features: s.features.clone(),
            time: s.time.as_ref().map(|t| (t.stamps().to_vec(), t.step())),
            positions: s.positions.as_ref().map(|p| match p {
                Positions::LatLon(table) => (true, bits(table)),
                Positions::Metres(table) => (false, bits(table)),
            }),
            graphs: s.graph.as_ref().map(Graphs::of),
            protocol: set.protocol.clone(),
            clock: set.clock.clone(),
            sources,
        }
    }

    fn set(self, values: Cells<f32>, observed: Option<Cells<u8>>) -> Result<SeriesSet> {
        let mut series = Series::stored(self.info, self.sensors, self.features, values, observed)?;
        if let Some((stamps, step)) = self.time {
            series.time = Some(TimeAxis::stored(stamps, step, series.len())?);
        }
        if let Some((degrees, bits)) = self.positions {
            let numbers = bits.into_iter().map(f64::from_bits).collect();
            let table = Array2::from_shape_vec((series.sensors.len(), 2), numbers)
                .map_err(|e| Error::config("positions", e.to_string(), "delete the file"))?;
            series = series.with_positions(match degrees {
                true => Positions::LatLon(table),
                false => Positions::Metres(table),
            })?;
        }
        if let Some(graphs) = self.graphs
            && let Some(graph) = graphs.graph(series.sensors.len(), series.len())?
        {
            series = series.with_graph(graph)?;
        }
        Ok(SeriesSet {
            series,
            protocol: self.protocol,
            clock: self.clock,
        })
    }
}

/// The series in the bytes of a file, and its key.
///
/// # Errors
/// [`Error::File`] when they are damaged, of another version, or hold something else.
pub(super) fn parse(bytes: &Buffer, path: &Path) -> Result<(String, SeriesSet)> {
    let (meta, places, end) = footer::<SeriesMeta>(bytes, path)?;
    let wrong = |e: Error| damaged(path, "series", &e.to_string());
    let (l, v, f) = meta.shape;
    let cells = l.checked_mul(v).and_then(|n| n.checked_mul(f));
    let cells = cells.ok_or_else(|| damaged(path, "shape", "is too large"))?;
    let mut batches = Batches::new(bytes, path, &places, end, 1, meta.masked);
    let (values, mask) = batches.next(cells)?;
    let misfit = || damaged(path, "shape", "is not that of the values");
    let values = Cells::of(values, meta.shape).ok_or_else(misfit)?;
    let observed = match mask {
        Some(mask) => Some(Cells::of(mask, meta.shape).ok_or_else(misfit)?),
        None => None,
    };
    let key = meta.key.clone();
    Ok((key, meta.set(values, observed).map_err(wrong)?))
}

/// The series in the bytes of a cache file, and its key. `path` is for messages.
///
/// # Errors
/// [`Error::File`] when they are damaged, of another version, or hold windows.
pub fn parse_series(bytes: &[u8], path: &Path) -> Result<(String, SeriesSet)> {
    parse(&Buffer::from_slice_ref(bytes), path)
}

/// Reads all of a file and compares the values with their hashes.
pub(super) fn verify(bytes: &Buffer, path: &Path) -> Result<()> {
    let (meta, _, _) = footer::<SeriesMeta>(bytes, path)?;
    let (_, set) = parse(bytes, path)?;
    let (values, observed) = set.series.stored_cells();
    if file::hash(values.buffer()) != meta.check {
        return Err(damaged(path, "batch 0", "has other values"));
    }
    if observed.map(|o| file::hash(o.buffer())) != meta.mask_check {
        return Err(damaged(path, "batch 0", "has another mask"));
    }
    Ok(())
}

/// A series out of the cache, mapped, or read and, where that took long, kept.
///
/// # Errors
/// Those of `read`. What goes wrong with the cache itself is a warning.
pub(crate) fn series_through(
    options: &CacheOptions,
    request: &Request,
    read: impl FnOnce() -> Result<SeriesSet>,
) -> Result<SeriesSet> {
    let started = Instant::now();
    let Some(cache) = options.cache() else {
        return read();
    };
    let before = request.before();
    if let Some((key, sources)) = cache.known(request, &before)
        && let Some(set) = cache.open_series(&key, &sources)
    {
        return Ok(set);
    }
    let set = read()?;
    if !worth(options.mode, started) {
        return Ok(set);
    }
    let sources = set.series.sources.clone();
    let portable = request.portable(&sources);
    let parameters = serde_json::json!([request.parameters, set.series.info]);
    let key = content_key(&parameters, &portable);
    let kept = cache
        .keep_series(&set, &key, portable, &sources)
        .and_then(|kept| {
            cache
                .remember(request, &before, &sources, &key)
                .map(|()| kept)
        });
    match kept {
        Ok(kept) => Ok(kept),
        Err(e) => {
            log::warn!("the series is not kept for the next run: {e}");
            Ok(set)
        }
    }
}

impl Cache {
    /// The series of a key; `None` where there is none, or it is damaged.
    fn open_series(&self, key: &str, sources: &[SourceFile]) -> Option<SeriesSet> {
        let path = self.path(key);
        let opened = map(&path).and_then(|bytes| parse(&bytes, &path));
        let mut set = self.opened(&path, key, opened)?;
        set.series.sources = sources.to_vec();
        Some(set)
    }

    fn keep_series(
        &self,
        set: &SeriesSet,
        key: &str,
        portable: Vec<Source>,
        sources: &[SourceFile],
    ) -> Result<SeriesSet> {
        let open = || self.open_series(key, sources);
        self.once(key, open, |path| {
            file::write(path, |writer| {
                let (values, observed) = set.series.stored_cells();
                writer.batch(1, values.buffer(), observed.map(Cells::buffer))?;
                Ok(SeriesMeta::of(set, key, portable))
            })
        })
    }
}
