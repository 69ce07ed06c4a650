//! The Mamba-2 block: a state space with a scalar decay for each head, between two projections.
//!
//! With `b` batch, `l` time, `m` d_model, `e` expand · m, `d` d_ssm (= e unless given), `p` headdim,
//! `h` = d / p heads, `g` ngroups, `n` d_state, `k` d_conv:
//!
//! ```text
//! u (b, l, m) -> in_proj -> z0, x0 (e - d), z (d), x (d), B (g n), C (g n), dt (h)
//! (x, B, C) -> causal conv over k steps, silu
//! dt' = clamp(softplus(dt + dt_bias), dt_limit),  A = -exp(A_log)
//! y = ssd(x, dt', A, B, C, D)
//! y = RMSNorm(y ⊙ silu(z)) in g groups, or RMSNorm(y) ⊙ silu(z), or y ⊙ silu(z)
//! out = out_proj(silu(z0) ⊙ x0, y)
//! ```
//!
//! Parameters have the names and shapes of the published checkpoints.
//!
//! Source: Dao & Gu, "Transformers are SSMs" (arXiv:2405.21060), §7; state-spaces/mamba for the
//! initial values.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{silu, softplus};
use burn::tensor::{Device, Distribution, Tensor};
use serde::{Deserialize, Serialize};

use super::depthwise::DepthwiseConv;
use super::mamba::{initial_dt, linear};
use super::norm::EPSILON;
use super::projection::{by_output, project, project_convolved};
use super::recompute::{again, strategy, with};
use crate::ops::dense::{Around, NormBefore, dense_step};
use crate::ops::part::last_part;
use crate::ops::{HeadStep, SsdInput, rms_norm, selective_state_update_heads, ssd};

/// Sizes and start of a block, under the published names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(non_snake_case, reason = "two of the published names are not")]
pub struct Mamba2Config {
    /// Width of input and output, m.
    pub d_model: usize,
    /// State per channel, n.
    pub d_state: usize,
    /// Width of the convolution, k.
    pub d_conv: usize,
    /// Bound of the initial taps; absent for 1/√k.
    pub conv_init: Option<f64>,
    /// Inner channels over d_model.
    pub expand: usize,
    /// Channels of a head, p.
    pub headdim: usize,
    /// Channels of the state space; absent for all inner channels.
    pub d_ssm: Option<usize>,
    /// Groups that share B and C, g.
    pub ngroups: usize,
    /// Range of the initial -A.
    pub A_init_range: (f64, f64),
    /// Whether D is one number for each channel instead of each head.
    pub D_has_hdim: bool,
    /// Whether there is a gated norm before out_proj.
    pub rmsnorm: bool,
    /// Whether that norm comes before its gate.
    pub norm_before_gate: bool,
    /// Smallest initial Δ.
    pub dt_min: f64,
    /// Largest initial Δ.
    pub dt_max: f64,
    /// Lower bound of the initial Δ.
    pub dt_init_floor: f64,
    /// Bounds of Δ; null stands for infinity.
    #[serde(with = "limits")]
    pub dt_limit: (f64, f64),
    /// Whether in_proj and out_proj have a bias.
    pub bias: bool,
    /// Whether the convolution has one.
    pub conv_bias: bool,
    /// Steps of a chunk.
    pub chunk_size: usize,
    /// Added under the root of the gated norm; 1e-5 in every published model.
    pub norm_eps: f64,
}

impl Default for Mamba2Config {
    fn default() -> Self {
        Self {
            d_model: 768,
            d_state: 128,
            d_conv: 4,
            conv_init: None,
            expand: 2,
            headdim: 64,
            d_ssm: None,
            ngroups: 1,
            A_init_range: (1.0, 16.0),
            D_has_hdim: false,
            rmsnorm: true,
            norm_before_gate: false,
            dt_min: 1e-3,
            dt_max: 0.1,
            dt_init_floor: 1e-4,
            dt_limit: (0.0, f64::INFINITY),
            bias: false,
            conv_bias: true,
            chunk_size: 256,
            norm_eps: EPSILON,
        }
    }
}

/// Two numbers, the second of which JSON may not be able to write.
mod limits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(limits: &(f64, f64), s: S) -> Result<S::Ok, S::Error> {
        (limits.0, limits.1.is_finite().then_some(limits.1)).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<(f64, f64), D::Error> {
        let (low, high) = <(f64, Option<f64>)>::deserialize(d)?;
        Ok((low, high.unwrap_or(f64::INFINITY)))
    }
}

