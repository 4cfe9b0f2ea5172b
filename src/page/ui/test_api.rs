//! `window.destseg`, for tests and the curious: `destseg.maps()` gives the numbers behind the image
//! shown, or `null` while there are none:
//! `{name, width, height, segmentation: Float32Array, dest: Float32Array, levels: [Float32Array], score}`;
//! no `segmentation` where the model has no such network. `destseg.losses()` gives the loss of each step of
//! the training that runs, `destseg.stepTimes()` the milliseconds that each took, `destseg.preview()` the
//! pictures of synthetic anomalies, RGBA. `destseg.saved("html")` gives the text of the file that the
//! evaluation room saves, likewise `"csv"` and `"json"`.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Float32Array, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use super::components::export;
use super::state::State;
use crate::page::protocol::StepInfo;

/// The state that the `test_api` reads, kept up to date by the page.
pub(crate) type Latest = Rc<RefCell<Rc<State>>>;

/// Puts the `test_api` on the window, for as long as the page is open.
pub(crate) fn install(latest: Latest) {
    let Some(window) = web_sys::window() else { return };
    let trained = latest.clone();
    let (timed, previewed, evaluated) = (latest.clone(), latest.clone(), latest.clone());
    let losses =
        Closure::<dyn Fn() -> JsValue>::new(move || steps(&trained.borrow(), |step| step.loss.into()));
    let times = Closure::<dyn Fn() -> JsValue>::new(move || steps(&timed.borrow(), |step| step.ms));
    let preview = Closure::<dyn Fn() -> JsValue>::new(move || {
        let preview = &previewed.borrow().train.preview;
        let pictures = preview
            .as_ref()
            .map(|preview| Uint8Array::from(preview.pictures.as_slice()));
        pictures.map_or(JsValue::NULL, Into::into)
    });
    let maps = Closure::<dyn Fn() -> JsValue>::new(move || maps(&latest.borrow()).unwrap_or(JsValue::NULL));
    let saved = Closure::<dyn Fn(String) -> JsValue>::new(move |ending: String| {
        let state = evaluated.borrow();
        let result = state.evaluate.result();
        result.map_or(JsValue::NULL, |result| export(&ending, &state, result).into())
    });
    let test_api = Object::new();
    set(&test_api, "saved", &saved.into_js_value());
    set(&test_api, "maps", &maps.into_js_value());
    set(&test_api, "losses", &losses.into_js_value());
    set(&test_api, "preview", &preview.into_js_value());
    set(&test_api, "stepTimes", &times.into_js_value());
    set(&window, "destseg", &test_api);
}

/// A number of each step of the training that runs.
fn steps(state: &State, number: fn(&StepInfo) -> f64) -> JsValue {
    let steps = state.train.course.iter().flat_map(|course| &course.steps);
    let numbers: js_sys::Array = steps.map(|step| JsValue::from(number(step))).collect();
    numbers.into()
}

fn maps(state: &State) -> Option<JsValue> {
    let item = state.current()?;
    let prediction = state.prediction(item)?;
    let result = Object::new();
    set(&result, "name", &JsValue::from_str(&item.name));
    set(&result, "width", &JsValue::from(prediction.info.map_width as u32));
    set(
        &result,
        "height",
        &JsValue::from(prediction.info.map_height as u32),
    );
    if let Some(map) = &prediction.segmentation {
        set(&result, "segmentation", &Float32Array::from(map.values()));
    }
    set(&result, "dest", &Float32Array::from(prediction.dest.values()));
    let levels: js_sys::Array = prediction
        .levels
        .iter()
        .map(|level| Float32Array::from(level.values()))
        .collect();
    set(&result, "levels", &levels);
    set(&result, "score", &JsValue::from(prediction.info.score));
    Some(result.into())
}

fn set(object: &JsValue, key: &str, value: &JsValue) {
    // only a frozen object refuses, and these are not
    let _ = Reflect::set(object, &JsValue::from_str(key), value);
}
