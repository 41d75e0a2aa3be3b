//! What the parts of the figure share: the next run's settings, the runs there are, and what is done with them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::AbortHandle;
use leptos::prelude::*;

use super::draft::Draft;
use super::log::Log;
use crate::protocol::model::SavedModel;
use crate::protocol::train::{
    ForgetRun, KeptRun, KeptRuns, OpenRun, RunCard, RunPart, RunSettings, RunState, SaveRun, Steer, Steering,
    TakeSnapshot,
};
use crate::protocol::{Ask, Failure};
use crate::ui::client::Heard;
use crate::ui::learner::Learner;
use crate::ui::reactive::effect;
use crate::ui::store::Store;
use crate::ui::task;

/// Between two looks at what a run does.
const LOOK: Duration = Duration::from_millis(100);

/// A run of this session.
#[derive(Clone, Copy)]
pub struct Run {
    /// Counts runs: also their style.
    pub number: usize,
    /// What it is.
    pub card: StoredValue<Arc<RunCard>>,
    /// What it was begun with in this visit, its text included.
    pub settings: StoredValue<Option<RunSettings>>,
    /// What was heard of it. Whoever reads it hears of changes ten times a second.
    pub log: RwSignal<Log>,
    /// What it does.
    pub state: RwSignal<RunState>,
    /// Whether it is drawn while another one is picked.
    pub shown: RwSignal<bool>,
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Run {
    /// What the visitor called it.
    pub fn name(self) -> String {
        self.card.with_value(|card| card.settings.name.clone())
    }

    /// Whether it trains.
    pub fn plays(self) -> bool {
        self.state.get() == RunState::Playing
    }

    /// Whether this is what the browser keeps of it.
    pub fn is_kept_as(self, kept: &KeptRun) -> bool {
        self.card.with_value(|card| card.folder == kept.folder)
    }

    /// Steps in all.
    pub fn last(self) -> u64 {
        self.card.with_value(|card| card.settings.train.max_steps)
    }
}

/// Handles of all of it.
#[derive(Clone, Copy)]
pub struct Lab {
    /// What all figures share.
    pub store: Store,
    /// Trains.
    pub learner: Learner,
    /// The next run.
    pub draft: Draft,
    /// In the order in which they were opened.
    pub runs: RwSignal<Vec<Run>>,
    /// The run that is looked at.
    pub picked: RwSignal<Option<Run>>,
    /// The run and the step that all figures show.
    pub looked: RwSignal<Option<(Run, u64)>>,
    /// What the browser keeps.
    pub kept: RwSignal<Vec<KeptRun>>,
    /// Why something could not be done.
    pub problem: RwSignal<Option<String>>,
    /// While a run is being opened.
    pub opening: RwSignal<bool>,
    /// Whether steps are spaced by their logarithms.
    pub log_steps: RwSignal<bool>,
    /// What became of a run while the tab was hidden.
    pub away: RwSignal<Option<String>>,
    /// The step that is held, and the one that is pointed at.
    pub held: RwSignal<Option<u64>>,
    /// Comes before the one that is held.
    pub pointed: RwSignal<Option<u64>>,
    count: StoredValue<usize>,
    /// Runs of which something was heard since the last look.
    news: StoredValue<Vec<Run>>,
    looking: StoredValue<Option<AbortHandle>>,
}

impl Lab {
    /// Nothing is open yet.
    pub fn new(store: Store) -> Self {
        let learner = store.learner;
        let lab = Self {
            store,
            learner,
            draft: Draft::new(store),
            runs: RwSignal::new(Vec::new()),
            picked: RwSignal::new(None),
            looked: RwSignal::new(None),
            kept: RwSignal::new(Vec::new()),
            problem: RwSignal::new(None),
            opening: RwSignal::new(false),
            log_steps: RwSignal::new(false),
            away: RwSignal::new(None),
            held: RwSignal::new(None),
            pointed: RwSignal::new(None),
            count: StoredValue::new(0),
            news: StoredValue::new(Vec::new()),
            looking: StoredValue::new(None),
        };
        effect(move || {
            // Another model took the figures.
            if !store.looks_through() && lab.looked.with_untracked(Option::is_some) {
                lab.looked.set(None);
                store.view.step.set(None);
            }
        });
        effect(move || {
            if let Some(why) = learner.broken.get() {
                for run in lab.runs.get_untracked() {
                    run.state.set(RunState::Broken { why: why.clone() });
                }
                lab.opening.set(false);
            }
        });
        lab
    }

