//! The workers: one task each that owns an engine and answers one request after the other. Two programs are made of this ([`Role`]): one answers the
//! figures, from the beginning; one trains, once it is wanted, so that figures are answered while a model learns.
//!
//! Requests wait in a queue; what is cancelled there is never begun. Long work (writing a text) is a `Job`, done a slice at a time: between
//! slices the worker looks at its queue, so a message waits for one slice at most, or for the one call that is under way: those are short for small
//! models, and take up to seconds for large ones. Downloads, and the question for a GPU, run beside it and come back through the queue.

mod attention;
mod embed;
mod engines;
mod fetch;
mod model;
mod probe;
mod sample;
mod stack;
mod tokenize;
mod train;
mod zip;

#[cfg(target_family = "wasm")]
mod port;

use std::collections::VecDeque;

use futures_channel::mpsc::UnboundedSender;

use self::engines::Engines;
use self::model::LoadedModel;
use self::sample::Writing;
use crate::protocol::embed::TokenMap;
use crate::protocol::model::LoadProgress;
use crate::protocol::{Answer, Call, Event, Failure, FailureKind, Id, Part, Request};

/// What reaches the worker's task.
#[derive(Debug)]
pub enum Incoming {
    /// From the page.
    Request(Request),
    /// A download goes on.
    Progress {
        /// Of the ask.
        id: Id,
        /// How far it is.
        progress: LoadProgress,
    },
    /// A download has ended.
    Fetched {
        /// Of the ask.
        id: Id,
        /// What came of it.
        files: Result<fetch::Folder, Failure>,
    },
    /// The corpus has been downloaded, or could not be.
    Corpus(Result<Vec<u8>, Failure>),
    /// There is a GPU, or none.
    Engine(engines::Asked),
    /// Somebody who computes for a run has something to say.
    Replica,
}

/// Where answers go.
type Send = Box<dyn Fn(Event)>;

/// The worker's state.
pub struct Workshop {
    role: Role,
    engines: Engines,
    model: Option<LoadedModel>,
    tokenizers: tokenize::Tokenizers,
    inspector: attention::Inspector,
    spaces: embed::Spaces,
    desk: sample::Desk,
    runs: train::Runs,
    queue: VecDeque<(Id, Call)>,
    jobs: VecDeque<(Id, Job)>,
    downloads: fetch::Downloads,
    send: Send,
}

/// The answer to a call; none yet of what goes on beside the queue.
type Outcome = Option<Result<Answer, Failure>>;

/// What is waited for.
type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a worker is for. A program has the code of its own role only: the linker finds the rest by these functions, and leaves it out.
#[derive(Clone, Copy)]
pub struct Role {
    /// Of a call.
    outcome: for<'a> fn(&'a mut Workshop, Id, Call) -> Pending<'a, Outcome>,
    /// A slice of what goes on. False if nothing does.
    go_on: for<'a> fn(&'a mut Workshop) -> Pending<'a, bool>,
    /// How many threads train on the CPU.
    threads: fn() -> usize,
    /// Reads a message.
    #[cfg(target_family = "wasm")]
    read: fn(wasm_bindgen::JsValue) -> Result<Request, serde_wasm_bindgen::Error>,
    /// A message, and the buffers to be transferred with it.
    #[cfg(target_family = "wasm")]
    write: fn(Event) -> (wasm_bindgen::JsValue, js_sys::Array),
}

impl Role {
    /// Answers the figures.
    pub const FIGURES: Self = Self {
        outcome: |workshop, id, call| Box::pin(workshop.about_figures(id, call)),
        go_on: |workshop| Box::pin(workshop.go_on()),
        threads: || 1,
        #[cfg(target_family = "wasm")]
        read: crate::protocol::figures::read,
        #[cfg(target_family = "wasm")]
        write: crate::protocol::figures::write,
    };
    /// Trains.
    pub const LEARNER: Self = Self {
        outcome: |workshop, id, call| Box::pin(workshop.about_runs(id, call)),
        go_on: |workshop| Box::pin(workshop.go_on_learning()),
        threads: train::threads,
        #[cfg(target_family = "wasm")]
        read: crate::protocol::learner::read,
        #[cfg(target_family = "wasm")]
        write: crate::protocol::learner::write,
    };
}

