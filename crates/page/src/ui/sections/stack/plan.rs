//! The model that the visitor has set: what the fields say, whether it can be, and its form in the address.
//!
//! `small:4.4..256..128.65.32.10000000`: the preset that it started from, where it did, then layers, heads, key heads, width, MLP width,
//! context, vocabulary, batch, tokens. What is left empty follows: key heads the heads, the MLP width four times the width.

use inkling_core::{Architecture, ModelConfig, presets};

/// Number of fields.
pub const FIELDS: usize = 9;

/// A size that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Blocks.
    Layers,
    /// Of queries, per block.
    Heads,
    /// Of keys and values, per block.
    KeyHeads,
    /// Channels of the stream.
    Width,
    /// Hidden channels of the MLP.
    Mlp,
    /// Positions.
    Context,
    /// Tokens.
    Vocabulary,
    /// Sequences per training step.
    Batch,
    /// To train on.
    Tokens,
}

use Field::*;

impl Field {
    /// All of them, in the order of the address.
    pub const ALL: [Self; FIELDS] = [Layers, Heads, KeyHeads, Width, Mlp, Context, Vocabulary, Batch, Tokens];

    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Layers => "Layers",
            Heads => "Heads",
            KeyHeads => "Key heads",
            Width => "Width",
            Mlp => "MLP width",
            Context => "Context",
            Vocabulary => "Vocabulary",
            Batch => "Batch",
            Tokens => "Training tokens",
        }
    }

    /// Least and most.
    pub fn range(self) -> (u64, u64) {
        match self {
            Layers | Heads | KeyHeads => (1, 64),
            Width => (8, 4096),
            Mlp => (1, 16_384),
            Context => (8, 8192),
            Vocabulary => (2, 200_000),
            Batch => (1, 512),
            Tokens => (1000, 1_000_000_000_000),
        }
    }

    /// Where a slider stops.
    pub fn stops(self) -> &'static [u64] {
        match self {
            Layers => &[1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48],
            Heads | KeyHeads => &[1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32],
            Width => &[16, 32, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1600, 2048],
            Mlp => &[64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6400, 8192],
            Context => &[16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
            Vocabulary => &[65, 128, 256, 512, 1000, 3000, 8000, 16_000, 32_000, 50_257, 100_000],
            Batch => &[1, 2, 4, 8, 16, 32, 64, 128, 256],
            Tokens => &[1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000, 1_000_000_000, 10_000_000_000],
        }
    }

    /// What an empty field stands for, if it may be empty.
    fn follows(self, others: &[Option<u64>; FIELDS]) -> Option<u64> {
        match self {
            KeyHeads => others[Heads as usize],
            Mlp => others[Width as usize].map(|width| 4 * width),
            _ => None,
        }
    }
}

/// What the fields say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The preset that it started from; else the loaded model.
    pub preset: Option<&'static str>,
    /// As typed.
    pub texts: [String; FIELDS],
}

/// A model that can be, and a run of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The model.
    pub config: ModelConfig,
    /// Sequences per step.
    pub batch: usize,
    /// To train on.
    pub tokens: u64,
}

/// Why there is no such model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where to change it.
    pub field: Field,
    /// What is wrong, and what would do.
    pub sentence: String,
}

/// Of the run that costs are compared for.
const BATCH: u64 = 32;
const TOKENS: u64 = 10_000_000;

/// Presets that can be started from.
pub const PRESETS: [&str; 7] = ["micro", "tiny", "small", "modern", "medium", "stories-large", "gpt2"];

impl Draft {
    /// The sizes of a model.
    pub fn of(config: &ModelConfig) -> Self {
        let unless = |follows, size| if follows { None } else { Some(size as u64) };
        let sizes = [
            Some(config.n_layer as u64),
            Some(config.n_head as u64),
            unless(config.n_kv_head == config.n_head, config.n_kv_head),
            Some(config.n_embd as u64),
            unless(config.n_inner == 4 * config.n_embd, config.n_inner),
            Some(config.n_positions as u64),
            Some(config.vocab_size as u64),
            Some(BATCH),
            Some(TOKENS),
        ];
        Self { preset: None, texts: sizes.map(|size| size.map(|size| size.to_string()).unwrap_or_default()) }
    }

