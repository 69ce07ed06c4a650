//! A [`Series`]: what a network of sensors measured, step by step, in one piece.
//!
//! Classification sees many short recordings; forecasting sees one long one, with a clock and
//! gaps. Values lie time first, (time, nodes, features), so that a window is one contiguous piece
//! of memory. What took long to read is kept in the cache, and mapped from there the next time: see
//! [`load_series`](crate::datasets::load_series).

mod cells;
mod positions;
mod protocol;
mod stamp;
mod step;
mod summary;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;

use ndarray::{Array3, ArrayView3, Axis, Zip};
use serde::{Deserialize, Serialize};

use crate::topology::CsrGraph;
use crate::{DatasetInfo, Error, Labels, Recording, Result, SourceFile};

pub(crate) use cells::Cells;
pub use positions::Positions;
pub use protocol::{ForecastProtocol, ForecastSplit, Scaling, WindowStarts};
pub use stamp::{StampReader, parse_stamp, stamp_of, write_stamp};
pub use step::Step;
pub use summary::{Clock, FeatureSummary, SeriesSummary};
pub use time::{Arranged, Duplicates, Gap, Gaps, Order, TimeAxis, TimePolicy, TimeReport};

/// One quantity that every sensor measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Name, as in the file.
    pub name: String,
    /// Unit; empty where there is none or it is not known.
    pub unit: String,
    /// The value that stands for "not measured" in the file, beside NaN.
    pub null_value: Option<f32>,
}

impl Feature {
    /// A feature whose missing values are NaN.
    pub fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            unit: unit.into(),
            null_value: None,
        }
    }

    /// The same feature with a value that stands for "not measured".
    pub fn null(mut self, value: f32) -> Self {
        self.null_value = Some(value);
        self
    }
}

/// The graph that came with the data. Graphs are shared, never copied.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesGraph {
    /// The same at every step.
    Static(Arc<CsrGraph>),
    /// One for each step; steps may share one.
    PerStep(Vec<Arc<CsrGraph>>),
}

impl SeriesGraph {
    /// A graph that does not change.
    pub fn fixed(graph: CsrGraph) -> Self {
        Self::Static(Arc::new(graph))
    }

    /// The graph at step `t`, `None` past the end of a sequence.
    pub fn at(&self, t: usize) -> Option<&Arc<CsrGraph>> {
        match self {
            Self::Static(graph) => Some(graph),
            Self::PerStep(graphs) => graphs.get(t),
        }
    }

    /// Whether it changes with time.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Self::PerStep(_))
    }
}

/// Measurements of all sensors of a network over time.
///
/// Made by [`Series::new`] and the `with_` functions, which check that everything fits.
#[derive(Debug, Clone)]
pub struct Series {
    pub info: DatasetInfo,
    /// Sensor names, in the order of the nodes.
    pub sensors: Vec<String>,
    /// What is measured, in the order of the features.
    pub features: Vec<Feature>,
    /// Finite, and 0 where not observed.
    values: Cells<f32>,
    /// 1 where observed; `None` when nothing is missing.
    observed: Option<Cells<u8>>,
    /// When each step was, where known.
    pub time: Option<TimeAxis>,
    /// Where the sensors are, where known.
    pub positions: Option<Positions>,
    /// The graph that came with the data.
    pub graph: Option<SeriesGraph>,
    /// Files read.
    pub sources: Vec<SourceFile>,
}

