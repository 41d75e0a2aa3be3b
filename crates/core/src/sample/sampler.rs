//! Settings of sampling, and draws from logits that are at hand: [`crate::ops::sample`] has the rule.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::sample::{Candidate, argmax, draw, keep, noise, weight};
use crate::rng::{Site, Stream};
use crate::step::Step;

/// Settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplerConfig {
    /// 0 is greedy; 1 is the model's own distribution.
    pub temperature: f32,
    /// Keep the `k` most probable tokens.
    pub top_k: Option<usize>,
    /// Keep the fewest tokens whose probabilities add up to this share.
    pub top_p: Option<f32>,
    /// Seed.
    pub seed: u64,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, seed: 1337 }
    }
}

impl SamplerConfig {
    /// Checks every field; the error names the field, its value and the allowed range.
    pub fn validate(&self) -> Result<()> {
        let fail = |message: String| Err(Error::Sampling(message));
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return fail(format!("temperature is {}; it must be 0 (greedy) or more", self.temperature));
        }
        if self.top_k == Some(0) {
            return fail("top-k is 0, which keeps nothing; it must be 1 or more".into());
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            return fail(format!("top-p is {p}; it must be above 0 and at most 1"));
        }
        Ok(())
    }

    /// The replay that draws the token at `position` of the text.
    pub fn step(&self, position: u32) -> Step {
        Step {
            seed: self.seed,
            counter: position,
            temperature: self.temperature,
            // Whoever keeps more than 2³² tokens keeps all.
            top_k: self.top_k.map_or(0, |k| u32::try_from(k).unwrap_or(0)),
            top_p: self.top_p.unwrap_or(1.0),
            ..Step::DEFAULT
        }
    }
}

/// Draws tokens; keeps its buffers.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler with these settings.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(config: SamplerConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, candidates: Vec::new() })
    }

    /// The probability of each token id under these settings; cut-off ids have exactly 0.
    pub fn probabilities(&mut self, logits: &[f32]) -> Vec<f32> {
        let mut probabilities = vec![0.0; logits.len()];
        if self.config.temperature == 0.0 {
            probabilities[argmax(logits) as usize] = 1.0;
            return probabilities;
        }
        keep(logits, &self.config.step(0), &mut self.candidates);
        let total: f64 = self.candidates.iter().map(|&(_, l)| weight(l)).sum();
        for &(id, l) in &self.candidates {
            probabilities[id as usize] = (weight(l) / total) as f32;
        }
        probabilities
    }

    /// The noise that is added to each token's `logit / temperature` at `position` of the text; the largest sum is drawn.
    pub fn noise(&self, position: u32) -> impl Fn(u32) -> f64 + use<> {
        let stream = Stream::new(self.config.seed, position, Site::SAMPLE);
        move |id| noise(stream, id)
    }

    /// The token at `position` of the text.
    ///
    /// # Errors
    /// When a logit is not finite.
    pub fn sample(&mut self, logits: &[f32], position: u32) -> Result<u32> {
        draw(logits, &self.config.step(position), &mut self.candidates).ok_or(Error::NonFiniteLogits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -2.0, 2.0, 3.0];

    fn sampler(temperature: f32, top_k: Option<usize>, top_p: Option<f32>) -> Sampler {
        Sampler::new(SamplerConfig { temperature, top_k, top_p, seed: 1 }).unwrap()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(sampler(0.0, None, None).sample(&LOGITS, 0).unwrap(), 1);
        assert_eq!(sampler(0.0, None, None).probabilities(&LOGITS), [0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        for (temperature, top_k, top_p) in [(1.0, None, None), (0.5, Some(3), None), (2.0, None, Some(0.8))] {
            let mut sampler = sampler(temperature, top_k, top_p);
            let want = sampler.probabilities(&LOGITS);
            let n = 40_000;
            let mut counts = [0_u32; 5];
            (0..n).for_each(|i| counts[sampler.sample(&LOGITS, i).unwrap() as usize] += 1);
            for (count, want) in counts.iter().zip(&want) {
                let got = f64::from(*count) / f64::from(n);
                // Six standard deviations; an id that was cut off is never drawn.
                let deviation = (f64::from(*want) * (1.0 - f64::from(*want)) / f64::from(n)).sqrt();
                assert!((got - f64::from(*want)).abs() <= 6.0 * deviation, "{counts:?} for {want}");
            }
        }
    }

    #[test]
    fn cuts_keep_what_they_should() {
        let kept = |top_k, top_p| {
            let p = sampler(1.0, top_k, top_p).probabilities(&LOGITS);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            (0..5).filter(|&i| p[i] > 0.0).collect::<Vec<_>>()
        };
        assert_eq!(kept(Some(1), None), [1]);
        assert_eq!(kept(Some(3), None), [1, 3, 4]);
        assert_eq!(kept(Some(100), None), [0, 1, 2, 3, 4]);
        // The probabilities are 0.054, 0.400, 0.003, 0.147, 0.400 (rounded).
        assert_eq!(kept(None, Some(0.3)), [1]);
        assert_eq!(kept(None, Some(0.5)), [1, 4]);
        assert_eq!(kept(None, Some(0.85)), [1, 3, 4]);
        assert_eq!(kept(None, Some(1.0)), [0, 1, 2, 3, 4]);
        // top-p counts shares of what top-k left.
        assert_eq!(kept(Some(2), Some(0.5)), [1]);
    }

    #[test]
    fn the_largest_sum_of_logit_and_noise_is_drawn() {
        for position in 0..100 {
            let mut sampler = sampler(0.7, Some(4), None);
            let (kept, noise) = (sampler.probabilities(&LOGITS), sampler.noise(position));
            let score = |id: u32| f64::from(LOGITS[id as usize] / 0.7) + noise(id);
            let best = (0..5).filter(|&id| kept[id as usize] > 0.0).max_by(|&a, &b| score(a).total_cmp(&score(b)));
            assert_eq!(Some(sampler.sample(&LOGITS, position).unwrap()), best);
        }
    }

    #[test]
    fn a_colder_draw_uses_the_same_noise() {
        // As the temperature falls, the choice changes at most towards larger logits.
        for position in 0..200 {
            let draws: Vec<f32> = [4.0, 2.0, 1.0, 0.5, 0.1]
                .map(|t| LOGITS[sampler(t, None, None).sample(&LOGITS, position).unwrap() as usize])
                .to_vec();
            assert!(draws.windows(2).all(|w| w[1] >= w[0]), "{draws:?}");
        }
    }

    #[test]
    fn the_smallest_temperature_is_nearly_greedy() {
        let mut sampler = sampler(f32::MIN_POSITIVE, None, Some(0.9));
        assert_eq!(sampler.probabilities(&LOGITS), [0.0, 0.5, 0.0, 0.0, 0.5]);
        assert!((0..50).all(|position| [1, 4].contains(&sampler.sample(&LOGITS, position).unwrap())));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let base = SamplerConfig::default();
        for (config, name) in [
            (SamplerConfig { temperature: -1.0, ..base }, "temperature"),
            (SamplerConfig { temperature: f32::NAN, ..base }, "temperature"),
            (SamplerConfig { temperature: f32::INFINITY, ..base }, "temperature"),
            (SamplerConfig { top_k: Some(0), ..base }, "top-k"),
            (SamplerConfig { top_p: Some(0.0), ..base }, "top-p"),
            (SamplerConfig { top_p: Some(1.1), ..base }, "top-p"),
            (SamplerConfig { top_p: Some(f32::NAN), ..base }, "top-p"),
        ] {
            assert!(Sampler::new(config).unwrap_err().to_string().contains(name));
        }
    }
}
