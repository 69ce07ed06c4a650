//! Windows, folds, naive forecasts and bad input, on small series whose numbers can be seen.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use ndarray::Array3;
use serde_json::json;
use tgmamba_graph::Series;
use tgmamba_graph::datasets::SeriesSet;
use tgmamba_graph::series::{
    Feature, ForecastProtocol, ForecastSplit, Scaling, SeriesGraph, Step, TimeAxis, TimeReport,
};
use tgmamba_graph::split::Fold;
use tgmamba_graph::topology::CsrGraph;

use super::calendar::CalendarFeature;
use super::config::{ForecastConfig, GraphUse};
use super::data::{ForecastData, folds};
use super::graph::{GivenGraph, kept_sparse};
use super::metrics::Errors;
use super::model::ForecasterKind;
use super::naive::Naive;
use super::objective::{Forecasting, Piece, initial_forecaster};
use super::resolve::{Task, task_of};
use crate::models::ModelConfig;
use crate::nn::{ConvType, StateMixing};
use crate::training::config::TrainingConfig;
use crate::training::trainer::Objective;

const HOUR: i64 = 3600;

/// Two sensors, two features: y = 10 t + v, z = -y.
fn set(steps: usize, change: impl Fn(usize, usize) -> Option<f32>) -> SeriesSet {
    let values = Array3::from_shape_fn((steps, 2, 2), |(t, v, f)| {
        let y = change(t, v).unwrap_or((10 * t + v) as f32);
        if f == 0 { y } else { -y }
    });
    let features = vec![Feature::new("y", "km"), Feature::new("z", "")];
    let names = vec!["a".to_string(), "b".to_string()];
    let mut series = Series::new(Default::default(), names, features, values).unwrap();
    series.time = Some(TimeAxis::regular(0, Step::Seconds(HOUR), steps).unwrap());
    let graph = CsrGraph::from_edges(2, &[(0, 1, 2.0)]).unwrap();
    SeriesSet {
        series: series.with_graph(SeriesGraph::fixed(graph)).unwrap(),
        protocol: ForecastProtocol {
            history: 3,
            horizon: 2,
            report: vec![1, 2],
            targets: vec!["y".into()],
            split: split(false),
            scaling: Scaling::None,
            source: String::new(),
        },
        clock: TimeReport::default(),
    }
}

fn split(drop_last: bool) -> ForecastSplit {
    ForecastSplit::Steps {
        train: 0.6,
        test: 0.2,
        drop_last,
    }
}

fn data(
    set: &SeriesSet,
    change: impl Fn(&mut ForecastConfig),
) -> crate::error::Result<ForecastData> {
    let mut config = ForecastConfig::default();
    change(&mut config);
    let config = config.filled(&set.protocol);
    let folds = folds(&config, config.split.unwrap(), set.series.len())?;
    ForecastData::new(Arc::new(set.series.clone()), folds[0].clone(), &config)
}

/// One block of width 4.
fn small() -> ModelConfig {
    serde_json::from_value(json!({"d_model": 4, "n_layers": 1})).unwrap()
}

#[test]
fn windows_hold_history_and_horizon() {
    let set = set(40, |_, _| None);
    let data = data(&set, |c| {
        c.covariates = vec!["all".into()];
        c.calendar = Some(vec![CalendarFeature::TimeOfDay, CalendarFeature::DayOfWeek]);
    })
    .unwrap();
    let batch = data.gather(&[4, 7]);
    // (b, v, l, f): window 4, sensor 1: 41, 51, 61, and z beside.
    assert_eq!(batch.x[6..12], [41.0, -41.0, 51.0, -51.0, 61.0, -61.0]);
    assert_eq!(batch.last, [60.0, 61.0, 90.0, 91.0]);
    // (b, v, h): window 7 forecasts steps 10 and 11.
    assert_eq!(batch.y[4..], [100.0, 110.0, 101.0, 111.0]);
    assert!(batch.mask.iter().all(|m| *m == 1.0));
    // 1970-01-01 04:00, a Thursday; the last step in is 06:00.
    assert_eq!(batch.clock[..2], [4.0 / 24.0, 3.0 / 7.0]);
    assert_eq!((batch.slot[0], batch.weekday[0]), (6, 3));
}