    /// Asks the learner, and shows why it has no answer.
    fn ask<A: Ask + 'static>(self, ask: A, then: impl FnOnce(A::Answer) + 'static) {
        task::start(async move {
            match self.learner.ready().await.ask(ask).answer().await {
                Ok(answer) => then(answer),
                Err(failure) => self.fail(failure),
            }
        });
    }

    fn fail(self, failure: Failure) {
        self.store.announce(failure.message.clone());
        self.problem.set(Some(failure.message));
    }

    /// Begins a run with the settings as they are: it plays, or does one step.
    pub fn begin(self, play: bool) {
        if let Some(mut settings) = untrack(|| self.draft.settings()) {
            settings.name = self.free_name(&settings.name);
            self.open(OpenRun::New(Box::new(settings)), Some(if play { Steering::Play } else { Steering::Step }));
        }
    }

    /// Asks what the browser keeps as soon as the section is on screen.
    pub fn follow_near(self) {
        effect(move || {
            if self.draft.near.get() {
                self.list_kept();
            }
        });
    }

    /// A name that no run has, open or kept.
    fn free_name(self, name: &str) -> String {
        let taken = |name: &str| {
            self.runs.with_untracked(|runs| runs.iter().any(|run| run.name() == name))
                || self.kept.with_untracked(|kept| kept.iter().any(|kept| kept.name == name))
        };
        let mut free = name.to_owned();
        let mut number = 1;
        while taken(&free) {
            number += 1;
            free = format!("{name} {number}");
        }
        free
    }

    /// Opens a run, tells it what to do, and hears of it until it is closed. One that is to play does so alone.
    pub fn open(self, what: OpenRun, begin: Option<Steering>) {
        if self.opening.get_untracked() {
            return;
        }
        self.opening.set(true);
        self.problem.set(None);
        let settings = if let OpenRun::New(settings) = &what { Some((**settings).clone()) } else { None };
        let number = self.count.try_update_value(|count| std::mem::replace(count, *count + 1)).unwrap_or_default();
        task::start(async move {
            let mut conversation = self.learner.ready().await.ask(what);
            let mut run = None;
            while let Some(heard) = conversation.next().await {
                match (heard, run) {
                    (Heard::Part(RunPart::Opened(card)), None) => {
                        let opened = Run {
                            number,
                            state: RwSignal::new(RunState::Paused),
                            log: RwSignal::new(Log { step: card.step, ..Log::default() }),
                            settings: StoredValue::new(settings.clone()),
                            card: StoredValue::new(Arc::from(card)),
                            shown: RwSignal::new(true),
                        };
                        run = Some(opened);
                        self.opened(opened, begin);
                    }
                    (Heard::Part(part), Some(run)) => self.hear(run, part),
                    (Heard::Answer(_), Some(run)) => self.closed(run).await,
                    (Heard::Failed(failure), Some(run)) => run.state.set(RunState::Broken { why: failure.message }),
                    (Heard::Failed(failure), None) => {
                        self.opening.set(false);
                        self.fail(failure);
                    }
                    _ => {}
                }
            }
        });
    }

    fn opened(self, run: Run, begin: Option<Steering>) {
        self.opening.set(false);
        if begin == Some(Steering::Play) {
            for other in self.runs.get_untracked().into_iter().filter(|other| untrack(|| other.plays())) {
                self.steer(other, Steering::Pause);
            }
        }
        self.runs.update(|runs| runs.push(run));
        self.pick(run);
        if let Some(begin) = begin {
            self.steer(run, begin);
        }
    }

