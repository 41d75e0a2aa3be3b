//! `trainer bench`: how fast a device trains and samples.
//!
//! ```text
//! training    full steps (forward, backward, clipping, AdamW) on random windows of random tokens
//! sampling    one text from one token to the full context, at temperature 1, with the KV cache
//! peaks       C = A · B of large float32 matrices, and copying memory (see [`peaks`])
//! ```
//!
//! Each is the median over repetitions within the given time, after two that do not count; on a software adapter, where a step
//! takes seconds, over two repetitions after one. A GPU is given several steps at once, as in training.
//! `cargo xtask bench --vs-torch` measures PyTorch the same way.

mod op_times;
mod peaks;
mod repetitions;

use std::time::Instant;

use clap::Args;
use inkling_core::nn::decoded_bytes;
use inkling_core::presets::Preset;
use inkling_core::program::Pass;
use inkling_core::rng::{Site, Stream};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::train::{Dataset, Trainer};
use serde_json::json;

use crate::device::{Compute, Processor, Weights};
use crate::error::Result;
use crate::format;
use crate::memory;
use crate::settings::{self, Assignment};
use crate::terminal::Terminal;
use crate::training::report::describe_model;
use op_times::{FLOORS, OpTimes};
use peaks::Peaks;
use repetitions::{Effort, Repetitions};

const EXAMPLES: &str = "\
Examples:
  trainer bench
  trainer bench --preset medium --batch-size 8 --set dropout=0 --ops
  trainer bench --seconds 3 --threads 1 --json
  trainer bench --device gpu --ops
  trainer bench --weights f32 f16 q8 q4

Measured on random tokens, so that no corpus is needed: training steps, one sample from one token to the full context, \
and for comparison the product of two large matrices (2048 x 2048, on a graphics card 4096 x 4096) and copying memory. Medians. \
A software adapter gets the preset micro, matrices of 256 x 256 and two repetitions, so that it ends within a minute.
";

/// Tokens of the random text: more than any batch touches twice.
const TEXT: u32 = 1_000_000;
/// Seconds of steps that a GPU is given at once, and at most how many: as in training.
const QUEUE_SECONDS: f64 = 0.1;
const MOST_QUEUED: u64 = 64;

/// `trainer bench`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{FLOORS}"))]
pub struct Arguments {
    /// Model and settings to measure [default: small; on a software adapter micro]
    #[arg(long, value_name = "NAME", value_parser = settings::preset_parser())]
    preset: Option<Preset>,
    /// Sequences per forward pass (batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Any field of the model or its training
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<Assignment>,
    /// Time for each of training and sampling, at least five repetitions (two on a software adapter)
    #[arg(long, value_name = "S", default_value_t = 8.0, value_parser = seconds)]
    seconds: f64,
    /// Also print where a training step's time goes, and how far each operation is from its floor
    #[arg(long)]
    ops: bool,
    /// How sampling stores the weights; of several, each is measured
    #[arg(long, value_enum, num_args = 1.., default_values_t = [Weights::default()])]
    weights: Vec<Weights>,
    #[command(flatten)]
    compute: Compute,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it must be a number of seconds from 0 to 3600".into()),
    }
}

