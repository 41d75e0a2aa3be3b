//! Adapters as files, by PEFT's names:
//!
//! ```text
//! adapter_config.json          of which model they are, rank and scale (see [`AdapterConfig`])
//! adapter_model.safetensors    base_model.model.<module>.lora_A.weight [r, in], ….lora_B.weight [out, r]
//! ```
//!
//! where `<module>` is the base's own name of a layer, `transformer.h.0.attn.c_attn` say. A layer that a file has in parts (Llama's queries, keys
//! and values) is one matrix here: it is written as parts that share A, each with its rows of B. Parts with an A of their own, or without
//! adapter, are read by stacking their ranks:
//!
//! ```text
//! [B₁ A₁]   [B₁ 0 ] [A₁]
//! [B₂ A₂] = [0  B₂] [A₂]
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::adapter_config::AdapterConfig;
use super::config_json::naming;
use super::fit::Fit;
use super::tensor_file::TensorFile;
use super::tensor_writer::{self, Tensors};
use super::training_state::{STEP, Trained, TrainingState};
use super::weight_format::WeightFormat;
use super::weight_names::Part;
use super::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, metadata, missing, tokenizer_config,
};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::lora::{adapter_names, is_block_matrix};
use crate::parameters::ParameterSpec;
use crate::tokenizer::Tokenizer;
use crate::weights::{HostTensor, Weights};

/// What PEFT puts before the base's names.
const PREFIX: &str = "base_model.model.";

/// Adapters with what they are of and, if they are to be trained on, the state of their run.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterCheckpoint {
    /// What they are of.
    pub config: AdapterConfig,
    /// The base's architecture.
    pub model: ModelConfig,
    /// A and B of each adapted matrix.
    pub adapters: Weights,
    /// The base's.
    pub tokenizer: Tokenizer,
    /// Present in a run's checkpoints.
    pub training: Option<TrainingState>,
}

impl AdapterCheckpoint {
    /// Every file of the folder, as name and content. The same adapters give the same bytes.
    ///
    /// # Errors
    /// Adapters that are not those of the configuration, or not finite; a training state at odds with its step.
    pub fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let Self { config, model, adapters, .. } = self;
        let specs = config.lora.parameters(model);
        check(adapters, &specs)?;
        let mut tensors = Tensors::new();
        for spec in block_matrices(model) {
            let [a, b] = adapter_names(&spec.name).map(|name| adapters.get(&name));
            let (Some(a), Some(b)) = (a, b) else { continue };
            let rank = a.shape[0];
            let mut first = 0;
            for part in naming(model, WeightFormat::F32).parts(model, &spec) {
                let [a_name, b_name] = names_in_file(model, &part);
                let rows = outputs(&part);
                let data = b.data[first * rank..(first + rows) * rank].to_vec();
                first += rows;
                tensors.insert(a_name, Cow::Borrowed(a));
                tensors.insert(b_name, Cow::Owned(HostTensor { shape: vec![rows, rank], data }));
            }
        }
        let metadata = metadata(self.training.as_ref().map(|training| training.step));
        let mut files = vec![
            (ADAPTER_CONFIG_FILE.into(), config.write(model)?),
            (ADAPTER_FILE.into(), tensor_writer::write(ADAPTER_FILE, &tensors, &metadata, WeightFormat::F32)?),
            (TOKENIZER_FILE.into(), self.tokenizer.to_json()),
            (TOKENIZER_CONFIG_FILE.into(), tokenizer_config(model)),
        ];
        if let Some(training) = &self.training {
            files.extend(training.to_files(trained(&specs))?);
        }
        Ok(files)
    }
}

