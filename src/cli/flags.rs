//! Flags that stand for fields of the configuration: `--d-model 64` is `model.d_model = 64`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use tgmamba_graph::datasets::{self, Accept};

use crate::error::{Error, Result};
use crate::forecast::ForecasterKind;
use crate::forecast::losses::LossKind;
use crate::forecast::resolve;
use crate::models::{DtRank, SeqPool, VertexPool};
use crate::nn::{ConvType, StateMixing};
use crate::run::config::{Precision, not_finite, set};
use crate::training::config::{ClassWeights, OptimizerKind, ScheduleKind};

/// A field of the configuration and the value a flag gives it.
type Override = (&'static str, Option<Value>);

/// Data, parts and graph.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct DataFlags {
    /// Data set: a name such as basic-motions, ssvep-exo or los-loop (data list has all), or a folder
    /// with a dataset.toml [default: basic-motions, or us-income for --task forecast]
    #[arg(long, value_name = "NAME|FOLDER")]
    pub dataset: Option<String>,
    /// Folder that holds data sets which are not shipped
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only these subjects
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    subjects: Option<Vec<String>>,
    /// Only these channels, in this order [default: those of the data set]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// What to learn: forecast, or what is told apart where a set has two tasks, detection or
    /// classification [default: what the data set is for]
    #[arg(long, value_name = "TASK")]
    task: Option<Asked>,
    /// A table of the parts of files or subjects, where a set can be given one; a path relative to
    /// the folder of the data set
    #[arg(long, value_name = "FILE.csv")]
    split_file: Option<PathBuf>,
    /// Faults of the files to accept instead of refusing them, as their messages name them:
    /// missing-channels, unlabelled, missing-sessions, shared-subjects, mixed-rates, breaks,
    /// incomplete
    #[arg(long, value_name = "FAULT,...", value_delimiter = ',')]
    accept: Option<Vec<Accept>>,
    /// Features: raw, log-spectrum, stft, filterbank, band-power, welch-power [default: what suits
    /// the data]; details with --set dataset.features.FIELD=VALUE
    #[arg(long, value_name = "KIND")]
    features: Option<String>,
    /// Length of a window, s [default: the whole recording]
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// From window to window, s [default: the length of the window]
    #[arg(long, value_name = "SECONDS")]
    stride: Option<f64>,
    /// Scale fitted on the training part: none, standard, standard-feature, min-max, robust; of
    /// forecasts none, zscore, zscore-node, max [default: standard; that of the protocol]
    #[arg(long, value_name = "METHOD")]
    scale: Option<String>,
    /// Features that tell sensors apart: none, position, identity, slots [default: none]
    #[arg(long, value_name = "KIND")]
    node_features: Option<String>,
    /// Graph: given, gaussian, knn, radius, correlation, complete or none [default: given if the
    /// data have one, else gaussian if positions are known, else correlation]; of forecasts given,
    /// undirected, reversed or none
    #[arg(long, value_name = "KIND")]
    graph: Option<String>,
    /// Smallest weight that makes an edge (gaussian, correlation)
    #[arg(long, value_name = "X")]
    graph_threshold: Option<f64>,
    /// Neighbours per sensor (knn)
    #[arg(long, value_name = "K")]
    graph_k: Option<usize>,
    /// Split: given, stratified, group-subject, group-session, chronological, within-subject
    /// [default: what suits the data set]
    #[arg(long, value_name = "METHOD")]
    split: Option<String>,
    /// Share of the rest that validates [default: 0.15]
    #[arg(long, value_name = "X")]
    validation_fraction: Option<f64>,
    /// Share that tests, without folds [default: 0.15]
    #[arg(long, value_name = "X")]
    test_fraction: Option<f64>,
    /// Cross-validate with k folds
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Seed of the split [default: 0]
    #[arg(long, value_name = "N")]
    split_seed: Option<u64>,
}

/// What is asked for with --task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Forecast,
    ToldApart(datasets::Task),
}

impl FromStr for Asked {
    type Err = tgmamba_graph::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if text == "forecast" {
            return Ok(Self::Forecast);
        }
        text.parse().map(Self::ToldApart).map_err(|_| {
            let known = ["detection", "classification", "forecast"];
            tgmamba_graph::Error::unknown("task", text, &known)
        })
    }
}

impl DataFlags {
    /// The task that is asked for.
    pub fn task(&self) -> Option<resolve::Task> {
        Some(match self.task? {
            Asked::Forecast => resolve::Task::Forecast,
            Asked::ToldApart(_) => resolve::Task::Classification,
        })
    }

