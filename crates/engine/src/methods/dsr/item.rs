//! What DSR is trained on: textures and good images, anomalies among the codes of good images (section 3.1 of the paper), and
//! smudges on good images (section 3.3).

use std::sync::Arc;

use destseg_kernels::Grid;
use rand_pcg::Pcg64;

use super::general::General;
use crate::Result;
use crate::arch::dsr::STRIDES;
use crate::data::image::{RgbImage, crop, to_f32};
use crate::data::preprocess;
use crate::methods::draem::item::noise_mask;
use crate::methods::draem::warp::rotate;
use crate::synthesis::TextureSource;
use crate::synthesis::random::{below, unit};

/// Share of textures among the images of stage 1.
const TEXTURES: f64 = 0.5;
/// Share of good images that are rotated in stages 1 and 2, and in stage 3, and by how many degrees at most.
const ROTATED: [f64; 2] = [0.4, 0.3];
const MOST_DEGREES: f64 = 90.0;
/// Share of items that stay good.
const GOOD: f64 = 0.5;
/// The least share of the codes, ordered by distance, that anomalies are drawn from.
const LEAST_STRENGTH: f64 = 0.2;
/// The largest share of the image that can still be seen under a smudge.
const MOST_SHINING_THROUGH: f64 = 0.8;

fn is(rng: &mut Pcg64, share: f64) -> bool {
    unit(rng) < share
}

/// One of the good images, rotated in this share of the draws.
fn good(images: &[Arc<RgbImage>], rotated: f64, rng: &mut Pcg64) -> RgbImage {
    let image = &images[below(rng, images.len() as u32) as usize];
    match is(rng, rotated) {
        true => rotate(image, MOST_DEGREES * (2.0 * unit(rng) - 1.0)),
        false => (**image).clone(),
    }
}

/// 1 where the anomaly is, else 0, row by row; half of the masks are empty.
fn mask(side: usize, rng: &mut Pcg64) -> Vec<u8> {
    match is(rng, GOOD) {
        true => vec![0; side * side],
        false => noise_mask(side, rng),
    }
}

/// Pixels of an image as a network takes them.
fn grid(image: &RgbImage) -> Grid {
    preprocess::plain(&to_f32(image), image.width() as usize)
}

/// A part of a texture or of a good image for stage 1, `[side, side, 3]`.
///
/// # Errors
/// [`crate::Error::File`] or [`crate::Error::Io`] if a texture file cannot be read.
pub(super) fn part(
    images: &[Arc<RgbImage>],
    textures: &TextureSource,
    side: usize,
    rng: &mut Pcg64,
) -> Result<Grid> {
    let image = match is(rng, TEXTURES) {
        true => textures.picture(images[0].width() as usize, rng)?,
        false => good(images, ROTATED[0], rng),
    };
    let room = image.width() as usize - side + 1;
    let [x, y] = [0, 1].map(|_| below(rng, room as u32) as usize);
    Ok(grid(&crop(&image, x, y, side, side)))
}

/// A good image with a smudge of one colour for stage 3, and where that is.
pub(super) fn smudged(images: &[Arc<RgbImage>], rng: &mut Pcg64) -> (Grid, Vec<u8>) {
    let mut image = grid(&good(images, ROTATED[1], rng));
    let mask = mask(image.width, rng);
    let colour = [0, 1, 2].map(|_| unit(rng) as f32);
    smudge(
        &mut image,
        &mask,
        colour,
        (MOST_SHINING_THROUGH * unit(rng)) as f32,
    );
    (image, mask)
}

/// Paints over a part of an image, which shines through.
fn smudge(image: &mut Grid, mask: &[u8], colour: [f32; 3], shining_through: f32) {
    for (pixel, _) in image
        .data
        .as_chunks_mut::<3>()
        .0
        .iter_mut()
        .zip(mask)
        .filter(|(_, mask)| **mask != 0)
    {
        for (value, colour) in pixel.iter_mut().zip(colour) {
            *value = shining_through * *value + (1.0 - shining_through) * colour;
        }
    }
}

