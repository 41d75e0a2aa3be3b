//! What the page and its two workers say to each other.
//!
//! ```text
//! page -> worker   Request::Ask { id, call }       Request::Cancel { id }
//! worker -> page   Event::Ready, then for each ask any number of Event::Part { id } and one of Event::Done { id }, Event::Failed { id }
//! ```
//!
//! Ids count up and are never used again. Of a cancelled ask nothing more is heard. Messages are structured clones (serde-wasm-bindgen); arrays of
//! numbers in them ([`Values`], [`Counts`], [`Bytes`]) are transferred, not copied.
//!
//! A call is a struct with an [`Ask`]: what it is answered with, and what may come before that. `calls!` below lists them all.

pub mod attention;
pub mod buffers;
pub mod contents;
pub mod embed;
pub mod model;
pub mod sample;
pub mod stack;
pub mod tokenize;
pub mod train;

use serde::{Deserialize, Serialize};

use self::attention::{Head, HeadView, Inspect, Inspected};
pub use self::buffers::{Bytes, Counts, Values};
pub use self::contents::Contents;
use self::embed::{
    Baseline, BaselineFound, Neighbours, NeighboursFound, PositionMap, PositionSimilarity, TokenMap, TokenMapFound,
    TokenRows, TokenRowsRead,
};
use self::model::{CurrentModel, EngineChosen, Load, LoadProgress, ModelCard, SaveModel, SavedModel, UseEngine};
use self::sample::{Generate, Generated, Written};
use self::stack::{Estimate, Estimated, Probe, Probed};
use self::tokenize::{Grow, Grown, Learn, Learnt, Tokenize, Tokenized};
use self::train::{
    Files, ForgetRun, KeptRuns, OpenRun, PlanRun, RunPart, RunPlan, RunsKept, SaveRun, Steer, Steered, TakeSnapshot,
};

/// Names an ask.
pub type Id = u32;

/// From the page.
#[derive(Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "messages are written at once and never held in numbers")]
pub enum Request<C = Call> {
    /// Asks for something.
    Ask {
        /// Names the answers.
        id: Id,
        /// What is asked for.
        call: C,
    },
    /// Nobody waits for this any more.
    Cancel {
        /// Of the ask.
        id: Id,
    },
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event<P = Part, A = Answer> {
    /// The worker listens. Sent once, first.
    Ready,
    /// On the way to an answer.
    Part {
        /// Of the ask.
        id: Id,
        /// What there is so far.
        part: P,
    },
    /// The answer; nothing more comes of this ask.
    Done {
        /// Of the ask.
        id: Id,
        /// The answer.
        answer: A,
    },
    /// There will be no answer.
    Failed {
        /// Of the ask.
        id: Id,
        /// Why.
        failure: Failure,
    },
    /// The worker has broken down and will say nothing more.
    Panicked {
        /// What the programmer will want to know.
        message: String,
    },
}

/// Why there is no answer, as a sentence for the visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Of which kind it is, for who can do something about it.
    pub kind: FailureKind,
    /// What was wrong, where, and what to do.
    pub message: String,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// What the visitor gave: a text, a setting, a file.
    Input,
    /// Something could not be fetched.
    Network,
    /// The GPU: the CPU can do the same.
    Device,
    /// There is too little memory for it, on either engine.
    Memory,
    /// No model is loaded yet.
    NoModel,
    /// What was asked of a model that another one has since replaced.
    Replaced,
}

impl Failure {
    /// What the visitor gave is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Input, message: message.into() }
    }

    /// Something could not be fetched.
    pub fn network(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Network, message: message.into() }
    }

    /// There is too little memory.
    pub fn memory(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Memory, message: message.into() }
    }

    /// What was under way for a model that is not the loaded one any more.
    pub fn replaced() -> Self {
        Self { kind: FailureKind::Replaced, message: "another model took this one's place".into() }
    }

    /// A call that the other worker answers.
    pub fn of_another_worker() -> Self {
        Self::input("this is asked of the wrong worker")
    }

    /// Before a model is there.
    pub fn no_model() -> Self {
        Self { kind: FailureKind::NoModel, message: "no model is loaded yet".into() }
    }
}

impl From<inkling_core::Error> for Failure {
    fn from(error: inkling_core::Error) -> Self {
        use inkling_core::Error;
        let kind = match error {
            Error::Gpu(_) => FailureKind::Device,
            Error::Memory { .. } => FailureKind::Memory,
            _ => FailureKind::Input,
        };
        Self { kind, message: error.to_string() }
    }
}

/// A call and what it is answered with.
pub trait Ask: Sized {
    /// What may come before the answer, any number of times.
    type Part;
    /// The answer.
    type Answer;
    /// As a message.
    fn call(self) -> Call;
    /// Out of a message; `None` if it is of another call.
    fn part(part: Part) -> Option<Self::Part>;
    /// Out of a message; `None` if it is of another call.
    fn answer(answer: Answer) -> Option<Self::Answer>;
}

/// What comes before an answer where nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nothing {}

impl<C> Request<C> {
    /// The same with another kind of call.
    pub fn map<D>(self, as_other: impl FnOnce(C) -> D) -> Request<D> {
        match self {
            Self::Ask { id, call } => Request::Ask { id, call: as_other(call) },
            Self::Cancel { id } => Request::Cancel { id },
        }
    }
}

