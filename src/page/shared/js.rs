//! Properties and methods of JavaScript objects by their names, for what web-sys does not have or only as unstable.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// A property; undefined, if there is none.
pub fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

/// What a method answers; none, if there is none or it throws.
pub fn call(object: &JsValue, method: &str, arguments: &[&JsValue]) -> Option<JsValue> {
    let arguments: Array = arguments.iter().collect();
    let method = get(object, method).dyn_into::<Function>().ok()?;
    Reflect::apply(&method, object, &arguments).ok()
}

/// What a method answers later; none, if there is none, or it throws or refuses.
pub async fn ask(object: &JsValue, method: &str, arguments: &[&JsValue]) -> Option<JsValue> {
    let promise = call(object, method, arguments)?.dyn_into::<Promise>().ok()?;
    JsFuture::from(promise).await.ok()
}
