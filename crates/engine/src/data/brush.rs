//! What is painted over a defect, with a round brush.

use image::{GrayImage, Luma};

/// A point of the brush's way, in shares of the image's width and height.
pub type Point = [f32; 2];

/// Radius of the brush as a share of the image's longer side.
pub const RADIUS: f32 = 0.02;

/// The brush goes on to a point: on the way it leaves a point at least every half of its radius.
pub fn go_on(points: &mut Vec<Point>, [x, y]: Point) {
    let [from_x, from_y] = points.last().copied().unwrap_or([x, y]);
    let length = (x - from_x).hypot(y - from_y);
    let steps = (length / (RADIUS / 2.0)).ceil().max(1.0) as usize;
    let between = |step: usize| {
        let share = step as f32 / steps as f32;
        [from_x + share * (x - from_x), from_y + share * (y - from_y)]
    };
    points.extend((1..=steps).map(between));
}

/// The pixels that the brush has touched at these points, white on black.
pub fn mask(points: &[Point], (width, height): (u32, u32)) -> GrayImage {
    let radius = (RADIUS * width.max(height) as f32).max(0.5);
    let mut mask = GrayImage::new(width, height);
    for &[x, y] in points {
        let (x, y) = (x * width as f32, y * height as f32);
        // `as` keeps values within the type's range
        let span = |middle: f32, end: u32| {
            ((middle - radius).floor() as u32)..((middle + radius).ceil() as u32).min(end)
        };
        for row in span(y, height) {
            for column in span(x, width) {
                if (column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y) <= radius {
                    mask.put_pixel(column, row, Luma([u8::MAX]));
                }
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_point_is_a_disc() {
        let painted = mask(&[[0.5, 0.25]], (200, 100));
        let count = painted.pixels().filter(|pixel| pixel.0[0] > 0).count() as f32;
        let area = std::f32::consts::PI * (RADIUS * 200.0).powi(2);
        assert!((count - area).abs() < 0.1 * area, "{count} of {area} pixels");
        assert_eq!(painted.get_pixel(100, 25).0, [u8::MAX]);
        assert_eq!(painted.get_pixel(100, 35).0, [0]);
        // of the smallest image there is a pixel, too
        assert_eq!(mask(&[[0.5, 0.5]], (1, 1)).get_pixel(0, 0).0, [u8::MAX]);
    }

    #[test]
    fn a_fast_stroke_has_no_gaps() {
        let mut points = Vec::new();
        go_on(&mut points, [0.1, 0.5]);
        go_on(&mut points, [0.9, 0.5]);
        let painted = mask(&points, (400, 100));
        assert!((40..360).all(|column| painted.get_pixel(column, 50).0 == [u8::MAX]));
    }

    proptest! {
        #[test]
        fn any_points_are_painted(points in proptest::collection::vec([-2.0_f32..3.0, -2.0_f32..3.0], 0..5),
                                  width in 1_u32..50, height in 1_u32..50) {
            prop_assert_eq!(mask(&points, (width, height)).dimensions(), (width, height));
        }
    }
}