/// A Mamba-2 block.
#[derive(Module, Debug)]
pub struct Mamba2 {
    pub in_proj: Linear,
    pub conv1d: DepthwiseConv,
    /// Added to dt, (h).
    pub dt_bias: Param<Tensor<1>>,
    /// ln(-A), (h).
    pub a_log: Param<Tensor<1>>,
    /// Skip D, (h) or (d).
    pub d_skip: Param<Tensor<1>>,
    pub norm: Option<NormScale>,
    pub out_proj: Linear,
    /// -exp(A_log), (h), of a block whose parameters will not change.
    decay: Option<Tensor<1>>,
    #[module(skip)]
    config: Mamba2Config,
}

/// The scale of a norm.
#[derive(Module, Debug)]
pub struct NormScale {
    /// (d).
    pub weight: Param<Tensor<1>>,
}

impl NormScale {
    /// Ones.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Param::from_tensor(Tensor::ones([channels], device)),
        }
    }
}

/// What a block carries from token to token.
#[derive(Debug, Clone)]
pub struct Mamba2State {
    /// The last k-1 inputs of the convolution, (b, k-1, d + 2 g n).
    pub conv: Tensor<3>,
    /// State of the scan, (b, h, p, n).
    pub ssm: Tensor<4>,
    /// As in [`MambaState`](super::MambaState).
    pub in_place: bool,
}

impl Mamba2Config {
    /// Inner channels, e.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Channels of the state space, d.
    pub fn d_ssm(&self) -> usize {
        self.d_ssm.unwrap_or(self.d_inner())
    }

    /// Heads, h.
    pub fn nheads(&self) -> usize {
        self.d_ssm() / self.headdim
    }

    /// Channels of the convolution.
    pub fn d_conv_channels(&self) -> usize {
        self.d_ssm() + 2 * self.ngroups * self.d_state
    }

    /// What cannot be built, if anything.
    pub fn problem(&self) -> Option<String> {
        let (d, p, g) = (self.d_ssm(), self.headdim, self.ngroups);
        let zero = [
            ("headdim", p),
            ("ngroups", g),
            ("d_state", self.d_state),
            ("chunk_size", self.chunk_size),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, v)| *v == 0) {
            return Some(format!("{name} is 0"));
        }
        if self.d_conv < 2 {
            return Some(format!("d_conv is {}, of at least 2", self.d_conv));
        }
        if d == 0 || d > self.d_inner() {
            return Some(format!(
                "d_ssm is {d}, of {} inner channels",
                self.d_inner()
            ));
        }
        if !d.is_multiple_of(p) {
            return Some(format!("{d} channels are no whole heads of {p}"));
        }
        if !self.nheads().is_multiple_of(g) {
            return Some(format!("{} heads are no {g} equal groups", self.nheads()));
        }
        None
    }

    /// A block with the published start: -A uniform in A_init_range, D = 1, softplus of dt_bias
    /// log-uniform in dt_min..dt_max, projections as PyTorch starts them with biases of zero, and
    /// out_proj divided by `√residuals`, the number of branches that add to the residual stream.
    ///
    /// # Panics
    /// If [`problem`](Self::problem) finds something.
    pub fn init(&self, residuals: usize, device: &Device) -> Mamba2 {
        if let Some(problem) = self.problem() {
            panic!("Mamba2Config: {problem}");
        }
        let (m, e, d, h) = (self.d_model, self.d_inner(), self.d_ssm(), self.nheads());
        let channels = self.d_conv_channels();
        let (low, high) = self.A_init_range;
        let range = (self.dt_min, self.dt_max);
        let skips = if self.D_has_hdim { d } else { h };
        Mamba2 {
            in_proj: linear(m, 2 * (e - d) + d + channels + h, self.bias, 1.0, device),
            conv1d: DepthwiseConv::new(
                channels,
                self.d_conv,
                self.conv_bias,
                self.conv_init,
                device,
            ),
            dt_bias: Param::from_tensor(initial_dt(h, range, self.dt_init_floor, device)),
            a_log: Param::from_tensor(
                Tensor::random([h], Distribution::Uniform(low, high), device).log(),
            ),
            d_skip: Param::from_tensor(Tensor::ones([skips], device)),
            norm: self.rmsnorm.then(|| NormScale::new(d, device)),
            out_proj: linear(e, m, self.bias, 1.0 / (residuals as f64).sqrt(), device),
            decay: None,
            config: self.clone(),
        }
    }
}