    fn told_apart(&self) -> Option<datasets::Task> {
        match self.task? {
            Asked::Forecast => None,
            Asked::ToldApart(task) => Some(task),
        }
    }

    fn overrides(&self) -> Vec<Override> {
        vec![
            ("dataset.name", value(&self.dataset)),
            ("dataset.data_dir", value(&self.data_dir)),
            ("dataset.subjects", value(&self.subjects)),
            ("dataset.channels", value(&self.channels)),
            ("dataset.task", value(&self.told_apart())),
            ("dataset.split_file", value(&self.split_file)),
            ("dataset.accept", value(&self.accept)),
            ("dataset.features.kind", value(&self.features)),
            ("dataset.window.length", value(&self.window)),
            ("dataset.window.stride", value(&self.stride)),
            ("scale", value(&self.scale)),
            ("node_features", value(&self.node_features)),
            ("graph.kind", value(&self.graph)),
            ("graph.threshold", value(&self.graph_threshold)),
            ("graph.k", value(&self.graph_k)),
            ("split.method", value(&self.split)),
            (
                "split.validation_fraction",
                value(&self.validation_fraction),
            ),
            ("split.test_fraction", value(&self.test_fraction)),
            ("split.folds", value(&self.folds)),
            ("split.seed", value(&self.split_seed)),
        ]
    }
}

/// The forecast.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Forecast")]
pub struct ForecastFlags {
    /// Forecaster [default: tgmamba]
    #[arg(long, value_enum, value_name = "NAME")]
    model: Option<ForecasterKind>,
    /// Steps in [default: those of the data set's protocol]
    #[arg(long, value_name = "L")]
    history: Option<usize>,
    /// Steps out [default: those of the data set's protocol]
    #[arg(long, value_name = "H")]
    horizon: Option<usize>,
    /// Steps ahead to report [default: those of the data set's protocol]
    #[arg(long, value_name = "S,...", value_delimiter = ',')]
    report: Option<Vec<usize>>,
    /// Features to forecast [default: those of the data set's protocol]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    targets: Option<Vec<String>>,
    /// Further features that go in, or all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    covariates: Option<Vec<String>>,
    /// Times that go in: time-of-day, day-of-week, time-of-year [default: what suits the clock]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    calendar: Option<Vec<String>>,
    /// What values go through before they are scaled: none, log1p [default: none]
    #[arg(long, value_name = "KIND")]
    transform: Option<String>,
    /// Learn a graph beside the given one [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    adaptive_graph: Option<bool>,
    /// A second stack against time [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    bidirectional: Option<bool>,
    /// What the horizon is read from: last, all [default: last]
    #[arg(long, value_name = "STEPS")]
    head: Option<String>,
    /// Forecast the difference from the last value [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    anchor: Option<bool>,
    /// Weights of its own for each node, in --model linear [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    per_node: Option<bool>,
    /// Loss of a point forecast [default: mae]
    #[arg(long, value_enum, value_name = "KIND")]
    loss: Option<LossKind>,
    /// Quantiles to forecast, 0.5 among them [default: a point forecast]
    #[arg(long, value_name = "Q,...", value_delimiter = ',')]
    quantiles: Option<Vec<f64>>,
    /// Epochs over which the learned horizon grows [default: 0]
    #[arg(long, value_name = "N")]
    curriculum_epochs: Option<usize>,
    /// Steps of a season [default: what suits the clock]
    #[arg(long, value_name = "N")]
    season: Option<usize>,
    /// Rolling origins: train anew before each of n pieces of the test part [default: 1]
    #[arg(long, value_name = "N")]
    origins: Option<usize>,
}

impl ForecastFlags {
    fn overrides(&self) -> Vec<Override> {
        vec![
            ("forecast.model", value(&self.model)),
            ("forecast.history", value(&self.history)),
            ("forecast.horizon", value(&self.horizon)),
            ("forecast.report", value(&self.report)),
            ("forecast.targets", value(&self.targets)),
            ("forecast.covariates", value(&self.covariates)),
            ("forecast.calendar", value(&self.calendar)),
            ("forecast.transform", value(&self.transform)),
            ("forecast.adaptive", value(&self.adaptive_graph)),
            ("forecast.bidirectional", value(&self.bidirectional)),
            ("forecast.head", value(&self.head)),
            ("forecast.anchor", value(&self.anchor)),
            ("forecast.per_node", value(&self.per_node)),
            ("forecast.loss", value(&self.loss)),
            ("forecast.quantiles", value(&self.quantiles)),
            ("forecast.curriculum_epochs", value(&self.curriculum_epochs)),
            ("forecast.season", value(&self.season)),
            ("forecast.origins", value(&self.origins)),
        ]
    }
}

