//! A run that goes back: to its beginning, to its best evaluation, or to where it was kept when its device was lost.

use std::rc::Rc;

use inkling_core::Device;
use inkling_core::train::{Group, Trainer};

use super::{Doing, Mode, Run, is_on_gpu};
use crate::protocol::Failure;
use crate::protocol::train::RunPart;
use crate::worker::train::files::Standing;
use crate::worker::train::writer::Writer;

impl Run {
    /// What trains this run, at its beginning.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn fresh_trainer(&self, device: Device) -> inkling_core::Result<Trainer> {
        let settings = &self.card.settings;
        let (model, train) = (settings.model.clone(), settings.train.clone());
        let mut trainer = Trainer::new(model, train, self.prepared.data.clone(), device, u64::MAX).await?;
        trainer.set_data(self.prepared.text.name.clone(), self.prepared.text.sha256.clone());
        Ok(trainer)
    }

    /// Begins once more, with a [`Self::fresh_trainer`].
    ///
    /// # Errors
    /// What went wrong on a GPU.
    pub async fn begin_anew(&mut self, trainer: Trainer) -> inkling_core::Result<()> {
        let weights = Rc::new(trainer.weights().await?);
        self.flush();
        (self.on_gpu, self.trainer) = (is_on_gpu(&trainer), trainer);
        (self.last, self.best_changed) = (None, true);
        self.waiting_since = None;
        self.went_back();
        self.set_mode(Mode::Paused);
        self.snapshot(0, weights.clone());
        self.writer.begin(&weights)?;
        self.doing = Doing::Sample(None);
        Ok(())
    }

    pub(super) async fn rewind_to_best(&mut self) -> Result<(), Failure> {
        let Some((weights, training)) = self.best.clone() else {
            return Err(Failure::input("There is no best evaluation yet to go back to."));
        };
        let Some(training) = training else {
            return Err(Failure::input(
                "Of this run's best evaluation only the weights were kept, not the optimizer's moments: `trainer train` keeps no more. It can \
                 be looked at, but not gone on from.",
            ));
        };
        self.go_to(&Standing { weights, training }).await?;
        self.set_mode(Mode::Paused);
        self.rest().await?;
        Ok(())
    }

    /// Goes back to where it stood.
    pub(super) async fn go_to(&mut self, standing: &Standing) -> inkling_core::Result<()> {
        self.flush();
        self.doing = Doing::Updates;
        self.waiting_since = None;
        self.trainer.rewind(&standing.weights, &standing.training).await?;
        self.went_back();
        Ok(())
    }

    /// Forgets what was after the present step.
    pub(super) fn went_back(&mut self) {
        let step = self.step();
        self.log.rewind(step);
        self.snapshots.rewind(step);
        self.group = Group::new(step, self.on_gpu);
        self.tell(RunPart::Rewound { step });
        if self.trainer.state().best.is_none() {
            self.best = None;
        }
    }

    /// Goes on after its device was lost, on another one: from where it was kept last, if it was.
    pub fn moved(&mut self, trainer: Trainer, writer: Writer, engine: String, why: String) {
        self.flush();
        let from = self.step();
        self.doing = Doing::Updates;
        self.waiting_since = None;
        (self.on_gpu, self.trainer, self.writer) = (is_on_gpu(&trainer), trainer, writer);
        self.card.engine.clone_from(&engine);
        self.tell(RunPart::Moved { engine, why });
        let is_best_ahead = self.trainer.state().best.is_none_or(|best| Some(best.step) != self.best_step());
        if self.step() < from || is_best_ahead {
            self.went_back();
        }
        self.group = Group::new(self.step(), self.on_gpu);
    }

    pub(super) fn best_step(&self) -> Option<u64> {
        self.best.as_ref().and_then(|(_, training)| training.as_ref()).map(|training| training.step)
    }
}
