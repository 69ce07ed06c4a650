//! The TGMamba classifier: windows of many sensors to class logits.
//!
//! ```text
//! features (b, v, l, f) -> in_proj -> blocks (dropout between) -> [GraphConv]
//!   -> pool over time -> pool over sensors -> classifier -> logits (b, c)
//! ```

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::config::{ModelConfig, SeqPool, VertexPool};
use crate::nn::graph_conv::propagate;
use crate::nn::{BlockState, Dropout, Mixer, linear, rms_norm};

/// The classifier; see the module above.
#[derive(Module, Debug)]
pub struct Classifier {
    pub in_proj: Linear,
    pub blocks: Vec<Mixer>,
    pub gconv: Option<FinalGraphConv>,
    pub classifier: Linear,
    dropout: Dropout,
    #[module(skip)]
    config: ModelConfig,
}

/// GraphConv after the last block: `lin_root H + lin_rel (A H)`, with a bias in lin_rel.
#[derive(Module, Debug)]
pub struct FinalGraphConv {
    pub lin_rel: Linear,
    pub lin_root: Linear,
}

/// Logits and what the edge learners made of the graph.
pub struct Classified {
    /// (b, 1) for two classes, else (b, c).
    pub logits: Tensor<2>,
    /// Adjacency each block used, (b or 1, l or 1, v, w).
    pub graphs: Vec<Tensor<4>>,
}

/// What the blocks make of a stretch of a signal.
struct Encoded {
    /// (b, v, l, m).
    hidden: Tensor<4>,
    /// Adjacency of each block.
    graphs: Vec<Tensor<4>>,
    /// Edges of each block that a stream may keep.
    windows: Vec<Option<Tensor<4>>>,
    /// Where each block stopped.
    states: Vec<BlockState>,
}

/// Where a stream stands: the state of every block and the pool over the steps so far.
#[derive(Debug, Clone, Default)]
pub struct StreamState {
    blocks: Vec<BlockState>,
    pooled: Option<Tensor<3>>,
    steps: usize,
}

impl StreamState {
    /// Steps fed so far.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl ModelConfig {
    /// A classifier with random weights drawn from the device's generator.
    ///
    /// # Errors
    /// As [`ModelConfig::validate`].
    pub fn init(&self, device: &Device) -> crate::error::Result<Classifier> {
        self.validate()?;
        let m = self.d_model;
        let block = self.block();
        Ok(Classifier {
            in_proj: LinearConfig::new(self.input_dim, m).init(device),
            blocks: self.mixers(self.mixer, &block, device),
            gconv: self.gconv_after_all_layers.then(|| FinalGraphConv {
                lin_rel: LinearConfig::new(m, m).init(device),
                lin_root: LinearConfig::new(m, m)
                    .with_bias(false)
                    .with_initializer(Initializer::KaimingUniform {
                        gain: 1.0 / 3f64.sqrt(),
                        fan_out_only: false,
                    })
                    .init(device),
            }),
            classifier: LinearConfig::new(m, self.num_logits()).init(device),
            dropout: Dropout::new(self.dropout),
            config: self.clone(),
        })
    }
}

impl Classifier {
    /// The configuration it was made from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Classifies windows x, (b, v, l, f), on the graph a, (b or 1, 1, v, w).
    pub fn forward(&self, x: Tensor<4>, a: Tensor<4>) -> Classified {
        let Encoded { hidden, graphs, .. } = self.encode(x, a, vec![]);
        let pooled = match self.config.seq_pool_type {
            SeqPool::Last => {
                let l = hidden.dims()[2];
                hidden.narrow(2, l - 1, 1)
            }
            SeqPool::Mean => hidden.mean_dim(2),
            SeqPool::Max => hidden.max_dim(2),
        };
        Classified {
            logits: self.read_out(pooled.squeeze_dim(2)),
            graphs,
        }
    }