impl Series {
    /// A series of `values`, (time, nodes, features). Values that are NaN or infinite, or equal to
    /// the null value of their feature, count as not observed and become 0.
    ///
    /// # Errors
    /// [`Error::Config`] when the shape does not fit the sensors and features, an axis is empty, or
    /// a sensor or feature is named twice.
    ///
    /// ```
    /// use ndarray::array;
    /// use tgmamba_graph::series::{Feature, Series};
    /// let speed = vec![Feature::new("speed", "mph").null(0.0)];
    /// let sensors = vec!["a".to_string(), "b".to_string()];
    /// let s = Series::new(Default::default(), sensors, speed, array![[[61.0], [0.0]]])?;
    /// assert!(s.is_observed(0, 0, 0) && !s.is_observed(0, 1, 0));
    /// # Ok::<(), tgmamba_graph::Error>(())
    /// ```
    pub fn new(
        info: DatasetInfo,
        sensors: Vec<String>,
        features: Vec<Feature>,
        mut values: Array3<f32>,
    ) -> Result<Self> {
        let name = info.name.clone();
        let (l, v, f) = values.dim();
        if (v, f) != (sensors.len(), features.len()) || l == 0 || v == 0 || f == 0 {
            return Err(Error::config(
                format!("data set {name}"),
                format!(
                    "has values of shape ({l}, {v}, {f}) for {} sensors and {} features",
                    sensors.len(),
                    features.len()
                ),
                "give values as (time, nodes, features), none of them empty",
            ));
        }
        unique(&name, "sensor", sensors.iter().map(String::as_str))?;
        unique(&name, "feature", features.iter().map(|f| f.name.as_str()))?;
        let nulls: Vec<Option<f32>> = features.iter().map(|f| f.null_value).collect();
        let missing = |value: f32, null: Option<f32>| !value.is_finite() || null == Some(value);
        let any = values
            .lanes(Axis(2))
            .into_iter()
            .any(|lane| lane.iter().zip(&nulls).any(|(v, n)| missing(*v, *n)));
        let observed = any.then(|| {
            let mut observed = Array3::from_elem((l, v, f), 1u8);
            Zip::from(values.lanes_mut(Axis(2)))
                .and(observed.lanes_mut(Axis(2)))
                .par_for_each(|mut value, mut seen| {
                    for (k, null) in nulls.iter().enumerate() {
                        if missing(value[k], *null) {
                            value[k] = 0.0;
                            seen[k] = 0;
                        }
                    }
                });
            observed
        });
        Ok(Self {
            info,
            sensors,
            features,
            values: Cells::new(values),
            observed: observed.map(Cells::new),
            time: None,
            positions: None,
            graph: None,
            sources: Vec::new(),
        })
    }

    /// A series out of a file that [`stored_cells`](Self::stored_cells) went into.
    ///
    /// # Errors
    /// [`Error::Config`] when the parts do not fit together.
    pub(crate) fn stored(
        info: DatasetInfo,
        sensors: Vec<String>,
        features: Vec<Feature>,
        values: Cells<f32>,
        observed: Option<Cells<u8>>,
    ) -> Result<Self> {
        let (l, v, f) = values.dim();
        let fits = observed.as_ref().is_none_or(|o| o.dim() == values.dim());
        if (v, f) != (sensors.len(), features.len()) || l == 0 || v == 0 || f == 0 || !fits {
            return Err(Error::config(
                "shape",
                format!("({l}, {v}, {f}) is not that of the sensors and features"),
                "delete the file",
            ));
        }
        Ok(Self {
            info,
            sensors,
            features,
            values,
            observed,
            time: None,
            positions: None,
            graph: None,
            sources: Vec::new(),
        })
    }

    /// Values and where they were observed, as they lie in memory.
    pub(crate) fn stored_cells(&self) -> (&Cells<f32>, Option<&Cells<u8>>) {
        (&self.values, self.observed.as_ref())
    }

    /// The same series at these times. Steps are sorted, dropped or inserted as far as `policy`
    /// allows; inserted ones are not observed, and have the graph of the step before.
    ///
    /// `step` is what should lie between two steps; `None`: what lies between most of them.
    ///
    /// # Errors
    /// [`Error::Config`] when there is not one stamp for each step, and as [`TimeAxis::arrange`].
    pub fn with_time(
        mut self,
        stamps: &[i64],
        step: Option<Step>,
        policy: TimePolicy,
    ) -> Result<(Self, TimeReport)> {
        if stamps.len() != self.len() {
            return Err(Error::config(
                format!("data set {}", self.info.name),
                format!("has {} time stamps for {} steps", stamps.len(), self.len()),
                "give one time stamp for each step",
            ));
        }
        let arranged = TimeAxis::arrange(stamps, step, policy)?;
        if arranged.rows.iter().enumerate().any(|(i, r)| *r != Some(i))
            || arranged.rows.len() != stamps.len()
        {
            self = self.rearranged(&arranged.rows);
        }
        self.time = Some(arranged.axis);
        Ok((self, arranged.report))
    }

