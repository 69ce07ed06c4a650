//! Configurations of the published formats.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::json;
use crate::error::{Error, Result};
use crate::models::{LanguageModelConfig, MixerConfig};
use crate::nn::mamba::DtInit;
use crate::nn::norm::EPSILON;
use crate::nn::{Mamba2Config, MambaConfig};

/// Whose names a checkpoint uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// state-spaces/mamba: config.json with d_model.
    StateSpaces,
    /// Hugging Face transformers: config.json with model_type.
    #[value(name = "hf")]
    HuggingFace,
    /// Mistral's Codestral Mamba: params.json with dim.
    Codestral,
}

/// What a configuration file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    pub config: LanguageModelConfig,
    pub format: Format,
    /// Tokens that end a text, where the file names them.
    pub eos: Vec<u32>,
}

/// Reads the configuration of a checkpoint folder.
///
/// # Errors
/// A folder without configuration, a key that is unknown or of the wrong type, a model this
/// program does not have.
pub fn read(folder: &Path) -> Result<Described> {
    let config = folder.join("config.json");
    let params = folder.join("params.json");
    let path = if config.is_file() || !params.is_file() {
        config
    } else {
        params
    };
    if !path.is_file() {
        return Err(Error::file(
            folder,
            "config.json",
            "there is no model in this folder: neither config.json nor params.json",
            "give the folder of a checkpoint",
        ));
    }
    let value = json::read(&path)?;
    let Some(fields) = value.as_object() else {
        return Err(wrong(&path, "configuration", "is no object"));
    };
    let reader = Reader { path, fields };
    let config = if fields.contains_key("model_type") && fields.contains_key("hidden_size") {
        (reader.hugging_face()?, Format::HuggingFace)
    } else if fields.contains_key("dim") {
        (reader.codestral()?, Format::Codestral)
    } else if fields.contains_key("d_model") {
        (reader.state_spaces()?, Format::StateSpaces)
    } else {
        return Err(wrong(
            &reader.path,
            "configuration",
            "has neither d_model (state-spaces), model_type and hidden_size (Hugging Face) nor dim \
             (Codestral)",
        ));
    };
    let (config, format) = config;
    config
        .validate()
        .map_err(|e| wrong(&reader.path, "configuration", &e.to_string()))?;
    Ok(Described {
        config,
        format,
        eos: reader.eos(),
    })
}

fn wrong(path: &Path, field: &str, problem: &str) -> Error {
    Error::file(
        path,
        field,
        problem,
        "see docs/lm.md for the formats that are read",
    )
}

struct Reader<'a> {
    path: PathBuf,
    fields: &'a Map<String, Value>,
}

/// Keys that change speed alone.
const SPEED_ONLY: [&str; 8] = [
    "use_fast_path",
    "use_mem_eff_path",
    "process_group",
    "sequence_parallel",
    "device",
    "dtype",
    "layer_idx",
    "activation",
];

