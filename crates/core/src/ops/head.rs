//! The end of a model with a small vocabulary: logits and their cross-entropy in one op, which a GPU does in one kernel.
//!
//! The kernel has all logits of a row at hand when it knows their sum, so it writes `dlogits` at once. The CPU leaves that to
//! [`HeadBackward`], for which the GPU has nothing left to do: an evaluation, which replays only the forward pass, costs the CPU no
//! gradient. Both passes must be replayed with the same `loss_scale`.

use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyBackward};
use crate::ops::linear::{Epilogue, Linear, Sizes};
use crate::program::Op;
use crate::step::Step;

/// The largest vocabulary that the kernel takes.
pub fn max_vocab() -> usize {
    shader::HEAD.constant("COLUMNS")
}

/// Logits, cross-entropy and, on a GPU, `dlogits`.
#[derive(Debug)]
pub struct Head {
    /// Final hidden states to logits, without an epilogue.
    pub linear: Linear,
    /// Of the logits; its `lse` is written by the CPU only, for [`HeadBackward`].
    pub cross_entropy: CrossEntropy,
    /// What [`HeadBackward`] does, if there is a backward pass.
    pub backward: Option<CrossEntropyBackward>,
}

impl Op for Head {
    fn name(&self) -> &'static str {
        "head"
    }

    fn flops(&self) -> u64 {
        self.linear.flops()
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        self.linear.cpu(mem, step);
        self.cross_entropy.cpu(mem, step);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { linear, cross_entropy, backward } = self;
        let Sizes { rows, outputs: vocab, inputs: channels } = linear.sizes;
        assert!(vocab <= max_vocab(), "head: {vocab} tokens do not fit the kernel's {}", max_vocab());
        let grad_scale = backward.and_then(|backward| backward.grad_scale);
        assert!(matches!(linear.epilogue, Epilogue::None), "head: an epilogue on the logits");
        let dispatch = Dispatch::new(shader::HEAD, "forward")
            .constant("HAS_BIAS", linear.bias.is_some())
            .constant("HAS_DLOGITS", backward.is_some())
            .constant("HAS_GRAD_SCALE", grad_scale.is_some())
            .bind("x", linear.x)
            .bind("weight", linear.weight)
            .bind("bias", linear.bias)
            .bind("targets", cross_entropy.targets)
            .assign("logits", cross_entropy.logits)
            .assign("losses", cross_entropy.losses)
            .assign("dlogits", backward.map(|backward| backward.dlogits))
            .bind("grad_scale", grad_scale)
            .param("rows", rows)
            .param("channels", channels)
            .param("vocab", vocab);
        kernels.push(dispatch.linear(rows.div_ceil(shader::HEAD.constant("ROWS"))));
    }
}

/// `dlogits`, where [`Head`] has not written it yet.
#[derive(Debug)]
pub struct HeadBackward(pub CrossEntropyBackward);

impl Op for HeadBackward {
    fn name(&self) -> &'static str {
        "head backward"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        self.0.cpu(mem, step);
    }

    /// Nothing: see the module.
    fn gpu(&self, _: &mut Kernels<'_>) {}
}
