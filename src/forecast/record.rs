//! What the report says about a forecast.

use serde_json::json;
use tgmamba_graph::series::{ForecastSplit, Positions, Series, SeriesGraph};
use tgmamba_graph::topology::layout_2d;

use super::evaluation::{ForecastEvaluation, PartResult, named};
use crate::error::Result;
use crate::report::{
    Estimate, FoldRecord, ForecastExcerpt, ForecastLine, ForecastRecord, GraphFigure, RunRecord,
    Section, SensorError, StepError, TestRecord, loader_share,
};
use crate::run::RunFolder;
use crate::training::data::host;
use crate::training::trainer::{last_checkpoint, metrics_table};
use crate::training::{checkpoint, history};

/// Steps of the test part that are shown against the truth.
const SHOWN_STEPS: usize = 288;
/// Graphs of more sensors are not drawn.
const MOST_DRAWN: usize = 400;

fn fact(name: &str, value: impl ToString) -> (String, String) {
    (name.to_string(), value.to_string())
}

/// Which windows train, choose and test, in words.
fn split_text(split: ForecastSplit) -> String {
    let percent = |share: f64| format!("{} %", (share * 1000.0).round() / 10.0);
    let shares = |of: &str, train: f64, test: f64| {
        format!(
            "in order of time, {} of the {of} train, the last {} test, those between validate",
            percent(train),
            percent(test)
        )
    };
    match split {
        ForecastSplit::Windows { train, test } | ForecastSplit::WindowsFloor { train, test } => {
            shares("windows", train, test)
        }
        ForecastSplit::WindowsRest { train, validation } => {
            shares("windows", train, 1.0 - train - validation)
        }
        ForecastSplit::Steps { train, test, .. } => shares("steps", train, test),
        ForecastSplit::Days {
            train,
            validation,
            test,
            ..
        } => format!("whole days: {train} train, {validation} validate, {test} test"),
    }
}

impl ForecastEvaluation {
    /// Everything the report shows; figures are those of the first part.
    ///
    /// # Errors
    /// As reading the run's files.
    pub fn record(&self, folder: &RunFolder) -> Result<RunRecord> {
        let several = self.parts.len() > 1;
        let mut folds = Vec::with_capacity(self.parts.len());
        for result in &self.parts {
            let place = folder.part(&result.part, self.parts.len());
            let trained = !result.data.config.model.is_naive();
            folds.push(FoldRecord {
                name: result.part.label(),
                samples: result.scores.windows,
                best_epoch: match trained {
                    true => checkpoint::best_epoch(&last_checkpoint(place.path()))?,
                    false => None,
                },
                metrics: named(&result.scores),
                epochs: match trained {
                    true => history::read(&metrics_table(place.path()))?,
                    false => vec![],
                },
            });
        }
        let first = &self.parts[0];
        let all: Vec<_> = folds.iter().flat_map(|f| f.epochs.clone()).collect();
        Ok(RunRecord {
            title: folder.name(),
            sections: self.sections(first, loader_share(&all)),
            command: self
                .config
                .provenance
                .as_ref()
                .map(|p| p.command.clone())
                .unwrap_or_default(),
            config: self.config.stored()?,
            metric: "mae".into(),
            epochs: folds[0].epochs.clone(),
            best_epoch: folds[0].best_epoch,
            test: Some(first.test_record()),
            graphs: first.graphs()?,
            forecast: Some(first.forecast_record()),
            folds: if several { folds } else { vec![] },
        })
    }

