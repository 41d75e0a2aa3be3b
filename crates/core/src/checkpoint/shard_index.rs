//! `model.safetensors.index.json`: which file holds which tensor of a model in several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::tensor_file::TensorFile;
use super::weight_names::Naming;
use super::{INDEX_FILE, damaged};
use crate::error::Result;

/// Largest index read; one of ten thousand tensors has a megabyte.
const MAX_BYTES: usize = 64 << 20;

/// `weight_map`, the other way round.
pub(super) struct Index {
    shard_of: BTreeMap<String, String>,
    shards: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    /// The error is a sentence about this file.
    pub fn parse(json: &[u8]) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            weight_map: UniqueMap,
        }
        if json.len() > MAX_BYTES {
            return Err(format!("the file has {} bytes; the largest accepted is {MAX_BYTES}", json.len()));
        }
        let File { weight_map: UniqueMap(shard_of) } =
            serde_json::from_slice(json).map_err(|e| format!("this is not an index of weights: {e}"))?;
        let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (tensor, shard) in &shard_of {
            if !is_plain(shard) {
                return Err(format!(
                    "`{tensor}` is said to be in {shard:?}, which is no name of a safetensors file in this folder"
                ));
            }
            shards.entry(shard.clone()).or_default().insert(tensor.clone());
        }
        Ok(Self { shard_of, shards })
    }

    /// Every tensor.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }

    /// Every file with its tensors, by name.
    pub fn shards(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.shards.iter().map(|(shard, tensors)| (shard.as_str(), tensors))
    }

    /// The file has the tensors that the index lists for it, and no others.
    pub fn check(&self, shard: &str, listed: &BTreeSet<String>, file: &TensorFile, naming: Naming) -> Result<()> {
        let mut there = BTreeSet::new();
        there.extend(file.shapes().map(|(name, _)| name));
        if let Some(absent) = listed.iter().find(|name| !there.contains(name.as_str())) {
            return Err(damaged(shard, format!("`{absent}` is not in this file, although {INDEX_FILE} says so")));
        }
        let stray = there.iter().find(|&&name| !listed.contains(name) && !naming.is_buffer(name));
        match stray.map(|&name| (name, self.shard_of.get(name))) {
            None => Ok(()),
            Some((name, Some(other))) => {
                Err(damaged(shard, format!("`{name}` is in this file, but {INDEX_FILE} says that it is in {other}")))
            }
            Some((name, None)) => Err(damaged(shard, format!("`{name}` is in this file, but not in {INDEX_FILE}"))),
        }
    }
}

/// A file's own name: nothing that leads out of the folder, means something in an address or moves a terminal's cursor.
fn is_plain(name: &str) -> bool {
    let is_harmless = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\' | ':' | '?' | '#' | '%');
    name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(is_harmless)
}

/// A map in which a repeated key is an error.
struct UniqueMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct UniqueVisitor;
        impl<'de> Visitor<'de> for UniqueVisitor {
            type Value = UniqueMap;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<UniqueMap, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, shard)) = map.next_entry::<String, String>()? {
                    if entries.insert(name.clone(), shard).is_some() {
                        return Err(A::Error::custom(format!("`{name}` is there twice")));
                    }
                }
                Ok(UniqueMap(entries))
            }
        }
        deserializer.deserialize_map(UniqueVisitor)
    }
}
