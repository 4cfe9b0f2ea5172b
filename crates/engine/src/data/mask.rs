//! Masks: where an image is defective, in all the ways in which people paint that.

use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, imageops};

use super::image::{decode_mask, is_sideways, resize_mask};
use super::regions;
use crate::{Error, Result};

/// Pixels of the smallest region beside larger ones: less is a slip of the pen.
const LEAST_REGION: usize = 4;
/// From here on a value of a mask is white.
const WHITE: u8 = 128;
/// Labels are counted up from 0 to this share of the highest possible value.
const LARGEST_LABEL: f32 = 0.1;
/// Distinct values of a mask with labels, or painted in a few colours.
const MOST_LEVELS: usize = 8;
/// Values between these shares are neither black nor white ...
const GREY: std::ops::Range<f32> = 0.1..0.9;
/// ... and edges make no larger share of a mask grey.
const GREY_SHARE: f32 = 0.05;
/// A mask that is white over more than this share of the image and of its border is inverted.
const INVERTED: [f32; 2] = [0.5, 0.9];

/// Decodes a mask: 255 where defective, 0 elsewhere, values between them at soft edges.
///
/// White on black is read, and so are labels (0 and 1, or a number for each kind of defect), 16 bits, palettes, colours on
/// black and what is painted on a transparent ground.
///
/// # Errors
/// [`Error::Image`] as for images, and for pictures that cannot be masks or are inverted.
pub fn decode(bytes: &[u8]) -> Result<GrayImage> {
    let image = decode_mask(bytes)?;
    let mask = values(&image)?;
    if is_inverted(&mask) {
        return Err(Error::Image(
            "the mask seems to be inverted, white where the part is good: masks are white where it is defective".into(),
        ));
    }
    Ok(mask)
}

/// Reads and decodes a mask file.
///
/// # Errors
/// As [`decode`], with the file's name, and [`Error::Io`].
pub fn read(path: &Path) -> Result<GrayImage> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    decode(&bytes).map_err(|error| error.in_file(path))
}

/// The values of a picture, made to a mask.
fn values(image: &DynamicImage) -> Result<GrayImage> {
    let deep = image.to_rgba16();
    let is_deep = image.color().bytes_per_pixel() > image.color().channel_count();
    // 8-bit values are 257 times as large in 16 bits
    let unit = if is_deep { 1 } else { u16::from(u8::MAX) + 2 };
    let alphas = || deep.pixels().map(|pixel| pixel.0[3]);
    let half = u16::MAX / 2;
    let is_transparent = alphas().any(|alpha| alpha <= half);
    let values: Vec<u16> = if is_transparent && alphas().any(|alpha| alpha > half) {
        alphas().collect()
    } else {
        let brightest = |[red, green, blue, _]: [u16; 4]| red.max(green).max(blue);
        deep.pixels().map(|pixel| brightest(pixel.0)).collect()
    };
    let share = |value: u16| f32::from(value) / f32::from(u16::MAX);
    let highest = values.iter().max().copied().unwrap_or_default();
    let mut levels: Vec<u16> = Vec::new();
    for &value in &values {
        if levels.len() <= MOST_LEVELS && !levels.contains(&value) {
            levels.push(value);
        }
    }
    let grey = values
        .iter()
        .filter(|value| GREY.contains(&share(**value)))
        .count();
    let is_grey = grey as f32 > GREY_SHARE * values.len() as f32;
    let counts = highest / unit <= (LARGEST_LABEL * f32::from(u8::MAX)) as u16;
    let has_few = levels.len() <= MOST_LEVELS;
    let whiten = |value: u16| {
        if counts || levels.len() <= 2 {
            u8::MAX * u8::from(value > 0)
        } else if has_few {
            // a grey for each kind of defect
            u8::MAX * u8::from(share(value) >= GREY.start)
        } else {
            (value / 257) as u8
        }
    };
    let is_faint = |value: u16| value > 0 && share(value) < GREY.start;
    if !counts && levels.len() > 2 && has_few && levels.iter().any(|&value| is_faint(value)) {
        return Err(Error::Image(
            "the mask has both labels (such as 1) and brighter values: paint the defects white, or use labels alone".into(),
        ));
    }
    if is_grey && !counts && !has_few {
        return Err(Error::Image(
            "the mask is grey in a large part of its area: masks are white where the part is defective and black elsewhere"
                .into(),
        ));
    }
    if highest > 0 && !counts && !has_few && share(highest) < GREY.end {
        return Err(Error::Image(
            "the mask is nowhere white: masks are white where the part is defective and black elsewhere"
                .into(),
        ));
    }
    let (width, height) = deep.dimensions();
    let pixels = values.into_iter().map(whiten).collect();
    Ok(GrayImage::from_raw(width, height, pixels).unwrap_or_default())
}

