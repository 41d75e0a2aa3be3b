//! `trainer train`, and `trainer` alone.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use inkling_core::checkpoint::AdapterConfig;
use inkling_core::presets::Preset;
use inkling_core::tokenizer::Tokenizer;
use inkling_core::train::history::History;
use inkling_core::train::{RunState, TrainConfig, TrainingPrecision};
use inkling_core::{ModelConfig, Weights};

use crate::adapters::LoraArguments;
use crate::corpus;
use crate::device::{Compute, Processor};
use crate::error::{Error, Result};
use crate::fine_tuning::{Base, Prepared};
use crate::format::{self, command_line};
use crate::interrupt::Interrupt;
use crate::memory;
use crate::model_source::RUNS;
use crate::run_folder::metrics::MetricsLog;
use crate::run_folder::{Existing, RunFolder};
use crate::settings::{self, Assignment};
use crate::terminal::Terminal;
use crate::text;
use crate::tokenizer_source::{TokenizerArgument, TokenizerSource};
use crate::training::report::{Summary, introduction, longer, stopped_early};
use crate::training::session::{LastCheckpoint, NewRun, Origin, Overrides, Session};
use crate::training::{RunMemory, Start};

const EXAMPLES: &str = "\
Examples:
  trainer                                        tiny on Tiny Shakespeare, in minutes
  trainer train --preset small --out runs/mine
  trainer train --data poems.txt --steps 3000 --lr 1e-3
  trainer train --set n_layer=6 dropout=0.1 lr_scheduler_type=linear
  trainer train --tokenizer bpe --vocab 512      tokens of several characters
  trainer train --from gpt2 --data poems.txt --set n_positions=256
                                                 fine-tune a model of the Hugging Face hub (or of a folder)
  trainer train --from gpt2 --lora-rank 8 --lora-base q4 --data poems.txt
                                                 train small adapters of it instead (LoRA)
  trainer train --resume                         go on after Ctrl-C as if nothing had happened
  trainer train --resume --steps 4000            train a finished run for longer
  trainer train --device gpu --precision f16     on a graphics card, in float16

The run folder gets best/ and last/ (checkpoints: Hugging Face folders), metrics.jsonl and loss.svg.

--set takes every field of the model and its training; an unknown one lists them all. Fields that follow others unless \
set: n_inner (4 n_embd), n_kv_head (n_head), min_learning_rate (its share of --lr), warmup_steps (at most a tenth of --steps).

--from takes architecture, weights and tokenizer of a trained model; --set may shorten n_positions and change dropout, and the \
training's own settings: 500 steps of about 4,096 tokens at a peak learning rate of 3e-4 x 128 / n_embd (5e-5 for gpt2) unless set. \
Its own loss is measured first.

--lora-rank freezes the base and trains an update of that rank beside each chosen matrix: the run's checkpoints are adapters in the form of \
PEFT, a few per cent of the model, and `trainer merge` makes a plain model of them and their base.

Ctrl-C finishes the step, saves last/ and exits with 130. A run whose GPU is lost (driver reset, sleep) gets it anew and goes \
on from last/ by itself.";