#[test]
fn what_is_missing_is_told_and_not_counted() {
    let set = set(40, |t, v| {
        ((t, v) == (6, 0) || (t, v) == (8, 1)).then_some(f32::NAN)
    });
    let data = data(&set, |_| ()).unwrap();
    let batch = data.gather(&[4]);
    // y and whether it was observed: the last value of sensor a is the one before the gap.
    assert_eq!(batch.x[..6], [40.0, 1.0, 50.0, 1.0, 0.0, 0.0]);
    assert_eq!(batch.last, [50.0, 61.0]);
    assert_eq!(batch.y, [70.0, 80.0, 71.0, 0.0]);
    assert_eq!(batch.mask, [1.0, 1.0, 1.0, 0.0]);
    // Past the end of the series nothing is observed.
    assert_eq!(data.gather(&[36]).mask, [1.0, 0.0, 1.0, 0.0]);
}

/// What a model was trained to be told stays so when the series grows a gap.
#[test]
fn the_mask_is_that_of_training() {
    let whole = set(40, |_, _| None);
    let gap = set(40, |t, v| ((t, v) == (39, 0)).then_some(f32::NAN));
    let features =
        |set: &SeriesSet, masked| data(set, |c| c.masked = masked).unwrap().sizes().features;
    assert_eq!((features(&whole, None), features(&gap, None)), (1, 2));
    assert_eq!(
        (features(&whole, Some(true)), features(&gap, Some(false))),
        (2, 1)
    );
}

#[test]
fn every_target_is_seen_in_every_part() {
    let mut set = set(40, |_, _| None);
    let mut values = set.series.values().to_owned();
    values.slice_mut(ndarray::s![32.., .., 1]).fill(f32::NAN);
    let Series {
        info,
        sensors,
        features,
        ..
    } = set.series;
    set.series = Series::new(info, sensors, features, values).unwrap();
    let message = data(&set, |c| c.targets = vec!["y".into(), "z".into()]).unwrap_err();
    assert!(message.to_string().contains("feature z"), "{message}");
}

#[test]
fn graphs_are_used_as_asked() {
    let set = set(40, |_, _| None);
    let device = Device::flex();
    for (using, expected) in [
        (GraphUse::Given, Some([0.0, 0.0, 2.0, 0.0])),
        (GraphUse::Undirected, Some([0.0, 2.0, 2.0, 0.0])),
        (GraphUse::Reversed, Some([0.0, 2.0, 0.0, 0.0])),
        (GraphUse::None, None),
    ] {
        let data = data(&set, |c| c.graph = using).unwrap();
        let graph = data
            .dense_graph(&device)
            .map(|g| g.into_data().iter::<f32>().collect());
        assert_eq!(graph, expected.map(|g: [f32; 4]| g.to_vec()), "{using:?}");
    }
    let mut none = set;
    none.series.graph = None;
    assert!(data(&none, |_| ()).is_ok());
    let message = data(&none, |c| c.graph = GraphUse::Undirected).unwrap_err();
    assert!(message.to_string().contains("without a graph"), "{message}");
}

