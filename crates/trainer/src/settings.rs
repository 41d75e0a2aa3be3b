//! `--preset` and `--set key=value`: every field of [`ModelConfig`] and [`TrainConfig`] by its name, along one path.
//!
//! A preset becomes two JSON objects, assignments replace their values, and the objects are read back: what a value may be
//! is said once, by the types of the fields, and what range it may have by their `validate`.
//!
//! Some fields follow others. Unless they are set themselves:
//! - `n_inner` stays `4 * n_embd` if the preset's was,
//! - `n_kv_head` stays `n_head` if the preset's was,
//! - `min_learning_rate` keeps its ratio to `learning_rate`,
//! - `warmup_steps` takes at most a tenth of `max_steps` when those are set.

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use inkling_core::ModelConfig;
use inkling_core::presets::{self, Preset};
use inkling_core::train::TrainConfig;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    key: String,
    value: String,
}

impl Assignment {
    /// What a flag stands for: `--lr 0.001` is `learning_rate=0.001`.
    pub fn new(key: &str, value: impl ToString) -> Self {
        Self { key: key.into(), value: value.to_string() }
    }
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Self::new(key.trim(), value.trim())),
            _ => Err("it must have the form key=value, for example n_layer=6".into()),
        }
    }
}

/// Parses `--preset`; `--help` lists them with their reasons.
pub fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    let value = |preset: Preset| PossibleValue::new(preset.name).help(preset.reason);
    PossibleValuesParser::new(presets::all().into_iter().map(value)).map(|name| named_preset(&name))
}

/// The preset of a name that is known to be one.
pub fn named_preset(name: &str) -> Preset {
    presets::find(name).expect("the name is one of presets::all()")
}

/// The preset with these assignments, validated.
///
/// # Errors
/// [`Error::Setting`] names the key: unknown, given twice, or with a value that it cannot have; core's errors name a field
/// whose value is out of range.
pub fn apply(preset: &Preset, assignments: &[Assignment]) -> Result<(ModelConfig, TrainConfig)> {
    let mut model = Draft::of(&preset.model);
    let mut train = Draft::of(&preset.train);
    for (i, Assignment { key, value }) in assignments.iter().enumerate() {
        let refuse = |problem: String, hint: &str| Error::Setting { key: key.clone(), problem, hint: hint.into() };
        if assignments[..i].iter().any(|earlier| earlier.key == *key) {
            return Err(refuse("it is given twice".into(), "give it once"));
        }
        let outcome = match (model.has(key), train.has(key)) {
            (true, _) => model.set(key, value),
            (_, true) => train.set(key, value),
            _ => return Err(unknown(key, &model, &train)),
        };
        outcome.map_err(|problem| refuse(problem, "trainer inspect shows a preset's model, --help more examples"))?;
    }
    let is_set = |key: &str| assignments.iter().any(|assignment| assignment.key == key);
    let (mut model, mut train) = (model.config, train.config);
    if is_set("n_embd") && !is_set("n_inner") && preset.model.n_inner == 4 * preset.model.n_embd {
        model.n_inner = model.n_embd.saturating_mul(4);
    }
    if is_set("n_head") && !is_set("n_kv_head") && preset.model.n_kv_head == preset.model.n_head {
        model.n_kv_head = model.n_head;
    }
    if is_set("learning_rate") && !is_set("min_learning_rate") {
        let ratio = f64::from(preset.train.min_learning_rate) / f64::from(preset.train.learning_rate);
        train.min_learning_rate = (f64::from(train.learning_rate) * ratio) as f32;
    }
    if is_set("max_steps") && !is_set("warmup_steps") {
        train.warmup_steps = train.warmup_steps.min(train.max_steps / 10);
    }
    model.validate()?;
    train.validate()?;
    Ok((model, train))
}

/// A configuration as JSON files have it: a float32 has the digits that tell it from its neighbours, not those of its nearest
/// float64.
pub fn as_written(configuration: &impl serde::Serialize) -> Value {
    let json = serde_json::to_string(configuration).expect("a configuration is plain data");
    serde_json::from_str(&json).expect("it was just written")
}

