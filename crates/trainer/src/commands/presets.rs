//! `trainer presets`: the named starting points, what each costs and why it is there.

use clap::Args;
use inkling_core::presets::{self, Preset};
use serde_json::{Value, json};

use crate::costs::Costs;
use crate::error::Result;
use crate::format::{self, Align};
use crate::settings;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  trainer presets
  trainer presets --json
  trainer inspect --preset medium                one of them in detail
  trainer train --preset small --set n_layer=6   one of them as a starting point

tokens/step is batch × context × accumulated batches. FLOP/token is of training (forward, backward, optimizer); a multiply-add \
counts as two. Memory is what the engine allocates: to train at the preset's batch size, and to continue one text. A model gets \
the vocabulary of its text; the figures are for the preset's own.";

/// In front of the reasons.
const INDENT: &str = "    ";

/// `trainer presets`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

/// Runs `trainer presets`.
pub fn run(_: &Arguments, terminal: &Terminal) -> Result<()> {
    let presets = presets::all();
    let costs = presets.iter().map(|preset| Costs::of(&preset.model, &preset.train)).collect::<Result<Vec<_>>>()?;
    let listed = || presets.iter().zip(&costs);
    let object = json!({ "presets": listed().map(|(preset, costs)| describe(preset, costs)).collect::<Vec<_>>() });

    let columns = [
        ("preset", Align::Left),
        ("parameters", Align::Right),
        ("tokens/step", Align::Right),
        ("FLOP/token", Align::Right),
        ("memory: train", Align::Right),
        ("sample", Align::Right),
    ];
    let rows: Vec<Vec<String>> = listed().map(|(preset, costs)| row(preset, costs)).collect();
    let table = format::table(&columns, &rows);
    let mut lines = table.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (line, preset) in lines.zip(&presets) {
        text += &format!("{line}\n{}", format::paragraph(preset.reason, INDENT, format::WIDTH));
    }
    terminal.result(&object, &text)
}

fn tokens_per_step(preset: &Preset) -> u64 {
    (preset.train.batch_size * preset.model.n_positions * preset.train.gradient_accumulation_steps) as u64
}

fn row(preset: &Preset, costs: &Costs) -> Vec<String> {
    vec![
        preset.name.into(),
        format::count(preset.model.num_parameters()),
        format::count(tokens_per_step(preset)),
        format::flops(costs.training_flops),
        format::bytes(costs.training_memory),
        format::bytes(costs.inference_memory),
    ]
}

fn describe(preset: &Preset, costs: &Costs) -> Value {
    let mut fields = costs.to_json();
    fields.extend([
        ("name".into(), json!(preset.name)),
        ("reason".into(), json!(preset.reason)),
        ("parameters".into(), json!(preset.model.num_parameters())),
        ("tokens_per_step".into(), json!(tokens_per_step(preset))),
        ("config".into(), settings::as_written(&preset.model)),
        ("settings".into(), settings::as_written(&preset.train)),
    ]);
    Value::Object(fields)
}
