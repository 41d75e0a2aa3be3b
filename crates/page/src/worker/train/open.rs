//! Opening a run: new, kept by the browser, or in an archive.

use std::rc::Rc;

use inkling_core::ModelConfig;
use inkling_core::train::{RunState, Trainer};

use super::files::{self, Read, Standing, text_name};
use super::keep::{self, Manifest};
use super::log::Log;
use super::plan::{plan, reserve};
use super::run::{Run, Start};
use super::store::{Store, Trouble};
use super::text::{Prepared, SHAKESPEARE, Text};
use super::writer::Writer;
use crate::protocol::model::{GivenFile, cpu_name};
use crate::protocol::train::{OpenRun, RunCard, RunPart, RunPlan, RunSettings, RunText};
use crate::protocol::{Failure, Id};
use crate::worker::model::MEMORY;
use crate::worker::{Workshop, fetch, zip};

/// What came of an attempt that may have to wait for the corpus.
pub enum Attempt<T> {
    /// It is there.
    Done(T),
    /// Tiny Shakespeare has to be fetched first.
    Waits,
}

impl Workshop {
    /// Bytes that another run may take.
    fn room(&self) -> u64 {
        let taken: u64 = self.runs.open.iter().map(|run| run.card.plan.memory_bytes).sum();
        MEMORY.saturating_sub(taken)
    }

    /// The text of a run's settings, as tokens; nothing while the corpus is not there.
    pub(super) fn prepare(&mut self, settings: &RunSettings) -> Result<Option<Rc<Prepared>>, Failure> {
        let text = match &settings.text {
            RunText::Shakespeare => match &self.runs.corpus {
                Some(corpus) => corpus.clone(),
                None => return Ok(None),
            },
            RunText::FirstPages => match &self.runs.corpus {
                Some(corpus) => Rc::new(corpus.first_pages()),
                None => return Ok(None),
            },
            RunText::Own { name, text } => Rc::new(Text::new(text_name(name), text.clone())),
        };
        self.runs.shelf.prepare(&text, settings.tokenizer).map(Some)
    }

    /// What a run of these settings would take.
    pub(super) fn plan(&self, settings: &RunSettings, prepared: &Prepared) -> Result<RunPlan, Failure> {
        let model = ModelConfig { vocab_size: prepared.tokenizer.vocab_size(), ..settings.model.clone() };
        plan(&model, &settings.train, prepared, self.engines.gpu().is_some(), self.engines.threads, self.room())
    }

    /// Opens a run.
    pub(super) async fn open_run(&mut self, ask: Id, call: &OpenRun) -> Result<Attempt<Run>, Failure> {
        match call {
            OpenRun::New(settings) => self.open_new(ask, settings).await,
            OpenRun::Kept { folder } => {
                self.runs.place.hold(folder).await?;
                let opened = self.open_kept(ask, folder).await;
                if !matches!(opened, Ok(Attempt::Done(_))) {
                    self.runs.place.release(folder);
                }
                opened
            }
            OpenRun::Zip(file) => self.open_zip(ask, file).await,
        }
    }

    async fn open_new(&mut self, ask: Id, settings: &RunSettings) -> Result<Attempt<Run>, Failure> {
        let Some(prepared) = self.prepare(settings)? else { return Ok(Attempt::Waits) };
        let plan = self.plan(settings, &prepared)?;
        reserve(&plan, self.engines.gpu().is_some())?;
        let model = ModelConfig { vocab_size: plan.vocab_size, ..settings.model.clone() };
        let (data, device) = (prepared.data.clone(), self.engines.device());
        let mut trainer = Trainer::new(model.clone(), settings.train.clone(), data, device, u64::MAX).await?;
        trainer.set_data(prepared.text.name.clone(), prepared.text.sha256.clone());
        let settings = RunSettings { model, ..settings.clone() };
        let folder = self.new_folder().await;
        let card = self.card(settings, plan, &prepared, 0, folder.clone());
        let weights = trainer.weights().await?;
        let writer = Writer::new(trainer.model(), &weights, &prepared.tokenizer, self.engines.device()).await?;
        let (log, past) = (Log::default(), Vec::new());
        let start = Start {
            card,
            prepared,
            trainer,
            writer,
            log,
            best: None,
            snapshots: Vec::new(),
            last: None,
            folder,
            manifest: None,
            past,
        };
        Ok(Attempt::Done(Run::new(ask, start).await?))
    }

    async fn open_kept(&mut self, ask: Id, folder: &str) -> Result<Attempt<Run>, Failure> {
        let (manifest, files) = keep::read(&self.runs.place, folder).await?;
        let read = files::read(files, self.room())?;
        let name = manifest.name.clone();
        self.resume(ask, read, name, Some((folder.to_owned(), manifest))).await
    }

