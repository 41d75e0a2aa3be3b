//! Where a run can start from: models and settings that suit a browser's tab.

use inkling_core::ModelConfig;
use inkling_core::train::config::TrainConfig;

use super::recipe::Recipe;
use crate::protocol::train::RunText;

/// A starting point.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// In the address, and for `trainer` where it knows it.
    pub name: &'static str,
    /// On its button.
    pub label: &'static str,
    /// What it is for.
    pub says: &'static str,
}

/// All of them. The first is for whoever has no GPU, the second for who has.
pub static PRESETS: [Preset; 6] = [
    Preset {
        name: "nano",
        label: "nano",
        says: "Small enough to watch: words take shape within the first minutes. 4 layers, 4 heads, width 64, context 64.",
    },
    Preset {
        name: "tiny",
        label: "tiny",
        says: "Four times the weights of nano, and readable text after it. 4 layers, 4 heads, width 128, context 64.",
    },
    Preset {
        name: "micro",
        label: "micro",
        says: "The GPT of Karpathy’s lecture ‘Let’s build GPT’: relu, half of nano’s context, a constant learning rate.",
    },
    Preset {
        name: "small",
        label: "small",
        says: "The shape of the model that this page begins with: tiny with twice the context.",
    },
    Preset {
        name: "modern",
        label: "modern",
        says: "Small as it would be built today: rotated positions, rms norm, swiglu, shared key heads, no biases.",
    },
    Preset {
        name: OVERFIT,
        label: "Overfit fast",
        says: "Nano on the first two pages of Shakespeare: it soon knows them by heart, and gets worse at everything else.",
    },
];

/// The preset that learns a short text by heart.
pub const OVERFIT: &str = "overfit";

/// Model and settings of a preset, and what it reads.
pub fn recipe(name: &str) -> Option<(Recipe, RunText)> {
    let recipe = match name {
        OVERFIT => {
            let nano = inkling_core::presets::find("nano")?;
            // One learning rate throughout: what happens late is then the data's doing alone. The best is behind it after a good third of the steps
            // (`trainer train --preset nano` with these settings and this text: val 2.51 at 220, 3.86 at 600, where train is 0.55).
            let train = TrainConfig {
                batch_size: 16,
                max_steps: 600,
                warmup_steps: 20,
                eval_steps: 20,
                learning_rate: 6e-3,
                min_learning_rate: 6e-3,
                ..nano.train
            };
            Recipe { model: ModelConfig { dropout: 0.0, ..nano.model }, train }
        }
        _ => {
            PRESETS.iter().find(|preset| preset.name == name)?;
            let preset = inkling_core::presets::find(name)?;
            Recipe { model: preset.model, train: preset.train }
        }
    };
    Some((recipe, if name == OVERFIT { RunText::FirstPages } else { RunText::Shakespeare }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_those_of_the_trainer_are_the_trainers() {
        for preset in &PRESETS {
            let (Recipe { model, train }, text) = recipe(preset.name).unwrap();
            model.validate().unwrap();
            train.validate().unwrap();
            assert_eq!(text == RunText::FirstPages, preset.name == OVERFIT);
            if let Some(known) = inkling_core::presets::find(preset.name) {
                assert_eq!((known.model, known.train), (model, train));
            }
        }
        assert_eq!(recipe("nonsense"), None);
        // A preset of the trainer's that no tab can train.
        assert_eq!(recipe("gpt2"), None);
    }

    #[test]
    fn nano_has_the_sizes_that_it_says() {
        let model = recipe("nano").unwrap().0.model;
        assert_eq!((model.n_layer, model.n_head, model.n_embd, model.n_positions), (4, 4, 64, 64));
    }
}
