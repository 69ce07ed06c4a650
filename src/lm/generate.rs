//! From prompts to texts: the whole prompt at once, then token by token in constant memory.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::sampling::{Sampler, Sampling};
use crate::error::{Error, Result};
use crate::models::LanguageModel;
use crate::models::language_model::ModelState;
use crate::recorder::{Feed, Recorder};

/// How texts are continued.
#[derive(Debug, Clone)]
pub struct Options {
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Seed of the draws.
    pub seed: u64,
    /// Tokens to add at most, at least 1.
    pub max_new_tokens: usize,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// Tokens that may come: ids below this number.
    pub vocabulary: usize,
    /// On a GPU: launch the kernels of a token one by one instead of running a recording of them.
    pub launch: bool,
}

/// Tokens of a prompt that go through the model together: what bounds the memory of a long prompt.
pub const PREFILL: usize = 2048;

/// Continues `prompts`, all in one batch, and returns the new tokens of each. `token` hears of every
/// token of a prompt as it comes and may end that text by returning false.
///
/// Shorter prompts are padded on the left; the padding changes nothing for them.
///
/// # Errors
/// An empty prompt, ids beyond the vocabulary, logits that are not finite, or what `token` returns.
pub fn generate(
    model: &LanguageModel,
    device: &Device,
    prompts: &[Vec<u32>],
    options: &Options,
    mut token: impl FnMut(usize, u32) -> Result<bool>,
) -> Result<Vec<Vec<u32>>> {
    options.sampling.validate()?;
    check(model, prompts, options)?;
    let mut samplers: Vec<Sampler> = prompts
        .iter()
        .map(|prompt| Sampler::new(&options.sampling, options.seed, prompt, options.vocabulary))
        .collect();
    let mut texts = vec![Vec::new(); prompts.len()];
    let mut open = vec![true; prompts.len()];
    let (mut logits, state) = prefill(model, device, prompts);
    let mut decoder = Decoder::new(model, device, state, options.launch);
    loop {
        let values = logits.into_data();
        let values: &[f32] = values
            .as_slice()
            .map_err(|e| Error::config("logits", format!("{e:?}"), "report this as a defect"))?;
        let width = values.len() / prompts.len();
        let mut next = Vec::with_capacity(prompts.len());
        for (row, (sampler, logits)) in samplers.iter_mut().zip(values.chunks(width)).enumerate() {
            if !open[row] {
                // The others of the batch go on.
                next.push(0);
                continue;
            }
            let id = sampler.next(logits)?;
            next.push(id);
            texts[row].push(id);
            let goes_on = token(row, id)?;
            let full = texts[row].len() >= options.max_new_tokens;
            open[row] = goes_on && !full && !options.eos.contains(&id);
        }
        if !open.contains(&true) {
            return Ok(texts);
        }
        logits = decoder.step(&next)?;
    }
}

/// Writes token after token: a step that a GPU runs again as a whole.
pub struct Decoder<'a> {
    model: &'a LanguageModel,
    state: ModelState,
    recorder: Recorder<Tensor<2>>,
}

impl<'a> Decoder<'a> {
    /// Goes on from a state; `launch` as in [`Options`].
    pub fn new(model: &'a LanguageModel, device: &Device, state: ModelState, launch: bool) -> Self {
        Self {
            model,
            state: state.own_memory(),
            recorder: Recorder::new(device, launch),
        }
    }

    /// Logits, (b, padded vocabulary), after the next token of each text. They hold until the next
    /// step.
    ///
    /// # Errors
    /// A device that refuses to record the step.
    pub fn step(&mut self, ids: &[u32]) -> Result<Tensor<2>> {
        let mut feed = Feed::default();
        feed.push_ints(ids.iter().map(|id| *id as i32), [ids.len()]);
        let (model, state) = (self.model, &mut self.state);
        self.recorder.run(feed, |mut placed| {
            let (logits, next) = model.step(placed.take_ints(), state.clone());
            *state = next;
            logits
        })
    }
}

