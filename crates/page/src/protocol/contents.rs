//! A file's contents on their way to the worker. In a browser it is the visitor's `File` itself, which a message carries without reading it, so
//! that a large model never passes through the page; elsewhere (tests) its bytes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A handle of a file's contents.
#[derive(Clone, PartialEq)]
pub struct Contents(pub Handle);

/// A `Blob`.
#[cfg(target_family = "wasm")]
pub type Handle = wasm_bindgen::JsValue;

/// Bytes.
#[cfg(not(target_family = "wasm"))]
pub type Handle = Vec<u8>;

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents")
    }
}

impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[cfg(target_family = "wasm")]
        return serde_wasm_bindgen::preserve::serialize(&self.0, serializer);
        #[cfg(not(target_family = "wasm"))]
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[cfg(target_family = "wasm")]
        return serde_wasm_bindgen::preserve::deserialize(deserializer).map(Self);
        #[cfg(not(target_family = "wasm"))]
        Handle::deserialize(deserializer).map(Self)
    }
}
