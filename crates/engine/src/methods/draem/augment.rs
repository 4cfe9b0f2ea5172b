//! The ten ways in which DRAEM changes a texture before it pastes it. The reference's image library sees its images with red
//! and blue exchanged; so do these.

use rand_pcg::Pcg64;

use super::colour::Space;
use super::warp::rotate;
use crate::data::image::RgbImage;
use crate::synthesis::random::{below, uniform};

/// A change with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// Exponents of the three channels.
    Gamma([f32; 3]),
    /// Factor and summand of the brightness in a colour space, and whether the summand comes first.
    Brightness(Space, f32, f32, bool),
    /// 0 smooths, 1 changes nothing, more sharpens.
    Sharpness(f32),
    /// What is added to the hue, in steps of 360/255 degrees, and to the saturation.
    HueAndSaturation(i32, i32),
    /// Values from this one on are inverted.
    Solarise(f32),
    /// So many of the highest bits are kept.
    Posterise(u32),
    Invert,
    /// Shares of the pixels, in per cent, that become black and white.
    Autocontrast(u32),
    Equalise,
    /// Degrees clockwise.
    Rotate(f32),
    Nothing,
}

/// How many kinds of change there are.
const KINDS: u32 = 10;
/// Different kinds that a texture goes through.
const DRAWN: usize = 3;

