//! Decodes TIFF files and images of more than 100 megapixels for the page: a Web Worker that takes the bytes of one file at a
//! time and answers with those of a PNG file, or with one sentence why there is none.

use std::io::Cursor;

use image::DynamicImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

/// The same picture as a PNG file, upright: with its depth and transparency, which masks may need.
fn to_png(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let picture = destseg_engine::data::image::decode_as_stored(bytes)
        .map_err(|error| destseg_engine::error::sentence(&error.to_string()))?;
    let mut png = Cursor::new(Vec::new());
    // it lives in memory only: quick counts more than small
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Up);
    let picture = match picture {
        DynamicImage::ImageRgb32F(_) => DynamicImage::ImageRgb16(picture.into_rgb16()),
        DynamicImage::ImageRgba32F(_) => DynamicImage::ImageRgba16(picture.into_rgba16()),
        other => other,
    };
    picture
        .write_with_encoder(encoder)
        .map_err(|_| "The image needs too much memory: make it smaller.".to_owned())?;
    Ok(png.into_inner())
}

#[cfg(target_family = "wasm")]
fn main() {
    use js_sys::{ArrayBuffer, Uint8Array};
    use wasm_bindgen::closure::Closure;
    use wasm_bindgen::{JsCast as _, JsValue};
    use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let own = scope.clone();
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let bytes = Uint8Array::new(event.data().unchecked_ref::<ArrayBuffer>());
        let answer = match to_png(&bytes.to_vec()) {
            Ok(png) => Uint8Array::from(&*png).buffer().into(),
            Err(sentence) => JsValue::from_str(&sentence),
        };
        // the page is gone if this fails
        let _sent = own.post_message(&answer);
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    // messages that came before there was anyone to hear them are lost: the page waits for this one
    let _sent = scope.post_message(&JsValue::NULL);
}

#[cfg(not(target_family = "wasm"))]
fn main() -> Result<(), String> {
    // the same natively: from standard input to standard output
    use std::io::{Read as _, Write as _};
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let png = to_png(&bytes)?;
    std::io::stdout()
        .write_all(&png)
        .map_err(|error| error.to_string())
}