/// A configuration that is being changed field by field.
struct Draft<T> {
    config: T,
    fields: Map<String, Value>,
}

impl<T: serde::Serialize + serde::de::DeserializeOwned> Draft<T> {
    fn of(config: &T) -> Self
    where
        T: Clone,
    {
        match serde_json::to_value(config) {
            Ok(Value::Object(fields)) => Self { config: config.clone(), fields },
            _ => unreachable!("configurations are plain structs"),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Sets a field that is there. The error says what was expected.
    fn set(&mut self, key: &str, value: &str) -> std::result::Result<(), String> {
        self.fields.insert(key.into(), parse(value));
        self.config = T::deserialize(Value::Object(self.fields.clone())).map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// JSON where it is JSON (`6`, `1e-3`, `true`), else a number that JSON spells otherwise (`.5`), else a word (`relu`).
fn parse(text: &str) -> Value {
    if let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    match text.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.into()),
    }
}

fn unknown(key: &str, model: &Draft<ModelConfig>, train: &Draft<TrainConfig>) -> Error {
    let list = |fields: &Map<String, Value>| fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::Setting {
        key: key.into(),
        problem: "there is no such setting".into(),
        hint: format!("of the model: {}; of its training: {}", list(&model.fields), list(&train.fields)),
    }
}

/// The value that a field is set to, if it is.
pub fn find<'a>(assignments: &'a [Assignment], key: &str) -> Option<&'a str> {
    assignments.iter().find(|assignment| assignment.key == key).map(|assignment| assignment.value.as_str())
}

