//! A model as the parts that it is drawn of: each with its tensors, its number of weights and what it costs per token.
//!
//! ```text
//! a matrix [out, in]       2 out in        FLOPs per token: a multiplication and an addition per weight
//! attention, T positions   2 C (T + 1)     position t meets t keys and adds up t values of C channels: 4 C t, on average over t = 1 … T
//! ```
//!
//! Norms and look-ups count as 0, as in the recorded program: they have no matrix product.

use inkling_core::{Activation, Architecture, ModelConfig, Normalization, PositionEmbedding};

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The token table.
    Tokens,
    /// The position table.
    Positions,
    /// In front of attention.
    Norm1,
    /// Queries, keys and values.
    Qkv,
    /// Queries meet keys.
    Mix,
    /// Heads back into the stream.
    Out,
    /// In front of the MLP.
    Norm2,
    /// The MLP's first matrix.
    Up,
    /// The MLP's second matrix.
    Down,
    /// In front of the head.
    FinalNorm,
    /// From the stream to a number per token.
    Head,
}

/// What a part's colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Token and position table, and a head of its own.
    Tables,
    /// Attention's matrices.
    Attention,
    /// The MLP's.
    Mlp,
    /// Norms.
    Norms,
}

impl Group {
    /// All of them, in the order of the stack.
    pub const ALL: [Self; 4] = [Self::Tables, Self::Attention, Self::Mlp, Self::Norms];

    /// In words.
    pub fn name(self) -> &'static str {
        ["tables", "attention", "MLP", "norms"][self as usize]
    }

    /// Of its elements.
    pub fn class(self) -> &'static str {
        ["tables", "attention", "mlp", "norms"][self as usize]
    }
}

/// Names a part; of what is in no block, `layer` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Which block, from 0.
    pub layer: usize,
    /// What it is.
    pub kind: Kind,
}

/// A part of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name here.
    pub id: Id,
    /// Name and shape of its tensors; none of a tied head and of attention proper.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Weights.
    pub count: u64,
    /// Forward, per token, on average over a full context.
    pub flops: f64,
    /// Shape of what comes out for one full context.
    pub out: [usize; 2],
}

impl Kind {
    /// Of its colour.
    pub fn group(self) -> Group {
        match self {
            Self::Tokens | Self::Positions | Self::Head => Group::Tables,
            Self::Qkv | Self::Mix | Self::Out => Group::Attention,
            Self::Up | Self::Down => Group::Mlp,
            Self::Norm1 | Self::Norm2 | Self::FinalNorm => Group::Norms,
        }
    }

    /// Whether there is one in every block.
    pub fn in_block(self) -> bool {
        !matches!(self, Self::Tokens | Self::Positions | Self::FinalNorm | Self::Head)
    }

    /// As in the checkpoint, without block and `.weight`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "wte",
            Self::Positions => "wpe",
            Self::Norm1 => "ln_1",
            Self::Qkv => "attn.c_attn",
            Self::Mix => "attn",
            Self::Out => "attn.c_proj",
            Self::Norm2 => "ln_2",
            Self::Up => "mlp.c_fc",
            Self::Down => "mlp.c_proj",
            Self::FinalNorm => "ln_f",
            Self::Head => "lm_head",
        }
    }

    /// On the drawing: the block says the rest.
    pub fn label(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }
}

impl Id {
    /// `h.0.attn.c_attn`.
    pub fn name(self) -> String {
        if self.kind.in_block() { format!("h.{}.{}", self.layer, self.kind.name()) } else { self.kind.name().into() }
    }
}

impl Part {
    /// What it does, in a sentence.
    pub fn does(&self, config: &ModelConfig) -> &'static str {
        match self.id.kind {
            Kind::Tokens if config.tie_word_embeddings => {
                "Gives every token of the vocabulary a row of numbers to start from; the head reads the same table."
            }
            Kind::Tokens => "Gives every token of the vocabulary a row of numbers to start from.",
            Kind::Positions => "Adds a row that says where in the text the token stands.",
            Kind::Norm1 | Kind::Norm2 if config.normalization == Normalization::RmsNorm => {
                "Brings each token's row to one size, so that the branch sees numbers of the same range at every depth."
            }
            Kind::Norm1 | Kind::Norm2 => {
                "Brings each token's row to mean 0 and variance 1, then scales each channel, before the branch reads it."
            }
            Kind::Qkv => "Makes of each token's row a query, a key and a value for every head.",
            Kind::Mix => {
                "Every query meets the keys up to its own position; the values are mixed by how well they match. It has no matrix: \
                 here tokens look at each other."
            }
            Kind::Out => "Joins what the heads found and adds it to the stream.",
            Kind::Up if config.activation_function == Activation::Swiglu => {
                "Widens each token's row into features and a gate for each of them, token by token."
            }
            Kind::Up => "Widens each token's row into features that switch on or off, token by token.",
            Kind::Down => "Writes what the features say back into the stream.",
            Kind::FinalNorm => "Brings the stream to one scale before it is read out.",
            Kind::Head if config.tie_word_embeddings => {
                "Compares the last row with every row of the token table: one number, a logit, per token. It borrows that table and \
                 has no weights of its own."
            }
            Kind::Head => "Turns the last row into one number, a logit, per token of the vocabulary.",
        }
    }
}

