//! Asks the server whether the files of the GPU engine are there.

use gloo::timers::callback::Interval;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RequestInit, Response};
use yew::prelude::*;

use super::state::{Action, Dispatch, GpuEngineFiles, State};

/// The script that starts it, next to the page. It is the last of its files to appear.
pub(crate) const SCRIPT: &str = "./worker_gpu_loader.js";
/// Milliseconds until the page asks again.
const PAUSE: u32 = 15_000;
const NOT_FOUND: u16 = 404;

/// Whether it is there. Only a server that says no counts; the engine itself reports a broken connection.
pub(crate) async fn is_there() -> bool {
    let Some(window) = web_sys::window() else {
        return true;
    };
    let request = RequestInit::new();
    request.set_method("HEAD");
    let answer = JsFuture::from(window.fetch_with_str_and_init(SCRIPT, &request)).await;
    let response = answer.ok().and_then(|answer| answer.dyn_into::<Response>().ok());
    response.is_none_or(|response| response.status() != NOT_FOUND)
}

/// Says to the page whether it is there.
pub(crate) fn ask(dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    spawn_local(async move { dispatch.dispatch(Action::GpuEngineFiles(is_there().await)) });
}

/// Asks now and then for an engine that was not there, while the page is visible.
#[hook]
pub(crate) fn use_gpu_engine(state: &State, dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    use_effect_with(state.gpu_engine_files, move |&known| {
        let timer = (known == GpuEngineFiles::Absent).then(|| {
            Interval::new(PAUSE, move || {
                let document = web_sys::window().and_then(|window| window.document());
                if document.is_some_and(|document| document.hidden()) {
                    return;
                }
                let dispatch = dispatch.clone();
                spawn_local(async move {
                    if is_there().await {
                        dispatch.dispatch(Action::GpuEngineFiles(true));
                    }
                });
            })
        });
        move || drop(timer)
    });
}
