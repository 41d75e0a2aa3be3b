//! `trainer bench`: how fast this machine trains and samples.
//!
//! ```text
//! training    full steps (forward, backward, clipping, AdamW) on random windows of random tokens
//! sampling    one text from one token to the full context, at temperature 1, with the KV cache
//! peak        C = A · B of float32 matrices, 2048 × 2048
//! ```
//!
//! Each is the median over repetitions within the given time, after two that do not count. `cargo xtask bench --vs-torch`
//! measures PyTorch the same way.

mod op_times;

use std::time::Instant;

use clap::Args;
use inkling_core::cpu::Pool;
use inkling_core::cpu::gemm::{Beta, Mat, gemm};
use inkling_core::presets::Preset;
use inkling_core::program::Pass;
use inkling_core::rng::{Site, Stream};
use inkling_core::sample::{Generator, SamplerConfig};
use inkling_core::train::{Dataset, Trainer};
use serde_json::json;

use crate::device::{self, Compute, Weights};
use crate::error::Result;
use crate::format;
use crate::memory;
use crate::settings::{self, Assignment};
use crate::terminal::Terminal;
use crate::training::report::describe_model;
use op_times::OpTimes;

const EXAMPLES: &str = "\
Examples:
  trainer bench
  trainer bench --preset medium --batch-size 8 --set dropout=0 --ops
  trainer bench --seconds 3 --threads 1 --json

Measured on random tokens, so that no corpus is needed: training steps, one sample from one token to the full context, \
and for comparison the product of two 2048 x 2048 matrices. Medians.";

/// Side of the matrices whose product is the peak: far larger than any cache.
const GEMM_SIZE: usize = 2048;
const WARM_UPS: usize = 2;
const LEAST_REPETITIONS: usize = 5;
/// Most seconds for the matrix product, which hardly varies.
const GEMM_SECONDS: f64 = 2.0;
/// Tokens of the random text: more than any batch touches twice.
const TEXT: u32 = 1_000_000;

/// `trainer bench`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Model and settings to measure
    #[arg(long, value_name = "NAME", value_parser = settings::preset_parser(), default_value = "small")]
    preset: Preset,
    /// Sequences per forward pass (batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Any field of the model or its training
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<Assignment>,
    /// Time for each of training and sampling, at least five repetitions
    #[arg(long, value_name = "S", default_value_t = 8.0, value_parser = seconds)]
    seconds: f64,
    /// Also print where a training step's time goes
    #[arg(long)]
    ops: bool,
    /// How sampling stores the weights
    #[arg(long, value_enum, default_value_t)]
    weights: Weights,
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
    let (model, train) = settings::apply(&arguments.preset, &assignments)?;
    let description = device::describe(&arguments.compute.device()?);
    let available = memory::available().unwrap_or(u64::MAX);
    let spinner = terminal.spinner("measuring");

    let stream = Stream::new(train.seed, 0, Site::BATCH);
    let length = TEXT.max(20 * (model.n_positions as u32 + 1));
    let tokens = (0..length).map(|i| stream.below(i, model.vocab_size as u32)).collect();
    let data = Dataset::new(tokens, model.vocab_size, length as usize)?;
    let mut trainer = Trainer::new(model.clone(), train.clone(), data, arguments.compute.device()?, available).await?;
    let step_seconds = {
        let mut times = Repetitions::new(arguments.seconds);
        while times.go_on() {
            let started = Instant::now();
            trainer.step().await?;
            trainer.reports().await?;
            times.add(started);
        }
        times.median()
    };
    let flops: u64 = [Pass::Forward, Pass::Backward, Pass::Update]
        .iter()
        .map(|&pass| trainer.engine().program().flops(pass))
        .sum::<u64>();
    let train_gflops = (flops * train.gradient_accumulation_steps as u64) as f64 / step_seconds / 1e9;
    let weights = trainer.weights().await?;
    let train_tokens_per_s = trainer.tokens_per_step() as f64 / step_seconds;

    let mut generator =
        Generator::new(&model, &weights, arguments.weights.precision(), arguments.compute.device()?, available).await?;
    let sample_seconds = sample_seconds(&mut generator, model.n_positions, arguments.seconds).await?;
    let peak_gflops = peak_gflops(&arguments.compute.pool()?, arguments.seconds.min(GEMM_SECONDS));
    let ops = match arguments.ops {
        true => Some(OpTimes::measure(trainer.engine_mut(), peak_gflops).await?),
        false => None,
    };
    spinner.finish_and_clear();

    let sample_tokens_per_s = model.n_positions as f64 / sample_seconds;
    let share_of_peak = train_gflops / peak_gflops;
    let peak_memory = memory::peak();
    let mut object = json!({
        "preset": arguments.preset.name,
        "parameters": model.num_parameters(),
        "batch_size": train.batch_size,
        "context": model.n_positions,
        "dropout": model.dropout,
        "device": description,
        "train_tokens_per_s": train_tokens_per_s,
        "train_ms_per_step": 1e3 * step_seconds,
        "train_gflops": train_gflops,
        "peak_gflops": peak_gflops,
        "peak_gemm_size": GEMM_SIZE,
        "share_of_peak": share_of_peak,
        "sample_weights": arguments.weights.name(),
        "sample_tokens_per_s": sample_tokens_per_s,
        "sample_ms_per_token": 1e3 / sample_tokens_per_s,
        "peak_memory_bytes": peak_memory,
    });
    let mut text = format!("{}: {}\n{description}\n\n", arguments.preset.name, describe_model(&model));
    text += &format::fields(&[
        (
            "training",
            format!(
                "{} tokens/s ({:.1} ms per step of {} x {})",
                format::count(train_tokens_per_s as u64),
                1e3 * step_seconds,
                train.batch_size * train.gradient_accumulation_steps,
                model.n_positions
            ),
        ),
        ("", format!("{train_gflops:.1} GFLOP/s, {:.0} % of the peak", 100.0 * share_of_peak)),
        (
            "sampling",
            format!(
                "{} tokens/s ({:.3} ms per token, weights {})",
                format::count(sample_tokens_per_s as u64),
                1e3 / sample_tokens_per_s,
                arguments.weights.name(),
            ),
        ),
        ("peak", format!("{peak_gflops:.1} GFLOP/s ({GEMM_SIZE} x {GEMM_SIZE} matrices)")),
        ("peak memory", peak_memory.map_or("unknown".into(), format::bytes)),
    ]);
    if let Some(ops) = &ops {
        object["ops"] = ops.to_json();
        text += &format!("\n{}", ops.table());
    }
    terminal.result(&object, &text)
}