/// Long work.
enum Job {
    Write(Box<Writing>),
    Shuffle(embed::Shuffling),
    Project(embed::Projecting),
    Probe(Box<probe::Probing>),
}

impl Workshop {
    /// A worker without a model, which answers by calling `send`. Downloads come back through `sender`, whose other end is to be
    /// given to [`Self::receive`].
    pub fn new(role: Role, send: impl Fn(Event) + 'static, sender: UnboundedSender<Incoming>) -> Self {
        Self {
            role,
            engines: Engines::new((role.threads)()),
            model: None,
            tokenizers: tokenize::Tokenizers::default(),
            inspector: attention::Inspector::default(),
            spaces: embed::Spaces::default(),
            desk: sample::Desk::default(),
            runs: train::Runs::default(),
            queue: VecDeque::new(),
            jobs: VecDeque::new(),
            downloads: fetch::Downloads::new(sender),
            send: Box::new(send),
        }
    }

    /// Takes a message; the work is done in [`Self::work`].
    pub fn receive(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Request(Request::Ask { id, call }) => self.queue.push_back((id, call)),
            Incoming::Request(Request::Cancel { id }) => {
                self.queue.retain(|(queued, _)| *queued != id);
                self.jobs.retain(|(running, _)| *running != id);
                self.downloads.cancel(id);
                self.forget_watcher(id);
                self.tokenizers.cancel(id);
                self.cancel_run(id);
            }
            Incoming::Progress { id, progress } => {
                if self.downloads.is_running(id) {
                    self.part(id, Part::Load(progress));
                }
            }
            Incoming::Corpus(corpus) => self.corpus_fetched(corpus),
            Incoming::Engine(asked) => self.engine_found(asked),
            // Who waits for it looks by itself.
            Incoming::Replica => {}
            Incoming::Fetched { id, files } => {
                if self.downloads.finished(id) {
                    let opened = match files {
                        Ok(folder) => self.open(folder),
                        Err(failure) => Err(failure),
                    };
                    self.done(id, opened.map(Answer::Load));
                }
            }
        }
    }

    /// The oldest request, else a slice of what goes on. False if there is nothing to do.
    pub async fn work(&mut self) -> bool {
        if let Some((id, call)) = self.queue.pop_front() {
            self.answer(id, call).await;
            return true;
        }
        (self.role.go_on)(self).await
    }

    /// A slice of the next job.
    async fn go_on(&mut self) -> bool {
        let Some((id, mut job)) = self.jobs.pop_front() else { return false };
        let outcome = self.slice(id, &mut job).await;
        self.settle(id, job, outcome);
        true
    }

    /// A slice of measuring the device, else of the next run.
    async fn go_on_learning(&mut self) -> bool {
        if matches!(self.jobs.front(), Some((_, Job::Probe(probing))) if probing.is_waiting()) {
            return self.train().await;
        }
        let Some((id, Job::Probe(mut probing))) = self.jobs.pop_front() else { return self.train().await };
        let outcome = self.probe(&mut probing).await.map(|probed| probed.map(Answer::Probe));
        self.settle(id, Job::Probe(probing), outcome);
        true
    }

    /// After a slice of a job.
    fn settle(&mut self, id: Id, job: Job, outcome: Result<Option<Answer>, Failure>) {
        match outcome {
            Ok(None) => self.jobs.push_back((id, job)),
            Ok(Some(answer)) => self.done(id, Ok(answer)),
            Err(failure) => {
                if self.is_of_gpu(&failure) {
                    self.fall_back(&failure);
                }
                self.done(id, Err(failure));
            }
        }
    }

    /// Answers; on the CPU if the GPU fails while it does.
    async fn answer(&mut self, id: Id, call: Call) {
        let again = self.engines.gpu().map(|_| call.clone());
        match (self.outcome(id, call).await, again) {
            (Some(Err(failure)), Some(again)) if self.is_of_gpu(&failure) => {
                self.fall_back(&failure);
                if let Some(answer) = self.outcome(id, again).await {
                    self.done(id, answer);
                }
            }
            (Some(answer), _) => self.done(id, answer),
            (None, _) => {}
        }
    }

    fn is_of_gpu(&self, failure: &Failure) -> bool {
        failure.kind == FailureKind::Device && self.engines.gpu().is_some()
    }

    /// Drops whatever was made of the loaded model or lives on an engine: it is made anew when it is asked for.
    fn forget_derived(&mut self) {
        self.inspector = attention::Inspector::default();
        self.desk = sample::Desk::default();
    }

    async fn outcome(&mut self, id: Id, call: Call) -> Outcome {
        if let Call::UseEngine(call) = call {
            self.use_engine(id, call).await;
            return None;
        }
        (self.role.outcome)(self, id, call).await
    }

    async fn about_figures(&mut self, id: Id, call: Call) -> Outcome {
        Some(match call {
            Call::Load(call) => {
                self.load(id, call);
                return None;
            }
            Call::CurrentModel(_) => self.current_model().map(Answer::CurrentModel),
            Call::SaveModel(_) => self.save_model().map(Answer::SaveModel),
            Call::Tokenize(call) => {
                self.tokenize(id, call);
                return None;
            }
            Call::Learn(call) => {
                self.learn(id, call);
                return None;
            }
            Call::Grow(call) => {
                self.grow(id, call);
                return None;
            }
            Call::TokenRows(call) => self.token_rows(call).map(Answer::TokenRows),
            Call::PositionMap(call) => self.position_map(call).map(Answer::PositionMap),
            Call::Neighbours(call) => self.neighbours(call).map(Answer::Neighbours),
            Call::Baseline(call) => match self.begin_shuffling(call) {
                Ok(shuffling) => {
                    self.jobs.push_back((id, Job::Shuffle(shuffling)));
                    return None;
                }
                Err(failure) => Err(failure),
            },
            Call::TokenMap(TokenMap) => match self.begin_projecting() {
                Ok(projecting) => {
                    self.jobs.push_back((id, Job::Project(projecting)));
                    return None;
                }
                Err(failure) => Err(failure),
            },
            Call::Estimate(call) => stack::estimate(&call).map(Answer::Estimate),
            Call::Inspect(call) => self.inspect(call).await.map(Answer::Inspect),
            Call::Head(call) => self.head(call).await.map(Answer::Head),
            Call::Generate(call) => match self.begin_writing(call).await {
                Ok(writing) => {
                    self.jobs.push_back((id, Job::Write(Box::new(writing))));
                    return None;
                }
                Err(failure) => Err(failure),
            },
            _ => Err(Failure::of_another_worker()),
        })
    }

    /// Begins to measure the device.
    async fn probe_device(&mut self, id: Id) -> Outcome {
        match self.begin_probe().await {
            Ok(probing) => {
                self.jobs.push_back((id, Job::Probe(Box::new(probing))));
                None
            }
            Err(failure) => Some(Err(failure)),
        }
    }

    /// A few milliseconds of a job (of a small model; one token or step of a large one); the answer when it is finished.
    async fn slice(&mut self, id: Id, job: &mut Job) -> Result<Option<Answer>, Failure> {
        match job {
            Job::Write(writing) => {
                let (generated, written) = writing.slice().await?;
                if let Some(generated) = generated {
                    self.part(id, Part::Generate(generated));
                }
                Ok(written.map(Answer::Generate))
            }
            Job::Shuffle(shuffling) => Ok(shuffling.slice().map(Answer::Baseline)),
            Job::Project(projecting) => Ok(projecting.slice().map(Answer::TokenMap)),
            Job::Probe(_) => Err(Failure::of_another_worker()),
        }
    }

    fn part(&self, id: Id, part: Part) {
        (self.send)(Event::Part { id, part });
    }

    fn done(&self, id: Id, answer: Result<Answer, Failure>) {
        (self.send)(match answer {
            Ok(answer) => Event::Done { id, answer },
            Err(failure) => Event::Failed { id, failure },
        });
    }

    fn loaded(&self) -> Result<&LoadedModel, Failure> {
        self.model.as_ref().ok_or_else(Failure::no_model)
    }
}

/// Starts what this worker is of the learner's program: the learner, or a replica of a run's model.
pub fn start_learner() {
    #[cfg(target_family = "wasm")]
    if train::serve() {
        return;
    }
    start(Role::LEARNER);
}

/// Starts a worker of this role: listens from now on.
pub fn start(role: Role) {
    #[cfg(target_family = "wasm")]
    port::listen(role);
    #[cfg(not(target_family = "wasm"))]
    let _ = role;
}
