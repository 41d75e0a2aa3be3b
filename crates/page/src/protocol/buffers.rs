//! Arrays of numbers in messages. In a browser each becomes a typed array whose buffer is transferred with the message; elsewhere (tests) a list.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A tensor's numbers, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub Vec<f32>);

/// Whole numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub Vec<u32>);

/// A file's contents, or an image's.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl Deref for Counts {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

mod transfer {
    use std::cell::RefCell;

    use js_sys::Array;
    use serde::Serialize;
    use wasm_bindgen::JsValue;

    thread_local! {
        /// Buffers of the message that is being written.
        static BUFFERS: RefCell<Array> = RefCell::new(Array::new());
    }

    /// Notes a buffer of the message that is being written.
    #[cfg(target_family = "wasm")]
    pub fn note(buffer: &JsValue) {
        BUFFERS.with_borrow(|buffers| buffers.push(buffer));
    }

    /// A message, and the buffers to be transferred with it.
    ///
    /// # Errors
    /// Never for the protocol's types.
    pub fn to_message(message: &impl Serialize) -> Result<(JsValue, Array), serde_wasm_bindgen::Error> {
        BUFFERS.with_borrow_mut(|buffers| *buffers = Array::new());
        // Sizes and seeds are 64-bit: a JavaScript number would lose some.
        let serializer = serde_wasm_bindgen::Serializer::new().serialize_large_number_types_as_bigints(true);
        let value = message.serialize(&serializer)?;
        Ok((value, BUFFERS.take()))
    }
}

pub use transfer::to_message;

macro_rules! transferred {
    ($name:ident, $element:ty, $array:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                #[cfg(target_family = "wasm")]
                {
                    let array = <$array>::from(&self.0[..]);
                    transfer::note(&array.buffer());
                    serde_wasm_bindgen::preserve::serialize(&array, serializer)
                }
                #[cfg(not(target_family = "wasm"))]
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[cfg(target_family = "wasm")]
                {
                    let array: $array = serde_wasm_bindgen::preserve::deserialize(deserializer)?;
                    Ok(Self(array.to_vec()))
                }
                #[cfg(not(target_family = "wasm"))]
                Vec::<$element>::deserialize(deserializer).map(Self)
            }
        }
    };
}

transferred!(Values, f32, js_sys::Float32Array);
transferred!(Counts, u32, js_sys::Uint32Array);
transferred!(Bytes, u8, js_sys::Uint8Array);
