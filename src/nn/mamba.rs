//! The Mamba block: a selective state space between two projections.
//!
//! With `b` batch, `l` time, `m` d_model, `d` d_inner = expand · m, `n` d_state, `r` dt_rank, `k`
//! d_conv:
//!
//! ```text
//! u (b, l, m) -> in_proj -> x, z (b, l, d)
//! x -> causal conv over k steps, silu -> x_proj -> δ (r), B (n), C (n)
//! Δ = softplus(dt_proj δ + bias)
//! y = selective_scan(x, Δ, -exp(A_log), B, C, D) ⊙ silu(z)
//! out = out_proj(y)
//! ```
//!
//! Parameters have the names and shapes of the published checkpoints.
//!
//! Source: Gu & Dao, "Mamba" (arXiv:2312.00752), §3 and appendix; state-spaces/mamba for the
//! initial values.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use super::depthwise::DepthwiseConv;
use super::projection::{by_output, project, project_columns, project_convolved, project_part};
use super::recompute::{again, strategy, with};
use crate::ops::dense::{Around, NormBefore, WeightLayout, dense, dense_step};
use crate::ops::part::last_part;
use crate::ops::{ChannelStep, SelectiveScanInput, selective_scan, selective_state_update};

/// How dt_proj starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtInit {
    /// Uniform in ±dt_scale / √dt_rank.
    #[default]
    Random,
    /// dt_scale / √dt_rank.
    Constant,
}

/// Sizes and start of a block, under the published names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MambaConfig {
    /// Width of input and output, m.
    pub d_model: usize,
    /// State per channel, n.
    pub d_state: usize,
    /// Width of the convolution, k.
    pub d_conv: usize,
    /// d_inner / d_model.
    pub expand: usize,
    /// Rank of Δ; absent for ⌈m / 16⌉.
    #[serde(with = "auto")]
    pub dt_rank: Option<usize>,
    /// Smallest initial Δ.
    pub dt_min: f64,
    /// Largest initial Δ.
    pub dt_max: f64,
    /// Start of dt_proj.
    pub dt_init: DtInit,
    /// Scale of the start of dt_proj.
    pub dt_scale: f64,
    /// Lower bound of the initial Δ.
    pub dt_init_floor: f64,
    /// Whether the convolution has a bias.
    pub conv_bias: bool,
    /// Whether in_proj and out_proj have one.
    pub bias: bool,
}

impl Default for MambaConfig {
    fn default() -> Self {
        Self {
            d_model: 768,
            d_state: 16,
            d_conv: 4,
            expand: 2,
            dt_rank: None,
            dt_min: 1e-3,
            dt_max: 0.1,
            dt_init: DtInit::Random,
            dt_scale: 1.0,
            dt_init_floor: 1e-4,
            conv_bias: true,
            bias: false,
        }
    }
}

/// `"auto"` or a number.
mod auto {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Rank {
        Given(usize),
        Word(String),
    }

    pub fn serialize<S: Serializer>(rank: &Option<usize>, s: S) -> Result<S::Ok, S::Error> {
        match rank {
            Some(rank) => Rank::Given(*rank),
            None => Rank::Word("auto".into()),
        }
        .serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<usize>, D::Error> {
        match Rank::deserialize(d)? {
            Rank::Given(rank) => Ok(Some(rank)),
            Rank::Word(word) if word == "auto" => Ok(None),
            Rank::Word(word) => Err(D::Error::custom(format!(
                "dt_rank is \"{word}\"; give a number or \"auto\""
            ))),
        }
    }
}

/// A Mamba block.
#[derive(Module, Debug)]
pub struct Mamba {
    pub in_proj: Linear,
    pub conv1d: DepthwiseConv,
    pub x_proj: Linear,
    pub dt_proj: Linear,
    /// ln(-A), (d, n).
    pub a_log: Param<Tensor<2>>,
    /// Skip D, (d).
    pub d_skip: Param<Tensor<1>>,
    pub out_proj: Linear,
    /// -exp(A_log), (d, n), of a block whose parameters will not change.
    decay: Option<Tensor<2>>,
}

/// What a block carries from token to token.
#[derive(Debug, Clone)]
pub struct MambaState {
    /// The last k-1 inputs of the convolution, (b, k-1, d).
    pub conv: Tensor<3>,
    /// State of the scan, (b, d, n).
    pub ssm: Tensor<3>,
    /// Whether a single token may write the next state into this memory on a GPU: where nobody else
    /// holds it.
    pub in_place: bool,
}

impl MambaConfig {
    /// Inner channels, d.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Rank of Δ, r.
    pub fn dt_rank(&self) -> usize {
        self.dt_rank.unwrap_or(self.d_model.div_ceil(16))
    }

