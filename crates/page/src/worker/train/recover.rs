//! A run whose GPU was lost (a driver's reset, a laptop that slept) goes on on a new one, or on the CPU.

use std::rc::Rc;

use inkling_core::error::GpuError;
use inkling_core::train::Trainer;

use super::files::Standing;
use super::run::Run;
use super::writer::Writer;
use crate::protocol::Failure;
use crate::worker::Workshop;

impl Workshop {
    /// Finds the run another device. What was not kept since is computed once more, with the same result.
    pub(super) async fn recover(&mut self, run: &mut Run, problem: &GpuError) {
        let problem = problem.to_string();
        // The device that failed, unless another run has found a new one already.
        if self.engines.gpu().is_some_and(|gpu| gpu.check().is_err()) || run.losses() > 1 {
            self.renew_engine(&problem, run.losses() > 1).await;
        }
        if let Err(failure) = self.move_run(run, &problem).await {
            run.break_down(format!(
                "The graphics card failed ({problem}), and the run cannot go on without it: {failure}."
            ));
        }
    }

    async fn move_run(&mut self, run: &mut Run, problem: &str) -> Result<(), Failure> {
        let standing: Option<Rc<Standing>> = run.standing();
        let trainer = match &standing {
            Some(standing) => {
                let Standing { weights, training } = &**standing;
                let (model, data) = (run.card.settings.model.clone(), run.prepared.data.clone());
                let mut trainer =
                    Trainer::resume(model, weights, training, data, self.engines.device(), u64::MAX).await?;
                trainer.set_data(run.prepared.text.name.clone(), run.prepared.text.sha256.clone());
                trainer
            }
            None => run.fresh_trainer(self.engines.device()).await?,
        };
        let weights = trainer.weights().await?;
        let writer = Writer::new(trainer.model(), &weights, &run.prepared.tokenizer, self.engines.device()).await?;
        // On the CPU threads may be worth it.
        let plan = self.plan(&run.card.settings, &run.prepared)?;
        (run.card.plan.replicas, run.card.plan.replica_bytes) = (plan.replicas, plan.replica_bytes);
        let engine = self.engine_of(&plan);
        let why = format!(
            "The graphics card failed ({problem}). The run goes on on {engine}, from step {}.",
            trainer.state().step
        );
        run.moved(trainer, writer, engine, why);
        run.employ(&self.downloads.sender());
        Ok(())
    }
}