/// A chain of sensors with a hub, given as edges only, gives what the dense matrix gives.
#[test]
fn a_sparse_graph_forecasts_what_the_dense_one_does() {
    let v = 9;
    let mut edges: Vec<(usize, usize, f32)> =
        (1..v).map(|i| (i - 1, i, 0.3 + i as f32 / 7.0)).collect();
    edges.extend((2..v).map(|i| (i, 0, 1.5)));
    let graph = CsrGraph::from_edges(v, &edges).unwrap();
    let values = Array3::from_shape_fn((40, v, 1), |(t, v, _)| ((t * 7 + v * 5) % 11) as f32);
    let names = (0..v).map(|i| i.to_string()).collect();
    let features = vec![Feature::new("y", "km")];
    let series = Series::new(Default::default(), names, features, values).unwrap();
    let set = SeriesSet {
        series: series.with_graph(SeriesGraph::fixed(graph)).unwrap(),
        ..set(40, |_, _| None)
    };
    let device = Device::flex();
    for conv_type in [ConvType::GraphConv, ConvType::GcnConv, ConvType::ChebConv] {
        for state_mixing in [StateMixing::Bounded, StateMixing::Reference] {
            let model = ModelConfig {
                conv_type,
                state_mixing,
                dropout: 0.0,
                ..small()
            };
            let device = device.clone().autodiff();
            let with = |sparse: bool| {
                let change = |c: &mut ForecastConfig| {
                    c.adaptive = false;
                    c.anchor = false;
                    c.sparse = Some(sparse);
                };
                data(&set, change).unwrap()
            };
            // Neighbours count for nothing in a block that has learned nothing.
            let forecaster = initial_forecaster(&with(false), &model, 3, &device).unwrap();
            let forecaster = forecaster.map(&mut Shift);
            let forecasts = |sparse: bool| -> (Vec<f32>, Vec<f32>) {
                let data = with(sparse);
                let given = data.fixed_graph(&model, &device).unwrap();
                assert_eq!(matches!(given, Some(GivenGraph::Sparse(_))), sparse);
                // What the report draws.
                let drawn = data.adjacency().unwrap();
                assert_eq!(drawn, with(false).adjacency().unwrap());
                assert_eq!(drawn[v], 0.3 + 1.0 / 7.0);
                let batch = data.gather(&[0, 5, 9]);
                let mut input = data.input(batch, given.as_ref(), &device);
                let x = input.x.require_grad();
                input.x = x.clone();
                let y = forecaster.forward(input);
                let grads = y.clone().square().sum().backward();
                let dx = x.grad(&grads).unwrap();
                (
                    y.into_data().iter::<f32>().collect(),
                    dx.into_data().iter::<f32>().collect(),
                )
            };
            let (dense, sparse) = (forecasts(false), forecasts(true));
            for (dense, sparse) in [(dense.0, sparse.0), (dense.1, sparse.1)] {
                assert!(dense.iter().any(|y| y.abs() > 1e-3));
                for (d, s) in dense.iter().zip(&sparse) {
                    assert!(
                        (d - s).abs() < 1e-4 * d.abs().max(1.0),
                        "{conv_type:?}: {d} {s}"
                    );
                }
            }
        }
    }
}

/// Adds the same number to every parameter.
struct Shift;

impl ModuleMapper for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|x| (x + 0.05).detach().require_grad())
    }
}

/// `v` sensors in a ring, each with `degree` neighbours.
#[test]
fn larger_graphs_of_few_edges_are_kept_sparse() {
    let kept = |v: usize, degree: usize| {
        let edges = (0..v).flat_map(|i| (1..=degree).map(move |k| (i, (i + k) % v, 1.0)));
        let graph = CsrGraph::from_edges(v, &edges.collect::<Vec<_>>()).unwrap();
        let names = (0..v).map(|i| i.to_string()).collect();
        let values = Array3::zeros((5, v, 1));
        let features = vec![Feature::new("y", "km")];
        let series = Series::new(Default::default(), names, features, values).unwrap();
        let series = series.with_graph(SeriesGraph::fixed(graph)).unwrap();
        let config = ForecastConfig {
            adaptive: false,
            ..ForecastConfig::default()
        };
        kept_sparse(&series, &config, &small()).unwrap()
    };
    assert!(!kept(64, 1));
    assert!(kept(65, 16));
    assert!(!kept(65, 17));
    assert!(!kept(1000, 251));
    assert!(kept(1001, 251));
}