/// The model.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// Width of the residual stream [default: 32]
    #[arg(long, value_name = "M")]
    d_model: Option<usize>,
    /// TGMamba blocks [default: 2]
    #[arg(long, value_name = "N")]
    n_layers: Option<usize>,
    /// State per channel [default: 16]
    #[arg(long, value_name = "N")]
    d_state: Option<usize>,
    /// Width of the causal convolution [default: 4]
    #[arg(long, value_name = "K")]
    d_conv: Option<usize>,
    /// Inner channels per d_model [default: 2]
    #[arg(long, value_name = "N")]
    expand: Option<usize>,
    /// Rank of the step size: auto or a number [default: auto]
    #[arg(long, value_name = "R")]
    dt_rank: Option<DtRank>,
    /// Graph convolution [default: graphconv]
    #[arg(long, value_enum, value_name = "TYPE")]
    conv_type: Option<ConvType>,
    /// Bounded or free recurrence [default: bounded]
    #[arg(long, value_enum, value_name = "FORM")]
    state_mixing: Option<StateMixing>,
    /// Gated RMSNorm in the blocks [default: true]
    #[arg(long, value_name = "BOOL")]
    rmsnorm: Option<bool>,
    /// Residual connections [default: from two layers on]
    #[arg(long, value_name = "BOOL")]
    residual: Option<bool>,
    /// RMSNorm before the blocks [default: as residual]
    #[arg(long, value_name = "BOOL")]
    prenorm: Option<bool>,
    /// Dropout between blocks [default: 0.1]
    #[arg(long, value_name = "P")]
    dropout: Option<f64>,
    /// Learn edges by attention between sensors [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    edge_learner_attention: Option<bool>,
    /// Attention at every time step [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    attn_time_varying: Option<bool>,
    /// Attention below this is no edge [default: 0.1]
    #[arg(long, value_name = "X")]
    attn_threshold: Option<f64>,
    /// Softmax temperature of the attention [default: 0.01]
    #[arg(long, value_name = "X")]
    attn_softmax_temp: Option<f64>,
    /// Edge weights per time step [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    edge_learner_time_varying: Option<bool>,
    /// Initial share of the old weight in a time-varying edge [default: 0.25]
    #[arg(long, value_name = "X")]
    init_skip_param: Option<f64>,
    /// Width of learned node embeddings, 0 for none [default: 0]
    #[arg(long, value_name = "N")]
    node_embedding_dim: Option<usize>,
    /// Next block starts from the learned edges [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pass_edges_to_next_layer: Option<bool>,
    /// GraphConv after the last block [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    gconv_after_all_layers: Option<bool>,
    /// gatv2conv sees edge weights [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    gatv2_edge_weights: Option<bool>,
    /// Pooling over time [default: mean]
    #[arg(long, value_enum, value_name = "POOL")]
    seq_pool_type: Option<SeqPool>,
    /// Pooling over sensors [default: mean]
    #[arg(long, value_enum, value_name = "POOL")]
    vertex_pool_type: Option<VertexPool>,
}

impl ModelFlags {
    fn overrides(&self) -> Vec<Override> {
        vec![
            ("model.d_model", value(&self.d_model)),
            ("model.n_layers", value(&self.n_layers)),
            ("model.d_state", value(&self.d_state)),
            ("model.d_conv", value(&self.d_conv)),
            ("model.expand", value(&self.expand)),
            ("model.dt_rank", value(&self.dt_rank)),
            ("model.conv_type", value(&self.conv_type)),
            ("model.state_mixing", value(&self.state_mixing)),
            ("model.rmsnorm", value(&self.rmsnorm)),
            ("model.residual", value(&self.residual)),
            ("model.prenorm", value(&self.prenorm)),
            ("model.dropout", value(&self.dropout)),
            (
                "model.edge_learner_attention",
                value(&self.edge_learner_attention),
            ),
            ("model.attn_time_varying", value(&self.attn_time_varying)),
            ("model.attn_threshold", value(&self.attn_threshold)),
            ("model.attn_softmax_temp", value(&self.attn_softmax_temp)),
            (
                "model.edge_learner_time_varying",
                value(&self.edge_learner_time_varying),
            ),
            ("model.init_skip_param", value(&self.init_skip_param)),
            ("model.node_embedding_dim", value(&self.node_embedding_dim)),
            (
                "model.pass_edges_to_next_layer",
                value(&self.pass_edges_to_next_layer),
            ),
            (
                "model.gconv_after_all_layers",
                value(&self.gconv_after_all_layers),
            ),
            ("model.gatv2_edge_weights", value(&self.gatv2_edge_weights)),
            ("model.seq_pool_type", value(&self.seq_pool_type)),
            ("model.vertex_pool_type", value(&self.vertex_pool_type)),
        ]
    }
}