/// `trainer train`
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Model and settings to start from [default: tiny; on a graphics card small]
    #[arg(long, value_name = "NAME", value_parser = settings::preset_parser())]
    preset: Option<Preset>,
    /// Go on from a trained model: a run or checkpoint folder, or a model of the Hugging Face hub (gpt2, distilgpt2, ORG/NAME)
    #[arg(long, value_name = "PATH|NAME", conflicts_with = "preset")]
    from: Option<String>,
    /// The text: tinyshakespeare, an https URL, a path, or a folder of `trainer data prepare` [default: tinyshakespeare; with
    /// --resume the run's own]
    #[arg(long, value_name = "NAME|URL|PATH|FOLDER")]
    data: Option<String>,
    /// The run folder [default: runs/PRESET, or runs/NAME-tuned]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Go on with the run in the folder, with its own settings
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Delete the run in the folder first
    #[arg(long)]
    overwrite: bool,
    /// Updates in all (max_steps). With --resume the learning rate's schedule is stretched to them, and patience starts
    /// anew
    #[arg(long, value_name = "N", help_heading = "Settings")]
    steps: Option<u64>,
    /// Sequences per forward pass (batch_size)
    #[arg(long, value_name = "N", help_heading = "Settings")]
    batch_size: Option<usize>,
    /// Peak learning rate (learning_rate)
    #[arg(long, value_name = "X", help_heading = "Settings", allow_negative_numbers = true)]
    lr: Option<f32>,
    /// Seed of all randomness (seed)
    #[arg(long, value_name = "N", help_heading = "Settings")]
    seed: Option<u64>,
    /// Stop after so many evaluations without a new best; 0 never does (patience)
    #[arg(long, value_name = "N", help_heading = "Settings")]
    patience: Option<u64>,
    /// How a GPU stores activations and their gradients (precision); the CPU knows only f32. With --resume the run goes on
    /// in it
    #[arg(long, value_enum, help_heading = "Settings")]
    precision: Option<Precision>,
    /// Keep only the residual stream of each block and compute the rest again in the backward pass (recompute): less memory for a third
    /// more time at most, and the same result to the last bit
    #[arg(long, help_heading = "Settings")]
    recompute: bool,
    /// Any field of the model or its training
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., help_heading = "Settings")]
    set: Vec<Assignment>,
    #[command(flatten)]
    lora: LoraArguments,
    #[command(flatten)]
    tokenizer: TokenizerArgument,
    #[command(flatten)]
    compute: Compute,
}

/// `--precision`
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    /// Float32
    F32,
    /// Float16, with sums in float32: half the memory to move, on a GPU that can
    F16,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    fn of_training(self) -> TrainingPrecision {
        match self {
            Self::F32 => TrainingPrecision::F32,
            Self::F16 => TrainingPrecision::F16,
        }
    }
}

impl Arguments {
    fn preset(&self, processor: &Processor) -> Preset {
        self.preset.clone().unwrap_or_else(|| settings::named_preset(processor.default_preset()))
    }

    fn out(&self, processor: &Processor) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new(RUNS).join(self.preset(processor).name))
    }

    /// The folder of a run from a base.
    fn out_of(&self, base: &Base) -> PathBuf {
        self.out.clone().unwrap_or_else(|| Path::new(RUNS).join(&base.name))
    }

    /// Flags and `--set` alike.
    fn assignments(&self) -> Vec<Assignment> {
        let flags = [
            self.steps.map(|steps| Assignment::new("max_steps", steps)),
            self.batch_size.map(|batch_size| Assignment::new("batch_size", batch_size)),
            self.lr.map(|lr| Assignment::new("learning_rate", lr)),
            self.seed.map(|seed| Assignment::new("seed", seed)),
            self.patience.map(|patience| Assignment::new("patience", patience)),
            self.precision.map(|precision| Assignment::new("precision", precision.name())),
            self.recompute.then(|| Assignment::new("recompute", true)),
        ];
        flags.into_iter().flatten().chain(self.set.iter().cloned()).collect()
    }

    fn preset_beginning(&self, processor: &Processor) -> Result<Beginning> {
        let preset = self.preset(processor);
        let assignments = self.assignments();
        settings::refuse_vocab_size(&assignments)?;
        let (model, settings) = settings::apply(&preset, &assignments)?;
        let tokenizer = Vocabulary::OfText(self.tokenizer.source(preset.tokenizer)?);
        let (name, out) = (preset.name.into(), self.out(processor));
        Ok(Beginning { name, out, model, weights: None, adapter: None, settings, tokenizer })
    }

    fn base_beginning(&self, base: Base) -> Result<Beginning> {
        if let Some(argument) = self.tokenizer.given() {
            return Err(Error::BaseTokenizer { argument });
        }
        let (name, out) = (base.name.clone(), self.out_of(&base));
        let Prepared { model, settings, weights, tokenizer, adapter } =
            base.prepare(&self.assignments(), self.lora.config())?;
        let tokenizer = Vocabulary::OfBase(tokenizer);
        Ok(Beginning { name, out, model, weights: Some(weights), adapter, settings, tokenizer })
    }

    /// What must not be given with `--resume`. A preset may only say which folder is meant.
    fn resume_conflict(&self) -> Option<&'static str> {
        let given = [
            ("--from", self.from.is_some()),
            ("--lora-rank", self.lora.given()),
            ("--preset beside --out", self.preset.is_some() && self.out.is_some()),
            ("--batch-size", self.batch_size.is_some()),
            ("--lr", self.lr.is_some()),
            ("--seed", self.seed.is_some()),
            ("--patience", self.patience.is_some()),
            ("--recompute", self.recompute),
            ("--set", !self.set.is_empty()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(argument, _)| argument).or_else(|| self.tokenizer.given())
    }
}

