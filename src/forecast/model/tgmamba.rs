//! The TGMamba forecaster.
//!
//! ```text
//! history (b, v, l, f) -> in_proj, + calendar, + identities of node, time of day, kind of day
//!   -> N × [h + dropout(TGMamba(RMSNorm(h); A))]      A: given graph beside the learned one
//!   -> RMSNorm -> s = W_s (last step, or all of them)
//! z = [s ; W_h history + calendar ; identities] -> residual perceptrons, Linear -> (b, v, h·k·q)
//! ```
//!
//! What a node and its time are by themselves goes past the blocks, as in STID, so that these have to
//! find only what depends on the course of the signals and on the neighbours.
//!
//! With a second stack against time (`bidirectional`) each layer adds the block of the sequence
//! turned round; with [`ConvType::None`] the blocks are those of Mamba and no graph is used.
//! Sources: the blocks of [`crate::nn::tgmamba`]; identities of STID (arXiv:2208.05233); the
//! learned graph of Graph WaveNet (arXiv:1906.00121).

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::embedding::{AdaptiveGraph, Inputs};
use super::readout::Readout;
use super::{ForecasterKind, with_clock};
use crate::forecast::config::{ForecastConfig, Head};
use crate::forecast::data::{Input, Sizes};
use crate::forecast::graph::GivenGraph;
use crate::models::ModelConfig;
use crate::nn::{
    BlockState, ConvType, Dropout, EdgeLearnerConfig, Mixer, MixerKind, linear, rms_norm,
};

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct TgMambaForecaster {
    pub inputs: Inputs,
    pub adaptive: Option<AdaptiveGraph>,
    pub blocks: Vec<Mixer>,
    /// Blocks against time, as many, or none.
    pub reverse: Vec<Mixer>,
    /// W_s.
    pub summary: Linear,
    /// W_h, over the whole history.
    pub history: Linear,
    pub readout: Readout,
    dropout: Dropout,
    #[module(skip)]
    all_steps: bool,
    #[module(skip)]
    mixes: bool,
}

impl TgMambaForecaster {
    /// Random weights; a plain Mamba where neither a given nor a learned graph is used (an edge
    /// learner that has one is a learned one).
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let mixes = config.model == ForecasterKind::TgMamba
            && model.mixer == MixerKind::TgMamba
            && model.conv_type != ConvType::None
            && (sizes.graph || config.adaptive || model.block().edge_learner.is_active());
        let mut block = model.block();
        block.edge_learner.num_vertices = sizes.nodes;
        if !mixes {
            block.conv_type = ConvType::None;
            block.edge_learner = EdgeLearnerConfig {
                attention: false,
                time_varying: false,
                node_embedding_dim: 0,
                ..block.edge_learner
            };
        }
        let blocks = |wanted: bool| match wanted {
            true => model.mixers(model.mixer, &block, device),
            false => Vec::new(),
        };
        let all_steps = config.head == Head::All;
        let read = if all_steps { m * sizes.history } else { m };
        let inputs = Inputs::new(config, sizes, m, device);
        let features = sizes.features + sizes.clock;
        Self {
            adaptive: (mixes && config.adaptive)
                .then(|| AdaptiveGraph::new(sizes.nodes, config.adaptive_dim, sizes.graph, device)),
            blocks: blocks(true),
            reverse: blocks(config.bidirectional),
            summary: LinearConfig::new(read, m).init(device),
            history: LinearConfig::new(sizes.history * features, m).init(device),
            readout: Readout::new(
                m * (2 + inputs.identities.count()),
                config.readout_layers,
                sizes,
                config.anchor,
                model.dropout,
                device,
            ),
            inputs,
            dropout: Dropout::new(model.dropout),
            all_steps,
            mixes,
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let mut hidden = self.inputs.forward(&input);
        let [b, v, l, m] = hidden.dims();
        let identities = self.inputs.identities.rows(&input);
        let history = with_clock(&input);
        let features = history.dims()[3];
        let history = linear(&self.history, history.reshape([b, v, l * features]));
        let edges = self.edges(input.graph, v, &hidden.device());
        for (i, block) in self.blocks.iter().enumerate() {
            let normed = rms_norm(hidden.clone());
            let mut update = run(block, normed.clone(), &edges);
            if let Some(block) = self.reverse.get(i) {
                update = update + run(block, normed.flip([2]), &turned(&edges)).flip([2]);
            }
            hidden = hidden + self.dropout.forward(update);
        }
        let hidden = rms_norm(hidden);
        let read: Tensor<3> = match self.all_steps {
            true => hidden.reshape([b, v, l * m]),
            false => hidden.narrow(2, l - 1, 1).squeeze_dim(2),
        };
        let mut parts = vec![linear(&self.summary, read), history];
        parts.extend(identities);
        self.readout.forward(Tensor::cat(parts, 2))
    }

    fn edges(&self, given: Option<GivenGraph>, v: usize, device: &Device) -> GivenGraph {
        match (&self.adaptive, given) {
            (_, Some(GivenGraph::Sparse(p))) if self.mixes => GivenGraph::Sparse(p),
            (Some(adaptive), Some(GivenGraph::Dense(given))) => {
                GivenGraph::Dense(adaptive.beside(Some(given)))
            }
            (Some(adaptive), _) => GivenGraph::Dense(adaptive.beside(None)),
            (None, Some(given)) if self.mixes => given,
            // What an edge learner starts from.
            (None, None) if self.mixes => GivenGraph::Dense(Tensor::zeros([1, 1, v, v], device)),
            // Without mixing the blocks look at no graph.
            (None, _) => GivenGraph::Dense(Tensor::zeros([1, 1, 1, 1], device)),
        }
    }

    /// The learned graph, (v, w).
    pub fn learned_graph(&self) -> Option<Tensor<2>> {
        self.adaptive.as_ref().map(AdaptiveGraph::graph)
    }
}

fn run(block: &Mixer, x: Tensor<4>, edges: &GivenGraph) -> Tensor<4> {
    match edges {
        GivenGraph::Dense(a) => block.forward(x, a.clone(), BlockState::default()).hidden,
        GivenGraph::Sparse(p) => block.forward_sparse(x, p),
    }
}

/// The graphs of the steps in reverse order.
fn turned(edges: &GivenGraph) -> GivenGraph {
    match edges {
        GivenGraph::Dense(a) if a.dims()[1] > 1 => GivenGraph::Dense(a.clone().flip([1])),
        constant => constant.clone(),
    }
}
