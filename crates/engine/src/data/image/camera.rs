//! A photo as another camera setting or program would have saved it: white balance, exposure, JPEG compression.

use ::image::codecs::jpeg::JpegEncoder;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use super::{RgbImage, decode};
use crate::{Error, Result};

/// Largest change of a channel against the others, as a logarithm.
const WHITE_BALANCE: f32 = 0.08;
/// Largest change of all channels together, as a logarithm.
const EXPOSURE: f32 = 0.12;
/// Qualities of JPEG files, in percent.
const QUALITY: std::ops::RangeInclusive<u8> = 75..=95;

/// The same view in slightly other light, compressed. The result depends on image and seed alone.
///
/// # Errors
/// [`Error::Image`] if it cannot be compressed.
pub(crate) fn as_another_camera(image: &RgbImage, seed: u64) -> Result<RgbImage> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let exposure = rng.random_range(-EXPOSURE..=EXPOSURE);
    let gains = [(); 3].map(|()| libm::expf(exposure + rng.random_range(-WHITE_BALANCE..=WHITE_BALANCE)));
    let mut changed = image.clone();
    for pixel in changed.pixels_mut() {
        for (value, gain) in pixel.0.iter_mut().zip(gains) {
            *value = (f32::from(*value) * gain).round().min(255.0) as u8;
        }
    }
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, rng.random_range(QUALITY))
        .encode_image(&changed)
        .map_err(|err| Error::Image(format!("the image cannot be compressed: {err}")))?;
    decode(&file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_nearly_the_same_image_and_depends_on_the_seed() {
        let image = RgbImage::from_fn(48, 32, |x, y| {
            ::image::Rgb([(3 * x) as u8 + 40, (5 * y) as u8 + 40, 120])
        });
        let own = as_another_camera(&image, 1).expect("compresses");
        assert_eq!(own.dimensions(), image.dimensions());
        assert_eq!(as_another_camera(&image, 1).expect("compresses"), own);
        assert!(as_another_camera(&image, 2).expect("compresses") != own);
        let largest = WHITE_BALANCE + EXPOSURE;
        let mean = |image: &RgbImage, channel: usize| {
            image
                .pixels()
                .map(|pixel| f32::from(pixel.0[channel]))
                .sum::<f32>()
                / (48.0 * 32.0)
        };
        for channel in 0..3 {
            let change = libm::logf(mean(&own, channel) / mean(&image, channel)).abs();
            assert!(change < largest + 0.02, "{change}");
        }
    }
}
