//! The meaning of the colours.

use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use super::Page;
use crate::page::ui::{draw, format};
use destseg_engine::render::ColorMap;

/// Steps of the gradient.
const STEPS: usize = 256;

/// A bar from the lowest to the highest colour with the values at its ends and the threshold.
#[component]
pub(crate) fn Legend(page: &Page) -> Html {
    let canvas = use_node_ref();
    let (low, high) = page.state.range();
    {
        let canvas = canvas.clone();
        use_effect_with(page.state.view.colors, move |&colors| {
            if let Some(canvas) = canvas.cast::<HtmlCanvasElement>() {
                // without a context the numbers are still there
                let _ = draw::paint(&canvas, &gradient(colors), STEPS, 1);
            }
        });
    }
    let mark = format!("{:.1}%", page.state.threshold() / high * 100.0);
    html! {
        <div class="legend" role="img" aria-label={format!(
            "Colour scale from {} (normal) to {} (anomalous)", format::value(low), format::value(high))}>
            <span>{ format::value(low) }</span>
            <span class="legend-bar">
                <canvas ref={canvas} />
                if page.state.view.contour {
                    <svg focusable="false">
                        <line x1={mark.clone()} x2={mark.clone()} y1="0" y2="100%" />
                        <text x={mark} y="26" text-anchor="middle">{ "threshold" }</text>
                    </svg>
                }
            </span>
            <span>{ format::value(high) }</span>
        </div>
    }
}

fn gradient(colors: ColorMap) -> Vec<u8> {
    let color = |i| {
        let [red, green, blue] = colors.rgb(i as f32 / (STEPS - 1) as f32);
        [red, green, blue, u8::MAX]
    };
    (0..STEPS).flat_map(color).collect()
}