/// The largest value of each block of `stride` x `stride` pixels of a square mask.
pub(super) fn pooled(mask: &[u8], side: usize, stride: usize) -> Vec<u8> {
    let small = side / stride;
    let mut blocks = vec![0; small * small];
    for (place, &mark) in mask.iter().enumerate() {
        let block = &mut blocks[place / side / stride * small + place % side / stride];
        *block = mark.max(*block);
    }
    blocks
}

/// A mask whose blocks of `stride` x `stride` pixels are all that their largest value is.
fn in_blocks(mask: &[u8], side: usize, stride: usize) -> Vec<u8> {
    let blocks = pooled(mask, side, stride);
    let block = |place: usize| blocks[place / side / stride * (side / stride) + place % side / stride];
    (0..side * side).map(block).collect()
}

/// A level of the VQ-VAE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Coarse,
    Fine,
}

/// Where and how codes are replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// The only level with anomalies, if it is not both.
    pub(super) only: Option<Level>,
    /// The share of codes, ordered by distance, that the anomalies of the coarse and of the fine level are drawn from.
    pub(super) strengths: [f64; 2],
}

impl Plan {
    /// Half of the plans are for both levels.
    fn draw(rng: &mut Pcg64) -> Self {
        let strengths = [0, 1].map(|_| LEAST_STRENGTH + (1.0 - LEAST_STRENGTH) * unit(rng));
        let [both, coarse] = [0, 1].map(|_| is(rng, 0.5));
        let only = match coarse {
            _ if both => None,
            true => Some(Level::Coarse),
            false => Some(Level::Fine),
        };
        Self { only, strengths }
    }
}

/// An item of stage 2. Both levels come coarse and fine.
#[derive(Debug)]
pub(super) struct Corrupted {
    /// The good image.
    pub(super) image: Grid,
    /// Its codes.
    pub(super) good: [Grid; 2],
    /// Its codes with those of anomalies among them.
    pub(super) shown: [Grid; 2],
    /// The general decoder's image of what is shown.
    pub(super) painted: Grid,
    /// 1 where a replaced code has its block of pixels, else 0.
    pub(super) mask: Vec<u8>,
}

