//! What the visitor paints over a defect that the model missed.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, PointerEvent};
use yew::prelude::*;

use super::stage;
use crate::page::ui::state::Item;
use destseg_engine::data::brush::{self, Point};

/// Properties of [`Marker`].
#[derive(Properties, PartialEq)]
pub(super) struct MarkerProps {
    pub(super) item: Item,
    /// Width and height of the image in pixels.
    pub(super) size: (u32, u32),
    /// Gets all that is painted, at the end of each stroke.
    pub(super) onpaint: Callback<Vec<Point>>,
}

/// A transparent sheet over the image that takes strokes of a brush.
#[component]
pub(super) fn Marker(props: &MarkerProps) -> Html {
    let MarkerProps { item, size, onpaint } = props;
    let (width, height) = *size;
    // the stroke under way, behind what was painted before
    let points = use_mut_ref(|| None::<Vec<Point>>);
    let draw_again = use_force_update();
    let place = move |event: &PointerEvent| -> Option<Point> {
        let (x, y) = stage::pixel_at(event, (width, height))?;
        Some([(x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32])
    };
    let begin = {
        let (points, painted, draw_again) = (points.clone(), item.painted.clone(), draw_again.clone());
        move |event: PointerEvent| {
            event.prevent_default();
            if event.button() != 0 || points.borrow().is_some() {
                return;
            }
            if let Some(element) = event
                .target()
                .and_then(|target| target.dyn_into::<Element>().ok())
            {
                // a pointer that cannot be held only ends its stroke at the edge
                let _held = element.set_pointer_capture(event.pointer_id());
            }
            if let Some(at) = place(&event) {
                let mut all = painted.to_vec();
                all.push(at);
                points.replace(Some(all));
                draw_again.force_update();
            }
        }
    };
    let go_on = {
        let (points, draw_again) = (points.clone(), draw_again);
        move |event: PointerEvent| {
            if let (Some(all), Some(at)) = (&mut *points.borrow_mut(), place(&event)) {
                brush::go_on(all, at);
                draw_again.force_update();
            }
        }
    };
    let end = {
        let (points, onpaint) = (points.clone(), onpaint.clone());
        move |_: PointerEvent| {
            let all = points.take();
            if let Some(all) = all {
                onpaint.emit(all);
            }
        }
    };
    let radius = brush::RADIUS * width.max(height) as f32;
    let stroke = points.borrow();
    let shown = stroke.as_deref().unwrap_or(&item.painted);
    let discs = shown.iter().map(|&[x, y]| {
        html! {
            <circle cx={(x * width as f32).to_string()} cy={(y * height as f32).to_string()} r={radius.to_string()} />
        }
    });
    html! {
        <svg class="marker" viewBox={format!("0 0 {width} {height}")} data-testid="marker" role="img"
            aria-label="Paint over the defect" onpointerdown={begin} onpointermove={go_on}
            onpointercancel={end.clone()} onpointerup={end}>
            { for discs }
        </svg>
    }
}