/// Reads adapters of `model`, and the state of their run if they have one. Those that Inkling trained must be exactly those of their
/// configuration; of others, whose `target_modules` may be patterns, whatever fits is taken.
///
/// # Errors
/// A file that is missing or damaged, or adapters of another model: the error names the tensors that do not fit.
pub fn read_adapters(
    config: &AdapterConfig,
    model: &ModelConfig,
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<(Weights, Option<TrainingState>)> {
    let bytes =
        read(ADAPTER_FILE)?.ok_or_else(|| missing(ADAPTER_FILE, "its companion adapter_config.json is there"))?;
    let file = TensorFile::parse(ADAPTER_FILE, &bytes)?;
    let shapes: BTreeMap<&str, &[usize]> = file.shapes().collect();
    let mut fit = Fit::default();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for spec in block_matrices(model) {
        let mut parts = Vec::new();
        for part in naming(model, WeightFormat::F32).parts(model, &spec) {
            let names = names_in_file(model, &part);
            let rows = outputs(&part);
            let wanted = [[config.lora.r, spec.shape[1]], [rows, config.lora.r]];
            let present = names.iter().any(|name| shapes.contains_key(name.as_str()));
            for (name, wanted) in names.iter().zip(&wanted) {
                match shapes.get(name.as_str()) {
                    Some(shape) => fit.check_shape(name, shape, wanted),
                    None if present => fit.missing.push(name.clone()),
                    None => {}
                }
            }
            known.extend(names.clone());
            parts.push((rows, present.then_some(names)));
        }
        if parts.iter().any(|(_, names)| names.is_some()) {
            found.push((spec, parts));
        }
    }
    fit.extra = shapes.keys().filter(|name| !known.contains(**name)).map(|&name| name.to_owned()).collect();
    if found.is_empty() {
        fit.missing.extend(known.into_iter().take(1));
    }
    fit.finish(ADAPTER_FILE, ADAPTER_CONFIG_FILE)?;
    let mut adapters = Weights::new();
    for (spec, parts) in found {
        let tensors = |(rows, names): (usize, Option<[String; 2]>)| -> Result<_> {
            let read = |[a, b]: [String; 2]| -> Result<_> { Ok((file.read(&a)?, file.read(&b)?)) };
            let pair = names.map(read).transpose()?;
            Ok((rows, pair))
        };
        let parts = parts.into_iter().map(tensors).collect::<Result<Vec<_>>>()?;
        adapters.extend(adapter_names(&spec.name).into_iter().zip(stack(&spec, &parts)));
    }
    let specs = config.lora.parameters(model);
    if config.origin.is_some() {
        check(&adapters, &specs)?;
    }
    let training = TrainingState::read(trained(&specs), file.metadata(STEP), &mut read)?;
    Ok((adapters, training))
}

/// A run that trains adapters.
fn trained(parameters: &[ParameterSpec]) -> Trained<'_> {
    Trained { parameters, file: ADAPTER_FILE, configuration: ADAPTER_CONFIG_FILE }
}

/// Fails unless the adapters are exactly these.
fn check(adapters: &Weights, specs: &[ParameterSpec]) -> Result<()> {
    let mut fit = Fit::default();
    for spec in specs {
        match adapters.get(&spec.name) {
            Some(tensor) => fit.check_shape(&spec.name, &tensor.shape, &spec.shape),
            None => fit.missing.push(spec.name.clone()),
        }
    }
    let known: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    fit.extra = adapters.keys().filter(|name| !known.contains(name.as_str())).cloned().collect();
    fit.finish(ADAPTER_FILE, ADAPTER_CONFIG_FILE)
}

/// A and B of a whole matrix from those of its parts: rows, and the pair where the part has one.
fn stack(spec: &ParameterSpec, parts: &[(usize, Option<(HostTensor, HostTensor)>)]) -> [HostTensor; 2] {
    let pairs: Vec<_> = parts.iter().filter_map(|(_, pair)| pair.as_ref()).collect();
    let (a, _) = pairs[0];
    let rank = a.shape[0];
    if pairs.len() == parts.len() && pairs.iter().all(|(other, _)| other == a) {
        let data = pairs.iter().flat_map(|(_, b)| b.data.iter().copied()).collect();
        return [a.clone(), HostTensor { shape: vec![spec.shape[0], rank], data }];
    }
    let width = rank * pairs.len();
    let a = HostTensor {
        shape: vec![width, spec.shape[1]],
        data: pairs.iter().flat_map(|(a, _)| a.data.iter().copied()).collect(),
    };
    let mut b = Vec::with_capacity(spec.shape[0] * width);
    let mut before = 0;
    for (rows, pair) in parts {
        let Some((_, own)) = pair else {
            b.resize(b.len() + rows * width, 0.0);
            continue;
        };
        for row in own.data.chunks_exact(rank) {
            let start = b.len();
            b.resize(start + width, 0.0);
            b[start + before..][..rank].copy_from_slice(row);
        }
        before += rank;
    }
    [a, HostTensor { shape: vec![spec.shape[0], width], data: b }]
}

fn block_matrices(model: &ModelConfig) -> impl Iterator<Item = ParameterSpec> {
    model.parameters().into_iter().filter(|spec| is_block_matrix(&spec.name))
}

/// `out` of a part, whose file may have `[in, out]`.
fn outputs(part: &Part) -> usize {
    part.shape[usize::from(part.transposed)]
}

fn names_in_file(model: &ModelConfig, part: &Part) -> [String; 2] {
    adapter_names(&format!("{PREFIX}{}", naming(model, WeightFormat::F32).in_file(&part.name)))
}
