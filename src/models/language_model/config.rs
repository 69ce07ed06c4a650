//! Sizes of language models, under the names of the published configuration.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::{Mamba2Config, MambaConfig};

/// The block of every layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer")]
pub enum MixerConfig {
    /// Mamba.
    Mamba1(MambaConfig),
    /// Mamba-2.
    Mamba2(Mamba2Config),
}

/// A language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageModelConfig {
    /// Width of the residual stream, m.
    pub d_model: usize,
    /// Layers.
    pub n_layer: usize,
    /// Tokens, before padding.
    pub vocab_size: usize,
    /// The embedding has this multiple of rows.
    pub pad_vocab_size_multiple: usize,
    /// Hidden width of the gated MLP after each mixer, rounded up to a multiple of 128; 0 for none.
    pub d_intermediate: usize,
    /// Whether the head shares the embedding's weight.
    pub tie_embeddings: bool,
    /// Added under the root of the norms.
    pub norm_epsilon: f64,
    /// The block of every layer.
    pub mixer: MixerConfig,
}

/// What published models are padded to.
const PUBLISHED_VOCABULARY: usize = 50_277;

impl LanguageModelConfig {
    /// A model of `n_layer` blocks over `vocab_size` tokens, tied, without MLP.
    pub fn new(n_layer: usize, vocab_size: usize, mixer: MixerConfig) -> Self {
        let d_model = match &mixer {
            MixerConfig::Mamba1(c) => c.d_model,
            MixerConfig::Mamba2(c) => c.d_model,
        };
        Self {
            d_model,
            n_layer,
            vocab_size,
            pad_vocab_size_multiple: 8,
            d_intermediate: 0,
            tie_embeddings: true,
            norm_epsilon: crate::nn::norm::EPSILON,
            mixer,
        }
    }

    /// A published size, `130m` to `2.8b` (`2.7b` for Mamba-2).
    ///
    /// # Errors
    /// A size that was not published.
    pub fn published(size: &str, mamba2: bool) -> Result<Self> {
        let names = match mamba2 {
            false => ["130m", "370m", "790m", "1.4b", "2.8b"],
            true => ["130m", "370m", "780m", "1.3b", "2.7b"],
        };
        let widths = [(768, 24), (1024, 48), (1536, 48), (2048, 48), (2560, 64)];
        let found = names.iter().position(|name| *name == size);
        let Some((d_model, n_layer)) = found.map(|i| widths[i]) else {
            return Err(Error::unknown("size", size, &names));
        };
        let (mixer, multiple) = match mamba2 {
            false => {
                let config = MambaConfig {
                    d_model,
                    ..Default::default()
                };
                (MixerConfig::Mamba1(config), 8)
            }
            true => {
                let config = Mamba2Config {
                    d_model,
                    ..Default::default()
                };
                (MixerConfig::Mamba2(config), 16)
            }
        };
        Ok(Self {
            pad_vocab_size_multiple: multiple,
            ..Self::new(n_layer, PUBLISHED_VOCABULARY, mixer)
        })
    }

    /// Rows of the embedding.
    pub fn padded_vocabulary(&self) -> usize {
        self.vocab_size
            .next_multiple_of(self.pad_vocab_size_multiple.max(1))
    }

    /// Hidden width of the MLP as built.
    pub fn mlp_width(&self) -> usize {
        self.d_intermediate.next_multiple_of(128)
    }

    /// Refuses what cannot be built.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let counts = [
            ("d_model", self.d_model),
            ("n_layer", self.n_layer),
            ("vocab_size", self.vocab_size),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(Error::config(*name, "is 0", "give at least 1"));
        }
        let (width, problem) = match &self.mixer {
            MixerConfig::Mamba1(c) => {
                let zero = c.d_state == 0 || c.expand == 0 || c.dt_rank() == 0;
                let problem = match c.d_conv {
                    0 | 1 => Some(format!("d_conv is {}, of at least 2", c.d_conv)),
                    _ => zero.then(|| "a size of the mixer is 0".to_string()),
                };
                (c.d_model, problem)
            }
            MixerConfig::Mamba2(c) => (c.d_model, c.problem()),
        };
        if width != self.d_model {
            return Err(Error::config(
                "d_model",
                format!("is {}, but {width} in the mixer", self.d_model),
                "give both the same",
            ));
        }
        match problem {
            Some(problem) => Err(Error::config("mixer", problem, "repair the configuration")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_have_the_published_vocabulary() {
        let one = LanguageModelConfig::published("130m", false).unwrap();
        assert_eq!((one.d_model, one.n_layer), (768, 24));
        assert_eq!(one.padded_vocabulary(), 50_280);
        let two = LanguageModelConfig::published("2.7b", true).unwrap();
        assert_eq!((two.d_model, two.n_layer), (2560, 64));
        assert_eq!(two.padded_vocabulary(), 50_288);
        let message = LanguageModelConfig::published("2.7b", false)
            .unwrap_err()
            .to_string();
        assert!(message.contains("2.8b"), "{message}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let mixer = Mamba2Config {
            d_model: 16,
            headdim: 5,
            ..Default::default()
        };
        let config = LanguageModelConfig::new(2, 10, MixerConfig::Mamba2(mixer));
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains("no whole heads of 5"), "{message}");
        let other = LanguageModelConfig {
            d_model: 8,
            ..LanguageModelConfig::new(2, 10, MixerConfig::Mamba1(MambaConfig::default()))
        };
        let message = other.validate().unwrap_err().to_string();
        assert!(message.contains("768 in the mixer"), "{message}");
    }
}
