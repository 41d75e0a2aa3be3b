//! What a run is made with, as fields that a visitor can read and set: their names in plain words and in `trainer`'s, and their values as texts.

use inkling_core::config::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};
use inkling_core::nn::optimizer::Decay;
use inkling_core::train::config::{Order, Protocol, Schedule, TrainConfig, TrainingPrecision};

use crate::ui::number::parse;

/// Model and training.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The model; its vocabulary's size follows from the text.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
}

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// As `trainer` and its files call it.
    pub name: &'static str,
    /// In plain words.
    pub label: &'static str,
}

/// How many of [`FIELDS`] are the model's.
pub const MODEL_FIELDS: usize = 18;

const fn field(name: &'static str, label: &'static str) -> Field {
    Field { name, label }
}

/// Every setting: the model's, then those of training.
pub static FIELDS: [Field; 40] = [
    field("architecture", "Architecture"),
    field("n_layer", "Layers"),
    field("n_head", "Heads"),
    field("n_kv_head", "Key heads"),
    field("n_embd", "Width"),
    field("n_inner", "MLP width"),
    field("n_positions", "Context, in tokens"),
    field("dropout", "Dropout"),
    field("position_embedding_type", "Positions"),
    field("rope_theta", "Base of the rotation"),
    field("sliding_window", "Attention reaches back (empty: all)"),
    field("normalization", "Norm"),
    field("layer_norm_epsilon", "Epsilon of norms"),
    field("activation_function", "Activation of the MLP"),
    field("qk_norm", "Norm of queries and keys"),
    field("bias", "Biases"),
    field("tie_word_embeddings", "Head shares the token table"),
    field("lm_head_bias", "Bias of the head"),
    field("max_steps", "Steps in all"),
    field("batch_size", "Sequences per batch"),
    field("gradient_accumulation_steps", "Batches per step"),
    field("learning_rate", "Learning rate, at its peak"),
    field("min_learning_rate", "Learning rate, at the end"),
    field("lr_scheduler_type", "Shape of the schedule"),
    field("warmup_steps", "Steps of warm-up"),
    field("weight_decay", "Weight decay"),
    field("decay", "What decays"),
    field("max_grad_norm", "Largest gradient norm (0: any)"),
    field("adam_beta1", "Adam: memory of the mean"),
    field("adam_beta2", "Adam: memory of the square"),
    field("adam_epsilon", "Adam: epsilon"),
    field("ema_decay", "Averaging of weights (0: none)"),
    field("eval_steps", "Steps between evaluations"),
    field("eval_protocol", "Evaluation reads"),
    field("eval_batches", "Batches of a sampled evaluation"),
    field("patience", "Stop after so many without a best (0: never)"),
    field("order", "Order of the windows"),
    field("precision", "Precision"),
    field("recompute", "Recompute to save memory"),
    field("seed", "Seed"),
];

/// Alternatives of a setting.
pub trait Choice {
    /// All of them, in words.
    fn words(&self) -> &'static [&'static str];
    /// Which it is.
    fn at(&self) -> usize;
    /// Makes it another one.
    fn pick(&mut self, at: usize);
}

macro_rules! choices {
    ($($type:ty: $($value:path = $word:literal),+;)+) => { $(
        impl Choice for $type {
            fn words(&self) -> &'static [&'static str] {
                &[$($word),+]
            }

            fn at(&self) -> usize {
                [$($value),+].iter().position(|value| value == self).unwrap_or_default()
            }

            fn pick(&mut self, at: usize) {
                *self = [$($value),+][at];
            }
        }
    )+ };
}

/// Of settings that are on or off.
const ON: bool = true;
const OFF: bool = false;