    /// A block with the published start: A_log = ln(1..n), D = 1, softplus of dt_proj's bias
    /// log-uniform in dt_min..dt_max, projections as PyTorch starts them with biases of zero, and
    /// out_proj divided by `√residuals`, the number of branches that add to the residual stream.
    pub fn init(&self, residuals: usize, device: &Device) -> Mamba {
        let (m, d, n, r) = (self.d_model, self.d_inner(), self.d_state, self.dt_rank());
        let a_log: Vec<f32> = (0..d)
            .flat_map(|_| (1..=n).map(|i| (i as f32).ln()))
            .collect();
        let bound = self.dt_scale / (r as f64).sqrt();
        let weight = match self.dt_init {
            DtInit::Random => Tensor::random([r, d], Distribution::Uniform(-bound, bound), device),
            DtInit::Constant => Tensor::full([r, d], bound, device),
        };
        let range = (self.dt_min, self.dt_max);
        Mamba {
            in_proj: linear(m, 2 * d, self.bias, 1.0, device),
            conv1d: DepthwiseConv::new(d, self.d_conv, self.conv_bias, None, device),
            x_proj: linear(d, r + 2 * n, false, 1.0, device),
            dt_proj: Linear {
                weight: Param::from_tensor(weight),
                bias: Some(Param::from_tensor(initial_dt(
                    d,
                    range,
                    self.dt_init_floor,
                    device,
                ))),
            },
            a_log: Param::from_tensor(
                Tensor::<1>::from_floats(a_log.as_slice(), device).reshape([d, n]),
            ),
            d_skip: Param::from_tensor(Tensor::ones([d], device)),
            out_proj: linear(d, m, self.bias, 1.0 / (residuals as f64).sqrt(), device),
            decay: None,
        }
    }
}

/// A linear layer with weights uniform in ±scale/√inputs and a bias of zeros.
pub(crate) fn linear(
    inputs: usize,
    outputs: usize,
    bias: bool,
    scale: f64,
    device: &Device,
) -> Linear {
    use burn::nn::Initializer;

    let bound = scale / (inputs as f64).sqrt();
    let initializer = Initializer::Uniform {
        min: -bound,
        max: bound,
    };
    let mut layer = LinearConfig::new(inputs, outputs)
        .with_bias(false)
        .with_initializer(initializer)
        .init(device);
    layer.bias = bias.then(|| Param::from_tensor(Tensor::zeros([outputs], device)));
    layer
}

/// The bias of Δ, (count), whose softplus is log-uniform in `range` and at least `floor`.
pub(super) fn initial_dt(
    count: usize,
    range: (f64, f64),
    floor: f64,
    device: &Device,
) -> Tensor<1> {
    let uniform = Distribution::Uniform(range.0.ln(), range.1.ln());
    let dt = Tensor::<1>::random([count], uniform, device)
        .exp()
        .clamp_min(floor);
    // Inverse of softplus: x + ln(1 - exp(-x)).
    dt.clone() + (dt.neg().exp().neg() + 1.0).log()
}

impl Mamba {
    /// A, (d, n).
    fn rates(&self) -> Tensor<2> {
        self.a_log.val().exp().neg()
    }

    /// The block for use as it is: what depends on parameters alone is computed now, and weights lie in
    /// memory as a GPU reads them fastest. Changes of A_log have no effect on it any more.
    pub fn frozen(self) -> Self {
        let decay = Some(self.rates());
        Self {
            decay,
            in_proj: by_output(self.in_proj),
            x_proj: by_output(self.x_proj),
            out_proj: by_output(self.out_proj),
            ..self
        }
    }

    /// The state before the first token, for `batch` sequences.
    pub fn empty_state(&self, batch: usize, device: &Device) -> MambaState {
        let [d, n] = self.a_log.lazy_shape().dims();
        let k = self.conv1d.width();
        MambaState {
            conv: Tensor::zeros([batch, k - 1, d], device),
            ssm: Tensor::zeros([batch, d, n], device),
            in_place: false,
        }
    }