#[test]
fn what_cannot_be_sparse_is_refused() {
    let set = set(40, |_, _| None);
    let mut moving = set.series.clone();
    let graph = Arc::new(CsrGraph::from_edges(2, &[(1, 0, 1.0)]).unwrap());
    moving.graph = Some(SeriesGraph::PerStep(vec![graph; 40]));
    let still = &set.series;
    let fits = ForecastConfig {
        adaptive: false,
        sparse: Some(true),
        ..ForecastConfig::default()
    };
    assert!(kept_sparse(still, &fits, &small()).unwrap());
    type Change = fn(&mut ForecastConfig, &mut ModelConfig);
    let nothing: Change = |_, _| ();
    let cases: [(&Series, Change, &str); 7] = [
        (still, |c, _| c.adaptive = true, "all edges"),
        (still, |_, m| m.edge_learner_attention = true, "all edges"),
        (
            still,
            |c, _| c.model = ForecasterKind::GraphWavenet,
            "tgmamba alone",
        ),
        (
            still,
            |_, m| m.conv_type = ConvType::GatV2Conv,
            "no sparse matrix",
        ),
        (
            still,
            |_, m| m.conv_type = ConvType::None,
            "no sparse matrix",
        ),
        (still, |c, _| c.graph = GraphUse::None, "no graph"),
        (&moving, nothing, "every step"),
    ];
    for (series, change, expected) in cases {
        let (mut config, mut model) = (fits.clone(), small());
        change(&mut config, &mut model);
        let message = kept_sparse(series, &config, &model)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("forecast.sparse") && message.contains(expected),
            "{message}"
        );
        // Where nobody asked, the graph is kept as a matrix.
        config.sparse = None;
        assert!(!kept_sparse(series, &config, &model).unwrap());
    }
    let data = data(&set, |c| (c.sparse, c.adaptive) = (Some(true), false)).unwrap();
    let model = ModelConfig {
        conv_type: ConvType::GatV2Conv,
        ..small()
    };
    let message = data.fixed_graph(&model, &Device::flex()).unwrap_err();
    assert!(
        message.to_string().contains("no sparse matrix"),
        "{message}"
    );
}

#[test]
fn graphs_may_change_with_every_step() {
    let mut set = set(40, |_, _| None);
    let graph = |t: usize| Arc::new(CsrGraph::from_edges(2, &[(1, 0, t as f32 + 1.0)]).unwrap());
    set.series.graph = Some(SeriesGraph::PerStep((0..40).map(graph).collect()));
    let data = data(&set, |_| ()).unwrap();
    let batch = data.gather(&[4, 7]);
    // Entry [0, 1] of the graph of step 4 + 2 is 7.
    let graph = batch.graph.unwrap();
    assert_eq!(graph[8..12], [0.0, 7.0, 0.0, 0.0]);
    assert_eq!(graph.len(), 2 * 3 * 4);
}

#[test]
fn rolling_origins_see_the_past_alone() {
    let config = ForecastConfig {
        history: 3,
        horizon: 2,
        origins: 3,
        report: vec![2],
        ..ForecastConfig::default()
    };
    let folds = folds(&config, split(false), 100).unwrap();
    let whole: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
    assert_eq!(whole, split(false).starts(100, 3, 2).unwrap().test);
    for fold in &folds {
        let first_forecast = fold.test[0] + 3;
        for start in fold.train.iter().chain(&fold.validation) {
            assert!(start + 5 <= first_forecast, "{}", fold.name);
        }
        // Nothing that could be known is left out.
        assert_eq!(fold.validation.last().unwrap() + 5, first_forecast);
        assert!(!fold.train.is_empty());
    }
    // As many as asked for, of sizes that differ by one window at most.
    for origins in 1..=16 {
        let config = ForecastConfig {
            origins,
            ..config.clone()
        };
        let folds = super::data::folds(&config, split(false), 100).unwrap();
        let sizes: Vec<usize> = folds.iter().map(|f| f.test.len()).collect();
        assert_eq!(sizes.len(), origins);
        assert!(
            sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1,
            "{sizes:?}"
        );
    }
    let many = ForecastConfig {
        origins: 50,
        ..config
    };
    let message = super::data::folds(&many, split(false), 100)
        .unwrap_err()
        .to_string();
    assert!(message.contains("50 origins"), "{message}");
}

fn forecast(set: &SeriesSet, kind: ForecasterKind, season: usize, start: usize) -> Vec<f64> {
    let data = data(set, |c| {
        c.model = kind;
        c.season = season;
    })
    .unwrap();
    Naive::new(kind, &data).forecast(&[start])
}

#[test]
fn naive_forecasts_by_hand() {
    let set = set(40, |_, _| None);
    let last = forecast(&set, ForecasterKind::LastValue, 0, 20);
    assert_eq!(last, [220.0, 220.0, 221.0, 221.0]);
    // Steps 23 and 24, five before: 18 and 19; one before, and so two before the second: 22.
    let seasonal = forecast(&set, ForecasterKind::SeasonalNaive, 5, 20);
    assert_eq!(seasonal, [180.0, 190.0, 181.0, 191.0]);
    assert_eq!(
        forecast(&set, ForecasterKind::SeasonalNaive, 1, 20)[..2],
        [220.0, 220.0]
    );
    // Training covers steps 0 to 23; places 23 % 12 = 11 and 0: means of 11, 23 and of 0, 12.
    let mean = forecast(&set, ForecasterKind::HistoricalAverage, 12, 20);
    assert_eq!(mean[..2], [170.0, 60.0]);
}

