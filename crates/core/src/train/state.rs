//! Where a run stands: `trainer_state.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::TrainConfig;
use crate::checkpoint::STATE_FILE;
use crate::error::{Error, Result};
use crate::ops::loss_scaler::{GROWTH_INTERVAL, INITIAL_SCALE, LARGEST_SCALE, LEAST_SCALE};
use crate::weights::{HostTensor, Weights};

/// The best validation loss so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Updates done then.
    pub step: u64,
    /// Nats per token.
    pub loss: f64,
}

/// The scale of the loss in mixed precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Factor on the loss's gradient, a power of two.
    pub scale: f32,
    /// Updates in a row that were clean with it.
    pub clean_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: INITIAL_SCALE, clean_steps: 0 }
    }
}

impl LossScale {
    pub(super) fn from_device(scaler: &[f32]) -> Self {
        Self { scale: scaler[0], clean_steps: scaler[1] as u32 }
    }

    pub(super) fn to_device(self) -> [f32; 2] {
        [self.scale, self.clean_steps as f32]
    }

    fn is_possible(self) -> bool {
        (LEAST_SCALE..=LARGEST_SCALE).contains(&self.scale)
            && self.scale.to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - 1
            && (self.clean_steps as f32) < GROWTH_INTERVAL
    }
}

/// Everything about a run that is not a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Updates done.
    pub step: u64,
    /// The best validation loss so far.
    pub best: Option<Best>,
    /// Evaluations since then.
    pub evaluations_since_best: u64,
    /// Updates in a row, up to now, whose gradient was not finite and that no smaller scale of the loss explains.
    #[serde(default)]
    pub skips: u64,
    /// The scale of the loss, in mixed precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Seconds of training so far.
    pub elapsed_s: f64,
    /// Name of the data.
    pub data: String,
    /// SHA-256 of the text.
    pub data_sha256: String,
    /// Tokens that the run learns from; 0 in a state that does not tell.
    #[serde(default)]
    pub train_tokens: u64,
    /// The run's settings.
    pub settings: TrainConfig,
}

impl RunState {
    /// Reads the state that a checkpoint carries.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        let damaged = |problem: String| Error::Checkpoint { file: STATE_FILE.into(), problem };
        let state: Self =
            serde_json::from_value(json.clone()).map_err(|e| damaged(format!("not a run's state: {e}")))?;
        state.settings.validate().map_err(|e| damaged(e.to_string()))?;
        if !(0.0..1e12).contains(&state.elapsed_s) {
            return Err(damaged(format!("elapsed_s is {}; it must be a number of seconds", state.elapsed_s)));
        }
        if let Some(loss_scale) = state.loss_scale.filter(|loss_scale| !loss_scale.is_possible()) {
            return Err(damaged(format!(
                "loss_scale is {loss_scale:?}; the scale is a power of two from {LEAST_SCALE} to {LARGEST_SCALE}, \
                 with fewer than {GROWTH_INTERVAL} clean steps"
            )));
        }
        Ok(state)
    }

    /// As a checkpoint carries it.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        // By way of text: straight to a value, a float32 of 0.003 becomes the float64 0.003000000026077032.
        serde_json::to_string(self)
            .and_then(|text| serde_json::from_str(&text))
            .map_err(|e| Error::Checkpoint { file: STATE_FILE.into(), problem: format!("cannot be written: {e}") })
    }

    /// Fails for data of another length: the same text, divided in another place, would make another run of it.
    pub(super) fn check_train_tokens(&self, found: u64) -> Result<()> {
        match self.train_tokens {
            expected if expected == found || expected == 0 => Ok(()),
            expected => Err(Error::Data(format!(
                "the run learns from {expected} tokens and this data has {found} to learn from: it was divided otherwise or is another \
                 text"
            ))),
        }
    }

    /// Takes note of a validation loss; whether it is the best so far. NaN never is.
    pub fn record_validation(&mut self, loss: f64) -> bool {
        let better = self.best.is_none_or(|best| loss < best.loss) && loss.is_finite();
        if better {
            self.best = Some(Best { step: self.step, loss });
            self.evaluations_since_best = 0;
        } else {
            self.evaluations_since_best += 1;
        }
        better
    }
}

/// The tensors `{name}.*` of an optimizer file, by parameter.
pub(super) fn slot(optimizer: &BTreeMap<String, HostTensor>, name: &str) -> Weights {
    optimizer
        .iter()
        .filter_map(|(key, tensor)| Some((key.strip_prefix(name)?.strip_prefix('.')?.to_owned(), tensor.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_loss_is_a_new_best() {
        let mut state = RunState::default();
        assert!(!state.record_validation(f64::NAN));
        assert!(state.record_validation(2.0));
        assert!(!state.record_validation(2.0));
        assert!(!state.record_validation(f64::NAN));
        assert_eq!(state.evaluations_since_best, 2);
        state.step = 7;
        assert!(state.record_validation(1.9));
        assert_eq!(state.best, Some(Best { step: 7, loss: 1.9 }));
        assert_eq!(state.evaluations_since_best, 0);
    }

    #[test]
    fn the_state_survives_json_bit_for_bit() {
        let state = RunState {
            step: 3,
            best: Some(Best { step: 2, loss: 1.0 / 3.0 }),
            loss_scale: Some(LossScale { scale: 32_768.0, clean_steps: 199 }),
            settings: TrainConfig { learning_rate: 0.1 + 0.2, ..TrainConfig::default() },
            ..RunState::default()
        };
        let text = serde_json::to_string(&state.to_json().unwrap()).unwrap();
        assert_eq!(RunState::from_json(&serde_json::from_str(&text).unwrap()).unwrap(), state);
    }

    #[test]
    fn a_state_of_another_kind_is_refused() {
        let negative = RunState { elapsed_s: -1.0, ..RunState::default() }.to_json().unwrap();
        assert!(RunState::from_json(&negative).unwrap_err().to_string().contains("elapsed_s"));
        for (scale, clean_steps) in [(0.0, 0), (0.5, 0), (3.0, 0), (1e30, 0), (2.0, 200)] {
            let state = RunState { loss_scale: Some(LossScale { scale, clean_steps }), ..RunState::default() };
            let error = RunState::from_json(&state.to_json().unwrap()).unwrap_err().to_string();
            assert!(error.contains("loss_scale"), "{error}");
        }
        let error = RunState::from_json(&serde_json::json!({"step": "three"})).unwrap_err().to_string();
        assert!(error.contains("trainer_state.json"), "{error}");
    }
}