    /// The sizes and the run of a preset.
    pub fn preset(name: &str) -> Option<Self> {
        let name = PRESETS.into_iter().find(|preset| *preset == name)?;
        let preset = presets::find(name)?;
        let mut draft = Self { preset: Some(name), ..Self::of(&preset.model) };
        let batch = preset.train.batch_size * preset.train.gradient_accumulation_steps;
        let tokens = preset.train.max_steps * batch as u64 * preset.model.n_positions as u64;
        draft.texts[Batch as usize] = preset.train.batch_size.to_string();
        draft.texts[Tokens as usize] = tokens.to_string();
        Some(draft)
    }

    /// Out of the address.
    pub fn parse(code: &str) -> Option<Self> {
        let (preset, sizes) = match code.split_once(':') {
            Some((preset, sizes)) => (Some(PRESETS.into_iter().find(|name| *name == preset)?), sizes),
            None => (None, code),
        };
        let texts: Vec<String> = sizes.split('.').map(str::to_owned).collect();
        let is_number = |text: &String| text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { preset, texts: texts.try_into().ok().filter(|texts: &[_; FIELDS]| texts.iter().all(is_number))? })
    }

    /// Into the address.
    pub fn code(&self) -> String {
        let preset = self.preset.map(|preset| format!("{preset}:")).unwrap_or_default();
        format!("{preset}{}", self.texts.each_ref().map(|text| text.trim()).join("."))
    }

    /// What an empty field stands for.
    pub fn follows(&self, field: Field) -> Option<u64> {
        field.follows(&self.texts.each_ref().map(|text| text.trim().parse().ok()))
    }

    /// The model and its run, with everything that sizes do not say from the preset or from `loaded`.
    ///
    /// # Errors
    /// Why there is no such model.
    pub fn plan(&self, loaded: &ModelConfig) -> Result<Plan, Trouble> {
        let mut sizes = [0; FIELDS];
        for field in Field::ALL {
            sizes[field as usize] = self.size(field)?;
        }
        let size = |field: Field| sizes[field as usize] as usize;
        let run = |config| Plan { config, batch: size(Batch), tokens: sizes[Tokens as usize] };
        // A bigram has none of these sizes: it is itself while nothing else is asked for, and a GPT then.
        if loaded.architecture == Architecture::Bigram && *self == Self::of(loaded) {
            return Ok(run(loaded.clone()));
        }
        let base = match self.preset.and_then(presets::find) {
            Some(preset) => preset.model,
            None if loaded.architecture == Architecture::Gpt => loaded.clone(),
            None => ModelConfig::default(),
        };
        let config = ModelConfig {
            n_layer: size(Layers),
            n_head: size(Heads),
            n_kv_head: size(KeyHeads),
            n_embd: size(Width),
            n_inner: size(Mlp),
            n_positions: size(Context),
            vocab_size: size(Vocabulary),
            ..base
        };
        divides("The width", Width, size(Width), "head", "needs as many channels", size(Heads))?;
        divides("The number of heads", Heads, size(Heads), "key head", "serves as many queries", size(KeyHeads))?;
        // What else there is (a head of an odd width cannot be rotated): core knows.
        config.validate().map_err(|error| Trouble { field: Width, sentence: capital(&error.to_string()) })?;
        Ok(run(config))
    }

    fn size(&self, field: Field) -> Result<u64, Trouble> {
        let trouble = |sentence| Err(Trouble { field, sentence });
        let (text, label, (least, most)) = (self.texts[field as usize].trim(), field.label(), field.range());
        let size = if text.is_empty() { self.follows(field) } else { text.parse().ok() };
        match size {
            Some(size) if (least..=most).contains(&size) => Ok(size),
            Some(size) => trouble(format!("{label} is {size}; it can be {least} to {most}.")),
            None => trouble(format!("{label} must be a whole number from {least} to {most}.")),
        }
    }
}

