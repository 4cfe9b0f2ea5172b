//! What a camera does to a scene after the light: lens, sensor, another resolution, compression. Good and corrupted
//! image share it, so that it is no anomaly. Not in the paper.

use std::f32::consts::PI;
use std::sync::LazyLock;

use rand_pcg::Pcg64;

use super::lattice::{fraction, hash};
use super::random::{bits, uniform};

/// How soft a lens is, as a share of a pixel's second difference to its neighbours that is added to it: up to 0.18 is a blur
/// with a standard deviation of 0.6 pixels of the model's input, -0.12 is what a Lanczos filter sharpens when a program
/// reduces a photo.
const SOFTNESS: (f32, f32) = (-0.15, 0.18);
/// Resolution at which a resized photo was saved, as a share of the model's input.
const RESOLUTION: (f32, f32) = (0.6, 1.0);
/// Standard deviation of a sensor's noise, for values in [0, 1].
const NOISE: (f32, f32) = (0.002, 0.008);
/// Qualities of JPEG files, in percent.
const QUALITY: (f32, f32) = (70.0, 95.0);
/// Shares of the cameras that blur or sharpen, save at another resolution, add noise, and compress.
const SHARES: [f32; 4] = [0.5, 0.25, 0.25, 0.75];

/// One photo's camera.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Camera {
    /// How soft the lens is, see [`SOFTNESS`].
    softness: Option<f32>,
    /// The resolution at which the photo was saved, as a share of the model's input.
    resolution: Option<f32>,
    /// Standard deviation of the sensor's noise, for values in [0, 1], and its seed.
    noise: Option<(f32, u32)>,
    /// JPEG quality in percent.
    quality: Option<f32>,
}

impl Camera {
    /// A camera for this share of the images. For a share of 0 no random number is drawn.
    pub(super) fn draw(share: f32, rng: &mut Pcg64) -> Option<Self> {
        if share <= 0.0 || uniform(rng, 0.0, 1.0) >= share {
            return None;
        }
        let mut some = |share: f32, range: (f32, f32)| {
            let value = uniform(rng, range.0, range.1);
            (uniform(rng, 0.0, 1.0) < share).then_some(value)
        };
        let [softness, resolution, noise, quality] = [
            some(SHARES[0], SOFTNESS),
            some(SHARES[1], RESOLUTION),
            some(SHARES[2], NOISE),
            some(SHARES[3], QUALITY),
        ];
        Some(Self {
            softness,
            resolution,
            noise: noise.map(|std| (std, bits(rng))),
            quality,
        })
    }

    /// Takes the photo of a square scene: interleaved RGB in [0, 1], `side` pixels in each row.
    pub(super) fn take(&self, pixels: &mut [f32], side: usize) {
        if let Some(softness) = self.softness {
            soften(pixels, side, softness);
        }
        if let Some(share) = self.resolution {
            resample(pixels, side, share);
        }
        if let Some((std, seed)) = self.noise {
            add_noise(pixels, std, seed);
        }
        if let Some(quality) = self.quality {
            compress(pixels, side, quality);
        }
    }
}

/// The sum of four uniform numbers is nearly normal.
fn add_noise(pixels: &mut [f32], std: f32, seed: u32) {
    /// Standard deviation of the sum of four numbers from [0, 1).
    const SUM_STD: f32 = 0.577_35;
    for (place, value) in pixels.iter_mut().enumerate() {
        let drawn = |round: i32| fraction(hash(place as i32, round, seed));
        let sum: f32 = (0..4).map(drawn).sum();
        *value = (*value + std / SUM_STD * (sum - 2.0)).clamp(0.0, 1.0);
    }
}

/// Blurs, or sharpens if `softness` is negative, by three taps each way.
fn soften(pixels: &mut [f32], side: usize, softness: f32) {
    let row = 3 * side;
    let mix =
        |before: f32, own: f32, after: f32| (own + softness * (before - 2.0 * own + after)).clamp(0.0, 1.0);
    let mut copy = pixels.to_vec();
    for (out, line) in copy.chunks_exact_mut(row).zip(pixels.chunks_exact(row)) {
        for place in 3..row.saturating_sub(3) {
            out[place] = mix(line[place - 3], line[place], line[place + 3]);
        }
    }
    pixels.copy_from_slice(&copy);
    for y in 1..side.saturating_sub(1) {
        let lines = copy[(y - 1) * row..(y + 2) * row].chunks_exact(row);
        let [above, own, below]: [&[f32]; 3] = match lines.collect::<Vec<_>>().try_into() {
            Ok(lines) => lines,
            Err(_) => return,
        };
        let out = &mut pixels[y * row..][..row];
        for (place, value) in out.iter_mut().enumerate() {
            *value = mix(above[place], own[place], below[place]);
        }
    }
}

/// Saves the photo at a share of its size, and enlarges it again.
fn resample(pixels: &mut [f32], side: usize, share: f32) {
    let small = ((side as f32 * share) as usize).max(1);
    let reduced = resize(pixels, side, small);
    pixels.copy_from_slice(&resize(&reduced, small, side));
}

