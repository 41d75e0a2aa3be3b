//! `trainer inspect`: what a model consists of and what it costs.

mod similarity;

use std::path::{Path, PathBuf};

use clap::Args;
use inkling_core::ModelConfig;
use inkling_core::parameters::ParameterSpec;
use inkling_core::presets::Preset;
use inkling_core::train::TrainConfig;
use serde_json::{Value, json};

use crate::costs::Costs;
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
  trainer inspect --model runs/tiny --neighbors e --neighbors '#0'
  trainer inspect --model gpt2 --analogy ' man' ' woman' ' king'

Memory is what the engine allocates for a program. Floating-point operations count a multiply-add as two.

Neighbours and analogies are of the token table, wte.weight, each row less the mean of all rows: by their cosine to the token, or to \
b - a + c of unit vectors for a : b = c : ? (Mikolov, Yih and Zweig 2013), the given tokens left out. Beside each stands what chance \
gives: the cosine of the same rank after the table's entries were permuted among the tokens, in each channel on its own; mean and \
largest of 20 such tables.";

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
    /// The tokens most similar to this one, a text of one token or #ID; may be repeated
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true, help_heading = "Token table")]
    neighbors: Vec<String>,
    /// The tokens that answer A : B = C : ?; may be repeated
    #[arg(long, num_args = 3, value_names = ["A", "B", "C"], allow_hyphen_values = true, help_heading = "Token table")]
    analogy: Vec<String>,
}

/// Runs `trainer inspect`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let batch = arguments.batch_size.map(|batch_size| Assignment::new("batch_size", batch_size));
    let assignments: Vec<Assignment> = arguments.set.iter().cloned().chain(batch).collect();
    let asks_for_tokens = !(arguments.neighbors.is_empty() && arguments.analogy.is_empty());
    match &arguments.preset {
        Some(preset) if asks_for_tokens => Err(Error::Untrained { preset: preset.name }),
        Some(preset) => {
            let (model, train) = settings::apply(preset, &assignments)?;
            report(&PathBuf::from(preset.name), &model, &train, terminal)
        }
        None => {
            let loaded = arguments.model.load(terminal)?;
            if asks_for_tokens {
                return similarity::report(&loaded, &arguments.neighbors, &arguments.analogy, terminal);
            }
            let train = TrainConfig { batch_size: arguments.batch_size.unwrap_or(32), ..TrainConfig::default() };
            train.validate()?;
            report(&loaded.folder, &loaded.checkpoint.config, &train, terminal)
        }
    }
}

/// What the model consists of and what it costs.
fn report(name: &Path, model: &ModelConfig, train: &TrainConfig, terminal: &Terminal) -> Result<()> {
    let costs = Costs::of(model, train)?;
    let parameters = model.parameters();
    let total = model.num_parameters();
    let mut object = costs.to_json();
    let tensors =
        parameters.iter().map(|spec| json!({"name": spec.name, "shape": spec.shape, "parameters": spec.numel()}));
    object.extend([
        ("name".into(), json!(name)),
        ("config".into(), settings::as_written(model)),
        ("parameters".into(), json!(total)),
        ("tensors".into(), tensors.collect()),
        ("batch_size".into(), json!(train.batch_size)),
    ]);
    let rows: Vec<Vec<String>> = parameters.iter().map(|spec| row(spec, total)).collect();
    let columns =
        [("parameter", Align::Left), ("shape", Align::Left), ("parameters", Align::Right), ("share", Align::Right)];
    let fields = format::fields(&[
        ("training memory", format!("{} with batches of {}", format::bytes(costs.training_memory), train.batch_size)),
        ("inference memory", format!("{} for one text", format::bytes(costs.inference_memory))),
        ("forward", format!("{} per token", format::flops(costs.forward_flops))),
        ("training", format!("{} per token", format::flops(costs.training_flops))),
    ]);
    let text = format!("{}: {}\n\n{}\n{fields}", name.display(), describe_model(model), format::table(&columns, &rows));
    terminal.result(&Value::Object(object), &text)
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
