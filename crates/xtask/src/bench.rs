//! `cargo xtask bench`: the trainer's speed; with `--vs-torch` next to PyTorch's.
//!
//! Both are measured in turns (ours, theirs, ours, theirs, …) and medians over the rounds are compared. What is measured is
//! said in `python/bench_torch.py` and `trainer bench --help`.
//!
//! `--device gpu` puts both sides on the GPU: ours through wgpu (Vulkan, Metal or DX12), PyTorch through CUDA or Metal.
//!
//! Training is float32 on both sides. Sampling is each side's default: Inkling stores the weights as float16, PyTorch reads
//! float32; the table and the JSON say so.
//!
//! Taking turns does not make a busy machine fair: with two compilers on the same two cores PyTorch was seen to train 12
//! times slower than alone while its sampling hardly changed, so that a ratio of 10 meant nothing. Whenever somebody else
//! used the machine, or rounds differ too much, the table is followed by the doubts and the task fails.
//!
//! `--page` measures the page instead ([`page`]).

mod contention;
mod figures;
mod page;

use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::process::{capture, cargo, command_line};
use crate::{python, table};
use contention::Ticks;
use figures::Figures;

/// CPUs that others may keep busy during a measurement. On two cores 0.2 left PyTorch's training as fast as ever; 0.9 made it
/// 12 times slower.
const TOLERABLE_OTHERS: f64 = 0.25;

/// Most by which the best round may exceed the worst; quiet rounds stay within 1.1.
const TOLERABLE_SPREAD: f64 = 1.25;

/// How Inkling stores the weights that it samples from: its default.
const OUR_SAMPLING_WEIGHTS: &str = "f16";

/// How PyTorch does.
const TORCH_SAMPLING_WEIGHTS: &str = "f32";

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Measure PyTorch in the same run and print the ratio
    #[arg(long)]
    vs_torch: bool,
    /// Where both sides compute; on a GPU with batches that fill it; with --page, where WebGPU and WebGL do
    #[arg(long, value_enum, default_value_t)]
    device: Device,
    /// Models to measure (with --page nano and small)
    #[arg(long, conflicts_with = "page", value_enum, value_delimiter = ',', default_values_t = [Preset::Small, Preset::Medium])]
    preset: Vec<Preset>,
    /// How often each side is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    page: page::Settings,
}

/// Where both sides compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Device {
    /// All cores
    #[default]
    Cpu,
    /// The best GPU: through wgpu for Inkling, CUDA or Metal for PyTorch
    Gpu,
}

impl Device {
    /// As both sides' `--device` takes it.
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

/// The models of the comparison, with the batch sizes at which PyTorch's figures are known.
#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    /// 0.8 million parameters, context 128, batch 32 (GPU: 128)
    Small,
    /// 10.8 million parameters, context 256, batch 8 (GPU: 64)
    Medium,
}

impl Preset {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
        }
    }

    /// 16,384 tokens fill a GPU; on a CPU less shows the same speed sooner.
    fn batch_size(self, device: Device) -> &'static str {
        match (self, device) {
            (Self::Small, Device::Cpu) => "32",
            (Self::Medium, Device::Cpu) => "8",
            (Self::Small, Device::Gpu) => "128",
            (Self::Medium, Device::Gpu) => "64",
        }
    }
}

/// Medians of one model.
#[derive(Serialize)]
struct Comparison {
    preset: &'static str,
    inkling: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pytorch: Option<Figures>,
    /// Inkling's figures over PyTorch's: above 1 is faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Figures>,
    /// Reasons not to believe these figures.
    doubts: Vec<String>,
}

/// One side's rounds.
struct Side {
    name: &'static str,
    rounds: Vec<Figures>,
    doubts: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    device: &'static str,
    rounds: u32,
    inkling_sampling_weights: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pytorch_sampling_weights: Option<&'static str>,
    results: Vec<Comparison>,
}

/// Measures and prints. Progress goes to standard error, so that the result can be piped.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.page.is_wanted() {
        return page::run(&arguments.page, arguments.rounds, arguments.device, arguments.json);
    }
    if arguments.vs_torch {
        python::ensure()?;
    }
    let mut results = Vec::new();
    for &preset in &arguments.preset {
        results.push(compare(preset, arguments)?);
    }
    let report = Report {
        device: arguments.device.name(),
        rounds: arguments.rounds,
        inkling_sampling_weights: OUR_SAMPLING_WEIGHTS,
        pytorch_sampling_weights: arguments.vs_torch.then_some(TORCH_SAMPLING_WEIGHTS),
        results,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("finite numbers and plain strings"));
    } else {
        print!("{}", table::align(&rows(&report.results)));
    }
    let doubts: Vec<&str> = report.results.iter().flat_map(|result| &result.doubts).map(String::as_str).collect();
    if doubts.is_empty() { Ok(()) } else { Err(Error::Doubtful(doubts.join("\n  "))) }
}

