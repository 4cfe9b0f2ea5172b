//! Nuisances: changes of an image that are no defect, as other cameras, programs and hands make them.

mod count;
mod jpeg;

use ::image::imageops::{self, FilterType};

use crate::Result;
use crate::data::image::{Rgb, RgbImage, crop};

pub(super) use count::pooled;
pub use count::{NuisanceCount, NuisanceTable, are_complete, measure};

/// Shorter side of an image that another program has saved smaller, in pixels.
const REDUCED: u32 = 256;

/// One change of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nuisance {
    /// Its name in tables and files.
    pub name: &'static str,
    /// How large it is.
    pub size: Size,
    change: Change,
}

/// What is expected of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A good image stays good.
    Small,
    /// The verdict stays, or the image is called unfamiliar.
    Large,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Nothing,
    /// A JPEG file of this quality in percent, with colour at half the resolution (4:2:0).
    Jpeg(u8),
    /// Resized by a Lanczos filter to a shorter side of so many pixels, proportions kept.
    Resize(u32),
    /// Red, green and blue times these factors.
    Gains([f32; 3]),
    /// Turned by 90 degrees.
    Turn,
    /// The middle alone: half as wide and half as high.
    Middle,
    /// Half as wide and half as high, within a frame of the border's mean colour.
    Frame,
}

const fn small(name: &'static str, change: Change) -> Nuisance {
    Nuisance {
        name,
        size: Size::Small,
        change,
    }
}

const fn large(name: &'static str, change: Change) -> Nuisance {
    Nuisance {
        name,
        size: Size::Large,
        change,
    }
}

/// All nuisances: the small ones, of which the first changes nothing, then the large ones.
pub const NUISANCES: [Nuisance; 16] = [
    small("plain", Change::Nothing),
    small("JPEG 95", Change::Jpeg(95)),
    small("JPEG 90", Change::Jpeg(90)),
    small("JPEG 85", Change::Jpeg(85)),
    small("JPEG 75", Change::Jpeg(75)),
    small("256 pixels", Change::Resize(REDUCED)),
    small("white +5 %", Change::Gains([1.05, 1.0, 0.95])),
    small("white -5 %", Change::Gains([0.95, 1.0, 1.05])),
    small("exposure +10 %", Change::Gains([1.1; 3])),
    small("exposure -10 %", Change::Gains([0.9; 3])),
    large("turned", Change::Turn),
    large("scale x2", Change::Middle),
    large("scale x0.5", Change::Frame),
    large("exposure x0.5", Change::Gains([0.5; 3])),
    large("exposure x2", Change::Gains([2.0; 3])),
    large("colour cast", Change::Gains([1.4, 1.0, 0.6])),
];

impl Nuisance {
    /// The changed image.
    ///
    /// # Errors
    /// [`crate::Error::Image`] if an encoder refuses the image.
    pub fn apply(&self, image: &RgbImage) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        Ok(match self.change {
            Change::Nothing => image.clone(),
            Change::Jpeg(quality) => jpeg::compress(image, quality)?,
            Change::Resize(side) => {
                let shorter = u64::from(width.min(height)).max(1);
                let scaled = |own: u32| (u64::from(own) * u64::from(side) / shorter) as u32;
                imageops::resize(image, scaled(width), scaled(height), FilterType::Lanczos3)
            }
            Change::Gains(gains) => multiplied(image, gains),
            Change::Turn => imageops::rotate90(image),
            Change::Middle => {
                let [width, height] = [width, height].map(|side| side as usize);
                let [wide, high] = [width.div_ceil(2), height.div_ceil(2)];
                crop(image, (width - wide) / 2, (height - high) / 2, wide, high)
            }
            Change::Frame => {
                let [wide, high] = [width, height].map(|side| side.div_ceil(2));
                let half = imageops::resize(image, wide, high, FilterType::Triangle);
                let mut framed = RgbImage::from_pixel(width, height, border(image));
                let [left, top] = [width - wide, height - high].map(|gap| i64::from(gap / 2));
                imageops::replace(&mut framed, &half, left, top);
                framed
            }
        })
    }
}

