//! From a trained model to the start of another run: [`adapt`].

use crate::config::{ModelConfig, PositionEmbedding};
use crate::error::{Error, Result};
use crate::weights::Weights;

/// The table of positions.
const POSITIONS: &str = "wpe.weight";

/// Turns the weights of `base` into those of `wanted`, which may differ in what no trained weight depends on: a shorter context (a learned table
/// of positions keeps its first rows) and another dropout.
///
/// # Errors
/// [`Error::Config`] names the first field that calls for weights which nobody has trained.
pub fn adapt(base: &ModelConfig, weights: &mut Weights, wanted: &ModelConfig) -> Result<()> {
    let (had, wants) = (base.n_positions, wanted.n_positions);
    if wants > had {
        return Err(Error::Config(format!(
            "n_positions is {wants}, but the model was trained on texts of {had} tokens: it may be shortened, not lengthened"
        )));
    }
    let reachable = ModelConfig { n_positions: wants, dropout: wanted.dropout, ..base.clone() };
    if let Some((field, fixed, value)) = reachable.first_difference(wanted) {
        return Err(Error::Config(format!(
            "{field} is {value}, but the weights were trained with {fixed}: of a trained model only n_positions (shorter) and \
             dropout can be set"
        )));
    }
    wanted.validate()?;
    if base.position_embedding_type == PositionEmbedding::Learned
        && let Some(table) = weights.get_mut(POSITIONS)
    {
        table.data.truncate(wants * base.n_embd);
        table.shape[0] = wants;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::HostTensor;

    fn base() -> (ModelConfig, Weights) {
        let config = ModelConfig { n_positions: 3, n_embd: 2, n_head: 1, n_kv_head: 1, ..ModelConfig::default() };
        let table = HostTensor { shape: vec![3, 2], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        (config, Weights::from([(POSITIONS.to_owned(), table)]))
    }

    #[test]
    fn a_shorter_context_keeps_the_first_positions() {
        let (config, mut weights) = base();
        let wanted = ModelConfig { n_positions: 2, dropout: 0.25, ..config.clone() };
        adapt(&config, &mut weights, &wanted).unwrap();
        assert_eq!(weights[POSITIONS], HostTensor { shape: vec![2, 2], data: vec![1.0, 2.0, 3.0, 4.0] });
    }

    #[test]
    fn the_same_model_keeps_all() {
        let (config, mut weights) = base();
        adapt(&config, &mut weights, &config).unwrap();
        assert_eq!(weights, base().1);
    }

    #[test]
    fn what_the_weights_do_not_fit_is_refused_by_name() {
        let (config, mut weights) = base();
        for (wanted, word) in [
            (
                ModelConfig { n_positions: 4, ..config.clone() },
                "n_positions is 4, but the model was trained on texts of 3",
            ),
            (ModelConfig { n_layer: 5, ..config.clone() }, "n_layer is 5, but the weights were trained with 4"),
            (ModelConfig { rope_theta: 5e5, ..config.clone() }, "rope_theta is 500000"),
            (
                ModelConfig { layer_norm_epsilon: 1e-6, ..config.clone() },
                "layer_norm_epsilon is 1e-6, but the weights were trained with 0.00001:",
            ),
            (ModelConfig { n_positions: 0, ..config.clone() }, "n_positions is 0"),
            (ModelConfig { dropout: 1.0, ..config.clone() }, "dropout is 1"),
        ] {
            let message = adapt(&config, &mut weights, &wanted).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
            assert_eq!(weights, base().1);
        }
    }
}
