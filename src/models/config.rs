//! Configuration of the classifier: every field, its default and what it may be.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::{ConvType, EdgeLearnerConfig, Mixer, MixerKind, StateMixing, TgMambaConfig};

/// Rank of Δ: a number, or `"auto"` for ceil(d_model / 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtRank {
    #[default]
    Auto,
    Rank(usize),
}

impl Serialize for DtRank {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Rank(rank) => serializer.serialize_u64(*rank as u64),
        }
    }
}

impl<'de> Deserialize<'de> for DtRank {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(usize),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(rank) => Ok(Self::Rank(rank)),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl std::str::FromStr for DtRank {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::Rank)
            .map_err(|_| format!("\"{text}\" is neither \"auto\" nor a number"))
    }
}

/// How the time axis is pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SeqPool {
    Last,
    Mean,
    Max,
}

/// How the sensors are pooled, after time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum VertexPool {
    Mean,
    Max,
}

/// The whole classifier. Fields that a file leaves out take the defaults given here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Features per sensor and step, f; a run takes it from its data.
    #[serde(default)]
    pub input_dim: usize,
    /// Classes; 2 gives one logit, more give one logit each; a run takes it from its data.
    #[serde(default)]
    pub num_classes: usize,
    /// Sensors, v; a run takes it from its data.
    #[serde(default)]
    pub num_vertices: usize,
    /// Width of the residual stream, m. Default 32.
    #[serde(default = "default::d_model")]
    pub d_model: usize,
    /// What the blocks are: TGMamba, or Mamba or Mamba-2 for every sensor by itself. Default
    /// `"tgmamba"`.
    #[serde(default)]
    pub mixer: MixerKind,
    /// Number of blocks. Default 2.
    #[serde(default = "default::n_layers", alias = "num_tgmamba_layers")]
    pub n_layers: usize,
    /// State per channel, n. Default 16.
    #[serde(default = "default::d_state")]
    pub d_state: usize,
    /// Width of the causal convolution, k. Default 4.
    #[serde(default = "default::d_conv")]
    pub d_conv: usize,
    /// Inner channels per d_model. Default 2.
    #[serde(default = "default::expand")]
    pub expand: usize,
    /// Rank of Δ. Default `"auto"`.
    #[serde(default)]
    pub dt_rank: DtRank,
    /// Smallest initial Δ. Default 0.001.
    #[serde(default = "default::dt_min")]
    pub dt_min: f64,
    /// Largest initial Δ. Default 0.1.
    #[serde(default = "default::dt_max")]
    pub dt_max: f64,
    /// Graph convolution. Default `"graphconv"`.
    #[serde(default = "default::conv_type")]
    pub conv_type: ConvType,
    /// State mixing. Default `"bounded"`.
    #[serde(default = "default::state_mixing")]
    pub state_mixing: StateMixing,
    /// Gated RMSNorm in the blocks. Default true.
    #[serde(default = "default::yes")]
    pub rmsnorm: bool,
    /// Residual connections around the blocks. Default: from two layers on.
    #[serde(default)]
    pub residual: Option<bool>,
    /// Weightless RMSNorm before the blocks. Default: as `residual`.
    #[serde(default)]
    pub prenorm: Option<bool>,
    /// Dropout between blocks while training. Default 0.1.
    #[serde(default = "default::dropout")]
    pub dropout: f64,
    /// Learn edges by attention between sensors. Default false.
    #[serde(default)]
    pub edge_learner_attention: bool,
    /// Attention at every step instead of on the time mean. Default false.
    #[serde(default)]
    pub attn_time_varying: bool,
    /// Attention below this is no edge. Default 0.1.
    #[serde(default = "default::attn_threshold")]
    pub attn_threshold: f64,
    /// Softmax temperature of the attention. Default 0.01.
    #[serde(default = "default::attn_softmax_temp")]
    pub attn_softmax_temp: f64,
    /// Weights of existing edges per time step. Default false.
    #[serde(default)]
    pub edge_learner_time_varying: bool,
    /// Initial share of the old weight in a time-varying edge. Default 0.25.
    #[serde(default = "default::init_skip_param")]
    pub init_skip_param: f64,
    /// Width of learned node embeddings that add edges; 0 for none. Default 0.
    #[serde(default)]
    pub node_embedding_dim: usize,
    /// The next block starts from the learned edges. Default false.
    #[serde(default)]
    pub pass_edges_to_next_layer: bool,
    /// A GraphConv after the last block. Default false.
    #[serde(default)]
    pub gconv_after_all_layers: bool,
    /// Whether gatv2conv sees edge weights. Default false.
    #[serde(default)]
    pub gatv2_edge_weights: bool,
    /// Pooling over time. Default `"mean"`.
    #[serde(default = "default::seq_pool_type")]
    pub seq_pool_type: SeqPool,
    /// Pooling over sensors. Default `"mean"`.
    #[serde(default = "default::vertex_pool_type")]
    pub vertex_pool_type: VertexPool,
}

