//! Layers made of operations: graph convolution, edge learner, causal convolution, norms, the
//! TGMamba block, and the Mamba and Mamba-2 blocks.

pub mod depthwise;
pub mod dropout;
pub mod edge_learner;
pub mod gatv2;
pub mod graph_conv;
pub mod linear;
pub mod mamba;
pub mod mamba2;
pub mod mixer;
pub mod norm;
pub mod projection;
pub mod propagation;
pub mod recompute;
pub mod state_dict;
pub mod tgmamba;

pub use depthwise::DepthwiseConv;
pub use dropout::Dropout;
pub use edge_learner::{EdgeLearner, EdgeLearnerConfig, LearnedEdges};
pub use gatv2::GatV2Conv;
pub use graph_conv::{ConvType, GraphConv, StateMixing};
pub use linear::linear;
pub use mamba::{Mamba, MambaConfig, MambaState};
pub use mamba2::{Mamba2, Mamba2Config, Mamba2State};
pub use mixer::{Mixer, MixerKind};
pub use norm::{GatedRmsNorm, rms_norm};
pub use tgmamba::{BlockState, TgMamba, TgMambaConfig};