/// Runs `trainer bench`.
pub async fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let batch = arguments.batch_size.map(|batch_size| Assignment::new("batch_size", batch_size));
    let assignments: Vec<Assignment> = arguments.set.iter().cloned().chain(batch).collect();
    let processor = arguments.compute.find(terminal).await?;
    let (effort, default) = if processor.is_software() { (Effort::Least, "micro") } else { (Effort::Full, "small") };
    let preset = arguments.preset.clone().unwrap_or_else(|| settings::named_preset(default));
    let (model, train) = settings::apply(&preset, &assignments)?;
    let description = processor.describe();
    let spinner = terminal.spinner("measuring");

    let stream = Stream::new(train.seed, 0, Site::BATCH);
    let length = TEXT.max(20 * (model.n_positions as u32 + 1));
    let tokens = (0..length).map(|i| stream.below(i, model.vocab_size as u32)).collect();
    let data = Dataset::new(tokens, &vec![1; model.vocab_size])?;
    let memory = processor.tensor_memory();
    let mut trainer = Trainer::new(model.clone(), train.clone(), data, processor.device(), memory).await?;
    let training = Training::measure(&mut trainer, &processor, arguments.seconds, effort).await?;
    let weights = trainer.weights().await?;
    let mut sampling = Vec::new();
    for &stored in &arguments.weights {
        let precision = stored.precision();
        let mut generator = Generator::new(&model, &weights, precision, processor.device(), memory).await?;
        let seconds = sample_seconds(&mut generator, model.n_positions, arguments.seconds, effort).await?;
        let tokens_per_s = model.n_positions as f64 / seconds;
        sampling.push(Sampling { weights: stored, tokens_per_s, weight_bytes: decoded_bytes(&model, precision) });
    }
    let gpu_memory = processor.gpu().map(|_| trainer.engine().program().gpu_memory_bytes());
    // Before the large matrices and copies of the peaks, which are no part of the model's work.
    let peak_memory = memory::peak();
    let peaks = Peaks::measure(&processor, arguments.seconds).await?;
    let ops = match arguments.ops {
        true => Some(OpTimes::measure(trainer.engine_mut(), peaks, effort).await?),
        false => None,
    };
    spinner.finish_and_clear();
    processor.keep_tuning(terminal);

    let train_tokens_per_s = trainer.tokens_per_step() as f64 / training.seconds;
    let train_gflops = training.flops as f64 / training.seconds / 1e9;
    let share_of_peak = train_gflops / peaks.gflops;
    let mut object = json!({
        "preset": preset.name,
        "parameters": model.num_parameters(),
        "batch_size": train.batch_size,
        "context": model.n_positions,
        "dropout": model.dropout,
        "precision": train.precision,
        "device": description,
        "train_tokens_per_s": train_tokens_per_s,
        "train_ms_per_step": 1e3 * training.seconds,
        "train_gflops": train_gflops,
        "dispatches_per_step": training.queue.map(|queue| queue.dispatches),
        "submits_per_step": training.queue.map(|queue| queue.submits),
        "peak_gflops": peaks.gflops,
        "peak_gemm_size": peaks.gemm_size,
        "peak_copy_gb_per_s": peaks.copy_gb_per_s,
        "share_of_peak": share_of_peak,
        "sample_weights": sampling[0].weights.name(),
        "sample_tokens_per_s": sampling[0].tokens_per_s,
        "sample_ms_per_token": 1e3 / sampling[0].tokens_per_s,
        "sampling": sampling.iter().map(Sampling::to_json).collect::<Vec<_>>(),
        "peak_memory_bytes": peak_memory,
        "gpu_memory_bytes": gpu_memory,
    });
    let mut rows = vec![
        (
            "training",
            format!(
                "{} tokens/s ({:.1} ms per step of {} x {})",
                format::count(train_tokens_per_s as u64),
                1e3 * training.seconds,
                train.batch_size * train.gradient_accumulation_steps,
                model.n_positions
            ),
        ),
        ("", format!("{train_gflops:.1} GFLOP/s, {:.0} % of the peak", 100.0 * share_of_peak)),
    ];
    if let Some(Queue { dispatches, submits }) = training.queue {
        rows.push(("", format!("{} dispatches and {submits:.2} submits per step", format::count(dispatches))));
    }
    for (i, sampling) in sampling.iter().enumerate() {
        rows.push((if i == 0 { "sampling" } else { "" }, sampling.to_string()));
    }
    rows.extend([
        ("peak", format!("{:.1} GFLOP/s ({1} x {1} matrices)", peaks.gflops, peaks.gemm_size)),
        ("", format!("{:.1} GB/s copying, read and written", peaks.copy_gb_per_s)),
        ("peak memory", peak_memory.map_or("unknown".into(), format::bytes)),
    ]);
    if let Some(bytes) = gpu_memory {
        rows.push(("GPU memory", format!("{} to train", format::bytes(bytes))));
    }
    let mut text = format!("{}: {}\n{description}\n\n{}", preset.name, describe_model(&model), format::fields(&rows));
    if let Some(ops) = &ops {
        object["ops"] = ops.to_json();
        text += &format!("\n{}", ops.table());
    }
    terminal.result(&object, &text)
}

