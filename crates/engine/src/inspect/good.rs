//! What a finished model keeps about the good images, besides its networks: whether an image shows the part
//! ([`Familiarity`]), and what good features are like ([`Codebook`]). One look at the images is enough for both.

use destseg_kernels::Grid;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::Detector;
use super::codebook::Codebook;
use super::familiarity::{Appearance, Familiarity, cells};
use crate::Result;
use crate::config::AugmentConfig;
use crate::data::image::{self, RgbImage};
use crate::synthesis::vary;

/// Good images that are looked at; more say hardly more.
const MOST_IMAGES: usize = 100;
/// Images whose features are kept as they are, which takes memory.
const MOST_FEATURES: usize = 48;

/// The teacher's normalised features of an image at the middle and the coarse level.
pub(super) type Look = [Grid; 2];

/// A good image.
#[derive(Debug)]
pub(super) struct GoodImage {
    /// [`cells`] of the image, and of the same as another camera sees it.
    pub(super) cells: [Grid; 2],
    pub(super) appearance: Appearance,
    /// The features that the cells are means of, where a codebook learns from them.
    pub(super) features: Option<[Look; 2]>,
}

/// What good images are like.
#[derive(Debug, Default)]
pub struct Learned {
    /// None if they are too few.
    pub familiarity: Option<Familiarity>,
    /// None if too few of them were trained on.
    pub codebook: Option<Codebook>,
}

impl Learned {
    /// Learns from good images of the model's input size; of very many a part is looked at. A codebook learns from the first
    /// `trained_on` alone: the others say which scores good images have that it has not seen.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost, [`Error::Training`](crate::Error::Training) for
    /// features that are not numbers.
    pub async fn of<'a>(
        detector: &Detector,
        images: impl IntoIterator<Item = &'a RgbImage>,
        trained_on: usize,
    ) -> Result<Self> {
        let images: Vec<&RgbImage> = images.into_iter().collect();
        let every = images.len().div_ceil(MOST_IMAGES).max(1);
        // spread over those trained on
        let kept_every = trained_on.div_ceil(every).div_ceil(MOST_FEATURES).max(1) * every;
        let mut good = Vec::new();
        for (seed, (place, image)) in (0..).zip(images.into_iter().enumerate().step_by(every)) {
            // the part stays familiar where another camera setting or program saved the photo
            let mut rng = Pcg64::seed_from_u64(seed);
            let other = vary(image, &AugmentConfig::ANOTHER_CAMERA, &mut rng);
            let mut looks: [Look; 2] = Default::default();
            for (look, image) in looks.iter_mut().zip([image, &other]) {
                *look = detector.teacher_features(&image::to_f32(image)).await?;
            }
            good.push(GoodImage {
                cells: looks.each_ref().map(|[middle, coarse]| cells(middle, coarse)),
                appearance: Appearance::of(&image::to_f32(image), image.width() as usize),
                features: (place < trained_on && place.is_multiple_of(kept_every)).then_some(looks),
            });
        }
        Ok(Self {
            familiarity: Familiarity::learn(&good)?,
            codebook: Codebook::learn(&good),
        })
    }
}
