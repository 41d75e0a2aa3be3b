//! Training: runs that are open take turns, a slice each, and are kept by the browser.
//!
//! A worker of its own does this. What is asked about runs is answered here; [`run`] is what a run does.

mod crew;
mod files;
mod keep;
mod log;
mod open;
#[cfg(target_family = "wasm")]
mod opfs;
mod plan;
mod recover;
mod run;
mod snapshots;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::rc::Rc;

use inkling_core::Error;

#[cfg(target_family = "wasm")]
pub use self::crew::serve;
pub use self::crew::{start as start_crew, threads};
use self::open::Attempt;
use self::run::Run;
use self::store::{Place, Store};
use self::text::{SHAKESPEARE, Shelf, Text};
use super::{Outcome, Workshop, zip};
use crate::protocol::model::SavedModel;
use crate::protocol::train::{
    Files, ForgetRun, KeptRuns, NamedFile, PlanRun, RunId, RunsKept, SaveRun, Steer, Steered, Steering, TakeSnapshot,
};
use crate::protocol::{Answer, Bytes, Call, Failure, Id, Part};

/// All about training.
#[derive(Default)]
pub struct Runs {
    /// Those that are open; the next one to have its turn is first.
    open: Vec<Run>,
    /// Runs that were ever opened.
    named: RunId,
    /// Tiny Shakespeare, when it was first asked for.
    corpus: Option<Rc<Text>>,
    /// What cannot be answered before it is there.
    waiting: Vec<(Id, Call)>,
    shelf: Shelf,
    place: Place,
}

impl Runs {
    fn find(&mut self, id: RunId) -> Result<&mut Run, Failure> {
        let found = self.open.iter_mut().find(|run| run.id == id);
        found.ok_or_else(|| Failure::input("This run is not open any more."))
    }
}

impl Workshop {
    /// The answer to a call about runs; none yet where the answer comes later.
    pub(super) async fn about_runs(&mut self, id: Id, call: Call) -> Outcome {
        Some(match call {
            Call::PlanRun(PlanRun(settings)) => match self.prepare(&settings) {
                Ok(Some(prepared)) => self.plan(&settings, &prepared).map(Answer::PlanRun),
                Ok(None) => return self.wait_for_text(id, Call::PlanRun(PlanRun(settings))),
                Err(failure) => Err(failure),
            },
            Call::OpenRun(call) => match self.open_run(id, &call).await {
                Ok(Attempt::Done(run)) => {
                    self.runs.open.push(run);
                    self.tell_of_runs();
                    return None;
                }
                Ok(Attempt::Waits) => return self.wait_for_text(id, Call::OpenRun(call)),
                Err(failure) => Err(failure),
            },
            Call::Probe(_) => return self.probe_device(id).await,
            Call::Steer(call) => self.steer(call).await.map(Answer::Steer),
            Call::TakeSnapshot(TakeSnapshot { run, step }) => {
                let files = self.runs.find(run).and_then(|run| run.snapshot_files(step));
                let named = |(name, bytes)| NamedFile { name, bytes };
                files.map(|files| Answer::TakeSnapshot(Files(files.into_iter().map(named).collect())))
            }
            Call::SaveRun(SaveRun(run)) => match self.runs.find(run) {
                Ok(run) => {
                    run.saving.push(id);
                    return None;
                }
                Err(failure) => Err(failure),
            },
            Call::KeptRuns(KeptRuns) => self.kept_runs().await.map(Answer::KeptRuns),
            Call::ForgetRun(ForgetRun { folder }) => self.forget_run(&folder).await.map(Answer::ForgetRun),
            _ => Err(Failure::of_another_worker()),
        })
    }

    fn wait_for_text(&mut self, id: Id, call: Call) -> Outcome {
        self.runs.waiting.push((id, call));
        self.fetch_corpus();
        None
    }

