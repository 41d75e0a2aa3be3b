//! The weights of a folder: `model.safetensors`, or several files that `model.safetensors.index.json` lists.
//!
//! Files are read one at a time: beside the weights so far there is one file in memory and, of a parameter whose parts lie in several
//! files, these parts. Names are compared with the configuration before any tensor is looked at, shapes before any of the same file is
//! converted.

use std::collections::BTreeMap;

use super::fit::Fit;
use super::shard_index::Index;
use super::tensor_file::TensorFile;
use super::training_state::STEP;
use super::weight_names::{HEAD, Naming, Part, TOKENS, join};
use super::{CONFIG_FILE, INDEX_FILE, MODEL_FILE, Read, damaged, missing};
use crate::config::{Architecture, ModelConfig};
use crate::error::Result;
use crate::weights::{HostTensor, Weights};

/// Reads the weights, which must be exactly those of `config`, and the step that a run's file carries.
pub(super) fn read(config: &ModelConfig, naming: Naming, read: Read) -> Result<(Weights, Option<String>)> {
    if let Some(bytes) = read(MODEL_FILE)? {
        let file = TensorFile::parse(MODEL_FILE, &bytes)?;
        let mut reader = Reader::new(config, naming, MODEL_FILE, file.shapes().map(|(name, _)| name))?;
        reader.add(MODEL_FILE, &file)?;
        return Ok((reader.finish()?, file.metadata(STEP).map(str::to_owned)));
    }
    let Some(index) = read(INDEX_FILE)? else {
        let why = format!(
            "a model folder has {CONFIG_FILE}, {MODEL_FILE} (or {INDEX_FILE} and its files) and tokenizer.json"
        );
        return Err(missing(MODEL_FILE, &why));
    };
    let index = Index::parse(&index).map_err(|problem| damaged(INDEX_FILE, problem))?;
    let mut reader = Reader::new(config, naming, INDEX_FILE, index.names())?;
    std::mem::take(&mut reader.fit).finish(INDEX_FILE, CONFIG_FILE)?;
    for (shard, listed) in index.shards() {
        let why = || format!("{INDEX_FILE} lists {} tensors in it", listed.len());
        let bytes = read(shard)?.ok_or_else(|| missing(shard, &why()))?;
        let file = TensorFile::parse(shard, &bytes)?;
        index.check(shard, listed, &file, naming)?;
        reader.add(shard, &file)?;
    }
    Ok((reader.finish()?, None))
}

/// A parameter on its way.
struct Pending {
    name: String,
    shape: Vec<usize>,
    parts: Vec<(Part, Option<HostTensor>)>,
}

/// A head that is the token table once more.
struct RepeatedHead {
    shape: [usize; 2],
    /// The file and the tensor, once read.
    found: Option<(String, HostTensor)>,
}

/// Puts parameters together from the tensors of one or more files.
struct Reader {
    naming: Naming,
    pending: Vec<Pending>,
    /// By the part's name: which parameter, and which part of it.
    places: BTreeMap<String, (usize, usize)>,
    /// Of a tied model, whose table some files repeat.
    repeated_head: Option<RepeatedHead>,
    /// What does not fit, until it is asked for.
    fit: Fit,
    weights: Weights,
}

impl Reader {
    /// Compares the names of all tensors, which `file` tells, with those of the configuration.
    fn new<'n>(config: &ModelConfig, naming: Naming, file: &str, names: impl Iterator<Item = &'n str>) -> Result<Self> {
        let mut found: BTreeMap<&str, &str> = BTreeMap::new();
        for in_file in names.filter(|name| !naming.is_buffer(name)) {
            if let Some(other) = found.insert(naming.part_name(in_file), in_file) {
                return Err(damaged(file, format!("`{other}` and `{in_file}` are the same tensor under two names")));
            }
        }
        let (layers, tensors) = (config.n_layer, found.len());
        // A file with fewer tensors than the model has layers need not be searched for each of them, nor its list be made.
        if layers > tensors && config.architecture == Architecture::Gpt {
            let problem = format!("the configuration has {layers} layers, but this file has only {tensors} tensors");
            return Err(damaged(file, problem));
        }
        let mut fit = Fit::default();
        let (mut pending, mut places) = (Vec::new(), BTreeMap::new());
        for (at, spec) in config.parameters().into_iter().enumerate() {
            let parts: Vec<_> = naming.parts(config, &spec).into_iter().map(|part| (part, None)).collect();
            for (number, (part, _)) in parts.iter().enumerate() {
                if found.remove(part.name.as_str()).is_none() {
                    fit.missing.push(naming.in_file(&part.name));
                }
                places.insert(part.name.clone(), (at, number));
            }
            pending.push(Pending { name: spec.name, shape: spec.shape, parts });
        }
        let repeats = naming.may_repeat_head(config) && found.remove(HEAD).is_some();
        let repeated_head = repeats.then_some(RepeatedHead { shape: [config.vocab_size, config.n_embd], found: None });
        fit.extra = found.values().map(|&in_file| in_file.to_owned()).collect();
        Ok(Self { naming, pending, places, repeated_head, fit, weights: Weights::new() })
    }

    /// Takes the tensors of a file.
    fn add(&mut self, name: &str, file: &TensorFile) -> Result<()> {
        let mut fit = std::mem::take(&mut self.fit);
        for (in_file, shape) in file.shapes() {
            match (self.places.get(self.naming.part_name(in_file)), &self.repeated_head) {
                (Some(&(at, number)), _) => fit.check_shape(in_file, shape, &self.pending[at].parts[number].0.shape),
                (None, Some(head)) if in_file == HEAD => fit.check_shape(in_file, shape, &head.shape),
                _ => {}
            }
        }
        fit.finish(name, CONFIG_FILE)?;
        for (in_file, _) in file.shapes() {
            if let Some(&(at, number)) = self.places.get(self.naming.part_name(in_file)) {
                let (part, place) = &mut self.pending[at].parts[number];
                *place = Some(part.read(file.read(in_file)?));
                self.join_if_complete(at);
            } else if let (HEAD, Some(head)) = (in_file, &mut self.repeated_head) {
                head.found = Some((name.to_owned(), file.read(in_file)?));
            }
        }
        Ok(())
    }

    fn join_if_complete(&mut self, at: usize) {
        let Pending { name, shape, parts } = &mut self.pending[at];
        if parts.iter().all(|(_, tensor)| tensor.is_some()) {
            let tensors = parts.iter_mut().filter_map(|(_, tensor)| tensor.take()).collect();
            self.weights.insert(name.clone(), join(shape.clone(), tensors));
        }
    }

    /// The weights, after the last file.
    fn finish(self) -> Result<Weights> {
        if let Some(RepeatedHead { found: Some((file, head)), .. }) = &self.repeated_head
            && self.weights.get(TOKENS) != Some(head)
        {
            let problem = format!(
                "`{HEAD}` differs from the token table although {CONFIG_FILE} ties them: set tie_word_embeddings to false \
                 to keep it"
            );
            return Err(damaged(file, problem));
        }
        Ok(self.weights)
    }
}
