//! `trainer compare`: how runs differ in their settings, their losses and their curves.

mod differences;
mod run;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::format::{self, Align, command_line};
use crate::model_source::RUNS;
use crate::plot::{ComparedCurve, ComparisonPlot};
use crate::run_folder::read;
use crate::settings::as_written;
use crate::terminal::Terminal;
use differences::{Difference, differences, warnings};
use run::{Evaluated, Run};

const EXAMPLES: &str = "\
Examples:
  trainer compare                                every run in runs/
  trainer compare runs/tiny runs/small
  trainer compare runs/char runs/bpe --x characters --out tokenizers.svg
  trainer compare runs/* --json

Runs are sorted by their best validation loss in bits per character, loss / ln 2 / characters per token: models with different \
tokenizers predict the same text with different numbers of tokens, and only this unit does not depend on it. For the same reason \
`--x characters` is the fair axis between tokenizers: it counts the text learnt from, tokens times characters per token (those of \
the validation split).";

/// Where the curves are drawn by default, in runs/ if there is such a folder.
const PLOT: &str = "compare.svg";

/// Characters of a name that the results show.
const NAME_CHARS: usize = 24;

/// `trainer compare`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Run folders [default: every run in runs/]
    #[arg(value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to draw the curves [default: runs/compare.svg; ./compare.svg where there is no runs/]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// What the curves are drawn against
    #[arg(long, value_enum, default_value_t = Horizontal::Steps)]
    x: Horizontal,
}

/// `--x`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Horizontal {
    /// Updates
    Steps,
    /// Time of the run
    Time,
    /// Tokens learnt from
    Tokens,
    /// Characters learnt from
    Characters,
}

/// Runs `trainer compare`.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<()> {
    let mut runs = load(&arguments.runs, terminal)?;
    // Those that were never finite come last.
    let rank = |run: &Run| run.bits_per_char().unwrap_or(f64::INFINITY);
    runs.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then_with(|| a.path.cmp(&b.path)));
    let plot = plot(&runs, arguments.x)?;
    let out = arguments.out.clone().unwrap_or_else(|| match Path::new(RUNS).is_dir() {
        true => Path::new(RUNS).join(PLOT),
        false => PLOT.into(),
    });
    plot.write(&out)?;

    let (differences, warnings) = (differences(&runs), warnings(&runs));
    for warning in &warnings {
        terminal.warn(warning);
    }
    let object = json!({
        "runs": runs.iter().map(describe).collect::<Vec<_>>(),
        "differences": differences.iter().map(|Difference { setting, values }| {
            json!({ "setting": setting, "values": values })
        }).collect::<Vec<_>>(),
        "warnings": warnings,
        "plot": out,
    });
    let settings = if runs.len() > 1 { setting_table(&runs, &differences) + "\n" } else { String::new() };
    let text = format!("{}\n{settings}curves  {}\n", results(&runs), out.display());
    terminal.result(&object, &text)
}

/// The runs that are named, each once; or all there are.
fn load(named: &[PathBuf], terminal: &Terminal) -> Result<Vec<Run>> {
    let found = read::runs(Path::new(RUNS));
    let paths = if named.is_empty() { &found } else { named };
    if paths.is_empty() {
        return Err(Error::Compare {
            path: RUNS.into(),
            problem: "no run has saved anything yet".into(),
            hint: format!(
                "train two first, with `{0}` and `{0} --preset micro`, or name run folders",
                command_line("train")
            ),
        });
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths {
        let folder = path.canonicalize().unwrap_or_else(|_| path.clone());
        if folders.contains(&folder) {
            terminal.warn(&format!("{} is given twice: it is shown once", path.display()));
            continue;
        }
        runs.push(Run::load(path)?);
        folders.push(folder);
    }
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in &mut runs {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = run.path.display().to_string();
        }
    }
    if let [only] = runs.as_slice() {
        terminal.note(&format!("{} is alone: name another run to compare it with\n", only.name));
    }
    Ok(runs)
}

/// The curves against what was asked for.
fn plot(runs: &[Run], horizontal: Horizontal) -> Result<ComparisonPlot> {
    let mut curves = Vec::new();
    for run in runs {
        let points = run.evaluations.iter().map(|evaluated| {
            Ok((horizontal.value(run, evaluated)?, evaluated.bits_per_char.map_or(f32::NAN, |bits| bits as f32)))
        });
        curves.push(ComparedCurve {
            name: run.name.clone(),
            points: points.collect::<Result<_>>()?,
            guessing: run.guessing(),
        });
    }
    let last = curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).fold(0.0, f64::max);
    let (unit, x_label) = horizontal.unit(last);
    for curve in &mut curves {
        for point in &mut curve.points {
            point.0 /= unit;
        }
    }
    let title = match runs {
        [only] => format!("Validation loss of {}", only.name),
        _ => format!("Validation loss of {} runs", runs.len()),
    };
    Ok(ComparisonPlot { title, x_label: x_label.into(), curves })
}

impl Horizontal {
    /// Where an evaluation stands.
    fn value(self, run: &Run, evaluated: &Evaluated) -> Result<f64> {
        let tokens = evaluated.step as f64 * run.tokens_per_step();
        match self {
            Self::Steps => Ok(evaluated.step as f64),
            Self::Tokens => Ok(tokens),
            // Of a run that was never finite nothing is drawn.
            Self::Characters => Ok(tokens * run.characters_per_token().unwrap_or(1.0)),
            Self::Time => evaluated.elapsed_s.filter(|&seconds| seconds >= 0.0).ok_or_else(|| Error::Compare {
                path: run.path.clone(),
                problem: format!("its log has no time at step {}: an earlier version wrote it", evaluated.step),
                hint: "draw the curves against --x steps, tokens or characters".into(),
            }),
        }
    }

    /// The unit that suits an axis up to `last`, and the axis's name with it.
    fn unit(self, last: f64) -> (f64, &'static str) {
        match (self, last) {
            (Self::Steps, _) => (1.0, "step"),
            (Self::Time, ..180.0) => (1.0, "time (seconds)"),
            (Self::Time, ..10_800.0) => (60.0, "time (minutes)"),
            (Self::Time, _) => (3600.0, "time (hours)"),
            (Self::Tokens, ..1e4) => (1.0, "tokens learnt from"),
            (Self::Tokens, ..1e7) => (1e3, "tokens learnt from (thousands)"),
            (Self::Tokens, ..1e10) => (1e6, "tokens learnt from (millions)"),
            (Self::Tokens, _) => (1e9, "tokens learnt from (billions)"),
            (Self::Characters, ..1e4) => (1.0, "characters learnt from"),
            (Self::Characters, ..1e7) => (1e3, "characters learnt from (thousands)"),
            (Self::Characters, ..1e10) => (1e6, "characters learnt from (millions)"),
            (Self::Characters, _) => (1e9, "characters learnt from (billions)"),
        }
    }
}

/// One row per run, the best first.
fn results(runs: &[Run]) -> String {
    let columns = [
        ("", Align::Right),
        ("run", Align::Left),
        ("parameters", Align::Right),
        ("steps", Align::Right),
        ("best at", Align::Right),
        ("val loss", Align::Right),
        ("bits/char", Align::Right),
        ("time", Align::Right),
        ("tokens/s", Align::Right),
    ];
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
    let count = |value: Option<u64>| value.map_or("-".into(), format::count);
    let row = |(place, run): (usize, &Run)| {
        vec![
            place.to_string(),
            format::cut_middle(&run.name, NAME_CHARS),
            format::count(run.model.num_parameters()),
            format::count(steps(run)),
            count(run.best().map(|best| best.step)),
            number(run.best().and_then(|best| best.val_loss)),
            number(run.bits_per_char()),
            format::seconds(run.state.elapsed_s),
            count(run.tokens_per_s.map(|speed| speed as u64)),
        ]
    };
    format::table(&columns, &(1..).zip(runs).map(row).collect::<Vec<_>>())
}

/// A run that is being trained has evaluations that its latest save has not.
fn steps(run: &Run) -> u64 {
    run.evaluations.iter().map(|evaluated| evaluated.step).fold(run.state.step, u64::max)
}

/// One row per setting that differs; a column per run, by name where the names fit, else by its number in the results.
fn setting_table(runs: &[Run], differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "All settings are the same.\n".into();
    }
    let rows: Vec<Vec<String>> = differences
        .iter()
        .map(|difference| {
            let values = difference.values.iter().map(|value| plain(&difference.setting, value));
            std::iter::once(difference.setting.clone()).chain(values).collect()
        })
        .collect();
    let numbers: Vec<String> = (1..=runs.len()).map(|number| number.to_string()).collect();
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    let draw = |headers: &[String]| {
        let headers = headers.iter().map(|header| (header.as_str(), Align::Right));
        let columns: Vec<(&str, Align)> = std::iter::once(("setting", Align::Left)).chain(headers).collect();
        format::table(&columns, &rows)
    };
    let by_name = draw(&names);
    if by_name.lines().all(|line| line.chars().count() <= format::WIDTH) { by_name } else { draw(&numbers) }
}

/// A value as `--set` takes it; hashes cut.
fn plain(setting: &str, value: &Value) -> String {
    match value {
        Value::String(text) if setting == "data_sha256" => text.chars().take(10).chain(['…']).collect(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// All that is known about a run.
fn describe(run: &Run) -> Value {
    let cpt = run.characters_per_token();
    let evaluations = run.evaluations.iter().map(|evaluated| {
        let mut object = as_written(evaluated);
        let learnt = evaluated.step as f64 * run.tokens_per_step();
        object["tokens_learnt"] = json!(learnt);
        object["characters_learnt"] = json!(cpt.map(|cpt| learnt * cpt));
        object
    });
    json!({
        "run": run.path,
        "name": run.name,
        "parameters": run.model.num_parameters(),
        "steps": steps(run),
        "best_step": run.best().map(|best| best.step),
        "best_val_loss": run.best().and_then(|best| best.val_loss),
        "bits_per_char": run.bits_per_char(),
        "perplexity_per_char": run.bits_per_char().map(f64::exp2),
        "characters_per_token": cpt,
        "elapsed_s": run.state.elapsed_s,
        "tokens_per_s": run.tokens_per_s,
        "settings": differences::settings(run),
        "evaluations": evaluations.collect::<Vec<_>>(),
    })
}
