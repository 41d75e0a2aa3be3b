//! `cargo xtask bench`: the trainer's speed; with `--vs-torch` next to PyTorch's.
//!
//! Both are measured in turns (ours, theirs, ours, theirs, …), so that a machine that slows down or is shared slows down
//! both; medians over the rounds are compared. What is measured is said in `python/bench_torch.py` and `trainer bench --help`.

mod figures;

use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Result;
use crate::process::{capture, cargo, command_line};
use crate::{python, table};
use figures::Figures;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Measure PyTorch in the same run and print the ratio
    #[arg(long)]
    vs_torch: bool,
    /// Models to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Preset::Small, Preset::Medium])]
    preset: Vec<Preset>,
    /// How often each side is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// The models of the comparison, with the batch sizes at which PyTorch's figures are known.
#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    /// 0.8 million parameters, context 128, batch 32
    Small,
    /// 10.8 million parameters, context 256, batch 8
    Medium,
}

impl Preset {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
        }
    }

    fn batch_size(self) -> &'static str {
        match self {
            Self::Small => "32",
            Self::Medium => "8",
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
}

#[derive(Serialize)]
struct Report {
    rounds: u32,
    results: Vec<Comparison>,
}

/// Measures and prints. Progress goes to standard error, so that the result can be piped.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.vs_torch {
        python::ensure()?;
    }
    let mut results = Vec::new();
    for &preset in &arguments.preset {
        results.push(compare(preset, arguments)?);
    }
    let report = Report { rounds: arguments.rounds, results };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("finite numbers and plain strings"));
    } else {
        print!("{}", table::align(&rows(&report.results)));
    }
    Ok(())
}

fn compare(preset: Preset, arguments: &Arguments) -> Result<Comparison> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        ours.push(measure("inkling", preset, round, &mut inkling(preset))?);
        if arguments.vs_torch {
            theirs.push(measure("PyTorch", preset, round, &mut pytorch(preset))?);
        }
    }
    let inkling = Figures::median(&ours);
    let pytorch = arguments.vs_torch.then(|| Figures::median(&theirs));
    Ok(Comparison { preset: preset.name(), inkling, pytorch, ratio: pytorch.map(|torch| inkling.over(&torch)) })
}

fn inkling(preset: Preset) -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "trainer", "--", "bench", "--json", "--device", "cpu"]);
    command.args(["--preset", preset.name(), "--batch-size", preset.batch_size()]);
    command
}

fn pytorch(preset: Preset) -> Command {
    let mut command = python::script("bench_torch.py");
    command.args(["--preset", preset.name(), "--batch-size", preset.batch_size()]);
    command
}

fn measure(side: &str, preset: Preset, round: u32, command: &mut Command) -> Result<Figures> {
    let figures = Figures::parse(&command_line(command), &capture(command)?)?;
    eprintln!(
        "{} round {round}, {side}: trains {:.0}, samples {:.0} tokens/s",
        preset.name(),
        figures.train_tokens_per_s,
        figures.sample_tokens_per_s
    );
    Ok(figures)
}

fn rows(results: &[Comparison]) -> Vec<Vec<String>> {
    let mut rows = vec![["figure (median)", "Inkling", "PyTorch", "ratio"].map(String::from).to_vec()];
    for result in results {
        for (index, name) in Figures::NAMES.into_iter().enumerate() {
            let show = |figures: Option<&Figures>, digits: usize| {
                figures.map_or_else(|| "-".into(), |figures| format!("{:.digits$}", figures.values()[index]))
            };
            rows.push(vec![
                format!("{}: {name}", result.preset),
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
        let both = Comparison { preset: "small", inkling, pytorch: Some(pytorch), ratio: Some(inkling.over(&pytorch)) };
        let rows = rows(&[both]);
        assert_eq!(rows[1], ["small: training tokens/s", "20000", "10000", "2.00"]);
        assert_eq!(rows[3], ["small: matmul GFLOP/s", "130", "160", "0.81"]);
    }
}
