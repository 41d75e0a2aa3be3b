//! The loss of a model on a text, as `eval` and `export` measure it.

use inkling_core::ModelConfig;
use inkling_core::checkpoint::Checkpoint;
use inkling_core::nn::Recording;
use inkling_core::nn::attention::Probs;
use inkling_core::program::{DType, Field, Training};
use inkling_core::train::config::{Protocol, TrainConfig};
use inkling_core::train::{Dataset, Evaluation, Evaluator, Split};

use crate::device::Processor;
use crate::error::{Error, Result};
use crate::terminal::Terminal;

/// Sequences per forward pass unless said otherwise.
pub const BATCH_SIZE: u32 = 32;

/// What is measured, and how.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Which part of the text.
    pub split: Split,
    /// What the loss is averaged over.
    pub protocol: Protocol,
    /// Sequences per forward pass.
    pub batch_size: u32,
}

impl Measurement {
    /// Fails where the split is too short; `origin` is what the text was loaded as.
    pub fn check(&self, dataset: &Dataset, config: &ModelConfig, origin: &str) -> Result<()> {
        let Self { split, protocol, .. } = *self;
        let have = dataset.split(split).len();
        let need = match protocol {
            Protocol::Full => 2,
            Protocol::Sampled => config.n_positions as u64 + 1,
        };
        if have >= need {
            return Ok(());
        }
        Err(Error::Data {
            origin: origin.into(),
            problem: format!("its {split} split has {have} tokens and this evaluation needs {need}"),
            hint: "use a longer text, --split all or --protocol full".into(),
        })
    }

    /// Measures; `name` is what the spinner calls the model.
    ///
    /// # Errors
    /// Too little memory, what went wrong on a GPU, [`Error::NotFinite`].
    pub async fn run(
        &self,
        model: &Checkpoint,
        dataset: &Dataset,
        processor: &Processor,
        terminal: &Terminal,
        name: &str,
    ) -> Result<Evaluation> {
        let recording = Recording {
            batch: self.batch_size as usize,
            context: model.config.n_positions,
            training: Training::No,
            probs: Probs::Skip,
            activations: DType::F32,
            recompute: false,
        };
        let (program, graph) = recording.record(&model.config)?;
        program.check_memory(processor.tensor_memory())?;
        let mut engine = processor.device().load(program).await?;
        processor.keep_tuning(terminal);
        engine.load(Field::Value, &model.weights)?;
        let TrainConfig { eval_batches: batches, seed, .. } = TrainConfig::default();
        let spinner = terminal.spinner(&format!("evaluating {name}"));
        let evaluator = Evaluator { graph, protocol: self.protocol, batches, seed };
        let found = evaluator.run(&mut engine, dataset, self.split).await?;
        spinner.finish_and_clear();
        for (what, value) in [("loss", found.loss), ("perplexity", found.perplexity)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { what, value });
            }
        }
        Ok(found)
    }
}