fn check(model: &LanguageModel, prompts: &[Vec<u32>], options: &Options) -> Result<()> {
    let rows = model.config().padded_vocabulary();
    if options.vocabulary > rows || options.vocabulary == 0 {
        return Err(Error::config(
            "vocabulary",
            format!("is {}, the model has {rows} tokens", options.vocabulary),
            "give the tokenizer that belongs to the model",
        ));
    }
    if prompts.is_empty() {
        return Err(Error::config("--prompt", "there is none", "give one"));
    }
    for (i, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            return Err(Error::config(
                "--prompt",
                format!("prompt {} has no token", i + 1),
                "give at least one character",
            ));
        }
        if let Some(id) = prompt.iter().find(|id| **id as usize >= options.vocabulary) {
            return Err(Error::config(
                "--prompt",
                format!(
                    "token {id} is beyond the vocabulary of {}",
                    options.vocabulary
                ),
                "give the tokenizer that belongs to the model",
            ));
        }
    }
    if options.max_new_tokens == 0 {
        return Err(Error::config("--max-new-tokens", "is 0", "give at least 1"));
    }
    Ok(())
}

/// The logits, (b, padded vocabulary), after the last token of each prompt, and the state there.
pub fn prefill(
    model: &LanguageModel,
    device: &Device,
    prompts: &[Vec<u32>],
) -> (Tensor<2>, ModelState) {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let padded = prompts.iter().any(|prompt| prompt.len() < longest);
    let mut ids: Vec<i32> = Vec::with_capacity(prompts.len() * longest);
    let mut mask: Vec<f32> = Vec::with_capacity(ids.capacity());
    for prompt in prompts {
        let missing = longest - prompt.len();
        ids.extend(std::iter::repeat_n(0, missing));
        ids.extend(prompt.iter().map(|id| *id as i32));
        mask.extend(std::iter::repeat_n(0.0, missing));
        mask.extend(std::iter::repeat_n(1.0, prompt.len()));
    }
    let shape = [prompts.len(), longest];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), device);
    let mask = padded.then(|| Tensor::<2>::from_data(TensorData::new(mask, shape), device));
    let mut state = None;
    let mut start = 0;
    loop {
        let len = (longest - start).min(PREFILL);
        let ids = ids.clone().narrow(1, start, len);
        let mask = mask.clone().map(|mask| mask.narrow(1, start, len));
        let (hidden, next) = model.hidden(ids, state, mask);
        start += len;
        if start == longest {
            let logits = model.logits(hidden.narrow(1, len - 1, 1));
            return (logits.squeeze_dim(1), next);
        }
        state = Some(next);
    }
}

#[cfg(all(test, feature = "wgpu", feature = "flex"))]
mod tests {
    use super::*;
    use crate::models::{LanguageModelConfig, language_model::MixerConfig};
    use crate::nn::{Mamba2Config, MambaConfig, state_dict};

    #[test]
    #[ignore = "needs a GPU or Mesa's software Vulkan"]
    fn recorded_tokens_are_the_launched_ones_and_those_of_the_cpu_on_a_gpu() {
        let one = MixerConfig::Mamba1(MambaConfig {
            d_model: 16,
            d_state: 4,
            ..MambaConfig::default()
        });
        let two = MixerConfig::Mamba2(Mamba2Config {
            d_model: 16,
            d_state: 8,
            headdim: 8,
            ..Mamba2Config::default()
        });
        let gpu = Device::wgpu(Default::default());
        for mixer in [one, two] {
            let config = LanguageModelConfig::new(2, 40, mixer);
            let here = config.init(&Device::flex()).unwrap();
            let dict = state_dict::collect(&here);
            let there = state_dict::apply(config.init(&gpu).unwrap(), &dict).0;
            let prompts = [vec![3, 1, 4, 1, 5], vec![9, 2]];
            let tokens = |model: &LanguageModel, device: &Device, launch| {
                let options = Options {
                    sampling: Sampling::default(),
                    seed: 0,
                    max_new_tokens: 12,
                    eos: vec![],
                    vocabulary: 40,
                    launch,
                };
                generate(model, device, &prompts, &options, |_, _| Ok(true)).unwrap()
            };
            let recorded = tokens(&there.clone().frozen(), &gpu, false);
            assert_eq!(recorded, tokens(&there.frozen(), &gpu, true));
            assert_eq!(recorded, tokens(&here.frozen(), &Device::flex(), true));
        }
    }
}
