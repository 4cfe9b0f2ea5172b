//! The page: paints at once, computes nothing. The engine lives in a worker; [`state`] knows
//! everything, `components` show it, `client` talks to the worker.

mod app;
mod chart;
mod client;
mod components;
mod draw;
mod files;
mod format;
mod gpu_engine;
mod icons;
mod links;
mod photos;
pub mod state;
mod store;
pub mod study;
mod test_api;
mod video;

use yew::Html;

/// Shows the page in the place that its document has for it, and keeps what is painted there already.
pub fn run() {
    let Some(document) = web_sys::window().and_then(|window| window.document()) else {
        return;
    };
    let painted = |id| {
        let element = document.get_element_by_id(id);
        element.map_or_else(Html::default, |element| Html::VRef(element.into()))
    };
    let painted = app::Painted {
        brand: painted("brand"),
        welcome: painted("welcome"),
    };
    if let Some(place) = document.get_element_by_id("page") {
        yew::Renderer::<app::App>::with_root_and_props(place, painted).render();
    }
}
