//! Image files that the engine cannot decode, as PNG files: TIFF and very large images by a worker of its own, which is fetched
//! only then, and AVIF, HEIC and others by the browser, where it can.

use std::cell::RefCell;

use js_sys::{Array, ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, MessageEvent, Worker, WorkerOptions, WorkerType};

use destseg_engine::data::image;

use super::content::{read, slice};
use super::js::{call, get};

/// The script of the worker.
const WORKER: &str = "./worker_converter_loader.js";
/// Bytes that tell what a file is, and the size of a PNG file's image.
const HEAD: f64 = 24.0;
/// No image of [`image::MAX_PIXELS`] takes fewer bytes as a JPEG file.
pub(super) const MOST_SMALL: f64 = 1e6;
/// Files whose pictures are kept: one is looked at by the engine and shown several times.
const KEPT: usize = 4;

/// Who decodes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    /// The engine.
    Own,
    Worker,
    Browser,
}

impl Decoder {
    fn of(head: &[u8]) -> Self {
        /// Beginnings of TIFF files, small and large ones.
        const TIFF: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        /// Where files of the family of MP4 say so, and what those with pictures may be.
        const BRAND: std::ops::Range<usize> = 4..12;
        const BRANDS: [&[u8]; 7] = [
            b"ftypavif",
            b"ftypavis",
            b"ftypheic",
            b"ftypheix",
            b"ftypheim",
            b"ftypmif1",
            b"ftypmsf1",
        ];
        const JXL: [&[u8]; 2] = [b"\0\0\0\x0cJXL ", b"\xff\x0a"];
        let begins = |starts: &[&[u8]]| starts.iter().any(|start| head.starts_with(start));
        let brand = head.get(BRAND).unwrap_or_default();
        if begins(&TIFF) {
            Self::Worker
        } else if BRANDS.contains(&brand) || begins(&JXL) {
            Self::Browser
        } else {
            Self::Own
        }
    }
}

/// The beginning of a PNG file.
const PNG: &[u8] = b"\x89PNG";

/// Whether the engine refuses an image for its size.
async fn is_large(file: &Blob, head: &[u8]) -> bool {
    const JPEG: &[u8] = b"\xff\xd8\xff";
    let size = match head {
        _ if head.starts_with(PNG) => image::png_size(head),
        _ if head.starts_with(JPEG) && file.size() >= MOST_SMALL => jpeg_size(file).await,
        _ => None,
    };
    size.is_some_and(|(width, height)| image::is_large(width, height))
}

/// Whether the engine decodes a file of fewer than [`MOST_SMALL`] bytes.
pub(super) fn is_readable(file: &ArrayBuffer) -> bool {
    let file = Uint8Array::new(file);
    let head = file.subarray(0, HEAD as u32).to_vec();
    let size = image::png_size(&head).filter(|_| head.starts_with(PNG));
    let is_large = size.is_some_and(|(width, height)| image::is_large(width, height));
    Decoder::of(&head) == Decoder::Own && !is_large
}

/// Width and height of a JPEG file's image.
async fn jpeg_size(file: &Blob) -> Option<(u32, u32)> {
    /// Segments that are looked at, at most: one camera writes a dozen before the image.
    const MOST: usize = 200;
    /// Bytes of a segment with the size: marker, length, depth, height, width.
    const SEGMENT: f64 = 9.0;
    let mut at = 2.0;
    for _ in 0..MOST {
        let segment = slice(file, at, at + SEGMENT).await.ok()?;
        let &[0xff, marker, l0, l1, _, h0, h1, w0, w1] = &segment[..] else {
            return None;
        };
        let number = |high: u8, low: u8| u32::from(high) << 8 | u32::from(low);
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => return Some((number(w0, w1), number(h0, h1))),
            _ => {}
        }
        at += 2.0 + f64::from(number(l0, l1));
    }
    None
}

thread_local! {
    static LATEST: RefCell<Vec<(Blob, Blob)>> = const { RefCell::new(Vec::new()) };
}

