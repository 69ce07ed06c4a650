//! From prompts to texts: the whole prompt at once, then token by token in constant memory.

use std::collections::VecDeque;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::sampling::{Sampler, Sampling};
use crate::error::{Error, Result};
use crate::models::LanguageModel;
use crate::models::language_model::ModelState;
use crate::ops::argmax::argmax;
use crate::ops::is_cpu;
use crate::ops::overwrite::{copied, overwrite};
use crate::recorder::{Feed, Recorder};
use crate::training::data::host;

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
    let (logits, state) = prefill(model, device, prompts);
    let mut choose = |texts: &[Vec<u32>], open: &[bool], logits: Tensor<2>| -> Result<Vec<u32>> {
        let values = host(logits)?;
        let width = values.len() / texts.len();
        let rows = samplers.iter_mut().zip(values.chunks(width)).zip(open);
        // The others of the batch go on after a text has ended.
        rows.map(|((sampler, logits), open)| match open {
            true => sampler.next(logits),
            false => Ok(0),
        })
        .collect()
    };
    let mut next = choose(&texts, &open, logits)?;
    let mut decoder = Decoder::new(model, device, state, options.launch);
    let greedy = options.sampling.is_plain() && !is_cpu(device);
    // Tokens that were chosen on the device.
    let mut ahead: VecDeque<Vec<Option<u32>>> = VecDeque::new();
    loop {
        for (row, id) in next.iter().enumerate() {
            if open[row] {
                texts[row].push(*id);
                let goes_on = token(row, *id)?;
                let full = texts[row].len() >= options.max_new_tokens;
                open[row] = goes_on && !full && !options.eos.contains(id);
            }
        }
        let rows = texts.iter().zip(&open).filter(|(_, open)| **open);
        let Some(shortest) = rows.map(|(text, _)| text.len()).min() else {
            return Ok(texts);
        };
        if greedy && ahead.is_empty() {
            let count = (options.max_new_tokens - shortest).min(AHEAD);
            ahead = decoder.greedy(&next, options.vocabulary, count)?.into();
        }
        next = match ahead.pop_front() {
            // What follows the end of a text is not looked at.
            Some(row)
                if row
                    .iter()
                    .zip(&open)
                    .any(|(id, open)| *open && id.is_none()) =>
            {
                return Err(not_finite());
            }
            Some(row) => row.into_iter().map(Option::unwrap_or_default).collect(),
            None => choose(&texts, &open, decoder.step(&next)?)?,
        };
    }
}

/// Tokens that a GPU writes by itself before it is asked for them: every answer takes the time in
/// which it writes a quarter of a token.
const AHEAD: usize = 16;

/// Writes token after token: a step that a GPU runs again as a whole.
pub struct Decoder<'a> {
    model: &'a LanguageModel,
    state: ModelState,
    recorder: Recorder<Tensor<2>>,
    /// The last tokens of each text that were chosen on the device, (AHEAD, b), in f32.
    chosen: Option<Tensor<2>>,
    device: Device,
}

impl<'a> Decoder<'a> {
    /// Goes on from a state; `launch` as in [`Options`].
    pub fn new(model: &'a LanguageModel, device: &Device, state: ModelState, launch: bool) -> Self {
        Self {
            model,
            state: state.own_memory(),
            recorder: Recorder::new(device, launch),
            chosen: None,
            device: device.clone(),
        }
    }