/// Every part, in the order in which a token passes them. A bigram is one table.
pub fn parts(config: &ModelConfig) -> Vec<Part> {
    let ModelConfig { n_positions: t, n_embd: c, vocab_size: v, n_layer, .. } = *config;
    let mut parts = Vec::new();
    let mut add = |layer, kind, flops: usize, width| {
        let id = Id { layer, kind };
        parts.push(Part { id, tensors: Vec::new(), count: 0, flops: flops as f64, out: [t, width] });
    };
    if config.architecture == Architecture::Bigram {
        add(0, Kind::Tokens, 0, v);
    } else {
        add(0, Kind::Tokens, 0, c);
        if config.position_embedding_type == PositionEmbedding::Learned {
            add(0, Kind::Positions, 0, c);
        }
        for layer in 0..n_layer {
            add(layer, Kind::Norm1, 0, c);
            add(layer, Kind::Qkv, 2 * config.qkv_channels() * c, config.qkv_channels());
            add(layer, Kind::Mix, 0, c);
            add(layer, Kind::Out, 2 * c * c, c);
            add(layer, Kind::Norm2, 0, c);
            add(layer, Kind::Up, 2 * config.mlp_channels() * c, config.mlp_channels());
            add(layer, Kind::Down, 2 * config.n_inner * c, c);
        }
        add(0, Kind::FinalNorm, 0, c);
        add(0, Kind::Head, 2 * v * c, v);
    }
    for part in &mut parts {
        if part.id.kind == Kind::Mix {
            part.flops = attention_flops(config);
        }
    }
    let mut at = 0;
    for spec in config.parameters() {
        let id = owner(&spec.name);
        // Tensors come in the order of the parts, but for the gains of queries and keys: they are the mixing's.
        at = (at..parts.len()).chain(0..at).find(|&i| parts[i].id == id).expect("every tensor has a part");
        parts[at].count += spec.numel() as u64;
        parts[at].tensors.push((spec.name, spec.shape));
    }
    parts
}

/// Query `i` sees `min(i + 1, window)` keys.
fn attention_flops(config: &ModelConfig) -> f64 {
    let (t, c) = (config.n_positions as f64, config.n_embd as f64);
    let window = config.sliding_window.map_or(t, |window| t.min(window as f64));
    let pairs = window * (window + 1.0) / 2.0 + (t - window) * window;
    4.0 * c * pairs / t
}

fn owner(name: &str) -> Id {
    let (layer, rest) = match name.strip_prefix("h.").and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) => (layer.parse().unwrap_or_default(), rest),
        None => (0, name),
    };
    let is = |prefix: &str| rest.starts_with(prefix);
    let kind = match () {
        () if is("wte") => Kind::Tokens,
        () if is("wpe") => Kind::Positions,
        () if is("ln_1") => Kind::Norm1,
        () if is("attn.c_attn") => Kind::Qkv,
        () if is("attn.c_proj") => Kind::Out,
        () if is("attn.") => Kind::Mix,
        () if is("ln_2") => Kind::Norm2,
        () if is("mlp.c_fc") => Kind::Up,
        () if is("mlp.c_proj") => Kind::Down,
        () if is("ln_f") => Kind::FinalNorm,
        () => Kind::Head,
    };
    Id { layer, kind }
}

/// Weights of each group.
pub fn by_group(parts: &[Part]) -> [u64; 4] {
    let mut sums = [0; 4];
    for part in parts {
        sums[part.id.kind.group() as usize] += part.count;
    }
    sums
}

#[cfg(test)]
mod tests {
    use inkling_core::presets;
    use inkling_core::program::Pass;
    use inkling_core::train::{TrainConfig, record};

    use super::*;

    #[test]
    fn parts_are_the_whole_model() {
        let modern = presets::find("modern").unwrap().model;
        let normed = ModelConfig { qk_norm: true, ..modern };
        for config in presets::all().into_iter().map(|preset| preset.model).chain([normed]) {
            let parts = parts(&config);
            assert_eq!(parts.iter().map(|part| part.count).sum::<u64>(), config.num_parameters());
            assert_eq!(by_group(&parts).iter().sum::<u64>(), config.num_parameters());
        }
    }

    #[test]
    fn flops_are_those_of_the_recorded_program() {
        let window = ModelConfig { sliding_window: Some(10), ..ModelConfig::default() };
        for config in presets::all().into_iter().map(|preset| preset.model).chain([window]) {
            let settings = TrainConfig { batch_size: 1, ..TrainConfig::default() };
            let (program, ..) = record(&config, &settings).unwrap();
            let flops: f64 = parts(&config).iter().map(|part| part.flops).sum();
            let recorded = program.flops(Pass::Forward) as f64 / config.n_positions as f64;
            assert!((flops - recorded).abs() <= 1e-9 * recorded, "{flops}, recorded {recorded}: {config:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_checkpoint() {
        let parts = parts(&ModelConfig::default());
        for part in parts.iter().filter(|part| !part.tensors.is_empty()) {
            assert_eq!(part.tensors[0].0, format!("{}.weight", part.id.name()));
        }
    }
}
