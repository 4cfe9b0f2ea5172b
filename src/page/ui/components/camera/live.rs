//! The verdict on the camera's picture as it comes.

use std::collections::VecDeque;

use web_sys::{HtmlCanvasElement, HtmlVideoElement};
use yew::prelude::*;

use crate::page::ui::components::controls::Toggle;
use crate::page::ui::components::{Page, column, verdict};
use crate::page::ui::state::{Action, CameraPrediction, State, Verdict};
use crate::page::ui::{draw, format};
use destseg_engine::data::contour;

/// Predictions that the shown rate is of.
const RATE_OVER: usize = 20;

/// Properties of [`Overlay`] and [`Readout`].
#[derive(PartialEq, Properties)]
pub(crate) struct LiveProps {
    pub(crate) page: Page,
    /// The camera's picture.
    pub(crate) video: NodeRef,
}

/// Heat map and outline over the camera's picture.
#[component]
pub(crate) fn Overlay(props: &LiveProps) -> Html {
    let LiveProps { page, video } = props;
    let canvas = use_node_ref();
    let (view, prediction) = (page.state.view, page.state.camera.prediction.clone());
    let key = (prediction.as_ref().map(|prediction| prediction.job), view);
    {
        let (canvas, video, state) = (canvas.clone(), video.clone(), page.state.clone());
        use_effect_with(key, move |_| {
            let canvas = canvas.cast::<HtmlCanvasElement>();
            if let (Some(canvas), Some(video)) = (canvas, video.cast::<HtmlVideoElement>()) {
                // a canvas without context stays empty; the verdict is still there
                let _ = paint(&canvas, &video, &state, prediction.as_deref());
            }
        });
    }
    html! { <canvas ref={canvas} class="camera-overlay" data-testid="live-canvas" aria-hidden="true" /> }
}

fn paint(
    canvas: &HtmlCanvasElement,
    video: &HtmlVideoElement,
    state: &State,
    prediction: Option<&CameraPrediction>,
) -> Option<()> {
    let size = (video.video_width().max(1), video.video_height().max(1));
    let Some(CameraPrediction { summary, map, .. }) = prediction else {
        return draw::compose(canvas, size, None, &draw::Layers::none());
    };
    let verdict = Verdict::new(summary.score, state.calibration()).about(summary.unfamiliar);
    let view = state.view_of(&verdict);
    let high = column::span(summary, map);
    let moved = state
        .map_kinds()
        .first()
        .and_then(|&kind| view.thresholds[kind as usize]);
    let calibrated = summary.thresholds.map(|thresholds| thresholds.pixel);
    let heat = draw::heat_canvas(map, view.colors, (0.0, high));
    let outlines = contour::contours(map, moved.or(calibrated).unwrap_or(high / 2.0));
    let layers = draw::Layers {
        heat: heat
            .as_ref()
            .filter(|_| view.overlay)
            .map(|heat| (heat, view.opacity)),
        outlines: if view.contour { &outlines } else { &[] },
        map_size: (map.width(), map.height()),
    };
    draw::compose(canvas, size, None, &layers)
}

/// The verdict in words, and the switch.
#[component]
pub(crate) fn Readout(props: &LiveProps) -> Html {
    let LiveProps { page, video } = props;
    let camera = &page.state.camera;
    let is_on = camera.video.is_some();
    let rate = use_rate(camera.prediction.as_deref().map(|prediction| prediction.job));
    let toggle = {
        let (dispatch, video) = (page.dispatch.clone(), video.clone());
        move |()| {
            let video = video.cast::<HtmlVideoElement>().filter(|_| !is_on);
            dispatch.dispatch(Action::Camera(video));
        }
    };
    let judged = camera
        .prediction
        .as_deref()
        .map(|CameraPrediction { summary, .. }| {
            Verdict::new(summary.score, page.state.calibration()).about(summary.unfamiliar)
        });
    let class = judged.map(|verdict| verdict.word());
    html! {
        <div class={classes!("live", class)} data-testid="live">
            <div class="live-head">
                <div role="status" data-testid="live-verdict">
                    if let Some(judged) = &judged {
                        <h3>{ verdict::headline(judged) }</h3>
                    } else {
                        <p class="verdict-none">{ waiting(&page.state) }</p>
                    }
                </div>
                <Toggle label="Live verdict" testid="live-switch" on={is_on} onclick={toggle} />
            </div>
            if let (Some(verdict), Some(prediction)) = (&judged, &camera.prediction) {
                { verdict::gauge(verdict) }
                <p class="live-facts">
                    <span data-testid="live-score" data-value={verdict.score.to_string()}>{ "Score " }
                        <strong>{ format::value(verdict.score) }</strong>
                        { format!(", threshold {}", format::value(verdict.thresholds.image)) }</span>
                    <span data-testid="live-rate" data-value={rate.map(|rate| rate.to_string())}>
                        { rate.map_or_else(|| format::time(prediction.summary.ms), |rate| format!("{rate:.0} images/s")) }
                    </span>
                </p>
            }
        </div>
    }
}

/// What is said where there is no verdict.
fn waiting(state: &State) -> String {
    match (&state.camera.error, &state.camera.video) {
        (Some(error), _) => error.to_string(),
        (None, None) => "Photos only".into(),
        (None, Some(_)) if state.is_stuck() => "No model is loaded: close this and choose one".into(),
        (None, Some(_)) if !state.model_loaded => "Waiting for the model …".into(),
        (None, Some(_)) => "Looking …".into(),
    }
}

/// Predictions per second, once there were a few.
#[hook]
fn use_rate(job: Option<u32>) -> Option<f64> {
    const FEWEST: usize = 4;
    let times = use_mut_ref(VecDeque::<f64>::new);
    let rate = use_memo(job, |job| {
        let mut times = times.borrow_mut();
        if job.is_none() {
            times.clear();
            return None;
        }
        if times.len() > RATE_OVER {
            times.pop_front();
        }
        times.push_back(js_sys::Date::now());
        let span = times.back()? - times.front()?;
        (times.len() >= FEWEST && span > 0.0).then(|| 1000.0 * (times.len() - 1) as f64 / span)
    });
    *rate
}