fn multiplied(image: &RgbImage, gains: [f32; 3]) -> RgbImage {
    let mut out = image.clone();
    for pixel in out.pixels_mut() {
        for (value, gain) in pixel.0.iter_mut().zip(gains) {
            // `as` stops at 255
            *value = (f32::from(*value) * gain).round() as u8;
        }
    }
    out
}

/// The mean of the outermost pixels.
fn border(image: &RgbImage) -> Rgb<u8> {
    let (right, bottom) = (image.width().saturating_sub(1), image.height().saturating_sub(1));
    let mut sums = [0_u64; 3];
    let mut count = 0;
    for (_, _, pixel) in image
        .enumerate_pixels()
        .filter(|&(x, y, _)| x == 0 || y == 0 || x == right || y == bottom)
    {
        sums.iter_mut()
            .zip(pixel.0)
            .for_each(|(sum, value)| *sum += u64::from(value));
        count += 1;
    }
    Rgb(sums.map(|sum| (sum / count.max(1)) as u8))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A frame around a picture with a bright corner and a fine pattern.
    fn scene(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let is_frame = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            match is_frame {
                true => Rgb([40, 50, 60]),
                false => Rgb([200 - x as u8, 180 - y as u8, (90 + (x * 7 + y * 13) % 23) as u8]),
            }
        })
    }

    fn changed(name: &str, image: &RgbImage) -> RgbImage {
        let own = NUISANCES.iter().find(|own| own.name == name).expect("exists");
        own.apply(image).expect("is changed")
    }

    #[test]
    fn names_differ_and_small_ones_come_first() {
        let names: BTreeSet<&str> = NUISANCES.iter().map(|own| own.name).collect();
        assert_eq!(names.len(), NUISANCES.len());
        assert_eq!(NUISANCES[0].change, Change::Nothing);
        assert!(NUISANCES.is_sorted_by_key(|own| own.size == Size::Large));
    }

    #[test]
    fn every_nuisance_but_the_first_changes_an_image_of_any_shape() {
        for (width, height) in [(64, 64), (61, 40), (1, 1)] {
            let image = scene(width, height);
            for own in &NUISANCES {
                let changed = own.apply(&image).expect("is changed");
                assert!(changed.width() > 0 && changed.height() > 0, "{}", own.name);
                if width > 1 {
                    assert_eq!(changed == image, own.change == Change::Nothing, "{}", own.name);
                }
            }
        }
    }

    #[test]
    fn sizes_and_places_are_as_named() {
        let image = scene(60, 40);
        assert_eq!(changed("256 pixels", &image).dimensions(), (384, 256));
        let turned = changed("turned", &image);
        assert_eq!(turned.dimensions(), (40, 60));
        assert_eq!(turned.get_pixel(39 - 3, 5), image.get_pixel(5, 3));
        let middle = changed("scale x2", &image);
        assert_eq!(middle.dimensions(), (30, 20));
        assert_eq!(middle.get_pixel(0, 0), image.get_pixel(15, 10));
        let framed = changed("scale x0.5", &image);
        assert_eq!(framed.dimensions(), (60, 40));
        assert_eq!(*framed.get_pixel(3, 20), Rgb([40, 50, 60]));
        let (small, large) = (framed.get_pixel(30, 20), image.get_pixel(30, 20));
        assert!(small.0[0].abs_diff(large.0[0]) <= 2 && small.0[1].abs_diff(large.0[1]) <= 2);
    }

    #[test]
    fn gains_multiply_and_stop_at_white() {
        let image = RgbImage::from_pixel(2, 2, Rgb([100, 100, 200]));
        for (name, expected) in [
            ("white +5 %", [105, 100, 190]),
            ("white -5 %", [95, 100, 210]),
            ("exposure +10 %", [110, 110, 220]),
            ("exposure -10 %", [90, 90, 180]),
            ("exposure x2", [200, 200, 255]),
            ("colour cast", [140, 100, 120]),
        ] {
            assert_eq!(*changed(name, &image).get_pixel(1, 1), Rgb(expected), "{name}");
        }
    }
}
