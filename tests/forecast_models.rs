//! Every forecaster against the formulas of `tests/fixtures/make_forecasters.py`, in float64 there.

#![cfg(feature = "flex")]

mod common;

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Fixture, load};
use serde_json::{Value, json};
use tgmamba::forecast::data::{Input, Sizes};
use tgmamba::forecast::graph::GivenGraph;
use tgmamba::forecast::{ForecastConfig, Forecaster};
use tgmamba::models::ModelConfig;

struct Case {
    fixture: Fixture,
    sizes: Sizes,
    config: ForecastConfig,
    model: ModelConfig,
}

impl Case {
    fn new(fixture: Fixture) -> Self {
        let c = &fixture.config;
        let number = |name: &str| c[name].as_u64().unwrap() as usize;
        let config = json!({
            "model": c["model"], "history": 6, "horizon": c["horizon"], "report": [1],
            "targets": ["y"], "adaptive": c["adaptive"], "adaptive_dim": c["adaptive_dim"],
            "node_embedding": c["node_embedding"], "time_embedding": c["time_embedding"],
            "bidirectional": c["bidirectional"], "head": c["head"],
            "readout_layers": c["readout_layers"], "per_node": c["per_node"],
            "anchor": false,
        });
        let mut model = json!({"dropout": 0.0});
        for name in [
            "d_model",
            "n_layers",
            "d_state",
            "expand",
            "d_conv",
            "dt_rank",
            "conv_type",
        ] {
            model[name] = c[name].clone();
        }
        let sizes = Sizes {
            nodes: 3,
            features: number("features"),
            clock: number("clock"),
            slots: number("slots"),
            weekdays: number("weekdays"),
            history: 6,
            horizon: number("horizon"),
            targets: 1,
            outputs: number("outputs"),
            graph: c["graph"] == Value::Bool(true),
            masked: false,
        };
        Self {
            config: serde_json::from_value(config).unwrap(),
            model: serde_json::from_value(model).unwrap(),
            sizes,
            fixture,
        }
    }

    fn forecaster(&self, device: &Device) -> Forecaster {
        let forecaster = Forecaster::new(&self.config, &self.model, self.sizes, device).unwrap();
        let params = self.fixture.under("param.");
        let named = params.into_iter().map(|(n, p)| (format!("network.{n}"), p));
        load(forecaster, &named.collect())
    }

    fn input(&self, device: &Device) -> Input {
        let f = &self.fixture;
        let index = |name: &str| {
            let values: Vec<i32> = f.integers[name].iter().map(|v| *v as i32).collect();
            let n = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [n]), device)
        };
        Input {
            x: f.tensor("in.x", device),
            clock: Some(f.tensor("in.clock", device)),
            slot: index("in.slot"),
            weekday: index("in.weekday"),
            last: f.tensor("in.last", device),
            graph: f
                .has("in.graph")
                .then(|| GivenGraph::Dense(f.adjacency("in.graph", device))),
        }
    }
}

#[test]
fn forecasts_and_gradients() {
    let device = Device::flex().autodiff();
    for fixture in Fixture::all("forecast") {
        let case = Case::new(fixture);
        let forecaster = case.forecaster(&device);
        let y = forecaster.forward(case.input(&device));
        let [b, v, h, o] = y.dims();
        let y: Tensor<3> = y.reshape([b, v, h * o]);
        case.fixture.check("out.y", y.clone());
        let cotangent: Tensor<3> = case.fixture.tensor("in.cotangent", &device);
        let grads = (y * cotangent).sum().backward();
        let found = common::gradients(forecaster, &grads);
        let expected = case.fixture.under("grad.param.");
        assert!(!expected.is_empty());
        for (name, expected) in expected {
            let found = &found[&format!("network.{name}")].values;
            let what = format!("{} grad {name}", case.fixture.name);
            common::assert_close(&what, found, &expected.values, common::GRADIENT_TOLERANCE);
        }
    }
}

/// With an anchor an untrained network forecasts the last value, whichever it is.
#[test]
fn training_starts_from_the_last_value() {
    let device = Device::flex();
    for fixture in Fixture::all("forecast") {
        let mut case = Case::new(fixture);
        case.config.anchor = true;
        let forecaster = Forecaster::new(&case.config, &case.model, case.sizes, &device).unwrap();
        let input = case.input(&device);
        let last: Vec<f32> = input.last.clone().into_data().iter::<f32>().collect();
        let y = forecaster.forward(input);
        let [_, _, h, q] = y.dims();
        let y: Vec<f32> = y.into_data().iter::<f32>().collect();
        for (i, value) in y.iter().enumerate() {
            assert_eq!(*value, last[i / (h * q)], "{}", case.fixture.name);
        }
    }
}

/// Forecasts do not depend on what else is in the batch.
#[test]
fn windows_are_independent() {
    let device = Device::flex();
    for fixture in Fixture::all("forecast") {
        let case = Case::new(fixture);
        let forecaster = case.forecaster(&device);
        let all = case.input(&device);
        let whole: Vec<f32> = forecaster
            .forward(all.clone())
            .into_data()
            .iter::<f32>()
            .collect();
        let second = Input {
            x: all.x.narrow(0, 1, 1),
            clock: all.clock.map(|c| c.narrow(0, 1, 1)),
            slot: all.slot.narrow(0, 1, 1),
            weekday: all.weekday.narrow(0, 1, 1),
            last: all.last.narrow(0, 1, 1),
            graph: all.graph.map(|g| match g {
                GivenGraph::Dense(g) if g.dims()[0] > 1 => GivenGraph::Dense(g.narrow(0, 1, 1)),
                same => same,
            }),
        };
        let alone: Vec<f32> = forecaster
            .forward(second)
            .into_data()
            .iter::<f32>()
            .collect();
        let half = whole.len() / 2;
        common::assert_close(&case.fixture.name, &alone, &whole[half..], 1e-6);
    }
}
