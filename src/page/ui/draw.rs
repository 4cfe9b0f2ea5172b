//! Canvas drawing: image, heat map, outline, and the picture to save.

use wasm_bindgen::{Clamped, JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, CanvasRenderingContext2d, HtmlCanvasElement, ImageBitmap, ImageBitmapOptions, ImageData,
    ImageOrientation, ResizeQuality,
};

use crate::page::shared::content::Content;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::render::{self, ColorMap};

/// The outline is one part in this many of the image's longer side wide.
const OUTLINE_PARTS: f64 = 320.0;
/// The outline's light line and its dark rim, both visible on any image.
const OUTLINE_STYLES: [(&str, f64); 2] = [("rgb(0 0 0 / 0.75)", 2.2), ("#ffffff", 1.0)];

/// What is drawn over an image.
pub(crate) struct Layers<'a> {
    /// The heat map's picture and its opacity.
    pub(crate) heat: Option<(&'a HtmlCanvasElement, f32)>,
    /// Outlines in map pixels.
    pub(crate) outlines: &'a [Vec<(f32, f32)>],
    /// Columns and rows of the map.
    pub(crate) map_size: (usize, usize),
}

impl Layers<'_> {
    /// Nothing over the image.
    pub(crate) fn none() -> Self {
        Self {
            heat: None,
            outlines: &[],
            map_size: (1, 1),
        }
    }
}

/// A canvas outside of the page.
pub(crate) fn document_canvas() -> Option<HtmlCanvasElement> {
    let canvas = web_sys::window()?.document()?.create_element("canvas").ok()?;
    canvas.dyn_into().ok()
}

/// The canvas's drawing context.
pub(crate) fn context(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    canvas.get_context("2d").ok()??.dyn_into().ok()
}

/// Shows RGBA pixels on a canvas, which takes their size.
pub(crate) fn paint(canvas: &HtmlCanvasElement, rgba: &[u8], width: usize, height: usize) -> Option<()> {
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let pixels =
        ImageData::new_with_u8_clamped_array_and_sh(Clamped(rgba), width as u32, height as u32).ok()?;
    context(canvas)?.put_image_data(&pixels, 0.0, 0.0).ok()
}

/// The map in colours, one canvas pixel per value.
pub(crate) fn heat_canvas(
    map: &AnomalyMap,
    colors: ColorMap,
    range: (f32, f32),
) -> Option<HtmlCanvasElement> {
    let canvas = document_canvas()?;
    paint(
        &canvas,
        &render::heat_map_rgba(map, colors, range),
        map.width(),
        map.height(),
    )?;
    Some(canvas)
}

/// Draws image and layers on a canvas of `width * height` pixels.
pub(crate) fn compose(
    canvas: &HtmlCanvasElement,
    (width, height): (u32, u32),
    image: Option<&ImageBitmap>,
    layers: &Layers<'_>,
) -> Option<()> {
    if (canvas.width(), canvas.height()) != (width, height) {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    let context = context(canvas)?;
    let (width, height) = (f64::from(width), f64::from(height));
    context.clear_rect(0.0, 0.0, width, height);
    context.set_image_smoothing_enabled(true);
    if let Some(image) = image {
        context
            .draw_image_with_image_bitmap_and_dw_and_dh(image, 0.0, 0.0, width, height)
            .ok()?;
    }
    if let Some((heat, opacity)) = layers.heat {
        context.set_global_alpha(f64::from(opacity));
        context
            .draw_image_with_html_canvas_element_and_dw_and_dh(heat, 0.0, 0.0, width, height)
            .ok()?;
        context.set_global_alpha(1.0);
    }
    let scale = (
        width / layers.map_size.0 as f64,
        height / layers.map_size.1 as f64,
    );
    stroke(
        &context,
        layers.outlines,
        scale,
        (width.max(height) / OUTLINE_PARTS).max(1.0),
    );
    Some(())
}

/// Strokes closed outlines, enlarged by `scale`.
fn stroke(
    context: &CanvasRenderingContext2d,
    outlines: &[Vec<(f32, f32)>],
    scale: (f64, f64),
    line_width: f64,
) {
    context.begin_path();
    for outline in outlines {
        for (i, &(x, y)) in outline.iter().enumerate() {
            let (x, y) = (f64::from(x) * scale.0, f64::from(y) * scale.1);
            if i == 0 {
                context.move_to(x, y);
            } else {
                context.line_to(x, y);
            }
        }
        context.close_path();
    }
    context.set_line_join("round");
    for (style, widths) in OUTLINE_STYLES {
        context.set_stroke_style_str(style);
        context.set_line_width(line_width * widths);
        context.stroke();
    }
}

/// Width and height of the same shape whose longer one is `side`.
pub(crate) fn fitted((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height).max(1);
    let fit = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longer)).max(1) as u32;
    (fit(width), fit(height))
}

/// Decodes an image file, upright, at its own size or fitted into a square of `side` pixels.
pub(crate) async fn decode(content: &Content, size: (u32, u32), side: Option<u32>) -> Option<ImageBitmap> {
    let options = ImageBitmapOptions::new();
    options.set_image_orientation(ImageOrientation::FromImage);
    if let Some(side) = side {
        let (width, height) = fitted(size, side);
        options.set_resize_width(width);
        options.set_resize_height(height);
        options.set_resize_quality(ResizeQuality::Medium);
    }
    let window = web_sys::window()?;
    let blob = content.blob().await.ok()?;
    let bitmap = window
        .create_image_bitmap_with_blob_and_image_bitmap_options(&blob, &options)
        .ok()?;
    JsFuture::from(bitmap).await.ok()?.dyn_into().ok()
}

/// Image and layers at the image's own resolution as a PNG file; `None` if the browser refuses a
/// canvas of that size.
pub(crate) async fn png(size: (u32, u32), image: Option<&ImageBitmap>, layers: &Layers<'_>) -> Option<Blob> {
    let canvas = document_canvas()?;
    compose(&canvas, size, image, layers)?;
    blob(&canvas).await
}

/// A canvas's content as a PNG file.
pub(crate) async fn blob(canvas: &HtmlCanvasElement) -> Option<Blob> {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let done = wasm_bindgen::closure::Closure::once_into_js(move |blob: JsValue| {
            let _ = resolve.call1(&JsValue::NULL, &blob);
        });
        // without a callback the promise would never settle
        if canvas.to_blob(done.unchecked_ref()).is_err() {
            let _ = done
                .unchecked_ref::<js_sys::Function>()
                .call1(&JsValue::NULL, &JsValue::NULL);
        }
    });
    JsFuture::from(promise).await.ok()?.dyn_into().ok()
}

/// Offers a file for download.
pub(crate) fn download(file: &Blob, name: &str) -> Option<()> {
    let document = web_sys::window()?.document()?;
    let url = web_sys::Url::create_object_url_with_blob(file).ok()?;
    let link: web_sys::HtmlAnchorElement = document.create_element("a").ok()?.dyn_into().ok()?;
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // the download has its own hold on the blob once the click was handled
    gloo::timers::callback::Timeout::new(10_000, move || {
        let _ = web_sys::Url::revoke_object_url(&url);
    })
    .forget();
    Some(())
}

/// A picture as a `data:` address.
pub(crate) fn data_url(bitmap: &ImageBitmap) -> Option<String> {
    let canvas = document_canvas()?;
    compose(
        &canvas,
        (bitmap.width(), bitmap.height()),
        Some(bitmap),
        &Layers::none(),
    )?;
    canvas.to_data_url().ok()
}
