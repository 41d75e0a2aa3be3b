//! What becomes of a token's logits on the way to a draw: [`inkling_core::ops::sample`] has the rule.
//!
//! ```text
//! logit    logit / T    softmax    cut and renormalised    logit / T + noise: the largest is drawn
//! ```

use inkling_core::ops::sample::{Candidate, argmax, keep, weight};
use inkling_core::sample::{Sampler, SamplerConfig};

use crate::protocol::sample::entropy;
use crate::ui::order::{largest_first, smallest_first};

/// Tokens that are shown one by one.
const MOST: usize = 100;

/// A token's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: u32,
    /// From the model.
    pub logit: f32,
    /// Divided by the temperature; as it is where that is 0.
    pub scaled: f32,
    /// Of all tokens.
    pub chance: f32,
    /// Of those that are left; none where it was cut off.
    pub kept: Option<f32>,
    /// Gumbel noise, by the dice of this place; none where no dice are thrown.
    pub noise: Option<f64>,
}

impl Row {
    /// What decides, where the token can be drawn.
    pub fn score(&self) -> Option<f64> {
        self.kept.map(|_| f64::from(self.scaled) + self.noise.unwrap_or_default())
    }
}

/// A place in a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Tokens, as they are shown.
    pub rows: Vec<Row>,
    /// Tokens that are not among them, and their chance after the cuts.
    pub rest: (usize, f32),
    /// Tokens that can be drawn.
    pub left: usize,
    /// Of all.
    pub vocab: usize,
    /// Bits, after the cuts.
    pub entropy: f32,
    /// What these settings draw with the dice of this place; none without dice.
    pub drawn: Option<u32>,
}

/// The order of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The largest logit first.
    #[default]
    Logit,
    /// As in the vocabulary.
    Id,
}

/// The numbers of all tokens at a place. `position` is that of the token in the text, prompt included; `dice` is whether it was drawn (else
/// the visitor put it there); `written` is always among the rows.
pub fn distribution(
    logits: &[f32],
    sampling: SamplerConfig,
    position: u32,
    dice: bool,
    written: u32,
    order: Order,
) -> Distribution {
    let Ok(sampler) = Sampler::new(sampling) else { return Distribution::default() };
    let greedy = sampling.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { sampling.temperature };
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scaled = |logit: f32| (logit - max) / temperature;
    let all: f64 = logits.iter().map(|&logit| weight(scaled(logit))).sum();
    let mut candidates: Vec<Candidate> = Vec::new();
    if greedy {
        candidates.push((argmax(logits), 0.0));
    } else {
        keep(logits, &sampling.step(position), &mut candidates);
    }
    let left: f64 = candidates.iter().map(|&(_, l)| weight(l)).sum();
    let mut kept = vec![None; logits.len()];
    candidates.iter().for_each(|&(id, l)| kept[id as usize] = Some((weight(l) / left) as f32));
    let noise = (dice && !greedy).then(|| sampler.noise(position));
    let drawn = if greedy {
        Some(argmax(logits))
    } else {
        let score = |&(id, l): &Candidate| noise.as_ref().map(|noise| (f64::from(l) + noise(id), id));
        candidates.iter().filter_map(score).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id)
    };
    let logit = |id: u32| logits[id as usize];
    let mut ids: Vec<u32> = largest_first(logits.iter().copied()).into_iter().map(|id| id as u32).collect();
    if ids.len() > MOST {
        let hidden = ids.split_off(MOST);
        let wanted = [Some(written), drawn].into_iter().flatten().filter(|id| hidden.contains(id));
        ids.extend(wanted);
        ids.dedup();
    }
    if order == Order::Id {
        smallest_first(&mut ids);
    }
    let rows: Vec<Row> = ids
        .iter()
        .map(|&id| Row {
            id,
            logit: logit(id),
            scaled: logit(id) / temperature,
            chance: (weight(scaled(logit(id))) / all) as f32,
            kept: kept[id as usize],
            noise: noise.as_ref().map(|noise| noise(id)),
        })
        .collect();
    let shown: f32 = rows.iter().filter_map(|row| row.kept).sum();
    let left_chances: Vec<f32> = kept.iter().flatten().copied().collect();
    Distribution {
        rest: (logits.len() - rows.len(), (1.0 - shown).max(0.0)),
        rows,
        left: candidates.len(),
        vocab: logits.len(),
        entropy: entropy(&left_chances),
        drawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -2.0, 2.0, 3.0];

    fn config(temperature: f32) -> SamplerConfig {
        SamplerConfig { temperature, top_k: Some(4), top_p: Some(0.9), seed: 3 }
    }

    #[test]
    fn the_largest_score_is_what_core_draws() {
        for position in 0..200 {
            for temperature in [0.0, 0.3, 1.0, 2.0] {
                let mut sampler = Sampler::new(config(temperature)).unwrap();
                let at = distribution(&LOGITS, config(temperature), position, true, 0, Order::Logit);
                let token = sampler.sample(&LOGITS, position).unwrap();
                assert_eq!(at.drawn, Some(token));
                let best = at.rows.iter().filter(|row| row.kept.is_some());
                let best = best.max_by(|a, b| a.score().unwrap().total_cmp(&b.score().unwrap())).unwrap();
                assert_eq!(best.id, token);
                let probabilities = sampler.probabilities(&LOGITS);
                for row in &at.rows {
                    assert_eq!(row.kept.unwrap_or(0.0), probabilities[row.id as usize]);
                }
            }
        }
    }

    #[test]
    fn cuts_are_counted_and_chances_add_up() {
        let at = distribution(&LOGITS, config(1.0), 0, true, 0, Order::Logit);
        assert_eq!(at.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 4, 3, 0, 2]);
        assert_eq!((at.left, at.vocab, at.rest.0), (3, 5, 0));
        assert!((at.rows.iter().map(|row| row.chance).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((at.rows.iter().filter_map(|row| row.kept).sum::<f32>() - 1.0).abs() < 1e-6);
        let put = distribution(&LOGITS, config(1.0), 0, false, 2, Order::Id);
        assert_eq!(put.drawn, None);
        assert_eq!(put.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn of_a_large_vocabulary_the_likeliest_are_shown_and_what_was_written() {
        let logits: Vec<f32> = (0..1000).map(|i| -(i as f32) / 100.0).collect();
        let sampling = SamplerConfig { temperature: 1.0, ..SamplerConfig::default() };
        let at = distribution(&logits, sampling, 0, false, 777, Order::Logit);
        assert_eq!((at.rows.len(), at.rest.0), (101, 899));
        assert_eq!(at.rows[100].id, 777);
        let shown: f32 = at.rows.iter().map(|row| row.chance).sum();
        assert!((shown + at.rest.1 - 1.0).abs() < 1e-5);
    }
}