/// How fast a device samples.
struct Sampling {
    weights: Weights,
    tokens_per_s: f64,
    /// Of the matrices that each token reads.
    weight_bytes: u64,
}

impl Sampling {
    fn gb_per_s(&self) -> f64 {
        self.weight_bytes as f64 * self.tokens_per_s / 1e9
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "weights": self.weights.name(),
            "tokens_per_s": self.tokens_per_s,
            "ms_per_token": 1e3 / self.tokens_per_s,
            "weight_bytes_per_token": self.weight_bytes,
            "weight_gb_per_s": self.gb_per_s(),
        })
    }
}

impl std::fmt::Display for Sampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} tokens/s ({:.3} ms per token, {} of weights in {}, {:.1} GB/s)",
            format::count(self.tokens_per_s as u64),
            1e3 / self.tokens_per_s,
            format::bytes(self.weight_bytes),
            self.weights.name(),
            self.gb_per_s(),
        )
    }
}

/// How fast a device trains.
struct Training {
    /// Of one update.
    seconds: f64,
    /// Of one update.
    flops: u64,
    /// On a GPU.
    queue: Option<Queue>,
}

/// What a GPU is given per update.
#[derive(Clone, Copy)]
struct Queue {
    dispatches: u64,
    submits: f64,
}

impl Training {
    const PASSES: [Pass; 3] = [Pass::Forward, Pass::Backward, Pass::Update];

    async fn measure(trainer: &mut Trainer, processor: &Processor, budget: f64, effort: Effort) -> Result<Self> {
        let group = match processor {
            Processor::Cpu { .. } => 1,
            Processor::Gpu(_) => {
                // The first updates of a device are no measure.
                updates(trainer, 1).await?;
                let started = Instant::now();
                updates(trainer, 1).await?;
                ((QUEUE_SECONDS / started.elapsed().as_secs_f64()) as u64).clamp(1, MOST_QUEUED)
            }
        };
        let submits = |trainer: &Trainer| trainer.engine().gpu_costs(Pass::Update).map(|costs| costs.submits_so_far);
        let (first, submits_before) = (trainer.state().step, submits(trainer));
        let mut times = Repetitions::new(budget, effort);
        while times.go_on() {
            let started = Instant::now();
            updates(trainer, group).await?;
            times.add(started);
        }
        let done = trainer.state().step - first;
        let submits = submits_before.zip(submits(trainer)).map(|(before, after)| (after - before) as f64 / done as f64);
        // Forward and backward passes are repeated, the update is not.
        let accumulation = trainer.settings().gradient_accumulation_steps as u64;
        let times_of = |pass| if pass == Pass::Update { 1 } else { accumulation };
        let engine = trainer.engine();
        let dispatches = |pass| engine.gpu_costs(pass).map_or(0, |costs| costs.dispatches as u64);
        Ok(Self {
            seconds: times.median() / group as f64,
            flops: Self::PASSES.iter().map(|&pass| times_of(pass) * engine.program().flops(pass)).sum(),
            queue: submits.map(|submits| Queue {
                dispatches: Self::PASSES.iter().map(|&pass| times_of(pass) * dispatches(pass)).sum(),
                submits,
            }),
        })
    }
}

/// So many updates, and the wait for them.
async fn updates(trainer: &mut Trainer, count: u64) -> Result<()> {
    for _ in 0..count {
        trainer.step().await?;
    }
    trainer.reports().await?;
    Ok(())
}

/// Median seconds of one text from one token to the full context.
async fn sample_seconds(generator: &mut Generator, context: usize, budget: f64, effort: Effort) -> Result<f64> {
    let mut times = Repetitions::new(budget, effort);
    while times.go_on() {
        let started = Instant::now();
        generator.start(&[0])?;
        generator.generate(&SamplerConfig::default(), context).await?;
        times.add(started);
    }
    Ok(times.median())
}
