//! How long a run will take here.

use inkling_core::train::config::{Protocol, TrainConfig};

use crate::protocol::stack::Probed;
use crate::protocol::train::RunPlan;

/// Seconds that a run takes on a device of that speed.
pub fn seconds(plan: &RunPlan, train: &TrainConfig, speed: &Probed) -> f64 {
    flops(plan, train) / if plan.replicas > 1 { speed.flops_per_second } else { speed.alone }
}

/// What a run computes, in floating-point operations: its updates, and its evaluations.
fn flops(plan: &RunPlan, train: &TrainConfig) -> f64 {
    let tokens_per_step = plan.tokens_per_step.max(1) as f64;
    let read = match train.eval_protocol {
        Protocol::Full => plan.tokens.1 as f64,
        // As many tokens as an update reads, but for its accumulation.
        Protocol::Sampled => {
            train.eval_batches as f64 * tokens_per_step / train.gradient_accumulation_steps.max(1) as f64
        }
    };
    let evaluations = (train.max_steps / train.eval_steps.max(1)) as f64 + 1.0;
    // The backward pass takes twice what the forward pass does.
    let forward = plan.flops_per_step / tokens_per_step / 3.0;
    train.max_steps as f64 * plan.flops_per_step + evaluations * read * forward
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
        let plan = RunPlan {
            vocab_size: 65,
            tokens: (9000, 1000),
            parameters: 1,
            tokens_per_step: 20,
            flops_per_step: 60.0,
            memory_bytes: 0,
            replicas: 1,
            replica_bytes: 0,
        };
        let train = TrainConfig { max_steps: 100, eval_steps: 50, ..TrainConfig::default() };
        assert_eq!(flops(&plan, &train), 100.0 * 60.0 + 3.0 * 1000.0);
        let sampled = TrainConfig { eval_protocol: Protocol::Sampled, eval_batches: 5, ..train };
        assert_eq!(flops(&plan, &sampled), 100.0 * 60.0 + 3.0 * 100.0);
        let speed = Probed { flops_per_second: 200.0, alone: 100.0, steps: 1, seconds: 1.0, parameters: 1, tokens: 1 };
        assert_eq!(seconds(&plan, &sampled, &speed), 63.0);
        assert_eq!(seconds(&RunPlan { replicas: 2, ..plan }, &sampled, &speed), 31.5);
    }

    #[test]
    fn times_are_as_clocks_show_them() {
        assert_eq!(clock(245.4), "4:05");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(f64::INFINITY), "100000:00:00");
    }
}