    fn sections(&self, first: &PartResult, share: Option<f64>) -> Vec<Section> {
        let data = &first.data;
        let config = &data.config;
        let info = &data.series.info;
        let (l, v, _) = data.series.dim();
        let step = data.series.time.as_ref().map(|t| t.step().to_string());
        let mut facts = vec![
            fact("name", &info.name),
            fact("title", &info.title),
            fact("steps", l),
            fact("step", step.unwrap_or_else(|| "not known".into())),
            fact("sensors", v),
            fact("licence", &info.licence),
            fact("citation", &info.citation),
        ];
        facts.retain(|(_, value)| !value.is_empty());
        let fold = &data.fold;
        let graph = match &data.series.graph {
            None => "none came with the data".to_string(),
            Some(SeriesGraph::Static(g)) => format!(
                "{}, {} edges, {}",
                json!(config.graph).as_str().unwrap_or_default(),
                g.n_edges(),
                if g.is_symmetric() {
                    "undirected"
                } else {
                    "directed"
                }
            ),
            Some(SeriesGraph::PerStep(_)) => "one for each step".into(),
        };
        let protocol = vec![
            fact("history", format!("{} steps", config.history)),
            fact("horizon", format!("{} steps", config.horizon)),
            fact("split", config.split.map(split_text).unwrap_or_default()),
            fact("parts (folds × seeds)", self.parts.len()),
            fact(
                "train / validation / test windows",
                format!(
                    "{} / {} / {}",
                    fold.train.len(),
                    fold.validation.len(),
                    fold.test.len()
                ),
            ),
            fact(
                "scale, from the training part",
                json!(config.scaling).as_str().unwrap_or_default(),
            ),
            fact(
                "selection",
                "smallest MAE on the validation part; the test part is used once, after training",
            ),
            fact(
                "errors",
                "over all test windows, sensors and observed values, in raw units",
            ),
            fact("graph", graph),
        ];
        let parameters = self.config.provenance.as_ref().and_then(|p| p.parameters);
        let model = vec![
            fact("forecaster", config.model),
            fact("layers", self.config.model.n_layers),
            fact("width", self.config.model.d_model),
            fact("learned graph", config.adaptive),
            fact("difference from the last value", config.anchor),
            fact(
                "parameters",
                parameters.map(|p| p.to_string()).unwrap_or_default(),
            ),
        ];
        let mut environment = vec![
            fact("seed", self.config.seed),
            fact("device", &self.config.device),
        ];
        if let Some(p) = &self.config.provenance {
            environment.push(fact("version of tgmamba", &p.version));
            environment.push(fact("started", &p.started));
        }
        if let Some(share) = share {
            environment.push(fact(
                "waiting for data",
                format!("{:.1} % of the time of training", share * 100.0),
            ));
        }
        [
            ("Data set", facts),
            ("Protocol", protocol),
            ("Model", model),
            ("Environment", environment),
        ]
        .into_iter()
        .map(|(heading, facts)| Section {
            heading: heading.into(),
            facts,
        })
        .collect()
    }
}

