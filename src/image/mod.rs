//! From a file's bytes to the pixels that the model sees.
//!
//! Resizing and rotation reproduce Pillow bit for bit, because the published training recipe and
//! its numbers come from there; a browser's own canvas resizes differently.

mod decode;
mod resize;
mod rotate;

#[cfg(test)]
pub(crate) mod fixture;

pub use ::image::{GrayImage, Luma, Rgb, RgbImage};

pub use decode::{MAX_PIXELS, MAX_SIDE, decode, decode_mask, read, read_mask};
pub use resize::{resize, resize_mask, resize_mask_values};
pub use rotate::rotate;

/// A part of an image; it must lie inside.
pub fn crop(image: &RgbImage, x: usize, y: usize, width: usize, height: usize) -> RgbImage {
    ::image::imageops::crop_imm(image, x as u32, y as u32, width as u32, height as u32).to_image()
}

/// Interleaved RGB values in [0, 1], row by row (height x width x 3).
pub fn unit(image: &RgbImage) -> Vec<f32> {
    image
        .as_raw()
        .iter()
        .map(|&value| f32::from(value) / 255.0)
        .collect()
}