/// The file, or its picture as a PNG file where the engine cannot decode it.
///
/// # Errors
/// One sentence, if it is damaged or cannot be read.
pub(super) async fn readable(file: Blob) -> Result<Blob, String> {
    let head = slice(&file, 0.0, HEAD).await?;
    let mut decoder = Decoder::of(&head);
    if decoder == Decoder::Own && is_large(&file, &head).await {
        decoder = Decoder::Worker;
    }
    if decoder == Decoder::Own {
        return Ok(file);
    }
    let known = LATEST.with_borrow(|latest| {
        let own = latest.iter().find(|(own, _)| *own == file);
        own.map(|(_, picture)| picture.clone())
    });
    if let Some(picture) = known {
        return Ok(picture);
    }
    let picture = match decoder {
        Decoder::Worker => {
            const FAILED: &str = "The decoder for TIFF files and large images did not work: save it as a smaller PNG or JPEG file.";
            by_worker(read(&file).await?.into(), FAILED).await?
        }
        // what it cannot decode, the engine has a sentence for
        _ => match by_browser(&file).await {
            Some(picture) => picture,
            None => return Ok(file),
        },
    };
    LATEST.with_borrow_mut(|latest| {
        latest.truncate(KEPT - 1);
        latest.insert(0, (file, picture.clone()));
    });
    Ok(picture)
}

/// Off the page's thread: the browser decodes and encodes in threads of its own.
async fn by_browser(file: &Blob) -> Option<Blob> {
    let global = js_sys::global();
    let options = Object::new();
    Reflect::set(&options, &"imageOrientation".into(), &"from-image".into()).ok()?;
    let bitmap = call(&global, "createImageBitmap", &[file.as_ref(), &options])?;
    let bitmap = JsFuture::from(bitmap.dyn_into::<Promise>().ok()?).await.ok()?;
    let class = get(&global, "OffscreenCanvas").dyn_into::<Function>().ok()?;
    let size = Array::of2(&get(&bitmap, "width"), &get(&bitmap, "height"));
    let canvas = Reflect::construct(&class, &size).ok()?;
    let context = call(&canvas, "getContext", &[&"bitmaprenderer".into()])?;
    call(&context, "transferFromImageBitmap", &[&bitmap])?;
    let blob = call(&canvas, "convertToBlob", &[])?;
    JsFuture::from(blob.dyn_into::<Promise>().ok()?)
        .await
        .ok()?
        .dyn_into()
        .ok()
}

/// A model file in the ONNX format.
///
/// # Errors
/// One sentence.
pub async fn onnx(model: &Blob) -> Result<Blob, String> {
    let model = Array::of1(&read(model).await?.into());
    const FAILED: &str = "The model could not be converted: export it with the command line.";
    by_worker(model.into(), FAILED).await
}

/// One worker for one file: few visitors have more than a handful, and its memory is given back.
async fn by_worker(message: JsValue, failed: &str) -> Result<Blob, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(WORKER, &options).map_err(|_| failed)?;
    let answer = Promise::new(&mut |resolve, reject| {
        let (own, message) = (worker.clone(), message.clone());
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let data = event.data();
            if data.is_null() {
                // it is there; a failure shows as an error event
                let _sent = own.post_message(&message);
            } else {
                // a function of a promise cannot fail
                let _ = resolve.call1(&JsValue::NULL, &data);
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget();
        worker.set_onerror(Some(&reject));
    });
    let answer = JsFuture::from(answer).await;
    worker.terminate();
    match answer {
        Ok(file) if file.is_instance_of::<ArrayBuffer>() => {
            Blob::new_with_buffer_source_sequence(&Array::of1(&file)).map_err(|_| failed.into())
        }
        Ok(sentence) => Err(sentence.as_string().unwrap_or_else(|| failed.into())),
        Err(_) => Err(failed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginning() {
        for (head, decoder) in [
            (&b"II*\0\x08\0\0\0"[..], Decoder::Worker),
            (b"MM\0*\0\0\0\x08", Decoder::Worker),
            (b"\0\0\0\x20ftypavif\0\0\0\0", Decoder::Browser),
            (b"\0\0\0\x18ftypheic\0\0\0\0", Decoder::Browser),
            (b"\x89PNG\r\n\x1a\n", Decoder::Own),
            (b"\xff\xd8\xff\xe0", Decoder::Own),
            (b"", Decoder::Own),
        ] {
            assert_eq!(Decoder::of(head), decoder, "{head:?}");
        }
    }
}
