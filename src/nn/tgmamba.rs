//! The TGMamba block: a Mamba block whose state, input and output are mixed over a graph.
//!
//! ```text
//! h (b, v, l, m) -> in_proj -> x, z (b, v, l, d)
//! x -> causal conv -> silu -> x_proj -> δ, B, C;  Δ = softplus(dt_proj δ)
//! x -> edge learner -> A_t -> P_t;  u = gconv_B(x; P)
//! y = graph_scan(u, Δ, -exp(A_log), B, C, D; P, gconv_A, gconv_C)
//! out = out_proj(RMSNorm(y ⊙ silu(z)) ⊙ w)
//! ```
//!
//! Sources: Gu & Dao, "Mamba" (arXiv:2312.00752); the graph convolutions of TGMamba.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{
    Device, Distribution, Tensor,
    activation::{silu, softplus},
};
use serde::{Deserialize, Serialize};

use super::depthwise::DepthwiseConv;
use super::edge_learner::{EdgeLearner, EdgeLearnerConfig, LearnedEdges};
use super::gatv2::GatV2Conv;
use super::graph_conv::{ConvType, GraphConv, GraphConvInit, StateMixing, propagation_matrix};
use super::linear::linear;
use super::mamba::initial_dt;
use super::norm::GatedRmsNorm;
use crate::ops::graph_scan::reference::{StateWeights, matrix_steps, scan_with};
use crate::ops::sparse::{SparseMatrix, sparse_product};
use crate::ops::{
    GraphMixing, ScanInput, ScanOutput, SelectiveScanInput, graph_scan, selective_scan,
    sparse_graph_scan,
};

/// Sizes and choices of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TgMambaConfig {
    /// Width of the block's input and output, m.
    pub d_model: usize,
    /// Inner channels, d.
    pub d_inner: usize,
    /// State per channel, n.
    pub d_state: usize,
    /// Width of the causal convolution, k.
    pub d_conv: usize,
    /// Rank of Δ.
    pub dt_rank: usize,
    /// Smallest initial Δ.
    pub dt_min: f64,
    /// Largest initial Δ.
    pub dt_max: f64,
    /// Graph convolution.
    pub conv_type: ConvType,
    /// Bounded or free state mixing.
    pub state_mixing: StateMixing,
    /// Whether gatv2conv sees edge weights.
    pub gatv2_edge_weights: bool,
    /// Gated RMSNorm before the output projection.
    pub rmsnorm: bool,
    /// Edge learner.
    pub edge_learner: EdgeLearnerConfig,
}

/// A TGMamba block.
#[derive(Module, Debug)]
pub struct TgMamba {
    pub in_proj: Linear,
    pub conv1d: DepthwiseConv,
    pub x_proj: Linear,
    pub dt_proj: Linear,
    /// ln(-A), (d, n).
    pub a_log: Param<Tensor<2>>,
    /// Skip D, (d).
    pub d_skip: Param<Tensor<1>>,
    pub norm: Option<GatedRmsNorm>,
    pub out_proj: Linear,
    pub gconv_a: Option<GraphConv>,
    pub gconv_b: Option<GraphConv>,
    pub gconv_c: Option<GraphConv>,
    pub edge_learner: Option<EdgeLearner>,
    #[module(skip)]
    config: TgMambaConfig,
}

/// What a block carries from one stretch of a signal to the next.
#[derive(Debug, Clone, Default)]
pub struct BlockState {
    /// The last k-1 inputs of the causal convolution, (b, v, k-1, d).
    pub conv: Option<Tensor<4>>,
    /// State of the scan, (b, v, d, n).
    pub scan: Option<Tensor<4>>,
    /// Attention on the time mean of a whole window, to keep, (b, 1, v, w).
    pub graph: Option<Tensor<4>>,
}

/// Result of a block.
pub struct BlockOutput {
    /// (b, v, l, m).
    pub hidden: Tensor<4>,
    /// The adjacency used, (b or 1, l or 1, v, w).
    pub adjacency: Tensor<4>,
    /// What a stream may keep as [`BlockState::graph`].
    pub window: Option<Tensor<4>>,
    /// Where the block stopped.
    pub state: BlockState,
}

/// What a block's scan starts from, each (b, v, l, ..).
struct Signals {
    /// After the causal convolution.
    x: Tensor<4>,
    /// Gate.
    z: Tensor<4>,
    delta: Tensor<4>,
    b: Tensor<4>,
    c: Tensor<4>,
}

