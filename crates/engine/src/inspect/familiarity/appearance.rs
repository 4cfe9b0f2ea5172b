//! What an image looks like as a whole: how it is framed, and in what light. A part that is turned, nearer or in another
//! light has features much like those of the good images, and would be judged wrongly.
//!
//! Of each image there is a small picture of where it is bright. The mean over the good images is the template. It is
//! sharp where all parts lie in the same way and blurred where they do not, so how far the good images are from it says
//! what another framing is. Not in the paper; `docs/notebook/familiarity.md` has the measurements.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use crate::data::moments::Moments;
use crate::verdict::difference::Difference;

/// Side of the small picture.
pub(crate) const SIDE: usize = 32;
/// Values of the small picture.
pub(crate) const PIXELS: usize = SIDE * SIDE;
/// Added to a standard deviation and to a squared distance: below it, differences are noise.
pub(crate) const NOISE: f32 = 0.02;
/// Added to a mean before its logarithm is taken.
pub(crate) const BLACK: f32 = 0.01;
/// The way from the good images' distance to that of an unrelated image, as a share of which an image may be away.
const FRAMING_SHARE: f32 = 0.6;
/// ... or so many standard deviations of the good images' distances, whichever is more.
const FRAMING_SPREAD: f32 = 4.0;
/// An image is turned, nearer or further away if it fits the template so changed better than the template itself: by this
/// difference of the logarithms of the squared distances, or by so many standard deviations of the good images'.
const BETTER: (f32, f32) = (0.25, 5.0);
/// Below this limit of the framing's distance the template is sharp: an unrelated image has 0 or more.
const SHARP: f32 = -0.25;
/// Differences of the good images' brightness and colour (logarithms) that are allowed whatever their own spread ...
const LIGHT: [f32; 3] = [0.25, 0.22, 0.22];
/// ... or so many of their standard deviations, whichever is more.
const LIGHT_SPREAD: f32 = 5.0;

/// An image in small.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Appearance {
    /// Brightness with mean 0 and standard deviation 1, row by row; empty where framing is not looked at.
    brightness: Vec<f32>,
    /// Logarithms: mean of the channels, red and blue against green.
    light: [f32; 3],
}

impl Appearance {
    /// Of a square image, values in [0, 1], channels interleaved.
    pub(crate) fn of(pixels: &[f32], side: usize) -> Self {
        let mut sums = vec![[0.0_f32; 3]; PIXELS];
        for (y, row) in pixels.chunks_exact(3 * side.max(1)).enumerate() {
            let sums = &mut sums[y * SIDE / side * SIDE..][..SIDE];
            for (x, pixel) in row.as_chunks::<3>().0.iter().enumerate() {
                let sum = &mut sums[x * SIDE / side];
                sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
        }
        let mut means = [0.0; 3];
        for sum in &sums {
            means.iter_mut().zip(sum).for_each(|(mean, value)| *mean += value);
        }
        let all = (side * side).max(1) as f32;
        let [red, green, blue] = means.map(|sum| libm::logf(sum / all + BLACK));
        let share = PIXELS as f32 / all;
        let brightness = sums
            .iter()
            .map(|[red, green, blue]| (red + green + blue) / 3.0 * share);
        Self {
            brightness: normalised(brightness.collect()),
            light: [(red + green + blue) / 3.0, red - green, blue - green],
        }
    }

    /// Of an image in several views: their mean light, and no framing.
    pub(crate) fn joined(views: &[Self]) -> Self {
        let mut light = [0.0; 3];
        for view in views {
            let share = 1.0 / views.len() as f32;
            light
                .iter_mut()
                .zip(view.light)
                .for_each(|(mean, value)| *mean += share * value);
        }
        Self {
            brightness: Vec::new(),
            light,
        }
    }
}

/// The part of what is known of the good images' appearance that lies in a file's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppearanceRecord {
    /// Mean of the good images: brightness, red and blue against green, as logarithms.
    pub(crate) light: [f32; 3],
    /// Differences from it beyond which the light is another.
    pub(crate) light_limits: [f32; 3],
    /// Logarithm of the squared distance from the template: mean of the good images, each compared with the others.
    pub(crate) framing_mean: f32,
    /// ... and beyond this the framing is another.
    pub(crate) framing_limit: f32,
    /// Beyond these an image is turned, nearer, further away.
    pub(crate) better_limits: [f32; 3],
}

