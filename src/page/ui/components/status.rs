//! The line at the foot of the page: what computes, what is loaded, how fast it is.

use yew::prelude::*;

use super::Page;
use super::diagnostics::Diagnostics;
use crate::page::protocol::BackendChoice;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Engine, Load};

/// Stands for a number that is not there yet.
const NONE: &str = "–";

/// Backend, adapter, model and times; whether the page works offline, keys, diagnostics.
#[component]
pub(crate) fn StatusLine(page: &Page) -> Html {
    let state = &page.state;
    let device = state.device.as_deref();
    let backend = match (&state.engine, device) {
        (Engine::Stopped(_), _) => "stopped",
        (_, Some(device)) if device.backend == BackendChoice::Webgpu => "WebGPU",
        (_, Some(_)) => "CPU",
        _ => "starting …",
    };
    let adapter = device.map_or(NONE, |device| &device.adapter).to_owned();
    let model = state
        .model
        .as_ref()
        .filter(|_| !matches!(state.load, Load::Running { .. }));
    let described = match (model, &state.load) {
        (_, Load::Running { source, .. }) => format!("{} (loading)", state.source_name(source)),
        (Some(model), _) => format!(
            "{}, {} MB with teacher",
            model.info.name,
            format::megabytes(model.info.bytes)
        ),
        _ => NONE.to_owned(),
    };
    let details = model.map(|model| {
        let info = &model.info;
        let millions = info.parameters as f64 / 1e6;
        format!(
            "{} preset, {} teacher, {millions:.1} million parameters, {} px input, trained on {}",
            info.preset, info.teacher, info.input_size, info.trained_on
        )
    });
    let time = |value: Option<f64>| value.map_or(NONE.to_owned(), format::time);
    let fact = |name: &'static str, testid: &'static str, value: String| {
        html! { <div><dt>{ name }</dt><dd data-testid={testid}>{ value }</dd></div> }
    };
    html! {
        <footer class="status">
            <dl>
                { fact("Backend", "status-backend", backend.to_owned()) }
                { fact("Adapter", "status-adapter", adapter) }
                <div title={details}><dt>{ "Model" }</dt><dd data-testid="status-model">{ described }</dd></div>
                { fact("Load", "status-load-ms", time(model.map(|model| model.info.load_ms))) }
                { fact("First run", "status-first-ms", time(model.map(|model| model.info.first_ms))) }
                { fact("Median", "status-median-ms", time(state.median_ms())) }
            </dl>
            if let Some(device) = device {
                if device.software {
                    <p class="warning" data-testid="status-software">
                        { icon(icons::WARNING) }
                        { "This adapter is software and slow: choose CPU for faster results." }
                    </p>
                }
                if let Some(notice) = &device.notice {
                    <p data-testid="status-notice">{ notice }</p>
                }
            }
            // shown by www/offline.js
            <button id="offline" class="link" type="button" popovertarget="offline-about" data-testid="offline" hidden=true>
                { "✓ Works offline" }
            </button>
            <button class="link" type="button" popovertarget="keys" data-testid="keys-open">{ "Keys" }</button>
            <Diagnostics ..page.clone() />
        </footer>
    }
}
