//! `trainer inspect`: what a model consists of and what it costs.

use std::path::PathBuf;

use clap::Args;
use inkling_core::nn::Generation;
use inkling_core::parameters::ParameterSpec;
use inkling_core::presets::Preset;
use inkling_core::program::{Pass, Precision, Program};
use inkling_core::train::TrainConfig;
use inkling_core::{Architecture, ModelConfig};
use serde_json::json;

use crate::error::{Error, Result};
use crate::format::{self, Align};
use crate::model_source::ModelArgument;
use crate::settings::{self, Assignment};
use crate::terminal::Terminal;
use crate::training::report::describe_model;

const EXAMPLES: &str = "\
Examples:
  trainer inspect                                the only run in runs/
  trainer inspect --model runs/tiny/last
  trainer inspect --preset medium --batch-size 8
  trainer inspect --preset tiny --set n_layer=8 n_embd=256 --json

Memory is what the engine allocates for a program. Floating-point operations count a multiply-add as two.";

/// Multiply-adds of a forward pass beyond which 64 bits no longer hold what the counting of bytes and operations makes of
/// them; it would take a fast machine years.
const MAX_WORK: f64 = (1_u64 << 54) as f64;

/// `trainer inspect`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// A preset instead of a trained model
    #[arg(long, value_name = "NAME", value_parser = settings::preset_parser(), conflicts_with = "model")]
    preset: Option<Preset>,
    /// Any field of the preset's model or its training
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., requires = "preset")]
    set: Vec<Assignment>,
    /// Sequences per training step [default: the preset's; 32 for a trained model]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
}

/// Runs `trainer inspect`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let batch = arguments.batch_size.map(|batch_size| Assignment::new("batch_size", batch_size));
    let assignments: Vec<Assignment> = arguments.set.iter().cloned().chain(batch).collect();
    let (name, model, train) = match &arguments.preset {
        Some(preset) => {
            let (model, train) = settings::apply(preset, &assignments)?;
            (PathBuf::from(preset.name), model, train)
        }
        None => {
            let loaded = arguments.model.load(terminal)?;
            let train = TrainConfig { batch_size: arguments.batch_size.unwrap_or(32), ..TrainConfig::default() };
            train.validate()?;
            (loaded.folder, loaded.checkpoint.config, train)
        }
    };
    check_work(&model, &train)?;
    let costs = Costs::of(&model, &train)?;
    let parameters = model.parameters();
    let total = model.num_parameters();
    let object = json!({
        "name": name,
        "config": as_written(&model),
        "parameters": total,
        "tensors": parameters.iter().map(|spec| json!({
            "name": spec.name, "shape": spec.shape, "parameters": spec.numel(),
        })).collect::<Vec<_>>(),
        "batch_size": train.batch_size,
        "training_memory_bytes": costs.training_memory,
        "inference_memory_bytes": costs.inference_memory,
        "forward_flops_per_token": costs.forward_flops,
        "training_flops_per_token": costs.training_flops,
    });
    let rows: Vec<Vec<String>> = parameters.iter().map(|spec| row(spec, total)).collect();
    let columns =
        [("parameter", Align::Left), ("shape", Align::Left), ("parameters", Align::Right), ("share", Align::Right)];
    let fields = format::fields(&[
        ("training memory", format!("{} with batches of {}", format::bytes(costs.training_memory), train.batch_size)),
        ("inference memory", format!("{} for one text", format::bytes(costs.inference_memory))),
        ("forward", format!("{} per token", format::flops(costs.forward_flops))),
        ("training", format!("{} per token", format::flops(costs.training_flops))),
    ]);
    let text =
        format!("{}: {}\n\n{}\n{fields}", name.display(), describe_model(&model), format::table(&columns, &rows));
    terminal.result(&object, &text)
}

/// As in `config.json`: a float32 has the digits that tell it from its neighbours, not those of its nearest float64.
fn as_written(model: &ModelConfig) -> serde_json::Value {
    let json = serde_json::to_string(model).expect("a configuration is plain data");
    serde_json::from_str(&json).expect("it was just written")
}

fn row(spec: &ParameterSpec, total: u64) -> Vec<String> {
    let shape: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
    vec![
        spec.name.clone(),
        format!("[{}]", shape.join(", ")),
        format::count(spec.numel() as u64),
        format!("{:.2} %", 100.0 * spec.numel() as f64 / total as f64),
    ]
}

/// Refuses sizes whose costs cannot be counted.
fn check_work(model: &ModelConfig, train: &TrainConfig) -> Result<()> {
    let [batch, context, layers, channels, hidden, vocabulary] =
        [train.batch_size, model.n_positions, model.n_layer, model.n_embd, model.n_inner, model.vocab_size]
            .map(|size| size as f64);
    let per_token = match model.architecture {
        Architecture::Bigram => vocabulary * vocabulary,
        Architecture::Gpt => {
            layers * channels * (4.0 * channels + 2.0 * hidden + 2.0 * context) + channels * vocabulary
        }
    };
    if batch * context * per_token <= MAX_WORK {
        return Ok(());
    }
    Err(Error::Setting {
        key: "batch_size".into(),
        problem: format!("{} sequences of {} tokens cost this model more than 64 bits can count", batch, context),
        hint: "make the batch, the context (n_positions) or the model smaller".into(),
    })
}

/// What a model costs.
struct Costs {
    training_memory: u64,
    inference_memory: u64,
    forward_flops: f64,
    training_flops: f64,
}

impl Costs {
    fn of(model: &ModelConfig, train: &TrainConfig) -> Result<Self> {
        let program = training_program(model, train)?;
        let (generation, _) = Generation::record(model, Precision::Half)?;
        let tokens = (train.batch_size * model.n_positions) as f64;
        let per_token = |passes: &[Pass]| passes.iter().map(|&pass| program.flops(pass)).sum::<u64>() as f64 / tokens;
        Ok(Self {
            training_memory: program.memory_bytes(),
            inference_memory: generation.memory_bytes(),
            forward_flops: per_token(&[Pass::Forward]),
            training_flops: per_token(&[Pass::Forward, Pass::Backward, Pass::Update]),
        })
    }
}

/// The program that training would load.
fn training_program(model: &ModelConfig, train: &TrainConfig) -> Result<Program> {
    let (program, ..) = inkling_core::train::record(model, train)?;
    Ok(program)
}
