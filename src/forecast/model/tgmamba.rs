//! The TGMamba forecaster.
//!
//! ```text
//! history (b, v, l, f) -> in_proj, + calendar, + identities of node, time of day, day of week
//!   -> N × [h + dropout(TGMamba(RMSNorm(h); A))]      A: given graph beside the learned one
//!   -> RMSNorm -> last step, or all of them -> Linear -> relu -> Linear -> (b, v, h·k·q)
//! ```
//!
//! With a second stack against time (`bidirectional`) each layer adds the block of the sequence
//! turned round; with [`ConvType::None`] the blocks are those of Mamba and no graph is used.
//! Sources: the blocks of [`crate::nn::tgmamba`]; identities of STID (arXiv:2208.05233); the
//! learned graph of Graph WaveNet (arXiv:1906.00121).

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::relu};

use super::embedding::{AdaptiveGraph, Identities};
use super::{ForecasterKind, output_layer};
use crate::forecast::config::{ForecastConfig, Head};
use crate::forecast::data::{Input, Sizes};
use crate::models::ModelConfig;
use crate::nn::{BlockState, ConvType, TgMamba, linear, rms_norm};

/// The forecaster; see the module above.
#[derive(Module, Debug)]
pub struct TgMambaForecaster {
    pub in_proj: Linear,
    pub clock_proj: Option<Linear>,
    pub identities: Identities,
    pub adaptive: Option<AdaptiveGraph>,
    pub blocks: Vec<TgMamba>,
    /// Blocks against time, as many, or none.
    pub reverse: Vec<TgMamba>,
    pub hidden: Linear,
    pub head: Linear,
    dropout: Dropout,
    #[module(skip)]
    all_steps: bool,
    #[module(skip)]
    mixes: bool,
}

impl TgMambaForecaster {
    /// Random weights; a plain Mamba where neither a given nor a learned graph is used.
    pub fn new(
        config: &ForecastConfig,
        model: &ModelConfig,
        sizes: Sizes,
        device: &Device,
    ) -> Self {
        let m = model.d_model;
        let mixes = config.model == ForecasterKind::TgMamba
            && model.conv_type != ConvType::None
            && (sizes.graph || config.adaptive);
        let mut block = model.block();
        block.edge_learner.num_vertices = sizes.nodes;
        if !mixes {
            block.conv_type = ConvType::None;
        }
        let blocks = |wanted: bool| {
            let n = if wanted { model.n_layers } else { 0 };
            (0..n).map(|_| block.init(device)).collect()
        };
        let all_steps = config.head == Head::All;
        let read = if all_steps { m * sizes.history } else { m };
        Self {
            in_proj: LinearConfig::new(sizes.features, m).init(device),
            clock_proj: (config.time_embedding && sizes.clock > 0).then(|| {
                LinearConfig::new(sizes.clock, m)
                    .with_bias(false)
                    .init(device)
            }),
            identities: Identities::new(
                sizes,
                m,
                config.node_embedding,
                config.time_embedding,
                device,
            ),
            adaptive: (mixes && config.adaptive)
                .then(|| AdaptiveGraph::new(sizes.nodes, config.adaptive_dim, sizes.graph, device)),
            blocks: blocks(true),
            reverse: blocks(config.bidirectional),
            hidden: LinearConfig::new(read, 2 * m).init(device),
            head: output_layer(2 * m, sizes, config.anchor, device),
            dropout: DropoutConfig::new(model.dropout).init(),
            all_steps,
            mixes,
        }
    }

    /// (b, v, h·k·q).
    pub fn forward(&self, input: Input) -> Tensor<3> {
        let mut hidden = linear(&self.in_proj, input.x.clone());
        let [b, v, l, m] = hidden.dims();
        if let (Some(layer), Some(clock)) = (&self.clock_proj, &input.clock) {
            hidden = hidden + linear(layer, clock.clone()).unsqueeze_dim::<4>(1);
        }
        for rows in self.identities.rows(&input) {
            hidden = hidden + rows.unsqueeze_dim::<4>(2);
        }
        let edges = match (&self.adaptive, input.graph) {
            (Some(adaptive), given) => adaptive.beside(given),
            (None, Some(given)) if self.mixes => given,
            // Without mixing the blocks look at no graph.
            (None, _) => Tensor::zeros([1, 1, 1, 1], &hidden.device()),
        };
        for (i, block) in self.blocks.iter().enumerate() {
            let normed = rms_norm(hidden.clone());
            let run =
                |block: &TgMamba, x, edges| block.forward(x, edges, BlockState::default()).hidden;
            let mut update = run(block, normed.clone(), edges.clone());
            if let Some(block) = self.reverse.get(i) {
                let turned = match edges.dims()[1] {
                    1 => edges.clone(),
                    _ => edges.clone().flip([1]),
                };
                update = update + run(block, normed.flip([2]), turned).flip([2]);
            }
            hidden = hidden + self.dropout.forward(update);
        }
        let hidden = rms_norm(hidden);
        let read: Tensor<3> = match self.all_steps {
            true => hidden.reshape([b, v, l * m]),
            false => hidden.narrow(2, l - 1, 1).squeeze_dim(2),
        };
        linear(&self.head, relu(linear(&self.hidden, read)))
    }

    /// The learned graph, (v, w).
    pub fn learned_graph(&self) -> Option<Tensor<2>> {
        self.adaptive.as_ref().map(AdaptiveGraph::graph)
    }
}