/// Says what would do in place of a size that does not divide.
fn divides(what: &str, field: Field, size: usize, each: &str, needs: &str, by: usize) -> Result<(), Trouble> {
    if size.is_multiple_of(by) {
        return Ok(());
    }
    let (below, above) = (size / by * by, size.next_multiple_of(by));
    let would_do = if below == 0 { format!("{above}") } else { format!("{below} or {above}") };
    let sentence = format!(
        "{what}, {size}, does not divide by {by} {each}s: every {each} {needs} as the next. {would_do} would do."
    );
    Err(Trouble { field, sentence })
}

/// Core's errors begin with a small letter and have no full stop.
fn capital(text: &str) -> String {
    let mut sentence = text.to_owned() + ".";
    sentence.get_mut(..1).map(str::make_ascii_uppercase);
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(field: Field, text: &str) -> Draft {
        let mut draft = Draft::of(&ModelConfig::default());
        draft.texts[field as usize] = text.into();
        draft
    }

    fn sentence(draft: &Draft) -> String {
        draft.plan(&ModelConfig::default()).unwrap_err().sentence
    }

    #[test]
    fn a_model_is_its_own_plan() {
        for preset in presets::all().iter().filter(|preset| preset.model.architecture == Architecture::Gpt) {
            assert_eq!(Draft::of(&preset.model).plan(&preset.model).unwrap().config, preset.model);
        }
        for name in PRESETS {
            let preset = presets::find(name).unwrap();
            assert_eq!(Draft::preset(name).unwrap().plan(&ModelConfig::default()).unwrap().config, preset.model);
        }
    }

    #[test]
    fn drafts_survive_their_address() {
        for draft in PRESETS.iter().map(|name| Draft::preset(name).unwrap()).chain([with(Width, "256")]) {
            assert_eq!(Draft::parse(&draft.code()), Some(draft));
        }
        for code in ["", "4.4", "nonsense:4.4..128..64.65.32.1000", "4.4..-1..64.65.32.1000", "4.4..1e9..64.65.32.1"] {
            assert_eq!(Draft::parse(code), None, "{code}");
        }
    }

    #[test]
    fn what_is_empty_follows() {
        let plan = with(Width, "256").plan(&ModelConfig::default()).unwrap();
        assert_eq!((plan.config.n_inner, plan.config.n_kv_head), (1024, 4));
        let plan = with(Heads, "8").plan(&ModelConfig::default()).unwrap();
        assert_eq!((plan.config.n_head, plan.config.n_kv_head), (8, 8));
    }

    #[test]
    fn impossible_sizes_are_explained() {
        assert_eq!(
            sentence(&with(Width, "130")),
            "The width, 130, does not divide by 4 heads: every head needs as many channels as the next. 128 or 132 would do."
        );
        assert!(sentence(&with(KeyHeads, "3")).starts_with("The number of heads, 4, does not divide by 3 key heads"));
        assert_eq!(sentence(&with(Layers, "100")), "Layers is 100; it can be 1 to 64.");
        assert_eq!(sentence(&with(Layers, "0")), "Layers is 0; it can be 1 to 64.");
        for text in ["", "four", "-1", "4.5"] {
            assert_eq!(sentence(&with(Layers, text)), "Layers must be a whole number from 1 to 64.", "{text}");
        }
    }

    #[test]
    fn what_core_refuses_is_explained() {
        let mut draft = Draft::preset("modern").unwrap();
        draft.texts[Width as usize] = "100".into();
        assert!(sentence(&draft).contains("rope turns pairs"), "{}", sentence(&draft));
        let mut large = Draft::preset("gpt2").unwrap();
        (large.texts[Width as usize], large.texts[Layers as usize]) = ("4080".into(), "64".into());
        assert!(sentence(&large).contains("parameters"), "{}", sentence(&large));
    }
}
