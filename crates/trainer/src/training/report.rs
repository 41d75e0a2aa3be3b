//! What a run tells people: what is about to happen, a table of evaluations, and how it went.

use std::path::{Path, PathBuf};

use inkling_core::Engine;
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::program::Program;
use inkling_core::train::history::EvaluationRecord;
use inkling_core::train::{self, RunState, TrainConfig, Trainer, TrainingPrecision};
use inkling_core::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};
use serde::Serialize;

use super::RunMemory;
use crate::corpus;
use crate::device::Compute;
use crate::format::{self, command_line};
use crate::run_folder::{RunFolder, Slot};

/// Above the rows of [`table_row`].
pub const TABLE_HEADER: &str = "    step  train loss    val loss   bits/char    tokens/s        time";

/// `4 layers, 4 heads, 128 channels, context 64: 809,856 parameters`.
pub fn describe_model(model: &ModelConfig) -> String {
    let parameters = format::count(model.num_parameters());
    match model.architecture {
        Architecture::Bigram => format!("a table of {0} × {0} tokens: {parameters} parameters", model.vocab_size),
        Architecture::Gpt => format!(
            "{} layers, {} heads, {} channels, context {}{}: {parameters} parameters",
            model.n_layer,
            model.n_head,
            model.n_embd,
            model.n_positions,
            variant_words(model),
        ),
    }
}

/// What a model has that GPT-2 has not: `, rope, 2 key/value heads`.
fn variant_words(model: &ModelConfig) -> String {
    let when = |is: bool, words: &str| is.then(|| words.to_owned());
    let words = [
        when(model.position_embedding_type == PositionEmbedding::Sinusoidal, "sinusoidal positions"),
        when(model.position_embedding_type == PositionEmbedding::Rope, "rope"),
        when(model.normalization == Normalization::RmsNorm, "rmsnorm"),
        when(model.activation_function == Activation::Relu, "relu"),
        when(model.activation_function == Activation::Swiglu, "swiglu"),
        (model.n_kv_head != model.n_head)
            .then(|| format!("{} key/value head{}", model.n_kv_head, if model.n_kv_head == 1 { "" } else { "s" })),
        when(model.qk_norm, "query and key norm"),
        model.sliding_window.map(|window| format!("a window of {window}")),
        when(!model.bias, "no biases"),
    ];
    words.into_iter().flatten().map(|word| format!(", {word}")).collect()
}

/// The lines before the first step. `name` is the preset's or, of a resumed run, the run's.
pub fn introduction(name: &str, text: &str, device: &str, memory: RunMemory, trainer: &Trainer) -> String {
    let settings = trainer.settings();
    let guessing = (trainer.model().vocab_size as f64).ln();
    let goal = match trainer.state().step {
        0 => format!(
            "{} steps of {} tokens",
            format::count(settings.max_steps),
            format::count(trainer.tokens_per_step())
        ),
        done => format!("goes on after step {} of {}", format::count(done), format::count(settings.max_steps)),
    };
    let memory = match memory {
        RunMemory { host, gpu: 0 } => format!("{} of memory", format::bytes(host)),
        RunMemory { gpu, .. } => format!("{} of its memory", format::bytes(gpu)),
    };
    let recompute = match spared(trainer) {
        Some(bytes) => format!(" (computing blocks again spares {})", format::bytes(bytes)),
        None => String::new(),
    };
    let precision = match settings.precision {
        TrainingPrecision::F32 => "",
        TrainingPrecision::F16 => ", float16",
    };
    let adapters = trainer.lora().map(|lora| format!("\n{}", adapted(trainer, lora))).unwrap_or_default();
    format!(
        "{name}: {}{adapters}\n{text}\n{device}{precision}; {memory}{recompute}\n{goal}; an untrained model's loss is ln {} = {guessing:.4}\n",
        describe_model(trainer.model()),
        trainer.model().vocab_size,
    )
}