/// The training loop.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingFlags {
    /// Largest number of epochs [default: 50]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Windows per batch [default: 16]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Batches per optimiser step [default: 1]
    #[arg(long, value_name = "N")]
    accumulate: Option<usize>,
    /// Optimiser [default: adamw]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerKind>,
    /// Largest learning rate [default: 0.003]
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Weight decay [default: 0.02]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Course of the learning rate [default: cosine]
    #[arg(long, value_enum, value_name = "NAME")]
    schedule: Option<ScheduleKind>,
    /// Smallest learning rate as a share of the largest [default: 0.01]
    #[arg(long, value_name = "X")]
    min_lr_ratio: Option<f64>,
    /// Epochs of linear warm-up [default: 2]
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<f64>,
    /// Largest norm of the gradient, 0 for no limit [default: 1]
    #[arg(long, value_name = "X")]
    clip_norm: Option<f64>,
    /// Share of the target spread over all classes [default: 0]
    #[arg(long, value_name = "X")]
    label_smoothing: Option<f64>,
    /// Class weights in the loss [default: none]
    #[arg(long, value_enum, value_name = "KIND")]
    class_weights: Option<ClassWeights>,
    /// Draws: shuffle, sequential, class-balanced, inverse-frequency [default: shuffle]
    #[arg(long, value_name = "KIND")]
    sampling: Option<String>,
    /// Validation metric that picks the best epoch: accuracy, balanced-accuracy, macro-f1, recall,
    /// kappa, auroc, average-precision, loss [default: accuracy]
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Epochs without improvement before stopping, 0 to never stop early [default: 0]
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Steps between checkpoints inside an epoch, 0 for one per epoch [default: 0]
    #[arg(long, value_name = "N")]
    checkpoint_steps: Option<usize>,
}

impl TrainingFlags {
    fn overrides(&self) -> Vec<Override> {
        vec![
            ("training.epochs", value(&self.epochs)),
            ("training.batch_size", value(&self.batch_size)),
            ("training.accumulate", value(&self.accumulate)),
            ("training.optimizer", value(&self.optimizer)),
            ("training.lr", value(&self.lr)),
            ("training.weight_decay", value(&self.weight_decay)),
            ("training.schedule", value(&self.schedule)),
            ("training.min_lr_ratio", value(&self.min_lr_ratio)),
            ("training.warmup_epochs", value(&self.warmup_epochs)),
            ("training.clip_norm", value(&self.clip_norm)),
            ("training.label_smoothing", value(&self.label_smoothing)),
            ("training.class_weights", value(&self.class_weights)),
            ("training.sampling", value(&self.sampling)),
            ("training.metric", value(&self.metric)),
            ("training.patience", value(&self.patience)),
            ("training.checkpoint_steps", value(&self.checkpoint_steps)),
        ]
    }
}

/// The run as a whole.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Run")]
pub struct RunFlags {
    /// Seed of weights, order, dropout and augmentation [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Repeat with n seeds, seed, seed + 1, ... [default: 1]
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// cpu, cuda, cuda:N or wgpu [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Matrix products on a GPU: exact (f32 in full precision, the same bits in every run) or fast
    /// (TF32 tensor cores on NVIDIA GPUs, relative errors of about 1e-3) [default: exact]
    #[arg(
        long,
        value_enum,
        value_name = "PRECISION",
        hide_possible_values = true
    )]
    precision: Option<Precision>,
    /// Any field of the configuration, such as training.augment.noise=0.1; the value is TOML
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

/// All flags that change the configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFlags {
    #[command(flatten)]
    pub data: DataFlags,
    #[command(flatten)]
    pub forecast: ForecastFlags,
    #[command(flatten)]
    pub model: ModelFlags,
    #[command(flatten)]
    pub training: TrainingFlags,
    #[command(flatten)]
    pub run: RunFlags,
}

fn value<T: serde::Serialize>(flag: &Option<T>) -> Option<Value> {
    let value = flag.as_ref().and_then(|v| serde_json::to_value(v).ok())?;
    // JSON has no NaN and no infinity; as text they are refused where a number is wanted.
    Some(match value {
        Value::Null => json!("not a finite number"),
        value => value,
    })
}

