//! From logits to a token.
//!
//! In this order: repetition penalty, temperature, top-k, top-p, min-p, softmax, draw. Each filter
//! leaves at least the most likely token.
//!
//! Sources: Keskar et al. (arXiv:1909.05858) for the penalty, Fan et al. (arXiv:1805.04833) for top-k,
//! Holtzman et al. (arXiv:1904.09751) for top-p, Nguyen et al. (arXiv:2407.01082) for min-p.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::ops::simd::{Kernel, LANES, Lanes, Real};
use crate::training::random::stream;

/// How a token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 for the most likely token.
    pub temperature: f64,
    /// Keep the k largest logits, and those equal to the last of them; 0 for all, 1 for the most
    /// likely token.
    pub top_k: usize,
    /// Keep the smallest set of the most likely tokens whose probability reaches p; 1 for all.
    pub top_p: f64,
    /// Keep tokens at least p times as likely as the most likely one; 0 for all.
    pub min_p: f64,
    /// Logits of tokens that were in the text are divided by it, or multiplied if negative; 1 for
    /// no change.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// The most likely token.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 1,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
        }
    }
}

impl Sampling {
    /// Whether no random number is needed.
    pub fn is_greedy(&self) -> bool {
        self.top_k == 1 || self.temperature == 0.0
    }

    /// Whether the token is the one with the largest logit, whatever came before.
    pub fn is_plain(&self) -> bool {
        self.is_greedy() && self.repetition_penalty == 1.0
    }

    /// Refuses what means nothing.
    ///
    /// # Errors
    /// Names the first setting out of range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("--temperature", self.temperature, 0.0, 1e6),
            ("--top-p", self.top_p, f64::MIN_POSITIVE, 1.0),
            ("--min-p", self.min_p, 0.0, 1.0),
            ("--repetition-penalty", self.repetition_penalty, 1e-6, 1e6),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::config(
                    name,
                    format!("is {value}"),
                    format!("give a number from {low:e} to {high}"),
                ));
            }
        }
        Ok(())
    }
}

/// Chooses the tokens of one text.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    /// Tokens of the text so far, which the penalty looks at.
    seen: Vec<bool>,
}

impl Sampler {
    /// For a text that begins with `prompt`, over `vocabulary` tokens. The same seed and prompt give
    /// the same text, whatever else is in the batch.
    pub fn new(sampling: &Sampling, seed: u64, prompt: &[u32], vocabulary: usize) -> Self {
        let mut seen = vec![false; vocabulary];
        prompt.iter().for_each(|id| seen[*id as usize] = true);
        Self {
            sampling: sampling.clone(),
            random: ChaCha8Rng::seed_from_u64(stream(seed, "sampling", 0)),
            seen,
        }
    }

    /// The next token; `logits` may have more entries than the vocabulary, which never come.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn next(&mut self, logits: &[f32]) -> Result<u32> {
        let logits = &logits[..self.seen.len()];
        if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
            return Err(Error::config(
                "logits",
                format!("that of token {i} is {}", logits[i]),
                "the weights do not fit the model, or overflow in f16: try --dtype f32",
            ));
        }
        let penalty = self.sampling.repetition_penalty;
        let id = if self.sampling.is_plain() {
            largest(logits)
        } else {
            let mut logits = logits.to_vec();
            penalise(&mut logits, &self.seen, penalty);
            match self.sampling.is_greedy() {
                true => largest(&logits),
                false => {
                    let weights = weights(logits, &self.sampling);
                    draw(&weights, self.random.random::<f64>())
                }
            }
        };
        self.seen[id] = true;
        Ok(id as u32)
    }
}

/// The first of the largest.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

fn penalise(logits: &mut [f32], seen: &[bool], penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    let penalty = penalty as f32;
    for (logit, _) in logits.iter_mut().zip(seen).filter(|(_, seen)| **seen) {
        *logit = match *logit < 0.0 {
            true => *logit * penalty,
            false => *logit / penalty,
        };
    }
}

