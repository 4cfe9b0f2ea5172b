//! JPEG files with colour at half the resolution (4:2:0), as cameras save them. The encoder at hand keeps colour at full
//! resolution (4:4:4), so brightness is taken from a file of the image, and colour from one of the image at half the size.

use ::image::codecs::jpeg::JpegEncoder;
use ::image::imageops::{self, FilterType};

use crate::data::image::{Rgb, RgbImage, decode};
use crate::{Error, Result};

/// What a JPEG file of this quality, in percent, keeps of an image.
pub(super) fn compress(image: &RgbImage, quality: u8) -> Result<RgbImage> {
    let mut out = saved(image, quality)?;
    let half = saved(&halved(image), quality)?;
    // decoders enlarge colour bilinearly
    let colour = imageops::resize(&half, 2 * half.width(), 2 * half.height(), FilterType::Triangle);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let [brightness, _, _] = ycbcr(*pixel);
        let [_, blue, red] = ycbcr(*colour.get_pixel(x, y));
        *pixel = rgb([brightness, blue, red]);
    }
    Ok(out)
}

/// Encodes and decodes.
fn saved(image: &RgbImage, quality: u8) -> Result<RgbImage> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode_image(image)
        .map_err(|err| Error::Image(format!("the image cannot be saved as JPEG: {err}")))?;
    decode(&file)
}

/// Means over squares of two by two pixels; squares over the border have fewer.
fn halved(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width.div_ceil(2), height.div_ceil(2), |x, y| {
        let (mut sums, mut count) = ([0_u32; 3], 0);
        for y in 2 * y..(2 * y + 2).min(height) {
            for x in 2 * x..(2 * x + 2).min(width) {
                let values = image.get_pixel(x, y).0;
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += u32::from(value));
                count += 1;
            }
        }
        Rgb(sums.map(|sum| ((sum + count / 2) / count) as u8))
    })
}

/// Brightness and the two differences of colour (ITU-T T.871), the latter around 0.
fn ycbcr(pixel: Rgb<u8>) -> [f32; 3] {
    let [red, green, blue] = pixel.0.map(f32::from);
    let brightness = 0.299 * red + 0.587 * green + 0.114 * blue;
    [
        brightness,
        (blue - brightness) / 1.772,
        (red - brightness) / 1.402,
    ]
}

fn rgb([brightness, blue, red]: [f32; 3]) -> Rgb<u8> {
    let values = [
        brightness + 1.402 * red,
        brightness - (0.114 * 1.772 * blue + 0.299 * 1.402 * red) / 0.587,
        brightness + 1.772 * blue,
    ];
    // `as` stops at 0 and 255
    Rgb(values.map(|value| value.round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        let squares = a
            .iter()
            .zip(b.iter())
            .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
        (squares.sum::<f64>() / a.len() as f64).sqrt()
    }

    #[test]
    fn colours_survive_their_own_conversion() {
        for pixel in [[0, 0, 0], [255, 255, 255], [200, 30, 90], [3, 250, 128]] {
            assert_eq!(rgb(ycbcr(Rgb(pixel))), Rgb(pixel));
        }
    }

    #[test]
    fn lower_qualities_lose_more_and_a_plain_image_nothing() {
        let image = RgbImage::from_fn(61, 47, |x, y| {
            Rgb([
                (90 + (x * 7 + y * 13) % 23 * 5) as u8,
                (100 + y) as u8,
                (60 + 2 * x) as u8,
            ])
        });
        let lost: Vec<f64> = [95, 90, 85, 75]
            .map(|quality| difference(&compress(&image, quality).expect("is saved"), &image))
            .to_vec();
        assert!(lost.is_sorted() && lost[0] > 0.5 && lost[3] < 20.0, "{lost:?}");
        let plain = RgbImage::from_pixel(33, 20, Rgb([180, 90, 40]));
        let saved = compress(&plain, 95).expect("is saved");
        assert!(saved.iter().zip(plain.iter()).all(|(a, b)| a.abs_diff(*b) <= 2));
    }

    #[test]
    fn colour_loses_half_its_resolution_and_brightness_does_not() {
        // columns that differ in colour alone, or in brightness alone
        let columns = |odd: [u8; 3], even: [u8; 3]| {
            RgbImage::from_fn(32, 32, |x, _| Rgb(if x % 2 == 1 { odd } else { even }))
        };
        let contrast = |image: &RgbImage| {
            let saved = compress(image, 95).expect("is saved");
            let [even, odd] = [16, 17].map(|x| saved.get_pixel(x, 16).0);
            even[0].abs_diff(odd[0])
        };
        // 0.299 * 59 is 0.587 * 30
        assert!(contrast(&columns([159, 100, 100], [100, 130, 100])) < 6);
        assert!(contrast(&columns([159; 3], [100; 3])) > 50);
    }
}
