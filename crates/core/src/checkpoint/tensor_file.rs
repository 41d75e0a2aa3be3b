//! Named tensors as safetensors bytes: read from F32, F16 or BF16, written as F32.
//!
//! Every value must be finite, both ways: a model with a NaN in it answers NaN to everything, and a save of one would
//! replace a good one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::safetensors::tensor::{Dtype, TensorInfo};
use ::safetensors::{SafeTensors, tensor::TensorView};
use half::{bf16, f16};
use serde::Serialize;

use super::{damaged, tensor_header};
use crate::error::{Error, Result};
use crate::weights::HostTensor;

/// A parsed file; tensors are converted one by one, on request.
#[derive(Debug)]
pub(super) struct TensorFile<'a> {
    /// For messages.
    file: &'a str,
    tensors: BTreeMap<String, TensorView<'a>>,
    metadata: BTreeMap<String, String>,
}

impl<'a> TensorFile<'a> {
    /// Parses the header of `bytes` and checks it against their length.
    pub fn parse(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let metadata = tensor_header::check(bytes).map_err(|problem| damaged(file, problem))?;
        let parsed = SafeTensors::deserialize(bytes).map_err(|e| damaged(file, e.to_string()))?;
        Ok(Self { file, tensors: parsed.tensors().into_iter().collect(), metadata })
    }

    /// Names and shapes, by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, view)| (name.as_str(), view.shape()))
    }

    /// An entry of `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Converts one tensor to float32 and checks that it is finite. `name` must be one of [`Self::shapes`].
    pub fn read(&self, name: &str) -> Result<HostTensor> {
        let Some(view) = self.tensors.get(name) else {
            return Err(damaged(self.file, format!("the tensor `{name}` is missing")));
        };
        let bytes = view.data();
        let data: Vec<f32> = match view.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                let problem = format!("the tensor `{name}` has the type {other}; F32, F16 and BF16 are read");
                return Err(damaged(self.file, problem));
            }
        };
        check_finite(self.file, name, &data)?;
        Ok(HostTensor { shape: view.shape().to_vec(), data })
    }
}

/// The tensors of a file by name.
pub(super) type Tensors<'a> = BTreeMap<String, Cow<'a, HostTensor>>;

/// Writes `tensors` as float32, by name, and `metadata`: the same input gives the same bytes.
///
/// The crate's own writer keeps metadata in a hash map, so that two saves of one model would differ.
///
/// # Errors
/// A tensor whose data does not fill its shape, or holds NaN or infinity.
pub(super) fn write(file: &str, tensors: &Tensors, metadata: &BTreeMap<&str, String>) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry<'a> {
        Metadata(&'a BTreeMap<&'a str, String>),
        Tensor(TensorInfo),
    }
    let mut header = BTreeMap::from([("__metadata__", Entry::Metadata(metadata))]);
    let mut end = 0;
    for (name, tensor) in tensors {
        check_filled(file, name, tensor)?;
        check_finite(file, name, &tensor.data)?;
        let begin = end;
        end += size_of_val(&*tensor.data);
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets: (begin, end) };
        header.insert(name, Entry::Tensor(info));
    }
    let mut json = serde_json::to_vec(&header).map_err(|e| damaged(file, e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' '); // data starts aligned

    let mut bytes = Vec::with_capacity(8 + json.len() + end);
    bytes.extend((json.len() as u64).to_le_bytes());
    bytes.extend(json);
    for tensor in tensors.values() {
        let start = bytes.len();
        bytes.resize(start + size_of_val(&*tensor.data), 0);
        for (out, x) in bytes[start..].as_chunks_mut().0.iter_mut().zip(&tensor.data) {
            *out = x.to_le_bytes();
        }
    }
    Ok(bytes)
}

fn check_filled(file: &str, name: &str, tensor: &HostTensor) -> Result<()> {
    let numel = tensor.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    if numel == Some(tensor.data.len()) {
        return Ok(());
    }
    let problem = format!("the tensor `{name}` of shape {:?} has {} values", tensor.shape, tensor.data.len());
    Err(damaged(file, problem))
}

fn check_finite(file: &str, name: &str, data: &[f32]) -> Result<()> {
    // Counting without branches keeps the usual case, all finite, at memory speed.
    let count = data.iter().filter(|x| !x.is_finite()).count();
    match data.iter().position(|x| !x.is_finite()) {
        Some(first) if count > 0 => Err(not_finite(file, name, data, count, first)),
        _ => Ok(()),
    }
}

fn not_finite(file: &str, name: &str, data: &[f32], count: usize, first: usize) -> Error {
    let (total, value) = (data.len(), data[first]);
    let problem = format!(
        "the tensor `{name}` has {count} of {total} values that are NaN or infinite, the first ({value}) at index {first}: \
         training diverged or the file is damaged; go back to an earlier checkpoint"
    );
    damaged(file, problem)
}