impl AppearanceRecord {
    /// Half of the way from the good images to the limit: what is nearer surely shows the part.
    pub(crate) fn fits_well(&self) -> f32 {
        (self.framing_mean + self.framing_limit) / 2.0
    }

    /// Whether the template tells the part from other images.
    pub(crate) fn is_sharp(&self) -> bool {
        self.framing_limit < SHARP
    }
}

/// The appearance of the good images.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    mean: Vec<f32>,
    record: AppearanceRecord,
}

impl Template {
    /// From the good images; they are at least two.
    pub(super) fn of(images: &[impl Borrow<Appearance>]) -> Self {
        let images: Vec<&Appearance> = images.iter().map(Borrow::borrow).collect();
        let mut sum = vec![0.0; PIXELS];
        for image in &images {
            sum.iter_mut()
                .zip(&image.brightness)
                .for_each(|(sum, value)| *sum += value);
        }
        let count = images.len() as f32;
        let mean: Vec<f32> = sum.iter().map(|sum| sum / count).collect();
        // each good image is compared with the others
        let mut framing = Moments::new(1);
        let mut better = [(); 3].map(|()| Moments::new(1));
        for image in &images {
            let others = sum.iter().zip(&image.brightness);
            let others: Vec<f32> = others.map(|(sum, own)| (sum - own) / (count - 1.0)).collect();
            let own = fit(&image.brightness, &others);
            framing.add(std::iter::once(own));
            for (moments, changed) in better.iter_mut().zip(changed(&others)) {
                moments.add(std::iter::once(own - best_fit(&image.brightness, &changed)));
            }
        }
        let mut light = Moments::new(3);
        images.iter().for_each(|image| light.add(image.light.into_iter()));
        let (center, spread) = (light.mean(), light.covariance());
        let spread = |channel: usize| libm::sqrtf(spread[(channel, channel)].max(0.0) as f32);
        let (middle, deviation) = normal(&framing);
        // the squared distance of an image that has nothing to do with the template
        let unrelated = 1.0 + squares(&mean);
        let way = FRAMING_SHARE * (libm::logf(unrelated) - middle);
        Self {
            record: AppearanceRecord {
                light: [0, 1, 2].map(|channel| center[channel] as f32),
                light_limits: [0, 1, 2].map(|channel| LIGHT[channel].max(LIGHT_SPREAD * spread(channel))),
                framing_mean: middle,
                framing_limit: middle + way.max(FRAMING_SPREAD * deviation),
                better_limits: better.each_ref().map(|moments| {
                    let (middle, deviation) = normal(moments);
                    BETTER.0.max(middle + BETTER.1 * deviation)
                }),
            },
            mean,
        }
    }

    /// From a file.
    pub(super) fn from_file(record: AppearanceRecord, mean: Vec<f32>) -> Self {
        Self { mean, record }
    }

    pub(super) fn record(&self) -> &AppearanceRecord {
        &self.record
    }

    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// How an image differs whose features are far from the good images' or not, and how far beyond its limit that is
    /// (at least 1); none for one within all limits.
    pub(super) fn difference(&self, image: &Appearance, is_far: bool) -> Option<(Difference, f32)> {
        let framing = self.framing(&image.brightness, is_far);
        let light = self.light(image.light);
        // part of the image alone has another mean colour, too; another light leaves the framing as it is
        if !is_far || framing.is_some_and(|(name, _)| name != Difference::Framing) {
            return framing.or(light);
        }
        let is_the_part = !image.brightness.is_empty()
            && self.record.is_sharp()
            && fit(&image.brightness, &self.mean) <= self.record.fits_well();
        light.filter(|_| is_the_part).or(Some((Difference::Part, 1.0)))
    }

    /// Whether the light is another.
    fn light(&self, light: [f32; 3]) -> Option<(Difference, f32)> {
        let apart = [0, 1, 2].map(|channel| light[channel] - self.record.light[channel]);
        let beyond = [0, 1, 2].map(|channel| apart[channel].abs() / self.record.light_limits[channel]);
        let [brightness, red, blue] = beyond;
        let farthest = brightness.max(red).max(blue);
        let difference = match () {
            () if brightness < farthest => Difference::Tint,
            () if apart[0] > 0.0 => Difference::Brighter,
            () => Difference::Darker,
        };
        (farthest > 1.0).then_some((difference, farthest))
    }