/// What is frozen and what is trained, and the memory of both.
fn adapted(trainer: &Trainer, lora: &LoraConfig) -> String {
    const BYTES: u64 = 4;
    let program = trainer.engine().program();
    let trained: u64 = program.parameters().map(|spec| spec.numel() as u64).sum();
    let all = trainer.model().num_parameters();
    let format = match lora.base {
        BaseFormat::F16 => "float16",
        BaseFormat::Q4 => "q4",
    };
    format!(
        "LoRA of rank {} on {}: {} parameters train, {:.2} % of the model's\n\
         base {} ({format}), adapters {}, their gradients and moments {}; full training: weights {}, gradients and moments {}",
        lora.r,
        lora.target_modules.join(", "),
        format::count(trained),
        100.0 * trained as f64 / all as f64,
        format::bytes(program.frozen_bytes()),
        format::bytes(BYTES * trained),
        format::bytes(3 * BYTES * trained),
        format::bytes(BYTES * all),
        format::bytes(3 * BYTES * all),
    )
}

/// Bytes that a run with `recompute` does without; `None` without it.
fn spared(trainer: &Trainer) -> Option<u64> {
    let settings = trainer.settings();
    if !settings.recompute {
        return None;
    }
    let everything = TrainConfig { recompute: false, ..settings.clone() };
    let (program, ..) = match trainer.lora() {
        None => train::record(trainer.model(), &everything).ok()?,
        Some(lora) => train::record_adapted(trainer.model(), lora, &everything).ok()?,
    };
    let engine = trainer.engine();
    let bytes = |program: &Program| match engine {
        Engine::Cpu(_) => program.memory_bytes(),
        Engine::Gpu(_) => program.gpu_memory_bytes(),
    };
    Some(bytes(&program).saturating_sub(bytes(engine.program())))
}

/// One evaluation, lined up under [`TABLE_HEADER`].
pub fn table_row(record: &EvaluationRecord, tokens_per_s: f64, elapsed_s: f64) -> String {
    let train = record.train_loss.map_or("-".into(), |loss| format!("{loss:.4}"));
    // Before the first step there is no speed.
    let speed = if tokens_per_s > 0.0 { format::count(tokens_per_s as u64) } else { "-".into() };
    format!(
        "{:>8}  {train:>10}  {:>10.4}  {:>10.4}  {speed:>10}  {:>10}{}",
        format::count(record.step),
        record.val_loss,
        record.bits_per_char,
        format::seconds(elapsed_s),
        if record.best { "  best" } else { "" },
    )
}

/// A text as a block under a row.
pub fn indented(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("          │ {line}")).collect::<Vec<_>>().join("\n")
}

/// Whether a run in this state is out of patience.
pub fn stopped_early(state: &RunState, settings: &TrainConfig) -> bool {
    settings.patience > 0 && state.evaluations_since_best >= settings.patience
}

/// The arguments that go on with a finished run, on the device that was asked for.
pub fn longer(folder: &RunFolder, state: &RunState, settings: &TrainConfig, compute: &Compute) -> String {
    let (out, steps) = (format::argument(folder.path()), more_steps(state, settings));
    format!("train --resume --out {out} --steps {steps}{}", compute.repeated())
}

/// The arguments that evaluate a run on the text that it was validated on.
fn evaluation(folder: &RunFolder, state: &RunState) -> String {
    let data = match state.data.as_str() {
        corpus::DEFAULT => String::new(),
        data => format!(" --data {}", format::argument(Path::new(data))),
    };
    format!("eval --model {}{data}", format::argument(folder.path()))
}