    fn hear(self, run: Run, part: RunPart) {
        match part {
            RunPart::State(state) => {
                match &state {
                    RunState::Finished => self.store.announce(format!("{} has done all its steps.", run.name())),
                    RunState::Broken { why } => self.store.announce(format!("{} cannot go on: {why}", run.name())),
                    RunState::Paused | RunState::Playing => {}
                }
                run.state.set(state);
            }
            part => {
                let first_kept = matches!(part, RunPart::Kept { .. })
                    && run.log.with_untracked(|log| !matches!(log.kept, Some(Ok(_))));
                run.log.update_untracked(|log| log.hear(part));
                if first_kept {
                    self.list_kept();
                }
            }
        }
        let waits = self.news.try_update_value(|news| {
            let waits = !news.is_empty();
            if !news.contains(&run) {
                news.push(run);
            }
            waits
        });
        if waits == Some(false) {
            let tell = move || {
                for run in self.news.try_update_value(std::mem::take).unwrap_or_default() {
                    run.log.notify();
                }
            };
            set_timeout(tell, LOOK);
        }
    }

    /// Looks at another run.
    pub fn pick(self, run: Run) {
        self.held.set(None);
        self.pointed.set(None);
        self.picked.set(Some(run));
    }

    /// Tells a run what to do.
    pub fn steer(self, run: Run, to: Steering) {
        self.problem.set(None);
        self.away.set(None);
        let run = run.card.with_value(|card| card.run);
        self.ask(Steer { run, to }, |_| {});
    }

    /// No more of a run. What the browser keeps of it stays.
    pub fn close(self, run: Run) {
        if self.looked.get_untracked().is_some_and(|(looked, _)| looked == run) {
            self.store.look_away();
        }
        self.steer(run, Steering::Close);
        self.runs.update(|runs| runs.retain(|other| *other != run));
        if self.picked.get_untracked() == Some(run) {
            let next = self.runs.with_untracked(|runs| runs.last().copied());
            self.held.set(None);
            self.picked.set(next);
        }
    }

    /// The learner has closed a run.
    async fn closed(self, run: Run) {
        run.log.set(Log::default());
        let client = self.learner.ready().await;
        if let Ok(runs) = client.ask(KeptRuns).answer().await {
            self.kept.set(runs.0);
        }
    }

    /// Shows the model of a step in all figures.
    pub fn look(self, run: Run, step: u64) {
        if self.looked.get_untracked() == Some((run, step)) {
            return;
        }
        self.looked.set(Some((run, step)));
        self.store.view.step.set(Some(step));
        let snapshot = TakeSnapshot { run: run.card.with_value(|card| card.run), step };
        let name = format!("{}, step {}", run.name(), crate::ui::number::count(step));
        let looking = task::start_stoppable(async move {
            match self.learner.ready().await.ask(snapshot).answer().await {
                Ok(files) => self.store.look_through(name, files),
                Err(failure) => self.fail(failure),
            }
        });
        // Of two steps, the one that was asked for last.
        if let Some(older) = self.looking.try_update_value(|slot| slot.replace(looking)).flatten() {
            older.abort();
        }
    }

    /// Asks what the browser keeps.
    pub fn list_kept(self) {
        self.ask(KeptRuns, move |runs| self.kept.set(runs.0));
    }

    /// Throws away what the browser keeps of a run.
    pub fn forget(self, folder: String) {
        self.ask(ForgetRun { folder }, move |_| self.list_kept());
    }

    /// The whole run as a file.
    pub fn save(self, run: Run) {
        self.ask(SaveRun(run.card.with_value(|card| card.run)), move |saved: SavedModel| {
            if crate::ui::sections::own::save::download(&saved).is_none() {
                self.problem.set(Some("This browser does not let the page save a file.".into()));
            }
        });
    }
}