impl PartResult {
    fn test_record(&self) -> TestRecord {
        let pooled = &self.scores.targets[0].pooled;
        let quantiles = self.scores.quantiles.as_ref();
        let all = [
            ("mae", pooled.mae),
            ("rmse", pooled.rmse),
            ("mape", pooled.mape),
            ("crps", quantiles.and_then(|q| q.crps)),
            ("coverage", quantiles.and_then(|q| q.coverage)),
        ];
        let metrics = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), Estimate::of(value?))));
        TestRecord {
            samples: self.scores.windows,
            unit: "windows".into(),
            metrics: metrics.collect(),
            ..TestRecord::default()
        }
    }

    fn forecast_record(&self) -> ForecastRecord {
        let target = &self.scores.targets[0];
        let data = &self.data;
        let layout = layout(&data.series);
        let sensors = data
            .series
            .sensors
            .iter()
            .enumerate()
            .map(|(v, name)| SensorError {
                name: name.clone(),
                place: layout.get(v).copied().unwrap_or([f64::NAN; 2]),
                mae: self.errors.node(0, v).mae,
            });
        let nan = |x: Option<f64>| x.unwrap_or(f64::NAN);
        ForecastRecord {
            quantity: match target.unit.as_str() {
                "" => target.target.clone(),
                unit => format!("{}, {unit}", target.target),
            },
            unit: target.unit.clone(),
            clock: data.series.time.is_some(),
            tables: self
                .scores
                .targets
                .iter()
                .map(|t| (t.target.clone(), t.table(&self.scores.report)))
                .collect(),
            steps: (1..=data.config.horizon)
                .map(|step| StepError {
                    step,
                    mae: nan(target.at[step - 1].mae),
                    rmse: nan(target.at[step - 1].rmse),
                })
                .collect(),
            sensors: sensors.collect(),
            excerpts: self.excerpts(),
        }
    }

    /// An easy, a usual and a hard sensor: at 10, 50 and 90 % of the sensors in order of their MAE.
    fn excerpts(&self) -> Vec<ForecastExcerpt> {
        if self.forecasts.is_empty() {
            return vec![];
        }
        let mut order: Vec<(f64, usize)> = (0..self.data.nodes())
            .filter_map(|v| Some((self.errors.node(0, v).mae?, v)))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut picked: Vec<(f64, usize)> = [0.1, 0.5, 0.9]
            .iter()
            .filter_map(|share| order.get((order.len() as f64 * share) as usize).copied())
            .collect();
        picked.dedup();
        picked
            .into_iter()
            .map(|(mae, v)| self.excerpt(v, mae))
            .collect()
    }

    fn excerpt(&self, node: usize, mae: f64) -> ForecastExcerpt {
        let data = &self.data;
        let config = &data.config;
        let (l, q) = (config.history, config.outputs());
        let shown = self.windows.len().min(SHOWN_STEPS);
        let x = |step: usize| data.calendar.stamp(step).map_or(step as f64, |s| s as f64);
        let mut ahead = vec![config.report[0], *config.report.last().unwrap_or(&1)];
        ahead.dedup();
        let of = |i: usize, step: usize| self.forecast(i, node, step - 1, 0);
        let line = |step: &usize| ForecastLine {
            label: match step {
                1 => "forecast 1 step before".into(),
                n => format!("forecast {n} steps before"),
            },
            points: (0..shown)
                .map(|i| {
                    let at = self.windows[i].0 + l + step - 1;
                    (x(at), of(i, *step)[config.median()])
                })
                .collect(),
        };
        let first = self.windows[0].0 + l;
        let end = (self.windows[shown - 1].0 + l + config.horizon).min(data.series.len());
        let last = ahead[ahead.len() - 1];
        ForecastExcerpt {
            sensor: data.series.sensors[node].clone(),
            mae,
            observed: (first..end)
                .map(|t| (x(t), data.target_at(t, node, 0).map_or(f64::NAN, f64::from)))
                .collect(),
            band: match q {
                1 => vec![],
                _ => (0..shown)
                    .map(|i| {
                        let values = of(i, last);
                        (
                            x(self.windows[i].0 + l + last - 1),
                            values[0],
                            values[q - 1],
                        )
                    })
                    .collect(),
            },
            lines: ahead.iter().map(line).collect(),
        }
    }

    /// The given graph and the learned one.
    fn graphs(&self) -> Result<Vec<GraphFigure>> {
        let v = self.data.nodes();
        if v > MOST_DRAWN {
            return Ok(vec![]);
        }
        let layout = layout(&self.data.series);
        let figure = |name: &str, weights: Vec<f32>| GraphFigure {
            name: name.into(),
            nodes: self.data.series.sensors.clone(),
            layout: layout.clone(),
            adjacency: weights.chunks(v).map(<[f32]>::to_vec).collect(),
            head: false,
        };
        let mut figures = Vec::new();
        if let Some(given) = self.data.adjacency() {
            figures.push(figure("given", given));
        }
        if let Some(learned) = self.model.as_ref().and_then(|m| m.learned_graph()) {
            figures.push(figure("learned", host(learned)?));
        }
        Ok(figures)
    }
}

/// Places of the sensors in the unit square, north up; from the graph where positions are not known,
/// empty where there is neither.
fn layout(series: &Series) -> Vec<[f64; 2]> {
    if let Some(positions) = &series.positions {
        let table = positions.table();
        let points: Vec<[f64; 2]> = match positions {
            // A degree of longitude is shorter by the cosine of the latitude.
            Positions::LatLon(_) => {
                let middle = table.column(0).mean().unwrap_or(0.0).to_radians().cos();
                table
                    .rows()
                    .into_iter()
                    .map(|p| [p[1] * middle, p[0]])
                    .collect()
            }
            Positions::Metres(_) => table.rows().into_iter().map(|p| [p[0], p[1]]).collect(),
        };
        return into_square(points);
    }
    let Some(graph) = series.graph.as_ref().and_then(|g| g.at(0)) else {
        return vec![];
    };
    if graph.n_nodes() > MOST_DRAWN {
        return vec![];
    }
    graph
        .to_sensor_graph(&series.sensors)
        .map_or(vec![], |g| layout_2d(&g))
}

fn into_square(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    let range = |k: usize| {
        points
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| {
                (low.min(p[k]), high.max(p[k]))
            })
    };
    let (x, y) = (range(0), range(1));
    let side = (x.1 - x.0).max(y.1 - y.0).max(1e-12);
    let place = |value: f64, (low, high): (f64, f64)| 0.5 + (value - (low + high) / 2.0) / side;
    points
        .iter()
        .map(|p| [place(p[0], x), place(p[1], y)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_the_square_and_keep_their_shape() {
        let square = into_square(vec![[10.0, 0.0], [30.0, 0.0], [20.0, 10.0]]);
        assert_eq!(square, [[0.0, 0.25], [1.0, 0.25], [0.5, 0.75]]);
        assert_eq!(into_square(vec![[5.0, 5.0]]), [[0.5, 0.5]]);
    }
}
