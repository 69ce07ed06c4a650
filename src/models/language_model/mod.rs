//! A language model of Mamba blocks.
//!
//! ```text
//! r_0 = embedding(ids)                                   (b, l, m), f32 throughout
//! r_i = r + mixer(RMSNorm(r)),  then with an MLP  r + fc2(y ⊙ silu(g)), (y, g) = fc1(RMSNorm(r))
//! logits = head(RMSNorm(r_L))                            the head is the embedding if tied
//! ```
//!
//! Weights may be stored in half precision; matrix products then read them so, and everything else
//! is f32. Parameters have the names and shapes of the state-spaces checkpoints.
//!
//! Source: state-spaces/mamba, the models of Gu & Dao (arXiv:2312.00752, arXiv:2405.21060).

pub mod config;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear};
use burn::tensor::activation::silu;
use burn::tensor::{Device, FloatDType, Int, Tensor};

pub use config::{LanguageModelConfig, MixerConfig};

use crate::error::Result;
use crate::nn::mamba::linear;
use crate::nn::mamba2::NormScale;
use crate::nn::projection::{by_output, project};
use crate::nn::recompute::{Strategy, again, strategy, with};
use crate::nn::{Mamba, Mamba2, Mamba2State, MambaState};
use crate::ops::dense::{NormBefore, WeightLayout, dense};
use crate::ops::overwrite::copied;
use crate::ops::{is_cpu, rms_norm};

/// A language model.
#[derive(Module, Debug)]
pub struct LanguageModel {
    pub backbone: Backbone,
    /// Absent where the embedding is the head.
    pub lm_head: Option<Linear>,
    #[module(skip)]
    config: LanguageModelConfig,
}

/// Everything but the head.
#[derive(Module, Debug)]
pub struct Backbone {
    pub embedding: Embedding,
    pub layers: Vec<Block>,
    pub norm_f: NormScale,
}

/// A layer.
#[derive(Module, Debug)]
pub struct Block {
    pub norm: NormScale,
    pub mixer: Mixer,
    pub norm2: Option<NormScale>,
    pub mlp: Option<GatedMlp>,
}

/// What mixes the tokens of a layer.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one per layer, never copied")]
pub enum Mixer {
    Mamba(Mamba),
    Mamba2(Mamba2),
}

/// `fc2(y ⊙ silu(g))` of `(y, g) = fc1(x)`.
#[derive(Module, Debug)]
pub struct GatedMlp {
    pub fc1: Linear,
    pub fc2: Linear,
}

/// What a layer carries from token to token.
#[derive(Debug, Clone)]
pub enum LayerState {
    Mamba(MambaState),
    Mamba2(Mamba2State),
}

/// What a model carries from token to token: its size does not grow.
#[derive(Debug, Clone)]
pub struct ModelState {
    /// A state per layer.
    pub layers: Vec<LayerState>,
}

