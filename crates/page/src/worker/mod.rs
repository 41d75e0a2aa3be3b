//! The worker: one task that owns the engine and answers one request after the other.
//!
//! Requests wait in a queue; what is cancelled there is never begun. Long work (writing a text) is a `Job`, done a slice at a time: between
//! slices the worker looks at its queue, so a message waits for one slice at most, or for the one call that is under way: those are short for small
//! models, and take up to seconds for large ones. Downloads, and the question for a GPU, run beside it and come back through the queue.

mod attention;
mod embed;
mod engines;
mod fetch;
mod inflate;
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
}

/// Where answers go.
type Send = Box<dyn Fn(Event)>;

/// The worker's state.
pub struct Workshop {
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
    pub fn new(send: impl Fn(Event) + 'static, sender: UnboundedSender<Incoming>) -> Self {
        Self {
            engines: Engines::default(),
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

    /// The oldest request, else a slice of the next job, else of the next run. False if there is nothing to do.
    pub async fn work(&mut self) -> bool {
        if let Some((id, call)) = self.queue.pop_front() {
            self.answer(id, call).await;
            return true;
        }
        let Some((id, mut job)) = self.jobs.pop_front() else { return self.train().await };
        match self.slice(id, &mut job).await {
            Ok(None) => self.jobs.push_back((id, job)),
            Ok(Some(answer)) => self.done(id, Ok(answer)),
            Err(failure) => {
                if self.is_of_gpu(&failure) {
                    self.fall_back(&failure);
                }
                self.done(id, Err(failure));
            }
        }
        true
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

    /// The answer to a call; none yet of what goes on beside the queue.
    async fn outcome(&mut self, id: Id, call: Call) -> Option<Result<Answer, Failure>> {
        Some(match call {
            Call::UseEngine(call) => {
                self.use_engine(id, call).await;
                return None;
            }
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
            Call::Probe(_) => match self.begin_probe().await {
                Ok(probing) => {
                    self.jobs.push_back((id, Job::Probe(Box::new(probing))));
                    return None;
                }
                Err(failure) => Err(failure),
            },
            call @ (Call::PlanRun(_)
            | Call::OpenRun(_)
            | Call::Steer(_)
            | Call::TakeSnapshot(_)
            | Call::SaveRun(_)
            | Call::KeptRuns(_)
            | Call::ForgetRun(_)) => return self.about_runs(id, call).await,
            Call::Inspect(call) => self.inspect(call).await.map(Answer::Inspect),
            Call::Head(call) => self.head(call).await.map(Answer::Head),
            Call::Generate(call) => match self.begin_writing(call).await {
                Ok(writing) => {
                    self.jobs.push_back((id, Job::Write(Box::new(writing))));
                    return None;
                }
                Err(failure) => Err(failure),
            },
        })
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
            Job::Probe(probing) => Ok(self.probe(probing).await?.map(Answer::Probe)),
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

/// Starts the worker: listens from now on.
pub fn start() {
    #[cfg(target_family = "wasm")]
    port::listen();
}
