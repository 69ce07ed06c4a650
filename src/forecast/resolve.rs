//! The configuration of a forecasting run: from defaults, data set, file and flags to what is stored.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tgmamba_graph::Series;
use tgmamba_graph::cache::CacheOptions;
use tgmamba_graph::datasets::{
    self, DatasetConfig, SeriesSet, has_stamps, load_series_with, series_names,
};
use tgmamba_graph::split::Fold;

use super::config::{ForecastConfig, GraphUse};
use super::data::{self, ForecastData};
use super::graph::kept_sparse;
use super::model::ForecasterKind;
use crate::error::{Error, Result};
use crate::models::ModelConfig;
use crate::nn::ConvType;
use crate::run::config::{RunConfig, merge, set};
use crate::run::presets;

/// What a run learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Classes of windows.
    Classification,
    /// The next steps of a series.
    Forecast,
}

/// The task of a configuration: what is asked for, else what the data set is for.
///
/// # Errors
/// A data set that is for the other task, or settings of it.
pub fn task_of(user: &Value, asked: Option<Task>) -> Result<Task> {
    let name = user.pointer("/dataset/name").and_then(Value::as_str);
    let found = name
        .map(|name| task_of_dataset(name, user))
        .transpose()?
        .flatten();
    let section = user.get("forecast").is_some();
    match (asked, found) {
        (Some(Task::Forecast), Some(Task::Classification)) => Err(Error::config(
            "--task",
            format!("{} has windows with classes", name.unwrap_or_default()),
            format!("forecast one of {}", series_names().join(", ")),
        )),
        (Some(Task::Classification), Some(Task::Forecast)) => Err(Error::config(
            "--task",
            format!("{} is a series without classes", name.unwrap_or_default()),
            format!("classify one of {}", datasets::names().join(", ")),
        )),
        (Some(task), _) => Ok(task),
        (None, Some(Task::Classification)) if section => Err(Error::config(
            "forecast",
            format!("{} is classified, not forecast", name.unwrap_or_default()),
            "leave the settings of forecasts out, or choose a series",
        )),
        (None, Some(task)) => Ok(task),
        (None, None) if section => Ok(Task::Forecast),
        (None, None) => Ok(Task::Classification),
    }
}

/// The task that a data set is for; `None` for a folder that is not there.
fn task_of_dataset(name: &str, user: &Value) -> Result<Option<Task>> {
    let hyphens = name.replace('_', "-").to_lowercase();
    if series_names().contains(&hyphens.as_str()) {
        return Ok(Some(Task::Forecast));
    }
    if datasets::names().contains(&hyphens.as_str()) {
        return Ok(Some(Task::Classification));
    }
    // A folder of one's own says what it is for.
    let below = user.pointer("/dataset/data_dir").and_then(Value::as_str);
    let folders = [Some(Path::new("")), below.map(Path::new)];
    let mut folders = folders.into_iter().flatten().map(|root| root.join(name));
    match folders.find(|f| f.exists()) {
        Some(folder) => {
            let text = std::fs::read_to_string(folder.join("dataset.toml")).unwrap_or_default();
            let table = toml::from_str::<toml::Table>(&text).unwrap_or_default();
            Ok(Some(match table.contains_key("forecast") {
                true => Task::Forecast,
                false => Task::Classification,
            }))
        }
        // Whoever looks for the folder says what is wrong with it.
        None if name.contains(['/', '\\', '.']) => Ok(None),
        None => {
            let known = [datasets::names(), series_names()].concat();
            Err(Error::unknown("data set", name, &known))
        }
    }
}