#[test]
fn naive_forecasts_look_past_gaps() {
    let set = set(40, |t, v| {
        let gap = v == 0 && (t == 18 || (20..=22).contains(&t));
        gap.then_some(f32::NAN)
    });
    let seasonal = forecast(&set, ForecasterKind::SeasonalNaive, 5, 20);
    assert_eq!(seasonal[..2], [130.0, 190.0], "18 is missing, 13 is not");
    // Nothing in the history: the training mean of the scale, which is zero without scaling.
    let last = forecast(&set, ForecasterKind::LastValue, 0, 20);
    assert_eq!(last, [0.0, 0.0, 221.0, 221.0]);
}

/// With windows cut for each horizon, as T-GCN does, shorter horizons have one window more for each
/// step they are shorter.
#[test]
fn horizons_may_have_windows_of_their_own() {
    let set = set(100, |_, _| None);
    let with = |drop_last| {
        let data = data(&set, |c| c.split = Some(split(drop_last))).unwrap();
        data.test_windows().unwrap()
    };
    // Test steps 80 to 99: 20 - 5 + 1 windows, and of T-GCN 20 - 3 - 1 and 20 - 3 - 2.
    let one = with(false);
    assert_eq!((one.len(), one[0]), (16, (80, 1)));
    let own = with(true);
    assert_eq!((own.len(), own[0], own[15]), (16, (80, 1), (95, 0)));
}

#[test]
fn errors_count_the_horizon_inside_the_series() {
    let set = set(40, |_, _| None);
    let data = data(&set, |_| ()).unwrap();
    let mut errors = Errors::new(1, 1, 2, 2);
    // The last window inside, and one whose second step is past the end; zeros forecast.
    let piece = Piece {
        starts: vec![35, 36],
        values: vec![0.0; 8],
    };
    piece.count(&data, &mut errors, |_| 0, None);
    assert_eq!((errors.at(0, 1).n, errors.at(0, 2).n), (4, 2));
    assert_eq!(errors.node(0, 0).mae, Some((380.0 + 390.0 + 390.0) / 3.0));
}

#[test]
fn a_curriculum_lengthens_the_horizon() {
    let set = set(60, |_, _| None);
    let data = data(&set, |c| {
        c.curriculum_epochs = 4;
        c.adaptive = false;
        c.scaling = Some(Scaling::Zscore);
    })
    .unwrap();
    let model = small();
    let training = TrainingConfig::default();
    let device = Device::flex();
    let objective = Forecasting::new(&data, &model, &training, 0, &device).unwrap();
    let forecaster = objective.init(&device.clone().autodiff()).unwrap();
    let loss = |epoch| {
        let batch = data.gather(&[0, 1]);
        let placed = objective
            .feed(batch, epoch)
            .place(&device.clone().autodiff());
        objective.loss(&forecaster, placed).into_scalar::<f32>()
    };
    // An untrained network forecasts the last value: off by 10 one step ahead, by 20 two.
    let unit = data.scaler.forward(10.0, 0, 0) - data.scaler.forward(0.0, 0, 0);
    assert!((loss(0) / unit - 1.0).abs() < 1e-5);
    assert!((loss(4) / unit - 1.5).abs() < 1e-5);
}

#[test]
fn batches_are_a_function_of_seed_epoch_and_place() {
    let set = set(100, |_, _| None);
    let data = data(&set, |_| ()).unwrap();
    let model: ModelConfig = serde_json::from_value(json!({})).unwrap();
    let training = TrainingConfig::default();
    let starts = |seed, epoch, first| -> Vec<Vec<usize>> {
        let objective = Forecasting::new(&data, &model, &training, seed, &Device::flex()).unwrap();
        objective.stream(epoch, first).map(|b| b.starts).collect()
    };
    let whole = starts(1, 0, 0);
    assert_eq!(starts(1, 0, 2), whole[2..]);
    assert_ne!(starts(1, 1, 0), whole);
    assert_ne!(starts(2, 0, 0), whole);
    let mut all = whole.concat();
    all.sort_unstable();
    assert_eq!(all, data.fold.train);
}

