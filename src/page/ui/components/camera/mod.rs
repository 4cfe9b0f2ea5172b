//! Photos from the camera.

mod live;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, DomException, HtmlDialogElement, HtmlVideoElement, MediaStream, MediaStreamConstraints,
    MediaStreamTrack, MediaTrackConstraints,
};
use yew::prelude::*;

use crate::page::shared::content::{Content, UserFile};
use crate::page::ui::components::Page;
use crate::page::ui::draw;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::Action;
use live::{Overlay, Readout};

/// Properties of [`Camera`].
#[derive(PartialEq, Properties)]
pub(crate) struct CameraProps {
    /// Takes the photos, and judges what the camera sees.
    pub(crate) page: Page,
    /// Called when the dialog was closed.
    pub(crate) onclose: Callback<()>,
}

/// A dialog with the camera's picture. The camera is on exactly as long as the dialog is there.
#[component]
pub(crate) fn Camera(props: &CameraProps) -> Html {
    let dialog = use_node_ref();
    let video = use_node_ref();
    let trouble = use_state(|| None::<&'static str>);
    let live = use_state(|| false);
    let count = use_state(|| 0_u32);
    {
        let (dialog, video) = (dialog.clone(), video.clone());
        let (trouble, live) = (trouble.setter(), live.setter());
        use_effect_with((), move |()| {
            if let Some(dialog) = dialog.cast::<HtmlDialogElement>() {
                let _ = dialog.show_modal();
            }
            let stream = Rc::new(RefCell::new(None::<MediaStream>));
            let closed = Rc::new(Cell::new(false));
            let (opened, gone) = (stream.clone(), closed.clone());
            spawn_local(async move {
                match open().await {
                    Ok(stream) if gone.get() => stop(&stream),
                    Ok(stream) => {
                        if let Some(video) = video.cast::<HtmlVideoElement>() {
                            video.set_src_object(Some(&stream));
                        }
                        opened.replace(Some(stream));
                        live.set(true);
                    }
                    Err(message) => trouble.set(Some(message)),
                }
            });
            move || {
                closed.set(true);
                if let Some(stream) = stream.take() {
                    stop(&stream);
                }
            }
        });
    }
    let is_inspecting = props.page.state.is_inspecting();
    {
        let (video, dispatch) = (video.clone(), props.page.dispatch.clone());
        use_effect_with(*live && is_inspecting, move |&watch| {
            if watch {
                dispatch.dispatch(Action::Camera(video.cast()));
            }
            move || {
                if watch {
                    dispatch.dispatch(Action::Camera(None));
                }
            }
        });
    }
    let take = {
        let (video, dispatch, count) = (video.clone(), props.page.dispatch.clone(), count.clone());
        Callback::from(move |_: MouseEvent| {
            let (video, dispatch) = (video.clone(), dispatch.clone());
            let number = *count + 1;
            count.set(number);
            spawn_local(async move {
                let Some(video) = video.cast::<HtmlVideoElement>() else {
                    return;
                };
                dispatch.dispatch(match photo(&video).await {
                    Some(blob) => {
                        let images = vec![UserFile {
                            path: format!("photo {number}.png").into(),
                            content: Ok(Content::File(blob)),
                        }];
                        Action::Add(images.into())
                    }
                    None => Action::Notify("The photo could not be taken: try again.".into()),
                });
            });
        })
    };
    // Escape closes the dialog without a click
    let onclose = props.onclose.reform(|_: Event| ());
    let close = props.onclose.reform(|_: MouseEvent| ());
    let taken = match *count {
        0 => String::new(),
        1 => "1 photo added to the queue".into(),
        count => format!("{count} photos added to the queue"),
    };
    html! {
        <dialog ref={dialog} class="camera" aria-label="Camera" {onclose}>
            <div class="camera-picture">
                if let Some(message) = *trouble {
                    <p class="state-text">{ icon(icons::CAMERA) }{ message }</p>
                } else {
                    <video ref={&video} autoplay=true muted=true playsinline=true
                        aria-label="Live picture of the camera" />
                    if !*live {
                        <p class="state-text">{ icon(icons::CAMERA) }{ "Waiting for the camera …" }</p>
                    } else if is_inspecting {
                        <Overlay page={props.page.clone()} video={video.clone()} />
                    }
                }
            </div>
            if *live && is_inspecting {
                <Readout page={props.page.clone()} video={video.clone()} />
            }
            <p class="hint" aria-live="polite">{ taken }</p>
            <div class="dialog-buttons">
                <button class="button" type="button" onclick={close}>{ "Close" }</button>
                if trouble.is_none() {
                    <button class="button primary" type="button" data-testid="take-photo" disabled={!*live}
                        onclick={take}>
                        { icon(icons::CAMERA) }{ "Take photo" }
                    </button>
                }
            </div>
        </dialog>
    }
}

/// Opens the camera, the rear one of a phone.
async fn open() -> Result<MediaStream, &'static str> {
    const ABSENT: &str = "This browser gives the page no camera: add image files instead.";
    let devices = web_sys::window()
        .and_then(|window| window.navigator().media_devices().ok())
        .ok_or(ABSENT)?;
    let track = MediaTrackConstraints::new();
    track.set_facing_mode(&JsValue::from_str("environment"));
    let constraints = MediaStreamConstraints::new();
    constraints.set_video(&track);
    let stream = devices
        .get_user_media_with_constraints(&constraints)
        .map_err(|_| ABSENT)?;
    let stream = JsFuture::from(stream).await.map_err(|error| {
        let name = error
            .dyn_into::<DomException>()
            .map(|error| error.name())
            .unwrap_or_default();
        match name.as_str() {
            "NotAllowedError" => {
                "The camera is blocked: allow it in the browser's site settings, then open it again."
            }
            "NotFoundError" => "No camera was found: connect one, then open it again.",
            "NotReadableError" => "The camera is in use by another program: close that, then open it again.",
            _ => "The camera could not be opened: add image files instead.",
        }
    })?;
    stream.dyn_into().map_err(|_| ABSENT)
}

fn stop(stream: &MediaStream) {
    for track in stream.get_tracks().iter() {
        if let Ok(track) = track.dyn_into::<MediaStreamTrack>() {
            track.stop();
        }
    }
}

/// The video's present picture as a PNG file.
async fn photo(video: &HtmlVideoElement) -> Option<Blob> {
    let (width, height) = (video.video_width(), video.video_height());
    if width == 0 || height == 0 {
        return None;
    }
    let canvas = draw::document_canvas()?;
    canvas.set_width(width);
    canvas.set_height(height);
    draw::context(&canvas)?
        .draw_image_with_html_video_element(video, 0.0, 0.0)
        .ok()?;
    draw::blob(&canvas).await
}
