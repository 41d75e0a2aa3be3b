//! What a run needs to go on beyond the model: `trainer_state.json` and `optimizer.safetensors`.
//!
//! ```text
//! trainer_state.json      {"step": 1000, …}                   the training module's own object
//! optimizer.safetensors   <slot>.<parameter>                  m.wte.weight, v.wte.weight, ema.wte.weight, …
//! ```
//!
//! Slots have Inkling's names and layouts. The optimizer step is in `trainer_state.json` and in the metadata of both
//! safetensors files: if they differ, the folder holds files of two saves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::fit::Fit;
use super::tensor_file::TensorFile;
use super::tensor_writer::{self, Tensors};
use super::weight_format::WeightFormat;
use super::{OPTIMIZER_FILE, Read, STATE_FILE, damaged, metadata, missing};
use crate::error::Result;
use crate::parameters::ParameterSpec;
use crate::weights::HostTensor;

/// Largest `trainer_state.json` read.
const MAX_BYTES: usize = 64 << 20;

/// The key and metadata entry that carry the step.
pub(super) const STEP: &str = "step";

/// What a run trains: a model, or adapters.
#[derive(Clone, Copy)]
pub(super) struct Trained<'a> {
    pub parameters: &'a [ParameterSpec],
    /// Where their values are.
    pub file: &'a str,
    /// The file that says which they are.
    pub configuration: &'a str,
}

/// The state of a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingState {
    /// Optimizer steps taken.
    pub step: u64,
    /// `trainer_state.json`, an object. Its `step` is added on writing if absent, and always present after reading.
    pub state: Value,
    /// The optimizer's tensors by `<slot>.<parameter>`; a slot has one tensor for each parameter, of its shape.
    pub optimizer: BTreeMap<String, HostTensor>,
}

impl TrainingState {
    /// `trainer_state.json` and `optimizer.safetensors`.
    pub(super) fn to_files(&self, trained: Trained) -> Result<[(String, Vec<u8>); 2]> {
        let Value::Object(mut state) = self.state.clone() else {
            return Err(damaged(STATE_FILE, "the state is not a JSON object"));
        };
        let stated = state.entry(STEP).or_insert(self.step.into());
        if stated.as_u64() != Some(self.step) {
            let problem = format!("`{STEP}` is {stated} in a state of step {}", self.step);
            return Err(damaged(STATE_FILE, problem));
        }
        let mut json = serde_json::to_vec_pretty(&state).map_err(|e| damaged(STATE_FILE, e.to_string()))?;
        json.push(b'\n');

        check_slots(trained, self.optimizer.iter().map(|(name, tensor)| (name.as_str(), &tensor.shape[..])))?;
        let tensors: Tensors = self.optimizer.iter().map(|(name, t)| (name.clone(), Cow::Borrowed(t))).collect();
        let metadata = metadata(Some(self.step));
        let optimizer = tensor_writer::write(OPTIMIZER_FILE, &tensors, &metadata, WeightFormat::F32)?;
        Ok([(STATE_FILE.into(), json), (OPTIMIZER_FILE.into(), optimizer)])
    }

    /// Reads both files if there are any; `step` is what the file of the trained parameters says.
    pub(super) fn read(trained: Trained, step: Option<&str>, read: Read) -> Result<Option<Self>> {
        match (read(STATE_FILE)?, read(OPTIMIZER_FILE)?) {
            (None, None) => Ok(None),
            (Some(json), Some(optimizer)) => Ok(Some(Self::from_files(trained, step, &json, &optimizer)?)),
            (Some(_), None) => Err(missing(OPTIMIZER_FILE, &format!("its companion {STATE_FILE} is there"))),
            (None, Some(_)) => Err(missing(STATE_FILE, &format!("its companion {OPTIMIZER_FILE} is there"))),
        }
    }

    fn from_files(trained: Trained, trained_step: Option<&str>, json: &[u8], optimizer: &[u8]) -> Result<Self> {
        if json.len() > MAX_BYTES {
            let problem = format!("the file has {} bytes; the largest accepted is {MAX_BYTES}", json.len());
            return Err(damaged(STATE_FILE, problem));
        }
        let state: Value =
            serde_json::from_slice(json).map_err(|e| damaged(STATE_FILE, format!("this is not JSON: {e}")))?;
        let Some(step) = state.get(STEP).and_then(Value::as_u64) else {
            return Err(damaged(STATE_FILE, format!("`{STEP}`, a count of optimizer steps, is missing")));
        };
        let optimizer = TensorFile::parse(OPTIMIZER_FILE, optimizer)?;
        check_step(step, trained.file, trained_step)?;
        check_step(step, OPTIMIZER_FILE, optimizer.metadata(STEP))?;
        check_slots(trained, optimizer.shapes())?;
        let read = |(name, _): (&str, _)| Ok((name.to_string(), optimizer.read(name)?));
        let optimizer = optimizer.shapes().map(read).collect::<Result<_>>()?;
        Ok(Self { step, state, optimizer })
    }
}

fn check_step(step: u64, file: &str, found: Option<&str>) -> Result<()> {
    if found == Some(step.to_string().as_str()) {
        return Ok(());
    }
    let found = found.map_or("of no known step".into(), |found| format!("of step {found:?}"));
    let problem = format!(
        "this file is {found} but {STATE_FILE} is of step {step}: the folder is mixed from two saves; \
         take all its files from one"
    );
    Err(damaged(file, problem))
}

/// Every slot that occurs has exactly the parameters that are trained.
fn check_slots<'a>(trained: Trained, shapes: impl Iterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
    let mut fit = Fit::default();
    let mut slots: BTreeMap<&str, BTreeMap<&str, &[usize]>> = BTreeMap::new();
    for (name, shape) in shapes {
        match name.split_once('.') {
            Some((slot, parameter)) => {
                slots.entry(slot).or_default().insert(parameter, shape);
            }
            None => fit.extra.push(name.into()),
        }
    }
    for (slot, mut tensors) in slots {
        for spec in trained.parameters {
            let name = format!("{slot}.{}", spec.name);
            match tensors.remove(spec.name.as_str()) {
                Some(shape) => fit.check_shape(&name, shape, &spec.shape),
                None => fit.missing.push(name),
            }
        }
        fit.extra.extend(tensors.keys().map(|parameter| format!("{slot}.{parameter}")));
    }
    fit.finish(OPTIMIZER_FILE, trained.configuration)
}
