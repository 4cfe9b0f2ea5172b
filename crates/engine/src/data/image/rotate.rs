//! Pillow's bilinear rotation, bit for bit.

use ::image::{Rgb, imageops};

use super::RgbImage;

/// Rotates counter-clockwise about the centre, same size, as Pillow's
/// `Image.rotate(degrees, BILINEAR, fillcolor=fill)` does: quarter turns of square images and half
/// turns move pixels exactly; else corners without a source keep `fill`, and values are cut off
/// rather than rounded.
pub fn rotate(image: &RgbImage, degrees: f64, fill: [u8; 3]) -> RgbImage {
    let degrees = degrees.rem_euclid(360.0);
    let square = image.width() == image.height();
    if degrees == 0.0 || !degrees.is_finite() {
        image.clone()
    } else if degrees == 180.0 {
        imageops::rotate180(image)
    } else if degrees == 90.0 && square {
        imageops::rotate270(image)
    } else if degrees == 270.0 && square {
        imageops::rotate90(image)
    } else {
        resample(image, degrees, fill)
    }
}

fn resample(image: &RgbImage, degrees: f64, fill: [u8; 3]) -> RgbImage {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let angle = -degrees.to_radians();
    // Pillow rounds the matrix to 15 decimals, which keeps 1e-17 from moving pixels at right angles.
    let round = |value: f64| (value * 1e15).round() / 1e15;
    let (cos, sin) = (round(libm::cos(angle)), round(libm::sin(angle)));
    let (cx, cy) = (width / 2.0, height / 2.0);
    let (shift_x, shift_y) = (cos * -cx + sin * -cy + cx, -sin * -cx + cos * -cy + cy);

    let stride = 3 * image.width() as usize;
    let (last_x, last_y) = (image.width() as i64 - 1, image.height() as i64 - 1);
    let pixels = image.as_raw();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let (x, y) = (cos * x + sin * y + shift_x, -sin * x + cos * y + shift_y);
        if !(x >= 0.0 && x < width && y >= 0.0 && y < height) {
            return Rgb(fill);
        }
        let (x, y) = (x - 0.5, y - 0.5);
        // x and y lie in [-0.5, side), where this is the floor and costs less.
        let (left, top) = ((x + 1.0) as i64 - 1, (y + 1.0) as i64 - 1);
        let (dx, dy) = (x - left as f64, y - top as f64);
        let column = |x: i64| 3 * x.clamp(0, last_x) as usize;
        let row = |y: i64| &pixels[y.clamp(0, last_y) as usize * stride..][..stride];
        let (left, right) = (column(left), column(left + 1));
        let (upper, lower) = (row(top), row(top + 1));
        Rgb(std::array::from_fn(|c| {
            let along = |row: &[u8]| {
                let (a, b) = (f64::from(row[left + c]), f64::from(row[right + c]));
                a + (b - a) * dx
            };
            let (a, b) = (along(upper), along(lower));
            (a + (b - a) * dy) as u8
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    #[test]
    fn rotation_is_pillows_bit_for_bit() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let source = fixture.rgb("rot_src_32");
        for angle in ["-4.2", "0", "180", "270", "3.7", "5.0", "90"] {
            let degrees = angle.parse().expect("a number");
            let expected = fixture.rgb(&format!("pil_rotate_{angle}"));
            assert_eq!(rotate(&source, degrees, [114; 3]), expected, "{angle}");
        }
    }

    #[test]
    fn oblong_images_keep_their_size() {
        let image = RgbImage::from_pixel(40, 10, Rgb([200, 10, 3]));
        let turned = rotate(&image, 90.0, [114; 3]);
        assert_eq!(turned.dimensions(), (40, 10));
        assert_eq!(turned.get_pixel(0, 5).0, [114; 3]);
        assert_eq!(turned.get_pixel(20, 5).0, [200, 10, 3]);
    }
}
