//! Configurations in the published formats, written.

use serde_json::{Map, Value, json};

use super::config::Format;
use super::json;
use crate::error::{Error, Result};
use crate::models::{LanguageModelConfig, MixerConfig};
use crate::nn::norm::EPSILON;
use crate::nn::{Mamba2Config, MambaConfig};

/// The configuration file of a model in another format; `dtype` is PyTorch's name of the type of
/// the weights.
///
/// # Errors
/// A model that the format cannot describe.
pub fn write(
    config: &LanguageModelConfig,
    format: Format,
    eos: &[u32],
    dtype: &str,
) -> Result<String> {
    let value = match format {
        Format::StateSpaces => state_spaces(config)?,
        Format::HuggingFace => hugging_face(config, eos, dtype)?,
        Format::Codestral => {
            return Err(Error::config(
                "--to",
                "codestral is read only",
                "give hf or state-spaces",
            ));
        }
    };
    Ok(json::text(&value))
}

fn state_spaces(config: &LanguageModelConfig) -> Result<Value> {
    let epsilons = match &config.mixer {
        MixerConfig::Mamba1(_) => [config.norm_epsilon; 2],
        MixerConfig::Mamba2(c) => [config.norm_epsilon, c.norm_eps],
    };
    if epsilons.iter().any(|e| *e != EPSILON) {
        return Err(Error::config(
            "norm epsilon",
            format!(
                "is {}, and the state-spaces format has no place for it",
                epsilons[0]
            ),
            "write hf",
        ));
    }
    // What is as published is left out, as published.
    let (layer, own, usual) = match &config.mixer {
        MixerConfig::Mamba1(c) => ("Mamba1", fields(c)?, fields(&MambaConfig::default())?),
        MixerConfig::Mamba2(c) => ("Mamba2", fields(c)?, fields(&Mamba2Config::default())?),
    };
    let mut kwargs = Map::from_iter([("layer".to_string(), json!(layer))]);
    for (name, value) in own {
        if name != "d_model" && usual.get(&name) != Some(&value) {
            kwargs.insert(name, value);
        }
    }
    if let MixerConfig::Mamba2(c) = &config.mixer
        && kwargs.contains_key("dt_limit")
    {
        kwargs["dt_limit"] = limits(c.dt_limit);
    }
    Ok(json!({
        "d_model": config.d_model,
        "d_intermediate": config.d_intermediate,
        "n_layer": config.n_layer,
        "vocab_size": config.vocab_size,
        "ssm_cfg": kwargs,
        "attn_layer_idx": [],
        "attn_cfg": {},
        "rms_norm": true,
        "residual_in_fp32": true,
        "fused_add_norm": true,
        "pad_vocab_size_multiple": config.pad_vocab_size_multiple,
        "tie_embeddings": config.tie_embeddings,
    }))
}

fn fields<T: serde::Serialize>(config: &T) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::config(
            "configuration",
            "is no object",
            "report this as a defect",
        )),
    }
}

fn limits((low, high): (f64, f64)) -> Value {
    match high.is_finite() {
        true => json!([low, high]),
        false => json!([low, json::INFINITY]),
    }
}

fn hugging_face(config: &LanguageModelConfig, eos: &[u32], dtype: &str) -> Result<Value> {
    let refuse = |what: &str| {
        Error::config(
            "--to hf",
            format!("the format has no {what}"),
            "write state-spaces",
        )
    };
    if config.d_intermediate > 0 {
        return Err(refuse("MLP (d_intermediate)"));
    }
    let eos = match eos {
        [] => json!(0),
        [id] => json!(id),
        ids => json!(ids),
    };
    let mut value = json!({
        "architectures": [],
        "model_type": "",
        "vocab_size": config.padded_vocabulary(),
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layer,
        "layer_norm_epsilon": config.norm_epsilon,
        "hidden_act": "silu",
        "initializer_range": 0.1,
        "residual_in_fp32": true,
        "rescale_prenorm_residual": false,
        "tie_word_embeddings": config.tie_embeddings,
        "torch_dtype": dtype,
        "use_cache": true,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": eos,
    });
    let own = match &config.mixer {
        MixerConfig::Mamba1(c) => json!({
            "architectures": ["MambaForCausalLM"],
            "model_type": "mamba",
            "state_size": c.d_state,
            "conv_kernel": c.d_conv,
            "expand": c.expand,
            "intermediate_size": c.d_inner(),
            "time_step_rank": c.dt_rank(),
            "time_step_min": c.dt_min,
            "time_step_max": c.dt_max,
            "time_step_floor": c.dt_init_floor,
            "time_step_scale": c.dt_scale,
            "time_step_init_scheme": c.dt_init,
            "use_bias": c.bias,
            "use_conv_bias": c.conv_bias,
        }),
        MixerConfig::Mamba2(c) => {
            for (absent, what) in [
                (!c.rmsnorm, "model without gated norm (rmsnorm)"),
                (
                    c.norm_before_gate,
                    "norm before the gate (norm_before_gate)",
                ),
                (c.D_has_hdim, "D for each channel (D_has_hdim)"),
                (
                    c.d_ssm() != c.d_inner(),
                    "channels beside the state space (d_ssm)",
                ),
                (c.norm_eps != config.norm_epsilon, "second norm epsilon"),
            ] {
                if absent {
                    return Err(refuse(what));
                }
            }
            json!({
                "architectures": ["Mamba2ForCausalLM"],
                "model_type": "mamba2",
                "state_size": c.d_state,
                "conv_kernel": c.d_conv,
                "expand": c.expand,
                "num_heads": c.nheads(),
                "head_dim": c.headdim,
                "n_groups": c.ngroups,
                "chunk_size": c.chunk_size,
                "rms_norm": true,
                "time_step_min": c.dt_min,
                "time_step_max": c.dt_max,
                "time_step_floor": c.dt_init_floor,
                "time_step_limit": limits(c.dt_limit),
                "use_bias": c.bias,
                "use_conv_bias": c.conv_bias,
            })
        }
    };
    crate::run::config::merge(&mut value, own);
    Ok(value)
}