impl TgMambaConfig {
    /// A block with the usual Mamba start: A_log = ln(1..n), D = 1, softplus(dt bias)
    /// log-uniform in dt_min..dt_max; convolutions start as the identity when the mixing is
    /// bounded, else uniform.
    pub fn init(&self, device: &Device) -> TgMamba {
        let (d, n, r) = (self.d_inner, self.d_state, self.dt_rank);
        let plain = |d_input, d_output| {
            LinearConfig::new(d_input, d_output)
                .with_bias(false)
                .init(device)
        };
        let a_log: Vec<f32> = (0..d)
            .flat_map(|_| (1..=n).map(|i| (i as f32).ln()))
            .collect();
        let init = match self.state_mixing {
            StateMixing::Bounded => GraphConvInit::Identity,
            StateMixing::Reference => GraphConvInit::Uniform,
        };
        let conv = |channels| {
            GraphConv::new(
                self.conv_type,
                channels,
                init,
                self.gatv2_edge_weights,
                device,
            )
        };
        TgMamba {
            in_proj: plain(self.d_model, 2 * d),
            conv1d: DepthwiseConv::new(d, self.d_conv, true, None, device),
            x_proj: plain(d, r + 2 * n),
            dt_proj: self.init_dt(device),
            a_log: Param::from_tensor(
                Tensor::<1>::from_floats(a_log.as_slice(), device).reshape([d, n]),
            ),
            d_skip: Param::from_tensor(Tensor::ones([d], device)),
            norm: self.rmsnorm.then(|| GatedRmsNorm::new(d, device)),
            out_proj: plain(d, self.d_model),
            gconv_a: conv(n),
            gconv_b: conv(d),
            gconv_c: conv(n),
            edge_learner: self.edge_learner.init(device),
            config: self.clone(),
        }
    }

    fn init_dt(&self, device: &Device) -> Linear {
        let bound = (self.dt_rank as f64).powf(-0.5);
        let range = (self.dt_min, self.dt_max);
        let bias = initial_dt(self.d_inner, range, 1e-4, device);
        Linear {
            weight: Param::from_tensor(Tensor::random(
                [self.dt_rank, self.d_inner],
                Distribution::Uniform(-bound, bound),
                device,
            )),
            bias: Some(Param::from_tensor(bias)),
        }
    }
}

impl TgMamba {
    /// Runs the block over h, (b, v, l, m), with the adjacency a0, (b or 1, l or 1, v, w),
    /// continuing from `state`.
    ///
    /// Feeding a signal in pieces, one step included, gives what feeding it whole gives. A learner
    /// that works on the time mean of a window cannot see the future: there the edges of the
    /// state are used if there are some, else those of the piece.
    pub fn forward(&self, h: Tensor<4>, a0: Tensor<4>, state: BlockState) -> BlockOutput {
        let config = &self.config;
        let (signals, conv) = self.signals(h, state.conv);
        let LearnedEdges { adjacency, window } = match &self.edge_learner {
            Some(learner) => learner.forward(signals.x.clone(), a0, state.graph.clone()),
            None => LearnedEdges {
                adjacency: a0,
                window: None,
            },
        };
        let p = propagation_matrix(config.conv_type, config.state_mixing, adjacency.clone());
        let u = match &self.gconv_b {
            Some(conv) => conv.forward(signals.x.clone(), p.clone()),
            None => signals.x.clone(),
        };
        let input = self.scan_input(&signals, u, state.scan);
        let ScanOutput { y, state: scan } = self.scan(input, p);
        BlockOutput {
            hidden: self.output(y, signals.z),
            adjacency,
            window,
            state: BlockState {
                conv: Some(conv),
                scan: Some(scan),
                graph: state.graph,
            },
        }
    }

    /// Runs the block over h, (b, v, l, m), from the zero state, over a graph given as the sparse
    /// matrix of [`propagation::sparse`](super::propagation::sparse). Memory and time grow with the
    /// edges, not with v².
    ///
    /// # Panics
    /// If the block has no linear graph convolution or learns edges.
    pub fn forward_sparse(&self, h: Tensor<4>, p: &SparseMatrix) -> Tensor<4> {
        let forms = [&self.gconv_a, &self.gconv_b, &self.gconv_c].map(|conv| {
            let conv = conv.as_ref().and_then(|conv| conv.linear_form().ok());
            conv.expect("a sparse graph needs a linear graph convolution")
        });
        assert!(
            self.edge_learner.is_none(),
            "learned edges are no sparse graph"
        );
        let [form_a, form_b, form_c] = forms;
        let form_a = match self.config.state_mixing {
            StateMixing::Bounded => form_a.bounded(),
            StateMixing::Reference => form_a,
        };
        let (signals, _) = self.signals(h, None);
        let x = signals.x.clone();
        let [b, v, l, d] = x.dims();
        let px = sparse_product(p, x.clone().reshape([b, v, l * d])).reshape([b, v, l, d]);
        let input = self.scan_input(&signals, form_b.apply(x, px), None);
        let weights = StateWeights {
            a_root: form_a.root,
            a_rel: form_a.rel,
            c_root: form_c.root,
            c_rel: form_c.rel,
        };
        let out = sparse_graph_scan(input, p, weights);
        self.output(out.y, signals.z)
    }

