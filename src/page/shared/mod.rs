//! Messages between the page and its engine as JavaScript values.
//!
//! A message is the array `[json, buffer]`: JSON text of a [`Command`](crate::page::protocol::Command) or
//! [`Event`](crate::page::protocol::Event), and an `ArrayBuffer` or `null`. The buffer is transferred,
//! never copied; both halves of the page use this one pair of functions.

pub mod content;
pub mod convert;
pub mod js;
pub mod store;

use js_sys::{Array, ArrayBuffer};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast as _, JsValue};

/// A message ready for `post_message_with_transfer(&envelope.message, &envelope.transfer)`.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// `[json, buffer or null]`.
    pub message: Array,
    /// The transfer list: the buffer, if there is one.
    pub transfer: Array,
}

/// Packs a message and its bulk data.
///
/// # Errors
/// If the message has no JSON form; the protocol's enums always have one.
pub fn encode<T: Serialize>(
    message: &T,
    buffer: Option<&ArrayBuffer>,
) -> Result<Envelope, serde_json::Error> {
    let json = JsValue::from_str(&serde_json::to_string(message)?);
    let (data, transfer) = match buffer {
        Some(buffer) => (JsValue::from(buffer), Array::of1(buffer)),
        None => (JsValue::NULL, Array::new()),
    };
    Ok(Envelope {
        message: Array::of2(&json, &data),
        transfer,
    })
}

/// Unpacks the `data` of a message event; `None` if it is no message of type `T`.
pub fn decode<T: DeserializeOwned>(data: &JsValue) -> Option<(T, Option<ArrayBuffer>)> {
    let parts = data.dyn_ref::<Array>()?;
    let message = serde_json::from_str(&parts.get(0).as_string()?).ok()?;
    Some((message, parts.get(1).dyn_into().ok()))
}

/// The bytes of `f32` values, as a buffer holds them.
pub fn to_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// The `f32` values in the bytes of a buffer.
pub fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes)
}
