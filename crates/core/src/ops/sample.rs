//! Sampling: from logits to the next token.
//!
//! ```text
//! l = (logits - max) / temperature         keep the top_k largest, then the fewest whose probability reaches top_p
//! token = argmax (l + g),  g = -log(-log u)        Gumbel noise: this draws from softmax(l) over what was kept
//! ```
//!
//! Equal logits are in the order of their ids, here and on the GPU, so that a cut is the same everywhere. The noise of a token id depends
//! on seed, position and id alone, so that changing the temperature changes only what it should (Gumbel-max trick; Maddison et al.
//! 2014). The settings come from the replay's [`Step`]; its counter is the token's position in the text.

use std::cell::RefCell;

use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::rng::{Site, Stream};
use crate::step::Step;

/// What [`Sample`] writes instead of a token when a logit is not finite.
pub const NO_TOKEN: u32 = u32::MAX;

/// A token that can be drawn: its id and its `l`.
pub type Candidate = (u32, f32);

/// Draws a token. It stays on the device, where the next decoding step reads it.
#[derive(Debug)]
pub struct Sample {
    /// `[1, V]`.
    pub logits: Tensor,
    /// Id, `[1]`, assigned; 0 where there is none to draw, so that whoever reads it finds a token that exists.
    pub token: Tensor,
    /// Ids, `[N]`: element `step.slot` is assigned, [`NO_TOKEN`] when a logit is not finite.
    pub text: Tensor,
    /// Kept from draw to draw.
    candidates: RefCell<Vec<Candidate>>,
}

impl Sample {
    /// The op on these tensors.
    pub fn new(logits: Tensor, token: Tensor, text: Tensor) -> Self {
        Self { logits, token, text, candidates: RefCell::default() }
    }
}

impl Op for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let drawn = draw(&mem.read(self.logits), step, &mut self.candidates.borrow_mut());
        mem.write_ids(self.token)[0] = drawn.unwrap_or(0);
        mem.write_ids(self.text)[step.slot as usize] = drawn.unwrap_or(NO_TOKEN);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        kernels.push(
            Dispatch::new(shader::SAMPLE, "draw")
                .bind("logits", self.logits)
                .assign("token", self.token)
                .assign("text", self.text)
                .param("vocab", kernels.len(self.logits))
                .param("site", Site::SAMPLE.0),
        );
    }
}

/// The next token; `None` when a logit is not finite. `candidates` is scratch.
pub fn draw(logits: &[f32], step: &Step, candidates: &mut Vec<Candidate>) -> Option<u32> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    if step.temperature == 0.0 {
        return Some(argmax(logits));
    }
    keep(logits, step, candidates);
    let stream = Stream::new(step.seed, step.counter, Site::SAMPLE);
    let mut best = (candidates[0].0, f64::NEG_INFINITY);
    for &(id, l) in candidates.iter() {
        let score = f64::from(l) + noise(stream, id);
        if score > best.1 {
            best = (id, score);
        }
    }
    Some(best.0)
}

/// A token's Gumbel noise `g`.
pub fn noise(stream: Stream, id: u32) -> f64 {
    // In (0, 1): both logarithms stay finite.
    let u = (f64::from(stream.bits(id)) + 0.5) / 4_294_967_296.0;
    -libm::log(-libm::log(u))
}

/// Fills `candidates` with the tokens that can be drawn at a temperature above 0, the most probable first if top-p cut some off.
pub fn keep(logits: &[f32], step: &Step, candidates: &mut Vec<Candidate>) {
    // The largest becomes 0: however small the temperature, nothing overflows upwards.
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let candidate = |id: u32| (id, (logits[id as usize] - max) / step.temperature);
    let (top_k, top_p) = (step.top_k as usize, f64::from(step.top_p));
    let (cuts_k, cuts_p) = ((1..logits.len()).contains(&top_k), top_p < 1.0);
    candidates.clear();
    if !cuts_k && !cuts_p {
        candidates.extend((0..logits.len() as u32).map(candidate));
        return;
    }
    // By the logits themselves, which division by a temperature could round to the same number.
    let mut ranks: Vec<u64> = logits.iter().zip(0..).map(|(&logit, id)| rank(logit, id)).collect();
    if cuts_k {
        ranks.select_nth_unstable(top_k);
        ranks.truncate(top_k);
    }
    if cuts_p {
        ranks.sort_unstable();
    }
    candidates.extend(ranks.iter().map(|&rank| candidate(rank as u32)));
    if cuts_p {
        let total: f64 = candidates.iter().map(|&(_, l)| weight(l)).sum();
        let mut sum = 0.0;
        let enough = candidates.iter().position(|&(_, l)| {
            sum += weight(l) / total;
            sum >= top_p
        });
        candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
    }
}

/// A whole number that is smaller the earlier a token comes: larger logits first, of equal ones the smaller id, which is its low half.
/// Sorting these is faster than comparing logits, and all that is sorted so shares one program.
pub fn rank(logit: f32, id: u32) -> u64 {
    // Adding 0 makes -0 equal to 0. The bits of numbers from 0 up are ordered as the numbers are, those below 0 the other way round.
    let bits = (logit + 0.0).to_bits();
    let descending = if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits };
    u64::from(descending) << 32 | u64::from(id)
}

/// `eˡ`: a probability but for the sum.
pub fn weight(l: f32) -> f64 {
    libm::exp(f64::from(l))
}

/// The id of the largest logit; the first of equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &l) in logits.iter().enumerate() {
        if l > logits[best] {
            best = i;
        }
    }
    best as u32
}
