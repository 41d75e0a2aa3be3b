//! Rows of tables: what goes into the first block, and what is near what.
//!
//! ```text
//! x = scale · wte[token] + wpe[position]        the residual stream before the first block
//! ```
//!
//! `scale` is `√C` where positions are sines (Vaswani et al. 2017), else 1. Rope and bigrams add no row of a position.

mod nearness;
mod positions;
mod projection;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use inkling_core::embedding_space::EmbeddingSpace;
use inkling_core::ops::embedding::sinusoids;
use inkling_core::weights::HostTensor;
use inkling_core::{Architecture, ModelConfig, PositionEmbedding};

pub use self::nearness::Shuffling;
pub use self::projection::Projecting;
use super::Workshop;
use super::model::LoadedModel;
use crate::protocol::embed::{TokenRows, TokenRowsRead};
use crate::protocol::{Failure, Values};

/// What is made of a model's tables once.
#[derive(Default)]
pub struct Spaces {
    tokens: Option<Rc<EmbeddingSpace>>,
    sinusoids: Option<Vec<f32>>,
}

impl Spaces {
    /// The token table, centred.
    fn tokens(&mut self, model: &LoadedModel) -> Rc<EmbeddingSpace> {
        let space = self.tokens.get_or_insert_with(|| {
            let table = token_table(model);
            Rc::new(EmbeddingSpace::new(&table.data, table.shape[1]))
        });
        Rc::clone(space)
    }

    /// The table of positions, `[T, C]`; `None` where no row of it is added.
    fn positions<'a>(&'a mut self, model: &'a LoadedModel) -> Option<&'a [f32]> {
        let config = model.config();
        match (config.architecture, config.position_embedding_type) {
            (Architecture::Bigram, _) | (_, PositionEmbedding::Rope) => None,
            (_, PositionEmbedding::Learned) => Some(&model.checkpoint.weights["wpe.weight"].data),
            (_, PositionEmbedding::Sinusoidal) => {
                Some(self.sinusoids.get_or_insert_with(|| sinusoids(config.n_positions, config.n_embd)))
            }
        }
    }
}

/// `wte`, `[V, C]`.
fn token_table(model: &LoadedModel) -> &HostTensor {
    &model.checkpoint.weights["wte.weight"]
}

/// Factor on the token's row.
fn token_scale(config: &ModelConfig) -> f32 {
    match (config.architecture, config.position_embedding_type) {
        (Architecture::Gpt, PositionEmbedding::Sinusoidal) => (config.n_embd as f32).sqrt(),
        _ => 1.0,
    }
}

/// Refuses an id that the vocabulary has not.
fn check(model: &LoadedModel, ids: &[u32]) -> Result<(), Failure> {
    let last = token_table(model).shape[0] - 1;
    match ids.iter().find(|&&id| id as usize > last) {
        Some(id) => Err(Failure::input(format!("there is no token {id}: the last of this model is {last}"))),
        None => Ok(()),
    }
}

impl Workshop {
    pub(super) fn token_rows(&mut self, TokenRows { id, position }: TokenRows) -> Result<TokenRowsRead, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        check(model, &[id])?;
        let limit = model.config().n_positions;
        if position >= limit {
            return Err(Failure::input(format!("this model has {limit} positions, and {position} is none of them")));
        }
        let (table, scale) = (token_table(model), token_scale(model.config()));
        let channels = table.shape[1];
        let row = |table: &[f32], index: usize| table[index * channels..][..channels].to_vec();
        let token: Vec<f32> = row(&table.data, id as usize).into_iter().map(|x| scale * x).collect();
        let position = self.spaces.positions(model).map(|table| row(table, position));
        let sum = match &position {
            Some(position) => token.iter().zip(position).map(|(token, position)| token + position).collect(),
            None => token.clone(),
        };
        Ok(TokenRowsRead { scale, token: Values(token), position: position.map(Values), sum: Values(sum) })
    }
}