impl ModelState {
    /// The same values in memory that nobody else holds, into which single tokens write on a GPU.
    pub fn own_memory(self) -> Self {
        let layers = self.layers.into_iter().map(|layer| match layer {
            LayerState::Mamba(state) => LayerState::Mamba(MambaState {
                conv: copied(state.conv),
                ssm: copied(state.ssm),
                in_place: true,
            }),
            LayerState::Mamba2(state) => LayerState::Mamba2(Mamba2State {
                conv: copied(state.conv),
                ssm: copied(state.ssm),
                in_place: true,
            }),
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// The state for a token, of which the next one takes its place. On a CPU nothing is left, so that
    /// the token's step may use its memory; on a GPU it is that memory by itself.
    pub fn hand_over(&mut self) -> Self {
        let on_cpu = self.layers.first().is_some_and(LayerState::on_cpu);
        match on_cpu {
            true => Self {
                layers: std::mem::take(&mut self.layers),
            },
            false => self.clone(),
        }
    }
}

impl LanguageModelConfig {
    /// A model with the published start: embedding N(0, 0.02²), projections as the blocks start
    /// them, those that write to the residual stream divided by √n_layer.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn init(&self, device: &Device) -> Result<LanguageModel> {
        self.validate()?;
        let (m, rows) = (self.d_model, self.padded_vocabulary());
        let layers = (0..self.n_layer).map(|_| self.block(device)).collect();
        let embedding = EmbeddingConfig::new(rows, m)
            .with_initializer(Initializer::Normal {
                mean: 0.0,
                std: 0.02,
            })
            .init(device);
        Ok(LanguageModel {
            backbone: Backbone {
                embedding,
                layers,
                norm_f: NormScale::new(m, device),
            },
            lm_head: (!self.tie_embeddings).then(|| linear(m, rows, false, 1.0, device)),
            config: self.clone(),
        })
    }

    fn block(&self, device: &Device) -> Block {
        let (m, residuals) = (self.d_model, self.n_layer);
        let mixer = match &self.mixer {
            MixerConfig::Mamba1(c) => Mixer::Mamba(c.init(residuals, device)),
            MixerConfig::Mamba2(c) => Mixer::Mamba2(c.init(residuals, device)),
        };
        let mlp = (self.d_intermediate > 0).then(|| {
            let width = self.mlp_width();
            let scale = 1.0 / (residuals as f64).sqrt();
            GatedMlp {
                fc1: linear(m, 2 * width, false, 1.0, device),
                fc2: linear(width, m, false, scale, device),
            }
        });
        Block {
            norm: NormScale::new(m, device),
            mixer,
            norm2: mlp.is_some().then(|| NormScale::new(m, device)),
            mlp,
        }
    }
}

impl LanguageModel {
    /// Its sizes.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.config
    }

    /// The model for use as it is, whose parameters will not change: see [`Mamba::frozen`].
    pub fn frozen(mut self) -> Self {
        for block in &mut self.backbone.layers {
            block.mixer = match block.mixer.clone() {
                Mixer::Mamba(mixer) => Mixer::Mamba(mixer.frozen()),
                Mixer::Mamba2(mixer) => Mixer::Mamba2(mixer.frozen()),
            };
            block.mlp = block.mlp.take().map(|mlp| GatedMlp {
                fc1: by_output(mlp.fc1),
                fc2: by_output(mlp.fc2),
            });
        }
        self.lm_head = self.lm_head.map(by_output);
        self
    }

    /// Runs the model over ids, (b, l), from `state` (the start of a text if absent): logits,
    /// (b, l or 1, padded vocabulary), f32, of every token or of the `last` alone, and the state
    /// after it.
    ///
    /// Where `mask`, (b, l), is zero a token is padding, which comes before those of a sequence and
    /// changes nothing for them.
    ///
    /// # Panics
    /// If an id is beyond the embedding, or the state is of another model.
    pub fn forward(
        &self,
        ids: Tensor<2, Int>,
        state: Option<ModelState>,
        mask: Option<Tensor<2>>,
        last: bool,
    ) -> (Tensor<3>, ModelState) {
        let (hidden, state) = self.hidden(ids, state, mask);
        let [_, l, _] = hidden.dims();
        let hidden = match last {
            true => hidden.narrow(1, l - 1, 1),
            false => hidden,
        };
        (self.logits(hidden), state)
    }

    /// The next token of each sequence, (b): logits, (b, padded vocabulary), and the next state.
    pub fn step(&self, ids: Tensor<1, Int>, state: ModelState) -> (Tensor<2>, ModelState) {
        let (logits, state) = self.forward(ids.unsqueeze_dim(1), Some(state), None, true);
        (logits.squeeze_dim(1), state)
    }

    /// What the head reads, (b, l, m); as [`forward`](Self::forward).
    pub fn hidden(
        &self,
        ids: Tensor<2, Int>,
        state: Option<ModelState>,
        mask: Option<Tensor<2>>,
    ) -> (Tensor<3>, ModelState) {
        let before: Vec<Option<LayerState>> = match state {
            Some(state) => state.layers.into_iter().map(Some).collect(),
            None => self.backbone.layers.iter().map(|_| None).collect(),
        };
        let mask: Option<Tensor<3>> = mask.map(|mask| mask.unsqueeze_dim(2));
        assert!(
            before.len() == self.backbone.layers.len(),
            "the state has {} layers, the model {}",
            before.len(),
            self.backbone.layers.len()
        );
        let mut layers = Vec::with_capacity(before.len());
        let mut residual = self.backbone.embedding.forward(ids).cast(FloatDType::F32);
        let eps = self.config.norm_epsilon;
        for (block, state) in self.backbone.layers.iter().zip(before) {
            let (sum, state) = block.forward(residual, state, mask.as_ref(), eps);
            residual = sum;
            layers.push(state);
        }
        let hidden = normed(&self.backbone.norm_f, residual, eps);
        (hidden, ModelState { layers })
    }

    /// The head on what [`hidden`](Self::hidden) gives.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [b, l, m] = hidden.dims();
        match &self.lm_head {
            Some(head) => project(head, hidden),
            None => {
                let weight = self.backbone.embedding.weight.val();
                let rows = weight.dims()[0];
                let logits = dense(hidden.reshape([b * l, m]), weight, WeightLayout::OutIn);
                logits.reshape([b, l, rows])
            }
        }
    }
}

fn normed(scale: &NormScale, x: Tensor<3>, eps: f64) -> Tensor<3> {
    let weight = with(scale.weight.val(), strategy(&x));
    rms_norm(x, weight, eps, None, 1, false)
}

impl LayerState {
    /// Whether a single token may write into its memory.
    fn in_place(&self) -> bool {
        match self {
            Self::Mamba(state) => state.in_place,
            Self::Mamba2(state) => state.in_place,
        }
    }

    fn on_cpu(&self) -> bool {
        is_cpu(&match self {
            Self::Mamba(state) => state.ssm.device(),
            Self::Mamba2(state) => state.ssm.device(),
        })
    }

    /// The state, kept for gradients as `how` says.
    fn keeping(self, how: Strategy) -> Self {
        match self {
            Self::Mamba(state) => Self::Mamba(MambaState {
                conv: with(state.conv, how),
                ssm: with(state.ssm, how),
                ..state
            }),
            Self::Mamba2(state) => Self::Mamba2(Mamba2State {
                conv: with(state.conv, how),
                ssm: with(state.ssm, how),
                ..state
            }),
        }
    }
}

