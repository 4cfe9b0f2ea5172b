//! Light that varies among good images: brighter, darker, steeper, uneven. Good and corrupted image
//! share it, so that it is no anomaly.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::random::uniform;
use crate::config::AugmentConfig;
use crate::data::image::RgbImage;

/// The image in another light; whole pixels, so that it remains an image.
pub(super) fn vary(image: &mut RgbImage, augment: &AugmentConfig, rng: &mut Pcg64) {
    let gain = 1.0 + uniform(rng, -augment.brightness, augment.brightness);
    let most = libm::logf(1.0 + augment.gamma);
    let gamma = libm::expf(uniform(rng, -most, most));
    let falloff = uniform(rng, 0.0, augment.falloff);
    let turn = uniform(rng, 0.0, TAU);
    let curve: [f32; 256] =
        std::array::from_fn(|level| 255.0 * gain * libm::powf(level as f32 / 255.0, gamma));
    let size = image.width().max(1);
    let half = (size as f32 / 2.0).max(1.0);
    let (across, down) = (
        falloff * libm::cosf(turn) / half,
        falloff * libm::sinf(turn) / half,
    );
    let width = 3 * size as usize;
    let slopes: Vec<f32> = (0..size).flat_map(|x| [across * (x as f32 - half); 3]).collect();
    let mut levels = vec![0.0; width];
    for (y, row) in image.chunks_exact_mut(width).enumerate() {
        let light = 1.0 + down * (y as f32 - half);
        // apart from the rest, which the compiler then does for several values at once
        for (level, value) in levels.iter_mut().zip(&*row) {
            *level = curve[usize::from(*value)];
        }
        for ((value, level), slope) in row.iter_mut().zip(&levels).zip(&slopes) {
            *value = whole(level * (light + slope) + 0.5);
        }
    }
}

/// The whole part of a value, no more than 255: as a cast does, but for several values at once, for which
/// the processor's saturating casts have no instruction.
fn whole(value: f32) -> u8 {
    /// From here on floats are whole, and their last bits are the number.
    const WHOLE: f32 = 8_388_608.0;
    let value = value.clamp(0.0, 255.0);
    let nearest = (value + WHOLE) - WHOLE;
    let down = if nearest > value { 1.0 } else { 0.0 };
    (nearest - down + WHOLE).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::Rgb;
    use crate::synthesis::sample_rng;

    #[test]
    fn whole_parts_are_those_of_a_cast() {
        for step in -20..5_200 {
            let value = step as f32 * 0.05;
            for value in [value, value.next_down(), value.next_up()] {
                assert_eq!(whole(value), value as u8, "{value}");
            }
        }
    }

    #[test]
    fn light_stays_within_its_bounds_and_is_smooth() {
        let augment = AugmentConfig {
            brightness: 0.1,
            gamma: 0.1,
            falloff: 0.1,
            ..AugmentConfig::default()
        };
        let mut means = Vec::new();
        for index in 0..50 {
            let mut image = RgbImage::from_pixel(32, 32, Rgb([100, 120, 140]));
            vary(&mut image, &augment, &mut sample_rng(8, 0, index));
            for row in image.as_raw().chunks(3 * 32) {
                assert!(
                    row.windows(4).all(|w| w[0].abs_diff(w[3]) <= 2),
                    "falls off smoothly"
                );
            }
            let values = image.pixels().map(|pixel| f32::from(pixel.0[1]));
            assert!(values.clone().all(|v| (120.0 * 0.7..120.0 * 1.4).contains(&v)));
            means.push(values.sum::<f32>() / 1024.0);
        }
        let spread =
            means.iter().copied().fold(f32::MIN, f32::max) - means.iter().copied().fold(f32::MAX, f32::min);
        assert!(spread > 15.0, "{spread}");
    }
}