    /// A stream that starts from nothing.
    ///
    /// Where the edge learner works on the time mean of a window, edges come from `calibration`,
    /// (b, v, l, f), and stay fixed; without it each piece that is fed makes its own.
    pub fn stream(&self, calibration: Option<(Tensor<4>, Tensor<4>)>) -> StreamState {
        let mut blocks = vec![BlockState::default(); self.blocks.len()];
        if let Some((x, a)) = calibration {
            let encoded = self.encode(x, a, vec![]);
            for (state, window) in blocks.iter_mut().zip(encoded.windows) {
                state.graph = window;
            }
        }
        StreamState {
            blocks,
            ..StreamState::default()
        }
    }

    /// Feeds the next steps x, (b, v, l, f) with any l ≥ 1, and returns the logits of everything
    /// fed so far; after a whole window they equal those of [`Classifier::forward`].
    pub fn step(&self, x: Tensor<4>, a: Tensor<4>, state: StreamState) -> (Tensor<2>, StreamState) {
        let l = x.dims()[2];
        let Encoded {
            hidden,
            states: blocks,
            ..
        } = self.encode(x, a, state.blocks);
        let pooled: Tensor<3> = match self.config.seq_pool_type {
            SeqPool::Last => hidden.narrow(2, l - 1, 1).squeeze_dim(2),
            SeqPool::Mean => {
                let sum = hidden.sum_dim(2).squeeze_dim(2);
                match state.pooled {
                    Some(before) => before + sum,
                    None => sum,
                }
            }
            SeqPool::Max => {
                let max = hidden.max_dim(2).squeeze_dim(2);
                match state.pooled {
                    Some(before) => before.max_pair(max),
                    None => max,
                }
            }
        };
        let steps = state.steps + l;
        let read = match self.config.seq_pool_type {
            SeqPool::Mean => pooled.clone() / steps as f64,
            SeqPool::Last | SeqPool::Max => pooled.clone(),
        };
        let state = StreamState {
            blocks,
            pooled: Some(pooled),
            steps,
        };
        (self.read_out(read), state)
    }

    /// Everything up to the pools.
    fn encode(&self, x: Tensor<4>, a: Tensor<4>, mut states: Vec<BlockState>) -> Encoded {
        states.resize(self.blocks.len(), BlockState::default());
        let (residual, prenorm) = (self.config.is_residual(), self.config.is_prenorm());
        let mut hidden = linear(&self.in_proj, x);
        let mut edges = a;
        let mut graphs = Vec::with_capacity(self.blocks.len());
        let mut windows = Vec::with_capacity(self.blocks.len());
        let mut stopped = Vec::with_capacity(self.blocks.len());
        for (i, (block, state)) in self.blocks.iter().zip(states).enumerate() {
            let input = if prenorm {
                rms_norm(hidden.clone())
            } else {
                hidden.clone()
            };
            let output = block.forward(input, edges.clone(), state);
            let last = i + 1 == self.blocks.len();
            let update = if last {
                output.hidden
            } else {
                self.dropout.forward(output.hidden)
            };
            hidden = if residual { hidden + update } else { update };
            if self.config.pass_edges_to_next_layer {
                edges = output.adjacency.clone();
            }
            graphs.push(output.adjacency);
            windows.push(output.window);
            stopped.push(output.state);
        }
        if let Some(conv) = &self.gconv {
            hidden = linear(&conv.lin_root, hidden.clone())
                + linear(&conv.lin_rel, propagate(edges, hidden));
        }
        Encoded {
            hidden,
            graphs,
            windows,
            states: stopped,
        }
    }

    /// Pool over sensors and classify, (b, v, m) -> (b, c).
    fn read_out(&self, pooled: Tensor<3>) -> Tensor<2> {
        let pooled = match self.config.vertex_pool_type {
            VertexPool::Mean => pooled.mean_dim(1),
            VertexPool::Max => pooled.max_dim(1),
        };
        linear(&self.classifier, pooled.squeeze_dim::<2>(1))
    }
}
