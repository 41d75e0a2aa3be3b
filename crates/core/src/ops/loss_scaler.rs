//! Dynamic loss scaling (Micikevicius et al. 2018; PyTorch's `GradScaler`). Float16 ends at 65,504 and has no numbers between 0 and 6e-8,
//! where the gradients of activations are: they are computed from the loss times a scale, as large as float16 allows. What is larger
//! is stored as infinity (`storable` of `shaders/common.wgsl`), which no sum that follows can lose.
//!
//! ```text
//! gradient not finite          update left out, scale = max(scale / 2, 1)
//! GROWTH_INTERVAL clean ones   scale = min(2 · scale, 2²⁴)
//! ```

use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::program::{Op, Tensor};
use crate::step::Step;

/// The scale of a new run: PyTorch's. Should it be too large, each halving costs one update.
pub const INITIAL_SCALE: f32 = 65_536.0;
/// Below this, what is not finite is so in float32 too.
pub const LEAST_SCALE: f32 = 1.0;
/// Gradients of a mean over 2²⁴ tokens are no larger with it than those of a single token.
pub const LARGEST_SCALE: f32 = 16_777_216.0;
/// Clean updates before a larger scale is tried. PyTorch waits for 2000, but that is a whole run here: a scale that one bad batch had
/// lowered would stay low. A trial that fails costs one update in 200.
pub const GROWTH_INTERVAL: f32 = 200.0;

/// Adapts the scale after an update.
#[derive(Debug)]
pub struct UpdateLossScale {
    /// `[2]`: scale, clean updates in a row with it.
    pub scaler: Tensor,
    /// `[2]`: gradient norm; clip factor, 0 where the update was left out.
    pub stats: Tensor,
}

impl Op for UpdateLossScale {
    fn name(&self) -> &'static str {
        "loss scale"
    }

    fn cpu(&self, mem: &Memory, _: &Step) {
        let skipped = mem.read(self.stats)[1] == 0.0;
        let mut scaler = mem.write(self.scaler);
        let next = update([scaler[0], scaler[1]], skipped);
        scaler.copy_from_slice(&next);
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        kernels.push(
            Dispatch::new(shader::GRAD_NORM, "update_scaler")
                .bind("scaler", self.scaler)
                .bind("stats", self.stats)
                .param("growth_interval", GROWTH_INTERVAL)
                .param("least_scale", LEAST_SCALE)
                .param("largest_scale", LARGEST_SCALE),
        );
    }
}

/// Scale and clean updates after one more update. See the module.
pub fn update([scale, clean]: [f32; 2], skipped: bool) -> [f32; 2] {
    match clean + 1.0 {
        _ if skipped => [(scale * 0.5).max(LEAST_SCALE), 0.0],
        clean if clean >= GROWTH_INTERVAL => [(scale * 2.0).min(LARGEST_SCALE), 0.0],
        clean => [scale, clean],
    }
}
