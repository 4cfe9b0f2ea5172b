//! Rotation as the reference's image library does it, bit for bit: positions in 32nds of a pixel, zeros outside.

use crate::data::image::{Rgb, RgbImage};

/// Fraction bits of a position while it is computed, and of one that is looked up.
const BITS: (u32, u32) = (10, 5);

/// Turns an image clockwise about its centre, black outside.
pub(in crate::methods) fn rotate(image: &RgbImage, degrees: f64) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (sin, cos) = libm::sincos(degrees.to_radians());
    let centre = [width, height].map(|side| (side as f64 - 1.0) / 2.0);
    let shift = [
        centre[0] - cos * centre[0] - sin * centre[1],
        centre[1] + sin * centre[0] - cos * centre[1],
    ];
    let fixed = |value: f64| (value * f64::from(1 << BITS.0)).round_ties_even() as i64;
    let finest = 1_i64 << BITS.1;
    // the position in 32nds along one axis
    let position = |along_row: f64, x: usize, down: f64, y: usize, shift: f64| {
        let half = 1 << (BITS.0 - BITS.1 - 1);
        (fixed(down * y as f64 + shift) + half + fixed(along_row * x as f64)) >> (BITS.0 - BITS.1)
    };
    let value = |x: i64, y: i64, channel: usize| {
        let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
        match inside {
            true => f64::from(image.get_pixel(x as u32, y as u32).0[channel]),
            false => 0.0,
        }
    };
    RgbImage::from_fn(image.width(), image.height(), |column, row| {
        let (column, row) = (column as usize, row as usize);
        let across = position(cos, column, sin, row, shift[0]);
        let down = position(-sin, column, cos, row, shift[1]);
        let (left, top) = (across >> BITS.1, down >> BITS.1);
        let share = |position: i64| (position & (finest - 1)) as f64 / finest as f64;
        let (fx, fy) = (share(across), share(down));
        Rgb(std::array::from_fn(|channel| {
            let line = |y: i64| value(left, y, channel) * (1.0 - fx) + value(left + 1, y, channel) * fx;
            (line(top) * (1.0 - fy) + line(top + 1) * fy + 0.5) as u8
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::draem::augment::tests::{bytes, picture};
    use crate::test_support::expected;

    #[test]
    fn rotation_is_the_references_bit_for_bit() {
        let Some(fixture) = expected("draem/preprocess_expected.json") else {
            return;
        };
        for degrees in ["30", "-45.5"] {
            let ours = rotate(&picture("rot_in", 16), degrees.parse().expect("is a number"));
            let theirs = bytes(&fixture["rotation"][format!("u8 {degrees}")]);
            assert_eq!(ours.into_raw(), theirs, "{degrees}");
        }
    }
}