    /// Runs the block over u, (b, l, m), from `state` (zeros if absent); returns the output,
    /// (b, l, m), and the state after the last token.
    ///
    /// Where `mask`, (b, l, 1), is zero a token is padding: it changes no state and no later token.
    /// Padding comes before the tokens of a sequence.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    pub fn forward(
        &self,
        u: Tensor<3>,
        state: Option<MambaState>,
        mask: Option<&Tensor<3>>,
    ) -> (Tensor<3>, MambaState) {
        let [_, n] = self.a_log.lazy_shape().dims();
        let [r, _] = self.dt_proj.weight.lazy_shape().dims();
        let in_place = state
            .as_ref()
            .is_some_and(|s| s.in_place && u.dims()[1] == 1);
        let outside = strategy(&u);
        // In f32 and up to dt_rank 64 only x and z before the convolution and y are kept for gradients
        // of all that has the inner width.
        let u = again(u);
        let how = strategy(&u);
        let (conv, ssm) = state.map(|s| (s.conv, s.ssm)).unzip();
        let masked = |x: Tensor<3>| match mask {
            Some(mask) => x * with(mask.clone(), how),
            None => x,
        };
        let (x, z) = self.halves(u);
        let (x, conv) = self.conv1d.after(masked(x), conv, in_place);
        let x = masked(x);
        let projected = project(&self.x_proj, x.clone());
        let part = |start: usize, len: usize| last_part(projected.clone(), start, len);
        let delta = project_part(&self.dt_proj, part(0, r));
        let input = SelectiveScanInput {
            u: x,
            delta,
            a: with(self.decay.clone().unwrap_or_else(|| self.rates()), how),
            b: part(r, n),
            c: part(r + n, n),
            d: Some(with(self.d_skip.val(), how)),
            z: Some(z),
            delta_bias: self.dt_proj.bias.as_ref().map(|bias| with(bias.val(), how)),
            delta_softplus: true,
            initial_state: ssm.map(|ssm| with(ssm, how)),
        };
        let (y, ssm) = scan(input, in_place);
        let state = MambaState {
            conv: with(conv, outside),
            ssm: with(ssm, outside),
            in_place,
        };
        (project(&self.out_proj, with(y, outside)), state)
    }

    /// One token of each sequence of a residual stream r, (b, m): r + block(norm(r)) and the state
    /// after it, as [`forward`](Self::forward) gives them; of a single sequence four kernels on a
    /// GPU, where the block is [frozen](Self::frozen).
    ///
    /// # Panics
    /// If the shapes do not fit together, and on a device with gradients.
    pub fn residual_step(
        &self,
        r: Tensor<2>,
        norm: NormBefore,
        state: MambaState,
    ) -> (Tensor<2>, MambaState) {
        let [d, n] = self.a_log.lazy_shape().dims();
        let [rank, _] = self.dt_proj.weight.lazy_shape().dims();
        let (xz, conv) = project_convolved(
            &self.in_proj,
            &self.conv1d,
            0,
            r.clone(),
            norm,
            state.conv,
            state.in_place,
        );
        let bias = |layer: &Linear| layer.bias.as_ref().map(Param::val);
        let x = last_part(xz.clone(), 0, d);
        let projected = dense(x.clone(), self.x_proj.weight.val(), WeightLayout::InOut);
        let (y, ssm) = selective_state_update(
            state.ssm,
            ChannelStep {
                x,
                dt: last_part(projected.clone(), 0, rank),
                dt_proj: Some(self.dt_proj.weight.val()),
                a: self.decay.clone().unwrap_or_else(|| self.rates()),
                b: last_part(projected.clone(), rank, n),
                c: last_part(projected, rank + n, n),
                d: Some(self.d_skip.val()),
                z: Some(last_part(xz, d, d)),
                dt_bias: bias(&self.dt_proj),
                dt_softplus: true,
                in_place: state.in_place,
            },
        );
        let around = Around {
            bias: bias(&self.out_proj),
            residual: Some(r),
            ..Around::default()
        };
        let (r, _) = dense_step(y, self.out_proj.weight.val(), around);
        let state = MambaState {
            conv,
            ssm,
            in_place: state.in_place,
        };
        (r, state)
    }

    /// x and z, (b, l, d) each.
    fn halves(&self, u: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let [d, _] = self.a_log.lazy_shape().dims();
        if u.device().is_autodiff() {
            // Two gradients of (b, l, m) are added, not two of (b, l, 2d) that are half zeros.
            let half = |u, start| project_columns(&self.in_proj, u, start, d);
            return (half(u.clone(), 0), half(u, d));
        }
        let xz = project(&self.in_proj, u);
        (last_part(xz.clone(), 0, d), last_part(xz, d, d))
    }

    /// One token of each sequence, (b, m); as [`forward`](Self::forward) over one step.
    pub fn step(&self, u: Tensor<2>, state: MambaState) -> (Tensor<2>, MambaState) {
        let (y, state) = self.forward(u.unsqueeze_dim(1), Some(state), None);
        (y.squeeze_dim(1), state)
    }
}

/// The scan, or, for a single token after others, the one step of it.
fn scan(input: SelectiveScanInput, in_place: bool) -> (Tensor<3>, Tensor<3>) {
    let [_, l, _] = input.u.dims();
    let (1, Some(state)) = (l, input.initial_state.clone()) else {
        let out = selective_scan(input);
        return (out.y, out.state);
    };
    let (y, state) = selective_state_update(
        state,
        ChannelStep {
            x: input.u.squeeze_dim(1),
            dt: input.delta.squeeze_dim(1),
            dt_proj: None,
            a: input.a,
            b: input.b.squeeze_dim(1),
            c: input.c.squeeze_dim(1),
            d: input.d,
            z: input.z.map(|z| z.squeeze_dim(1)),
            dt_bias: input.delta_bias,
            dt_softplus: input.delta_softplus,
            in_place,
        },
    );
    (y.unsqueeze_dim(1), state)
}
