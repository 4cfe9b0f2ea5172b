//! The worker's messages: an `ArrayBuffer` is an image file, and an array with one is a model.

use js_sys::{Array, ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, Response};

use destseg_engine::error::sentence;
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_engine::onnx::{Input, export};

/// What the page ships.
const MANIFEST: &str = "./models/manifest.json";

/// Answers messages from now on.
pub(crate) fn listen() {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(|event: MessageEvent| {
        let data = event.data();
        spawn_local(async move {
            let answer = match data.dyn_ref::<Array>() {
                Some(model) => to_onnx(&bytes(&model.get(0))).await,
                None => crate::to_png(&bytes(&data)),
            };
            post(&match answer {
                Ok(file) => Uint8Array::from(&*file).buffer().into(),
                Err(sentence) => JsValue::from_str(&sentence),
            });
        });
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    // messages that came before there was anyone to hear them are lost: the page waits for this one
    post(&JsValue::NULL);
}

/// A model as `destseg export --format onnx` writes it.
async fn to_onnx(model: &[u8]) -> Result<Vec<u8>, String> {
    let said = |error: destseg_engine::Error| sentence(&error.to_string());
    let file = ModelFile::parse(model).map_err(said)?;
    let teacher = match file.has_teacher() {
        true => None,
        false => {
            let bytes = teacher(file.header.teacher().id()).await;
            let bytes = bytes
                .ok_or("The model's teacher could not be fetched: check the connection and try again.")?;
            Some(parse_teacher(&bytes).map_err(said)?.1)
        }
    };
    export(&file, teacher.as_ref(), Input::Image, Precision::F16).map_err(said)
}

/// The file of a teacher that the page ships.
async fn teacher(id: &str) -> Option<Vec<u8>> {
    let manifest: serde_json::Value = serde_json::from_slice(&fetch(MANIFEST).await?).ok()?;
    let mut teachers = manifest.get("teachers")?.as_array()?.iter();
    let teacher = teachers.find(|own| own["id"] == id)?;
    fetch(teacher["file"].as_str()?).await
}

async fn fetch(address: &str) -> Option<Vec<u8>> {
    let wait = |promise: Promise| async { JsFuture::from(promise).await.ok() };
    let response: Response = wait(scope().fetch_with_str(address)).await?.dyn_into().ok()?;
    let content = wait(response.ok().then(|| response.array_buffer())?.ok()?).await?;
    Some(bytes(&content))
}

fn bytes(buffer: &JsValue) -> Vec<u8> {
    Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>()).to_vec()
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn post(message: &JsValue) {
    // the page is gone if this fails
    let _sent = scope().post_message(message);
}
