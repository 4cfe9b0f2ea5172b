//! Pictures from a video that plays.

use js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8ClampedArray};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlMediaElement, HtmlVideoElement};

use super::draw;

/// Longest side of a picture that is looked at: models see a few hundred pixels, and the page's own thread has to
/// read all that are sent.
const LARGEST_FRAME: u32 = 1280;

/// A picture of a video.
pub(crate) struct Frame {
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    /// RGBA, row by row.
    pub(crate) pixels: ArrayBuffer,
}

thread_local! {
    /// What videos are drawn on to be read: kept, because a picture is many megabytes each second.
    static CANVAS: Option<(HtmlCanvasElement, CanvasRenderingContext2d)> = readable_canvas();
}

/// The picture of the moment, or the first that there is; none once the video has left the page. A page that is
/// not seen gets none until it is.
pub(crate) async fn next_frame(video: &HtmlVideoElement) -> Option<Frame> {
    let document = web_sys::window()?.document()?;
    while video.is_connected() {
        if video.ready_state() >= HtmlMediaElement::HAVE_CURRENT_DATA && !document.hidden() {
            return read(video);
        }
        // pages that are not seen are not redrawn either
        redraw().await?;
    }
    None
}

async fn redraw() -> Option<()> {
    let window = web_sys::window()?;
    let promise = Promise::new(&mut |resolve, reject| {
        if window.request_animation_frame(&resolve).is_err() {
            let _ = reject.call0(&JsValue::UNDEFINED);
        }
    });
    JsFuture::from(promise).await.ok().map(drop)
}

fn read(video: &HtmlVideoElement) -> Option<Frame> {
    let (width, height) = looked_at((video.video_width(), video.video_height()));
    CANVAS.with(|canvas| {
        let (canvas, context) = canvas.as_ref()?;
        if (canvas.width(), canvas.height()) != (width, height) {
            canvas.set_width(width);
            canvas.set_height(height);
        }
        let (w, h) = (f64::from(width), f64::from(height));
        context
            .draw_image_with_html_video_element_and_dw_and_dh(video, 0.0, 0.0, w, h)
            .ok()?;
        let pixels = context.get_image_data(0.0, 0.0, w, h).ok()?;
        // the array itself: web-sys would copy it
        let pixels: Uint8ClampedArray = Reflect::get(&pixels, &"data".into()).ok()?.dyn_into().ok()?;
        Some(Frame {
            width,
            height,
            pixels: pixels.buffer(),
        })
    })
}

fn readable_canvas() -> Option<(HtmlCanvasElement, CanvasRenderingContext2d)> {
    let canvas = draw::document_canvas()?;
    let options = Object::new();
    // keeps the pixels where they are read
    Reflect::set(&options, &"willReadFrequently".into(), &JsValue::TRUE).ok()?;
    let context = canvas.get_context_with_context_options("2d", &options).ok()??;
    Some((canvas, context.dyn_into().ok()?))
}

/// Width and height as they are looked at: no side is longer than [`LARGEST_FRAME`].
fn looked_at((width, height): (u32, u32)) -> (u32, u32) {
    match width.max(height) {
        longer if longer > LARGEST_FRAME => draw::fitted((width, height), LARGEST_FRAME),
        _ => (width, height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_keep_their_shape() {
        assert_eq!(looked_at((640, 480)), (640, 480));
        assert_eq!(looked_at((1920, 1080)), (1280, 720));
        assert_eq!(looked_at((1080, 1920)), (720, 1280));
        assert_eq!(looked_at((4000, 1)), (1280, 1));
    }
}
