//! What the stage shows around a result: the wait before it, and the value under
//! the pointer.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, PointerEvent};
use yew::prelude::*;

use super::Page;
use super::jpeg::Jpeg;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Engine, Load, MapKind, Prediction, State, Status};
use destseg_engine::data::map::AnomalyMap;

/// The stage without a result: what is awaited, what went wrong, or how to begin.
#[component]
pub(crate) fn Pending(page: &Page) -> Html {
    let state = &page.state;
    let Some(item) = state.current() else {
        if state.awaits_model() {
            return html! { <div class="state-card" aria-live="polite">{ progress(state) }</div> };
        }
        return html! {
            <div class="state-text">
                { icon(icons::PICTURE) }
                <p><strong>{ "Add an image to inspect" }</strong></p>
                <p>{ "Drop it here, paste it, or choose an example." }</p>
                { progress(state) }
            </div>
        };
    };
    if let Status::Failed(message) = &item.status {
        return html! {
            <div class="state-text failed" role="alert" data-testid="item-error">
                { icon(icons::WARNING) }
                <p><strong>{ "This image cannot be analysed" }</strong></p>
                <p>{ &**message }</p>
            </div>
        };
    }
    html! {
        <>
            if let Some(example) = &item.example {
                if state.is_first_look() {
                    <img class="stage-image first-look" src="first-look.jpg" alt={example.alt.clone()} />
                } else {
                    <img class="stage-image" src={example.file.clone()} alt={example.alt.clone()} />
                }
            } else if let Some(info) = item.info() {
                <Jpeg class="stage-image" bytes={item.thumbnail.clone()} size={(info.width, info.height)} />
            }
            <div class="state-card" aria-live="polite">{ progress(state) }</div>
        </>
    }
}

/// What the engine is doing, with a bar.
fn progress(state: &State) -> Html {
    let bar = |text: String, share: Option<(u64, u64)>| {
        let (value, max) = share.map_or((None, None), |(value, max)| (Some(value), Some(max)));
        html! {
            <div class="progress">
                <p>{ text.clone() }</p>
                <progress data-testid="progress" aria-label={text} value={value.map(|v| v.to_string())}
                    max={max.map(|v| v.to_string())} />
            </div>
        }
    };
    match (&state.engine, &state.load) {
        (Engine::Stopped(_), _) => html! { <p>{ "The engine is stopped." }</p> },
        (_, Load::Failed(source, _)) => {
            html! { <p>{ state.source_name(source) }{ " is not loaded." }</p> }
        }
        (Engine::Starting | Engine::Listening | Engine::Preparing, _) => {
            bar("Starting the engine …".into(), None)
        }
        (
            Engine::Running,
            Load::Running {
                source,
                received,
                total,
                ..
            },
        ) => {
            let name = state.source_name(source);
            let (received, total) = (*received, *total);
            if total == 0 {
                bar(format!("Loading {name} …"), None)
            } else if received < total {
                let (now, all) = (format::megabytes(received), format::megabytes(total));
                bar(
                    format!("Loading {name}: {now} of {all} MB"),
                    Some((received, total)),
                )
            } else {
                bar(format!("Preparing {name} …"), Some((received, total)))
            }
        }
        (Engine::Running, Load::Wanted(_)) => bar("Loading the model …".into(), None),
        (Engine::Running, Load::Idle) if state.model.is_none() => {
            html! { <p>{ "Open a model to begin." }</p> }
        }
        (Engine::Running, Load::Idle) if state.current().is_some() => bar("Analysing …".into(), None),
        (Engine::Running, Load::Idle) => Html::default(),
    }
}

/// The pixel of a `width * height` image under the pointer, on a canvas that shows it whole and centred.
pub(crate) fn pixel_at(event: &PointerEvent, (width, height): (u32, u32)) -> Option<(u32, u32)> {
    let canvas = event.target()?.dyn_into::<Element>().ok()?;
    let (shown, width, height) = (
        canvas.get_bounding_client_rect(),
        f64::from(width),
        f64::from(height),
    );
    let scale = (shown.width() / width).min(shown.height() / height);
    let x = (f64::from(event.client_x()) - shown.left() - (shown.width() - width * scale) / 2.0) / scale;
    let y = (f64::from(event.client_y()) - shown.top() - (shown.height() - height * scale) / 2.0) / scale;
    (x >= 0.0 && y >= 0.0 && x < width && y < height).then_some((x as u32, y as u32))
}

/// A pixel's place and map value in words.
pub(crate) fn readout(prediction: &Prediction, kind: MapKind, (x, y): (u32, u32)) -> String {
    let value = value_at(prediction, prediction.map(kind), (x, y));
    format!("x {x}, y {y}: {}", format::value(value))
}

/// A map's value at a pixel of the image.
pub(crate) fn value_at(prediction: &Prediction, map: &AnomalyMap, (x, y): (u32, u32)) -> f32 {
    let place =
        |at: u32, image: u32, map: usize| (u64::from(at) * map as u64 / u64::from(image.max(1))) as usize;
    let column = place(x, prediction.info.width, map.width());
    let row = place(y, prediction.info.height, map.height());
    let value = map.values().get(row * map.width() + column);
    value.copied().unwrap_or_default()
}
