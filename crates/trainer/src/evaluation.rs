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

/// Most sequences per forward pass unless said otherwise.
const MOST_SEQUENCES: usize = 32;
/// Most tokens of a forward pass unless said otherwise: logits of GPT-2's 50,257 tokens take 200 KB for each, and 32 of its contexts of
/// 1,024 would not fit into most memories.
const MOST_TOKENS: usize = 8192;

/// What is measured, and how.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Which part of the text.
    pub split: Split,
    /// What the loss is averaged over.
    pub protocol: Protocol,
    /// Sequences per forward pass, or `None` for as many as are usual.
    pub batch_size: Option<u32>,
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
        let context = model.config.n_positions;
        let usual = (MOST_TOKENS / context).clamp(1, MOST_SEQUENCES);
        let recording = Recording {
            batch: self.batch_size.map_or(usual, |batch| batch as usize),
            context,
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
