//! Workers of this worker that compute gradients: a run's replicas, one for each thread.
//!
//! A page has no memory that its workers share unless its host sends headers for that, and Rust's own threads need more of the compiler than its
//! stable releases give. Data parallelism needs neither: see [`inkling_core::train::replica`].

#[cfg(test)]
mod local;
#[cfg(target_family = "wasm")]
mod replica;
#[cfg(target_family = "wasm")]
mod web;

use futures_channel::mpsc::UnboundedSender;
use inkling_core::ModelConfig;
use inkling_core::train::{Crew, Replica, TrainConfig};
use serde::{Deserialize, Serialize};

#[cfg(target_family = "wasm")]
pub use self::replica::serve;
use crate::worker::Incoming;

/// Floating-point operations of an update that are worth a replica: some milliseconds, beside which a message is little.
const WORTH_IT: f64 = 1e8;

/// Tokens of an update that are worth a replica. A weight takes 6 operations per token, and some 40 bytes of copies per update: with fewer tokens than
/// this, copying is what takes the time.
const TOKENS: u64 = 64;

/// What a replica is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Duty {
    model: ModelConfig,
    train: TrainConfig,
    rank: usize,
    replicas: usize,
}

impl Duty {
    /// Those of all replicas.
    fn all(model: &ModelConfig, train: &TrainConfig, replicas: usize) -> impl Iterator<Item = Self> {
        (0..replicas).map(move |rank| Self { model: model.clone(), train: train.clone(), rank, replicas })
    }
}

/// How many replicas compute a run's gradients with so many threads; 1 where the learner does so alone.
pub fn replicas(threads: usize, train: &TrainConfig, tokens_per_step: u64, flops_per_step: f64) -> usize {
    let worth = ((flops_per_step / WORTH_IT) as usize).min((tokens_per_step / TOKENS) as usize);
    threads.min(train.batch_size).min(worth).max(1)
}

/// Bytes of so many replicas, at most.
///
/// # Errors
/// Settings out of range.
pub fn memory_bytes(model: &ModelConfig, train: &TrainConfig, replicas: usize) -> inkling_core::Result<u64> {
    // The last one has the most sequences.
    Ok(replicas as u64 * Replica::memory_bytes(model, train, replicas - 1, replicas)?)
}

/// Threads that a device is to train with: half of its logical processors, which is about as many as it has of real ones, or of fast ones; but two
/// where there are two, and not more than a batch is usually worth.
pub fn threads() -> usize {
    #[cfg(target_family = "wasm")]
    let processors = web::processors();
    // Tests say themselves how many.
    #[cfg(not(target_family = "wasm"))]
    let processors = 1;
    share_of(processors)
}

fn share_of(processors: usize) -> usize {
    (processors / 2).max(2).min(processors).clamp(1, 16)
}

/// Starts replicas, which say through `wake` that they have answered; none where there are no workers.
pub fn start(
    model: &ModelConfig,
    train: &TrainConfig,
    replicas: usize,
    wake: &UnboundedSender<Incoming>,
) -> Option<Box<dyn Crew>> {
    let duties = Duty::all(model, train, replicas);
    #[cfg(target_family = "wasm")]
    return Some(Box::new(web::Workers::start(duties, wake)));
    #[cfg(all(test, not(target_family = "wasm")))]
    return Some(Box::new(local::Local::start(duties, wake)));
    #[cfg(not(any(test, target_family = "wasm")))]
    return {
        let _ = (duties.count(), wake);
        None
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_processors_train() {
        assert_eq!([0, 1, 2, 3, 4, 8, 16, 128].map(share_of), [1, 1, 2, 2, 2, 4, 8, 16]);
    }

    #[test]
    fn no_replica_is_without_a_sequence_or_for_a_trifle() {
        let train = |batch_size| TrainConfig { batch_size, ..TrainConfig::default() };
        assert_eq!(replicas(4, &train(12), 768, 1e9), 4);
        assert_eq!(replicas(4, &train(3), 768, 1e9), 3);
        assert_eq!(replicas(4, &train(12), 768, 2.5e8), 2);
        assert_eq!(replicas(4, &train(12), 768, 1e7), 1);
        assert_eq!(replicas(1, &train(12), 768, 1e12), 1);
        assert_eq!(replicas(4, &train(12), 130, 1e12), 2);
    }
}