/// Runs `trainer train`.
pub async fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let summary =
        if arguments.resume { resume(arguments, terminal).await? } else { begin(arguments, terminal).await? };
    let object = serde_json::to_value(&summary).expect("a summary is plain data");
    terminal.result(&object, &format!("\n{}", summary.text()))
}

/// What a new run is made of, but for its text.
struct Beginning {
    name: String,
    out: PathBuf,
    model: ModelConfig,
    weights: Option<Weights>,
    adapter: Option<AdapterConfig>,
    settings: TrainConfig,
    tokenizer: Vocabulary,
}

/// Where the tokenizer comes from.
enum Vocabulary {
    OfText(TokenizerSource),
    OfBase(Tokenizer),
}

async fn begin(arguments: &Arguments, terminal: &Terminal) -> Result<Summary> {
    let compute = &arguments.compute;
    let processor = compute.find(terminal).await?;
    let Beginning { name, out, model, weights, adapter, settings, tokenizer } = match &arguments.from {
        None => arguments.preset_beginning(&processor)?,
        Some(from) => arguments.base_beginning(Base::load(from, terminal)?)?,
    };
    let existing = if arguments.overwrite { Existing::Overwrite } else { Existing::Refuse };
    // Now, so that nobody waits for a download to be told; and again when the folder is opened.
    RunFolder::check(&out, existing)?;

    let data = text::load(arguments.data.as_deref().unwrap_or(corpus::DEFAULT), terminal)?;
    let tokenizer = match tokenizer {
        Vocabulary::OfText(source) => data.tokenizer(&source, terminal)?,
        Vocabulary::OfBase(tokenizer) => tokenizer,
    };
    let reader = arguments.from.as_ref().map_or(out.as_path(), Path::new);
    let dataset = data.dataset(&tokenizer, reader).map_err(|error| match error {
        // There is no model yet: the tokenizer is one that was given.
        Error::ForeignText { origin, problem, .. } if arguments.from.is_none() => Error::Data {
            origin,
            problem: problem.to_string(),
            hint: "take a tokenizer that knows all of the text, such as --tokenizer char".into(),
        },
        other => other,
    })?;
    let described = data.describe(&dataset, &tokenizer);
    let model = ModelConfig { vocab_size: tokenizer.vocab_size(), ..model };
    let run = NewRun {
        model,
        weights,
        adapter: adapter.clone(),
        settings,
        data: data.address(),
        data_sha256: data.sha256().into(),
    };
    drop(data);
    let available = memory::available().unwrap_or(u64::MAX);
    let trainer = run.trainer(dataset.clone(), &processor).await?;
    let memory = RunMemory::of(&trainer, &processor)?;
    memory.check(available)?;

    // Everything about the request is sound: from here on the disk is touched.
    let folder = RunFolder::open(&out, existing)?;
    let log = MetricsLog::create(&folder.metrics())?;
    terminal.note(&introduction(&name, &described, &processor.describe(), memory, &trainer));
    let origin = Origin::New(Box::new(run));
    let session =
        Session { folder, tokenizer, dataset, origin, adapter, saved_step: Cell::new(None), compute, terminal };
    let start = Start { trainer, processor, log, history: History::default() };
    session.train(start, &Interrupt::install()?).await
}