    async fn open_zip(&mut self, ask: Id, file: &GivenFile) -> Result<Attempt<Run>, Failure> {
        let path = &file.path;
        let bytes = fetch::given_file(file).await?;
        let unpacked = zip::contents(&bytes, MEMORY as usize / 2)
            .map_err(|problem| Failure::input(format!("{path}: {problem}")))?;
        drop(bytes);
        let read = files::read(unpacked.into_iter().collect(), self.room())?;
        let stem = path.rsplit('/').next().unwrap_or(path);
        let name = read.name.clone().unwrap_or_else(|| stem.trim_end_matches(".zip").to_owned());
        self.resume(ask, read, name, None).await
    }

    /// A run that goes on.
    async fn resume(
        &mut self,
        ask: Id,
        mut read: Read,
        name: String,
        kept: Option<(String, Manifest)>,
    ) -> Result<Attempt<Run>, Failure> {
        let text = match read.text.take() {
            Some(text) => Rc::new(text),
            None if read.state.data == SHAKESPEARE => match &self.runs.corpus {
                Some(corpus) => corpus.clone(),
                None => return Ok(Attempt::Waits),
            },
            None => return Err(Failure::input(without_text(&read.state))),
        };
        if text.sha256 != read.state.data_sha256 {
            return Err(Failure::input(format!(
                "This run learns from another text called {} than this page has: its SHA-256 differs.",
                read.state.data
            )));
        }
        let own = text.name != SHAKESPEARE;
        let prepared = Rc::new(Prepared::with(text, read.tokenizer)?);
        let settings = RunSettings {
            name,
            model: read.model,
            train: read.state.settings.clone(),
            text: match own {
                true => RunText::Own { name: prepared.text.name.clone(), text: String::new() },
                false => RunText::Shakespeare,
            },
            tokenizer: prepared.kind,
        };
        let plan = self.plan(&settings, &prepared)?;
        reserve(&plan, self.engines.gpu().is_some())?;
        let Standing { weights, training } = &read.last;
        let (model, data, device) = (settings.model.clone(), prepared.data.clone(), self.engines.device());
        let mut trainer = Trainer::resume(model, weights, training, data, device, u64::MAX).await?;
        trainer.set_data(prepared.text.name.clone(), prepared.text.sha256.clone());
        let model_weights = trainer.weights().await?;
        let writer = Writer::new(trainer.model(), &model_weights, &prepared.tokenizer, self.engines.device()).await?;
        let (log, mut past) = Log::read(&read.metrics, read.state.step, read.state.elapsed_s, writer.prompt())?;
        let (folder, manifest) = match kept {
            Some((folder, manifest)) => {
                past.push(RunPart::Kept { step: read.state.step });
                (folder, Some(manifest))
            }
            None => (self.new_folder().await, None),
        };
        let card = self.card(settings, plan, &prepared, read.state.step, folder.clone());
        // The best that belongs to this state, and not to a later one.
        let best = read.best.filter(|_| read.state.best.is_some()).map(|(weights, training)| {
            (weights, training.filter(|training| is_best(training, &read.state, trainer.model())))
        });
        let (last, snapshots) = (Some(Rc::new(read.last)), read.snapshots);
        let start = Start { card, prepared, trainer, writer, log, best, snapshots, last, folder, manifest, past };
        Ok(Attempt::Done(Run::new(ask, start).await?))
    }

    /// What a run of this plan is trained by.
    pub(super) fn engine_of(&self, plan: &RunPlan) -> String {
        match self.engines.gpu() {
            Some(_) => self.engines.name(),
            None => cpu_name(plan.replicas),
        }
    }

    fn card(
        &mut self,
        mut settings: RunSettings,
        plan: RunPlan,
        prepared: &Prepared,
        step: u64,
        folder: String,
    ) -> RunCard {
        self.runs.named += 1;
        if let RunText::Own { text, .. } = &mut settings.text {
            text.clear();
        }
        RunCard {
            run: self.runs.named,
            folder,
            uniform_loss: (plan.vocab_size as f64).ln(),
            bigram_loss: prepared.bigram_loss,
            settings,
            plan,
            step,
            engine: self.engine_of(&plan),
        }
    }

    /// A folder of its own for a run. Where the browser keeps nothing, keeping tells so later.
    async fn new_folder(&mut self) -> String {
        let now = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let mut folder = format!("{now}");
        while self.runs.place.hold(&folder).await == Err(Trouble::Elsewhere) {
            folder.push('+');
        }
        folder
    }
}

/// Whether the rest of a best checkpoint is of this run.
fn is_best(training: &inkling_core::checkpoint::TrainingState, state: &RunState, model: &ModelConfig) -> bool {
    let best = RunState::from_json(&training.state);
    let slots = ["m.", "v."].map(|slot| training.optimizer.keys().filter(|name| name.starts_with(slot)).count());
    best.is_ok_and(|best| {
        Some(best.step) == state.best.map(|best| best.step)
            && best.settings == state.settings
            && best.train_tokens == state.train_tokens
            && slots == [model.parameters().len(); 2]
    })
}

fn without_text(state: &RunState) -> String {
    format!(
        "This run learns from {}, which is not in the archive: put the text's file (.txt) into the run's folder, and make the archive anew.",
        state.data
    )
}