    /// Row `rows[t]` of the series at step `t`; `None` is a step without observations.
    fn rearranged(mut self, rows: &[Option<usize>]) -> Self {
        let (_, v, f) = self.values.dim();
        let mut values = Array3::zeros((rows.len(), v, f));
        let incomplete = self.observed.is_some() || rows.contains(&None);
        let mut observed = incomplete.then(|| Array3::from_elem((rows.len(), v, f), 0));
        for (t, row) in rows.iter().enumerate() {
            let Some(row) = *row else { continue };
            values
                .index_axis_mut(Axis(0), t)
                .assign(&self.values.view().index_axis(Axis(0), row));
            if let Some(observed) = &mut observed {
                let mut seen = observed.index_axis_mut(Axis(0), t);
                match &self.observed {
                    Some(old) => seen.assign(&old.view().index_axis(Axis(0), row)),
                    None => seen.fill(1),
                }
            }
        }
        if let Some(SeriesGraph::PerStep(graphs)) = &mut self.graph {
            let mut last = 0;
            *graphs = rows
                .iter()
                .filter_map(|row| {
                    last = row.unwrap_or(last);
                    graphs.get(last).cloned()
                })
                .collect();
        }
        Self {
            values: Cells::new(values),
            observed: observed.map(Cells::new),
            ..self
        }
    }

    /// The same series with positions of its sensors.
    ///
    /// # Errors
    /// [`Error::Config`] when there is not one finite pair for each sensor, or an angle is out of
    /// range.
    pub fn with_positions(mut self, positions: Positions) -> Result<Self> {
        let table = positions.table();
        let wrong = |problem: String| {
            Error::config(
                format!("data set {}, positions", self.info.name),
                problem,
                "give two finite numbers for each sensor; degrees as latitude, longitude",
            )
        };
        if table.dim() != (self.sensors.len(), 2) {
            return Err(wrong(format!(
                "have shape {:?} for {} sensors",
                table.shape(),
                self.sensors.len()
            )));
        }
        for (sensor, p) in self.sensors.iter().zip(table.outer_iter()) {
            let sound = match &positions {
                Positions::LatLon(_) => p[0].abs() <= 90.0 && p[1].abs() <= 360.0,
                Positions::Metres(_) => p[0].is_finite() && p[1].is_finite(),
            };
            if !sound {
                return Err(wrong(format!("sensor {sensor} is at ({}, {})", p[0], p[1])));
            }
        }
        self.positions = Some(positions);
        Ok(self)
    }

    /// The same series with the graph that came with it.
    ///
    /// # Errors
    /// [`Error::Config`] when it has other nodes than there are sensors, or a sequence has not one
    /// graph for each step.
    pub fn with_graph(mut self, graph: SeriesGraph) -> Result<Self> {
        let wrong = |problem: String, remedy: &str| {
            Error::config(
                format!("data set {}, graph", self.info.name),
                problem,
                remedy,
            )
        };
        let graphs = match &graph {
            SeriesGraph::Static(one) => std::slice::from_ref(one),
            SeriesGraph::PerStep(many) => {
                let l = self.len();
                if many.len() != l {
                    return Err(wrong(
                        format!("has {} graphs for {l} steps", many.len()),
                        "give one graph for each step, or one for all",
                    ));
                }
                many.as_slice()
            }
        };
        if let Some(other) = graphs.iter().find(|g| g.n_nodes() != self.sensors.len()) {
            return Err(wrong(
                format!(
                    "has {} nodes for {} sensors",
                    other.n_nodes(),
                    self.sensors.len()
                ),
                "give a graph over exactly the sensors of the series",
            ));
        }
        self.graph = Some(graph);
        Ok(self)
    }

