//! Named tensors out of safetensors bytes: F32, F16 and BF16, and the codes of [`WeightFormat`](super::WeightFormat), which become the weights
//! that they stand for.
//!
//! Every value must be finite, both ways: a model with a NaN in it answers NaN to everything, and a save of one would
//! replace a good one.

use std::collections::BTreeMap;

use ::safetensors::tensor::Dtype;
use half::{bf16, f16};

use super::damaged;
use super::tensor_header::{self, View};
use crate::error::{Error, Result};
use crate::quantize::{q4, q8};
use crate::weights::HostTensor;

/// What follows the name of codes in the name of their scales.
pub(super) const SCALE: &str = ".scale";

/// The entry of `__metadata__` with the length of the rows of q4 codes.
pub(super) fn columns_key(name: &str) -> String {
    format!("{name}.columns")
}

/// A parsed file; tensors are converted one by one, on request.
#[derive(Debug)]
pub(super) struct TensorFile<'a> {
    /// For messages.
    file: &'a str,
    tensors: BTreeMap<String, Stored<'a>>,
    metadata: BTreeMap<String, String>,
}

/// A tensor and what it is made of.
#[derive(Debug)]
struct Stored<'a> {
    /// Of the tensor, not of its codes.
    shape: Vec<usize>,
    view: View<'a>,
    /// Of codes.
    scales: Option<View<'a>>,
}

impl<'a> TensorFile<'a> {
    /// Parses the header of `bytes` and checks it against their length, and codes against their scales.
    pub fn parse(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let contents = tensor_header::read(bytes).map_err(|problem| damaged(file, problem))?;
        let whole = |view: View<'a>| Stored { shape: view.shape.clone(), view, scales: None };
        let mut tensors = BTreeMap::new();
        tensors.extend(contents.tensors.into_iter().map(|(name, view)| (name, whole(view))));
        let are_codes = |stored: &Stored| matches!(stored.view.dtype, Dtype::I8 | Dtype::U8);
        let codes: Vec<String> =
            tensors.iter().filter(|(_, stored)| are_codes(stored)).map(|(name, _)| name.clone()).collect();
        let metadata = contents.metadata;
        for name in codes {
            // Without scales it is something else, a mask for example, or refused when it is read.
            let Some(scales) = tensors.remove(&format!("{name}{SCALE}")) else { continue };
            let Some(stored) = tensors.get_mut(&name) else { continue };
            let columns = metadata.get(&columns_key(&name)).map(String::as_str);
            stored.shape = coded_shape(&stored.view, &scales.view, columns)
                .map_err(|problem| damaged(file, format!("the codes `{name}` {problem}")))?;
            stored.scales = Some(scales.view);
        }
        Ok(Self { file, tensors, metadata })
    }

    /// Names and shapes, by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), &stored.shape[..]))
    }

    /// An entry of `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Converts one tensor to float32 and checks that it is finite. `name` must be one of [`Self::shapes`].
    pub fn read(&self, name: &str) -> Result<HostTensor> {
        let Some(Stored { shape, view, scales }) = self.tensors.get(name) else {
            return Err(damaged(self.file, format!("the tensor `{name}` is missing")));
        };
        let bytes = view.bytes;
        let data: Vec<f32> = match (view.dtype, scales) {
            (Dtype::F32, None) => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            (Dtype::F16, None) => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            (Dtype::BF16, None) => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
            (dtype, Some(scales)) => {
                let decoded =
                    if dtype == Dtype::I8 { decode_q8(shape, bytes, scales) } else { decode_q4(shape, bytes, scales) };
                decoded.map_err(|problem| damaged(self.file, format!("the codes `{name}` {problem}")))?
            }
            (other, None) => {
                let problem = format!(
                    "the tensor `{name}` has the type {other}; F32, F16 and BF16 are read, and I8 and U8 with their scales \
                     `{name}{SCALE}`"
                );
                return Err(damaged(self.file, problem));
            }
        };
        check_finite(self.file, name, &data)?;
        Ok(HostTensor { shape: shape.clone(), data })
    }
}

/// The error is the rest of a sentence about codes.
type Checked<T> = std::result::Result<T, String>;

/// The shape of the tensor that codes and scales are of.
fn coded_shape(codes: &View, scales: &View, columns: Option<&str>) -> Checked<Vec<usize>> {
    let [rows, row_bytes] = codes.shape[..] else {
        return Err(format!("are of shape {:?}: only matrices have codes", codes.shape));
    };
    if scales.dtype != Dtype::BF16 {
        return Err(format!("have scales of type {}, not BF16", scales.dtype));
    }
    let (columns, expected) = if codes.dtype == Dtype::I8 {
        (row_bytes, vec![rows])
    } else {
        let Some(columns) = columns else {
            return Err("are of 4 bits, and `__metadata__` does not say of how many columns".into());
        };
        let Ok(columns) = columns.parse() else {
            return Err(format!("have {columns:?} columns by `__metadata__`, which is no number"));
        };
        if q4::row_bytes(columns) != row_bytes {
            return Err(format!("have {columns} columns by `__metadata__`, and rows of {row_bytes} bytes"));
        }
        (columns, vec![rows, q4::blocks(columns)])
    };
    if scales.shape != expected {
        return Err(format!("have scales of shape {:?} instead of {expected:?}", scales.shape));
    }
    Ok(vec![rows, columns])
}

fn decode_q8(shape: &[usize], codes: &[u8], scales: &View) -> Checked<Vec<f32>> {
    let (codes, columns): (&[i8], _) = (bytemuck::cast_slice(codes), shape[1].max(1));
    if let Some(at) = codes.iter().position(|&code| code < -q8::MAX_CODE) {
        return Err(format!("hold {} in row {}, which is no code: the file is damaged", codes[at], at / columns));
    }
    let mut data = vec![0.0; codes.len()];
    let rows = codes.chunks(columns).zip(data.chunks_mut(columns));
    for ((codes, w), scale) in rows.zip(scales_of(scales)?) {
        q8::dequantize_row(codes, scale, w);
    }
    Ok(data)
}

fn decode_q4(shape: &[usize], codes: &[u8], scales: &View) -> Checked<Vec<f32>> {
    let (rows, columns) = (shape[0], shape[1].max(1));
    let scales = scales_of(scales)?;
    // As many as there are codes, but for padding: at most twice as many weights as bytes in the file.
    let mut data = vec![0.0; rows * shape[1]];
    let parts = codes.chunks(q4::row_bytes(columns)).zip(scales.chunks(q4::blocks(columns)));
    for (row, (w, (codes, scales))) in data.chunks_mut(columns).zip(parts).enumerate() {
        if !q4::is_padded(codes, columns) {
            return Err(format!("go on behind the {columns} columns of row {row}: the file is damaged"));
        }
        q4::dequantize_row(codes, scales, w);
    }
    Ok(data)
}

/// Scales, all finite.
fn scales_of(view: &View) -> Checked<Vec<bf16>> {
    let scales: Vec<bf16> = view.bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b)).collect();
    match scales.iter().position(|scale| !scale.is_finite()) {
        None => Ok(scales),
        Some(at) => Err(format!("have the scale {} at index {at}: the file is damaged", scales[at])),
    }
}

pub(super) fn check_finite(file: &str, name: &str, data: &[f32]) -> Result<()> {
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
