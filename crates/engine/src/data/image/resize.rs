//! Pillow's bilinear resize, bit for bit: a triangle filter as wide as the reduction, 8-bit
//! between the horizontal and the vertical pass.

use super::{GrayImage, RgbImage};

/// Fraction bits of the integer weights (Pillow's `PRECISION_BITS`).
const BITS: u32 = 22;
/// One half in that precision, so that the shift rounds.
const HALF: u32 = 1 << (BITS - 1);

/// The input positions that make one output position, and their weights, which sum to 1.
struct Taps {
    start: usize,
    weights: Vec<f64>,
}

impl Taps {
    /// The taps of every output position.
    fn all(input: usize, output: usize) -> Vec<Self> {
        let scale = input as f64 / output as f64;
        // Enlarging interpolates between neighbours, reducing averages over the whole reach.
        let support = scale.max(1.0);
        let inverse = 1.0 / support;
        (0..output)
            .map(|i| {
                let centre = (i as f64 + 0.5) * scale;
                let start = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(input);
                let mut weights: Vec<f64> = (start..end)
                    .map(|j| (1.0 - ((j as f64 - centre + 0.5) * inverse).abs()).max(0.0))
                    .collect();
                let sum: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
                Self { start, weights }
            })
            .collect()
    }

    /// The weights as integers with [`BITS`] fraction bits.
    fn integers(&self) -> impl Iterator<Item = u32> {
        self.weights
            .iter()
            .map(|weight| (weight * f64::from(1 << BITS) + 0.5) as u32)
    }
}

/// Resizes as Pillow's `Image.resize((width, height), BILINEAR)` does, aspect ratio not kept.
///
/// `width` and `height` must not be 0, and neither must the image's.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let (from_width, from_height) = (image.width() as usize, image.height() as usize);
    let narrow;
    let rows: &[u8] = if from_width == width {
        image.as_raw()
    } else {
        narrow = narrow_rows(image.as_raw(), from_width, width);
        &narrow
    };
    let pixels = if from_height == height {
        rows.to_vec()
    } else {
        shorten(rows, 3 * width, from_height, height)
    };
    RgbImage::from_raw(width as u32, height as u32, pixels).unwrap_or_default()
}

/// The horizontal pass over all rows of interleaved RGB.
fn narrow_rows(pixels: &[u8], input: usize, output: usize) -> Vec<u8> {
    let taps: Vec<(usize, Vec<u64>)> = Taps::all(input, output)
        .iter()
        .map(|taps| (3 * taps.start, taps.integers().map(u64::from).collect()))
        .collect();
    let mut narrow = Vec::with_capacity(pixels.len() / input * output);
    for row in pixels.chunks_exact(3 * input) {
        for (start, weights) in &taps {
            // Red and blue share a 64-bit accumulator: a sum stays below 2^31, so neither half
            // reaches the other, and a weight costs two multiplications instead of three.
            let mut red_blue = u64::from(HALF) | u64::from(HALF) << 32;
            let mut green = u64::from(HALF);
            let (pixels, _) = row[*start..].as_chunks::<3>();
            for (&[r, g, b], weight) in pixels.iter().zip(weights) {
                red_blue += (u64::from(r) | u64::from(b) << 32) * weight;
                green += u64::from(g) * weight;
            }
            narrow.extend([red_blue as u32, green as u32, (red_blue >> 32) as u32].map(round));
        }
    }
    narrow
}

/// The vertical pass over rows of `stride` bytes.
fn shorten(rows: &[u8], stride: usize, input: usize, output: usize) -> Vec<u8> {
    let mut short = Vec::with_capacity(stride * output);
    let mut sums = vec![0u32; stride];
    for taps in Taps::all(input, output) {
        sums.fill(HALF);
        let rows = rows[taps.start * stride..].chunks_exact(stride);
        for (row, weight) in rows.zip(taps.integers()) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += u32::from(value) * weight;
            }
        }
        short.extend(sums.iter().map(|&sum| round(sum)));
    }
    short
}

/// From the weighted sum, which already holds one half, to a pixel.
fn round(sum: u32) -> u8 {
    (sum >> BITS).min(255) as u8
}

/// Resizes a mask with the same filter in floating point; values in [0, 1], row by row
/// (torchvision's `resize(antialias=True)` of the mask divided by 255).
pub fn resize_mask_values(mask: &GrayImage, width: usize, height: usize) -> Vec<f32> {
    let from_width = mask.width() as usize;
    let columns = Taps::all(from_width, width);
    let narrow: Vec<f64> = mask
        .as_raw()
        .chunks_exact(from_width)
        .flat_map(|row| {
            columns.iter().map(|taps| {
                let values = row[taps.start..].iter().zip(&taps.weights);
                values
                    .map(|(&value, weight)| f64::from(value) / 255.0 * weight)
                    .sum::<f64>()
            })
        })
        .collect();
    let mut values = Vec::with_capacity(width * height);
    for taps in Taps::all(mask.height() as usize, height) {
        values.extend((0..width).map(|x| {
            let column = narrow[taps.start * width + x..].iter().step_by(width);
            column
                .zip(&taps.weights)
                .map(|(value, weight)| value * weight)
                .sum::<f64>() as f32
        }));
    }
    values
}

/// Resizes a mask and keeps what is at least half covered; row by row, `true` where defective.
pub fn resize_mask(mask: &GrayImage, width: usize, height: usize) -> Vec<bool> {
    resize_mask_values(mask, width, height)
        .into_iter()
        .map(|value| value >= 0.5)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    #[test]
    fn resize_is_pillows_bit_for_bit() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let source = fixture.rgb("resize_src_53x37");
        for name in ["pil_bilinear_16x16", "pil_bilinear_24x32", "pil_bilinear_64x64"] {
            let expected = fixture.rgb(name);
            let ours = resize(&source, expected.width() as usize, expected.height() as usize);
            assert_eq!(ours, expected, "{name}");
        }
    }

    #[test]
    fn mask_resize_is_torchvisions() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let mask = GrayImage::from_raw(50, 50, fixture.u8("mask_src_50")).expect("50 x 50");
        test_support::assert_close(
            &resize_mask_values(&mask, 16, 16),
            &fixture.f32("mask_resized_16"),
            1e-6,
        );
        let binary: Vec<bool> = fixture.u8("mask_bin_16").into_iter().map(|v| v != 0).collect();
        assert_eq!(resize_mask(&mask, 16, 16), binary);
    }

    #[test]
    fn constants_and_extreme_shapes_survive() {
        for (width, height) in [(1, 1), (1, 300), (4000, 2), (256, 256)] {
            let image = RgbImage::from_pixel(width, height, ::image::Rgb([0, 255, 77]));
            let resized = resize(&image, 64, 48);
            assert_eq!(resized.dimensions(), (64, 48));
            assert!(resized.pixels().all(|p| p.0 == [0, 255, 77]), "{width}x{height}");
        }
        let white = GrayImage::from_pixel(1, 1, ::image::Luma([255]));
        assert_eq!(resize_mask(&white, 3, 2), [true; 6]);
    }

    #[test]
    fn same_size_is_a_copy() {
        let image = RgbImage::from_fn(7, 5, |x, y| ::image::Rgb([x as u8 * 30, y as u8 * 50, 9]));
        assert_eq!(resize(&image, 7, 5), image);
    }
}