/// Changes a texture in three different ways.
pub(super) fn augment(texture: &mut RgbImage, rng: &mut Pcg64) {
    let mut kinds: Vec<u32> = Vec::with_capacity(DRAWN);
    while kinds.len() < DRAWN {
        let kind = below(rng, KINDS);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    texture.pixels_mut().for_each(|pixel| pixel.0.reverse());
    for kind in kinds {
        Change::draw(kind, rng).apply(texture);
    }
    texture.pixels_mut().for_each(|pixel| pixel.0.reverse());
}

impl Change {
    /// The change of this number with random settings.
    fn draw(kind: u32, rng: &mut Pcg64) -> Self {
        let mut whole = |low: i32, high: i32| low + below(rng, (high - low + 1) as u32) as i32;
        match kind {
            0 => Self::Gamma(std::array::from_fn(|_| uniform(rng, 0.5, 2.0))),
            1 => {
                let space = Space::ALL[whole(0, 5) as usize];
                let adds_first = whole(0, 1) == 1;
                Self::Brightness(
                    space,
                    uniform(rng, 0.8, 1.2),
                    uniform(rng, -30.0, 30.0),
                    adds_first,
                )
            }
            2 => Self::Sharpness(uniform(rng, 0.0, 2.0)),
            3 => Self::HueAndSaturation(whole(-50, 50), whole(-50, 50)),
            4 if whole(0, 1) == 0 => Self::Nothing,
            4 => Self::Solarise(uniform(rng, 32.0, 128.0)),
            5 => Self::Posterise(whole(1, 8) as u32),
            6 => Self::Invert,
            7 => Self::Autocontrast(whole(0, 20) as u32),
            8 => Self::Equalise,
            _ => Self::Rotate(uniform(rng, -45.0, 45.0)),
        }
    }

    fn apply(self, image: &mut RgbImage) {
        match self {
            Self::Nothing => {}
            Self::Gamma(exponents) => map_channels(image, |channel, value| {
                (255.0 * libm::powf(f32::from(value) / 255.0, exponents[channel])) as u8
            }),
            Self::Brightness(space, factor, summand, adds_first) => {
                let times = |value: u8| (f32::from(value) * factor) as u8;
                let plus = |value: u8| (f32::from(value) + summand.round_ties_even()) as u8;
                for pixel in image.pixels_mut() {
                    let mut colour = space.of(pixel.0);
                    let own = &mut colour[space.brightness()];
                    *own = if adds_first {
                        times(plus(*own))
                    } else {
                        plus(times(*own))
                    };
                    pixel.0 = space.rgb(colour);
                }
            }
            Self::Sharpness(factor) => sharpen(image, factor),
            Self::HueAndSaturation(hue, saturation) => {
                let hue = hue * 180 / 255;
                for pixel in image.pixels_mut() {
                    let [h, s, v] = Space::Hsv.of(pixel.0);
                    let h = (i32::from(h) + hue).rem_euclid(180) as u8;
                    pixel.0 = Space::Hsv.rgb([h, (i32::from(s) + saturation).clamp(0, 255) as u8, v]);
                }
            }
            Self::Solarise(threshold) => map_channels(image, |_, value| {
                if f32::from(value) >= threshold {
                    255 - value
                } else {
                    value
                }
            }),
            Self::Posterise(bits) => map_channels(image, |_, value| value & (0xff_u16 << (8 - bits)) as u8),
            Self::Invert => map_channels(image, |_, value| 255 - value),
            Self::Autocontrast(cutoff) => map_by_histogram(image, |histogram| stretched(histogram, cutoff)),
            Self::Equalise => map_by_histogram(image, equalised),
            Self::Rotate(degrees) => *image = rotate(image, f64::from(degrees)),
        }
    }
}

/// Replaces every value by a function of its channel and itself.
fn map_channels(image: &mut RgbImage, map: impl Fn(usize, u8) -> u8) {
    let table: [[u8; 256]; 3] =
        std::array::from_fn(|channel| std::array::from_fn(|value| map(channel, value as u8)));
    for pixel in image.pixels_mut() {
        for (value, table) in pixel.0.iter_mut().zip(&table) {
            *value = table[usize::from(*value)];
        }
    }
}

/// Replaces every value by what its channel's histogram says; none leaves a channel as it is.
fn map_by_histogram(image: &mut RgbImage, table: impl Fn(&[usize; 256]) -> Option<[u8; 256]>) {
    let tables: [Option<[u8; 256]>; 3] = std::array::from_fn(|channel| {
        let mut histogram = [0; 256];
        image
            .pixels()
            .for_each(|pixel| histogram[usize::from(pixel.0[channel])] += 1);
        table(&histogram)
    });
    map_channels(image, |channel, value| {
        tables[channel].map_or(value, |table| table[usize::from(value)])
    });
}

/// The values stretched to the whole range; of both ends so many per cent of the pixels are cut off (Pillow).
fn stretched(histogram: &[usize; 256], cutoff: u32) -> Option<[u8; 256]> {
    let cut = histogram.iter().sum::<usize>() * cutoff as usize / 100;
    let (low, high) = (end(histogram, 0..256, cut)?, end(histogram, (0..256).rev(), cut)?);
    if high <= low {
        return None;
    }
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    // casting cuts off and saturates
    Some(std::array::from_fn(|value| (value as f64 * scale + offset) as u8))
}

/// The first value, in this order, that is left where so many pixels are cut off.
fn end(histogram: &[usize; 256], mut values: impl Iterator<Item = usize>, mut cut: usize) -> Option<usize> {
    values.find(|&value| {
        let left = histogram[value].saturating_sub(cut);
        cut = cut.saturating_sub(histogram[value]);
        left > 0
    })
}

/// As many pixels at each value (Pillow).
fn equalised(histogram: &[usize; 256]) -> Option<[u8; 256]> {
    let mut levels = histogram.iter().filter(|&&count| count > 0);
    let last = *levels.next_back()?;
    levels.next_back()?;
    let step = (histogram.iter().sum::<usize>() - last) / 255;
    if step == 0 {
        return None;
    }
    let mut sum = step / 2;
    Some(std::array::from_fn(|value| {
        let level = (sum / step).min(255) as u8;
        sum += histogram[value];
        level
    }))
}

/// Moves each value away from its neighbourhood's mean, or towards it; the outermost pixels stay (Pillow).
fn sharpen(image: &mut RgbImage, factor: f32) {
    const CENTRE: u32 = 5;
    const WHOLE: f32 = 13.0;
    let before = image.clone();
    let (width, height) = image.dimensions();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
            continue;
        }
        for (channel, value) in pixel.0.iter_mut().enumerate() {
            let around = (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (x, y)));
            let sum: u32 = around
                .map(|(x, y)| u32::from(before.get_pixel(x, y).0[channel]))
                .sum();
            let own = f32::from(*value);
            let smooth = ((sum + (CENTRE - 1) * u32::from(*value)) as f32 / WHOLE + 0.5).floor();
            *value = (smooth + factor * (own - smooth)) as u8;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::formula::uniform as formula;
    use crate::synthesis::sample_rng;
    use crate::test_support::expected;

    /// A picture of the fixtures.
    pub(in super::super) fn picture(name: &str, side: u32) -> RgbImage {
        let values = formula(name, (3 * side * side) as usize);
        let values = values.into_iter().map(|u| (256.0 * (f64::from(u) + 0.5)) as u8);
        RgbImage::from_raw(side, side, values.collect()).expect("side x side x 3")
    }

    pub(in super::super) fn bytes(list: &serde_json::Value) -> Vec<u8> {
        let list = list.as_array().expect("is a list").iter();
        list.map(|value| value.as_u64().expect("is a byte") as u8)
            .collect()
    }

    #[test]
    fn changes_are_the_references() {
        let Some(fixture) = expected("draem/preprocess_expected.json") else {
            return;
        };
        let own = &fixture["augmenters"];
        let brightness = |space| Change::Brightness(space, 1.1, -17.0, false);
        for (name, change, tolerance) in [
            (
                "gamma [0.5,1.3,2.0] per channel",
                Change::Gamma([0.5, 1.3, 2.0]),
                0,
            ),
            ("sharpness 0.0", Change::Sharpness(0.0), 1),
            ("sharpness 1.7", Change::Sharpness(1.7), 1),
            (
                "brightness YCrCb mul 1.1 then add -17",
                brightness(Space::YCrCb),
                0,
            ),
            ("brightness HSV mul 1.1 then add -17", brightness(Space::Hsv), 0),
            ("brightness HLS mul 1.1 then add -17", brightness(Space::Hls), 2),
            ("brightness Lab mul 1.1 then add -17", brightness(Space::Lab), 3),
            ("brightness Luv mul 1.1 then add -17", brightness(Space::Luv), 3),
            ("brightness YUV mul 1.1 then add -17", brightness(Space::Yuv), 0),
            (
                "hue_sat value_hue 37 (=> +26 of 180) value_saturation -21",
                Change::HueAndSaturation(37, -21),
                0,
            ),
            (
                "solarize threshold 90 (invert where v >= threshold)",
                Change::Solarise(90.0),
                0,
            ),
            ("posterize 3 bits", Change::Posterise(3), 0),
            ("posterize 1 bit", Change::Posterise(1), 0),
            ("posterize 5 bits", Change::Posterise(5), 0),
            ("invert", Change::Invert, 0),
            ("autocontrast cutoff 0", Change::Autocontrast(0), 0),
            ("autocontrast cutoff 7", Change::Autocontrast(7), 0),
            ("equalize", Change::Equalise, 0),
        ] {
            let mut image = picture("aug_in", 12);
            change.apply(&mut image);
            let theirs = bytes(&own[name]);
            // the tables of these two are coarse for dark colours and at the ends of the range
            let most = match change {
                Change::Brightness(Space::Lab | Space::Luv, ..) => theirs.len() / 25,
                _ => 0,
            };
            let apart = image.iter().zip(&theirs).map(|(a, &b)| a.abs_diff(b));
            let beyond = apart.filter(|&apart| apart > tolerance).count();
            assert!(
                beyond <= most,
                "{name}: {beyond} values are off by more than {tolerance}"
            );
        }
    }

    #[test]
    fn a_texture_changes_in_its_own_way() {
        let texture = picture("aug_in", 12);
        let changed = |seed| {
            let mut own = texture.clone();
            augment(&mut own, &mut sample_rng(seed, 0, 0));
            own
        };
        assert_eq!(changed(1), changed(1));
        let different = (0..20).filter(|&seed| changed(seed) != changed(seed + 1)).count();
        assert!(different > 17, "{different}");
    }
}