    /// Whether the framing is another. What is far in its features, too, must fit a changed template well.
    fn framing(&self, image: &[f32], is_far: bool) -> Option<(Difference, f32)> {
        const NAMES: [Difference; 3] = [Difference::Turned, Difference::Closer, Difference::Farther];
        if image.is_empty() {
            return None;
        }
        let own = fit(image, &self.mean);
        let AppearanceRecord {
            framing_limit,
            better_limits,
            ..
        } = self.record;
        let fitting = if is_far {
            self.record.fits_well()
        } else {
            framing_limit
        };
        let mut found: Option<(Difference, f32)> = None;
        for ((name, changed), limit) in NAMES.into_iter().zip(changed(&self.mean)).zip(better_limits) {
            let best = best_fit(image, &changed);
            let beyond = libm::expf(own - best - limit);
            // another part fits no template, however it is changed
            if best <= fitting && beyond > found.map_or(1.0, |(_, most)| most) {
                found = Some((name, beyond));
            }
        }
        let beyond = libm::expf(own - framing_limit);
        found.or_else(|| (beyond > 1.0).then_some((Difference::Framing, beyond)))
    }
}

/// Mean and standard deviation of one number.
fn normal(moments: &Moments) -> (f32, f32) {
    let variance = moments.covariance()[(0, 0)].max(0.0) as f32;
    (moments.mean()[0] as f32, libm::sqrtf(variance))
}

/// The logarithm of the squared distance from a template.
fn fit(image: &[f32], template: &[f32]) -> f32 {
    let squares = image.iter().zip(template).map(|(a, b)| (a - b) * (a - b));
    libm::logf(squares.sum::<f32>() / PIXELS as f32 + NOISE)
}

/// The same for the nearest of several.
fn best_fit(image: &[f32], templates: &[Vec<f32>]) -> f32 {
    templates
        .iter()
        .map(|own| fit(image, own))
        .fold(f32::INFINITY, f32::min)
}

/// The template as if the part were turned by a quarter (either way), nearer (twice the size), further away (half).
pub(crate) fn changed(template: &[f32]) -> [Vec<Vec<f32>>; 3] {
    let picture = |value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..PIXELS)
            .map(|place| value(place / SIDE, place % SIDE))
            .collect()
    };
    let at = |y: usize, x: usize| template[y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)];
    let (quarter, last) = (SIDE / 4, SIDE - 1);
    let turned = vec![picture(&|y, x| at(x, last - y)), picture(&|y, x| at(last - x, y))];
    let closer = picture(&|y, x| at(quarter + y / 2, quarter + x / 2));
    // beyond the border of the good images there is more of the same
    let farther = picture(&|y, x| {
        let [y, x] = [y, x].map(|place| 2 * place.saturating_sub(quarter).min(SIDE / 2 - 1));
        (at(y, x) + at(y + 1, x) + at(y, x + 1) + at(y + 1, x + 1)) / 4.0
    });
    // what varies among the good images does so in any framing
    let varies = (1.0 - squares(template)).max(0.0);
    let scaled = |picture: Vec<f32>| {
        let mean = picture.iter().sum::<f32>() / PIXELS as f32;
        let centred: Vec<f32> = picture.iter().map(|value| value - mean).collect();
        let scale = 1.0 / (libm::sqrtf(squares(&centred) + varies) + NOISE);
        centred.iter().map(|value| value * scale).collect()
    };
    [turned, vec![scaled(closer)], vec![scaled(farther)]]
}

/// The mean of the squares.
fn squares(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>() / values.len().max(1) as f32
}