mod default {
    use super::*;

    pub fn d_model() -> usize {
        32
    }
    pub fn n_layers() -> usize {
        2
    }
    pub fn d_state() -> usize {
        16
    }
    pub fn d_conv() -> usize {
        4
    }
    pub fn expand() -> usize {
        2
    }
    pub fn dt_min() -> f64 {
        1e-3
    }
    pub fn dt_max() -> f64 {
        0.1
    }
    pub fn conv_type() -> ConvType {
        ConvType::GraphConv
    }
    pub fn state_mixing() -> StateMixing {
        StateMixing::Bounded
    }
    pub fn yes() -> bool {
        true
    }
    pub fn dropout() -> f64 {
        0.1
    }
    pub fn attn_threshold() -> f64 {
        0.1
    }
    pub fn attn_softmax_temp() -> f64 {
        0.01
    }
    pub fn init_skip_param() -> f64 {
        0.25
    }
    pub fn seq_pool_type() -> SeqPool {
        SeqPool::Mean
    }
    pub fn vertex_pool_type() -> VertexPool {
        VertexPool::Mean
    }
}

impl ModelConfig {
    /// The defaults for data of this shape.
    pub fn new(input_dim: usize, num_classes: usize, num_vertices: usize) -> Self {
        let fields = serde_json::json!({
            "input_dim": input_dim, "num_classes": num_classes, "num_vertices": num_vertices,
        });
        serde_json::from_value(fields).expect("the defaults are complete")
    }

    /// Inner channels, d.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Logits per sample: one for two classes.
    pub fn num_logits(&self) -> usize {
        if self.num_classes == 2 {
            1
        } else {
            self.num_classes
        }
    }

    /// Whether blocks are residual.
    pub fn is_residual(&self) -> bool {
        self.residual.unwrap_or(self.n_layers >= 2)
    }

    /// Whether blocks see a normalised input.
    pub fn is_prenorm(&self) -> bool {
        self.prenorm.unwrap_or(self.is_residual())
    }

    /// The same configuration with nothing left to defaults.
    pub fn resolved(mut self) -> Self {
        self.residual = Some(self.is_residual());
        self.prenorm = Some(self.is_prenorm());
        if self.dt_rank == DtRank::Auto {
            self.dt_rank = DtRank::Rank(self.block().dt_rank);
        }
        self
    }