/// What the probability of each token is proportional to: relative to the most likely one, 0 for those
/// that the filters leave out.
fn weights(mut logits: Vec<f32>, sampling: &Sampling) -> Vec<f32> {
    let likeliest = largest(&logits);
    if (1..logits.len()).contains(&sampling.top_k) {
        let mut values = logits.clone();
        let by_size = |a: &f32, b: &f32| b.total_cmp(a);
        let (_, last, _) = values.select_nth_unstable_by(sampling.top_k - 1, by_size);
        let gone = logits.iter_mut().filter(|logit| **logit < *last);
        gone.for_each(|logit| *logit = f32::NEG_INFINITY);
    }
    f32::dispatch(Exponentials {
        top: logits[likeliest],
        // The largest is 0 before it is divided, so that no temperature is too small.
        temperature: (sampling.temperature as f32).max(f32::MIN_POSITIVE),
        values: &mut logits,
    });
    let mut weights = logits;
    if sampling.top_p < 1.0 {
        keep_nucleus(&mut weights, likeliest, sampling.top_p);
    }
    if sampling.min_p > 0.0 {
        let unlikely = |weight: f32| f64::from(weight) < sampling.min_p;
        let gone = weights.iter_mut().filter(|weight| unlikely(**weight));
        gone.for_each(|weight| *weight = 0.0);
    }
    weights
}

/// e^((value − top) / temperature) in place of each value.
struct Exponentials<'a> {
    values: &'a mut [f32],
    top: f32,
    temperature: f32,
}

impl Kernel<f32> for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let (top, temperature) = (V::splat(self.top), V::splat(self.temperature));
        for values in self.values.chunks_mut(LANES) {
            let shifted = V::first(values).sub(top);
            shifted.div(temperature).exp().write_first(values);
        }
    }
}

/// From the least likely on, tokens go as long as what they hold together is at most 1 − p; of equally
/// likely ones the later first. They are found by halves, without being put in order.
fn keep_nucleus(weights: &mut [f32], likeliest: usize, p: f64) {
    let spare = (1.0 - p) * blocks(weights).sum::<f64>();
    // Together too unlikely to stay: they need not be looked at.
    let least = spare / (2 * weights.len()) as f64;
    let mut gone = 0.0;
    // In order, the less likely and of equally likely ones the later first: weights are not negative,
    // so that their bits are in the order of their values.
    let key = |weight: f32, id: usize| u64::from(weight.to_bits()) << 32 | u64::from(!(id as u32));
    let weight_of = |key: u64| f64::from(f32::from_bits((key >> 32) as u32));
    let mut undecided = Vec::new();
    for (id, weight) in weights.iter_mut().enumerate() {
        if f64::from(*weight) < least {
            gone += f64::from(*weight);
            *weight = 0.0;
        } else if id != likeliest {
            undecided.push(key(*weight, id));
        }
    }
    let mut undecided = undecided.as_mut_slice();
    while !undecided.is_empty() {
        let half = undecided.len().div_ceil(2);
        undecided.select_nth_unstable(half - 1);
        let (less, more) = undecided.split_at_mut(half);
        let held: f64 = less.iter().map(|key| weight_of(*key)).sum();
        undecided = if gone + held <= spare {
            gone += held;
            less.iter()
                .for_each(|key| weights[!(*key as u32) as usize] = 0.0);
            more
        } else if less.len() > 1 {
            less
        } else {
            // Neither it nor any that is more likely.
            &mut []
        };
    }
}

/// Weights that are summed together.
const BLOCK: usize = 64;

fn blocks(weights: &[f32]) -> impl Iterator<Item = f64> {
    let sum = |block: &[f32]| block.iter().map(|weight| f64::from(*weight)).sum();
    weights.chunks(BLOCK).map(sum)
}

