//! The header of a safetensors file, checked against the bytes that are really there.
//!
//! ```text
//! [N: u64, little-endian][N bytes of JSON][data]
//! {"__metadata__": {"format": "pt"}, "wte.weight": {"dtype": "F32", "shape": [65, 128], "data_offsets": [0, 33280]}, …}
//! ```
//!
//! Offsets count from the first byte of the data; tensors cover the data without gap or overlap.
//! The crate `safetensors` reads this too, but its errors seldom name the tensor, it keeps the last of two entries of
//! one name, and sizes that add up to more than a `usize` overflow in it.
//! Nothing is allocated beyond the header, whose length is checked before it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ::safetensors::tensor::{Dtype, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::order;

/// Longest header that the format's own readers accept.
const MAX_HEADER: u64 = 100_000_000;

/// What a file holds, as it lies there.
pub(super) struct Contents<'a> {
    pub metadata: BTreeMap<String, String>,
    /// By name, each once.
    pub tensors: Vec<(String, View<'a>)>,
}

/// A tensor in the file.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// As many as dtype and shape call for.
    pub bytes: &'a [u8],
}

/// Reads the header of a file after checking its whole layout. The error is a sentence about the file.
pub(super) fn read(bytes: &[u8]) -> Result<Contents<'_>, String> {
    if let Some(kind) = foreign_kind(bytes) {
        return Err(format!("this is {kind}, not a safetensors file"));
    }
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(format!("the file has {} bytes, too few for a safetensors file: it was cut short", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "the header claims {length} bytes and at most {MAX_HEADER} are allowed: the file is damaged or not safetensors"
        ));
    }
    let Some((header, data)) = rest.split_at_checked(length as usize) else {
        return Err(format!("the header claims {length} bytes and {} follow: the file was cut short", rest.len()));
    };
    let mut header: Header = serde_json::from_slice(header).map_err(|e| format!("the header is not valid: {e}"))?;
    check_layout(&mut header.tensors, data.len())?;
    let view =
        |TensorInfo { dtype, shape, data_offsets: (begin, end) }| View { dtype, shape, bytes: &data[begin..end] };
    let tensors = header.tensors.into_iter().map(|(name, info)| (name, view(info))).collect();
    Ok(Contents { metadata: header.metadata, tensors })
}

/// Names a file that is something else by its first bytes.
fn foreign_kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(8) == Some(&b'{') && bytes.get(7) == Some(&0) {
        return None; // a length below 2^56, then a JSON object
    }
    let kinds: [(&[u8], &str); 8] = [
        (b"PK\x03\x04", "a zip archive, such as torch.save writes (convert it with safetensors.torch.save_file)"),
        (b"\x80\x02", "a Python pickle (convert it with safetensors.torch.save_file)"),
        (b"\x80\x04", "a Python pickle (convert it with safetensors.torch.save_file)"),
        (b"version https://git-lfs", "a git-lfs pointer (fetch the real file with `git lfs pull`)"),
        (b"GGUF", "a GGUF file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"<", "a web page or XML"),
    ];
    kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|&(_, kind)| kind)
}

/// Each tensor has the bytes that its shape needs, and together they cover the data exactly.
fn check_layout(tensors: &mut Vec<(String, TensorInfo)>, data: usize) -> Result<(), String> {
    for (name, TensorInfo { dtype, shape, data_offsets: (begin, end) }) in &*tensors {
        let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
        let Some(bits) = bits else {
            return Err(format!("the tensor `{name}` of shape {shape:?} is larger than any memory"));
        };
        if begin > end || *end > data {
            return Err(format!(
                "the tensor `{name}` claims bytes {begin} to {end} of {data} bytes of data: the file was cut short or is damaged"
            ));
        }
        if !bits.is_multiple_of(8) || bits / 8 != end - begin {
            return Err(format!(
                "the tensor `{name}` of shape {shape:?} and type {dtype} needs {} bytes, but its offsets give it {}",
                bits.div_ceil(8),
                end - begin
            ));
        }
    }
    order::sort_by(tensors, |(_, a), (_, b)| a.data_offsets.cmp(&b.data_offsets));
    let mut covered = 0;
    let mut before = None;
    for (name, info) in tensors {
        let (begin, end) = info.data_offsets;
        if let (true, Some(before)) = (begin < covered, before) {
            return Err(format!("the tensors `{before}` and `{name}` overlap: the file is damaged"));
        }
        if begin > covered {
            return Err(format!("the data before tensor `{name}`, bytes {covered} to {begin}, belongs to no tensor"));
        }
        (covered, before) = (end, Some(name));
    }
    if covered < data {
        return Err(format!("the data's last {} bytes belong to no tensor: the file is damaged", data - covered));
    }
    Ok(())
}

/// The header as written: entries in order, so that a repeated name is seen.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from tensor names to their type, shape and offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { metadata: BTreeMap::new(), tensors: Vec::new() };
                let mut names = BTreeSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` is there twice")));
                    }
                    let inside = |e| A::Error::custom(format!("`{name}`: {e}"));
                    if name == "__metadata__" {
                        header.metadata = map.next_value().map_err(inside)?;
                    } else {
                        let info = map.next_value().map_err(inside)?;
                        header.tensors.push((name, info));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
