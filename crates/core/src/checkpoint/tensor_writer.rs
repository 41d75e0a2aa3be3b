//! Named tensors to safetensors bytes, in any [`WeightFormat`].
//!
//! The crate's own writer keeps metadata in a hash map, so that two saves of one model would differ.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ::safetensors::tensor::{Dtype, TensorInfo};
use half::{bf16, f16};
use serde::Serialize;

use super::damaged;
use super::tensor_file::{SCALE, check_finite, columns_key};
use super::weight_format::WeightFormat;
use crate::error::Result;
use crate::order;
use crate::quantize::{q4, q8};
use crate::weights::HostTensor;

/// The error is the rest of a sentence about a tensor.
type Checked<T> = std::result::Result<T, String>;

/// The tensors of a file by name.
pub(super) type Tensors<'a> = BTreeMap<String, Cow<'a, HostTensor>>;

/// A tensor as the file has it.
struct Stored<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    content: Content<'a>,
}

enum Content<'a> {
    /// To be rounded to the type as they are written.
    Floats(&'a [f32]),
    Bytes(Vec<u8>),
}

/// Writes `tensors` and `metadata`: the same input gives the same bytes. Larger types come first, so that each is aligned; then by name.
///
/// # Errors
/// A tensor whose data does not fill its shape, holds NaN or infinity, or a value that the format cannot hold.
pub(super) fn write(
    file: &str,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
    format: WeightFormat,
) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry<'a> {
        Metadata(&'a BTreeMap<String, String>),
        Tensor(TensorInfo),
    }
    let mut metadata = metadata.clone();
    let mut stored = Vec::new();
    for (name, tensor) in tensors {
        check_filled(file, name, tensor)?;
        check_finite(file, name, &tensor.data)?;
        let format = format.of_tensor(name, tensor.shape.len());
        if format == WeightFormat::Q4 {
            metadata.insert(columns_key(name), tensor.shape[1].to_string());
        }
        stored.extend(
            encode(name, tensor, format).map_err(|problem| damaged(file, format!("the tensor `{name}` {problem}")))?,
        );
    }
    order::sort_by(&mut stored, |a, b| b.dtype.bitsize().cmp(&a.dtype.bitsize()).then(a.name.cmp(&b.name)));

    let mut header = BTreeMap::new();
    header.insert("__metadata__", Entry::Metadata(&metadata));
    let mut end = 0;
    for tensor in &stored {
        let begin = end;
        end += tensor.len();
        let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (begin, end) };
        header.insert(&tensor.name, Entry::Tensor(info));
    }
    let mut json = serde_json::to_vec(&header).map_err(|e| damaged(file, e.to_string()))?;
    json.resize(json.len().next_multiple_of(8), b' '); // data starts aligned

    let mut bytes = Vec::with_capacity(8 + json.len() + end);
    bytes.extend((json.len() as u64).to_le_bytes());
    bytes.extend(json);
    stored.iter().for_each(|tensor| tensor.append(&mut bytes));
    Ok(bytes)
}

impl Stored<'_> {
    fn len(&self) -> usize {
        match &self.content {
            Content::Floats(data) => data.len() * self.dtype.bitsize() / 8,
            Content::Bytes(bytes) => bytes.len(),
        }
    }

    fn append(&self, bytes: &mut Vec<u8>) {
        match (&self.content, self.dtype) {
            (Content::Bytes(content), _) => bytes.extend(content),
            (Content::Floats(data), Dtype::F16) => append(bytes, data, |x| f16::from_f32(x).to_le_bytes()),
            (Content::Floats(data), Dtype::BF16) => append(bytes, data, |x| bf16::from_f32(x).to_le_bytes()),
            (Content::Floats(data), _) => append(bytes, data, f32::to_le_bytes),
        }
    }
}

fn append<const N: usize>(bytes: &mut Vec<u8>, data: &[f32], convert: impl Fn(f32) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + N * data.len(), 0);
    for (out, &x) in bytes[start..].as_chunks_mut().0.iter_mut().zip(data) {
        *out = convert(x);
    }
}

/// What the file has for a tensor. The error goes on "the tensor `x` …".
fn encode<'a>(name: &str, tensor: &'a HostTensor, format: WeightFormat) -> Checked<Vec<Stored<'a>>> {
    let floats = |dtype| {
        let content = Content::Floats(&tensor.data);
        Ok(vec![Stored { name: name.into(), dtype, shape: tensor.shape.clone(), content }])
    };
    match format {
        WeightFormat::F32 => floats(Dtype::F32),
        WeightFormat::F16 => {
            check_range(&tensor.data, "float16", f16::MAX.to_f32(), |x| f16::from_f32(x).is_finite())?;
            floats(Dtype::F16)
        }
        WeightFormat::Bf16 => {
            check_range(&tensor.data, "bfloat16", bf16::MAX.to_f32(), |x| bf16::from_f32(x).is_finite())?;
            floats(Dtype::BF16)
        }
        WeightFormat::Q8 | WeightFormat::Q4 => quantize(name, tensor, format),
    }
}

fn check_range(data: &[f32], format: &str, largest: f32, fits: impl Fn(f32) -> bool) -> Checked<()> {
    match data.iter().position(|&x| !fits(x)) {
        None => Ok(()),
        Some(at) => Err(format!(
            "has the value {} at index {at}, and {format} ends at {largest}: store it as bf16 or f32, or train with more weight decay",
            data[at]
        )),
    }
}

/// Codes and their scales.
fn quantize<'a>(name: &str, tensor: &HostTensor, format: WeightFormat) -> Checked<Vec<Stored<'a>>> {
    let [rows, columns] = tensor.shape[..] else { unreachable!("only matrices are quantised") };
    let is_q8 = format == WeightFormat::Q8;
    let (row_bytes, blocks) = if is_q8 { (columns, 1) } else { (q4::row_bytes(columns), q4::blocks(columns)) };
    let (mut codes, mut scales) = (vec![0_u8; rows * row_bytes], vec![bf16::ZERO; rows * blocks]);
    if columns > 0 {
        let weights = tensor.data.chunks(columns);
        for ((w, codes), scales) in weights.zip(codes.chunks_mut(row_bytes)).zip(scales.chunks_mut(blocks)) {
            if is_q8 {
                scales[0] = q8::quantize_row(w, bytemuck::cast_slice_mut(codes));
            } else {
                q4::quantize_row(w, codes, scales);
            }
        }
    }
    if let Some(at) = scales.iter().position(|scale| !scale.is_finite()) {
        return Err(format!("has values in row {} that are too large to have codes: store it as f32", at / blocks));
    }
    let (dtype, scale_shape) = if is_q8 { (Dtype::I8, vec![rows]) } else { (Dtype::U8, vec![rows, blocks]) };
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    Ok(vec![
        Stored { name: name.into(), dtype, shape: vec![rows, row_bytes], content: Content::Bytes(codes) },
        Stored {
            name: format!("{name}{SCALE}"),
            dtype: Dtype::BF16,
            shape: scale_shape,
            content: Content::Bytes(scales),
        },
    ])
}

fn check_filled(file: &str, name: &str, tensor: &HostTensor) -> Result<()> {
    let numel = tensor.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    if numel == Some(tensor.data.len()) {
        return Ok(());
    }
    let problem = format!("the tensor `{name}` of shape {:?} has {} values", tensor.shape, tensor.data.len());
    Err(damaged(file, problem))
}