    /// Everything before the graph; `before` are the last inputs of the causal convolution.
    fn signals(&self, h: Tensor<4>, before: Option<Tensor<4>>) -> (Signals, Tensor<4>) {
        let config = &self.config;
        let (d, n, r) = (config.d_inner, config.d_state, config.dt_rank);
        let xz = linear(&self.in_proj, h);
        let (x, z) = (xz.clone().narrow(3, 0, d), xz.narrow(3, d, d));
        let (x, conv) = self.conv1d.forward(x, before);
        let projected = linear(&self.x_proj, x.clone());
        let delta = softplus(
            linear(&self.dt_proj, projected.clone().narrow(3, 0, r)),
            1.0,
        );
        let signals = Signals {
            x,
            z,
            delta,
            b: projected.clone().narrow(3, r, n),
            c: projected.narrow(3, r + n, n),
        };
        (signals, conv)
    }

    fn scan_input(&self, signals: &Signals, u: Tensor<4>, state: Option<Tensor<4>>) -> ScanInput {
        ScanInput {
            u,
            delta: signals.delta.clone(),
            a: self.a_log.val().exp().neg(),
            b: signals.b.clone(),
            c: signals.c.clone(),
            d: Some(self.d_skip.val()),
            initial_state: state,
        }
    }

    /// out_proj of what the scan found, gated by z.
    fn output(&self, y: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        let y = match &self.norm {
            Some(norm) => norm.forward(y, z),
            None => y * silu(z),
        };
        linear(&self.out_proj, y)
    }

    fn scan(&self, input: ScanInput, p: Tensor<4>) -> ScanOutput {
        let (Some(gconv_a), Some(gconv_c)) = (&self.gconv_a, &self.gconv_c) else {
            return vertexwise(input);
        };
        let bounded = self.config.state_mixing == StateMixing::Bounded;
        match (gconv_a.linear_form(), gconv_c.linear_form()) {
            (Ok(a), Ok(c)) => {
                let a = if bounded { a.bounded() } else { a };
                let mixing = GraphMixing {
                    p,
                    a_root: a.root,
                    a_rel: a.rel,
                    c_root: c.root,
                    c_rel: c.rel,
                };
                graph_scan(input, mixing)
            }
            (Err(a), Err(c)) => attention_scan(input, a, c, p, bounded),
            _ => unreachable!("gconv_A and gconv_C are of one type"),
        }
    }
}

/// The scan without a graph: every vertex is a sequence of its own.
fn vertexwise(input: ScanInput) -> ScanOutput {
    let [b, v, l, d] = input.u.dims();
    let n = input.a.dims()[1];
    let out = selective_scan(SelectiveScanInput {
        u: input.u.reshape([b * v, l, d]),
        delta: input.delta.reshape([b * v, l, d]),
        a: input.a,
        b: input.b.reshape([b * v, l, n]),
        c: input.c.reshape([b * v, l, n]),
        d: input.d,
        z: None,
        delta_bias: None,
        delta_softplus: false,
        initial_state: input
            .initial_state
            .map(|state| state.reshape([b * v, d, n])),
    });
    ScanOutput {
        y: out.y.reshape([b, v, l, d]),
        state: out.state.reshape([b, v, d, n]),
    }
}

/// The scan with attention over neighbours in place of the linear convolutions.
fn attention_scan(
    input: ScanInput,
    gconv_a: &GatV2Conv,
    gconv_c: &GatV2Conv,
    a: Tensor<4>,
    bounded: bool,
) -> ScanOutput {
    let steps = matrix_steps(a);
    let at = |t: usize| {
        let a = steps[if steps.len() == 1 { 0 } else { t }].clone();
        a.unsqueeze_dim::<4>(1)
    };
    scan_with(
        input,
        |t, h| {
            gconv_a
                .forward(h.swap_dims(1, 2), at(t), bounded)
                .swap_dims(1, 2)
        },
        |t, h, c| {
            let mixed = gconv_c
                .forward(h.swap_dims(1, 2), at(t), false)
                .swap_dims(1, 2);
            (mixed * c.unsqueeze_dim::<4>(2)).sum_dim(3).squeeze_dim(3)
        },
    )
}
