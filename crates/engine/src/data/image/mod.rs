//! From a file's bytes to the pixels that the model sees.
//!
//! Resizing and rotation reproduce Pillow bit for bit, because the published training recipe and
//! its numbers come from there; a browser's own canvas resizes differently.

mod decode;
#[cfg(feature = "large-images")]
mod large;
mod resize;
mod rotate;

pub use ::image::metadata::Orientation;
pub use ::image::{GrayImage, Luma, Rgb, RgbImage};

pub(crate) use decode::{decode_mask, is_sideways, reduction};

pub use decode::{
    LOSSY, MAX_PIXELS, decode, decode_as_stored, from_pixels, is_image, is_large, orientation, png_size,
    probe, read, type_name,
};
pub use resize::{resize, resize_mask, resize_mask_values};
pub use rotate::rotate;

/// A part of an image; it must lie inside.
pub fn crop(image: &RgbImage, x: usize, y: usize, width: usize, height: usize) -> RgbImage {
    ::image::imageops::crop_imm(image, x as u32, y as u32, width as u32, height as u32).to_image()
}

/// Interleaved RGB values in [0, 1], row by row (height x width x 3).
pub fn to_f32(image: &RgbImage) -> Vec<f32> {
    image.as_raw().iter().map(|&value| unit_value(value)).collect()
}

/// A value in [0, 1]: the very float that a division by 255 gives, in less time.
pub fn unit_value(value: u8) -> f32 {
    /// 1 / 255 - 1 / 256
    const REST: f32 = 1.0 / 65_280.0;
    let value = f32::from(value);
    value / 256.0 + value * REST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_a_division() {
        for value in 0..=u8::MAX {
            assert_eq!(unit_value(value).to_bits(), (f32::from(value) / 255.0).to_bits());
        }
    }
}
