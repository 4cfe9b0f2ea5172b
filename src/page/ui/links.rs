//! Links to places of the page, such as `#train`: the document has them before the page's module runs, and a click on one
//! then waits in the address.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, Event, HtmlElement};

use super::photos;
use super::state::{Action, Dispatch, Room, TrainAction};

/// The link that the page's address ends with, if it does.
pub(crate) fn in_address() -> Option<String> {
    web_sys::window()?.location().hash().ok()
}

/// Follows a link that was clicked.
pub(crate) fn on_click(event: &Event, dispatch: &Dispatch) {
    let clicked = || {
        let element = event.target()?.dyn_into::<Element>().ok()?;
        element.closest("a[href^='#']").ok()??.get_attribute("href")
    };
    if clicked().is_some_and(|link| follow(&link, dispatch)) {
        event.prevent_default();
    }
}

/// Goes to a place of the page; whether there is one of this name.
pub(crate) fn follow(link: &str, dispatch: &Dispatch) -> bool {
    match link {
        "#example" => dispatch.dispatch(Action::TryExample),
        "#photo" => pick(),
        "#train" => dispatch.dispatch(Action::Enter(Room::Train)),
        "#evaluate" => dispatch.dispatch(Action::Enter(Room::Evaluate)),
        "#compare" => dispatch.dispatch(Action::Enter(Room::Compare)),
        "#tour" => dispatch.dispatch(Action::Tour),
        "#try-training" => photos::take(Room::Train, |photos| photos.train, dispatch),
        "#try-inspecting" => {
            dispatch.dispatch(Action::Train(TrainAction::Use));
            photos::take(Room::Inspect, |photos| photos.test, dispatch);
        }
        _ => return false,
    }
    true
}

/// Opens the file picker for images to inspect.
fn pick() {
    let document = web_sys::window().and_then(|window| window.document());
    let input = document.and_then(|document| document.get_element_by_id("file-input"));
    if let Some(input) = input.and_then(|input| input.dyn_into::<HtmlElement>().ok()) {
        input.click();
    }
}