impl ConfigFlags {
    /// The flags as a partial configuration.
    ///
    /// # Errors
    /// A `--set` without a field or with a value that is no TOML.
    pub fn to_value(&self) -> Result<Value> {
        let run = vec![
            ("seed", value(&self.run.seed)),
            ("seeds", value(&self.run.seeds)),
            ("device", value(&self.run.device)),
            ("precision", value(&self.run.precision)),
        ];
        let groups = [
            self.data.overrides(),
            self.forecast.overrides(),
            self.model.overrides(),
            self.training.overrides(),
            run,
        ];
        let mut config = json!({});
        for (path, given) in groups.into_iter().flatten() {
            if let Some(given) = given {
                set(&mut config, path, given);
            }
        }
        for setting in &self.run.set {
            let (path, given) = parse_setting(setting)?;
            set(&mut config, &path, given);
        }
        Ok(config)
    }

    /// Names of the flags that are set, other than the device.
    pub fn given(&self) -> Result<Vec<String>> {
        let mut config = self.to_value()?;
        if let Some(fields) = config.as_object_mut() {
            fields.remove("device");
        }
        let names = config.as_object().map(|o| o.keys().cloned().collect());
        Ok(names.unwrap_or_default())
    }
}

/// `a.b=VALUE`, where VALUE is TOML; a bare word counts as text.
fn parse_setting(setting: &str) -> Result<(String, Value)> {
    let wrong =
        |problem: String| Error::config("--set", problem, "write --set training.augment.noise=0.1");
    let (path, text) = setting
        .split_once('=')
        .ok_or_else(|| wrong(format!("\"{setting}\" has no =")))?;
    let path = path.trim();
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(wrong(format!("\"{setting}\" names no field")));
    }
    let table = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let given = match table {
        Ok(table) => {
            let given = serde_json::to_value(&table["value"]).map_err(|e| wrong(e.to_string()))?;
            if not_finite(&given, path).is_some() {
                return Err(wrong(format!("\"{setting}\" is not a finite number")));
            }
            given
        }
        Err(_)
            if text
                .chars()
                .all(|c| c.is_alphanumeric() || "-_./".contains(c)) =>
        {
            json!(text)
        }
        Err(e) => return Err(wrong(format!("{text}: {e}"))),
    };
    Ok((path.to_string(), given))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn settings_are_toml_or_words() {
        let parse = |s| parse_setting(s).unwrap();
        assert_eq!(parse("a.b=0.5"), ("a.b".into(), json!(0.5)));
        assert_eq!(parse("a=[1, 2]"), ("a".into(), json!([1, 2])));
        assert_eq!(parse("a=stft"), ("a".into(), json!("stft")));
        for wrong in ["a", "=1", "a..b=1", "a={"] {
            assert!(parse_setting(wrong).is_err(), "{wrong}");
        }
    }
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        flags: ConfigFlags,
    }

    #[test]
    fn data_sets_have_flags() {
        let parse = |args: &[&str]| Flags::try_parse_from([&["train"], args].concat());
        let args = "--dataset tusz --task classification --channels Fz,T3 --split-file parts.csv \
                    --accept missing-channels,breaks";
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(
            parse(&args).unwrap().flags.to_value().unwrap(),
            json!({"dataset": {
                "name": "tusz", "task": "classification", "channels": ["Fz", "T3"],
                "split_file": "parts.csv", "accept": ["missing-channels", "breaks"],
            }})
        );
        let message = |args: &[&str]| parse(args).map(|_| ()).unwrap_err().to_string();
        let text = message(&["--accept", "missing-chanels"]);
        assert!(text.contains("did you mean \"missing-channels\""), "{text}");
        assert!(message(&["--task", "both"]).contains("detection, classification"));
    }

    #[test]
    fn precision_is_a_flag() {
        let parse = |args: &[&str]| Flags::try_parse_from([&["train"], args].concat());
        let value = |args| parse(args).map(|f| f.flags.to_value().unwrap());
        assert_eq!(
            value(&["--precision", "fast"]).unwrap(),
            json!({"precision": "fast"})
        );
        assert_eq!(value(&[]).unwrap(), json!({}));
        let message = value(&["--precision", "half"]).unwrap_err().to_string();
        assert!(message.contains("exact, fast"), "{message}");
        let help = Flags::command().render_long_help().to_string();
        for words in ["--precision", "full precision", "TF32", "1e-3", "wgpu"] {
            assert!(help.contains(words), "{words} not in {help}");
        }
    }
}