/// Median seconds of one text from one token to the full context.
async fn sample_seconds(generator: &mut Generator, context: usize, budget: f64) -> Result<f64> {
    let mut times = Repetitions::new(budget);
    while times.go_on() {
        let started = Instant::now();
        generator.start(&[0])?;
        generator.generate(&SamplerConfig::default(), context).await?;
        times.add(started);
    }
    Ok(times.median())
}

/// Floating-point operations per second of a large matrix product, in billions.
fn peak_gflops(pool: &Pool, budget: f64) -> f64 {
    let n = GEMM_SIZE;
    let stream = Stream::new(0, 0, Site::BATCH);
    let matrix: Vec<f32> = (0..(n * n) as u32).map(|i| stream.uniform(i) - 0.5).collect();
    let mut product = vec![0.0; n * n];
    let mut times = Repetitions::new(budget);
    while times.go_on() {
        let started = Instant::now();
        let (a, b) = (Mat::new(&matrix, n, n), Mat::new(&matrix, n, n));
        gemm(pool, a, b, Beta::Assign, [(&mut product[..], n)], |_, _| {});
        times.add(started);
    }
    2.0 * (n as f64).powi(3) / times.median() / 1e9
}

/// Durations of repeated work.
struct Repetitions {
    budget: f64,
    warm_ups: usize,
    seconds: Vec<f64>,
}

impl Repetitions {
    fn new(budget: f64) -> Self {
        Self { budget, warm_ups: WARM_UPS, seconds: Vec::new() }
    }

    fn go_on(&self) -> bool {
        self.seconds.len() < LEAST_REPETITIONS || self.seconds.iter().sum::<f64>() < self.budget
    }

    fn add(&mut self, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        match self.warm_ups.checked_sub(1) {
            Some(left) => self.warm_ups = left,
            None => self.seconds.push(seconds),
        }
    }

    fn median(mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        let middle = self.seconds.len() / 2;
        match self.seconds.len() % 2 {
            1 => self.seconds[middle],
            _ => (self.seconds[middle - 1] + self.seconds[middle]) / 2.0,
        }
    }
}