impl Event {
    /// The same with the parts and answers of one worker.
    fn map<P, A>(self, as_part: impl FnOnce(Part) -> P, as_answer: impl FnOnce(Answer) -> A) -> Event<P, A> {
        match self {
            Self::Ready => Event::Ready,
            Self::Part { id, part } => Event::Part { id, part: as_part(part) },
            Self::Done { id, answer } => Event::Done { id, answer: as_answer(answer) },
            Self::Failed { id, failure } => Event::Failed { id, failure },
            Self::Panicked { message } => Event::Panicked { message },
        }
    }
}

/// One line per call: `Call(what comes before) -> answer`; first those that both workers answer, then those of one.
macro_rules! calls {
    (both { $($both:tt)* } figures { $($figures:tt)* } learner { $($learner:tt)* }) => {
        calls! { @all $($both)* $($figures)* $($learner)* }
        calls! { @of figures "figures" $($both)* $($figures)* }
        calls! { @of learner "learner" $($both)* $($learner)* }
    };
    (@all $($call:ident($part:ident) -> $answer:ident),* $(,)?) => {
        /// Everything that can be asked for.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each has the documentation of its struct")]
        pub enum Call { $($call($call)),* }

        /// Everything that may come before an answer, by its call.
        #[derive(Debug, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each has the documentation of its struct")]
        pub enum Part { $($call($part)),* }

        /// Every answer, by its call.
        #[derive(Debug, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each has the documentation of its struct")]
        pub enum Answer { $($call($answer)),* }

        $(impl Ask for $call {
            type Part = $part;
            type Answer = $answer;

            fn call(self) -> Call {
                Call::$call(self)
            }

            fn part(part: Part) -> Option<$part> {
                if let Part::$call(part) = part { Some(part) } else { None }
            }

            fn answer(answer: Answer) -> Option<$answer> {
                if let Answer::$call(answer) = answer { Some(answer) } else { None }
            }
        })*
    };
    (@of $worker:ident $name:literal $($call:ident($part:ident) -> $answer:ident),* $(,)?) => {
        #[doc = concat!("What the worker `", $name, "` reads and writes: its program has the code for its own messages only.")]
        pub mod $worker {
            use js_sys::Array;
            use serde::{Deserialize, Serialize};
            use wasm_bindgen::JsValue;

            use super::*;

            #[derive(Deserialize)]
            #[allow(clippy::large_enum_variant, reason = "messages are read at once and never held in numbers")]
            enum Call { $($call(super::$call)),* }

            #[derive(Serialize)]
            enum Part { $($call(super::$part)),* }

            #[derive(Serialize)]
            #[allow(clippy::large_enum_variant, reason = "messages are written at once and never held in numbers")]
            enum Answer { $($call(super::$answer)),* }

            /// Reads a message.
            ///
            /// # Errors
            /// One of another worker's, or of another build.
            pub fn read(message: JsValue) -> Result<Request, serde_wasm_bindgen::Error> {
                let request: Request<Call> = serde_wasm_bindgen::from_value(message)?;
                Ok(request.map(|call| match call { $(Call::$call(call) => super::Call::$call(call)),* }))
            }

            /// A message, and the buffers to be transferred with it.
            ///
            /// # Panics
            /// On what this worker never says.
            pub fn write(event: Event) -> (JsValue, Array) {
                let message = event.map(
                    |part| match part {
                        $(super::Part::$call(part) => Part::$call(part),)*
                        _ => unreachable!("another worker says that"),
                    },
                    |answer| match answer {
                        $(super::Answer::$call(answer) => Answer::$call(answer),)*
                        _ => unreachable!("another worker answers that"),
                    },
                );
                buffers::to_message(&message).expect("every event can be written")
            }
        }
    };
}

calls! {
    both {
        UseEngine(EngineChosen) -> Nothing,
    }
    figures {
        Load(LoadProgress) -> ModelCard,
        CurrentModel(Nothing) -> ModelCard,
        SaveModel(Nothing) -> SavedModel,
        Tokenize(Nothing) -> Tokenized,
        Learn(Nothing) -> Learnt,
        Grow(Nothing) -> Grown,
        TokenRows(Nothing) -> TokenRowsRead,
        PositionMap(Nothing) -> PositionSimilarity,
        Neighbours(Nothing) -> NeighboursFound,
        Baseline(Nothing) -> BaselineFound,
        TokenMap(Nothing) -> TokenMapFound,
        Estimate(Nothing) -> Estimated,
        Inspect(Nothing) -> Inspected,
        Head(Nothing) -> HeadView,
        Generate(Generated) -> Written,
    }
    learner {
        Probe(Nothing) -> Probed,
        PlanRun(Nothing) -> RunPlan,
        OpenRun(RunPart) -> Steered,
        Steer(Nothing) -> Steered,
        TakeSnapshot(Nothing) -> Files,
        SaveRun(Nothing) -> SavedModel,
        KeptRuns(Nothing) -> RunsKept,
        ForgetRun(Nothing) -> Steered,
    }
}
