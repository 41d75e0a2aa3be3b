//! What a model costs, and what running it does: read off the recorded programs.
//!
//! Recording allocates no tensor. The ops of a pass come in the order in which they run; those of the blocks are the same for each, and are
//! listed once with their number.

use inkling_core::ModelConfig;
use inkling_core::nn::Generation;
use inkling_core::program::{Op, Pass, Precision, Program};
use inkling_core::train::{self, TrainConfig};

use crate::protocol::Failure;
use crate::protocol::stack::{Estimate, Estimated, OpCard};

/// What a model would cost.
pub fn estimate(Estimate { config, batch_size }: &Estimate) -> Result<Estimated, Failure> {
    let settings = TrainConfig { batch_size: *batch_size, ..TrainConfig::default() };
    settings.validate()?;
    let (training, ..) = train::record(config, &settings)?;
    let (generation, _) = Generation::record(config, Precision::Full)?;
    // One sequence, as the figures read it.
    let (single, ..) = train::record(config, &TrainConfig { batch_size: 1, ..settings })?;
    let tokens = (*batch_size * config.n_positions) as f64;
    let flops = |passes: &[Pass]| passes.iter().map(|&pass| training.flops(pass) as f64).sum::<f64>() / tokens;
    let layers = config.n_layer;
    let mut backward = by_name(&training, Pass::Backward);
    backward.extend(by_name(&training, Pass::Update));
    Ok(Estimated {
        training_bytes: training.memory_bytes(),
        sampling_bytes: generation.memory_bytes(),
        forward_flops: flops(&[Pass::Forward]),
        training_flops: flops(&[Pass::Forward, Pass::Backward, Pass::Update]),
        forward: listed(single.ops(Pass::Forward), layers),
        decode: listed(generation.ops(Pass::Decode), layers),
        backward,
    })
}

/// A pass that runs through the model from its tables to its head.
fn listed(ops: &[Box<dyn Op>], layers: usize) -> Vec<OpCard> {
    let is_norm = |op: &dyn Op| matches!(op.name(), "layernorm" | "rmsnorm");
    // The last norm is the model's own; before it there are the tables and the blocks.
    let Some(blocks) = ops.iter().rposition(|op| is_norm(op.as_ref())).map(|last| last.saturating_sub(1)) else {
        return ops.iter().map(|op| card(op.as_ref(), "", 1, false)).collect();
    };
    let period = blocks / layers;
    debug_assert_eq!(period * layers, blocks, "blocks are of the same ops");
    let mut cards = vec![card(ops[0].as_ref(), "wte, wpe", 1, false)];
    let (mut norms, mut products) = (["ln_1", "ln_2"].into_iter(), MATRICES.into_iter());
    for op in &ops[1..=period] {
        let op = op.as_ref();
        let of = if is_norm(op) {
            norms.next()
        } else if is_product(op) {
            products.next()
        } else {
            None
        };
        cards.push(card(op, of.unwrap_or_default(), layers, true));
    }
    for op in &ops[1 + blocks..] {
        let op = op.as_ref();
        let of = if is_norm(op) {
            "ln_f"
        } else if op.name() == "head" || is_product(op) {
            "head"
        } else {
            ""
        };
        // A large head does some rows at a time.
        match cards.iter_mut().find(|card| !card.in_block && card.name == op.name() && card.of == of) {
            Some(card) => {
                card.times += 1;
                card.flops += op.flops();
            }
            None => cards.push(card(op, of, 1, false)),
        }
    }
    cards
}

/// A block's matrices in the order in which they are applied.
const MATRICES: [&str; 4] = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];

fn is_product(op: &dyn Op) -> bool {
    op.name().starts_with("linear") || op.name().starts_with("matrix-vector")
}

fn card(op: &dyn Op, of: &str, times: usize, in_block: bool) -> OpCard {
    OpCard { name: op.name().into(), of: of.into(), times, flops: times as u64 * op.flops(), in_block }
}

/// The ops of a pass, those of one name together, in the order of their first.
fn by_name(program: &Program, pass: Pass) -> Vec<OpCard> {
    let mut cards: Vec<OpCard> = Vec::new();
    for op in program.ops(pass) {
        match cards.iter_mut().find(|card| card.name == op.name()) {
            Some(card) => {
                card.times += 1;
                card.flops += op.flops();
            }
            None => cards.push(card(op.as_ref(), "", 1, false)),
        }
    }
    cards
}

/// Sizes of the model that measures a device: small enough for a step of it to be short, and of the usual proportions.
pub(super) fn probe_model() -> ModelConfig {
    ModelConfig { n_layer: 1, n_positions: 64, ..ModelConfig::default() }
}

#[cfg(test)]
mod tests {
    use inkling_core::presets;

    use super::*;

    #[test]
    fn the_list_is_the_whole_pass() {
        for preset in presets::all() {
            let estimated = estimate(&Estimate { config: preset.model.clone(), batch_size: 2 }).unwrap();
            let (program, ..) =
                train::record(&preset.model, &TrainConfig { batch_size: 1, ..TrainConfig::default() }).unwrap();
            let times: usize = estimated.forward.iter().map(|op| op.times).sum();
            let flops: u64 = estimated.forward.iter().map(|op| op.flops).sum();
            assert_eq!(times, program.ops(Pass::Forward).len(), "{}", preset.name);
            assert_eq!(flops, program.flops(Pass::Forward), "{}", preset.name);
            let (generation, _) = Generation::record(&preset.model, Precision::Full).unwrap();
            let decode: u64 = estimated.decode.iter().map(|op| op.flops).sum();
            assert_eq!(decode, generation.flops(Pass::Decode), "{}", preset.name);
        }
    }

    #[test]
    fn matrices_are_named_after_their_parameters() {
        let config = ModelConfig::default();
        let estimated = estimate(&Estimate { config: config.clone(), batch_size: 1 }).unwrap();
        for (ops, rows) in [(&estimated.forward, config.n_positions), (&estimated.decode, 1)] {
            for name in MATRICES {
                let op = ops.iter().find(|op| op.of == name).unwrap();
                let parameter = format!("h.0.{name}.weight");
                let spec = config.parameters().into_iter().find(|spec| spec.name == parameter).unwrap();
                assert_eq!(op.flops, (2 * spec.numel() * rows * config.n_layer) as u64, "{name}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_a_sentence() {
        let config = ModelConfig { n_embd: 130, ..ModelConfig::default() };
        let failure = estimate(&Estimate { config, batch_size: 1 }).unwrap_err();
        assert!(failure.message.contains("not divisible"), "{}", failure.message);
    }
}
