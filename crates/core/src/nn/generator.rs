//! A model for generation: one sequence, a prompt at once (`Pass::Prefill`), then one token at a time (`Pass::Decode`).
//! Both write the same logits, from which `Pass::Sample` draws the token that the next `Pass::Decode` reads.

use super::attention::Probs;
use super::bigram::Bigram;
use super::gpt::Gpt;
use crate::config::{Architecture, ModelConfig};
use crate::error::Result;
use crate::ops::kv_cache::{KvCache, TakeRow};
use crate::ops::linear::Epilogue;
use crate::ops::quantize::Format;
use crate::ops::sample::Sample;
use crate::program::{Pass, Precision, Program, Tensor, Training};

/// The tensors by which the outside talks to a recorded generator.
#[derive(Clone, Copy, Debug)]
pub struct Generation {
    /// The prompt, right-padded with any ids, `[T]`: the causal mask makes the padding invisible.
    pub prompt: Tensor,
    /// The newest token, `[1]`.
    pub token: Tensor,
    /// `[1, V]`: of the token that was decoded, or of the prompt's last, whose index is the step's position.
    pub logits: Tensor,
    /// Ids, `[T]`: tokens drawn, each at its step's slot.
    pub text: Tensor,
}

impl Generation {
    /// Records the passes of a model with its whole context, and `Pass::Load` to go before them.
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
        let logits = match config.architecture {
            Architecture::Bigram => {
                let model = Bigram::new(p);
                let all = model.forward(p, Pass::Prefill, "prefill.logits", prompt);
                take_row(p, all, LOGITS);
                model.forward(p, Pass::Decode, LOGITS, token)
            }
            Architecture::Gpt => {
                let kv_channels = config.n_kv_head * config.head_dim();
                let (prefill, decode) = (Gpt::new(p, config, 1, context), Gpt::new(p, config, 1, 1));
                let mut x = prefill.embed(p, Pass::Prefill, "prefill.embedding", prompt);
                let mut y = decode.embed(p, Pass::Decode, "decode.embedding", token);
                for (layer, (a, b)) in prefill.blocks.iter().zip(&decode.blocks).enumerate() {
                    let mut table = |name| p.tensor(&format!("h.{layer}.attn.{name}"), &[context, kv_channels]);
                    let cache = KvCache { key: table("key_cache"), value: table("value_cache") };
                    (_, x) = a.forward(p, Pass::Prefill, "prefill", x, Probs::Skip, Some(cache));
                    y = b.decode(p, y, cache, precision);
                }
                let last = take_row(p, x, "prefill.last");
                let mut head = |pass, name, x| {
                    let norm = prefill.ln_f.forward(p, pass, name, x);
                    prefill.lm_head.decode(p, pass, LOGITS, norm.y, Epilogue::None, precision.of_head())
                };
                head(Pass::Prefill, "prompt.ln_f", last);
                head(Pass::Decode, "decode.ln_f", y)
            }
        };
        let text = p.tensor("text", &[context]);
        p.push(Pass::Sample, Sample::new(logits, token, text));
        Ok((program, Self { prompt, token, logits, text }))
    }
}

/// Bytes of the matrices that decoding a token reads, as they are stored. Each is read once; the rest of a step is small beside them.
pub fn decoded_bytes(config: &ModelConfig, precision: Precision) -> u64 {
    if config.architecture == Architecture::Bigram {
        return 0;
    }
    let head = if config.tie_word_embeddings { "wte.weight" } else { "lm_head.weight" };
    let bytes = |precision, rows: usize, columns: usize| match precision {
        Precision::Full => 4 * rows * columns,
        Precision::Half => 2 * rows * columns,
        Precision::Q8 => rows * (Format::Q8.row_bytes(columns) + 4 * Format::Q8.row_scales(columns)),
        Precision::Q4 => rows * (Format::Q4.row_bytes(columns) + 4 * Format::Q4.row_scales(columns)),
    };
    let matrices = config.parameters().into_iter().filter_map(|spec| match (spec.name.as_str(), &spec.shape[..]) {
        (name, &[rows, columns]) if name == head => Some(bytes(precision.of_head(), rows, columns)),
        (name, &[rows, columns]) if name.starts_with("h.") => Some(bytes(precision, rows, columns)),
        _ => None,
    });
    matrices.sum::<usize>() as u64
}

/// The tensor that both passes write.
const LOGITS: &str = "logits";

fn take_row(p: &mut Program, x: Tensor, name: &str) -> Tensor {
    let (_, channels) = p.matrix(x);
    let y = p.tensor(name, &[1, channels]);
    p.push(Pass::Prefill, TakeRow { x, y, channels });
    y
}
