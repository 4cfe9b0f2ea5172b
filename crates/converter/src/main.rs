//! Decodes TIFF files and images of more than 100 megapixels for the page, and writes its models as ONNX files: a Web Worker
//! that takes the bytes of one file at a time and answers with those of another, or with one sentence why there is none.

#[cfg(target_family = "wasm")]
mod web;

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
    web::listen();
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