    /// Refuses what cannot be built.
    ///
    /// # Errors
    /// Names the first field that is out of range or contradicts another.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("input_dim", self.input_dim),
            ("num_vertices", self.num_vertices),
        ] {
            if value == 0 {
                return Err(Error::config(field, "is 0", "give at least 1"));
            }
        }
        if self.num_classes < 2 {
            return Err(Error::config(
                "num_classes",
                format!("is {}", self.num_classes),
                "give at least 2",
            ));
        }
        self.validate_blocks()
    }

    /// Refuses blocks that cannot be built, whatever they are for.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn validate_blocks(&self) -> Result<()> {
        let positive = [
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("d_state", self.d_state),
            ("d_conv", self.d_conv),
            ("expand", self.expand),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::config(field, "is 0", "give at least 1"));
            }
        }
        if self.mixer != MixerKind::TgMamba {
            if self.d_conv == 1 {
                return Err(Error::config(
                    "d_conv",
                    "is 1, which a Mamba block has no use for",
                    "give at least 2",
                ));
            }
            if self.block().edge_learner.is_active() {
                return Err(Error::config(
                    "the edge learner",
                    "is a part of tgmamba",
                    "use --mixer tgmamba",
                ));
            }
        }
        if self.dt_rank == DtRank::Rank(0) {
            return Err(Error::config(
                "dt_rank",
                "is 0",
                "give at least 1, or \"auto\"",
            ));
        }
        let ordered = self.dt_min > 0.0 && self.dt_min <= self.dt_max && self.dt_max.is_finite();
        if !ordered {
            return Err(Error::config(
                "dt_min",
                format!(
                    "{}..{} is no range of positive numbers",
                    self.dt_min, self.dt_max
                ),
                "give 0 < dt_min ≤ dt_max",
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config(
                "dropout",
                format!("is {}", self.dropout),
                "give a number from 0 to below 1",
            ));
        }
        if !(self.attn_softmax_temp > 0.0 && self.attn_softmax_temp.is_finite()) {
            return Err(Error::config(
                "attn_softmax_temp",
                format!("is {}", self.attn_softmax_temp),
                "give a positive number",
            ));
        }
        if self.attn_time_varying && self.edge_learner_time_varying {
            return Err(Error::config(
                "attn_time_varying",
                "attention per step already gives every step its own edges",
                "switch off edge_learner_time_varying or attn_time_varying",
            ));
        }
        if self.attn_time_varying && !self.edge_learner_attention {
            return Err(Error::config(
                "attn_time_varying",
                "there is no attention to vary",
                "switch on edge_learner_attention",
            ));
        }
        if self.edge_learner_time_varying && self.d_inner() < 2 {
            return Err(Error::config(
                "edge_learner_time_varying",
                "the edge network needs at least two inner channels",
                "raise d_model or expand",
            ));
        }
        Ok(())
    }

    /// The blocks of a model, of one kind and the sizes of `block`.
    pub fn mixers(&self, kind: MixerKind, block: &TgMambaConfig, device: &Device) -> Vec<Mixer> {
        (0..self.n_layers)
            .map(|_| kind.init(block, self.n_layers, device))
            .collect()
    }

    /// Sizes and choices of one block.
    pub fn block(&self) -> TgMambaConfig {
        let dt_rank = match self.dt_rank {
            DtRank::Auto => self.d_model.div_ceil(16),
            DtRank::Rank(rank) => rank,
        };
        TgMambaConfig {
            d_model: self.d_model,
            d_inner: self.d_inner(),
            d_state: self.d_state,
            d_conv: self.d_conv,
            dt_rank,
            dt_min: self.dt_min,
            dt_max: self.dt_max,
            conv_type: self.conv_type,
            state_mixing: self.state_mixing,
            gatv2_edge_weights: self.gatv2_edge_weights,
            rmsnorm: self.rmsnorm,
            edge_learner: EdgeLearnerConfig {
                channels: self.d_inner(),
                attention: self.edge_learner_attention,
                attention_per_step: self.attn_time_varying,
                threshold: self.attn_threshold,
                temperature: self.attn_softmax_temp,
                time_varying: self.edge_learner_time_varying,
                initial_skip: self.init_skip_param,
                num_vertices: self.num_vertices,
                node_embedding_dim: self.node_embedding_dim,
            },
        }
    }
}