    /// The same series with other values, (time, nodes, features); those not observed stay 0.
    ///
    /// # Errors
    /// [`Error::Config`] when the shape is another, or an observed value is not finite.
    pub fn with_values(self, mut values: Array3<f32>) -> Result<Self> {
        if values.dim() != self.dim() {
            return Err(Error::config(
                format!("data set {}", self.info.name),
                format!("has shape {:?}, not {:?}", self.dim(), values.dim()),
                "give one value for each there is",
            ));
        }
        for ((t, v, f), value) in values.indexed_iter_mut() {
            if !self.is_observed(t, v, f) {
                *value = 0.0;
            } else if !value.is_finite() {
                return Err(Error::config(
                    format!("data set {}", self.info.name),
                    format!("[{t}, {v}, {f}] would be {value}"),
                    "give finite values",
                ));
            }
        }
        Ok(Self {
            values: Cells::new(values),
            ..self
        })
    }

    /// Values, (time, nodes, features), in the unit of the file; finite, and 0 where not observed.
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.values.view()
    }

    /// 1 where observed, else 0, (time, nodes, features); `None` when nothing is missing.
    pub fn observed(&self) -> Option<ArrayView3<'_, u8>> {
        self.observed.as_ref().map(Cells::view)
    }

    /// (time, nodes, features).
    pub fn dim(&self) -> (usize, usize, usize) {
        self.values.dim()
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.dim().0
    }

    /// Never true: [`Series::new`] refuses a series without steps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the value of a step, node and feature was measured.
    pub fn is_observed(&self, step: usize, node: usize, feature: usize) -> bool {
        self.observed
            .as_ref()
            .is_none_or(|o| o.at(step, node, feature) != 0)
    }

    /// The value of a step, node and feature; 0 if it was not observed.
    ///
    /// # Panics
    /// Outside the series.
    pub fn value(&self, step: usize, node: usize, feature: usize) -> f32 {
        self.values.at(step, node, feature)
    }

    /// Index of a feature.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn feature(&self, name: &str) -> Result<usize> {
        self.features
            .iter()
            .position(|f| f.name == name)
            .ok_or_else(|| {
                let known: Vec<&str> = self.features.iter().map(|f| f.name.as_str()).collect();
                Error::unknown("feature", name, &known)
            })
    }

    /// Index of a sensor.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn sensor(&self, name: &str) -> Result<usize> {
        self.sensors.iter().position(|s| s == name).ok_or_else(|| {
            let known: Vec<&str> = self.sensors.iter().map(String::as_str).collect();
            Error::unknown("sensor", name, &known)
        })
    }

    /// The series as a [`Recording`], (nodes, time, features), for filters and spectra. A step of a
    /// node counts as observed when all its features are.
    pub fn to_recording(&self) -> Recording {
        let signal = self.values.view().permuted_axes([1, 0, 2]);
        let mask = self.observed.as_ref().map(|o| {
            o.view()
                .map_axis(Axis(2), |lane| lane.iter().all(|seen| *seen != 0))
                .reversed_axes()
                .as_standard_layout()
                .into_owned()
        });
        Recording {
            name: self.info.name.clone(),
            signal: signal.as_standard_layout().into_owned(),
            mask,
            sampling_rate: self.time.as_ref().and_then(|t| t.step().rate()),
            labels: Labels::None,
            subject: None,
            session: None,
            part: None,
        }
    }
}

fn unique<'a>(set: &str, what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|w| w[0] == w[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::config(
            format!("data set {set}"),
            format!("the {what} {:?} occurs more than once", pair[0]),
            format!("give every {what} its own name"),
        )),
    }
}