/// The `--steps` that go on with a finished run: those that an early stop left out, else as many again.
fn more_steps(state: &RunState, settings: &TrainConfig) -> u64 {
    if settings.max_steps > state.step { settings.max_steps } else { state.step.max(1).saturating_mul(2) }
}

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The run folder.
    pub run: PathBuf,
    /// Updates done.
    pub steps: u64,
    /// Whether early stopping ended it.
    pub stopped_early: bool,
    /// Nats per token.
    pub best_val_loss: Option<f64>,
    /// Updates done then.
    pub best_step: Option<u64>,
    /// Of the best.
    pub perplexity: Option<f64>,
    /// Of the best.
    pub bits_per_char: Option<f64>,
    /// Mean of the batches before the last evaluation.
    pub train_loss: Option<f32>,
    /// Seconds of all sessions.
    pub elapsed_s: f64,
    /// Of training steps; absent if there were none.
    pub tokens_per_s: Option<f64>,
    /// The best checkpoint.
    pub best: PathBuf,
    /// The latest checkpoint.
    pub last: PathBuf,
    /// `metrics.jsonl`.
    pub metrics: PathBuf,
    /// `loss.svg`.
    pub plot: PathBuf,
    /// A text of the best model's.
    pub sample: Option<String>,
    /// The arguments that evaluate it on its own text.
    #[serde(skip)]
    eval: String,
    /// The arguments that train for longer.
    #[serde(skip)]
    longer: String,
}

impl Summary {
    /// What is known from the state; bits per character only where the text is known too.
    pub fn new(
        folder: &RunFolder,
        state: &RunState,
        settings: &TrainConfig,
        characters_per_token: Option<f64>,
        compute: &Compute,
    ) -> Self {
        let loss = state.best.map(|best| best.loss);
        let slot = |slot: Slot| folder.path().join(slot.name());
        Self {
            run: folder.path().into(),
            steps: state.step,
            stopped_early: stopped_early(state, settings),
            best_val_loss: loss,
            best_step: state.best.map(|best| best.step),
            perplexity: loss.map(f64::exp),
            bits_per_char: loss.zip(characters_per_token).map(|(loss, chars)| loss / std::f64::consts::LN_2 / chars),
            train_loss: None,
            elapsed_s: state.elapsed_s,
            tokens_per_s: None,
            best: slot(Slot::Best),
            last: slot(Slot::Last),
            metrics: folder.metrics(),
            plot: folder.loss_plot(),
            sample: None,
            eval: evaluation(folder, state),
            longer: longer(folder, state, settings, compute),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut rows = vec![];
        if let (Some(loss), Some(step)) = (self.best_val_loss, self.best_step) {
            let bits = self.bits_per_char.map_or(String::new(), |bits| format!(" ({bits:.4} bits per character)"));
            rows.push(("best val loss", format!("{loss:.4} at step {}{bits}", format::count(step))));
        }
        let early = if self.stopped_early { ", stopped early: no better for a while" } else { "" };
        rows.push(("steps", format!("{}{early}", format::count(self.steps))));
        let speed =
            self.tokens_per_s.map_or(String::new(), |speed| format!(", {} tokens/s", format::count(speed as u64)));
        rows.push(("time", format!("{}{speed}", format::seconds(self.elapsed_s))));
        rows.push(("best model", self.best.display().to_string()));
        rows.push(("curves", self.plot.display().to_string()));
        rows.push(("numbers", self.metrics.display().to_string()));
        let mut text = format::fields(&rows);
        if let Some(sample) = &self.sample {
            text += &format!("\nIt writes:\n\n{}\n", indented(sample));
        }
        let run = format::argument(&self.run);
        text += "\nNext:\n";
        for arguments in [format!("sample --model {run}"), self.eval.clone(), self.longer.clone()] {
            text += &format!("  {}\n", command_line(&arguments));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_can_always_go_on() {
        let settings = TrainConfig { max_steps: 100, patience: 2, ..TrainConfig::default() };
        let state = |step, evaluations_since_best| RunState { step, evaluations_since_best, ..RunState::default() };
        assert!(!stopped_early(&state(40, 1), &settings) && stopped_early(&state(40, 2), &settings));
        assert!(!stopped_early(&state(40, 2), &TrainConfig { patience: 0, ..settings.clone() }));
        assert_eq!(more_steps(&state(40, 2), &settings), 100);
        assert_eq!(more_steps(&state(100, 2), &settings), 200);
        assert_eq!(more_steps(&state(u64::MAX, 0), &settings), u64::MAX);
    }
}