impl Mamba2 {
    /// What it was made from.
    pub fn config(&self) -> &Mamba2Config {
        &self.config
    }

    /// A, (h).
    fn rates(&self) -> Tensor<1> {
        self.a_log.val().exp().neg()
    }

    /// As [`Mamba::frozen`](super::Mamba::frozen).
    pub fn frozen(self) -> Self {
        let decay = Some(self.rates());
        Self {
            decay,
            in_proj: by_output(self.in_proj),
            out_proj: by_output(self.out_proj),
            ..self
        }
    }

    /// The state before the first token, for `batch` sequences.
    pub fn empty_state(&self, batch: usize, device: &Device) -> Mamba2State {
        let c = &self.config;
        Mamba2State {
            conv: Tensor::zeros([batch, c.d_conv - 1, c.d_conv_channels()], device),
            ssm: Tensor::zeros([batch, c.nheads(), c.headdim, c.d_state], device),
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
        state: Option<Mamba2State>,
        mask: Option<&Tensor<3>>,
    ) -> (Tensor<3>, Mamba2State) {
        let c = &self.config;
        let [b, l, _] = u.dims();
        let (e, d, h, g, n) = (c.d_inner(), c.d_ssm(), c.nheads(), c.ngroups, c.d_state);
        let channels = c.d_conv_channels();
        let past = e - d;
        let in_place = state.as_ref().is_some_and(|s| s.in_place && l == 1);
        let outside = strategy(&u);
        // What the convolution and the norm make is computed again for gradients.
        let u = again(u);
        let how = strategy(&u);
        let (conv, ssm) = state.map(|s| (s.conv, s.ssm)).unzip();
        let masked = |x: Tensor<3>| match mask {
            Some(mask) => x * with(mask.clone(), how),
            None => x,
        };
        let all = project(&self.in_proj, u);
        let part = |start: usize, len: usize| last_part(all.clone(), start, len);
        let z = part(2 * past, d);
        let xbc = masked(part(2 * past + d, channels));
        let (xbc, conv) = self.conv1d.after(xbc, conv, in_place);
        let xbc = masked(xbc);
        let dt = part(2 * past + d + channels, h);
        let x = last_part(xbc.clone(), 0, d).reshape([b, l, h, c.headdim]);
        let group = |start: usize| {
            let values = last_part(xbc.clone(), start, g * n);
            values.reshape([b, l, g, n])
        };
        let (y, ssm) = self.scan(x, dt, [group(d), group(d + g * n)], ssm, in_place);
        let y = self.gated(y.reshape([b, l, d]), z);
        let y = match past {
            0 => y,
            _ => Tensor::cat(vec![silu(part(0, past)) * part(past, past), y], 2),
        };
        let state = Mamba2State {
            conv: with(conv, outside),
            ssm: with(ssm, outside),
            in_place,
        };
        (with(project(&self.out_proj, y), outside), state)
    }

    /// One token of each sequence of a residual stream r, (b, m): r + block(norm(r)) and the state
    /// after it, as [`forward`](Self::forward) gives them; of a single sequence three kernels on a
    /// GPU, where the block is [frozen](Self::frozen) and its norm takes all channels at once.
    ///
    /// # Panics
    /// If the shapes do not fit together, and on a device with gradients.
    pub fn residual_step(
        &self,
        r: Tensor<2>,
        norm: NormBefore,
        state: Mamba2State,
    ) -> (Tensor<2>, Mamba2State) {
        let c = &self.config;
        let [b, _] = r.dims();
        let (e, d, h, g, n) = (c.d_inner(), c.d_ssm(), c.nheads(), c.ngroups, c.d_state);
        let channels = c.d_conv_channels();
        let past = e - d;
        let in_place = state.in_place;
        let (all, conv) = project_convolved(
            &self.in_proj,
            &self.conv1d,
            2 * past + d,
            r.clone(),
            norm,
            state.conv,
            in_place,
        );
        let part = |start: usize, len: usize| last_part(all.clone(), start, len);
        let z = part(2 * past, d);
        let xbc = 2 * past + d;
        let group = |start: usize| part(xbc + start, g * n).reshape([b, 1, g, n]);
        let x = part(xbc, d).reshape([b, 1, h, c.headdim]);
        let dt = part(xbc + channels, h).unsqueeze_dim(1);
        let (y, ssm) = self.scan(
            x,
            dt,
            [group(d), group(d + g * n)],
            Some(state.ssm),
            in_place,
        );
        let y = y.reshape([b, d]);
        let mut around = Around {
            bias: self.out_proj.bias.as_ref().map(Param::val),
            residual: Some(r),
            ..Around::default()
        };
        let y = match &self.norm {
            Some(scale) if past == 0 && g == 1 => {
                around.norm = Some(NormBefore {
                    weight: scale.weight.val(),
                    eps: c.norm_eps,
                    gate: Some(z),
                    norm_before_gate: c.norm_before_gate,
                });
                y
            }
            _ => {
                let y: Tensor<2> = self
                    .gated(y.unsqueeze_dim(1), z.unsqueeze_dim(1))
                    .squeeze_dim(1);
                match past {
                    0 => y,
                    _ => Tensor::cat(vec![silu(part(0, past)) * part(past, past), y], 1),
                }
            }
        };
        let (r, _) = dense_step(y, self.out_proj.weight.val(), around);
        let state = Mamba2State {
            conv,
            ssm,
            in_place,
        };
        (r, state)
    }

    /// One token of each sequence, (b, m); as [`forward`](Self::forward) over one step.
    pub fn step(&self, u: Tensor<2>, state: Mamba2State) -> (Tensor<2>, Mamba2State) {
        let (y, state) = self.forward(u.unsqueeze_dim(1), Some(state), None);
        (y.squeeze_dim(1), state)
    }

    /// The scan over x (b, l, h, p), dt (b, l, h) as projected, B and C (b, l, g, n); for a single
    /// token after others the one step of it.
    fn scan(
        &self,
        x: Tensor<4>,
        dt: Tensor<3>,
        [b, c]: [Tensor<4>; 2],
        state: Option<Tensor<4>>,
        in_place: bool,
    ) -> (Tensor<4>, Tensor<4>) {
        let config = &self.config;
        let how = strategy(&x);
        let state = state.map(|state| with(state, how));
        let [_, l, h, _] = x.dims();
        let [skips] = self.d_skip.lazy_shape().dims();
        let a = with(self.decay.clone().unwrap_or_else(|| self.rates()), how);
        let d = Some(with(self.d_skip.val(), how).reshape([h, skips / h]));
        let (1, Some(state)) = (l, state.clone()) else {
            let bias = with(self.dt_bias.val(), how);
            let dt = softplus(dt + bias.unsqueeze(), 1.0);
            let out = ssd(SsdInput {
                x,
                dt: self.limited(dt),
                a,
                b,
                c,
                d,
                initial: state,
                seq_idx: None,
                chunk: config.chunk_size,
            });
            return (out.y, out.state);
        };
        let (y, state) = selective_state_update_heads(
            state,
            HeadStep {
                x: x.squeeze_dim(1),
                dt: dt.squeeze_dim(1),
                a,
                b: b.squeeze_dim(1),
                c: c.squeeze_dim(1),
                d,
                z: None,
                dt_bias: Some(with(self.dt_bias.val(), how)),
                dt_softplus: true,
                dt_limit: config.dt_limit,
                in_place,
            },
        );
        (y.unsqueeze_dim(1), state)
    }

    fn limited(&self, dt: Tensor<3>) -> Tensor<3> {
        let (low, high) = self.config.dt_limit;
        match (low > 0.0, high.is_finite()) {
            (false, false) => dt,
            (true, false) => dt.clamp_min(low),
            (_, true) => dt.clamp(low, high),
        }
    }

    fn gated(&self, y: Tensor<3>, z: Tensor<3>) -> Tensor<3> {
        let c = &self.config;
        match &self.norm {
            Some(norm) => rms_norm(
                y,
                with(norm.weight.val(), strategy(&z)),
                c.norm_eps,
                Some(z),
                c.ngroups,
                c.norm_before_gate,
            ),
            None => y * silu(z),
        }
    }
}
