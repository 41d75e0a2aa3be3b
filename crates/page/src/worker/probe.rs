//! How fast this device trains: a small real run on random tokens, a step at a time; with one thread, and then with all that are to train.
//!
//! Batches grow until a step takes a good share of a slice, so that a fast device is not measured by what it costs to start a step; then
//! steps are timed. Each slice is a step, and its result is waited for: the time is that of work that was done.

use inkling_core::ModelConfig;
use inkling_core::rng::{Site, Stream};
use inkling_core::train::{Dataset, Progress, TrainConfig, Trainer};
use web_time::Instant;

use super::Workshop;
use super::model::MEMORY;
use super::stack::probe_model;
use super::train::start_crew;
use crate::protocol::Failure;
use crate::protocol::stack::Probed;

/// Sequences per step, tried in this order.
const BATCHES: [usize; 4] = [1, 4, 16, 64];

/// A larger batch is tried while it should stay within so many seconds a step.
const LONGEST_STEP: f64 = 0.04;

/// Seconds of steps that make a measurement.
const ENOUGH: f64 = 0.4;

/// Steps that make one at least: the first ones after loading are slower, and are not counted.
const LEAST_STEPS: usize = 5;

/// A measurement in the making.
pub struct Probing {
    trainer: Trainer,
    at: usize,
    warm: bool,
    /// When the step that is under way began.
    begun: Option<Instant>,
    steps: usize,
    seconds: f64,
    /// What one thread does, once that is known.
    alone: Option<f64>,
}

impl Workshop {
    pub(super) async fn begin_probe(&mut self) -> Result<Probing, Failure> {
        Ok(Probing {
            trainer: self.probe_trainer(0).await?,
            at: 0,
            warm: false,
            begun: None,
            steps: 0,
            seconds: 0.0,
            alone: None,
        })
    }

    /// A step, or a larger run in place of the one there is; what was measured, at the end.
    pub(super) async fn probe(&self, probing: &mut Probing) -> Result<Option<Probed>, Failure> {
        let begun = *probing.begun.get_or_insert_with(Instant::now);
        if probing.trainer.advance(&mut || false).await? != Progress::Whole {
            return Ok(None);
        }
        probing.trainer.reports().await?;
        if let (Some(_), Some(alone)) = (probing.trainer.lost_replica(), probing.alone) {
            // What one thread does is what there is.
            return Ok(Some(Probed { flops_per_second: alone, ..probing.result() }));
        }
        probing.begun = None;
        let seconds = begun.elapsed().as_secs_f64();
        if !probing.warm {
            probing.warm = true;
            return Ok(None);
        }
        if let Some(next) = BATCHES.get(probing.at + 1)
            && probing.steps == 0
            && probing.alone.is_none()
            && seconds * (*next / BATCHES[probing.at]) as f64 <= LONGEST_STEP
        {
            probing.at += 1;
            probing.trainer = self.probe_trainer(probing.at).await?;
            probing.warm = false;
            return Ok(None);
        }
        probing.steps += 1;
        probing.seconds += seconds;
        if probing.seconds < ENOUGH || probing.steps < LEAST_STEPS {
            return Ok(None);
        }
        let threads = self.engines.threads.min(BATCHES[probing.at]);
        if probing.alone.is_none() && threads > 1 && self.engines.gpu().is_none() {
            let trainer = &mut probing.trainer;
            if let Some(crew) = start_crew(trainer.model(), trainer.settings(), threads, &self.downloads.sender()) {
                trainer.employ(crew);
                probing.alone = Some(probing.flops_per_second());
                (probing.warm, probing.steps, probing.seconds) = (false, 0, 0.0);
                return Ok(None);
            }
        }
        Ok(Some(probing.result()))
    }

    async fn probe_trainer(&self, at: usize) -> Result<Trainer, Failure> {
        let model = probe_model();
        let settings = TrainConfig { batch_size: BATCHES[at], ..TrainConfig::default() };
        let data = random_tokens(&model)?;
        Ok(Trainer::new(model, settings, data, self.engines.device(), MEMORY).await?)
    }
}

impl Probing {
    /// Whether there is nothing to do before replicas have answered.
    pub fn is_waiting(&self) -> bool {
        self.trainer.is_waiting()
    }

    fn flops_per_second(&self) -> f64 {
        use inkling_core::program::Pass;
        let program = self.trainer.engine().program();
        let flops: u64 = [Pass::Forward, Pass::Backward, Pass::Update].map(|pass| program.flops(pass)).iter().sum();
        flops as f64 * self.steps as f64 / self.seconds
    }

    fn result(&self) -> Probed {
        let flops_per_second = self.flops_per_second();
        Probed {
            flops_per_second,
            alone: self.alone.unwrap_or(flops_per_second),
            steps: self.steps,
            seconds: self.seconds,
            parameters: self.trainer.model().num_parameters(),
            tokens: self.trainer.tokens_per_step() as usize,
        }
    }
}

/// A text that nobody wrote: what a step costs does not depend on what is read.
fn random_tokens(model: &ModelConfig) -> Result<Dataset, Failure> {
    let stream = Stream::new(1, 0, Site::BATCH);
    let tokens = (0..20 * model.n_positions as u32).map(|i| stream.below(i, model.vocab_size as u32)).collect();
    Ok(Dataset::new(tokens, &vec![1; model.vocab_size])?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::protocol::stack::Probe;
    use crate::protocol::train::KeptRuns;
    use crate::protocol::{Answer, Ask, Event, Request};
    use crate::worker::{Incoming, Role};

    #[test]
    fn a_device_is_measured_in_slices_between_which_others_are_heard() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let (sender, _receiver) = futures_channel::mpsc::unbounded();
        let mut workshop = Workshop::new(
            Role::LEARNER,
            {
                let heard = heard.clone();
                move |event| heard.borrow_mut().push(event)
            },
            sender,
        );
        workshop.receive(Incoming::Request(Request::Ask { id: 1, call: Probe.call() }));
        let mut turns = 0;
        while pollster::block_on(workshop.work()) {
            turns += 1;
            if turns == 2 {
                workshop.receive(Incoming::Request(Request::Ask { id: 2, call: KeptRuns.call() }));
            }
        }
        let heard = heard.borrow();
        let [Event::Done { id: 2, .. }, Event::Done { id: 1, answer: Answer::Probe(probed) }] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert!(turns > LEAST_STEPS);
        assert!(probed.steps >= LEAST_STEPS && probed.flops_per_second > 1e6, "{probed:?}");
    }
}