#[test]
fn bad_series_are_refused_or_survived() {
    // A horizon longer than the data.
    let long = data(&set(40, |_, _| None), |c| c.horizon = 100).unwrap_err();
    assert!(long.to_string().contains("more than the 40"), "{long}");
    // A mask of everything.
    let nothing = data(&set(40, |_, _| Some(f32::NAN)), |_| ()).unwrap_err();
    assert!(nothing.to_string().contains("never observed"), "{nothing}");
    // A mask of the whole test part.
    let untested = set(40, |t, _| (t >= 32).then_some(f32::NAN));
    let message = data(&untested, |_| ()).unwrap_err().to_string();
    assert!(message.contains("test part"), "{message}");
    // One sensor that is never observed, and one that never changes.
    let dead = set(40, |_, v| Some(if v == 0 { f32::NAN } else { 5.0 }));
    for scaling in [Scaling::Zscore, Scaling::ZscoreNode, Scaling::Max] {
        let data = data(&dead, |c| c.scaling = Some(scaling)).unwrap();
        assert_eq!(data.scaler.unseen(), [0]);
        let batch = data.gather(&data.fold.train.clone());
        assert!(batch.x.iter().chain(&batch.y).all(|x| x.is_finite()));
        let naive = Naive::new(ForecasterKind::LastValue, &data);
        assert!(naive.forecast(&[0]).iter().all(|x| x.is_finite()));
    }
    // Names that are not there.
    let set = set(40, |_, _| None);
    for (change, expected) in [
        (
            (|c| c.targets = vec!["yy".into()]) as fn(&mut ForecastConfig),
            "unknown feature",
        ),
        (|c| c.covariates = vec!["w".into()], "unknown feature"),
        (|c| c.targets = vec!["y".into(), "y".into()], "named twice"),
    ] {
        let message = data(&set, change).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn several_targets_keep_their_order() {
    let set = set(40, |_, _| None);
    let data = data(&set, |c| c.targets = vec!["z".into(), "y".into()]).unwrap();
    let batch = data.gather(&[4]);
    // (v, h, k): sensor 0, steps 7 and 8.
    assert_eq!(batch.y[..4], [-70.0, 70.0, -80.0, 80.0]);
    assert_eq!(batch.last, [-60.0, 60.0, -61.0, 61.0]);
}

#[test]
fn the_data_set_decides_the_task() {
    let named = |name: &str| json!({"dataset": {"name": name}});
    let task = |user: &serde_json::Value, asked| task_of(user, asked);
    assert_eq!(task(&json!({}), None).unwrap(), Task::Classification);
    assert_eq!(
        task(&json!({}), Some(Task::Forecast)).unwrap(),
        Task::Forecast
    );
    for name in ["los-loop", "los_loop", "us-income"] {
        assert_eq!(task(&named(name), None).unwrap(), Task::Forecast);
    }
    assert_eq!(
        task(&named("basic-motions"), None).unwrap(),
        Task::Classification
    );
    assert!(task(&named("basic-motions"), Some(Task::Forecast)).is_err());
    assert!(task(&named("los-loop"), Some(Task::Classification)).is_err());
    let both = json!({"dataset": {"name": "basic-motions"}, "forecast": {"horizon": 3}});
    assert!(task(&both, None).is_err());
    let only = json!({"forecast": {"horizon": 3}});
    assert_eq!(task(&only, None).unwrap(), Task::Forecast);
}

#[test]
fn a_fold_without_validation_takes_the_last_epoch() {
    let set = set(40, |_, _| None);
    let config = ForecastConfig::default().filled(&set.protocol);
    let fold = Fold {
        name: "holdout".into(),
        train: (0..20).collect(),
        validation: vec![],
        test: vec![30],
    };
    let data = ForecastData::new(Arc::new(set.series), fold, &config).unwrap();
    let model: ModelConfig = serde_json::from_value(json!({})).unwrap();
    let training = TrainingConfig::default();
    let objective = Forecasting::new(&data, &model, &training, 0, &Device::flex()).unwrap();
    assert!(!objective.validates());
}