impl Corrupted {
    /// Draws an item of the good images.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn draw(images: &[Arc<RgbImage>], general: &General, rng: &mut Pcg64) -> Result<Self> {
        let image = grid(&good(images, ROTATED[0], rng));
        let mask = mask(image.width, rng);
        let plan = Plan::draw(rng);
        Self::of(image, &mask, plan, general, |_, _| unit(rng) as f32).await
    }

    /// Replaces codes of an image where the mask is not 0. `draw` gives a number of [0, 1) for each place of a level.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn of(
        image: Grid,
        mask: &[u8],
        Plan { only, strengths }: Plan,
        general: &General,
        mut draw: impl FnMut(Level, usize) -> f32,
    ) -> Result<Self> {
        let side = image.width;
        let masks = STRIDES.map(|stride| pooled(mask, side, stride));
        let [coarse_book, fine_book] = general.codebooks();
        let [encoded, coarse] = general.coarse(&image).await?;
        let good_coarse = coarse_book.quantised(&coarse);
        let fine = general.fine(&encoded, &good_coarse).await?;
        let good_fine = fine_book.quantised(&fine);
        let shown_coarse = match only {
            Some(Level::Fine) => good_coarse.clone(),
            _ => coarse_book.with_anomalies(&coarse, &masks[0], strengths[0], |place| {
                draw(Level::Coarse, place)
            }),
        };
        let mut anomalous = |fine: &Grid| {
            fine_book.with_anomalies(fine, &masks[1], strengths[1], |place| draw(Level::Fine, place))
        };
        let shown_fine = match only {
            Some(Level::Coarse) => good_fine.clone(),
            Some(Level::Fine) => anomalous(&fine),
            None => anomalous(&general.fine(&encoded, &shown_coarse).await?),
        };
        let stride = STRIDES[usize::from(only == Some(Level::Fine))];
        Ok(Self {
            painted: general.image(&shown_coarse, &shown_fine).await?,
            good: [good_coarse, good_fine],
            shown: [shown_coarse, shown_fine],
            mask: in_blocks(mask, side, stride),
            image,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::uniform;
    use crate::synthesis::sample_rng;
    use crate::test_support::{assert_close, expected};

    #[test]
    fn smudges_and_loss_masks_are_the_references() {
        let Some(fixture) = expected("dsr/units_expected.json") else {
            return;
        };
        let list = fixture["smudge"]["values"].as_array().expect("is a list");
        let theirs: Vec<f32> = list
            .iter()
            .map(|own| own.as_f64().expect("is a number") as f32)
            .collect();
        let byte = |u: &f32| ((u + 0.5) * 256.0).floor() / 255.0;
        let pixels: Vec<f32> = uniform("smudge_image", 16 * 16 * 3).iter().map(byte).collect();
        let mut image = preprocess::plain(&pixels, 16);
        let mask: Vec<u8> = uniform("smudge_mask", 256)
            .iter()
            .map(|&u| u8::from(u > 0.1))
            .collect();
        smudge(&mut image, &mask, [0.2, 0.55, 0.9], 0.25);
        assert_close(&image.data, &theirs, 1e-6);

        let noise = uniform("unit_big_mask", 64);
        let mut mask: Vec<u8> = (0..64 * 64)
            .map(|at| u8::from(noise[at / 64 / 8 * 8 + at % 64 / 8] > 0.2))
            .collect();
        for row in [5, 6] {
            mask[row * 64 + 9] = 1;
        }
        let ones = |mask: &[u8]| mask.iter().filter(|&&mark| mark == 1).count();
        let number = |name: &str| fixture["loss_mask"][name].as_u64().expect("is a number") as usize;
        assert_eq!(ones(&mask), number("ones"));
        assert_eq!(ones(&in_blocks(&mask, 64, 4)), number("ones_after_4"));
        assert_eq!(ones(&in_blocks(&mask, 64, 8)), number("ones_after_8"));
    }

    #[test]
    fn half_of_the_plans_are_for_both_levels_and_a_quarter_for_each() {
        let mut counts = [0; 3];
        for index in 0..400 {
            let plan = Plan::draw(&mut sample_rng(0, 0, index));
            assert!(
                plan.strengths
                    .iter()
                    .all(|own| (LEAST_STRENGTH..1.0).contains(own))
            );
            counts[match plan.only {
                None => 0,
                Some(Level::Coarse) => 1,
                Some(Level::Fine) => 2,
            }] += 1;
        }
        let [both, coarse, fine] = counts;
        assert!((170..230).contains(&both) && (75..125).contains(&coarse) && (75..125).contains(&fine));
    }

    #[test]
    fn parts_and_smudges_are_the_same_for_the_same_generator() {
        let images = [Arc::new(RgbImage::from_fn(64, 64, |x, y| {
            ::image::Rgb([x as u8, y as u8, 90])
        }))];
        let (mut smudges, mut parts) = (0, Vec::new());
        for index in 0..60 {
            let rng = || sample_rng(1, 0, index);
            let part = || part(&images, &TextureSource::Procedural, 32, &mut rng()).expect("draws");
            assert_eq!(part().data, part().data);
            parts.push(part().data);
            let (image, mask) = smudged(&images, &mut rng());
            assert_eq!((image.data.len(), mask.len()), (64 * 64 * 3, 64 * 64));
            assert!(image.data.iter().all(|value| (0.0..=1.0).contains(value)));
            smudges += usize::from(mask.contains(&1));
        }
        assert!((10..50).contains(&smudges), "{smudges}");
        assert!(parts.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
