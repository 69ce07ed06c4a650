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
            let mut logits: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
            penalise(&mut logits, &self.seen, penalty);
            match self.sampling.is_greedy() {
                true => largest(&logits),
                false => {
                    let kept = filtered(&logits, &self.sampling);
                    draw(&kept, self.random.random::<f64>())
                }
            }
        };
        self.seen[id] = true;
        Ok(id as u32)
    }
}

/// The first of the largest.
fn largest<T: PartialOrd + Copy>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

fn penalise(logits: &mut [f64], seen: &[bool], penalty: f64) {
    if penalty == 1.0 {
        return;
    }
    for (logit, _) in logits.iter_mut().zip(seen).filter(|(_, seen)| **seen) {
        *logit = match *logit < 0.0 {
            true => *logit * penalty,
            false => *logit / penalty,
        };
    }
}

/// Tokens that may come, the most likely first, with weights relative to the first.
fn filtered(logits: &[f64], sampling: &Sampling) -> Vec<(usize, f64)> {
    // The largest is 0 before it is divided, so that no temperature is too small.
    let top = logits.iter().fold(f64::NEG_INFINITY, |top, v| top.max(*v));
    let mut kept: Vec<(usize, f64)> = logits
        .iter()
        .map(|logit| (logit - top) / sampling.temperature)
        .enumerate()
        .collect();
    if (1..kept.len()).contains(&sampling.top_k) {
        let by_size = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1);
        let (_, last, _) = kept.select_nth_unstable_by(sampling.top_k - 1, by_size);
        let last = last.1;
        kept.retain(|(_, logit)| *logit >= last);
    }
    for (_, value) in &mut kept {
        *value = value.exp();
    }
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let spare = (1.0 - sampling.top_p) * total;
    // What is left out below in any case is not worth being put in order: tokens that are too
    // unlikely for min-p, or together no more than what top-p leaves out.
    let least = sampling.min_p.max(spare / (2 * kept.len()) as f64);
    let mut gone = 0.0;
    kept.retain(|(_, weight)| {
        let stays = *weight >= least;
        if !stays {
            gone += weight;
        }
        stays
    });
    kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if sampling.top_p < 1.0 {
        // From the least likely on, tokens go as long as what they hold together is at most 1 - p.
        let mut keep = kept.len();
        while keep > 1 {
            gone += kept[keep - 1].1;
            if gone > spare {
                break;
            }
            keep -= 1;
        }
        kept.truncate(keep);
    }
    kept
}

/// The token at `place`, in 0..1, of the cumulative weights.
fn draw(kept: &[(usize, f64)], place: f64) -> usize {
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = place * total;
    for (id, weight) in kept {
        left -= weight;
        if left < 0.0 {
            return *id;
        }
    }
    kept[0].0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(logits: &[f64], sampling: Sampling) -> Vec<usize> {
        filtered(logits, &sampling)
            .into_iter()
            .map(|(id, _)| id)
            .collect()
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
            let kept = filtered(
                &logits,
                &Sampling {
                    temperature,
                    top_k,
                    ..open()
                },
            );
            assert_eq!(draw(&kept, 0.999), 1, "{kept:?}");
        }
    }

    #[test]
    fn top_k_keeps_ties_at_the_last_place() {
        let logits = [1.0, 3.0, 2.0, 2.0, 0.0];
        let with = |top_k| ids(&logits, Sampling { top_k, ..open() });
        assert_eq!(with(1), [1]);
        assert_eq!(with(2), [1, 2, 3]);
        assert_eq!(with(0), [1, 2, 3, 0, 4]);
        assert_eq!(with(9), [1, 2, 3, 0, 4]);
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

    #[test]
    fn min_p_is_relative_to_the_most_likely() {
        let logits = [0.0, 0.5f64.ln(), 0.25f64.ln(), 0.1f64.ln()];
        let with = |min_p| ids(&logits, Sampling { min_p, ..open() });
        assert_eq!(with(0.0).len(), 4);
        assert_eq!(with(0.2).len(), 3);
        assert_eq!(with(0.4).len(), 2);
        assert_eq!(with(1.0), [0]);
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