    /// The `count` most likely tokens after `ids`, one after the other, each of all texts; `None` for
    /// a text whose logits are not finite. Later calls go on where the last one ended, whatever `ids`
    /// are.
    ///
    /// A decoder is used for this or for [`step`](Self::step), not for both in turns.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    ///
    /// # Panics
    /// If `count` is more than 16.
    pub fn greedy(
        &mut self,
        ids: &[u32],
        vocabulary: usize,
        count: usize,
    ) -> Result<Vec<Vec<Option<u32>>>> {
        assert!(count <= AHEAD, "greedy: {count} tokens, at most {AHEAD}");
        let b = ids.len();
        let mut tokens = Vec::with_capacity(count);
        if self.chosen.is_none() {
            let first: Vec<f32> = ids.iter().map(|id| *id as f32).collect();
            let rows = first.repeat(AHEAD);
            let rows = Tensor::<1>::from_data(TensorData::new(rows, [AHEAD * b]), &self.device);
            self.chosen = Some(copied(rows).reshape([AHEAD, b]));
        }
        let (model, state, chosen) = (self.model, &mut self.state, &mut self.chosen);
        for _ in 0..count {
            self.recorder.run(Feed::default(), |_| {
                let before = chosen.take().expect("set above");
                let last = before.clone().narrow(0, AHEAD - 1, 1);
                // After logits that are not finite comes -1, which no row of the embedding has.
                let last = last.clamp_min(0.0).reshape([b]).int();
                let (logits, next) = model.step(last, state.hand_over());
                *state = next;
                let new = argmax(logits, vocabulary).reshape([1, b]);
                let moved = Tensor::cat(vec![before.clone().narrow(0, 1, AHEAD - 1), new], 0);
                let after = overwrite(before, moved);
                *chosen = Some(after.clone());
                after
            })?;
        }
        let chosen = self.chosen.clone().expect("set above");
        let rows = host(chosen)?;
        for row in rows.chunks(b).skip(AHEAD - count) {
            let ids = row.iter().map(|id| (*id >= 0.0).then_some(*id as u32));
            tokens.push(ids.collect());
        }
        Ok(tokens)
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
            let (logits, next) = model.step(placed.take_ints(), state.hand_over());
            *state = next;
            logits
        })
    }
}

fn not_finite() -> Error {
    Error::config(
        "logits",
        "some are not finite",
        "the weights do not fit the model, or overflow in f16: try --dtype f32",
    )
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::models::{LanguageModelConfig, language_model::MixerConfig};
    #[cfg(feature = "wgpu")]
    use crate::nn::state_dict;
    use crate::nn::{Mamba2Config, MambaConfig};

    fn configs() -> [LanguageModelConfig; 4] {
        let one = MixerConfig::Mamba1(MambaConfig {
            d_model: 16,
            d_state: 4,
            ..MambaConfig::default()
        });
        let two = Mamba2Config {
            d_model: 16,
            d_state: 8,
            headdim: 8,
            ..Mamba2Config::default()
        };
        let groups = Mamba2Config {
            d_ssm: Some(16),
            ngroups: 2,
            bias: true,
            D_has_hdim: true,
            norm_before_gate: true,
            dt_limit: (0.001, 0.05),
            ..two.clone()
        };
        let plain = Mamba2Config {
            rmsnorm: false,
            ..two.clone()
        };
        let [two, groups, plain] = [two, groups, plain].map(MixerConfig::Mamba2);
        let of = |mixer| LanguageModelConfig::new(2, 40, mixer);
        let with_mlp = LanguageModelConfig {
            d_intermediate: 24,
            tie_embeddings: false,
            ..of(groups)
        };
        [of(one), of(two), with_mlp, of(plain)]
    }

    #[test]
    fn tokens_chosen_on_the_device_are_those_chosen_from_its_logits() {
        let device = Device::flex();
        for config in configs() {
            let model = config.init(&device).unwrap().frozen();
            let prompts = [vec![3, 1, 4], vec![9, 2, 6]];
            let (_, state) = prefill(&model, &device, &prompts);
            let start = [5, 35];
            let mut one = Decoder::new(&model, &device, state.clone(), true);
            let mut ids = start.to_vec();
            let mut wanted = Vec::new();
            for _ in 0..20 {
                let logits = one.step(&ids).unwrap();
                let places = argmax(logits, 30).into_data();
                ids = places.iter::<f32>().map(|id| id as u32).collect();
                wanted.push(ids.iter().copied().map(Some).collect::<Vec<_>>());
            }
            let mut two = Decoder::new(&model, &device, state, true);
            let mut found = two.greedy(&start, 30, 3).unwrap();
            found.extend(two.greedy(&start, 30, AHEAD).unwrap());
            found.extend(two.greedy(&start, 30, 1).unwrap());
            assert_eq!(found, wanted);
        }
    }

    #[cfg(feature = "wgpu")]
    #[test]
    #[ignore = "needs a GPU or Mesa's software Vulkan"]
    fn recorded_tokens_are_the_launched_ones_and_those_of_the_cpu_on_a_gpu() {
        let gpu = Device::wgpu(Default::default());
        for config in configs() {
            let here = config.init(&Device::flex()).unwrap();
            let dict = state_dict::collect(&here);
            let there = state_dict::apply(config.init(&gpu).unwrap(), &dict).0;
            let prompts = [vec![3, 1, 4, 1, 5], vec![9, 2]];
            let tokens = |model: &LanguageModel, device: &Device, launch| {
                let options = Options {
                    sampling: Sampling::default(),
                    seed: 0,
                    max_new_tokens: 40,
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