impl Reader<'_> {
    fn wrong(&self, field: &str, problem: impl Into<String>) -> Error {
        wrong(&self.path, field, &problem.into())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|v| !v.is_null())
    }

    fn count(&self, name: &str, default: Option<usize>) -> Result<usize> {
        match (self.get(name), default) {
            (Some(value), _) => value
                .as_u64()
                .map(|v| v as usize)
                .ok_or_else(|| self.wrong(name, format!("is {value}, not a whole number"))),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.wrong(name, "is missing")),
        }
    }

    fn number(&self, name: &str, default: f64) -> Result<f64> {
        match self.get(name) {
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.wrong(name, format!("is {value}, not a number"))),
            None => Ok(default),
        }
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(name, format!("is {value}, not true or false"))),
            None => Ok(default),
        }
    }

    fn eos(&self) -> Vec<u32> {
        let id = |v: &Value| v.as_u64().and_then(|v| u32::try_from(v).ok());
        match self.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => vec![],
        }
    }

    fn known(&self, known: &[&str]) -> Result<()> {
        match self.fields.keys().find(|k| !known.contains(&k.as_str())) {
            Some(key) => {
                let e = Error::unknown("key", key, known);
                Err(self.wrong(key, e.to_string()))
            }
            None => Ok(()),
        }
    }

    fn state_spaces(&self) -> Result<LanguageModelConfig> {
        self.known(&[
            "d_model",
            "d_intermediate",
            "n_layer",
            "vocab_size",
            "ssm_cfg",
            "attn_layer_idx",
            "attn_cfg",
            "rms_norm",
            "residual_in_fp32",
            "fused_add_norm",
            "pad_vocab_size_multiple",
            "tie_embeddings",
        ])?;
        let attention = self.get("attn_layer_idx").and_then(Value::as_array);
        if let Some(layers) = attention.filter(|layers| !layers.is_empty()) {
            let which: Vec<String> = layers.iter().map(Value::to_string).collect();
            return Err(self.wrong(
                "attn_layer_idx",
                format!(
                    "layers {} are attention, which is not supported",
                    which.join(", ")
                ),
            ));
        }
        if !self.flag("rms_norm", true)? {
            return Err(self.wrong("rms_norm", "is false: LayerNorm is not supported"));
        }
        let d_model = self.count("d_model", None)?;
        let mut kwargs = match self.get("ssm_cfg") {
            Some(Value::Object(kwargs)) => kwargs.clone(),
            None => Map::new(),
            Some(other) => return Err(self.wrong("ssm_cfg", format!("is {other}, no object"))),
        };
        kwargs.retain(|name, _| !SPEED_ONLY.contains(&name.as_str()));
        kwargs.insert("d_model".into(), json!(d_model));
        kwargs.entry("layer").or_insert(json!("Mamba1"));
        let layer = kwargs["layer"].clone();
        if !["Mamba1", "Mamba2"].iter().any(|known| layer == *known) {
            let problem = format!("layer is {layer}; known: Mamba1, Mamba2");
            return Err(self.wrong("ssm_cfg", problem));
        }
        let mixer: MixerConfig = serde_json::from_value(Value::Object(kwargs))
            .map_err(|e| self.wrong("ssm_cfg", e.to_string()))?;
        Ok(LanguageModelConfig {
            d_intermediate: self.count("d_intermediate", Some(0))?,
            pad_vocab_size_multiple: self.count("pad_vocab_size_multiple", Some(8))?,
            tie_embeddings: self.flag("tie_embeddings", true)?,
            ..LanguageModelConfig::new(
                self.count("n_layer", None)?,
                self.count("vocab_size", None)?,
                mixer,
            )
        })
    }

    fn codestral(&self) -> Result<LanguageModelConfig> {
        self.known(&[
            "dim",
            "n_layers",
            "n_groups",
            "vocab_size",
            "pad_vocab_size_multiple",
            "residual_in_fp32",
            "rms_norm",
            "tie_embeddings",
            "fused_add_norm",
            "model_type",
        ])?;
        let mixer = Mamba2Config {
            d_model: self.count("dim", None)?,
            ngroups: self.count("n_groups", Some(1))?,
            ..Default::default()
        };
        Ok(LanguageModelConfig {
            pad_vocab_size_multiple: self.count("pad_vocab_size_multiple", Some(1))?,
            tie_embeddings: self.flag("tie_embeddings", false)?,
            ..LanguageModelConfig::new(
                self.count("n_layers", None)?,
                self.count("vocab_size", None)?,
                MixerConfig::Mamba2(mixer),
            )
        })
    }

    fn hugging_face(&self) -> Result<LanguageModelConfig> {
        let act = self.get("hidden_act").and_then(Value::as_str);
        if let Some(act) = act.filter(|act| !["silu", "swish"].contains(act)) {
            return Err(self.wrong("hidden_act", format!("is {act}; only silu is supported")));
        }
        let kind = self.get("model_type").and_then(Value::as_str);
        let (mixer, tied) = match kind {
            Some("mamba") => (MixerConfig::Mamba1(self.hugging_face_mamba()?), true),
            Some("mamba2") => (MixerConfig::Mamba2(self.hugging_face_mamba2()?), false),
            other => {
                let name = other.unwrap_or("absent");
                let problem = Error::unknown("model type", name, &["mamba", "mamba2"]);
                return Err(self.wrong("model_type", problem.to_string()));
            }
        };
        Ok(LanguageModelConfig {
            pad_vocab_size_multiple: 1,
            tie_embeddings: self.flag("tie_word_embeddings", tied)?,
            norm_epsilon: self.number("layer_norm_epsilon", EPSILON)?,
            ..LanguageModelConfig::new(
                self.count("num_hidden_layers", None)?,
                self.count("vocab_size", None)?,
                mixer,
            )
        })
    }

    /// Inner channels over hidden_size; `inner` is what the file says of them.
    fn expand(&self, field: &str, inner: usize) -> Result<usize> {
        let hidden = self.count("hidden_size", None)?;
        match hidden > 0 && inner.is_multiple_of(hidden) && inner > 0 {
            true => Ok(inner / hidden),
            false => Err(self.wrong(
                field,
                format!("gives {inner} inner channels, no multiple of hidden_size {hidden}"),
            )),
        }
    }

    fn hugging_face_mamba(&self) -> Result<MambaConfig> {
        let d_model = self.count("hidden_size", None)?;
        let expand = self.count("expand", Some(2))?;
        let inner = self.count("intermediate_size", Some(expand * d_model))?;
        let dt_rank = match self.get("time_step_rank") {
            Some(Value::String(word)) if word == "auto" => None,
            Some(_) => Some(self.count("time_step_rank", None)?),
            None => None,
        };
        let dt_init = match self.get("time_step_init_scheme").and_then(Value::as_str) {
            Some("constant") => DtInit::Constant,
            _ => DtInit::Random,
        };
        Ok(MambaConfig {
            d_model,
            d_state: self.count("state_size", Some(16))?,
            d_conv: self.count("conv_kernel", Some(4))?,
            expand: self.expand("intermediate_size", inner)?,
            dt_rank,
            dt_min: self.number("time_step_min", 1e-3)?,
            dt_max: self.number("time_step_max", 0.1)?,
            dt_init,
            dt_scale: self.number("time_step_scale", 1.0)?,
            dt_init_floor: self.number("time_step_floor", 1e-4)?,
            conv_bias: self.flag("use_conv_bias", true)?,
            bias: self.flag("use_bias", false)?,
        })
    }

    fn hugging_face_mamba2(&self) -> Result<Mamba2Config> {
        let d_model = self.count("hidden_size", None)?;
        let headdim = self.count("head_dim", Some(64))?;
        let heads = self.count("num_heads", Some(128))?;
        let limit = match self.get("time_step_limit") {
            Some(limit) => serde_json::from_value::<(f64, Option<f64>)>(limit.clone())
                .map_err(|e| self.wrong("time_step_limit", e.to_string()))?,
            None => (0.0, None),
        };
        Ok(Mamba2Config {
            d_model,
            d_state: self.count("state_size", Some(128))?,
            d_conv: self.count("conv_kernel", Some(4))?,
            expand: self.expand("num_heads", heads * headdim)?,
            headdim,
            ngroups: self.count("n_groups", Some(8))?,
            dt_min: self.number("time_step_min", 1e-3)?,
            dt_max: self.number("time_step_max", 0.1)?,
            dt_init_floor: self.number("time_step_floor", 1e-4)?,
            dt_limit: (limit.0, limit.1.unwrap_or(f64::INFINITY)),
            bias: self.flag("use_bias", false)?,
            conv_bias: self.flag("use_conv_bias", true)?,
            chunk_size: self.count("chunk_size", Some(256))?,
            norm_eps: self.number("layer_norm_epsilon", EPSILON)?,
            ..Default::default()
        })
    }
}