/// Refuses `vocab_size`, which the tokenizer decides.
pub fn refuse_vocab_size(assignments: &[Assignment]) -> Result<()> {
    match assignments.iter().find(|assignment| assignment.key == "vocab_size") {
        None => Ok(()),
        Some(assignment) => Err(Error::Setting {
            key: assignment.key.clone(),
            problem: "it is the number of tokens that the tokenizer has".into(),
            hint: "leave it out, or choose it with --tokenizer bpe --vocab N".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::Activation;
    use inkling_core::train::config::Schedule;

    use super::*;

    fn set(preset: &str, assignments: &[&str]) -> Result<(ModelConfig, TrainConfig)> {
        let assignments: Vec<Assignment> = assignments.iter().map(|text| text.parse().unwrap()).collect();
        apply(&named_preset(preset), &assignments)
    }

    #[test]
    fn without_assignments_a_preset_is_itself() {
        for preset in presets::all() {
            assert_eq!(set(preset.name, &[]).unwrap(), (preset.model, preset.train));
        }
    }

    #[test]
    fn every_field_of_both_configurations_can_be_set() {
        let preset = named_preset("tiny");
        let values = [
            ("architecture", "bigram"),
            ("vocab_size", "66"),
            ("n_positions", "65"),
            ("n_embd", "64"),
            ("n_layer", "3"),
            ("n_head", "2"),
            ("n_kv_head", "2"),
            ("position_embedding_type", "rope"),
            ("rope_theta", "500.0"),
            ("sliding_window", "16"),
            ("qk_norm", "true"),
            ("normalization", "rmsnorm"),
            ("bias", "false"),
            ("n_inner", "100"),
            ("activation_function", "relu"),
            ("layer_norm_epsilon", "0.001"),
            ("tie_word_embeddings", "false"),
            ("lm_head_bias", "true"),
            ("dropout", "0.25"),
            ("batch_size", "3"),
            ("gradient_accumulation_steps", "2"),
            ("max_steps", "999"),
            ("learning_rate", "0.0123"),
            ("min_learning_rate", "0.0001"),
            ("lr_scheduler_type", "linear"),
            ("warmup_steps", "7"),
            ("adam_beta1", "0.5"),
            ("adam_beta2", "0.5"),
            ("adam_epsilon", "0.001"),
            ("weight_decay", "0.5"),
            ("decay", "all"),
            ("max_grad_norm", "0.5"),
            ("ema_decay", "0.5"),
            ("precision", "f16"),
            ("recompute", "true"),
            ("seed", "7"),
            ("order", "shuffled"),
            ("eval_steps", "77"),
            ("eval_protocol", "sampled"),
            ("eval_batches", "7"),
            ("patience", "3"),
        ];
        /// By way of text, which has a float32's own digits.
        fn fields(model: &ModelConfig, train: &TrainConfig) -> Map<String, Value> {
            let read = |json: String| serde_json::from_str::<Map<String, Value>>(&json).unwrap();
            let mut fields = read(serde_json::to_string(model).unwrap());
            fields.extend(read(serde_json::to_string(train).unwrap()));
            fields
        }
        let before = fields(&preset.model, &preset.train);
        let (mut named, mut all) = (values.map(|(key, _)| key).to_vec(), before.keys().collect::<Vec<_>>());
        named.sort_unstable();
        all.sort_unstable();
        assert_eq!(named, all);
        for (key, value) in values {
            let mut assignments = vec![Assignment::new(key, value)];
            if key == "architecture" {
                assignments.push(Assignment::new("tie_word_embeddings", false)); // a bigram has nothing to tie
            }
            let (model, train) = apply(&preset, &assignments).unwrap();
            assert_ne!(before[key], parse(value), "{key}");
            assert_eq!(fields(&model, &train)[key], parse(value), "{key}");
        }
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let (model, train) = set(
            "tiny",
            &[
                "activation_function=relu",
                "dropout=.25",
                "tie_word_embeddings=false",
                "lr_scheduler_type=linear",
                "seed=7",
            ],
        )
        .unwrap();
        assert_eq!((model.activation_function, model.dropout), (Activation::Relu, 0.25));
        assert!(!model.tie_word_embeddings);
        assert_eq!((train.lr_scheduler_type, train.seed), (Schedule::Linear, 7));
    }

    #[test]
    fn fields_that_follow_others_do_so_unless_set_themselves() {
        assert_eq!(set("tiny", &["n_embd=64"]).unwrap().0.n_inner, 256);
        assert_eq!(set("tiny", &["n_embd=64", "n_inner=100"]).unwrap().0.n_inner, 100);
        assert_eq!(set("tiny", &["n_head=8"]).unwrap().0.n_kv_head, 8);
        assert_eq!(set("tiny", &["n_head=8", "n_kv_head=2"]).unwrap().0.n_kv_head, 2);
        assert_eq!(set("modern", &["n_head=8"]).unwrap().0.n_kv_head, 2);
        let train = set("tiny", &["learning_rate=1e-4", "max_steps=50"]).unwrap().1;
        assert!((train.min_learning_rate - 1e-5).abs() < 1e-9);
        assert_eq!(train.warmup_steps, 5);
        assert_eq!(set("micro", &["learning_rate=1e-4"]).unwrap().1.min_learning_rate, 1e-4);
    }

    #[test]
    fn mistakes_are_named_with_what_was_expected() {
        for (assignments, message) in [
            (&["n_layers=4"][..], "cannot set n_layers: there is no such setting"),
            (&["n_layer=four"], "cannot set n_layer: invalid type: string \"four\", expected usize"),
            (&["n_layer=-1"], "cannot set n_layer: invalid value: integer `-1`, expected usize"),
            (&["learning_rate=nan"], "cannot set learning_rate: invalid type: string \"nan\", expected f32"),
            (&["activation_function=tanh"], "unknown variant `tanh`, expected one of `relu`, `gelu`, `gelu_new`"),
            (&["seed=1", "seed=2"], "cannot set seed: it is given twice"),
            (&["n_layer=0"], "n_layer is 0; it must be between 1 and"),
            (&["n_embd=100000000"], "n_embd is 100000000; it must be between 1 and"),
            (&["n_embd=130"], "n_embd (130) is not divisible by n_head (4)"),
            (&["learning_rate=-1"], "learning_rate is -1"),
        ] {
            let error = set("tiny", assignments).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        let hint = set("tiny", &["n_layers=4"]).unwrap_err().hint().unwrap();
        assert!(hint.contains("n_layer,") && hint.contains("learning_rate,"), "{hint}");
        assert!("n_layer".parse::<Assignment>().is_err() && "=3".parse::<Assignment>().is_err());
    }
}
