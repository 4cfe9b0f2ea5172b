//! The browser side, in a worker or a window.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What can be said about the GPU before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProbe {
    /// The adapter's name.
    pub name: String,
    /// Whether it is software (`SwiftShader`, lavapipe).
    pub software: bool,
    /// Why it cannot be used at all.
    pub obstacle: Option<String>,
}

/// Milliseconds since the page or worker started.
pub fn now_ms() -> f64 {
    get(&js_sys::global(), "performance")
        .dyn_into::<web_sys::Performance>()
        .map_or_else(|_| js_sys::Date::now(), |performance| performance.now())
}

/// Lets the event loop run: a macrotask, so that messages are delivered.
pub async fn yield_now() {
    let promise = Promise::new(&mut |resolve, _| {
        let set_timeout = get(&js_sys::global(), "setTimeout").unchecked_into::<Function>();
        // without a timer there is nothing to wait for
        if set_timeout
            .call2(&JsValue::NULL, &resolve, &JsValue::from(0))
            .is_err()
        {
            let _resolved = resolve.call0(&JsValue::NULL);
        }
    });
    let _woken = JsFuture::from(promise).await;
}

/// Asks WebGPU for its adapter without opening a device.
pub async fn probe_gpu() -> GpuProbe {
    let none = |reason: &str| GpuProbe {
        name: String::new(),
        software: false,
        obstacle: Some(reason.into()),
    };
    let gpu = get(&get(&js_sys::global(), "navigator"), "gpu");
    if !gpu.is_object() {
        return none("this browser has no WebGPU");
    }
    let adapter = match call(&gpu, "requestAdapter") {
        Some(promise) => JsFuture::from(promise.unchecked_into::<Promise>())
            .await
            .unwrap_or(JsValue::NULL),
        None => JsValue::NULL,
    };
    if !adapter.is_object() {
        return none("WebGPU found no usable graphics adapter");
    }
    let info = get(&adapter, "info");
    let text = |key: &str| get(&info, key).as_string().unwrap_or_default();
    let (vendor, architecture, description) = (text("vendor"), text("architecture"), text("description"));
    let name = if description.is_empty() {
        format!("{vendor} {architecture}").trim().to_owned()
    } else {
        description
    };
    let hint = format!("{name} {architecture}").to_lowercase();
    let software = ["swiftshader", "llvmpipe", "lavapipe", "basic render"]
        .iter()
        .any(|known| hint.contains(known))
        || get(&info, "isFallbackAdapter").is_truthy()
        || get(&adapter, "isFallbackAdapter").is_truthy();
    // cubecl times kernels by timestamps in a browser and panics without them
    let timestamps = call_with(
        &get(&adapter, "features"),
        "has",
        &JsValue::from_str("timestamp-query"),
    )
    .is_some_and(|answer| answer.is_truthy());
    let obstacle =
        (!timestamps).then(|| "the graphics adapter cannot measure time (timestamp-query)".to_owned());
    GpuProbe {
        name: if name.is_empty() {
            "unnamed adapter".into()
        } else {
            name
        },
        software,
        obstacle,
    }
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(key)).unwrap_or(JsValue::UNDEFINED)
}

fn call(object: &JsValue, method: &str) -> Option<JsValue> {
    get(object, method)
        .dyn_into::<Function>()
        .ok()?
        .call0(object)
        .ok()
}

fn call_with(object: &JsValue, method: &str, argument: &JsValue) -> Option<JsValue> {
    get(object, method)
        .dyn_into::<Function>()
        .ok()?
        .call1(object, argument)
        .ok()
}