fn compare(preset: Preset, arguments: &Arguments) -> Result<Comparison> {
    let mut ours = Side::new("Inkling");
    let mut theirs = Side::new("PyTorch");
    for round in 1..=arguments.rounds {
        ours.measure(preset, round, &mut inkling(preset, arguments.device))?;
        if arguments.vs_torch {
            theirs.measure(preset, round, &mut pytorch(preset, arguments.device))?;
        }
    }
    let inkling = Figures::median(&ours.rounds);
    let pytorch = arguments.vs_torch.then(|| Figures::median(&theirs.rounds));
    let ratio = pytorch.map(|torch| inkling.over(&torch));
    let doubts = [ours, theirs].into_iter().flat_map(|side| side.into_doubts(preset)).collect();
    Ok(Comparison { preset: preset.name(), inkling, pytorch, ratio, doubts })
}

fn inkling(preset: Preset, device: Device) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "trainer", "--", "bench", "--json"]);
    command.args(["--device", device.name()]);
    // The peer has no dropout: equal work on both sides.
    command.args(["--preset", preset.name(), "--batch-size", preset.batch_size(device), "--set", "dropout=0"]);
    command.args(["--weights", OUR_SAMPLING_WEIGHTS]);
    command
}

fn pytorch(preset: Preset, device: Device) -> Command {
    let mut command = python::script("bench_torch.py");
    command.args(["--preset", preset.name(), "--batch-size", preset.batch_size(device), "--device", device.name()]);
    command
}

impl Side {
    fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), doubts: Vec::new() }
    }

    fn measure(&mut self, preset: Preset, round: u32, command: &mut Command) -> Result<()> {
        let start = Ticks::now();
        let figures = Figures::parse(&command_line(command), &capture(command)?)?;
        let others = Ticks::now().zip(start).map(|(end, start)| end.others_since(&start));
        let name = format!("{} round {round}, {}", preset.name(), self.name);
        eprintln!(
            "{name}: trains {:.0}, samples {:.0} tokens/s",
            figures.train_tokens_per_s, figures.sample_tokens_per_s
        );
        if let Some(others) = others.filter(|&others| others > TOLERABLE_OTHERS) {
            self.doubts.push(format!("{name}: other programs kept {others:.1} CPUs busy"));
        }
        self.rounds.push(figures);
        Ok(())
    }

    /// What was seen in each round, and figures that differ between rounds.
    fn into_doubts(self, preset: Preset) -> Vec<String> {
        let mut doubts = self.doubts;
        for (name, spread) in Figures::NAMES.iter().zip(Figures::spread(&self.rounds)) {
            if spread > TOLERABLE_SPREAD {
                doubts.push(format!(
                    "{}, {}: {name} differ {spread:.1} times between rounds",
                    preset.name(),
                    self.name
                ));
            }
        }
        doubts
    }
}

fn rows(results: &[Comparison]) -> Vec<Vec<String>> {
    let mut rows = vec![["figure (median)", "Inkling", "PyTorch", "ratio"].map(String::from).to_vec()];
    for result in results {
        for (index, name) in Figures::NAMES.into_iter().enumerate() {
            let show = |figures: Option<&Figures>, digits: usize| {
                figures.map_or_else(|| "-".into(), |figures| format!("{:.digits$}", figures.values()[index]))
            };
            let weights = match name {
                Figures::SAMPLING => format!(" (Inkling's weights {OUR_SAMPLING_WEIGHTS})"),
                _ => String::new(),
            };
            rows.push(vec![
                format!("{}: {name}{weights}", result.preset),
                show(Some(&result.inkling), 0),
                show(result.pytorch.as_ref(), 0),
                show(result.ratio.as_ref(), 2),
            ]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_puts_both_sides_and_their_ratio_in_one_row() {
        let inkling = Figures { train_tokens_per_s: 20_000.0, sample_tokens_per_s: 6000.0, peak_gflops: 130.0 };
        let pytorch = Figures { train_tokens_per_s: 10_000.0, sample_tokens_per_s: 1000.0, peak_gflops: 160.0 };
        let both = Comparison {
            preset: "small",
            inkling,
            pytorch: Some(pytorch),
            ratio: Some(inkling.over(&pytorch)),
            doubts: Vec::new(),
        };
        let rows = rows(&[both]);
        assert_eq!(rows[1], ["small: training tokens/s", "20000", "10000", "2.00"]);
        assert_eq!(rows[2], ["small: sampling tokens/s (Inkling's weights f16)", "6000", "1000", "6.00"]);
        assert_eq!(rows[3], ["small: matmul GFLOP/s", "130", "160", "0.81"]);
    }

    #[test]
    fn rounds_that_differ_too_much_are_doubted() {
        let figures =
            |train_tokens_per_s| Figures { train_tokens_per_s, sample_tokens_per_s: 700.0, peak_gflops: 400.0 };
        let side =
            |rounds: &[f64]| Side { rounds: rounds.iter().map(|&train| figures(train)).collect(), ..Side::new("X") };
        assert_eq!(side(&[32_000.0, 33_000.0, 31_000.0]).into_doubts(Preset::Small), Vec::<String>::new());
        assert_eq!(
            side(&[3_000.0, 10_000.0, 33_000.0]).into_doubts(Preset::Small),
            ["small, X: training tokens/s differ 11.0 times between rounds"]
        );
    }
}
