//! Flags of the model.

use clap::Args;

use super::{Override, value};
use crate::models::{DtRank, SeqPool, VertexPool};
use crate::nn::{ConvType, MixerKind, StateMixing};

/// The model.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// Width of the residual stream [default: 32]
    #[arg(long, value_name = "M")]
    d_model: Option<usize>,
    /// What the blocks are; mamba and mamba2 take every sensor by itself [default: tgmamba]
    #[arg(long, value_enum, value_name = "KIND")]
    mixer: Option<MixerKind>,
    /// Number of blocks [default: 2]
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
    pub(super) fn overrides(&self) -> Vec<Override> {
        vec![
            ("model.d_model", value(&self.d_model)),
            ("model.mixer", value(&self.mixer)),
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
