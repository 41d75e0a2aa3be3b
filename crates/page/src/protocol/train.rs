//! Training. A worker of its own does this, so that figures are answered while a model learns.

use inkling_core::ModelConfig;
use inkling_core::train::config::TrainConfig;
use serde::{Deserialize, Serialize};

use super::Bytes;
use super::model::GivenFile;

/// Names a run while its worker lives.
pub type RunId = u32;

/// Everything that makes a run: the same settings give the same losses, here and in `trainer train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// What the visitor calls it.
    pub name: String,
    /// The model; its vocabulary's size follows from text and tokenizer.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
    /// On what.
    pub text: RunText,
    /// In which tokens.
    pub tokenizer: RunTokenizer,
}

/// What a run learns from. The last tenth is for validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunText {
    /// Tiny Shakespeare, which lies beside the page.
    Shakespeare,
    /// The first pages of it, so few that they are soon known by heart. As a file they are a text of the visitor's.
    FirstPages,
    /// The visitor's.
    Own {
        /// `notes.txt`.
        name: String,
        /// All of it.
        text: String,
    },
}

/// How a run's text becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunTokenizer {
    /// A token per character of the text.
    Char,
    /// A token per byte.
    Byte,
    /// Byte pairs, learnt from the text that is trained on.
    Bpe {
        /// Tokens in all, the 256 bytes among them.
        vocab_size: usize,
    },
}

/// Asks whether a run could begin, and what it would take. What is wrong comes as a failure that names the setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRun(pub RunSettings);

/// What a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Tokens to learn from, and to be judged by.
    pub tokens: (u64, u64),
    /// Numbers that are learnt.
    pub parameters: u64,
    /// Tokens of an update.
    pub tokens_per_step: u64,
    /// Floating-point operations of an update.
    pub flops_per_step: f64,
    /// Bytes of weights, gradients, moments and activations, of what writes samples, and of the copies that are kept.
    pub memory_bytes: u64,
    /// How many threads compute its gradients, each with a replica of the model; 1 where the learner does, and on a GPU.
    pub replicas: usize,
    /// Bytes of all replicas, beside the learner's.
    pub replica_bytes: u64,
}

/// Opens a run and hears of it until it is closed. Beginnings wait for [`Steer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OpenRun {
    /// From random weights.
    New(Box<RunSettings>),
    /// One that the browser keeps, by [`KeptRun::folder`].
    Kept {
        /// Its folder.
        folder: String,
    },
    /// A run's folder in one `.zip`, of this page or of `trainer`.
    Zip(GivenFile),
}

/// What is heard of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RunPart {
    /// First: what it is. A run that goes on has a history, which follows as `Steps` and `Evaluated`.
    Opened(Box<RunCard>),
    /// Updates that were done.
    Steps {
        /// In order.
        steps: Vec<StepPoint>,
        /// Of late, on the clock (runs in turns share it); 0 for those of an earlier session.
        tokens_per_second: f64,
        /// Seconds of the run's own work so far, without pauses; other runs' turns are in it only while its replicas compute.
        elapsed: f64,
        /// Bytes of the learner's memory, which grows and never shrinks, and of what its replicas need; 0 where that is not known.
        memory: u64,
    },
    /// An evaluation.
    Evaluated(Evaluated),
    /// The model of this step can be looked at.
    Snapshot {
        /// Updates done.
        step: u64,
    },
    /// It cannot any more: snapshots get further apart as they get many. The first, the best and the last always stay.
    SnapshotGone {
        /// Updates done.
        step: u64,
    },
    /// A text of the model's, with the same prompt and seed each time.
    Sample {
        /// Updates done.
        step: u64,
        /// The text, its prompt included.
        text: String,
    },
    /// What it is doing now.
    State(RunState),
    /// The browser keeps the run as of this step: it survives a reload.
    Kept {
        /// Updates done.
        step: u64,
    },
    /// It cannot: the disk is full, or the browser gives no place. The run goes on.
    NotKept {
        /// Why, as a sentence.
        why: String,
    },
    /// Another engine trains from here on: the one before was lost. If updates were lost with it, `Rewound` follows.
    Moved {
        /// As [`RunCard::engine`].
        engine: String,
        /// What happened, as a sentence.
        why: String,
    },
    /// Points after this step are no longer true, nor are its snapshots: the run went back to it.
    Rewound {
        /// Updates done.
        step: u64,
    },
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// For [`Steer`].
    pub run: RunId,
    /// Where the browser keeps it: [`KeptRun::folder`].
    pub folder: String,
    /// Its settings; a text of the visitor's is left out of them (empty).
    pub settings: RunSettings,
    /// What it takes.
    pub plan: RunPlan,
    /// Nats per token of a model that knows nothing: ln V.
    pub uniform_loss: f64,
    /// Nats per token on the validation text of counting pairs in the training text (add-one smoothing, as `trainer data` says).
    pub bigram_loss: f64,
    /// Updates done.
    pub step: u64,
    /// The engine that trains.
    pub engine: String,
}

/// An update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Updates done, this one included.
    pub step: u64,
    /// Of its batches before the update, nats per token.
    pub loss: f32,
    /// Learning rate.
    pub learning_rate: f32,
    /// Global gradient norm before clipping.
    pub grad_norm: f32,
}

/// An evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Updates done.
    pub step: u64,
    /// Nats per token of the validation text.
    pub val_loss: f64,
    /// Mean training loss since the evaluation before.
    pub train_loss: Option<f32>,
    /// Bits per character of the validation text.
    pub bits_per_char: f64,
    /// Whether no evaluation before was as good.
    pub best: bool,
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// It waits to be played.
    Paused,
    /// It trains.
    Playing,
    /// All updates are done.
    Finished,
    /// It cannot go on.
    Broken {
        /// Why, as a sentence.
        why: String,
    },
}

/// Tells a run what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steer {
    /// Which.
    pub run: RunId,
    /// What.
    pub to: Steering,
}

/// What a run can be told. Runs that play train in turns, a slice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steering {
    /// Train.
    Play,
    /// Stop after the update that is under way.
    Pause,
    /// One update, then pause.
    Step,
    /// Back to the best evaluation: weights, moments, position in the data.
    RewindToBest,
    /// Back to its beginning: the same settings again, from the same random weights.
    Reset,
    /// No more of it: the ask that opened it is answered. What the browser keeps stays.
    Close,
}

/// It was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steered;

/// The model of a run as it was after so many updates, as files that [`super::model::Load`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeSnapshot {
    /// Which run.
    pub run: RunId,
    /// One of the steps that [`RunPart::Snapshot`] told.
    pub step: u64,
}

/// A folder's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files(pub Vec<NamedFile>);

/// A file in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFile {
    /// `config.json`.
    pub name: String,
    /// What is in it.
    pub bytes: Bytes,
}

/// The whole run in one `.zip`, which `trainer train --resume` continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveRun(pub RunId);

/// Asks which runs the browser keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRuns;

/// All of them, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunsKept(pub Vec<KeptRun>);

/// A run that the browser keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    /// Where.
    pub folder: String,
    /// What the visitor called it.
    pub name: String,
    /// Updates done, and in all.
    pub steps: (u64, u64),
    /// Best validation loss.
    pub best: Option<f64>,
    /// Bytes that it takes.
    pub bytes: u64,
    /// When it was last kept, milliseconds since 1970.
    pub when: f64,
}

/// Throws away what the browser keeps of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetRun {
    /// [`KeptRun::folder`].
    pub folder: String,
}
