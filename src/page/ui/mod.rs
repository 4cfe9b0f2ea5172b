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
pub mod state;
mod store;
pub mod study;
mod test_api;
mod video;

/// Shows the page in the document's body.
pub fn run() {
    yew::Renderer::<app::App>::new().render();
}
