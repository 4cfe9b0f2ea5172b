//! What helps to find a fault, for the clipboard. Nothing is sent.

use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use super::Page;
use crate::page::shared::js::{ask, get};
use crate::page::ui::state::Action;

/// A button that copies versions, device and latest errors.
#[component]
pub(crate) fn Diagnostics(page: &Page) -> Html {
    let is_copied = use_state(|| false);
    let copy = {
        let (page, is_copied) = (page.clone(), is_copied.setter());
        move |_: MouseEvent| {
            let (page, is_copied) = (page.clone(), is_copied.clone());
            spawn_local(async move {
                match copy(&page.state.diagnostics()).await {
                    Some(()) => is_copied.set(true),
                    None => page.dispatch.dispatch(Action::Notify(
                        "The browser did not let the page copy: allow the clipboard for this site, then try again.".into(),
                    )),
                }
            });
        }
    };
    html! {
        <button class="link" type="button" data-testid="diagnostics" title="Versions, device and latest errors; no image"
            onclick={copy}>
            { if *is_copied { "Copied" } else { "Copy diagnostics" } }
        </button>
    }
}

/// Puts a text into the clipboard, with the browser and the address of the page.
async fn copy(text: &str) -> Option<()> {
    let window = web_sys::window()?;
    let navigator = window.navigator();
    let browser = navigator.user_agent().unwrap_or_default();
    let query = window.location().search().unwrap_or_default();
    let text = format!("{text}browser: {browser}\nquery: {query}\n");
    // there is none on insecure addresses
    ask(&get(&navigator, "clipboard"), "writeText", &[&text.into()])
        .await
        .map(drop)
}
