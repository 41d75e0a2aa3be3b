//! Interventions as other weights: exact, and no kernel has to know of them.
//!
//! ```text
//! head h is zeroed:    W_proj[:, hD..(h+1)D] = 0           what the head says is multiplied by nothing else
//! scores not scaled:   W_q = √D W_q,  b_q = √D b_q         (√D q) · k / √D = q · k; rope turns a vector and keeps its length
//!                      g_q = √D g_q                        where queries are normalised: a norm undoes any factor before it
//! ```

use inkling_core::{HostTensor, ModelConfig, Weights};

use crate::protocol::Failure;
use crate::protocol::attention::Experiment;

/// What a visitor is told who asks for a head that there is not.
pub fn no_such_head(config: &ModelConfig, layer: usize, head: usize) -> Failure {
    Failure::input(format!(
        "There is no head {layer}.{head}: this model has layers 0 to {} with heads 0 to {} each.",
        config.n_layer - 1,
        config.n_head - 1
    ))
}

/// Whether the model has every head that is to be zeroed.
pub fn check(config: &ModelConfig, experiment: &Experiment) -> Result<(), Failure> {
    let wrong = experiment.ablated.iter().find(|(layer, head)| *layer >= config.n_layer || *head >= config.n_head);
    wrong.map_or(Ok(()), |&(layer, head)| Err(no_such_head(config, layer, head)))
}

/// The tensors that differ from the model's.
pub fn changed(config: &ModelConfig, weights: &Weights, experiment: &Experiment) -> Weights {
    let mut changed = Weights::new();
    let d = config.head_dim();
    for (layer, head) in &experiment.ablated {
        let name = format!("h.{layer}.attn.c_proj.weight");
        let tensor = changed.entry(name.clone()).or_insert_with(|| weights[&name].clone());
        for row in tensor.data.chunks_exact_mut(config.n_embd) {
            row[head * d..(head + 1) * d].fill(0.0);
        }
    }
    if experiment.unscaled {
        for layer in 0..config.n_layer {
            let tensors = if config.qk_norm { &["q_norm.weight"][..] } else { &["c_attn.weight", "c_attn.bias"] };
            for name in tensors.iter().map(|name| format!("h.{layer}.attn.{name}")) {
                // A model without biases has none to change.
                if let Some(tensor) = weights.get(&name) {
                    changed.insert(name, louder(config, tensor));
                }
            }
        }
    }
    changed
}

/// With the query's share times √D: the first `C` rows of a matrix or of its bias; of a gain, all.
fn louder(config: &ModelConfig, tensor: &HostTensor) -> HostTensor {
    let mut tensor = tensor.clone();
    let row: usize = tensor.shape[1..].iter().product();
    let root = (config.head_dim() as f32).sqrt();
    tensor.data.iter_mut().take(config.n_embd * row).for_each(|x| *x *= root);
    tensor
}