/// With mean 0 and standard deviation 1; less for an image that is nearly even.
fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f32>()
        / count;
    let scale = 1.0 / (libm::sqrtf(variance) + NOISE);
    values
        .iter_mut()
        .for_each(|value| *value = (*value - mean) * scale);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 64;

    /// A bright bar on grey at this place, `size` of its usual length and width, in light of this colour.
    fn bar((x, y): (f32, f32), size: f32, upright: bool, light: [f32; 3]) -> Vec<f32> {
        let half = if upright { [5.0, 18.0] } else { [18.0, 5.0] }.map(|half| half * size);
        let is_bar = |column: usize, row: usize| {
            (column as f32 - x).abs() < half[0] && (row as f32 - y).abs() < half[1]
        };
        (0..WIDTH * WIDTH)
            .map(|place| {
                if is_bar(place % WIDTH, place / WIDTH) {
                    0.4
                } else {
                    0.2
                }
            })
            .flat_map(|value| light.map(|light| light * value))
            .collect()
    }

    fn appearance(place: (f32, f32), size: f32, upright: bool, light: [f32; 3]) -> Appearance {
        Appearance::of(&bar(place, size, upright, light), WIDTH)
    }

    fn template() -> Template {
        let places = [
            (31.0, 33.0),
            (33.0, 32.0),
            (32.0, 31.0),
            (32.0, 33.0),
            (31.0, 32.0),
            (33.0, 31.0),
        ];
        Template::of(&places.map(|place| appearance(place, 1.0, true, [1.0, 0.9, 0.8])))
    }

    #[test]
    fn pose_and_light_are_told() {
        let (template, light, middle) = (template(), [1.0, 0.9, 0.8], (32.0, 32.0));
        let difference = |image: &Appearance| template.difference(image, false).map(|(name, _)| name);
        for (image, expected) in [
            (appearance(middle, 1.0, true, light), None),
            (appearance((34.0, 33.0), 1.0, true, light), None),
            (appearance(middle, 1.0, false, light), Some(Difference::Turned)),
            (appearance(middle, 2.0, true, light), Some(Difference::Closer)),
            (appearance(middle, 0.5, true, light), Some(Difference::Farther)),
            (
                appearance((8.0, 12.0), 1.0, true, light),
                Some(Difference::Framing),
            ),
            (
                appearance(middle, 1.0, true, light.map(|own| 2.0 * own)),
                Some(Difference::Brighter),
            ),
            (
                appearance(middle, 1.0, true, light.map(|own| 0.5 * own)),
                Some(Difference::Darker),
            ),
            (
                appearance(middle, 1.0, true, [1.0, 0.7, 0.4]),
                Some(Difference::Tint),
            ),
            // what another camera makes of it
            (appearance(middle, 1.0, true, [1.1, 0.99, 0.88]), None),
            (appearance(middle, 1.0, true, [1.05, 0.9, 0.76]), None),
        ] {
            assert_eq!(difference(&image), expected);
        }
    }

    #[test]
    fn what_is_far_and_not_the_part_is_another_part() {
        let (template, light) = (template(), [1.0, 0.9, 0.8]);
        let name = |image: &Appearance| template.difference(image, true).map(|(name, _)| name);
        let own = appearance((32.0, 32.0), 1.0, true, light);
        assert_eq!(name(&own), Some(Difference::Part));
        // the part itself, in other light
        let dark = appearance((32.0, 32.0), 1.0, true, light.map(|own| 0.5 * own));
        assert_eq!(name(&dark), Some(Difference::Darker));
        // several views have no framing
        assert_eq!(
            name(&Appearance::joined(&[dark.clone(), dark])),
            Some(Difference::Part)
        );
    }

    #[test]
    fn parts_that_lie_anyhow_may_be_turned() {
        let scattered = (0..12_u8).map(|place| {
            let (x, y) = (f32::from(place % 4), f32::from(place / 4));
            appearance((14.0 + 12.0 * x, 18.0 + 14.0 * y), 0.6, place % 2 == 0, [1.0; 3])
        });
        let scattered: Vec<Appearance> = scattered.collect();
        let template = Template::of(&scattered);
        for (place, upright) in [((20.0, 24.0), true), ((40.0, 36.0), false)] {
            assert_eq!(
                template.difference(&appearance(place, 0.6, upright, [1.0; 3]), false),
                None
            );
        }
    }

    #[test]
    fn equal_and_even_images_are_no_fault() {
        let even = Appearance::of(&vec![0.5; 3 * WIDTH * WIDTH], WIDTH);
        let template = Template::of(&vec![even.clone(); 4]);
        assert_eq!(template.difference(&even, false), None);
        let black = Appearance::of(&vec![0.0; 3 * WIDTH * WIDTH], WIDTH);
        assert_eq!(
            template.difference(&black, false).map(|(name, _)| name),
            Some(Difference::Darker)
        );
    }
}
