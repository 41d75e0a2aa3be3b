//! Which runs there are, and what the page says of each.

/// Seeds of the runs that are compared: as many as it takes to see how far chance alone moves a loss.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// What each trained model continues.
pub const PROMPT: &str = "ROMEO:";

/// Of the dice that it is continued with: the trainer's default.
pub const SEED: &str = "1337";

/// A run of the trainer.
pub struct Training {
    /// Of its folder.
    pub name: String,
    /// After `trainer train`.
    pub arguments: Vec<String>,
}

impl Training {
    /// As a visitor would type it.
    pub fn command(&self) -> String {
        format!("trainer train {}", self.arguments.join(" "))
    }
}

/// A preset, trained as it is.
pub struct Size {
    /// The preset.
    pub name: &'static str,
    /// In a sentence.
    pub says: &'static str,
    /// Fewer updates than the preset's own.
    pub steps: Option<&'static str>,
    /// Trained only where it is named: it takes long.
    pub on_request: bool,
}

impl Size {
    /// Its run.
    pub fn training(&self) -> Training {
        let steps = self.steps.iter().flat_map(|steps| ["--steps", *steps]);
        let arguments = ["--preset", self.name].into_iter().chain(steps).map(Into::into).collect();
        Training { name: self.name.into(), arguments }
    }
}

/// Smallest first.
pub const SIZES: [Size; 6] = [
    Size {
        name: "bigram",
        says: "No transformer: a table of how often each character follows each. It sees one character back, and no more can be learnt from that.",
        steps: None,
        on_request: false,
    },
    Size {
        name: "micro",
        says: "4 layers, width 64, and 32 characters in view. Short words come out right, long ones are made up.",
        steps: None,
        on_request: false,
    },
    Size {
        name: "nano",
        says: "As wide as micro, with twice the characters in view and four times as many read per update.",
        steps: None,
        on_request: false,
    },
    Size {
        name: "tiny",
        says: "Twice as wide as nano, which makes four times the weights. Most words are words.",
        steps: None,
        on_request: false,
    },
    Size {
        name: "small",
        says: "Tiny with 128 characters in view, trained on four times as much. The model of this page has its shape.",
        steps: None,
        on_request: false,
    },
    Size {
        name: "medium",
        says: "6 layers, width 384, 256 characters in view: thirteen times the weights of small, stopped after 300 updates. It had not finished learning.",
        steps: Some("300"),
        on_request: true,
    },
];

/// The nano preset with something changed.
pub struct Variant {
    /// Of its runs.
    pub name: &'static str,
    /// On the page.
    pub title: &'static str,
    /// What it is, in a sentence.
    pub says: &'static str,
    /// Why it is used, in a sentence.
    pub why: &'static str,
    /// What is changed, as `trainer train --set` takes it.
    pub set: &'static [&'static str],
}

impl Variant {
    /// Its run with a seed.
    pub fn training(&self, seed: u64) -> Training {
        let mut arguments = vec!["--preset".to_owned(), "nano".into(), "--seed".into(), seed.to_string()];
        if !self.set.is_empty() {
            arguments.push("--set".into());
            arguments.extend(self.set.iter().map(|&set| set.into()));
        }
        Training { name: format!("modern-{}-{seed}", self.name), arguments }
    }
}

/// The first is what the others are compared with: GPT-2's block.
pub const VARIANTS: [Variant; 8] = [
    Variant {
        name: "baseline",
        title: "GPT-2’s block",
        says: "Learned positions, layer norm, GELU, as many key heads as query heads, biases.",
        why: "",
        set: &[],
    },
    Variant {
        name: "rope",
        title: "Rotary positions",
        says: "RoPE learns no table of positions. It turns queries and keys by an angle that grows with their place, so a score depends on how far apart two tokens are, not on where they stand.",
        why: "Most open models since 2023 have it. What is learnt at one place holds at every other, it costs no weights, and a model can be brought to read longer texts than it was trained on.",
        set: &["position_embedding_type=rope"],
    },
    Variant {
        name: "rmsnorm",
        title: "RMS norm, no biases",
        says: "Layer norm takes the mean away, divides by the spread, scales and shifts. RMS norm only divides and scales. All other biases go, too.",
        why: "It is there for speed and simplicity: fewer sums over the channels and fewer tensors. That pays on a large machine.",
        set: &["normalization=rmsnorm", "bias=false"],
    },
    Variant {
        name: "swiglu",
        title: "SwiGLU",
        says: "The MLP gets a gate: one matrix computes values, a second says how much of each passes. To have as many weights as before, its hidden layer is a third narrower (170 channels, not 256).",
        why: "Shazeer, who tried it first, gave no explanation why it works: ‘divine benevolence’. Large models gain a little at equal cost.",
        set: &["activation_function=swiglu", "n_inner=170"],
    },
    Variant {
        name: "gqa",
        title: "Grouped queries (GQA)",
        says: "4 query heads share 2 heads of keys and values, so half as many keys and values are computed and kept.",
        why: "It is there for memory, not for the loss: whoever writes keeps half the cache, see below. It has fewer weights, too.",
        set: &["n_kv_head=2"],
    },
    Variant {
        name: "mqa",
        title: "One key head for all (MQA)",
        says: "All 4 query heads share a single head of keys and values: a quarter of the cache.",
        why: "The smallest cache there is, and the fastest writing. In large models it costs some quality, so most took GQA, the way between.",
        set: &["n_kv_head=1"],
    },
    Variant {
        name: "qk_norm",
        title: "Norms on queries and keys",
        says: "Every query and key is brought to one length, times a learnt gain, before they meet: scores cannot grow without bounds.",
        why: "It is there for stability: very large models can diverge at high learning rates without it.",
        set: &["qk_norm=true"],
    },
    Variant {
        name: "all",
        title: "All together",
        says: "Rotary positions, RMS norm without biases, SwiGLU, 2 key heads and norms on queries and keys, at about as many weights: a small Llama or Qwen.",
        why: "What is saved in one place is spent in another: a wider MLP (200 channels with a gate) has the weights that positions, biases and keys gave up.",
        set: &[
            "position_embedding_type=rope",
            "normalization=rmsnorm",
            "bias=false",
            "activation_function=swiglu",
            "n_inner=200",
            "n_kv_head=2",
            "qk_norm=true",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_what_one_would_type() {
        assert_eq!(SIZES[2].training().command(), "trainer train --preset nano");
        assert_eq!(SIZES[5].training().command(), "trainer train --preset medium --steps 300");
        assert_eq!(VARIANTS[0].training(1).command(), "trainer train --preset nano --seed 1");
        let norm = VARIANTS[2].training(3);
        assert_eq!(norm.command(), "trainer train --preset nano --seed 3 --set normalization=rmsnorm bias=false");
        assert_eq!(norm.name, "modern-rmsnorm-3");
    }

    #[test]
    fn every_run_has_a_folder_of_its_own() {
        let variants = VARIANTS.iter().flat_map(|variant| SEEDS.map(|seed| variant.training(seed)));
        let names: std::collections::BTreeSet<String> =
            SIZES.iter().map(Size::training).chain(variants).map(|training| training.name).collect();
        assert_eq!(names.len(), SIZES.len() + VARIANTS.len() * SEEDS.len());
    }
}
