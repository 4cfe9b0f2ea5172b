//! Ways to add images.

use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaDeviceInfo, MediaDeviceKind};
use yew::prelude::*;

use super::Page;
use super::camera::Camera;
use super::controls::FileButton;
use crate::page::ui::files;
use crate::page::ui::icons::{self, icon};

/// File picker, camera, and a word about drop and paste.
#[component]
pub(crate) fn Add(page: &Page) -> Html {
    let onfiles = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |chosen| files::take(chosen, &dispatch))
    };
    html! {
        <section class="panel add" aria-label="Add images">
            <div class="add-buttons">
                <FileButton testid="file-input" accept={files::IMAGE_TYPES} multiple=true class="primary" {onfiles}>
                    { icon(icons::PICTURE) }{ "Add images" }
                </FileButton>
                <CameraButton ..page.clone() />
            </div>
            <p class="hint">{ "You can also drop or paste photos anywhere" }</p>
        </section>
    }
}

/// Takes photos, where there is a camera.
#[component]
pub(crate) fn CameraButton(page: &Page) -> Html {
    let has_camera = use_state(|| false);
    let camera_open = use_state(|| false);
    {
        let has_camera = has_camera.setter();
        use_effect_with((), move |()| {
            spawn_local(async move { has_camera.set(find_camera().await.unwrap_or(false)) });
        });
    }
    let show = |open: bool| {
        let camera_open = camera_open.setter();
        Callback::from(move |()| camera_open.set(open))
    };
    html! {
        <>
            if *has_camera {
                <button class="button" type="button" data-testid="camera"
                    onclick={show(true).reform(|_: MouseEvent| ())}>
                    { icon(icons::CAMERA) }{ "Camera" }
                </button>
            }
            if *camera_open {
                <Camera page={page.clone()} onclose={show(false)} />
            }
        </>
    }
}

/// Whether the machine has a camera, without asking for permission.
async fn find_camera() -> Option<bool> {
    // browsers offer no media devices to pages of insecure origins
    let devices = web_sys::window()?.navigator().media_devices().ok()?;
    let found = JsFuture::from(devices.enumerate_devices().ok()?).await.ok()?;
    let is_camera = |device: MediaDeviceInfo| device.kind() == MediaDeviceKind::Videoinput;
    Some(
        js_sys::Array::from(&found)
            .iter()
            .filter_map(|device| device.dyn_into().ok())
            .any(is_camera),
    )
}
