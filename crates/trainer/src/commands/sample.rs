//! `trainer sample`: a text from a trained model, as it is written.

use std::time::{Duration, Instant};

use clap::Args;
use inkling_core::sample::SamplerConfig;
use serde_json::json;

use crate::continuation::Continuation;
use crate::device::{Compute, Weights};
use crate::error::{Error, Result};
use crate::format;
use crate::model_source::ModelArgument;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer sample                                 from the only run in runs/
  trainer sample --model runs/tiny --prompt 'ROMEO:' --tokens 300
  trainer sample --temperature 0.5 --top-k 10 --num-samples 3
  trainer sample --greedy --json

The text goes to stdout, the speed to stderr. The same seed gives the same text on the same GPU, and on processors with the same SIMD level, whatever the number of threads.
A prompt may be longer than the model's context, and so may the text.";

/// Between two samples.
const SEPARATOR: &str = "---------------\n";

/// `trainer sample`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// What the text begins with [default: a line break]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Tokens to write
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    tokens: u32,
    /// 1 is the model's own distribution, less is safer, 0 the same as --greedy
    #[arg(long, value_name = "X", default_value_t = 0.8, allow_negative_numbers = true, help_heading = "Sampling")]
    temperature: f32,
    /// Choose among the K likeliest tokens only
    #[arg(long, value_name = "K", help_heading = "Sampling")]
    top_k: Option<usize>,
    /// Choose among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", allow_negative_numbers = true, help_heading = "Sampling")]
    top_p: Option<f32>,
    /// Always the likeliest token
    #[arg(long, conflicts_with = "temperature", help_heading = "Sampling")]
    greedy: bool,
    /// Seed; further samples count up from it
    #[arg(long, value_name = "N", default_value_t = 1337, help_heading = "Sampling")]
    seed: u64,
    /// How many texts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    num_samples: u32,
    /// How decoding stores the weights, whatever the file does
    #[arg(long, value_enum, default_value_t)]
    weights: Weights,
    #[command(flatten)]
    compute: Compute,
}

impl Arguments {
    fn sampling(&self, index: u32) -> SamplerConfig {
        SamplerConfig {
            temperature: if self.greedy { 0.0 } else { self.temperature },
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed.wrapping_add(index.into()),
        }
    }
}

/// Runs `trainer sample`.
pub async fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    arguments.sampling(0).validate()?;
    let processor = arguments.compute.find(terminal).await?;
    let loaded = arguments.model.load(terminal)?;
    let (folder, model) = (loaded.folder, loaded.checkpoint);
    let given = arguments.prompt.as_deref();
    let prompt = given.map_or_else(|| model.tokenizer.default_prompt(), str::to_owned);
    let tokenizer = model.tokenizer.clone();
    let precision = arguments.weights.precision();
    let mut writer = Continuation::new(
        &model.config,
        &model.weights,
        tokenizer,
        arguments.sampling(0),
        precision,
        processor.device(),
        processor.tensor_memory(),
    )
    .await?;
    processor.keep_tuning(terminal);

    let (mut samples, mut time) = (Vec::new(), Duration::ZERO);
    for index in 0..arguments.num_samples {
        writer.set_sampling(arguments.sampling(index))?;
        let mut sample = Sample { terminal, text: String::new() };
        if index > 0 && !terminal.is_json() {
            terminal.print(SEPARATOR)?;
        }
        let started = Instant::now();
        writer.start(&prompt, arguments.tokens as usize).map_err(|problem| foreign(problem, &folder))?;
        // A prompt of the user's is a part of the text; ours is not.
        sample.append(given.unwrap_or_default())?;
        while let Some(piece) = writer.next().await? {
            sample.append(&piece)?;
        }
        time += started.elapsed();
        sample.end()?;
        samples.push(json!({ "text": sample.text, "seed": arguments.sampling(index).seed }));
    }

    let tokens = u64::from(arguments.tokens) * u64::from(arguments.num_samples);
    let speed = tokens as f64 / time.as_secs_f64();
    terminal.note(&format!("{} tokens, {} tokens/s", format::count(tokens), format::count(speed as u64)));
    if terminal.is_json() {
        let object = json!({
            "model": folder,
            "prompt": prompt,
            "samples": samples,
            "tokens": tokens,
            "tokens_per_s": speed,
        });
        terminal.result(&object, "")?;
    }
    Ok(())
}

/// One text: shown at once, or kept for `--json`.
struct Sample<'a> {
    terminal: &'a Terminal,
    text: String,
}

impl Sample<'_> {
    fn append(&mut self, piece: &str) -> Result<()> {
        self.text += piece;
        if self.terminal.is_json() { Ok(()) } else { self.terminal.print(piece) }
    }

    fn end(&self) -> Result<()> {
        if self.terminal.is_json() || self.text.ends_with('\n') { Ok(()) } else { self.terminal.print("\n") }
    }
}

/// Says that the prompt is at fault, and for which model.
fn foreign(problem: inkling_core::Error, folder: &std::path::Path) -> Error {
    match problem {
        inkling_core::Error::Tokenizer(_) => {
            let problem = Box::new(problem);
            Error::ForeignText { model: folder.into(), origin: "the prompt".into(), problem }
        }
        other => other.into(),
    }
}