choices! {
    bool: OFF = "no", ON = "yes";
    Architecture: Architecture::Gpt = "GPT", Architecture::Bigram = "pairs of neighbours (bigram)";
    PositionEmbedding: PositionEmbedding::Learned = "a learnt table", PositionEmbedding::Sinusoidal = "sines",
        PositionEmbedding::Rope = "rotation (rope)";
    Normalization: Normalization::LayerNorm = "layer norm", Normalization::RmsNorm = "rms norm";
    Activation: Activation::Relu = "relu", Activation::Gelu = "gelu", Activation::GeluNew = "gelu, by tanh",
        Activation::Swiglu = "swiglu";
    Schedule: Schedule::Constant = "constant", Schedule::Cosine = "half a cosine", Schedule::Linear = "a straight line";
    Order: Order::Random = "anywhere, at random", Order::Shuffled = "each once, shuffled";
    Protocol: Protocol::Full = "all of the validation text", Protocol::Sampled = "some batches of it";
    TrainingPrecision: TrainingPrecision::F32 = "float32", TrainingPrecision::F16 = "mixed with float16, on a GPU";
    Decay: Decay::Matrices = "matrices", Decay::All = "everything";
}

/// A setting's place in a recipe.
pub enum Slot<'a> {
    /// A size.
    Size(&'a mut usize),
    /// A size that need not be there.
    Optional(&'a mut Option<usize>),
    /// A number of steps, or a seed.
    Count(&'a mut u64),
    /// A number with a fraction.
    Real(&'a mut f32),
    /// One of a few.
    Choice(&'a mut dyn Choice),
}

use Slot::{Count, Optional, Real, Size};

impl Recipe {
    /// The setting at a place of [`FIELDS`].
    pub fn slot(&mut self, at: usize) -> Slot<'_> {
        let Self { model, train } = self;
        match at {
            0 => Slot::Choice(&mut model.architecture),
            1 => Size(&mut model.n_layer),
            2 => Size(&mut model.n_head),
            3 => Size(&mut model.n_kv_head),
            4 => Size(&mut model.n_embd),
            5 => Size(&mut model.n_inner),
            6 => Size(&mut model.n_positions),
            7 => Real(&mut model.dropout),
            8 => Slot::Choice(&mut model.position_embedding_type),
            9 => Real(&mut model.rope_theta),
            10 => Optional(&mut model.sliding_window),
            11 => Slot::Choice(&mut model.normalization),
            12 => Real(&mut model.layer_norm_epsilon),
            13 => Slot::Choice(&mut model.activation_function),
            14 => Slot::Choice(&mut model.qk_norm),
            15 => Slot::Choice(&mut model.bias),
            16 => Slot::Choice(&mut model.tie_word_embeddings),
            17 => Slot::Choice(&mut model.lm_head_bias),
            18 => Count(&mut train.max_steps),
            19 => Size(&mut train.batch_size),
            20 => Size(&mut train.gradient_accumulation_steps),
            21 => Real(&mut train.learning_rate),
            22 => Real(&mut train.min_learning_rate),
            23 => Slot::Choice(&mut train.lr_scheduler_type),
            24 => Count(&mut train.warmup_steps),
            25 => Real(&mut train.weight_decay),
            26 => Slot::Choice(&mut train.decay),
            27 => Real(&mut train.max_grad_norm),
            28 => Real(&mut train.adam_beta1),
            29 => Real(&mut train.adam_beta2),
            30 => Real(&mut train.adam_epsilon),
            31 => Real(&mut train.ema_decay),
            32 => Count(&mut train.eval_steps),
            33 => Slot::Choice(&mut train.eval_protocol),
            34 => Size(&mut train.eval_batches),
            35 => Count(&mut train.patience),
            36 => Slot::Choice(&mut train.order),
            37 => Slot::Choice(&mut train.precision),
            38 => Slot::Choice(&mut train.recompute),
            _ => Count(&mut train.seed),
        }
    }

    /// A setting's value as it is typed, or in words.
    pub fn text(&self, at: usize) -> String {
        match self.clone().slot(at) {
            Size(size) => size.to_string(),
            Optional(size) => size.map(|size| size.to_string()).unwrap_or_default(),
            Count(count) => count.to_string(),
            Real(real) => real.to_string(),
            Slot::Choice(choice) => choice.words()[choice.at()].into(),
        }
    }

    /// Sets what is typed, or the place of an alternative. What is out of range is taken: whoever plans the run says why it cannot be.
    ///
    /// # Errors
    /// What was expected, where this is no such number.
    pub fn set(&mut self, at: usize, text: &str) -> Result<(), String> {
        let text = text.trim();
        let before = self.clone();
        let Field { label, name } = &FIELDS[at];
        let wrong = |needs: &str| Err(format!("{label} ({name}) must be {needs}; ‘{text}’ is none."));
        match self.slot(at) {
            Size(size) => match text.parse() {
                Ok(value) => *size = value,
                Err(_) => return wrong("a whole number"),
            },
            Optional(size) => match text.parse() {
                Ok(value) => *size = Some(value),
                Err(_) if text.is_empty() => *size = None,
                Err(_) => return wrong("a whole number or empty"),
            },
            Count(count) => match text.parse() {
                Ok(value) => *count = value,
                Err(_) => return wrong("a whole number"),
            },
            Real(real) => match parse(text) {
                Some(value) => *real = value as f32,
                None => return wrong("a number"),
            },
            Slot::Choice(choice) => {
                if let Some(at) = text.parse().ok().filter(|&at: &usize| at < choice.words().len()) {
                    choice.pick(at);
                }
            }
        }
        // What hung together before does so afterwards.
        let (old, new) = (&before.model, &mut self.model);
        if at == 2 && old.n_kv_head == old.n_head {
            new.n_kv_head = new.n_head;
        }
        if at == 4 && old.n_inner == 4 * old.n_embd {
            new.n_inner = new.n_embd.saturating_mul(4);
        }
        if at == 0 && new.architecture == Architecture::Bigram {
            new.tie_word_embeddings = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::ui::sections::train::presets::recipe;

    fn nano() -> Recipe {
        recipe("nano").unwrap().0
    }

    #[test]
    fn every_field_of_both_configurations_is_there_once() {
        let names = |value: Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut model = names(serde_json::to_value(ModelConfig::default()).unwrap());
        model.retain(|name| name != "vocab_size");
        let train = names(serde_json::to_value(TrainConfig::default()).unwrap());
        for (known, fields) in [(model, &FIELDS[..MODEL_FIELDS]), (train, &FIELDS[MODEL_FIELDS..])] {
            let mut known = known;
            let mut listed: Vec<_> = fields.iter().map(|field| field.name.to_owned()).collect();
            known.sort();
            listed.sort();
            assert_eq!(known, listed);
        }
    }

    #[test]
    fn a_field_sets_what_its_name_says_and_nothing_else() {
        let json = |recipe: &Recipe| {
            let mut all = serde_json::to_value(&recipe.model).unwrap();
            let train = serde_json::to_value(&recipe.train).unwrap();
            all.as_object_mut().unwrap().extend(train.as_object().unwrap().clone());
            all
        };
        for (at, field) in FIELDS.iter().enumerate() {
            let mut recipe = nano();
            let before = json(&recipe);
            let typed = match recipe.slot(at) {
                Slot::Choice(choice) => ((choice.at() + 1) % choice.words().len()).to_string(),
                Real(_) => "0.125".into(),
                _ => "7".into(),
            };
            recipe.set(at, &typed).unwrap();
            let after = json(&recipe);
            let changed: Vec<_> =
                before.as_object().unwrap().keys().filter(|&name| before[name] != after[name]).collect();
            let follows = match field.name {
                "architecture" => Some("tie_word_embeddings"),
                "n_head" => Some("n_kv_head"),
                "n_embd" => Some("n_inner"),
                _ => None,
            };
            assert!(changed.contains(&&field.name.to_owned()), "{}", field.name);
            assert!(changed.iter().all(|name| *name == field.name || Some(name.as_str()) == follows), "{changed:?}");
        }
    }

    #[test]
    fn texts_are_read_again_and_nonsense_is_explained() {
        for at in 0..FIELDS.len() {
            let mut recipe = nano();
            if !matches!(recipe.slot(at), Slot::Choice(_)) {
                let text = recipe.text(at);
                recipe.set(at, &text).unwrap();
                assert_eq!(recipe, nano());
                assert!(recipe.set(at, "many").unwrap_err().contains(FIELDS[at].name));
                assert_eq!(recipe, nano());
            }
        }
        let mut recipe = nano();
        // Out of range, but a number: the plan says what is wrong.
        recipe.set(1, "0").unwrap();
        assert_eq!(recipe.model.n_layer, 0);
        assert_eq!(recipe.set(1, "-1").unwrap_err(), "Layers (n_layer) must be a whole number; ‘-1’ is none.");
    }
}
