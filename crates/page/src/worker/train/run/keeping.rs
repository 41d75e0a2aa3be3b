//! A run as files: for the browser to keep, to be saved, to be looked at.

use std::rc::Rc;

use inkling_core::Weights;
use inkling_core::checkpoint::Checkpoint;
use web_time::{Duration, Instant};

use super::{Doing, Run};
use crate::protocol::train::RunPart;
use crate::protocol::{Bytes, Failure};
use crate::worker::train::files::{self, Named, Standing};
use crate::worker::train::keep::{Keeping, Manifest, Progress};
use crate::worker::train::store::{Place, Store, Trouble};
use crate::worker::zip;

/// Training that a crash may cost.
const BETWEEN_KEEPS: Duration = Duration::from_secs(5);
/// Keeping takes at most this share of the time.
const SHARE_OF_KEEPING: u32 = 20;

impl Run {
    /// Whether keeping this very step was tried in vain.
    pub(super) fn told_not_kept_at(&self, step: u64) -> bool {
        self.told_not_kept && self.last.as_ref().is_some_and(|last| last.training.step == step)
    }

    pub(super) fn keep_is_due(&self) -> bool {
        self.kept_at.elapsed() >= BETWEEN_KEEPS.max(self.keeping_took * SHARE_OF_KEEPING)
    }

    /// What it can go on from without its device: the later of what was kept last and the best.
    pub fn standing(&self) -> Option<Rc<Standing>> {
        let best = self.best.as_ref().and_then(|(weights, training)| {
            Some(Rc::new(Standing { weights: weights.clone(), training: training.clone()? }))
        });
        [self.last.clone(), best].into_iter().flatten().max_by_key(|standing| standing.training.step)
    }

    pub(super) async fn stand(&mut self) -> inkling_core::Result<Rc<Standing>> {
        let weights = Rc::new(self.trainer.trained().await?);
        Ok(Rc::new(Standing { weights, training: self.trainer.training_state().await? }))
    }

    pub(super) async fn begin_keeping(&mut self) -> inkling_core::Result<()> {
        let begun = Instant::now();
        let standing = self.stand().await?;
        let (mut new, mut same) = (Vec::new(), Vec::new());
        new.push(("last".to_owned(), zip::pack(self.last_files(&standing)?)));
        match self.best_changed {
            true => new.extend(
                Some(self.best_files()?)
                    .filter(|files| !files.is_empty())
                    .map(|files| ("best".into(), zip::pack(files))),
            ),
            false => same.extend(self.manifest.archive("best")),
        }
        match self.manifest.archive("text") {
            Some(text) => same.push(text),
            None => new.extend(files::text(&self.prepared.text).map(|text| ("text".into(), zip::pack(vec![text])))),
        }
        for (step, weights) in self.snapshots.iter().filter(|(step, _)| *step != standing.training.step) {
            let stem = format!("at{step}");
            match self.manifest.archive(&stem) {
                Some(archive) => same.push(archive),
                None => {
                    let files = files::snapshot(self.trainer.model(), &self.prepared.tokenizer, step, weights)?;
                    new.push((stem, zip::pack(files)));
                }
            }
        }
        let packed = |(stem, bytes): (String, Option<Vec<u8>>)| Some((stem, bytes?));
        let Some(new) = new.into_iter().map(packed).collect() else {
            self.keeping(Err(Trouble::Other("there is no memory left to pack them".into())), standing);
            return Ok(());
        };
        let state = self.trainer.state();
        let manifest = Manifest {
            generation: self.manifest.generation + 1,
            name: self.card.settings.name.clone(),
            steps: (state.step, self.trainer.settings().max_steps),
            best: state.best.map(|best| best.loss),
            when: web_time::SystemTime::now()
                .duration_since(web_time::UNIX_EPOCH)
                .map_or(0.0, |time| time.as_millis() as f64),
            archives: Vec::new(),
        };
        self.doing = Doing::Keeping(Box::new(Keeping::new(manifest, same, new)), standing, begun);
        Ok(())
    }

    pub(super) fn keeping(&mut self, outcome: Result<Progress, Trouble>, standing: Rc<Standing>) {
        let begun = match &self.doing {
            Doing::Keeping(_, _, begun) => *begun,
            _ => Instant::now(),
        };
        match outcome {
            Ok(Progress::Partly) => return,
            Ok(Progress::Done(manifest)) => {
                self.manifest = manifest;
                (self.best_changed, self.told_not_kept) = (false, false);
                self.tell(RunPart::Kept { step: standing.training.step });
            }
            Err(trouble) => {
                if !self.told_not_kept {
                    self.tell(RunPart::NotKept { why: trouble.to_string() });
                }
                self.told_not_kept = true;
            }
        }
        (self.last, self.losses) = (Some(standing), 0);
        self.doing = Doing::Updates;
        (self.kept_at, self.keeping_took) = (Instant::now(), begun.elapsed());
        self.group.restart();
    }

    pub(super) fn last_files(&self, standing: &Standing) -> inkling_core::Result<Vec<Named>> {
        let name = &self.card.settings.name;
        files::last(self.trainer.model(), &self.prepared.tokenizer, standing, self.log.lines(), name)
    }

    pub(super) fn best_files(&self) -> inkling_core::Result<Vec<Named>> {
        let (model, tokenizer) = (self.trainer.model(), &self.prepared.tokenizer);
        match &self.best {
            None => Ok(Vec::new()),
            Some((weights, None)) => files::best_model(model, tokenizer, weights),
            Some((weights, Some(training))) => {
                let standing = Standing { weights: weights.clone(), training: training.clone() };
                files::best(model, tokenizer, &standing)
            }
        }
    }

    /// All files, as `trainer train` has them.
    ///
    /// # Errors
    /// Weights that are not finite.
    pub async fn files(&mut self) -> Result<Vec<Named>, Failure> {
        self.take_reports().await?;
        let standing = self.stand().await?;
        let mut all = self.last_files(&standing)?;
        all.extend(self.best_files()?);
        all.extend(files::text(&self.prepared.text));
        Ok(all)
    }

    /// The model of a step, as a folder's files.
    ///
    /// # Errors
    /// A step that has none.
    pub fn snapshot_files(&self, step: u64) -> Result<Vec<(String, Bytes)>, Failure> {
        let weights = self.snapshots.get(step);
        let weights =
            weights.ok_or_else(|| Failure::input(format!("The model of step {step} is not kept any more.")))?;
        let checkpoint = Checkpoint {
            config: self.trainer.model().clone(),
            weights: Weights::clone(&weights),
            tokenizer: self.prepared.tokenizer.clone(),
            training: None,
        };
        Ok(checkpoint.to_files()?.into_iter().map(|(name, bytes)| (name, Bytes(bytes))).collect())
    }

    /// Gives up its folder.
    pub fn leave(&self, place: &Place) {
        place.release(&self.folder);
    }
}
