//! The update pass: gradient norm, clipping, AdamW on both arenas, moving average, scale of the loss.

use serde::{Deserialize, Serialize};

use crate::ops::adamw::{AdamW, Constants, Ema};
use crate::ops::grad_norm::GradNorm;
use crate::ops::loss_scaler::UpdateLossScale;
use crate::program::{Arena, Field, Pass, Program, Tensor, Training};

/// Which parameters decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Matrices and tables only: biases and gains have no scale to keep small (nanoGPT).
    #[default]
    Matrices,
    /// Everything (PyTorch's default when all parameters are in one group).
    All,
}

/// Settings of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// AdamW's constants; the weight decay goes to what `decay` says.
    pub constants: Constants,
    /// Which parameters decay.
    pub decay: Decay,
    /// Largest global gradient norm; 0 clips nothing.
    pub max_norm: f32,
    /// Share of the old moving average; `None` keeps none.
    pub ema_decay: Option<f32>,
}

impl Optimizer {
    /// Records the pass; returns the tensor `[2]` that holds gradient norm and clip factor after each replay.
    pub fn record(&self, p: &mut Program) -> Tensor {
        let arenas = [Arena::Matrices, Arena::Vectors];
        let grads = arenas.map(|arena| p.arena(arena, Field::Grad));
        let lengths = grads.map(|g| p.shape(g)[0]);
        let partials = p.tensor("grad_norm.partials", &[GradNorm::partials(lengths)]);
        let stats = p.tensor("grad_norm", &[2]);
        p.push(Pass::Update, GradNorm { grads, partials, stats, scaler: p.loss_scaler(), max_norm: self.max_norm });
        for arena in arenas {
            let mut constants = self.constants;
            if arena == Arena::Vectors && self.decay == Decay::Matrices {
                constants.weight_decay = 0.0;
            }
            let [value, grad, m, v] = [Field::Value, Field::Grad, Field::M, Field::V].map(|f| p.arena(arena, f));
            let half = p.half().filter(|_| arena == Arena::Matrices);
            p.push(Pass::Update, AdamW { value, grad, m, v, stats, half, constants });
            if let (Some(decay), Training::WithEma) = (self.ema_decay, p.training()) {
                let ema = p.arena(arena, Field::Ema);
                p.push(Pass::Update, Ema { value, ema, stats, decay });
            }
        }
        if let Some(scaler) = p.loss_scaler() {
            p.push(Pass::Update, UpdateLossScale { scaler, stats });
        }
        stats
    }
}