async fn resume(arguments: &Arguments, terminal: &Terminal) -> Result<Summary> {
    if let Some(argument) = arguments.resume_conflict() {
        return Err(Error::ResumeSetting { argument });
    }
    let compute = &arguments.compute;
    let processor = compute.find(terminal).await?;
    let folder = RunFolder::open(&arguments.out(&processor), Existing::Resume)?;
    let overrides = Overrides { steps: arguments.steps, precision: arguments.precision.map(Precision::of_training) };
    let last = LastCheckpoint::load(&folder, overrides, terminal)?;
    let state = &last.state;
    if let Some(why) = finished(&folder, state, compute) {
        terminal.note(&format!("{}: {why}", folder.path().display()));
        return Ok(Summary::new(&folder, state, &state.settings, None, compute));
    }

    let beside = text_beside(&folder, state);
    let origin = arguments.data.as_deref().or(beside.as_deref()).unwrap_or(&state.data);
    let data = text::load(origin, terminal)?;
    if data.sha256() != state.data_sha256 {
        return Err(Error::OtherData {
            run: folder.path().into(),
            name: state.data.clone(),
            expected: state.data_sha256.clone(),
            origin: origin.into(),
            found: data.sha256().into(),
        });
    }
    let tokenizer = last.checkpoint.tokenizer.clone();
    let dataset = data.dataset(&tokenizer, folder.path())?;
    let described = data.describe(&dataset, &tokenizer);
    drop(data);
    let available = memory::available().unwrap_or(u64::MAX);
    let trainer = last.trainer(dataset.clone(), &processor).await?;
    let memory = RunMemory::of(&trainer, &processor)?;
    memory.check(available)?;
    let LastCheckpoint { state, rate_before, precision_before, adapters, .. } = last;
    let adapter = adapters.map(|(adapter, _)| adapter);

    let (log, records) = MetricsLog::resume(&folder.metrics(), state.step)?;
    terminal.note(&introduction(&folder.name(), &described, &processor.describe(), memory, &trainer));
    let rate = state.settings.learning_rate_at(state.step);
    if rate != rate_before {
        let steps = format::count(state.settings.max_steps);
        terminal.note(&format!(
            "the learning rate's schedule now takes {steps} steps: it goes on at {rate:.3e} instead of {rate_before:.3e}"
        ));
    }
    if state.settings.precision != precision_before {
        terminal.note(
            "the precision is another one from here on: the losses differ by rounding from those of a run that kept it",
        );
    }
    let origin = Origin::Resumed(overrides);
    let session =
        Session { folder, tokenizer, dataset, origin, adapter, saved_step: Cell::new(None), compute, terminal };
    let start = Start { trainer, processor, log, history: History::from_records(&records) };
    session.train(start, &Interrupt::install()?).await
}

/// The run's text, where it lies in the run's own folder: the page puts it there.
fn text_beside(folder: &RunFolder, state: &RunState) -> Option<String> {
    let is_name = Path::new(&state.data).file_name() == Some(state.data.as_ref());
    let path = folder.path().join(&state.data);
    (is_name && path.is_file()).then(|| path.to_str().map(str::to_owned))?
}

/// Why there is nothing left to do for a run.
fn finished(folder: &RunFolder, state: &RunState, compute: &Compute) -> Option<String> {
    let settings = &state.settings;
    let what = if stopped_early(state, settings) {
        format!("it stopped early, {} evaluations after its best", settings.patience)
    } else if state.step >= settings.max_steps {
        format!("{} steps are done", format::count(state.step))
    } else {
        return None;
    };
    let longer = command_line(&longer(folder, state, settings, compute));
    Some(format!("the run is finished: {what}; train longer with {longer}"))
}