impl Block {
    /// The residual stream r, (b, l, m), after this layer.
    fn forward(
        &self,
        r: Tensor<3>,
        state: Option<LayerState>,
        mask: Option<&Tensor<3>>,
        eps: f64,
    ) -> (Tensor<3>, LayerState) {
        let kept = strategy(&r);
        let single = r.dims()[1] == 1 && mask.is_none() && !r.is_autodiff();
        let (r, state) = match state {
            Some(state) if single && state.in_place() => self.mix_single(r, state, eps),
            state => {
                let (y, state) = self.mix(normed(&self.norm, again(r.clone()), eps), state, mask);
                (r + with(y, kept), state.keeping(kept))
            }
        };
        match (&self.norm2, &self.mlp) {
            (Some(norm), Some(mlp)) => {
                let y = mlp.forward(normed(norm, again(r.clone()), eps));
                (r + with(y, kept), state)
            }
            _ => (r, state),
        }
    }

    /// The sum of a residual stream, (b, 1, m), and what the mixer makes of it.
    fn mix_single(&self, r: Tensor<3>, state: LayerState, eps: f64) -> (Tensor<3>, LayerState) {
        let r = r.squeeze_dim(1);
        let norm = NormBefore {
            weight: self.norm.weight.val(),
            eps,
            gate: None,
            norm_before_gate: false,
        };
        let (r, state) = match (&self.mixer, state) {
            (Mixer::Mamba(mixer), LayerState::Mamba(state)) => {
                let (r, state) = mixer.residual_step(r, norm, state);
                (r, LayerState::Mamba(state))
            }
            (Mixer::Mamba2(mixer), LayerState::Mamba2(state)) => {
                let (r, state) = mixer.residual_step(r, norm, state);
                (r, LayerState::Mamba2(state))
            }
            _ => panic!("the state of another model"),
        };
        (r.unsqueeze_dim(1), state)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<LayerState>,
        mask: Option<&Tensor<3>>,
    ) -> (Tensor<3>, LayerState) {
        match (&self.mixer, state) {
            (Mixer::Mamba(mixer), None) => {
                let (y, state) = mixer.forward(x, None, mask);
                (y, LayerState::Mamba(state))
            }
            (Mixer::Mamba(mixer), Some(LayerState::Mamba(state))) => {
                let (y, state) = mixer.forward(x, Some(state), mask);
                (y, LayerState::Mamba(state))
            }
            (Mixer::Mamba2(mixer), None) => {
                let (y, state) = mixer.forward(x, None, mask);
                (y, LayerState::Mamba2(state))
            }
            (Mixer::Mamba2(mixer), Some(LayerState::Mamba2(state))) => {
                let (y, state) = mixer.forward(x, Some(state), mask);
                (y, LayerState::Mamba2(state))
            }
            _ => panic!("the state of another model"),
        }
    }
}

impl GatedMlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let both = project(&self.fc1, x);
        let width = both.dims()[2] / 2;
        let (y, gate) = (
            both.clone().narrow(2, 0, width),
            both.narrow(2, width, width),
        );
        project(&self.fc2, y * silu(gate))
    }
}

/// Whether weight decay leaves a parameter alone, as the trainer of the published models did:
/// A_log, D, every bias, every scale of a norm.
pub fn is_exempt_from_decay(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or("");
    let owner = parts.next().unwrap_or("");
    matches!(last, "A_log" | "D" | "bias" | "dt_bias") || owner.starts_with("norm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::state_dict::parameters;

    #[test]
    fn published_sizes_have_the_published_number_of_parameters() {
        let device = Device::flex();
        for (size, mamba2, wanted) in [
            ("130m", false, 129_135_360),
            ("370m", false, 371_516_416),
            ("130m", true, 128_989_632),
            ("370m", true, 368_346_624),
        ] {
            let config = LanguageModelConfig::published(size, mamba2).unwrap();
            assert_eq!(parameters(&config.init(&device).unwrap()), wanted, "{size}");
        }
    }

    #[test]
    fn decay_leaves_alone_what_it_should() {
        for name in [
            "backbone.layers.0.mixer.A_log",
            "backbone.layers.0.mixer.D",
            "backbone.layers.0.mixer.dt_bias",
            "backbone.layers.0.mixer.dt_proj.bias",
            "backbone.layers.0.mixer.conv1d.bias",
            "backbone.layers.0.mixer.norm.weight",
            "backbone.layers.0.norm2.weight",
            "backbone.norm_f.weight",
        ] {
            assert!(is_exempt_from_decay(name), "{name}");
        }
        for name in [
            "backbone.embedding.weight",
            "backbone.layers.0.mixer.conv1d.weight",
            "backbone.layers.0.mixer.dt_proj.weight",
            "lm_head.weight",
        ] {
            assert!(!is_exempt_from_decay(name), "{name}");
        }
    }
}
