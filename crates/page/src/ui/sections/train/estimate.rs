//! How long a run will take here.

use inkling_core::train::config::{Protocol, TrainConfig};

use crate::protocol::stack::Estimated;

/// What a run computes, in floating-point operations: its updates, and its evaluations over `val_tokens`.
pub fn flops(costs: &Estimated, train: &TrainConfig, context: usize, val_tokens: u64) -> f64 {
    let per_batch = train.batch_size as f64 * context as f64;
    let updates = train.max_steps as f64 * train.gradient_accumulation_steps as f64 * per_batch;
    let read = match train.eval_protocol {
        Protocol::Full => val_tokens as f64,
        Protocol::Sampled => train.eval_batches as f64 * per_batch,
    };
    let evaluations = (train.max_steps / train.eval_steps.max(1)) as f64 + 1.0;
    updates * costs.training_flops + evaluations * read * costs.forward_flops
}

/// Validation tokens of Tiny Shakespeare in characters.
pub const SHAKESPEARE: u64 = 111_539;

/// A duration to plan by: `about 40 s`, `about 3 min`, `about 1.5 h`.
pub fn about(seconds: f64) -> String {
    format!("about {}", crate::ui::sections::stack::costs::about(seconds))
}

/// A duration as a clock shows it: `4:05`, `1:02:03`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 3.6e8).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_and_evaluations_are_counted() {
        let costs = Estimated {
            training_bytes: 0,
            sampling_bytes: 0,
            forward_flops: 1.0,
            training_flops: 3.0,
            forward: Vec::new(),
            decode: Vec::new(),
            backward: Vec::new(),
        };
        let train = TrainConfig { max_steps: 100, batch_size: 2, eval_steps: 50, ..TrainConfig::default() };
        assert_eq!(flops(&costs, &train, 10, 1000), 100.0 * 20.0 * 3.0 + 3.0 * 1000.0);
        let sampled = TrainConfig { eval_protocol: Protocol::Sampled, eval_batches: 5, ..train };
        assert_eq!(flops(&costs, &sampled, 10, 1000), 100.0 * 20.0 * 3.0 + 3.0 * 100.0);
    }

    #[test]
    fn times_are_as_clocks_show_them() {
        assert_eq!(clock(245.4), "4:05");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(f64::INFINITY), "100000:00:00");
    }
}
