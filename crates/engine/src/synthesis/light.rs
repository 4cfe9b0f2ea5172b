//! Light that varies among good images: brighter, darker, steeper, uneven, of another colour. Good and corrupted image
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
    let mut colours = [1.0_f32; 3];
    // no number is drawn for what always happens: samples of older settings stay what they are
    let share = augment.white_balance_share;
    if augment.white_balance > 0.0 && (share >= 1.0 || uniform(rng, 0.0, 1.0) < share) {
        for colour in &mut colours {
            *colour += uniform(rng, -augment.white_balance, augment.white_balance);
        }
    }
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
        for (levels, pixel) in levels.chunks_exact_mut(3).zip(row.chunks_exact(3)) {
            for ((level, value), colour) in levels.iter_mut().zip(pixel).zip(colours) {
                *level = colour * curve[usize::from(*value)];
            }
        }
        for ((value, level), slope) in row.iter_mut().zip(&levels).zip(&slopes) {
            *value = whole(level * (light + slope) + 0.5);
        }
    }
}

/// How much the light varies among images: standard deviations of the brightness and of the colours against each other,
/// both of logarithms.
pub(super) fn spread<'a>(images: impl Iterator<Item = &'a RgbImage>) -> (f32, f32) {
    let mut brightness = Vec::new();
    let mut colours = [Vec::new(), Vec::new()];
    for image in images {
        let mut sums = [1.0_f64; 3];
        for pixel in image.pixels() {
            sums.iter_mut()
                .zip(pixel.0)
                .for_each(|(sum, value)| *sum += f64::from(value));
        }
        let [red, green, blue] = sums.map(libm::log);
        brightness.push((red + green + blue) / 3.0);
        colours[0].push(red - green);
        colours[1].push(blue - green);
    }
    let std = |values: &[f64]| {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        (squares / count).sqrt() as f32
    };
    (std(&brightness), std(&colours[0]).max(std(&colours[1])))
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
        let range =
            means.iter().copied().fold(f32::MIN, f32::max) - means.iter().copied().fold(f32::MAX, f32::min);
        assert!(range > 15.0, "{range}");
    }

    #[test]
    fn colours_change_in_a_share_of_the_images() {
        let changed = |share: f32| {
            let augment = AugmentConfig {
                white_balance: 0.2,
                white_balance_share: share,
                ..AugmentConfig::default()
            };
            let is_changed = |&index: &u64| {
                let mut image = RgbImage::from_pixel(8, 8, Rgb([100; 3]));
                vary(&mut image, &augment, &mut sample_rng(3, 1, index));
                let [red, green, blue] = image.get_pixel(4, 4).0;
                red != green || blue != green
            };
            (0..300).filter(is_changed).count()
        };
        assert_eq!(changed(0.0), 0);
        assert!((60..120).contains(&changed(0.3)), "{}", changed(0.3));
        assert!(changed(1.0) > 280, "{}", changed(1.0));
    }

    #[test]
    fn the_spread_of_brightness_and_colour_is_measured() {
        let plain = |level: u8, blue: u8| RgbImage::from_pixel(8, 8, Rgb([level, level, blue]));
        let (brightness, colour) = spread([plain(100, 100), plain(121, 121)].iter());
        assert!(
            (brightness - 0.095).abs() < 0.002 && colour < 1e-3,
            "{brightness} {colour}"
        );
        let (brightness, colour) = spread([plain(100, 100), plain(100, 121)].iter());
        assert!(
            (colour - 0.095).abs() < 0.002 && brightness < 0.04,
            "{brightness} {colour}"
        );
    }
}