/// By a triangle filter each way, as wide as a pixel of the smaller image.
fn resize(pixels: &[f32], from: usize, to: usize) -> Vec<f32> {
    let weights: Vec<(usize, Vec<f32>)> = (0..to).map(|place| triangle(place, from, to)).collect();
    let mut rows = vec![0.0; 3 * to * from];
    for (line, out) in pixels.chunks_exact(3 * from).zip(rows.chunks_exact_mut(3 * to)) {
        for ((first, weights), out) in weights.iter().zip(out.chunks_exact_mut(3)) {
            for (weight, pixel) in weights.iter().zip(line[3 * first..].chunks_exact(3)) {
                out.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
    let mut out = vec![0.0; 3 * to * to];
    for ((first, weights), line) in weights.iter().zip(out.chunks_exact_mut(3 * to)) {
        for (weight, row) in weights.iter().zip(rows.chunks_exact(3 * to).skip(*first)) {
            line.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += weight * value);
        }
    }
    out
}

/// The first pixel that a pixel of the resized row is made of, and the weights from there on.
fn triangle(place: usize, from: usize, to: usize) -> (usize, Vec<f32>) {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let centre = (place as f32 + 0.5) * scale - 0.5;
    let first = (centre - reach).ceil().max(0.0) as usize;
    let last = ((centre + reach).floor() as usize).min(from - 1);
    let mut weights: Vec<f32> = (first..=last)
        .map(|pixel| (1.0 - (pixel as f32 - centre).abs() / reach).max(0.0))
        .collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (first, weights)
}

/// Side of JPEG's blocks.
const BLOCK: usize = 8;
type Block = [[f32; BLOCK]; BLOCK];

/// Loses what a JPEG file of this quality loses: colour at half the resolution (4:2:0), and the rounding of each block's
/// cosine transform (ITU-T T.81, with the tables of its annex K scaled as libjpeg does).
fn compress(pixels: &mut [f32], side: usize, quality: f32) {
    let half = side.div_ceil(2);
    let mut luma = vec![0.0; side * side];
    let mut chroma = [vec![0.0; half * half], vec![0.0; half * half]];
    for (place, pixel) in pixels.chunks_exact(3).enumerate() {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(|value| 255.0 * value);
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        luma[place] = grey - 128.0;
        let (y, x) = (place / side, place % side);
        let to = y / 2 * half + x / 2;
        // a border of an odd side has fewer pixels; the mean is over those that exist
        let share = 1.0 / ((side - y / 2 * 2).min(2) * (side - x / 2 * 2).min(2)) as f32;
        chroma[0][to] += share * 0.564 * (blue - grey);
        chroma[1][to] += share * 0.713 * (red - grey);
    }
    round_blocks(&mut luma, side, &table(&LUMA, quality));
    let has_colour = chroma.iter().flatten().any(|value| value.abs() > 0.5);
    if has_colour {
        for plane in &mut chroma {
            round_blocks(plane, half, &table(&CHROMA, quality));
        }
    }
    for (place, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        let from = place / side / 2 * half + place % side / 2;
        let (grey, blue, red) = (luma[place] + 128.0, chroma[0][from], chroma[1][from]);
        let colours = [
            grey + 1.402 * red,
            grey - 0.344 * blue - 0.714 * red,
            grey + 1.772 * blue,
        ];
        for (value, colour) in pixel.iter_mut().zip(colours) {
            *value = (colour / 255.0).clamp(0.0, 1.0);
        }
    }
}

/// Rounds the cosine transforms of a square plane to multiples of the table's steps.
fn round_blocks(plane: &mut [f32], side: usize, steps: &Block) {
    for top in (0..side).step_by(BLOCK) {
        for left in (0..side).step_by(BLOCK) {
            // blocks over the border repeat the last row and column
            let at = |y: usize, x: usize| (top + y).min(side - 1) * side + (left + x).min(side - 1);
            let block: Block = std::array::from_fn(|y| std::array::from_fn(|x| plane[at(y, x)]));
            let mut frequencies = product(&COSINES, &product(&block, &TRANSPOSED));
            for (values, steps) in frequencies.iter_mut().zip(steps) {
                for (value, step) in values.iter_mut().zip(steps) {
                    *value = (*value / step).round() * step;
                }
            }
            let block = product(&TRANSPOSED, &product(&frequencies, &COSINES));
            for (y, row) in block.iter().enumerate().take(side - top) {
                let length = BLOCK.min(side - left);
                plane[(top + y) * side + left..][..length].copy_from_slice(&row[..length]);
            }
        }
    }
}

fn product(a: &Block, b: &Block) -> Block {
    let mut out = [[0.0; BLOCK]; BLOCK];
    for (out, row) in out.iter_mut().zip(a) {
        for (weight, line) in row.iter().zip(b) {
            out.iter_mut()
                .zip(line)
                .for_each(|(sum, value)| *sum += weight * value);
        }
    }
    out
}

/// The orthonormal cosine transform, one frequency in each row.
static COSINES: LazyLock<Block> = LazyLock::new(|| {
    std::array::from_fn(|frequency| {
        let scale = if frequency == 0 { 0.125_f32 } else { 0.25 }.sqrt();
        std::array::from_fn(|place| scale * libm::cosf((2 * place + 1) as f32 * frequency as f32 * PI / 16.0))
    })
});
static TRANSPOSED: LazyLock<Block> =
    LazyLock::new(|| std::array::from_fn(|y| std::array::from_fn(|x| COSINES[x][y])));

/// The steps at a quality from 50 to 100 percent.
fn table(steps: &[[u8; BLOCK]; BLOCK], quality: f32) -> Block {
    let scale = (200.0 - 2.0 * quality) / 100.0;
    steps.map(|row| row.map(|step| (f32::from(step) * scale).round().max(1.0)))
}

const LUMA: [[u8; BLOCK]; BLOCK] = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
];
const CHROMA: [[u8; BLOCK]; BLOCK] = [
    [17, 18, 24, 47, 99, 99, 99, 99],
    [18, 21, 26, 66, 99, 99, 99, 99],
    [24, 26, 56, 99, 99, 99, 99, 99],
    [47, 66, 99, 99, 99, 99, 99, 99],
    [99; BLOCK],
    [99; BLOCK],
    [99; BLOCK],
    [99; BLOCK],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::{Rgb, RgbImage, decode, to_f32};
    use crate::synthesis::sample_rng;
    use ::image::codecs::jpeg::JpegEncoder;

    /// A grey scene with an edge and a fine pattern.
    fn scene(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let edge = if x > y { 60 } else { 0 };
            Rgb([(90 + edge + (x * 7 + y * 13) % 23) as u8; 3])
        })
    }

    /// Root mean square.
    fn difference(a: &[f32], b: &[f32]) -> f32 {
        let sum: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
        (sum / a.len() as f32).sqrt()
    }

    #[test]
    fn compression_loses_what_an_encoder_loses() {
        let image = scene(64);
        for quality in [75, 90] {
            let mut file = Vec::new();
            JpegEncoder::new_with_quality(&mut file, quality)
                .encode_image(&image)
                .expect("encodes");
            let expected = to_f32(&decode(&file).expect("decodes"));
            let mut own = to_f32(&image);
            compress(&mut own, 64, f32::from(quality));
            let (lost, own_lost) = (
                difference(&expected, &to_f32(&image)),
                difference(&own, &to_f32(&image)),
            );
            assert!(
                lost > 0.01 && (own_lost / lost - 1.0).abs() < 0.1,
                "{own_lost} of {lost}"
            );
            // the encoder computes with whole numbers
            assert!(difference(&own, &expected) < 0.6 * lost, "{lost}");
        }
    }

    #[test]
    fn colour_comes_back_and_odd_sides_have_their_borders() {
        for side in [8, 13, 30] {
            let mut pixels = [0.7, 0.3, 0.2].repeat(side * side);
            compress(&mut pixels, side, 95.0);
            for pixel in pixels.chunks(3) {
                let far = pixel
                    .iter()
                    .zip([0.7, 0.3, 0.2])
                    .any(|(a, b)| (a - b).abs() > 0.02);
                assert!(!far, "{side}: {pixel:?}");
            }
        }
    }

    #[test]
    fn a_plain_scene_stays_plain() {
        let plain = vec![0.5; 3 * 20 * 20];
        for (softness, share) in [(0.4, 1.0), (0.0, 0.6), (-0.15, 0.77)] {
            let mut pixels = plain.clone();
            soften(&mut pixels, 20, softness);
            resample(&mut pixels, 20, share);
            assert!(difference(&pixels, &plain) < 1e-5);
        }
    }

    #[test]
    fn lens_and_resolution_change_the_detail() {
        let sharp = to_f32(&scene(48));
        let detail = |pixels: &[f32]| -> f32 { pixels.windows(4).map(|own| (own[0] - own[3]).abs()).sum() };
        let mut soft = sharp.clone();
        soften(&mut soft, 48, 0.2);
        assert!(detail(&soft) < 0.9 * detail(&sharp));
        let mut sharpened = sharp.clone();
        soften(&mut sharpened, 48, -0.15);
        assert!(detail(&sharpened) > 1.05 * detail(&sharp));
        let mut small = sharp.clone();
        resample(&mut small, 48, 0.6);
        assert!(detail(&small) < 0.9 * detail(&sharp));
    }

    #[test]
    fn noise_has_its_standard_deviation() {
        let plain = vec![0.5; 3 * 64 * 64];
        let mut noisy = plain.clone();
        add_noise(&mut noisy, 0.02, 7);
        assert!((difference(&noisy, &plain) - 0.02).abs() < 0.001);
    }

    #[test]
    fn cameras_are_drawn_for_their_share() {
        let count = |share| {
            let cameras = (0..400).filter_map(|index| Camera::draw(share, &mut sample_rng(1, 2, index)));
            cameras.count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 400));
        assert!((90..150).contains(&count(0.3)), "{}", count(0.3));
    }
}