    /// Answers who waits for the corpus.
    pub(super) fn corpus_for_runs(&mut self, corpus: &Result<Vec<u8>, Failure>) {
        if self.runs.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.runs.waiting);
        let text = corpus.clone().and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| Failure::network("The text to learn from is no UTF-8 text."))
        });
        match text {
            Ok(text) => {
                self.runs.corpus = Some(Rc::new(Text::new(SHAKESPEARE.into(), text)));
                self.queue.extend(waiting);
            }
            Err(failure) => waiting.into_iter().for_each(|(id, _)| self.done(id, Err(failure.clone()))),
        }
    }

    async fn steer(&mut self, Steer { run, to }: Steer) -> Result<Steered, Failure> {
        let outcome = match to {
            Steering::Reset => self.reset_run(run).await,
            _ => {
                let wake = self.downloads.sender();
                let run = self.runs.find(run)?;
                if matches!(to, Steering::Play | Steering::Step) {
                    run.employ(&wake);
                }
                run.steer(to).await
            }
        };
        self.tell_of_runs();
        outcome.map(|()| Steered).or_else(|failure| if to == Steering::Close { Ok(Steered) } else { Err(failure) })
    }

    /// The same settings again, from the same random weights.
    async fn reset_run(&mut self, run: RunId) -> Result<(), Failure> {
        let device = self.engines.device();
        let run = self.runs.find(run)?;
        let trainer = run.fresh_trainer(device).await?;
        Ok(run.begin_anew(trainer).await?)
    }

    async fn kept_runs(&self) -> Result<RunsKept, Failure> {
        let place = &self.runs.place;
        let mut kept = Vec::new();
        for folder in place.folders().await? {
            match keep::manifests(place, &folder).await?.first() {
                Some(manifest) => kept.push(manifest.card(folder)),
                // Of a run that ended before it was ever kept; unless it is open.
                None => drop(place.forget(&folder).await),
            }
        }
        kept.sort_by(|a, b| b.when.total_cmp(&a.when));
        Ok(RunsKept(kept))
    }

    async fn forget_run(&mut self, folder: &str) -> Result<Steered, Failure> {
        if self.runs.open.iter().any(|run| run.folder == folder) {
            return Err(Failure::input("This run is open: close it before it is forgotten."));
        }
        self.runs.place.forget(folder).await?;
        Ok(Steered)
    }

    /// Nobody listens to this run any more.
    pub(super) fn cancel_run(&mut self, id: Id) {
        self.runs.waiting.retain(|(waiting, _)| *waiting != id);
        self.runs.open.iter_mut().for_each(|run| run.saving.retain(|saving| *saving != id));
        if let Some(at) = self.runs.open.iter().position(|run| run.ask == id) {
            self.runs.open.remove(at).leave(&self.runs.place);
        }
    }

    /// A slice of the next run that has something to do. False if there is none.
    pub(super) async fn train(&mut self) -> bool {
        let Some(at) = self.runs.open.iter().position(Run::is_busy) else { return false };
        // Who had a turn is last.
        let mut run = self.runs.open.remove(at);
        if run.is_at_rest() && !run.saving.is_empty() {
            self.save_run(&mut run).await;
        } else if let Err(Error::Gpu(problem)) = run.slice(&self.runs.place).await {
            self.recover(&mut run, &problem).await;
        }
        self.runs.open.push(run);
        self.tell_of_runs();
        true
    }

    /// Sends what runs have to tell, and closes those that are done with.
    fn tell_of_runs(&mut self) {
        let mut runs = std::mem::take(&mut self.runs.open);
        for run in &mut runs {
            run.outbox.drain(..).for_each(|part| self.part(run.ask, Part::OpenRun(part)));
        }
        let (closed, open): (Vec<_>, Vec<_>) = runs.into_iter().partition(Run::is_closed);
        self.runs.open = open;
        for run in closed {
            run.leave(&self.runs.place);
            self.done(run.ask, Ok(Answer::OpenRun(Steered)));
        }
    }

    async fn save_run(&self, run: &mut Run) {
        let saved = run.files().await.and_then(|files| {
            let name: String =
                run.card.settings.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            let archive =
                zip::pack(files).ok_or_else(|| Failure::memory("There is no room in this tab to pack the run."))?;
            Ok(SavedModel { name: format!("{name}.zip"), bytes: Bytes(archive) })
        });
        for id in std::mem::take(&mut run.saving) {
            self.done(id, saved.clone().map(Answer::SaveRun));
        }
    }
}