/// The token at `place`, in 0..1, of the cumulative weights.
fn draw(weights: &[f32], place: f64) -> usize {
    let mut left = place * blocks(weights).sum::<f64>();
    let mut start = 0;
    for held in blocks(weights) {
        if left < held {
            break;
        }
        left -= held;
        start += BLOCK;
    }
    let mut last = None;
    for (id, weight) in weights.iter().enumerate().skip(start) {
        if *weight > 0.0 {
            left -= f64::from(*weight);
            last = Some(id);
            if left < 0.0 {
                break;
            }
        }
    }
    // Rounding may leave none: then the last that can come.
    last.or_else(|| weights.iter().rposition(|weight| *weight > 0.0))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::Random;

    fn ids(logits: &[f64], sampling: Sampling) -> Vec<usize> {
        let logits = logits.iter().map(|v| *v as f32).collect();
        let weights = weights(logits, &sampling);
        (0..weights.len()).filter(|i| weights[*i] > 0.0).collect()
    }

    fn open() -> Sampling {
        Sampling {
            top_k: 0,
            ..Sampling::default()
        }
    }

    #[test]
    fn the_smallest_temperature_is_the_largest_logit() {
        let logits = [10.0, 30.0, 29.999, 20.0];
        for top_k in [0, 2] {
            let temperature = f64::MIN_POSITIVE;
            let weights = weights(
                logits.to_vec(),
                &Sampling {
                    temperature,
                    top_k,
                    ..open()
                },
            );
            assert_eq!(weights, [0.0, 1.0, 0.0, 0.0]);
            assert_eq!(draw(&weights, 0.999), 1);
        }
    }

    #[test]
    fn top_k_keeps_ties_at_the_last_place() {
        let logits = [1.0, 3.0, 2.0, 2.0, 0.0];
        let with = |top_k| ids(&logits, Sampling { top_k, ..open() });
        assert_eq!(with(1), [1]);
        assert_eq!(with(2), [1, 2, 3]);
        assert_eq!(with(0), [0, 1, 2, 3, 4]);
        assert_eq!(with(9), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn top_p_drops_a_tail_of_at_most_the_rest() {
        // Probabilities 1/2, 1/4, 1/8, 1/8, exact in binary.
        let logits = [4.0f64, 2.0, 1.0, 1.0].map(f64::ln);
        let with = |top_p| ids(&logits, Sampling { top_p, ..open() });
        assert_eq!(with(1.0).len(), 4);
        assert_eq!(with(0.76).len(), 3);
        assert_eq!(with(0.74).len(), 2);
        assert_eq!(with(0.3), [0]);
        assert_eq!(with(1e-9), [0]);
    }

    /// Against the definition, by a full sort in f64; equal logits too.
    #[test]
    fn top_p_is_the_sorted_prefix() {
        let mut random = Random::new();
        for len in [1, 2, 3, 10, 100, 5000] {
            for spread in [0.0, 3.0, 20.0] {
                let logits = random.between(len, -1.0, 1.0);
                let logits: Vec<f32> = logits
                    .iter()
                    .map(|v| ((v * spread * 4.0).round() / 4.0) as f32)
                    .collect();
                for p in [1e-9, 0.1, 0.5, 0.9, 0.999] {
                    let all = weights(logits.clone(), &open());
                    let mut order: Vec<usize> = (0..len).collect();
                    order.sort_by(|a, b| all[*b].total_cmp(&all[*a]).then(a.cmp(b)));
                    let total: f64 = all.iter().map(|w| f64::from(*w)).sum();
                    let mut gone = 0.0;
                    while order.len() > 1 {
                        gone += f64::from(all[order[order.len() - 1]]);
                        if gone > (1.0 - p) * total {
                            break;
                        }
                        order.pop();
                    }
                    let top_p = p;
                    let kept = weights(logits.clone(), &Sampling { top_p, ..open() });
                    let mut wanted = vec![0.0; len];
                    order.iter().for_each(|i| wanted[*i] = all[*i]);
                    assert_eq!(kept, wanted, "{len} {spread} {p}");
                }
            }
        }
    }

    #[test]
    fn a_draw_is_the_place_in_the_cumulative_weights() {
        let weights: Vec<f32> = (0..1000).map(|i| ((i * 7) % 5) as f32).collect();
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let mut before = 0.0;
        for (id, weight) in weights.iter().enumerate() {
            let weight = f64::from(*weight);
            if weight > 0.0 {
                for part in [0.01, 0.99] {
                    assert_eq!(draw(&weights, (before + part * weight) / total), id);
                }
            }
            before += weight;
        }
        // Behind everything, which only rounding reaches: the last that can come.
        assert_eq!(draw(&weights, 1.0), 999);
        assert_eq!(draw(&[0.0, 2.0, 0.0], 1.0), 1);
    }

    #[test]
    fn min_p_is_relative_to_the_most_likely() {
        let logits = [0.0, 0.5f64.ln(), 0.25f64.ln(), 0.1f64.ln()];
        let with = |min_p| ids(&logits, Sampling { min_p, ..open() });
        assert_eq!(with(0.0).len(), 4);
        assert_eq!(with(0.2).len(), 3);
        assert_eq!(with(0.4).len(), 2);
        assert_eq!(with(1.0), [0]);
        // Top-p comes before it, and sees what it leaves out: half and three tenths reach 0.55.
        let logits_of = [0.5f64, 0.3, 0.1, 0.1].map(f64::ln);
        let both = Sampling {
            top_p: 0.55,
            min_p: 0.5,
            ..open()
        };
        assert_eq!(ids(&logits_of, both), [0, 1]);
        // It sees probabilities after the temperature.
        let sharp = Sampling {
            min_p: 0.2,
            temperature: 0.5,
            ..open()
        };
        assert_eq!(ids(&logits, sharp), [0, 1]);
    }

    #[test]
    fn the_penalty_lowers_logits_of_either_sign_once() {
        let mut logits = vec![2.0, -2.0, 2.0, 0.0];
        penalise(&mut logits, &[true, true, false, true], 2.0);
        assert_eq!(logits, [1.0, -4.0, 2.0, 0.0]);
        let sampling = Sampling {
            repetition_penalty: 2.0,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(&sampling, 0, &[0, 0, 0], 3);
        assert_eq!(sampler.next(&[2.0, 1.5, 0.0]).unwrap(), 1);
        assert_eq!(sampler.next(&[2.0, 1.5, 0.9]).unwrap(), 0);
    }

    #[test]
    fn one_candidate_is_the_most_likely_whatever_else_is_set() {
        let sampling = Sampling {
            temperature: 3.0,
            top_p: 0.9,
            min_p: 0.01,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(&sampling, 5, &[], 4);
        for _ in 0..20 {
            assert_eq!(sampler.next(&[0.1, 0.3, 0.2, 0.3]).unwrap(), 1);
        }
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let logits: Vec<f32> = [4.0f32, 2.0, 1.0, 1.0].map(f32::ln).to_vec();
        let count = |seed| {
            let mut sampler = Sampler::new(&open(), seed, &[], 4);
            let mut counts = [0; 4];
            for _ in 0..8000 {
                counts[sampler.next(&logits).unwrap() as usize] += 1;
            }
            counts
        };
        let counts = count(1);
        for (count, share) in counts.iter().zip([0.5, 0.25, 0.125, 0.125]) {
            let sd = f64::sqrt(8000.0 * share * (1.0 - share));
            assert!(
                (*count as f64 - 8000.0 * share).abs() < 5.0 * sd,
                "{counts:?}"
            );
        }
        assert_eq!(counts, count(1));
        assert_ne!(counts, count(2));
        // Filters that keep everything take the same draws.
        let same = Sampling { top_k: 4, ..open() };
        let mut a = Sampler::new(&open(), 3, &[], 4);
        let mut b = Sampler::new(&same, 3, &[], 4);
        for _ in 0..100 {
            assert_eq!(a.next(&logits).unwrap(), b.next(&logits).unwrap());
        }
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        let mut sampler = Sampler::new(&Sampling::default(), 0, &[], 2);
        let message = sampler.next(&[0.0, f32::NAN]).unwrap_err().to_string();
        assert!(message.contains("token 1 is NaN"), "{message}");
        // Padding of the vocabulary is never looked at.
        assert_eq!(sampler.next(&[0.0, 1.0, f32::NAN]).unwrap(), 1);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (sampling, name) in [
            (
                Sampling {
                    top_p: 1.5,
                    ..open()
                },
                "--top-p",
            ),
            (
                Sampling {
                    temperature: -1.0,
                    ..open()
                },
                "--temperature",
            ),
            (
                Sampling {
                    min_p: f64::NAN,
                    ..open()
                },
                "--min-p",
            ),
            (
                Sampling {
                    repetition_penalty: 0.0,
                    ..open()
                },
                "--repetition-penalty",
            ),
        ] {
            let message = sampling.validate().unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
        open().validate().unwrap();
    }
}