fn is_inverted(mask: &GrayImage) -> bool {
    let (width, height) = mask.dimensions();
    let is_border = |x: u32, y: u32| x == 0 || y == 0 || x + 1 == width || y + 1 == height;
    let share = |white: usize, all: usize| white as f32 / all.max(1) as f32;
    let [mut white, mut border, mut white_border] = [0; 3];
    for (x, y, pixel) in mask.enumerate_pixels() {
        let is_white = usize::from(pixel.0[0] >= WHITE);
        white += is_white;
        border += usize::from(is_border(x, y));
        white_border += is_white * usize::from(is_border(x, y));
    }
    share(white, mask.len()) > INVERTED[0] && share(white_border, border) > INVERTED[1]
}

/// Whether anything is marked.
pub fn marks_anything(mask: &GrayImage) -> bool {
    mask.pixels().any(|pixel| pixel.0[0] >= WHITE)
}

/// Turns a mask as its image is turned, where it was painted on the pixels as they are stored.
///
/// `size` is the upright image's width and height, `turn` how its file says that it is to be turned. A mask may be smaller or
/// larger than its image, if it has the same shape.
///
/// # Errors
/// [`Error::Image`] for a mask of another shape.
pub fn fit(mask: GrayImage, (width, height): (u32, u32), turn: Orientation) -> Result<GrayImage> {
    let has_shape = |(own_width, own_height): (u32, u32)| {
        let [a, b] = [
            own_width as u64 * u64::from(height),
            own_height as u64 * u64::from(width),
        ];
        // rounding a side moves the products by half of the other sides
        a.abs_diff(b) <= u64::from(width.max(height).max(own_width).max(own_height)) / 2
    };
    let own = mask.dimensions();
    let is_sideways = is_sideways(turn);
    let is_certain = turn == Orientation::NoTransforms || (is_sideways && width != height);
    let fits = has_shape(own) && own.0.min(own.1) > 1 || own == (width, height);
    if fits && !is_certain {
        Err(Error::Image(
            "the image is turned by its Exif data, and nobody can tell whether its mask is, too: save the image turned"
                .into(),
        ))
    } else if fits {
        Ok(mask)
    } else if is_sideways && has_shape((own.1, own.0)) {
        let mut turned = DynamicImage::ImageLuma8(mask);
        turned.apply_orientation(turn);
        Ok(turned.into_luma8())
    } else {
        Err(Error::Image(format!(
            "the mask has {} x {} pixels but its image {width} x {height}: they must have the same shape",
            own.0, own.1
        )))
    }
}

/// `true` where a mask says defective, row by row in a square of `side`. No region is lost, however small: the smallest are a
/// pixel. Less than four pixels beside larger regions are a slip of the pen.
///
/// # Errors
/// [`Error::Image`] if nothing is marked.
pub fn truth(mask: &GrayImage, side: usize) -> Result<Vec<bool>> {
    if !marks_anything(mask) {
        return Err(Error::Image(
            "the mask of a defective image is black all over: paint the defect white".into(),
        ));
    }
    let mut truth = resize_mask(mask, side, side);
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let place = |x: usize, y: usize| (y * side / height) * side + x * side / width;
    let white: Vec<bool> = mask.as_raw().iter().map(|&value| value >= WHITE).collect();
    let regions = regions::pixels(&white, width);
    let all_small = regions.iter().all(|region| region.len() < LEAST_REGION);
    for region in regions {
        let shown = |&at: &usize| truth[place(at % width, at / width)];
        if (all_small || region.len() >= LEAST_REGION) && !region.iter().any(shown) {
            let middle = region[region.len() / 2];
            truth[place(middle % width, middle / width)] = true;
        }
    }
    Ok(truth)
}

/// A mask at another size, with soft edges.
pub fn resized(mask: &GrayImage, (width, height): (u32, u32)) -> GrayImage {
    if mask.dimensions() == (width, height) {
        return mask.clone();
    }
    imageops::resize(mask, width, height, imageops::FilterType::Triangle)
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
