//! What DRAEM is trained on (section 3.3 of the paper): a good image, and the same with a changed texture where Perlin noise is
//! high.

use rand_pcg::Pcg64;

use super::augment::augment;
use super::warp::rotate;
use crate::Result;
use crate::data::image::{RgbImage, to_f32};
use crate::synthesis::random::{below, uniform};
use crate::synthesis::{Noise, TextureSource, compose};

/// Share of good images that are rotated, and by how many degrees at most.
const ROTATED: (f32, f32) = (0.3, 90.0);
/// Share of items that stay good.
const GOOD: f32 = 0.5;
/// Perlin noise has 1 to 32 cells along each axis: powers of two up to this one.
const MOST_EXPONENT: u32 = 5;
/// Noise above this is anomalous.
const THRESHOLD: f32 = 0.5;
/// Share of the image that can still be seen under the texture.
const MOST_SHINING_THROUGH: f32 = 0.8;

/// One example.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// The good image, which may be rotated.
    pub(super) clean: Vec<f32>,
    /// What the networks are shown: interleaved RGB in [0, 1], as `clean`.
    pub(super) shown: Vec<f32>,
    /// 1 where the anomaly is, else 0; row by row.
    pub(super) mask: Vec<u8>,
}

/// 1 where Perlin noise of a random fineness is high, else 0; row by row.
pub(in crate::methods) fn noise_mask(side: usize, rng: &mut Pcg64) -> Vec<u8> {
    let cells = [0, 1].map(|_| 1 << below(rng, MOST_EXPONENT + 1));
    let noise = Noise::draw(side, cells.into(), rng);
    noise.rotated_mask(uniform(rng, -90.0, 90.0), THRESHOLD)
}

impl Item {
    /// Draws an example of a square good image.
    ///
    /// # Errors
    /// [`crate::Error::File`] or [`crate::Error::Io`] if a texture file cannot be read.
    pub(super) fn draw(image: &RgbImage, textures: &TextureSource, rng: &mut Pcg64) -> Result<Self> {
        let side = image.width() as usize;
        let is = |rng: &mut Pcg64, share: f32| uniform(rng, 0.0, 1.0) < share;
        let image = match is(rng, ROTATED.0) {
            true => &rotate(image, f64::from(uniform(rng, -ROTATED.1, ROTATED.1))),
            false => image,
        };
        let clean = to_f32(image);
        if is(rng, GOOD) {
            return Ok(Self {
                shown: clean.clone(),
                clean,
                mask: vec![0; side * side],
            });
        }
        let mut texture = textures.picture(side, rng)?;
        augment(&mut texture, rng);
        let mask = noise_mask(side, rng);
        let opacity = 1.0 - MOST_SHINING_THROUGH * uniform(rng, 0.0, 1.0);
        let shown = compose(image, &mask, opacity, |x, y| {
            texture.get_pixel(x as u32, y as u32).0
        });
        Ok(Self { clean, shown, mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::sample_rng;

    #[test]
    fn half_of_the_items_are_good_and_the_others_have_few_anomalous_pixels() {
        const ITEMS: u64 = 300;
        let image = RgbImage::from_fn(64, 64, |x, y| ::image::Rgb([x as u8, y as u8, 90]));
        let (mut empty, mut area, mut turned) = (0, 0, 0);
        for index in 0..ITEMS {
            let draw = || {
                Item::draw(&image, &TextureSource::Procedural, &mut sample_rng(0, 0, index)).expect("draws")
            };
            let item = draw();
            empty += usize::from(!item.mask.contains(&1));
            area += item.mask.iter().map(|&mark| usize::from(mark)).sum::<usize>();
            turned += usize::from(item.clean != to_f32(&image));
            let pixels = item.clean.chunks(3).zip(item.shown.chunks(3)).zip(&item.mask);
            for ((clean, shown), mask) in pixels {
                assert!(*mask == 1 || clean == shown, "a good pixel changed");
                assert!(shown.iter().all(|value| (0.0..=1.0).contains(value)));
            }
            assert_eq!(draw().shown, item.shown);
        }
        // the reference: 52 to 53 % of the items, 2.4 % of the pixels, 30 % of the images
        let share = |count: usize, all: u64| count as f64 / all as f64;
        assert!((0.44..0.62).contains(&share(empty, ITEMS)), "{empty}");
        assert!((0.012..0.04).contains(&share(area, ITEMS * 64 * 64)), "{area}");
        assert!((0.22..0.38).contains(&share(turned, ITEMS)), "{turned}");
    }
}
