//! A model for generation: one sequence, a prompt at once (`Pass::Prefill`), then one token at a time (`Pass::Decode`).

use super::bigram::Bigram;
use super::gpt::Gpt;
use crate::config::{Architecture, ModelConfig};
use crate::error::Result;
use crate::ops::kv_cache::{KvCache, TakeRow};
use crate::ops::linear::Epilogue;
use crate::program::{Pass, Precision, Program, Tensor, Training};

/// The tensors by which the outside talks to a recorded generator.
#[derive(Clone, Copy, Debug)]
pub struct Generation {
    /// The prompt, right-padded with any ids, `[T]`: the causal mask makes the padding invisible.
    pub prompt: Tensor,
    /// The newest token, `[1]`.
    pub token: Tensor,
    /// `[1, V]` after a prefill: of the prompt's last token, whose index is the step's position.
    pub prompt_logits: Tensor,
    /// `[1, V]` after a decoding step.
    pub logits: Tensor,
}

impl Generation {
    /// Records both passes of a model with its whole context, and `Pass::Load` to go before them.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn record(config: &ModelConfig, precision: Precision) -> Result<(Program, Self)> {
        config.validate()?;
        let mut program = Program::new(config.parameters(), Training::No);
        let p = &mut program;
        let context = config.n_positions;
        let prompt = p.tensor("prompt", &[context]);
        let token = p.tensor("token", &[1]);
        let [prompt_logits, logits] = match config.architecture {
            Architecture::Bigram => {
                let model = Bigram::new(p);
                let all = model.forward(p, Pass::Prefill, "prefill.logits", prompt);
                let last = take_row(p, all, "prompt.logits");
                [last, model.forward(p, Pass::Decode, "logits", token)]
            }
            Architecture::Gpt => {
                let (prefill, decode) = (Gpt::new(p, config, 1, context), Gpt::new(p, config, 1, 1));
                let mut x = prefill.embed(p, Pass::Prefill, "prefill.embedding", prompt);
                let mut y = decode.embed(p, Pass::Decode, "decode.embedding", token);
                for (layer, (a, b)) in prefill.blocks.iter().zip(&decode.blocks).enumerate() {
                    let mut table = |name| p.tensor(&format!("h.{layer}.attn.{name}"), &[context, config.n_embd]);
                    let cache = KvCache { key: table("key_cache"), value: table("value_cache") };
                    x = a.prefill(p, x, cache);
                    y = b.decode(p, y, cache, precision);
                }
                let last = take_row(p, x, "prefill.last");
                [(Pass::Prefill, "prompt", last), (Pass::Decode, "decode", y)].map(|(pass, name, x)| {
                    let norm = prefill.ln_f.forward(p, pass, &format!("{name}.ln_f"), x);
                    prefill.lm_head.decode(p, pass, &format!("{name}.logits"), norm.y, Epilogue::None, precision)
                })
            }
        };
        Ok((program, Self { prompt, token, prompt_logits, logits }))
    }
}

fn take_row(p: &mut Program, x: Tensor, name: &str) -> Tensor {
    let (_, channels) = p.matrix(x);
    let y = p.tensor(name, &[1, channels]);
    p.push(Pass::Prefill, TakeRow { x, y, channels });
    y
}