/// Settings that say something about windows with classes only, and what forecasts have instead.
const OTHER_TASK: [(&str, &str); 20] = [
    (
        "split",
        "for forecasts see the section forecast: --history, --horizon, --set forecast.split=...",
    ),
    ("node_features", "sensors have learned embeddings"),
    ("graph/threshold", USE_EDGES),
    ("graph/k", USE_EDGES),
    ("dataset/subjects", USE_TABLE),
    ("dataset/channels", USE_TABLE),
    ("dataset/accept", USE_TABLE),
    ("dataset/split_file", USE_TABLE),
    (
        "dataset/features",
        "use --targets, --covariates and --transform",
    ),
    ("dataset/window", "use --history and --horizon"),
    ("model/residual", FIXED),
    ("model/prenorm", FIXED),
    ("model/pass_edges_to_next_layer", FIXED),
    ("model/gconv_after_all_layers", FIXED),
    ("model/seq_pool_type", "use --head"),
    ("model/vertex_pool_type", FIXED),
    ("training/label_smoothing", FIXED),
    ("training/class_weights", FIXED),
    ("training/sampling", FIXED),
    (
        "training/metric",
        "the smallest MAE of the validation part chooses",
    ),
];
const USE_EDGES: &str =
    "the graph is that of the data: --graph given, undirected, reversed or none";
const USE_TABLE: &str = "give a folder with the table you want";
const FIXED: &str = "leave it out: forecasters have no such choice";

/// A forecasting run that is ready to train.
pub struct Resolved {
    /// Everything that decides it.
    pub config: RunConfig,
    /// The series.
    pub series: Arc<Series>,
    /// First steps of the windows that train, choose and test.
    pub folds: Vec<Fold>,
}

/// Fills in what was left open: preset of the data set, then its protocol. Loads the series.
///
/// # Errors
/// Unknown or contradictory fields, and everything that loading the series can find.
pub fn resolve(user: Value, cache: &CacheOptions) -> Result<Resolved> {
    let name = user.pointer("/dataset/name").and_then(Value::as_str);
    let name = name.unwrap_or(presets::DEFAULT_SERIES);
    let hyphens = name.replace('_', "-").to_lowercase();
    let known = series_names().iter().find(|n| **n == hyphens);
    let name = known.map_or(name, |n| n).to_string();
    for (setting, remedy) in OTHER_TASK {
        if user.pointer(&format!("/{setting}")).is_some() {
            let setting = setting.replace('/', ".");
            let problem = "is a setting of classification";
            return Err(Error::config(setting, problem, remedy));
        }
    }
    let mut user = user;
    move_shared(&mut user);
    let mut value = presets::base();
    merge(&mut value, presets::of_forecast());
    merge(&mut value, presets::of(&name));
    let kind = user.pointer("/forecast/model").cloned();
    if let Some(kind) = kind.as_ref().and_then(Value::as_str) {
        merge(&mut value, presets::of_forecaster(kind));
    }
    if let Some(split) = user.pointer_mut("/forecast/split") {
        // One split is not a change to another.
        let split = split.take();
        set(&mut value, "forecast.split", split);
    }
    merge(&mut value, user);
    if value
        .pointer("/dataset/clock")
        .is_some_and(|c| !c.is_null())
        && !has_stamps(&name)
    {
        let problem = format!("the files of {name} have no time stamps");
        return Err(Error::config("dataset.clock", problem, "leave it out"));
    }
    set(&mut value, "dataset.name", json!(name));
    let SeriesSet {
        series, protocol, ..
    } = load_series_with(&dataset(&value)?.series(), cache)?;
    let forecast: ForecastConfig =
        serde_json::from_value(value["forecast"].take()).map_err(|e| {
            Error::config(
                "[forecast]",
                e.to_string(),
                "see --help and the README for the settings",
            )
        })?;
    let forecast = forecast.filled(&protocol);
    forecast.validate()?;
    value["forecast"] = serde_json::to_value(&forecast)
        .map_err(|e| Error::config("forecast", e.to_string(), "report this as a defect"))?;
    let config = RunConfig::from_value(value)
        .map_err(|e| Error::config("configuration", e, "see --help for the settings"))?;
    let mut config = RunConfig {
        model: config.model.resolved(),
        ..config
    };
    config.training.validate()?;
    config.model.validate_blocks()?;
    if config.seeds == 0 {
        return Err(Error::config("seeds", "is 0", "give at least 1"));
    }
    let forecast = ForecastConfig {
        sparse: Some(kept_sparse(&series, &forecast, &config.model)?),
        ..forecast
    };
    edges_to_learn(&series, &forecast, &config.model)?;
    let series = Arc::new(series);
    let folds = folds(&config, series.len())?;
    if let Some(fold) = folds.first() {
        // What the data decide, and whatever is wrong with them, is known before there is a run.
        let data = ForecastData::new(Arc::clone(&series), fold.clone(), &forecast)?;
        let sizes = data.sizes();
        config.model = ModelConfig {
            input_dim: sizes.features,
            num_vertices: sizes.nodes,
            ..config.model
        };
        config.forecast = Some(ForecastConfig {
            calendar: Some(data.calendar.features().to_vec()),
            masked: Some(sizes.masked),
            ..forecast
        });
    }
    Ok(Resolved {
        config,
        series,
        folds,
    })
}

/// The section of the data.
fn dataset(value: &Value) -> Result<DatasetConfig> {
    serde_json::from_value(value["dataset"].clone())
        .map_err(|e| Error::config("[dataset]", e.to_string(), "see --help for the settings"))
}

/// Refuses an edge learner that finds no use.
fn edges_to_learn(series: &Series, forecast: &ForecastConfig, model: &ModelConfig) -> Result<()> {
    let learner = model.block().edge_learner;
    let (problem, remedy) = if !learner.is_active() {
        return Ok(());
    } else if forecast.model != ForecasterKind::TgMamba {
        ("is a part of tgmamba", "use --model tgmamba")
    } else if model.conv_type == ConvType::None {
        (
            "learns edges that no convolution uses",
            "choose a --conv-type",
        )
    } else {
        let given = series.graph.is_some() && forecast.graph != GraphUse::None;
        let others = learner.attention || learner.node_embedding_dim > 0;
        if given || forecast.adaptive || others {
            return Ok(());
        }
        (
            "changes edges where there are none",
            "use a graph, --adaptive-graph or --edge-learner-attention",
        )
    };
    Err(Error::config("the edge learner", problem, remedy))
}

/// Flags that both tasks have stand where classification has them.
fn move_shared(user: &mut Value) {
    if let Some(kind) = user.pointer_mut("/graph/kind").map(Value::take) {
        set(user, "forecast.graph", kind);
    }
    if let Some(scale) = user.get_mut("scale").map(Value::take) {
        set(user, "forecast.scaling", scale);
    }
    if let Some(object) = user.as_object_mut() {
        object.remove("graph");
        object.remove("scale");
    }
}

/// The forecast section.
///
/// # Errors
/// A configuration of another task.
pub fn section(config: &RunConfig) -> Result<&ForecastConfig> {
    config.forecast.as_ref().ok_or_else(|| {
        Error::config(
            "forecast",
            "the run is one of classification",
            "give a run of a forecast",
        )
    })
}

/// The folds of a run over a series of `steps` steps.
///
/// # Errors
/// As [`data::folds`].
pub fn folds(config: &RunConfig, steps: usize) -> Result<Vec<Fold>> {
    let forecast = section(config)?;
    let split = forecast.split.ok_or_else(|| {
        Error::config(
            "forecast.split",
            "is not there",
            "use the config.json that train wrote",
        )
    })?;
    data::folds(forecast, split, steps)
}

/// Reads the series of a run again.
///
/// # Errors
/// As [`load_series_with`].
pub fn load(config: &RunConfig, cache: &CacheOptions) -> Result<Arc<Series>> {
    let set = load_series_with(&config.dataset.series(), cache)?;
    Ok(Arc::new(set.series))
}
